//! Every key of a manifest has an effect, and a test that shows it.
//!
//! A key that the schema gains fails the first test until it stands in the table; a row whose test does not write the key
//! fails the second.

use std::{collections::BTreeSet, fs};

use phalanx::{
    manifest::{Manifest, Variables},
    report::RunReport,
    swarm::{self, RunOptions, Stop},
};
use serde_json::Value;

use crate::{command::Folder, swarm_keys::traced};

/// Each key by its place, with the test that shows what it does.
const EFFECTS: &[(&str, &str)] = &[
    ("$schema", "a_report_and_a_trace_are_called_after_the_manifest"),
    ("agents[].capabilities", "agents_have_the_ids_capabilities_and_number_of_their_entry"),
    ("agents[].count", "agents_have_the_ids_capabilities_and_number_of_their_entry"),
    ("agents[].group", "topics_reach_their_subscribers_by_kind_agent_capability_and_group"),
    ("agents[].id", "agents_have_the_ids_capabilities_and_number_of_their_entry"),
    ("agents[].inbox.capacity", "an_inbox_holds_as_much_as_it_may_and_loses_what_its_policy_says"),
    ("agents[].inbox.overflow", "an_inbox_holds_as_much_as_it_may_and_loses_what_its_policy_says"),
    ("agents[].kind", "name_seed_and_duration_are_in_the_report"),
    ("agents[].location.latitude", "agents_have_the_ids_capabilities_and_number_of_their_entry"),
    ("agents[].location.longitude", "agents_have_the_ids_capabilities_and_number_of_their_entry"),
    ("agents[].metadata", "agents_have_the_ids_capabilities_and_number_of_their_entry"),
    ("agents[].parameters.chunk", "a_hasher_gives_the_same_hash_whatever_its_chunk"),
    ("agents[].parameters.every", "a_ticker_keeps_its_interval_and_its_limit_also_over_a_crash"),
    ("agents[].parameters.level", "a_logger_writes_at_its_level"),
    ("agents[].parameters.limit", "a_ticker_keeps_its_interval_and_its_limit_also_over_a_crash"),
    ("agents[].parameters.to", "relays_pass_on_what_they_hear_and_a_circle_of_them_comes_to_rest"),
    ("agents[].parameters.topic", "a_ticker_keeps_its_interval_and_its_limit_also_over_a_crash"),
    ("agents[].priority", "the_most_urgent_agents_are_registered_first"),
    ("agents[].supervision.backoff.factor", "supervision_restarts_as_often_and_as_late_as_it_says"),
    ("agents[].supervision.backoff.initial", "supervision_restarts_as_often_and_as_late_as_it_says"),
    ("agents[].supervision.backoff.jitter", "supervision_restarts_as_often_and_as_late_as_it_says"),
    ("agents[].supervision.backoff.max", "a_back_off_grows_no_longer_than_its_greatest"),
    ("agents[].supervision.policy", "supervision_restarts_as_often_and_as_late_as_it_says"),
    ("agents[].supervision.restarts", "supervision_restarts_as_often_and_as_late_as_it_says"),
    ("agents[].supervision.within", "supervision_restarts_as_often_and_as_late_as_it_says"),
    ("agents[].tenant", "limits_of_kinds_and_tenants_are_kept"),
    ("arbiters", "arbiters_are_as_many_as_the_manifest_says"),
    ("coordinator.max_concurrent", "tasks_keep_to_dependencies_priorities_and_the_number_that_may_run"),
    ("coordinator.progress_topic", "progress_comes_at_most_twenty_times_a_second_and_ends_with_everything"),
    ("description", "name_seed_and_duration_are_in_the_report"),
    ("faults[].kill.agent", "a_ticker_keeps_its_interval_and_its_limit_also_over_a_crash"),
    ("faults[].when.after", "a_ticker_keeps_its_interval_and_its_limit_also_over_a_crash"),
    ("faults[].when.tasks_completed", "a_fault_at_the_very_end_or_beginning_strikes_all_the_same"),
    ("groups[].backoff.factor", "the_back_off_of_a_group_is_the_group_s_own"),
    ("groups[].backoff.initial", "the_back_off_of_a_group_is_the_group_s_own"),
    ("groups[].backoff.jitter", "the_back_off_of_a_group_is_the_group_s_own"),
    ("groups[].backoff.max", "the_back_off_of_a_group_is_the_group_s_own"),
    ("groups[].name", "topics_reach_their_subscribers_by_kind_agent_capability_and_group"),
    ("groups[].parent", "groups_restart_their_members_together_and_escalate_to_their_parents"),
    ("groups[].restarts", "groups_restart_their_members_together_and_escalate_to_their_parents"),
    ("groups[].strategy", "groups_restart_their_members_together_and_escalate_to_their_parents"),
    ("groups[].within", "a_group_forgets_restarts_that_are_older_than_its_window"),
    ("heartbeat.every", "an_agent_that_waits_for_too_long_is_suspected_and_inactive_by_its_heartbeats"),
    (
        "heartbeat.inactive_after",
        "an_agent_that_waits_for_too_long_is_suspected_and_inactive_by_its_heartbeats",
    ),
    (
        "monitor.handlers[].do.append.path",
        "a_handler_appends_its_events_to_a_file_as_lines_and_says_when_it_cannot",
    ),
    ("monitor.handlers[].do.count", "handlers_see_the_events_they_ask_for_in_the_order_of_the_manifest"),
    ("monitor.handlers[].do.log", "handlers_see_the_events_they_ask_for_in_the_order_of_the_manifest"),
    ("monitor.handlers[].events", "handlers_see_the_events_they_ask_for_in_the_order_of_the_manifest"),
    ("monitor.handlers[].name", "handlers_see_the_events_they_ask_for_in_the_order_of_the_manifest"),
    ("monitor.handlers[].priority", "handlers_see_the_events_they_ask_for_in_the_order_of_the_manifest"),
    ("monitor.handlers[].severity", "handlers_see_the_events_they_ask_for_in_the_order_of_the_manifest"),
    ("monitor.handlers[].source", "handlers_see_the_events_they_ask_for_in_the_order_of_the_manifest"),
    ("monitor.sample_every", "a_manifest_can_do_without_samples"),
    ("name", "a_report_and_a_trace_are_called_after_the_manifest"),
    ("registration.batch", "registration_forms_batches_as_the_strategy_says"),
    ("registration.journal", "a_journal_is_kept_and_says_what_earlier_runs_left"),
    ("registration.limits.default_per_kind", "limits_of_kinds_and_tenants_are_kept"),
    ("registration.limits.default_per_tenant", "limits_of_kinds_and_tenants_are_kept"),
    ("registration.limits.kinds", "limits_of_kinds_and_tenants_are_kept"),
    ("registration.limits.tenants", "limits_of_kinds_and_tenants_are_kept"),
    ("registration.strategy", "registration_forms_batches_as_the_strategy_says"),
    ("registration.threshold", "the_most_urgent_agents_are_registered_first"),
    ("registration.window", "the_most_urgent_agents_are_registered_first"),
    ("seed", "name_seed_and_duration_are_in_the_report"),
    ("startup.estimates", "a_second_start_is_planned_by_what_the_first_took"),
    ("startup.on_failure", "start_up_that_fails_ends_the_run_or_lets_it_go_on_as_the_manifest_says"),
    ("startup.phases", "start_up_keeps_to_its_workers_and_phases"),
    ("startup.resources", "start_up_tasks_share_resources_and_wait_for_phases"),
    ("startup.tasks[].after_phases", "start_up_tasks_share_resources_and_wait_for_phases"),
    ("startup.tasks[].dependency", "start_up_tries_again_and_runs_blocking_tasks_alone"),
    ("startup.tasks[].depends_on", "start_up_tries_again_and_runs_blocking_tasks_alone"),
    ("startup.tasks[].do.read_file.path", "start_up_tries_again_and_runs_blocking_tasks_alone"),
    ("startup.tasks[].do.run.arguments", "a_program_that_fails_or_is_not_there_says_so"),
    ("startup.tasks[].do.run.directory", "a_program_that_fails_or_is_not_there_says_so"),
    ("startup.tasks[].do.run.environment", "a_program_that_fails_or_is_not_there_says_so"),
    ("startup.tasks[].do.run.program", "a_program_that_fails_or_is_not_there_says_so"),
    ("startup.tasks[].do.sleep.for", "start_up_keeps_to_its_workers_and_phases"),
    (
        "startup.tasks[].do.wait_for_port.every",
        "a_port_is_waited_for_at_its_host_and_as_often_as_the_body_says",
    ),
    (
        "startup.tasks[].do.wait_for_port.host",
        "a_port_is_waited_for_at_its_host_and_as_often_as_the_body_says",
    ),
    ("startup.tasks[].do.wait_for_port.port", "a_port_is_waited_for_until_it_accepts_or_time_is_up"),
    (
        "startup.tasks[].do.wait_for_file.every",
        "a_file_is_waited_for_and_looked_for_as_often_as_the_body_says",
    ),
    (
        "startup.tasks[].do.wait_for_file.path",
        "a_file_is_waited_for_and_looked_for_as_often_as_the_body_says",
    ),
    (
        "startup.tasks[].do.wait_for_http.every",
        "a_server_is_asked_until_it_answers_well_as_often_as_the_body_says",
    ),
    (
        "startup.tasks[].do.wait_for_http.status",
        "a_server_is_asked_until_it_answers_well_as_often_as_the_body_says",
    ),
    (
        "startup.tasks[].do.wait_for_http.url",
        "a_server_is_asked_until_it_answers_well_as_often_as_the_body_says",
    ),
    ("startup.tasks[].estimate", "start_up_tries_again_and_runs_blocking_tasks_alone"),
    ("startup.tasks[].id", "start_up_keeps_to_its_workers_and_phases"),
    ("startup.tasks[].lazy", "a_lazy_start_up_task_runs_when_a_task_first_uses_it"),
    ("startup.tasks[].name", "start_up_tasks_are_called_by_their_name_for_people"),
    ("startup.tasks[].needs", "start_up_tasks_share_resources_and_wait_for_phases"),
    ("startup.tasks[].phase", "start_up_keeps_to_its_workers_and_phases"),
    ("startup.tasks[].priority", "start_up_keeps_to_its_workers_and_phases"),
    ("startup.tasks[].retries", "start_up_tries_again_and_runs_blocking_tasks_alone"),
    ("startup.tasks[].timeout", "start_up_tries_again_and_runs_blocking_tasks_alone"),
    ("startup.tasks[].undo.read_file.path", "what_completed_is_undone_by_any_body_a_start_up_task_may_have"),
    ("startup.tasks[].undo.run.arguments", "what_completed_is_undone_by_any_body_a_start_up_task_may_have"),
    ("startup.tasks[].undo.run.directory", "what_completed_is_undone_by_any_body_a_start_up_task_may_have"),
    ("startup.tasks[].undo.run.environment", "what_completed_is_undone_by_any_body_a_start_up_task_may_have"),
    ("startup.tasks[].undo.run.program", "what_completed_is_undone_by_any_body_a_start_up_task_may_have"),
    ("startup.tasks[].undo.sleep.for", "what_completed_is_undone_by_any_body_a_start_up_task_may_have"),
    (
        "startup.tasks[].undo.wait_for_file.every",
        "what_completed_is_undone_by_any_body_a_start_up_task_may_have",
    ),
    (
        "startup.tasks[].undo.wait_for_file.path",
        "what_completed_is_undone_by_any_body_a_start_up_task_may_have",
    ),
    (
        "startup.tasks[].undo.wait_for_http.every",
        "what_completed_is_undone_by_any_body_a_start_up_task_may_have",
    ),
    (
        "startup.tasks[].undo.wait_for_http.status",
        "what_completed_is_undone_by_any_body_a_start_up_task_may_have",
    ),
    (
        "startup.tasks[].undo.wait_for_http.url",
        "what_completed_is_undone_by_any_body_a_start_up_task_may_have",
    ),
    (
        "startup.tasks[].undo.wait_for_port.every",
        "what_completed_is_undone_by_any_body_a_start_up_task_may_have",
    ),
    (
        "startup.tasks[].undo.wait_for_port.host",
        "what_completed_is_undone_by_any_body_a_start_up_task_may_have",
    ),
    (
        "startup.tasks[].undo.wait_for_port.port",
        "what_completed_is_undone_by_any_body_a_start_up_task_may_have",
    ),
    ("startup.workers", "start_up_keeps_to_its_workers_and_phases"),
    ("tasks[].depends_on", "tasks_keep_to_dependencies_priorities_and_the_number_that_may_run"),
    (
        "tasks[].do.combine_hashes",
        "special_files_and_links_are_left_out_and_other_names_are_kept_byte_for_byte",
    ),
    ("tasks[].do.hash_file.path", "a_hasher_gives_the_same_hash_whatever_its_chunk"),
    ("tasks[].do.read_file.path", "a_task_reads_a_file_and_tells_its_length"),
    ("tasks[].do.run.arguments", "a_program_that_fails_or_is_not_there_says_so"),
    ("tasks[].do.run.directory", "a_program_that_fails_or_is_not_there_says_so"),
    ("tasks[].do.run.environment", "a_program_that_fails_or_is_not_there_says_so"),
    ("tasks[].do.run.program", "a_program_that_fails_or_is_not_there_says_so"),
    ("tasks[].do.sleep.for", "name_seed_and_duration_are_in_the_report"),
    ("tasks[].do.wait_for_file.every", "a_file_is_waited_for_and_looked_for_as_often_as_the_body_says"),
    ("tasks[].do.wait_for_file.path", "a_file_is_waited_for_and_looked_for_as_often_as_the_body_says"),
    ("tasks[].do.wait_for_http.every", "a_server_is_asked_until_it_answers_well_as_often_as_the_body_says"),
    ("tasks[].do.wait_for_http.status", "a_server_is_asked_until_it_answers_well_as_often_as_the_body_says"),
    ("tasks[].do.wait_for_http.url", "a_server_is_asked_until_it_answers_well_as_often_as_the_body_says"),
    ("tasks[].do.wait_for_port.every", "a_port_is_waited_for_at_its_host_and_as_often_as_the_body_says"),
    ("tasks[].do.wait_for_port.host", "a_port_is_waited_for_at_its_host_and_as_often_as_the_body_says"),
    ("tasks[].do.wait_for_port.port", "a_port_is_waited_for_until_it_accepts_or_time_is_up"),
    ("tasks[].estimate", "a_task_that_takes_too_long_is_tried_again_so_often"),
    ("tasks[].for_each.count", "agents_have_the_ids_capabilities_and_number_of_their_entry"),
    (
        "tasks[].for_each.file_below",
        "special_files_and_links_are_left_out_and_other_names_are_kept_byte_for_byte",
    ),
    ("tasks[].id", "agents_have_the_ids_capabilities_and_number_of_their_entry"),
    ("tasks[].needs", "agents_have_the_ids_capabilities_and_number_of_their_entry"),
    ("tasks[].priority", "tasks_keep_to_dependencies_priorities_and_the_number_that_may_run"),
    ("tasks[].retries", "a_task_that_takes_too_long_is_tried_again_so_often"),
    ("tasks[].timeout", "name_seed_and_duration_are_in_the_report"),
    ("tasks[].type", "tasks_keep_to_dependencies_priorities_and_the_number_that_may_run"),
    ("tasks[].uses", "a_lazy_start_up_task_runs_when_a_task_first_uses_it"),
    ("topics[].batch.linger", "batches_are_as_large_and_wait_as_long_as_their_topic_says"),
    ("topics[].batch.size", "batches_are_as_large_and_wait_as_long_as_their_topic_says"),
    (
        "topics[].confirm.retries",
        "a_notice_that_is_to_be_confirmed_is_sent_again_until_it_is_or_its_time_is_over",
    ),
    (
        "topics[].confirm.ttl",
        "a_notice_that_is_to_be_confirmed_is_sent_again_until_it_is_or_its_time_is_over",
    ),
    ("topics[].keep_last", "who_subscribes_later_hears_first_what_the_topic_keeps"),
    ("topics[].name", "topics_reach_their_subscribers_by_kind_agent_capability_and_group"),
    ("topics[].subscribers[].after", "who_subscribes_later_hears_first_what_the_topic_keeps"),
    ("topics[].subscribers[].agent", "topics_reach_their_subscribers_by_kind_agent_capability_and_group"),
    (
        "topics[].subscribers[].capability",
        "topics_reach_their_subscribers_by_kind_agent_capability_and_group",
    ),
    ("topics[].subscribers[].from", "a_subscriber_hears_those_alone_whom_it_wants_to_hear"),
    ("topics[].subscribers[].group", "topics_reach_their_subscribers_by_kind_agent_capability_and_group"),
    ("topics[].subscribers[].kind", "topics_reach_their_subscribers_by_kind_agent_capability_and_group"),
    ("topics[].subscribers[].replay", "who_subscribes_later_hears_first_what_the_topic_keeps"),
    ("topics[].to_one", "a_notice_for_one_goes_to_whom_the_strategy_says"),
];

