//! What is asked of the coordinator and handed to an agent: [`TaskSpec`], [`Assignment`], and the words for both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{AgentId, Capability, Priority, TaskId, Timestamp},
    support::{as_micros, from_micros},
};

/// What sort of task one is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskType {
    /// Work for its own sake.
    #[default]
    Work,
    /// Agents come to a common point.
    Synchronization,
    /// Something scarce is shared out.
    ResourceAllocation,
    /// Steps of a larger whole are led.
    WorkflowCoordination,
    /// Data of several places is made equal.
    DataSync,
    /// Events are brought together.
    EventCoordination,
    /// Work is spread evenly.
    LoadBalancing,
}

impl TaskType {
    /// The name as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            TaskType::Work => "work",
            TaskType::Synchronization => "synchronization",
            TaskType::ResourceAllocation => "resource_allocation",
            TaskType::WorkflowCoordination => "workflow_coordination",
            TaskType::DataSync => "data_sync",
            TaskType::EventCoordination => "event_coordination",
            TaskType::LoadBalancing => "load_balancing",
        }
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Dependencies are open.
    Pending,
    /// Ready; a capable agent is enrolled, but it or the whole is busy.
    Queued,
    /// An agent works on it.
    Executing,
    /// Between two attempts, or ready while no capable agent is enrolled.
    Waiting,
    /// Done.
    Completed,
    /// Its last attempt failed, or a dependency did not complete.
    Failed,
    /// Withdrawn by the one who asked, or given up because no agent is left that can do it.
    Cancelled,
    /// Its last attempt took too long.
    TimedOut,
}

impl TaskState {
    /// All states.
    pub const ALL: [TaskState; 8] = [
        TaskState::Pending,
        TaskState::Queued,
        TaskState::Executing,
        TaskState::Waiting,
        TaskState::Completed,
        TaskState::Failed,
        TaskState::Cancelled,
        TaskState::TimedOut,
    ];

    /// The name as it is serialised.
    pub const fn as_str(self) -> &'static str {
        match self {
            TaskState::Pending => "pending",
            TaskState::Queued => "queued",
            TaskState::Executing => "executing",
            TaskState::Waiting => "waiting",
            TaskState::Completed => "completed",
            TaskState::Failed => "failed",
            TaskState::Cancelled => "cancelled",
            TaskState::TimedOut => "timed_out",
        }
    }

    /// Whether the task will not change any more.
    pub const fn ended(self) -> bool {
        matches!(self, TaskState::Completed | TaskState::Failed | TaskState::Cancelled | TaskState::TimedOut)
    }
}

/// Why a task, or one attempt, did not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum TaskFault {
    /// The agent reported an error.
    Failed {
        /// What it said.
        error: String,
    },
    /// An attempt took longer than allowed.
    TimedOut {
        /// What was allowed, as whole microseconds \[us\].
        #[serde(rename = "after_us", serialize_with = "as_micros", deserialize_with = "from_micros")]
        after: Duration,
    },
    /// The agent left while it worked on the task.
    AgentLeft {
        /// The agent.
        agent: AgentId,
    },
    /// A task it depends on did not complete.
    Dependency {
        /// The task that failed, timed out or was cancelled first.
        because_of: TaskId,
    },
    /// No enrolled agent offers all it needs, and such tasks do not wait.
    Unserved {
        /// What it needs.
        needs: Arc<BTreeSet<Capability>>,
    },
    /// It was withdrawn.
    Cancelled {
        /// Why.
        because: Arc<str>,
    },
}

impl fmt::Display for TaskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { error } => f.write_str(error),
            Self::TimedOut { after } => write!(f, "timed out after {after:?}"),
            Self::AgentLeft { agent } => write!(f, "agent {agent} left while it worked on it"),
            Self::Dependency { because_of } => write!(f, "task {because_of} did not complete"),
            Self::Unserved { needs } => {
                f.write_str("no agent is left that ")?;
                if needs.is_empty() {
                    return f.write_str("does tasks");
                }
                for (at, need) in needs.iter().enumerate() {
                    write!(f, "{}{need}", if at == 0 { "offers " } else { ", " })?;
                }
                Ok(())
            }
            Self::Cancelled { because } => write!(f, "cancelled: {because}"),
        }
    }
}

/// One task as it is submitted.
///
/// # Examples
/// ```
/// use phalanx_actors::coordinator::TaskSpec;
/// let task = TaskSpec::new("combine".parse().unwrap())
///     .needing(["hash".parse().unwrap()])
///     .after(["file/1".parse().unwrap(), "file/2".parse().unwrap()]);
/// assert_eq!(task.dependencies.len(), 2);
/// assert_eq!((task.timeout.as_secs(), task.max_retries), (30, 3));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSpec {
    /// Its identity, unique among the tasks that the coordinator knows.
    pub id: TaskId,
    /// What sort of task it is.
    pub task_type: TaskType,
    /// Which of two ready tasks goes first.
    pub priority: Priority,
    /// What it is for, for people.
    pub description: String,
    /// The tasks that must have completed before it starts; it fails when one of them does not complete.
    pub dependencies: Vec<TaskId>,
    /// The tasks that must have ended before it starts, however they ended.
    pub follows: Vec<TaskId>,
    /// What an agent must offer to get it; all of these.
    pub needs: BTreeSet<Capability>,
    /// What the agent is to work on; dropped when the task ends.
    pub payload: Value,
    /// Anything else that travels with it.
    pub metadata: BTreeMap<String, String>,
    /// How long one attempt may take; 30 s unless said.
    pub timeout: Duration,
    /// How many further attempts follow a failed one; 3 unless said.
    pub max_retries: u32,
    /// How long it is expected to take; nothing unless said.
    pub estimated_duration: Duration,
    /// Whether it stays known after its end until [`ForgetTasks`](super::ForgetTasks) names it: for those who will submit
    /// tasks that depend on it, or ask for its result, much later. Otherwise it is forgotten when nothing refers to it and
    /// [`history`](super::GraphOptions::history) more recent tasks have ended.
    pub keep: bool,
}

