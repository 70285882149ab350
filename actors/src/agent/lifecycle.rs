//! The life of an agent: [`Me`], [`Lifecycle`] events, [`ExitReason`], [`Terminated`].

use actix::Message;
use serde::{Deserialize, Serialize};

use super::{AgentId, Timestamp};

/// What a factory is told about the agent it builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// The agent's identity, the same in every incarnation.
    pub id: AgentId,
    /// Which incarnation this is: 0 for the first, one more after each restart.
    pub generation: u32,
}

/// Why an incarnation, or in the end the agent, came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason", content = "detail")]
pub enum ExitReason {
    /// It stopped itself, or was asked to and had handled what it held.
    Normal,
    /// It was stopped before it had handled what it held.
    Killed,
    /// It panicked; the text of the panic.
    Panicked(String),
    /// It was no more before anybody watched, so that why is not known.
    Gone,
    /// An agent it is linked to came to a bad end.
    Linked(AgentId),
    /// It, or its group, was restarted more often than its supervision allows.
    Escalated(String),
}

impl ExitReason {
    /// Whether the agent ended as it should.
    pub fn is_normal(&self) -> bool {
        matches!(self, ExitReason::Normal)
    }
}

impl std::fmt::Display for ExitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExitReason::Normal => f.write_str("it stopped"),
            ExitReason::Killed => f.write_str("it was stopped at once"),
            ExitReason::Panicked(text) => write!(f, "it panicked: {text}"),
            ExitReason::Gone => f.write_str("it was no more already"),
            ExitReason::Linked(other) => write!(f, "the linked agent {other} failed"),
            ExitReason::Escalated(why) => f.write_str(why),
        }
    }
}

/// What happened to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum LifecycleChange {
    /// An incarnation runs.
    Started,
    /// An incarnation failed; `restart_in_us` says after which back-off \[us\] the next follows, if one does.
    Crashed {
        /// The text of the panic, or why the incarnation was ended.
        cause: String,
        /// The back-off before the next incarnation \[us\]; `None` when the decision is not the agent's own.
        restart_in_us: Option<u64>,
    },
    /// Its group restarts it, because it failed itself or because another one of the group did.
    Restarting {
        /// Why.
        cause: String,
        /// The back-off before the next incarnation \[us\].
        restart_in_us: u64,
    },
    /// A new incarnation took over id, address and inbox.
    Restarted,
    /// The agent is no more.
    Terminated(ExitReason),
}

/// A change in the life of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Whose.
    pub agent: AgentId,
    /// Which incarnation.
    pub generation: u32,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub change: LifecycleChange,
}

/// Sent to those who watch an agent when it is no more. A restart is not a termination.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Terminated {
    /// Who.
    pub agent: AgentId,
    /// Why.
    pub reason: ExitReason,
}
