//! [`Registrar`]: the actor that registers agents in batches and removes them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::{
    Actor, Addr, AsyncContext, Context, Handler, MailboxError, Message, MessageResult, SpawnHandle,
    Supervised,
    dev::{MessageResponse, OneshotSender},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use super::{
    CancelError, CancelRequest, Delist, Enlist, Lookup, QueryAgent, QueryRequest, QueryRoster, RegistrarCell,
    RegistrarEvent, Renew, Request, RosterError, WatchRoster,
    state::{RouterLost, State},
    waiters::{Answer, Effects},
};
use crate::{
    agent::{Agent, AgentId, Card, Timestamp},
    inbox::AgentHandle,
    router::{Reroute, Rerouted, Router},
    support::panic_text,
};

/// The router's word on something that was sent to it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Answered {
    number: u64,
    attempt: u32,
    result: Result<Vec<AgentId>, MailboxError>,
}

/// A question to the router, whose answer is to come.
struct Asked {
    number: u64,
    attempt: u32,
    answer: actix::dev::Request<Router, Reroute>,
}

/// The recorder has said something.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Nudge;

/// Verdicts wait in the cell.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Judged;

/// An answer that comes later. Whoever asked hears that the mailbox was closed if it cannot come any more.
#[derive(Debug)]
pub struct Later<T>(oneshot::Receiver<T>);

impl<T: 'static, M: Message<Result = T>> MessageResponse<Registrar, M> for Later<T> {
    fn handle(self, _: &mut Context<Registrar>, to: Option<OneshotSender<T>>) {
        let Some(to) = to else { return };
        // Not a future of the actor: it has to outlive this incarnation.
        actix_rt::spawn(async move {
            if let Ok(answer) = self.0.await {
                // Whoever asked may have gone.
                _ = to.send(answer);
            }
        });
    }
}

/// The actor that registers agents in batches and removes them. See [`crate::registrar`] for what it owns and keeps.
pub struct Registrar {
    cell: RegistrarCell,
    router: Addr<Router>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    events: Arc<dyn Fn(RegistrarEvent) + Send + Sync>,
    timer: Option<(Timestamp, SpawnHandle)>,
    /// Where its questions to the router go once one was sent.
    asked: Option<mpsc::UnboundedSender<Asked>>,
}

impl Registrar {
    /// A registrar, or its next incarnation, over what `cell` knows, with the host's clock and a sink for events. One
    /// registrar at a time works on a cell.
    pub fn new(
        cell: RegistrarCell,
        router: Addr<Router>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        events: Arc<dyn Fn(RegistrarEvent) + Send + Sync>,
    ) -> Self {
        Self { cell, router, now, events, timer: None, asked: None }
    }

    /// Changes the state, forms the batches that are due, and performs what comes of it.
    fn step<T>(
        &mut self,
        ctx: &mut Context<Self>,
        change: impl FnOnce(&mut State, Timestamp, &mut Effects) -> T,
    ) -> T {
        let now = (self.now)();
        let mut effects = Effects::default();
        let result = change(&mut self.cell.lock(), now, &mut effects);
        self.go_on(now, effects, ctx);
        result
    }

    fn go_on(&mut self, now: Timestamp, mut effects: Effects, ctx: &mut Context<Self>) {
        self.cell.hear(now, &mut effects);
        loop {
            let Some(batch) = self.cell.lock().form(now) else { break };
            self.check(batch, now, &mut effects);
        }
        for number in effects.sends {
            self.send(number, ctx);
        }
        self.cell.hand_over(now, || {
            let me = ctx.address();
            move || me.do_send(Nudge)
        });
        let trials = self.cell.lock().wanted(effects.trials);
        for trial in trials {
            let task = trial.task;
            // Not a future of the actor: it has to outlive this incarnation.
            let running = actix_rt::spawn(self.cell.judge(trial));
            self.cell.lock().runs(task, running.abort_handle());
        }
        effects.aborts.iter().for_each(AbortHandle::abort);
        for event in effects.events {
            self.tell(event);
        }
        effects.answers.into_iter().for_each(Answer::give);
        let due = self.cell.lock().next_deadline(now);
        self.set_timer(due, now, ctx);
    }

    fn check(&self, batch: u64, now: Timestamp, effects: &mut Effects) {
        self.cell.apply_rules(batch, now);
        self.cell.lock().checked(batch, now, effects);
    }

    /// Sends a batch or a removal to the router, in the order of the calls.
    fn send(&mut self, number: u64, ctx: &Context<Self>) {
        let Some((attempt, reroute)) = self.cell.lock().reroute(number) else { return };
        // A fresh clone has a place of its own in the mailbox: the message is queued now, not when the future is polled.
        let answer = self.router.clone().send(reroute);
        let asked = self.asked.get_or_insert_with(|| {
            let (asked, mut answers) = mpsc::unbounded_channel::<Asked>();
            let me = ctx.address();
            // Not a future of the actor: it has to outlive this incarnation.
            actix_rt::spawn(async move {
                // In the order in which the router was asked, so that batches of agents stay in their order.
                while let Some(Asked { number, attempt, answer }) = answers.recv().await {
                    let result = answer.await.map(|Rerouted { taken }| taken);
                    me.do_send(Answered { number, attempt, result });
                }
            });
            asked
        });
        // The other end lasts as long as this one.
        _ = asked.send(Asked { number, attempt, answer });
    }

