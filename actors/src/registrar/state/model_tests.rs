//! Anything in any order, against a naive model: a map of who is registered, and what the router has on its routes.
//!
//! The router is a queue of what it was sent, in order; its answers come late, in any order, or get lost. Validations end in
//! any order, with any verdict, or are lost. The registrar breaks between two messages, or in the middle of what it does
//! after a change of its state.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, Context, Supervised};
use proptest::{
    prelude::{Just, ProptestConfig, Strategy as Generator, any, prop, prop_oneof},
    test_runner::TestRunner,
};
use tokio::sync::oneshot;

use super::{Effects, Judging, RouterLost, State};
use crate::{
    agent::{Agent, AgentId, Card, Priority, Timestamp},
    inbox::{AgentHandle, HubConfig},
    registrar::{
        BatcherOptions, Enlistment, Limits, ParallelBatches, RegistrarCell, RegistrarOptions, Renew, Request,
        RequestId, RosterError, Rules, Status, Strategy,
    },
    router::{Arbiters, ArbitersConfig, Reroute},
    supervisor::SpawnOptions,
    support::bench::paused,
};

/// How many agents there are; each of a pair of neighbours has the same id.
const AGENTS: u8 = 8;

#[derive(Debug, Clone)]
enum Step {
    /// Enlists these agents, each of this class, and with a time if it is not zero \[ms\].
    Enlist(Vec<u8>, u8, u16),
    /// Enlists these agents, each with a lease of so many milliseconds.
    Lease(Vec<u8>, u16),
    /// Renews the lease of an agent.
    Renew(u8),
    /// Enlists what was enlisted as the so many-eth again.
    Again(u8),
    Delist(Vec<u8>),
    Cancel(u8),
    /// One of the validations ends.
    Judge(u8, Judgement),
    /// The router handles what it was sent first, and its answer is on its way.
    Route,
    /// The router breaks over it instead.
    Break,
    /// One of the router's answers comes.
    Answer(u8),
    /// One of the router's answers is lost.
    Lose(u8),
    /// Another registrar takes over.
    Kill,
    /// The registrar breaks in the middle of what it does after the next step, and another one takes over.
    KillInside,
    /// So many milliseconds pass.
    Pass(u16),
    /// So many milliseconds pass while the registrar's thread is busy: what comes then is handled before its timer.
    Stall(u16),
}

#[derive(Debug, Clone, Copy)]
enum Judgement {
    Passes,
    Fails,
    IsLost,
}

fn steps() -> impl Generator<Value = Vec<Step>> {
    let agents = || prop::collection::vec(0..AGENTS, 0..4);
    let judgement =
        prop_oneof![4 => Just(Judgement::Passes), 1 => Just(Judgement::Fails), 1 => Just(Judgement::IsLost)];
    let time = prop_oneof![Just(0), 1..400_u16];
    let step = prop_oneof![
        5 => (agents(), 1..=5_u8, time).prop_map(|(agents, class, within)| Step::Enlist(agents, class, within)),
        2 => (agents(), 1..900_u16).prop_map(|(agents, lease)| Step::Lease(agents, lease)),
        2 => (0..AGENTS).prop_map(Step::Renew),
        1 => any::<u8>().prop_map(Step::Again),
        2 => agents().prop_map(Step::Delist),
        1 => any::<u8>().prop_map(Step::Cancel),
        4 => (any::<u8>(), judgement).prop_map(|(nth, judgement)| Step::Judge(nth, judgement)),
        5 => Just(Step::Route),
        1 => Just(Step::Break),
        5 => any::<u8>().prop_map(Step::Answer),
        1 => any::<u8>().prop_map(Step::Lose),
        1 => Just(Step::Kill),
        1 => Just(Step::KillInside),
        2 => (0..600_u16).prop_map(Step::Pass),
        1 => (0..600_u16).prop_map(Step::Stall),
    ];
    prop::collection::vec(step, 1..40)
}

