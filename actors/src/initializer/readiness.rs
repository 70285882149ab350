//! [`ReadyOf`], [`Readiness`]: whether a task, a phase or all of start-up can be built on.

use std::fmt;

use super::{
    event::{StartupOutcome, StartupStatus},
    startup::Startup,
    task::Phase,
};
use crate::agent::{TaskId, Timestamp};

/// What is to be ready.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReadyOf {
    /// All that anyone waits for.
    All,
    /// All of a phase that anyone waits for. A phase without tasks is ready from the beginning.
    Phase(Phase),
    /// One task, which runs now if it is lazy.
    Task(TaskId),
}

impl fmt::Display for ReadyOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadyOf::All => f.write_str("start-up"),
            ReadyOf::Phase(phase) => write!(f, "the phase {phase} of start-up"),
            ReadyOf::Task(task) => write!(f, "start-up task {task}"),
        }
    }
}

/// Whether something is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Since then.
    Ready(Timestamp),
    /// It may become so.
    NotYet,
    /// It will not be, for this reason.
    Never(NotReady),
}

/// Why something will not be ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// Nothing was started. Transient.
    #[error("{0} is not ready: no start-up has begun, begin one first")]
    NotBegun(ReadyOf),
    /// There is no such task. Permanent.
    #[error("there is no start-up task {0}: ask for one of the plan")]
    Unknown(TaskId),
    /// It did not come to that. Permanent.
    #[error("{of} will not be ready: {why}")]
    Never {
        /// What was to be ready.
        of: ReadyOf,
        /// Why it will not be.
        why: String,
    },
    /// The state of the run was dropped before. Permanent.
    #[error("{0} will not be ready: start-up was abandoned, the host has shut down or begun another one")]
    Abandoned(ReadyOf),
}

impl Startup {
    /// Whether something is ready.
    pub fn readiness(&self, of: &ReadyOf) -> Readiness {
        let never = |why: String| Readiness::Never(NotReady::Never { of: of.clone(), why });
        if let ReadyOf::Task(task) = of {
            let Some(at) = self.plan.position(task.as_str()) else {
                return Readiness::Never(NotReady::Unknown(task.clone()));
            };
            let slot = &self.slots[at];
            return match (slot.status, slot.ended()) {
                (StartupStatus::Completed, Some(ended)) => Readiness::Ready(ended),
                (StartupStatus::Dormant, _) if !self.takes_more() => {
                    never("it is lazy, and start-up has failed or was cancelled".to_owned())
                }
                (status, _) if status.completed() => never("start-up was undone".to_owned()),
                (status, _) if status.ended() => {
                    let fault =
                        self.rare.fault(at).map_or_else(|| status.as_str().to_owned(), |f| f.to_string());
                    never(fault)
                }
                _ => Readiness::NotYet,
            };
        }
        let (ready, failed) = match of {
            ReadyOf::Phase(phase) => {
                let slot = &self.phases[*phase as usize];
                let empty = (slot.tasks == 0).then_some(self.began);
                (slot.ready.or(empty), slot.required_failed.then(|| self.first_failed(Some(*phase))))
            }
            _ => (self.ready, self.required_failed.then(|| self.first_failed(None))),
        };
        match (ready, failed) {
            (None, Some(failed)) => never(failed),
            _ if self.rollback.is_some() => never("start-up was undone".to_owned()),
            (Some(ready), _) => Readiness::Ready(ready),
            _ if self.cancelled => never("start-up was cancelled".to_owned()),
            _ if self.outcome() == Some(StartupOutcome::Failed) => never("start-up has failed".to_owned()),
            _ => Readiness::NotYet,
        }
    }

    /// Which task failed that had to complete, and why.
    fn first_failed(&self, phase: Option<Phase>) -> String {
        let tasks = self.plan.tasks();
        let has_failed = |at: &usize| {
            let status = self.slots[*at].status;
            phase.is_none_or(|phase| tasks[*at].phase == phase)
                && !self.slots[*at].late
                && tasks[*at].dependency_type.must_complete()
                && status.ended()
                && !status.completed()
        };
        let Some(at) = (0..tasks.len()).filter(has_failed).min_by_key(|at| {
            let slot = &self.slots[*at];
            (slot.ended(), slot.status == StartupStatus::Skipped)
        }) else {
            return "start-up has failed".to_owned();
        };
        let why = self.rare.fault(at).map(|fault| format!(": {fault}")).unwrap_or_default();
        format!("start-up task {} did not complete{why}", tasks[at].id)
    }
}
