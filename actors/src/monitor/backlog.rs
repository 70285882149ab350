//! [`Backlog`]: the events that wait for the handlers, within a bound; the least severe give way first.
//!
//! **Invariant.** Never more than the bound wait; they leave in the order of their `seq`. What gives way is the earliest of
//! the least severity waiting, the new one counted in.

use std::{collections::VecDeque, sync::Arc};

use super::event::{Event, Severity};

/// A bounded queue of events.
#[derive(Debug)]
pub(super) struct Backlog {
    lanes: [VecDeque<Arc<Event>>; Severity::ALL.len()],
    len: usize,
    max: usize,
    shed: [u64; Severity::ALL.len()],
}

impl Backlog {
    /// An empty queue for at most `max` events.
    pub(super) fn new(max: usize) -> Self {
        Self { lanes: std::array::from_fn(|_| VecDeque::new()), len: 0, max, shed: [0; Severity::ALL.len()] }
    }

    /// Adds an event at the end, and sheds one when there is no place.
    pub(super) fn push(&mut self, event: Arc<Event>) {
        self.lanes[event.severity as usize - 1].push_back(event);
        self.len += 1;
        if self.len > self.max {
            let least =
                self.lanes.iter().position(|lane| !lane.is_empty()).expect("one event was pushed just now");
            self.lanes[least].pop_front();
            self.len -= 1;
            self.shed[least] += 1;
        }
    }

    /// Takes the earliest event.
    pub(super) fn pop(&mut self) -> Option<Arc<Event>> {
        let lane = self.lanes.iter_mut().filter(|lane| !lane.is_empty()).min_by_key(|lane| lane[0].seq)?;
        self.len -= 1;
        lane.pop_front()
    }

    /// Throws all away, counted as shed.
    pub(super) fn clear(&mut self) {
        for (lane, shed) in self.lanes.iter_mut().zip(&mut self.shed) {
            *shed += lane.len() as u64;
            lane.clear();
        }
        self.len = 0;
    }

    /// How many events wait.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many were shed, per severity.
    pub(super) const fn shed(&self) -> [u64; Severity::ALL.len()] {
        self.shed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::agent::Timestamp;

    fn event(seq: u64, severity: Severity) -> Arc<Event> {
        let mut event = Event::system(severity, "test", "test.event", Timestamp::ZERO);
        event.seq = seq;
        Arc::new(event)
    }

    #[test]
    fn debug_gives_way_first_and_critical_last() {
        let mut backlog = Backlog::new(2);
        for (seq, severity) in (1..).zip([
            Severity::Debug,
            Severity::Critical,
            Severity::Error,
            Severity::Info,
            Severity::Critical,
            Severity::Critical,
        ]) {
            backlog.push(event(seq, severity));
        }
        let left: Vec<_> = std::iter::from_fn(|| backlog.pop()).map(|event| event.seq).collect();
        assert_eq!(left, [5, 6]);
        assert_eq!(backlog.shed(), [1, 1, 0, 1, 1]);
    }

    proptest! {
        #[test]
        fn the_backlog_does_as_a_sorted_list_would(
            max in 0_usize..8,
            steps in prop::collection::vec(prop::option::of(0_usize..5), 0..100),
        ) {
            let mut backlog = Backlog::new(max);
            let mut model: Vec<Arc<Event>> = Vec::new();
            let mut shed = 0;
            for (seq, step) in (1..).zip(steps) {
                if let Some(severity) = step {
                    let event = event(seq, Severity::ALL[severity]);
                    backlog.push(event.clone());
                    model.push(event);
                    if model.len() > max {
                        let gone = (0..model.len()).min_by_key(|i| (model[*i].severity, model[*i].seq)).unwrap();
                        model.remove(gone);
                        shed += 1;
                    }
                } else {
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    prop_assert_eq!(backlog.pop(), expected);
                }
                prop_assert_eq!(backlog.len(), model.len());
                prop_assert_eq!(backlog.shed().iter().sum::<u64>(), shed);
            }
        }
    }
}
