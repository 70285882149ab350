use std::{
    collections::BTreeSet,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use super::*;
use crate::{
    agent::{Capability, Kind, Me, Priority, TopicFilter},
    inbox::{AgentRef, HubConfig},
    registrar::{
        BatcherOptions, Enlistment, ParallelBatches, RegistrarOptions, RequestId, Roster, RosterStatus,
        Rules, Stage, Status, Strategy, VALIDATIONS,
    },
    router::{
        Arbiters, ArbitersConfig, Directory, Publisher, Reroute, Selector, Subscribe, SubscribeOptions,
    },
    supervisor::{Backoff, Intensity, SpawnOptions, Supervision},
};

/// Kind, all of these capabilities, any of those, and the agents that fit.
type Case = (Option<&'static str>, &'static [&'static str], &'static [&'static str], &'static str);

mod expiry;
mod faults;
mod leases;
mod load;
mod random;
mod rebuild;
mod recording;
mod removal;
mod validating;

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Bid;

#[derive(Default)]
struct Seller;

impl Actor for Seller {
    type Context = Context<Self>;
}
impl Supervised for Seller {}
impl Handler<Bid> for Seller {
    type Result = ();
    fn handle(&mut self, _: Bid, _: &mut Context<Self>) {}
}
impl Agent for Seller {
    fn card(&self) -> Card<Self> {
        Card::new().offers("sell").accepts::<Bid>().at(1.5, -2.0).with("note", "n")
    }
}

fn id(text: &str) -> AgentId {
    AgentId::new(text).unwrap()
}

/// Runs a test on one arbiter with a clock that is paused from the start.
fn paused<T>(test: impl Future<Output = T>) -> T {
    let paused = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    actix_rt::System::with_tokio_rt(move || paused().unwrap()).block_on(test)
}

/// A registrar and a router, both supervised, over empty tables.
struct World {
    arbiters: Arbiters,
    directory: Directory,
    cell: RegistrarCell,
    router: AgentRef<Router>,
    registrar: AgentRef<Registrar>,
    events: Arc<Mutex<Vec<RegistrarEvent>>>,
}

/// A back-off of a second, so that a test has the time to do something meanwhile.
const REST: Duration = Duration::from_secs(1);

fn supervised(rest: Duration) -> SpawnOptions {
    let backoff = Backoff { initial: rest, max: rest, factor: 1.0, jitter: 0.0 };
    let intensity = Intensity { restarts: 1000, ..Intensity::default() };
    SpawnOptions {
        supervision: Supervision { intensity, backoff, ..Supervision::default() },
        ..SpawnOptions::default()
    }
}

fn batched_by(strategy: Strategy) -> RegistrarOptions {
    RegistrarOptions {
        batcher: BatcherOptions { strategy, ..BatcherOptions::default() },
        ..RegistrarOptions::default()
    }
}

/// Requests wait for 5 s.
fn slow() -> RegistrarOptions {
    batched_by(Strategy::TIME_BASED)
}

impl World {
    async fn start(options: RegistrarOptions, rules: Rules) -> Self {
        Self::over(RegistrarCell::new(options, rules)).await
    }

    async fn over(cell: RegistrarCell) -> Self {
        let arbiters = Arbiters::start(ArbitersConfig::Here, HubConfig::default()).await;
        let directory = Directory::new(arbiters.hub());
        let tables = directory.clone();
        let router = arbiters
            .spawn(id("router"), move |_| Router::new(tables.clone()), supervised(REST))
            .await
            .unwrap();
        let events = Arc::<Mutex<Vec<_>>>::default();
        let (kept, to, hub, told) = (cell.clone(), router.address(), arbiters.hub().clone(), events.clone());
        let factory = move |_: &Me| {
            let (hub, told) = (hub.clone(), told.clone());
            let sink = move |event| told.lock().unwrap().push(event);
            Registrar::new(kept.clone(), to.clone(), Arc::new(move || hub.now()), Arc::new(sink))
        };
        let registrar = arbiters.spawn(id("registrar"), factory, supervised(Duration::ZERO)).await.unwrap();
        Self { arbiters, directory, cell, router, registrar, events }
    }

    async fn fast() -> Self {
        Self::start(RegistrarOptions::default(), Rules::default()).await
    }

    async fn sellers(&self, names: &[&str]) -> Vec<AgentHandle> {
        let ids = names.iter().map(|name| id(name)).collect();
        let agents = self.arbiters.spawn_many(ids, |_| Seller, SpawnOptions::default()).await.unwrap();
        agents.iter().map(AgentRef::handle).collect()
    }

    fn enlistment(&self, agent: &AgentHandle) -> Enlistment {
        let now = self.arbiters.hub().now();
        let request = Request::of(self.cell.next_request(), agent, Priority::Normal, now);
        Enlistment { request, agent: agent.clone() }
    }

    /// Asks at once; the answer is there when the task has ended.
    fn asked<M>(&self, message: M) -> tokio::task::JoinHandle<M::Result>
    where
        Registrar: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let answer = self.registrar.address().send(message);
        actix_rt::spawn(async move { answer.await.unwrap() })
    }

    fn enlist(&self, agents: &[AgentHandle]) -> tokio::task::JoinHandle<Vec<Request>> {
        self.asked(Enlist(agents.iter().map(|agent| self.enlistment(agent)).collect()))
    }

    async fn status(&self) -> RosterStatus {
        self.cell.verify().unwrap();
        self.asked(QueryRoster).await.unwrap()
    }

    /// Lets everyone do what can be done without time passing.
    async fn turns(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Breaks the registrar as a future of its own would.
    fn break_registrar(&self) {
        self.registrar.handle().inject_panic("on purpose");
    }

    /// Lets the router rest for [`REST`] before it hears anything more.
    async fn rest_router(&self) {
        self.router.handle().inject_panic("on purpose");
        self.turns().await;
    }

    fn bids(&self) -> Publisher<Bid> {
        self.directory.publisher(&Selector::Capability(Capability::new("sell").unwrap()))
    }

    fn registered(&self) -> BTreeSet<AgentId> {
        self.cell.with_roster(|roster| roster.iter().map(|member| member.id().clone()).collect())
    }

    fn routed(&self) -> BTreeSet<AgentId> {
        self.directory.verify().unwrap();
        self.directory.agents().iter().map(|agent| agent.id().clone()).collect()
    }

    fn assert_only(&self, agents: &[&str]) {
        let agents: BTreeSet<_> = agents.iter().map(|name| id(name)).collect();
        assert_eq!((&self.registered(), &self.routed()), (&agents, &agents), "roster and routes");
        self.cell.verify().unwrap();
    }
}

fn statuses(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|request| request.status().to_string()).collect()
}

#[test]
fn agents_are_registered_in_batches_and_routed_when_the_answer_comes() {
    paused(async {
        let world = World::start(batched_by(Strategy::FIXED_SIZE), Rules::default()).await;
        let names: Vec<String> = (0..25).map(|n| format!("seller/{n}")).collect();
        let agents = world.sellers(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let bids = world.bids();
        let requests = world.enlist(&agents).await.unwrap();
        assert_eq!(bids.recipients(), 25);
        assert!(requests.iter().all(|request| *request.status() == Status::Completed), "{requests:?}");
        assert!(requests.iter().map(|r| r.agent.as_str()).eq(names.iter().map(String::as_str)));
        let status = world.status().await;
        assert_eq!((status.agents, status.completed, status.batches), (25, 25, 3));
        assert!((status.mean_batch_size - 25.0 / 3.0).abs() < 1e-9);
        assert_eq!(status.kinds[&Kind::new("seller").unwrap()], 25);
        let events = world.events.lock().unwrap();
        let RegistrarEvent::BatchRegistered { agents: 10, first, .. } = &events[0] else {
            panic!("{events:?}")
        };
        assert_eq!((events.len(), first.len(), &first[9]), (3, 10, &id("seller/9")));
    });
}

#[test]
fn a_request_says_what_the_card_says() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a"]).await;
        let request = Request::of(RequestId(7), &agents[0], Priority::High, Timestamp::ZERO);
        let json = serde_json::json!({
            "id": 7, "agent": "a", "kind": "seller", "capabilities": ["sell"], "priority": "high",
            "location": "1.5,-2", "metadata": {"note": "n"}, "submitted": 0, "validating": null, "registering": null,
            "ended": null, "status": "pending",
        });
        assert_eq!(serde_json::to_value(&request).unwrap(), json);
        world.enlist(&agents).await.unwrap();
        world.cell.with_roster(|roster| {
            let member = roster.get(&id("a")).unwrap();
            assert_eq!(
                (member.location(), member.metadata()),
                (Some("1.5,-2"), Some(&request.profile.metadata))
            );
        });
    });
}

