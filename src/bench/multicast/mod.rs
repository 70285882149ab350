//! `multicast`: the claim of 12.8x for multicasts, measured.
//!
//! ```text
//! workload ──> exact (virtual time): each way, both kinds of nodes ──┐
//!         └──> machine (real time, on demand) ───────────────────────┴──> claims ──> page
//! ```
//!
//! The workload is 1,000 multicasts from 10 senders to 5 nodes. What it does not say is what a node does with many
//! messages at once. The ancestor's nodes are entries of a table and handle any number; but they declare a throughput of
//! 200 messages a second. So both is measured. Where nodes are held to what they declare, no router gets more than 200
//! messages a second through them: a claim beyond that is not counted as missed, provided that phalanx reaches the bound.
//!
//! **Invariant.** A claim that could be met and is not is among [`Findings::missed`].

mod ancestor;
mod claims;
mod exact;
mod machine;
mod node;
mod page;
mod workload;

use std::time::Duration;

use phalanx_actors::inbox::Counts;
use serde::Serialize;

use super::{Bench, BenchError, Findings, Options, Page, Step, json, standing::Standing, ways::micros};
use claims::{Claim, Judged, Measure};
use exact::Way;
use machine::{Plan, Size};
use workload::{Nodes, Workload};

/// The version of the form of the JSON.
const SCHEMA: &str = "phalanx-bench-multicast/1.0";

/// What is measured in real time. Twelve messages are what the ancestor's workers have on their way.
const PLANS: [Plan; 2] = [
    Plan { agents: 1_000, messages: 1_000, sample: 240, rounds: (3, 9), budget: Duration::from_secs(6) },
    Plan { agents: 100_000, messages: 1_000, sample: 12, rounds: (3, 9), budget: Duration::from_secs(6) },
];

/// The benchmark of multicasts.
#[derive(Debug)]
pub(super) struct Multicast;

impl Bench for Multicast {
    fn name(&self) -> &'static str {
        "multicast"
    }

    fn about(&self) -> &'static str {
        "1,000 multicasts to 5 nodes: one by one, by the ancestor's loop and by phalanx"
    }

    fn run(&self, options: Options, tell: &mut dyn FnMut(Step)) -> Result<Box<dyn Findings>, BenchError> {
        let plans: &[Plan] = if options.real { &PLANS } else { &[] };
        Ok(Box::new(measure(Workload::ANCESTOR, Claim::ANCESTOR, plans, tell)?))
    }
}

/// All that was found.
#[derive(Debug, Serialize)]
struct Found {
    schema: &'static str,
    bench: &'static str,
    /// Whether no claim is missed.
    met: bool,
    workload: WorkloadSection,
    claim: Claim,
    claims: Vec<Judged>,
    /// In virtual time: the same on every machine.
    exact: Vec<Setting>,
    /// In real time, of the machine that it was measured on.
    machine: Option<Machine>,
}

/// What is sent.
#[derive(Debug, Serialize)]
struct WorkloadSection {
    nodes: u32,
    senders: u32,
    messages: u32,
    deliveries: u64,
    delivery_us: u64,
    node_messages_per_s: u32,
}

/// One kind of nodes.
#[derive(Debug, Serialize)]
struct Setting {
    nodes: Nodes,
    /// How long a node is busy with each message alone.
    busy_us: u64,
    bound_us: u64,
    ways: Vec<Row>,
}

/// What one way took.
#[derive(Debug, Serialize)]
struct Row {
    way: Way,
    duration_us: u64,
    batches: Option<usize>,
    messages_per_s: f64,
    deliveries_per_s: f64,
    over_one_by_one: f64,
    /// Over the faster form of the ancestor's loop.
    over_ancestor: f64,
    /// 1 is all that is possible.
    share_of_bound: f64,
    ledger: Counts,
}

/// The machine, and what it does.
#[derive(Debug, Serialize)]
struct Machine {
    arbiters: usize,
    /// Whether it was built without optimisation, which makes all figures of it useless.
    debug: bool,
    sizes: Vec<Size>,
}

