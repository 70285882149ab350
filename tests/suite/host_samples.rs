//! The events of which a host takes samples, and those on the health of agents: that a real run brings each of them about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use phalanx::{
    agent::{Agent, Card},
    host::HostReport,
    inbox::{InboxConfig, OverflowPolicy},
    manifest::{Manifest, Variables},
    monitor::{
        AddHandler, Event, EventKind, HandlerSpec, Health, MonitorOptions, QueryEvents, QueryStatus,
        RemoveHandler, Severity,
    },
    prelude::*,
    report::Outcome,
    router::RouterStatus,
    swarm::{self, RunOptions, Stop},
};
use serde_json::Value;

use crate::support::quiet_panics;

/// What a run of a manifest writes to its trace.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn trace(simulate: bool, body: &str) -> Vec<Event> {
    let manifest =
        Manifest::parse(&format!("{{\"name\": \"n\", {body}}}"), "test.json", &Variables::default()).unwrap();
    let written = Written::default();
    let options = RunOptions { simulate, seed: None, trace: Some(Box::new(written.clone())) };
    let report = swarm::run(&manifest, options, |_| {}, Stop::default()).unwrap();
    assert_eq!(report.outcome, Outcome::Succeeded, "{:?}", report.failures);
    let bytes = written.0.lock().unwrap();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

const BODY: &str = r#""arbiters": 2,
    "startup": {"tasks": [{"id": "s", "phase": "service_startup", "do": {"sleep": {"for": "3ms"}}}]},
    "agents": [{"kind": "runner", "count": 3}],
    "tasks": [{"id": "t{index}", "for_each": {"count": 30}, "do": {"sleep": {"for": "2ms"}}}]"#;

/// The events of one run in real time.
fn real() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| trace(false, BODY))
}

/// The one event of this kind and name; its severity, source and unit, and the other keys of its data.
#[track_caller]
fn only<'e>(events: &'e [Event], kind: EventKind, name: &str) -> (&'e Event, Vec<&'e str>) {
    let of_kind: Vec<&Event> =
        events.iter().filter(|event| event.kind == kind && event.name == name).collect();
    let [event] = of_kind[..] else { panic!("{} events {kind} {name}", of_kind.len()) };
    (event, event.data.keys().map(String::as_str).collect())
}

fn number(event: &Event, key: &str) -> u64 {
    event.data.get(key).and_then(Value::as_u64).unwrap_or_else(|| panic!("{key} in {event:?}"))
}

#[test]
fn a_run_tells_its_throughput() {
    let (messages, keys) = only(real(), EventKind::ThroughputMetric, "host.messages_delivered");
    assert_eq!(keys, ["value", "unit", "sent", "delivered", "not_delivered", "window_us"]);
    assert_eq!((messages.source.as_str(), messages.severity), ("host", Severity::Info));
    assert_eq!((number(messages, "delivered"), number(messages, "not_delivered")), (30, 0));
    let (tasks, keys) = only(real(), EventKind::ThroughputMetric, "host.tasks_ended");
    assert_eq!(keys, ["value", "unit", "ended", "completed", "window_us"]);
    assert_eq!((number(tasks, "ended"), number(tasks, "completed")), (30, 30));
    let rate = 30e6 / f64::from(u32::try_from(number(tasks, "window_us")).unwrap());
    assert!((tasks.value().unwrap() / rate - 1.0).abs() < 1e-9, "{tasks:?}");
}

#[test]
fn a_run_tells_the_latency_of_tasks_and_the_time_of_each_phase() {
    let (tasks, keys) = only(real(), EventKind::LatencyMetric, "host.task_latency");
    assert_eq!(keys, ["value", "unit", "p90_us", "p99_us", "max_us", "tasks", "window_us"]);
    assert_eq!((&tasks.data["unit"], number(tasks, "tasks")), (&"us".into(), 30));
    // 30 tasks of 2 ms on three agents: the last waits for nine others.
    assert!(tasks.value().unwrap() >= 2_000.0 && number(tasks, "max_us") >= 20_000, "{tasks:?}");
    let (phase, _) = only(real(), EventKind::LatencyMetric, "initializer.phase_ended");
    assert_eq!((&phase.data["phase"], phase.source.as_str()), (&"service_startup".into(), "initializer"));
    assert!(phase.value().unwrap() >= 3_000.0, "{phase:?}");
}

