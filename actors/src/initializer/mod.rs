//! Start-up in phases: the actor that runs the bodies of start-up tasks as their plan allows.
//!
//! ```text
//! StartUp --> Plan (checked) --> Startup (state machine) --effects--> bodies, spawned outside the actor
//!                                   ^                                   |
//!                                   +------ results, as messages -------+      events --> sink, subscribers
//! ```
//!
//! Owns one run of start-up at a time: its state machine, the bodies that run, who waits for the report. Never waits
//! inside a handler, never runs a body inside itself, and knows no other actor.
//!
//! **Invariant.** Every accepted [`StartUp`] is answered once, when its last task has ended. A body that panics fails
//! its own attempt only. A result counts only for the attempt it belongs to.
//!
//! **Restart.** All that matters lives in the [`SharedStartup`] given to the constructor: plan, running bodies,
//! unperformed effects, results that came in between, subscribers, open answers. A new instance on the same cell takes
//! over in `started()`: it performs what was left, collects results, and sets its timer. Bodies run on meanwhile. Lost
//! is at most the one event whose sink panicked.

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::Pin,
    rc::{Rc, Weak},
    sync::Arc,
};

use actix::{
    Actor, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture, SpawnHandle, Supervised,
    WeakAddr, prelude::SendError,
};
use rustc_hash::FxHashMap;
use serde_json::Value;
use tokio::{sync::oneshot, task::AbortHandle};

use crate::{
    agent::{Agent, Card, TaskId, Timestamp},
    support::panic_text,
};

mod estimates;
mod event;
mod fault;
mod options;
mod plan;
mod refine;
mod report;
mod resources;
mod schedule;
mod slots;
mod startup;
mod task;
pub use estimates::Estimates;
pub use event::{
    CriticalStep, Held, PhaseReport, StartupEvent, StartupFault, StartupOutcome, StartupReport,
    StartupStatus, StartupTaskReport,
};
pub use fault::{PlanError, PlanErrors};
pub use options::{PhaseMode, StartupEffect, StartupOptions};
pub use plan::Plan;
pub use resources::Resources;
pub use schedule::{Schedule, Slice};
pub use startup::Startup;
pub use task::{DependencyType, Phase, StartupTask};

/// What a body is told.
#[derive(Debug, Clone)]
pub struct BodyContext {
    /// Its task.
    pub task: TaskId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the attempt will be given up.
    pub deadline: Option<Timestamp>,
    /// What the completed tasks before it returned, in the order the task names them.
    pub inputs: Vec<(TaskId, Arc<Value>)>,
}

/// A body at work.
pub type BodyFuture = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// What a start-up task does: called anew for every attempt. When the attempt is given up, its future is dropped at
/// its next await.
pub type Body = Arc<dyn Fn(BodyContext) -> BodyFuture + Send + Sync>;

/// Carries out start-up tasks; answered when the last one has ended.
#[derive(Message)]
#[rtype(result = "Result<StartupReport, StartUpError>")]
pub struct StartUp {
    /// The tasks and what they do.
    pub tasks: Vec<(StartupTask, Body)>,
    /// How they are carried out.
    pub options: StartupOptions,
}

/// Asks how start-up stands, or how it ended; `None` before the first.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<StartupReport>")]
pub struct QueryStartup;

/// Asks how one start-up task stands; `None` if there is no such task.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<StartupTaskReport>")]
pub struct QueryStartupTask(pub TaskId);

/// Ends start-up; `false` if none runs.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct CancelStartUp;

/// Asks for [`StartupProgress`] from now on, for this and later runs.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SubscribeStartup(pub Recipient<StartupProgress>);

/// Something happened during start-up. A subscriber whose mailbox is full misses some, but never the end of a run.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct StartupProgress {
    /// How many tasks have ended.
    pub ended: usize,
    /// How many tasks there are.
    pub tasks: usize,
    /// How many messages this subscriber missed so far.
    pub missed: u64,
    /// What happened.
    pub event: StartupEvent,
}

/// Results are waiting in the shared state.
#[derive(Message)]
#[rtype(result = "()")]
struct Collect;

/// Why there is no report of a start-up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartUpError {
    /// The tasks do not fit together. Permanent.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// Another run has not ended. Transient.
    #[error("start-up is running already: wait for its end or cancel it first")]
    Busy,
    /// The state of the run was dropped before it ended. Permanent.
    #[error("start-up was abandoned before it ended: the host has shut down")]
    Abandoned,
}

