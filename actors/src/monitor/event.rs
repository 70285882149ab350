//! [`Event`]: one thing that happened, as every room of the host tells the monitor.
//!
//! An event has a kind, a severity, a source, a short stable dotted name such as `agent.restarted`, a point in time
//! and free data. Its JSON form is one line with a fixed order of keys, `seq at kind severity source agent name data`
//! (`agent` and `data` only when there is something to say), so that two runs with equal events write equal bytes.
//!
//! **Invariant.** `seq` is zero until the monitor takes the event; from then on it counts 1, 2, 3 and so on without a gap.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use actix::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::health::Health;
use crate::agent::{AgentId, Timestamp};

/// The stable names of events that more than one room knows of.
pub mod names {
    /// An agent was created and has not yet run `started()` to its end.
    pub const AGENT_SPAWNED: &str = "agent.spawned";
    /// An agent is up.
    pub const AGENT_STARTED: &str = "agent.started";
    /// An agent panicked; what follows is a restart, or nothing.
    pub const AGENT_PANICKED: &str = "agent.panicked";
    /// An agent is to be restarted by its group, because it or another one of the group failed.
    pub const AGENT_RESTARTING: &str = "agent.restarting";
    /// An agent was rebuilt in place after a panic.
    pub const AGENT_RESTARTED: &str = "agent.restarted";
    /// An agent works, but late, overloaded or in part.
    pub const AGENT_DEGRADED: &str = "agent.degraded";
    /// An agent has not been heard of for longer than expected.
    pub const AGENT_SUSPECTED: &str = "agent.suspected";
    /// An agent that was degraded, suspected or failed works again.
    pub const AGENT_RECOVERED: &str = "agent.recovered";
    /// An agent missed a heartbeat.
    pub const NODE_SUSPECTED: &str = "router.node_suspected";
    /// An agent missed too many heartbeats: on no route until it beats again.
    pub const NODE_INACTIVE: &str = "router.node_inactive";
    /// An agent that missed heartbeats beat again.
    pub const NODE_ACTIVE: &str = "router.node_active";
    /// An agent ended on purpose.
    pub const AGENT_STOPPED: &str = "agent.stopped";
    /// An agent failed more often than its policy bears and is not restarted again.
    pub const AGENT_ABANDONED: &str = "agent.abandoned";
    /// What an agent says, or is said, about its health.
    pub const HEALTH_CHECK: &str = "health.check";
    /// How many agents are in each state of health, when the host is about to stop them.
    pub const HEALTH_SUMMARY: &str = "health.summary";
    /// The monitor disabled one of its handlers.
    pub const HANDLER_DISABLED: &str = "monitor.handler_disabled";
    /// A new incarnation of the monitor took over what the one before it knew.
    pub const MONITOR_RESTARTED: &str = "monitor.restarted";
}

/// What sort of thing an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Word on an agent's health.
    HealthCheck,
    /// A figure of performance.
    PerformanceMetric,
    /// Something went wrong.
    ErrorAlert,
    /// Use of a resource: memory, queue places, slots.
    ResourceUsage,
    /// Something per time.
    ThroughputMetric,
    /// How long something took.
    LatencyMetric,
    /// The life of the host and of its agents.
    SystemEvent,
    /// A figure with a meaning of the program's own.
    CustomMetric,
}

impl EventKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [EventKind; 8] = [
        EventKind::HealthCheck,
        EventKind::PerformanceMetric,
        EventKind::ErrorAlert,
        EventKind::ResourceUsage,
        EventKind::ThroughputMetric,
        EventKind::LatencyMetric,
        EventKind::SystemEvent,
        EventKind::CustomMetric,
    ];

    /// The name as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::HealthCheck => "health_check",
            EventKind::PerformanceMetric => "performance_metric",
            EventKind::ErrorAlert => "error_alert",
            EventKind::ResourceUsage => "resource_usage",
            EventKind::ThroughputMetric => "throughput_metric",
            EventKind::LatencyMetric => "latency_metric",
            EventKind::SystemEvent => "system_event",
            EventKind::CustomMetric => "custom_metric",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How grave an event is, from debug (1) to critical (5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Severity {
    /// Of use to who looks for a fault.
    Debug = 1,
    /// The normal course.
    Info = 2,
    /// Unusual, and borne.
    Warning = 3,
    /// Something failed.
    Error = 4,
    /// The host or a part of it cannot go on.
    Critical = 5,
}

impl Severity {
    /// All severities, the least first.
    pub const ALL: [Severity; 5] =
        [Severity::Debug, Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];

    /// The name as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who tells an event: a part of the host such as `router`, or an agent by its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Source(Cow<'static, str>);

impl Source {
    /// A part of the host, by its name.
    pub const fn part(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The source as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&'static str> for Source {
    fn from(name: &'static str) -> Self {
        Self::part(name)
    }
}

impl From<String> for Source {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name))
    }
}