#[test]
fn a_run_tells_its_load_and_the_batches_it_registered() {
    let (load, keys) = only(real(), EventKind::PerformanceMetric, "host.load");
    assert_eq!(keys, ["value", "unit", "open_tasks"]);
    assert_eq!(
        (load.value(), &load.data["unit"], number(load, "open_tasks")),
        (Some(0.0), &"messages".into(), 0)
    );
    let batches = real().iter().filter(|event| event.name == "registrar.batch_registered");
    let batches: Vec<&Event> = batches.filter(|event| event.kind == EventKind::PerformanceMetric).collect();
    assert_eq!(batches.iter().map(|batch| number(batch, "agents")).sum::<u64>(), 3);
    assert!(batches.iter().all(|batch| batch.value().is_some() && batch.data["unit"] == "us"), "{batches:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_in_real_time_tells_what_the_process_uses() {
    let (memory, keys) = only(real(), EventKind::ResourceUsage, "host.memory");
    assert_eq!((keys, &memory.data["unit"]), (vec!["value", "unit"], &"bytes".into()));
    assert!(memory.value().unwrap() > 1e6, "{memory:?}");
    let (cpu, keys) = only(real(), EventKind::ResourceUsage, "host.cpu");
    assert_eq!(keys, ["value", "unit", "cpu_us", "window_us"]);
    assert!((0.0..1_000.0).contains(&cpu.value().unwrap()), "{cpu:?}");
}

#[test]
fn a_run_tells_what_went_by_each_of_its_routes() {
    let (direct, keys) = only(real(), EventKind::ThroughputMetric, "host.route");
    assert_eq!(
        keys,
        ["value", "unit", "route", "sent", "delivered", "not_delivered", "batches", "window_us"]
    );
    assert_eq!((&direct.data["route"], direct.source.as_str()), (&"direct".into(), "host"));
    assert_eq!((number(direct, "delivered"), number(direct, "batches")), (30, 0), "tasks are sent directly");
}

#[test]
fn in_virtual_time_each_sample_tells_the_routes_and_batches_of_its_own_window() {
    let body = r#""agents": [{"kind": "ticker", "parameters": {"topic": "t", "every": "1s", "limit": 12}}, {"kind": "counter", "count": 2}],
        "topics": [{"name": "t", "subscribers": [{"kind": "counter"}]}]"#;
    let events = trace(true, body);
    let of_topic = |event: &&Event| event.name == "host.route" && event.data["route"] == "topic t (Notice)";
    let told: Vec<Vec<u64>> = events
        .iter()
        .filter(of_topic)
        .map(|event| {
            let keys = ["sent", "delivered", "batches", "largest_batch", "delay_p99_us"];
            keys.map(|key| number(event, key)).into()
        })
        .collect();
    assert_eq!(told.len(), 3, "{told:?}");
    let sum = |at: usize| told.iter().map(|figures| figures[at]).sum::<u64>();
    assert_eq!((sum(0), sum(1), sum(2)), (24, 24, 12), "two for each of twelve ticks");
    assert!(
        told.iter().all(|figures| figures[3..] == [1, 0]),
        "nothing waits where no time passes: {told:?}"
    );
}

#[test]
fn a_run_tells_each_change_of_health_and_the_sum_at_its_end() {
    let is_own =
        |event: &Event| event.agent.as_ref().is_some_and(|agent| agent.as_str().starts_with("phalanx/"));
    let changes = real().iter().filter(|event| event.name == "health.check" && !is_own(event));
    let changes: Vec<&Event> = changes.collect();
    assert_eq!(changes.len(), 6, "three agents start and stop: {changes:?}");
    for change in changes {
        let (to, because) = if change.data.contains_key("from") {
            ("stopped", "agent.stopped")
        } else {
            ("healthy", "agent.started")
        };
        assert_eq!((change.kind, change.source.as_str()), (EventKind::HealthCheck, "monitor"));
        assert_eq!((&change.data["health"], &change.data["because"]), (&to.into(), &because.into()));
        assert!(change.agent.is_some());
    }
    let (sum, keys) = only(real(), EventKind::HealthCheck, "health.summary");
    assert_eq!((keys, number(sum, "healthy"), sum.severity), (vec!["healthy"], 3, Severity::Info));
}

#[test]
fn in_virtual_time_samples_come_on_the_clock_and_never_tell_what_the_process_uses() {
    let body = r#""agents": [{"kind": "ticker", "parameters": {"topic": "t", "every": "1s", "limit": 12}}, {"kind": "counter"}],
        "topics": [{"name": "t", "subscribers": [{"kind": "counter"}]}]"#;
    let events = trace(true, body);
    assert_eq!(events, trace(true, body), "they are the same each time");
    let told: Vec<(u64, u64)> = events
        .iter()
        .filter(|event| event.name == "host.messages_delivered")
        .map(|event| (event.at.micros() / 1_000_000, number(event, "delivered")))
        .collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [5, 10, 12], "{told:?}");
    assert_eq!(told.iter().map(|(_, delivered)| delivered).sum::<u64>(), 12);
    assert!(events.iter().all(|event| event.kind != EventKind::ResourceUsage));
}

