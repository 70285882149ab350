//! [`Parked`]: what waits outside of a full inbox, a queue for each lane. Pure.
//!
//! **Invariant.** Of one lane, what was parked first leaves first. Every step takes constant time, and an inbox outside of
//! which nothing waits has no queues.

use std::collections::VecDeque;

use crate::agent::Lane;

/// What waits outside, lane by lane.
pub(crate) struct Parked<E> {
    queues: Option<Box<[VecDeque<E>; Lane::ALL.len()]>>,
}

impl<E> Default for Parked<E> {
    fn default() -> Self {
        Self { queues: None }
    }
}

impl<E> Parked<E> {
    /// Whether anything of this lane waits.
    #[inline]
    pub(crate) fn has(&self, lane: Lane) -> bool {
        self.queues.as_ref().is_some_and(|queues| !queues[lane as usize].is_empty())
    }

    /// Whether nothing waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_none()
    }

    /// Appends to a lane.
    pub(crate) fn push(&mut self, lane: Lane, entry: E) {
        let queues = self.queues.get_or_insert_with(|| Box::new(std::array::from_fn(|_| VecDeque::new())));
        queues[lane as usize].push_back(entry);
    }

    /// What is next of a lane.
    pub(crate) fn front_mut(&mut self, lane: Lane) -> Option<&mut E> {
        self.queues.as_mut()?[lane as usize].front_mut()
    }

    /// Takes what is next of a lane.
    pub(crate) fn pop(&mut self, lane: Lane) -> Option<E> {
        let queues = self.queues.as_mut()?;
        let entry = queues[lane as usize].pop_front();
        if queues.iter().all(VecDeque::is_empty) {
            self.queues = None;
        }
        entry
    }

    /// Takes all, the most urgent lane first.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Lane, E)> + use<E> {
        let queues = self.queues.take().map_or_else(Vec::new, |queues| Vec::from(*queues));
        Lane::ALL
            .into_iter()
            .zip(queues)
            .flat_map(|(lane, queue)| queue.into_iter().map(move |entry| (lane, entry)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Push(usize),
        Pop(usize),
        Drain,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            20 => (0..6_usize).prop_map(Op::Push),
            20 => (0..6_usize).prop_map(Op::Pop),
            1 => Just(Op::Drain),
        ]
    }

    proptest! {
        #[test]
        fn what_is_parked_leaves_as_from_one_sorted_list(ops in proptest::collection::vec(op(), 1..200)) {
            let mut parked = Parked::default();
            let mut model: Vec<(Lane, usize)> = Vec::new();
            for (number, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Push(lane) => {
                        let lane = Lane::ALL[lane];
                        parked.push(lane, number);
                        model.insert(model.partition_point(|(before, _)| *before <= lane), (lane, number));
                    }
                    Op::Pop(lane) => {
                        let lane = Lane::ALL[lane];
                        let at = model.iter().position(|(parked, _)| *parked == lane);
                        let expected = at.map(|at| model.remove(at).1);
                        prop_assert_eq!(parked.front_mut(lane).copied(), expected);
                        prop_assert_eq!(parked.pop(lane), expected);
                    }
                    Op::Drain => {
                        prop_assert_eq!(parked.drain().collect::<Vec<_>>(), std::mem::take(&mut model));
                    }
                }
                for lane in Lane::ALL {
                    prop_assert_eq!(parked.has(lane), model.iter().any(|(parked, _)| *parked == lane));
                }
                prop_assert_eq!(parked.is_empty(), model.is_empty());
            }
        }
    }
}
