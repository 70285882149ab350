//! The same work without simulated latency, in real time: what this machine does.
//!
//! - **One by one**: a `tell` to each agent, and when all have handled the message, the next.
//! - **The ancestor's loop**, adaptive, without its pauses: a worker tells each agent and waits until nothing is pending,
//!   the batch is awaited, then the next one is made. Its twelve workers share the thread that sends, which with nothing to
//!   wait for costs nothing.
//! - **phalanx**: ten senders, each with a publisher, on that thread; then all is awaited.
//!
//! phalanx does all of the workload. With many agents the other two would take minutes, and send the first few of its messages
//! instead: their rate does not depend on how many there are, since each message, or each twelve, is awaited before the next.
//!
//! All go to the same agents, on one arbiter for each processor; the sending thread is one more. Rounds of all ways follow
//! one another by turns, and begin with another way each time.
//!
//! **Invariant.** A round counts only when its ledger says that all was sent and delivered; at the end the agents say the
//! same.

use std::{collections::VecDeque, time::Duration};

use futures_util::future::try_join_all;
use phalanx_actors::{
    agent::AgentId,
    inbox::{AgentRef, Counts, SendOptions},
};
use serde::Serialize;

use super::{
    ancestor::{Ancestor, Batches},
    exact::Way,
    node::{Counter, HowMany, MESSAGING, Note},
    workload::Workload,
};
use crate::{
    bench::BenchError,
    host::{AgentOptions, Gather, Host},
    report::units::count,
};

/// The ways that are measured.
const WAYS: [Way; 3] = [Way::OneByOne, Way::AncestorAdaptive, Way::Phalanx];

/// How long the agents' last answers are waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What is measured, and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// How many agents.
    pub(super) agents: u32,
    /// How many messages phalanx sends to each, in each round.
    pub(super) messages: u32,
    /// How many of them the other ways send.
    pub(super) sample: u32,
    /// How many rounds at least, and at most.
    pub(super) rounds: (usize, usize),
    /// After how long no further round is begun.
    pub(super) budget: Duration,
}

impl Plan {
    /// How many messages go to each agent, in each round of this way.
    fn messages_of(&self, way: Way) -> u32 {
        if way == Way::Phalanx { self.messages } else { self.sample }
    }
}

/// What one way reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Rate {
    /// Which way.
    pub(super) way: Way,
    /// How many messages went to each agent, in each round.
    pub(super) messages: u32,
    /// Deliveries a second, in the median round.
    pub(super) deliveries_per_s: f64,
    /// The slowest round's.
    pub(super) slowest_per_s: f64,
    /// The fastest round's.
    pub(super) fastest_per_s: f64,
    /// How many times as fast as one by one, in the median of the rounds.
    pub(super) over_one_by_one: f64,
    /// How many times as fast as the ancestor's loop, in the median of the rounds.
    pub(super) over_ancestor: f64,
}

/// What all ways reached with so many agents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Size {
    /// How many agents.
    pub(super) agents: u32,
    /// How many rounds there were.
    pub(super) rounds: usize,
    /// What each way reached.
    pub(super) ways: Vec<Rate>,
}