#[test]
fn one_bad_request_never_fails_its_batch() {
    paused(async {
        let rules = Rules::default().and(|request: &Request| match request.agent.as_str() {
            "bad" => Err("not this one".to_owned()),
            "worse" => panic!("on purpose"),
            _ => Ok(()),
        });
        let world = World::start(slow(), rules).await;
        let agents = world.sellers(&["a", "bad", "worse", "ended", "b"]).await;
        let mut enlistments: Vec<_> = agents.iter().map(|agent| world.enlistment(agent)).collect();
        let mut crossed = world.enlistment(&agents[0]);
        crossed.request.agent = id("c");
        enlistments.push(crossed);
        let answer = world.asked(Enlist(enlistments));
        world.turns().await;
        agents[3].kill();
        let requests = answer.await.unwrap();
        assert_eq!(
            statuses(&requests),
            [
                "completed",
                "failed: not this one",
                "failed: a validation rule panicked over it",
                "failed: agent ended ended before it was registered",
                "completed",
                "failed: request 6 is for agent c but came with agent a: pair each request with its own agent",
            ]
        );
        assert_eq!(world.status().await.failed, 4);
        let failed = |event: &&RegistrarEvent| matches!(event, RegistrarEvent::RequestFailed { .. });
        assert_eq!(world.events.lock().unwrap().iter().filter(failed).count(), 4);
        world.assert_only(&["a", "b"]);
    });
}

