use std::time::Duration;

use crate::agent::{AgentId, Capability, Priority};
use serde_json::Value;

use super::*;
use crate::coordinator::{Assignment, EnrollError, SubmitError};

fn id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

fn agent(text: &str) -> AgentId {
    AgentId::new(text).unwrap()
}

fn offers(names: &[&str]) -> BTreeSet<Capability> {
    names.iter().map(|name| Capability::new(name).unwrap()).collect()
}

fn task(name: &str, after: &[&str]) -> TaskSpec {
    TaskSpec::new(id(name)).after(after.iter().map(|d| id(d)))
}

fn seconds(n: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs(n))
}

/// A graph with its effects, checked after each step.
struct Bench {
    graph: TaskGraph,
    effects: Vec<Effect>,
    now: Timestamp,
}

impl Bench {
    fn new(options: GraphOptions) -> Self {
        Self { graph: TaskGraph::new(options), effects: Vec::new(), now: Timestamp::ZERO }
    }

    fn with_agents(agents: &[(&str, &[&str], u32)]) -> Self {
        let mut bench = Self::new(GraphOptions::default());
        for (name, capabilities, slots) in agents {
            bench
                .graph
                .enroll(agent(name), offers(capabilities), *slots, bench.now, &mut bench.effects)
                .unwrap();
        }
        bench.effects.clear();
        bench
    }

    fn submit(&mut self, batch: Vec<TaskSpec>) -> Result<usize, SubmitErrors> {
        let result = self.graph.submit(batch, self.now, &mut self.effects);
        self.graph.verify().unwrap();
        result
    }

    fn answer(&mut self, name: &str, attempt: u32, result: Result<Value, String>) -> bool {
        let taken = self.graph.attempt_ended(&id(name), attempt, result, self.now, &mut self.effects);
        self.graph.verify().unwrap();
        taken
    }

    fn advance(&mut self, to: Timestamp) {
        self.now = to;
        self.graph.advance(to, &mut self.effects);
        self.graph.verify().unwrap();
    }

    /// The dispatches since the last look.
    fn dispatched(&mut self) -> Vec<Assignment> {
        let dispatched = |effect| match effect {
            Effect::Dispatch(assignment) => Some(*assignment),
            _ => None,
        };
        take(&mut self.effects).into_iter().filter_map(dispatched).collect()
    }

    fn pairs(&mut self) -> Vec<(String, String)> {
        self.dispatched().into_iter().map(|a| (a.task.to_string(), a.agent.to_string())).collect()
    }

    fn state(&self, name: &str) -> TaskState {
        self.graph.state(&id(name)).unwrap()
    }
}

fn pair(task: &str, agent: &str) -> (String, String) {
    (task.to_owned(), agent.to_owned())
}

#[test]
fn a_refused_batch_leaves_no_trace_and_names_all_its_faults() {
    let mut bench = Bench::with_agents(&[("a", &[], 9)]);
    bench.submit(vec![task("config", &[])]).unwrap();
    bench.effects.clear();
    let before = format!("{:?}", bench.graph);
    let errors = bench
        .submit(vec![
            task("config", &[]),
            task("fine", &["config"]),
            task("b", &["confgi"]),
            task("b", &[]),
            task("self", &["self"]),
            task("x", &["y"]),
            task("y", &["x", "config"]),
            task("hasty", &[]).within(Duration::ZERO),
        ])
        .unwrap_err();
    assert_eq!(
        errors.faults().iter().map(SubmitError::to_string).collect::<Vec<_>>(),
        [
            "task config was submitted before: give it another id",
            "task b is listed twice, as number 3 and 4: rename one",
            "task b depends on confgi, which does not exist: did you mean config?",
            "task self depends on itself: remove that dependency",
            "task hasty has a timeout below one microsecond: raise it",
            "tasks depend on each other in a circle: x -> y -> x: remove one of these dependencies",
        ]
    );
    assert_eq!(format!("{:?}", bench.graph), before);
    assert!(bench.effects.is_empty());
}

