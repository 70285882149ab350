//! How runs end: well, with failures, interrupted; and what their reports say then.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use phalanx::{
    manifest::{Manifest, Variables},
    report::{Outcome, RunReport},
    swarm::{self, Progress, RunError, RunOptions, Stop},
};

fn parse(text: &str) -> Manifest {
    Manifest::parse(text, "test.json", &Variables::default()).unwrap()
}

fn simulated() -> RunOptions {
    RunOptions { simulate: true, ..RunOptions::default() }
}

fn live(text: &str) -> RunReport {
    settled(swarm::run(&parse(text), RunOptions::default(), |_| {}, Stop::default()).unwrap())
}

fn simulate(text: &str) -> RunReport {
    settled(swarm::run(&parse(text), simulated(), |_| {}, Stop::default()).unwrap())
}

/// What holds of every run.
fn settled(report: RunReport) -> RunReport {
    assert!(report.ledger.balances() && report.ledger.pending == 0, "{:?}", report.ledger);
    assert_eq!(report.tasks.totals.open(), 0);
    assert!(report.outcome != Outcome::Succeeded || report.failures.is_empty(), "{:?}", report.failures);
    assert!(report.outcome != Outcome::Failed || !report.failures.is_empty());
    report
}

#[test]
fn a_manifest_with_nothing_to_do_ends_at_once() {
    let report = simulate(r#"{"name": "n", "agents": [{"kind": "counter", "count": 3}]}"#);
    assert_eq!((report.outcome, report.agents.by_kind["counter"]), (Outcome::Succeeded, 3));
    assert_eq!(simulate(r#"{"name": "n"}"#).outcome, Outcome::Succeeded);
}

#[test]
fn a_missing_file_fails_its_task_after_its_retries_and_all_that_depend_on_it() {
    let report = live(
        r#"{"name": "n", "arbiters": 1, "agents": [{"kind": "hasher"}], "tasks": [
            {"id": "a", "retries": 1, "do": {"hash_file": {"path": "/no/such/file"}}},
            {"id": "b", "retries": 0, "do": {"hash_file": {"path": "/"}}},
            {"id": "all", "depends_on": ["a"], "do": {"combine_hashes": {}}}]}"#,
    );
    assert_eq!(report.outcome, Outcome::Failed);
    let reason = |task: &str| {
        let failed = report.tasks.not_completed.iter().find(|failed| failed.task == task);
        failed.map(|failed| failed.reason.as_str()).unwrap()
    };
    assert_eq!(reason("a"), "/no/such/file cannot be read: it is not there, or no longer");
    assert_eq!(reason("b"), "/ cannot be read: it is a directory");
    assert_eq!(reason("all"), "task a did not complete");
    assert_eq!(report.tasks.totals.retried, 1);
    assert!(
        report.failures[0].starts_with("3 of 3 tasks did not complete, the first "),
        "{:?}",
        report.failures
    );
}

#[cfg(unix)]
#[test]
fn a_program_that_fails_or_is_not_there_says_so() {
    let report = live(
        r#"{"name": "n", "arbiters": 1, "agents": [{"kind": "runner", "count": 3}], "tasks": [
            {"id": "good", "do": {"run": {"program": "sh", "arguments": ["-c", "echo out $A; pwd"],
                "directory": "/", "environment": {"A": "b"}}}},
            {"id": "bad", "retries": 0, "do": {"run": {"program": "sh", "arguments": ["-c", "echo why >&2; exit 3"]}}},
            {"id": "none", "retries": 0, "do": {"run": {"program": "/no/such/program"}}},
            {"id": "slow", "retries": 0, "timeout": "50ms", "do": {"run": {"program": "sleep", "arguments": ["600"]}}}]}"#,
    );
    assert_eq!(report.tasks.results["good"]["stdout"], "out b\n/\n");
    let mut reasons: Vec<_> =
        report.tasks.not_completed.iter().map(|failed| failed.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons[0],
        "the program \"/no/such/program\" cannot be started: No such file or directory (os error 2)"
    );
    assert_eq!(reasons[1], "the program \"sh\" ended with exit status: 3: why");
    assert_eq!(reasons[2], "timed out after 50ms");
    assert_eq!(report.tasks.totals.timed_out, 1);
}

#[test]
fn a_port_is_waited_for_until_it_accepts_or_time_is_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let manifest = |port: u16| {
        format!(
            r#"{{"name": "n", "arbiters": 1, "startup": {{"on_failure": "continue", "tasks": [
                {{"id": "port", "timeout": "30ms", "do": {{"wait_for_port": {{"port": {port}, "every": "1ms"}}}}}}]}}}}"#
        )
    };
    let report = live(&manifest(port));
    assert_eq!((report.outcome, report.startup.unwrap().outcome.as_str()), (Outcome::Succeeded, "succeeded"));
    drop(listener);
    let report = live(&manifest(port));
    assert_eq!(report.failures, ["start-up task port failed: timed out after 30ms"]);
}

