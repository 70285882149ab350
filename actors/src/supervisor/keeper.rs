//! [`Keeper`]: the task that an agent runs in, and that restarts it in place.
//!
//! ```text
//!            panic, or end that the policy restarts          back-off over
//!  RUNNING ────────────────────────────────────> RESTING ──────────────────> RUNNING, next generation
//!     │  held by its group                          ^
//!     ├────────────────────────────> HELD ──────────┘ told to restart
//!     └── end that the policy lets be, intensity exceeded, killed ──> terminated, inbox accounted for
//! ```
//!
//! The actix context, and with it address and mailbox, lives as long as the keeper; so does the inbox. A restart clears
//! what the incarnation had spawned on its context (timers, streams, futures), builds a fresh instance with the factory
//! and lets actix call `started()` on it. The fresh instance sees `Supervised::restarting()` first, as with actix.
//!
//! **Invariant.** A panic never leaves [`Keeper::poll`], and the old instance is never handed another message.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix::{
    Actor, AsyncContext, Context,
    dev::{AsyncContextParts, ContextFut},
    fut::{ActorFutureExt, ready},
};
use tokio::time::Sleep;

use super::policy::{Decision, RestartLog, Supervision};
use crate::{
    agent::{Agent, AgentId, ExitReason, Lifecycle, LifecycleChange, Me},
    audited::exchange_instance,
    inbox::{AgentHandle, Command, Inbox, Pump},
};

/// Builds an agent; called once for each incarnation.
pub(crate) type Factory<A> = Arc<dyn Fn(&Me) -> A + Send + Sync>;

/// Decides over the ends of agents that belong to a group. Answers come as commands through the agent's door.
pub(crate) trait Overseer: Send + Sync {
    /// Called before anything else, on the arbiter of the agent.
    fn joins(&self, agent: AgentHandle, supervision: Supervision);
    /// `order` is the number of the last order that the agent obeyed, 0 before the first.
    fn ended(&self, agent: &AgentId, order: u64, reason: &ExitReason);
    fn gone(&self, agent: &AgentId);
}

/// Who decides what follows the end of an incarnation.
pub(crate) enum Rule {
    /// The agent's own supervision.
    Own(Supervision),
    /// The supervisor of its group.
    Group(Arc<dyn Overseer>, Supervision),
}

/// What agents of one spawn have in common: what builds them and who decides over their ends.
pub(crate) struct Origin<A: Agent> {
    pub(crate) factory: Factory<A>,
    pub(crate) rule: Arc<Rule>,
}

#[derive(Clone, Copy)]
enum State {
    Running,
    Resting,
    Rested,
    Held,
    Done,
}

/// Runs one agent and restarts it in place.
pub(crate) struct Keeper<A: Agent> {
    /// There until the agent is terminated.
    context: Option<ContextFut<A, Context<A>>>,
    inbox: Arc<Inbox<A>>,
    origin: Arc<Origin<A>>,
    log: Option<Box<RestartLog>>,
    /// There while it rests. Apart from the state, which would not fit beside the flags below: tasks are allocated in
    /// steps of 128 bytes, and this one is just below a step.
    sleep: Option<Pin<Box<Sleep>>>,
    state: State,
    /// The number of the last order of its group that it obeyed.
    order: u64,
    /// Not yet polled.
    fresh: bool,
    /// Its start was told.
    announced: bool,
}

impl<A: Agent> Keeper<A> {
    pub(crate) fn new(
        mut context: ContextFut<A, Context<A>>,
        inbox: Arc<Inbox<A>>,
        origin: Arc<Origin<A>>,
    ) -> Self {
        context.ctx().spawn(Pump(inbox.clone()));
        Self {
            context: Some(context),
            inbox,
            origin,
            log: None,
            sleep: None,
            state: State::Running,
            order: 0,
            fresh: true,
            announced: false,
        }
    }

