//! Who does what, when: the actor that shares out tasks to agents by capability and load.
//!
//! ```text
//! Submit, CancelTask --> TaskGraph (state machine) --assign, cancel--> Worker of each agent
//! Enroll, Withdraw --->     ^                                             |
//!                           +------------ TaskEnded, TasksEnded ----------+     events --> sink, subscribers
//! ```
//!
//! Owns the task graph, the way to each enrolled agent and those who wait for ends. Never does a task, never waits
//! inside a handler, and knows neither mailboxes nor inboxes: a [`Worker`] delivers as it sees fit.
//!
//! **Invariant.** Every task ends exactly once and everyone who awaits it is answered; every assignment that is not
//! answered in time is recalled and repeated or given up, and takes its slot until its agent lets go; an ended task is
//! forgotten only after all who waited for it were answered; see [`TaskGraph`] for the rest.
//!
//! **Restart.** All that matters lives in the [`SharedTasks`] given to the constructor: graph, workers, unperformed
//! effects, open answers, subscribers. A new instance on the same cell takes over in `started()`: it performs what was
//! left and sets its timer. Lost is at most the one effect whose performing panicked: an event, or an assignment,
//! which then runs into its deadline and is repeated.

use std::{
    cell::RefCell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
};

use actix::{
    Actor, AsyncContext, Context, Handler, Recipient, ResponseFuture, SpawnHandle, Supervised,
    prelude::SendError,
};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::{
    agent::{Agent, AgentId, Card, TaskId, Timestamp},
    support::panic_text,
};

mod attempts;
mod event;
mod graph;
mod message;
#[cfg(test)]
mod model_tests;
mod options;
mod pool;
mod read;
mod record;
mod store;
mod submit;
mod task;
mod work;
pub use attempts::EnrollError;
pub use event::{Effect, TaskEvent, TaskMetrics, TaskReport};
pub use graph::TaskGraph;
pub use message::{
    AwaitAll, AwaitError, AwaitTask, CancelAll, CancelTask, Enroll, ForgetTasks, QueryTask, QueryTasks,
    Refused, Submit, SubscribeTasks, TaskEnded, TaskProgress, TaskTotals, TasksEnded, UnknownTask, Withdraw,
    Worker,
};
pub use options::{GraphOptions, Unserved};
pub use submit::{SubmitError, SubmitErrors};
pub use task::{Assignment, TaskDetails, TaskFault, TaskSpec, TaskState, TaskType};
pub use tokio_util::sync::CancellationToken;
pub use work::{InboxWorker, Work};

struct Subscriber {
    recipient: Recipient<TaskProgress>,
    missed: u64,
}

/// All that a [`Coordinator`] must not lose when it is rebuilt.
#[derive(Default)]
pub struct TasksState {
    graph: TaskGraph,
    workers: FxHashMap<AgentId, Arc<dyn Worker>>,
    outbox: VecDeque<Effect>,
    awaited: FxHashMap<TaskId, Vec<oneshot::Sender<TaskReport>>>,
    all_awaited: Vec<oneshot::Sender<TaskTotals>>,
    subscribers: Vec<Subscriber>,
    /// Whether something was told since the subscribers last heard.
    news: bool,
}

impl TasksState {
    /// A state without tasks.
    pub fn new(options: GraphOptions) -> Self {
        Self { graph: TaskGraph::new(options), ..Self::default() }
    }

    /// The tasks, to look at.
    pub fn graph(&self) -> &TaskGraph {
        &self.graph
    }
}

/// The state shared by all incarnations of one coordinator; it stays on one arbiter.
pub type SharedTasks = Rc<RefCell<TasksState>>;

/// The actor that shares out tasks.
pub struct Coordinator {
    state: SharedTasks,
    now: Rc<dyn Fn() -> Timestamp>,
    events: Rc<dyn Fn(TaskEvent)>,
    timer: Option<(Timestamp, SpawnHandle)>,
}

impl Coordinator {
    /// A coordinator on a state, with the host's clock and a sink for events.
    pub fn new(state: SharedTasks, now: Rc<dyn Fn() -> Timestamp>, events: Rc<dyn Fn(TaskEvent)>) -> Self {
        Self { state, now, events, timer: None }
    }

    /// Changes the graph and performs what comes of it.
    fn step<T>(
        &mut self,
        ctx: &mut Context<Self>,
        change: impl FnOnce(&mut TasksState, Timestamp, &mut Vec<Effect>) -> T,
    ) -> T {
        let result = self.change(change);
        self.settle(ctx);
        result
    }

