//! Groups within groups whose agents and supervisors are killed by panics under load: everyone is restarted or ended.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use phalanx::{
    prelude::*,
    supervisor::{Backoff, GroupSpec, Intensity, RestartPolicy, Strategy, Supervision},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tracing::{Event, Metadata, span, subscriber::DefaultGuard};

use crate::support::{quiet_panics, threads};

#[derive(Clone, Message)]
#[rtype(result = "u64")]
struct Ping(u64);

struct Member;

impl Actor for Member {
    type Context = Context<Self>;
}

impl Supervised for Member {}

impl Handler<Ping> for Member {
    type Result = u64;
    fn handle(&mut self, Ping(n): Ping, _: &mut Context<Self>) -> u64 {
        n
    }
}

impl Agent for Member {
    fn card(&self) -> Card<Self> {
        Card::new().kind("member").accepts::<Ping>()
    }
}

/// Panics over what the supervisors of groups say of their steps, for every `every`th of them.
struct Breaker {
    steps: AtomicU32,
    every: u32,
}

impl tracing::Subscriber for Breaker {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "phalanx_actors::supervisor::overseer"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        assert!(!step.is_multiple_of(self.every), "killed by the test");
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Keeps a [`Breaker`] in place on its arbiter for as long as it lives.
struct Saboteur {
    _guard: DefaultGuard,
}

impl Saboteur {
    fn new(every: u32) -> Self {
        // Somebody always listens; otherwise tracing may take a place for unheard while tests come and go.
        static LISTENER: LazyLock<tracing::Dispatch> =
            LazyLock::new(|| tracing::Dispatch::new(Breaker { steps: AtomicU32::new(1), every: u32::MAX }));
        LazyLock::force(&LISTENER);
        let breaker = Breaker { steps: AtomicU32::new(0), every };
        Self { _guard: tracing::subscriber::set_default(breaker) }
    }
}

impl Actor for Saboteur {
    type Context = Context<Self>;
}

impl Supervised for Saboteur {}

impl Agent for Saboteur {
    fn card(&self) -> Card<Self> {
        Card::new()
    }
}

const GROUPS: [&str; 3] = ["top", "middle", "low"];
const MEMBERS: usize = 5;

/// Three groups within one another, `strategies` from the top down, each with agents of its own.
async fn nest(host: &Host, strategies: [Strategy; 3], restarts: [u32; 3]) -> Vec<AgentHandle> {
    let backoff =
        Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(4), ..Backoff::default() };
    let mut agents = Vec::new();
    let mut above = None;
    for (at, name) in GROUPS.into_iter().enumerate() {
        let name: GroupName = name.parse().unwrap();
        let intensity = Intensity { restarts: restarts[at], within: Duration::from_millis(100) };
        let supervision = Supervision { intensity, backoff, ..Supervision::default() };
        let spec = GroupSpec { name: name.clone(), strategy: strategies[at], supervision };
        host.supervise(spec, above.as_ref()).await.unwrap();
        let ids = (0..MEMBERS).map(|i| AgentId::new(format!("{name}/{i}")).unwrap()).collect();
        let supervision = Supervision { policy: RestartPolicy::Permanent, ..Supervision::default() };
        let options = AgentOptions { supervision, group: Some(name.clone()), ..AgentOptions::default() };
        let members = host.spawn_many(ids, options, |_| Member).await.unwrap();
        agents.extend(members.iter().map(AgentRef::handle));
        above = Some(name);
    }
    agents
}

