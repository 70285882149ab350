//! Start-up that is undone, lazy start-up tasks, and what start-up waits for outside.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use phalanx::{
    manifest::{Manifest, Variables},
    report::{Outcome, RunReport},
    swarm::{self, RunOptions, Stop},
};

use crate::{command::Folder, swarm_keys::traced};

fn live(text: &str) -> RunReport {
    let manifest = Manifest::parse(text, "test.json", &Variables::default()).unwrap();
    swarm::run(&manifest, RunOptions::default(), |_| {}, Stop::default()).unwrap()
}

/// Where each start-up task stands in the end.
fn statuses(report: &RunReport) -> Vec<(&str, &str)> {
    let tasks = &report.startup.as_ref().unwrap().tasks;
    tasks.iter().map(|task| (task.task.as_str(), task.status.as_str())).collect()
}

#[test]
fn a_failure_rolls_back_what_completed_in_reverse_order_and_ends_the_run() {
    let startup = |on_failure: &str| {
        let undo = if on_failure == "rollback" { r#", "undo": {"sleep": {"for": "1s"}}"# } else { "" };
        format!(
            r#""startup": {{"on_failure": "{on_failure}", "tasks": [
                {{"id": "disk", "do": {{"sleep": {{"for": "1s"}}}}{undo}}},
                {{"id": "net", "depends_on": ["disk"], "do": {{"sleep": {{"for": "2s"}}}}{undo}}},
                {{"id": "licence", "depends_on": ["net"], "estimate": "2s", "timeout": "1s", "do": {{"read_file": {{"path": "x"}}}}}}]}},
            "agents": [{{"kind": "counter"}}]"#
        )
    };
    let (report, events) = traced(&startup("rollback"));
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.failures, ["start-up task licence failed: timed out after 1s"]);
    assert_eq!(report.registration.requested, 0, "no agent starts after that");
    assert_eq!(
        statuses(&report),
        [("disk", "rolled_back"), ("net", "rolled_back"), ("licence", "timed_out")]
    );
    let startup_section = report.startup.as_ref().unwrap();
    let rollback = startup_section.rollback.as_ref().unwrap();
    assert_eq!(
        (rollback.tasks, rollback.undone, rollback.failed, rollback.duration_us),
        (2, 2, 0, 2_000_000)
    );
    assert_eq!(startup_section.duration_us, 6_000_000);
    let undone = events.iter().filter(|event| event["name"] == "initializer.task_rolled_back");
    let undone: Vec<_> = undone.map(|event| event["data"]["task"].as_str().unwrap()).collect();
    assert_eq!(undone, ["net", "disk"]);
    let text = report.to_text(phalanx::manifest::Palette::Plain);
    assert!(text.contains("rolled back: 2 of 2 undone, in 2.00 s"), "{text}");
    let (report, _) = traced(&startup("abort"));
    assert_eq!(statuses(&report), [("disk", "completed"), ("net", "completed"), ("licence", "timed_out")]);
    assert!(report.startup.unwrap().rollback.is_none());
}

#[cfg(unix)]
#[test]
fn what_completed_is_undone_by_any_body_a_start_up_task_may_have() {
    let folder = Folder::new();
    fs::write(folder.path("there"), "12345").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    answer(listener, vec![204]);
    let (there, directory) = (folder.path("there"), folder.path(""));
    let undos = [
        r#"{"run": {"program": "sh", "arguments": ["-c", "echo $A > undone"], "environment": {"A": "b"}, "directory": DIR}}"#,
        r#"{"sleep": {"for": "1ms"}}"#,
        r#"{"read_file": {"path": THERE}}"#,
        r#"{"wait_for_file": {"path": THERE, "every": "1h"}}"#,
        r#"{"wait_for_port": {"host": "127.0.0.1", "port": PORT, "every": "1h"}}"#,
        r#"{"wait_for_http": {"url": "http://127.0.0.1:PORT/", "status": 204, "every": "1ms"}}"#,
        r#"{"read_file": {"path": "/no/such/file"}}"#,
    ];
    let tasks = undos.iter().enumerate().map(|(at, undo)| {
        let undo = undo.replace("DIR", &format!("{directory:?}")).replace("THERE", &format!("{there:?}"));
        let undo = undo.replace("PORT", &port.to_string());
        format!(r#"{{"id": "t{at}", "do": {{"sleep": {{"for": "0s"}}}}, "undo": {undo}}}"#)
    });
    let report = live(&format!(
        r#"{{"name": "n", "arbiters": 1, "startup": {{"on_failure": "rollback", "tasks": [{},
            {{"id": "bad", "after_phases": ["core_initialization"], "phase": "ready", "do": {{"read_file": {{"path": "/no/such/file"}}}}}}]}}}}"#,
        tasks.collect::<Vec<_>>().join(",")
    ));
    let startup = report.startup.as_ref().unwrap();
    let rollback = startup.rollback.as_ref().unwrap();
    assert_eq!((rollback.undone, rollback.failed), (6, 1), "{:?}", startup.failed);
    assert_eq!(folder.read("undone"), "b\n");
    let failed: Vec<_> = startup.failed.iter().map(|failed| (&*failed.task, &*failed.reason)).collect();
    let why = "/no/such/file cannot be read: it is not there, or no longer";
    assert_eq!(failed, [("t6", why), ("bad", why)]);
}