/// The places of all keys below a schema.
fn places(root: &Value, schema: &Value, place: &str, found: &mut BTreeSet<String>) {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(&name[1..]).unwrap_or_else(|| panic!("{name} is there"));
        return places(root, target, place, found);
    }
    for choices in ["anyOf", "oneOf", "allOf"] {
        for choice in schema.get(choices).and_then(Value::as_array).into_iter().flatten() {
            places(root, choice, place, found);
        }
    }
    if let Some(then) = schema.get("then") {
        places(root, then, place, found);
    }
    if let Some(items) = schema.get("items") {
        places(root, items, &format!("{place}[]"), found);
    }
    for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        places(root, property, &place, found);
        found.insert(place);
    }
}

#[test]
fn every_key_has_a_test_of_its_effect() {
    let (schema, mut keys) = (phalanx::manifest::schema(), BTreeSet::new());
    places(&schema, &schema, "", &mut keys);
    // An object is there for what is in it.
    let all = keys.clone();
    let holds = |key: &String| all.iter().any(|other| other.starts_with(&format!("{key}.")));
    let lists = |key: &String| all.iter().any(|other| other.starts_with(&format!("{key}[]")));
    keys.retain(|key| !holds(key) && !lists(key));
    let listed: BTreeSet<String> = EFFECTS.iter().map(|(key, _)| (*key).to_owned()).collect();
    let missing: Vec<_> = keys.difference(&listed).collect();
    assert!(missing.is_empty(), "without a test of their effect: {missing:#?}");
    let gone: Vec<_> = listed.difference(&keys).collect();
    assert!(gone.is_empty(), "no keys: {gone:#?}");
    assert_eq!(listed.len(), EFFECTS.len(), "a key stands twice");
}

