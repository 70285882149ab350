use phalanx_actors::{agent::TaskId, monitor::EventKind};

use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(millis))
}

fn agent(id: &str) -> AgentId {
    AgentId::new(id).unwrap()
}

fn ended(state: TaskState, millis: u64) -> TaskEvent {
    TaskEvent::TaskEnded {
        at: at(0),
        task: TaskId::new("t").unwrap(),
        state,
        attempts: 1,
        latency: Duration::from_millis(millis),
        fault: None,
    }
}

fn reading(millis: u64, sent: u64, delivered: u64, expired: u64) -> Reading {
    let pending = sent - delivered - expired;
    let ledger = Counts { sent, delivered, expired, pending, ..Counts::default() };
    Reading { at: at(millis), ledger, ..Reading::default() }
}

fn lines(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| {
        let agent = event.agent.as_ref().map(|agent| format!(" {agent}")).unwrap_or_default();
        format!("{} {}{agent} {}", event.kind, event.name, serde_json::to_string(&event.data).unwrap())
    };
    events.iter().map(line).collect()
}

#[test]
fn a_window_tells_rates_latencies_and_load_of_what_happened_in_it() {
    let mut window = Window::new(None);
    window.sample(reading(1_000, 10, 10, 0));
    window.observe(&TaskEvent::TasksSubmitted { at: at(1_000), tasks: 103 });
    (1..=100).for_each(|millis| window.observe(&ended(TaskState::Completed, millis)));
    window.observe(&ended(TaskState::Failed, 9_000));
    let now = Reading { waits: Waits { samples: 4, total_us: 84 }, ..reading(3_000, 30, 20, 5) };
    let (events, is_busy) = window.sample(now);
    assert!(is_busy);
    assert_eq!(
        lines(&events),
        [
            r#"throughput_metric host.messages_delivered {"value":5.0,"unit":"1/s","sent":20,"delivered":10,"not_delivered":5,"window_us":2000000}"#,
            r#"throughput_metric host.tasks_ended {"value":50.5,"unit":"1/s","ended":101,"completed":100,"window_us":2000000}"#,
            r#"latency_metric host.task_latency {"value":50175.0,"unit":"us","p90_us":90111,"p99_us":99327,"max_us":100351,"tasks":100,"window_us":2000000}"#,
            r#"latency_metric host.inbox_wait {"value":21.0,"unit":"us","samples":4,"window_us":2000000}"#,
            r#"performance_metric host.load {"value":5.0,"unit":"messages","open_tasks":2}"#,
        ]
    );
}

#[test]
fn what_was_told_once_is_not_told_again_and_a_quiet_window_tells_nothing() {
    let mut window = Window::new(None);
    window.observe(&TaskEvent::TasksSubmitted { at: at(0), tasks: 1 });
    window.observe(&ended(TaskState::Completed, 5));
    assert_eq!(window.sample(reading(1_000, 3, 2, 0)).0.len(), 4);
    assert_eq!(window.sample(reading(2_000, 3, 2, 0)), (Vec::new(), false), "one pending message stays so");
    let (events, is_busy) = window.sample(reading(3_000, 3, 3, 0));
    assert!(is_busy);
    let told: Vec<&str> = events.iter().map(|event| &*event.name).collect();
    assert_eq!(told, ["host.messages_delivered", "host.load"]);
    assert_eq!(events[0].value(), Some(1.0));
}

#[test]
fn a_window_of_no_length_has_no_rates() {
    let mut window = Window::new(None);
    window.observe(&TaskEvent::TasksSubmitted { at: at(0), tasks: 1 });
    window.observe(&ended(TaskState::Completed, 0));
    let (events, _) = window.sample(reading(0, 1, 1, 0));
    let told: Vec<&str> = events.iter().map(|event| &*event.name).collect();
    assert_eq!(told, ["host.task_latency", "host.load"]);
}

#[test]
fn an_agent_that_loses_messages_is_degraded_until_a_window_without() {
    let mut window = Window::new(None);
    for reason in Reason::ALL {
        window.lose(&agent("b"), reason);
    }
    window.lose(&agent("a"), Reason::Expired);
    window.lose(&agent("c"), Reason::Panicked);
    assert_eq!(
        lines(&window.sample(reading(1_000, 0, 0, 0)).0),
        [
            r#"system_event agent.degraded a {"window_us":1000000,"rejected":0,"dropped":0,"expired":1}"#,
            r#"system_event agent.degraded b {"window_us":1000000,"rejected":1,"dropped":2,"expired":1}"#,
        ]
    );
    window.lose(&agent("a"), Reason::Full);
    assert_eq!(
        lines(&window.sample(reading(2_000, 0, 0, 0)).0),
        [
            r#"system_event agent.recovered b {"window_us":1000000}"#,
            r#"system_event agent.degraded a {"window_us":1000000,"rejected":1,"dropped":0,"expired":0}"#,
        ]
    );
    assert_eq!(window.sample(reading(3_000, 0, 0, 0)).0.len(), 1);
    assert_eq!(window.sample(reading(4_000, 0, 0, 0)).0, []);
}

#[test]
fn what_the_process_uses_is_told_also_when_nothing_happens() {
    let usage = |millis| Some(Usage { resident: 4_096, cpu: Duration::from_millis(millis) });
    let mut window = Window::new(usage(1_000));
    let (events, is_busy) = window.sample(Reading { process: usage(2_500), ..reading(1_000, 0, 0, 0) });
    assert!(!is_busy);
    assert!(events.iter().all(|event| event.kind == EventKind::ResourceUsage));
    assert_eq!(
        lines(&events),
        [
            r#"resource_usage host.memory {"value":4096.0,"unit":"bytes"}"#,
            r#"resource_usage host.cpu {"value":1.5,"unit":"processors","cpu_us":1500000,"window_us":1000000}"#,
        ]
    );
}
