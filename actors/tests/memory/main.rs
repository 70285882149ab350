//! What the router's tables and the tasks of start-up weigh, by a counting allocator. A binary of its own, because the allocator counts for the
//! whole process; for the same reason the tests take turns.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use actix::prelude::*;
use peak_alloc::PeakAlloc;
use phalanx_actors::{
    agent::{Agent, AgentId, Capability, Card, Kind, TaskId, Tenant, Timestamp, TopicFilter, TopicName},
    inbox::{AgentHandle, HubConfig},
    initializer::{Plan, Startup, StartupOptions, StartupTask},
    registrar::{Profile, Roster},
    router::{
        Arbiters, ArbitersConfig, Directory, Publisher, Reroute, Router, Selector, Subscribe,
        SubscribeOptions,
    },
    supervisor::SpawnOptions,
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

static TURN: Mutex<()> = Mutex::new(());

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Note;

struct Reader;
impl Actor for Reader {
    type Context = Context<Self>;
}
impl Supervised for Reader {}
impl Handler<Note> for Reader {
    type Result = ();
    fn handle(&mut self, _: Note, _: &mut Context<Self>) {}
}
impl Agent for Reader {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Note>()
    }
}

struct World {
    arbiters: Arbiters,
    directory: Directory,
    router: Addr<Router>,
    agents: Vec<AgentHandle>,
}

impl World {
    async fn start(agents: usize) -> Self {
        let arbiters = Arbiters::start(ArbitersConfig::Here, HubConfig::default()).await;
        let directory = Directory::new(arbiters.hub());
        let router = Router::new(directory.clone()).start();
        let ids = (0..agents).map(|at| AgentId::new(format!("reader/{at}")).unwrap()).collect();
        let agents = arbiters.spawn_many(ids, |_| Reader, SpawnOptions::default()).await.unwrap();
        let agents: Vec<_> = agents.iter().map(phalanx_actors::inbox::AgentRef::handle).collect();
        let mut world = Self { arbiters, directory, router, agents };
        world.renew().await;
        world
    }

    /// Puts all agents into new tables, without subscriptions.
    async fn renew(&mut self) {
        self.directory = Directory::new(self.arbiters.hub());
        self.router = Router::new(self.directory.clone()).start();
        let change = Reroute { add: self.agents.clone(), remove: Vec::new() };
        assert!(self.router.send(change).await.unwrap().taken.is_empty());
    }

    fn publisher(&self, topic: &str) -> Publisher<Note> {
        self.directory.publisher(&Selector::Topic(TopicName::new(topic).unwrap()))
    }

    async fn subscribe(&self, topic: &TopicFilter, agent: &AgentHandle) {
        let (filter, agent) = (topic.clone(), agent.id().clone());
        let options = SubscribeOptions::new();
        assert!(self.router.send(Subscribe { filter, agent, options }).await.unwrap());
    }

    /// What each of these subscriptions weighs \[bytes\], with a publisher of each topic open: tables and lists of
    /// recipients.
    #[expect(clippy::cast_precision_loss, reason = "a weight")]
    async fn weigh(&self, what: &str, topics: usize, of: impl Fn(usize) -> Range<usize>) -> f64 {
        let names: Vec<_> = (0..topics).map(|at| format!("{what}.{at}")).collect();
        let publishers: Vec<_> = names.iter().map(|name| self.publisher(name)).collect();
        let mut subscriptions = 0;
        let before = ALLOCATOR.current_usage();
        for (at, name) in names.iter().enumerate() {
            let filter = TopicFilter::new(name).unwrap();
            let agents = of(at);
            subscriptions += agents.len();
            for agent in agents {
                self.subscribe(&filter, &self.agents[agent]).await;
            }
        }
        let weight = (ALLOCATOR.current_usage() - before) as f64 / subscriptions as f64;
        let recipients = publishers.iter().map(Publisher::recipients).sum::<usize>();
        assert_eq!(recipients, subscriptions);
        println!("{what}: {subscriptions} subscriptions, {topics} topics, {weight:.1} bytes each");
        weight
    }
}

#[test]
fn a_subscription_weighs_less_than_64_bytes_beyond_its_agent() {
    const AGENTS: usize = 100_000;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Look-ups grow by doubling, which is to be told of those it is for: each way has tables of its own.
    let (one, each) = System::new().block_on(async {
        let mut world = World::start(AGENTS).await;
        let one = world.weigh("one topic of all", 1, |_| 0..AGENTS).await;
        world.renew().await;
        (one, world.weigh("each one topic", 100, |at| at * 1_000..(at + 1) * 1_000).await)
    });
    let all = System::new().block_on(async {
        let world = World::start(1_000).await;
        world.weigh("each all topics", 100, |_| 0..1_000).await
    });
    let weights = [one, each, all];
    assert!(weights.iter().all(|weight| *weight < 64.0), "{weights:?}");
}

