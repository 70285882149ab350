//! What the registrar is asked, and what it answers.

use std::{collections::BTreeMap, time::Duration};

use actix::Message;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    BatcherOptions, CancelError, Limits, MAX_CHANGES, ParallelBatches, Request, RequestId, RosterError,
    WatchFrom, Watching,
};
use crate::{
    agent::{AgentId, Capability, Circle, Kind, Tenant, Timestamp},
    inbox::AgentHandle,
};

/// An agent that is to be registered, and the request for it.
#[derive(Debug, Clone)]
pub struct Enlistment {
    /// The request; [`Request::of`] makes one from the handle. Its number is one that the cell gave out, or a program's own
    /// ([`RequestId::own`]).
    pub request: Request,
    /// The agent.
    pub agent: AgentHandle,
}

/// Registers agents. Answered with the requests, in the order given and each in its final status, when all have ended; by
/// then everyone who publishes reaches the completed ones.
///
/// A request whose number came before is not taken twice: it is answered with what became of the first, and the agent it comes
/// with is left as it is. So a completed one that comes again says that its agent was registered, not that it still is: it may
/// have been removed since, or been lost with an earlier process, and then comes back under a new number. Whether it is
/// there, [`QueryAgent`] says. The asker hears that the mailbox was closed only when the registrar's state is dropped before the
/// end.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Vec<Request>")]
pub struct Enlist(pub Vec<Enlistment>);

/// Removes agents, from the roster and from all routes. Requests for them that have not ended fail: at once, their validations
/// broken off, as long as they are in no batch; otherwise with their batch. Answered with how many agents were in the roster,
/// when no publisher reaches them any more.
#[derive(Debug, Clone, Message)]
#[rtype(result = "usize")]
pub struct Delist(pub Vec<AgentId>);

/// Takes a request back while it waits or is being validated by async rules; answered with the cancelled request.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Request, CancelError>")]
pub struct CancelRequest(pub RequestId);

/// Asks how a request stands, and when it came to each step: one that waits, is in flight, or is among the latest that ended
/// ([`BatcherOptions::remember`]).
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<Request>")]
pub struct QueryRequest(pub RequestId);

/// Looks agents up by all of these at once, in the order of their registration; what is left empty does not matter.
///
/// It visits the agents of its rarest criterion, and no more than it needs for the first `limit`: see
/// [`Roster::lookup`](super::Roster::lookup) and [`RegistrarCell::lookup`](super::RegistrarCell::lookup) to ask without a
/// message.
///
/// # Examples
/// ```
/// use phalanx_actors::{agent::{Capability, Circle}, registrar::Lookup};
/// let near = Lookup {
///     all_of: vec![Capability::new("sell")?],
///     within: Some(Circle::new(48.86, 2.35, 5_000.0)?),
///     metadata: vec![("zone".into(), "a".into())],
///     limit: Some(10),
///     ..Lookup::default()
/// };
/// # let _ = near;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Message)]
#[rtype(result = "Vec<AgentHandle>")]
pub struct Lookup {
    /// Of this kind.
    pub kind: Option<Kind>,
    /// Of this tenant.
    pub tenant: Option<Tenant>,
    /// Offering all of these.
    pub all_of: Vec<Capability>,
    /// Offering at least one of these.
    pub any_of: Vec<Capability>,
    /// At a place on Earth within this circle, by the great circle. A location is a place where it is
    /// `latitude,longitude` in degrees.
    pub within: Option<Circle>,
    /// With all of these entries of metadata. Numbers are equal as `serde_json` has it: 1 and 1.0 are not.
    pub metadata: Vec<(String, Value)>,
    /// At most so many, the first to register; all unless it is said.
    pub limit: Option<usize>,
}

/// Asks for one agent.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<AgentHandle>")]
pub struct QueryAgent(pub AgentId);

/// Renews the lease of an agent: the heartbeat of whoever holds it, by the word of one incarnation. Answered with when the
/// lease ends unless it is renewed again.
///
/// An incarnation later than the one in the roster takes its place there, which watchers see as a replacement; an earlier one
/// is refused with [`RosterError::Stale`], which names the present one. Whoever is not registered, or not any more, hears
/// [`RosterError::Unknown`], and whoever has no lease [`RosterError::Unleased`].
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Timestamp, RosterError>")]
pub struct Renew {
    /// Whose lease.
    pub agent: AgentId,
    /// Which incarnation says so: [`Me::generation`](crate::agent::Me::generation).
    pub generation: u64,
}

/// Watches the roster; see [`Watching`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Watching")]
pub struct WatchRoster(pub WatchFrom);

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
    /// How many requests wait, for their validation or their batch.
    pub waiting: usize,
    /// How many requests are being validated by async rules.
    pub validating: usize,
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
    /// How many batches may be under way at once by now, see [`ParallelBatches`].
    pub parallel_batches: usize,
    /// How many requests a second become ready for a batch, on average over the last time.
    pub arrival_rate: f64,
    /// How long a batch takes from being formed to its end, with the writing where there is a recorder, on average over the last
    /// ones; those that were refused whole do not count.
    pub commit_latency: Duration,
    /// How many agents there are of each kind.
    pub kinds: BTreeMap<Kind, usize>,
    /// How many agents there are of each tenant.
    pub tenants: BTreeMap<Tenant, usize>,
    /// How many agents have a lease.
    pub leased: usize,
}

/// How a registrar works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrarOptions {
    /// How batches are formed, how many requests may wait, and how many ended ones are remembered.
    pub batcher: BatcherOptions,
    /// How many batches may be under way at once.
    pub parallel_batches: ParallelBatches,
    /// How long a batch may take; when its routes are not confirmed by then, its requests fail.
    pub batch_timeout: Duration,
    /// How many changes of the roster are held for readers that keep up.
    pub changes: usize,
    /// How many agents of a kind and of a tenant may be registered.
    pub limits: Limits,
}

impl Default for RegistrarOptions {
    /// As the batcher, but room for a million requests; up to 8 batches at once, 30 s for each, [`MAX_CHANGES`] changes, and
    /// no limits.
    fn default() -> Self {
        Self {
            batcher: BatcherOptions { capacity: 1 << 20, ..BatcherOptions::default() },
            parallel_batches: ParallelBatches::default(),
            batch_timeout: Duration::from_secs(30),
            changes: MAX_CHANGES,
            limits: Limits::default(),
        }
    }
}
