//! [`Host`]: agents, the five protocol actors and the arbiters they live on, as one.
//!
//! ```text
//!            spawn, publish, ask, submit, start_up, shutdown
//!                              │
//!  ┌───────────────────────── Host ──────────────────────────┐
//!  │ arbiter 0: supervisor ─ monitor, router, registrar,     │
//!  │            coordinator, initializer                     │
//!  │ every arbiter: dispatcher, agents with their inboxes    │
//!  └─────────────────────────────────────────────────────────┘
//! ```
//!
//! This room is the only one that names all five protocol actors; it wires them against the flow (monitor, router,
//! registrar, coordinator, initializer), each with the live addresses it needs.
//!
//! **Invariant.** An agent that `spawn` has answered is in the roster and on its routes; one that has terminated is in
//! neither as soon as the registrar has heard of it.

mod ask_all;
mod builder;
mod enlist;
mod find;
mod handles;
mod journal;
mod process;
mod protocols;
mod requests;
mod sample;
mod sampler;
mod shutdown;
mod simulate;
mod spawn;
mod startup;
mod virtual_time;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::{Handler, Message};
use phalanx_actors::{
    agent::{
        Agent, AgentId, Capability, GroupName, InvalidName, Kind, TaskId, Terminated, Timestamp, TopicFilter,
        TopicName,
    },
    coordinator::{AwaitAll, AwaitError, AwaitTask, Submit, SubmitErrors, TaskReport, TaskSpec, TaskTotals},
    inbox::{AgentHandle, AgentRef, Counts, DeadLetters, Hub},
    initializer::{NotReady, StartUpError},
    monitor::Event,
    registrar::{CancelError, RosterError},
    router::{Arbiters, Directory, Publisher, Selector, Subscribe, SubscribeOptions, Unsubscribe},
    supervisor::{Supervisor, Watches},
};

pub use ask_all::{Answer, Answers, AskAll, AskAllError, Gather};
pub use builder::HostBuilder;
pub use find::{Find, FindError};
pub use handles::WeakHost;
pub use journal::JournalReport;
pub use protocols::Protocols;
pub use shutdown::HostReport;
pub(crate) use simulate::paused_runtime;
pub use simulate::simulate;
pub use spawn::AgentOptions;

use self::{
    handles::Handles,
    protocols::Alive,
    sampler::Sampling,
    spawn::{Groups, Names},
};

/// What is shared by all clones of a host.
struct Inner {
    arbiters: Arbiters,
    directory: Directory,
    watches: Watches,
    protocols: Protocols,
    /// The supervisor of the protocol actors.
    root: AgentRef<Supervisor>,
    groups: Groups,
    names: Arc<Names>,
    alive: Arc<Alive>,
    #[cfg(feature = "journal")]
    journal: Option<journal::Kept>,
    sampling: Option<Sampling>,
    closing: AtomicBool,
    /// It was shut down to the end.
    ended: AtomicBool,
    simulated: bool,
}

/// A running host. Cheap to clone; every clone is the same host.
///
/// A host runs until [`shutdown`](Host::shutdown), or until its last clone is dropped. Dropping it never waits: it tells
/// the host to stop its agents at once (`stopping()` and `stopped()` are called, what they had not handled is accounted
/// for as [`Reason::Stopped`](phalanx_actors::agent::Reason)), then the protocol actors, then the arbiters. Only
/// `shutdown` lets agents handle what they hold, waits, and reports. A clone inside an agent or its factory keeps the host
/// running until it is shut down; give agents a [`WeakHost`] instead.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use actix::prelude::*;
/// use phalanx::{Agent, Card, Host};
///
/// #[derive(Clone, Message)]
/// #[rtype(result = "u32")]
/// struct Double(u32);
///
/// struct Doubler;
/// impl Actor for Doubler { type Context = Context<Self>; }
/// impl Supervised for Doubler {}
/// impl Handler<Double> for Doubler {
///     type Result = u32;
///     fn handle(&mut self, Double(n): Double, _: &mut Context<Self>) -> u32 { 2 * n }
/// }
/// impl Agent for Doubler {
///     fn card(&self) -> Card<Self> { Card::new().accepts::<Double>() }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// phalanx::simulate(7, |host| async move {
///     let doubler = host.spawn("doubler", || Doubler).await?;
///     assert_eq!(doubler.ask(Double(21)).await?, 42);
///     let report = host.shutdown(Duration::from_secs(1)).await;
///     assert!(report.ledger.balances() && report.ledger.pending == 0);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct Host {
    inner: Arc<Handles>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("agents", &self.inner.alive.count()).finish_non_exhaustive()
    }
}

