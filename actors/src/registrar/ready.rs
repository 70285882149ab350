//! [`Ready`]: since when requests wait for their batch, where their numbers do not tell.
//!
//! Without validations, whoever has the lowest number has waited longest. Who is validated takes its place by its number and
//! waits from then on; so these are kept in the order in which they became ready. One that left is passed over when it comes
//! first, and cleared with the others once they are most of the queue.
//!
//! **Invariant.** What stands first waits in the lanes.

use std::collections::VecDeque;

use super::lanes::Lanes;
use crate::agent::{Priority, Timestamp};

/// The fewest places for which it is worth while to look for those who left.
const FEW: usize = 64;

/// Requests in the order in which they became ready for a batch: since when, their class, and their number.
#[derive(Debug, Default)]
pub(super) struct Ready(VecDeque<(Timestamp, Priority, u64)>);

impl Ready {
    pub(super) fn push(&mut self, class: Priority, number: u64, now: Timestamp) {
        self.0.push_back((now, class, number));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Since when the first of them waits.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.0.front().map(|(since, _, _)| *since)
    }

    /// Forgets those who left the lanes: at least until the first that did not.
    pub(super) fn clear<T>(&mut self, lanes: &Lanes<T>) {
        let waits = |(_, class, number): &(Timestamp, Priority, u64)| lanes.get(*class, *number).is_some();
        while self.0.front().is_some_and(|first| !waits(first)) {
            self.0.pop_front();
        }
        if self.0.len() > FEW.max(2 * lanes.len()) {
            self.0.retain(waits);
        }
    }
}