#[test]
fn tasks_go_to_the_capable_agent_of_least_load_then_least_used_then_first_enrolled() {
    let mut bench =
        Bench::with_agents(&[("idle", &["cook"], 1), ("big", &["hash"], 4), ("small", &["hash"], 2)]);
    let tasks = (0..6).map(|n| task(&format!("t{n}"), &[]).needing(offers(&["hash"]))).collect();
    bench.submit(tasks).unwrap();
    // Loads after each: big 1/4, small 1/2, big 2/4; both 1/2 then and small was used less; big has room twice.
    let order = ["big", "small", "big", "small", "big", "big"];
    let expected: Vec<_> = order.iter().enumerate().map(|(n, a)| pair(&format!("t{n}"), a)).collect();
    assert_eq!(bench.pairs(), expected);
    let enrolled = bench.graph.enroll(agent("big"), offers(&[]), 1, bench.now, &mut bench.effects);
    assert_eq!(enrolled, Err(EnrollError::Enrolled { agent: agent("big") }));
    let empty = bench.graph.enroll(agent("new"), offers(&[]), 0, bench.now, &mut bench.effects);
    assert_eq!(empty.unwrap_err().to_string(), "agent new has no slots: give it at least one");
}

#[test]
fn the_most_urgent_ready_task_goes_first_then_the_earliest() {
    let mut bench = Bench::with_agents(&[("a", &[], 1)]);
    bench.submit(vec![task("first", &[])]).unwrap();
    let urgent = task("urgent", &[]).with_priority(Priority::Urgent);
    bench.submit(vec![task("second", &[]), task("third", &[]), urgent]).unwrap();
    for name in ["first", "urgent", "second", "third"] {
        assert_eq!(bench.pairs(), [pair(name, "a")]);
        bench.answer(name, 1, Ok(Value::Null));
    }
    assert_eq!(bench.graph.open(), 0);
}

#[test]
fn a_ready_task_waits_while_nobody_can_do_it_and_is_queued_when_someone_can() {
    let mut bench = Bench::new(GraphOptions { max_concurrent: Some(0), ..GraphOptions::default() });
    bench.submit(vec![task("t", &[]).needing(offers(&["hash"])), task("later", &["t"])]).unwrap();
    assert_eq!((bench.state("t"), bench.state("later")), (TaskState::Waiting, TaskState::Pending));
    let missing = TaskEvent::CapabilityMissing { at: bench.now, needs: offers(&["hash"]) };
    assert!(bench.effects.contains(&Effect::Event(missing)));
    let now = bench.now;
    bench.graph.enroll(agent("a"), offers(&["hash", "cook"]), 1, now, &mut bench.effects).unwrap();
    assert_eq!(bench.state("t"), TaskState::Queued);
    assert_eq!((bench.graph.metrics().queued, bench.graph.metrics().waiting), (1, 0));
    assert!(bench.graph.withdraw(&agent("a"), bench.now, &mut bench.effects));
    assert_eq!(bench.state("t"), TaskState::Waiting);
    assert!(!bench.graph.withdraw(&agent("a"), bench.now, &mut bench.effects));
    bench.graph.verify().unwrap();
}

