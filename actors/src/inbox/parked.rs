//! [`Parked`]: what waits outside of a full inbox, a queue for each lane. Pure.
//!
//! Lanes are let in by urgency, but none starves: whenever [`STARVATION_BOUND`] messages of higher lanes were let in while a
//! lane had something waiting, that lane has a turn. Control has places of its own and waits for nobody's turn.
//!
//! **Invariant.** Of one lane, what was parked first leaves first. Every step takes constant time, and an inbox outside of
//! which nothing waits has no queues.

use std::collections::VecDeque;

use super::lanes::STARVATION_BOUND;
use crate::agent::Lane;

const LANES: usize = Lane::ALL.len();

struct Queues<E> {
    lanes: [VecDeque<E>; LANES],
    /// How many messages of higher lanes were let in while a lane waited.
    passed: [u32; LANES],
}

/// What waits outside, lane by lane.
pub(crate) struct Parked<E> {
    queues: Option<Box<Queues<E>>>,
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
        self.queues.as_ref().is_some_and(|queues| !queues.lanes[lane as usize].is_empty())
    }

    /// Whether nothing waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_none()
    }

    /// Appends to a lane.
    pub(crate) fn push(&mut self, lane: Lane, entry: E) {
        let queues = self.queues.get_or_insert_with(|| {
            Box::new(Queues { lanes: std::array::from_fn(|_| VecDeque::new()), passed: [0; LANES] })
        });
        queues.lanes[lane as usize].push_back(entry);
    }

    /// The lane whose turn it is, control left out.
    pub(crate) fn turn(&self) -> Option<Lane> {
        let queues = self.queues.as_ref()?;
        let waiting = || Lane::ALL.into_iter().skip(1).filter(|lane| self.has(*lane));
        let starved = waiting().find(|lane| queues.passed[*lane as usize] >= STARVATION_BOUND);
        starved.or_else(|| waiting().next())
    }

    /// Notes that messages of a lane were let in.
    pub(crate) fn let_in(&mut self, lane: Lane, messages: u32) {
        let Some(queues) = &mut self.queues else { return };
        queues.passed[lane as usize] = 0;
        for below in lane as usize + 1..LANES {
            if !queues.lanes[below].is_empty() {
                queues.passed[below] = queues.passed[below].saturating_add(messages);
            }
        }
    }

    /// What is next of a lane.
    pub(crate) fn front_mut(&mut self, lane: Lane) -> Option<&mut E> {
        self.queues.as_mut()?.lanes[lane as usize].front_mut()
    }

    /// Takes what is next of a lane.
    pub(crate) fn pop(&mut self, lane: Lane) -> Option<E> {
        let queues = self.queues.as_mut()?;
        let entry = queues.lanes[lane as usize].pop_front();
        if queues.lanes.iter().all(VecDeque::is_empty) {
            self.queues = None;
        }
        entry
    }

    /// Takes all, the most urgent lane first.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Lane, E)> + use<E> {
        let queues = self.queues.take().map_or_else(Vec::new, |queues| Vec::from(queues.lanes));
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

    #[test]
    fn a_flood_of_urgent_entries_lets_each_lower_lane_in_within_the_bound() {
        let mut parked = Parked::default();
        for lane in [Lane::High, Lane::Normal, Lane::Low] {
            parked.push(lane, 0);
        }
        let mut seen = Vec::new();
        for step in 1..=200u32 {
            parked.push(Lane::Urgent, step);
            let lane = parked.turn().unwrap();
            parked.pop(lane);
            parked.let_in(lane, 1);
            if lane != Lane::Urgent {
                seen.push((lane, step));
            }
        }
        assert_eq!(
            seen,
            [
                (Lane::High, STARVATION_BOUND + 1),
                (Lane::Normal, STARVATION_BOUND + 2),
                (Lane::Low, STARVATION_BOUND + 3)
            ]
        );
        parked.push(Lane::Control, 1);
        assert_eq!(parked.turn(), Some(Lane::Urgent), "control needs no turn");
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
