//! Groups: who is restarted with whom, whatever happens to their supervisor.

use std::{
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use phalanx_actors::{
    agent::{AgentId, GroupName, Lifecycle, LifecycleChange, Me},
    inbox::{AgentRef, Stopped},
    supervisor::{Backoff, GroupSpec, Intensity, SpawnOptions, Strategy, Supervision, Supervisor},
};
use tracing::{Event, Metadata, span, subscriber::DefaultGuard};

use crate::support::*;

/// Listens to what supervisors say of their steps, and panics over those whose turn it is.
struct Saboteur {
    steps: Arc<AtomicU32>,
    breaks: fn(u32) -> bool,
}

impl tracing::Subscriber for Saboteur {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "phalanx_actors::supervisor::overseer"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {
        assert!(!(self.breaks)(self.steps.fetch_add(1, Ordering::Relaxed)), "killed by the test");
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Saboteur {
    /// Listens on this thread until the guard is dropped.
    fn here(breaks: fn(u32) -> bool) -> (DefaultGuard, Arc<AtomicU32>) {
        // Somebody always listens; otherwise tracing may take a place for unheard while tests come and go.
        static LISTENER: LazyLock<tracing::Dispatch> =
            LazyLock::new(|| tracing::Dispatch::new(Saboteur { steps: Arc::default(), breaks: |_| false }));
        LazyLock::force(&LISTENER);
        let steps = Arc::new(AtomicU32::new(0));
        let guard = tracing::subscriber::set_default(Self { steps: steps.clone(), breaks });
        (guard, steps)
    }
}

async fn group(
    world: &World,
    name: &str,
    strategy: Strategy,
    restarts: u32,
    parent: Option<&AgentRef<Supervisor>>,
) -> AgentRef<Supervisor> {
    let intensity = Intensity { restarts, ..Intensity::default() };
    let supervision = Supervision { intensity, backoff: Backoff::NONE, ..Supervision::default() };
    let spec = GroupSpec { name: GroupName::new(name).unwrap(), strategy, supervision };
    let id = AgentId::new(format!("group/{name}")).unwrap();
    world.arbiters.supervise(id, spec, parent.map(AgentRef::address).as_ref()).await.unwrap()
}

async fn members(world: &World, group: &AgentRef<Supervisor>, ids: &[&str]) -> Vec<AgentRef<Player>> {
    let ids = ids.iter().map(|id| name(id)).collect();
    let make = |me: &Me| Player::new(me, &Log::default());
    let group = group.address();
    let options = SpawnOptions::default();
    world.arbiters.spawn_in(ids, make, options, Some(&group), |card| card).await.unwrap()
}

fn generations(agents: &[AgentRef<Player>]) -> Vec<u32> {
    agents.iter().map(|agent| agent.status().generation).collect()
}

#[test]
fn a_supervisor_that_panics_over_every_other_step_restarts_each_member_once() {
    let expected = [
        (Strategy::OneForOne, [0, 1, 0, 0]),
        (Strategy::OneForAll, [1, 1, 1, 1]),
        (Strategy::RestForOne, [0, 1, 1, 1]),
    ];
    for (strategy, expected) in expected {
        paused(async move {
            let world = World::here().await;
            let supervisor = group(&world, "g", strategy, 10, None).await;
            let agents = members(&world, &supervisor, &["a", "b", "c", "d"]).await;
            turn().await;
            let (_guard, steps) = Saboteur::here(|step| step.is_multiple_of(2));
            agents[1].tell(Do::Panic).unwrap();
            turn().await;
            turn().await;
            assert_eq!(generations(&agents), expected, "{strategy:?}");
            let orders: u32 = expected.iter().sum();
            assert_eq!(steps.load(Ordering::Relaxed), 2 * orders, "each step was taken twice, once in vain");
            assert_eq!(supervisor.status().generation, orders);
            for agent in &agents {
                assert_eq!(agent.ask(Do::Note(1)).await, Ok(1));
            }
            world.settled().await;
        });
    }
}

#[test]
fn a_member_that_panics_while_it_drains_is_restarted_and_handles_the_rest() {
    paused(async {
        let world = World::here().await;
        let supervisor = group(&world, "g", Strategy::OneForOne, 10, None).await;
        let agents = members(&world, &supervisor, &["a"]).await;
        for what in [Do::Note(1), Do::Panic, Do::Note(2), Do::Note(3)] {
            agents[0].tell(what).unwrap();
        }
        assert_eq!(agents[0].stop_within(Duration::from_secs(10)).await, Stopped::Drained);
        let counts = world.settled().await;
        assert_eq!((counts.delivered, counts.failed), (3, 1), "only the poison is lost");

        let supervisor = group(&world, "h", Strategy::OneForOne, 0, None).await;
        let agents = members(&world, &supervisor, &["b"]).await;
        for what in [Do::Panic, Do::Note(1)] {
            agents[0].tell(what).unwrap();
        }
        agents[0].stop_within(Duration::from_secs(10)).await;
        assert_eq!(world.settled().await.failed, 1 + 2, "a group that gives up ends it all the same");
    });
}

#[test]
fn one_crash_is_told_once_and_everyone_is_restarted_along_with_it() {
    paused(async {
        let world = World::here().await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        let tell = move |life: &Lifecycle| {
            let what = match &life.change {
                LifecycleChange::Crashed { .. } => "crashed",
                LifecycleChange::Restarting { .. } => "restarting",
                LifecycleChange::Restarted => "restarted",
                LifecycleChange::Started | LifecycleChange::Terminated(_) => return,
            };
            telling.lock().unwrap().push(format!("{} {what}", life.agent));
        };
        assert!(world.hub().observe_with(vec![Arc::new(tell)]));
        let supervisor = group(&world, "g", Strategy::OneForAll, 10, None).await;
        let agents = members(&world, &supervisor, &["a", "b", "c"]).await;
        turn().await;
        agents[1].tell(Do::Panic).unwrap();
        turn().await;
        let mut told = told.lock().unwrap().clone();
        assert_eq!(told[0], "b crashed");
        told.sort();
        assert_eq!(
            told,
            [
                "a restarted",
                "a restarting",
                "b crashed",
                "b restarted",
                "b restarting",
                "c restarted",
                "c restarting"
            ]
        );
    });
}

#[test]
fn a_supervisor_that_panics_while_it_gives_up_has_its_parent_restart_all_once() {
    paused(async {
        let world = World::here().await;
        let top = group(&world, "top", Strategy::OneForAll, 1, None).await;
        let low = group(&world, "low", Strategy::OneForOne, 0, Some(&top)).await;
        let mut agents = members(&world, &top, &["t"]).await;
        agents.extend(members(&world, &low, &["a", "b"]).await);
        turn().await;
        let (_guard, _) = Saboteur::here(|step| step % 3 != 2);
        agents[1].tell(Do::Panic).unwrap();
        turn().await;
        turn().await;
        assert_eq!(generations(&agents), [1, 1, 1]);
        assert!(low.status().generation > 2 && top.status().generation > 1, "they were rebuilt on the way");
        agents[2].tell(Do::Panic).unwrap();
        turn().await;
        turn().await;
        assert!(agents.iter().all(|agent| agent.handle().has_ended()), "one restart of all was allowed");
        assert_eq!(world.settled().await.pending, 0);
    });
}

#[test]
fn a_member_whose_factory_fails_after_its_order_is_decided_over_again() {
    paused(async {
        let world = World::here().await;
        let supervisor = group(&world, "g", Strategy::OneForOne, 10, None).await;
        let calls = AtomicU32::new(0);
        let make = move |me: &Me| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            assert!(!(1..4).contains(&call), "the factory breaks");
            Player::new(me, &Log::default())
        };
        let (ids, group) = (vec![name("a")], supervisor.address());
        let options = SpawnOptions::default();
        let agents = world.arbiters.spawn_in(ids, make, options, Some(&group), |card| card).await.unwrap();
        agents[0].tell(Do::Panic).unwrap();
        turn().await;
        assert_eq!(agents[0].ask(Do::Note(1)).await, Ok(1));
        assert_eq!(generations(&agents), [1]);
    });
}
