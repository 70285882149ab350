//! Spawning agents on a host: supervised, registered, on their routes, enrolled for tasks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use phalanx_actors::{
    agent::{Adopted, Adoption, Agent, AgentId, Capability, Card, GroupName, Me, Priority, Tenant},
    coordinator::{Enroll, InboxWorker, Work},
    inbox::{AgentHandle, AgentRef, InboxConfig},
    registrar::RequestId,
    supervisor::{GroupSpec, SpawnError, SpawnFailed, SpawnOptions, Supervision, Supervisor},
};

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::{sync::Notify, time::timeout};

use super::{Host, HostError, protocols::OWN};

/// How agents are hosted.
#[derive(Debug, Clone, Default)]
pub struct AgentOptions {
    /// The bounds of the inbox.
    pub inbox: InboxConfig,
    /// When and how it is restarted.
    pub supervision: Supervision,
    /// The group that it is restarted with, made before by [`Host::supervise`]; by default it stands alone.
    pub group: Option<GroupName>,
    /// Which arbiter runs it, counted from 0; by default they take turns.
    pub arbiter: Option<usize>,
    /// How urgent its registration is; and, unless it is normal, how much the agent is preferred where one of many is chosen
    /// by priority, whatever its card says.
    pub priority: Priority,
    /// The number of its registration, a program's own ([`RequestId::own`]), by which the program asks how it stands and takes
    /// it back ([`Host::request`], [`Host::cancel`]). For one agent, not for several; by default the host gives one out.
    pub request: Option<RequestId>,
    /// How long its registration may take before it is refused, which kills the agent; by default as long as it takes.
    pub registered_within: Option<Duration>,
    /// Capabilities beyond those on its card.
    pub capabilities: Vec<Capability>,
    /// Metadata beyond that on its card.
    pub metadata: Vec<(String, String)>,
    /// Where it is, when its card does not say: degrees north and east.
    pub location: Option<(f64, f64)>,
    /// Whom it works for, whatever its card says.
    pub tenant: Option<Tenant>,
    /// How long it stays registered unless that is renewed ([`Host::renew`]); for good by default. An agent whose lease ends
    /// lives on, but is found by nobody, on no route and given no tasks, until it is registered again
    /// ([`Host::register_again`]).
    pub lease: Option<Duration>,
    /// How many tasks it works on at once, if it accepts [`Work`]; 1 by default.
    pub slots: Option<u32>,
}

/// The names in use: an agent has its name from before it is spawned until all have been told of its end.
#[derive(Default)]
pub(super) struct Names {
    held: Mutex<FxHashMap<AgentId, Option<AgentHandle>>>,
    /// Told when names are given back.
    freed: Notify,
}

/// How long the names of agents that were killed are waited for.
const FREED_WITHIN: Duration = Duration::from_secs(1);

impl Names {
    fn lock(&self) -> MutexGuard<'_, FxHashMap<AgentId, Option<AgentHandle>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all of these names, or none and says which is in use.
    fn reserve(&self, ids: &[AgentId]) -> Result<(), AgentId> {
        let mut held = self.lock();
        for (at, id) in ids.iter().enumerate() {
            if id.as_str().starts_with(OWN) || held.contains_key(id) {
                ids[..at].iter().for_each(|taken| _ = held.remove(taken));
                return Err(id.clone());
            }
            held.insert(id.clone(), None);
        }
        Ok(())
    }

    fn hold(&self, agents: &[AgentHandle]) {
        let mut held = self.lock();
        for agent in agents {
            // One that has ended already has given its name back.
            if let Some(place) = held.get_mut(agent.id()) {
                *place = Some(agent.clone());
            }
        }
    }

    pub(super) fn release(&self, ids: &[AgentId]) {
        let mut held = self.lock();
        for id in ids {
            held.remove(id);
        }
        drop(held);
        self.freed.notify_waiters();
    }