    fn change<T>(&self, change: impl FnOnce(&mut TasksState, Timestamp, &mut Vec<Effect>) -> T) -> T {
        let now = (self.now)();
        let mut effects = Vec::new();
        let mut state = self.state.borrow_mut();
        let result = change(&mut state, now, &mut effects);
        state.outbox.extend(effects);
        result
    }

    /// Performs all effects, answers those who waited, and sets the timer.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        loop {
            let Some(effect) = self.state.borrow_mut().outbox.pop_front() else { break };
            match effect {
                Effect::Dispatch(assignment) => self.assign(*assignment),
                Effect::Recall { cancellation, .. } => cancellation.cancel(),
                Effect::Event(event) => self.tell(event),
            }
        }
        let at = (self.now)();
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let totals = TaskTotals { at, metrics: state.graph.metrics() };
        if state.graph.open() == 0 {
            for waiting in state.all_awaited.drain(..) {
                _ = waiting.send(totals);
            }
        }
        if std::mem::take(&mut state.news) {
            state.subscribers.retain_mut(|subscriber| subscriber.hear(totals));
        }
        // Whoever waited has been answered.
        state.graph.trim();
        let due = state.graph.next_deadline();
        drop(guard);
        self.set_timer(due, ctx);
    }

    fn assign(&self, assignment: Assignment) {
        let (task, agent, attempt) = (assignment.task.clone(), assignment.agent.clone(), assignment.attempt);
        let worker = self.state.borrow().workers.get(&agent).cloned();
        let taken = match worker {
            Some(worker) => catch_unwind(AssertUnwindSafe(|| worker.assign(assignment))),
            None => Ok(Err(Refused::Gone)),
        };
        self.change(|state, now, effects| match taken {
            Ok(Ok(())) => {}
            Ok(Err(Refused::Busy)) => _ = state.graph.attempt_refused(&task, attempt, now, effects),
            Ok(Err(Refused::Gone)) => {
                state.workers.remove(&agent);
                state.graph.withdraw(&agent, now, effects);
            }
            Err(panic) => {
                let error = format!("worker of agent {agent} panicked: {}", panic_text(&*panic));
                state.graph.attempt_ended(&task, attempt, Err(error), now, effects);
            }
        });
    }

    fn tell(&self, event: TaskEvent) {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        state.news = true;
        if let TaskEvent::TaskEnded { task, .. } = &event
            && let Some(waiting) = state.awaited.remove(task)
            && let Some(report) = state.graph.report(task)
        {
            for waiting in waiting {
                // The one who waited may have gone.
                _ = waiting.send(report.clone());
            }
        }
        drop(guard);
        (self.events)(event);
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
                actor.step(ctx, |state, now, effects| state.graph.advance(now, effects));
            });
            self.timer = Some((due, handle));
        }
    }
}

impl Subscriber {
    /// Sends progress; whether the subscriber still lives.
    fn hear(&mut self, totals: TaskTotals) -> bool {
        let progress = TaskProgress { totals, missed: self.missed };
        if totals.metrics.open() == 0 {
            self.recipient.do_send(progress);
            return self.recipient.connected();
        }
        match self.recipient.try_send(progress) {
            Err(SendError::Closed(_)) => return false,
            Err(SendError::Full(_)) => self.missed += 1,
            Ok(()) => {}
        }
        true
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.settle(ctx);
    }
}

impl Supervised for Coordinator {
    /// The context dropped its timers; `started()` sets them again, on whichever instance it is called.
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.timer = None;
    }
}

impl Agent for Coordinator {
    fn card(&self) -> Card<Self> {
        Card::new()
    }
}

impl Handler<Submit> for Coordinator {
    type Result = Result<usize, SubmitErrors>;

    fn handle(&mut self, asked: Submit, ctx: &mut Context<Self>) -> Self::Result {
        self.step(ctx, |state, now, effects| state.graph.submit(asked.tasks, now, effects))
    }
}

impl Handler<Enroll> for Coordinator {
    type Result = Result<(), EnrollError>;

    fn handle(&mut self, asked: Enroll, ctx: &mut Context<Self>) -> Self::Result {
        let Enroll { agent, offers, slots, worker } = asked;
        self.step(ctx, |state, now, effects| {
            state.graph.enroll(agent.clone(), offers, slots, now, effects)?;
            state.workers.insert(agent, worker);
            Ok(())
        })
    }
}

