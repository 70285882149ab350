//! How a host ends: shut down or dropped, its threads end, its agents are stopped, and its memory is freed.
//!
//! Threads are real here, so waiting for their ends takes real time.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use phalanx::{
    agent::{AskError, Intervention, Interventions},
    host::{HostReport, WeakHost},
    prelude::*,
    supervisor::Strategy,
};
use tokio::sync::oneshot;

use crate::support::{quiet_panics, threads};

/// How many of something there are.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
    fn one(&self) -> One {
        self.0.fetch_add(1, Ordering::SeqCst);
        One(self.clone())
    }
}

/// One of them, for as long as it lives.
struct One(Count);

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Asks for the thread that the agent lives on, as a folder of `/proc`.
#[derive(Clone, Message)]
#[rtype(result = "PathBuf")]
struct WhichThread;

/// Tells the agent to let go of its host.
#[derive(Clone, Message)]
#[rtype(result = "()")]
struct LetGo;

/// Tells the agent to shut its host down, and to say what came of it.
#[derive(Message)]
#[rtype(result = "()")]
struct ShutDown(oneshot::Sender<HostReport>);

/// Tells the agent to be busy for so long on the host's clock.
#[derive(Clone, Message)]
#[rtype(result = "()")]
struct BeBusy(Duration);

struct Resident {
    host: RefCell<Option<Host>>,
    stopped: Count,
    _alive: One,
}

