//! [`History`]: the last publications of a route, kept for those who subscribe later.
//!
//! **Invariant.** For a subscriber that asks for a replay every publication is either replayed, as one that came before
//! its subscription, or delivered live, as one that came after; never both, and in the order of publication. Publishers
//! and subscriptions take the lock of the history for that, from the look at the snapshot to the last append.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::predicate::refuse_inside;
use crate::{
    agent::{Lane, Timestamp},
    inbox::Shared,
};

/// How many publications a route keeps at most.
pub const MAX_HISTORY: usize = 65_536;

/// One publication that is kept.
pub(crate) struct Kept {
    pub(crate) parcel: Shared,
    pub(crate) lane: Lane,
    deadline: Option<Timestamp>,
}

/// The last publications of a route; none, and no lock is taken, until somebody wants some kept.
#[derive(Default)]
pub(crate) struct History {
    depth: AtomicUsize,
    kept: Mutex<VecDeque<Kept>>,
}

impl History {
    /// Keeps so many from now on; never fewer than were wanted before.
    pub(crate) fn deepen(&self, depth: usize) {
        self.depth.fetch_max(depth.min(MAX_HISTORY), Ordering::AcqRel);
    }

    /// How many are kept.
    pub(crate) fn depth(&self) -> usize {
        self.depth.load(Ordering::Acquire)
    }

    /// The history, if the route has one. Of what the user wrote only predicates may run while it is held.
    #[inline]
    pub(crate) fn lock(&self) -> Option<Open<'_>> {
        refuse_inside();
        let depth = self.depth();
        (depth > 0).then(|| Open { depth, kept: self.kept.lock().unwrap_or_else(PoisonError::into_inner) })
    }
}

/// A history that is held.
pub(crate) struct Open<'a> {
    depth: usize,
    kept: MutexGuard<'a, VecDeque<Kept>>,
}

impl Open<'_> {
    /// Keeps a publication. Answers those that make way for it, to be dropped when the lock is free again.
    #[must_use = "destructors may publish, too"]
    pub(crate) fn keep(&mut self, lane: Lane, deadline: Option<Timestamp>, parcel: Shared) -> Vec<Kept> {
        self.kept.push_back(Kept { parcel, lane, deadline });
        let excess = self.kept.len().saturating_sub(self.depth);
        self.kept.drain(..excess).collect()
    }

    /// The last `most` that are wanted and not overdue, the oldest first.
    pub(crate) fn last(
        &self,
        most: usize,
        now: Timestamp,
        is_wanted: impl Fn(&Shared) -> bool,
    ) -> Vec<(Lane, Shared)> {
        let current = self
            .kept
            .iter()
            .filter(|kept| kept.deadline.is_none_or(|deadline| deadline >= now) && is_wanted(&kept.parcel));
        let mut last: Vec<_> =
            current.rev().take(most).map(|kept| (kept.lane, kept.parcel.clone())).collect();
        last.reverse();
        last
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    fn numbers(last: Vec<(Lane, Shared)>) -> Vec<u64> {
        last.into_iter().map(|(_, parcel)| *parcel.downcast::<u64>().unwrap()).collect()
    }

    #[test]
    fn the_last_that_are_not_overdue_are_kept_as_deep_as_the_most_wanted() {
        let history = History::default();
        assert!(history.lock().is_none());
        history.deepen(3);
        history.deepen(2);
        let at = |seconds| Timestamp::from_start(Duration::from_secs(seconds));
        let mut open = history.lock().unwrap();
        for number in 1..=5u64 {
            let deadline = (number == 4).then(|| at(10));
            let gone = open.keep(Lane::Normal, deadline, Arc::new(number));
            assert_eq!(gone.len(), usize::from(number > 3));
        }
        assert_eq!(numbers(open.last(9, at(10), |_| true)), [3, 4, 5]);
        assert_eq!(numbers(open.last(9, at(11), |_| true)), [3, 5]);
        assert_eq!(numbers(open.last(1, at(11), |_| true)), [5]);
        let is_odd = |parcel: &Shared| !parcel.downcast_ref::<u64>().unwrap().is_multiple_of(2);
        assert_eq!(numbers(open.last(2, at(10), is_odd)), [3, 5], "the last two that are wanted");
        assert!(open.last(0, at(0), |_| true).is_empty());
    }
}
