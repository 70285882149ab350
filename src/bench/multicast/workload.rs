//! [`Workload`]: what is sent, how long it takes, and what no router can beat.

use std::time::Duration;

use serde::Serialize;

/// Multicasts from a few senders to all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Workload {
    /// How many nodes offer the capability.
    pub(super) nodes: u32,
    /// How many senders take turns.
    pub(super) senders: u32,
    /// How many messages they send, all together.
    pub(super) messages: u32,
    /// How long a delivery takes, however many nodes it goes to.
    pub(super) base: Duration,
    /// How much longer it takes for each node.
    pub(super) per_route: Duration,
    /// How many messages a node declares to handle \[1/s\].
    pub(super) throughput: u32,
    /// How long each sender rests after each message: not at all, but in tests of what a slow router would be judged.
    pub(super) rest: Duration,
}

/// How many messages a node works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Nodes {
    /// Any number at once: a delivery is a wait.
    AtOnce,
    /// One at a time, each for as long as the declared throughput says, after the delivery.
    OneAtATime,
}

impl Workload {
    /// That of the ancestor's benchmark.
    pub(super) const ANCESTOR: Self = Self {
        nodes: 5,
        senders: 10,
        messages: 1_000,
        base: Duration::from_millis(50),
        per_route: Duration::from_millis(10),
        throughput: 200,
        rest: Duration::ZERO,
    };

    /// How long a delivery takes.
    pub(super) fn delivery(&self) -> Duration {
        self.base + self.per_route * self.nodes
    }

    /// How long a node is busy with each message alone.
    pub(super) fn busy(&self, nodes: Nodes) -> Duration {
        match nodes {
            Nodes::AtOnce => Duration::ZERO,
            Nodes::OneAtATime => Duration::from_secs(1) / self.throughput,
        }
    }

    /// The time in which no router can do it: with nodes that handle any number at once, that of one delivery; with nodes
    /// that handle one at a time, that of one delivery and then all messages, since each goes to each node.
    pub(super) fn bound(&self, nodes: Nodes) -> Duration {
        self.delivery() + self.busy(nodes) * self.messages
    }

    /// How many deliveries it is.
    pub(super) fn deliveries(&self) -> u64 {
        u64::from(self.messages) * u64::from(self.nodes)
    }

    /// Who sends which message, in the order in which they are sent when the senders take turns: sender and the number
    /// among its own.
    pub(super) fn turns(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        let senders = self.senders;
        (0..self.messages).map(move |n| (n % senders, n / senders))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_takes_longer_for_each_route_and_a_node_as_long_as_it_declares() {
        let ms = Duration::from_millis;
        let ancestor = Workload::ANCESTOR;
        assert_eq!(ancestor.delivery(), ms(100));
        assert_eq!((ancestor.busy(Nodes::AtOnce), ancestor.busy(Nodes::OneAtATime)), (ms(0), ms(5)));
        let lone = Workload { nodes: 1, throughput: 50, ..ancestor };
        assert_eq!((lone.delivery(), lone.busy(Nodes::OneAtATime)), (ms(60), ms(20)));
    }

    #[test]
    fn the_bound_is_one_delivery_and_where_nodes_take_turns_all_messages_after_it() {
        let ms = Duration::from_millis;
        let ancestor = Workload::ANCESTOR;
        assert_eq!(
            [Nodes::AtOnce, Nodes::OneAtATime].map(|nodes| ancestor.bound(nodes)),
            [ms(100), ms(5_100)]
        );
        let small = Workload { nodes: 2, messages: 3, throughput: 100, ..ancestor };
        assert_eq!([Nodes::AtOnce, Nodes::OneAtATime].map(|nodes| small.bound(nodes)), [ms(70), ms(100)]);
        assert_eq!((ancestor.deliveries(), small.deliveries()), (5_000, 6));
    }

    #[test]
    fn senders_take_turns_and_number_their_own_messages() {
        let small = Workload { senders: 2, messages: 5, ..Workload::ANCESTOR };
        assert_eq!(small.turns().collect::<Vec<_>>(), [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]);
    }
}