#[derive(Debug, Clone)]
struct Setting {
    strategy: Strategy,
    parallel: ParallelBatches,
    /// How many validations run at once, if rules may wait, and how long each may take \[ms\], if not for ever.
    validations: Option<(usize, Option<u16>)>,
    /// How many agents there may be.
    limit: Option<usize>,
}

fn settings() -> impl Generator<Value = Setting> {
    let strategy = prop_oneof![
        Just(Strategy::ADAPTIVE),
        Just(Strategy::Streaming),
        Just(Strategy::FixedSize { size: 3, linger: Duration::from_millis(1) }),
        Just(Strategy::TimeBased { window: Duration::from_millis(300), size: 3 }),
        Just(Strategy::PRIORITY_BASED),
    ];
    let parallel = prop_oneof![
        (0..3_usize).prop_map(ParallelBatches::Fixed),
        (0..4_usize).prop_map(|max| ParallelBatches::Adaptive { max }),
    ];
    let validations = prop::option::of((1..4_usize, prop::option::of(1..300_u16)));
    let limit = prop::option::of(1..4_usize);
    (strategy, parallel, validations, limit).prop_map(|(strategy, parallel, validations, limit)| Setting {
        strategy,
        parallel,
        validations,
        limit,
    })
}

struct Seller;

impl Actor for Seller {
    type Context = Context<Self>;
}
impl Supervised for Seller {}
impl Agent for Seller {
    fn card(&self) -> Card<Self> {
        Card::new()
    }
}

/// A removal that was asked for: which requests for which agents were made before it, how many were in the model, and the
/// answer.
struct Removal {
    agents: Vec<AgentId>,
    until: u64,
    count: usize,
    answer: oneshot::Receiver<usize>,
}

/// A validation that runs as a task, which says something when it ends or is broken off.
struct Task {
    number: u64,
    abort: tokio::task::AbortHandle,
    is_aborted: bool,
}

struct World<'a> {
    cell: RegistrarCell,
    agents: &'a [AgentHandle],
    now: Timestamp,
    /// What the router was sent and has not handled.
    inbox: VecDeque<(u64, u32, Reroute)>,
    /// Whom the router leads to.
    routed: BTreeMap<AgentId, AgentHandle>,
    /// The router's answers on their way.
    answers: Vec<(u64, u32, Vec<AgentId>)>,
    tasks: Vec<Task>,
    /// What stands for tasks that run next.
    idle: Vec<tokio::task::AbortHandle>,
    is_broken_next: bool,
    made: Vec<Enlistment>,
    enlisted: Vec<(Vec<RequestId>, oneshot::Receiver<Vec<Request>>)>,
    removals: Vec<Removal>,
    cancelled: BTreeSet<RequestId>,
    limit: usize,
    /// The model: who is registered.
    registered: BTreeMap<AgentId, AgentHandle>,
    /// How long the leases of those are that have one, and when they end.
    leases: BTreeMap<AgentId, (Duration, Timestamp)>,
    ended: BTreeMap<RequestId, Request>,
}

fn is_same(one: &AgentHandle, other: &AgentHandle) -> bool {
    Arc::ptr_eq(&one.door, &other.door)
}