#[test]
fn a_rule_may_read_the_roster() {
    paused(async {
        let known = Arc::<OnceLock<RegistrarCell>>::default();
        let told = known.clone();
        let rules = Rules::none().and(move |_: &Request| {
            let is_first = told.get().unwrap().with_roster(Roster::is_empty);
            if is_first { Ok(()) } else { Err("one is enough".to_owned()) }
        });
        let world = World::start(RegistrarOptions::default(), rules).await;
        assert!(known.set(world.cell.clone()).is_ok());
        let agents = world.sellers(&["a", "b"]).await;
        let first = world.enlist(&agents[..1]).await.unwrap();
        let second = world.enlist(&agents[1..]).await.unwrap();
        assert_eq!(statuses(&[first, second].concat()), ["completed", "failed: one is enough"]);
    });
}

#[test]
fn a_duplicate_is_refused_and_the_holder_is_named() {
    paused(async {
        let world = World::start(slow(), Rules::default()).await;
        let first = world.sellers(&["a"]).await;
        let second = world.sellers(&["a"]).await;
        let requests = world.enlist(&[first.clone(), second.clone()].concat()).await.unwrap();
        assert_eq!(
            statuses(&requests),
            ["completed", "failed: agent id a is being registered by request 1: choose another id"]
        );
        let again = world.enlist(&second).await.unwrap();
        let holder = format!("taken by generation {} of a seller", first[0].generation());
        assert_eq!(
            statuses(&again),
            [format!("failed: agent id a is {holder}: choose another id, or remove it first")]
        );
        world.assert_only(&["a"]);
    });
}