#[test]
fn a_task_that_nobody_can_do_is_cancelled_at_once_when_told_so_whether_it_waits_runs_or_comes_later() {
    let mut bench = Bench::new(GraphOptions { unserved: Unserved::Cancel, ..GraphOptions::default() });
    for (name, capability) in [("a", "hash"), ("b", "hash"), ("c", "cook")] {
        bench.graph.enroll(agent(name), offers(&[capability]), 1, bench.now, &mut bench.effects).unwrap();
    }
    let hash = |name: &str, after: &[&str]| task(name, after).needing(offers(&["hash"]));
    let dinner = task("dinner", &[]).needing(offers(&["cook"]));
    bench.submit(vec![hash("t", &[]), hash("u", &[]), hash("queued", &[]), dinner]).unwrap();
    bench.submit(vec![hash("next", &["dinner"]), task("all", &["queued"])]).unwrap();
    bench.graph.withdraw(&agent("a"), bench.now, &mut bench.effects);
    bench.answer("u", 1, Err("try again".to_owned()));
    assert_eq!((bench.state("u"), bench.state("queued")), (TaskState::Waiting, TaskState::Queued));
    assert_eq!(bench.state("t"), TaskState::Executing, "there is still b");
    bench.graph.withdraw(&agent("b"), bench.now, &mut bench.effects);
    bench.graph.verify().unwrap();
    for name in ["t", "u", "queued"] {
        let report = bench.graph.report(&id(name)).unwrap();
        let why = report.fault.unwrap().to_string();
        assert_eq!(
            (report.state, &*why),
            (TaskState::Cancelled, "no agent is left that offers hash"),
            "{name}"
        );
    }
    let because = bench.graph.report(&id("all")).unwrap().fault.unwrap().to_string();
    assert_eq!(because, "task queued did not complete");
    assert_eq!((bench.state("dinner"), bench.state("next")), (TaskState::Executing, TaskState::Pending));
    bench.answer("dinner", 1, Ok(Value::Null));
    assert_eq!(bench.state("next"), TaskState::Cancelled);
    bench.submit(vec![hash("late", &[])]).unwrap();
    assert_eq!((bench.state("late"), bench.graph.open()), (TaskState::Cancelled, 0));
    let missing = |effect: &&Effect| matches!(effect, Effect::Event(TaskEvent::CapabilityMissing { .. }));
    assert_eq!(bench.effects.iter().filter(missing).count(), 1, "it is told once");
}

#[test]
fn a_line_of_100_000_tasks_that_nobody_can_do_is_cancelled_without_recursion() {
    let mut bench = Bench::new(GraphOptions { unserved: Unserved::Cancel, ..GraphOptions::default() });
    bench.graph.enroll(agent("a"), offers(&["cook"]), 1, bench.now, &mut bench.effects).unwrap();
    let mut line = vec![task("t0", &[]).needing(offers(&["cook"]))];
    line.extend((1..100_000usize).map(|n| {
        let before = id(&format!("t{}", n - 1));
        TaskSpec::new(id(&format!("t{n}"))).following([before]).needing(offers(&["hash"]))
    }));
    bench.submit(line).unwrap();
    bench.answer("t0", 1, Ok(Value::Null));
    assert_eq!((bench.graph.metrics().cancelled, bench.graph.open()), (99_999, 0));
}

#[test]
fn a_failed_attempt_is_repeated_after_a_doubling_wait_until_none_is_left() {
    let mut bench = Bench::with_agents(&[("a", &[], 1)]);
    bench.submit(vec![task("t", &[]).retrying(2)]).unwrap();
    for (attempt, wait) in [(1, 100), (2, 200)] {
        assert_eq!(bench.dispatched()[0].attempt, attempt);
        assert!(bench.answer("t", attempt, Err("no".to_owned())));
        assert_eq!(bench.state("t"), TaskState::Waiting);
        assert!(bench.dispatched().is_empty());
        bench.advance(bench.now.plus(Duration::from_millis(wait)));
    }
    assert!(bench.answer("t", 3, Err("never".to_owned())));
    assert_eq!(bench.state("t"), TaskState::Failed);
    let report = bench.graph.report(&id("t")).unwrap();
    assert_eq!((report.attempts, report.failures), (3, 3));
    assert_eq!(report.fault.unwrap().to_string(), "never");
    assert!(!bench.answer("t", 3, Ok(Value::Null)), "an answer after the end is stale");
    assert_eq!(bench.graph.metrics().stale, 1);
}

