//! [`Request`]: one agent that asks to be registered, from asking to its end.
//!
//! ```text
//! pending --> validating --> registering --> completed
//!    |            |               |
//!    |            +---------------+--------> failed(reason)
//!    +------------+------------------------> cancelled
//! ```
//!
//! **Invariant.** A request goes only along these arrows, and has ended exactly when it is completed, failed or cancelled.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    agent::{AgentId, Capability, Kind, Priority, Tenant, Timestamp},
    inbox::AgentHandle,
};

/// The number of a request; who asks twice with the same one is registered once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for its batch.
    Pending,
    /// Is looked at by the validators.
    Validating,
    /// Is written into the roster.
    Registering,
    /// The agent is registered.
    Completed,
    /// It was refused, for this reason.
    Failed(String),
    /// It was taken back before it was registered.
    Cancelled,
}

impl Status {
    /// The name as it stands in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Validating => "validating",
            Status::Registering => "registering",
            Status::Completed => "completed",
            Status::Failed(_) => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// Whether nothing comes after it.
    pub const fn is_final(&self) -> bool {
        matches!(self, Status::Completed | Status::Failed(_) | Status::Cancelled)
    }

    /// Whether `next` may come right after it.
    pub const fn may_become(&self, next: &Status) -> bool {
        match self {
            Status::Pending => matches!(next, Status::Validating | Status::Cancelled),
            Status::Validating => {
                matches!(next, Status::Registering | Status::Failed(_) | Status::Cancelled)
            }
            Status::Registering => matches!(next, Status::Completed | Status::Failed(_)),
            Status::Completed | Status::Failed(_) | Status::Cancelled => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Failed(reason) => write!(f, "failed: {reason}"),
            other => f.write_str(other.as_str()),
        }
    }
}

/// A step a request cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{request} for agent {agent} is {from} and cannot become {to}: start a new request")]
pub struct IllegalStep {
    /// Which request.
    pub request: RequestId,
    /// The agent it is for.
    pub agent: AgentId,
    /// What it is.
    pub from: &'static str,
    /// What it was to become.
    pub to: &'static str,
}

/// One agent that asks to be registered.
///
/// # Examples
/// ```
/// use phalanx_actors::{agent::{AgentId, Capability, Kind, Priority, Timestamp}, registrar::{Request, RequestId, Status}};
/// let request = Request::new(RequestId(1), AgentId::new("seller/7")?, Kind::new("seller")?, Timestamp::ZERO)
///     .capability(Capability::new("sell")?)
///     .priority(Priority::High);
/// assert_eq!(request.status(), &Status::Pending);
/// # Ok::<(), phalanx_actors::agent::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Its number.
    pub id: RequestId,
    /// The agent it is for.
    pub agent: AgentId,
    /// A name for people; none where the id says it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What sort of agent it is.
    pub kind: Kind,
    /// What the agent offers.
    pub capabilities: Vec<Capability>,
    /// How urgent it is.
    pub priority: Priority,
    /// Where the agent lives, in whatever terms the program has for it; `latitude,longitude` in degrees is a place on Earth, by
    /// which it is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whom the agent works for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// How long it stays registered unless that is renewed ([`Renew`](super::Renew)), a millisecond at least; for good
    /// unless it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Duration>,
    /// What else there is to know.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// When it was submitted.
    pub submitted: Timestamp,
    ended: Option<Timestamp>,
    status: Status,
}

impl Request {
    /// A pending request of normal priority.
    pub fn new(id: RequestId, agent: AgentId, kind: Kind, submitted: Timestamp) -> Self {
        Self {
            id,
            agent,
            name: None,
            kind,
            capabilities: Vec::new(),
            priority: Priority::Normal,
            location: None,
            tenant: None,
            lease: None,
            metadata: Map::new(),
            submitted,
            ended: None,
            status: Status::Pending,
        }
    }