#[test]
fn start_up_that_fails_ends_the_run_or_lets_it_go_on_as_the_manifest_says() {
    let manifest = |policy: &str| {
        format!(
            r#"{{"name": "n", "startup": {{"on_failure": "{policy}", "tasks": [
                {{"id": "late", "estimate": "2s", "timeout": "1s", "do": {{"read_file": {{"path": "x"}}}}}},
                {{"id": "after", "depends_on": ["late"], "do": {{"sleep": {{"for": "1s"}}}}}},
                {{"id": "other", "do": {{"sleep": {{"for": "3s"}}}}}}]}},
            "agents": [{{"kind": "runner"}}], "tasks": [{{"id": "t", "do": {{"sleep": {{"for": "1s"}}}}}}]}}"#
        )
    };
    let aborted = simulate(&manifest("abort"));
    assert_eq!(aborted.failures, ["start-up task late failed: timed out after 1s"]);
    assert_eq!((aborted.registration.requested, aborted.tasks.totals.submitted), (0, 0));
    assert!(aborted.agents.by_kind.is_empty());
    let went_on = simulate(&manifest("continue"));
    assert_eq!((went_on.outcome, went_on.tasks.totals.completed), (Outcome::Failed, 1));
    let failed = went_on.startup.unwrap().failed;
    let failed: Vec<_> = failed.iter().map(|failed| (failed.task.as_str(), failed.reason.as_str())).collect();
    assert_eq!(failed, [("late", "timed out after 1s"), ("after", "skipped because late did not complete")]);
}

#[test]
fn an_optional_start_up_task_may_fail() {
    let report = simulate(
        r#"{"name": "n", "startup": {"tasks": [{"id": "late", "dependency": "optional", "estimate": "2s",
            "timeout": "1s", "do": {"read_file": {"path": "x"}}}]}}"#,
    );
    assert_eq!((report.outcome, report.startup.unwrap().outcome.as_str()), (Outcome::Succeeded, "degraded"));
}

#[test]
fn a_run_that_is_told_to_stop_half_way_cancels_what_is_open_and_reports() {
    let manifest = parse(
        r#"{"name": "n", "agents": [{"kind": "runner", "count": 4}], "coordinator": {"max_concurrent": 4},
        "tasks": [{"id": "t{index}", "for_each": {"count": 100000}, "do": {"sleep": {"for": "1s"}}}]}"#,
    );
    let stop = Stop::default();
    let (stopper, draining) = (stop.clone(), std::sync::Arc::new(std::sync::Mutex::new(false)));
    let drained = draining.clone();
    let progress = move |progress| match progress {
        Progress::Tasks { completed: 100.., .. } => stopper.now(),
        Progress::Draining => *drained.lock().unwrap() = true,
        _ => {}
    };
    let report = settled(swarm::run(&manifest, simulated(), progress, stop).unwrap());
    let totals = report.tasks.totals;
    assert_eq!(report.outcome, Outcome::Interrupted);
    assert!((100..200).contains(&totals.completed), "{totals:?}");
    assert!(totals.submitted < 3000 && totals.cancelled == totals.submitted - totals.completed, "{totals:?}");
    assert!(*draining.lock().unwrap());
}

#[test]
fn a_run_that_is_told_to_stop_before_it_begins_does_nothing() {
    let stop = Stop::default();
    stop.now();
    let manifest = parse(
        r#"{"name": "n", "startup": {"tasks": [{"id": "s", "do": {"sleep": {"for": "1h"}}}]},
        "agents": [{"kind": "runner"}], "tasks": [{"id": "t", "do": {"sleep": {"for": "1h"}}}]}"#,
    );
    let report = settled(swarm::run(&manifest, simulated(), |_| {}, stop).unwrap());
    assert_eq!((report.outcome, report.tasks.totals.submitted), (Outcome::Interrupted, 0));
    assert!(report.duration_us < 1_000_000, "{}", report.duration_us);
}

#[test]
fn tasks_that_nobody_is_left_to_do_are_cancelled_and_the_run_ends() {
    let report = simulate(
        r#"{"name": "n", "agents": [{"kind": "runner", "supervision": {"policy": "temporary"}}, {"kind": "hasher"}],
        "tasks": [
            {"id": "t{index}", "for_each": {"count": 9}, "do": {"sleep": {"for": "1s"}}},
            {"id": "h", "estimate": "1m", "timeout": "2m", "do": {"hash_file": {"path": "x"}}}],
        "faults": [{"kill": {"agent": "runner"}, "when": {"tasks_completed": 0.3}}]}"#,
    );
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.agents.abandoned[0].agent, "runner");
    assert!(
        report.failures.iter().any(|why| why.contains("no agent is left that offers run")),
        "{:?}",
        report.failures
    );
    assert_eq!(
        report.tasks.totals.completed, 4,
        "the hash, which needs another capability, and what was done before"
    );
}

