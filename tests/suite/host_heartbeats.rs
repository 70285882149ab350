//! Heartbeats: who misses them, what follows, and that nothing of it shows while nothing happens. And nodes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use phalanx::{
    agent::{Agent, Card},
    monitor::Event,
    prelude::*,
    router::{Heartbeat, NodeState, Strategy},
};

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
enum Order {
    Note,
    /// Waits in `ctx.wait` for so many seconds.
    Wait(u64),
    /// Answers after so many seconds, while it does other things.
    Work(u64),
    Break,
}

struct Node {
    name: &'static str,
    noted: Arc<Mutex<Vec<(&'static str, u64)>>>,
    begun: tokio::time::Instant,
}

impl Actor for Node {
    type Context = Context<Self>;
}
impl Supervised for Node {}
impl Handler<Order> for Node {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, order: Order, context: &mut Context<Self>) -> Self::Result {
        match order {
            Order::Note => self.noted.lock().unwrap().push((self.name, self.begun.elapsed().as_secs())),
            Order::Wait(seconds) => {
                context.wait(tokio::time::sleep(Duration::from_secs(seconds)).into_actor(self));
            }
            Order::Work(seconds) => return Box::pin(tokio::time::sleep(Duration::from_secs(seconds))),
            Order::Break => panic!("killed by the test"),
        }
        Box::pin(async {})
    }
}
impl Agent for Node {
    fn card(&self) -> Card<Self> {
        Card::new().offers("note").accepts::<Order>()
    }
}

struct World {
    host: Host,
    noted: Arc<Mutex<Vec<(&'static str, u64)>>>,
    told: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn start(heartbeat: Option<Heartbeat>) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let builder = Host::builder().simulated(7).tap(move |event: &Event| {
            if event.name.starts_with("router.node_") || event.name == "health.check" {
                let what = event.data.get("health").map_or(&*event.name, |health| health.as_str().unwrap());
                let agent = event.agent.as_ref().unwrap();
                if !agent.as_str().starts_with("phalanx/") {
                    heard.lock().unwrap().push(format!("{} {agent} {what}", event.at.micros() / 1_000_000));
                }
            }
        });
        let builder = match heartbeat {
            Some(heartbeat) => builder.heartbeat(heartbeat),
            None => builder,
        };
        Self { host: builder.start().await.unwrap(), noted: Arc::default(), told }
    }

    async fn node(&self, name: &'static str, options: AgentOptions) -> AgentRef<Node> {
        let noted = self.noted.clone();
        let begun = tokio::time::Instant::now();
        let make = move |_: &Me| Node { name, noted: noted.clone(), begun };
        self.host.spawn_with(name, options, make).await.unwrap()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn state(&self, name: &str) -> NodeState {
        self.host.router().node(&AgentId::new(name).unwrap()).unwrap().status
    }
}

fn simulate<P: Future<Output = ()>>(test: impl FnOnce() -> P) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    System::with_tokio_rt(move || runtime().unwrap()).block_on(async { test().await });
}

#[test]
fn an_agent_that_waits_is_suspected_then_inactive_gets_nothing_meanwhile_and_is_back_at_once() {
    simulate(|| async {
        let world = World::start(Some(Heartbeat::default())).await;
        let (a, _b) =
            (world.node("a", AgentOptions::default()).await, world.node("b", AgentOptions::default()).await);
        world.host.subscribe("news", "a").await.unwrap();
        world.host.subscribe("news", "b").await.unwrap();
        let (news, one) =
            (world.host.topic::<Order>("news").unwrap(), world.host.capability::<Order>("note").unwrap());
        let one = one.by(Strategy::RoundRobin);
        one.unicast(Order::Note).unwrap();
        world.told();
        a.tell(Order::Wait(60)).unwrap();
        let mut recipients = Vec::new();
        for second in 0..70 {
            if second == 30 {
                // A subscription and a route that come about meanwhile are no way around it.
                world.host.subscribe("late", "a").await.unwrap();
                assert_eq!(world.host.topic::<Order>("late").unwrap().recipients(), 0);
                assert_eq!(world.state("a"), NodeState::Inactive);
                world.host.verify().unwrap();
            }
            let published = news.publish(Order::Note).unwrap().recipients;
            if second > 20 && second != 60 {
                // By now it is off the routes, and back when its wait has ended.
                assert_eq!(published, if second < 60 { 1 } else { 2 }, "second {second}");
                let chosen = one.unicast(Order::Note).unwrap().agent;
                assert!(second >= 60 || chosen.as_str() == "b", "second {second}");
            }
            recipients.push(published);
            world.host.sleep(Duration::from_secs(1)).await;
        }
        world.host.idle().await;
        let told = world.told();
        let (events, health): (Vec<_>, Vec<_>) = told.into_iter().partition(|line| line.contains("router."));
        assert_eq!(
            events,
            ["10 a router.node_suspected", "20 a router.node_inactive", "60 a router.node_active"]
        );
        assert_eq!(health, ["10 a suspected", "60 a healthy"]);
        assert_eq!(world.host.topic::<Order>("late").unwrap().recipients(), 1, "subscriptions stay");
        let noted = world.noted.lock().unwrap().iter().filter(|(name, at)| *name == "a" && *at < 60).count();
        assert!(noted <= 1, "it handled nothing while it waited");
        world.host.verify().unwrap();
        let report = world.host.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.ledger.pending, 0);
    });
}

