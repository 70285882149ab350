//! `initialization`: the claim of 4.04x for start-up, measured.
//!
//! ```text
//! workload ──> exact (virtual time): one by one, the ancestor's pool, phalanx ──┐
//! random graphs ──> schedules (exact) ──────────────────────────────────────────┼──> goals ──> page
//!        └──> machine (real time, on demand): a million tasks that do nothing ──┘
//! ```
//!
//! The workload is 20 tasks that take 0.5 s, 0.6 s, up to 2.4 s, on 8 workers. All of the exact part runs for real, in virtual
//! time: phalanx by the initializer of a host, the other two as tasks of the same executor on the same clock.
//!
//! **Invariant.** A claim that could be met and is not is among [`Findings::missed`].

mod exact;
mod graphs;
mod machine;
mod page;

use std::time::Duration;

use serde::Serialize;

use super::{
    Bench, BenchError, Findings, Options, Page, Step,
    goal::{self, Aim, Goal, Origin, Unit},
};
use exact::Way;
use graphs::Graphs;
use machine::Machine;

/// The version of the form of the JSON.
const SCHEMA: &str = "phalanx-bench-initialization/1.0";

/// The benchmark of start-up.
#[derive(Debug)]
pub(super) struct Initialization;

impl Bench for Initialization {
    fn name(&self) -> &'static str {
        "initialization"
    }

    fn about(&self) -> &'static str {
        "20 start-up tasks on 8 workers: one by one, by the ancestor's pool and by phalanx"
    }

    fn run(&self, options: Options, tell: &mut dyn FnMut(Step)) -> Result<Box<dyn Findings>, BenchError> {
        let million = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
        Ok(Box::new(measure(Workload::ANCESTOR, graphs::COUNT, options.real.then_some(million), tell)?))
    }
}

/// Tasks that need nothing of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Workload {
    tasks: u32,
    workers: usize,
    /// How long the shortest takes \[us\].
    shortest_us: u64,
    /// How much longer each next one takes \[us\].
    step_us: u64,
}

impl Workload {
    /// That of the ancestor's benchmark.
    const ANCESTOR: Self = Self { tasks: 20, workers: 8, shortest_us: 500_000, step_us: 100_000 };

    /// How long each task takes, in the order in which they are listed.
    fn durations(self) -> impl Iterator<Item = Duration> {
        (0..self.tasks)
            .map(move |number| Duration::from_micros(self.shortest_us + self.step_us * u64::from(number)))
    }
}

/// All that was found.
#[derive(Debug, Serialize)]
struct Found {
    schema: &'static str,
    bench: &'static str,
    /// Whether nothing that counts is missed.
    met: bool,
    workload: Workload,
    /// No schedule of the workload is shorter \[us\].
    bound_us: u64,
    goals: Vec<Goal>,
    /// In virtual time: the same on every machine.
    exact: Vec<Row>,
    graphs: Graphs,
    /// In real time, of the machine that it was measured on.
    machine: Option<Machine>,
}

/// What one way took.
#[derive(Debug, Serialize)]
struct Row {
    way: Way,
    duration_us: u64,
    over_one_by_one: f64,
    over_pool: f64,
    /// How much less time than one by one \[%\].
    less_percent: f64,
    /// 1 is all that is possible.
    share_of_bound: f64,
}