/// Measures.
pub(super) fn measure(plan: Plan, mut tell: impl FnMut(usize, String)) -> Result<Size, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    actix_rt::System::with_tokio_rt(move || runtime).block_on(async move {
        let agents = count(plan.agents.into());
        tell(0, format!("{agents} agents start"));
        let host = Host::builder().start().await?;
        let ids = (0..plan.agents).map(|n| AgentId::new(format!("node/{n}"))).collect::<Result<_, _>>()?;
        let nodes = host.spawn_many(ids, AgentOptions::default(), |_| Counter::default()).await?;
        let bench = Bench { host: &host, nodes: &nodes, plan };
        // Inboxes and logs are as large as they get.
        bench.time(Way::Phalanx).await?;
        let began = host.now();
        let (least, most) = plan.rounds;
        let mut times: Vec<[Duration; 3]> = Vec::new();
        while times.len() < least || (times.len() < most && host.now().since(began) < plan.budget) {
            tell(times.len() + 1, format!("{agents} agents, round {} of {most} at most", times.len() + 1));
            let mut round = [Duration::ZERO; 3];
            for turn in 0..WAYS.len() {
                let at = (times.len() + turn) % WAYS.len();
                round[at] = bench.time(WAYS[at]).await?;
            }
            times.push(round);
        }
        bench.verify(times.len()).await?;
        host.shutdown(Duration::from_secs(5)).await;
        Ok(Size { agents: plan.agents, rounds: times.len(), ways: rates(plan, &times) })
    })
}

struct Bench<'a> {
    host: &'a Host,
    nodes: &'a [AgentRef<Counter>],
    plan: Plan,
}

impl Bench<'_> {
    /// What is sent in one way.
    fn workload(&self, way: Way) -> Workload {
        Workload { nodes: self.plan.agents, messages: self.plan.messages_of(way), ..Workload::ANCESTOR }
    }

    /// Sends all messages in one way, and waits until all have been handled.
    async fn time(&self, way: Way) -> Result<Duration, BenchError> {
        let before = self.host.ledger();
        let began = self.host.now();
        match way {
            Way::OneByOne => {
                for (sender, number) in self.workload(way).turns() {
                    for node in self.nodes {
                        // What is refused is missing in the ledger.
                        let _ = node.tell(Note { sender, number });
                    }
                    self.host.idle().await;
                }
            }
            Way::AncestorFixed => self.by_loop(way, Batches::Fixed).await,
            Way::AncestorAdaptive => self.by_loop(way, Batches::Adaptive).await,
            Way::Phalanx => self.by_phalanx().await?,
        }
        self.host.idle().await;
        let time = self.host.now().since(began);
        let (ledger, expected) = (since(before, self.host.ledger()), self.workload(way).deliveries());
        if ledger == (Counts { sent: expected, delivered: expected, ..Counts::default() }) {
            Ok(time.max(Duration::from_micros(1)))
        } else {
            Err(BenchError::Ledger { way: way.name().to_owned(), expected, ledger })
        }
    }

    async fn by_loop(&self, way: Way, batches: Batches) {
        let notes = self.workload(way).turns().map(|(sender, number)| Note { sender, number });
        let ancestor = Ancestor { pause: Duration::ZERO, ..Ancestor::new(batches) };
        let deliver = |note| async move {
            for node in self.nodes {
                // With twelve messages on their way to all there may be no room; what is refused is missing in the ledger.
                let _ = node.tell_waiting(note, SendOptions::new()).await;
            }
            self.host.idle().await;
        };
        ancestor.run(notes.collect::<VecDeque<_>>(), deliver).await;
    }

    async fn by_phalanx(&self) -> Result<(), BenchError> {
        let workload = self.workload(Way::Phalanx);
        let senders = (0..workload.senders).map(|sender| async move {
            let publisher = self.host.capability::<Note>(MESSAGING)?;
            for (_, number) in workload.turns().filter(|(of, _)| *of == sender) {
                let sent = publisher.publish_waiting(Note { sender, number }, SendOptions::new()).await;
                sent.map_err(|error| BenchError::Refused {
                    way: Way::Phalanx.name().to_owned(),
                    why: error.to_string(),
                })?;
            }
            Ok(())
        });
        try_join_all(senders).await.map(drop)
    }

    /// Whether the agents have handled all messages of so many rounds, and of phalanx once more.
    async fn verify(&self, rounds: usize) -> Result<(), BenchError> {
        let answers = self.host.ask_all(MESSAGING, HowMany).gather(Gather::All).within(ANSWER_WITHIN).await;
        let answers = answers
            .map_err(|error| BenchError::Refused { way: "counting".to_owned(), why: error.to_string() })?;
        let handled = answers.into_answered().map(|(_, handled)| handled.messages).sum();
        let deliveries = |way: &Way| self.workload(*way).deliveries();
        let expected = deliveries(&Way::Phalanx)
            + WAYS.iter().map(deliveries).sum::<u64>() * u64::try_from(rounds).expect("a count fits");
        if handled == expected {
            Ok(())
        } else {
            Err(BenchError::Handled { way: "all rounds".to_owned(), expected, handled, disordered: 0 })
        }
    }
}