impl From<&AgentId> for Source {
    fn from(agent: &AgentId) -> Self {
        Self(Cow::Owned(agent.as_str().to_owned()))
    }
}

/// One thing that happened.
///
/// # Examples
/// ```
/// use phalanx_actors::{agent::{AgentId, Timestamp}, monitor::{Event, EventKind, Severity}};
/// let event = Event::new(EventKind::SystemEvent, Severity::Info, "supervisor", "agent.restarted", Timestamp::ZERO)
///     .about(AgentId::new("seller/7")?)
///     .with("generation", 2);
/// assert_eq!(
///     event.to_json(),
///     r#"{"seq":0,"at":0,"kind":"system_event","severity":"info","source":"supervisor","agent":"seller/7","name":"agent.restarted","data":{"generation":2}}"#
/// );
/// # Ok::<(), phalanx_actors::agent::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the order of all events, assigned by the monitor; zero before.
    pub seq: u64,
    /// When it happened, on the host's clock.
    pub at: Timestamp,
    /// What sort of thing it tells.
    pub kind: EventKind,
    /// How grave it is.
    pub severity: Severity,
    /// Who tells it.
    pub source: Source,
    /// The agent it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// A short stable dotted name, such as `agent.restarted`.
    pub name: Cow<'static, str>,
    /// Whatever else there is to say, in the order it was said.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

impl Event {
    /// An event without data.
    pub fn new(
        kind: EventKind,
        severity: Severity,
        source: impl Into<Source>,
        name: impl Into<Cow<'static, str>>,
        at: Timestamp,
    ) -> Self {
        Self {
            seq: 0,
            at,
            kind,
            severity,
            source: source.into(),
            agent: None,
            name: name.into(),
            data: Map::new(),
        }
    }

    /// An event in the life of the host or of an agent.
    pub fn system(
        severity: Severity,
        source: impl Into<Source>,
        name: impl Into<Cow<'static, str>>,
        at: Timestamp,
    ) -> Self {
        Self::new(EventKind::SystemEvent, severity, source, name, at)
    }

    /// Word on the health of `agent`; its severity follows from `health`.
    pub fn health_check(source: impl Into<Source>, agent: AgentId, health: Health, at: Timestamp) -> Self {
        Self::new(EventKind::HealthCheck, health.severity(), source, names::HEALTH_CHECK, at)
            .about(agent)
            .with("health", health.as_str())
    }

    /// A figure of performance, in `unit`.
    pub fn metric(
        source: impl Into<Source>,
        name: impl Into<Cow<'static, str>>,
        value: f64,
        unit: &'static str,
        at: Timestamp,
    ) -> Self {
        Self::figure(EventKind::PerformanceMetric, source, name, value, unit, at)
    }

    /// The use of a resource, in `unit`.
    pub fn resource_usage(
        source: impl Into<Source>,
        name: impl Into<Cow<'static, str>>,
        value: f64,
        unit: &'static str,
        at: Timestamp,
    ) -> Self {
        Self::figure(EventKind::ResourceUsage, source, name, value, unit, at)
    }

    /// Something per second.
    pub fn throughput(
        source: impl Into<Source>,
        name: impl Into<Cow<'static, str>>,
        per_second: f64,
        at: Timestamp,
    ) -> Self {
        Self::figure(EventKind::ThroughputMetric, source, name, per_second, "1/s", at)
    }

    /// How long something took; the value is told in microseconds.
    pub fn latency(
        source: impl Into<Source>,
        name: impl Into<Cow<'static, str>>,
        took: Duration,
        at: Timestamp,
    ) -> Self {
        Self::figure(EventKind::LatencyMetric, source, name, took.as_secs_f64() * 1e6, "us", at)
    }