#[test]
fn a_hundred_thousand_topics_that_come_and_go_leave_memory_flat_and_the_ledger_exact() {
    const NAMES: usize = 100_000;
    const WARM: usize = 20_000;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    System::new().block_on(async {
        let world = World::start(1).await;
        let hub = world.arbiters.hub();
        world.subscribe(&TopicFilter::new(">").unwrap(), &world.agents[0]).await;
        let mut warm = 0;
        for at in 0..NAMES {
            // All names are of one length, as the rows that are kept are to weigh the same at all times.
            assert_eq!(world.publisher(&format!("topic.{at:06}")).publish(Note).unwrap().recipients, 1);
            if (at + 1).is_multiple_of(500) {
                hub.idle().await;
                assert_eq!(hub.ledger().delivered, at as u64 + 1, "exact while routes close");
            }
            if at + 1 == WARM {
                warm = ALLOCATOR.current_usage();
            }
        }
        let grown = ALLOCATOR.current_usage().saturating_sub(warm);
        println!("{grown} bytes more after {} more topics", NAMES - WARM);
        assert!(grown < 16 * 1_024, "{grown} bytes more after {} more topics", NAMES - WARM);
        assert_eq!(world.directory.open_routes(), 0);
        let (ledger, rows) = (hub.ledger(), hub.ledgers());
        assert_eq!((ledger.sent, ledger.delivered, ledger.pending), (NAMES as u64, NAMES as u64, 0));
        assert_eq!(rows.len(), 1_002, "direct, the last 1,000 by name, and all before them in one");
        assert_eq!(&*rows[1].0, "topic topic.099000 (Note)");
        assert_eq!((&*rows[1_001].0, rows[1_001].1.delivered), ("closed routes", NAMES as u64 - 1_000));
        let again = world.publisher("topic.099999");
        again.publish(Note).unwrap();
        hub.idle().await;
        assert_eq!(again.ledger().delivered, 2, "its row was still there");
        assert_eq!(hub.ledger().delivered, NAMES as u64 + 1);
        world.directory.verify().unwrap();
    });
}

#[test]
fn topics_that_close_all_at_once_leave_nothing_behind_when_what_was_published_has_ended() {
    const NAMES: usize = 10_000;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    System::new().block_on(async {
        let world = World::start(1).await;
        let hub = world.arbiters.hub();
        world.subscribe(&TopicFilter::new(">").unwrap(), &world.agents[0]).await;
        let mut usage = Vec::new();
        for round in 0..4 {
            let publishers: Vec<_> =
                (0..NAMES).map(|at| world.publisher(&format!("round.{round}.{at:06}"))).collect();
            assert_eq!(world.directory.open_routes(), NAMES);
            // Half of them fit into the inbox; the others are refused there.
            for publisher in &publishers {
                assert_eq!(publisher.publish(Note).unwrap().recipients, 1);
            }
            drop(publishers);
            assert_eq!(world.directory.open_routes(), 0);
            assert_eq!(hub.ledger().pending, NAMES as u64, "closed, and still counted");
            hub.idle().await;
            assert_eq!(hub.ledger().sent, (round + 1) * NAMES as u64);
            assert_eq!(hub.ledgers().len(), 1_002);
            usage.push(ALLOCATOR.current_usage());
        }
        println!("{usage:?} bytes after each round");
        assert!(usage[3].saturating_sub(usage[1]) < 64 * 1_024, "{usage:?}");
    });
}

/// How many start-up tasks are weighed.
const TASKS: usize = 100_000;

#[test]
fn a_start_up_task_among_100_000_takes_less_than_200_bytes_and_as_much_as_it_says() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let id = |at: usize| TaskId::new(format!("t{at}")).unwrap();
    let before = ALLOCATOR.current_usage();
    let tasks = (0..TASKS).map(|at| StartupTask::new(id(at)).after((at.saturating_sub(2)..at).map(id)));
    let plan = Plan::new(tasks.collect()).unwrap();
    let mut effects = Vec::new();
    let startup = Startup::begin(plan, StartupOptions::default(), Timestamp::ZERO, &mut effects);
    let taken = ALLOCATOR.current_usage() - before;
    assert!(taken < 200 * TASKS, "{} bytes a task", taken / TASKS);
    let said = startup.bytes();
    assert!(said.abs_diff(taken) < taken / 10, "{} bytes a task, said to be {}", taken / TASKS, said / TASKS);
}

/// The roster says of itself what it weighs: of agents alike, and of such as have each something of their own.
#[test]
fn an_agent_in_the_roster_takes_less_than_200_bytes_and_as_much_as_it_says() {
    // One more than a power of two is the worst case for both the slots and the index.
    const ALIKE: usize = (1 << 17) + 1;
    const APART: usize = 5_000;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let ids: Vec<AgentId> = (0..ALIKE).map(|at| AgentId::new(format!("agent/{at}")).unwrap()).collect();
    // An id's text is there already, with the two words that head it.
    let head = 2 * size_of::<usize>();
    let capability = |name: String| Capability::new(name).unwrap();
    let profile = |number: usize| {
        let mut profile = Profile::new(Kind::new(format!("k{}", number % 4)).unwrap());
        profile.capabilities = (0..3).map(|bit| capability(format!("c{}", (number + bit) % 16))).collect();
        profile.tenant = Some(Tenant::new(format!("t{}", number % 8)).unwrap());
        profile
    };
    let weigh = |count: usize, looks: &dyn Fn(usize) -> Profile| {
        let before = ALLOCATOR.current_usage();
        let mut roster = Roster::<[usize; 2]>::with_changes(0);
        for (number, id) in ids[..count].iter().enumerate() {
            roster.insert(id.clone(), 1, looks(number), [0; 2]).unwrap();
        }
        ((ALLOCATOR.current_usage() - before) / count, roster.bytes() / count - head)
    };
    let (taken, said) = weigh(ALIKE, &profile);
    let beside_its_handle = taken + head - size_of::<[usize; 2]>();
    assert!(beside_its_handle < 200, "{beside_its_handle} bytes an agent");
    assert!(said.abs_diff(taken) < taken / 10, "{taken} bytes an agent, said to be {said}");
    let (taken, said) = weigh(APART, &|number| {
        let mut own = profile(number);
        own.location = Some(format!("0.{number:04},8.0"));
        own.capabilities.push(capability(format!("own_{number}")));
        own
    });
    // But for their texts.
    assert!(said.abs_diff(taken) < taken / 4, "{taken} bytes an agent, said to be {said}");
}