#[test]
fn hours_in_which_nothing_happens_tell_nothing() {
    let events = trace(
        true,
        r#""agents": [{"kind": "runner"}], "tasks": [{"id": "t", "do": {"sleep": {"for": "9h"}}, "timeout": "10h"}]"#,
    );
    let samples = events.iter().filter(|event| event.name == "host.load").count();
    assert_eq!(samples, 2, "one at the beginning, one at the end");
}

#[test]
fn a_manifest_can_do_without_samples() {
    let events = trace(true, &format!(r#""monitor": {{"sample_every": "0s"}}, {BODY}"#));
    assert!(events.iter().all(|event| event.source.as_str() != "host" || event.name == "health.summary"));
}

#[derive(Clone, Message)]
#[rtype(result = "()")]
struct Job;

/// Takes its time over each job.
struct Slow(Duration);

impl Actor for Slow {
    type Context = Context<Self>;
}

impl Supervised for Slow {}

impl Handler<Job> for Slow {
    type Result = AtomicResponse<Self, ()>;
    fn handle(&mut self, _: Job, _: &mut Context<Self>) -> Self::Result {
        AtomicResponse::new(Box::pin(tokio::time::sleep(self.0).into_actor(self)))
    }
}

impl Agent for Slow {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Job>()
    }
}

/// A host in virtual time; with a tap, so that somebody listens, if so wanted.
fn simulate<P: Future<Output = ()>>(is_heard: bool, program: impl FnOnce(Host) -> P) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    System::with_tokio_rt(move || runtime).block_on(async move {
        let builder = Host::builder().simulated(7);
        let builder = if is_heard { builder.tap(|_| {}) } else { builder };
        program(builder.start().await.unwrap()).await;
    });
}

async fn named(host: &Host, name: &str) -> Vec<Arc<Event>> {
    let filter = phalanx::monitor::EventFilter { name: Some(name.into()), ..Default::default() };
    host.protocols().monitor.send(QueryEvents(filter)).await.unwrap().events
}

#[test]
fn an_agent_that_cannot_keep_up_is_degraded_and_recovers_in_a_window_without_losses() {
    simulate(true, |host| async move {
        let inbox = InboxConfig { capacity: 2, overflow: OverflowPolicy::Reject, ..InboxConfig::default() };
        let options = AgentOptions { inbox, ..AgentOptions::default() };
        let slow = host.spawn_with("slow", options, |_| Slow(Duration::from_secs(7))).await.unwrap();
        for _ in 0..5 {
            _ = slow.tell(Job);
        }
        host.sleep(Duration::from_millis(5_500)).await;
        let degraded = named(&host, "agent.degraded").await;
        assert_eq!((degraded.len(), number(&degraded[0], "rejected")), (1, 3));
        let summary = host.report().await.health.unwrap();
        assert_eq!((summary.counts[&Health::Degraded], summary.worst[0].1.rejected), (1, 3));
        host.sleep(Duration::from_secs(60)).await;
        assert_eq!(named(&host, "agent.recovered").await.len(), 1);
        let checks = named(&host, "health.check").await;
        let health: Vec<&str> = checks.iter().map(|check| check.data["health"].as_str().unwrap()).collect();
        assert_eq!(health, ["healthy", "degraded", "healthy"]);
        let HostReport { health, .. } = host.shutdown(Duration::from_secs(60)).await;
        let summary = health.unwrap();
        assert_eq!(
            (summary.counts[&Health::Healthy], summary.troubled, summary.worst[0].1.lost()),
            (1, 1, 3)
        );
    });
}