/// Why a host could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A name is no name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// There is no agent of this id.
    #[error("agent {0} does not exist: spawn it first")]
    UnknownAgent(AgentId),
    /// There is no group of this name.
    #[error("group {0} does not exist: make it first with Host::supervise")]
    UnknownGroup(GroupName),
    /// There is a group of this name already.
    #[error("group {0} exists already: choose another name")]
    GroupExists(GroupName),
    /// The host is shutting down, and takes in nothing new.
    #[error("the host is shutting down: it takes in nothing new")]
    ShuttingDown,
    /// A protocol actor did not answer.
    #[error("the {0} did not answer: it was restarted, or the host is shutting down; ask again")]
    NoAnswer(&'static str),
    /// Tasks were refused.
    #[error(transparent)]
    Tasks(#[from] SubmitErrors),
    /// A task cannot be awaited.
    #[error(transparent)]
    Await(#[from] AwaitError),
    /// Start-up was refused.
    #[error(transparent)]
    StartUp(#[from] StartUpError),
    /// Something of start-up will not be ready.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// The host was asked to run in virtual time where the clock runs.
    #[error(
        "virtual time needs a clock that is paused from the start of its runtime: use phalanx::simulate, or build the runtime \
         with start_paused(true)"
    )]
    NoVirtualTime,
    /// A host in virtual time was to keep a journal, whose writes take real time.
    #[error("a host in virtual time keeps no journal: leave it out, or run in real time")]
    JournalInVirtualTime,
    /// This program was built without journals.
    #[error(
        "this program keeps no journals: build it with the feature `journal` of phalanx, or leave the journal out"
    )]
    NoJournals,
    /// The journal cannot be used.
    #[cfg(feature = "journal")]
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    /// The lease of an agent is not renewed.
    #[error(transparent)]
    Roster(RosterError),
    /// A registration is not taken back.
    #[error(transparent)]
    Cancel(#[from] CancelError),
    /// There are no threads or no clock to run on.
    #[error("the runtime cannot be started: {0}")]
    Runtime(std::io::Error),
}

impl Host {
    /// Starts a host with one arbiter for each processor. Must be called inside an actix system.
    ///
    /// # Errors
    /// [`HostError`] when a protocol actor could not be started.
    pub async fn start() -> Result<Self, HostError> {
        Self::builder().start().await
    }

    /// A host in virtual time: one arbiter, a paused clock, all randomness from the seed. Must be called inside an actix
    /// system whose clock has been paused from the start; [`simulate`] brings one along.
    ///
    /// # Errors
    /// [`HostError::NoVirtualTime`] when the clock runs.
    pub async fn simulated(seed: u64) -> Result<Self, HostError> {
        Self::builder().simulated(seed).start().await
    }

