//! [`Request`]: one agent that asks to be registered, from asking to its end.
//!
//! ```text
//! pending --> validating --> registering --> completed
//!    |            |               |
//!    +------------+---------------+--------> failed(reason)
//!    +------------+------------------------> cancelled
//! ```
//!
//! What it says of its agent is a [`Profile`] behind an `Arc`, which agents of one card share ([`Request::of_all`]): a request
//! is moved and cloned on each of its steps, answers and memories included, and weighs no more than its own few words.
//!
//! **Invariant.** A request goes only along these arrows, and has ended exactly when it is completed, failed or cancelled. It
//! says when it came to each step, and these times never run backwards on a clock that doesn't.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Profile, RequestId};
use crate::{
    agent::{AgentId, Capability, Kind, Listing, Priority, Tenant, Timestamp},
    inbox::AgentHandle,
    support::Recent,
};

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits, for its validation or its batch.
    Pending,
    /// Is looked at by the validators, or waits for its batch afterwards.
    Validating,
    /// Is in a batch: its routes are made, then it is written into the roster.
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
            Status::Pending => matches!(next, Status::Validating | Status::Failed(_) | Status::Cancelled),
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
#[serde(from = "Written", into = "Written")]
pub struct Request {
    /// Its number.
    pub id: RequestId,
    /// The agent it is for.
    pub agent: AgentId,
    /// What it says of the agent.
    pub profile: Arc<Profile>,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it stays registered unless that is renewed ([`Renew`](super::Renew)), a millisecond at least; for good
    /// unless it is said.
    pub lease: Option<Duration>,
    /// When it was submitted.
    pub submitted: Timestamp,
    validating: Point,
    registering: Point,
    ended: Point,
    /// When its time is over.
    deadline: Point,
    status: Status,
}

/// A point of the clock that may not have come, in the space of one: the last point of all stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point(Timestamp);

impl Point {
    const NONE: Self = Self(Timestamp::END);

    fn get(self) -> Option<Timestamp> {
        (self != Self::NONE).then_some(self.0)
    }
}

impl From<Option<Timestamp>> for Point {
    fn from(at: Option<Timestamp>) -> Self {
        at.map_or(Self::NONE, Self)
    }
}

/// A request as it is serialised, without depth.
#[derive(Serialize, Deserialize)]
struct Written {
    id: RequestId,
    agent: AgentId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    kind: Kind,
    capabilities: Vec<Capability>,
    priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<Tenant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<Duration>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    submitted: Timestamp,
    #[serde(default)]
    validating: Option<Timestamp>,
    #[serde(default)]
    registering: Option<Timestamp>,
    ended: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
    status: Status,
}

impl From<Written> for Request {
    fn from(written: Written) -> Self {
        let Written { id, agent, name, kind, capabilities, priority, location, tenant, metadata, .. } =
            written;
        Self {
            id,
            agent,
            profile: Arc::new(Profile {
                capabilities,
                name,
                tenant,
                location,
                metadata,
                ..Profile::new(kind)
            }),
            priority,
            lease: written.lease,
            submitted: written.submitted,
            validating: written.validating.into(),
            registering: written.registering.into(),
            ended: written.ended.into(),
            deadline: written.deadline.into(),
            status: written.status,
        }
    }
}

impl From<Request> for Written {
    fn from(request: Request) -> Self {
        let profile = Arc::unwrap_or_clone(request.profile);
        Self {
            id: request.id,
            agent: request.agent,
            name: profile.name,
            kind: profile.kind,
            capabilities: profile.capabilities,
            priority: request.priority,
            location: profile.location,
            tenant: profile.tenant,
            lease: request.lease,
            metadata: profile.metadata,
            submitted: request.submitted,
            validating: request.validating.get(),
            registering: request.registering.get(),
            ended: request.ended.get(),
            deadline: request.deadline.get(),
            status: request.status,
        }
    }
}

impl Request {
    /// A pending request of normal priority.
    pub fn new(id: RequestId, agent: AgentId, kind: Kind, submitted: Timestamp) -> Self {
        Self::with_profile(id, agent, Arc::new(Profile::new(kind)), submitted)
    }

    /// A pending request of normal priority that says this of its agent.
    pub const fn with_profile(
        id: RequestId,
        agent: AgentId,
        profile: Arc<Profile>,
        submitted: Timestamp,
    ) -> Self {
        Self {
            id,
            agent,
            profile,
            priority: Priority::Normal,
            lease: None,
            submitted,
            validating: Point::NONE,
            registering: Point::NONE,
            ended: Point::NONE,
            deadline: Point::NONE,
            status: Status::Pending,
        }
    }

