//! Random graphs of start-up tasks, and how close their schedules come to what is possible. Exact, on every machine.

use std::time::Duration;

use phalanx_actors::{
    agent::TaskId,
    initializer::{Plan, Schedule, StartupOptions, StartupTask},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// How many graphs are looked at.
pub(super) const COUNT: u64 = 1_000;

/// How the tasks of a graph depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sort {
    /// Each task after one to three of the layer before.
    Layers,
    /// One task forks into many, which join in one, again and again.
    ForkJoin,
    /// Chains side by side.
    Chains,
    /// Each pair by chance, two edges for each task on average.
    Chance,
}

impl Sort {
    pub(super) const ALL: [Sort; 4] = [Sort::Layers, Sort::ForkJoin, Sort::Chains, Sort::Chance];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Layers => "layers",
            Self::ForkJoin => "fork and join",
            Self::Chains => "chains",
            Self::Chance => "by chance",
        }
    }
}

/// How the schedules of graphs of one sort come out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct OfSort {
    pub(super) sort: Sort,
    pub(super) graphs: usize,
    /// The makespan beside the lower bound.
    pub(super) median: f64,
    pub(super) most: f64,
    /// The makespan beside Graham's bound, at most.
    pub(super) beside_graham: f64,
    /// How many times as fast as one by one, in the median.
    pub(super) over_one_by_one: f64,
}

/// How the schedules of all graphs come out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Graphs {
    pub(super) count: u64,
    /// The makespan beside the lower bound.
    pub(super) median: f64,
    pub(super) ninth_decile: f64,
    pub(super) most: f64,
    pub(super) beside_graham: f64,
    pub(super) sorts: Vec<OfSort>,
}

/// How the schedule of one graph comes out.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    sort: Sort,
    beside_bound: f64,
    beside_graham: f64,
    over_one_by_one: f64,
}

impl Graphs {
    /// Makes the schedules of so many graphs, at least one of each sort, of 10 to 500 tasks, on 1 to 16 workers.
    pub(super) fn measure(count: u64) -> Self {
        let all: Vec<Outcome> = (0..count).map(outcome).collect();
        let sorted = |figure: fn(&Outcome) -> f64, of: &[Outcome]| {
            let mut figures: Vec<f64> = of.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures
        };
        let most = |figures: &[f64]| figures.last().copied().unwrap_or(0.0);
        let sorts = Sort::ALL.map(|sort| {
            let of: Vec<Outcome> = all.iter().copied().filter(|outcome| outcome.sort == sort).collect();
            let bound = sorted(|outcome| outcome.beside_bound, &of);
            OfSort {
                sort,
                graphs: of.len(),
                median: bound[of.len() / 2],
                most: most(&bound),
                beside_graham: most(&sorted(|outcome| outcome.beside_graham, &of)),
                over_one_by_one: sorted(|outcome| outcome.over_one_by_one, &of)[of.len() / 2],
            }
        });
        let bound = sorted(|outcome| outcome.beside_bound, &all);
        Self {
            count,
            median: bound[all.len() / 2],
            ninth_decile: bound[all.len() * 9 / 10],
            most: most(&bound),
            beside_graham: most(&sorted(|outcome| outcome.beside_graham, &all)),
            sorts: sorts.into(),
        }
    }
}

fn outcome(seed: u64) -> Outcome {
    let (sort, plan, workers) = drawn(seed);
    let makespan = Schedule::of(&plan, options(workers)).makespan().as_secs_f64();
    Outcome {
        sort,
        beside_bound: makespan / plan.lower_bound(workers).as_secs_f64(),
        beside_graham: makespan / graham(&plan, workers),
        over_one_by_one: plan.total().as_secs_f64() / makespan,
    }
}

/// No list schedule is longer \[s\]: work / m + (1 - 1/m) x critical path (Graham, Bounds on Multiprocessing Timing
/// Anomalies, 1969), which is at most 2 - 1/m times the optimum.
fn graham(plan: &Plan, workers: usize) -> f64 {
    let m = f64::from(u32::try_from(workers).expect("there are few workers"));
    plan.total().as_secs_f64() / m + (1.0 - 1.0 / m) * plan.critical_length().as_secs_f64()
}

fn options(workers: usize) -> StartupOptions {
    StartupOptions { workers, ..StartupOptions::default() }
}