    /// A host with other options.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        self.inner.arbiters.hub()
    }

    /// The time on the host's clock.
    pub fn now(&self) -> Timestamp {
        self.hub().now()
    }

    /// The seed of all randomness of the host.
    pub fn seed(&self) -> u64 {
        self.hub().seed()
    }

    /// Whether the host runs in virtual time.
    pub fn is_simulated(&self) -> bool {
        self.inner.simulated
    }

    /// How many agents are alive, those of the host itself not counted.
    pub fn agents(&self) -> usize {
        self.inner.alive.count()
    }

    /// The agent of this id, as far as it is registered.
    ///
    /// # Errors
    /// [`HostError`] when the id is no id, or nobody has it.
    pub fn agent(&self, id: impl AsRef<str>) -> Result<AgentHandle, HostError> {
        let id = AgentId::new(id)?;
        self.inner.directory.agent(&id).ok_or(HostError::UnknownAgent(id))
    }

    /// The agents that a selector leads to, in the order in which they were registered.
    pub fn select(&self, selector: &Selector) -> Vec<AgentHandle> {
        self.inner.directory.select(selector)
    }

    /// A publisher of messages of type `M` to the subscribers of a topic.
    ///
    /// # Errors
    /// [`InvalidName`] when the topic is no name.
    pub fn topic<M>(&self, topic: impl AsRef<str>) -> Result<Publisher<M>, InvalidName>
    where
        M: Message + Send + Sync + 'static,
    {
        Ok(self.multicast(&Selector::Topic(TopicName::new(topic)?)))
    }

    /// A publisher of messages of type `M` to all who offer a capability.
    ///
    /// # Errors
    /// [`InvalidName`] when the capability is no name.
    pub fn capability<M>(&self, capability: impl AsRef<str>) -> Result<Publisher<M>, InvalidName>
    where
        M: Message + Send + Sync + 'static,
    {
        Ok(self.multicast(&Selector::Capability(Capability::new(capability)?)))
    }

    /// A publisher of messages of type `M` to a group.
    ///
    /// # Errors
    /// [`InvalidName`] when the group is no name.
    pub fn group<M>(&self, group: impl AsRef<str>) -> Result<Publisher<M>, InvalidName>
    where
        M: Message + Send + Sync + 'static,
    {
        Ok(self.multicast(&Selector::Group(GroupName::new(group)?)))
    }

    /// A publisher of messages of type `M` to all agents of a kind.
    ///
    /// # Errors
    /// [`InvalidName`] when the kind is no name.
    pub fn kind<M>(&self, kind: impl AsRef<str>) -> Result<Publisher<M>, InvalidName>
    where
        M: Message + Send + Sync + 'static,
    {
        Ok(self.multicast(&Selector::Kind(Kind::new(kind)?)))
    }

    /// A publisher of messages of type `M` to all agents that accept them.
    pub fn broadcast<M>(&self) -> Publisher<M>
    where
        M: Message + Send + Sync + 'static,
    {
        self.multicast(&Selector::Everyone)
    }

    /// A publisher of messages of type `M` to those that a selector leads to, lists of ids and unions included.
    pub fn multicast<M>(&self, selector: &Selector) -> Publisher<M>
    where
        M: Message + Send + Sync + 'static,
    {
        self.inner.directory.publisher(selector)
    }

    /// Subscribes an agent to a topic, or to all that a filter such as `news.*.chess` or `news.>` matches; the subscription
    /// ends with the agent, or its lease, and survives restarts. Answers whether that changed anything.
    ///
    /// # Errors
    /// [`HostError`] when a name is no name or there is no such agent.
    pub async fn subscribe(
        &self,
        filter: impl AsRef<str>,
        agent: impl AsRef<str>,
    ) -> Result<bool, HostError> {
        self.subscribe_with(filter, agent, SubscribeOptions::default()).await
    }

    /// Subscribes an agent to a topic or a filter, saying more about it.
    ///
    /// # Errors
    /// As [`Host::subscribe`].
    pub async fn subscribe_with(
        &self,
        filter: impl AsRef<str>,
        agent: impl AsRef<str>,
        options: SubscribeOptions,
    ) -> Result<bool, HostError> {
        let filter = TopicFilter::new(filter)?;
        let agent = self.agent(agent)?.id().clone();
        let router = &self.inner.protocols.router;
        router.send(Subscribe { filter, agent, options }).await.map_err(|_| HostError::NoAnswer("router"))
    }

    /// Ends a subscription. Answers whether there was one.
    ///
    /// # Errors
    /// [`HostError`] when a name is no name.
    pub async fn unsubscribe(
        &self,
        filter: impl AsRef<str>,
        agent: impl AsRef<str>,
    ) -> Result<bool, HostError> {
        let (filter, agent) = (TopicFilter::new(filter)?, AgentId::new(agent)?);
        let router = &self.inner.protocols.router;
        router.send(Unsubscribe { filter, agent }).await.map_err(|_| HostError::NoAnswer("router"))
    }

    /// Asks all who offer a capability. Await it for one row per agent asked.
    pub fn ask_all<M>(&self, capability: impl AsRef<str>, message: M) -> AskAll<'_, M>
    where
        M: Message + Clone + Send + Sync + 'static,
        M::Result: Send,
    {
        AskAll::new(self, capability.as_ref(), message)
    }

    /// Gives tasks to the coordinator, which shares them out by capability and load. Answers how many were taken.
    ///
    /// # Errors
    /// [`HostError::Tasks`] names all that is wrong with them; none is taken then, nor when the host is shutting down.
    pub async fn submit(&self, tasks: Vec<TaskSpec>) -> Result<usize, HostError> {
        if self.inner.closing.load(Ordering::Acquire) {
            return Err(HostError::ShuttingDown);
        }
        let coordinator = &self.inner.protocols.coordinator;
        let answer = coordinator.send(Submit { tasks }).await;
        Ok(answer.map_err(|_| HostError::NoAnswer("coordinator"))??)
    }

    /// Waits for the end of a task.
    ///
    /// # Errors
    /// [`HostError::Await`] when there is no such task.
    pub async fn task(&self, task: &TaskId) -> Result<TaskReport, HostError> {
        let coordinator = &self.inner.protocols.coordinator;
        let answer = coordinator.send(AwaitTask(task.clone())).await;
        Ok(answer.map_err(|_| HostError::NoAnswer("coordinator"))??)
    }

    /// Waits until no task is open.
    ///
    /// # Errors
    /// [`HostError::NoAnswer`] when the host is shut down meanwhile.
    pub async fn tasks(&self) -> Result<TaskTotals, HostError> {
        let coordinator = &self.inner.protocols.coordinator;
        Ok(coordinator.send(AwaitAll).await.map_err(|_| HostError::NoAnswer("coordinator"))??)
    }

    /// Tells the monitor that something happened. Answers false when the event was refused because too much is on its way to
    /// the monitor already: beyond [`in_transit_bytes`](phalanx_actors::monitor::MonitorOptions::in_transit_bytes) the least
    /// severe events give way first. The monitor's status counts them as
    /// [`refused`](phalanx_actors::monitor::MonitorStatus::refused).
    pub fn record(&self, event: Event) -> bool {
        self.inner.protocols.teller.tell(event)
    }

    /// Tells `watcher` when `target` is no more.
    pub fn watch<W>(&self, watcher: &AgentRef<W>, target: &AgentHandle)
    where
        W: Agent + Handler<Terminated>,
    {
        self.inner.watches.watch(watcher, target);
    }

    /// Ties two agents together: when one comes to a bad end, the other is killed, too.
    pub fn link(&self, one: &AgentHandle, other: &AgentHandle) {
        self.inner.watches.link(one, other);
    }

    /// What became of every message sent so far.
    pub fn ledger(&self) -> Counts {
        self.hub().ledger()
    }

    /// The ledger of each route by name, direct sends first. A route closes with its last publisher unless it keeps a history; of
    /// those that did the last 1,000 are here by name, and those before them as `closed routes`.
    pub fn ledgers(&self) -> Vec<(Arc<str>, Counts)> {
        self.hub().ledgers()
    }

    /// Where dead letters can be subscribed to.
    pub fn dead_letters(&self) -> &DeadLetters {
        self.hub().dead_letters()
    }

    /// Waits until nothing is pending: no message is on its way, waits or is being handled. Exact, never a guess.
    pub async fn idle(&self) {
        self.hub().idle().await;
    }

    /// The router's tables: who can be found, and how those that messages are routed to are doing.
    pub fn router(&self) -> &Directory {
        &self.inner.directory
    }

    /// The addresses of the protocol actors.
    pub fn protocols(&self) -> &Protocols {
        &self.inner.protocols
    }

    /// Whether the tables of the protocols are consistent with themselves and each other; says what is not.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn verify(&self) -> Result<(), String> {
        self.inner.directory.verify()?;
        self.inner.protocols.registrar_cell.verify()?;
        let mut on_routes: Vec<_> =
            self.inner.directory.agents().iter().map(|agent| agent.id().clone()).collect();
        let mut in_roster: Vec<_> = self
            .inner
            .protocols
            .registrar_cell
            .with_roster(|roster| roster.iter().map(|member| member.id().clone()).collect());
        on_routes.sort();
        in_roster.sort();
        if on_routes == in_roster {
            Ok(())
        } else {
            Err(format!("the routes know {on_routes:?}, the roster {in_roster:?}"))
        }
    }

    /// Waits, on the host's clock.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
