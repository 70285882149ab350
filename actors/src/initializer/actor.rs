//! [`Initializer`]: the actor that runs the bodies of start-up tasks. See [`crate::initializer`] for what it owns and keeps.

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::pin,
    rc::{Rc, Weak},
    task::{Context as Polling, Poll, Waker},
};

use actix::{
    Actor, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture, SpawnHandle, Supervised,
    WeakAddr, prelude::SendError,
};
use rustc_hash::FxHashMap;
use serde_json::Value;
use tokio::{sync::oneshot, task::AbortHandle};

use crate::agent::{Agent, Card, Timestamp};

use super::{
    AwaitReady, Body, BodyContext, CancelStartUp, NotReady, Plan, QueryStartup, QueryStartupTask, Readiness,
    ReadyOf, StartUp, StartUpError, Startup, StartupBody, StartupEffect, StartupEvent, StartupProgress,
    StartupReport, StartupStatus, StartupTaskReport, SubscribeStartup, Undo, UndoContext,
    body::{Guarded, panicked},
};

/// How many effects are performed before others of the arbiter have their turn.
const TURN: usize = 4_096;

/// Results are waiting in the shared state.
#[derive(Message)]
#[rtype(result = "()")]
struct Collect;

/// How one attempt went.
enum Ended {
    Body(Result<Value, String>),
    Undo(Result<(), String>),
}

/// Which attempt ended, and how.
struct AttemptEnded {
    run: u64,
    task: usize,
    attempt: u32,
    how: Ended,
}

type Waiting = oneshot::Sender<Result<Timestamp, NotReady>>;

/// One run of start-up.
struct Run {
    startup: Startup,
    bodies: Vec<Body>,
    undos: FxHashMap<usize, Undo>,
    running: FxHashMap<usize, AbortHandle>,
    reply: Option<oneshot::Sender<StartupReport>>,
    waiting: FxHashMap<ReadyOf, Vec<Waiting>>,
}

impl Run {
    /// Whether another run has to wait.
    fn is_open(&self) -> bool {
        self.startup.is_under_way() || self.reply.is_some()
    }

