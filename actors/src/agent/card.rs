//! [`Agent`] and its [`Card`]: what an agent offers and which messages it takes.

use std::{
    any::TypeId,
    hash::{BuildHasher, Hash, Hasher},
};

use actix::{Actor, Context, Handler, Message, Supervised};
use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHasher};
use serde::{Deserialize, Serialize};

use super::{
    Capability, Delivery, GroupName, InvalidName, Kind, Location, Priority, Tenant, envelope::Accept,
    outcome::short_type_name,
};

/// An actix actor that a host can run: one method beside what actix asks for.
///
/// # Examples
/// ```
/// use actix::prelude::*;
/// use phalanx_actors::agent::{Agent, Card};
///
/// #[derive(Clone, Message)]
/// #[rtype(result = "u32")]
/// struct Add(u32);
///
/// #[derive(Default)]
/// struct Sum(u32);
/// impl Actor for Sum { type Context = Context<Self>; }
/// impl Supervised for Sum {}
/// impl Handler<Add> for Sum {
///     type Result = u32;
///     fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u32 { self.0 += n; self.0 }
/// }
/// impl Agent for Sum {
///     fn card(&self) -> Card<Self> { Card::new().offers("add").accepts::<Add>() }
/// }
/// ```
pub trait Agent: Actor<Context = Context<Self>> + Supervised {
    /// What this agent is, offers and accepts. Asked once for each spawn, before `started()`.
    fn card(&self) -> Card<Self>;
}

/// What an agent says of itself, without the message types.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// What sort of agent it is.
    pub kind: Kind,
    /// What it offers to do.
    pub capabilities: Vec<Capability>,
    /// The groups it belongs to.
    pub groups: Vec<GroupName>,
    /// Whom it works for.
    #[serde(default)]
    pub tenant: Option<Tenant>,
    /// Where it is.
    pub location: Option<Location>,
    /// How much it is preferred where one of many is chosen by priority.
    #[serde(default)]
    pub priority: Priority,
    /// Anything else, as text.
    pub metadata: IndexMap<String, String>,
    /// The types of message it accepts, by their short names.
    pub accepts: Vec<String>,
}

/// What an agent is, offers and accepts; built in [`Agent::card`].
pub struct Card<A: Agent> {
    pub(crate) kind: Option<Kind>,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) groups: Vec<GroupName>,
    pub(crate) tenant: Option<Tenant>,
    pub(crate) location: Option<Location>,
    pub(crate) priority: Priority,
    pub(crate) metadata: IndexMap<String, String>,
    pub(crate) accepts: Vec<Accept<A>>,
    pub(crate) fault: Option<InvalidName>,
}

impl<A: Agent> Default for Card<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Agent> Card<A> {
    /// An empty card: the kind is the type's name in lower case, nothing is offered or accepted.
    pub fn new() -> Self {
        Self {
            kind: None,
            capabilities: Vec::new(),
            groups: Vec::new(),
            tenant: None,
            location: None,
            priority: Priority::default(),
            metadata: IndexMap::new(),
            accepts: Vec::new(),
            fault: None,
        }
    }

    fn named<T>(&mut self, name: Result<T, InvalidName>) -> Option<T> {
        name.map_err(|fault| self.fault.get_or_insert(fault).clone()).ok()
    }

    /// Says what sort of agent this is. An invalid name is reported by the spawn.
    pub fn kind(mut self, kind: impl AsRef<str>) -> Self {
        self.kind = self.named(Kind::new(kind)).or(self.kind.take());
        self
    }

    /// Adds a capability, by which others find this agent. An invalid name is reported by the spawn.
    pub fn offers(mut self, capability: impl AsRef<str>) -> Self {
        if let Some(capability) = self.named(Capability::new(capability))
            && !self.capabilities.contains(&capability)
        {
            self.capabilities.push(capability);
        }
        self
    }

    /// Puts the agent into a group that messages can be multicast to. An invalid name is reported by the spawn.
    pub fn in_group(mut self, group: impl AsRef<str>) -> Self {
        if let Some(group) = self.named(GroupName::new(group))
            && !self.groups.contains(&group)
        {
            self.groups.push(group);
        }
        self
    }

    /// Says whom the agent works for: agents can be found and limited by it. An invalid name is reported by the spawn.
    pub fn tenant(mut self, tenant: impl AsRef<str>) -> Self {
        self.tenant = self.named(Tenant::new(tenant)).or(self.tenant.take());
        self
    }

    /// Says where the agent is.
    pub fn at(mut self, latitude: f64, longitude: f64) -> Self {
        self.location = Some(Location { latitude, longitude });
        self
    }

    /// Says how much the agent is preferred where one of many is chosen by priority; normal by default.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Adds a note under a key; a later note replaces an earlier one.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Accepts messages of a type that the agent handles by value; each recipient of a multicast gets a clone.
    pub fn accepts<M>(mut self) -> Self
    where
        A: Handler<M>,
        M: Message + Clone + Send + Sync + 'static,
        M::Result: Send,
    {
        self.accept(Accept::plain::<M>());
        self
    }

    /// Accepts messages of a type that the agent handles as [`Delivery`], sharing the payload with all recipients.
    pub fn accepts_delivery<M>(mut self) -> Self
    where
        A: Handler<Delivery<M>>,
        M: Message + Send + Sync + 'static,
        M::Result: Send,
    {
        self.accept(Accept::delivery::<M>());
        self
    }

    pub(crate) fn accept(&mut self, accept: Accept<A>) {
        match self.accepts.iter_mut().find(|known| known.message == accept.message) {
            Some(known) => *known = accept,
            None => self.accepts.push(accept),
        }
    }

    /// Whether messages of this type are accepted.
    pub fn takes<M: 'static>(&self) -> bool {
        self.accepts.iter().any(|accept| accept.message == TypeId::of::<M>())
    }

    /// A hash of most of what it says: cards that say the same have the same one. Places are left to be compared.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = FxHasher::default();
        (&self.kind, &self.capabilities, &self.groups, &self.tenant, self.priority).hash(&mut hasher);
        // The order of metadata does not count.
        let metadata = self.metadata.iter().map(|entry| FxBuildHasher.hash_one(entry));
        hasher.write_u64(metadata.fold(0, u64::wrapping_add));
        hasher.finish()
    }

    /// Whether another card says the same, so that both agents can share what is derived from it.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let accepts = |card: &Self, at: usize| (card.accepts[at].message, card.accepts[at].shares);
        self.accepts.len() == other.accepts.len()
            && (0..self.accepts.len()).all(|at| accepts(self, at) == accepts(other, at))
            && self.kind == other.kind
            && self.capabilities == other.capabilities
            && self.groups == other.groups
            && self.tenant == other.tenant
            && self.location == other.location
            && self.priority == other.priority
            && self.metadata == other.metadata
            && self.fault == other.fault
    }

    /// The part that is the same whatever the agent's type.
    ///
    /// # Errors
    /// The first invalid name that was put on the card.
    pub fn listing(&self) -> Result<Listing, InvalidName> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let kind = match &self.kind {
            Some(kind) => kind.clone(),
            None => Kind::new(short_type_name::<A>().to_lowercase())?,
        };
        Ok(Listing {
            kind,
            capabilities: self.capabilities.clone(),
            groups: self.groups.clone(),
            tenant: self.tenant.clone(),
            location: self.location,
            priority: self.priority,
            metadata: self.metadata.clone(),
            accepts: self.accepts.iter().map(|accept| (accept.name)().to_owned()).collect(),
        })
    }
}
