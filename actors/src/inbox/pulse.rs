//! [`Pulse`]: who beats again, and whether something is sent again, for whoever waits for that.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

use crate::agent::AgentId;

/// What the heart of a host waits for.
#[derive(Default)]
pub(crate) struct Pulse {
    /// Whether somebody waits for the next message.
    rests: AtomicBool,
    sent: Notify,
    heard: Mutex<Vec<AgentId>>,
    hears: Notify,
}

impl Pulse {
    /// Called for every message that is sent.
    #[inline]
    pub(super) fn note_sent(&self) {
        if self.rests.load(Ordering::Relaxed) {
            self.stir();
        }
    }

    #[cold]
    fn stir(&self) {
        self.rests.store(false, Ordering::Relaxed);
        self.sent.notify_one();
    }

    /// Waits until something is sent. On other threads than the sender's it may come later than one message.
    pub(crate) async fn sent(&self) {
        self.rests.store(true, Ordering::Relaxed);
        self.sent.notified().await;
    }

    /// An agent that was missed beats again.
    pub(super) fn note_heard(&self, agent: &AgentId) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(agent.clone());
        self.hears.notify_one();
    }

    /// Waits until somebody who was missed beats again.
    pub(crate) async fn heard(&self) {
        self.hears.notified().await;
    }

    /// Who beats again since the last look.
    pub(crate) fn take_heard(&self) -> Vec<AgentId> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
