//! `registration`: the claim of 3.2x for registration, measured.
//!
//! ```text
//! workload ──> exact (virtual time): one by one, the ancestor's loop, phalanx ──┐
//!        └──> machine (real time, on demand): a million agents, look-ups, disk ─┴──> goals ──> page
//! ```
//!
//! The workload is 50 agents with 3 capabilities. To validate one takes 0.1 s, to register it 0.2 s and a tenth of that more for
//! each capability; eight are worked on at once. In phalanx both are async rules of the registrar, so that a request is on its
//! way through rules, batches, routes and roster as any other.
//!
//! **Invariant.** A claim that could be met and is not is among [`Findings::missed`].

mod exact;
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
use machine::Machine;

/// The version of the form of the JSON.
const SCHEMA: &str = "phalanx-bench-registration/1.0";

/// The benchmark of registration.
#[derive(Debug)]
pub(super) struct Registration;

impl Bench for Registration {
    fn name(&self) -> &'static str {
        "registration"
    }

    fn about(&self) -> &'static str {
        "50 agents registered, 8 at once: one by one, by the ancestor's loop and by phalanx"
    }

    fn run(&self, options: Options, tell: &mut dyn FnMut(Step)) -> Result<Box<dyn Findings>, BenchError> {
        let size = if cfg!(debug_assertions) { machine::Size::SMALL } else { machine::Size::FULL };
        Ok(Box::new(measure(Workload::ANCESTOR, options.real.then_some(size), tell)?))
    }
}

/// Agents that are to be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Workload {
    agents: u32,
    capabilities: u32,
    workers: usize,
    /// To validate one \[us\].
    validation_us: u64,
    /// To register one that offers nothing \[us\].
    registration_us: u64,
}

impl Workload {
    /// That of the ancestor's benchmark.
    const ANCESTOR: Self =
        Self { agents: 50, capabilities: 3, workers: 8, validation_us: 100_000, registration_us: 200_000 };

    fn validation(self) -> Duration {
        Duration::from_micros(self.validation_us)
    }

    /// To register one: a tenth more for each capability.
    fn registration(self) -> Duration {
        Duration::from_micros(self.registration_us + self.registration_us / 10 * u64::from(self.capabilities))
    }

    /// Nobody is faster: all work shared out evenly.
    fn bound(self) -> Duration {
        let workers = u32::try_from(self.workers).expect("there are few workers");
        (self.validation() + self.registration()) * self.agents / workers
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
    bound_us: u64,
    goals: Vec<Goal>,
    /// In virtual time: the same on every machine.
    exact: Vec<Row<Way>>,
    /// In real time, of the machine that it was measured on.
    machine: Option<Machine>,
}

/// What the ancestor claims.
const CLAIM: Claim = Claim { speed_up: 3.2, less_percent: 68.7 };

fn measure(
    workload: Workload,
    size: Option<machine::Size>,
    tell: &mut dyn FnMut(Step),
) -> Result<Found, BenchError> {
    let of = Way::ALL.len() + size.map_or(0, |_| machine::STEPS);
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
    let machine = size.map(|size| machine::measure(size, &mut step)).transpose()?;
    let exact = ways::rows(&times, workload.bound());
    let goals = goals(&exact, machine.as_ref());
    Ok(Found {
        schema: SCHEMA,
        bench: Registration.name(),
        met: goal::missed(&goals).is_empty(),
        workload,
        bound_us: ways::micros(workload.bound()),
        goals,
        exact,
        machine,
    })
}

fn goals(exact: &[Row<Way>], machine: Option<&Machine>) -> Vec<Goal> {
    use Aim::{AtLeast, AtMost};
    let target = |what, unit, wanted, reached, possible| {
        Goal::new(Origin::Target, what, unit, wanted, reached, possible).of_this_machine()
    };
    let mut goals = Vec::from(ways::claims(exact, CLAIM));
    if let Some(machine) = machine {
        let registered = machine.registering(machine::Way::Phalanx);
        let floor = machine.registering(machine::Way::Map);
        goals.extend([
            target(
                "agents registered, routed, addressable",
                Unit::PerSecond,
                (AtLeast, 500_000.0),
                registered,
                Some(floor),
            ),
            target(
                "look-up of 10 by capability",
                Unit::Nanoseconds,
                (AtMost, 1_000.0),
                machine.lookup.indexed_ns,
                None,
            ),
        ]);
        goals.extend(machine.durable.iter().map(|durable| {
            target("agents registered durably", Unit::PerSecond, (AtLeast, 50_000.0), durable.per_s, None)
        }));
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
        let findings = Registration.run(Options::default(), &mut |_| {}).unwrap();
        insta::assert_snapshot!("table", findings.to_text(Palette::Plain));
        insta::assert_snapshot!("json", findings.to_json());
        assert_eq!(findings.missed(), [""; 0]);
    }

    #[test]
    fn one_worker_misses_the_claim_only_where_it_could_be_met() {
        let found = measure(Workload { workers: 1, ..Workload::ANCESTOR }, None, &mut |_| {}).unwrap();
        assert_eq!(found.missed(), [""; 0], "nobody could be faster");
        let slow =
            ways::rows(&Way::ALL.map(|way| (way, Duration::from_secs(18))), Workload::ANCESTOR.bound());
        assert_eq!(goal::missed(&goals(&slow, None))[0], "over one by one 1.00x, claimed are 3.2x");
    }

    #[test]
    fn each_step_is_told_of_once_and_in_order_and_no_line_is_too_wide() {
        let mut told = Vec::new();
        let size = machine::Size { agents: 2_000, sample: 20, lookups: 10, durable: 200, rounds: 1 };
        let found = measure(Workload::ANCESTOR, Some(size), &mut |step| told.push(step)).unwrap();
        assert!(told.iter().enumerate().all(|(at, step)| step.done == at), "{told:?}");
        assert!(told.iter().all(|step| step.of == told.len()), "{told:?}");
        let findings: Box<dyn Findings> = Box::new(found);
        let text = findings.to_text(Palette::Plain);
        assert!(text.lines().all(|line| line.chars().count() <= super::super::WIDTH), "{text}");
        assert!(text.contains("look-up of 10 by capability"), "{text}");
        assert_eq!(text.contains("durable, one by one"), cfg!(feature = "journal"), "{text}");
    }
}