#[test]
fn a_lazy_start_up_task_runs_when_a_task_first_uses_it() {
    let (report, events) = traced(
        r#""startup": {"tasks": [
            {"id": "config", "do": {"sleep": {"for": "1s"}}},
            {"id": "base", "lazy": true, "do": {"sleep": {"for": "3s"}}},
            {"id": "index", "lazy": true, "depends_on": ["base", "config"], "do": {"sleep": {"for": "4s"}}}]},
        "agents": [{"kind": "runner"}],
        "tasks": [
            {"id": "search", "uses": ["index"], "do": {"sleep": {"for": "1s"}}},
            {"id": "again", "uses": ["index", "config"], "do": {"sleep": {"for": "1s"}}},
            {"id": "plain", "do": {"sleep": {"for": "1s"}}}]"#,
    );
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.failures);
    let startup = report.startup.as_ref().unwrap();
    assert_eq!((startup.duration_us, startup.tasks[2].planned_start_us), (1_000_000, None));
    assert_eq!(startup.tasks[2].ended_us, Some(8_000_000), "three seconds, then four, after start-up");
    let ended = |id: &str| {
        let task = |event: &&serde_json::Value| {
            event["name"] == "coordinator.task_ended" && event["data"]["task"] == id
        };
        events.iter().find(task).unwrap()["at"].as_u64().unwrap()
    };
    assert_eq!([ended("plain"), ended("search"), ended("again")], [2_000_000, 9_000_000, 10_000_000]);
}

#[test]
fn tasks_that_use_what_will_not_be_ready_are_not_handed_out_and_neither_is_what_depends_on_them() {
    let (report, _) = traced(
        r#""startup": {"tasks": [
            {"id": "index", "lazy": true, "estimate": "2s", "timeout": "1s", "do": {"read_file": {"path": "x"}}}]},
        "agents": [{"kind": "runner"}],
        "tasks": [
            {"id": "search", "uses": ["index"], "do": {"sleep": {"for": "1s"}}},
            {"id": "after", "depends_on": ["search"], "do": {"sleep": {"for": "1s"}}},
            {"id": "plain", "do": {"sleep": {"for": "1s"}}}]"#,
    );
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(
        report.failures,
        [
            "no task of search was handed out: start-up task index will not be ready: timed out after 1s",
            "no task of after was handed out: those of search were not",
        ]
    );
    assert_eq!((report.tasks.totals.completed, report.tasks.totals.submitted), (1, 1));
}