#[test]
fn an_id_that_only_the_router_knows_is_refused_too() {
    paused(async {
        let world = World::fast().await;
        let stray = world.sellers(&["a"]).await;
        for _ in 0..2 {
            let add = Reroute { add: stray.clone(), remove: Vec::new() };
            let rerouted = world.router.address().send(add).await.unwrap();
            assert!(rerouted.taken.is_empty(), "the same one may come again");
        }
        let agents = world.sellers(&["a", "b"]).await;
        let requests = world.enlist(&agents).await.unwrap();
        assert!(statuses(&requests)[0].starts_with("failed: agent id a is taken in the router's tables"));
        assert_eq!(*requests[1].status(), Status::Completed);
        assert_eq!(world.routed().len(), 2, "the stray one stays");
        assert!(world.registered().into_iter().eq([id("b")]));
    });
}

#[test]
fn a_request_that_waits_can_be_cancelled_and_a_later_one_cannot() {
    paused(async {
        let world = World::start(slow(), Rules::default()).await;
        let agents = world.sellers(&["a", "b"]).await;
        let answer = world.enlist(&agents);
        let pending = world.asked(QueryRequest(RequestId(1))).await.unwrap().unwrap();
        assert_eq!(*pending.status(), Status::Pending);
        let cancelled = world.asked(CancelRequest(RequestId(1))).await.unwrap().unwrap();
        assert_eq!(*cancelled.status(), Status::Cancelled);
        assert_eq!(statuses(&answer.await.unwrap()), ["cancelled", "completed"]);
        let late = world.asked(CancelRequest(RequestId(2))).await.unwrap();
        assert_eq!(late, Err(CancelError::Late { request: RequestId(2), stage: Stage::Completed }));
        assert_eq!(
            world.asked(CancelRequest(RequestId(9))).await.unwrap(),
            Err(CancelError::Unknown(RequestId(9)))
        );
        let status = world.status().await;
        assert_eq!((status.cancelled, status.completed, status.waiting, status.in_flight), (1, 1, 0, 0));
        world.assert_only(&["b"]);
    });
}

#[test]
fn a_request_that_comes_again_is_registered_once_and_answered_each_time() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a", "b"]).await;
        world.rest_router().await;
        let one = world.enlistment(&agents[0]);
        let twice = world.asked(Enlist(vec![one.clone(), one.clone()]));
        world.turns().await;
        let joined = world.asked(Enlist(vec![one.clone()]));
        world.turns().await;
        world.cell.verify().unwrap();
        let mut stolen = world.enlistment(&agents[1]);
        stolen.request.id = one.request.id;
        let stolen = world.asked(Enlist(vec![stolen])).await.unwrap();
        assert_eq!(statuses(&stolen), ["failed: request 1 is for agent a, not for b: number requests apart"]);
        let (twice, joined) = (twice.await.unwrap(), joined.await.unwrap());
        let later = world.asked(Enlist(vec![one])).await.unwrap();
        assert_eq!(statuses(&twice), ["completed", "completed"]);
        assert_eq!((&joined, &later), (&twice[1..].to_vec(), &joined));
        assert_eq!(world.asked(QueryRequest(RequestId(1))).await.unwrap().as_ref(), Some(&later[0]));
        let status = world.status().await;
        assert_eq!((status.completed, status.revision), (1, 1));
    });
}

#[test]
fn ended_requests_are_remembered_within_a_bound() {
    paused(async {
        let mut options = RegistrarOptions::default();
        options.batcher.remember = 2;
        let world = World::start(options, Rules::default()).await;
        let agents = world.sellers(&["a", "b", "c"]).await;
        world.enlist(&agents).await.unwrap();
        let mut known = Vec::new();
        for number in 1..=3 {
            known.push(world.asked(QueryRequest(RequestId(number))).await.unwrap().is_some());
        }
        assert_eq!(known, [false, true, true]);
        world.cell.verify().unwrap();
    });
}

