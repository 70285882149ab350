//! How what the protocol actors and agents say of themselves becomes an [`Event`] for the monitor.

use phalanx_actors::{
    agent::{ExitReason, Lifecycle, LifecycleChange, Timestamp},
    monitor::{Event, EventKind, Severity, names},
};
use serde::Serialize;
use serde_json::{Map, Value};

/// An event of a protocol actor: its serialised form has the name under `event` and the time under `at`.
pub(super) fn of(source: &'static str, told: &impl Serialize) -> Event {
    let mut data = match serde_json::to_value(told) {
        Ok(Value::Object(data)) => data,
        Ok(other) => Map::from_iter([("value".to_owned(), other)]),
        Err(error) => Map::from_iter([("unwritable".to_owned(), Value::from(error.to_string()))]),
    };
    let name = match data.shift_remove("event") {
        Some(Value::String(name)) => name,
        _ => "event".to_owned(),
    };
    let at = data.shift_remove("at").and_then(|at| serde_json::from_value(at).ok()).unwrap_or_default();
    data.retain(|_, value| !value.is_null());
    let failed = data
        .get("state")
        .or(data.get("status"))
        .or(data.get("outcome"))
        .is_some_and(|state| matches!(state.as_str(), Some("failed" | "timed_out")))
        || name.ends_with("failed");
    let (kind, severity) = if failed {
        (EventKind::ErrorAlert, Severity::Error)
    } else if name.ends_with("retried") || name.ends_with("missing") || name.ends_with("refused") {
        (EventKind::SystemEvent, Severity::Warning)
    } else if name.ends_with("started") {
        (EventKind::SystemEvent, Severity::Debug)
    } else {
        (EventKind::SystemEvent, Severity::Info)
    };
    let mut event = Event::new(kind, severity, source, format!("{source}.{name}"), at);
    if let Some(agent) = data.get("agent").and_then(Value::as_str).and_then(|agent| agent.parse().ok()) {
        data.shift_remove("agent");
        event = event.about(agent);
    }
    event.data = data;
    event
}

/// An event in the life of an agent.
pub(super) fn of_life(change: &Lifecycle) -> Event {
    let about = |severity, name: &'static str, at: Timestamp| {
        Event::system(severity, "supervisor", name, at)
            .about(change.agent.clone())
            .with("generation", change.generation)
    };
    let at = change.at;
    match &change.change {
        LifecycleChange::Started => about(Severity::Debug, names::AGENT_STARTED, at),
        LifecycleChange::Restarted => about(Severity::Warning, names::AGENT_RESTARTED, at),
        LifecycleChange::Crashed { cause, restart_in_us } => {
            let event = Event::error_alert("supervisor", names::AGENT_PANICKED, cause.clone(), at)
                .about(change.agent.clone())
                .with("generation", change.generation);
            match restart_in_us {
                Some(after) => event.with("restart_in_us", *after),
                None => event,
            }
        }
        LifecycleChange::Terminated(reason @ ExitReason::Normal) => {
            about(Severity::Info, names::AGENT_STOPPED, at).with("reason", reason.to_string())
        }
        LifecycleChange::Terminated(reason @ ExitReason::Killed) => {
            about(Severity::Warning, names::AGENT_STOPPED, at).with("reason", reason.to_string())
        }
        LifecycleChange::Terminated(reason) => {
            Event::error_alert("supervisor", names::AGENT_ABANDONED, reason.to_string(), at)
                .about(change.agent.clone())
                .with("generation", change.generation)
        }
    }
}