    /// A figure with a meaning of the program's own, in `unit`.
    pub fn custom_metric(
        source: impl Into<Source>,
        name: impl Into<Cow<'static, str>>,
        value: f64,
        unit: &'static str,
        at: Timestamp,
    ) -> Self {
        Self::figure(EventKind::CustomMetric, source, name, value, unit, at)
    }

    /// Something went wrong: severity error, and what it says in the data under `message`.
    pub fn error_alert(
        source: impl Into<Source>,
        name: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        Self::new(EventKind::ErrorAlert, Severity::Error, source, name, at).with("message", message.into())
    }

    fn figure(
        kind: EventKind,
        source: impl Into<Source>,
        name: impl Into<Cow<'static, str>>,
        value: f64,
        unit: &'static str,
        at: Timestamp,
    ) -> Self {
        Self::new(kind, Severity::Info, source, name, at).measuring(value, unit)
    }

    /// The same event, about an agent.
    #[must_use]
    pub fn about(mut self, agent: AgentId) -> Self {
        self.agent = Some(agent);
        self
    }

    /// The same event with one more entry of data, which replaces an earlier one of the same name in its place.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.data.insert(key.into(), value.into());
        self
    }

    /// The same event with one more entry of data where there is something to say.
    #[must_use]
    pub fn with_some(self, key: impl Into<String>, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The same event with one more entry of data as it serialises; one that cannot be serialised says why instead.
    #[must_use]
    pub fn with_json(self, key: impl Into<String>, value: &impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_else(|error| error.to_string().into());
        self.with(key, value)
    }

    /// The same event as a figure: `value` in `unit`, which the totals of its name take in.
    #[must_use]
    pub fn measuring(self, value: f64, unit: &'static str) -> Self {
        self.with("value", value).with("unit", unit)
    }

    /// The same event with another severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The number under `value` in the data, where there is one.
    pub fn value(&self) -> Option<f64> {
        self.data.get("value").and_then(Value::as_f64)
    }

    /// The event as one line of JSON without the line's end; equal events give equal bytes.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .expect("every key is a string and nothing in an event can fail to serialise")
    }
}

/// Tells the monitor that something happened.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Record(pub Event);

/// Tells the monitor many things at once, in order.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct RecordMany(pub Vec<Event>);

/// Tells a subscriber of the monitor that an event was recorded.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Observed(pub Arc<Event>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_severities_are_written_as_their_names() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        for severity in Severity::ALL {
            assert_eq!(serde_json::to_string(&severity).unwrap(), format!("\"{severity}\""));
        }
        assert!(Severity::ALL.is_sorted());
    }

    #[test]
    fn an_event_reads_back_from_its_own_line() {
        let event = Event::health_check(
            "supervisor",
            AgentId::new("a\u{1F980}").unwrap(),
            Health::Degraded,
            Timestamp::from_start(Duration::from_millis(1500)),
        )
        .with("z", 1)
        .with("a", vec![1.5, 2.0]);
        let line = event.to_json();
        assert_eq!(
            line,
            "{\"seq\":0,\"at\":1500000,\"kind\":\"health_check\",\"severity\":\"warning\",\"source\":\"supervisor\",\
             \"agent\":\"a\u{1F980}\",\"name\":\"health.check\",\
             \"data\":{\"health\":\"degraded\",\"z\":1,\"a\":[1.5,2.0]}}"
        );
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }

    #[test]
    fn line_ends_in_data_stay_inside_one_line() {
        let event = Event::error_alert("x", "x.failed", "two\nlines", Timestamp::ZERO);
        assert!(!event.to_json().contains('\n'));
        assert_eq!(event.severity, Severity::Error);
    }

    #[test]
    fn a_figure_that_is_no_number_is_null_and_has_no_value() {
        let event = Event::metric("x", "x.rate", f64::NAN, "1/s", Timestamp::ZERO);
        assert_eq!(event.value(), None);
        assert_eq!(
            Event::latency("x", "x.took", Duration::from_millis(2), Timestamp::ZERO).value(),
            Some(2000.0)
        );
    }
}
