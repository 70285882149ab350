//! [`Handlers`]: who wants to see which events, in which order, and how that went. What a handler is, is left open.
//!
//! **Invariant.** Handlers stand by priority, the most urgent first, and among equals by age. A number once given to a
//! handler is never given again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Event, EventKind, Severity};
use crate::agent::{Priority, Timestamp};

/// The number of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HandlerId(pub u64);

/// Which sources a handler listens to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFilter {
    /// All of them.
    #[default]
    Any,
    /// The one of this name.
    Is(String),
    /// All whose name starts with this.
    StartsWith(String),
}

/// Which kinds of events somebody listens to: a tap to all, a handler that is enabled to those it wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard([bool; EventKind::ALL.len()]);

impl Heard {
    /// Everything is listened to.
    pub const ALL: Heard = Heard([true; EventKind::ALL.len()]);

    /// Whether somebody listens to events of this kind.
    pub const fn hears(self, kind: EventKind) -> bool {
        self.0[kind as usize]
    }
}

/// What a handler wants, and when it is its turn.
///
/// # Examples
/// ```
/// use phalanx_actors::{agent::Priority, monitor::{EventKind, HandlerSpec, Severity}};
/// let spec = HandlerSpec::new("pager").kinds([EventKind::ErrorAlert]).at_least(Severity::Error).priority(Priority::High);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerSpec {
    /// What it is called.
    pub name: String,
    /// The kinds it wants; empty for all.
    pub kinds: Vec<EventKind>,
    /// The least severity it wants.
    pub at_least: Severity,
    /// The sources it listens to.
    pub source: SourceFilter,
    /// The more urgent, the earlier its turn.
    pub priority: Priority,
    /// Whether it is called at all.
    pub enabled: bool,
}

impl HandlerSpec {
    /// A handler for all events, of normal priority.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kinds: Vec::new(),
            at_least: Severity::Debug,
            source: SourceFilter::Any,
            priority: Priority::Normal,
            enabled: true,
        }
    }

    /// Only events of these kinds.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = EventKind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// Only events of this severity and graver ones.
    #[must_use]
    pub fn at_least(mut self, severity: Severity) -> Self {
        self.at_least = severity;
        self
    }

    /// Only events from these sources.
    #[must_use]
    pub fn source(mut self, source: SourceFilter) -> Self {
        self.source = source;
        self
    }

    /// Its turn among the handlers.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Whether an event is for this handler.
    pub fn wants(&self, event: &Event) -> bool {
        self.enabled
            && event.severity >= self.at_least
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && match &self.source {
                SourceFilter::Any => true,
                SourceFilter::Is(name) => event.source.as_str() == name,
                SourceFilter::StartsWith(prefix) => event.source.as_str().starts_with(prefix.as_str()),
            }
    }
}

/// How a handler fared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerStats {
    /// How often it was called.
    pub calls: u64,
    /// How often it answered with an error or panicked.
    pub errors: u64,
    /// How often it panicked.
    pub panics: u64,
    /// How often it panicked since it last did not.
    pub panics_in_a_row: u32,
    /// When it was last called.
    pub last: Option<Timestamp>,
    /// What it last said was wrong.
    pub last_error: Option<String>,
    /// How long all its calls took together.
    pub time: Duration,
}

impl HandlerStats {
    /// How long a call takes on average.
    pub fn mean_time(&self) -> Duration {
        let calls = u32::try_from(self.calls.max(1)).unwrap_or(u32::MAX);
        self.time / calls
    }
}

/// How one call went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallOutcome {
    /// Well.
    Done,
    /// It answered with an error.
    Failed(String),
    /// It panicked with this text.
    Panicked(String),
}

/// A handler with all that is known of it.
#[derive(Debug)]
pub(super) struct Handler<C> {
    /// Its number.
    pub(super) id: HandlerId,
    /// What it wants.
    pub(super) spec: HandlerSpec,
    /// How it fared.
    pub(super) stats: HandlerStats,
    /// It sees events after this one.
    pub(super) since: u64,
    /// What is called.
    pub(super) call: C,
}

/// A handler as it is told to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandlerInfo {
    /// Its number.
    pub id: HandlerId,
    /// What it wants.
    pub spec: HandlerSpec,
    /// How it fared.
    pub stats: HandlerStats,
}

/// The handlers in the order of their turns.
#[derive(Debug)]
pub(super) struct Handlers<C> {
    rows: Vec<Handler<C>>,
    given: u64,
}

impl<C> Default for Handlers<C> {
    fn default() -> Self {
        Self { rows: Vec::new(), given: 0 }
    }
}

impl<C> Handlers<C> {
    /// Adds a handler that sees the events after the `since`th.
    pub(super) fn add(&mut self, spec: HandlerSpec, call: C, since: u64) -> HandlerId {
        self.given += 1;
        let id = HandlerId(self.given);
        let place = self.rows.partition_point(|row| row.spec.priority >= spec.priority);
        self.rows.insert(place, Handler { id, spec, stats: HandlerStats::default(), since, call });
        id
    }

    /// Takes a handler away.
    pub(super) fn remove(&mut self, id: HandlerId) -> Option<Handler<C>> {
        let place = self.rows.iter().position(|row| row.id == id)?;
        Some(self.rows.remove(place))
    }

    /// Enables or disables a handler, and says whether there is one. An enabled one starts with a clean slate of panics.
    pub(super) fn enable(&mut self, id: HandlerId, enabled: bool) -> bool {
        let Some(row) = self.rows.iter_mut().find(|row| row.id == id) else { return false };
        row.spec.enabled = enabled;
        row.stats.panics_in_a_row = 0;
        true
    }

