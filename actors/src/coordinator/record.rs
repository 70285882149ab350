//! How one task is kept: a flat record, linked to what it depends on and to what depends on it.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    pool::ReadyKey,
    task::{TaskDetails, TaskFault, TaskSpec, TaskState, TaskType},
};
use crate::{
    agent::{Priority, TaskId, Timestamp},
    support::micros,
};

/// No agent.
pub(super) const NONE: u32 = u32::MAX;

/// Where a task stands, as far as it alone knows: whether a ready task is queued or waiting depends on the agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Pending,
    Ready,
    Executing,
    Backoff,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

impl Stage {
    pub(super) const fn ended(self) -> bool {
        matches!(self, Stage::Completed | Stage::Failed | Stage::Cancelled | Stage::TimedOut)
    }
}

impl TaskState {
    /// The stage a task ends in.
    pub(super) const fn stage(self) -> Stage {
        match self {
            TaskState::Pending => Stage::Pending,
            TaskState::Queued => Stage::Ready,
            TaskState::Executing => Stage::Executing,
            TaskState::Waiting => Stage::Backoff,
            TaskState::Completed => Stage::Completed,
            TaskState::Failed => Stage::Failed,
            TaskState::Cancelled => Stage::Cancelled,
            TaskState::TimedOut => Stage::TimedOut,
        }
    }
}

/// One task and a flag: dependency or dependant, where a soft one is only followed, not depended upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(u32);

impl Link {
    pub(super) fn new(task: u32, soft: bool) -> Self {
        Self(task << 1 | u32::from(soft))
    }

    pub(super) const fn task(self) -> u32 {
        self.0 >> 1
    }

    pub(super) const fn soft(self) -> bool {
        self.0 & 1 == 1
    }
}

/// One task.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: TaskId,
    /// How many tasks were submitted before it.
    pub(super) sequence: u64,
    /// In how many lists of dependants it stands: how many dependencies have not ended.
    pub(super) open: u32,
    /// How often it is a dependency of tasks that have not ended.
    pub(super) referrers: u32,
    /// How many of its attempts were given up and not let go of.
    pub(super) releasing: u32,
    /// The agent that works on it.
    pub(super) agent: u32,
    /// How many times it was dispatched.
    pub(super) attempts: u32,
    /// How many attempts failed.
    pub(super) failures: u32,
    pub(super) stage: Stage,
    /// Somebody asked for it to be kept.
    pub(super) keep: bool,
    pub(super) in_history: bool,
    pub(super) result: Option<Arc<Value>>,
    pub(super) fault: Option<Box<TaskFault>>,
    pub(super) submitted: Timestamp,
    pub(super) started: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    /// There until it ends.
    pub(super) plan: Option<Box<Plan>>,
}

/// What a task needs only until it ends.
#[derive(Debug)]
pub(super) struct Plan {
    /// The class of its needs.
    pub(super) class: u32,
    pub(super) max_retries: u32,
    pub(super) priority: Priority,
    pub(super) task_type: TaskType,
    /// What it waits for, in the order it was named.
    pub(super) dependencies: Box<[Link]>,
    /// What waits for it, in the order of submission.
    pub(super) dependants: Vec<Link>,
    pub(super) payload: Arc<Value>,
    pub(super) details: Option<Arc<TaskDetails>>,
    /// Cancels the attempt that executes.
    pub(super) cancellation: Option<CancellationToken>,
    /// How long one attempt may take \[us\].
    pub(super) timeout: u64,
    /// When its attempt will be given up, or its next attempt is due.
    pub(super) timer: Option<Timestamp>,
}

impl Record {
    /// A task as it was submitted, not yet linked to others.
    pub(super) fn new(task: TaskSpec, sequence: u64, class: u32, now: Timestamp) -> Self {
        let is_bare = task.description.is_empty()
            && task.metadata.is_empty()
            && task.estimated_duration == Duration::ZERO;
        let plan = Plan {
            class,
            max_retries: task.max_retries,
            priority: task.priority,
            task_type: task.task_type,
            dependencies: Box::default(),
            dependants: Vec::new(),
            payload: Arc::new(task.payload),
            details: (!is_bare).then(|| {
                Arc::new(TaskDetails {
                    description: task.description,
                    metadata: task.metadata,
                    estimated_duration: task.estimated_duration,
                })
            }),
            cancellation: None,
            timeout: micros(task.timeout),
            timer: None,
        };
        Self {
            id: task.id,
            sequence,
            open: 0,
            referrers: 0,
            releasing: 0,
            agent: NONE,
            attempts: 0,
            failures: 0,
            stage: Stage::Pending,
            keep: task.keep,
            in_history: false,
            result: None,
            fault: None,
            submitted: now,
            started: None,
            ended: None,
            plan: Some(Box::new(plan)),
        }
    }

    /// The plan of a task that has not ended.
    pub(super) fn plan(&self) -> &Plan {
        self.plan.as_ref().expect("a task has its plan until it ends")
    }

    /// The plan of a task that has not ended.
    pub(super) fn plan_mut(&mut self) -> &mut Plan {
        self.plan.as_mut().expect("a task has its plan until it ends")
    }

    /// Its place among ready tasks.
    pub(super) fn key(&self, task: u32) -> ReadyKey {
        (Reverse(self.plan().priority), self.sequence, task)
    }

    /// Whether it has ended and nothing refers to it.
    pub(super) fn may_be_forgotten(&self) -> bool {
        self.stage.ended() && !self.keep && self.open == 0 && self.referrers == 0 && self.releasing == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_takes_at_most_120_bytes_besides_its_texts_as_much_again_until_it_ends_and_a_link_4() {
        assert!(size_of::<Record>() <= 120, "{}", size_of::<Record>());
        assert!(size_of::<Plan>() <= 120, "{}", size_of::<Plan>());
        assert_eq!(size_of::<Link>(), 4);
    }

    #[test]
    fn a_link_keeps_its_task_and_its_flag() {
        let link = Link::new((1 << 31) - 1, true);
        assert_eq!((link.task(), link.soft()), ((1 << 31) - 1, true));
        assert!(!Link::new(0, false).soft());
    }
}