impl<'a> World<'a> {
    fn new(setting: &Setting, agents: &'a [AgentHandle], idle: Vec<tokio::task::AbortHandle>) -> Self {
        let mut options = RegistrarOptions {
            batcher: BatcherOptions { strategy: setting.strategy, ..BatcherOptions::default() },
            parallel_batches: setting.parallel,
            batch_timeout: Duration::from_millis(700),
            ..RegistrarOptions::default()
        };
        if let Some(most) = setting.limit {
            options.limits = Limits::default().per_kind(most);
        }
        let mut rules = Rules::none();
        if let Some((at_once, timeout)) = setting.validations {
            rules = rules.and_async(|_| async { Ok(()) }).at_once(at_once);
            if let Some(millis) = timeout {
                rules = rules.validated_within(Duration::from_millis(u64::from(millis)));
            }
        }
        Self {
            cell: RegistrarCell::new(options, rules),
            agents,
            now: Timestamp::ZERO,
            inbox: VecDeque::new(),
            routed: BTreeMap::new(),
            answers: Vec::new(),
            tasks: Vec::new(),
            idle,
            is_broken_next: false,
            made: Vec::new(),
            enlisted: Vec::new(),
            removals: Vec::new(),
            cancelled: BTreeSet::new(),
            limit: setting.limit.unwrap_or(usize::MAX),
            registered: BTreeMap::new(),
            leases: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    /// What the actor does around a change of its state.
    fn step<T>(&mut self, change: impl FnOnce(&mut State, Timestamp, &mut Effects) -> T) -> T {
        let mut effects = Effects::default();
        let result = change(&mut self.cell.lock(), self.now, &mut effects);
        self.go_on(effects);
        result
    }

    fn go_on(&mut self, mut effects: Effects) {
        loop {
            let Some(batch) = self.cell.lock().form(self.now) else { break };
            self.cell.apply_rules(batch, self.now);
            self.cell.lock().checked(batch, self.now, &mut effects);
        }
        // Those who break lose what they have not done yet; the answers are given, as a sender that is dropped says so.
        let is_broken = std::mem::take(&mut self.is_broken_next);
        let done = if is_broken { effects.sends.len() / 2 } else { effects.sends.len() };
        for number in effects.sends.into_iter().take(done) {
            if let Some((attempt, reroute)) = self.cell.lock().reroute(number) {
                self.inbox.push_back((number, attempt, reroute));
            }
        }
        let trials = self.cell.lock().wanted(effects.trials);
        let done = if is_broken { trials.len() / 2 } else { trials.len() };
        for trial in trials.into_iter().take(done) {
            let abort = self.idle.pop().expect("there are no more tasks than may be");
            self.cell.lock().runs(trial.task, abort.clone());
            self.tasks.push(Task { number: trial.task, abort, is_aborted: false });
        }
        let done = if is_broken { effects.aborts.len() / 2 } else { effects.aborts.len() };
        for abort in effects.aborts.into_iter().take(done) {
            let running = self.tasks.iter_mut().filter(|task| task.abort.id() == abort.id());
            running.for_each(|task| task.is_aborted = true);
        }
        effects.answers.into_iter().for_each(crate::registrar::waiters::Answer::give);
        self.look();
        if is_broken {
            self.kill();
        } else {
            self.look_at_tasks();
        }
    }

    /// Whoever has a place among the validations runs, and whoever runs is wanted or told to end.
    fn look_at_tasks(&self) {
        let state = self.cell.lock();
        let judging = state.judging.as_ref();
        assert_eq!(judging.map_or(0, Judging::tasks), self.tasks.len(), "tasks that run");
        for task in &self.tasks {
            let is_wanted = judging.is_some_and(|judging| judging.is_wanted(task.number));
            assert_ne!(is_wanted, task.is_aborted, "task {} runs for nobody", task.number);
        }
    }

    fn kill(&mut self) {
        let mut effects = Effects::default();
        let unchecked = self.cell.lock().resume(self.now, &mut effects);
        for batch in unchecked {
            self.cell.apply_rules(batch, self.now);
            self.cell.lock().checked(batch, self.now, &mut effects);
        }
        self.go_on(effects);
        let state = self.cell.lock();
        let on_their_way: BTreeSet<u64> =
            self.inbox.iter().map(|sent| sent.0).chain(self.answers.iter().map(|answer| answer.0)).collect();
        let under_way = state.batches.keys().chain(state.removing.as_ref().map(|removal| &removal.number));
        let forgotten: Vec<_> = under_way.filter(|number| !on_their_way.contains(number)).collect();
        assert!(forgotten.is_empty(), "{forgotten:?} are not sent again after a restart");
    }

    /// Compares with the model what there is now.
    fn look(&mut self) {
        let state = self.cell.lock();
        // Whose lease is over leaves; a timer may be late, but never early.
        let over = |(_, end): &(Duration, Timestamp)| *end <= self.now;
        let left = |agent: &AgentId| state.roster.get(agent).is_none();
        let ended: Vec<_> = self
            .leases
            .iter()
            .filter(|(agent, lease)| over(lease) && left(agent))
            .map(|(a, _)| a.clone())
            .collect();
        for agent in ended {
            self.leases.remove(&agent);
            self.registered.remove(&agent);
        }
        for made in &self.made {
            let id = made.request.id;
            let Some(request) = state.request(id).filter(|request| request.status().is_final()) else {
                continue;
            };
            let Some(first) = self.ended.get(&id) else {
                if *request.status() == Status::Completed {
                    let agent = &made.agent;
                    let route = self.routed.get(agent.id());
                    assert!(route.is_some_and(|it| is_same(it, agent)), "{id} completed without its routes");
                    let before = self.registered.insert(agent.id().clone(), agent.clone());
                    assert!(before.is_none(), "{} is registered twice", agent.id());
                    let lease = request.lease.map(|length| (length, self.now.plus(length)));
                    self.leases.extend(lease.map(|lease| (agent.id().clone(), lease)));
                }
                let is_late = request.deadline().is_some_and(|deadline| deadline <= self.now);
                assert!(!is_late || matches!(request.status(), Status::Failed(_)), "{request:?} is late");
                assert_eq!(request.ended(), Some(self.now));
                let times =
                    [Some(request.submitted), request.validating(), request.registering(), request.ended()];
                assert!(times.into_iter().flatten().is_sorted(), "{request:?}");
                self.ended.insert(id, request);
                continue;
            };
            assert_eq!(*first, request, "a request has one end");
        }
        let roster: Vec<_> = state.roster.iter().map(|member| member.id().clone()).collect();
        assert!(roster.iter().collect::<BTreeSet<_>>().into_iter().eq(self.registered.keys()), "the roster");
        assert!(self.registered.len() <= self.limit, "{} are registered", self.registered.len());
        for (id, agent) in &self.registered {
            let route = self.routed.get(id);
            assert!(route.is_some_and(|it| is_same(it, agent)), "{id} is registered and not routed");
        }
        drop(state);
        let made = &self.made;
        self.removals.retain_mut(|removal| {
            let Ok(count) = removal.answer.try_recv() else { return true };
            assert_eq!(count, removal.count, "how many were removed");
            for route in removal.agents.iter().filter_map(|id| self.routed.get(id)) {
                let later =
                    made.iter().any(|one| is_same(&one.agent, route) && one.request.id.0 > removal.until);
                assert!(later, "{} was removed and is on a route", route.id());
            }
            false
        });
        self.cell.verify().unwrap();
    }

    fn enlist(&mut self, enlistments: Vec<Enlistment>) {
        let (answer, later) = oneshot::channel();
        self.enlisted.push((enlistments.iter().map(|one| one.request.id).collect(), later));
        self.step(|state, now, effects| state.enlist(enlistments, answer, now, effects));
    }

    fn report(&mut self, nth: usize, judgement: Judgement) {
        if self.tasks.is_empty() {
            return;
        }
        let Task { number, abort, is_aborted } = self.tasks.swap_remove(nth % self.tasks.len());
        self.idle.push(abort);
        let found = match judgement {
            _ if is_aborted => None,
            Judgement::Passes => Some(Ok(())),
            Judgement::Fails => Some(Err("no licence".to_owned())),
            Judgement::IsLost => None,
        };
        if self.cell.lock().report(number, found) {
            self.step(State::advance);
        }
    }

    fn route(&mut self) {
        let Some((number, attempt, Reroute { add, remove })) = self.inbox.pop_front() else { return };
        for id in remove {
            self.routed.remove(&id);
        }
        let mut taken = Vec::new();
        for agent in add {
            let holder = self.routed.entry(agent.id().clone()).or_insert_with(|| agent.clone());
            if !is_same(holder, &agent) {
                taken.push(agent.id().clone());
            }
        }
        self.answers.push((number, attempt, taken));
    }

    fn answer(&mut self, nth: usize, is_lost: bool) {
        if self.answers.is_empty() {
            return;
        }
        let (number, attempt, taken) = self.answers.remove(nth % self.answers.len());
        let taken = if is_lost { Err(RouterLost::Retry) } else { Ok(taken) };
        self.step(|state, now, effects| state.answered(number, attempt, taken, now, effects));
    }

    fn pass(&mut self, time: Duration) {
        let target = self.now.plus(time);
        loop {
            let next = self.cell.lock().next_deadline(self.now);
            let Some(next) = next.filter(|next| *next <= target) else { break };
            self.now = self.now.max(next);
            self.step(State::advance);
        }
        self.now = target;
        let late: Vec<_> = self.leases.iter().filter(|(_, (_, end))| *end < target).collect();
        assert!(late.is_empty(), "leases that did not end: {late:?}");
    }

    fn renew(&mut self, agent: &AgentHandle) {
        let (id, now) = (agent.id().clone(), self.now);
        let holder = self.registered.get(&id);
        let generation = holder.map_or(0, |holder| u64::from(holder.generation()));
        let lease = self.leases.get(&id).copied();
        let wanted = match (holder, lease) {
            (Some(_), Some((length, end))) if end > now => Ok(now.plus(length)),
            (Some(_), None) => Err(RosterError::Unleased(id.clone())),
            _ => Err(RosterError::Unknown(id.clone())),
        };
        // What is renewed is renewed before anybody looks.
        if let (Some(lease), Ok(end)) = (self.leases.get_mut(&id), &wanted) {
            lease.1 = *end;
        }
        let renew = Renew { agent: id, generation };
        let renewed = self.step(|state, now, effects| state.renew(&renew, now, effects));
        assert_eq!(renewed, wanted);
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Enlist(which, class, within) => {
                let class = Priority::try_from(class).unwrap();
                let (cell, agents, now) = (self.cell.clone(), self.agents, self.now);
                let enlistment = |agent: &u8| {
                    let agent = &agents[usize::from(*agent)];
                    let mut request = Request::of(cell.next_request(), agent, class, now);
                    if within > 0 {
                        request = request.within(Duration::from_millis(u64::from(within)));
                    }
                    Enlistment { request, agent: agent.clone() }
                };
                let new: Vec<_> = which.iter().map(enlistment).collect();
                self.made.extend(new.iter().cloned());
                self.enlist(new);
            }
            Step::Lease(which, millis) => {
                let (cell, agents, now) = (self.cell.clone(), self.agents, self.now);
                let length = Duration::from_millis(u64::from(millis));
                let enlistment = |agent: &u8| {
                    let agent = &agents[usize::from(*agent)];
                    let request =
                        Request::of(cell.next_request(), agent, Priority::Normal, now).lease(length);
                    Enlistment { request, agent: agent.clone() }
                };
                let new: Vec<_> = which.iter().map(enlistment).collect();
                self.made.extend(new.iter().cloned());
                self.enlist(new);
            }
            Step::Renew(agent) => {
                let agent = self.agents[usize::from(agent)].clone();
                self.renew(&agent);
            }
            Step::Again(nth) => {
                let again = self.made.get(usize::from(nth) % self.made.len().max(1)).cloned();
                self.enlist(again.into_iter().collect());
            }
            Step::Delist(which) => {
                let mut agents: Vec<AgentId> =
                    which.iter().map(|agent| self.agents[usize::from(*agent)].id().clone()).collect();
                agents.sort_unstable();
                agents.dedup();
                let count = agents.iter().filter(|id| self.registered.remove(*id).is_some()).count();
                self.leases.retain(|id, _| !agents.contains(id));
                let (to, answer) = oneshot::channel();
                let until = self.made.last().map_or(0, |one| one.request.id.0);
                self.removals.push(Removal { agents: agents.clone(), until, count, answer });
                self.step(|state, now, effects| state.delist(agents.clone(), to, now, effects));
                let state = self.cell.lock();
                for made in self.made.iter().filter(|made| agents.contains(made.agent.id())) {
                    let waits = state.batcher.unbatched_request(made.request.id);
                    assert!(waits.is_none(), "{waits:?} waits after its agent was removed");
                }
            }
            Step::Cancel(nth) => {
                let Some(made) = self.made.get(usize::from(nth) % self.made.len().max(1)) else { return };
                let id = made.request.id;
                let cancelled = self.step(|state, now, effects| state.cancel(id, now, effects));
                if cancelled.is_ok() {
                    assert!(self.cancelled.insert(id), "cancelled twice");
                }
            }
            Step::Judge(nth, judgement) => self.report(usize::from(nth), judgement),
            Step::Route => self.route(),
            Step::Break => {
                if let Some((number, attempt, _)) = self.inbox.pop_front() {
                    let lost = Err(RouterLost::Retry);
                    self.step(|state, now, effects| state.answered(number, attempt, lost, now, effects));
                }
            }
            Step::Answer(nth) => self.answer(usize::from(nth), false),
            Step::Lose(nth) => self.answer(usize::from(nth), true),
            Step::Kill => self.kill(),
            Step::KillInside => self.is_broken_next = true,
            Step::Pass(millis) => self.pass(Duration::from_millis(u64::from(millis))),
            Step::Stall(millis) => self.now = self.now.plus(Duration::from_millis(u64::from(millis))),
        }
    }

    /// Lets everything end that can.
    fn finish(&mut self) {
        for _ in 0..200 {
            while !self.inbox.is_empty() || !self.answers.is_empty() || !self.tasks.is_empty() {
                self.route();
                self.answer(0, false);
                self.report(0, Judgement::Passes);
            }
            if self.cell.lock().next_deadline(self.now).is_none() && self.inbox.is_empty() {
                break;
            }
            self.pass(Duration::from_millis(100));
        }
        self.look();
        assert!(self.removals.is_empty(), "whoever removes is answered");
        assert!(self.routed.keys().eq(self.registered.keys()), "on routes are just those who are registered");
        for (ids, mut answer) in std::mem::take(&mut self.enlisted) {
            let requests = answer.try_recv().expect("whoever asks is answered");
            assert!(requests.iter().map(|request| request.id).eq(ids));
            for request in requests {
                assert_eq!(self.ended.get(&request.id), Some(&request), "the answer is what it ended in");
            }
        }
        let of = |wanted: fn(&Status) -> bool| self.ended.values().filter(|r| wanted(r.status())).count();
        let (completed, cancelled) =
            (of(|status| *status == Status::Completed), of(|status| *status == Status::Cancelled));
        assert_eq!(self.ended.len(), self.made.len(), "every request ends");
        let status = self.cell.lock().status(self.now);
        let counted =
            [status.completed, status.cancelled, status.failed].map(|count| usize::try_from(count).unwrap());
        assert_eq!(counted, [completed, cancelled, self.made.len() - completed - cancelled]);
        assert_eq!(cancelled, self.cancelled.len());
        assert_eq!((status.waiting, status.validating, status.in_flight), (0, 0, 0));
        assert!(self.cell.lock().next_deadline(self.now).is_none(), "nothing is left to be done");
        self.look_at_tasks();
    }
}

fn play(setting: &Setting, steps: Vec<Step>, agents: &[AgentHandle]) {
    let at_once = setting.validations.map_or(0, |(at_once, _)| at_once);
    let idle = (0..at_once).map(|_| actix_rt::spawn(std::future::pending::<()>()).abort_handle()).collect();
    let mut world = World::new(setting, agents, idle);
    for step in steps {
        world.play(step);
    }
    world.finish();
}

/// Starts the agents and does something with them.
fn with_agents(test: impl FnOnce(&[AgentHandle])) {
    paused(async move {
        let arbiters = Arbiters::start(ArbitersConfig::Here, HubConfig::default()).await;
        let mut agents = Vec::new();
        for agent in 0..AGENTS {
            let id = AgentId::new(format!("seller/{}", agent / 2)).unwrap();
            agents.push(arbiters.spawn(id, |_| Seller, SpawnOptions::default()).await.unwrap().handle());
        }
        test(&agents);
    });
}

#[test]
fn every_request_ends_once_and_nothing_is_registered_twice_lost_or_routed_too_late() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20_000);
    with_agents(|agents| {
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let ran = TestRunner::new(config).run(&(settings(), steps()), |(setting, steps)| {
            play(&setting, steps, agents);
            Ok(())
        });
        ran.unwrap_or_else(|failed| panic!("{failed}"));
    });
}

