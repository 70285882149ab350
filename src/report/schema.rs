//! [`schema`]: the JSON Schema of the report, made from its types.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use super::RunReport;

/// The JSON Schema of the report, draft 2020-12. It allows further keys, since a minor version may add some.
///
/// # Examples
/// ```
/// let schema = phalanx::report::schema();
/// assert_eq!(schema["properties"]["late_replies"]["type"], "integer");
/// ```
pub fn schema() -> Value {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<RunReport>()
        .to_value()
}

/// A ledger, as [`Counts`](phalanx_actors::inbox::Counts) serialises.
#[derive(JsonSchema)]
#[schemars(rename = "Ledger")]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct CountsShape {
    /// Messages sent, one for each recipient.
    sent: u64,
    /// Handled to the end.
    delivered: u64,
    /// Refused at the door.
    rejected: u64,
    /// Let go by an overflow policy or an intervention.
    dropped: u64,
    /// Overdue before they could be handled.
    expired: u64,
    /// Accepted but not handled to the end.
    failed: u64,
    /// Not yet ended.
    pending: u64,
}

/// Totals over all tasks, as [`TaskMetrics`](phalanx_actors::coordinator::TaskMetrics) serialises.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct TaskMetricsShape {
    /// Tasks submitted.
    submitted: u64,
    /// Tasks with open dependencies.
    pending: u64,
    /// Ready tasks.
    queued: u64,
    /// Tasks being worked on.
    executing: u64,
    /// Tasks between attempts or without a capable agent.
    waiting: u64,
    /// Tasks that completed.
    completed: u64,
    /// Tasks that failed.
    failed: u64,
    /// Tasks that were cancelled.
    cancelled: u64,
    /// Tasks that timed out.
    timed_out: u64,
    /// Dispatches.
    dispatched: u64,
    /// Failed attempts that were followed by another one.
    retried: u64,
    /// Answers to attempts that had been given up.
    stale: u64,
    /// Attempts that were given up and that their agents have not let go of.
    releasing: u64,
    /// Agents enrolled.
    agents: u64,
    /// The average time from submission to completion \[us\].
    average_latency_us: u64,
    /// When the first task was submitted \[us\].
    first_submitted_us: Option<u64>,
    /// When the last task completed so far \[us\].
    last_completed_us: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::report::{SCHEMA, sample};

    /// Every key below a value by its path: `[]` stands for the items of a list, `*` for the keys of a map.
    fn keys(value: &Value, path: &str, all: &mut BTreeSet<String>) {
        const MAPS: [&str; 5] =
            ["agents.by_kind", "health.by_state", "reasons", "tasks.by_type", "tasks.results"];
        match value {
            Value::Object(_) if MAPS.contains(&path) => _ = all.insert(format!("{path}.*")),
            Value::Object(object) => {
                for (key, value) in object {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    keys(value, &path, all);
                    all.insert(path);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| keys(item, &format!("{path}[]"), all)),
            _ => {}
        }
    }

    /// Every key that a schema has, in the same form.
    fn schema_keys(root: &Value, schema: &Value, path: &str, all: &mut BTreeSet<String>) {
        if let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
            schema_keys(root, &root["$defs"][name], path, all);
        }
        for one in schema["anyOf"].as_array().into_iter().flatten() {
            schema_keys(root, one, path, all);
        }
        if schema["items"].is_object() {
            schema_keys(root, &schema["items"], &format!("{path}[]"), all);
        }
        if !schema["additionalProperties"].is_null() {
            all.insert(format!("{path}.*"));
        }
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            schema_keys(root, schema, &path, all);
            all.insert(path);
        }
    }

    fn full() -> Value {
        serde_json::to_value(sample::full()).unwrap()
    }

    #[test]
    fn the_page_on_the_report_lists_every_key_and_no_other() {
        let page = include_str!("../../docs/report.md");
        let listed: BTreeSet<String> = page
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
            .collect();
        let mut written = BTreeSet::new();
        keys(&full(), "", &mut written);
        assert_eq!(listed.difference(&written).collect::<Vec<_>>(), Vec::<&String>::new(), "not in a report");
        assert_eq!(written.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "not in the page");
        assert!(page.contains(SCHEMA));
    }

    #[test]
    fn the_schema_has_every_key_and_no_other() {
        let (mut written, mut stated) = (BTreeSet::new(), BTreeSet::new());
        keys(&full(), "", &mut written);
        let schema = schema();
        schema_keys(&schema, &schema, "", &mut stated);
        assert_eq!(stated, written);
    }

    #[test]
    fn reports_fit_the_schema_and_others_do_not() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let least = serde_json::to_value(sample::least()).unwrap();
        for report in [full(), least.clone()] {
            let errors: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new());
        }
        for (place, value) in
            [("/outcome", json!("odd")), ("/ledger/sent", json!("1")), ("/notes", json!([1]))]
        {
            let mut report = full();
            *report.pointer_mut(place).unwrap() = value;
            assert!(!validator.is_valid(&report), "{place}");
        }
        let mut report = full();
        report["ledger"].as_object_mut().unwrap().remove("pending");
        assert!(!validator.is_valid(&report));
    }

    #[test]
    fn every_duration_and_point_in_time_says_its_unit() {
        let mut all = BTreeSet::new();
        keys(&full(), "", &mut all);
        let times = ["duration", "started", "ended", "latency", "submitted_", "completed_"];
        for key in all {
            let last = key.rsplit('.').next().unwrap();
            assert!(!times.iter().any(|time| last.contains(time)) || last.ends_with("_us"), "{key}");
        }
    }
}
