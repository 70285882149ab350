//! Agents and protocol actors are killed by panics under load: nothing is lost, nothing hangs.

use std::{collections::BTreeSet, time::Duration};

use phalanx::{
    agent::{Agent, Card, Terminated},
    coordinator::{TaskSpec, TaskState},
    prelude::*,
    supervisor::{Backoff, Intensity, RestartPolicy, Supervision},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::support::{quiet_panics, threads};

#[derive(Clone, Message)]
#[rtype(result = "u64")]
struct Ping(u64);

#[derive(Default)]
struct Worker {
    pings: u64,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Supervised for Worker {}

impl Handler<Ping> for Worker {
    type Result = u64;
    fn handle(&mut self, ping: Ping, _: &mut Context<Self>) -> u64 {
        self.pings += 1;
        ping.0
    }
}

impl Handler<Work> for Worker {
    type Result = ResponseFuture<Result<Value, String>>;
    fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Self::Result {
        let n = work.payload()["n"].as_u64().unwrap_or_default();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(n % 5)).await;
            Ok(json!(n * n))
        })
    }
}

impl Agent for Worker {
    fn card(&self) -> Card<Self> {
        Card::new().kind("worker").offers("square").in_group("all").accepts::<Ping>().accepts::<Work>()
    }
}

const AGENTS: usize = 24;
const TASKS: u64 = 300;

fn hardy() -> AgentOptions {
    let supervision = Supervision {
        policy: RestartPolicy::Permanent,
        intensity: Intensity { restarts: 10_000, within: Duration::from_secs(1) },
        backoff: Backoff { initial: Duration::from_millis(1), ..Backoff::default() },
    };
    AgentOptions { supervision, slots: Some(4), ..AgentOptions::default() }
}

fn square(n: u64) -> TaskSpec {
    TaskSpec::new(TaskId::new(format!("square/{n}")).unwrap())
        .needing(["square".parse().unwrap()])
        .with_payload(json!({ "n": n }))
        .retrying(1_000)
}

/// Load, and a panic wherever the seed says, again and again; then everything must be whole.
async fn storm(host: &Host, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let ids: Vec<AgentId> = (0..AGENTS).map(|i| AgentId::new(format!("worker/{i}")).unwrap()).collect();
    host.spawn_many(ids.clone(), hardy(), |_| Worker::default()).await.unwrap();
    for id in &ids {
        assert!(host.subscribe("news", id).await.unwrap());
    }
    let news = host.topic::<Ping>("news").unwrap();
    let all = host.group::<Ping>("all").unwrap();
    let mut submitted = 0;
    for round in 0..60u64 {
        let protocols = host.protocols().agents().clone();
        protocols[random.random_range(0..protocols.len())].inject_panic("killed by the test");
        for _ in 0..random.random_range(0..3) {
            let victim = &ids[random.random_range(0..ids.len())];
            host.agent(victim).unwrap().inject_panic("killed by the test");
        }
        if round % 10 == 0 {
            let id = format!("extra/{round}");
            host.spawn_with(&id, hardy(), |_| Worker::default()).await.unwrap();
        }
        // A publication may be refused when it comes too fast, but never lost.
        let _ = news.publish(Ping(round));
        let _ = all.publish(Ping(round));
        let someone = host.agent(&ids[random.random_range(0..ids.len())]).unwrap();
        let _ = someone.ask(Ping(round)).within(Duration::from_secs(5)).await;
        let tasks: Vec<_> = (0..TASKS / 60).map(|i| square(submitted + i)).collect();
        let count = tasks.len() as u64;
        // The coordinator may be killed with the answer in its hands; then the tasks are taken or not, and asking again
        // says which.
        if host.submit(tasks).await.is_err() {
            let retry: Vec<_> = (0..count).map(|i| square(submitted + i)).collect();
            let _ = host.submit(retry).await;
        }
        submitted += count;
    }
    let totals = host.tasks().await.unwrap();
    assert_eq!(totals.metrics.completed as u64, submitted, "seed {seed}: {totals:?}");
    for n in [0, submitted / 2, submitted - 1] {
        let report = host.task(&format!("square/{n}").parse().unwrap()).await.unwrap();
        assert_eq!(report.state, TaskState::Completed);
        assert_eq!(report.result.as_deref(), Some(&json!(n * n)), "seed {seed}");
    }
    let kills: Vec<u32> = host.protocols().agents().iter().map(AgentHandle::generation).collect();
    assert!(kills.iter().all(|kills| *kills > 0), "seed {seed}: each protocol actor was killed: {kills:?}");
    host.idle().await;
    let (on_topic, in_group) = (news.ledger(), all.ledger());
    for route in [on_topic, in_group] {
        assert!(route.delivered > route.sent / 2, "seed {seed}: most got through: {route:?}");
    }
    host.verify().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let registered: BTreeSet<_> = host
        .select(&Selector::Group("all".parse().unwrap()))
        .iter()
        .map(|agent| agent.id().clone())
        .collect();
    let extra = (0..60).step_by(10).map(|round| AgentId::new(format!("extra/{round}")).unwrap());
    assert_eq!(registered, ids.iter().cloned().chain(extra).collect(), "seed {seed}: the roster is whole");
    assert_eq!(news.recipients(), AGENTS, "seed {seed}: the routes are whole");
    let ledger = host.ledger();
    assert!(ledger.balances() && ledger.pending == 0, "seed {seed}: {ledger:?}");
    let report = host.shutdown(Duration::from_secs(30)).await;
    assert!(report.ledger.balances() && report.ledger.pending == 0, "seed {seed}: {:?}", report.ledger);
    assert_eq!((report.killed, host.agents()), (0, 0), "seed {seed}");
}

