//! [`MonitorState`]: all a monitor knows, and what it does with an event. No actor, no clock of its own.
//!
//! ```text
//! event -> limit -> seq -> tap -> totals, health, log        at once, in the turn that takes it in
//!                              -> backlog -> handlers        in turns of their own, in order
//! ```
//!
//! **Invariant.** Every event passes the tap, the totals, the health board and the log exactly once and in the order of
//! `seq`, whatever the handlers do. Every event that a handler wanted is processed, waiting, or counted as shed.

use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use actix::{Recipient, dev::SendError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    backlog::Backlog,
    event::{Event, EventKind, Observed, Severity, Source, names},
    handlers::{CallOutcome, HandlerId, HandlerSpec, Handlers, Heard},
    health::{Health, HealthBoard, HealthChange},
    limit::limit,
    log::EventLog,
    metrics::Metrics,
    teller::Gate,
};
use crate::agent::Timestamp;

/// The monitor's own name as a source of events.
const MONITOR: Source = Source::part("monitor");

/// Reads the host's clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Sees every event in order, at the moment it is taken in; for traces.
pub type Tap = Box<dyn FnMut(&Event) + Send>;

/// A function a monitor calls for an event; an error it answers with is counted and kept.
pub type HandlerFn = Box<dyn FnMut(&Event) -> Result<(), String> + Send>;

/// What a monitor calls for an event.
pub enum Call {
    /// A function on the monitor's own arbiter; it should be quick.
    Function(HandlerFn),
    /// An actor, which is sent [`Observed`]; a full mailbox counts as an error.
    Recipient(Recipient<Observed>),
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Call::Function(_) => "Function",
            Call::Recipient(_) => "Recipient",
        })
    }
}

/// The bounds of a monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorOptions {
    /// How much may be on its way to the monitor by [`Teller`](super::Teller) before the least severe events are refused, in
    /// bytes; an event takes about 256 beside its data.
    pub in_transit_bytes: usize,
    /// How many events may wait for the handlers before the least severe are shed.
    pub backlog: usize,
    /// How many events the log holds.
    pub log_events: usize,
    /// How much data the events in the log may have together, in bytes.
    pub log_bytes: usize,
    /// How much data one event may have before it is cut, in bytes.
    pub event_bytes: usize,
    /// How many events are taken in, or go through the handlers, before neighbours have their turn.
    pub turn: usize,
    /// How long the handlers may take, by the host's clock, before neighbours have their turn; looked at between events.
    pub turn_time: Duration,
    /// How many panics in a row disable a handler.
    pub panics_allowed: u32,
    /// How many stopped agents the health board remembers.
    pub remember_stopped: usize,
    /// How often the host takes a sample of itself, on its own clock, while somebody listens; `None` or zero for never.
    pub sample_every: Option<Duration>,
}

impl Default for MonitorOptions {
    fn default() -> Self {
        Self {
            in_transit_bytes: 16 << 20,
            backlog: 1000,
            log_events: 4096,
            log_bytes: 8 << 20,
            event_bytes: 8 << 10,
            turn: 128,
            turn_time: Duration::from_millis(1),
            panics_allowed: 3,
            remember_stopped: 10_000,
            sample_every: Some(Duration::from_secs(5)),
        }
    }
}

/// What a monitor is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MonitorMode {
    /// Events go to the handlers.
    Active,
    /// Events wait for the handlers until the monitor is resumed.
    Paused,
    /// Events do not go to the handlers, now or later.
    Maintenance,
    /// Active, but handlers were disabled for their panics.
    Error,
    /// Closed: as maintenance, for good.
    Shutdown,
}

/// How a monitor stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MonitorStatus {
    /// What it is up to.
    pub mode: MonitorMode,
    /// How many incarnations of the actor there have been.
    pub generation: u64,
    /// How many events were recorded, which is the `seq` of the latest.
    pub recorded: u64,
    /// How many were refused because too much was on its way, from debug to critical.
    pub refused: [u64; Severity::ALL.len()],
    /// How many of those recorded wait for the handlers.
    pub waiting: usize,
    /// How many were shed before the handlers saw them, from debug to critical.
    pub shed: [u64; Severity::ALL.len()],
    /// How many the log holds.
    pub logged: usize,
    /// How many the log let go.
    pub let_go: u64,
    /// How many handlers there are.
    pub handlers: usize,
    /// How many of them are enabled.
    pub handlers_enabled: usize,
    /// Whether a tap sees every event; false also after a tap that panicked.
    pub tapped: bool,
}

