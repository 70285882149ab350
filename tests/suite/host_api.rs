//! What a program does with a host.

use std::{cell::Cell, collections::BTreeSet, rc::Rc, time::Duration};

use phalanx::{
    agent::{Adoption, Agent, AskError, Card, Delivery},
    coordinator::TaskState,
    host::{AskAllError, Gather},
    inbox::{InboxConfig, OverflowPolicy},
    initializer::StartupOptions,
    monitor::QueryEvents,
    prelude::*,
    supervisor::{GroupSpec, SpawnError, Strategy, Supervision},
};

use crate::support::{Worker, quiet_panics, threads};

#[derive(Clone, Message)]
#[rtype(result = "Option<u32>")]
struct Cfp;

struct Seller {
    price: Option<u32>,
    thinks: Duration,
}

impl Actor for Seller {
    type Context = Context<Self>;
}

impl Supervised for Seller {}

impl Handler<Cfp> for Seller {
    type Result = ResponseFuture<Option<u32>>;
    fn handle(&mut self, _: Cfp, _: &mut Context<Self>) -> Self::Result {
        let (price, thinks) = (self.price, self.thinks);
        Box::pin(async move {
            tokio::time::sleep(thinks).await;
            price
        })
    }
}

impl Agent for Seller {
    fn card(&self) -> Card<Self> {
        Card::new().offers("sell").accepts::<Cfp>()
    }
}

async fn sellers(host: &Host) {
    for (id, price, seconds) in [("quick", Some(30), 1), ("slow", Some(20), 5), ("never", Some(10), 1_000)] {
        let thinks = Duration::from_secs(seconds);
        host.spawn(id, move || Seller { price, thinks }).await.unwrap();
    }
}

fn simulate<P: Future<Output = ()>>(program: impl FnOnce(Host) -> P) {
    phalanx::simulate(7, |host| async move {
        program(host).await;
        Ok::<_, HostError>(())
    })
    .unwrap();
}

#[test]
fn ask_all_gives_one_row_per_agent_in_order_and_says_who_was_too_late() {
    simulate(|host| async move {
        sellers(&host).await;
        let answers = host.ask_all("sell", Cfp).within(Duration::from_secs(10)).await.unwrap();
        let rows: Vec<_> = answers.rows.iter().map(|row| (row.agent.as_str(), row.answer)).collect();
        let late = AskError::TimedOut(Duration::from_secs(10));
        assert_eq!(rows, [("quick", Ok(Some(30))), ("slow", Ok(Some(20))), ("never", Err(late))]);
        assert_eq!(host.now().since_start().as_secs(), 10, "it waited for the deadline and no longer");
        host.idle().await;
        let report = host.shutdown(Duration::from_secs(5)).await;
        assert_eq!((report.late_replies, report.ledger.pending), (1, 0), "the late answer is counted");
    });
}

#[test]
fn each_gather_policy_ends_when_it_says() {
    simulate(|host| async move {
        sellers(&host).await;
        let ask = |gather| host.ask_all("sell", Cfp).within(Duration::from_secs(60)).gather(gather);
        let start = host.now();
        assert_eq!(ask(Gather::First(1)).await.unwrap().answered(), 1);
        assert_eq!(host.now().since(start).as_secs(), 1);
        assert_eq!(ask(Gather::Quorum).await.unwrap().answered(), 2);
        assert_eq!(host.now().since(start).as_secs(), 6);
        let error = ask(Gather::All).await.unwrap_err();
        assert!(matches!(error, AskAllError::TooFew { answered: 2, asked: 3, wanted: 3, .. }), "{error}");
        let error = host.ask_all("buy", Cfp).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "nobody offers buy and accepts a Cfp: spawn an agent that does, or check its card"
        );
        host.shutdown(Duration::from_secs(1)).await;
    });
}

#[derive(Clone, Message)]
#[rtype(result = "()")]
struct News(u32);

#[derive(Default)]
struct Reader {
    read: Rc<Cell<u32>>,
}

impl Actor for Reader {
    type Context = Context<Self>;
}

impl Supervised for Reader {}

impl Handler<Delivery<News>> for Reader {
    type Result = ();
    fn handle(&mut self, news: Delivery<News>, _: &mut Context<Self>) {
        self.read.set(self.read.get() + news.0);
    }
}

impl Handler<Total> for Reader {
    type Result = u32;
    fn handle(&mut self, _: Total, _: &mut Context<Self>) -> u32 {
        self.read.get()
    }
}

#[derive(Clone, Message)]
#[rtype(result = "u32")]
struct Total;

impl Agent for Reader {
    fn card(&self) -> Card<Self> {
        Card::new().kind("reader").in_group("public").accepts_delivery::<News>().accepts::<Total>()
    }
}

