//! [`Courier`]: follows up all messages that are to be confirmed, until each has its receipt.
//!
//! ```text
//!  publisher ──take──> Courier ── pending, by id
//!  arbiters ──the last part has ended──> look_after ──┐
//!  clock ──due──> Round (a future of the router) ─────┴──> Consignment::follow_up ──> next attempt, or receipt
//! ```
//!
//! It stands beside the router's tables and outlives the actor, which lends it its clock.
//!
//! **Invariant.** Whatever is pending is due at some time, and the round sleeps no longer than until the first of these.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::consignment::Consignment;
use crate::{
    agent::{MessageId, Timestamp},
    inbox::Hub,
};

/// How many messages may wait for their receipts at once.
pub const MAX_UNCONFIRMED: usize = 262_144;
/// How many messages are remembered after their receipts ..
const REMEMBERED: usize = 10_000;
/// .. and for how long.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// How a confirmed message stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageStatus {
    /// Which message.
    pub id: MessageId,
    /// The topic, group, capability or list it was published to.
    pub route: Arc<str>,
    /// How many recipients it has.
    pub recipients: usize,
    /// How many of them have handled it so far.
    pub delivered: usize,
    /// How many attempts were made so far.
    pub attempts: u16,
    /// When it was published.
    pub published: Timestamp,
    /// When its receipt was complete; `None` while some of its recipients are still to be decided on.
    pub ended: Option<Timestamp>,
}

struct Pending {
    consignment: Arc<Consignment>,
    due: Timestamp,
}

#[derive(Default)]
struct Inner {
    pending: FxHashMap<MessageId, Pending>,
    due: BTreeSet<(Timestamp, MessageId)>,
    ended: VecDeque<MessageStatus>,
    closed: bool,
}

/// Why a message is not taken for confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Closed,
    TooMany,
}

/// Follows up all messages that are to be confirmed.
pub(crate) struct Courier {
    hub: Arc<Hub>,
    inner: Mutex<Inner>,
    bell: Notify,
    /// Told when nothing is pending any more.
    quiet: Notify,
    /// Until when the round sleeps \[us\].
    asleep_until: AtomicU64,
}

impl Courier {
    pub(crate) fn new(hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self {
            hub,
            inner: Mutex::default(),
            bell: Notify::new(),
            quiet: Notify::new(),
            asleep_until: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another message may be taken.
    pub(crate) fn has_room(&self) -> Result<(), NotTaken> {
        let inner = self.lock();
        match inner.pending.len() {
            _ if inner.closed => Err(NotTaken::Closed),
            MAX_UNCONFIRMED.. => Err(NotTaken::TooMany),
            _ => Ok(()),
        }
    }

    /// Takes a message over, before any part of it is on its way.
    pub(crate) fn take(&self, consignment: &Arc<Consignment>) -> Result<(), NotTaken> {
        let (id, due) = (consignment.id, consignment.first_look());
        {
            let mut inner = self.lock();
            if inner.closed {
                return Err(NotTaken::Closed);
            }
            inner.pending.insert(id, Pending { consignment: consignment.clone(), due });
            inner.due.insert((due, id));
        }
        self.ring(due);
        Ok(())
    }

    /// Wakes the round when it sleeps beyond this.
    fn ring(&self, due: Timestamp) {
        if due.micros() < self.asleep_until.load(Ordering::Acquire) {
            self.bell.notify_one();
        }
    }

    /// Follows a message up, on any thread.
    pub(crate) fn look_after(&self, consignment: &Consignment) {
        match consignment.follow_up() {
            Some(due) => {
                let mut inner = self.lock();
                let Inner { pending, due: order, .. } = &mut *inner;
                let Some(entry) = pending.get_mut(&consignment.id) else { return };
                // Whoever looked at the same time may want it earlier; too early does no harm.
                if due < entry.due || !order.contains(&(entry.due, consignment.id)) {
                    order.remove(&(entry.due, consignment.id));
                    order.insert((due, consignment.id));
                    entry.due = due;
                }
                drop(inner);
                self.ring(due);
            }
            None => self.forget(consignment),
        }
    }

    fn forget(&self, consignment: &Consignment) {
        let status = consignment.status();
        let now = status.ended;
        let is_old = |first: &MessageStatus| {
            now.zip(first.ended).is_some_and(|(now, ended)| now.since(ended) > REMEMBERED_FOR)
        };
        let mut inner = self.lock();
        let Some(entry) = inner.pending.remove(&consignment.id) else { return };
        inner.due.remove(&(entry.due, consignment.id));
        inner.ended.push_back(status);
        while inner.ended.len() > REMEMBERED || inner.ended.front().is_some_and(is_old) {
            inner.ended.pop_front();
        }
        let is_quiet = inner.pending.is_empty();
        drop(inner);
        if is_quiet {
            self.quiet.notify_waiters();
        }
        // It may be the last to hold an agent's inbox, and is dropped with nothing held.
        drop(entry);
    }

    /// Follows up what is due. Answers when the next is.
    fn go_round(&self) -> Option<Timestamp> {
        loop {
            let now = self.hub.now();
            let due: Vec<_> = {
                let mut inner = self.lock();
                let mut due = Vec::new();
                while let Some((at, id)) = inner.due.first().copied() {
                    if at > now || due.len() >= 1_024 {
                        break;
                    }
                    inner.due.pop_first();
                    due.extend(inner.pending.get(&id).map(|entry| entry.consignment.clone()));
                }
                if due.is_empty() {
                    let next = inner.due.first().map(|(at, _)| *at);
                    self.asleep_until.store(next.map_or(u64::MAX, Timestamp::micros), Ordering::Release);
                    return next;
                }
                due
            };
            for consignment in due {
                self.look_after(&consignment);
            }
        }
    }

    /// Follows up what is due, whenever something is. Ends never.
    pub(crate) async fn round(self: Arc<Self>) {
        loop {
            let bell = self.bell.notified();
            tokio::pin!(bell);
            bell.as_mut().enable();
            match self.go_round() {
                Some(next) => {
                    // The clock counts whole microseconds, and a timer may go off within the last of them.
                    let at = self.hub.instant(next);
                    let _ = tokio::time::timeout_at(at, bell).await;
                }
                None => bell.await,
            }
        }
    }

    /// How a message stands: while it is pending, and for a while after.
    pub(crate) fn status(&self, id: MessageId) -> Option<MessageStatus> {
        let inner = self.lock();
        if let Some(entry) = inner.pending.get(&id) {
            let consignment = entry.consignment.clone();
            drop(inner);
            return Some(consignment.status());
        }
        inner.ended.iter().rfind(|status| status.id == id).cloned()
    }

    /// Waits until no message waits for its receipt.
    pub(crate) async fn quiet(&self) {
        loop {
            let quiet = self.quiet.notified();
            tokio::pin!(quiet);
            quiet.as_mut().enable();
            if self.pending() == 0 {
                return;
            }
            quiet.await;
        }
    }

    /// How many messages wait for their receipts.
    pub(crate) fn pending(&self) -> usize {
        self.lock().pending.len()
    }

    /// Takes nothing more, and gives every message that is pending its receipt as it stands.
    pub(crate) fn close(&self) {
        let (pending, ended) = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.due.clear();
            (std::mem::take(&mut inner.pending), std::mem::take(&mut inner.ended))
        };
        for entry in pending.into_values() {
            entry.consignment.break_off();
        }
        self.quiet.notify_waiters();
        drop(ended);
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.close();
    }
}