    /// Waits until none of these names is in use.
    async fn free(&self, ids: &FxHashSet<AgentId>) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if !ids.iter().any(|id| self.lock().contains_key(id)) {
                return;
            }
            freed.await;
        }
    }

    /// All agents, registered or on the way there.
    pub(super) fn agents(&self) -> Vec<AgentHandle> {
        self.lock().values().flatten().cloned().collect()
    }
}

/// The supervisors of groups, by name.
#[derive(Default)]
pub(super) struct Groups {
    /// None for one that is being made.
    held: Mutex<BTreeMap<GroupName, Option<AgentRef<Supervisor>>>>,
}

/// The name of a group that is being made; free again when this is dropped.
struct NewGroup<'a> {
    groups: &'a Groups,
    name: GroupName,
}

impl Groups {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<GroupName, Option<AgentRef<Supervisor>>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, name: &GroupName) -> Option<AgentRef<Supervisor>> {
        self.lock().get(name).cloned().flatten()
    }

    /// Takes a name, unless another group has it.
    fn reserve(&self, name: &GroupName) -> Option<NewGroup<'_>> {
        let mut held = self.lock();
        if held.contains_key(name) {
            return None;
        }
        held.insert(name.clone(), None);
        Some(NewGroup { groups: self, name: name.clone() })
    }

    pub(super) fn stop(&self) {
        let groups = std::mem::take(&mut *self.lock());
        groups.values().flatten().for_each(AgentRef::stop);
    }
}

impl NewGroup<'_> {
    fn made(self, supervisor: AgentRef<Supervisor>) {
        self.groups.lock().insert(self.name.clone(), Some(supervisor));
    }
}

impl Drop for NewGroup<'_> {
    fn drop(&mut self) {
        let mut held = self.groups.lock();
        if held.get(&self.name).is_some_and(Option::is_none) {
            held.remove(&self.name);
        }
    }
}

impl Host {
    /// Spawns an agent. When this answers, the agent is registered and on its routes.
    ///
    /// The factory is called for the first incarnation and again for each restart.
    ///
    /// # Errors
    /// [`SpawnError`] says why not.
    pub async fn spawn<A: Agent>(
        &self,
        id: impl AsRef<str>,
        factory: impl Fn() -> A + Send + Sync + 'static,
    ) -> Result<AgentRef<A>, SpawnError> {
        self.spawn_with(id, AgentOptions::default(), move |_| factory()).await
    }

    /// Spawns an agent with other options. The factory is told which agent and incarnation it builds.
    ///
    /// # Errors
    /// [`SpawnError`] says why not.
    pub async fn spawn_with<A: Agent>(
        &self,
        id: impl AsRef<str>,
        options: AgentOptions,
        factory: impl Fn(&Me) -> A + Send + Sync + 'static,
    ) -> Result<AgentRef<A>, SpawnError> {
        let id =
            AgentId::new(&id).map_err(|fault| SpawnError::Name { agent: id.as_ref().to_owned(), fault })?;
        let mut agents = self.spawn_many(vec![id], options, factory).await?;
        Ok(agents.pop().expect("one was asked for"))
    }

    /// Adopts a plain actix actor by its recipients.
    ///
    /// # Errors
    /// [`SpawnError`] says why not.
    pub async fn adopt(
        &self,
        id: impl AsRef<str>,
        adoption: Adoption,
    ) -> Result<AgentRef<Adopted>, SpawnError> {
        self.spawn(id, move || adoption.agent()).await
    }

    /// Spawns many agents of one type, registered in batches. All or none.
    ///
    /// # Errors
    /// [`SpawnError`] says why not.
    pub async fn spawn_many<A: Agent>(
        &self,
        ids: Vec<AgentId>,
        options: AgentOptions,
        factory: impl Fn(&Me) -> A + Send + Sync + 'static,
    ) -> Result<Vec<AgentRef<A>>, SpawnError> {
        let agents = self.spawn_unregistered(ids, &options, factory).await?;
        let handles: Vec<AgentHandle> = agents.iter().map(AgentRef::handle).collect();
        self.register_spawned(&handles, &options).await?;
        Ok(agents)
    }