#[test]
fn a_batch_that_is_sent_again_takes_no_routes_from_who_has_the_id_of_one_it_gave_up() {
    let strategy = Strategy::FixedSize { size: 2, linger: Duration::from_millis(1) };
    let setting = Setting { strategy, parallel: ParallelBatches::Fixed(3), validations: None, limit: None };
    let steps = vec![
        Step::Enlist(vec![0], 2, 0),
        Step::Pass(1),
        Step::Route,
        Step::Answer(0),
        Step::Delist(vec![0]),
        // With a batch that takes the first one's routes away, and that the router breaks over.
        Step::Enlist(vec![1], 2, 5),
        Step::Enlist(vec![2], 2, 0),
        Step::Route,
        Step::Answer(0),
        Step::Break,
        // It waits to be sent again when its first request is given up.
        Step::Pass(5),
        Step::Enlist(vec![0], 2, 0),
        Step::Pass(1),
        Step::Route,
        Step::Route,
        Step::Answer(0),
        Step::Answer(0),
        Step::Pass(10),
        Step::Route,
        Step::Answer(0),
    ];
    with_agents(|agents| play(&setting, steps, agents));
}

#[test]
fn a_validation_that_is_begun_and_given_up_in_one_step_keeps_no_place() {
    let setting = Setting {
        strategy: Strategy::Streaming,
        parallel: ParallelBatches::Fixed(3),
        validations: Some((1, None)),
        limit: None,
    };
    // The verdict on the first and the end of the second's time come while the registrar's thread is busy.
    let steps = vec![
        Step::Enlist(vec![0], 2, 0),
        Step::Enlist(vec![2], 2, 100),
        Step::Enlist(vec![4], 2, 0),
        Step::Stall(150),
        Step::Judge(0, Judgement::Passes),
    ];
    with_agents(|agents| play(&setting, steps, agents));
}

