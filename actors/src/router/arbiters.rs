//! [`Arbiters`]: the threads that agents live on, each with its port and its dispatcher.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Addr};
use actix_rt::{Arbiter, ArbiterHandle};
use tokio::{
    sync::{Mutex, oneshot},
    time::{Instant, timeout_at},
};

use super::dispatcher::Dispatcher;
use crate::{
    agent::{Agent, AgentId, Card, Lane, Me},
    audited::{ArbiterBound, ThreadToken},
    inbox::{AgentRef, ArbiterPort, Arrival, Hub, HubConfig, InboxConfig, PortItem},
    supervisor::{
        Amend, Factory, GroupSpec, Rule, SpawnError, SpawnFailed, SpawnJob, SpawnOptions, Spawned,
        Supervision, Supervisor,
    },
};

/// How many threads agents live on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArbitersConfig {
    /// The calling thread alone, as a simulation needs it.
    Here,
    /// So many threads of their own.
    Threads(usize),
}

impl Default for ArbitersConfig {
    /// One for each processor.
    fn default() -> Self {
        Self::Threads(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }
}

/// The arbiters of one host.
///
/// Those that have threads of their own are told to stop when this is dropped.
pub struct Arbiters {
    hub: Arc<Hub>,
    handles: Vec<ArbiterHandle>,
    /// Those that nobody waits for yet.
    threads: Mutex<Vec<Arbiter>>,
    next: AtomicUsize,
}

/// Runs something on the arbiter at whose port it arrives.
struct OnArrival<F>(F);

impl<F: FnOnce() + Send> Arrival for OnArrival<F> {
    fn arrive(self: Box<Self>) {
        (self.0)();
    }
}

fn rule(supervision: Supervision, group: Option<&Addr<Supervisor>>) -> Rule {
    match group {
        Some(group) => Rule::Group(Arc::new(group.clone()), supervision),
        None => Rule::Own(supervision),
    }
}

/// How many agents one spawn job makes before others get their turn.
const SPAWN_BATCH: usize = 512;

impl Arbiters {
    /// Starts the threads and their dispatchers. Must be called inside an actix system.
    ///
    /// # Panics
    /// When called outside of an actix system.
    pub async fn start(config: ArbitersConfig, hub: HubConfig) -> Self {
        let mut threads = Vec::new();
        let mut ports = Vec::new();
        match config {
            ArbitersConfig::Here => {
                let port = ArbiterPort::here();
                Dispatcher::new(port.clone()).start();
                ports.push(port);
            }
            ArbitersConfig::Threads(count) => {
                for _ in 0..count.max(1) {
                    let arbiter = Arbiter::new();
                    let (answer, port) = oneshot::channel();
                    arbiter.spawn_fn(move || {
                        let port = ArbiterPort::here();
                        Dispatcher::new(port.clone()).start();
                        let _ = answer.send(port);
                    });
                    ports.push(port.await.expect("the arbiter was started just now"));
                    threads.push(arbiter);
                }
            }
        }
        let handles = threads.iter().map(Arbiter::handle).collect();
        Self { hub: Hub::new(hub, ports), handles, threads: Mutex::new(threads), next: AtomicUsize::new(0) }
    }

    /// What all inboxes share.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Spawns one agent.
    ///
    /// # Errors
    /// [`SpawnError`] says why not.
    pub async fn spawn<A: Agent>(
        &self,
        id: AgentId,
        factory: impl Fn(&Me) -> A + Send + Sync + 'static,
        options: SpawnOptions,
    ) -> Result<AgentRef<A>, SpawnError> {
        let mut agents = self.spawn_many(vec![id], factory, options).await?;
        Ok(agents.pop().expect("one was asked for"))
    }

    /// Spawns agents of one type, in the order of their ids. All or none.
    ///
    /// # Errors
    /// [`SpawnError`] says why not.
    pub async fn spawn_many<A: Agent>(
        &self,
        ids: Vec<AgentId>,
        factory: impl Fn(&Me) -> A + Send + Sync + 'static,
        options: SpawnOptions,
    ) -> Result<Vec<AgentRef<A>>, SpawnError> {
        self.spawn_in(ids, factory, options, None, |card| card).await.map_err(|failed| failed.error)
    }

