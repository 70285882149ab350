//! Anything in any order, with registrar and router breaking in between: what is answered holds, and in the end roster and
//! routes are the same.

use std::collections::BTreeMap;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use tokio::task::JoinHandle;

use super::{
    Strategy as Batches,
    recording::{Conduct, Memory, recording},
    *,
};
use crate::registrar::{Limits, Record, Recovered};

#[derive(Debug, Clone)]
enum Step {
    /// Enlists these agents with fresh numbers, all with so much time and such leases, if it is said \[ms\].
    Enlist(Vec<u8>, Option<u64>, Option<u64>),
    /// Renews the lease of an agent.
    Renew(u8),
    /// Enlists what was enlisted as the so many-eth again.
    Again(u8),
    Delist(Vec<u8>),
    Cancel(u8),
    End(u8),
    BreakRegistrar,
    BreakRouter,
    Turns(u8),
    Wait(u16),
}

/// How many agents there are; each of a pair of neighbours has the same id.
const AGENTS: u8 = 12;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let agents = || prop::collection::vec(0..AGENTS, 0..5);
    let step = prop_oneof![
        5 => (agents(), prop::option::weighted(0.3, 0..300_u64), prop::option::weighted(0.3, 1..1000_u64))
            .prop_map(|(which, within, lease)| Step::Enlist(which, within, lease)),
        2 => (0..AGENTS).prop_map(Step::Renew),
        1 => any::<u8>().prop_map(Step::Again),
        2 => agents().prop_map(Step::Delist),
        1 => any::<u8>().prop_map(Step::Cancel),
        1 => (0..AGENTS).prop_map(Step::End),
        1 => Just(Step::BreakRegistrar),
        1 => Just(Step::BreakRouter),
        4 => (0..8u8).prop_map(Step::Turns),
        1 => (0..1500u16).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..40)
}

fn strategies() -> impl Strategy<Value = Batches> {
    prop_oneof![
        Just(Batches::ADAPTIVE),
        Just(Batches::Streaming),
        Just(Batches::FixedSize { size: 3, linger: Duration::from_millis(1) }),
        Just(Batches::TimeBased { window: Duration::from_millis(300), size: 5 }),
    ]
}

/// What was asked, and the answers to come.
#[derive(Default)]
struct Asked {
    made: Vec<Enlistment>,
    enlisted: Vec<(Vec<Enlistment>, JoinHandle<Vec<Request>>)>,
    delisted: Vec<JoinHandle<usize>>,
    cancelled: Vec<(RequestId, JoinHandle<Result<Request, CancelError>>)>,
    renewed: Vec<JoinHandle<Result<Timestamp, RosterError>>>,
}

impl Asked {
    fn enlist<'a>(
        &mut self,
        world: &World,
        agents: impl Iterator<Item = &'a AgentHandle>,
        (within, lease): (Option<u64>, Option<u64>),
    ) {
        let enlistment = |agent| {
            let Enlistment { mut request, agent } = world.enlistment(agent);
            if let Some(millis) = within {
                request = request.within(Duration::from_millis(millis));
            }
            request.lease = lease.map(Duration::from_millis);
            Enlistment { request, agent }
        };
        let new: Vec<_> = agents.map(enlistment).collect();
        self.made.extend(new.iter().cloned());
        self.enlisted.push((new.clone(), world.asked(Enlist(new))));
    }

    fn nth(&self, nth: u8) -> Option<Enlistment> {
        self.made.get(usize::from(nth) % self.made.len().max(1)).cloned()
    }

    /// How the requests ended, how many agents were removed, and when the last lease is over by what was answered.
    async fn answers(self, now: Timestamp) -> (BTreeMap<RequestId, Request>, usize, Timestamp) {
        let mut ended = BTreeMap::new();
        for (asked, answer) in self.enlisted {
            let requests = answer.await.unwrap();
            assert!(
                requests.iter().map(|r| r.id).eq(asked.iter().map(|one| one.request.id)),
                "in the order given"
            );
            for request in requests {
                assert!(request.status().is_final(), "{request:?}");
                let first = ended.entry(request.id).or_insert_with(|| request.clone());
                assert_eq!(*first, request, "a number has one end");
            }
        }
        for (request, answer) in self.cancelled {
            let is_cancelled = answer.await.unwrap().is_ok();
            assert!(!is_cancelled || *ended[&request].status() == Status::Cancelled);
        }
        let mut removed = 0;
        for answer in self.delisted {
            removed += answer.await.unwrap();
        }
        let mut until = now;
        for answer in self.renewed {
            until = answer.await.unwrap().map_or(until, |end| end.max(until));
        }
        (ended, removed, until)
    }
}