#[test]
fn a_message_reaches_exactly_those_its_selector_names() {
    threads(2, |host| async move {
        let mut readers = Vec::new();
        for i in 0..4 {
            readers.push(host.spawn(format!("r/{i}"), Reader::default).await.unwrap());
        }
        host.subscribe("sport", "r/1").await.unwrap();
        assert!(!host.subscribe("sport", "r/1").await.unwrap(), "a second subscription changes nothing");
        host.topic::<News>("sport").unwrap().publish(News(1)).unwrap();
        host.group::<News>("public").unwrap().publish(News(10)).unwrap();
        host.kind::<News>("reader").unwrap().publish(News(100)).unwrap();
        host.broadcast::<News>().publish(News(1_000)).unwrap();
        assert_eq!(host.capability::<News>("none").unwrap().publish(News(9)).unwrap().recipients, 0);
        assert!(host.unsubscribe("sport", "r/1").await.unwrap());
        host.topic::<News>("sport").unwrap().publish(News(1)).unwrap();
        host.idle().await;
        let mut totals = Vec::new();
        for reader in &readers {
            totals.push(reader.ask(Total).await.unwrap());
        }
        assert_eq!(totals, [1_110, 1_111, 1_110, 1_110]);
        let routes: Vec<_> =
            host.ledgers().into_iter().map(|(name, counts)| (name.to_string(), counts.sent)).collect();
        assert!(routes.contains(&("topic sport (News)".to_owned(), 1)), "{routes:?}");
        let report = host.shutdown(Duration::from_secs(5)).await;
        assert!(report.ledger.balances() && report.ledger.pending == 0);
    });
}

#[test]
fn an_id_that_is_taken_or_no_id_is_refused_and_nothing_is_left_behind() {
    simulate(|host| async move {
        host.spawn("a", Reader::default).await.unwrap();
        let error = host.spawn("a", Reader::default).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "agent a exists already: choose another id, or stop the other one first"
        );
        let error = host.spawn("b\n", Reader::default).await.unwrap_err();
        assert!(error.to_string().contains("control character"), "{error}");
        let ids = ["c", "d", "a"].map(|id| id.parse().unwrap());
        let error = host.spawn_many(ids.to_vec(), AgentOptions::default(), |_| Reader::default()).await;
        assert!(matches!(error, Err(SpawnError::Taken { .. })));
        assert!(host.agent("c").is_err(), "all or none");
        let group = Some("nowhere".parse().unwrap());
        let options = AgentOptions { group, ..AgentOptions::default() };
        let error = host.spawn_with("e", options, |_| Reader::default()).await.unwrap_err();
        assert!(error.to_string().contains("there is no group nowhere"), "{error}");
        assert_eq!(host.agents(), 1);
        host.shutdown(Duration::from_secs(1)).await;
        let error = host.spawn("late", Reader::default).await.unwrap_err();
        assert_eq!(error.to_string(), "agent late: the host is shutting down");
    });
}

#[derive(Default)]
struct Plain {
    heard: u32,
}

impl Actor for Plain {
    type Context = Context<Self>;
}

impl Handler<News> for Plain {
    type Result = ();
    fn handle(&mut self, news: News, _: &mut Context<Self>) {
        self.heard += news.0;
    }
}

impl Handler<Total> for Plain {
    type Result = u32;
    fn handle(&mut self, _: Total, _: &mut Context<Self>) -> u32 {
        self.heard
    }
}

#[test]
fn a_plain_actor_is_adopted_by_its_recipients() {
    threads(2, |host| async move {
        let plain = Plain::default().start();
        let adoption = Adoption::new("plain")
            .offers("listen")
            .recipient::<News>(plain.clone().recipient())
            .recipient::<Total>(plain.clone().recipient());
        host.adopt("plain/1", adoption).await.unwrap();
        host.capability::<News>("listen").unwrap().publish(News(3)).unwrap();
        host.agent("plain/1").unwrap().tell(News(4)).unwrap();
        host.idle().await;
        assert_eq!(host.agent("plain/1").unwrap().ask(Total).await.unwrap(), 7);
        let refused = host.agent("plain/1").unwrap().tell(Cfp).unwrap_err();
        assert_eq!(refused.reason, Reason::NotAccepted);
        host.shutdown(Duration::from_secs(5)).await;
    });
}

