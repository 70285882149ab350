//! [`Tally`]: how many recipients of one batch on one arbiter have still to come to their end with each of its messages.
//!
//! Only batches with messages that are to be confirmed have one. It is kept by the run of messages that an agent handles
//! at once, so that a message costs little more than without.
//!
//! **Invariant.** Every message is counted once for each recipient: as delivered or as lost.

use std::{cell::Cell, sync::Arc};

use crate::agent::{Confirming, Marks, Meta, Reason, Rows};

/// How many recipients have still to come to their end with each message of a batch.
pub(crate) struct Tally {
    marks: Arc<Marks>,
    attempt: u16,
    confirming: Box<[Option<Arc<dyn Confirming>>]>,
    left: Box<[Cell<u32>]>,
}

impl Tally {
    /// The tally of a batch, when any of its messages is to be confirmed.
    pub(crate) fn new<'a>(
        metas: impl ExactSizeIterator<Item = &'a Meta> + Clone,
        rows: &Rows,
        recipients: usize,
        attempt: u16,
    ) -> Option<Box<Self>> {
        if recipients == 0 || metas.clone().all(|meta| meta.confirmed_by().is_none()) {
            return None;
        }
        let recipients = u32::try_from(recipients).expect("fewer recipients than there may be rows");
        let messages = u16::try_from(metas.len()).expect("batches are bounded");
        let marks = Arc::new(Marks::new(rows.clone(), recipients, messages));
        let confirming: Box<[_]> =
            metas.map(|meta| meta.confirmed_by().and_then(|confirmed| confirmed.0.upgrade())).collect();
        for (at, confirming) in (0..).zip(&confirming) {
            if let Some(confirming) = confirming {
                confirming.packed(&marks, at, attempt);
            }
        }
        let left = (0..messages).map(|_| Cell::new(recipients)).collect();
        Some(Box::new(Self { marks, attempt, confirming, left }))
    }

    /// Whether some of the messages may have been handled before.
    #[inline]
    pub(crate) fn may_repeat(&self) -> bool {
        self.attempt > 0
    }

    /// Whether the recipient is not to get this message, because it has got it in another attempt.
    pub(crate) fn is_repeated(&self, position: u32, at: u16) -> bool {
        let row = self.marks.rows().row(position);
        match &self.confirming[usize::from(at)] {
            Some(confirming) => confirming.is_repeated(row, self.attempt),
            // Its receipt is complete, and nothing more of it is to be done.
            None => self.may_repeat(),
        }
    }

    /// The recipient at `position` has handled the messages from `from` on, `until` not included.
    #[inline]
    pub(crate) fn delivered(&self, position: u32, from: u16, until: u16) {
        self.marks.take(position, from, until);
        let lefts = &self.left[usize::from(from)..usize::from(until)];
        // Without a call in it, so that several are counted at once.
        let mut is_last = false;
        for left in lefts {
            left.set(left.get() - 1);
            is_last |= left.get() == 0;
        }
        if is_last {
            // None was at zero before, for each recipient comes once.
            (from..).zip(lefts).filter(|(_, left)| left.get() == 0).for_each(|(at, _)| self.end(at));
        }
    }

    /// It has handled the message, and the response goes on.
    pub(crate) fn responding(&self, position: u32, at: u16) {
        self.marks.begin(position, at);
    }

    /// The response has come to its end, well or with a reason.
    pub(crate) fn responded(&self, position: u32, at: u16, lost: Option<Reason>) {
        if let Some(reason) = lost {
            // It stays marked as unfinished, so that it does not look done.
            self.lost(position, at, reason);
        } else {
            self.marks.finish(position, at);
            self.count(at);
        }
    }

    /// The message will not be handled by the recipient, or was not handled to the end.
    pub(crate) fn lost(&self, position: u32, at: u16, reason: Reason) {
        if let Some(confirming) = &self.confirming[usize::from(at)] {
            confirming.lost(self.marks.rows().row(position), self.attempt, reason);
        }
        self.count(at);
    }

    fn count(&self, at: u16) {
        let left = &self.left[usize::from(at)];
        left.set(left.get() - 1);
        if left.get() == 0 {
            self.end(at);
        }
    }

    #[inline(never)]
    fn end(&self, at: u16) {
        if let Some(confirming) = &self.confirming[usize::from(at)] {
            confirming.part_ended();
        }
    }
}