/// All a monitor knows.
pub(super) struct MonitorState {
    pub(super) options: MonitorOptions,
    clock: Clock,
    pub(super) gate: Arc<Gate>,
    pub(super) tap: Option<Tap>,
    mode: MonitorMode,
    pub(super) generation: u64,
    seq: u64,
    pub(super) log: EventLog,
    pub(super) metrics: Metrics,
    pub(super) health: HealthBoard,
    pub(super) handlers: Handlers<Call>,
    /// What came and is not recorded yet: the rest of a batch.
    intake: VecDeque<Event>,
    backlog: Backlog,
    own: Vec<Event>,
    disabled_by_panics: Vec<HandlerId>,
    heard: watch::Sender<Heard>,
}

impl MonitorState {
    pub(super) fn new(options: MonitorOptions, clock: Clock, tap: Option<Tap>) -> Self {
        let heard = if tap.is_some() { Heard::ALL } else { Heard::default() };
        Self {
            heard: watch::channel(heard).0,
            log: EventLog::new(options.log_events, options.log_bytes),
            health: HealthBoard::new(options.remember_stopped),
            backlog: Backlog::new(options.backlog),
            gate: Gate::new(options.in_transit_bytes),
            intake: VecDeque::new(),
            options,
            clock,
            tap,
            mode: MonitorMode::Active,
            generation: 0,
            seq: 0,
            metrics: Metrics::default(),
            handlers: Handlers::default(),
            own: Vec::new(),
            disabled_by_panics: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Which kinds of events somebody listens to, now and whenever that changes.
    pub(super) fn heard(&self) -> watch::Receiver<Heard> {
        self.heard.subscribe()
    }

    fn tell_heard(&self) {
        let heard = if self.tap.is_some() { Heard::ALL } else { self.handlers.heard() };
        self.heard.send_if_modified(|before| std::mem::replace(before, heard) != heard);
    }

    /// Queues events to be taken in, after all that came before.
    pub(super) fn accept(&mut self, events: impl IntoIterator<Item = Event>) {
        self.intake.extend(events);
    }

    /// Takes queued events in until `budget` are recorded, those included that they bring about, and says how many were.
    pub(super) fn take_in(&mut self, budget: usize) -> usize {
        let before = self.seq;
        let recorded = |seq: u64| usize::try_from(seq - before).unwrap_or(usize::MAX);
        while recorded(self.seq) < budget {
            let Some(event) = self.intake.pop_front() else { break };
            self.take(event);
        }
        recorded(self.seq)
    }

    /// Whether queued events are still to be taken in.
    pub(super) fn has_intake(&self) -> bool {
        !self.intake.is_empty()
    }

    fn take(&mut self, event: Event) {
        self.take_one(event);
        self.take_own();
    }

    /// Notes a new incarnation; from the second on with an event.
    pub(super) fn begin_generation(&mut self) {
        self.generation += 1;
        if self.generation > 1 {
            let event = Event::system(Severity::Warning, MONITOR, names::MONITOR_RESTARTED, self.now())
                .with("generation", self.generation)
                .with("waiting", self.backlog.len());
            self.take(event);
        }
    }

    fn take_one(&mut self, mut event: Event) {
        let (bytes, truncated) = limit(&mut event, self.options.event_bytes);
        self.seq += 1;
        event.seq = self.seq;
        if let Some(mut tap) = self.tap.take() {
            match catch_unwind(AssertUnwindSafe(|| tap(&event))) {
                Ok(()) => self.tap = Some(tap),
                Err(panic) => {
                    self.own.push(self.gone("the tap panicked", Severity::Critical, &text(&*panic)));
                    self.tell_heard();
                }
            }
        }
        self.metrics.record(&event, truncated);
        if let Some(change) = self.health.observe(&event) {
            self.own.extend(health_check(&event, change));
        }
        let event = Arc::new(event);
        if matches!(self.mode, MonitorMode::Active | MonitorMode::Paused) && !self.handlers.is_empty() {
            self.backlog.push(event.clone());
        }
        self.log.push(event, bytes);
    }

    /// Takes in what the monitor itself has to say; each handler, the tap and each event can bring about one such event only.
    fn take_own(&mut self) {
        while !self.own.is_empty() {
            for event in std::mem::take(&mut self.own) {
                self.take_one(event);
            }
        }
    }

    fn gone(&self, why: &str, severity: Severity, error: &str) -> Event {
        Event::system(severity, MONITOR, names::HANDLER_DISABLED, self.now())
            .with("why", why)
            .with("error", error)
    }

    /// Whether handlers are to be called for events that wait.
    pub(super) const fn has_work(&self) -> bool {
        matches!(self.mode, MonitorMode::Active) && !self.backlog.is_empty()
    }

    /// Calls the handlers for at most `budget` events that wait.
    ///
    /// Stops early when they took longer than a turn may.
    pub(super) fn work(&mut self, budget: usize) {
        let began = self.now();
        for _ in 0..budget {
            if !self.has_work() {
                return;
            }
            let Some(event) = self.backlog.pop() else { return };
            let ended = self.dispatch(&event);
            self.take_own();
            if ended.since(began) > self.options.turn_time {
                return;
            }
        }
    }

    fn dispatch(&mut self, event: &Arc<Event>) -> Timestamp {
        let began = self.now();
        let (mut failed, mut last, mut disabled, mut closed) = (false, began, Vec::new(), Vec::new());
        for handler in self.handlers.iter_mut() {
            if event.seq <= handler.since || !handler.spec.wants(event) {
                continue;
            }
            let outcome = match &mut handler.call {
                Call::Function(call) => match catch_unwind(AssertUnwindSafe(|| call(event))) {
                    Ok(Ok(())) => CallOutcome::Done,
                    Ok(Err(message)) => CallOutcome::Failed(message),
                    Err(panic) => CallOutcome::Panicked(text(&*panic)),
                },
                Call::Recipient(to) => match to.try_send(Observed(event.clone())) {
                    Ok(()) => CallOutcome::Done,
                    Err(SendError::Full(_)) => CallOutcome::Failed("its mailbox is full".to_owned()),
                    Err(SendError::Closed(_)) => {
                        closed.push(handler.id);
                        CallOutcome::Failed("its actor is gone".to_owned())
                    }
                },
            };
            failed |= outcome != CallOutcome::Done;
            let ended = (self.clock)();
            if handler.note(&outcome, began, ended.since(last), self.options.panics_allowed) {
                let error = handler.stats.last_error.clone().unwrap_or_default();
                disabled.push((handler.id, handler.spec.name.clone(), error));
            }
            last = ended;
        }
        self.metrics.record_handled(failed, last.since(began));
        let gone = !disabled.is_empty() || !closed.is_empty();
        for (id, name, error) in disabled {
            self.disabled_by_panics.push(id);
            let event = self.gone("it panicked too often in a row", Severity::Error, &error);
            self.own.push(event.with("handler", name).with("id", id.0));
        }
        for id in closed {
            if let Some(handler) = self.handlers.remove(id) {
                let event = self.gone("its actor is gone", Severity::Warning, "removed");
                self.own.push(event.with("handler", handler.spec.name).with("id", id.0));
            }
        }
        if gone {
            self.tell_heard();
        }
        last
    }

    pub(super) fn add_handler(&mut self, spec: HandlerSpec, call: Call) -> HandlerId {
        let id = self.handlers.add(spec, call, self.seq);
        self.tell_heard();
        id
    }

    pub(super) fn remove_handler(&mut self, id: HandlerId) -> bool {
        self.disabled_by_panics.retain(|disabled| *disabled != id);
        let was_there = self.handlers.remove(id).is_some();
        self.tell_heard();
        was_there
    }

    pub(super) fn enable_handler(&mut self, id: HandlerId, enabled: bool) -> bool {
        self.disabled_by_panics.retain(|disabled| *disabled != id);
        let is_there = self.handlers.enable(id, enabled);
        self.tell_heard();
        is_there
    }

    /// Changes the mode, and says whether that was possible: nothing leads out of shutdown, or into error.
    pub(super) fn set_mode(&mut self, mode: MonitorMode) -> bool {
        if self.mode == MonitorMode::Shutdown || mode == MonitorMode::Error {
            return false;
        }
        if mode == MonitorMode::Maintenance {
            self.backlog.clear();
        }
        self.mode = mode;
        true
    }

    /// Calls the handlers for all that waits, also when paused, and closes.
    pub(super) fn close(&mut self) {
        self.take_in(usize::MAX);
        if self.set_mode(MonitorMode::Active) {
            // What the monitor itself says meanwhile waits too, and is bounded by the number of handlers.
            while self.has_work() {
                self.work(self.options.turn.max(1));
            }
            self.set_mode(MonitorMode::Shutdown);
        }
    }

    pub(super) fn status(&self) -> MonitorStatus {
        let (handlers, handlers_enabled) = self.handlers.count();
        let mode = match self.mode {
            MonitorMode::Active if !self.disabled_by_panics.is_empty() => MonitorMode::Error,
            mode => mode,
        };
        MonitorStatus {
            mode,
            generation: self.generation,
            recorded: self.seq,
            refused: self.gate.refused(),
            waiting: self.backlog.len(),
            shed: self.backlog.shed(),
            logged: self.log.len(),
            let_go: self.log.total_let_go(),
            handlers,
            handlers_enabled,
            tapped: self.tap.is_some(),
        }
    }
}

impl fmt::Debug for MonitorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorState").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Word on a change of an agent's health, with what brought it about; none when that is a health check itself.
fn health_check(cause: &Event, change: HealthChange) -> Option<Event> {
    let agent = cause.agent.as_ref().filter(|_| cause.kind != EventKind::HealthCheck)?;
    let check = Event::health_check(MONITOR, agent.clone(), change.to, cause.at)
        .with_some("from", change.from.map(Health::as_str))
        .with("because", &*cause.name);
    Some(check)
}

fn text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}
