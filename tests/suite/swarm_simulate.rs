//! Runs in virtual time: nothing of the outside world is touched, and each run is like the one before.

use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use phalanx::{
    manifest::{self, Manifest, Variables},
    report::{Outcome, RunReport},
    swarm::{self, Progress, RunOptions, Stop},
};

/// What is written, to read afterwards.
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

fn simulate(manifest: &Manifest, seed: Option<u64>) -> (RunReport, String, Vec<Progress>) {
    let (written, told) = (Written::default(), Arc::new(Mutex::new(Vec::new())));
    let options = RunOptions { simulate: true, seed, trace: Some(Box::new(written.clone())) };
    let telling = told.clone();
    let progress = move |progress| telling.lock().unwrap().push(progress);
    let report = swarm::run(manifest, options, progress, Stop::default()).unwrap();
    let trace = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let told = told.lock().unwrap().clone();
    (report, trace, told)
}

fn checksum() -> Manifest {
    manifest::load(Path::new("examples/checksum/swarm.json"), &Variables::default()).unwrap()
}

fn parse(text: &str) -> Manifest {
    Manifest::parse(text, "test.json", &Variables::default()).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_trace_report_and_progress_ten_times_over() {
    let manifest = checksum();
    let (first, trace, told) = simulate(&manifest, None);
    assert_eq!(first.outcome, Outcome::Succeeded, "{:?}", first.failures);
    let report = serde_json::to_string(&first).unwrap();
    for run in 1..10 {
        let (again, trace_again, told_again) = simulate(&manifest, None);
        let differs = trace.lines().zip(trace_again.lines()).find(|(one, other)| one != other);
        assert!(trace == trace_again, "run {run} differs: {differs:?}");
        assert_eq!(report, serde_json::to_string(&again).unwrap());
        assert_eq!(told, told_again);
    }
}

#[test]
fn another_seed_gives_another_trace_where_a_back_off_is_random() {
    let (seven, eight) = (simulate(&checksum(), Some(7)), simulate(&checksum(), Some(8)));
    assert_eq!((seven.0.seed, eight.0.seed), (7, 8));
    assert_ne!(seven.1, eight.1);
    assert_eq!(seven.0.tasks.totals.completed, eight.0.tasks.totals.completed);
    assert_eq!(seven.1, simulate(&checksum(), None).1, "7 is the manifest's own seed");
}

#[test]
fn a_trace_holds_every_event_once_and_in_order() {
    let (_, trace, _) = simulate(&checksum(), None);
    let mut last = 0;
    for (line, text) in (1_u64..).zip(trace.lines()) {
        let event: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(event["seq"], line);
        let at = event["at"].as_u64().unwrap();
        assert!(at >= last, "{text}");
        last = at;
    }
    for name in [
        "agent.restarted",
        "initializer.phase_started",
        "registrar.batch_registered",
        "coordinator.task_ended",
    ] {
        assert!(trace.contains(name), "{name} is missing");
    }
}

#[test]
fn bodies_that_would_touch_the_outside_world_take_their_estimate_and_say_so_once() {
    let manifest = parse(
        r#"{"name": "n", "arbiters": 4, "startup": {"tasks": [
            {"id": "port", "estimate": "7s", "do": {"wait_for_port": {"port": 1}}}]},
        "agents": [{"kind": "hasher"}, {"kind": "runner"}], "tasks": [
            {"id": "h{index}", "for_each": {"count": 3}, "estimate": "10s", "do": {"hash_file": {"path": "/no/such/file"}}},
            {"id": "all", "depends_on": ["h*"], "estimate": "1s", "do": {"combine_hashes": {}}},
            {"id": "program", "depends_on": ["all"], "estimate": "2s", "do": {"run": {"program": "/no/such/program"}}},
            {"id": "nap", "depends_on": ["program"], "estimate": "9h", "do": {"sleep": {"for": "3s"}}}]}"#,
    );
    let (report, _, told) = simulate(&manifest, None);
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.failures);
    assert_eq!((report.simulated, report.arbiters), (true, 1));
    assert_eq!(report.startup.unwrap().duration_us, 7_000_000);
    assert_eq!(report.tasks.duration_us, 36_000_000);
    for key in ["wait_for_port", "hash_file", "combine_hashes", "run"] {
        let says = |note: &&String| note.starts_with(&format!("`{key}` is simulated"));
        assert_eq!(report.notes.iter().filter(says).count(), 1, "{key}: {:?}", report.notes);
        let told = told.iter().filter(|told| matches!(told, Progress::Note(note) if says(&note)));
        assert_eq!(told.count(), 1, "{key}");
    }
}

#[test]
fn progress_comes_at_most_twenty_times_a_second_and_ends_with_everything() {
    let manifest = parse(
        r#"{"name": "n", "agents": [{"kind": "runner", "count": 10}, {"kind": "counter"}],
        "topics": [{"name": "progress", "subscribers": [{"kind": "counter"}]}],
        "coordinator": {"progress_topic": "progress"},
        "tasks": [{"id": "t{index}", "for_each": {"count": 5000}, "do": {"sleep": {"for": "1ms"}}}]}"#,
    );
    let (report, _, told) = simulate(&manifest, None);
    let tasks: Vec<_> = told.iter().filter(|told| matches!(told, Progress::Tasks { .. })).collect();
    let most = usize::try_from(Duration::from_micros(report.duration_us).as_millis() / 50).unwrap() + 2;
    assert!(tasks.len() > 2 && tasks.len() <= most, "{} of {most}", tasks.len());
    assert_eq!(
        **tasks.last().unwrap(),
        Progress::Tasks { submitted: 5000, completed: 5000, failed: 0, executing: 0 }
    );
    assert!(told.contains(&Progress::Registration { agents: 11, registered: 11 }), "{told:?}");
    let heard = report.routes.iter().find(|route| route.route.contains("progress")).unwrap().ledger.delivered;
    assert!((3..=most as u64 + 1).contains(&heard), "{heard}");
}

#[test]
fn a_host_outside_of_virtual_time_refuses_to_be_simulated() {
    let refused = actix_rt::System::new().block_on(phalanx::Host::simulated(1));
    assert!(matches!(refused, Err(phalanx::HostError::NoVirtualTime)), "{refused:?}");
}
