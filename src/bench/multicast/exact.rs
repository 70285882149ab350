//! The workload in virtual time: one by one, by the ancestor's loop, and by phalanx. Exact, on every machine.
//!
//! ```text
//! one by one   publish ──> wait until all nodes have handled it ──> publish the next
//! the loop     Ancestor ──worker──> asks all nodes, waits for the last answer
//! phalanx      10 senders, each with a Publisher of its own ──> all nodes ──> wait for the last
//! ```
//!
//! All go to the same agents on a host of their own. A node takes the whole time of the delivery for itself, 50 ms and 10 ms
//! for each of the routes of the message, as the ancestor's worker does for all nodes together; so no way gets its messages
//! to a node sooner than another. The clock is the host's, from before the first message is sent until nothing is pending.
//!
//! **Invariant.** A time is given only when the ledger says that all was sent and delivered, and the agents say the same.

use std::{collections::VecDeque, time::Duration};

use futures_util::future::{join_all, try_join_all};
use phalanx_actors::{
    agent::AgentId,
    inbox::{AgentRef, Counts, SendOptions},
    router::Publisher,
};
use serde::Serialize;

use super::{
    ancestor::{Ancestor, Batches},
    node::{Handled, HowMany, MESSAGING, Node, Note},
    workload::{Nodes, Workload},
};
use crate::{
    bench::BenchError,
    host::{AgentOptions, Host, simulate},
};

/// All randomness of the simulation comes from it; the workload uses none.
const SEED: u64 = 7;

/// How the workload is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// Each message is awaited before the next is sent.
    OneByOne,
    /// By the ancestor's loop with batches of one size.
    AncestorFixed,
    /// By the ancestor's loop with adaptive batches.
    AncestorAdaptive,
    /// By phalanx.
    Phalanx,
}

impl Way {
    /// All of them, in the order of the page.
    pub(super) const ALL: [Way; 4] = [Way::OneByOne, Way::AncestorFixed, Way::AncestorAdaptive, Way::Phalanx];

    /// As the page calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OneByOne => "one by one",
            Self::AncestorFixed => "the loop, fixed",
            Self::AncestorAdaptive => "the loop, adaptive",
            Self::Phalanx => "phalanx",
        }
    }
}

/// What one way took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// How long, on the host's clock.
    pub(super) time: Duration,
    /// In how many batches, where there are any.
    pub(super) batches: Option<usize>,
    /// What became of the messages, one for each node.
    pub(super) ledger: Counts,
}

/// Sends the workload in one way, in virtual time.
pub(super) fn measure(workload: Workload, nodes: Nodes, way: Way) -> Result<Taken, BenchError> {
    simulate(SEED, |host| async move {
        let ids = (0..workload.nodes).map(|n| AgentId::new(format!("node/{n}"))).collect::<Result<_, _>>()?;
        let agents =
            host.spawn_many(ids, AgentOptions::default(), move |_| Node::new(&workload, nodes)).await?;
        let began = host.now();
        let mut batches = None;
        match way {
            Way::OneByOne => one_by_one(&host, &workload).await?,
            Way::AncestorFixed => batches = Some(by_loop(&agents, &workload, Batches::Fixed).await?),
            Way::AncestorAdaptive => batches = Some(by_loop(&agents, &workload, Batches::Adaptive).await?),
            Way::Phalanx => by_phalanx(&host, &workload).await?,
        }
        host.idle().await;
        let taken = Taken { time: host.now().since(began), batches, ledger: host.ledger() };
        verify(&agents, &workload, way, taken.ledger).await?;
        host.shutdown(Duration::from_secs(1)).await;
        Ok(taken)
    })
}

/// Whether all was delivered, and handled once each and in order.
async fn verify(
    agents: &[AgentRef<Node>],
    workload: &Workload,
    way: Way,
    ledger: Counts,
) -> Result<(), BenchError> {
    let (expected, way) = (workload.deliveries(), way.name().to_owned());
    if ledger != (Counts { sent: expected, delivered: expected, ..Counts::default() }) {
        return Err(BenchError::Ledger { way, expected, ledger });
    }
    let (mut handled, mut disordered) = (0, 0);
    for agent in agents {
        let of_one: Handled = agent.ask(HowMany).await?;
        handled += of_one.messages;
        disordered += of_one.disordered;
    }
    if (handled, disordered) == (expected, 0) {
        Ok(())
    } else {
        Err(BenchError::Handled { way, expected, handled, disordered })
    }
}

async fn publish(publisher: &Publisher<Note>, note: Note, way: Way) -> Result<(), BenchError> {
    let sent = publisher.publish_waiting(note, SendOptions::new()).await;
    let refused = |why: String| BenchError::Refused { way: way.name().to_owned(), why };
    sent.map(drop).map_err(|error| refused(error.to_string()))
}