impl Handler<Withdraw> for Coordinator {
    type Result = bool;

    fn handle(&mut self, asked: Withdraw, ctx: &mut Context<Self>) -> bool {
        self.step(ctx, |state, now, effects| {
            state.workers.remove(&asked.0);
            state.graph.withdraw(&asked.0, now, effects)
        })
    }
}

impl Handler<TaskEnded> for Coordinator {
    type Result = bool;

    fn handle(&mut self, told: TaskEnded, ctx: &mut Context<Self>) -> bool {
        let TaskEnded { task, attempt, result } = told;
        self.step(ctx, |state, now, effects| state.graph.attempt_ended(&task, attempt, result, now, effects))
    }
}

impl Handler<TasksEnded> for Coordinator {
    type Result = usize;

    fn handle(&mut self, told: TasksEnded, ctx: &mut Context<Self>) -> usize {
        self.step(ctx, |state, now, effects| {
            let answers = told.0.into_iter();
            answers
                .filter_map(|a| {
                    state.graph.attempt_ended(&a.task, a.attempt, a.result, now, effects).then_some(())
                })
                .count()
        })
    }
}

impl Handler<CancelTask> for Coordinator {
    type Result = bool;

    fn handle(&mut self, asked: CancelTask, ctx: &mut Context<Self>) -> bool {
        self.step(ctx, |state, now, effects| state.graph.cancel(&asked.task, &asked.because, now, effects))
    }
}

impl Handler<CancelAll> for Coordinator {
    type Result = usize;

    fn handle(&mut self, asked: CancelAll, ctx: &mut Context<Self>) -> usize {
        self.step(ctx, |state, now, effects| state.graph.cancel_all(&asked.because, now, effects))
    }
}

impl Handler<QueryTask> for Coordinator {
    type Result = Result<TaskReport, UnknownTask>;

    fn handle(&mut self, asked: QueryTask, _: &mut Context<Self>) -> Self::Result {
        let graph = &self.state.borrow().graph;
        graph.report(&asked.0).ok_or_else(|| UnknownTask { forgotten: graph.forgotten(), task: asked.0 })
    }
}

impl Handler<ForgetTasks> for Coordinator {
    type Result = usize;

    fn handle(&mut self, asked: ForgetTasks, ctx: &mut Context<Self>) -> usize {
        self.step(ctx, |state, _, _| state.graph.forget(&asked.0))
    }
}

impl Handler<QueryTasks> for Coordinator {
    type Result = TaskTotals;

    fn handle(&mut self, _: QueryTasks, _: &mut Context<Self>) -> TaskTotals {
        TaskTotals { at: (self.now)(), metrics: self.state.borrow().graph.metrics() }
    }
}

impl Handler<AwaitTask> for Coordinator {
    type Result = ResponseFuture<Result<TaskReport, AwaitError>>;

    fn handle(&mut self, asked: AwaitTask, _: &mut Context<Self>) -> Self::Result {
        let mut state = self.state.borrow_mut();
        let answer = match state.graph.report(&asked.0) {
            None => Err(UnknownTask { forgotten: state.graph.forgotten(), task: asked.0 }.into()),
            Some(report) if report.state.ended() => Ok(report),
            Some(_) => {
                let (waiting, ended) = oneshot::channel();
                let awaited = state.awaited.entry(asked.0).or_default();
                // Who has given up since is not kept for as long as the task is open.
                awaited.retain(|waiting| !waiting.is_closed());
                awaited.push(waiting);
                return Box::pin(async move { ended.await.map_err(|_| AwaitError::Abandoned) });
            }
        };
        Box::pin(std::future::ready(answer))
    }
}

impl Handler<AwaitAll> for Coordinator {
    type Result = ResponseFuture<Result<TaskTotals, AwaitError>>;

    fn handle(&mut self, _: AwaitAll, ctx: &mut Context<Self>) -> Self::Result {
        let (waiting, ended) = oneshot::channel();
        self.step(ctx, |state, _, _| {
            state.all_awaited.retain(|waiting| !waiting.is_closed());
            state.all_awaited.push(waiting);
        });
        Box::pin(async move { ended.await.map_err(|_| AwaitError::Abandoned) })
    }
}

impl Handler<SubscribeTasks> for Coordinator {
    type Result = ();

    fn handle(&mut self, asked: SubscribeTasks, _: &mut Context<Self>) {
        self.state.borrow_mut().subscribers.push(Subscriber { recipient: asked.0, missed: 0 });
    }
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