fn measure(
    workload: Workload,
    claim: Claim,
    plans: &[Plan],
    tell: &mut dyn FnMut(Step),
) -> Result<Found, BenchError> {
    let kinds = [Nodes::AtOnce, Nodes::OneAtATime];
    // The start of the agents and one round more than any plan has are steps, too.
    let steps = |plan: &Plan| plan.rounds.1 + 1;
    let of = kinds.len() * Way::ALL.len() + plans.iter().map(steps).sum::<usize>();
    let mut done = 0;
    let mut exact = Vec::new();
    for nodes in kinds {
        let mut times = Vec::new();
        for way in Way::ALL {
            tell(Step { done, of, doing: format!("virtual time, {}", way.name()) });
            times.push((way, exact::measure(workload, nodes, way)?));
            done += 1;
        }
        exact.push(setting(&workload, nodes, &times));
    }
    let mut sizes = Vec::new();
    for plan in plans {
        sizes.push(machine::measure(*plan, |round, doing| tell(Step { done: done + round, of, doing }))?);
        done += steps(plan);
    }
    let machine = (!sizes.is_empty()).then(|| Machine {
        arbiters: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        debug: cfg!(debug_assertions),
        sizes,
    });
    let claims = judge(&claim, &workload, &exact, machine.as_ref());
    Ok(Found {
        schema: SCHEMA,
        bench: Multicast.name(),
        met: claims.iter().all(|judged| judged.claim_is != Standing::Missed),
        workload: WorkloadSection {
            nodes: workload.nodes,
            senders: workload.senders,
            messages: workload.messages,
            deliveries: workload.deliveries(),
            delivery_us: micros(workload.delivery()),
            node_messages_per_s: workload.throughput,
        },
        claim,
        claims,
        exact,
        machine,
    })
}

fn setting(workload: &Workload, nodes: Nodes, times: &[(Way, exact::Taken)]) -> Setting {
    let bound = workload.bound(nodes).as_secs_f64();
    let least = |ways: &[Way]| {
        let of_these = times.iter().filter(|(way, _)| ways.contains(way));
        of_these.map(|(_, taken)| taken.time.as_secs_f64()).fold(f64::INFINITY, f64::min)
    };
    let (one_by_one, ancestor) =
        (least(&[Way::OneByOne]), least(&[Way::AncestorFixed, Way::AncestorAdaptive]));
    let row = |(way, taken): &(Way, exact::Taken)| {
        let seconds = taken.time.as_secs_f64();
        Row {
            way: *way,
            duration_us: micros(taken.time),
            batches: taken.batches,
            messages_per_s: f64::from(workload.messages) / seconds,
            deliveries_per_s: f64::from(workload.messages) * f64::from(workload.nodes) / seconds,
            over_one_by_one: one_by_one / seconds,
            over_ancestor: ancestor / seconds,
            share_of_bound: bound / seconds,
            ledger: taken.ledger,
        }
    };
    Setting {
        nodes,
        busy_us: micros(workload.busy(nodes)),
        bound_us: micros(workload.bound(nodes)),
        ways: times.iter().map(row).collect(),
    }
}

impl Setting {
    fn row(&self, way: Way) -> &Row {
        self.ways.iter().find(|row| row.way == way).expect("all ways are measured")
    }
}

/// Holds every figure against the claim.
fn judge(claim: &Claim, workload: &Workload, exact: &[Setting], machine: Option<&Machine>) -> Vec<Judged> {
    let mut judged = Vec::new();
    for setting in exact {
        let row = setting.row(Way::Phalanx);
        let place = match setting.nodes {
            Nodes::AtOnce => "any number at once",
            Nodes::OneAtATime => "one at a time",
        };
        // Who reaches the bound is faster than phalanx by what phalanx lacks of it.
        let at_bound = |reached: f64| Some(reached / row.share_of_bound);
        let most = f64::from(workload.messages) / Duration::from_micros(setting.bound_us).as_secs_f64();
        judged.extend([
            claim.judge(place, Measure::OverOneByOne, row.over_one_by_one, at_bound(row.over_one_by_one)),
            claim.judge(place, Measure::OverAncestor, row.over_ancestor, at_bound(row.over_ancestor)),
            claim.judge(place, Measure::MessagesPerS, row.messages_per_s, Some(most)),
        ]);
    }
    for size in machine.iter().flat_map(|machine| &machine.sizes) {
        let rate = size.ways.iter().find(|rate| rate.way == Way::Phalanx).expect("phalanx is measured");
        let place = format!("{} agents", crate::report::units::count(size.agents.into()));
        judged.extend([
            claim.judge(&*place, Measure::OverOneByOne, rate.over_one_by_one, None),
            claim.judge(&*place, Measure::OverAncestor, rate.over_ancestor, None),
        ]);
    }
    judged
}

