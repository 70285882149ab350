//! [`Monitor`]: the actor that takes in events and calls the handlers.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll},
};

use actix::{
    Actor, ActorFuture, Addr, AsyncContext, Context, Handler, Message, MessageResult, Recipient, Supervised,
};
use tokio::sync::watch;

use super::{
    event::{Event, Observed, Record, RecordMany},
    handlers::{HandlerId, HandlerInfo, HandlerSpec, Heard},
    health::{AgentHealth, Health},
    log::{EventFilter, EventPage},
    metrics::MetricsSnapshot,
    state::{Call, Clock, MonitorMode, MonitorOptions, MonitorState, MonitorStatus, Tap},
    summary::HealthSummary,
    teller::{Bounded, Gate, Teller},
};
use crate::agent::{Agent, AgentId, Card};

/// Adds a handler for the events recorded from now on; the answer is its number.
#[derive(Debug, Message)]
#[rtype(result = "HandlerId")]
pub struct AddHandler {
    /// What it wants, and when it is its turn.
    pub spec: HandlerSpec,
    /// What is called.
    pub call: Call,
}

impl AddHandler {
    /// A function as a handler; it runs on the monitor's arbiter and should be quick.
    pub fn function(
        spec: HandlerSpec,
        call: impl FnMut(&Event) -> Result<(), String> + Send + 'static,
    ) -> Self {
        Self { spec, call: Call::Function(Box::new(call)) }
    }

    /// An actor as a handler, for work that takes its time.
    pub fn recipient(spec: HandlerSpec, to: Recipient<Observed>) -> Self {
        Self { spec, call: Call::Recipient(to) }
    }
}

/// Takes a handler away; the answer says whether there was one.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct RemoveHandler(pub HandlerId);

/// Enables or disables a handler; the answer says whether there is one.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct EnableHandler {
    /// Which one.
    pub id: HandlerId,
    /// Whether it is to be called.
    pub enabled: bool,
}

/// Lets events wait for the handlers; the answer is false when the monitor is closed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct Pause;

/// Calls the handlers again, first for what waited; the answer is false when the monitor is closed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct Resume;

/// Keeps events from the handlers until [`Resume`], those that wait included, which count as shed; the answer is false when
/// the monitor is closed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct Maintain;

/// Calls the handlers for all that waits, also when paused, then never again. Events are recorded all the same.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "MonitorStatus")]
pub struct Close;

/// Asks how the monitor stands.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "MonitorStatus")]
pub struct QueryStatus;

/// Asks what the events add up to.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "MetricsSnapshot")]
pub struct QueryMetrics;

/// Asks how an agent is doing; no answer for one never heard of.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<AgentHealth>")]
pub struct QueryHealth(pub AgentId);

/// Asks how all agents in one of these states (in any, when there are none) are doing, in the order of their ids.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "Vec<(AgentId, AgentHealth)>")]
pub struct QueryAllHealth(pub Vec<Health>);

/// Asks how all agents are doing, in a few lines.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "HealthSummary")]
pub struct QueryHealthSummary {
    /// At most how many of the worst are named.
    pub worst: usize,
    /// Agents whose ids begin like this are left out.
    pub without: Option<&'static str>,
}

/// Asks for the latest events.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "EventPage")]
pub struct QueryEvents(pub EventFilter);

/// Asks for the handlers in the order of their turns.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<HandlerInfo>")]
pub struct QueryHandlers;

/// What a monitor knows, kept outside of the actor so that it outlives it.
#[derive(Clone)]
pub struct MonitorCell {
    state: Arc<Mutex<MonitorState>>,
    gate: Arc<Gate>,
}

impl MonitorCell {
    /// A fresh cell. `clock` reads the host's clock; `tap` sees every event in order, at the moment it is taken in.
    pub fn new(options: MonitorOptions, clock: Clock, tap: Option<Tap>) -> Self {
        let state = MonitorState::new(options, clock, tap);
        Self { gate: state.gate.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// Tells the monitor at this address, which is made of this cell, within the bounds of its options.
    pub fn teller(&self, monitor: Addr<Monitor>) -> Teller {
        Teller { monitor, gate: self.gate.clone() }
    }

    /// Which kinds of events somebody listens to, now and whenever that changes.
    pub fn heard(&self) -> watch::Receiver<Heard> {
        self.lock().heard()
    }

    fn lock(&self) -> MutexGuard<'_, MonitorState> {
        // Handlers and taps are caught one by one; after any other panic the state is still whole event by event.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MonitorCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MonitorCell")
    }
}

/// The actor that takes in events and calls the handlers.
#[derive(Debug)]
pub struct Monitor {
    cell: MonitorCell,
    /// Whether a [`Turn`] is under way.
    turning: bool,
    /// How many events were taken in since neighbours had their turn.
    taken: usize,
}

impl Monitor {
    /// A monitor, or its next incarnation, over what `cell` knows.
    pub const fn new(cell: MonitorCell) -> Self {
        Self { cell, turning: false, taken: 0 }
    }

    fn accept(&mut self, events: impl IntoIterator<Item = Event>, ctx: &mut Context<Self>) {
        let (turn_is_over, has_work) = {
            let mut state = self.cell.lock();
            state.accept(events);
            let turn = state.options.turn.max(1);
            self.taken += state.take_in(turn - self.taken.min(turn));
            (self.taken >= turn, state.has_work() || state.has_intake())
        };
        if turn_is_over {
            self.taken = 0;
            ctx.wait(Turn { once: true, done: false });
        }
        if has_work {
            self.turn(ctx);
        }
    }

    fn turn(&mut self, ctx: &mut Context<Self>) {
        if !self.turning {
            self.turning = true;
            ctx.spawn(Turn { once: false, done: false });
        }
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        self.turning = false;
        self.taken = 0;
        let has_work = {
            let state = self.cell.lock();
            state.has_work() || state.has_intake()
        };
        if has_work {
            self.turn(ctx);
        }
    }