impl Actor for Resident {
    type Context = Context<Self>;
    fn stopped(&mut self, _: &mut Context<Self>) {
        self.stopped.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Supervised for Resident {}

impl Handler<WhichThread> for Resident {
    type Result = MessageResult<WhichThread>;
    fn handle(&mut self, _: WhichThread, _: &mut Context<Self>) -> Self::Result {
        MessageResult(Path::new("/proc").join(std::fs::read_link("/proc/thread-self").expect("Linux")))
    }
}

impl Handler<LetGo> for Resident {
    type Result = ();
    fn handle(&mut self, _: LetGo, _: &mut Context<Self>) {
        self.host.take();
    }
}

impl Handler<ShutDown> for Resident {
    type Result = ();
    fn handle(&mut self, ShutDown(answer): ShutDown, _: &mut Context<Self>) {
        let host = self.host.take().expect("it holds one");
        actix_rt::spawn(async move {
            let report = host.shutdown(Duration::from_secs(5)).await;
            let _ = answer.send(report);
        });
    }
}

impl Handler<BeBusy> for Resident {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, BeBusy(time): BeBusy, context: &mut Context<Self>) -> Self::Result {
        context.wait(fut::wrap_future(tokio::time::sleep(time)));
        Box::pin(async {})
    }
}

impl Agent for Resident {
    fn card(&self) -> Card<Self> {
        Card::new().in_group("residents").accepts::<WhichThread>().accepts::<LetGo>().accepts::<BeBusy>()
    }
}

/// What agents and factories are counted by.
#[derive(Clone, Default)]
struct Counts {
    agents: Count,
    factories: Count,
    stopped: Count,
    /// What every inbox of a host refers to.
    hubs: Count,
    monitors: Count,
}

/// Lives as long as the hub of its host.
struct Witness {
    _alive: One,
}

impl Intervention for Witness {}

impl Counts {
    /// One agent for each arbiter, with a clone of the host where one is given.
    async fn residents(&self, host: &Host, held: Option<Host>, arbiters: usize) -> Vec<AgentRef<Resident>> {
        let mut residents = Vec::new();
        for arbiter in 0..arbiters {
            let options = AgentOptions { arbiter: Some(arbiter), ..AgentOptions::default() };
            let (counts, factory, held) =
                (self.clone(), self.factories.one(), std::sync::Mutex::new(held.clone()));
            let make = move |_: &_| {
                let _ = &factory;
                Resident {
                    host: RefCell::new(held.lock().unwrap().take()),
                    stopped: counts.stopped.clone(),
                    _alive: counts.agents.one(),
                }
            };
            residents.push(host.spawn_with(format!("r/{arbiter}"), options, make).await.unwrap());
        }
        residents
    }
}

async fn threads_of(residents: &[AgentRef<Resident>]) -> Vec<PathBuf> {
    let mut threads = Vec::new();
    for resident in residents {
        threads.push(resident.ask(WhichThread).await.unwrap());
    }
    assert!(threads.iter().all(|thread| thread.exists()));
    threads
}

/// Waits, for real, until this holds.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The kernel takes a moment to forget a thread that was joined.
fn assert_gone(threads: &[PathBuf]) {
    let begun = Instant::now();
    while threads.iter().any(|thread| thread.exists()) {
        assert!(begun.elapsed() < Duration::from_millis(100), "{threads:?} are there after the shutdown");
        std::thread::yield_now();
    }
}

#[test]
fn the_threads_of_a_host_have_ended_when_its_shutdown_answers() {
    threads(3, |host| async move {
        let counts = Counts::default();
        let residents = counts.residents(&host, None, 3).await;
        let threads = threads_of(&residents).await;
        let report = host.shutdown(Duration::from_secs(5)).await;
        assert_gone(&threads);
        assert_eq!((report.killed, report.blocked), (0, 0));
        assert_eq!((counts.stopped.get(), counts.agents.get(), counts.factories.get()), (3, 0, 0));
        let again = host.shutdown(Duration::from_secs(5)).await;
        assert_eq!((again.blocked, again.ledger), (0, report.ledger), "a second shutdown changes nothing");
        assert_eq!(residents[0].ask(WhichThread).await, Err(AskError::Undelivered(Reason::Closed)));
        assert!(host.ledger().balances() && host.ledger().pending == 0);
    });
}

#[test]
fn dropping_the_last_clone_stops_agents_and_threads_without_waiting() {
    let counts = Counts::default();
    let inner = counts.clone();
    threads(2, |host| async move {
        let residents = inner.residents(&host, None, 2).await;
        let threads = threads_of(&residents).await;
        let news = host.group::<WhichThread>("residents").unwrap();
        residents[0].tell(BeBusy(Duration::from_secs(1_000))).unwrap();
        let waits = residents[0].ask(WhichThread).within(Duration::from_secs(30));
        let (weak, clone) = (host.downgrade(), host.clone());
        drop(host);
        assert_eq!(residents[1].ask(WhichThread).await.unwrap(), threads[1], "a clone is left");
        let cut_short = async {
            tokio::task::yield_now().await;
            let begun = Instant::now();
            drop(clone);
            assert!(begun.elapsed() < Duration::from_millis(100), "it waits for nobody");
            assert!(weak.upgrade().is_none());
        };
        let (answer, ()) = tokio::join!(waits.into_future(), cut_short);
        assert_eq!(answer, Err(AskError::Undelivered(Reason::Stopped)), "who waits for an answer is told");
        wait_until("the threads end", || threads.iter().all(|thread| !thread.exists()));
        assert_eq!(residents[1].ask(WhichThread).await, Err(AskError::Undelivered(Reason::Closed)));
        let _ = news.publish(WhichThread);
        let ledger = news.ledger();
        assert!(ledger.balances() && ledger.pending == 0, "{ledger:?}");
    });
    assert_eq!((counts.stopped.get(), counts.agents.get(), counts.factories.get()), (2, 0, 0));
}

#[test]
fn a_host_may_be_dropped_on_a_plain_thread_after_its_system_is_gone() {
    let counts = Counts::default();
    let (host, residents, threads) = System::new().block_on(async {
        let host = Host::builder().arbiters(2).start().await.unwrap();
        let residents = counts.residents(&host, None, 2).await;
        let threads = threads_of(&residents).await;
        (host, residents, threads)
    });
    std::thread::spawn(move || drop(host)).join().unwrap();
    wait_until("the threads end", || threads.iter().all(|thread| !thread.exists()));
    assert_eq!((counts.stopped.get(), counts.agents.get()), (2, 0));
    assert!(residents.iter().all(|resident| resident.tell(LetGo).is_err()));
}

#[test]
fn the_clone_of_an_agent_keeps_the_host_running_until_the_agent_lets_go_of_it() {
    threads(2, |host| async move {
        let counts = Counts::default();
        let residents = counts.residents(&host, Some(host.clone()), 2).await;
        let threads = threads_of(&residents).await;
        drop(host);
        assert_eq!(threads_of(&residents).await, threads, "it runs on");
        residents[0].ask(LetGo).await.unwrap();
        assert_eq!(threads_of(&residents).await, threads, "the other agent holds one");
        // The last clone is dropped on an arbiter of the host itself.
        let _ = residents[1].tell(LetGo);
        wait_until("the threads end", || threads.iter().all(|thread| !thread.exists()));
        assert_eq!((counts.stopped.get(), counts.agents.get(), counts.factories.get()), (2, 0, 0));
    });
}

#[test]
fn an_agent_may_shut_its_own_host_down_and_hears_the_report() {
    threads(2, |host| async move {
        let counts = Counts::default();
        let residents = counts.residents(&host, Some(host.clone()), 2).await;
        let threads = threads_of(&residents).await;
        drop(host);
        let (sender, report) = oneshot::channel();
        residents[1].tell(ShutDown(sender)).unwrap();
        let report = report.await.expect("the report comes before its arbiter ends");
        assert_eq!((report.killed, report.blocked, report.ledger.pending), (0, 0, 0));
        wait_until("the threads end", || threads.iter().all(|thread| !thread.exists()));
        assert_eq!((counts.stopped.get(), counts.agents.get(), counts.factories.get()), (2, 0, 0));
    });
}

async fn many_hosts(arbiters: Option<usize>, counts: &Counts) {
    for round in 0..100_u64 {
        let (hub, monitor) = (Arc::new(Witness { _alive: counts.hubs.one() }), counts.monitors.one());
        let builder = Host::builder().interventions(Interventions::new([hub as Arc<dyn Intervention>])).tap(
            move |_| {
                let _ = &monitor;
            },
        );
        let builder = match arbiters {
            Some(arbiters) => builder.arbiters(arbiters),
            None => builder.simulated(round),
        };
        let host = builder.start().await.unwrap();
        let spec = GroupSpec {
            name: "g".parse().unwrap(),
            strategy: Strategy::OneForAll,
            supervision: Supervision::default(),
        };
        host.supervise(spec, None).await.unwrap();
        let (agents, factories, stopped) =
            (counts.agents.clone(), counts.factories.one(), counts.stopped.clone());
        let weak: WeakHost = host.downgrade();
        let options = AgentOptions { group: Some("g".parse().unwrap()), ..AgentOptions::default() };
        let ids = (0..10).map(|i| AgentId::new(format!("r/{i}")).unwrap()).collect();
        let make = move |_: &_| {
            let _ = &factories;
            // Every other host is held by its own agents.
            let held = (round % 2 == 0).then(|| weak.upgrade()).flatten();
            Resident { host: RefCell::new(held), stopped: stopped.clone(), _alive: agents.one() }
        };
        let residents = host.spawn_many(ids, options, make).await.unwrap();
        host.subscribe("news", "r/3").await.unwrap();
        host.topic::<LetGo>("news").unwrap().publish(LetGo).unwrap();
        residents[5].handle().inject_panic("killed by the test");
        host.submit(vec![TaskSpec::new("t".parse().unwrap())]).await.unwrap();
        host.protocols().agents()[2].inject_panic("killed by the test");
        let report = host.shutdown(Duration::ZERO).await;
        assert_eq!(report.blocked, 0);
        assert!(report.ledger.balances() && report.ledger.pending == 0, "{:?}", report.ledger);
        // A late command, of which nobody takes notice.
        residents[0].kill();
    }
}

fn assert_nothing_is_left(counts: &Counts) {
    let Counts { agents, factories, hubs, monitors, stopped } = counts;
    assert_eq!((agents.get(), factories.get()), (0, 0), "agents and factories");
    assert_eq!((hubs.get(), monitors.get()), (0, 0), "hubs, and with them inboxes, and monitors");
    assert!(stopped.get() >= 1_000, "{}", stopped.get());
}

#[test]
fn hosts_that_were_shut_down_and_dropped_leave_no_agent_and_no_factory_behind_on_threads() {
    quiet_panics();
    let counts = Counts::default();
    System::new().block_on(many_hosts(Some(2), &counts));
    assert_nothing_is_left(&counts);
}

#[test]
fn hosts_that_were_shut_down_and_dropped_leave_no_agent_and_no_factory_behind_in_virtual_time() {
    quiet_panics();
    let counts = Counts::default();
    let system = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    });
    system.block_on(async move {
        many_hosts(None, &counts).await;
        // What ended has been polled for the last time, and the arbiter itself goes on.
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_nothing_is_left(&counts);
    });
}

#[test]
fn a_host_dropped_in_virtual_time_stops_its_agents_while_the_program_goes_on() {
    quiet_panics();
    let counts = Counts::default();
    let inner = counts.clone();
    simulate(7, |host| async move {
        let residents = inner.residents(&host, None, 1).await;
        residents[0].tell(BeBusy(Duration::from_secs(1_000))).unwrap();
        drop(host);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(residents[0].handle().has_ended());
        assert_eq!((inner.stopped.get(), inner.agents.get(), inner.factories.get()), (1, 0, 0));
        Ok::<_, HostError>(())
    })
    .unwrap();
}
