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
    Bench, BenchError, Findings, Options, Step,
    goal::{self, Aim, Goal, Judged, Origin, Unit},
    ways::{self, Claim, Row, Way as _},
};
use crate::report::outline::Block;
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
    exact: Vec<Row<Way>>,
    graphs: Graphs,
    /// In real time, of the machine that it was measured on.
    machine: Option<Machine>,
}

/// What the ancestor claims.
const CLAIM: Claim = Claim { speed_up: 4.04, less_percent: 75.2 };

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
    let exact = ways::rows(&times, bound);
    let goals = goals(&exact, &times, &graphs, machine.as_ref());
    Ok(Found {
        schema: SCHEMA,
        bench: Initialization.name(),
        met: goal::missed(&goals).is_empty(),
        workload,
        bound_us: ways::micros(bound),
        goals,
        exact,
        graphs,
        machine,
    })
}

fn goals(
    exact: &[Row<Way>],
    times: &[(Way, Duration)],
    graphs: &Graphs,
    machine: Option<&Machine>,
) -> Vec<Goal> {
    let at_most = |what, unit, wanted, reached, possible| {
        Goal::new(Origin::Target, what, unit, (Aim::AtMost, wanted), reached, possible)
    };
    let phalanx = times.iter().find(|(way, _)| *way == Way::Phalanx).expect("phalanx is measured").1;
    let beside_optimum = phalanx.as_secs_f64() / exact::OPTIMUM.as_secs_f64();
    let mut goals = Vec::from(ways::claims(exact, CLAIM));
    goals.extend([
        at_most("time beside the optimum", Unit::Times, 1.02, beside_optimum, Some(1.0)),
        at_most(
            "graphs: makespan beside the lower bound, median",
            Unit::Times,
            1.05,
            graphs.median,
            Some(1.0),
        ),
        at_most(
            "graphs: makespan beside Graham's bound, at most",
            Unit::Times,
            1.0,
            graphs.beside_graham,
            None,
        ),
    ]);
    if let Some(machine) = machine {
        let initializer = machine.row(machine::Way::Initializer);
        let floor = machine.row(machine::Way::Walk);
        let overhead = "overhead of a task, planned and carried out";
        let measured = [
            at_most(overhead, Unit::Nanoseconds, 1_000.0, initializer.total_ns, Some(floor.total_ns)),
            at_most("memory of a task", Unit::Bytes, 200.0, machine.bytes_per_task, None),
        ];
        goals.extend(measured.map(Goal::of_this_machine));
    }
    goals
}

impl Judged for Found {
    fn goals(&self) -> &[Goal] {
        &self.goals
    }

    fn page(&self) -> Vec<Block> {
        page::blocks(self)
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
        assert_eq!(found.exact.len(), 3);
        assert!(!found.missed().iter().any(|missed| missed.starts_with("over one by one")));
        // Of eight workers one is used.
        let slow = Way::ALL.map(|way| (way, Duration::from_secs(29)));
        let rows = ways::rows(&slow, Duration::from_millis(3_625));
        let missed = goal::missed(&goals(&rows, &slow, &found.graphs, None));
        assert_eq!(missed[0], "over one by one 1.00x, claimed are 4.04x");
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