#[test]
fn each_test_of_an_effect_is_there_and_writes_its_key() {
    let mut tests = String::new();
    for file in fs::read_dir("tests/suite").unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|end| end == "rs") {
            tests.push_str(&fs::read_to_string(file).unwrap());
        }
    }
    for (place, test) in EFFECTS {
        let start = tests.find(&format!("#[test]\nfn {test}()")).unwrap_or_else(|| panic!("{test} is there"));
        let body = &tests[start..];
        let body = &body[..body.find("\n}\n").unwrap_or(body.len())];
        let key = place.rsplit(['.', ']']).next().unwrap_or(place);
        assert!(body.contains(&format!("\"{key}\"")), "{test} does not write `{key}` of {place}");
    }
}

fn live(text: &str) -> RunReport {
    let manifest = Manifest::parse(text, "test.json", &Variables::default()).unwrap();
    swarm::run(&manifest, RunOptions::default(), |_| {}, Stop::default()).unwrap()
}

#[test]
fn a_report_and_a_trace_are_called_after_the_manifest() {
    let report = live(r#"{"$schema": "anything", "name": "after me", "arbiters": 1}"#);
    assert_eq!(report.name, "after me");
    let (plain, with) = (r#""seed": 1"#, r#""$schema": "anything", "seed": 1"#);
    assert_eq!(traced(plain).1, traced(with).1, "`$schema` is for editors and changes nothing");
}

#[test]
fn arbiters_are_as_many_as_the_manifest_says() {
    for arbiters in [1, 3] {
        let report =
            live(&format!(r#"{{"name": "n", "arbiters": {arbiters}, "agents": [{{"kind": "counter"}}]}}"#));
        assert_eq!(report.arbiters, arbiters);
    }
}

#[test]
fn a_logger_writes_at_its_level() {
    let folder = Folder::new();
    let lines = |level: &str| {
        let text = format!(
            r#"{{"name": "n", "agents": [{{"kind": "ticker", "parameters": {{"topic": "t", "every": "1ms", "limit": 2}}}},
            {{"kind": "logger", "parameters": {{"level": "{level}"}}}}],
            "topics": [{{"name": "t", "subscribers": [{{"kind": "logger"}}]}}]}}"#
        );
        fs::write(folder.path("logger.json"), text).unwrap();
        let (code, _, err) = folder.run(&["logger.json", "--simulate", "-v"]);
        assert_eq!(code, Some(0), "{err}");
        let level = level.to_uppercase();
        err.lines().filter(|line| line.contains(&format!("{level} ")) && line.contains("tick ")).count()
    };
    assert_eq!(["info", "warn", "error", "debug"].map(lines), [2, 2, 2, 0]);
}

#[test]
fn a_hasher_gives_the_same_hash_whatever_its_chunk() {
    let folder = Folder::new();
    fs::write(folder.path("file"), "0123456789").unwrap();
    let hash = |chunk: usize| {
        let report = live(&format!(
            r#"{{"name": "n", "arbiters": 1, "agents": [{{"kind": "hasher", "parameters": {{"chunk": {chunk}}}}}],
            "tasks": [{{"id": "h", "do": {{"hash_file": {{"path": {:?}}}}}}}]}}"#,
            folder.path("file")
        ));
        report.tasks.results["h"].as_str().unwrap().split(' ').next().unwrap().to_owned()
    };
    let expected = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
    assert_eq!([1, 3, 4096].map(hash), [expected; 3]);
}