fn name(number: usize) -> TaskId {
    TaskId::new(format!("t{number}")).expect("a good name")
}

/// The graph of a seed, with its order refined, and how many workers it is for.
fn drawn(seed: u64) -> (Sort, Plan, usize) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let sort = Sort::ALL[usize::try_from(seed % 4).expect("a small number")];
    let tasks = random.random_range(10..=500);
    let plan = graph(&mut random, sort, tasks);
    let workers = random.random_range(1..=16);
    (sort, plan.refined(&options(workers)), workers)
}

/// Tasks of 10 to 1,000 ms.
fn graph(random: &mut ChaCha8Rng, sort: Sort, tasks: usize) -> Plan {
    let width = match sort {
        Sort::Layers | Sort::Chains => random.random_range(2..=32),
        Sort::ForkJoin => random.random_range(3..=25),
        Sort::Chance => 1,
    };
    let tasks = (0..tasks).map(|number| {
        let mut after = before(random, sort, width, number);
        after.sort_unstable();
        after.dedup();
        let takes = Duration::from_millis(random.random_range(10..=1_000));
        StartupTask::new(name(number)).taking(takes).after(after.into_iter().map(name))
    });
    Plan::new(tasks.collect()).expect("each task comes after earlier ones")
}

/// The tasks, among those that come earlier, that one comes after.
fn before(random: &mut ChaCha8Rng, sort: Sort, width: usize, number: usize) -> Vec<usize> {
    match sort {
        Sort::Layers => match (number / width).checked_sub(1) {
            None => Vec::new(),
            Some(layer) => {
                let edges = random.random_range(1..=3);
                (0..edges).map(|_| layer * width + random.random_range(0..width)).collect()
            }
        },
        Sort::ForkJoin => match number % width {
            _ if number == 0 => Vec::new(),
            0 => (number - width + 1..number).collect(),
            rest => vec![number - rest],
        },
        Sort::Chains => number.checked_sub(width).into_iter().collect(),
        Sort::Chance => {
            let edges = if number == 0 { 0 } else { random.random_range(0..=4) };
            (0..edges).map(|_| random.random_range(0..number)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_come_close_to_the_lower_bound_and_never_go_beyond_that_of_graham() {
        let graphs = Graphs::measure(COUNT);
        assert!(graphs.median <= 1.05, "{graphs:?}");
        // Times are whole microseconds.
        assert!(graphs.beside_graham <= 1.0 + 1e-6, "{graphs:?}");
        let least = graphs.sorts.iter().map(|sort| sort.median).fold(f64::INFINITY, f64::min);
        assert!(least >= 1.0 - 1e-9, "no schedule is shorter than what is possible: {graphs:?}");
    }

    #[test]
    fn each_slice_has_a_worker_for_itself_and_starts_when_what_it_waits_for_has_ended() {
        for seed in 0..100 {
            let (_, plan, workers) = drawn(seed);
            let schedule = Schedule::of(&plan, options(workers));
            let mut by_task = vec![None; plan.tasks().len()];
            let mut by_worker = vec![Duration::ZERO; workers];
            for slice in schedule.slices() {
                assert!(
                    slice.start >= by_worker[slice.worker],
                    "seed {seed}: worker {} is busy",
                    slice.worker
                );
                by_worker[slice.worker] = slice.end;
                by_task[slice.task] = Some(*slice);
            }
            for (at, slice) in by_task.iter().enumerate() {
                let slice = slice.unwrap();
                assert_eq!(slice.takes(), plan.tasks()[at].estimate());
                for on in plan.dependencies(at) {
                    assert!(
                        by_task[on].unwrap().end <= slice.start,
                        "seed {seed}: t{at} before t{on} has ended"
                    );
                }
            }
            let last = schedule.path().last().unwrap().until.since_start();
            assert_eq!((schedule.makespan(), schedule.ready()), (last, last));
        }
    }

    #[test]
    fn the_search_for_an_order_never_makes_a_schedule_longer() {
        for seed in 0..100 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let plan = graph(&mut random, Sort::ALL[usize::try_from(seed % 4).unwrap()], 60);
            let refined = Schedule::of(&plan.clone().refined(&options(4)), options(4)).makespan();
            assert!(refined <= Schedule::of(&plan, options(4)).makespan(), "seed {seed}");
        }
    }
}
