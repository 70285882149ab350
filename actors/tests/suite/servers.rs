//! Agents that take their time over jobs, for tests of sending to one of many.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use phalanx_actors::{
    agent::{Agent, Capability, Card, Priority},
    inbox::{AgentHandle, InboxConfig, OverflowPolicy},
    router::{Publisher, Selector, Unicast},
    supervisor::SpawnOptions,
};

use crate::support::World;

/// Runs a test on one arbiter with a clock that is paused from the start, so that a sleep takes just its time.
pub(crate) fn paused<T>(test: impl Future<Output = T>) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    System::with_tokio_rt(move || runtime().unwrap()).block_on(test)
}

/// A piece of work. Answered with what was answered before by its agent.
#[derive(Debug, Clone, Message, PartialEq, Eq)]
#[rtype(result = "u32")]
pub(crate) struct Job(pub(crate) u32);

/// How a [`Server`] is, which may change while it runs.
#[derive(Default)]
pub(crate) struct Traits {
    /// How long each job takes \[us\].
    pub(crate) takes: AtomicU64,
    pub(crate) breaks: AtomicBool,
}

impl Traits {
    pub(crate) fn taking(millis: u64) -> Arc<Self> {
        Arc::new(Self { takes: AtomicU64::new(millis * 1_000), breaks: AtomicBool::new(false) })
    }
}

/// Takes its time over each job, one after another.
pub(crate) struct Server {
    pub(crate) traits: Arc<Traits>,
    pub(crate) priority: Priority,
    pub(crate) at: Option<(f64, f64)>,
    done: u32,
}

impl Actor for Server {
    type Context = Context<Self>;
}
impl Supervised for Server {}
impl Handler<Job> for Server {
    type Result = AtomicResponse<Self, u32>;
    fn handle(&mut self, _: Job, _: &mut Context<Self>) -> Self::Result {
        assert!(!self.traits.breaks.load(Ordering::Relaxed), "it breaks");
        self.done += 1;
        let (done, takes) = (self.done, Duration::from_micros(self.traits.takes.load(Ordering::Relaxed)));
        let work = async move {
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            done
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}
impl Agent for Server {
    fn card(&self) -> Card<Self> {
        let card = Card::new().offers("serve").priority(self.priority).accepts::<Job>();
        match self.at {
            Some((latitude, longitude)) => card.at(latitude, longitude),
            None => card,
        }
    }
}

/// How a server is spawned.
pub(crate) struct Spec {
    pub(crate) id: &'static str,
    pub(crate) traits: Arc<Traits>,
    pub(crate) priority: Priority,
    pub(crate) at: Option<(f64, f64)>,
    pub(crate) options: SpawnOptions,
}

impl Spec {
    pub(crate) fn new(id: &'static str) -> Self {
        Self {
            id,
            traits: Traits::taking(0),
            priority: Priority::Normal,
            at: None,
            options: crate::support::tough(phalanx_actors::supervisor::RestartPolicy::Permanent),
        }
    }

    pub(crate) fn taking(self, millis: u64) -> Self {
        Self { traits: Traits::taking(millis), ..self }
    }

    pub(crate) fn holding(mut self, capacity: u32) -> Self {
        self.options.inbox =
            InboxConfig { capacity, overflow: OverflowPolicy::Reject, ..InboxConfig::default() };
        self
    }

    pub(crate) fn with(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    pub(crate) fn at(self, latitude: f64, longitude: f64) -> Self {
        Self { at: Some((latitude, longitude)), ..self }
    }

    pub(crate) async fn spawn(self, world: &World) -> AgentHandle {
        let Self { id, traits, priority, at, options } = self;
        let make = move |_: &_| Server { traits: traits.clone(), priority, at, done: 0 };
        let agent = world.spawn(id, make, options).await.handle();
        world.enlist([agent.clone()]).await;
        agent
    }
}

pub(crate) async fn serving(world: &World, specs: impl IntoIterator<Item = Spec>) -> Publisher<Job> {
    for spec in specs {
        spec.spawn(world).await;
    }
    world.directory.verify().unwrap();
    world.directory.publisher(&Selector::Capability(Capability::new("serve").unwrap()))
}

pub(crate) fn shares(chosen: impl IntoIterator<Item = String>) -> BTreeMap<String, u32> {
    let mut shares = BTreeMap::new();
    chosen.into_iter().for_each(|agent| *shares.entry(agent).or_default() += 1);
    shares
}

pub(crate) fn send(topic: &Publisher<Job>, unicast: &Unicast) -> String {
    topic.unicast_with(Job(1), unicast.clone()).unwrap().agent.to_string()
}

pub(crate) fn text(shares: &BTreeMap<String, u32>) -> String {
    shares.iter().map(|(agent, share)| format!("{agent} {share}")).collect::<Vec<_>>().join(", ")
}