#[test]
fn a_task_reads_a_file_and_tells_its_length() {
    let folder = Folder::new();
    fs::write(folder.path("file"), "0123456789").unwrap();
    let report = live(&format!(
        r#"{{"name": "n", "arbiters": 1, "agents": [{{"kind": "runner"}}],
        "tasks": [{{"id": "r", "do": {{"read_file": {{"path": {:?}}}}}}}]}}"#,
        folder.path("file")
    ));
    assert_eq!(report.tasks.results["r"], serde_json::json!({"bytes": 10}));
}

#[test]
fn a_port_is_waited_for_at_its_host_and_as_often_as_the_body_says() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let wait = |port: u16, host: &str, timeout: &str| {
        live(&format!(
            r#"{{"name": "n", "arbiters": 1, "agents": [{{"kind": "runner"}}], "tasks": [{{"id": "p", "timeout": "{timeout}",
            "retries": 0, "do": {{"wait_for_port": {{"host": "{host}", "port": {port}, "every": "1h"}}}}}}]}}"#
        ))
    };
    let report = wait(port, "localhost", "1m");
    assert_eq!(report.tasks.results["p"]["address"], format!("127.0.0.1:{port}"));
    drop(listener);
    assert_eq!(
        wait(port, "127.0.0.1", "30ms").tasks.totals.timed_out,
        1,
        "an hour passes before the second try"
    );
}