#[test]
fn batches_that_are_refused_whole_say_nothing_of_how_long_batches_take() {
    with_agents(|agents| {
        let setting = Setting {
            strategy: Strategy::ADAPTIVE,
            parallel: ParallelBatches::Adaptive { max: 4 },
            validations: None,
            limit: None,
        };
        let mut world = World::new(&setting, agents, Vec::new());
        for step in [Step::Enlist(vec![0], 2, 0), Step::Pass(3), Step::Route, Step::Answer(0)] {
            world.play(step);
        }
        let told = |world: &World<'_>| {
            let state = world.cell.lock();
            (state.batcher.batch_size(), state.parallelism.latency(), state.settled)
        };
        let before = told(&world);
        assert_eq!((before.1, before.2), (Duration::from_millis(3), Timestamp::ZERO.plus(before.1)));
        for _ in 0..20 {
            world.play(Step::Enlist(vec![1; before.0], 2, 0));
            world.play(Step::Pass(1));
        }
        assert_eq!(world.cell.lock().status(world.now).failed, 20 * before.0 as u64);
        assert_eq!(told(&world), before);
    });
}

#[test]
fn a_removal_is_answered_when_the_batch_that_took_it_over_has_made_it() {
    let setting = Setting {
        strategy: Strategy::Streaming,
        parallel: ParallelBatches::Fixed(3),
        validations: None,
        limit: None,
    };
    let steps = vec![
        Step::Enlist(vec![0, 2], 2, 0),
        Step::Route,
        Step::Route,
        Step::Answer(0),
        Step::Answer(0),
        // The second removal waits for the first, and its agent's id is taken by another one meanwhile.
        Step::Delist(vec![2]),
        Step::Delist(vec![0]),
        Step::Enlist(vec![1], 2, 0),
        // The router handles the first and breaks over the batch; the second removal has nothing left to remove.
        Step::Route,
        Step::Break,
        Step::Answer(0),
        Step::Route,
        Step::Answer(0),
        Step::Pass(10),
        Step::Route,
        Step::Answer(0),
    ];
    with_agents(|agents| play(&setting, steps, agents));
}