#[test]
fn a_full_queue_refuses_and_the_request_may_come_again() {
    paused(async {
        let mut options = slow();
        options.batcher.capacity = 1;
        let world = World::start(options, Rules::default()).await;
        let agents = world.sellers(&["a", "b"]).await;
        let both: Vec<_> = agents.iter().map(|agent| world.enlistment(agent)).collect();
        let requests = world.asked(Enlist(both.clone())).await.unwrap();
        assert_eq!(
            statuses(&requests),
            ["completed", "failed: 1 requests wait, as many as may: try again later"]
        );
        assert_eq!(statuses(&world.asked(Enlist(both)).await.unwrap()), ["completed", "completed"]);
        let many: Vec<_> =
            world.sellers(&["c", "d", "e"]).await.iter().map(|a| world.enlistment(a)).collect();
        let first = many[1].request.id;
        let before = world.events.lock().unwrap().len();
        assert_eq!(world.asked(Enlist(many)).await.unwrap().len(), 3);
        let refused = RegistrarEvent::RequestsRefused {
            at: Timestamp::ZERO.plus(2 * Duration::from_secs(5)),
            count: 2,
            request: first,
            agent: id("d"),
            reason: "1 requests wait, as many as may: try again later".to_owned(),
        };
        assert_eq!(world.events.lock().unwrap()[before], refused, "one event tells of both");
        assert_eq!(world.status().await.failed, 3);
        assert!(world.asked(Enlist(Vec::new())).await.unwrap().is_empty());
    });
}

#[test]
fn batches_under_way_are_bounded() {
    paused(async {
        let mut options = batched_by(Strategy::Streaming);
        options.parallel_batches = ParallelBatches::Fixed(2);
        let world = World::start(options, Rules::default()).await;
        let agents = world.sellers(&["a", "b", "c", "d", "e"]).await;
        world.rest_router().await;
        let answer = world.enlist(&agents);
        world.turns().await;
        let status = world.status().await;
        assert_eq!((status.in_flight, status.waiting), (2, 3));
        assert_eq!(statuses(&answer.await.unwrap()), ["completed"; 5]);
        assert_eq!(world.status().await.batches, 5);
    });
}

#[test]
fn agents_are_looked_up_in_the_order_of_their_registration() {
    struct Trader(&'static [&'static str]);
    impl Actor for Trader {
        type Context = Context<Self>;
    }
    impl Supervised for Trader {}
    impl Agent for Trader {
        fn card(&self) -> Card<Self> {
            self.0.iter().fold(Card::new(), Card::offers)
        }
    }
    paused(async {
        let world = World::fast().await;
        let mut agents = world.sellers(&["z"]).await;
        for (name, offers) in [("y", &["sell", "buy"][..]), ("x", &["buy"]), ("w", &[])] {
            let trader = world.arbiters.spawn(id(name), |_| Trader(offers), SpawnOptions::default());
            agents.push(trader.await.unwrap().handle());
        }
        world.enlist(&agents).await.unwrap();
        let all =
            |names: &[&str]| names.iter().map(|name| Capability::new(name).unwrap()).collect::<Vec<_>>();
        let cases: [Case; 8] = [
            (None, &[], &[], "zyxw"),
            (Some("trader"), &[], &[], "yxw"),
            (Some("nobody"), &[], &[], ""),
            (None, &["sell"], &[], "zy"),
            (None, &["sell", "buy"], &[], "y"),
            (None, &[], &["sell", "buy"], "zyx"),
            (Some("trader"), &[], &["sell", "fly"], "y"),
            (Some("trader"), &["buy"], &["buy"], "yx"),
        ];
        for (kind, all_of, any_of, found) in cases {
            let kind = kind.map(|kind| Kind::new(kind).unwrap());
            let lookup = Lookup { kind, all_of: all(all_of), any_of: all(any_of), ..Lookup::default() };
            let agents = world.asked(lookup.clone()).await.unwrap();
            let names: String = agents.iter().map(|agent| agent.id().as_str()).collect();
            assert_eq!(names, found, "{lookup:?}");
        }
        let found = world.asked(QueryAgent(id("x"))).await.unwrap().unwrap();
        assert_eq!(found.id(), agents[2].id());
        assert!(world.asked(QueryAgent(id("v"))).await.unwrap().is_none());
    });
}
