//! What goes into a [`Startup`](super::Startup) and comes out of it: [`StartupOptions`], [`StartupEffect`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{event::StartupEvent, resources::Resources};
use crate::agent::Timestamp;

/// What phases mean for the order of start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PhaseMode {
    /// Nothing: a task starts when its dependencies are done, and phases group tasks for people. The fastest.
    #[default]
    Labels,
    /// Everything: a phase's tasks start only when all waited-for tasks of the earlier phases have ended.
    Strict,
}

/// What is done when a task that must complete does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Nothing more starts; what runs goes on to its end.
    Abort,
    /// What depends on it is left out, and all else goes on.
    #[default]
    Continue,
    /// As `abort`, and when the last running task has ended, what completed is undone, the latest first.
    Rollback,
}

impl OnFailure {
    /// The name as it is serialised.
    pub const fn as_str(self) -> &'static str {
        match self {
            OnFailure::Abort => "abort",
            OnFailure::Continue => "continue",
            OnFailure::Rollback => "rollback",
        }
    }
}

/// How a plan is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupOptions {
    /// How many attempts may run at once; 8 unless said, at least 1.
    pub workers: usize,
    /// What phases mean; labels unless said.
    pub phases: PhaseMode,
    /// How much there is of what tasks share, which the initializer makes the plan with; nothing unless said.
    pub resources: Resources,
    /// What is done when a task that must complete does not; `continue` unless said. With `rollback`, start-up that is
    /// cancelled is undone as well.
    pub on_failure: OnFailure,
    /// The wait before the first retry, doubled for each further one; 100 ms unless said.
    pub retry_after: Duration,
    /// The longest wait before a retry; 10 s unless said.
    pub retry_at_most: Duration,
}

impl Default for StartupOptions {
    fn default() -> Self {
        Self {
            workers: 8,
            phases: PhaseMode::Labels,
            resources: Resources::new(),
            on_failure: OnFailure::Continue,
            retry_after: Duration::from_millis(100),
            retry_at_most: Duration::from_secs(10),
        }
    }
}

/// What the caller has to do; tasks are named by their position in the plan.
#[derive(Debug, Clone, PartialEq)]
pub enum StartupEffect {
    /// Start an attempt and report its end.
    Run {
        /// The task.
        task: usize,
        /// The attempt, from 1.
        attempt: u32,
        /// When it will be given up.
        deadline: Option<Timestamp>,
    },
    /// Start an attempt to undo a task that completed, and report its end.
    Undo {
        /// The task.
        task: usize,
        /// The attempt, from 1.
        attempt: u32,
        /// When it will be given up.
        deadline: Option<Timestamp>,
    },
    /// Stop an attempt, to do or to undo, that was given up; its end no longer counts.
    Abort {
        /// The task.
        task: usize,
        /// The attempt.
        attempt: u32,
    },
    /// Tell what happened.
    Event(StartupEvent),
}
