//! [`Lanes`]: six queues and the order in which they are served. Pure.
//!
//! Lanes are served by urgency, but none starves: whenever [`STARVATION_BOUND`] messages of higher lanes were handled
//! while a lane had something waiting, that lane gets one message through.
//!
//! **Invariant.** With k lanes in use, the first message of any lane waits for at most
//! `STARVATION_BOUND + k - 1` messages of other lanes, whatever arrives meanwhile.

use std::collections::VecDeque;

use crate::agent::Lane;

/// How many messages of higher lanes are handled at most while a lower lane waits for its turn.
pub const STARVATION_BOUND: u32 = 64;

const LANES: usize = Lane::ALL.len();
const NORMAL: usize = Lane::Normal as usize;

/// Something queued that counts as one or more messages.
pub(crate) trait Load {
    /// How many messages it still holds.
    fn load(&self) -> u32;
    /// Takes its oldest message out and gives it back as an entry of its own; empty entries are removed by the caller.
    fn split_oldest(&mut self) -> Option<Self>
    where
        Self: Sized;
}

struct Others<E> {
    queues: [VecDeque<E>; LANES],
    passed: [u32; LANES],
}

/// The queues of one inbox. Most agents use the normal lane only, so the others exist on demand.
pub(crate) struct Lanes<E> {
    normal: VecDeque<E>,
    others: Option<Box<Others<E>>>,
    waiting: u32,
}

impl<E: Load> Lanes<E> {
    pub(crate) const fn new() -> Self {
        Self { normal: VecDeque::new(), others: None, waiting: 0 }
    }

    #[inline]
    fn queue(&mut self, lane: Lane) -> &mut VecDeque<E> {
        if lane as usize == NORMAL { &mut self.normal } else { self.other_queue(lane) }
    }

    #[cold]
    fn other_queue(&mut self, lane: Lane) -> &mut VecDeque<E> {
        let others = self.others.get_or_insert_with(|| {
            Box::new(Others { queues: std::array::from_fn(|_| VecDeque::new()), passed: [0; LANES] })
        });
        &mut others.queues[lane as usize]
    }