/// What a ledger counted in the meantime.
fn since(before: Counts, after: Counts) -> Counts {
    Counts {
        sent: after.sent - before.sent,
        delivered: after.delivered - before.delivered,
        rejected: after.rejected - before.rejected,
        dropped: after.dropped - before.dropped,
        expired: after.expired - before.expired,
        failed: after.failed - before.failed,
        pending: after.pending,
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    if figures.len().is_multiple_of(2) {
        f64::midpoint(figures[half - 1], figures[half])
    } else {
        figures[half]
    }
}

/// The rates of all ways, from the time that each took in each round.
fn rates(plan: Plan, times: &[[Duration; 3]]) -> Vec<Rate> {
    let per_s = |way: usize| {
        let deliveries = f64::from(plan.agents) * f64::from(plan.messages_of(WAYS[way]));
        times.iter().map(move |round| deliveries / round[way].as_secs_f64())
    };
    let over = |other: usize, way: usize| {
        median(per_s(other).zip(per_s(way)).map(|(other, own)| own / other).collect())
    };
    let rate = |way: usize| Rate {
        way: WAYS[way],
        messages: plan.messages_of(WAYS[way]),
        deliveries_per_s: median(per_s(way).collect()),
        slowest_per_s: per_s(way).fold(f64::INFINITY, f64::min),
        fastest_per_s: per_s(way).fold(0.0, f64::max),
        over_one_by_one: over(0, way),
        over_ancestor: over(1, way),
    };
    (0..WAYS.len()).map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_medians_of_rounds_and_so_are_their_ratios() {
        let plan = Plan { agents: 10, messages: 100, sample: 50, rounds: (3, 3), budget: Duration::ZERO };
        let ms = |round: [u64; 3]| round.map(Duration::from_millis);
        let rates = rates(plan, &[ms([50, 25, 10]), ms([200, 25, 10]), ms([100, 20, 5])]);
        let phalanx = &rates[2];
        let figures = [
            (phalanx.deliveries_per_s, 100_000.0),
            (phalanx.slowest_per_s, 100_000.0),
            (phalanx.fastest_per_s, 200_000.0),
            (phalanx.over_one_by_one, 40.0),
            (phalanx.over_ancestor, 5.0),
            (rates[0].deliveries_per_s, 5_000.0),
            (rates[1].over_one_by_one, 5.0),
            (median(vec![4.0, 1.0]), 2.5),
        ];
        for (at, (found, expected)) in figures.into_iter().enumerate() {
            assert!((found - expected).abs() < 1e-6 * expected, "{at}: {found} and not {expected}");
        }
    }

    #[test]
    fn a_few_agents_are_measured_in_all_ways_and_all_is_accounted_for() {
        let plan = Plan { agents: 20, messages: 50, sample: 30, rounds: (2, 4), budget: Duration::ZERO };
        let mut told = Vec::new();
        let size = measure(plan, |round, doing| told.push((round, doing))).unwrap();
        assert_eq!((size.rounds, size.ways.len()), (2, 3));
        assert!(size.ways.iter().all(|rate| rate.slowest_per_s <= rate.deliveries_per_s));
        let rounds: Vec<usize> = told.iter().map(|(round, _)| *round).collect();
        assert_eq!(rounds, [0, 1, 2], "{told:?}");
    }
}