#[test]
fn a_group_restarts_by_its_strategy_and_gives_up_to_its_parent() {
    quiet_panics();
    simulate(|host| async move {
        let spec = |name: &str, strategy| GroupSpec {
            name: name.parse().unwrap(),
            strategy,
            supervision: Supervision::default(),
        };
        host.supervise(spec("top", Strategy::OneForAll), None).await.unwrap();
        host.supervise(spec("low", Strategy::RestForOne), Some(&"top".parse().unwrap())).await.unwrap();
        let mut agents = Vec::new();
        for (id, group) in [("t", "top"), ("a", "low"), ("b", "low"), ("c", "low")] {
            let options = AgentOptions { group: Some(group.parse().unwrap()), ..AgentOptions::default() };
            agents.push(host.spawn_with(id, options, |_| Reader::default()).await.unwrap().handle());
        }
        let generations = || agents.iter().map(AgentHandle::generation).collect::<Vec<_>>();
        agents[2].inject_panic("x");
        host.sleep(Duration::from_secs(1)).await;
        assert_eq!(generations(), [0, 0, 1, 1], "the one that failed and those after it");
        for _ in 0..3 {
            agents[3].inject_panic("x");
            host.sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(
            generations(),
            [1, 1, 2, 4],
            "the fourth restart within 5 s escalates to the parent, which restarts all"
        );
        assert!(agents.iter().all(AgentHandle::is_open));
        host.verify().unwrap();
        let report = host.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.killed, 0);
    });
}

#[test]
fn shutdown_cuts_short_what_is_not_done_by_its_deadline_and_accounts_for_it() {
    simulate(|host| async move {
        let inbox = InboxConfig { capacity: 8, overflow: OverflowPolicy::Reject, ..InboxConfig::default() };
        let options = AgentOptions { inbox, ..AgentOptions::default() };
        let seller = host
            .spawn_with("s", options, |_| Seller { price: None, thinks: Duration::from_secs(1_000) })
            .await
            .unwrap();
        let refused = (0..10).filter(|_| seller.tell(Cfp).is_err()).count();
        assert_eq!(refused, 2, "places are held until the answer is there");
        let report = host.shutdown(Duration::from_secs(3)).await;
        assert_eq!(host.now().since_start().as_secs(), 3);
        assert_eq!((report.killed, report.ledger.rejected, report.ledger.failed), (1, 2, 8));
        assert!(report.ledger.balances() && report.ledger.pending == 0);
    });
}

#[test]
fn the_same_seed_gives_the_same_events_byte_for_byte() {
    quiet_panics();
    let trace = |seed: u64| {
        let lines = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let tap = lines.clone();
        let system = System::with_tokio_rt(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
        });
        system.block_on(async move {
            let host = Host::builder()
                .simulated(seed)
                .tap(move |event| {
                    let mut lines = tap.lock().unwrap();
                    lines.push_str(&event.to_json());
                    lines.push('\n');
                })
                .start()
                .await
                .unwrap();
            sellers(&host).await;
            host.agent("slow").unwrap().inject_panic("x");
            host.ask_all("sell", Cfp).await.unwrap();
            host.agent("quick").unwrap().inject_panic("x");
            host.sleep(Duration::from_secs(2)).await;
            host.shutdown(Duration::from_secs(2)).await;
        });
        std::mem::take(&mut *lines.lock().unwrap())
    };
    let first = trace(7);
    assert!(first.lines().count() > 10, "{first}");
    for _ in 0..5 {
        assert_eq!(trace(7), first);
    }
    assert_ne!(trace(8), first, "the jitter of the back-off follows the seed");
}

#[test]
fn of_two_that_want_the_same_name_at_once_one_gets_it_and_keeps_it() {
    simulate(|host| async move {
        let (one, other) = tokio::join!(host.spawn("a", Reader::default), host.spawn("a", Reader::default));
        let winner = one.or(other).expect("one of them gets the name");
        host.sleep(Duration::from_secs(1)).await;
        winner.ask(Total).await.expect("the other one's end does not touch it");
        assert_eq!(host.agents(), 1);
        host.agent("a").expect("it is registered");
        host.verify().unwrap();
        let report = host.shutdown(Duration::from_secs(1)).await;
        assert_eq!(report.killed, 0);
    });
}