    /// Answers those who wait for what an event may have made ready, or impossible.
    fn answer_waiting(&mut self, event: &StartupEvent) {
        if self.waiting.is_empty() {
            return;
        }
        match event {
            StartupEvent::TaskEnded { task, status, .. } => {
                self.answer(&ReadyOf::Task(task.clone()));
                if *status != StartupStatus::Completed
                    && let Some(at) = self.startup.plan().position(task.as_str())
                {
                    self.answer(&ReadyOf::Phase(self.startup.plan().tasks()[at].phase));
                    self.answer(&ReadyOf::All);
                }
            }
            StartupEvent::PhaseReady { phase, .. } => self.answer(&ReadyOf::Phase(*phase)),
            StartupEvent::BecameReady { .. } => self.answer(&ReadyOf::All),
            StartupEvent::RollbackBegan { .. } | StartupEvent::StartupEnded { .. } => {
                for of in self.waiting.keys().cloned().collect::<Vec<_>>() {
                    self.answer(&of);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, of: &ReadyOf) {
        if !self.waiting.contains_key(of) {
            return;
        }
        let answer = match self.startup.readiness(of) {
            Readiness::NotYet => return,
            Readiness::Ready(since) => Ok(since),
            Readiness::Never(why) => Err(why),
        };
        for waiting in self.waiting.remove(of).into_iter().flatten() {
            // Whoever asked may have gone.
            _ = waiting.send(answer.clone());
        }
    }
}

struct Subscriber {
    recipient: Recipient<StartupProgress>,
    missed: u64,
}

/// All that an [`Initializer`] must not lose when it is rebuilt.
#[derive(Default)]
pub struct StartupState {
    /// How many runs there were.
    runs: u64,
    run: Option<Run>,
    outbox: VecDeque<StartupEffect>,
    ended: VecDeque<AttemptEnded>,
    /// Effects between the state machine and the outbox; empty between calls.
    effects: Vec<StartupEffect>,
    subscribers: Vec<Subscriber>,
    address: Option<WeakAddr<Initializer>>,
}

impl StartupState {
    /// Puts effects behind those that are to be performed.
    fn hand_over(&mut self) {
        if self.outbox.is_empty() {
            // Both keep their memory, and nothing is copied.
            let emptied = std::mem::replace(&mut self.outbox, std::mem::take(&mut self.effects).into());
            self.effects = emptied.into();
        } else {
            self.outbox.extend(self.effects.drain(..));
        }
    }
}

/// The state shared by all incarnations of one initializer; it stays on one arbiter.
pub type SharedStartup = Rc<RefCell<StartupState>>;

/// The actor that carries out start-up.
pub struct Initializer {
    state: SharedStartup,
    now: Rc<dyn Fn() -> Timestamp>,
    events: Rc<dyn Fn(StartupEvent)>,
    timer: Option<(Timestamp, SpawnHandle)>,
}

impl Initializer {
    /// An initializer on a state, with the host's clock and a sink for events.
    pub fn new(
        state: SharedStartup,
        now: Rc<dyn Fn() -> Timestamp>,
        events: Rc<dyn Fn(StartupEvent)>,
    ) -> Self {
        Self { state, now, events, timer: None }
    }

    /// Takes in results, performs effects, answers when all has ended, and sets the timer.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        let mut left = TURN;
        loop {
            let next = self.state.borrow_mut().outbox.pop_front();
            // What ended meanwhile is heard together, once all that came of earlier ends is done.
            let Some(effect) = next.or_else(|| {
                self.collect();
                self.state.borrow_mut().outbox.pop_front()
            }) else {
                break;
            };
            match effect {
                StartupEffect::Run { task, attempt, deadline } => self.run_body(task, attempt, deadline),
                StartupEffect::Undo { task, attempt, deadline } => self.run_undo(task, attempt, deadline),
                StartupEffect::Abort { task, .. } => {
                    let mut state = self.state.borrow_mut();
                    if let Some(body) = state.run.as_mut().and_then(|run| run.running.remove(&task)) {
                        body.abort();
                    }
                }
                StartupEffect::Event(event) => self.tell(event),
            }
            left -= 1;
            if left == 0 {
                // A message sent at once would be handled before anything else has its turn.
                let address = ctx.address();
                actix_rt::spawn(async move { address.do_send(Collect) });
                return;
            }
        }
        let mut state = self.state.borrow_mut();
        let Some(run) = &mut state.run else { return };
        if run.startup.outcome().is_some()
            && let Some(reply) = run.reply.take()
        {
            // The one who asked may have gone; the report can still be queried.
            _ = reply.send(run.startup.report());
        }
        let due = run.startup.next_deadline();
        drop(state);
        self.set_timer(due, ctx);
    }

    /// Feeds results that came in to the state machine.
    fn collect(&mut self) {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        if state.ended.is_empty() {
            return;
        }
        let Some(run) = &mut state.run else { return };
        let now = (self.now)();
        for AttemptEnded { run: number, task, attempt, how } in state.ended.drain(..) {
            if number != state.runs {
                continue;
            }
            let counts = match how {
                Ended::Body(result) => {
                    run.startup.attempt_ended(task, attempt, result, now, &mut state.effects)
                }
                Ended::Undo(result) => run.startup.undo_ended(task, attempt, result, now, &mut state.effects),
            };
            if counts {
                run.running.remove(&task);
            }
        }
        state.hand_over();
    }

    fn step(
        &mut self,
        ctx: &mut Context<Self>,
        change: impl FnOnce(&mut Startup, Timestamp, &mut Vec<StartupEffect>),
    ) {
        // What has ended by now has ended before the change.
        self.collect();
        let now = (self.now)();
        let mut effects = Vec::new();
        let mut state = self.state.borrow_mut();
        if let Some(run) = &mut state.run {
            change(&mut run.startup, now, &mut effects);
        }
        state.outbox.extend(effects);
        drop(state);
        self.settle(ctx);
    }

    fn run_body(&self, task: usize, attempt: u32, deadline: Option<Timestamp>) {
        let state = self.state.borrow();
        let Some(run) = &state.run else { return };
        let body = run.bodies[task].clone();
        let context = BodyContext {
            task: run.startup.plan().tasks()[task].id.clone(),
            attempt,
            deadline,
            inputs: run.startup.inputs(task),
        };
        drop(state);
        self.run(task, attempt, Guarded::new(|| body(context)), Ended::Body);
    }

    fn run_undo(&self, task: usize, attempt: u32, deadline: Option<Timestamp>) {
        let state = self.state.borrow();
        let Some(run) = &state.run else { return };
        let Some(undo) = run.undos.get(&task).cloned() else { return };
        let context = UndoContext {
            task: run.startup.plan().tasks()[task].id.clone(),
            attempt,
            deadline,
            result: run.startup.result(task).unwrap_or_default(),
        };
        drop(state);
        self.run(task, attempt, Guarded::new(|| undo(context)), Ended::Undo);
    }

    /// Runs one attempt outside of the actor, unless it ends at once; its end goes into the shared state, whichever instance
    /// lives then.
    fn run<T: 'static>(
        &self,
        task: usize,
        attempt: u32,
        mut work: Guarded<T>,
        how: fn(Result<T, String>) -> Ended,
    ) {
        let number = self.state.borrow().runs;
        if let Poll::Ready(result) = pin!(&mut work).poll(&mut Polling::from_waker(Waker::noop())) {
            let ended = AttemptEnded { run: number, task, attempt, how: how(result) };
            self.state.borrow_mut().ended.push_back(ended);
            return;
        }
        let work = actix_rt::spawn(work);
        if let Some(run) = &mut self.state.borrow_mut().run {
            run.running.insert(task, work.abort_handle());
        }
        let shared: Weak<RefCell<StartupState>> = Rc::downgrade(&self.state);
        actix_rt::spawn(async move {
            let result = match work.await {
                Ok(result) => result,
                Err(ended) if ended.is_cancelled() => return,
                // A panic of its own is a result already; this one is of what it left behind.
                Err(ended) => Err(panicked(&*ended.into_panic())),
            };
            let Some(shared) = shared.upgrade() else { return };
            let mut state = shared.borrow_mut();
            state.ended.push_back(AttemptEnded { run: number, task, attempt, how: how(result) });
            let address = state.address.as_ref().and_then(WeakAddr::upgrade);
            drop(state);
            if let Some(address) = address {
                address.do_send(Collect);
            }
        });
    }

    /// Tells the sink, the subscribers, and those who wait for what has happened.
    fn tell(&self, event: StartupEvent) {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        if let Some(run) = &mut state.run {
            run.answer_waiting(&event);
        }
        if state.subscribers.is_empty() {
            drop(guard);
            return (self.events)(event);
        }
        drop(guard);
        (self.events)(event.clone());
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let Some((ended, tasks)) = state.run.as_ref().map(|run| run.startup.progress()) else { return };
        let last = matches!(event, StartupEvent::StartupEnded { .. });
        state.subscribers.retain_mut(|subscriber| {
            if last {
                let missed = subscriber.missed;
                subscriber.recipient.do_send(StartupProgress { ended, tasks, missed, event: event.clone() });
                return subscriber.recipient.connected();
            }
            let progress = StartupProgress { ended, tasks, missed: subscriber.missed, event: event.clone() };
            match subscriber.recipient.try_send(progress) {
                Err(SendError::Closed(_)) => return false,
                Err(SendError::Full(_)) => subscriber.missed += 1,
                Ok(()) => {}
            }
            true
        });
    }

    fn set_timer(&mut self, due: Option<Timestamp>, ctx: &mut Context<Self>) {
        if self.timer.map(|(set, _)| set) == due {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        if let Some(due) = due {
            let handle = ctx.run_later(due.since((self.now)()), |actor, ctx| {
                actor.timer = None;
                actor.step(ctx, Startup::advance);
            });
            self.timer = Some((due, handle));
        }
    }
}

impl Actor for Initializer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.state.borrow_mut().address = Some(ctx.address().downgrade());
        self.settle(ctx);
    }
}

