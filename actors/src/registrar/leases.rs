//! [`Leases`]: who is registered for how long unless that is renewed.
//!
//! ```text
//! agent --> length, when it ends        heap of ends, the earliest first: late for those that were renewed
//! ```
//!
//! Renewing changes only when a lease ends; the heap hears of it when the old end comes to its top. So a renewal looks at
//! one agent, and nothing ever looks at all.
//!
//! **Cost.** About 90 bytes for each lease; renewing and ending one take O(log n) steps on average.
//!
//! **Invariant.** Each lease has one entry in the heap, no later than its end; the entry at the top is exact.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use rustc_hash::FxHashMap;

use crate::agent::{AgentId, Timestamp};

/// The shortest lease: what timers tell apart.
const SHORTEST: Duration = Duration::from_millis(1);
/// Fewer entries than this that nobody has any more are left in the heap.
const STALE: usize = if cfg!(test) { 4 } else { 1024 };

#[derive(Debug, Clone, Copy)]
struct Lease {
    number: u64,
    length: Duration,
    ends: Timestamp,
}

/// Who is registered for how long.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: FxHashMap<AgentId, Lease>,
    ends: BinaryHeap<Reverse<(Timestamp, u64, AgentId)>>,
    granted: u64,
}

impl Leases {
    /// Grants a lease from `now` on, in place of one there may be. Answers when it ends.
    pub(super) fn grant(&mut self, agent: AgentId, length: Duration, now: Timestamp) -> Timestamp {
        self.granted += 1;
        let length = length.max(SHORTEST);
        let lease = Lease { number: self.granted, length, ends: now.plus(length) };
        self.held.insert(agent.clone(), lease);
        self.ends.push(Reverse((lease.ends, lease.number, agent)));
        self.settle();
        lease.ends
    }

    /// Lets a lease last its whole length from `now` on. Answers when it ends; nothing if there is none.
    pub(super) fn renew(&mut self, agent: &AgentId, now: Timestamp) -> Option<Timestamp> {
        let lease = self.held.get_mut(agent)?;
        lease.ends = now.plus(lease.length).max(lease.ends);
        let ends = lease.ends;
        self.settle();
        Some(ends)
    }

    /// Forgets the lease of an agent that is gone.
    pub(super) fn forget(&mut self, agent: &AgentId) {
        if !self.held.is_empty() && self.held.remove(agent).is_some() {
            self.settle();
        }
    }

    /// Ends the first lease that is due at `now`. Answers whose it was, and how long it was.
    pub(super) fn expire(&mut self, now: Timestamp) -> Option<(AgentId, Duration)> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, _, agent)) = self.ends.pop()?;
        let lease = self.held.remove(&agent).expect("the entry at the top is exact");
        self.settle();
        Some((agent, lease.length))
    }

    /// When the next lease ends.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.ends.peek().map(|Reverse((ends, ..))| *ends)
    }

    /// When the lease of an agent ends.
    pub(super) fn ends(&self, agent: &AgentId) -> Option<Timestamp> {
        self.held.get(agent).map(|lease| lease.ends)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Makes the entry at the top exact.
    fn settle(&mut self) {
        if self.ends.len() > 2 * self.held.len() + STALE {
            let all =
                self.held.iter().map(|(agent, lease)| Reverse((lease.ends, lease.number, agent.clone())));
            self.ends = all.collect();
        }
        while let Some(mut top) = self.ends.peek_mut() {
            let Reverse((ends, number, agent)) = &mut *top;
            match self.held.get(agent).filter(|lease| lease.number == *number) {
                None => _ = std::collections::binary_heap::PeekMut::pop(top),
                Some(lease) if lease.ends > *ends => *ends = lease.ends,
                Some(_) => return,
            }
        }
    }
}