/// How one attempt of a body went.
struct BodyEnded {
    run: u64,
    task: usize,
    attempt: u32,
    result: Result<Value, String>,
}

/// One run of start-up.
struct Run {
    startup: Startup,
    bodies: Vec<Body>,
    running: FxHashMap<usize, AbortHandle>,
    reply: Option<oneshot::Sender<StartupReport>>,
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
    ended: VecDeque<BodyEnded>,
    subscribers: Vec<Subscriber>,
    address: Option<WeakAddr<Initializer>>,
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

    /// Takes in results, performs all effects, answers when all has ended, and sets the timer.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        loop {
            self.collect();
            let Some(effect) = self.state.borrow_mut().outbox.pop_front() else { break };
            match effect {
                StartupEffect::Run { task, attempt, deadline } => self.run_body(task, attempt, deadline),
                StartupEffect::Abort { task, .. } => {
                    let mut state = self.state.borrow_mut();
                    if let Some(body) = state.run.as_mut().and_then(|run| run.running.remove(&task)) {
                        body.abort();
                    }
                }
                StartupEffect::Event(event) => self.tell(event),
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
        let now = (self.now)();
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let Some(run) = &mut state.run else { return };
        let mut effects = Vec::new();
        for BodyEnded { run: number, task, attempt, result } in state.ended.drain(..) {
            if number == state.runs && run.startup.attempt_ended(task, attempt, result, now, &mut effects) {
                run.running.remove(&task);
            }
        }
        state.outbox.extend(effects);
    }

    fn step(
        &mut self,
        ctx: &mut Context<Self>,
        change: impl FnOnce(&mut Startup, Timestamp, &mut Vec<StartupEffect>),
    ) {
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

    /// Spawns one attempt outside the actor; its end goes into the shared state, whichever instance lives then.
    fn run_body(&self, task: usize, attempt: u32, deadline: Option<Timestamp>) {
        let mut state = self.state.borrow_mut();
        let number = state.runs;
        let Some(run) = &mut state.run else { return };
        let body = run.bodies[task].clone();
        let context = BodyContext {
            task: run.startup.plan().tasks()[task].id.clone(),
            attempt,
            deadline,
            inputs: run.startup.inputs(task),
        };
        let body = tokio::spawn(async move { body(context).await });
        run.running.insert(task, body.abort_handle());
        let shared: Weak<RefCell<StartupState>> = Rc::downgrade(&self.state);
        actix_rt::spawn(async move {
            let result = match body.await {
                Ok(result) => result,
                Err(ended) if ended.is_cancelled() => return,
                Err(ended) => Err(format!("body panicked: {}", panic_text(&*ended.into_panic()))),
            };
            let Some(shared) = shared.upgrade() else { return };
            let mut state = shared.borrow_mut();
            state.ended.push_back(BodyEnded { run: number, task, attempt, result });
            let address = state.address.as_ref().and_then(WeakAddr::upgrade);
            drop(state);
            if let Some(address) = address {
                address.do_send(Collect);
            }
        });
    }

    /// Tells the sink and the subscribers.
    fn tell(&self, event: StartupEvent) {
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
        let open = |run: &Run| run.startup.outcome().is_none() || run.reply.is_some();
        if self.state.borrow().run.as_ref().is_some_and(open) {
            return Box::pin(std::future::ready(Err(StartUpError::Busy)));
        }
        let (tasks, bodies): (Vec<_>, Vec<_>) = asked.tasks.into_iter().unzip();
        let plan = match Plan::with_resources(tasks, &asked.options.resources) {
            Ok(plan) => plan.refined(&asked.options),
            Err(errors) => return Box::pin(std::future::ready(Err(errors.into()))),
        };
        let (reply, report) = oneshot::channel();
        let mut effects = Vec::new();
        let startup = Startup::begin(plan, asked.options, (self.now)(), &mut effects);
        let mut state = self.state.borrow_mut();
        state.runs += 1;
        state.run = Some(Run { startup, bodies, running: FxHashMap::default(), reply: Some(reply) });
        state.outbox.extend(effects);
        drop(state);
        self.settle(ctx);
        Box::pin(async move { report.await.map_err(|_| StartUpError::Abandoned) })
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
        let open = |run: &Run| run.startup.outcome().is_none();
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