    /// A pending request for a running agent, with what its card says of it; a place on Earth becomes
    /// `latitude,longitude` in degrees.
    pub fn of(id: RequestId, agent: &AgentHandle, priority: Priority, now: Timestamp) -> Self {
        let listing = agent.listing();
        let metadata = listing.metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        Self {
            capabilities: listing.capabilities.clone(),
            priority,
            location: listing.location.map(|place| place.to_string()),
            tenant: listing.tenant.clone(),
            metadata: metadata.collect(),
            ..Self::new(id, agent.id().clone(), listing.kind.clone(), now)
        }
    }

    /// The same request with a name for people.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same request with one more capability.
    #[must_use]
    pub fn capability(mut self, capability: Capability) -> Self {
        self.capabilities.push(capability);
        self
    }

    /// The same request with another priority.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The same request with a location.
    #[must_use]
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// The same request with a tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// The same request with a lease.
    #[must_use]
    pub const fn lease(mut self, length: Duration) -> Self {
        self.lease = Some(length);
        self
    }

    /// The same request with one more entry of metadata.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// How far it is.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// When it ended, if it has.
    pub const fn ended(&self) -> Option<Timestamp> {
        self.ended
    }

    /// How long it took from submission to its end, if it has ended.
    pub fn processing_time(&self) -> Option<Duration> {
        self.ended.map(|ended| ended.since(self.submitted))
    }

    /// Takes the next step at `now`.
    ///
    /// # Errors
    /// [`IllegalStep`] when that step does not follow; the request is then as it was.
    pub fn advance(&mut self, next: Status, now: Timestamp) -> Result<(), IllegalStep> {
        if !self.status.may_become(&next) {
            return Err(IllegalStep {
                request: self.id,
                agent: self.agent.clone(),
                from: self.status.as_str(),
                to: next.as_str(),
            });
        }
        if next.is_final() {
            self.ended = Some(now);
        }
        self.status = next;
        Ok(())
    }

    /// Ends it as failed, whatever it says it is: one that is not taken in says nothing of what became of it here.
    pub(super) fn refuse(&mut self, reason: String, now: Timestamp) {
        self.ended = Some(now);
        self.status = Status::Failed(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::new(RequestId(7), AgentId::new("a").unwrap(), Kind::new("k").unwrap(), Timestamp::ZERO)
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_request_goes_from_pending_to_completed_and_says_how_long_it_took() {
        let mut request = request();
        for (millis, status) in [(1, Status::Validating), (2, Status::Registering), (5, Status::Completed)] {
            assert_eq!(request.processing_time(), None);
            request.advance(status, at(millis)).unwrap();
        }
        assert_eq!(request.processing_time(), Some(Duration::from_millis(5)));
    }

    #[test]
    fn a_step_that_does_not_follow_is_refused_and_changes_nothing() {
        let mut request = request();
        request.advance(Status::Cancelled, at(3)).unwrap();
        let before = request.clone();
        assert_eq!(
            request.advance(Status::Registering, at(4)).unwrap_err().to_string(),
            "request 7 for agent a is cancelled and cannot become registering: start a new request"
        );
        assert_eq!(request, before);
    }

    #[test]
    fn exactly_the_drawn_arrows_are_legal() {
        let all = [
            Status::Pending,
            Status::Validating,
            Status::Registering,
            Status::Completed,
            Status::Failed("no".into()),
            Status::Cancelled,
        ];
        let mut arrows = Vec::new();
        for from in &all {
            let next: Vec<_> = all.iter().filter(|to| from.may_become(to)).map(Status::as_str).collect();
            assert_eq!(next.is_empty(), from.is_final());
            arrows.push((from.as_str(), next));
        }
        assert_eq!(
            arrows[..3],
            [
                ("pending", vec!["validating", "cancelled"]),
                ("validating", vec!["registering", "failed", "cancelled"]),
                ("registering", vec!["completed", "failed"]),
            ]
        );
    }
}
