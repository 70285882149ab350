//! [`Profile`]: what is told of an agent when it registers; [`RosterError`]: why the roster did not change.

use serde_json::{Map, Value};

use crate::agent::{AgentId, Capability, Kind, Tenant};

/// How deep lists and objects of JSON may be nested in one entry of metadata: no request is taken in that has more levels, as
/// readers of JSON give up at some depth.
pub const METADATA_DEPTH: usize = 64;

/// What is told of an agent when it registers.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// What sort of agent it is.
    pub kind: Kind,
    /// What it offers; order and repetition do not matter.
    pub capabilities: Vec<Capability>,
    /// A name for people.
    pub name: Option<String>,
    /// Whom it works for.
    pub tenant: Option<Tenant>,
    /// Where it lives; `latitude,longitude` in degrees is a place on Earth, by which it is found.
    pub location: Option<String>,
    /// What else there is to know.
    pub metadata: Map<String, Value>,
}

impl Profile {
    /// An agent of a kind, with nothing else to tell.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            capabilities: Vec::new(),
            name: None,
            tenant: None,
            location: None,
            metadata: Map::new(),
        }
    }

    /// The entry of metadata that is nested deeper than [`METADATA_DEPTH`], if there is one.
    pub(super) fn too_deep(&self) -> Option<&str> {
        let entry = self.metadata.iter().find(|(_, value)| is_deeper(value, METADATA_DEPTH));
        entry.map(|(name, _)| name.as_str())
    }
}

fn is_deeper(value: &Value, than: usize) -> bool {
    let is_within = |value: &Value| than > 0 && !is_deeper(value, than - 1);
    match value {
        Value::Array(values) => than == 0 || !values.iter().all(is_within),
        Value::Object(values) => than == 0 || !values.values().all(is_within),
        _ => false,
    }
}

/// Why the roster did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// The id is in use.
    #[error(
        "agent id {agent} is taken by generation {generation} of a {kind}: choose another id, or remove it first"
    )]
    Duplicate {
        /// The id.
        agent: AgentId,
        /// The kind of its holder.
        kind: Kind,
        /// The generation of its holder.
        generation: u64,
    },
    /// There is no agent of this id.
    #[error("agent {0} is not registered: register it first")]
    Unknown(AgentId),
    /// The generation that renews a lease is older than the present one.
    #[error(
        "agent {agent} is at generation {present}, so this word of generation {offered} is out of date: let the present one speak"
    )]
    Stale {
        /// The agent.
        agent: AgentId,
        /// The generation in the roster.
        present: u64,
        /// The generation that wants to renew it.
        offered: u64,
    },
    /// The agent has no lease to renew.
    #[error("agent {0} has no lease: it stays until it is removed, and need not be renewed")]
    Unleased(AgentId),
    /// All slots are taken.
    #[error("the roster is full with {0} agents: remove some")]
    Full(usize),
}
