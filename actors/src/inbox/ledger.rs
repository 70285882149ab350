//! The ledger: every send ends in exactly one accounted outcome.
//!
//! `sent = delivered + rejected + dropped + expired + failed + pending`
//!
//! Each arbiter writes a column of its own without contention; other threads share one more. [`Ledger::counts`] reads
//! outcomes before sends, so that `pending = 0` is never seen too early:
//!
//! outcomes O and sends S only grow, and O <= S at any time. Reading O first and S second gives O1 and S2 with
//! O1 <= O(t) <= S(t) <= S2 for any t between. If O1 = S2, nothing was pending at t.
//!
//! The same holds for the ledgers of many routes together, if O and S are read from the same routes and no other route is
//! counted on meanwhile. Routes open, close and are folded only while [`Rows`](super::rows::Rows) is held, and it is held over
//! both readings: whatever was counted before is in one of the routes that are read, or in what they were folded into; no
//! message can be counted on a route that opens later. What was folded had O = S, was final, and is read as one constant.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::agent::{Column, Reason};

const REASONS: usize = Reason::ALL.len();

/// One writer's columns, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    sent: AtomicU64,
    delivered: AtomicU64,
    late: AtomicU64,
    lost: [AtomicU64; REASONS],
}

/// What the columns of a ledger add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages sent, one for each recipient.
    pub sent: u64,
    /// Handled to the end.
    pub delivered: u64,
    /// Refused at the door.
    pub rejected: u64,
    /// Let go by an overflow policy or an intervention, recalled by its sender, or a duplicate.
    pub dropped: u64,
    /// Overdue before they could be handled.
    pub expired: u64,
    /// Accepted but not handled to the end.
    pub failed: u64,
    /// Not yet ended.
    pub pending: u64,
}

impl Counts {
    /// Whether the columns add up.
    pub fn balances(&self) -> bool {
        self.sent == self.ended() + self.pending
    }

    /// How many messages have ended.
    pub(super) fn ended(&self) -> u64 {
        self.delivered + self.rejected + self.dropped + self.expired + self.failed
    }

    fn lose(&mut self, reason: Reason, messages: u64) {
        match reason.column() {
            Column::Rejected => self.rejected += messages,
            Column::Dropped => self.dropped += messages,
            Column::Expired => self.expired += messages,
            Column::Failed => self.failed += messages,
        }
    }

    /// The columns of two ledgers together.
    pub fn plus(self, other: Counts) -> Counts {
        Counts {
            sent: self.sent + other.sent,
            delivered: self.delivered + other.delivered,
            rejected: self.rejected + other.rejected,
            dropped: self.dropped + other.dropped,
            expired: self.expired + other.expired,
            failed: self.failed + other.failed,
            pending: self.pending + other.pending,
        }
    }
}

/// All that a ledger has counted that nobody counts in any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Totals {
    sent: u64,
    delivered: u64,
    late: u64,
    lost: [u64; REASONS],
}

impl Totals {
    fn change(&mut self, other: &Totals, change: impl Fn(&mut u64, u64)) {
        change(&mut self.sent, other.sent);
        change(&mut self.delivered, other.delivered);
        change(&mut self.late, other.late);
        self.lost.iter_mut().zip(other.lost).for_each(|(lost, other)| change(lost, other));
    }

    pub(super) fn add(&mut self, other: &Totals) {
        self.change(other, |sum, more| *sum += more);
    }

    pub(super) fn subtract(&mut self, other: &Totals) {
        self.change(other, |sum, less| *sum -= less);
    }

    pub(super) fn reason(&self, reason: Reason) -> u64 {
        self.lost[reason as usize]
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts { sent: self.sent, delivered: self.delivered, ..Counts::default() };
        for reason in Reason::ALL {
            counts.lose(reason, self.reason(reason));
        }
        Counts { pending: counts.sent - counts.ended(), ..counts }
    }
}

/// Which column a thread writes: its arbiter's own, or the one that all other threads share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Writer(pub(crate) u16);

impl Writer {
    /// Threads that are no arbiter of the host.
    pub(crate) const FOREIGN: Writer = Writer(0);
}

/// Counts what became of every message of one route.
pub struct Ledger {
    shards: Box<[Shard]>,
}

impl Ledger {
    pub(crate) fn new(arbiters: usize) -> Self {
        Self { shards: (0..=arbiters).map(|_| Shard::default()).collect() }
    }