    /// The handlers in the order of their turns.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Handler<C>> {
        self.rows.iter_mut()
    }

    /// The handlers in the order of their turns, without what they call.
    pub(super) fn infos(&self) -> Vec<HandlerInfo> {
        self.rows
            .iter()
            .map(|row| HandlerInfo { id: row.id, spec: row.spec.clone(), stats: row.stats.clone() })
            .collect()
    }

    /// Which kinds of events the enabled handlers want.
    pub(super) fn heard(&self) -> Heard {
        let mut heard = Heard::default();
        for spec in self.rows.iter().map(|row| &row.spec).filter(|spec| spec.enabled) {
            if spec.kinds.is_empty() {
                return Heard::ALL;
            }
            spec.kinds.iter().for_each(|kind| heard.0[*kind as usize] = true);
        }
        heard
    }

    /// How many handlers there are, and how many of them are enabled.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.rows.len(), self.rows.iter().filter(|row| row.spec.enabled).count())
    }

    /// Whether there is no handler.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl<C> Handler<C> {
    /// Notes how a call went, and says whether the handler is disabled by it, after `panics_allowed` panics in a row.
    pub(super) fn note(
        &mut self,
        outcome: &CallOutcome,
        at: Timestamp,
        took: Duration,
        panics_allowed: u32,
    ) -> bool {
        let stats = &mut self.stats;
        stats.calls += 1;
        stats.last = Some(at);
        stats.time = stats.time.saturating_add(took);
        match outcome {
            CallOutcome::Done => stats.panics_in_a_row = 0,
            CallOutcome::Failed(message) => {
                stats.errors += 1;
                stats.panics_in_a_row = 0;
                stats.last_error = Some(message.clone());
            }
            CallOutcome::Panicked(message) => {
                stats.errors += 1;
                stats.panics += 1;
                stats.panics_in_a_row += 1;
                stats.last_error = Some(message.clone());
                if stats.panics_in_a_row >= panics_allowed {
                    self.spec.enabled = false;
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(handlers: &Handlers<()>) -> Vec<String> {
        handlers.infos().into_iter().map(|info| info.spec.name).collect()
    }

    #[test]
    fn handlers_stand_by_priority_and_then_by_age() {
        let mut handlers = Handlers::default();
        for (name, priority) in [
            ("a", Priority::Normal),
            ("b", Priority::Critical),
            ("c", Priority::Normal),
            ("d", Priority::Low),
            ("e", Priority::Critical),
        ] {
            handlers.add(HandlerSpec::new(name).priority(priority), (), 0);
        }
        assert_eq!(names(&handlers), ["b", "e", "a", "c", "d"]);
        assert_eq!(handlers.remove(HandlerId(1)).unwrap().spec.name, "a");
        assert!(handlers.remove(HandlerId(1)).is_none());
        assert_eq!(handlers.add(HandlerSpec::new("f"), (), 0), HandlerId(6));
        assert_eq!(names(&handlers), ["b", "e", "c", "f", "d"]);
    }

    #[test]
    fn a_handler_gets_what_it_wants() {
        let event = Event::error_alert("router/1", "router.full", "no", Timestamp::ZERO);
        let spec = HandlerSpec::new("a");
        assert!(spec.wants(&event));
        assert!(spec.clone().kinds([EventKind::ErrorAlert]).at_least(Severity::Error).wants(&event));
        assert!(!spec.clone().kinds([EventKind::HealthCheck]).wants(&event));
        assert!(!spec.clone().at_least(Severity::Critical).wants(&event));
        assert!(!spec.clone().source(SourceFilter::Is("router".into())).wants(&event));
        assert!(spec.clone().source(SourceFilter::StartsWith("router".into())).wants(&event));
        assert!(!HandlerSpec { enabled: false, ..spec }.wants(&event));
    }

    #[test]
    fn what_is_heard_is_what_enabled_handlers_want() {
        let mut handlers = Handlers::default();
        let heard = |handlers: &Handlers<()>| EventKind::ALL.map(|kind| handlers.heard().hears(kind));
        assert_eq!(heard(&handlers), [false; 8]);
        handlers.add(HandlerSpec::new("a").kinds([EventKind::HealthCheck, EventKind::CustomMetric]), (), 0);
        assert_eq!(heard(&handlers), [true, false, false, false, false, false, false, true]);
        let all = handlers.add(HandlerSpec::new("b"), (), 0);
        assert_eq!(heard(&handlers), [true; 8]);
        handlers.enable(all, false);
        assert_eq!(heard(&handlers), [true, false, false, false, false, false, false, true]);
    }

    #[test]
    fn panics_in_a_row_disable_a_handler_and_panics_apart_do_not() {
        let mut handlers = Handlers::default();
        let id = handlers.add(HandlerSpec::new("a"), (), 0);
        let row = handlers.iter_mut().next().unwrap();
        let panicked = CallOutcome::Panicked("no".into());
        let mut note =
            |outcome: &CallOutcome| row.note(outcome, Timestamp::ZERO, Duration::from_millis(2), 2);
        assert!(!note(&panicked));
        assert!(!note(&CallOutcome::Done));
        assert!(!note(&panicked));
        assert!(note(&panicked));
        assert_eq!((row.stats.calls, row.stats.panics, row.spec.enabled), (4, 3, false));
        assert_eq!(row.stats.mean_time(), Duration::from_millis(2));
        assert!(handlers.enable(id, true));
        assert!(!handlers.iter_mut().next().unwrap().note(&panicked, Timestamp::ZERO, Duration::ZERO, 2));
    }
}