impl Supervised for Initializer {
    /// The context dropped its timers; `started()` sets them again, on whichever instance it is called.
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.timer = None;
    }
}

impl Agent for Initializer {
    fn card(&self) -> Card<Self> {
        Card::new()
    }
}

impl Handler<StartUp> for Initializer {
    type Result = ResponseFuture<Result<StartupReport, StartUpError>>;

    fn handle(&mut self, asked: StartUp, ctx: &mut Context<Self>) -> Self::Result {
        if self.state.borrow().run.as_ref().is_some_and(Run::is_open) {
            return Box::pin(std::future::ready(Err(StartUpError::Busy)));
        }
        let (plan, bodies) = match Plan::of(asked.tasks, &asked.options.resources) {
            Ok(planned) => planned,
            Err(errors) => return Box::pin(std::future::ready(Err(errors.into()))),
        };
        let mut plan = plan.refined(&asked.options);
        let mut undos = FxHashMap::default();
        let take = |(at, StartupBody { body, undo }): (usize, StartupBody)| {
            undos.extend(undo.map(|undo| (at, undo)));
            body
        };
        let bodies: Vec<Body> = bodies.into_iter().enumerate().map(take).collect();
        for at in undos.keys() {
            plan.set_reversible(*at);
        }
        let (reply, report) = oneshot::channel();
        let mut effects = Vec::new();
        let startup = Startup::begin(plan, asked.options, (self.now)(), &mut effects);
        let mut state = self.state.borrow_mut();
        state.runs += 1;
        state.run = Some(Run {
            startup,
            bodies,
            undos,
            running: FxHashMap::default(),
            reply: Some(reply),
            waiting: FxHashMap::default(),
        });
        state.outbox.extend(effects);
        drop(state);
        self.settle(ctx);
        Box::pin(async move { report.await.map_err(|_| StartUpError::Abandoned) })
    }
}

