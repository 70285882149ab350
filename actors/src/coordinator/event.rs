//! What the coordinator says of its tasks: [`TaskEvent`], [`TaskReport`], [`TaskMetrics`], and [`Effect`].

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::task::{Assignment, TaskFault, TaskState};
use crate::{
    agent::{AgentId, Capability, TaskId, Timestamp},
    support::as_micros,
};

/// What the caller of the task graph has to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Hand an attempt to its agent.
    Dispatch(Box<Assignment>),
    /// Give an attempt up: cancel its token. Its answer no longer counts, but frees the slot.
    Recall {
        /// The task.
        task: TaskId,
        /// The agent.
        agent: AgentId,
        /// The attempt.
        attempt: u32,
        /// The token of its assignment.
        cancellation: CancellationToken,
    },
    /// Tell what happened.
    Event(TaskEvent),
}

/// Something that happened to tasks or to those who do them. Durations are whole microseconds \[us\].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TaskEvent {
    /// A batch of tasks was taken.
    TasksSubmitted {
        /// When.
        at: Timestamp,
        /// How many.
        tasks: usize,
    },
    /// An attempt was handed to an agent.
    TaskStarted {
        /// When.
        at: Timestamp,
        /// The task.
        task: TaskId,
        /// The agent.
        agent: AgentId,
        /// Which dispatch, from 1.
        attempt: u32,
    },
    /// An agent did not take an attempt; the task is queued again, and this does not count against it.
    TaskRefused {
        /// When.
        at: Timestamp,
        /// The task.
        task: TaskId,
        /// The agent.
        agent: AgentId,
        /// Which dispatch.
        attempt: u32,
    },
    /// An attempt failed and another one will follow.
    TaskRetried {
        /// When.
        at: Timestamp,
        /// The task.
        task: TaskId,
        /// Which dispatch failed.
        attempt: u32,
        /// Why.
        fault: TaskFault,
        /// The earliest next attempt.
        next: Timestamp,
    },
    /// An agent let go of an attempt that had been given up before; what it answered counts for nothing but its slot,
    /// which is free again.
    AttemptReleased {
        /// When.
        at: Timestamp,
        /// The task.
        task: TaskId,
        /// The agent.
        agent: AgentId,
        /// Which dispatch.
        attempt: u32,
        /// Whether the agent had done it all the same.
        done: bool,
    },
    /// A task ended.
    TaskEnded {
        /// When.
        at: Timestamp,
        /// The task.
        task: TaskId,
        /// How.
        state: TaskState,
        /// How many times it was dispatched.
        attempts: u32,
        /// The time from its submission.
        #[serde(rename = "latency_us", serialize_with = "as_micros")]
        latency: Duration,
        /// Why it did not complete, if so.
        fault: Option<TaskFault>,
    },
    /// Tasks are waiting that no enrolled agent can do; told once until one enrols.
    CapabilityMissing {
        /// When.
        at: Timestamp,
        /// What they need.
        needs: BTreeSet<Capability>,
    },
    /// An agent takes tasks from now on.
    AgentEnrolled {
        /// When.
        at: Timestamp,
        /// The agent.
        agent: AgentId,
        /// How many tasks it takes at once.
        slots: u32,
    },
    /// An agent takes no more tasks.
    AgentWithdrawn {
        /// When.
        at: Timestamp,
        /// The agent.
        agent: AgentId,
        /// How many tasks it was working on.
        executing: usize,
    },
}

/// One task as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskReport {
    /// The task.
    pub task: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// How many times it was dispatched.
    pub attempts: u32,
    /// How many attempts failed.
    pub failures: u32,
    /// The agent that works on it.
    pub agent: Option<AgentId>,
    /// When it was submitted.
    pub submitted: Timestamp,
    /// When it was first dispatched.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it, or its last attempt, did not complete.
    pub fault: Option<TaskFault>,
    /// What its agent returned.
    pub result: Option<Arc<Value>>,
}

/// Totals over all tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TaskMetrics {
    /// Tasks submitted.
    pub submitted: usize,
    /// Tasks with open dependencies.
    pub pending: usize,
    /// Ready tasks.
    pub queued: usize,
    /// Tasks being worked on.
    pub executing: usize,
    /// Tasks between attempts or without a capable agent.
    pub waiting: usize,
    /// Tasks that completed.
    pub completed: usize,
    /// Tasks that failed.
    pub failed: usize,
    /// Tasks that were cancelled.
    pub cancelled: usize,
    /// Tasks that timed out.
    pub timed_out: usize,
    /// Dispatches.
    pub dispatched: u64,
    /// Failed attempts that were followed by another one.
    pub retried: u64,
    /// Answers to attempts that had been given up.
    pub stale: u64,
    /// Attempts that were given up and that their agents have not let go of; each takes a slot.
    pub releasing: usize,
    /// Agents enrolled.
    pub agents: usize,
    /// The average time from submission to completion, as whole microseconds \[us\].
    #[serde(rename = "average_latency_us", serialize_with = "as_micros")]
    pub average_latency: Duration,
    /// When the first task was submitted \[us\].
    #[serde(rename = "first_submitted_us")]
    pub first_submitted: Option<Timestamp>,
    /// When the last task completed so far \[us\].
    #[serde(rename = "last_completed_us")]
    pub last_completed: Option<Timestamp>,
}

impl TaskMetrics {
    /// Tasks that have not ended.
    pub const fn open(&self) -> usize {
        self.pending + self.queued + self.executing + self.waiting
    }

    /// Ready tasks that nobody works on, those between attempts included.
    pub const fn queue_depth(&self) -> usize {
        self.queued + self.waiting
    }

    /// Completed tasks a second from the first submission to the last completion; `None` without such a span.
    pub fn throughput(&self) -> Option<f64> {
        let span = self.last_completed?.since(self.first_submitted?).as_secs_f64();
        let completed = u32::try_from(self.completed).map_or(f64::from(u32::MAX), f64::from);
        (span > 0.0).then(|| completed / span)
    }
}