#[test]
fn a_late_attempt_is_recalled_and_its_answer_no_longer_counts() {
    let mut bench = Bench::with_agents(&[("a", &[], 1)]);
    bench.submit(vec![task("t", &[]).retrying(0), task("next", &["t"])]).unwrap();
    assert_eq!(bench.graph.next_deadline(), Some(seconds(30)));
    let cancellation = bench.dispatched()[0].cancellation.clone();
    bench.advance(seconds(30));
    let recall = Effect::Recall { task: id("t"), agent: agent("a"), attempt: 1, cancellation };
    assert_eq!(bench.effects[0], recall);
    assert_eq!((bench.state("t"), bench.state("next")), (TaskState::TimedOut, TaskState::Failed));
    assert!(!bench.answer("t", 1, Ok(Value::Null)));
    assert_eq!(bench.graph.metrics().stale, 1);
    let fault = bench.graph.report(&id("next")).unwrap().fault.unwrap();
    assert_eq!(fault.to_string(), "task t did not complete");
}

#[test]
fn a_recalled_attempt_takes_its_slot_and_its_share_of_the_limit_until_its_agent_lets_go() {
    let mut bench = Bench::new(GraphOptions { max_concurrent: Some(2), ..GraphOptions::default() });
    for name in ["a", "b", "c"] {
        bench.graph.enroll(agent(name), offers(&[]), 1, bench.now, &mut bench.effects).unwrap();
    }
    bench.submit(vec![task("t", &[]).retrying(1), task("u", &[]), task("v", &[])]).unwrap();
    assert_eq!(bench.pairs(), [pair("t", "a"), pair("u", "b")]);
    assert!(bench.graph.cancel(&id("u"), "not needed", bench.now, &mut bench.effects));
    assert_eq!(
        (bench.pairs().len(), bench.graph.metrics().releasing),
        (0, 1),
        "c is free, but the limit is not"
    );
    assert!(!bench.answer("u", 1, Ok(Value::Null)));
    let released = |task: &str, name: &str, at: Timestamp, done: bool| {
        let (task, agent) = (id(task), agent(name));
        Effect::Event(TaskEvent::AttemptReleased { at, task, agent, attempt: 1, done })
    };
    assert!(bench.effects.contains(&released("u", "b", bench.now, true)));
    assert_eq!(bench.pairs(), [pair("v", "c")]);
    bench.answer("v", 1, Ok(Value::Null));
    bench.advance(seconds(30));
    bench.advance(seconds(31));
    assert_eq!(
        bench.pairs(),
        [pair("t", "b")],
        "the next attempt does not wait for the last one to be let go"
    );
    assert!(!bench.answer("t", 1, Err("late".to_owned())), "nor is its answer taken for that of the next");
    assert!(bench.effects.contains(&released("t", "a", bench.now, false)));
    assert_eq!((bench.state("t"), bench.graph.metrics().releasing), (TaskState::Executing, 0));
    assert!(bench.answer("t", 2, Ok(Value::Null)));
    assert!(!bench.answer("t", 1, Ok(Value::Null)), "a second answer to the same attempt frees nothing more");
    assert_eq!(bench.graph.metrics().stale, 3);
}

#[test]
fn the_tasks_of_an_agent_that_left_are_given_to_another_one_and_count_as_attempts() {
    let mut bench = Bench::with_agents(&[("a", &[], 2), ("b", &[], 2)]);
    bench.submit(vec![task("t", &[]).retrying(1), task("u", &[]).retrying(0)]).unwrap();
    let assigned = bench.dispatched();
    assert_eq!((assigned[0].agent.as_str(), assigned[1].agent.as_str()), ("a", "b"));
    bench.graph.withdraw(&agent("a"), bench.now, &mut bench.effects);
    let cancellation = assigned[0].cancellation.clone();
    let recall = Effect::Recall { task: id("t"), agent: agent("a"), attempt: 1, cancellation };
    assert!(bench.effects.contains(&recall), "it may live on without being enrolled");
    assert_eq!(bench.pairs(), [pair("t", "b")]);
    bench.graph.withdraw(&agent("b"), bench.now, &mut bench.effects);
    bench.graph.verify().unwrap();
    assert_eq!((bench.state("t"), bench.state("u")), (TaskState::Failed, TaskState::Failed));
    let fault = bench.graph.report(&id("t")).unwrap().fault.unwrap();
    assert_eq!(fault.to_string(), "agent b left while it worked on it");
}