    fn me(&self) -> Me {
        Me { id: self.inbox.id.clone(), generation: self.inbox.generation.load(Ordering::Acquire) }
    }

    fn tell(&self, change: LifecycleChange) {
        let hub = self.inbox.hub();
        if !hub.is_observed() {
            return;
        }
        let Me { id: agent, generation } = self.me();
        hub.observe(&Lifecycle { agent, generation, at: hub.now(), change });
    }

    /// Decides what follows the end of an incarnation.
    fn end(&mut self, reason: ExitReason) {
        let told_to_stop = !self.inbox.is_open() && reason.is_normal();
        let hub = self.inbox.hub().clone();
        let decision = match &*self.origin.rule {
            _ if told_to_stop => Decision::Stop(reason.clone()),
            Rule::Own(supervision) => {
                let log = self.log.get_or_insert_with(Box::default);
                log.decide(supervision, reason.clone(), hub.now(), hub.seed(), self.inbox.id.as_str())
            }
            Rule::Group(overseer, _) => {
                self.tell(LifecycleChange::Crashed { cause: reason.to_string(), restart_in_us: None });
                self.state = State::Held;
                overseer.ended(&self.inbox.id, self.order, &reason);
                return;
            }
        };
        match decision {
            Decision::Restart(after) => {
                let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
                let change =
                    LifecycleChange::Crashed { cause: reason.to_string(), restart_in_us: Some(micros) };
                self.tell(change);
                self.rest(after);
            }
            Decision::Stop(reason) => self.terminate(&reason),
        }
    }

    fn rest(&mut self, after: Duration) {
        // tokio's timers are a millisecond apart: without a back-off there is nothing to wait for.
        if after.is_zero() {
            self.state = State::Rested;
            return;
        }
        self.sleep = Some(Box::pin(tokio::time::sleep(after)));
        self.state = State::Resting;
    }

    /// Puts a fresh instance in place of the old one.
    fn rebuild(&mut self) -> Result<(), ExitReason> {
        let generation = self.inbox.generation.load(Ordering::Acquire).saturating_add(1);
        let me = Me { id: self.inbox.id.clone(), generation };
        let factory = &self.origin.factory;
        let fresh = catch_unwind(AssertUnwindSafe(|| factory(&me))).map_err(panicked)?;
        self.inbox.generation.store(generation, Ordering::Release);
        let local = self.inbox.local.get().expect("a keeper runs on the arbiter of its inbox");
        let context = self.context.as_mut().expect("only a terminated agent has none");
        let old = match local.seen.get() {
            Some(seen) => exchange_instance(context, seen, fresh),
            // It panicked in its first `started()`, before anything of ours was polled.
            None => exchange_before_first_poll(context, fresh),
        };
        let old = match old {
            Ok(old) => old,
            Err(fresh) => {
                self.move_house(fresh);
                return Ok(());
            }
        };
        // Whatever the destructor of a broken instance does, it must not take the arbiter along.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(old)));
        let restarted = catch_unwind(AssertUnwindSafe(|| context.restart()));
        match (dropped, restarted) {
            (_, Err(panic)) => return Err(panicked(panic)),
            (_, Ok(false)) => return Err(ExitReason::Killed),
            (Err(panic), Ok(true)) => tracing::warn!(
                agent = %self.inbox.id, panic = %panicked(panic), "the destructor of the old instance panicked"
            ),
            (Ok(()), Ok(true)) => {}
        }
        context.ctx().spawn(Pump(self.inbox.clone()));
        self.run();
        Ok(())
    }

    fn run(&mut self) {
        let local = self.inbox.local.get().expect("a keeper runs on the arbiter of its inbox");
        local.idle.set(false);
        local.asked_to_stop.set(false);
        self.state = State::Running;
        self.tell(LifecycleChange::Restarted);
    }