    /// How many messages wait, all lanes together.
    #[inline]
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting
    }

    /// How many messages wait in one lane.
    pub(crate) fn depth(&self, lane: Lane) -> u32 {
        self.peek(lane as usize).map_or(0, |queue| queue.iter().map(Load::load).sum())
    }

    fn peek(&self, index: usize) -> Option<&VecDeque<E>> {
        if index == NORMAL { Some(&self.normal) } else { Some(&self.others.as_ref()?.queues[index]) }
    }

    fn is_waiting(&self, index: usize) -> bool {
        self.peek(index).is_some_and(|queue| !queue.is_empty())
    }

    /// Appends to a lane.
    #[inline]
    pub(crate) fn push(&mut self, lane: Lane, entry: E) {
        self.waiting += entry.load();
        self.queue(lane).push_back(entry);
    }

    /// Takes the entry whose turn it is, and how many of its messages may be handled before asking again.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<(Lane, E, u32)> {
        if self.others.is_none() {
            let entry = self.normal.pop_front()?;
            self.waiting -= entry.load();
            return Some((Lane::Normal, entry, u32::MAX));
        }
        self.take_by_turn()
    }

    #[inline(never)]
    fn take_by_turn(&mut self) -> Option<(Lane, E, u32)> {
        let top = (0..LANES).find(|index| self.is_waiting(*index))?;
        let lower: Vec<usize> = (top + 1..LANES).filter(|index| self.is_waiting(*index)).collect();
        let passed = &mut self.others.as_mut().expect("checked by take").passed;
        let starved = lower.iter().copied().find(|index| passed[*index] >= STARVATION_BOUND);
        let (index, allowance) = if let Some(index) = starved {
            (index, 1)
        } else {
            let most = lower.iter().map(|index| passed[*index]).max();
            (top, most.map_or(u32::MAX, |most| STARVATION_BOUND - most))
        };
        passed[index] = 0;
        let lane = Lane::ALL[index];
        let entry = self.queue(lane).pop_front().expect("it is waiting");
        self.waiting -= entry.load();
        Some((lane, entry, allowance))
    }

    /// Takes the next entry of the lane that the last one was taken from, when it is of the wanted sort. The caller keeps
    /// to the allowance that came with the first.
    #[inline]
    pub(crate) fn take_next(&mut self, lane: Lane, wanted: impl FnOnce(&E) -> bool) -> Option<E> {
        let queue = self.queue(lane);
        let entry = queue.front().is_some_and(wanted).then(|| queue.pop_front())??;
        self.waiting -= entry.load();
        Some(entry)
    }

    /// Notes that `handled` messages of `lane` were handled, while lower lanes waited.
    #[inline]
    pub(crate) fn handled(&mut self, lane: Lane, handled: u32) {
        if self.others.is_none() || self.waiting == 0 {
            return;
        }
        for index in lane as usize + 1..LANES {
            if self.is_waiting(index) {
                self.others.as_mut().expect("checked above").passed[index] += handled;
            }
        }
    }

    /// Puts back what is left of an entry that was taken last.
    #[inline]
    pub(crate) fn put_back(&mut self, lane: Lane, entry: E) {
        if entry.load() > 0 {
            self.waiting += entry.load();
            self.queue(lane).push_front(entry);
        }
    }

    /// Takes out the oldest message of the lowest lane that is not above `lane`; control is never touched.
    pub(crate) fn evict(&mut self, lane: Lane) -> Option<E> {
        let lowest = (lane as usize..LANES).rev().find(|index| *index != 0 && self.is_waiting(*index))?;
        let queue = self.queue(Lane::ALL[lowest]);
        let front = queue.front_mut().expect("it is waiting");
        let evicted = if front.load() > 1 { front.split_oldest() } else { queue.pop_front() };
        self.waiting -= 1;
        evicted
    }

    /// Everything that waits, the first served first.
    pub(crate) fn drain(&mut self) -> Vec<(Lane, E)> {
        self.waiting = 0;
        let mut all = Vec::new();
        for lane in Lane::ALL {
            if self.is_waiting(lane as usize) {
                all.extend(std::mem::take(self.queue(lane)).into_iter().map(|entry| (lane, entry)));
            }
        }
        self.normal = VecDeque::new();
        self.others = None;
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Run {
        first: u32,
        count: u32,
    }

    impl Load for Run {
        fn load(&self) -> u32 {
            self.count
        }
        fn split_oldest(&mut self) -> Option<Self> {
            let first = self.first;
            self.first += 1;
            self.count -= 1;
            Some(Run { first, count: 1 })
        }
    }

    fn lane() -> impl Strategy<Value = Lane> {
        (0..LANES).prop_map(|index| Lane::ALL[index])
    }

    #[derive(Debug, Clone)]
    enum Op {
        Push(Lane, u32),
        Handle(u32),
        Evict(Lane),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (lane(), 1..6u32).prop_map(|(lane, n)| Op::Push(lane, n)),
            4 => (1..8u32).prop_map(Op::Handle),
            1 => lane().prop_map(Op::Evict),
        ]
    }

    /// The plain model: a list of single messages for each lane, and for each lane how often it was passed over.
    #[derive(Default)]
    struct Model {
        lanes: [VecDeque<u32>; LANES],
        passed_since_head: [u32; LANES],
    }

    impl Model {
        fn waiting(&self) -> usize {
            self.lanes.iter().map(VecDeque::len).sum()
        }
    }

    fn handle_some(lanes: &mut Lanes<Run>, model: &mut Model, most: u32) -> Result<(), TestCaseError> {
        let Some((lane, mut run, allowance)) = lanes.take() else {
            prop_assert_eq!(model.waiting(), 0);
            return Ok(());
        };
        let mut handled = 0;
        while run.count > 0 && handled < most.min(allowance) {
            prop_assert_eq!(model.lanes[lane as usize].pop_front(), Some(run.first), "order within a lane");
            run.first += 1;
            run.count -= 1;
            handled += 1;
            model.passed_since_head[lane as usize] = 0;
            for index in 0..LANES {
                if index != lane as usize && !model.lanes[index].is_empty() {
                    model.passed_since_head[index] += 1;
                    let bound = STARVATION_BOUND + 5;
                    prop_assert!(model.passed_since_head[index] <= bound, "lane {} starved", index);
                }
            }
        }
        lanes.handled(lane, handled);
        lanes.put_back(lane, run);
        Ok(())
    }

    proptest! {
        #[test]
        fn lanes_keep_order_lose_nothing_and_never_starve(ops in proptest::collection::vec(op(), 1..400)) {
            let mut lanes = Lanes::<Run>::new();
            let mut model = Model::default();
            let mut next = 0u32;
            for op in ops {
                match op {
                    Op::Push(lane, count) => {
                        lanes.push(lane, Run { first: next, count });
                        if model.lanes[lane as usize].is_empty() {
                            model.passed_since_head[lane as usize] = 0;
                        }
                        model.lanes[lane as usize].extend(next..next + count);
                        next += count;
                    }
                    Op::Handle(most) => handle_some(&mut lanes, &mut model, most)?,
                    Op::Evict(lane) => {
                        let lowest = (lane as usize..LANES)
                            .rev()
                            .find(|index| *index != 0 && !model.lanes[*index].is_empty());
                        let expected = lowest.and_then(|index| model.lanes[index].pop_front());
                        prop_assert_eq!(lanes.evict(lane).map(|run| run.first), expected);
                    }
                }
                prop_assert_eq!(lanes.waiting() as usize, model.waiting());
                for lane in Lane::ALL {
                    prop_assert_eq!(lanes.depth(lane) as usize, model.lanes[lane as usize].len());
                }
            }
            while model.waiting() > 0 {
                handle_some(&mut lanes, &mut model, u32::MAX)?;
            }
            prop_assert!(lanes.take().is_none());
        }
    }

    #[test]
    fn a_flood_of_urgent_messages_lets_each_lower_lane_through_within_the_bound() {
        let mut lanes = Lanes::new();
        for lane in [Lane::High, Lane::Normal, Lane::Low] {
            lanes.push(lane, Run { first: lane as u32, count: 1 });
        }
        let mut seen = Vec::new();
        for step in 0..200u32 {
            lanes.push(Lane::Urgent, Run { first: 1_000 + step, count: 1 });
            let (lane, run, allowance) = lanes.take().unwrap();
            assert!(allowance >= 1);
            lanes.handled(lane, 1);
            if run.first < 1_000 {
                seen.push((lane, step));
            }
        }
        assert_eq!(
            seen,
            [
                (Lane::High, STARVATION_BOUND),
                (Lane::Normal, STARVATION_BOUND + 1),
                (Lane::Low, STARVATION_BOUND + 2)
            ]
        );
    }

    #[test]
    fn control_is_never_evicted() {
        let mut lanes = Lanes::new();
        lanes.push(Lane::Control, Run { first: 1, count: 1 });
        assert!(lanes.evict(Lane::Control).is_none());
        assert_eq!(lanes.waiting(), 1);
    }
}