    /// Spawns many agents without registering them, which [`Host::register_spawned`] has to follow.
    pub(crate) async fn spawn_unregistered<A: Agent>(
        &self,
        ids: Vec<AgentId>,
        options: &AgentOptions,
        factory: impl Fn(&Me) -> A + Send + Sync + 'static,
    ) -> Result<Vec<AgentRef<A>>, SpawnError> {
        let Some(first) = ids.first() else { return Ok(Vec::new()) };
        if self.inner.closing.load(Ordering::Acquire) {
            return Err(SpawnError::ShuttingDown { agent: first.clone() });
        }
        if let Some(number) = options.request
            && let Some(fault) = fault_of(number, &ids)
        {
            return Err(SpawnError::Unregistered { agent: first.clone(), why: fault });
        }
        let group = match &options.group {
            None => None,
            Some(name) => Some(self.inner.groups.get(name).ok_or_else(|| SpawnError::Unregistered {
                agent: first.clone(),
                why: format!("there is no group {name}: make it first with Host::supervise"),
            })?),
        };
        let hosting =
            SpawnOptions { inbox: options.inbox, supervision: options.supervision, arbiter: options.arbiter };
        let group = group.map(|supervisor| supervisor.address());
        let amend = amendment(options);
        let names = &self.inner.names;
        names.reserve(&ids).map_err(|agent| SpawnError::Taken { agent })?;
        let spawned =
            self.inner.arbiters.spawn_in(ids.clone(), factory, hosting, group.as_ref(), amend).await;
        let agents = match spawned {
            Ok(agents) => agents,
            Err(SpawnFailed { error, killed }) => {
                // Those that were there for a moment give their names back themselves, when they have ended: given back
                // here, a name could be another agent's by then.
                let killed: FxHashSet<AgentId> = killed.into_iter().collect();
                let never: Vec<AgentId> = ids.iter().filter(|id| !killed.contains(*id)).cloned().collect();
                names.release(&never);
                // So that whoever tries again finds them free; an agent that blocks its thread is not waited for.
                let _ = timeout(FREED_WITHIN, names.free(&killed)).await;
                return Err(error);
            }
        };
        let handles: Vec<AgentHandle> = agents.iter().map(AgentRef::handle).collect();
        names.hold(&handles);
        Ok(agents)
    }

    /// Registers what was just spawned; what is refused is killed.
    pub(crate) async fn register_spawned(
        &self,
        agents: &[AgentHandle],
        options: &AgentOptions,
    ) -> Result<(), SpawnError> {
        let Some(first) = agents.first() else { return Ok(()) };
        let unregistered = Unregistered(agents);
        let mut registered = self.register(agents, options).await;
        if self.inner.closing.load(Ordering::Acquire) {
            // The shutdown may have looked for agents to stop before these were there.
            registered = registered.and(Err(SpawnError::ShuttingDown { agent: first.id().clone() }));
        }
        // Dropped on the way here, or by an error now, they are killed; their names are free again when they are no more.
        if registered.is_ok() {
            unregistered.keep();
        } else {
            drop(unregistered);
            // So that whoever tries again finds them free; an agent that blocks its thread is not waited for.
            let ids = agents.iter().map(|agent| agent.id().clone()).collect();
            let _ = timeout(FREED_WITHIN, self.inner.names.free(&ids)).await;
        }
        registered
    }

    pub(super) async fn register(
        &self,
        agents: &[AgentHandle],
        options: &AgentOptions,
    ) -> Result<(), SpawnError> {
        self.enlist(agents, options).await?;
        let (first, cell) = (agents[0].id(), &self.inner.protocols.registrar_cell);
        if let Some(number) = options.request
            && !cell.with_roster(|roster| roster.get(first).is_some())
        {
            // The number completed before, for an agent of this id that is gone, or that an earlier process lost.
            let why =
                format!("{number} completed before, and its agent is not registered: take another number");
            return Err(SpawnError::Unregistered { agent: first.clone(), why });
        }
        if agents[0].accepts::<Work>() {
            for agent in agents {
                self.enroll(agent, options.slots.unwrap_or(1)).await?;
            }
        }
        Ok(())
    }