#[test]
fn a_spawn_that_is_given_up_at_any_point_leaves_nothing_behind() {
    simulate(|host| async move {
        let mut ended = 0;
        for polls in 1..30 {
            let mut spawn = Box::pin(host.spawn("a", Reader::default));
            for _ in 0..polls {
                if futures_util::poll!(&mut spawn).is_ready() {
                    ended += 1;
                    host.agent("a").expect("it was spawned to the end").kill();
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(spawn);
            host.sleep(Duration::from_secs(1)).await;
            assert_eq!(host.agents(), 0, "given up after {polls} polls");
            assert!(host.agent("a").is_err());
            host.verify().unwrap();
        }
        assert!((1..29).contains(&ended), "some were given up, some not: {ended}");
        host.spawn("a", Reader::default).await.expect("the name is free");
        assert_eq!(host.shutdown(Duration::from_secs(1)).await.killed, 0);
    });
}

#[test]
fn names_of_agents_whose_spawn_failed_are_free_again_and_their_ends_touch_nobody_else() {
    threads(2, |host| async move {
        for round in 0..50 {
            let ids = |last: &str| {
                let ids = (0..40).map(|number| format!("a/{number}")).chain([last.to_owned()]);
                ids.map(|id| AgentId::new(id).unwrap()).collect::<Vec<_>>()
            };
            let make = |me: &Me| {
                assert!(me.id.as_str() != "bad", "it cannot be built");
                Reader::default()
            };
            host.spawn_many(ids("bad"), AgentOptions::default(), make).await.unwrap_err();
            let agents =
                host.spawn_many(ids("good"), AgentOptions::default(), make).await.expect("names are free");
            for agent in &agents {
                agent.ask(Total).await.expect("it lives");
                host.agent(agent.id())
                    .unwrap_or_else(|_| panic!("{} is registered, in round {round}", agent.id()));
            }
            host.verify().unwrap();
            for agent in &agents {
                agent.kill();
            }
            while host.agents() > 0 {
                host.sleep(Duration::from_millis(1)).await;
            }
        }
        host.shutdown(Duration::from_secs(1)).await;
    });
}

fn group(name: &str) -> GroupSpec {
    GroupSpec {
        name: GroupName::new(name).unwrap(),
        strategy: Strategy::OneForOne,
        supervision: Supervision::default(),
    }
}

#[test]
fn a_host_that_shuts_down_takes_in_no_tasks_and_no_groups_however_much_time_it_has() {
    simulate(|host| async move {
        let one = host.supervise(group("g"), None);
        let other = host.supervise(group("g"), None);
        let (one, other) = tokio::join!(one, other);
        assert!(
            one.is_ok() != other.is_ok(),
            "of two that want the same name one gets it: {one:?} {other:?}"
        );
        let report = host.shutdown(Duration::MAX).await;
        assert_eq!(report.killed, 0);
        let refused = host.submit(vec![TaskSpec::new(TaskId::new("t").unwrap())]).await;
        assert!(matches!(refused, Err(HostError::ShuttingDown)), "{refused:?}");
        let refused = host.supervise(group("h"), None).await;
        assert!(matches!(refused, Err(HostError::ShuttingDown)), "{refused:?}");
    });
}

#[test]
fn a_task_may_have_all_the_time_there_is() {
    simulate(|host| async move {
        host.spawn("worker", || Worker).await.unwrap();
        let task = TaskId::new("t").unwrap();
        host.submit(vec![TaskSpec::new(task.clone()).within(Duration::MAX)]).await.unwrap();
        assert_eq!(host.task(&task).await.unwrap().state, TaskState::Completed);
        host.idle().await;
        assert_eq!(host.shutdown(Duration::from_secs(1)).await.ledger.pending, 0);
    });
}

struct Sleeper;

impl Actor for Sleeper {
    type Context = Context<Self>;
}

impl Supervised for Sleeper {}

impl Handler<Total> for Sleeper {
    type Result = u32;
    fn handle(&mut self, _: Total, _: &mut Context<Self>) -> u32 {
        // A real sleep, because a thread that is really blocked is what this is about.
        std::thread::sleep(Duration::from_secs(6));
        0
    }
}

impl Agent for Sleeper {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Total>()
    }
}

#[test]
fn shutdown_gives_up_on_an_agent_that_blocks_its_thread() {
    threads(2, |host| async move {
        let options = AgentOptions { arbiter: Some(1), ..AgentOptions::default() };
        let sleeper = host.spawn_with("sleeper", options, |_| Sleeper).await.unwrap();
        sleeper.tell(Total).unwrap();
        let begun = std::time::Instant::now();
        let report = host.shutdown(Duration::from_millis(200)).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        assert_eq!((report.killed, report.blocked, report.ledger.pending), (1, 1, 1));
        assert!(report.ledger.balances());
    });
}

#[test]
fn the_monitor_hears_of_every_protocol_actor_and_of_agents() {
    simulate(|host| async move {
        sellers(&host).await;
        host.subscribe("news", "quick").await.unwrap();
        host.submit(vec![TaskSpec::new("t".parse().unwrap())]).await.unwrap();
        host.start_up(Vec::new(), StartupOptions::default()).await.unwrap();
        host.sleep(Duration::from_secs(1)).await;
        let page = host.protocols().monitor.send(QueryEvents::default()).await.unwrap();
        let sources: BTreeSet<String> = page.events.iter().map(|event| event.source.to_string()).collect();
        for source in ["router", "registrar", "coordinator", "initializer", "supervisor"] {
            assert!(sources.contains(source), "{source} is missing among {sources:?}");
        }
        host.shutdown(Duration::from_secs(1)).await;
    });
}
