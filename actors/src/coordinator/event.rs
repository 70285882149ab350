//! What the coordinator says of its tasks: [`TaskEvent`], [`TaskReport`], [`TaskMetrics`], and [`Effect`].

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::task::{Assignment, TaskFault, TaskState};
use crate::{
    agent::{AgentId, Capability, TaskId, Timestamp},
    monitor::{Event, EventKind, Severity},
    support::{as_micros, micros},
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

impl From<TaskEvent> for Event {
    /// The event for the monitor: each variant has its name, kind and severity, and the data it is serialised with.
    fn from(event: TaskEvent) -> Self {
        let system = |severity, name: &'static str, at| Event::system(severity, "coordinator", name, at);
        match event {
            TaskEvent::TasksSubmitted { at, tasks } => {
                system(Severity::Info, "coordinator.tasks_submitted", at).with("tasks", tasks)
            }
            TaskEvent::TaskStarted { at, task, agent, attempt } => {
                system(Severity::Debug, "coordinator.task_started", at)
                    .about(agent)
                    .with("task", task.as_str())
                    .with("attempt", attempt)
            }
            TaskEvent::TaskRefused { at, task, agent, attempt } => {
                system(Severity::Warning, "coordinator.task_refused", at)
                    .about(agent)
                    .with("task", task.as_str())
                    .with("attempt", attempt)
            }
            TaskEvent::TaskRetried { at, task, attempt, fault, next } => {
                system(Severity::Warning, "coordinator.task_retried", at)
                    .with("task", task.as_str())
                    .with("attempt", attempt)
                    .with_json("fault", &fault)
                    .with("next", next.micros())
            }
            TaskEvent::AttemptReleased { at, task, agent, attempt, done } => {
                system(Severity::Info, "coordinator.attempt_released", at)
                    .about(agent)
                    .with("task", task.as_str())
                    .with("attempt", attempt)
                    .with("done", done)
            }
            TaskEvent::TaskEnded { at, task, state, attempts, latency, fault } => {
                let (kind, severity) = state.told_as();
                let event = Event::new(kind, severity, "coordinator", "coordinator.task_ended", at)
                    .with("task", task.as_str())
                    .with("state", state.as_str())
                    .with("attempts", attempts)
                    .with("latency_us", micros(latency));
                match fault {
                    Some(fault) => event.with_json("fault", &fault),
                    None => event,
                }
            }
            TaskEvent::CapabilityMissing { at, needs } => {
                let needs: Vec<&str> = needs.iter().map(Capability::as_str).collect();
                system(Severity::Warning, "coordinator.capability_missing", at).with("needs", needs)
            }
            TaskEvent::AgentEnrolled { at, agent, slots } => {
                system(Severity::Info, "coordinator.agent_enrolled", at).about(agent).with("slots", slots)
            }
            TaskEvent::AgentWithdrawn { at, agent, executing } => {
                system(Severity::Info, "coordinator.agent_withdrawn", at)
                    .about(agent)
                    .with("executing", executing)
            }
        }
    }
}

impl TaskState {
    /// As what an event tells that a task came into this state.
    const fn told_as(self) -> (EventKind, Severity) {
        match self {
            TaskState::Pending
            | TaskState::Queued
            | TaskState::Executing
            | TaskState::Waiting
            | TaskState::Completed => (EventKind::SystemEvent, Severity::Info),
            TaskState::Cancelled => (EventKind::SystemEvent, Severity::Warning),
            TaskState::Failed | TaskState::TimedOut => (EventKind::ErrorAlert, Severity::Error),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::testing::assert_told;

    #[test]
    fn the_monitor_is_told_each_task_event_by_its_serialised_name_and_data() {
        let (at, next) = (Timestamp::from_start(Duration::from_millis(3)), Timestamp::ZERO);
        let (task, agent) = (TaskId::new("t").unwrap(), AgentId::new("a").unwrap());
        let fault = TaskFault::TimedOut { after: Duration::from_secs(2) };
        let needs = [Capability::new("x").unwrap(), Capability::new("y").unwrap()].into();
        let ended = |state, fault| TaskEvent::TaskEnded {
            at,
            task: task.clone(),
            state,
            attempts: 2,
            latency: Duration::from_micros(7),
            fault,
        };
        let (system, alert) = (EventKind::SystemEvent, EventKind::ErrorAlert);
        let all = [
            (TaskEvent::TasksSubmitted { at, tasks: 3 }, system, Severity::Info),
            (
                TaskEvent::TaskStarted { at, task: task.clone(), agent: agent.clone(), attempt: 1 },
                system,
                Severity::Debug,
            ),
            (
                TaskEvent::TaskRefused { at, task: task.clone(), agent: agent.clone(), attempt: 1 },
                system,
                Severity::Warning,
            ),
            (
                TaskEvent::TaskRetried { at, task: task.clone(), attempt: 1, fault: fault.clone(), next },
                system,
                Severity::Warning,
            ),
            (
                TaskEvent::AttemptReleased {
                    at,
                    task: task.clone(),
                    agent: agent.clone(),
                    attempt: 1,
                    done: true,
                },
                system,
                Severity::Info,
            ),
            (ended(TaskState::Completed, None), system, Severity::Info),
            (ended(TaskState::Cancelled, None), system, Severity::Warning),
            (ended(TaskState::Failed, None), alert, Severity::Error),
            (ended(TaskState::TimedOut, Some(fault)), alert, Severity::Error),
            (TaskEvent::CapabilityMissing { at, needs }, system, Severity::Warning),
            (TaskEvent::AgentEnrolled { at, agent: agent.clone(), slots: 2 }, system, Severity::Info),
            (TaskEvent::AgentWithdrawn { at, agent, executing: 1 }, system, Severity::Info),
        ];
        for (event, kind, severity) in all {
            assert_told("coordinator", &event, &event.clone().into(), (kind, severity), &[]);
        }
    }
}