    #[inline]
    fn add(&self, writer: Writer, column: impl FnOnce(&Shard) -> &AtomicU64, n: u64) {
        let cell = column(&self.shards[usize::from(writer.0)]);
        if writer == Writer::FOREIGN {
            cell.fetch_add(n, Ordering::AcqRel);
        } else {
            // One thread writes this shard, so nothing is lost between load and store.
            cell.store(cell.load(Ordering::Relaxed) + n, Ordering::Release);
        }
    }

    #[inline]
    pub(crate) fn sent(&self, writer: Writer, n: u64) {
        self.add(writer, |shard| &shard.sent, n);
    }

    #[inline]
    pub(crate) fn delivered(&self, writer: Writer, n: u64) {
        self.add(writer, |shard| &shard.delivered, n);
    }

    pub(crate) fn late(&self, writer: Writer, n: u64) {
        self.add(writer, |shard| &shard.late, n);
    }

    pub(crate) fn lost(&self, writer: Writer, reason: Reason, n: u64) {
        self.add(writer, |shard| &shard.lost[reason as usize], n);
    }

    /// The columns of outcomes as they are now.
    pub(super) fn outcomes(&self) -> Counts {
        let mut counts = Counts::default();
        for shard in &self.shards {
            counts.delivered += shard.delivered.load(Ordering::Acquire);
            for reason in Reason::ALL {
                counts.lose(reason, shard.lost[reason as usize].load(Ordering::Acquire));
            }
        }
        counts
    }

    /// How many messages were sent so far.
    pub(super) fn sends(&self) -> u64 {
        self.shards.iter().map(|shard| shard.sent.load(Ordering::Acquire)).sum()
    }

    /// What the columns add up to now.
    pub fn counts(&self) -> Counts {
        let counts = self.outcomes();
        let sent = self.sends();
        Counts { sent, pending: sent.saturating_sub(counts.ended()), ..counts }
    }

    /// All that was counted, when nobody counts any more.
    pub(super) fn totals(&mut self) -> Totals {
        let mut totals = Totals::default();
        for shard in &mut self.shards {
            totals.sent += *shard.sent.get_mut();
            totals.delivered += *shard.delivered.get_mut();
            totals.late += *shard.late.get_mut();
            for (sum, lost) in totals.lost.iter_mut().zip(&mut shard.lost) {
                *sum += *lost.get_mut();
            }
        }
        totals
    }

    /// A ledger that goes on where another one stopped.
    pub(super) fn with(arbiters: usize, totals: &Totals) -> Self {
        let ledger = Self::new(arbiters);
        ledger.sent(Writer::FOREIGN, totals.sent);
        ledger.delivered(Writer::FOREIGN, totals.delivered);
        ledger.late(Writer::FOREIGN, totals.late);
        for reason in Reason::ALL {
            ledger.lost(Writer::FOREIGN, reason, totals.reason(reason));
        }
        ledger
    }

    /// How often messages ended for this reason.
    pub fn reason(&self, reason: Reason) -> u64 {
        self.shards.iter().map(|shard| shard.lost[reason as usize].load(Ordering::Acquire)).sum()
    }

    /// Answers that came after whoever asked had stopped waiting. Such messages count as delivered, too.
    pub fn late_replies(&self) -> u64 {
        self.shards.iter().map(|shard| shard.late.load(Ordering::Acquire)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_in_its_own_column_only() {
        for reason in Reason::ALL {
            let ledger = Ledger::new(1);
            ledger.sent(Writer(1), 3);
            ledger.lost(Writer::FOREIGN, reason, 2);
            let counts = ledger.counts();
            assert!(counts.balances(), "{counts:?}");
            assert_eq!(counts.pending, 1);
            let column = match reason.column() {
                Column::Rejected => counts.rejected,
                Column::Dropped => counts.dropped,
                Column::Expired => counts.expired,
                Column::Failed => counts.failed,
            };
            assert_eq!(column, 2, "{reason:?}");
            assert_eq!(ledger.reason(reason), 2);
        }
    }

    #[test]
    fn shards_of_many_threads_add_up() {
        let ledger = std::sync::Arc::new(Ledger::new(2));
        let threads: Vec<_> = (0..4u16)
            .map(|i| {
                let ledger = ledger.clone();
                std::thread::spawn(move || {
                    let writer = if i < 2 { Writer(i + 1) } else { Writer::FOREIGN };
                    for _ in 0..10_000 {
                        ledger.sent(writer, 1);
                        ledger.delivered(writer, 1);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(ledger.counts(), Counts { sent: 40_000, delivered: 40_000, ..Counts::default() });
    }
}