    /// Gives a fresh instance a context of its own. The last resort for an agent whose first incarnation broke before
    /// anything of ours saw it and left a future of `ctx.wait` that bars the way: id and inbox stay, the actix address
    /// is a new one.
    fn move_house(&mut self, fresh: A) {
        let mut context = Context::new().into_future(fresh);
        context.ctx().spawn(Pump(self.inbox.clone()));
        self.inbox.readdress(context.address());
        let old = self.context.replace(context);
        discard(old, &self.inbox.id, false);
        self.inbox.local.get().expect("a keeper runs on the arbiter of its inbox").seen.set(None);
        self.run();
    }

    fn terminate(&mut self, reason: &ExitReason) {
        self.inbox.close_intake();
        discard(self.context.take(), &self.inbox.id, true);
        self.inbox.close();
        self.state = State::Done;
        // Before anyone else is told: whoever takes the name next joins its group behind this.
        if let Rule::Group(overseer, _) = &*self.origin.rule {
            overseer.gone(&self.inbox.id);
        }
        self.tell(LifecycleChange::Terminated(reason.clone()));
    }

    /// Ends the running incarnation from outside; actix calls `stopping()` and `stopped()`.
    fn stop_context(&mut self) {
        use actix::ActorContext;
        let Some(context) = self.context.as_mut().filter(|_| matches!(self.state, State::Running)) else {
            return;
        };
        if self.fresh {
            // It never ran, so there is nothing to stop; the next incarnation replaces it.
            return;
        }
        let mut cx = TaskContext::from_waker(std::task::Waker::noop());
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            context.ctx().stop();
            Pin::new(context).poll(&mut cx)
        }));
        if stopped.is_err() {
            tracing::warn!(agent = %self.inbox.id, "the agent panicked while its incarnation was stopped");
        }
    }

    fn obey(&mut self) {
        let local = self.inbox.local.get().expect("a keeper runs on the arbiter of its inbox");
        // Looked at before every poll: there is seldom anything to take out.
        if local.command.borrow().is_none() {
            return;
        }
        let command = local.command.borrow_mut().take();
        match command.map(|command| *command) {
            None => {}
            Some(Command::Drain) => local.draining.set(true),
            Some(Command::Kill(reason)) => {
                self.terminate(&reason);
            }
            // Given twice by a supervisor that was rebuilt meanwhile.
            Some(Command::Restart { order, .. } | Command::Hold { order }) if order <= self.order => {}
            Some(Command::Restart { order, after, cause }) => {
                self.order = order;
                self.stop_context();
                let restart_in_us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
                self.tell(LifecycleChange::Restarting { cause, restart_in_us });
                self.rest(after);
            }
            Some(Command::Hold { order }) => {
                self.order = order;
                self.stop_context();
                self.state = State::Held;
            }
            // It starts first.
            Some(panic @ Command::Panic(_)) if self.fresh => {
                *local.command.borrow_mut() = Some(Box::new(panic));
            }
            Some(Command::Panic(text)) => {
                if matches!(self.state, State::Running) {
                    // Not in a future on its context, where one of `ctx.wait` goes before it, maybe for ever.
                    let panic = catch_unwind(|| -> () { std::panic::panic_any(text) });
                    self.end(panicked(panic.expect_err("nothing else is done there")));
                }
            }
        }
    }
}

/// Drops a context. With `politely`, an instance that was started sees `stopping()` and `stopped()`; whatever it says to
/// that, it is handed nothing more.
fn discard<A: Agent>(context: Option<ContextFut<A, Context<A>>>, agent: &AgentId, politely: bool) {
    use actix::ActorContext;
    let Some(mut context) = context else { return };
    let dropped = catch_unwind(AssertUnwindSafe(move || {
        if politely && context.ctx().parts().started() {
            // Dropping a live context polls it; were `stopping()` to answer `Running::Continue`, this ends it first.
            context.ctx().wait(ready(()).map(|(), _: &mut A, context: &mut Context<A>| context.terminate()));
        } else {
            context.ctx().terminate();
        }
        drop(context);
    }));
    if dropped.is_err() {
        tracing::warn!(%agent, "the agent panicked while it was stopped");
    }
}