    fn set_mode(&mut self, mode: MonitorMode, ctx: &mut Context<Self>) -> bool {
        let (changed, has_work) = {
            let mut state = self.cell.lock();
            (state.set_mode(mode), state.has_work())
        };
        if has_work {
            self.turn(ctx);
        }
        changed
    }
}

/// Takes in a turn's worth of events and calls the handlers for as many, then lets neighbours run: until all is taken in
/// (`once`, which keeps the mailbox waiting), or until all is handled too.
struct Turn {
    once: bool,
    done: bool,
}

impl ActorFuture<Monitor> for Turn {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        monitor: &mut Monitor,
        _: &mut Context<Monitor>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if self.done {
            return Poll::Ready(());
        }
        let mut state = monitor.cell.lock();
        let budget = state.options.turn.max(1);
        let taken = state.take_in(budget);
        // The last one taken in may have brought about others beyond the budget.
        state.work(budget.max(taken));
        if self.once {
            self.done = !state.has_intake();
        } else if !state.has_work() && !state.has_intake() {
            monitor.turning = false;
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Actor for Monitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.cell.lock().begin_generation();
        self.begin(ctx);
    }
}

impl Supervised for Monitor {
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        self.begin(ctx);
    }
}

impl Agent for Monitor {
    fn card(&self) -> Card<Self> {
        Card::new()
    }
}

impl Handler<Record> for Monitor {
    type Result = ();
    fn handle(&mut self, Record(event): Record, ctx: &mut Context<Self>) {
        self.accept([event], ctx);
    }
}

impl Handler<Bounded> for Monitor {
    type Result = ();
    fn handle(&mut self, Bounded { event, cost }: Bounded, ctx: &mut Context<Self>) {
        self.cell.gate.arrived(cost);
        self.accept([event], ctx);
    }
}

impl Handler<RecordMany> for Monitor {
    type Result = ();
    fn handle(&mut self, RecordMany(events): RecordMany, ctx: &mut Context<Self>) {
        self.accept(events, ctx);
    }
}

impl Handler<AddHandler> for Monitor {
    type Result = MessageResult<AddHandler>;
    fn handle(&mut self, add: AddHandler, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.cell.lock().add_handler(add.spec, add.call))
    }
}

impl Handler<RemoveHandler> for Monitor {
    type Result = bool;
    fn handle(&mut self, RemoveHandler(id): RemoveHandler, _: &mut Context<Self>) -> bool {
        self.cell.lock().remove_handler(id)
    }
}

impl Handler<EnableHandler> for Monitor {
    type Result = bool;
    fn handle(&mut self, enable: EnableHandler, _: &mut Context<Self>) -> bool {
        self.cell.lock().enable_handler(enable.id, enable.enabled)
    }
}

impl Handler<Pause> for Monitor {
    type Result = bool;
    fn handle(&mut self, _: Pause, ctx: &mut Context<Self>) -> bool {
        self.set_mode(MonitorMode::Paused, ctx)
    }
}

impl Handler<Resume> for Monitor {
    type Result = bool;
    fn handle(&mut self, _: Resume, ctx: &mut Context<Self>) -> bool {
        self.set_mode(MonitorMode::Active, ctx)
    }
}

impl Handler<Maintain> for Monitor {
    type Result = bool;
    fn handle(&mut self, _: Maintain, ctx: &mut Context<Self>) -> bool {
        self.set_mode(MonitorMode::Maintenance, ctx)
    }
}

impl Handler<Close> for Monitor {
    type Result = MessageResult<Close>;
    fn handle(&mut self, _: Close, _: &mut Context<Self>) -> Self::Result {
        let mut state = self.cell.lock();
        state.close();
        MessageResult(state.status())
    }
}

impl Handler<QueryStatus> for Monitor {
    type Result = MessageResult<QueryStatus>;
    fn handle(&mut self, _: QueryStatus, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.cell.lock().status())
    }
}

impl Handler<QueryMetrics> for Monitor {
    type Result = MessageResult<QueryMetrics>;
    fn handle(&mut self, _: QueryMetrics, _: &mut Context<Self>) -> Self::Result {
        let state = self.cell.lock();
        MessageResult(state.metrics.snapshot(state.now()))
    }
}

impl Handler<QueryHealth> for Monitor {
    type Result = MessageResult<QueryHealth>;
    fn handle(&mut self, QueryHealth(agent): QueryHealth, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.cell.lock().health.get(&agent).copied())
    }
}

impl Handler<QueryAllHealth> for Monitor {
    type Result = MessageResult<QueryAllHealth>;
    fn handle(&mut self, QueryAllHealth(only): QueryAllHealth, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.cell.lock().health.all(&only))
    }
}

impl Handler<QueryHealthSummary> for Monitor {
    type Result = MessageResult<QueryHealthSummary>;
    fn handle(&mut self, query: QueryHealthSummary, _: &mut Context<Self>) -> Self::Result {
        let accept = |agent: &AgentId| query.without.is_none_or(|prefix| !agent.as_str().starts_with(prefix));
        MessageResult(self.cell.lock().health.summary(query.worst, accept))
    }
}

impl Handler<QueryEvents> for Monitor {
    type Result = MessageResult<QueryEvents>;
    fn handle(&mut self, QueryEvents(filter): QueryEvents, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.cell.lock().log.query(&filter))
    }
}

impl Handler<QueryHandlers> for Monitor {
    type Result = MessageResult<QueryHandlers>;
    fn handle(&mut self, _: QueryHandlers, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.cell.lock().handlers.infos())
    }
}

#[cfg(test)]
mod tests;