#[test]
fn an_agent_that_works_on_its_answers_beats_and_one_in_a_long_back_off_does_not() {
    crate::support::quiet_panics();
    simulate(|| async {
        let beat = Heartbeat { every: Duration::from_secs(2), inactive_after: 2 };
        let world = World::start(Some(beat)).await;
        let mut options = AgentOptions::default();
        options.supervision.backoff.initial = Duration::from_secs(20);
        options.supervision.backoff.max = Duration::from_secs(20);
        options.supervision.backoff.jitter = 0.0;
        let works = world.node("works", AgentOptions::default()).await;
        let rests = world.node("rests", options).await;
        works.tell(Order::Work(40)).unwrap();
        rests.tell(Order::Break).unwrap();
        for _ in 0..30 {
            works.tell(Order::Note).unwrap();
            world.host.sleep(Duration::from_secs(1)).await;
        }
        let told: Vec<String> = world.told().into_iter().filter(|line| line.contains("router.")).collect();
        assert_eq!(
            told,
            ["4 rests router.node_suspected", "6 rests router.node_inactive", "20 rests router.node_active"]
        );
        let nodes = world.host.router().nodes();
        assert!(nodes.iter().all(|node| node.status == NodeState::Active && node.last_heartbeat.is_some()));
        world.host.shutdown(Duration::from_secs(60)).await;
    });
}

#[test]
fn heartbeats_do_not_make_virtual_time_run_on_its_own() {
    simulate(|| async {
        let world = World::start(Some(Heartbeat::default())).await;
        let node = world.node("a", AgentOptions::default()).await;
        node.tell(Order::Note).unwrap();
        world.host.idle().await;
        // A thread of its own answers after a while of real time; meanwhile the clock would run on with every timer.
        let (answer, answered) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            (0..20_000_000).for_each(|n| _ = std::hint::black_box(n));
            answer.send(()).unwrap();
        });
        answered.await.unwrap();
        let passed = world.host.now().since_start();
        assert!(passed <= Duration::from_secs(20), "{passed:?} passed");
        // It wakes with the next message.
        let before = world.host.router().nodes()[0].last_heartbeat.unwrap();
        world.host.sleep(Duration::from_secs(100)).await;
        node.tell(Order::Wait(1)).unwrap();
        world.host.sleep(Duration::from_secs(30)).await;
        assert!(world.host.router().nodes()[0].last_heartbeat.unwrap() > before);
        world.host.shutdown(Duration::from_secs(5)).await;
    });
}

#[test]
fn nodes_tell_their_load_latency_throughput_and_state() {
    simulate(|| async {
        let world = World::start(None).await;
        let mut options = AgentOptions::default();
        options.inbox.capacity = 10;
        let node = world.node("a", options).await;
        let look = || world.host.router().nodes().remove(0);
        assert_eq!((look().load, look().latency, look().last_heartbeat), (0.0, Duration::ZERO, None));
        for _ in 0..5 {
            node.tell(Order::Work(2)).unwrap();
        }
        let status = look();
        assert!((status.load - 0.5).abs() < 1e-9 && status.status == NodeState::Active, "{status:?}");
        world.host.sleep(Duration::from_secs(10)).await;
        let status = look();
        assert!(status.latency.abs_diff(Duration::from_secs(2)) < Duration::from_millis(10), "{status:?}");
        assert!((status.throughput - 0.5).abs() < 0.01, "five in ten seconds: {status:?}");
        assert_eq!((status.handled, status.failed, status.capabilities[0].as_str()), (5, 0, "note"));
        world.host.sleep(Duration::from_secs(10)).await;
        assert!(look().throughput.abs() < 1e-9, "none since");
        node.tell(Order::Work(5)).unwrap();
        node.stop();
        world.host.sleep(Duration::from_secs(1)).await;
        assert_eq!(look().status, NodeState::Closing);
        world.host.shutdown(Duration::from_secs(9)).await;
    });
}
