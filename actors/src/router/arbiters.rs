//! [`Arbiters`]: the threads that agents live on, each with its port and its dispatcher.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use actix::Actor;
use actix_rt::Arbiter;
use tokio::sync::oneshot;

use super::dispatcher::Dispatcher;
use crate::{
    agent::{Agent, AgentId, Lane, Me},
    inbox::{AgentRef, ArbiterPort, Hub, HubConfig, PortItem},
    supervisor::{Factory, Rule, SpawnError, SpawnJob, SpawnOptions},
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
pub struct Arbiters {
    hub: Arc<Hub>,
    threads: Vec<Arbiter>,
    next: AtomicUsize,
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
        Self { hub: Hub::new(hub, ports), threads, next: AtomicUsize::new(0) }
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
        let factory: Factory<A> = Arc::new(factory);
        let rule = Arc::new(Rule::Own(options.supervision));
        let ports = self.hub.ports();
        let mut answers = Vec::new();
        let mut agents = Vec::with_capacity(ids.len());
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
                amend: None,
                inbox: options.inbox,
                rule: rule.clone(),
                answer,
            };
            port.append(Lane::Normal, [PortItem::Direct(Box::new(job))]);
            answers.push((first, spawned));
        }
        for (first, spawned) in answers {
            agents.extend(spawned.await.map_err(|_| SpawnError::ShuttingDown { agent: first })??);
        }
        Ok(agents)
    }

    /// Stops the threads after what they are doing now, and waits for them.
    pub fn join(self) {
        for thread in self.threads {
            thread.stop();
            let _ = thread.join();
        }
    }
}