impl Findings for Found {
    fn to_json(&self) -> String {
        json(self)
    }

    fn blocks(&self) -> Page {
        Page(page::blocks(self))
    }

    fn missed(&self) -> Vec<String> {
        let missed = self.claims.iter().filter(|judged| judged.claim_is == Standing::Missed);
        missed.map(page::missed).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::manifest::Palette;

    /// What would be found of a router that lets each sender rest for so long after each message.
    pub(crate) fn with_rest(rest: Duration) -> Box<dyn Findings> {
        let workload = Workload { rest, ..Workload::ANCESTOR };
        Box::new(measure(workload, Claim::ANCESTOR, &[], &mut |_| {}).unwrap())
    }

    #[test]
    fn the_page_says_exactly_this() {
        let findings = Multicast.run(Options::default(), &mut |_| {}).unwrap();
        insta::assert_snapshot!("table", findings.to_text(Palette::Plain));
        insta::assert_snapshot!("json", findings.to_json());
        assert_eq!(findings.missed(), [""; 0]);
    }

    #[test]
    fn a_router_that_is_too_slow_misses_the_claims_that_could_be_met() {
        let findings = with_rest(Duration::from_millis(10));
        assert_eq!(
            findings.missed(),
            [
                "any number at once: over the loop 8.54x, claimed are 12.8x",
                "any number at once: messages a second 917, claimed are 1,280",
            ]
        );
        assert!(findings.to_text(Palette::Plain).starts_with("multicast: the claim of 12.8x is MISSED\n"));
        let json: serde_json::Value = serde_json::from_str(&findings.to_json()).unwrap();
        assert_eq!((&json["met"], &json["claims"][1]["claim_is"]), (&false.into(), &"missed".into()));
    }

    #[test]
    fn no_line_of_the_table_is_too_wide() {
        let size = |agents| Size {
            agents,
            rounds: 9,
            ways: [Way::OneByOne, Way::AncestorAdaptive, Way::Phalanx]
                .map(|way| machine::Rate {
                    way,
                    messages: 1_000,
                    deliveries_per_s: 123_456_789.0,
                    slowest_per_s: 1e5,
                    fastest_per_s: 9.9e11,
                    over_one_by_one: 1234.5,
                    over_ancestor: 12.7,
                })
                .into(),
        };
        let workload = Workload { messages: 100, ..Workload::ANCESTOR };
        let mut found = measure(workload, Claim::ANCESTOR, &[], &mut |_| {}).unwrap();
        found.machine = Some(Machine { arbiters: 128, debug: true, sizes: vec![size(1_000), size(100_000)] });
        found.claims = judge(&found.claim, &workload, &found.exact, found.machine.as_ref());
        let findings: Box<dyn Findings> = Box::new(found);
        let text = findings.to_text(Palette::Plain);
        assert!(text.lines().all(|line| line.chars().count() <= super::super::WIDTH), "{text}");
        assert_eq!(findings.missed().len(), 2, "12.7x with 1,000 and with 100,000 agents");
        insta::assert_snapshot!("machine", text);
    }

    #[test]
    fn each_step_is_told_of_once_and_in_order() {
        let plan = Plan { agents: 3, messages: 4, sample: 2, rounds: (1, 2), budget: Duration::ZERO };
        let workload = Workload { messages: 10, ..Workload::ANCESTOR };
        let mut told = Vec::new();
        measure(workload, Claim::ANCESTOR, &[plan, plan], &mut |step| told.push(step)).unwrap();
        assert!(told.windows(2).all(|pair| pair[0].done <= pair[1].done), "{told:?}");
        assert!(told.iter().all(|step| step.done < step.of && step.of == 14), "{told:?}");
    }
}