/// Replaces an instance whose context has nothing spawned: `ctx.wait` goes before mailbox and items there. Answers the
/// fresh instance when a future that the old one waits for goes before even that.
fn exchange_before_first_poll<A: Agent>(context: &mut ContextFut<A, Context<A>>, fresh: A) -> Result<A, A> {
    let place = std::rc::Rc::new(std::cell::RefCell::new(Some(fresh)));
    let inside = place.clone();
    let exchanged = std::rc::Rc::new(std::cell::Cell::new(false));
    let done = exchanged.clone();
    context.ctx().wait(ready(()).map(move |(), agent: &mut A, _: &mut Context<A>| {
        let fresh = inside.borrow_mut().take();
        if let Some(fresh) = fresh {
            let old = std::mem::replace(agent, fresh);
            *inside.borrow_mut() = Some(old);
            done.set(true);
            // Unwinds so that nothing else runs before the restart; not a panic, so no hook sees it.
            std::panic::resume_unwind(Box::new(()));
        }
    }));
    let mut cx = TaskContext::from_waker(std::task::Waker::noop());
    // Whether it unwinds says nothing: a future of the agent's own may have been polled first, and panicked again.
    let _ = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *context).poll(&mut cx)));
    let held = place.borrow_mut().take().expect("one of the two instances is always there");
    if exchanged.get() { Ok(held) } else { Err(held) }
}

pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> ExitReason {
    let text = match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(_) => "a value that is no text".to_owned(),
        },
    };
    ExitReason::Panicked(text)
}

impl<A: Agent> Future for Keeper<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.fresh {
            let local = this.inbox.local.get().expect("a keeper runs on the arbiter of its inbox");
            *local.waker.borrow_mut() = Some(cx.waker().clone());
        }
        if !std::mem::replace(&mut this.announced, true) {
            this.tell(LifecycleChange::Started);
        }
        let mut rebuilt = false;
        loop {
            this.obey();
            match this.state {
                State::Done => return Poll::Ready(()),
                State::Held => return Poll::Pending,
                State::Resting => {
                    if this.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_pending()) {
                        return Poll::Pending;
                    }
                    this.sleep = None;
                    this.state = State::Rested;
                }
                State::Rested => {
                    if rebuilt {
                        // One that breaks at once, again and again, must not keep its neighbours from running.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    rebuilt = true;
                    if let Err(reason) = this.rebuild() {
                        this.end(reason);
                    }
                }
                State::Running => {
                    this.fresh = false;
                    let context = this.context.as_mut().expect("only a terminated agent has none");
                    match catch_unwind(AssertUnwindSafe(|| Pin::new(context).poll(cx))) {
                        Ok(Poll::Pending) => {
                            let local = this.inbox.local.get().expect("checked above");
                            if local.command.borrow().is_none() {
                                return Poll::Pending;
                            }
                        }
                        Ok(Poll::Ready(())) => this.end(ExitReason::Normal),
                        Err(panic) => this.end(panicked(panic)),
                    }
                }
            }
        }
    }
}

impl<A: Agent> Drop for Keeper<A> {
    fn drop(&mut self) {
        if !matches!(self.state, State::Done) && self.inbox.local.get().is_some() {
            // The arbiter is going away with the agent on it: what it holds is accounted for, not forgotten.
            self.inbox.close_intake();
            discard(self.context.take(), &self.inbox.id, true);
            self.inbox.close();
        }
    }
}

impl<A: Agent> Keeper<A> {
    /// Starts the task on the calling arbiter.
    pub(crate) fn launch(self)
    where
        A: Actor<Context = Context<A>>,
    {
        actix_rt::spawn(self);
    }
}
