//! [`Watching`]: the changes of a roster, as they come.
//!
//! **Restart.** It reads the state that outlives the registrar's incarnations, so it does not notice that one broke.

use std::sync::{Arc, Weak};

use futures_util::Stream;
use tokio::sync::watch;

use super::{
    cell::Shared,
    watch::{Cursor, RosterUpdate, WatchFrom},
};

/// The changes of a roster, as they come: each once and in order.
///
/// It is read at the reader's pace and keeps at most a few hundred changes. A reader that falls behind the changes that are
/// held ([`RegistrarOptions::changes`](super::RegistrarOptions::changes)) is told so with a snapshot, and goes on from there.
/// It ends when the registrar's state is closed ([`RegistrarCell::close`](super::RegistrarCell::close)), as by the shutdown of
/// a host, or dropped.
#[derive(Debug)]
pub struct Watching {
    shared: Weak<Shared>,
    revised: watch::Receiver<u64>,
    cursor: Cursor,
}

impl Watching {
    pub(super) fn new(shared: &Arc<Shared>, from: WatchFrom) -> Self {
        Self { shared: Arc::downgrade(shared), revised: shared.revised(), cursor: Cursor::new(from) }
    }

    /// The next change, or a snapshot; none when all was told and nothing changes any more. What was not told when this is dropped
    /// is told by the next call.
    pub async fn next(&mut self) -> Option<RosterUpdate> {
        loop {
            if let Some(update) = self.cursor.take() {
                return Some(update);
            }
            // Before the roster is read, so that no change falls between.
            self.revised.borrow_and_update();
            let shared = self.shared.upgrade()?;
            // Looked at before, so that what changed up to then is told.
            let is_closed = shared.is_closed();
            if !shared.read(&mut self.cursor) {
                if is_closed {
                    return None;
                }
                drop(shared);
                self.revised.changed().await.ok()?;
            } else if !self.cursor.is_ready() {
                // A large snapshot is made piece by piece, and others of this thread run in between.
                tokio::task::yield_now().await;
            }
        }
    }

    /// The revision of what was told last; to go on from there with [`WatchFrom::Revision`] misses nothing.
    pub fn revision(&self) -> u64 {
        self.cursor.revision()
    }

    /// The same as a stream, for `AsyncContext::add_stream` and the like.
    pub fn into_stream(self) -> impl Stream<Item = RosterUpdate> + Send + Unpin {
        let next = async |mut watching: Self| {
            let update = watching.next().await?;
            Some((update, watching))
        };
        Box::pin(futures_util::stream::unfold(self, next))
    }
}