    /// A pending request for a running agent, with what its card says of it; a place on Earth becomes
    /// `latitude,longitude` in degrees.
    pub fn of(id: RequestId, agent: &AgentHandle, priority: Priority, now: Timestamp) -> Self {
        Self::with_profile(id, agent.id().clone(), profile_of(agent.listing()), now).priority(priority)
    }

    /// A request as by [`Request::of`] for each of many agents, in their order; those whose cards say the same share one
    /// profile, where they were started together.
    pub fn of_all<'a>(
        agents: impl IntoIterator<Item = &'a AgentHandle>,
        mut number: impl FnMut() -> RequestId,
        priority: Priority,
        now: Timestamp,
    ) -> impl Iterator<Item = Self> {
        let mut profiles = Recent::<Listing, Arc<Profile>>::default();
        agents.into_iter().map(move |agent| {
            let listing = agent.listing();
            let profile = profiles.get(listing).cloned().unwrap_or_else(|| {
                let profile = profile_of(listing);
                profiles.note(listing, profile.clone());
                profile
            });
            Self::with_profile(number(), agent.id().clone(), profile, now).priority(priority)
        })
    }

    /// The same request with a name for people.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.profile).name = Some(name.into());
        self
    }

    /// The same request with one more capability.
    #[must_use]
    pub fn capability(mut self, capability: Capability) -> Self {
        Arc::make_mut(&mut self.profile).capabilities.push(capability);
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
        Arc::make_mut(&mut self.profile).location = Some(location.into());
        self
    }

    /// The same request with a tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        Arc::make_mut(&mut self.profile).tenant = Some(tenant);
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
        Arc::make_mut(&mut self.profile).metadata.insert(key.into(), value.into());
        self
    }

    /// The same request, which fails when it has not completed within so much time of its submission: whatever it waits for is
    /// then broken off, and nothing of it stays. A timeout beyond the end of the clock is none.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.deadline = Point(self.submitted.plus(timeout));
        self
    }

    /// How far it is.
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// When its validation began, if it has.
    pub fn validating(&self) -> Option<Timestamp> {
        self.validating.get()
    }

    /// When its batch was made and it was found valid, if it was.
    pub fn registering(&self) -> Option<Timestamp> {
        self.registering.get()
    }

    /// When it ended, if it has.
    pub fn ended(&self) -> Option<Timestamp> {
        self.ended.get()
    }

    /// When it fails unless it has completed, if it was given a time ([`Request::within`]).
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline.get()
    }

    /// How long it may take, if it was given a time.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.since(self.submitted))
    }

    /// How long it took from submission to its end, if it has ended.
    pub fn processing_time(&self) -> Option<Duration> {
        self.ended().map(|ended| ended.since(self.submitted))
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
        self.enter(next, now);
        Ok(())
    }

    /// The same request, ended so at `at`, as a record of it says.
    pub(super) fn concluded(mut self, status: Status, at: Timestamp) -> Self {
        self.ended = Point(at);
        self.status = status;
        self
    }

    /// The same request with these times, as a record of it says.
    pub(super) fn with_times(
        mut self,
        validating: Option<Timestamp>,
        registering: Option<Timestamp>,
        deadline: Option<Timestamp>,
    ) -> Self {
        self.validating = validating.into();
        self.registering = registering.into();
        self.deadline = deadline.into();
        self
    }

    /// Ends it as failed, whatever it says it is: one that is not taken in says nothing of what became of it here.
    pub(super) fn refuse(&mut self, reason: String, now: Timestamp) {
        self.enter(Status::Failed(reason), now);
    }

    fn enter(&mut self, next: Status, now: Timestamp) {
        match next {
            Status::Pending => {}
            Status::Validating => self.validating = Point(now),
            Status::Registering => self.registering = Point(now),
            Status::Completed | Status::Failed(_) | Status::Cancelled => self.ended = Point(now),
        }
        self.status = next;
    }
}

/// What a card says of its agent.
fn profile_of(listing: &Listing) -> Arc<Profile> {
    let metadata = listing.metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    Arc::new(Profile {
        capabilities: listing.capabilities.clone(),
        location: listing.location.map(|place| place.to_string()),
        tenant: listing.tenant.clone(),
        metadata: metadata.collect(),
        ..Profile::new(listing.kind.clone())
    })
}

#[cfg(test)]
mod tests;
