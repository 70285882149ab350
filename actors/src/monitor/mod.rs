//! What happened: [`Event`]s from every room, kept, counted, and shown to handlers that come and go.
//!
//! ```text
//!  any room or agent -- Record, RecordMany --> Monitor --+--> tap (trace), at once
//!                                                        +--> totals, health per agent, log of the latest
//!                                                        +--> backlog --> handlers, by priority
//!  anyone -- QueryStatus, QueryHealth, .. --> Monitor
//! ```
//!
//! The monitor owns the order of events, the log, the totals, the health board and the handlers. It never asks anyone for
//! anything: it knows only what it is told. It never waits, and no handler is called from within another.
//!
//! **Health.** Whenever an event changes the health of an agent and is no health check itself, the monitor records a
//! `health.check` behind it that says from what, to what, and because of which event.
//!
//! **Handlers** see the events recorded after they were added, one after the other, in the order of `seq`; for each event they
//! are called by priority, then by age. What a handler tells the monitor meanwhile is an event like any other and comes
//! later. One that panics is caught; after [`MonitorOptions::panics_allowed`] panics in a row it is disabled, and an event
//! `monitor.handler_disabled` says so. An actor that is gone is removed likewise.
//!
//! **Flood.** The mailbox takes whatever is sent with `do_send`; a [`Teller`] keeps what is in it within
//! [`MonitorOptions::in_transit_bytes`], beyond which the least severe events are refused, and [`MonitorStatus::refused`]
//! counts them. Every [`MonitorOptions::turn`] events taken in, or shown to
//! the handlers, the arbiter's other actors have their turn. Recording (tap, totals, health, log) leaves nothing out; when
//! handlers fall behind by more than [`MonitorOptions::backlog`] events, the least severe ones waiting, the earliest first,
//! are shed before the handlers see them: debug first, critical last. [`MonitorStatus::shed`] counts them. An event with
//! more data than [`MonitorOptions::event_bytes`] is cut and gets an entry `truncated_bytes`.
//!
//! **Invariant.** `seq` counts 1, 2, 3 and so on over all incarnations; every event passes the tap, the totals, the health
//! board and the log exactly once.
//!
//! **Restart.** All that a monitor knows lives in a [`MonitorCell`], which the factory hands to each incarnation:
//! `move || Monitor::new(cell.clone())`. Order, log, totals, health, handlers with their counts, the tap, the mode and the
//! events that wait are kept; from the second incarnation on, `started` records `monitor.restarted` and goes on with what
//! waits. Lost is only what the supervisor could not keep of the mailbox.

mod actor;
mod backlog;
mod event;
mod handlers;
mod health;
mod life;
mod limit;
mod log;
mod metrics;
mod state;
mod summary;
mod teller;
#[cfg(test)]
pub(crate) mod testing;

pub use actor::{
    AddHandler, Close, EnableHandler, Maintain, Monitor, MonitorCell, Pause, QueryAllHealth, QueryEvents,
    QueryHandlers, QueryHealth, QueryHealthSummary, QueryMetrics, QueryStatus, RemoveHandler, Resume,
};
pub use event::{Event, EventKind, Observed, Record, RecordMany, Severity, Source, names};
pub use handlers::{HandlerId, HandlerInfo, HandlerSpec, HandlerStats, Heard, SourceFilter};
pub use health::{AgentHealth, Health, HealthBoard, HealthChange};
pub use limit::TRUNCATED;
pub use log::{EventFilter, EventLog, EventPage};
pub use metrics::{Figure, Metrics, MetricsSnapshot, Values};
pub use state::{Call, Clock, HandlerFn, MonitorMode, MonitorOptions, MonitorStatus, Tap};
pub use summary::HealthSummary;
pub use teller::{Bounded, Teller};
