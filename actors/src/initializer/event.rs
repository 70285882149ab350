//! What start-up says of itself while it runs: [`StartupEvent`], and how tasks and the whole stand.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::task::Phase;
use crate::{
    agent::{TaskId, Timestamp},
    monitor::{Event, EventKind, Severity},
    support::{as_micros, micros},
};

/// Where one start-up task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartupStatus {
    /// It is lazy, and nobody has asked for it.
    Dormant,
    /// Not yet started: dependencies are open, or no worker is free.
    Pending,
    /// An attempt runs.
    Running,
    /// An attempt failed and the next one waits for its time or for a worker.
    Retrying,
    /// It completed.
    Completed,
    /// Its last attempt failed.
    Failed,
    /// Its last attempt took too long.
    TimedOut,
    /// It was never started, for something it waits for did not complete.
    Skipped,
    /// Start-up was cancelled before it ended.
    Cancelled,
    /// It had completed, and is being undone.
    RollingBack,
    /// It had completed, and was undone.
    RolledBack,
    /// It had completed, and could not be undone.
    NotRolledBack,
}

impl StartupStatus {
    /// The name as it is serialised.
    pub const fn as_str(self) -> &'static str {
        match self {
            StartupStatus::Dormant => "dormant",
            StartupStatus::Pending => "pending",
            StartupStatus::Running => "running",
            StartupStatus::Retrying => "retrying",
            StartupStatus::Completed => "completed",
            StartupStatus::Failed => "failed",
            StartupStatus::TimedOut => "timed_out",
            StartupStatus::Skipped => "skipped",
            StartupStatus::Cancelled => "cancelled",
            StartupStatus::RollingBack => "rolling_back",
            StartupStatus::RolledBack => "rolled_back",
            StartupStatus::NotRolledBack => "not_rolled_back",
        }
    }

    /// As what an event tells that a task came to this.
    const fn told_as(self) -> (EventKind, Severity) {
        match self {
            StartupStatus::Dormant
            | StartupStatus::Pending
            | StartupStatus::Running
            | StartupStatus::Retrying
            | StartupStatus::Completed => (EventKind::SystemEvent, Severity::Info),
            StartupStatus::Skipped
            | StartupStatus::Cancelled
            | StartupStatus::RollingBack
            | StartupStatus::RolledBack => (EventKind::SystemEvent, Severity::Warning),
            StartupStatus::Failed | StartupStatus::TimedOut | StartupStatus::NotRolledBack => {
                (EventKind::ErrorAlert, Severity::Error)
            }
        }
    }

    /// Whether the task has ended; one that completed may still be undone.
    pub const fn ended(self) -> bool {
        !matches!(
            self,
            StartupStatus::Dormant
                | StartupStatus::Pending
                | StartupStatus::Running
                | StartupStatus::Retrying
        )
    }

    /// Whether it completed, whatever was done to undo it since.
    pub const fn completed(self) -> bool {
        matches!(
            self,
            StartupStatus::Completed
                | StartupStatus::RollingBack
                | StartupStatus::RolledBack
                | StartupStatus::NotRolledBack
        )
    }
}

/// How start-up as a whole ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartupOutcome {
    /// Every task completed.
    Succeeded,
    /// Every required and blocking task completed, another one did not.
    Degraded,
    /// A required or blocking task did not complete.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl StartupOutcome {
    /// The name as it is serialised.
    pub const fn as_str(self) -> &'static str {
        match self {
            StartupOutcome::Succeeded => "succeeded",
            StartupOutcome::Degraded => "degraded",
            StartupOutcome::Failed => "failed",
            StartupOutcome::Cancelled => "cancelled",
        }
    }

    /// As what an event tells that start-up ended so.
    const fn told_as(self) -> (EventKind, Severity) {
        match self {
            StartupOutcome::Succeeded => (EventKind::SystemEvent, Severity::Info),
            StartupOutcome::Degraded | StartupOutcome::Cancelled => {
                (EventKind::SystemEvent, Severity::Warning)
            }
            StartupOutcome::Failed => (EventKind::ErrorAlert, Severity::Error),
        }
    }
}

/// Why a start-up task did not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StartupFault {
    /// The body returned an error or panicked.
    Failed {
        /// What it said.
        error: String,
    },
    /// An attempt took longer than allowed.
    TimedOut {
        /// What was allowed, as whole microseconds \[us\].
        #[serde(rename = "after_us", serialize_with = "as_micros")]
        after: Duration,
    },
    /// A task it waits for did not complete, or start-up stopped at its first failure.
    Skipped {
        /// The task that failed first.
        because_of: TaskId,
    },
    /// Start-up was cancelled.
    Cancelled,
}