async fn one_by_one(host: &Host, workload: &Workload) -> Result<(), BenchError> {
    let publisher = host.capability::<Note>(MESSAGING)?;
    for (sender, number) in workload.turns() {
        publish(&publisher, Note { sender, number }, Way::OneByOne).await?;
        host.idle().await;
    }
    Ok(())
}

/// Answers in how many batches.
async fn by_loop(
    agents: &[AgentRef<Node>],
    workload: &Workload,
    batches: Batches,
) -> Result<usize, BenchError> {
    let queue: VecDeque<Note> = workload.turns().map(|(sender, number)| Note { sender, number }).collect();
    // What is not answered is missing in the ledger, which is looked at in the end.
    let deliver = |note: Note| async move {
        join_all(agents.iter().map(|agent| agent.ask(note).into_future())).await;
    };
    Ok(Ancestor::new(batches).run(queue, deliver).await.len())
}

async fn by_phalanx(host: &Host, workload: &Workload) -> Result<(), BenchError> {
    let senders = (0..workload.senders).map(|sender| async move {
        let publisher = host.capability::<Note>(MESSAGING)?;
        for (_, number) in workload.turns().filter(|(of, _)| *of == sender) {
            publish(&publisher, Note { sender, number }, Way::Phalanx).await?;
            if !workload.rest.is_zero() {
                host.sleep(workload.rest).await;
            }
        }
        Ok(())
    });
    try_join_all(senders).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn time(workload: Workload, nodes: Nodes, way: Way) -> Duration {
        measure(workload, nodes, way).unwrap().time
    }

    #[test]
    fn each_way_takes_exactly_as_long_as_its_rules_say() {
        let ancestor = Workload::ANCESTOR;
        // 1,000 deliveries of 100 ms; with busy nodes of 105.
        assert_eq!(time(ancestor, Nodes::AtOnce, Way::OneByOne), 100_000 * MS);
        assert_eq!(time(ancestor, Nodes::OneAtATime, Way::OneByOne), 105_000 * MS);
        // 20 batches of 50 in 5 rounds of 12 workers, 19 pauses.
        assert_eq!(time(ancestor, Nodes::AtOnce, Way::AncestorFixed), (20 * 500 + 19 * 10) * MS);
        // 9 batches of 100 in 9 rounds, one of 50 in 5, two of 25 in 3; 11 pauses.
        assert_eq!(
            time(ancestor, Nodes::AtOnce, Way::AncestorAdaptive),
            (9 * 900 + 500 + 2 * 300 + 11 * 10) * MS
        );
        for nodes in [Nodes::AtOnce, Nodes::OneAtATime] {
            assert_eq!(time(ancestor, nodes, Way::Phalanx), ancestor.bound(nodes));
        }
    }

    #[test]
    fn busy_nodes_make_workers_of_the_loop_wait_for_each_other() {
        // 4 messages by 12 workers to nodes that take 10 ms each: all arrive at 70 ms, and are done at 80, 90, 100, 110.
        let small = Workload { nodes: 2, messages: 4, throughput: 100, ..Workload::ANCESTOR };
        assert_eq!(time(small, Nodes::OneAtATime, Way::AncestorFixed), 110 * MS);
        assert_eq!(time(small, Nodes::AtOnce, Way::AncestorFixed), 70 * MS);
    }

    #[test]
    fn senders_that_rest_take_longer_than_the_bound() {
        let slow = Workload { rest: 10 * MS, ..Workload::ANCESTOR };
        // The last of 100 messages of each sender leaves after 99 rests; the last rest runs while it is delivered.
        assert_eq!(time(slow, Nodes::AtOnce, Way::Phalanx), (99 * 10 + 100) * MS);
    }

    #[test]
    fn a_ledger_that_lacks_a_delivery_is_no_result() {
        let lost = Workload { nodes: 1, messages: 2, ..Workload::ANCESTOR };
        let more = Workload { messages: 3, ..lost };
        let ended = simulate(SEED, |host| async move {
            let node = host.spawn("node", move || Node::new(&lost, Nodes::AtOnce)).await?;
            by_phalanx(&host, &lost).await?;
            host.idle().await;
            let agents = [node];
            let ledger = host.ledger();
            verify(&agents, &lost, Way::Phalanx, ledger).await?;
            let missing = verify(&agents, &more, Way::Phalanx, ledger).await.unwrap_err().to_string();
            assert!(
                missing.starts_with("phalanx: of 3 deliveries 2 were sent, 2 delivered, 0 lost"),
                "{missing}"
            );
            let claimed = Counts { sent: 3, delivered: 3, ..Counts::default() };
            verify(&agents, &more, Way::Phalanx, claimed).await
        });
        assert_eq!(
            ended.unwrap_err().to_string(),
            "phalanx: the agents handled 2 of 3 deliveries, 0 of them out of order; the ledger says that all were delivered"
        );
    }
}