    async fn enroll(&self, agent: &AgentHandle, slots: u32) -> Result<(), SpawnError> {
        let coordinator = &self.inner.protocols.coordinator;
        let enroll = Enroll {
            agent: agent.id().clone(),
            offers: agent.listing().capabilities.iter().cloned().collect(),
            slots,
            worker: Arc::new(InboxWorker::new(agent.clone(), coordinator.clone())),
        };
        let refused = |why: String| SpawnError::Unregistered { agent: agent.id().clone(), why };
        match coordinator.send(enroll).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(refused(error.to_string())),
            Err(_) => Err(SpawnError::NoAnswer { agent: agent.id().clone() }),
        }
    }

    /// Makes a group whose agents are restarted together, as a child of another group when one is named.
    ///
    /// # Errors
    /// [`HostError`] when the parent does not exist, or the host is shutting down.
    pub async fn supervise(&self, spec: GroupSpec, parent: Option<&GroupName>) -> Result<(), HostError> {
        let above = match parent {
            None => None,
            Some(name) => {
                let supervisor = self.inner.groups.get(name);
                Some(supervisor.ok_or_else(|| HostError::UnknownGroup(name.clone()))?.address())
            }
        };
        let is_closing = || self.inner.closing.load(Ordering::Acquire);
        if is_closing() {
            return Err(HostError::ShuttingDown);
        }
        let Some(group) = self.inner.groups.reserve(&spec.name) else {
            return Err(HostError::GroupExists(spec.name));
        };
        let id = AgentId::new(format!("{OWN}group/{}", spec.name))?;
        let supervisor = self
            .inner
            .arbiters
            .supervise(id, spec, above.as_ref())
            .await
            .map_err(|_| HostError::NoAnswer("supervisor"))?;
        if is_closing() {
            // The shutdown may have looked for groups to stop before this one was there.
            supervisor.stop();
            return Err(HostError::ShuttingDown);
        }
        group.made(supervisor);
        Ok(())
    }

    /// The supervisor of a group as an agent: to look into it, or to inject faults.
    ///
    /// # Errors
    /// [`HostError`] when the group is no name, or there is no such group.
    pub fn supervisor(&self, group: impl AsRef<str>) -> Result<AgentHandle, HostError> {
        let group = GroupName::new(group)?;
        let supervisor = self.inner.groups.get(&group).ok_or(HostError::UnknownGroup(group))?;
        Ok(supervisor.handle())
    }
}

/// Agents that are not registered yet. Dropped, because whoever wanted them gave up, they are killed.
struct Unregistered<'a>(&'a [AgentHandle]);

impl Unregistered<'_> {
    fn keep(mut self) {
        self.0 = &[];
    }
}

impl Drop for Unregistered<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(AgentHandle::kill);
    }
}

/// Why a number is not for these agents.
fn fault_of(number: RequestId, agents: &[AgentId]) -> Option<String> {
    if !number.is_own() {
        return Some(format!(
            "{number} is among the numbers that the host gives out: take one from 2^63 on, by RequestId::own"
        ));
    }
    let count = agents.len();
    (count > 1)
        .then(|| format!("{number} is for {count} agents at once: number each by itself, or none of them"))
}

/// What the options add to a card.
fn amendment<A: Agent>(options: &AgentOptions) -> impl Fn(Card<A>) -> Card<A> + Send + Sync + 'static {
    let AgentOptions { capabilities, metadata, location, tenant, group, priority, .. } = options.clone();
    move |mut card| {
        for capability in &capabilities {
            card = card.offers(capability);
        }
        for (key, value) in &metadata {
            card = card.with(key, value);
        }
        if let Some((latitude, longitude)) = location {
            card = card.at(latitude, longitude);
        }
        if let Some(tenant) = &tenant {
            card = card.tenant(tenant);
        }
        if priority != Priority::default() {
            card = card.priority(priority);
        }
        if let Some(group) = &group {
            card = card.in_group(group);
        }
        card
    }
}