impl TaskSpec {
    /// A task of normal priority without dependencies or needs: 30 s for an attempt, 3 retries.
    pub fn new(id: TaskId) -> Self {
        Self {
            id,
            task_type: TaskType::default(),
            priority: Priority::default(),
            description: String::new(),
            dependencies: Vec::new(),
            follows: Vec::new(),
            needs: BTreeSet::new(),
            payload: Value::Null,
            metadata: BTreeMap::new(),
            timeout: Duration::from_secs(30),
            max_retries: 3,
            estimated_duration: Duration::ZERO,
            keep: false,
        }
    }

    /// Sets the sort of task.
    pub fn of_type(self, task_type: TaskType) -> Self {
        Self { task_type, ..self }
    }

    /// Sets the priority.
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Adds tasks that must complete first.
    pub fn after(mut self, dependencies: impl IntoIterator<Item = TaskId>) -> Self {
        self.dependencies.extend(dependencies);
        self
    }

    /// Adds tasks that must end first, however they end.
    pub fn following(mut self, follows: impl IntoIterator<Item = TaskId>) -> Self {
        self.follows.extend(follows);
        self
    }

    /// Adds capabilities an agent must offer.
    pub fn needing(mut self, needs: impl IntoIterator<Item = Capability>) -> Self {
        self.needs.extend(needs);
        self
    }

    /// Sets what the agent is to work on.
    pub fn with_payload(self, payload: Value) -> Self {
        Self { payload, ..self }
    }

    /// Keeps it after its end until it is named by [`ForgetTasks`](super::ForgetTasks).
    pub fn kept(self) -> Self {
        Self { keep: true, ..self }
    }

    /// Limits the time of one attempt.
    pub fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets how many further attempts follow a failed one.
    pub fn retrying(self, max_retries: u32) -> Self {
        Self { max_retries, ..self }
    }
}

/// What a task brings for people and agents, shared by all that mention it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct TaskDetails {
    /// What it is for.
    pub description: String,
    /// Anything else that travels with it.
    pub metadata: BTreeMap<String, String>,
    /// How long it is expected to take, as whole microseconds \[us\].
    #[serde(rename = "estimated_us", serialize_with = "as_micros")]
    pub estimated_duration: Duration,
}

/// One attempt at a task, handed to an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assignment {
    /// The task.
    pub task: TaskId,
    /// The agent it is for.
    pub agent: AgentId,
    /// Which dispatch of the task this is, from 1; the answer must name it.
    pub attempt: u32,
    /// What sort of task it is.
    pub task_type: TaskType,
    /// Its priority.
    pub priority: Priority,
    /// When the attempt will be given up.
    pub deadline: Timestamp,
    /// What to work on.
    pub payload: Arc<Value>,
    /// What else it brings; `None` when there is nothing.
    pub details: Option<Arc<TaskDetails>>,
    /// What the completed tasks before it returned, in the order the task names them.
    pub inputs: Arc<[(TaskId, Arc<Value>)]>,
    /// Cancelled when the attempt is given up: it was late, its task was cancelled, or its agent was withdrawn. Whoever
    /// works on it lets go then, and answers all the same: only the answer frees the agent's slot.
    #[serde(skip)]
    pub cancellation: CancellationToken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_types_are_serialised_in_snake_case() {
        let state = |s: TaskState| serde_json::to_value(s).unwrap();
        assert_eq!(
            TaskState::ALL.map(state),
            ["pending", "queued", "executing", "waiting", "completed", "failed", "cancelled", "timed_out"]
        );
        assert_eq!(serde_json::to_value(TaskType::WorkflowCoordination).unwrap(), "workflow_coordination");
    }

    #[test]
    fn faults_are_read_as_they_were_written() {
        let faults = [
            TaskFault::Failed { error: "no".to_owned() },
            TaskFault::TimedOut { after: Duration::from_millis(5) },
            TaskFault::AgentLeft { agent: AgentId::new("a").unwrap() },
            TaskFault::Dependency { because_of: TaskId::new("t").unwrap() },
            TaskFault::Unserved { needs: Arc::new([Capability::new("hash").unwrap()].into()) },
            TaskFault::Cancelled { because: "enough".into() },
        ];
        for fault in faults {
            let written = serde_json::to_value(&fault).unwrap();
            assert_eq!(serde_json::from_value::<TaskFault>(written).unwrap(), fault);
        }
    }
}