#[test]
fn a_refused_task_goes_to_another_agent_without_counting_and_the_refuser_is_left_alone_for_a_while() {
    let mut bench = Bench::with_agents(&[("a", &[], 1)]);
    bench.submit(vec![task("t", &[]).retrying(0)]).unwrap();
    assert_eq!(bench.pairs(), [pair("t", "a")]);
    assert!(bench.graph.attempt_refused(&id("t"), 1, bench.now, &mut bench.effects));
    assert!(!bench.graph.attempt_refused(&id("t"), 1, bench.now, &mut bench.effects));
    assert_eq!((bench.pairs().len(), bench.state("t")), (0, TaskState::Queued));
    bench.advance(Timestamp::from_start(Duration::from_millis(10)));
    let again = bench.dispatched();
    assert_eq!((again[0].attempt, bench.graph.report(&id("t")).unwrap().failures), (2, 0));
}

#[test]
fn the_root_of_a_failure_is_named_down_the_line_and_followers_do_not_mind() {
    let mut bench = Bench::with_agents(&[("a", &[], 1)]);
    let tidy = TaskSpec::new(id("tidy")).following([id("b"), id("a")]);
    bench.submit(vec![task("a", &[]).retrying(0), task("b", &["a"]), task("c", &["b"]), tidy]).unwrap();
    bench.answer("a", 1, Err("broken".to_owned()));
    assert_eq!(bench.state("c"), TaskState::Failed);
    let root = TaskFault::Dependency { because_of: id("a") };
    assert_eq!(bench.graph.report(&id("c")).unwrap().fault, Some(root.clone()));
    assert_eq!(bench.state("tidy"), TaskState::Executing);
    bench.submit(vec![task("late", &["c"]), TaskSpec::new(id("late tidy")).following([id("c")])]).unwrap();
    assert_eq!(bench.graph.report(&id("late")).unwrap().fault, Some(root));
    assert_eq!(bench.state("late tidy"), TaskState::Queued);
}

#[test]
fn what_tasks_return_is_handed_to_the_task_that_depends_on_them_in_the_order_it_names_them() {
    let mut bench = Bench::with_agents(&[("a", &[], 2)]);
    bench.submit(vec![task("x", &[]), task("y", &[])]).unwrap();
    bench.answer("x", 1, Ok(Value::from("X")));
    bench.effects.clear();
    bench.submit(vec![task("both", &["y", "x"]).with_payload(Value::from(7))]).unwrap();
    bench.answer("y", 1, Ok(Value::from("Y")));
    let assignment = bench.dispatched().remove(0);
    let inputs: Vec<_> =
        assignment.inputs.iter().map(|(id, value)| (id.as_str(), value.as_str().unwrap())).collect();
    assert_eq!(inputs, [("y", "Y"), ("x", "X")]);
    assert_eq!(*assignment.payload, Value::from(7));
}

