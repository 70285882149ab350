//! What the tests of events have in common.

use serde::Serialize;
use serde_json::Value;

use super::{Event, EventKind, Severity};
use crate::agent::AgentId;

/// Holds the event that the monitor is told against the serialised form of what it was made from: name and point in time,
/// agent, and data, in the same order. Absent values are left out, and `extra` keys come on top.
#[track_caller]
pub(crate) fn assert_told(
    source: &str,
    made_from: &impl Serialize,
    told: &Event,
    how: (EventKind, Severity),
    extra: &[&str],
) {
    let Ok(Value::Object(mut said)) = serde_json::to_value(made_from) else {
        panic!("it does not serialise as an object");
    };
    said.retain(|_, value| !value.is_null());
    let name = said.shift_remove("event").expect("it has a tag");
    assert_eq!(
        (told.source.as_str(), &*told.name),
        (source, &*format!("{source}.{}", name.as_str().unwrap()))
    );
    assert_eq!(said.shift_remove("at").and_then(|at| at.as_u64()), Some(told.at.micros()), "{name}");
    let agent = said.shift_remove("agent");
    assert_eq!(agent.as_ref().and_then(Value::as_str), told.agent.as_ref().map(AgentId::as_str), "{name}");
    assert_eq!((told.kind, told.severity), how, "{name}");
    let mut data = told.data.clone();
    for key in extra {
        assert!(data.shift_remove(*key).is_some(), "{name} has no {key}");
    }
    assert_eq!(Value::Object(data).to_string(), Value::Object(said).to_string(), "{name}");
}