/// Answers one request after the other with these statuses, the last again and again.
fn answer(listener: TcpListener, statuses: Vec<u16>) {
    thread::spawn(move || {
        for number in 0.. {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let status = statuses[statuses.len().min(number + 1) - 1];
            // A request without a body ends at an empty line; a probe of the port alone sends nothing.
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                request.push(byte[0]);
            }
            _ = write!(stream, "HTTP/1.1 {status} As Told\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
}

#[test]
fn a_server_is_asked_until_it_answers_well_as_often_as_the_body_says() {
    let wait = |statuses: &[u16], rest: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        answer(listener, statuses.to_vec());
        let text = format!(
            r#"{{"name": "n", "arbiters": 1, "agents": [{{"kind": "runner"}}], "tasks": [{{"id": "w", "timeout": "10s",
            "retries": 0, "do": {{"wait_for_http": {{"url": "http://localhost:{port}/health?deep=1", {rest}}}}}}}]}}"#
        );
        live(&text)
    };
    let often = r#""every": "1ms""#;
    assert_eq!(wait(&[503, 404, 302], often).tasks.results["w"]["status"], 302);
    assert_eq!(
        wait(&[200, 500, 418], &format!(r#""status": 418, {often}"#)).tasks.results["w"]["status"],
        418
    );
    let short = wait(&[503, 200], r#""every": "1h""#);
    assert_eq!(short.tasks.totals.timed_out, 1, "an hour passes before the second try");
}

#[test]
fn a_server_that_says_nothing_is_asked_again_after_a_second() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let first = listener.try_clone().unwrap();
    thread::spawn(move || {
        let mute = first.accept();
        answer(first, vec![200]);
        // It stays open and says nothing.
        thread::sleep(std::time::Duration::from_secs(60));
        drop(mute);
    });
    let report = live(&format!(
        r#"{{"name": "n", "arbiters": 1, "startup": {{"tasks": [
            {{"id": "web", "do": {{"wait_for_http": {{"url": "http://127.0.0.1:{port}", "every": "1ms"}}}}}}]}}}}"#
    ));
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.failures);
}

#[test]
fn a_server_that_says_nonsense_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            _ = stream.and_then(|mut stream| stream.write_all(b"220 mail.example ESMTP\r\n"));
        }
    });
    let report = live(&format!(
        r#"{{"name": "n", "arbiters": 1, "startup": {{"tasks": [
            {{"id": "web", "timeout": "100ms", "do": {{"wait_for_http": {{"url": "http://127.0.0.1:{port}", "every": "1ms"}}}}}}]}}}}"#
    ));
    assert_eq!(report.failures, ["start-up task web failed: timed out after 100ms"]);
}

#[test]
fn a_file_is_waited_for_and_looked_for_as_often_as_the_body_says() {
    let folder = Folder::new();
    let wait = |name: &str, every: &str, timeout: &str| {
        live(&format!(
            r#"{{"name": "n", "arbiters": 1, "agents": [{{"kind": "runner"}}], "tasks": [{{"id": "w", "timeout": "{timeout}",
            "retries": 0, "do": {{"wait_for_file": {{"path": {:?}, "every": "{every}"}}}}}}]}}"#,
            folder.path(name)
        ))
    };
    fs::write(folder.path("there"), "12345").unwrap();
    assert_eq!(wait("there", "1h", "10s").tasks.results["w"], serde_json::json!({"bytes": 5}));
    assert_eq!(wait("", "1h", "10s").tasks.results["w"], serde_json::json!({"bytes": 0}), "a directory");
    assert_eq!(wait("missing", "1h", "30ms").tasks.totals.timed_out, 1);
    let late = folder.path("late");
    let writer = thread::spawn(move || {
        thread::sleep(std::time::Duration::from_millis(50));
        fs::write(late, "1").unwrap();
    });
    assert_eq!(wait("late", "1ms", "10s").tasks.results["w"], serde_json::json!({"bytes": 1}));
    writer.join().unwrap();
}

#[test]
fn the_picture_of_a_run_shows_start_up_planned_beside_actual() {
    let folder = Folder::new();
    fs::write(
        folder.path("m.json"),
        r#"{"name": "a & b", "startup": {"tasks": [{"id": "long one", "do": {"sleep": {"for": "2s"}}, "estimate": "1s"}]}}"#,
    )
    .unwrap();
    let (code, _, err) = folder.run(&["m.json", "--simulate", "--report", "start.svg"]);
    assert_eq!(code, Some(0), "{err}");
    let svg = folder.read("start.svg");
    for text in [
        "<svg",
        "a &amp; b",
        "1 tasks: succeeded in 2.00 s, planned 1.00 s",
        "long one",
        "thin and grey: planned",
    ] {
        assert!(svg.contains(text), "{text} is missing in {svg}");
    }
}
