//! [`Confirming`]: who wants to know what becomes of a message at each of its recipients, and [`Marks`], where each arbiter
//! writes that down.
//!
//! ```text
//!                 row of the receipt
//!  Recipients ──position──> Rows ──> row          Marks of one batch on one arbiter
//!                                                 recipient at position 0: 1110..  one bit a message: it was taken
//!                                                 recipient at position 1: 1000..
//! ```
//!
//! **Invariant.** A mark is written by one arbiter alone, once, before the end of its part is told.

use std::{
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use super::Reason;

/// Which row of a receipt belongs to each position of a list of recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Rows in a row, from this one on.
    From(u32),
    /// These, in ascending order.
    Listed(Arc<[u32]>),
}

impl Rows {
    /// The row of the recipient at a position.
    pub(crate) fn row(&self, position: u32) -> u32 {
        match self {
            Rows::From(first) => first + position,
            Rows::Listed(rows) => rows[position as usize],
        }
    }

    /// The position of a row in a list of so many recipients.
    pub(crate) fn position(&self, row: u32, recipients: u32) -> Option<u32> {
        match self {
            Rows::From(first) => row.checked_sub(*first).filter(|position| *position < recipients),
            Rows::Listed(rows) => rows.binary_search(&row).ok().and_then(|at| u32::try_from(at).ok()),
        }
    }
}

/// How far a recipient has come with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Its handler was not called, as far as is known.
    Untaken,
    /// Its handler was called, and its response goes on.
    Responding,
    /// Its handler has returned, and so has its response.
    Done,
}

/// Who of one arbiter's recipients has taken which messages of a batch. Written by that arbiter, read by any thread.
pub(crate) struct Marks {
    rows: Rows,
    recipients: u32,
    messages: u16,
    /// How many words of bits each recipient has.
    words: usize,
    taken: Box<[AtomicU64]>,
    /// Those whose responses go on or failed; there seldom are any.
    unfinished: OnceLock<Box<[AtomicU64]>>,
}

fn bits(words: usize, recipients: u32) -> Box<[AtomicU64]> {
    (0..words * recipients as usize).map(|_| AtomicU64::new(0)).collect()
}

impl Marks {
    pub(crate) fn new(rows: Rows, recipients: u32, messages: u16) -> Self {
        let words = usize::from(messages).div_ceil(64);
        Self {
            rows,
            recipients,
            messages,
            words,
            taken: bits(words, recipients),
            unfinished: OnceLock::new(),
        }
    }

    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// How many messages the batch holds.
    pub(crate) fn messages(&self) -> u16 {
        self.messages
    }

    fn place(&self, position: u32, at: u16) -> (usize, u64) {
        (position as usize * self.words + usize::from(at / 64), 1 << (at % 64))
    }

    /// The recipient has taken the messages from `from` on, `until` not included.
    #[inline]
    pub(crate) fn take(&self, position: u32, from: u16, until: u16) {
        let first = position as usize * self.words;
        for word in from / 64..until.div_ceil(64) {
            let start = word * 64;
            let low = u64::MAX << from.saturating_sub(start);
            let high = u64::MAX >> (64 - (until - start).min(64));
            let cell = &self.taken[first + usize::from(word)];
            // One thread writes, so nothing is lost between load and store.
            cell.store(cell.load(Ordering::Relaxed) | (low & high), Ordering::Release);
        }
    }

    /// The response of a message goes on after its handler has returned.
    pub(crate) fn begin(&self, position: u32, at: u16) {
        let (word, bit) = self.place(position, at);
        let unfinished = self.unfinished.get_or_init(|| bits(self.words, self.recipients));
        unfinished[word].fetch_or(bit, Ordering::Release);
        self.take(position, at, at + 1);
    }

    /// Its response has come to its end.
    pub(crate) fn finish(&self, position: u32, at: u16) {
        let (word, bit) = self.place(position, at);
        if let Some(unfinished) = self.unfinished.get() {
            unfinished[word].fetch_and(!bit, Ordering::Release);
        }
    }

    /// How far a row has come with a message of the batch; nothing when the row is not of this list.
    pub(crate) fn look(&self, row: u32, at: u16) -> Option<Mark> {
        let (word, bit) = self.place(self.rows.position(row, self.recipients)?, at);
        if self.taken[word].load(Ordering::Acquire) & bit == 0 {
            return Some(Mark::Untaken);
        }
        let goes_on = self
            .unfinished
            .get()
            .is_some_and(|unfinished| unfinished[word].load(Ordering::Acquire) & bit != 0);
        Some(if goes_on { Mark::Responding } else { Mark::Done })
    }
}

/// Hears what becomes of one message at each of its recipients. Called on their arbiters.
pub(crate) trait Confirming: Send + Sync {
    /// A batch was made that holds the message at this position: who has taken it stands in the marks from now on.
    fn packed(&self, marks: &Arc<Marks>, at: u16, attempt: u16);
    /// A row did not get the message in this attempt.
    fn lost(&self, row: u32, attempt: u16, reason: Reason);
    /// Whether a recipient has taken the message in another attempt, and is not to get it again.
    fn is_repeated(&self, row: u32, attempt: u16) -> bool;
    /// All recipients of one list have come to their end with the message.
    fn part_ended(&self);
}

/// A message's [`Confirming`], as its [`Meta`](super::Meta) holds it.
#[derive(Clone)]
pub(crate) struct ConfirmedBy(pub(crate) Weak<dyn Confirming>);

impl fmt::Debug for ConfirmedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfirmedBy")
    }
}

impl PartialEq for ConfirmedBy {
    fn eq(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ConfirmedBy {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_and_positions_lead_to_each_other() {
        let (from, listed) = (Rows::From(7), Rows::Listed([2, 5, 9].into()));
        assert_eq!(
            (from.row(2), from.position(9, 3), from.position(10, 3), from.position(6, 3)),
            (9, Some(2), None, None)
        );
        assert_eq!((listed.row(1), listed.position(9, 3), listed.position(3, 3)), (5, Some(2), None));
    }

    #[test]
    fn a_response_that_goes_on_is_taken_and_not_done() {
        let marks = Marks::new(Rows::From(0), 2, 70);
        marks.begin(1, 66);
        assert_eq!(marks.look(1, 66), Some(Mark::Responding));
        assert_eq!(
            (marks.look(1, 65), marks.look(0, 66), marks.look(2, 0)),
            (Some(Mark::Untaken), Some(Mark::Untaken), None)
        );
        marks.finish(1, 66);
        assert_eq!(marks.look(1, 66), Some(Mark::Done));
    }

    proptest! {
        #[test]
        fn just_the_messages_that_were_taken_are_marked(
            messages in 1u16..300,
            runs in prop::collection::vec((0u32..3, 0u16..300, 0u16..300), 0..6),
        ) {
            let marks = Marks::new(Rows::From(0), 3, messages);
            let mut model = vec![[false; 300]; 3];
            for (position, one, other) in runs {
                let (from, until) = (one.min(other).min(messages), one.max(other).min(messages));
                marks.take(position, from, until);
                model[position as usize][usize::from(from)..usize::from(until)].fill(true);
            }
            for (row, taken) in model.iter().enumerate() {
                for at in 0..messages {
                    let mark = marks.look(u32::try_from(row).unwrap(), at).unwrap();
                    prop_assert_eq!(mark == Mark::Done, taken[usize::from(at)]);
                }
            }
        }
    }
}