#[test]
fn the_time_that_messages_wait_in_inboxes_is_told() {
    simulate(true, |host| async move {
        let slow = host.spawn("slow", || Slow(Duration::from_millis(10))).await.unwrap();
        for _ in 0..200 {
            slow.tell(Job).unwrap();
        }
        host.sleep(Duration::from_secs(6)).await;
        let told = named(&host, "host.inbox_wait").await;
        let [wait] = &told[..] else { panic!("{told:?}") };
        assert_eq!((wait.kind, &wait.data["unit"]), (EventKind::LatencyMetric, &"us".into()));
        // One message in 64 is looked at, and the last of 200 waits for two seconds.
        assert!((3..=4).contains(&number(wait, "samples")), "{wait:?}");
        assert!((500_000.0..2_000_000.0).contains(&wait.value().unwrap()), "{wait:?}");
    });
}

#[test]
fn messages_that_wait_for_their_receipts_are_told_as_long_as_they_do() {
    simulate(true, |host| async move {
        host.spawn("slow", || Slow(Duration::from_secs(7))).await.unwrap();
        host.subscribe("jobs", "slow").await.unwrap();
        let jobs = host.topic::<Job>("jobs").unwrap();
        let confirmed = jobs.confirm(Job).unwrap();
        assert_eq!(host.router().message(confirmed.id()).unwrap().delivered, 0);
        host.sleep(Duration::from_secs(60)).await;
        let waiting: Vec<_> = named(&host, "host.unconfirmed").await;
        assert_eq!(waiting.iter().map(|event| event.value()).collect::<Vec<_>>(), [Some(1.0)], "at 5 s");
        assert_eq!(
            (waiting[0].kind, &waiting[0].data["unit"]),
            (EventKind::PerformanceMetric, &"messages".into())
        );
        let message = host.router().message(confirmed.id()).unwrap();
        assert_eq!((message.delivered, message.ended.is_some(), host.router().unconfirmed()), (1, true, 0));
    });
}

#[test]
fn samples_and_programs_that_look_at_the_router_take_nothing_from_each_other() {
    simulate(true, |host| async move {
        host.spawn("slow", || Slow(Duration::ZERO)).await.unwrap();
        host.subscribe("jobs", "slow").await.unwrap();
        let jobs = host.topic::<Job>("jobs").unwrap();
        // Between two samples, so that each is in one window.
        host.sleep(Duration::from_millis(500)).await;
        let before = host.router().status();
        for _ in 0..12 {
            jobs.publish(Job).unwrap();
            host.sleep(Duration::from_secs(1)).await;
            host.router().status();
        }
        let route = |status: &RouterStatus| status.route("topic jobs (Job)").unwrap().clone();
        let rate = route(&host.router().status()).rate_since(&route(&before));
        assert!((rate - 1.0).abs() < 0.01, "{rate}");
        let told = named(&host, "host.route").await;
        assert_eq!(told.iter().map(|event| number(event, "sent")).sum::<u64>(), 10, "by 10 s: {told:?}");
    });
}

#[test]
fn agents_that_crash_are_the_worst_of_a_report() {
    quiet_panics();
    simulate(false, |host| async move {
        let fine = host.spawn("fine", || Slow(Duration::ZERO)).await.unwrap();
        let bad = host.spawn("bad", || Slow(Duration::ZERO)).await.unwrap();
        bad.handle().inject_panic("killed by the test");
        fine.tell(Job).unwrap();
        host.sleep(Duration::from_secs(5)).await;
        let summary = host.shutdown(Duration::from_secs(5)).await.health.unwrap();
        assert_eq!(summary.counts.into_iter().collect::<Vec<_>>(), [(Health::Healthy, 2)]);
        let [(agent, health)] = &summary.worst[..] else { panic!("{:?}", summary.worst) };
        assert_eq!((agent.as_str(), health.panics, health.restarts), ("bad", 1, 1));
    });
}

#[test]
fn without_a_listener_there_are_no_samples_and_with_one_there_are() {
    simulate(false, |host| async move {
        let slow = host.spawn("slow", || Slow(Duration::from_secs(1))).await.unwrap();
        let work = || async {
            for _ in 0..12 {
                slow.tell(Job).unwrap();
            }
            host.idle().await;
        };
        let samples = || async { named(&host, "host.messages_delivered").await.len() };
        work().await;
        assert_eq!(samples().await, 0);
        let (monitor, spec) = (&host.protocols().monitor, HandlerSpec::new("a"));
        let throughput = spec.clone().kinds([EventKind::ThroughputMetric]);
        let id = monitor.send(AddHandler::function(throughput, |_| Ok(()))).await.unwrap();
        let alerts = spec.kinds([EventKind::ErrorAlert]);
        monitor.send(AddHandler::function(alerts, |_| Ok(()))).await.unwrap();
        work().await;
        assert_eq!(samples().await, 2);
        monitor.send(RemoveHandler(id)).await.unwrap();
        work().await;
        assert_eq!(samples().await, 2, "alerts are no samples");
        host.shutdown(Duration::from_secs(5)).await;
        assert_eq!(host.now().since_start().as_secs(), 36);
    });
}