#[test]
fn a_back_off_grows_no_longer_than_its_greatest() {
    let (_, events) = traced(
        r#""agents": [{"kind": "counter", "supervision": {"backoff": {"initial": "100ms", "factor": 3, "jitter": 0, "max": "150ms"}}}],
        "faults": [{"kill": {"agent": "counter"}, "when": {"after": "1s"}}, {"kill": {"agent": "counter"}, "when": {"after": "2s"}}]"#,
    );
    let waits = events.iter().filter_map(|event| event["data"]["restart_in_us"].as_u64());
    assert_eq!(waits.collect::<Vec<_>>(), [100_000, 150_000]);
}

#[test]
fn the_back_off_of_a_group_is_the_group_s_own() {
    let (_, events) = traced(
        r#""groups": [{"name": "g", "backoff": {"initial": "70ms", "factor": 2, "jitter": 0, "max": "100ms"}}],
        "agents": [{"kind": "counter", "group": "g"}],
        "faults": [{"kill": {"agent": "counter"}, "when": {"after": "1s"}}, {"kill": {"agent": "counter"}, "when": {"after": "2s"}}]"#,
    );
    let waits = events.iter().filter_map(|event| event["data"]["restart_in_us"].as_u64());
    assert_eq!(waits.collect::<Vec<_>>(), [70_000, 100_000]);
}

#[test]
fn a_group_forgets_restarts_that_are_older_than_its_window() {
    let restarts = |within: &str| {
        let (report, _) = traced(&format!(
            r#""groups": [{{"name": "g", "restarts": 1, "within": "{within}"}}], "agents": [{{"kind": "counter", "group": "g"}}],
            "faults": [{{"kill": {{"agent": "counter"}}, "when": {{"after": "1s"}}}},
                {{"kill": {{"agent": "counter"}}, "when": {{"after": "5s"}}}}]"#
        ));
        (report.agents.restarts, report.agents.abandoned.len())
    };
    assert_eq!((restarts("3s"), restarts("10s")), ((2, 0), (1, 1)));
}
