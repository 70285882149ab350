//! One of many: each strategy, and what holds for all of them.

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
    agent::{Agent, Capability, Card, Priority, TopicName},
    inbox::{AgentHandle, HubConfig, InboxConfig, OverflowPolicy, SendOptions},
    router::{
        AdaptiveOptions, ArbitersConfig, AskOneError, Publisher, Selector, Strategy, SubscribeOptions,
        Unicast, UnicastFault, Why,
    },
    supervisor::SpawnOptions,
};

use crate::support::{World, name, on, threaded};

/// Runs a test on one arbiter with a clock that is paused from the start, so that a sleep takes just its time.
fn paused<T>(test: impl Future<Output = T>) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    System::with_tokio_rt(move || runtime().unwrap()).block_on(test)
}

/// A piece of work. Answered with what was answered before by its agent.
#[derive(Debug, Clone, Message, PartialEq, Eq)]
#[rtype(result = "u32")]
struct Job(u32);

/// How a [`Server`] is, which may change while it runs.
#[derive(Default)]
struct Traits {
    /// How long each job takes \[us\].
    takes: AtomicU64,
    breaks: AtomicBool,
}

impl Traits {
    fn taking(millis: u64) -> Arc<Self> {
        Arc::new(Self { takes: AtomicU64::new(millis * 1_000), breaks: AtomicBool::new(false) })
    }
}

/// Takes its time over each job, one after another.
struct Server {
    traits: Arc<Traits>,
    priority: Priority,
    at: Option<(f64, f64)>,
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
struct Spec {
    id: &'static str,
    traits: Arc<Traits>,
    priority: Priority,
    at: Option<(f64, f64)>,
    options: SpawnOptions,
}

impl Spec {
    fn new(id: &'static str) -> Self {
        Self {
            id,
            traits: Traits::taking(0),
            priority: Priority::Normal,
            at: None,
            options: crate::support::tough(phalanx_actors::supervisor::RestartPolicy::Permanent),
        }
    }

    fn taking(self, millis: u64) -> Self {
        Self { traits: Traits::taking(millis), ..self }
    }

    fn holding(mut self, capacity: u32) -> Self {
        self.options.inbox =
            InboxConfig { capacity, overflow: OverflowPolicy::Reject, ..InboxConfig::default() };
        self
    }

