//! What each key of a manifest does to a run, one after the other, in virtual time.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use phalanx::{
    manifest::{Manifest, Palette, Variables},
    report::{Outcome, RouteSection, RunReport},
    swarm::{self, Progress, RunOptions, Stop},
};
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A run and its events.
pub(crate) fn traced(body: &str) -> (RunReport, Vec<Value>) {
    let text = format!("{{\"name\": \"n\", {body}}}");
    let manifest = Manifest::parse(&text, "test.json", &Variables::default()).unwrap();
    let written = Written::default();
    let options = RunOptions { simulate: true, seed: None, trace: Some(Box::new(written.clone())) };
    let report = swarm::run(&manifest, options, |_| {}, Stop::default()).unwrap();
    assert!(report.ledger.balances() && report.ledger.pending == 0, "{:?}", report.ledger);
    let events = written.0.lock().unwrap();
    let events = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = events.map(|line| serde_json::from_slice(line).unwrap()).collect();
    (report, events)
}

fn simulate(body: &str) -> RunReport {
    traced(body).0
}

pub(crate) fn succeeds(body: &str) -> RunReport {
    let report = simulate(body);
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.failures);
    report
}

pub(crate) fn named<'e>(events: &'e [Value], name: &'e str) -> impl Iterator<Item = &'e Value> {
    events.iter().filter(move |event| event["name"] == name)
}

pub(crate) fn route<'r>(report: &'r RunReport, topic: &str) -> &'r RouteSection {
    report
        .routes
        .iter()
        .find(|route| route.route == format!("topic {topic} (Notice)"))
        .unwrap_or_else(|| panic!("{:?}", report.routes))
}

fn tasks_in_order(events: &[Value]) -> Vec<&str> {
    named(events, "coordinator.task_started").map(|event| event["data"]["task"].as_str().unwrap()).collect()
}

#[test]
fn name_seed_and_duration_are_in_the_report() {
    let report = succeeds(
        r#""$schema": "schema.json", "description": "what it is for", "seed": 18446744073709551615, "agents": [{"kind": "runner"}],
        "tasks": [{"id": "t", "do": {"sleep": {"for": "90s"}}, "timeout": "2m"}]"#,
    );
    assert_eq!((report.name.as_str(), report.seed), ("n", u64::MAX));
    assert_eq!(report.description, "what it is for");
    assert!((90_000_000..91_000_000).contains(&report.duration_us), "{}", report.duration_us);
}

#[test]
fn the_batches_of_each_topic_are_in_the_report() {
    let report = succeeds(
        r#""agents": [{"kind": "ticker", "count": 3, "parameters": {"topic": "t", "every": "1s", "limit": 4}}, {"kind": "counter", "count": 2}],
        "topics": [{"name": "t", "subscribers": [{"kind": "counter"}]}]"#,
    );
    let topic = route(&report, "t");
    let batches = topic.batches.as_ref().unwrap();
    assert_eq!((topic.ledger.delivered, batches.messages), (24, 12), "one arbiter, two recipients");
    let sizes: u64 = batches.sizes.iter().map(|size| size.batches).sum();
    assert!(batches.count == sizes && batches.count >= 4, "{batches:?}");
    assert_eq!((batches.bound, batches.delay_p50_us), (64, Some(0)), "virtual time learns nothing");
    assert!(report.routes[0].batches.is_none(), "direct sends come in none");
    assert!(report.to_text(Palette::Plain).contains("in batches"));
}

