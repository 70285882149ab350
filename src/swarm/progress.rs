//! What a run says while it runs, [`Progress`], and how it is told to stop, [`Stop`].

use std::sync::Arc;

use tokio::sync::watch;

/// How a run stands. Every figure is the latest one, not a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Start-up: how many of its tasks have ended, and the phase that began last.
    StartUp {
        /// How many tasks there are.
        tasks: usize,
        /// How many of them have ended.
        ended: usize,
        /// How many of those did not complete.
        failed: usize,
        /// The phase that began last.
        phase: Option<String>,
    },
    /// Registration of the agents.
    Registration {
        /// How many agents there are.
        agents: usize,
        /// How many of them are registered.
        registered: usize,
    },
    /// Tasks.
    Tasks {
        /// How many were submitted so far.
        submitted: usize,
        /// How many have completed.
        completed: usize,
        /// How many have ended without completing.
        failed: usize,
        /// How many are being worked on.
        executing: usize,
    },
    /// The run was told to stop and drains what it holds.
    Draining,
    /// Something worth a line of its own: a crash, a restart, a fault that was injected, a body that is simulated.
    Note(String),
}

/// Tells a run to stop: it submits nothing more, drains what it holds, and reports.
#[derive(Debug, Clone)]
pub struct Stop {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { sender: Arc::new(watch::channel(false).0) }
    }
}

impl Stop {
    /// Tells the run to stop.
    pub fn now(&self) {
        self.sender.send_replace(true);
    }

    /// Whether the run was told to stop.
    pub fn is_asked(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until the run is told to stop.
    pub async fn asked(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives as long as `self`, so this ends only when the value is true.
        let _ = receiver.wait_for(|asked| *asked).await;
    }
}