/// Plays the steps, with a recorder that conducts itself so, or with none. Answers with what was written and told.
async fn play(
    strategy: Batches,
    steps: Vec<Step>,
    limit: Option<usize>,
    conduct: Option<Vec<Conduct>>,
) -> (Vec<Record>, Vec<RegistrarEvent>) {
    let limits = limit.map_or_else(Limits::default, |most| Limits::default().per_kind(most));
    let options =
        RegistrarOptions { parallel_batches: ParallelBatches::Fixed(3), limits, ..batched_by(strategy) };
    let (world, memory) = match conduct {
        None => (World::start(options, Rules::default()).await, None),
        Some(conduct) => {
            let (cell, memory) = recording(options, Recovered::default());
            memory.conduct(conduct);
            (World::over(cell).await, Some(memory))
        }
    };
    let name = |agent: u8| format!("seller/{}", agent / 2);
    let mut agents = Vec::new();
    for agent in 0..AGENTS {
        agents.extend(world.sellers(&[&name(agent)]).await);
    }
    let mut asked = Asked::default();
    for step in steps {
        match step {
            Step::Enlist(which, within, lease) => {
                let which = which.iter().map(|agent| &agents[usize::from(*agent)]);
                asked.enlist(&world, which, (within, lease));
            }
            Step::Renew(agent) => {
                let agent = &agents[usize::from(agent)];
                let generation = u64::from(agent.generation());
                asked.renewed.push(world.asked(Renew { agent: agent.id().clone(), generation }));
            }
            Step::Again(nth) => {
                let old: Vec<_> = asked.nth(nth).into_iter().collect();
                asked.enlisted.push((old.clone(), world.asked(Enlist(old))));
            }
            Step::Delist(which) => {
                let ids = which.iter().map(|agent| id(&name(*agent))).collect();
                asked.delisted.push(world.asked(Delist(ids)));
            }
            Step::Cancel(nth) => {
                if let Some(old) = asked.nth(nth) {
                    asked.cancelled.push((old.request.id, world.asked(CancelRequest(old.request.id))));
                }
            }
            Step::End(agent) => agents[usize::from(agent)].kill(),
            Step::BreakRegistrar => world.break_registrar(),
            Step::BreakRouter => world.router.handle().inject_panic("on purpose"),
            Step::Turns(count) => {
                for _ in 0..count {
                    tokio::task::yield_now().await;
                }
            }
            Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(u64::from(millis))).await,
        }
        world.cell.verify().unwrap();
        assert!(limit.is_none_or(|most| world.registered().len() <= most));
    }
    let (ended, removed, until) = asked.answers(world.arbiters.hub().now()).await;
    tokio::time::sleep(2 * REST).await;
    assert!(until < world.arbiters.hub().now(), "all leases are over");
    let expired = |event: &&RegistrarEvent| matches!(event, RegistrarEvent::LeaseExpired { .. });
    let expired = world.events.lock().unwrap().iter().filter(expired).count();
    assert_eq!(world.status().await.leased, 0);
    let completed = ended.values().filter(|request| *request.status() == Status::Completed).count();
    assert_eq!(world.registered().len() + removed + expired, completed);
    assert_eq!(world.registered(), world.routed());
    let status = world.status().await;
    assert_eq!(
        (status.waiting, status.in_flight, status.revision),
        (0, 0, (completed + removed + expired) as u64)
    );
    if let Some(memory) = &memory {
        assert_written(&world, memory, &ended);
    }
    let all: Vec<_> = world.registered().into_iter().collect();
    assert_eq!(world.asked(Delist(all.clone())).await.unwrap(), all.len());
    world.assert_only(&[]);
    let written = memory.map(|memory| std::mem::take(&mut *memory.log.lock().unwrap()));
    let told = std::mem::take(&mut *world.events.lock().unwrap());
    (written.unwrap_or_default(), told)
}

/// What is written is the roster, and what was answered.
fn assert_written(world: &World, memory: &Memory, ended: &BTreeMap<RequestId, Request>) {
    let recovered = memory.recovered();
    let written = recovered.members.iter().map(|one| (one.request.agent.clone(), one.generation));
    let held = world.cell.with_roster(|roster| {
        roster.iter().map(|member| (member.id().clone(), member.generation())).collect::<BTreeSet<_>>()
    });
    assert_eq!(written.collect::<BTreeSet<_>>(), held, "what is written is the roster");
    let mut logged: BTreeMap<_, _> =
        recovered.requests.into_iter().map(|one| (one.request.id, one.request)).collect();
    for (number, request) in ended {
        let is_logged = logged.remove(number).map(|logged| logged == *request);
        let may_miss = matches!(request.status(), Status::Failed(_) | Status::Cancelled);
        assert!(is_logged == Some(true) || is_logged.is_none() && may_miss, "{request:?}");
    }
    assert!(logged.is_empty(), "{logged:?} ended and nobody was told");
}

/// Mostly a recorder writes at once or soon; sometimes it refuses.
fn conducts() -> impl Strategy<Value = Vec<Conduct>> {
    let conduct = prop_oneof![
        3 => (0..4_u64).prop_map(Conduct::Write),
        1 => (0..200_u64).prop_map(Conduct::Write),
        1 => (0..4_u64).prop_map(Conduct::Refuse),
    ];
    prop::collection::vec(conduct, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order_roster_routes_and_answers_agree(
        strategy in strategies(),
        steps in steps(),
        limit in prop::option::of(1..4_usize),
    ) {
        paused(play(strategy, steps, limit, None));
    }

    #[test]
    fn whatever_happens_what_is_written_is_what_was_answered_and_the_same_a_second_time(
        strategy in strategies(),
        steps in steps(),
        limit in prop::option::of(1..4_usize),
        conduct in conducts(),
    ) {
        let first = paused(play(strategy, steps.clone(), limit, Some(conduct.clone())));
        assert_eq!(paused(play(strategy, steps, limit, Some(conduct))), first);
    }
}
