//! What the registrar is asked, and what it answers.

use std::{collections::BTreeMap, time::Duration};

use actix::Message;
use serde::{Deserialize, Serialize};

use super::{BatcherOptions, CancelError, MAX_CHANGES, Request, RequestId};
use crate::{
    agent::{AgentId, Capability, Kind},
    inbox::AgentHandle,
};

/// An agent that is to be registered, and the request for it.
#[derive(Debug, Clone)]
pub struct Enlistment {
    /// The request; [`Request::of`] makes one from the handle.
    pub request: Request,
    /// The agent.
    pub agent: AgentHandle,
}

/// Registers agents. Answered with the requests, in the order given and each in its final status, when all have ended; by
/// then everyone who publishes reaches the completed ones.
///
/// A request whose number came before is not taken twice: it is answered with what became of the first. The asker hears
/// that the mailbox was closed only when the registrar's state is dropped before the end.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Vec<Request>")]
pub struct Enlist(pub Vec<Enlistment>);

/// Removes agents, from the roster and from all routes; requests for them that have not ended fail. Answered with how many
/// were in the roster, when no publisher reaches them any more.
#[derive(Debug, Clone, Message)]
#[rtype(result = "usize")]
pub struct Delist(pub Vec<AgentId>);

/// Takes a request back while it waits for its batch; answered with the cancelled request.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Request, CancelError>")]
pub struct CancelRequest(pub RequestId);

/// Asks how a request stands: one that waits, is in flight, or is among the latest that ended
/// ([`BatcherOptions::remember`]).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<Request>")]
pub struct QueryRequest(pub RequestId);

/// Looks agents up by all of these at once, in the order of their registration; what is left empty does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Message)]
#[rtype(result = "Vec<AgentHandle>")]
pub struct Lookup {
    /// Of this kind.
    pub kind: Option<Kind>,
    /// Offering all of these.
    pub all_of: Vec<Capability>,
    /// Offering at least one of these.
    pub any_of: Vec<Capability>,
}

/// Asks for one agent.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<AgentHandle>")]
pub struct QueryAgent(pub AgentId);

/// Asks how the registrar stands.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "RosterStatus")]
pub struct QueryRoster;

/// How a registrar stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RosterStatus {
    /// How many agents are registered.
    pub agents: usize,
    /// How many changes of the roster there have been.
    pub revision: u64,
    /// How many requests wait for their batch.
    pub waiting: usize,
    /// How many requests are in batches under way.
    pub in_flight: usize,
    /// How many requests were completed.
    pub completed: u64,
    /// How many requests failed, those not taken in at all included.
    pub failed: u64,
    /// How many requests were cancelled.
    pub cancelled: u64,
    /// How many batches are through.
    pub batches: u64,
    /// How many requests they had on average.
    pub mean_batch_size: f64,
    /// How many agents there are of each kind.
    pub kinds: BTreeMap<Kind, usize>,
}

/// How a registrar works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrarOptions {
    /// How batches are formed, how many requests may wait, and how many ended ones are remembered.
    pub batcher: BatcherOptions,
    /// How many batches may be under way at once.
    pub parallel_batches: usize,
    /// How long a batch may take; when its routes are not confirmed by then, its requests fail.
    pub batch_timeout: Duration,
    /// How many changes of the roster are held for readers that keep up.
    pub changes: usize,
}

impl Default for RegistrarOptions {
    /// As the batcher, but room for a million requests; 8 batches at once, 30 s for each,
    /// and [`MAX_CHANGES`] changes.
    fn default() -> Self {
        Self {
            batcher: BatcherOptions { capacity: 1 << 20, ..BatcherOptions::default() },
            parallel_batches: 8,
            batch_timeout: Duration::from_secs(30),
            changes: MAX_CHANGES,
        }
    }
}