#[test]
fn cancelling_a_task_fails_its_dependants_and_cancelling_all_ends_everything() {
    let mut bench = Bench::with_agents(&[("a", &[], 1)]);
    bench.submit(vec![task("a", &[]), task("b", &["a"]), task("c", &[]), task("d", &["c"])]).unwrap();
    assert!(bench.graph.cancel(&id("a"), "not needed", bench.now, &mut bench.effects));
    assert!(!bench.graph.cancel(&id("a"), "not needed", bench.now, &mut bench.effects));
    assert!(!bench.graph.cancel(&id("z"), "unknown", bench.now, &mut bench.effects));
    assert_eq!((bench.state("a"), bench.state("b")), (TaskState::Cancelled, TaskState::Failed));
    assert_eq!(bench.state("c"), TaskState::Queued, "its agent has not let go of a");
    assert!(!bench.answer("a", 1, Err("let go".to_owned())));
    assert_eq!(bench.state("c"), TaskState::Executing);
    assert_eq!(bench.graph.cancel_all("shutdown", bench.now, &mut bench.effects), 2);
    bench.graph.verify().unwrap();
    assert_eq!((bench.state("c"), bench.state("d")), (TaskState::Cancelled, TaskState::Cancelled));
    assert_eq!(bench.graph.next_deadline(), None);
}

fn with_history(history: usize, slots: u32) -> Bench {
    let mut bench = Bench::new(GraphOptions { history, ..GraphOptions::default() });
    bench.graph.enroll(agent("a"), offers(&[]), slots, bench.now, &mut bench.effects).unwrap();
    bench
}

#[test]
fn what_is_known_is_bounded_by_what_is_open_and_the_history_however_many_tasks_there_were() {
    let mut bench = with_history(20, 8);
    for round in 0..500 {
        let names: Vec<String> = (0..10).map(|n| format!("{round}/{n}")).collect();
        let on: Vec<&str> = names.iter().map(String::as_str).collect();
        bench.submit(names.iter().map(|name| task(name, &[])).collect()).unwrap();
        bench.submit(vec![task(&format!("{round}/all"), &on)]).unwrap();
        while let [first, ..] = &bench.dispatched()[..] {
            let mut next = first.task.to_string();
            loop {
                bench.answer(&next, 1, Ok(Value::from(round)));
                let Some(assigned) = bench.dispatched().into_iter().next() else { break };
                next = assigned.task.to_string();
            }
            for name in &names {
                bench.answer(name, 1, Ok(Value::Null));
            }
        }
        bench.graph.trim();
        bench.graph.verify().unwrap();
        assert!(bench.graph.known() <= 11 + 20, "round {round}: {} tasks are known", bench.graph.known());
    }
    let metrics = bench.graph.metrics();
    assert_eq!(metrics.submitted, 5_500);
    assert_eq!(metrics.open() + metrics.completed, 5_500);
    assert_eq!(bench.graph.known() as u64 + bench.graph.forgotten(), 5_500);
}

#[test]
fn a_task_is_forgotten_only_when_nothing_refers_to_it() {
    let mut bench = with_history(0, 1);
    bench.submit(vec![task("x", &[]), task("y", &["x"]), TaskSpec::new(id("z")).kept()]).unwrap();
    let cancelled = TaskSpec::new(id("cancelled")).following([id("y")]);
    bench.submit(vec![cancelled, task("late", &["z"]).retrying(0)]).unwrap();
    let known = |bench: &mut Bench| {
        bench.graph.trim();
        bench.graph.verify().unwrap();
        bench.graph.states().map(|(task, _)| task.to_string()).collect::<Vec<_>>().join(" ")
    };
    bench.answer("x", 1, Ok(Value::from("X")));
    bench.graph.cancel(&id("cancelled"), "not needed", bench.now, &mut bench.effects);
    assert_eq!(known(&mut bench), "x y z cancelled late", "y needs x, and cancelled stands in the list of y");
    assert_eq!(*bench.dispatched().last().unwrap().inputs, [(id("x"), Arc::new(Value::from("X")))]);
    bench.answer("y", 1, Ok(Value::Null));
    assert_eq!(known(&mut bench), "z late");
    bench.answer("z", 1, Ok(Value::Null));
    assert_eq!(known(&mut bench), "z late", "z was to be kept");
    // Numbers of forgotten tasks are used again, so nothing may be left that points to them.
    bench.submit((0..9).map(|n| task(&format!("new{n}"), &[])).collect()).unwrap();
    assert_eq!(bench.graph.open(), 10);
    bench.graph.cancel(&id("late"), "not needed", bench.now, &mut bench.effects);
    assert!(known(&mut bench).starts_with("z late new0"), "its agent has not let go of it");
    bench.answer("late", 1, Ok(Value::Null));
    assert!(known(&mut bench).starts_with("z new0"));
    assert_eq!(bench.graph.forget(&[id("z"), id("z"), id("x")]), 1);
    assert!(known(&mut bench).starts_with("new0"));
    assert_eq!(bench.graph.cancel_all("shutdown", bench.now, &mut bench.effects), 9);
    bench.graph.withdraw(&agent("a"), bench.now, &mut bench.effects);
    assert_eq!(known(&mut bench), "");
    assert_eq!(bench.graph.forgotten(), 14);
}

