//! What the registrar tells of: [`RegistrarEvent`].

use serde::Serialize;

use super::RequestId;
use crate::{
    agent::{AgentId, Timestamp},
    monitor::{Event, EventKind, Severity},
};

/// How many agents of a batch are named in its event; the others are only counted.
pub const AGENTS_NAMED: usize = 16;

/// Something that happened to those who register. Durations are whole microseconds \[us\].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RegistrarEvent {
    /// A batch is through, and at least one of its agents is registered.
    BatchRegistered {
        /// When.
        at: Timestamp,
        /// How many agents were registered.
        agents: usize,
        /// The first [`AGENTS_NAMED`] of them.
        first: Vec<AgentId>,
        /// How long it took from forming the batch to its end \[us\].
        took_us: u64,
    },
    /// A request was refused.
    RequestFailed {
        /// When.
        at: Timestamp,
        /// Which.
        request: RequestId,
        /// The agent it is for.
        agent: AgentId,
        /// Why.
        reason: String,
    },
    /// More than one of the requests that came together were refused at once, and not taken in at all.
    RequestsRefused {
        /// When.
        at: Timestamp,
        /// How many.
        count: usize,
        /// The first of them.
        request: RequestId,
        /// The agent that one is for.
        agent: AgentId,
        /// Why that one was refused.
        reason: String,
    },
    /// Records could not be made durable, or it is not known whether they are.
    Unrecorded {
        /// When.
        at: Timestamp,
        /// How many.
        records: usize,
        /// Why.
        reason: String,
    },
    /// Agents were taken out of the roster.
    AgentsRemoved {
        /// When.
        at: Timestamp,
        /// How many.
        count: usize,
    },
    /// An agent was taken out of the roster because its lease was not renewed.
    LeaseExpired {
        /// When.
        at: Timestamp,
        /// Which.
        agent: AgentId,
        /// Which incarnation was registered.
        generation: u64,
        /// How long the lease was \[us\].
        lease_us: u64,
    },
}

impl From<RegistrarEvent> for Event {
    /// The event for the monitor: each variant has its name, kind and severity, and the data it is serialised with. A batch
    /// has the time it took as its figure.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a figure of 2^53 us, 285 years, may be off in its last digit"
    )]
    fn from(event: RegistrarEvent) -> Self {
        let told = |kind, severity, name: &'static str, at| Event::new(kind, severity, "registrar", name, at);
        match event {
            RegistrarEvent::BatchRegistered { at, agents, first, took_us } => {
                let first: Vec<&str> = first.iter().map(AgentId::as_str).collect();
                told(EventKind::PerformanceMetric, Severity::Info, "registrar.batch_registered", at)
                    .measuring(took_us as f64, "us")
                    .with("agents", agents)
                    .with("first", first)
                    .with("took_us", took_us)
            }
            RegistrarEvent::RequestFailed { at, request, agent, reason } => {
                told(EventKind::ErrorAlert, Severity::Error, "registrar.request_failed", at)
                    .about(agent)
                    .with("request", request.0)
                    .with("reason", reason)
            }
            RegistrarEvent::RequestsRefused { at, count, request, agent, reason } => {
                told(EventKind::ErrorAlert, Severity::Error, "registrar.requests_refused", at)
                    .about(agent)
                    .with("count", count)
                    .with("request", request.0)
                    .with("reason", reason)
            }
            RegistrarEvent::Unrecorded { at, records, reason } => {
                told(EventKind::ErrorAlert, Severity::Error, "registrar.unrecorded", at)
                    .with("records", records)
                    .with("reason", reason)
            }
            RegistrarEvent::AgentsRemoved { at, count } => {
                told(EventKind::SystemEvent, Severity::Info, "registrar.agents_removed", at)
                    .with("count", count)
            }
            RegistrarEvent::LeaseExpired { at, agent, generation, lease_us } => {
                told(EventKind::SystemEvent, Severity::Warning, "registrar.lease_expired", at)
                    .about(agent)
                    .with("generation", generation)
                    .with("lease_us", lease_us)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::testing::assert_told;

    #[test]
    fn the_monitor_is_told_each_registrar_event_by_its_serialised_name_and_data() {
        let (at, agent) = (Timestamp::ZERO, AgentId::new("a").unwrap());
        let batch =
            RegistrarEvent::BatchRegistered { at, agents: 1, first: vec![agent.clone()], took_us: 40 };
        let told = batch.clone().into();
        let how = (EventKind::PerformanceMetric, Severity::Info);
        assert_told("registrar", &batch, &told, how, &["value", "unit"]);
        assert_eq!((told.value(), &told.data["unit"]), (Some(40.0), &"us".into()));

        let reason = "no such capability".to_owned();
        let (request, named) = (RequestId(7), agent.clone());
        let failed = RegistrarEvent::RequestFailed { at, request, agent: named, reason: reason.clone() };
        let how = (EventKind::ErrorAlert, Severity::Error);
        assert_told("registrar", &failed, &failed.clone().into(), how, &[]);

        let refused = RegistrarEvent::RequestsRefused { at, count: 3, request, agent, reason };
        let how = (EventKind::ErrorAlert, Severity::Error);
        assert_told("registrar", &refused, &refused.clone().into(), how, &[]);

        let unrecorded = RegistrarEvent::Unrecorded { at, records: 3, reason: "the disk is full".to_owned() };
        let how = (EventKind::ErrorAlert, Severity::Error);
        assert_told("registrar", &unrecorded, &unrecorded.clone().into(), how, &[]);

        let removed = RegistrarEvent::AgentsRemoved { at, count: 2 };
        let how = (EventKind::SystemEvent, Severity::Info);
        assert_told("registrar", &removed, &removed.clone().into(), how, &[]);

        let agent = AgentId::new("a").unwrap();
        let expired = RegistrarEvent::LeaseExpired { at, agent, generation: 3, lease_us: 5_000 };
        let how = (EventKind::SystemEvent, Severity::Warning);
        assert_told("registrar", &expired, &expired.clone().into(), how, &[]);
    }
}