impl fmt::Display for StartupFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { error } => f.write_str(error),
            Self::TimedOut { after } => write!(f, "timed out after {after:?}"),
            Self::Skipped { because_of } => write!(f, "skipped because {because_of} did not complete"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// Something that happened during start-up. Durations are serialised as whole microseconds \[us\].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum StartupEvent {
    /// Start-up began.
    StartupBegan {
        /// When.
        at: Timestamp,
        /// How many tasks there are.
        tasks: usize,
        /// How many of them may run at once.
        workers: usize,
    },
    /// The first task of a phase started.
    PhaseStarted {
        /// When.
        at: Timestamp,
        /// Which phase.
        phase: Phase,
        /// How many tasks belong to it.
        tasks: usize,
    },
    /// An attempt started.
    TaskStarted {
        /// When.
        at: Timestamp,
        /// Which task.
        task: TaskId,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// An attempt failed and another one will follow.
    TaskRetried {
        /// When.
        at: Timestamp,
        /// Which task.
        task: TaskId,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Why.
        fault: StartupFault,
        /// The earliest start of the next attempt.
        next: Timestamp,
    },
    /// A task ended.
    TaskEnded {
        /// When.
        at: Timestamp,
        /// Which task.
        task: TaskId,
        /// How.
        status: StartupStatus,
        /// How many attempts were started.
        attempts: u32,
        /// The time from its first start.
        #[serde(rename = "took_us", serialize_with = "as_micros")]
        took: Duration,
        /// Why it did not complete, if so.
        fault: Option<StartupFault>,
    },
    /// The last task of a phase ended.
    PhaseEnded {
        /// When.
        at: Timestamp,
        /// Which phase.
        phase: Phase,
        /// The time from the start of its first task; nothing if none started.
        #[serde(rename = "took_us", serialize_with = "as_micros")]
        took: Duration,
        /// How many of its tasks did not complete.
        failed: usize,
    },
    /// All tasks of a phase that anyone waits for ended, and none failed that had to complete.
    PhaseReady {
        /// When.
        at: Timestamp,
        /// Which phase.
        phase: Phase,
    },
    /// All that anyone waits for ended and nothing required failed; only hints may still run.
    BecameReady {
        /// When.
        at: Timestamp,
    },
    /// Start-up failed or was cancelled, and what completed begins to be undone.
    RollbackBegan {
        /// When.
        at: Timestamp,
        /// How many tasks are to be undone.
        tasks: usize,
    },
    /// A task was undone, or could not be.
    TaskRolledBack {
        /// When.
        at: Timestamp,
        /// Which task.
        task: TaskId,
        /// The time from the first attempt to undo it.
        #[serde(rename = "took_us", serialize_with = "as_micros")]
        took: Duration,
        /// Why it could not be undone, if so.
        fault: Option<StartupFault>,
    },
    /// The last task ended.
    StartupEnded {
        /// When.
        at: Timestamp,
        /// How.
        outcome: StartupOutcome,
        /// The time from the beginning.
        #[serde(rename = "took_us", serialize_with = "as_micros")]
        took: Duration,
    },
}

impl From<StartupEvent> for Event {
    /// The event for the monitor: each variant has its name, kind and severity, and the data it is serialised with. The end
    /// of a phase is a latency, and has it as its figure.
    fn from(event: StartupEvent) -> Self {
        let system = |severity, name: &'static str, at| Event::system(severity, "initializer", name, at);
        match event {
            StartupEvent::StartupBegan { at, tasks, workers } => {
                system(Severity::Info, "initializer.startup_began", at)
                    .with("tasks", tasks)
                    .with("workers", workers)
            }
            StartupEvent::PhaseStarted { at, phase, tasks } => {
                system(Severity::Debug, "initializer.phase_started", at)
                    .with("phase", phase.as_str())
                    .with("tasks", tasks)
            }
            StartupEvent::TaskStarted { at, task, attempt } => {
                system(Severity::Debug, "initializer.task_started", at)
                    .with("task", task.as_str())
                    .with("attempt", attempt)
            }
            StartupEvent::TaskRetried { at, task, attempt, fault, next } => {
                system(Severity::Warning, "initializer.task_retried", at)
                    .with("task", task.as_str())
                    .with("attempt", attempt)
                    .with_json("fault", &fault)
                    .with("next", next.micros())
            }
            StartupEvent::TaskEnded { at, task, status, attempts, took, fault } => {
                let (kind, severity) = status.told_as();
                let event = Event::new(kind, severity, "initializer", "initializer.task_ended", at)
                    .with("task", task.as_str())
                    .with("status", status.as_str())
                    .with("attempts", attempts)
                    .with("took_us", micros(took));
                match fault {
                    Some(fault) => event.with_json("fault", &fault),
                    None => event,
                }
            }
            StartupEvent::PhaseEnded { at, phase, took, failed } => {
                Event::latency("initializer", "initializer.phase_ended", took, at)
                    .with("phase", phase.as_str())
                    .with("took_us", micros(took))
                    .with("failed", failed)
            }
            StartupEvent::PhaseReady { at, phase } => {
                system(Severity::Info, "initializer.phase_ready", at).with("phase", phase.as_str())
            }
            StartupEvent::BecameReady { at } => system(Severity::Info, "initializer.became_ready", at),
            StartupEvent::RollbackBegan { at, tasks } => {
                system(Severity::Warning, "initializer.rollback_began", at).with("tasks", tasks)
            }
            StartupEvent::TaskRolledBack { at, task, took, fault } => {
                let (kind, severity) = match fault {
                    None => StartupStatus::RolledBack.told_as(),
                    Some(_) => StartupStatus::NotRolledBack.told_as(),
                };
                let event = Event::new(kind, severity, "initializer", "initializer.task_rolled_back", at)
                    .with("task", task.as_str())
                    .with("took_us", micros(took));
                match fault {
                    Some(fault) => event.with_json("fault", &fault),
                    None => event,
                }
            }
            StartupEvent::StartupEnded { at, outcome, took } => {
                let (kind, severity) = outcome.told_as();
                Event::new(kind, severity, "initializer", "initializer.startup_ended", at)
                    .with("outcome", outcome.as_str())
                    .with("took_us", micros(took))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::testing::assert_told;

    #[test]
    fn the_monitor_is_told_each_start_up_event_by_its_serialised_name_and_data() {
        let (at, next) = (Timestamp::from_start(Duration::from_millis(3)), Timestamp::ZERO);
        let (task, phase, took) =
            (TaskId::new("t").unwrap(), Phase::ServiceStartup, Duration::from_micros(1_500));
        let fault = StartupFault::Failed { error: "no disk".to_owned() };
        let ended = |status, fault| StartupEvent::TaskEnded {
            at,
            task: task.clone(),
            status,
            attempts: 2,
            took,
            fault,
        };
        let undone = |fault| StartupEvent::TaskRolledBack { at, task: task.clone(), took, fault };
        let over = |outcome| StartupEvent::StartupEnded { at, outcome, took };
        let (system, alert) = (EventKind::SystemEvent, EventKind::ErrorAlert);
        let all = [
            (StartupEvent::StartupBegan { at, tasks: 3, workers: 2 }, system, Severity::Info),
            (StartupEvent::PhaseStarted { at, phase, tasks: 3 }, system, Severity::Debug),
            (StartupEvent::TaskStarted { at, task: task.clone(), attempt: 1 }, system, Severity::Debug),
            (
                StartupEvent::TaskRetried { at, task: task.clone(), attempt: 1, fault: fault.clone(), next },
                system,
                Severity::Warning,
            ),
            (ended(StartupStatus::Completed, None), system, Severity::Info),
            (ended(StartupStatus::Skipped, None), system, Severity::Warning),
            (ended(StartupStatus::Cancelled, None), system, Severity::Warning),
            (ended(StartupStatus::TimedOut, None), alert, Severity::Error),
            (ended(StartupStatus::Failed, Some(fault)), alert, Severity::Error),
            (StartupEvent::PhaseReady { at, phase }, system, Severity::Info),
            (StartupEvent::BecameReady { at }, system, Severity::Info),
            (StartupEvent::RollbackBegan { at, tasks: 2 }, system, Severity::Warning),
            (undone(None), system, Severity::Warning),
            (undone(Some(StartupFault::Cancelled)), alert, Severity::Error),
            (over(StartupOutcome::Succeeded), system, Severity::Info),
            (over(StartupOutcome::Degraded), system, Severity::Warning),
            (over(StartupOutcome::Cancelled), system, Severity::Warning),
            (over(StartupOutcome::Failed), alert, Severity::Error),
        ];
        for (event, kind, severity) in all {
            assert_told("initializer", &event, &event.clone().into(), (kind, severity), &[]);
        }
        let phase = StartupEvent::PhaseEnded { at, phase, took, failed: 1 };
        let told = phase.clone().into();
        let how = (EventKind::LatencyMetric, Severity::Info);
        assert_told("initializer", &phase, &told, how, &["value", "unit"]);
        assert_eq!((told.value(), &told.data["unit"]), (Some(1_500.0), &"us".into()));
    }
}
