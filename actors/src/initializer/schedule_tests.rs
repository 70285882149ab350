use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{
    agent::{Priority, TaskId},
    initializer::StartupTask,
};

fn options(workers: usize) -> StartupOptions {
    StartupOptions { workers, ..StartupOptions::default() }
}

fn task(number: usize, millis: u64, after: impl IntoIterator<Item = usize>) -> StartupTask {
    let name = |number: usize| TaskId::new(format!("t{number}")).unwrap();
    StartupTask::new(name(number)).taking(Duration::from_millis(millis)).after(after.into_iter().map(name))
}

/// Tasks of 10 to 1,000 ms whose dependencies are chosen by `before`: of a task, among those that come earlier.
fn dag(random: &mut ChaCha8Rng, tasks: usize, before: impl Fn(&mut ChaCha8Rng, usize) -> Vec<usize>) -> Plan {
    let tasks = (0..tasks).map(|number| {
        let mut after = before(random, number);
        after.sort_unstable();
        after.dedup();
        task(number, random.random_range(10..=1_000), after)
    });
    Plan::new(tasks.collect()).unwrap()
}

/// One of the four sorts, of 10 to 500 tasks.
fn drawn(random: &mut ChaCha8Rng, sort: usize) -> Plan {
    let tasks = random.random_range(10..=500);
    match sort {
        // Layers; each task after one to three of the layer before.
        0 => {
            let width = random.random_range(2..=32);
            dag(random, tasks, |random, number| match (number / width).checked_sub(1) {
                None => Vec::new(),
                Some(layer) => (0..random.random_range(1..=3))
                    .map(|_| layer * width + random.random_range(0..width))
                    .collect(),
            })
        }
        // One task forks into many, which join in one, again and again.
        1 => {
            let width = random.random_range(2..=24) + 1;
            dag(random, tasks, |_, number| match number.checked_rem(width) {
                _ if number == 0 => Vec::new(),
                Some(0) => (number - width + 1..number).collect(),
                _ => vec![number - number % width],
            })
        }
        // Chains side by side.
        2 => {
            let chains = random.random_range(1..=32);
            dag(random, tasks, |_, number| number.checked_sub(chains).into_iter().collect())
        }
        // Each pair by chance, two edges for each task on average.
        _ => dag(random, tasks, |random, number| {
            let edges = if number == 0 { 0 } else { random.random_range(0..=4) };
            (0..edges).map(|_| random.random_range(0..number)).collect()
        }),
    }
}

fn times(duration: Duration, factor: f64) -> Duration {
    Duration::from_secs_f64(duration.as_secs_f64() * factor)
}

#[test]
fn schedules_come_close_to_the_lower_bound_and_never_go_beyond_that_of_graham() {
    let mut ratios = Vec::new();
    for seed in 0..1_000_u64 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let plan = drawn(&mut random, usize::try_from(seed % 4).unwrap());
        let workers = random.random_range(1..=16);
        let unrefined = Schedule::of(&plan, options(workers)).makespan();
        let plan = plan.refined(&options(workers));
        let schedule = Schedule::of(&plan, options(workers));
        assert!(
            schedule.makespan() <= unrefined,
            "seed {seed}: {:?} instead of {unrefined:?}",
            schedule.makespan()
        );
        let (makespan, bound) = (schedule.makespan(), plan.lower_bound(workers));
        assert!(makespan >= bound, "seed {seed}: {makespan:?} below the bound {bound:?}");
        // Graham 1969: no list schedule is longer than work / m + (1 - 1/m) x critical path.
        let m = f64::from(u32::try_from(workers).unwrap());
        let graham = times(plan.total(), 1.0 / m) + times(plan.critical_length(), 1.0 - 1.0 / m);
        let rounding = Duration::from_micros(1);
        assert!(makespan <= graham + rounding, "seed {seed}: {makespan:?} beyond {graham:?}");
        ratios.push(makespan.as_secs_f64() / bound.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    assert!(ratios[500] <= 1.05, "{} in the median, {} at most", ratios[500], ratios[999]);
}

#[test]
fn the_twenty_tasks_of_the_earlier_system_take_hardly_more_than_the_optimum() {
    let tasks = (0..20).map(|number| task(usize::try_from(number).unwrap(), 500 + 100 * number, []));
    let plan = Plan::new(tasks.collect()).unwrap();
    let makespan = Schedule::of(&plan.clone().refined(&options(8)), options(8)).makespan();
    // 29 s of work on 8 workers are 3.625 s each; no schedule ends between two tenths of a second.
    let optimum = Duration::from_millis(3_700);
    assert!(makespan <= times(optimum, 1.02), "{makespan:?}");
    assert!(times(makespan, 4.04) <= plan.total(), "{makespan:?} instead of {:?}", plan.total());
}

#[test]
fn each_slice_has_a_worker_for_itself_and_starts_when_what_it_waits_for_has_ended() {
    for seed in 0..100 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let workers = random.random_range(1..=16);
        let plan = drawn(&mut random, usize::try_from(seed % 4).unwrap()).refined(&options(workers));
        let schedule = Schedule::of(&plan, options(workers));
        let mut by_task = vec![None; plan.tasks().len()];
        let mut by_worker = vec![Duration::ZERO; workers];
        for slice in schedule.slices() {
            assert!(slice.start >= by_worker[slice.worker], "seed {seed}: worker {} is busy", slice.worker);
            by_worker[slice.worker] = slice.end;
            by_task[slice.task] = Some(*slice);
        }
        for (at, slice) in by_task.iter().enumerate() {
            let slice = slice.unwrap();
            assert_eq!(slice.takes(), plan.tasks()[at].estimate());
            for on in plan.dependencies(at) {
                assert!(by_task[on].unwrap().end <= slice.start, "seed {seed}: t{at} before t{on} has ended");
            }
        }
        let last = schedule.path().last().unwrap().until.since_start();
        assert_eq!((schedule.makespan(), schedule.ready()), (last, last));
    }
}

#[test]
fn a_search_that_finds_nothing_shorter_leaves_the_order_and_priorities_are_kept() {
    let order = |plan: &Plan| {
        let schedule = Schedule::of(plan, options(2));
        schedule.slices().iter().map(|slice| slice.task).collect::<Vec<_>>()
    };
    let equal = Plan::new((0..13).map(|number| task(number, 1_000, [])).collect()).unwrap();
    assert_eq!(order(&equal), order(&equal.clone().refined(&options(2))));
    let urgent = (0..13).map(|number| {
        let priority = if number == 11 { Priority::Critical } else { Priority::Low };
        task(number, 1_000 + u64::try_from(number).unwrap() % 3, []).with_priority(priority)
    });
    let urgent = Plan::new(urgent.collect()).unwrap();
    assert_eq!(order(&urgent), order(&urgent.clone().refined(&options(2))), "who is urgent is not put off");
}

#[test]
fn estimates_beyond_all_measure_are_planned_with() {
    let forever = |number: usize, after: Option<usize>| task(number, 1, after).taking(Duration::MAX);
    let tasks = (0..5).map(|number| forever(number, usize::checked_sub(number, 2))).collect();
    let plan = Plan::new(tasks).unwrap().refined(&options(2));
    let end_of_time = Duration::from_micros(u64::MAX);
    assert_eq!(Schedule::of(&plan, options(2)).makespan(), end_of_time);
}
