//! [`Links`]: which nodes of a plan come before each node and which after it.
//!
//! ```text
//! before:  starts [0, 0, 1, 3]   nodes [0 | 0 1]      node 1 comes after node 0, node 2 after nodes 0 and 1
//! after:   starts [0, 2, 3, 3]   nodes [1 2 | 2]
//! ```
//!
//! A plan of a million tasks is walked many times, node by node in about the order of the list; the neighbours of a node lie
//! side by side here, and those of the next node behind them. Both lists take 8 bytes a node and 8 bytes a link.
//!
//! **Invariant.** A link is in both lists, as often as it was made. What comes before a node stands in the order in which it
//! was said, what comes after it in the order of the nodes.

use petgraph::graph::NodeIndex;

use super::slots::number;
use crate::support::Dag;

/// The neighbours of each node, side by side.
#[derive(Debug, Clone)]
pub(super) struct Neighbours {
    /// Where those of each node begin, and where the last ones end.
    starts: Vec<u32>,
    nodes: Vec<u32>,
}

impl Neighbours {
    /// Of no node yet.
    pub(super) fn with_capacity(nodes: usize, links: usize) -> Self {
        let mut starts = Vec::with_capacity(nodes + 1);
        starts.push(0);
        Self { starts, nodes: Vec::with_capacity(links) }
    }

    /// Adds a neighbour of the next node.
    pub(super) fn link(&mut self, node: usize) {
        self.nodes.push(number(node));
    }

    /// Ends the neighbours of the next node.
    pub(super) fn end_node(&mut self) {
        self.starts.push(number(self.nodes.len()));
    }

    pub(super) fn of(&self, node: usize) -> &[u32] {
        &self.nodes[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    pub(super) const fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The same links, seen from the other end.
    fn reversed(&self) -> Self {
        let mut starts = vec![0_u32; self.starts.len()];
        for &node in &self.nodes {
            starts[node as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut nodes = vec![0; self.nodes.len()];
        for at in 0..self.len() {
            for &node in self.of(at) {
                let place = &mut next[node as usize];
                nodes[*place as usize] = number(at);
                *place += 1;
            }
        }
        Self { starts, nodes }
    }

    fn bytes(&self) -> usize {
        (self.starts.capacity() + self.nodes.capacity()) * size_of::<u32>()
    }
}

/// Which nodes come before each node, and which after it.
#[derive(Debug, Clone)]
pub(super) struct Links {
    before: Neighbours,
    after: Neighbours,
}

impl Links {
    pub(super) fn new(before: Neighbours) -> Self {
        Self { after: before.reversed(), before }
    }

    pub(super) const fn nodes(&self) -> usize {
        self.before.len()
    }

    pub(super) fn before(&self, node: usize) -> &[u32] {
        self.before.of(node)
    }

    pub(super) fn after(&self, node: usize) -> &[u32] {
        self.after.of(node)
    }

    /// As many nodes as can be ordered, each after all that come before it: as they are numbered, where that is such an order.
    pub(super) fn order(&self) -> Vec<u32> {
        let nodes = 0..number(self.nodes());
        if nodes.clone().all(|at| self.before(at as usize).iter().all(|before| *before < at)) {
            return nodes.collect();
        }
        let mut open: Vec<u32> = nodes.clone().map(|at| number(self.before(at as usize).len())).collect();
        let mut order: Vec<u32> = nodes.filter(|at| open[*at as usize] == 0).collect();
        let mut next = 0;
        while let Some(&at) = order.get(next) {
            for &after in self.after(at as usize) {
                open[after as usize] -= 1;
                if open[after as usize] == 0 {
                    order.push(after);
                }
            }
            next += 1;
        }
        order
    }

    /// The same as a graph.
    pub(super) fn graph(&self) -> Dag {
        let mut graph = Dag::with_capacity(self.nodes(), self.before.nodes.len());
        for _ in 0..self.nodes() {
            graph.add_node(());
        }
        for at in 0..self.nodes() {
            for &before in self.before(at) {
                graph.add_edge(NodeIndex::new(before as usize), NodeIndex::new(at), ());
            }
        }
        graph
    }

    /// How much memory they take \[bytes\].
    pub(super) fn bytes(&self) -> usize {
        self.before.bytes() + self.after.bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn links(before: &[Vec<usize>]) -> Links {
        let mut neighbours = Neighbours::with_capacity(before.len(), 0);
        for before in before {
            for node in before {
                neighbours.link(*node);
            }
            neighbours.end_node();
        }
        Links::new(neighbours)
    }

    proptest! {
        #[test]
        fn links_are_seen_from_both_ends_and_order_what_can_be_ordered(
            before in (1_usize..30).prop_flat_map(|nodes| {
                prop::collection::vec(prop::collection::vec(0..nodes, 0..4), nodes)
            }),
        ) {
            let links = links(&before);
            let mut after = vec![Vec::new(); before.len()];
            for (at, said) in before.iter().enumerate() {
                let found: Vec<usize> = links.before(at).iter().map(|node| *node as usize).collect();
                prop_assert_eq!(said, &found);
                for on in said {
                    after[*on].push(number(at));
                }
            }
            for (at, after) in after.iter().enumerate() {
                prop_assert_eq!(links.after(at), after);
            }
            let order = links.order();
            let mut place = vec![usize::MAX; before.len()];
            for (at, node) in order.iter().enumerate() {
                prop_assert_eq!(std::mem::replace(&mut place[*node as usize], at), usize::MAX, "it comes once");
            }
            for node in &order {
                let node = *node as usize;
                prop_assert!(before[node].iter().all(|on| place[*on] < place[node]));
            }
            let is_cyclic = petgraph::algo::is_cyclic_directed(&links.graph());
            prop_assert_eq!(order.len() < before.len(), is_cyclic);
        }
    }
}