    fn with(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    fn at(self, latitude: f64, longitude: f64) -> Self {
        Self { at: Some((latitude, longitude)), ..self }
    }

    async fn spawn(self, world: &World) -> AgentHandle {
        let Self { id, traits, priority, at, options } = self;
        let make = move |_: &_| Server { traits: traits.clone(), priority, at, done: 0 };
        let agent = world.spawn(id, make, options).await.handle();
        world.enlist([agent.clone()]).await;
        agent
    }
}

async fn serving(world: &World, specs: impl IntoIterator<Item = Spec>) -> Publisher<Job> {
    for spec in specs {
        spec.spawn(world).await;
    }
    world.directory.verify().unwrap();
    world.directory.publisher(&Selector::Capability(Capability::new("serve").unwrap()))
}

fn shares(chosen: impl IntoIterator<Item = String>) -> BTreeMap<String, u32> {
    let mut shares = BTreeMap::new();
    chosen.into_iter().for_each(|agent| *shares.entry(agent).or_default() += 1);
    shares
}

fn send(topic: &Publisher<Job>, unicast: &Unicast) -> String {
    topic.unicast_with(Job(1), unicast.clone()).unwrap().agent.to_string()
}

fn text(shares: &BTreeMap<String, u32>) -> String {
    shares.iter().map(|(agent, share)| format!("{agent} {share}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn by_round_robin_each_has_its_turn_and_who_is_closed_is_passed_over() {
    paused(async {
        let world = World::here().await;
        let topic = serving(&world, ["a", "b", "c", "d"].map(Spec::new)).await.by(Strategy::RoundRobin);
        let turns: String = (0..8).map(|_| topic.unicast(Job(1)).unwrap().agent.to_string()).collect();
        assert_eq!(turns, "abcdabcd");
        world.directory.agent(&name("b")).unwrap().stop();
        // Still on the route, but closed: its turns are spent, nobody gets more than another.
        let shares = shares((0..120).map(|_| topic.unicast(Job(1)).unwrap().agent.to_string()));
        assert_eq!(text(&shares), "a 40, c 40, d 40");
        world.settled().await;
    });
}

#[test]
fn by_round_robin_turns_are_fair_whatever_threads_take_them() {
    threaded(async {
        let world = World::two().await;
        let topic = serving(&world, ["a", "b", "c", "d", "e"].map(Spec::new)).await.by(Strategy::RoundRobin);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let topic = topic.clone();
                std::thread::spawn(move || {
                    (0..500).map(|_| topic.unicast(Job(1)).unwrap().agent.to_string()).collect::<Vec<_>>()
                })
            })
            .collect();
        let chosen = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        assert_eq!(text(&shares(chosen)), "a 400, b 400, c 400, d 400, e 400");
        assert_eq!(world.settled().await.delivered, 2_000);
    });
}

#[test]
fn by_priority_the_highest_that_is_there_gets_all_and_equals_share_by_load() {
    paused(async {
        let world = World::here().await;
        let specs = [
            Spec::new("low").with(Priority::Low),
            Spec::new("high/1").with(Priority::High),
            Spec::new("normal"),
            Spec::new("high/2").with(Priority::High),
        ];
        let topic = serving(&world, specs).await.by(Strategy::PriorityBased);
        let shares = shares((0..100).map(|_| topic.unicast(Job(1)).unwrap().agent.to_string()));
        assert_eq!(shares.keys().collect::<Vec<_>>(), ["high/1", "high/2"]);
        assert!(
            shares.values().all(|share| (45..=55).contains(share)),
            "they differ by their depth: {shares:?}"
        );
        for (gone, next) in [("high/1", "high/2"), ("high/2", "normal"), ("normal", "low")] {
            world.remove(&name(gone)).await;
            let chosen = topic.unicast(Job(1)).unwrap();
            assert_eq!(chosen.agent, name(next));
            assert!(matches!(chosen.why, Why::Priority { of: 1, .. }), "{chosen}");
            world.directory.verify().unwrap();
        }
        world.settled().await;
    });
}

#[test]
fn by_load_shares_follow_the_time_that_each_agent_takes() {
    paused(async {
        let world = World::here().await;
        let specs = [Spec::new("2ms").taking(2), Spec::new("8ms").taking(8), Spec::new("32ms").taking(32)];
        let topic = serving(&world, specs).await;
        assert_eq!(topic.strategy(), Strategy::LoadBalanced, "the default");
        // 250 jobs a second, of 656 that all three could do.
        let mut chosen = Vec::new();
        for _ in 0..4_000 {
            chosen.push(topic.unicast(Job(1)).unwrap().agent.to_string());
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        let shares = shares(chosen);
        let [quick, middle, slow] = ["2ms", "8ms", "32ms"].map(|agent| f64::from(shares[agent]));
        assert!(quick > 1.5 * middle && middle > 4.0 * slow && slow > 20.0, "{shares:?}");
        let waiting = world.hub().ledger().pending;
        assert!(waiting < 40, "nobody is overrun: {waiting} wait");
        world.settled().await;
    });
}

#[test]
fn an_agent_that_sleeps_for_each_message_shows_just_that_time() {
    paused(async {
        let world = World::here().await;
        let topic = serving(&world, [Spec::new("a").taking(50)]).await;
        let first = topic.ask_one(Job(1)).await.unwrap();
        assert_eq!(
            first.chosen.to_string(),
            "a by load_balanced: 1 of 1 compared: depth 0, not measured yet"
        );
        let second = topic.ask_one(Job(1)).await.unwrap();
        assert_eq!(second.chosen.to_string(), "a by load_balanced: 1 of 1 compared: depth 0 x 50000 us");
        assert_eq!(second.answer, 2);
    });
}

#[test]
fn the_nearest_is_chosen_by_the_great_circle_and_who_is_nowhere_comes_last() {
    paused(async {
        let world = World::here().await;
        let specs = [
            Spec::new("nowhere"),
            Spec::new("paris").at(48.86, 2.35),
            Spec::new("tokyo").at(35.68, 139.69),
            Spec::new("fiji").at(-18.1, 178.4),
            Spec::new("nan").at(f64::NAN, 0.0),
        ];
        let topic = serving(&world, specs).await.by(Strategy::Geographic);
        let near = |latitude, longitude| send(&topic, &Unicast::new().near(latitude, longitude));
        assert_eq!(near(51.5, -0.13), "paris");
        assert_eq!(near(37.5, 127.0), "tokyo");
        // Across the date line: 179 degrees west is near 178 degrees east.
        assert_eq!(near(-18.0, -179.0), "fiji");
        let chosen = topic.unicast_with(Job(1), Unicast::new().near(48.86, 2.35)).unwrap();
        assert!(chosen.to_string().starts_with("paris by geographic: nearest, 0.0 km: depth 1"), "{chosen}");
        for gone in ["paris", "tokyo", "fiji"] {
            world.remove(&name(gone)).await;
        }
        assert!(["nowhere", "nan"].contains(&near(51.5, -0.13).as_str()));
        for (latitude, longitude) in [(91.0, 0.0), (0.0, -181.0), (f64::NAN, 0.0)] {
            let error = topic.unicast_with(Job(1), Unicast::new().near(latitude, longitude)).unwrap_err();
            assert!(
                matches!(error.fault, UnicastFault::BadPoint(_)) && error.message == Some(Job(1)),
                "{error}"
            );
        }
        let error = topic.unicast(Job(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "capability serve (Job) cannot choose by geographic without a point: add one with Unicast::near"
        );
        world.settled().await;
    });
}

#[test]
fn those_within_a_kilometre_share_by_load() {
    paused(async {
        let world = World::here().await;
        let specs =
            [Spec::new("a").at(10.0, 10.0), Spec::new("b").at(10.0, 10.005), Spec::new("c").at(10.0, 10.1)];
        let topic = serving(&world, specs).await.by(Strategy::Geographic);
        let shares = shares((0..100).map(|_| send(&topic, &Unicast::new().near(10.0, 9.9))));
        assert_eq!(shares.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(shares.values().all(|share| (45..=55).contains(share)), "{shares:?}");
        world.settled().await;
    });
}

#[test]
fn a_key_stays_with_its_agent_and_only_keys_of_one_that_is_gone_move() {
    paused(async {
        let world = World::here().await;
        let topic = serving(&world, ["a", "b", "c", "d", "e"].map(Spec::new)).await.by(Strategy::Consistent);
        let owners = || -> Vec<String> { (0..500).map(|n| send(&topic, &Unicast::new().key(&n))).collect() };
        let before = owners();
        assert_eq!(before, owners(), "the same key, the same agent");
        assert!(shares(before.clone()).values().all(|share| (60..=140).contains(share)));
        world.remove(&name("c")).await;
        let without = owners();
        for (was, is) in before.iter().zip(&without) {
            assert!(is != "c" && (was == is || was == "c"), "{was} -> {is}");
        }
        Spec::new("f").spawn(&world).await;
        for (was, is) in without.iter().zip(owners()) {
            assert!(*was == is || is == "f", "{was} -> {is}");
        }
        let error = topic.unicast(Job(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "capability serve (Job) cannot choose by consistent without a key: add one with Unicast::key"
        );
        world.settled().await;
    });
}

fn adapting() -> AdaptiveOptions {
    AdaptiveOptions::default()
}

/// Asks one after another, and says whom.
async fn asked(topic: &Publisher<Job>, times: u32) -> BTreeMap<String, u32> {
    let mut chosen = Vec::new();
    for _ in 0..times {
        let asked = topic.ask_one(Job(1)).within(Duration::from_secs(9)).await;
        chosen.push(match asked {
            Ok(answered) => answered.chosen.agent.to_string(),
            Err(AskOneError::Unanswered { chosen, .. }) => chosen.agent.to_string(),
            Err(error) => panic!("{error}"),
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shares(chosen)
}

#[test]
fn adaptive_sheds_a_slow_agent_and_lets_it_back_step_by_step_when_it_is_quick_again() {
    paused(async {
        let world = World::here().await;
        let slow = Spec::new("slow").taking(1);
        let traits = slow.traits.clone();
        let quick = ["a", "b", "c"].map(|id| Spec::new(id).taking(1));
        let topic = serving(&world, quick.into_iter().chain([slow])).await;
        let topic = topic.by(Strategy::Adaptive).adapting(adapting());
        let first = asked(&topic, 400).await;
        assert!(first["slow"] > 50, "as good as the others: {first:?}");
        traits.takes.store(100_000, Ordering::Relaxed);
        asked(&topic, 400).await;
        // It is left alone but for a probe after each back-off, which doubles.
        let shed = asked(&topic, 2_000).await;
        assert!(shed.get("slow").copied().unwrap_or(0) <= 6, "{shed:?}");
        traits.takes.store(1_000, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        asked(&topic, 200).await;
        let back = asked(&topic, 400).await;
        assert!(back["slow"] > 50, "{back:?}");
        world.settled().await;
    });
}

#[test]
fn adaptive_sheds_a_failing_agent_and_lets_it_back_when_it_works_again() {
    paused(async {
        let world = World::here().await;
        let bad = Spec::new("bad").taking(1);
        let traits = bad.traits.clone();
        let topic =
            serving(&world, ["a", "b"].map(|id| Spec::new(id).taking(1)).into_iter().chain([bad])).await;
        let topic = topic.by(Strategy::Adaptive).adapting(adapting());
        traits.breaks.store(true, Ordering::Relaxed);
        let first = asked(&topic, 100).await;
        let later = asked(&topic, 1_000).await;
        assert!(first["bad"] >= 10 && later.get("bad").copied().unwrap_or(0) <= 5, "{first:?}, {later:?}");
        traits.breaks.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        asked(&topic, 200).await;
        let back = asked(&topic, 300).await;
        assert!(back["bad"] > 50, "{back:?}");
        world.settled().await;
    });
}

#[test]
fn when_all_are_shed_somebody_is_chosen_all_the_same() {
    paused(async {
        let world = World::here().await;
        let spec = Spec::new("only").taking(1);
        spec.traits.breaks.store(true, Ordering::Relaxed);
        let topic = serving(&world, [spec]).await.by(Strategy::Adaptive);
        assert_eq!(asked(&topic, 50).await["only"], 50);
        world.settled().await;
    });
}

#[test]
fn the_same_seed_chooses_the_same_agents() {
    let run = |seed| {
        let mut lines = Vec::new();
        paused(async {
            let world = World::start(ArbitersConfig::Here, HubConfig { seed, ..HubConfig::default() }).await;
            let specs = ["a", "b", "c", "d", "e"].into_iter().zip(1..);
            let topic = serving(&world, specs.map(|(id, takes)| Spec::new(id).taking(takes))).await;
            for strategy in Strategy::ALL {
                for n in 0..40 {
                    let unicast = Unicast::new().by(strategy).key(&n).near(1.0, 2.0);
                    lines.push(topic.unicast_with(Job(n), unicast).unwrap().to_string());
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            world.settled().await;
        });
        lines
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_predicate_holds_for_a_message_to_one_of_many_by_every_strategy() {
    paused(async {
        let world = World::here().await;
        for id in ["even", "odd", "small"] {
            Spec::new(id).spawn(&world).await;
        }
        let only = |id: &str| match id {
            "even" => SubscribeOptions::new().only(|Job(n): &Job| n.is_multiple_of(2)),
            "odd" => SubscribeOptions::new().only(|Job(n): &Job| !n.is_multiple_of(2) && *n < 100),
            _ => SubscribeOptions::new().only(|Job(n): &Job| *n < 10),
        };
        for id in ["even", "odd", "small"] {
            world.subscribe_with("jobs", &name(id), only(id)).await;
        }
        let topic: Publisher<Job> =
            world.directory.publisher(&Selector::Topic(TopicName::new("jobs").unwrap()));
        for strategy in Strategy::ALL {
            for n in 10..40 {
                let unicast = Unicast::new().by(strategy).key(&n).near(0.0, 0.0);
                let chosen = topic.unicast_with(Job(n), unicast.clone()).unwrap().agent;
                assert_eq!(chosen.as_str(), ["even", "odd"][n as usize % 2], "{strategy} chose for {n}");
                let error = topic.unicast_with(Job(101), unicast).unwrap_err();
                assert_eq!(
                    (error.fault, error.message),
                    (UnicastFault::Unwanted, Some(Job(101))),
                    "{strategy}"
                );
            }
        }
        let before = world.settled().await;
        assert_eq!((before.sent, before.rejected), (6 * 30, 0), "what nobody wants is not sent");
        world.directory.verify().unwrap();
    });
}

#[test]
fn a_refusal_falls_to_the_next_best_and_is_counted_once() {
    paused(async {
        let world = World::here().await;
        let specs = ["a", "b"].map(|id| Spec::new(id).taking(1_000).holding(1));
        let topic = serving(&world, specs).await;
        for strategy in Strategy::ALL {
            let unicast = Unicast::new().by(strategy).key(&7).near(0.0, 0.0);
            let [first, second] = [(); 2].map(|()| topic.unicast_with(Job(1), unicast.clone()).unwrap());
            assert_ne!(first.agent, second.agent, "{strategy}: the first one was full");
            let error = topic.unicast_with(Job(3), unicast).unwrap_err();
            let UnicastFault::Refused { tried: 2, .. } = error.fault else { panic!("{strategy}: {error:?}") };
            assert!(error.fault.is_transient() && error.message == Some(Job(3)));
            let counts = world.settled().await;
            assert_eq!(counts.sent, counts.delivered + counts.rejected);
        }
        let counts = world.settled().await;
        assert_eq!((counts.sent, counts.rejected), (18, 6), "each message once");
    });
}

#[test]
fn at_most_three_others_are_tried() {
    paused(async {
        let world = World::here().await;
        let specs = ["a", "b", "c", "d", "e", "f"].map(|id| Spec::new(id).taking(1_000).holding(1));
        let topic = serving(&world, specs).await.by(Strategy::RoundRobin);
        (0..6).for_each(|_| _ = topic.unicast(Job(1)).unwrap());
        let error = topic.unicast(Job(2)).unwrap_err();
        let UnicastFault::Refused { tried: 4, .. } = error.fault else { panic!("{error:?}") };
        assert!(error.to_string().starts_with("4 on capability serve (Job) refused the message"), "{error}");
        world.settled().await;
    });
}

#[test]
fn an_empty_route_and_one_whose_agents_have_stopped_say_so() {
    paused(async {
        let world = World::here().await;
        let topic = serving(&world, []).await;
        let error = topic.unicast(Job(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "nobody is on capability serve (Job): spawn an agent that accepts a Job, or subscribe one"
        );
        let agent = Spec::new("a").spawn(&world).await;
        assert_eq!(topic.unicast(Job(1)).unwrap().agent, name("a"), "who comes later is found");
        agent.stop();
        let error = topic.unicast(Job(1)).unwrap_err();
        assert_eq!((error.fault, error.message), (UnicastFault::Closed, Some(Job(1))));
        let AskOneError::Unsent(_) = topic.ask_one(Job(1)).await.unwrap_err() else { panic!("it was sent") };
        world.settled().await;
    });
}

#[test]
fn an_answer_that_does_not_come_in_time_says_who_was_asked() {
    paused(async {
        let world = World::here().await;
        let topic = serving(&world, [Spec::new("a").taking(1_000)]).await;
        let error = topic.ask_one(Job(1)).within(Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "a: no answer within 10ms: allow more time, or look whether the agent is overloaded"
        );
        let urgent = Unicast::new().options(SendOptions::new().priority(Priority::Urgent));
        assert_eq!(topic.ask_one(Job(1)).with(urgent).await.unwrap().answer, 2);
        world.settled().await;
    });
}

#[test]
fn members_come_and_go_while_threads_choose_among_them_and_nothing_is_lost() {
    threaded(async {
        let world = World::two().await;
        let topic = serving(&world, [Spec::new("stays")]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = Strategy::ALL
            .map(|strategy| {
                let (topic, stop) = (topic.clone(), stop.clone());
                std::thread::spawn(move || {
                    let mut sent = 0;
                    while !stop.load(Ordering::Relaxed) && sent < 1_000 {
                        let unicast = Unicast::new().by(strategy).key(&sent).near(1.0, 1.0);
                        sent += u64::from(topic.unicast_with(Job(1), unicast).is_ok());
                    }
                    sent
                })
            })
            .into();
        for round in 0..20_u32 {
            let ids: [&'static str; 3] = ["x", "y", "z"];
            for (id, arbiter) in ids.into_iter().zip([0, 1, 0]) {
                let spec = Spec { options: on(arbiter), ..Spec::new(id) }.at(f64::from(round), 1.0);
                spec.spawn(&world).await;
            }
            for id in ids {
                let agent = world.directory.agent(&name(id)).unwrap();
                agent.stop();
                agent.ended().await;
                world.remove(&name(id)).await;
            }
            world.directory.verify().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        let sent: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        let counts = world.settled().await;
        assert!(sent > 0 && counts.delivered + counts.failed >= sent, "{sent} taken: {counts:?}");
    });
}
