//! What the coordinator is told and asked, the errors it answers with, and the [`Worker`] it hands tasks to.

use std::{collections::BTreeSet, fmt, sync::Arc};

use actix::{Message, Recipient};
use serde_json::Value;

use super::{
    attempts::EnrollError,
    event::{TaskMetrics, TaskReport},
    submit::SubmitErrors,
    task::{Assignment, TaskSpec},
};
use crate::agent::{AgentId, Capability, TaskId, Timestamp};

/// The way to an agent that does tasks.
///
/// An assignment that was taken takes one of the agent's slots until the coordinator is told [`TaskEnded`] with its
/// attempt, whatever came of it, also when it was given up and its
/// [`cancellation`](Assignment::cancellation) was cancelled: only who works on it knows when the agent has really let go.
/// An agent that never lets go keeps the slot until it is withdrawn.
pub trait Worker: Send + Sync {
    /// Hands an attempt to the agent. Must not wait: the coordinator calls it from inside its handlers.
    ///
    /// # Errors
    /// [`Refused`] when the agent does not take it; it is then given to another one or later.
    fn assign(&self, assignment: Assignment) -> Result<(), Refused>;
}

/// Why an agent did not take an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its inbox is full. Transient: it is asked again after a while.
    #[error("the agent is busy: its inbox is full")]
    Busy,
    /// It is gone. Permanent: it is withdrawn.
    #[error("the agent is gone: enrol it again when it is back")]
    Gone,
}

/// Takes a batch of tasks; answered with their number, or with all that is wrong.
///
/// An id may be used again when its first task was forgotten and every agent that worked on that has answered.
#[derive(Debug, Message)]
#[rtype(result = "Result<usize, SubmitErrors>")]
pub struct Submit {
    /// The tasks; they may depend on each other and on all that are known.
    pub tasks: Vec<TaskSpec>,
}

/// Enrols an agent for tasks.
#[derive(Message)]
#[rtype(result = "Result<(), EnrollError>")]
pub struct Enroll {
    /// The agent.
    pub agent: AgentId,
    /// What it offers.
    pub offers: BTreeSet<Capability>,
    /// How many tasks it takes at once.
    pub slots: u32,
    /// The way to it.
    pub worker: Arc<dyn Worker>,
}

/// Removes an agent that left or died; its tasks go to others. `false` if it is not enrolled.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Withdraw(pub AgentId);

/// An agent's answer to an assignment; `false` if that attempt had been given up before. Then it is counted as stale and
/// frees the slot, and its result is dropped.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct TaskEnded {
    /// The task.
    pub task: TaskId,
    /// The attempt, as in the assignment.
    pub attempt: u32,
    /// What came of it.
    pub result: Result<Value, String>,
}

/// Many answers at once; how many of them counted.
#[derive(Debug, Clone, Message)]
#[rtype(result = "usize")]
pub struct TasksEnded(pub Vec<TaskEnded>);

/// Withdraws a task; `false` if it has ended or is not known.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct CancelTask {
    /// The task.
    pub task: TaskId,
    /// Why.
    pub because: String,
}

/// Withdraws every task that has not ended; how many those were.
#[derive(Debug, Clone, Message)]
#[rtype(result = "usize")]
pub struct CancelAll {
    /// Why.
    pub because: String,
}

/// Lets go of tasks that were to be [`kept`](super::TaskSpec::keep); how many these were.
#[derive(Debug, Clone, Message)]
#[rtype(result = "usize")]
pub struct ForgetTasks(pub Vec<TaskId>);

/// Asks how one task stands.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<TaskReport, UnknownTask>")]
pub struct QueryTask(pub TaskId);

/// Asks for the totals over all tasks.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "TaskTotals")]
pub struct QueryTasks;

/// The totals over all tasks at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, actix::MessageResponse)]
pub struct TaskTotals {
    /// When.
    pub at: Timestamp,
    /// The totals.
    pub metrics: TaskMetrics,
}

/// Waits for the end of a task; answered then, or at once if it has ended.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<TaskReport, AwaitError>")]
pub struct AwaitTask(pub TaskId);

/// Waits until no task is open; answered then, or at once if none is.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<TaskTotals, AwaitError>")]
pub struct AwaitAll;

/// Asks for [`TaskProgress`] from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SubscribeTasks(pub Recipient<TaskProgress>);

/// Tasks moved on. A subscriber whose mailbox is full misses some, but never that no task is open any more.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct TaskProgress {
    /// The totals now.
    pub totals: TaskTotals,
    /// How many messages this subscriber missed so far.
    pub missed: u64,
}

/// A task is not known: it was never submitted, or it has ended and was forgotten since. Which of these cannot be told,
/// unless none was ever forgotten. Permanent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTask {
    /// The task.
    pub task: TaskId,
    /// How many tasks were forgotten so far.
    pub forgotten: u64,
}

impl fmt::Display for UnknownTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, forgotten } = self;
        match forgotten {
            0 => write!(f, "task {task} does not exist: submit it first"),
            _ => write!(
                f,
                "task {task} is not known: it was never submitted, or is one of {forgotten} that ended and were forgotten; \
                 ask sooner, keep the task, or raise the history"
            ),
        }
    }
}

impl std::error::Error for UnknownTask {}

/// Why there is nothing to wait for. Both are permanent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwaitError {
    /// No such task is known.
    #[error(transparent)]
    Unknown(#[from] UnknownTask),
    /// The tasks were dropped before the end.
    #[error("tasks were abandoned before they ended: the host has shut down")]
    Abandoned,
}