#[test]
fn start_up_keeps_to_its_workers_and_phases() {
    let startup = |options: &str| {
        let tasks = r#"{"id": "c", "phase": "ready", "do": {"sleep": {"for": "1s"}}},
            {"id": "a", "phase": "dependency_resolution", "do": {"sleep": {"for": "4s"}}},
            {"id": "b", "phase": "dependency_resolution", "priority": "high", "do": {"sleep": {"for": "4s"}}}"#;
        succeeds(&format!(r#""startup": {{{options}, "tasks": [{tasks}]}}"#)).startup.unwrap().duration_us
            / 1_000_000
    };
    assert_eq!(startup(r#""workers": 8"#), 4);
    assert_eq!(startup(r#""workers": 1"#), 9);
    assert_eq!(startup(r#""phases": "strict""#), 5);
}

#[test]
fn start_up_tasks_share_resources_and_wait_for_phases() {
    let took = |resources: &str, waits: &str| {
        let tasks = format!(
            r#"{{"id": "a", "phase": "dependency_resolution", "needs": {{"cpu": 2}}, "do": {{"sleep": {{"for": "4s"}}}}}},
            {{"id": "b", "phase": "dependency_resolution", "needs": {{"cpu": 2}}, "do": {{"sleep": {{"for": "4s"}}}}}},
            {{"id": "c", "phase": "ready", {waits} "do": {{"sleep": {{"for": "1s"}}}}}}"#
        );
        let startup = format!(r#""startup": {{"resources": {resources}, "tasks": [{tasks}]}}"#);
        succeeds(&startup).startup.unwrap().duration_us / 1_000_000
    };
    assert_eq!(took(r#"{"cpu": 4}"#, ""), 4);
    assert_eq!(took(r#"{"cpu": 3}"#, ""), 8);
    assert_eq!(took(r#"{"cpu": 4}"#, r#""after_phases": ["dependency_resolution"],"#), 5);
}

#[test]
fn start_up_tasks_are_called_by_their_name_for_people() {
    let task = r#"{"id": "a", "name": "load settings", "estimate": "3s", "timeout": "2s", "do": {"read_file": {"path": "x"}}},
        {"id": "b", "name": "look around", "do": {"sleep": {"for": "4s"}}}"#;
    let run = |on_failure: &str| {
        simulate(&format!(r#""startup": {{"on_failure": "{on_failure}", "tasks": [{task}]}}"#))
    };
    let report = run("continue");
    assert_eq!(report.failures, ["start-up task load settings failed: timed out after 2s"]);
    let path = report.startup.unwrap().critical_path;
    assert_eq!((path[0].task.as_str(), path[0].name.as_str()), ("b", "look around"));
}

#[test]
fn start_up_tries_again_and_runs_blocking_tasks_alone() {
    let (report, events) = traced(
        r#""startup": {"tasks": [
            {"id": "alone", "dependency": "blocking", "do": {"sleep": {"for": "2s"}}},
            {"id": "hint", "dependency": "non_blocking", "estimate": "3s", "timeout": "1s", "retries": 2,
             "do": {"read_file": {"path": "x"}}},
            {"id": "next", "depends_on": ["alone"], "do": {"sleep": {"for": "2s"}}}]}"#,
    );
    assert_eq!(report.outcome, Outcome::Succeeded);
    let startup = report.startup.unwrap();
    assert_eq!((startup.outcome.as_str(), startup.failed[0].task.as_str()), ("degraded", "hint"));
    assert_eq!(named(&events, "initializer.task_retried").count(), 2);
}

#[test]
fn agents_have_the_ids_capabilities_and_number_of_their_entry() {
    let (report, events) = traced(
        r#""agents": [{"kind": "runner", "id": "r-{index}", "count": 3}, {"kind": "runner", "id": "special",
            "capabilities": ["fast"], "metadata": {"a": "b"}, "location": {"latitude": 1, "longitude": 2}}],
        "tasks": [{"id": "t{index}", "for_each": {"count": 4}, "needs": ["fast"], "do": {"sleep": {"for": "1s"}}}]"#,
    );
    assert_eq!((report.agents.by_kind["runner"], report.registration.completed), (4, 4));
    assert!(named(&events, "coordinator.task_started").all(|event| event["agent"] == "special"));
    assert_eq!(report.tasks.duration_us, 4_000_000);
    let started: Vec<_> =
        named(&events, "agent.started").map(|event| event["agent"].as_str().unwrap()).collect();
    for id in ["r-0", "r-1", "r-2", "special"] {
        assert!(started.contains(&id), "{started:?}");
    }
    let spawned: Vec<_> = named(&events, "swarm.agents_spawned").map(|event| &event["data"]).collect();
    assert_eq!(
        spawned,
        [
            &json!({"entry": "r-{index}", "kind": "runner", "count": 3, "offers": ["run"], "priority": 2}),
            &json!({"entry": "special", "kind": "runner", "count": 1, "offers": ["run", "fast"], "priority": 2,
                "location": [1.0, 2.0], "metadata": {"a": "b"}}),
        ]
    );
}

#[test]
fn registration_forms_batches_as_the_strategy_says() {
    let batches = |registration: &str| {
        let report = succeeds(&format!(
            r#""registration": {{{registration}}}, "agents": [{{"kind": "counter", "count": 60}}, {{"kind": "logger"}}]"#
        ));
        assert_eq!(report.registration.completed, 61);
        (report.registration.batches, report.registration.duration_us)
    };
    assert_eq!(batches(r#""strategy": "streaming""#).0, 61);
    assert_eq!(batches(r#""strategy": "fixed_size", "batch": 20"#).0, 4);
    assert_eq!(batches(r#""strategy": "fixed_size""#).0, 7);
    let (_, took) = batches(r#""strategy": "fixed_size", "batch": 60, "window": "2s""#);
    assert!((2_000_000..2_100_000).contains(&took), "the 61st waits for its window: {took} us");
    let (adaptive, _) = batches(r#""strategy": "adaptive""#);
    assert!((4..=13).contains(&adaptive), "{adaptive}");
    let (small, _) = batches(r#""strategy": "adaptive", "batch": 2"#);
    assert!(small >= 31, "{small}");
    let (timed, took) = batches(r#""strategy": "time_based", "window": "3s""#);
    assert!(timed == 1 && (3_000_000..3_100_000).contains(&took), "{timed} in {took} us");
    let (timed, took) = batches(r#""strategy": "time_based", "window": "3s", "batch": 10"#);
    assert!(timed == 7 && (3_000_000..3_100_000).contains(&took), "{timed} in {took} us");
    let (urgent, took) = batches(r#""strategy": "priority_based", "threshold": "normal""#);
    assert!(urgent <= 2 && took < 1_000_000, "{urgent} in {took} us");
    assert!(batches(r#""strategy": "priority_based", "batch": 7"#).0 >= 9);
    let (_, took) = batches(r#""strategy": "priority_based", "threshold": "high""#);
    assert!((5_000_000..5_100_000).contains(&took), "{took} us");
    let (_, took) = batches(r#""strategy": "priority_based", "threshold": "high", "window": "2s""#);
    assert!((2_000_000..2_100_000).contains(&took), "{took} us");
}

#[test]
fn limits_of_kinds_and_tenants_are_kept() {
    let agents = r#""agents": [{"kind": "counter", "count": 2, "tenant": "acme"}, {"kind": "logger", "tenant": "acme"},
        {"kind": "logger", "id": "other", "tenant": "zeta"}]"#;
    let run = |limits: &str| {
        let text = format!(r#"{{"name": "n", "registration": {{"limits": {limits}}}, {agents}}}"#);
        let manifest = Manifest::parse(&text, "test.json", &Variables::default()).unwrap();
        let options = RunOptions { simulate: true, seed: None, trace: None };
        swarm::run(&manifest, options, |_| {}, Stop::default())
    };
    for enough in [
        r#"{"kinds": {"counter": 2, "logger": 2}, "tenants": {"acme": 3}, "default_per_tenant": 1}"#,
        r#"{"default_per_kind": 2, "default_per_tenant": 3}"#,
    ] {
        let report = run(enough).unwrap();
        assert_eq!((report.outcome, report.registration.completed), (Outcome::Succeeded, 4), "{enough}");
    }
    for (limits, refusal) in [
        (r#"{"kinds": {"counter": 1}}"#, "counter/1 is one too many of kind counter"),
        (r#"{"default_per_kind": 1, "kinds": {"counter": 2}}"#, "other is one too many of kind logger"),
        (
            r#"{"tenants": {"acme": 2}}"#,
            "logger is one too many of tenant acme: 2 are registered and 0 being registered",
        ),
        (r#"{"default_per_tenant": 2, "tenants": {"zeta": 1}}"#, "logger is one too many of tenant acme"),
    ] {
        let error = run(limits).unwrap_err();
        let said = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let said: Vec<_> = said.map(ToString::to_string).collect();
        assert!(said.iter().any(|text| text.contains(refusal)), "{limits}: {said:?}");
    }
}

/// The batches of agents and when each was registered, in seconds.
fn registered(events: &[Value]) -> Vec<(&Value, u64)> {
    named(events, "registrar.batch_registered")
        .map(|event| (&event["data"]["first"], event["at"].as_u64().unwrap() / 1_000_000))
        .collect()
}

#[test]
fn the_most_urgent_agents_are_registered_first() {
    let agents = r#""agents": [{"kind": "counter", "id": "late", "priority": "low"}, {"kind": "counter", "id": "usual"},
        {"kind": "counter", "id": "first", "priority": 5}]"#;
    let (_, events) =
        traced(&format!(r#""registration": {{"strategy": "time_based", "window": "3s"}}, {agents}"#));
    assert_eq!(registered(&events), [(&json!(["first", "usual", "late"]), 3)]);
    let (_, events) = traced(&format!(
        r#""registration": {{"strategy": "priority_based", "threshold": "high", "batch": 2, "window": "4s"}}, {agents}"#
    ));
    assert_eq!(registered(&events), [(&json!(["first", "usual"]), 0), (&json!(["late"]), 4)]);
}

#[test]
fn a_large_entry_is_registered_within_one_window() {
    let report = succeeds(
        r#""registration": {"strategy": "time_based", "window": "3s"}, "agents": [{"kind": "counter", "count": 20001}]"#,
    );
    assert_eq!((report.registration.completed, report.registration.batches), (20_001, 20));
    let took = report.registration.duration_us;
    assert!((3_000_000..3_500_000).contains(&took), "{took} us");
}

#[test]
fn a_run_that_is_told_to_stop_while_agents_wait_for_their_window_ends_at_once() {
    let text = r#"{"name": "n", "agents": [{"kind": "counter", "id": "patient"}, {"kind": "counter", "priority": "high"}],
        "registration": {"strategy": "priority_based", "threshold": "high", "batch": 1, "window": "9d"}}"#;
    let manifest = Manifest::parse(text, "test.json", &Variables::default()).unwrap();
    let stop = Stop::default();
    let (asked, options) = (stop.clone(), RunOptions { simulate: true, ..RunOptions::default() });
    let tell = move |progress| {
        if let Progress::Registration { registered: 1, .. } = progress {
            asked.now();
        }
    };
    let report = swarm::run(&manifest, options, tell, stop).unwrap();
    assert_eq!((report.outcome, report.registration.completed), (Outcome::Interrupted, 1));
    assert!(report.duration_us < 60_000_000, "{} us", report.duration_us);
}

#[test]
fn topics_reach_their_subscribers_by_kind_agent_capability_and_group() {
    let ticker = r#"{"kind": "ticker", "parameters": {"topic": "t", "every": "1s", "limit": 5}}"#;
    let heard = |subscriber: &str| {
        let report = succeeds(&format!(
            r#""groups": [{{"name": "g"}}], "agents": [{ticker}, {{"kind": "counter", "id": "a"}},
            {{"kind": "counter", "id": "b", "capabilities": ["hear"]}}, {{"kind": "logger", "group": "g"}}],
            "topics": [{{"name": "t", "subscribers": [{subscriber}]}}]"#
        ));
        let heard = report.notes.iter().filter_map(|note| note.strip_suffix(" heard 5 notices on t"));
        heard.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(heard(r#"{"kind": "counter"}"#), ["a", "b"]);
    assert_eq!(heard(r#"{"agent": "a"}"#), ["a"]);
    assert_eq!(heard(r#"{"capability": "hear"}"#), ["b"]);
    assert_eq!(heard(r#"{"group": "g"}"#), ["logger"]);
    assert_eq!(heard(r#"{"kind": "counter"}, {"agent": "a"}"#), ["a", "b"]);
}

#[test]
fn a_subscriber_that_takes_no_notices_is_named() {
    let report = succeeds(
        r#""agents": [{"kind": "hasher", "count": 3}], "topics": [{"name": "t", "subscribers": [{"kind": "hasher"}]}]"#,
    );
    assert_eq!(report.notes, ["hasher/0 is not subscribed to t: a hasher hears no topics"]);
}

#[test]
fn a_ticker_keeps_its_interval_and_its_limit_also_over_a_crash() {
    let report = succeeds(
        r#""agents": [{"kind": "ticker", "parameters": {"topic": "t", "every": "10s", "limit": 6}}, {"kind": "counter"}],
        "topics": [{"name": "t", "subscribers": [{"kind": "counter"}]}],
        "faults": [{"kill": {"agent": "ticker"}, "when": {"after": "25s"}}]"#,
    );
    assert_eq!((report.agents.crashes, report.agents.restarts), (1, 1));
    assert_eq!(route(&report, "t").ledger.delivered, 6);
    assert!((65_000_000..66_000_000).contains(&report.duration_us), "{}", report.duration_us);
}

#[test]
fn relays_pass_on_what_they_hear_and_a_circle_of_them_comes_to_rest() {
    let report = succeeds(
        r#""agents": [{"kind": "ticker", "parameters": {"topic": "one", "every": "1s", "limit": 2}},
            {"kind": "relay", "id": "there", "parameters": {"to": "two"}},
            {"kind": "relay", "id": "back", "parameters": {"to": "one"}}, {"kind": "counter"}],
        "topics": [{"name": "one", "subscribers": [{"agent": "there"}, {"kind": "counter"}]},
            {"name": "two", "subscribers": [{"agent": "back"}]}]"#,
    );
    assert!(report.notes.contains(&"counter heard 18 notices on one".to_owned()), "{:?}", report.notes);
    assert_eq!(report.notes.iter().filter(|note| note.starts_with("relays go in a circle")).count(), 1);
}

#[test]
fn an_inbox_holds_as_much_as_it_may_and_loses_what_its_policy_says() {
    let run = |inbox: &str| {
        let report = simulate(&format!(
            r#""agents": [{{"kind": "ticker", "count": 40, "parameters": {{"topic": "t", "every": "1s", "limit": 1}}}},
                {{"kind": "counter", "inbox": {{{inbox}}}}}],
            "topics": [{{"name": "t", "subscribers": [{{"kind": "counter"}}]}}]"#
        ));
        assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.failures);
        let ledger = route(&report, "t").ledger;
        (ledger.sent, ledger.delivered, ledger.rejected, ledger.dropped)
    };
    assert_eq!(run(r#""capacity": 64, "overflow": "reject""#), (40, 40, 0, 0));
    let (sent, delivered, rejected, _) = run(r#""capacity": 2, "overflow": "reject""#);
    assert!(sent == 40 && rejected > 0 && delivered + rejected == 40, "{delivered} + {rejected}");
    for policy in ["drop_oldest", "drop_newest"] {
        let (sent, delivered, _, dropped) = run(&format!(r#""capacity": 2, "overflow": "{policy}""#));
        assert!(sent == 40 && dropped > 0 && delivered + dropped == 40, "{policy}: {delivered} + {dropped}");
    }
    let (_, delivered, _, _) = run(r#""capacity": 2, "overflow": "wait""#);
    assert_eq!(delivered, 40, "publishers wait for room");
}

#[test]
fn the_agents_that_fared_worst_are_named_with_what_happened_to_them() {
    let report = succeeds(
        r#""agents": [{"kind": "ticker", "count": 40, "parameters": {"topic": "t", "every": "1s", "limit": 1}},
            {"kind": "counter", "inbox": {"capacity": 2, "overflow": "reject"}}],
        "topics": [{"name": "t", "subscribers": [{"kind": "counter"}]}],
        "faults": [{"kill": {"agent": "ticker/3"}, "when": {"after": "10ms"}}]"#,
    );
    let health = report.health;
    assert_eq!(health.by_state, [("healthy".to_owned(), 40), ("degraded".to_owned(), 1)].into());
    let [counter, ticker] = &health.worst[..] else { panic!("{:?}", health.worst) };
    assert_eq!((counter.agent.as_str(), counter.state.as_str()), ("counter", "degraded"));
    assert_eq!((counter.rejected, counter.crashes), (report.ledger.rejected, 0));
    assert!(counter.rejected > 0);
    assert_eq!((ticker.agent.as_str(), ticker.state.as_str()), ("ticker/3", "healthy"));
    assert_eq!((ticker.crashes, ticker.restarts, ticker.rejected, ticker.given_up), (1, 1, 0, false));
    assert_eq!(health.troubled, 2);
}

#[test]
fn supervision_restarts_as_often_and_as_late_as_it_says() {
    let kill = |times: usize, supervision: &str| {
        let faults: Vec<_> = (1..=times)
            .map(|at| format!(r#"{{"kill": {{"agent": "counter"}}, "when": {{"after": "{at}s"}}}}"#))
            .collect();
        let agents = format!(r#"{{"kind": "counter", "supervision": {{{supervision}}}}}"#);
        traced(&format!(r#""agents": [{agents}], "faults": [{}]"#, faults.join(", ")))
    };
    let (report, events) = kill(3, r#""backoff": {"initial": "100ms", "factor": 3, "jitter": 0}"#);
    assert_eq!((report.agents.restarts, report.outcome), (3, Outcome::Succeeded));
    let waits: Vec<_> =
        named(&events, "agent.panicked").map(|event| &event["data"]["restart_in_us"]).collect();
    assert_eq!(waits, [100_000, 300_000, 900_000]);
    let (report, _) = kill(2, r#""restarts": 1, "within": "10s""#);
    assert_eq!((report.agents.restarts, report.outcome), (1, Outcome::Failed));
    assert_eq!(
        report.failures,
        ["agent counter was given up: counter needed more than 1 restarts within 10s"]
    );
    let (report, _) = kill(2, r#""restarts": 1, "within": "500ms", "backoff": {"initial": "1ms"}"#);
    assert_eq!(report.agents.restarts, 2);
    let (report, _) = kill(1, r#""policy": "temporary""#);
    assert_eq!((report.agents.restarts, report.agents.abandoned.len()), (0, 1));
}

#[test]
fn groups_restart_their_members_together_and_escalate_to_their_parents() {
    let run = |strategy: &str, restarts: u32| {
        simulate(&format!(
            r#""groups": [{{"name": "g", "strategy": "{strategy}", "parent": "p", "restarts": {restarts}}},
                {{"name": "p", "restarts": 5, "within": "1m"}}],
            "agents": [{{"kind": "counter", "count": 4, "group": "g"}}],
            "faults": [{{"kill": {{"agent": "counter/2"}}, "when": {{"after": "1s"}}}}]"#
        ))
    };
    assert_eq!(run("one_for_one", 3).agents.restarts, 1);
    assert_eq!(run("one_for_all", 3).agents.restarts, 4);
    assert_eq!(run("rest_for_one", 3).agents.restarts, 2);
    assert_eq!(run("one_for_one", 0).agents.restarts, 4, "the parent restarts the whole group");
}

#[test]
fn tasks_keep_to_dependencies_priorities_and_the_number_that_may_run() {
    let (report, events) = traced(
        r#""coordinator": {"max_concurrent": 1}, "agents": [{"kind": "runner", "count": 9}], "tasks": [
            {"id": "last", "depends_on": ["part-*"], "priority": "critical", "do": {"sleep": {"for": "1s"}}},
            {"id": "first", "do": {"sleep": {"for": "1s"}}},
            {"id": "part-{index}", "for_each": {"count": 2}, "depends_on": ["first"], "type": "data_sync",
             "do": {"sleep": {"for": "1s"}}},
            {"id": "low", "depends_on": ["first"], "priority": "low", "do": {"sleep": {"for": "1s"}}}]"#,
    );
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.failures);
    assert_eq!(report.tasks.by_type, [("data_sync", 2), ("work", 3)].into());
    assert_eq!(tasks_in_order(&events), ["first", "part-0", "part-1", "last", "low"]);
    assert_eq!(report.tasks.duration_us, 5_000_000);
}

#[test]
fn a_task_that_takes_too_long_is_tried_again_so_often() {
    let report = simulate(
        r#""agents": [{"kind": "hasher", "count": 5}], "tasks": [{"id": "t", "estimate": "3s", "timeout": "2s",
            "retries": 2, "do": {"hash_file": {"path": "x"}}}]"#,
    );
    assert_eq!((report.tasks.totals.timed_out, report.tasks.totals.retried), (1, 2));
    assert_eq!(report.failures, ["1 of 1 tasks did not complete, the first t: timed out after 2s"]);
}

#[test]
fn handlers_see_the_events_they_ask_for_in_the_order_of_the_manifest() {
    let report = succeeds(
        r#""agents": [{"kind": "counter"}, {"kind": "logger"}],
        "faults": [{"kill": {"agent": "counter"}, "when": {"after": "1s"}}],
        "monitor": {"handlers": [
            {"name": "all", "do": {"count": {}}},
            {"name": "alerts", "events": ["error_alert"], "severity": "error", "priority": 9, "do": {"log": {}}},
            {"name": "register", "source": "regis*", "do": {"append": {"path": "/no/such/directory/x"}}},
            {"name": "none", "source": "nobody", "do": {"count": {}}}]}"#,
    );
    let handled: Vec<_> =
        report.handlers.iter().map(|handler| (handler.name.as_str(), handler.errors)).collect();
    assert_eq!(handled, [("all", 0), ("alerts", 0), ("register", 0), ("none", 0)]);
    let [all, alerts, register, none] = &report.handlers[..] else { panic!("{:?}", report.handlers) };
    assert_eq!((alerts.handled, none.handled), (1, 0));
    assert!(
        register.handled >= 1 && all.handled > alerts.handled + register.handled,
        "{:?}",
        report.handlers
    );
    assert!(report.notes.contains(&"handler none counted nothing".to_owned()), "{:?}", report.notes);
}

#[test]
fn a_handler_appends_its_events_to_a_file_as_lines_and_says_when_it_cannot() {
    let root = tempfile::tempdir().unwrap();
    let (good, bad) = (root.path().join("events.jsonl"), root.path().join("no/such/file"));
    std::fs::write(&good, "before\n").unwrap();
    let text = format!(
        r#"{{"name": "n", "arbiters": 1, "agents": [{{"kind": "counter"}}], "monitor": {{"handlers": [
            {{"name": "good", "do": {{"append": {{"path": {good:?}}}}}}},
            {{"name": "bad", "do": {{"append": {{"path": {bad:?}}}}}}}]}}}}"#
    );
    let manifest = Manifest::parse(&text, "test.json", &Variables::default()).unwrap();
    let report = swarm::run(&manifest, RunOptions::default(), |_| {}, Stop::default()).unwrap();
    let written = std::fs::read_to_string(&good).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!((lines[0], lines.len() as u64), ("before", report.handlers[0].handled + 1));
    assert!(lines[1..].iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{written}");
    assert!(report.failures[0].starts_with("handler bad cannot append to "), "{:?}", report.failures);
}

#[test]
fn a_planned_fault_that_never_comes_to_it_is_named() {
    let report = succeeds(
        r#""agents": [{"kind": "runner"}], "tasks": [{"id": "t", "do": {"sleep": {"for": "1s"}}}],
        "faults": [{"kill": {"agent": "runner"}, "when": {"after": "1h"}}]"#,
    );
    assert_eq!(report.notes, ["the planned fault of runner did not strike: the run ended before"]);
    assert_eq!(report.agents.crashes, 0);
}

#[test]
fn a_fault_at_the_very_end_or_beginning_strikes_all_the_same() {
    let report = succeeds(
        r#""agents": [{"kind": "runner", "count": 2}],
        "tasks": [{"id": "t{index}", "for_each": {"count": 4}, "do": {"sleep": {"for": "1s"}}}],
        "faults": [{"kill": {"agent": "runner/0"}, "when": {"tasks_completed": 1}},
            {"kill": {"agent": "runner/1"}, "when": {"tasks_completed": 0}}]"#,
    );
    assert_eq!((report.agents.crashes, report.agents.restarts), (2, 2));
    assert_eq!(report.tasks.totals.completed, 4);
}