#[test]
fn metrics_add_up_and_give_latency_and_throughput() {
    let mut bench = Bench::with_agents(&[("a", &[], 2)]);
    bench.submit((0..4).map(|n| task(&format!("t{n}"), &[])).collect()).unwrap();
    bench.now = seconds(1);
    bench.answer("t0", 1, Ok(Value::Null));
    bench.now = seconds(3);
    bench.answer("t1", 1, Ok(Value::Null));
    let metrics = bench.graph.metrics();
    assert_eq!((metrics.completed, metrics.executing, metrics.open()), (2, 2, 2));
    assert_eq!(metrics.average_latency, Duration::from_secs(2));
    assert!((metrics.throughput().unwrap() - 2.0 / 3.0).abs() < 1e-9);
}

#[test]
fn half_a_million_tasks_and_one_that_combines_them_all_run_to_their_end() {
    const TASKS: usize = 500_000;
    let mut bench = Bench::with_agents(&[("a", &[], 1), ("b", &[], 1), ("c", &[], 3)]);
    let names: Vec<TaskId> = (0..TASKS).map(|n| id(&format!("file/{n}"))).collect();
    let mut batch: Vec<TaskSpec> = names.iter().cloned().map(TaskSpec::new).collect();
    batch.push(TaskSpec::new(id("combine")).after(names));
    bench.submit(batch).unwrap();
    let mut done = 0;
    loop {
        let assignments = bench.dispatched();
        let Some(last) = assignments.last() else { break };
        if last.task.as_str() == "combine" {
            assert_eq!((done, last.inputs.len()), (TASKS, TASKS));
        }
        for assignment in assignments {
            let (task, attempt) = (assignment.task, assignment.attempt);
            let value = Ok(Value::from(done));
            assert!(bench.graph.attempt_ended(&task, attempt, value, bench.now, &mut bench.effects));
            done += 1;
        }
    }
    bench.graph.verify().unwrap();
    assert_eq!((bench.graph.metrics().completed, bench.graph.open()), (TASKS + 1, 0));
}

#[test]
fn a_chain_of_100_000_tasks_fails_without_recursion() {
    let mut bench = Bench::with_agents(&[("a", &[], 1)]);
    let chain = (0..100_000usize).rev().map(|n| {
        TaskSpec::new(id(&format!("t{n}"))).after(n.checked_sub(1).map(|b| id(&format!("t{b}")))).retrying(0)
    });
    bench.submit(chain.collect()).unwrap();
    bench.answer("t0", 1, Err("broken".to_owned()));
    assert_eq!(bench.graph.metrics().failed, 100_000);
}

#[test]
fn events_are_serialised_with_their_fields_in_a_stable_order() {
    let mut bench = Bench::with_agents(&[("a", &[], 1)]);
    bench.submit(vec![task("t", &[])]).unwrap();
    let events: Vec<String> = bench
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Event(event) => Some(serde_json::to_string(event).unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(
        events,
        [
            r#"{"event":"tasks_submitted","at":0,"tasks":1}"#,
            r#"{"event":"task_started","at":0,"task":"t","agent":"a","attempt":1}"#
        ]
    );
}