#[test]
fn killing_protocol_actors_and_agents_under_load_loses_nothing_in_virtual_time() {
    quiet_panics();
    for seed in 0..12 {
        simulate(seed, |host| async move {
            storm(&host, seed).await;
            Ok::<_, HostError>(())
        })
        .unwrap();
    }
}

#[test]
fn killing_protocol_actors_and_agents_under_load_loses_nothing_on_threads() {
    quiet_panics();
    for seed in 100..103 {
        threads(2, move |host| async move { storm(&host, seed).await });
    }
}

struct Watcher(std::sync::mpsc::Sender<Terminated>);

impl Actor for Watcher {
    type Context = Context<Self>;
}

impl Supervised for Watcher {}

impl Handler<Terminated> for Watcher {
    type Result = ();
    fn handle(&mut self, gone: Terminated, _: &mut Context<Self>) {
        let _ = self.0.send(gone);
    }
}

impl Agent for Watcher {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Terminated>()
    }
}

#[test]
fn an_agent_that_is_given_up_leaves_roster_and_routes_and_its_watchers_are_told() {
    quiet_panics();
    simulate(1, |host| async move {
        let once = Supervision { policy: RestartPolicy::Temporary, ..Supervision::default() };
        let options = AgentOptions { supervision: once, ..AgentOptions::default() };
        let worker = host.spawn_with("w", options, |_| Worker::default()).await.unwrap();
        let (sender, heard) = std::sync::mpsc::channel();
        let watcher = host.spawn("watcher", move || Watcher(sender.clone())).await.unwrap();
        host.watch(&watcher, &worker.handle());
        host.subscribe("news", "w").await.unwrap();
        let news = host.topic::<Ping>("news").unwrap();
        assert_eq!(news.recipients(), 1);
        worker.handle().inject_panic("the end");
        host.sleep(Duration::from_millis(50)).await;
        assert_eq!(news.recipients(), 0);
        assert!(host.agent("w").is_err());
        let gone = heard.try_recv().unwrap();
        assert_eq!((gone.agent.as_str(), gone.reason.to_string().as_str()), ("w", "it panicked: the end"));
        let refused = worker.tell(Ping(1)).unwrap_err();
        assert_eq!(refused.reason, Reason::Closed);
        host.spawn("w", Worker::default).await.expect("the id is free again");
        host.verify().unwrap();
        host.shutdown(Duration::from_secs(1)).await;
        Ok::<_, HostError>(())
    })
    .unwrap();
}

#[test]
fn linked_agents_go_together_when_one_comes_to_a_bad_end() {
    quiet_panics();
    simulate(1, |host| async move {
        let once = Supervision { policy: RestartPolicy::Temporary, ..Supervision::default() };
        let options = AgentOptions { supervision: once, ..AgentOptions::default() };
        let first = host.spawn_with("one", options.clone(), |_| Worker::default()).await.unwrap().handle();
        let other = host.spawn_with("other", options.clone(), |_| Worker::default()).await.unwrap().handle();
        let third = host.spawn_with("third", options, |_| Worker::default()).await.unwrap().handle();
        host.link(&first, &other);
        host.link(&third, &other);
        third.stop();
        host.sleep(Duration::from_millis(50)).await;
        assert!(!other.has_ended(), "a normal end takes nobody along");
        first.inject_panic("x");
        host.sleep(Duration::from_millis(50)).await;
        assert!(other.has_ended());
        host.shutdown(Duration::from_secs(1)).await;
        Ok::<_, HostError>(())
    })
    .unwrap();
}