impl Handler<AwaitReady> for Initializer {
    type Result = ResponseFuture<Result<Timestamp, NotReady>>;

    fn handle(&mut self, AwaitReady(of): AwaitReady, ctx: &mut Context<Self>) -> Self::Result {
        let (waiting, answer) = oneshot::channel();
        let mut state = self.state.borrow_mut();
        let Some(run) = &mut state.run else {
            return Box::pin(std::future::ready(Err(NotReady::NotBegun(of))));
        };
        run.waiting.entry(of.clone()).or_default().push(waiting);
        run.answer(&of);
        let lazy = match &of {
            ReadyOf::Task(task) => run.startup.plan().position(task.as_str()),
            _ => None,
        };
        drop(state);
        if let Some(task) = lazy {
            self.step(ctx, |startup, now, effects| startup.wake(task, now, effects));
        }
        Box::pin(async move { answer.await.unwrap_or(Err(NotReady::Abandoned(of))) })
    }
}

impl Handler<Collect> for Initializer {
    type Result = ();

    fn handle(&mut self, _: Collect, ctx: &mut Context<Self>) {
        self.settle(ctx);
    }
}

impl Handler<CancelStartUp> for Initializer {
    type Result = bool;

    fn handle(&mut self, _: CancelStartUp, ctx: &mut Context<Self>) -> bool {
        let open = |run: &Run| run.startup.is_under_way();
        let running = self.state.borrow().run.as_ref().is_some_and(open);
        self.step(ctx, Startup::cancel);
        running
    }
}

impl Handler<QueryStartup> for Initializer {
    type Result = Option<StartupReport>;

    fn handle(&mut self, _: QueryStartup, _: &mut Context<Self>) -> Option<StartupReport> {
        self.state.borrow().run.as_ref().map(|run| run.startup.report())
    }
}

impl Handler<QueryStartupTask> for Initializer {
    type Result = Option<StartupTaskReport>;

    fn handle(&mut self, asked: QueryStartupTask, _: &mut Context<Self>) -> Option<StartupTaskReport> {
        self.state.borrow().run.as_ref().and_then(|run| run.startup.task_report(&asked.0))
    }
}

impl Handler<SubscribeStartup> for Initializer {
    type Result = ();

    fn handle(&mut self, asked: SubscribeStartup, _: &mut Context<Self>) {
        self.state.borrow_mut().subscribers.push(Subscriber { recipient: asked.0, missed: 0 });
    }
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