    fn tell(&self, event: RegistrarEvent) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.events)(event))) {
            tracing::warn!(panic = panic_text(&*panic), "the sink of the registrar's events panicked");
        }
    }

    fn set_timer(&mut self, due: Option<Timestamp>, now: Timestamp, ctx: &mut Context<Self>) {
        if self.timer.map(|(set, _)| set) == due {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        if let Some(due) = due {
            let handle = ctx.run_later(due.since(now), |registrar, ctx| {
                registrar.timer = None;
                registrar.step(ctx, State::advance);
            });
            self.timer = Some((due, handle));
        }
    }
}

impl Actor for Registrar {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let now = (self.now)();
        let mut effects = Effects::default();
        self.cell.serve(ctx.address().downgrade());
        let unchecked = self.cell.lock().resume(now, &mut effects);
        for batch in unchecked {
            self.check(batch, now, &mut effects);
        }
        self.go_on(now, effects, ctx);
    }
}

impl Supervised for Registrar {}

impl Agent for Registrar {
    fn card(&self) -> Card<Self> {
        Card::new()
    }
}

impl Handler<Enlist> for Registrar {
    type Result = Later<Vec<Request>>;
    fn handle(&mut self, Enlist(enlistments): Enlist, ctx: &mut Context<Self>) -> Self::Result {
        let (answer, later) = oneshot::channel();
        self.step(ctx, |state, now, effects| state.enlist(enlistments, answer, now, effects));
        Later(later)
    }
}

impl Handler<Delist> for Registrar {
    type Result = Later<usize>;
    fn handle(&mut self, Delist(agents): Delist, ctx: &mut Context<Self>) -> Self::Result {
        let (answer, later) = oneshot::channel();
        self.step(ctx, |state, now, effects| state.delist(agents, answer, now, effects));
        Later(later)
    }
}

impl Handler<Answered> for Registrar {
    type Result = ();
    fn handle(&mut self, Answered { number, attempt, result }: Answered, ctx: &mut Context<Self>) {
        let taken =
            result.map_err(|_| if self.router.connected() { RouterLost::Retry } else { RouterLost::Gone });
        self.step(ctx, |state, now, effects| state.answered(number, attempt, taken, now, effects));
    }
}

impl Handler<Nudge> for Registrar {
    type Result = ();
    fn handle(&mut self, _: Nudge, ctx: &mut Context<Self>) {
        self.step(ctx, |_, _, _| ());
    }
}

impl Handler<Judged> for Registrar {
    type Result = ();
    fn handle(&mut self, _: Judged, ctx: &mut Context<Self>) {
        self.step(ctx, State::advance);
    }
}

impl Handler<CancelRequest> for Registrar {
    type Result = Result<Request, CancelError>;
    fn handle(&mut self, CancelRequest(id): CancelRequest, ctx: &mut Context<Self>) -> Self::Result {
        self.step(ctx, |state, now, effects| state.cancel(id, now, effects))
    }
}

impl Handler<QueryRequest> for Registrar {
    type Result = Option<Request>;
    fn handle(&mut self, QueryRequest(id): QueryRequest, _: &mut Context<Self>) -> Option<Request> {
        self.cell.lock().request(id)
    }
}

impl Handler<Lookup> for Registrar {
    type Result = Vec<AgentHandle>;
    fn handle(&mut self, lookup: Lookup, _: &mut Context<Self>) -> Vec<AgentHandle> {
        self.cell.lock().lookup(&lookup)
    }
}

impl Handler<Renew> for Registrar {
    type Result = Result<Timestamp, RosterError>;
    fn handle(&mut self, renew: Renew, ctx: &mut Context<Self>) -> Self::Result {
        self.step(ctx, |state, now, effects| state.renew(&renew, now, effects))
    }
}

impl Handler<WatchRoster> for Registrar {
    type Result = MessageResult<WatchRoster>;
    fn handle(&mut self, WatchRoster(from): WatchRoster, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.cell.watch(from))
    }
}

impl Handler<QueryAgent> for Registrar {
    type Result = Option<AgentHandle>;
    fn handle(&mut self, QueryAgent(id): QueryAgent, _: &mut Context<Self>) -> Option<AgentHandle> {
        self.cell.with_roster(|roster| roster.get(&id).map(|member| member.handle().clone()))
    }
}

impl Handler<QueryRoster> for Registrar {
    type Result = MessageResult<QueryRoster>;
    fn handle(&mut self, _: QueryRoster, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.cell.lock().status((self.now)()))
    }
}

#[cfg(test)]
mod tests;
