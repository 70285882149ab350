//! A host for tests, and an agent that does what its messages say.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::prelude::*;
use phalanx_actors::{
    agent::{Agent, AgentId, Card, Delivery, Me, Reason, TopicFilter, TopicName},
    inbox::{AgentHandle, AgentRef, Counts, Hub, HubConfig, InboxConfig, OverflowPolicy},
    router::{
        Arbiters, ArbitersConfig, Directory, Publisher, Reroute, Router, Selector, Subscribe,
        SubscribeOptions, Unsubscribe,
    },
    supervisor::{Backoff, Intensity, RestartPolicy, SpawnOptions, Supervision},
};

/// Runs a test on one arbiter with a paused clock.
pub(crate) fn paused<T>(test: impl Future<Output = T>) -> T {
    System::new().block_on(async {
        tokio::time::pause();
        test.await
    })
}

/// Runs a test with a clock that runs, as threads need it.
pub(crate) fn threaded<T>(test: impl Future<Output = T>) -> T {
    System::new().block_on(test)
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        self.take().join(" ")
    }
}

/// A host: arbiters, tables and their router.
pub(crate) struct World {
    pub(crate) arbiters: Arbiters,
    pub(crate) directory: Directory,
    router: Addr<Router>,
}

impl World {
    pub(crate) async fn start(config: ArbitersConfig, hub: HubConfig) -> Self {
        let arbiters = Arbiters::start(config, hub).await;
        let directory = Directory::new(arbiters.hub());
        let router = Router::new(directory.clone()).start();
        Self { arbiters, directory, router }
    }

    pub(crate) async fn here() -> Self {
        Self::start(ArbitersConfig::Here, HubConfig { seed: 7, ..HubConfig::default() }).await
    }

    pub(crate) async fn two() -> Self {
        Self::start(ArbitersConfig::Threads(2), HubConfig { seed: 7, ..HubConfig::default() }).await
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        self.arbiters.hub()
    }

    pub(crate) async fn spawn<A: Agent>(
        &self,
        id: &str,
        factory: impl Fn(&Me) -> A + Send + Sync + 'static,
        options: SpawnOptions,
    ) -> AgentRef<A> {
        self.arbiters.spawn(name(id), factory, options).await.unwrap()
    }

    pub(crate) async fn actor(&self, id: &str, log: &Log, options: SpawnOptions) -> AgentRef<Player> {
        let log = log.clone();
        self.spawn(id, move |me| Player::new(me, &log), options).await
    }

    pub(crate) async fn enlist(&self, agents: impl IntoIterator<Item = AgentHandle>) {
        let change = Reroute { add: agents.into_iter().collect(), remove: Vec::new() };
        assert!(self.router.send(change).await.unwrap().taken.is_empty());
    }

    pub(crate) async fn remove(&self, agent: &AgentId) {
        self.router.send(Reroute { add: Vec::new(), remove: vec![agent.clone()] }).await.unwrap();
    }

    pub(crate) async fn subscribe(&self, topic: &str, agent: &AgentId) {
        self.subscribe_late(topic, agent, 0).await;
    }

    /// Subscribes an agent that wants so many of the last publications, too.
    pub(crate) async fn subscribe_late(&self, topic: &str, agent: &AgentId, replay: usize) {
        self.subscribe_with(topic, agent, SubscribeOptions::new().replay(replay)).await;
    }

    pub(crate) async fn subscribe_with(&self, topic: &str, agent: &AgentId, options: SubscribeOptions) {
        assert!(self.try_subscribe(topic, agent, options).await);
    }

    pub(crate) async fn try_subscribe(
        &self,
        topic: &str,
        agent: &AgentId,
        options: SubscribeOptions,
    ) -> bool {
        let filter = TopicFilter::new(topic).unwrap();
        self.router.send(Subscribe { filter, agent: agent.clone(), options }).await.unwrap()
    }

    pub(crate) async fn unsubscribe(&self, topic: &str, agent: &AgentId) {
        assert!(self.try_unsubscribe(topic, agent).await);
    }

    pub(crate) async fn try_unsubscribe(&self, topic: &str, agent: &AgentId) -> bool {
        let filter = TopicFilter::new(topic).unwrap();
        self.router.send(Unsubscribe { filter, agent: agent.clone() }).await.unwrap()
    }

    /// Enlists agents and subscribes them to a topic.
    pub(crate) async fn topic(
        &self,
        topic: &str,
        agents: impl IntoIterator<Item = AgentHandle>,
    ) -> Publisher<Do> {
        let agents: Vec<_> = agents.into_iter().collect();
        self.enlist(agents.clone()).await;
        for agent in &agents {
            self.subscribe(topic, agent.id()).await;
        }
        self.publisher(topic)
    }

    /// Subscribes an enlisted agent to one more topic.
    pub(crate) async fn topic_of<A: Agent>(&self, topic: &str, agent: &AgentRef<A>) -> Publisher<Do> {
        self.subscribe(topic, agent.id()).await;
        self.publisher(topic)
    }

    pub(crate) fn publisher(&self, topic: &str) -> Publisher<Do> {
        self.directory.publisher(&Selector::Topic(TopicName::new(topic).unwrap()))
    }