#[test]
fn however_many_tasks_nobody_is_left_to_do_they_are_cancelled_as_soon_as_that_is_known() {
    let report = simulate(
        r#"{"name": "n", "agents": [
            {"kind": "runner", "supervision": {"policy": "temporary"}},
            {"kind": "hasher", "supervision": {"backoff": {"initial": "1h", "max": "1h", "jitter": 0}}}],
        "coordinator": {"max_concurrent": 2},
        "tasks": [
            {"id": "h", "estimate": "1m", "timeout": "2m", "do": {"hash_file": {"path": "x"}}},
            {"id": "t{index}", "for_each": {"count": 20000}, "do": {"sleep": {"for": "1s"}}},
            {"id": "all", "depends_on": ["t{index}"], "do": {"sleep": {"for": "1s"}}}],
        "faults": [
            {"kill": {"agent": "hasher"}, "when": {"after": "10s"}},
            {"kill": {"agent": "runner"}, "when": {"after": "30500ms"}}]}"#,
    );
    let totals = report.tasks.totals;
    assert_eq!(
        (totals.submitted, totals.completed),
        (20_002, 31),
        "what was done before, and the hash: {totals:?}"
    );
    assert_eq!((totals.cancelled, totals.failed), (19_970, 1), "{totals:?}");
    let hour = 3_600_000_000;
    assert!(
        (hour..hour + 200_000_000).contains(&report.duration_us),
        "the hasher, which waits for its restart, is waited for, and nothing else: {} us",
        report.duration_us
    );
    let why = "19971 of 20002 tasks did not complete, the first t31: no agent is left that offers run";
    assert_eq!(report.failures[0], why);
    let note = "no agent is left that offers run: the tasks that need one are cancelled";
    assert_eq!(report.notes.iter().filter(|said| *said == note).count(), 1, "{:?}", report.notes);
}

#[cfg(unix)]
#[test]
fn special_files_and_links_are_left_out_and_other_names_are_kept_byte_for_byte() {
    use std::os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener};
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("plain"), "a").unwrap();
    fs::write(root.path().join(std::ffi::OsStr::from_bytes(b"odd\xff")), "b").unwrap();
    symlink(root.path(), root.path().join("loop")).unwrap();
    symlink("plain", root.path().join("link")).unwrap();
    let _socket = UnixListener::bind(root.path().join("socket")).unwrap();
    let report = live(&format!(
        r#"{{"name": "n", "arbiters": 1, "agents": [{{"kind": "hasher"}}], "tasks": [
            {{"id": "hash:{{path}}", "for_each": {{"file_below": {:?}}}, "do": {{"hash_file": {{"path": "{{path}}"}}}}}},
            {{"id": "all", "depends_on": ["hash:*"], "do": {{"combine_hashes": {{}}}}}}]}}"#,
        root.path()
    ));
    assert_eq!(
        (report.outcome, report.tasks.totals.submitted),
        (Outcome::Succeeded, 3),
        "{:?}",
        report.failures
    );
    let mut expected = sha2::Sha256::default();
    for (name, content) in [(&b"odd\xff"[..], "b"), (b"plain", "a")] {
        use sha2::Digest;
        expected.update(format!("{:x}  ", sha2::Sha256::digest(content)));
        expected.update(root.path().join(std::ffi::OsStr::from_bytes(name)).as_os_str().as_bytes());
        expected.update("\n");
    }
    assert_eq!(report.tasks.results["all"], format!("{:x}", sha2::Digest::finalize(expected)));
}

#[test]
fn a_directory_that_is_not_there_is_a_failure_and_the_rest_goes_on() {
    let report = simulate(
        r#"{"name": "n", "agents": [{"kind": "hasher"}], "tasks": [
            {"id": "hash:{path}", "for_each": {"file_below": "/no/such/directory"},
             "do": {"hash_file": {"path": "{path}"}}},
            {"id": "all", "depends_on": ["hash:*"], "do": {"combine_hashes": {}}}]}"#,
    );
    assert_eq!((report.outcome, report.tasks.totals.completed), (Outcome::Failed, 1));
    let expected = "not all files of hash:{path} were listed: /no/such/directory cannot be listed: ";
    assert!(report.failures[0].starts_with(expected), "{:?}", report.failures);
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is full"))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_trace_that_cannot_be_written_is_told_with_the_report_of_the_run() {
    let manifest = parse(r#"{"name": "n", "agents": [{"kind": "counter"}]}"#);
    let options = RunOptions { trace: Some(Box::new(Full)), ..simulated() };
    let error = swarm::run(&manifest, options, |_| {}, Stop::default()).unwrap_err();
    assert!(error.to_string().starts_with("the trace cannot be written: the disk is full;"), "{error}");
    let RunError::Trace { report, .. } = error else { panic!("{error}") };
    assert_eq!(report.outcome, Outcome::Succeeded);
}

#[test]
fn the_examples_name_only_files_that_are_there() {
    for example in ["checksum", "datacenter", "tour"].map(|name| format!("examples/{name}/swarm.json")) {
        assert!(phalanx::manifest::check(Path::new(&example), &Variables::default()).is_ok(), "{example}");
    }
}

#[test]
fn the_tour_of_all_sections_runs_as_it_stands() {
    let report = simulate(include_str!("../../examples/tour/swarm.json"));
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.failures);
    assert_eq!((report.agents.restarts, report.tasks.totals.completed), (1, 5));
    assert!(report.routes.iter().all(|route| route.ledger.delivered > 0), "{:?}", report.routes);
}