/// Agents and supervisors panic wherever the seed says, supervisors amid their decisions, too, while messages come in.
async fn storm(host: &Host, seed: u64, agents: &[AgentHandle]) {
    let mut random = StdRng::seed_from_u64(seed);
    let options = AgentOptions { arbiter: Some(0), ..AgentOptions::default() };
    let every = random.random_range(2..6);
    let saboteur = host.spawn_with("saboteur", options, move |_| Saboteur::new(every)).await.unwrap();
    let everyone = host.kind::<Ping>("member").unwrap();
    for round in 0..80 {
        for _ in 0..random.random_range(1..4) {
            agents[random.random_range(0..agents.len())].inject_panic("killed by the test");
        }
        if random.random_bool(0.5) {
            let group = GROUPS[random.random_range(0..GROUPS.len())];
            host.supervisor(group).unwrap().inject_panic("killed by the test");
        }
        // May be refused where inboxes are full or agents ended; the ledger counts that.
        let _ = everyone.publish(Ping(round));
        let someone = &agents[random.random_range(0..agents.len())];
        let _ = someone.ask(Ping(round)).within(Duration::from_millis(5)).await;
    }
    saboteur.stop();
    host.sleep(Duration::from_millis(300)).await;
}

/// Everyone is there again and answers; then all goes down in order.
async fn everyone_is_back(host: Host, seed: u64, strategies: [Strategy; 3], restarts: [u32; 3]) {
    let agents = nest(&host, strategies, restarts).await;
    storm(&host, seed, &agents).await;
    for agent in &agents {
        let answer = agent.ask(Ping(seed)).within(Duration::from_secs(5)).await;
        assert_eq!(answer, Ok(seed), "seed {seed}, {strategies:?}: {agent:?}");
        assert!(agent.generation() > 0, "seed {seed}, {strategies:?}: {agent:?} was never restarted");
    }
    for group in GROUPS {
        let supervisor = host.supervisor(group).unwrap();
        assert!(supervisor.generation() > 0, "seed {seed}: {supervisor:?} was never rebuilt");
    }
    goes_down(&host, seed).await;
}

async fn goes_down(host: &Host, seed: u64) {
    host.verify().unwrap();
    host.idle().await;
    let report = host.shutdown(Duration::from_secs(5)).await;
    assert!(report.ledger.balances() && report.ledger.pending == 0, "seed {seed}: {:?}", report.ledger);
    assert_eq!((report.killed, host.agents()), (0, 0), "seed {seed}");
}

const ALL: [Strategy; 3] = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
/// The groups below the top give up to their parent now and then; the top never does.
const LASTING: [u32; 3] = [1_000_000, 40, 20];

fn simulate<P: Future<Output = ()>>(seed: u64, program: impl FnOnce(Host) -> P) {
    phalanx::simulate(seed, |host| async move {
        program(host).await;
        Ok::<_, HostError>(())
    })
    .unwrap();
}

#[test]
fn everyone_is_restarted_when_supervisors_of_groups_are_killed_amid_their_decisions_in_virtual_time() {
    quiet_panics();
    for seed in 0..6 {
        for top in ALL {
            for low in ALL {
                simulate(seed, |host| everyone_is_back(host, seed, [top, Strategy::OneForAll, low], LASTING));
            }
        }
    }
}

#[test]
fn everyone_is_restarted_when_supervisors_of_groups_are_killed_amid_their_decisions_on_threads() {
    quiet_panics();
    for (seed, low) in (100..).zip(ALL) {
        threads(2, move |host| everyone_is_back(host, seed, [low, Strategy::RestForOne, low], LASTING));
    }
}

#[test]
fn everyone_is_ended_when_the_top_gives_up_whatever_happens_to_the_supervisors() {
    quiet_panics();
    for seed in 0..6 {
        for strategy in ALL {
            simulate(seed, |host| async move {
                let agents = nest(&host, [strategy; 3], [2, 2, 2]).await;
                storm(&host, seed, &agents).await;
                let left: Vec<_> = agents.iter().filter(|agent| !agent.has_ended()).collect();
                assert!(left.is_empty(), "seed {seed}, {strategy:?}: {left:?}");
                assert_eq!(host.agents(), 0);
                goes_down(&host, seed).await;
            });
        }
    }
}
