//! What the registrar tells of: [`RegistrarEvent`].

use serde::Serialize;

use super::RequestId;
use crate::agent::{AgentId, Timestamp};

/// How many agents of a batch are named in its event; the others are only counted.
pub const AGENTS_NAMED: usize = 16;

/// Something that happened to those who register. Durations are whole microseconds \[us\].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RegistrarEvent {
    /// A batch is through, and at least one of its agents is registered.
    BatchRegistered {
        /// When.
        at: Timestamp,
        /// How many agents were registered.
        agents: usize,
        /// The first [`AGENTS_NAMED`] of them.
        first: Vec<AgentId>,
        /// How long it took from forming the batch to its end \[us\].
        took_us: u64,
    },
    /// A request was refused.
    RequestFailed {
        /// When.
        at: Timestamp,
        /// Which.
        request: RequestId,
        /// The agent it is for.
        agent: AgentId,
        /// Why.
        reason: String,
    },
    /// Agents were taken out of the roster.
    AgentsRemoved {
        /// When.
        at: Timestamp,
        /// How many.
        count: usize,
    },
}