fn measure(
    workload: Workload,
    graphs: u64,
    tasks: Option<usize>,
    tell: &mut dyn FnMut(Step),
) -> Result<Found, BenchError> {
    let of = Way::ALL.len() + 1 + tasks.map_or(0, |_| machine::STEPS);
    let mut done = 0;
    let mut step = |doing: String| {
        tell(Step { done, of, doing });
        done += 1;
    };
    let mut times = Vec::new();
    for way in Way::ALL {
        step(format!("virtual time, {}", way.name()));
        times.push((way, exact::measure(workload, way)?));
    }
    step(format!("schedules of {graphs} random graphs"));
    let graphs = Graphs::measure(graphs);
    let machine = tasks.map(|tasks| machine::measure(tasks, &mut step)).transpose()?;
    let bound = exact::bound(workload);
    let exact = rows(&times, bound);
    let goals = goals(&exact, bound, &times, &graphs, machine.as_ref());
    Ok(Found {
        schema: SCHEMA,
        bench: Initialization.name(),
        met: goal::missed(&goals).is_empty(),
        workload,
        bound_us: micros(bound),
        goals,
        exact,
        graphs,
        machine,
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("no workload takes that long")
}

fn rows(times: &[(Way, Duration)], bound: Duration) -> Vec<Row> {
    let (one_by_one, pool) = (of(times, Way::OneByOne), of(times, Way::Pool));
    let row = |(way, time): &(Way, Duration)| Row {
        way: *way,
        duration_us: micros(*time),
        over_one_by_one: one_by_one / time.as_secs_f64(),
        over_pool: pool / time.as_secs_f64(),
        less_percent: 100.0 * (1.0 - time.as_secs_f64() / one_by_one),
        share_of_bound: bound.as_secs_f64() / time.as_secs_f64(),
    };
    times.iter().map(row).collect()
}

fn of(times: &[(Way, Duration)], way: Way) -> f64 {
    times.iter().find(|(other, _)| *other == way).expect("all ways are measured").1.as_secs_f64()
}

fn goals(
    exact: &[Row],
    bound: Duration,
    times: &[(Way, Duration)],
    graphs: &Graphs,
    machine: Option<&Machine>,
) -> Vec<Goal> {
    use {
        Aim::{AtLeast, AtMost},
        Origin::{Claim, Target},
    };
    let phalanx = exact.iter().find(|row| row.way == Way::Phalanx).expect("phalanx is measured");
    let one_by_one = of(times, Way::OneByOne);
    let most = one_by_one / bound.as_secs_f64();
    let less = 100.0 * (1.0 - 1.0 / most);
    let optimum = exact::OPTIMUM.as_secs_f64();
    let mut goals = vec![
        Goal::new(
            Claim,
            "over one by one",
            Unit::Times,
            (AtLeast, 4.04),
            phalanx.over_one_by_one,
            Some(most),
        ),
        Goal::new(
            Claim,
            "less time than one by one",
            Unit::Percent,
            (AtLeast, 75.2),
            phalanx.less_percent,
            Some(less),
        ),
        Goal::new(
            Target,
            "time beside the optimum",
            Unit::Times,
            (AtMost, 1.02),
            of(times, Way::Phalanx) / optimum,
            Some(1.0),
        ),
        Goal::new(
            Target,
            "graphs: makespan beside the lower bound, median",
            Unit::Times,
            (AtMost, 1.05),
            graphs.median,
            Some(1.0),
        ),
        Goal::new(
            Target,
            "graphs: makespan beside Graham's bound, at most",
            Unit::Times,
            (AtMost, 1.0),
            graphs.beside_graham,
            None,
        ),
    ];
    if let Some(machine) = machine {
        let initializer = machine.row(machine::Way::Initializer);
        let floor = machine.row(machine::Way::Walk);
        goals.extend(
            [
                Goal::new(
                    Target,
                    "overhead of a task, planned and carried out",
                    Unit::Nanoseconds,
                    (AtMost, 1_000.0),
                    initializer.total_ns,
                    Some(floor.total_ns),
                ),
                Goal::new(
                    Target,
                    "memory of a task",
                    Unit::Bytes,
                    (AtMost, 200.0),
                    machine.bytes_per_task,
                    None,
                ),
            ]
            .map(Goal::of_this_machine),
        );
    }
    goals
}

impl Findings for Found {
    fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("numbers and texts have a JSON form");
        format!("{text}\n")
    }

    fn blocks(&self) -> Page {
        Page(page::blocks(self))
    }

    fn missed(&self) -> Vec<String> {
        goal::missed(&self.goals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Palette;

    #[test]
    fn the_page_says_exactly_this() {
        let findings = Initialization.run(Options::default(), &mut |_| {}).unwrap();
        insta::assert_snapshot!("table", findings.to_text(Palette::Plain));
        insta::assert_snapshot!("json", findings.to_json());
        assert_eq!(findings.missed(), [""; 0]);
    }

    #[test]
    fn a_workload_that_cannot_be_shared_out_misses_the_claim_only_where_it_could_be_met() {
        // Two workers halve the time at best.
        let found = measure(Workload { workers: 2, ..Workload::ANCESTOR }, 40, None, &mut |_| {}).unwrap();
        assert_eq!(found.exact[2].duration_us, 14_500_000);
        assert!(!found.missed().iter().any(|missed| missed.starts_with("over one by one")));
        // Of eight workers one is used.
        let lonely = Row {
            way: Way::Phalanx,
            duration_us: 1,
            over_one_by_one: 1.0,
            over_pool: 1.0,
            less_percent: 0.0,
            share_of_bound: 0.1,
        };
        let times = Way::ALL.map(|way| (way, Duration::from_secs(29)));
        let goals = goals(&[lonely], Duration::from_millis(3_625), &times, &found.graphs, None);
        assert_eq!(goal::missed(&goals)[0], "over one by one 1.00x, claimed are 4.04x");
    }

    #[test]
    fn each_step_is_told_of_once_and_in_order_and_no_line_is_too_wide() {
        let mut told = Vec::new();
        let found = measure(Workload::ANCESTOR, 40, Some(3_000), &mut |step| told.push(step)).unwrap();
        assert!(
            told.iter().enumerate().all(|(at, step)| step.done == at && step.of == told.len()),
            "{told:?}"
        );
        let findings: Box<dyn Findings> = Box::new(found);
        let text = findings.to_text(Palette::Plain);
        assert!(text.lines().all(|line| line.chars().count() <= super::super::WIDTH), "{text}");
        assert!(text.contains("memory of a task"), "{text}");
    }
}
