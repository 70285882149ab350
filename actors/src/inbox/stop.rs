//! Stopping with a deadline: [`AgentHandle::stop_within`], [`Stopped`].

use std::{
    sync::atomic::{Ordering, fence},
    time::Duration,
};

use tokio::time::timeout;

use super::{AgentHandle, AgentRef};
use crate::agent::Agent;

/// How long an agent that was killed may take to let go of its thread.
const GRACE: Duration = Duration::from_secs(1);

/// How an agent that was told to stop came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It is no more, and had been given the time to handle what it held.
    Drained,
    /// It is no more. Its time was over, and what it had not handled by then is accounted as failed.
    Killed,
    /// It was killed a second ago and is still there: it blocks its thread, or the thread is gone. What it holds stays
    /// pending until it lets go.
    Stuck,
}

impl AgentHandle {
    /// Lets nothing more in, lets the agent handle what it holds, and stops it; kills it when that takes longer than
    /// `within` on the host's clock. Answers when the agent is no more and all that it held is accounted for.
    pub async fn stop_within(&self, within: Duration) -> Stopped {
        self.stop();
        if timeout(within, self.ended()).await.is_ok() {
            return Stopped::Drained;
        }
        self.kill();
        if timeout(GRACE, self.ended()).await.is_ok() { Stopped::Killed } else { Stopped::Stuck }
    }

    /// Waits until the agent is no more and all that it held is accounted for. A restart is not an end.
    pub async fn ended(&self) {
        loop {
            let changed = self.door.room().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            fence(Ordering::SeqCst);
            if self.has_ended() {
                return;
            }
            changed.await;
        }
    }
}

impl<A: Agent> AgentRef<A> {
    /// As [`AgentHandle::stop_within`].
    pub async fn stop_within(&self, within: Duration) -> Stopped {
        self.handle().stop_within(within).await
    }
}
