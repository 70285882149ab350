//! How one task is kept: a flat record, linked to its dependants through one list of edges.

use std::{cmp::Reverse, sync::Arc};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    pool::ReadyKey,
    task::{TaskDetails, TaskFault, TaskState, TaskType},
};
use crate::agent::{Priority, Timestamp};

/// The end of a list of edges, and no agent.
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

/// One entry in a list of dependants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) dependant: Link,
    pub(super) next: u32,
}

/// One task.
#[derive(Debug)]
pub(super) struct Record {
    /// The newest edge to a dependant.
    pub(super) head: u32,
    /// How many dependencies have not ended.
    pub(super) open: u32,
    /// The class of its needs.
    pub(super) class: u32,
    /// The agent that works on it.
    pub(super) agent: u32,
    /// How many times it was dispatched.
    pub(super) attempts: u32,
    /// How many attempts failed.
    pub(super) failures: u32,
    pub(super) max_retries: u32,
    pub(super) stage: Stage,
    pub(super) priority: Priority,
    pub(super) task_type: TaskType,
    /// What it waits for, in the order it was named.
    pub(super) dependencies: Box<[Link]>,
    pub(super) payload: Option<Arc<Value>>,
    pub(super) result: Option<Arc<Value>>,
    pub(super) fault: Option<Box<TaskFault>>,
    pub(super) details: Option<Arc<TaskDetails>>,
    /// Cancels the attempt that executes.
    pub(super) cancellation: Option<CancellationToken>,
    /// How long one attempt may take \[us\].
    pub(super) timeout: u64,
    pub(super) submitted: Timestamp,
    pub(super) started: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    /// When its attempt will be given up, or its next attempt is due.
    pub(super) timer: Option<Timestamp>,
}

impl Record {
    /// Its place among ready tasks.
    pub(super) fn key(&self, task: u32) -> ReadyKey {
        (Reverse(self.priority), task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::TaskId;

    #[test]
    fn a_task_takes_at_most_200_bytes_besides_its_texts_and_an_edge_8() {
        assert!(size_of::<(u64, TaskId, Record)>() <= 200, "{}", size_of::<(u64, TaskId, Record)>());
        assert_eq!((size_of::<Edge>(), size_of::<Link>()), (8, 4));
    }

    #[test]
    fn a_link_keeps_its_task_and_its_flag() {
        let link = Link::new((1 << 31) - 1, true);
        assert_eq!((link.task(), link.soft()), ((1 << 31) - 1, true));
        assert!(!Link::new(0, false).soft());
    }
}