    /// Spawns agents of one type, in the order of their ids, as members of a group, with their cards amended. All or none.
    ///
    /// # Errors
    /// [`SpawnFailed`] says why not.
    pub async fn spawn_in<A: Agent>(
        &self,
        ids: Vec<AgentId>,
        factory: impl Fn(&Me) -> A + Send + Sync + 'static,
        options: SpawnOptions,
        group: Option<&Addr<Supervisor>>,
        amend: impl Fn(Card<A>) -> Card<A> + Send + Sync + 'static,
    ) -> Result<Vec<AgentRef<A>>, SpawnFailed> {
        let factory: Factory<A> = Arc::new(factory);
        let amend: Amend<A> = Arc::new(amend);
        let rule = Arc::new(rule(options.supervision, group));
        let ports = self.hub.ports();
        let mut answers = Vec::new();
        let mut agents = Spawned::new(Vec::with_capacity(ids.len()));
        // A few agents are shared out, too, when no arbiter was asked for.
        let share = if options.arbiter.is_none() { ids.len().div_ceil(ports.len()) } else { ids.len() };
        let portion = share.clamp(1, SPAWN_BATCH);
        let mut ids = ids.into_iter().peekable();
        while ids.peek().is_some() {
            let batch: Vec<AgentId> = ids.by_ref().take(portion).collect();
            let first = batch[0].clone();
            let turn = options.arbiter.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed));
            let port = &ports[turn % ports.len()];
            let (answer, spawned) = oneshot::channel();
            let job = SpawnJob {
                hub: self.hub.clone(),
                port: port.clone(),
                ids: batch,
                factory: factory.clone(),
                amend: Some(amend.clone()),
                inbox: options.inbox,
                rule: rule.clone(),
                answer,
            };
            port.append(Lane::Normal, [PortItem::Direct(Box::new(job))]);
            answers.push((first, spawned));
        }
        let mut failure: Option<SpawnFailed> = None;
        for (first, spawned) in answers {
            match spawned.await {
                Ok(Ok(batch)) => agents.join(batch),
                Ok(Err(failed)) => match &mut failure {
                    Some(failure) => failure.killed.extend(failed.killed),
                    None => failure = Some(failed),
                },
                Err(_) => {
                    let error = SpawnError::ShuttingDown { agent: first };
                    failure.get_or_insert_with(|| SpawnFailed { error, killed: Vec::new() });
                }
            }
        }
        if let Some(mut failure) = failure {
            failure.killed.extend(agents.ids().cloned());
            return Err(failure);
        }
        Ok(agents.take())
    }

    /// Spawns one agent on an arbiter, counted from 0, from a factory that is made there and need not leave it.
    ///
    /// # Errors
    /// [`SpawnError`] says why not.
    ///
    /// # Panics
    /// When there is no such arbiter.
    pub async fn spawn_local<A: Agent, F: Fn(&Me) -> A + 'static>(
        &self,
        id: AgentId,
        arbiter: usize,
        make: impl FnOnce() -> F + Send + 'static,
        supervision: Supervision,
        group: Option<&Addr<Supervisor>>,
    ) -> Result<AgentRef<A>, SpawnError> {
        let (answer, spawned) = oneshot::channel();
        let rule = rule(supervision, group);
        let (hub, port, first) = (self.hub.clone(), self.hub.ports()[arbiter].clone(), id.clone());
        let local = port.clone();
        let job = OnArrival(move || {
            let bound = ArbiterBound::new(make());
            let factory: Factory<A> =
                Arc::new(move |me: &Me| (bound.get().expect("an agent is rebuilt on its own arbiter"))(me));
            let inbox = InboxConfig::default();
            let (ids, rule) = (vec![id], Arc::new(rule));
            let job = SpawnJob { hub, port: local, ids, factory, amend: None, inbox, rule, answer };
            Box::new(job).arrive();
        });
        port.append(Lane::Normal, [PortItem::Direct(Box::new(job))]);
        let spawned = spawned.await.map_err(|_| SpawnError::ShuttingDown { agent: first })?;
        let mut agents = spawned.map_err(|failed| failed.error)?.take();
        Ok(agents.pop().expect("one was asked for"))
    }

    /// Starts the supervisor of a group, as a child of `parent` when there is one.
    ///
    /// # Errors
    /// [`SpawnError`] when the host is shutting down.
    pub async fn supervise(
        &self,
        id: AgentId,
        spec: GroupSpec,
        parent: Option<&Addr<Supervisor>>,
    ) -> Result<AgentRef<Supervisor>, SpawnError> {
        let name = spec.name.clone();
        let cell = Supervisor::cell(spec, parent.cloned());
        let hub = self.hub.clone();
        let make = move || move |_: &Me| Supervisor::new(hub.clone(), cell.clone());
        let supervisor = self.spawn_local(id, 0, make, Supervision::ALWAYS, None).await?;
        if let Some(parent) = parent {
            Supervisor::join(parent, name, supervisor.address());
        }
        Ok(supervisor)
    }

    /// Runs something on the first arbiter, where it may start actors and futures; not at all when that has stopped.
    pub fn run_on_first(&self, what: impl FnOnce() + Send + 'static) {
        self.hub.ports()[0].append(Lane::Control, [PortItem::Direct(Box::new(OnArrival(what)))]);
    }

    /// Stops the arbiters after what they are doing now. What is still there is accounted for: agents see `stopping()` and
    /// `stopped()`. An arbiter that is the calling thread since [`start`](Self::start) goes on without the host.
    pub fn stop(&self) {
        if self.handles.is_empty() {
            self.hub.ports().iter().for_each(|port| port.close());
        }
        for handle in &self.handles {
            handle.stop();
        }
    }

    /// Stops the arbiters and waits until their threads have ended, but no longer than this. Answers how many have not: an
    /// agent blocks them.
    ///
    /// Called on one of the threads, it stops that one last and does not wait for it: it goes on until its next await.
    pub async fn stop_within(&self, within: Duration) -> usize {
        let until = Instant::now() + within.min(Duration::from_secs(365 * 24 * 60 * 60));
        let here = ThreadToken::current();
        let own = self.hub.ports().iter().position(|port| port.owner() == here);
        for (at, handle) in self.handles.iter().enumerate() {
            if own != Some(at) {
                handle.stop();
            }
        }
        let mut threads = self.threads.lock().await;
        let waits: Vec<_> = threads
            .drain(..)
            .enumerate()
            .filter(|(at, _)| own != Some(*at))
            .map(|(_, thread)| ended(thread))
            .collect();
        let mut blocked = 0;
        for wait in waits {
            blocked += usize::from(timeout_at(until, wait).await.is_err());
        }
        self.stop();
        blocked
    }

    /// Stops the threads after what they are doing now, and waits for them.
    pub fn join(mut self) {
        self.stop();
        for thread in std::mem::take(self.threads.get_mut()) {
            // A thread that panicked has stopped, too.
            let _ = thread.join();
        }
    }
}

impl Drop for Arbiters {
    fn drop(&mut self) {
        for handle in &self.handles {
            handle.stop();
        }
    }
}

/// Ends when a thread has ended. Another thread waits for that from now on: one of the runtime's would keep the runtime
/// from ending.
fn ended(thread: Arbiter) -> impl Future<Output = ()> {
    let (sender, ended) = oneshot::channel::<()>();
    let waits = std::thread::Builder::new().name("phalanx-join".to_owned()).spawn(move || {
        // A thread that panicked has stopped, too.
        let _ = thread.join();
        drop(sender);
    });
    async move {
        match waits {
            Ok(waits) => {
                let _ = ended.await;
                let _ = waits.join();
            }
            Err(error) => tracing::error!(%error, "no thread can be started to wait for an arbiter"),
        }
    }
}