    /// The ledger of a host where nothing is pending any more.
    pub(crate) async fn settled(&self) -> Counts {
        self.hub().idle().await;
        let counts = self.hub().ledger();
        assert!(counts.balances(), "{counts:?}");
        assert_eq!(counts.pending, 0, "{counts:?}");
        let mut sum = Counts::default();
        for (name, route) in self.hub().ledgers() {
            assert!(route.balances() && route.pending == 0, "{name}: {route:?}");
            sum = sum.plus(route);
        }
        assert_eq!(sum, counts);
        counts
    }

    pub(crate) fn reason(&self, reason: Reason) -> u64 {
        self.hub().reason(reason)
    }
}

pub(crate) fn name(id: &str) -> AgentId {
    AgentId::new(id).unwrap()
}

pub(crate) fn inbox(capacity: u32, overflow: OverflowPolicy) -> SpawnOptions {
    SpawnOptions {
        inbox: InboxConfig { capacity, overflow, ..InboxConfig::default() },
        ..SpawnOptions::default()
    }
}

pub(crate) fn on(arbiter: usize) -> SpawnOptions {
    SpawnOptions { arbiter: Some(arbiter), ..SpawnOptions::default() }
}

/// Restarted at once, as often as it takes.
pub(crate) fn tough(policy: RestartPolicy) -> SpawnOptions {
    let intensity = Intensity { restarts: 1_000_000, within: Duration::from_secs(1) };
    let supervision = Supervision { policy, intensity, backoff: Backoff::NONE };
    SpawnOptions { supervision, ..SpawnOptions::default() }
}

/// Lets everything that is ready run, on a paused clock or not.
pub(crate) async fn turn() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// What a [`Player`] is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "u32")]
pub(crate) enum Do {
    /// Note this number and answer it.
    Note(u32),
    /// Panic inside the handler.
    Panic,
    /// Stop by `ctx.stop()`.
    Stop,
    /// Panic in a timer after so many milliseconds.
    Later(u64),
    /// Panic in an interval.
    Interval(u64),
    /// Panic in a spawned future.
    Spawned,
    /// Panic in a future of `ctx.wait`.
    Wait,
    /// Panic in a stream.
    Stream,
    /// Start noting every so many milliseconds.
    Tick(u64),
    /// Wait for so many milliseconds, barring the way.
    Pause(u64),
}

/// Notes all that happens to it.
pub(crate) struct Player {
    pub(crate) me: Me,
    pub(crate) log: Log,
}

impl Player {
    pub(crate) fn new(me: &Me, log: &Log) -> Self {
        Self { me: me.clone(), log: log.clone() }
    }
}

impl Actor for Player {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.log.add(format!("+{}", self.me.generation));
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.log.add(format!("-{}", self.me.generation));
    }
}

impl Supervised for Player {}

impl StreamHandler<u32> for Player {
    fn handle(&mut self, _: u32, _: &mut Context<Self>) {
        panic!("in a stream");
    }
}

impl Handler<Do> for Player {
    type Result = u32;

    fn handle(&mut self, what: Do, context: &mut Context<Self>) -> u32 {
        match what {
            Do::Note(number) => {
                self.log.add(format!("{}:{number}", self.me.generation));
                return number;
            }
            Do::Panic => panic!("told to"),
            Do::Stop => context.stop(),
            Do::Later(ms) => {
                context.run_later(Duration::from_millis(ms), |_, _| panic!("in a timer"));
            }
            Do::Interval(ms) => {
                context.run_interval(Duration::from_millis(ms), |_, _| panic!("in an interval"));
            }
            Do::Spawned => {
                context.spawn(async { panic!("in a future") }.into_actor(self));
            }
            Do::Wait => context.wait(async { panic!("in a wait") }.into_actor(self)),
            Do::Stream => {
                context.add_stream(futures_util::stream::once(async { 1 }));
            }
            Do::Tick(ms) => {
                context.run_interval(Duration::from_millis(ms), |this, _| {
                    this.log.add(format!("{}:tick", this.me.generation));
                });
            }
            Do::Pause(ms) => {
                context.wait(tokio::time::sleep(Duration::from_millis(ms)).into_actor(self));
            }
        }
        0
    }
}

impl Agent for Player {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Do>()
    }
}

/// Accepts what a [`Player`] does, as deliveries.
pub(crate) struct Reader(pub(crate) Log);

impl Actor for Reader {
    type Context = Context<Self>;
}
impl Supervised for Reader {}
impl Handler<Delivery<Do>> for Reader {
    type Result = u32;
    fn handle(&mut self, it: Delivery<Do>, _: &mut Context<Self>) -> u32 {
        let meta = it.meta();
        let trace = meta.trace().map(|trace| (trace.trace_id, trace.span_id));
        self.0.add(format!("{:?} {:?} {:?} {}", *it, it.sender(), trace, meta.attempt()));
        u32::try_from(meta.deadline().map_or(0, |at| at.micros() / 1_000)).unwrap()
    }
}
impl Agent for Reader {
    fn card(&self) -> Card<Self> {
        Card::new().accepts_delivery::<Do>()
    }
}
