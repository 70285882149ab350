//! [`Find`]: who fits, among all who are registered; and watching and renewing registrations.

use phalanx_actors::{
    agent::{AgentId, Capability, Circle, InvalidCircle, InvalidName, Kind, Tenant, Timestamp},
    inbox::AgentHandle,
    registrar::{Lookup, Renew, RosterError, WatchFrom, Watching},
    supervisor::SpawnError,
};
use serde_json::Value;

use super::{AgentOptions, Host, HostError};

/// A search among all who are registered: all that is said has to fit. Made by [`Host::find`].
#[derive(Debug)]
#[must_use = "a search is done by `all` or `first`"]
pub struct Find<'a> {
    host: &'a Host,
    lookup: Lookup,
    /// Whether one of `any_of` is wanted, though there are none.
    is_any_of: bool,
    fault: Option<FindError>,
}

/// Why nobody was searched for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FindError {
    /// A name is no name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A circle is no circle on Earth.
    #[error(transparent)]
    Circle(#[from] InvalidCircle),
}

impl Find<'_> {
    fn parsed<T>(&mut self, part: Result<T, impl Into<FindError>>) -> Option<T> {
        match part {
            Ok(part) => Some(part),
            Err(fault) => {
                self.fault.get_or_insert(fault.into());
                None
            }
        }
    }

    /// Those of a kind.
    pub fn kind(mut self, kind: impl AsRef<str>) -> Self {
        self.lookup.kind = self.parsed(Kind::new(kind));
        self
    }

    /// Those who work for a tenant.
    pub fn tenant(mut self, tenant: impl AsRef<str>) -> Self {
        self.lookup.tenant = self.parsed(Tenant::new(tenant));
        self
    }

    /// Those who offer a capability; said several times, those who offer all of them.
    pub fn offers(mut self, capability: impl AsRef<str>) -> Self {
        let capability = self.parsed(Capability::new(capability));
        self.lookup.all_of.extend(capability);
        self
    }

    /// Those who offer at least one of these capabilities; nobody, if there are none. Said several times, those who offer at
    /// least one of all that were said.
    pub fn offers_any(mut self, capabilities: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        for capability in capabilities {
            let capability = self.parsed(Capability::new(capability));
            self.lookup.any_of.extend(capability);
        }
        self.is_any_of = true;
        self
    }

    /// Those at most `radius_m` metres from a place in degrees north and east, by the great circle.
    pub fn within(mut self, latitude: f64, longitude: f64, radius_m: f64) -> Self {
        self.lookup.within = self.parsed(Circle::new(latitude, longitude, radius_m));
        self
    }

    /// Those who have this entry of metadata; said several times, those who have all of them.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.lookup.metadata.push((key.into(), value.into()));
        self
    }

    /// All of them, in the order of their registration.
    ///
    /// # Errors
    /// [`FindError`] when a name or a circle is none.
    pub fn all(self) -> Result<Vec<AgentHandle>, FindError> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.is_any_of && self.lookup.any_of.is_empty() => Ok(Vec::new()),
            None => Ok(self.host.inner.protocols.registrar_cell.lookup(&self.lookup)),
        }
    }

    /// The first of them, at most so many, in the order of their registration.
    ///
    /// # Errors
    /// As [`Find::all`].
    pub fn first(mut self, most: usize) -> Result<Vec<AgentHandle>, FindError> {
        self.lookup.limit = Some(most);
        self.all()
    }
}

impl Host {
    /// Searches among all who are registered, whether their heartbeats are missed or not.
    ///
    /// # Examples
    /// ```
    /// # use actix::prelude::*;
    /// # use phalanx::{Agent, Card};
    /// # struct Seller;
    /// # impl Actor for Seller { type Context = Context<Self>; }
    /// # impl Supervised for Seller {}
    /// impl Agent for Seller {
    ///     fn card(&self) -> Card<Self> { Card::new().offers("sell").with("zone", "a").at(48.8566, 2.3522) }
    /// }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// phalanx::simulate(7, |host| async move {
    ///     host.spawn("paris", || Seller).await?;
    ///     let near = host.find().offers("sell").with("zone", "a").within(48.9, 2.3, 10_000.0).first(10)?;
    ///     assert_eq!(near[0].id().as_str(), "paris");
    ///     assert!(host.find().within(51.5, -0.13, 10_000.0).all()?.is_empty());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn find(&self) -> Find<'_> {
        Find { host: self, lookup: Lookup::default(), is_any_of: false, fault: None }
    }

    /// Watches who is registered: a snapshot first, or the changes from a revision on; each change once and in order.
    ///
    /// # Examples
    /// ```
    /// # use actix::prelude::*;
    /// # use phalanx::{Agent, Card};
    /// # struct Seller;
    /// # impl Actor for Seller { type Context = Context<Self>; }
    /// # impl Supervised for Seller {}
    /// # impl Agent for Seller { fn card(&self) -> Card<Self> { Card::new() } }
    /// use phalanx::registrar::{RosterUpdate, WatchFrom};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// phalanx::simulate(7, |host| async move {
    ///     host.spawn("one", || Seller).await?;
    ///     let mut watching = host.watch_roster(WatchFrom::Snapshot);
    ///     let Some(RosterUpdate::Snapshot { agents, .. }) = watching.next().await else { panic!() };
    ///     assert_eq!(agents.len(), 1);
    ///     host.spawn("two", || Seller).await?;
    ///     let Some(RosterUpdate::Change(change)) = watching.next().await else { panic!() };
    ///     assert_eq!((change.agent.as_str(), change.revision), ("two", 2));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn watch_roster(&self, from: WatchFrom) -> Watching {
        self.inner.protocols.registrar_cell.watch(from)
    }

    /// Renews the lease of an agent, by the word of one of its incarnations
    /// ([`Me::generation`](phalanx_actors::agent::Me::generation)). Answers when the lease ends unless it is renewed again.
    ///
    /// # Errors
    /// [`HostError::Roster`] when there is no such agent or lease any more, or a later incarnation.
    pub async fn renew(&self, agent: &AgentId, generation: u64) -> Result<Timestamp, HostError> {
        let answer = self.inner.protocols.registrar.send(Renew { agent: agent.clone(), generation }).await;
        Ok(answer.map_err(|_| HostError::NoAnswer("registrar"))??)
    }

    /// Registers an agent again that lives on though it is registered no more, as its lease has ended: it is found, on its
    /// routes and given tasks from then on. Its subscriptions have ended with its registration. Of the options those of a
    /// registration count: priority, lease, number and time of the request, and slots.
    ///
    /// # Errors
    /// [`SpawnError::Unregistered`] when it is registered, has ended or is refused; it lives on, then.
    pub async fn register_again(
        &self,
        agent: &AgentHandle,
        options: &AgentOptions,
    ) -> Result<(), SpawnError> {
        self.register(std::slice::from_ref(agent), options).await
    }
}

impl From<RosterError> for HostError {
    fn from(error: RosterError) -> Self {
        HostError::Roster(error)
    }
}