#[test]
fn a_sample_does_not_make_virtual_time_run_on_its_own() {
    simulate(true, |host| async move {
        let (answer, answered) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(20) {
                std::hint::spin_loop();
            }
            answer.send(()).unwrap();
        });
        answered.await.unwrap();
        let passed = host.now().since_start();
        assert!(passed <= MonitorOptions::default().sample_every.unwrap() * 2, "{passed:?} passed");
        let recorded = host.protocols().monitor.send(QueryStatus).await.unwrap().recorded;
        assert!(recorded < 10, "{recorded} events");
    });
}

/// A row of the page on events.
struct Row<'p> {
    kinds: &'p str,
    severities: &'p str,
    source: &'p str,
    data: &'p str,
}

/// The page on events, row by row.
fn page() -> BTreeMap<&'static str, Row<'static>> {
    let rows = include_str!("../../docs/events.md").lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.trim_end_matches('|').split(" | ").map(str::trim);
        let name = cells.next().unwrap().trim_end_matches('`');
        let [kinds, severities, source, data] = [(); 4].map(|()| cells.next().unwrap_or_default());
        (name, Row { kinds, severities, source, data })
    })
    .collect()
}

#[test]
fn the_page_on_events_says_what_runs_tell() {
    let rough = trace(
        true,
        r#""startup": {"tasks": [{"id": "s", "do": {"sleep": {"for": "3ms"}}}]},
        "agents": [{"kind": "ticker", "count": 40, "parameters": {"topic": "t", "every": "1s", "limit": 2}},
            {"kind": "counter", "inbox": {"capacity": 2, "overflow": "reject"}}, {"kind": "runner"}],
        "topics": [{"name": "t", "subscribers": [{"kind": "counter"}]}],
        "tasks": [{"id": "t{index}", "for_each": {"count": 9}, "do": {"sleep": {"for": "4s"}}, "retries": 2}],
        "faults": [{"kill": {"agent": "runner"}, "when": {"after": "5s"}}]"#,
    );
    let page = page();
    let mut told = BTreeSet::new();
    for event in real().iter().chain(&rough) {
        let line = event.to_json();
        let row = page.get(&*event.name).unwrap_or_else(|| panic!("the page does not name {line}"));
        assert!(row.kinds.contains(event.kind.as_str()), "{line}");
        assert!(
            row.severities.contains(event.severity.as_str()) || event.name.starts_with("health."),
            "{line}"
        );
        let source = event.source.as_str();
        assert!(row.source == source || row.source == "the agent" && event.agent.is_some(), "{line}");
        for key in event.data.keys().filter(|key| *key != "unit") {
            assert!(row.data.contains(&format!("`{key}`")), "the page has no `{key}` of {line}");
        }
        told.insert(&*event.name);
    }
    for name in
        ["agent.degraded", "agent.recovered", "agent.panicked", "coordinator.task_retried", "host.cpu"]
    {
        assert!(told.contains(name) || cfg!(not(target_os = "linux")), "{name} was not told: {told:?}");
    }
}

#[test]
fn every_event_on_the_page_is_one_that_the_code_tells() {
    let code = [
        include_str!("../../actors/src/coordinator/event.rs"),
        include_str!("../../actors/src/initializer/event.rs"),
        include_str!("../../actors/src/monitor/event.rs"),
        include_str!("../../actors/src/registrar/event.rs"),
        include_str!("../../actors/src/router/event.rs"),
        include_str!("../../src/host/sample.rs"),
        include_str!("../../src/host/sample/routes.rs"),
        include_str!("../../src/swarm/agents.rs"),
        include_str!("../../src/swarm/world.rs"),
    ];
    let page = page();
    assert!(page.len() > 30, "{} rows", page.len());
    for name in page.keys() {
        assert!(code.iter().any(|file| file.contains(&format!("\"{name}\""))), "nothing tells {name}");
    }
}
