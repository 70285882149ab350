use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use DependencyType::{Blocking, NonBlocking, Optional, Required};
use StartupStatus::{Completed, Failed, Skipped};

use super::*;
use crate::{
    agent::{Priority, ResourceName},
    initializer::{Held, Phase, PlanErrors, Resources, StartupReport, StartupTask},
};

/// How one attempt of a body goes in a test.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Script {
    Ok,
    Fail,
    Hang,
}

/// Runs a plan in virtual time: bodies take their estimates and follow their scripts (the last entry repeats).
struct World {
    startup: Startup,
    scripts: Vec<Vec<Script>>,
    /// How undoing goes, of the tasks that can be undone; it takes a second.
    undos: BTreeMap<usize, Script>,
    /// When which attempt will end, and whether it undoes.
    ends: BTreeSet<(Timestamp, usize, u32, bool)>,
    running: BTreeMap<usize, u32>,
    events: Vec<StartupEvent>,
    begun: BTreeSet<usize>,
    ended: BTreeMap<usize, StartupStatus>,
    now: Timestamp,
    most_running: usize,
}

impl World {
    fn begin(plan: Plan, options: StartupOptions, scripts: Vec<Vec<Script>>) -> Self {
        Self::reversible(plan, options, scripts, BTreeMap::new())
    }

    fn reversible(
        mut plan: Plan,
        options: StartupOptions,
        scripts: Vec<Vec<Script>>,
        undos: BTreeMap<usize, Script>,
    ) -> Self {
        for at in undos.keys() {
            plan.set_reversible(*at);
        }
        let mut effects = Vec::new();
        let startup = Startup::begin(plan, options, Timestamp::ZERO, &mut effects);
        let mut world = Self {
            startup,
            scripts,
            undos,
            ends: BTreeSet::new(),
            running: BTreeMap::new(),
            events: Vec::new(),
            begun: BTreeSet::new(),
            ended: BTreeMap::new(),
            now: Timestamp::ZERO,
            most_running: 0,
        };
        world.perform(effects);
        world
    }

    fn perform(&mut self, effects: Vec<StartupEffect>) {
        for effect in effects {
            match effect {
                StartupEffect::Run { task, attempt, deadline } => {
                    let earlier = self.running.insert(task, attempt);
                    assert_eq!(earlier, None, "an attempt of task {task} already runs");
                    self.most_running = self.most_running.max(self.running.len());
                    self.check_start(task);
                    self.begun.insert(task);
                    let script = &self.scripts[task];
                    let asked = &self.startup.plan().tasks()[task];
                    if script[(attempt as usize - 1).min(script.len() - 1)] == Script::Hang {
                        assert!(deadline.is_some(), "a body that hangs needs a timeout to end");
                    } else {
                        self.ends.insert((self.now.plus(asked.estimate()), task, attempt, false));
                    }
                }
                StartupEffect::Undo { task, attempt, deadline } => {
                    assert!(self.running.is_empty(), "{task} is undone while {:?} run", self.running);
                    self.running.insert(task, attempt);
                    if self.undos[&task] == Script::Hang {
                        assert!(deadline.is_some(), "undoing that hangs needs a timeout to end");
                    } else {
                        self.ends.insert((self.now.plus(Duration::from_secs(1)), task, attempt, true));
                    }
                }
                StartupEffect::Abort { task, attempt } => {
                    assert_eq!(self.running.remove(&task), Some(attempt));
                    self.ends.retain(|end| (end.1, end.2) != (task, attempt));
                }
                StartupEffect::Event(event) => {
                    if let StartupEvent::TaskEnded { task, status, .. } = &event {
                        let at = self.startup.plan().position(task.as_str()).unwrap();
                        assert_eq!(self.ended.insert(at, *status), None, "{task} ended twice");
                    }
                    self.events.push(event);
                }
            }
        }
    }

    /// What must hold whenever a task starts, by what the effects said so far.
    fn check_start(&self, task: usize) {
        let plan = self.startup.plan();
        for on in plan.dependencies(task).filter(|&on| plan.waited_for(on)) {
            let fine = self.ended.get(&on).is_some_and(|status| {
                *status == Completed || !plan.tasks()[on].dependency_type.must_complete()
            });
            assert!(fine, "task {task} started although {on} is {:?}", self.ended.get(&on));
        }
        for (resource, capacity) in (0..).zip(resources().into_values()) {
            let needs = |task: &usize| plan.needs().of(plan.class(*task));
            let of_it = self.running.keys().flat_map(needs).filter(|(of, _)| *of == resource);
            let held: u64 = of_it.map(|(_, amount)| amount).sum();
            assert!(held <= capacity, "{held} of resource {resource} are held when task {task} starts");
        }
        let phase = plan.tasks()[task].phase;
        for (at, other) in plan.tasks().iter().enumerate() {
            if plan.tasks()[task].after_phases().any(|phase| phase == other.phase)
                && plan.waited_for(at)
                && !other.dormant
            {
                let status = self.ended.get(&at);
                let fine = status.is_some_and(|s| *s == Completed || !other.dependency_type.must_complete());
                assert!(fine, "task {task} waits for {}, and {at} is {status:?}", other.phase);
            }
        }
        for (at, other) in plan.tasks().iter().enumerate().filter(|(at, _)| *at != task) {
            if other.phase == phase && other.dependency_type == Blocking {
                let begun = self.begun.contains(&at) && !self.ended.contains_key(&at);
                assert!(!begun, "task {task} started while the blocking task {at} holds {phase}");
            }
            if self.startup.options.phases == PhaseMode::Strict && other.phase < phase && plan.waited_for(at)
            {
                assert!(self.ended.contains_key(&at), "task {task} of {phase} started before {at} ended");
            }
        }
    }

    /// Runs until nothing more happens; the report.
    fn finish(&mut self) -> StartupReport {
        self.run_until(Timestamp::END);
        self.startup.report()
    }

    /// Runs until nothing more happens up to a time.
    fn run_until(&mut self, until: Timestamp) {
        loop {
            let end = self.ends.first().copied().filter(|end| end.0 <= until);
            let due = self.startup.next_deadline().filter(|due| *due <= until);
            let mut effects = Vec::new();
            match (end, due) {
                (Some((at, task, attempt, is_undo)), due) if due.is_none_or(|due| at <= due) => {
                    self.now = at;
                    self.ends.pop_first();
                    self.running.remove(&task);
                    let script = &self.scripts[task];
                    let script = script[(attempt as usize - 1).min(script.len() - 1)];
                    let failed = Err(format!("attempt {attempt} failed"));
                    let is_current = match if is_undo { self.undos[&task] } else { script } {
                        Script::Ok if is_undo => {
                            self.startup.undo_ended(task, attempt, Ok(()), at, &mut effects)
                        }
                        _ if is_undo => {
                            let failed = Err("it stays".to_owned());
                            self.startup.undo_ended(task, attempt, failed, at, &mut effects)
                        }
                        Script::Ok => {
                            self.startup.attempt_ended(task, attempt, Ok(Value::from(task)), at, &mut effects)
                        }
                        _ => self.startup.attempt_ended(task, attempt, failed, at, &mut effects),
                    };
                    assert!(is_current);
                }
                (_, Some(due)) => {
                    self.now = due;
                    self.startup.advance(due, &mut effects);
                }
                (_, None) => break,
            }
            self.perform(effects);
        }
        if until != Timestamp::END {
            self.now = until;
        }
    }

    /// Does something to it now.
    fn act(&mut self, act: impl FnOnce(&mut Startup, Timestamp, &mut Vec<StartupEffect>)) {
        let mut effects = Vec::new();
        act(&mut self.startup, self.now, &mut effects);
        self.perform(effects);
    }
}

fn id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

fn resource(text: &str) -> ResourceName {
    ResourceName::new(text).unwrap()
}

/// What there is in all tests.
fn resources() -> Resources {
    Resources::from([(resource("cpu"), 3), (resource("licence"), 2)])
}

fn plan(tasks: Vec<StartupTask>) -> Result<Plan, PlanErrors> {
    Plan::with_resources(tasks, &resources())
}

fn task(name: &str, after: &[&str]) -> StartupTask {
    StartupTask::new(id(name)).after(after.iter().map(|d| id(d)))
}

fn run(tasks: Vec<StartupTask>, options: StartupOptions, scripts: &[(&str, Script)]) -> StartupReport {
    let named: BTreeMap<_, _> = scripts.iter().copied().collect();
    let scripts =
        tasks.iter().map(|t| vec![named.get(t.id.as_str()).copied().unwrap_or(Script::Ok)]).collect();
    World::begin(plan(tasks).unwrap(), options, scripts).finish()
}

fn statuses(report: &StartupReport) -> Vec<(&str, StartupStatus)> {
    report.tasks.iter().map(|t| (t.task.as_str(), t.status)).collect()
}

fn seconds(n: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs(n))
}

fn workers(workers: usize) -> StartupOptions {
    StartupOptions { workers, ..StartupOptions::default() }
}

fn on_failure(on_failure: OnFailure, count: usize) -> StartupOptions {
    StartupOptions { on_failure, ..workers(count) }
}

#[test]
fn independent_tasks_run_in_parallel_up_to_the_number_of_workers() {
    let tasks = || (0..20).map(|n| task(&format!("t{n}"), &[])).collect::<Vec<_>>();
    assert_eq!(run(tasks(), workers(8), &[]).ended, Some(seconds(3)));
    assert_eq!(run(tasks(), workers(20), &[]).ended, Some(seconds(1)));
    assert_eq!(run(tasks(), workers(0), &[]).ended, Some(seconds(20)), "no workers counts as one");
}

#[test]
fn the_longest_remaining_path_starts_first_then_priority_then_the_order_of_the_list() {
    let tasks = vec![
        task("c", &[]),
        task("b", &[]).with_priority(Priority::High),
        task("a", &[]),
        task("head", &[]),
        task("tail", &["head"]),
    ];
    let report = run(tasks, workers(1), &[]);
    let mut order: Vec<_> = report.tasks.iter().map(|t| (t.started, t.task.as_str())).collect();
    order.sort_unstable();
    let order: Vec<_> = order.into_iter().map(|started| started.1).collect();
    assert_eq!(order, ["head", "b", "c", "a", "tail"]);
}

#[test]
fn a_required_failure_fails_start_up_and_skips_only_what_waits_for_it() {
    let tasks = vec![task("a", &[]), task("b", &["a"]), task("c", &["b"]), task("d", &[])];
    let report = run(tasks, workers(1), &[("a", Script::Fail)]);
    assert_eq!(statuses(&report), [("a", Failed), ("b", Skipped), ("c", Skipped), ("d", Completed)]);
    assert_eq!(report.outcome, Some(StartupOutcome::Failed));
    assert_eq!(report.tasks[2].fault, Some(StartupFault::Skipped { because_of: id("a") }));
    assert_eq!(report.ready, None);
}

#[test]
fn with_abort_the_first_required_failure_skips_all_that_has_not_started() {
    let tasks = vec![task("a", &[]).with_priority(Priority::Critical), task("b", &[]), task("c", &["b"])];
    let report = run(tasks, on_failure(OnFailure::Abort, 1), &[("a", Script::Fail)]);
    // b and c hang together and are longer, so b runs first; what is left is skipped.
    assert_eq!(report.tasks[1].status, Completed);
    assert_eq!((report.tasks[0].status, report.tasks[2].status), (Failed, Skipped));
}

#[test]
fn an_optional_failure_is_tolerated_and_its_dependants_wait_for_it() {
    let tasks = vec![
        task("cache", &[]).depended_on_as(Optional).taking(Duration::from_secs(3)),
        task("serve", &["cache"]),
    ];
    let report = run(tasks, workers(4), &[("cache", Script::Fail)]);
    assert_eq!(report.outcome, Some(StartupOutcome::Degraded));
    assert_eq!(report.tasks[1].started, Some(seconds(3)));
    assert_eq!(report.ready, Some(seconds(4)));
}

#[test]
fn nobody_waits_for_a_hint_but_it_starts_first_when_both_could() {
    let hint = task("warm", &[])
        .depended_on_as(NonBlocking)
        .taking(Duration::from_secs(9))
        .with_priority(Priority::Low);
    let tasks = vec![task("serve", &["warm"]).with_priority(Priority::Critical), hint];
    let report = run(tasks.clone(), workers(2), &[]);
    assert_eq!(report.tasks[0].started, Some(seconds(0)));
    assert_eq!((report.ready, report.ended), (Some(seconds(1)), Some(seconds(9))));
    let one_by_one = run(tasks, workers(1), &[("warm", Script::Fail)]);
    assert_eq!(one_by_one.tasks[0].started, Some(seconds(9)), "the hint of order is followed");
    assert_eq!(one_by_one.outcome, Some(StartupOutcome::Degraded));
}

#[test]
fn while_a_blocking_task_runs_or_waits_to_retry_nothing_starts_in_its_phase() {
    let mut tasks = vec![
        task("gate", &[]).depended_on_as(Blocking).with_priority(Priority::Critical).retrying(1),
        task("same", &[]),
        task("other", &[]).in_phase(Phase::Ready),
    ];
    tasks[0].timeout = Some(Duration::from_secs(5));
    let scripts = vec![vec![Script::Hang, Script::Ok], vec![Script::Ok], vec![Script::Ok]];
    let options = StartupOptions { retry_after: Duration::from_secs(2), ..workers(4) };
    let report = World::begin(plan(tasks).unwrap(), options, scripts).finish();
    assert_eq!(report.tasks[2].started, Some(seconds(0)));
    assert_eq!((report.tasks[0].attempts, report.tasks[0].ended), (2, Some(seconds(8))));
    assert_eq!(report.tasks[1].started, Some(seconds(8)));
    assert_eq!(report.outcome, Some(StartupOutcome::Succeeded));
}

#[test]
fn strict_phases_wait_for_the_earlier_ones_and_labels_do_not() {
    let tasks = || {
        vec![
            task("slow", &[]).in_phase(Phase::ResourceAllocation).taking(Duration::from_secs(5)),
            task("late", &[]).in_phase(Phase::ServiceStartup),
        ]
    };
    let strict = StartupOptions { phases: PhaseMode::Strict, ..workers(4) };
    assert_eq!(run(tasks(), strict, &[]).tasks[1].started, Some(seconds(5)));
    let labels = run(tasks(), workers(4), &[]);
    assert_eq!(labels.tasks[1].started, Some(seconds(0)));
    assert_eq!((labels.phases[0].ended, labels.phases[1].ended), (Some(seconds(5)), Some(seconds(1))));
}

#[test]
fn a_task_waits_for_a_phase_without_naming_its_tasks() {
    let phase = |at: usize| Phase::ALL[at];
    let late = |name: &str| {
        task(name, &[]).in_phase(phase(3)).after_phases([phase(0)]).taking(Duration::from_secs(2))
    };
    let tasks = || {
        vec![
            late("late"),
            task("a", &[]).in_phase(phase(0)),
            task("b", &["a"]).in_phase(phase(0)).depended_on_as(Optional),
            task("hint", &["b"]).in_phase(phase(0)).depended_on_as(NonBlocking),
            task("meanwhile", &[]).in_phase(phase(1)),
        ]
    };
    let report = run(tasks(), workers(8), &[("b", Script::Fail)]);
    assert_eq!(report.tasks[0].started, Some(seconds(2)), "after a and b, whose failure is tolerated");
    assert_eq!(report.tasks[4].started, Some(seconds(0)));
    let path: Vec<_> = report.executed_path.iter().map(|step| (step.task.as_str(), step.held)).collect();
    assert_eq!(path, [("a", Held::Free), ("b", Held::Dependency), ("late", Held::Dependency)]);
    let report = run(tasks(), workers(8), &[("a", Script::Fail)]);
    assert_eq!((report.tasks[0].status, report.tasks[0].ended), (Skipped, Some(seconds(1))));
    let plan = plan(tasks()).unwrap();
    assert_eq!((plan.critical_path(), plan.levels()), (vec!["a", "b", "late"], vec![2, 0, 1, 2, 0]));
    let nothing = vec![late("late").after_phases([phase(2)]), task("a", &[]).in_phase(phase(0))];
    assert_eq!(
        run(nothing, workers(8), &[]).ended,
        Some(seconds(3)),
        "a phase without tasks is over at once"
    );
}

#[test]
fn who_waits_for_a_phase_in_which_much_fails_hears_of_it_once() {
    let (many, phase) = (3_000, |at: usize| Phase::ALL[at]);
    let dependants = (0..many).map(|n| task(&format!("d{n}"), &["a"]).in_phase(phase(0)));
    let waiting = (0..many).map(|n| task(&format!("w{n}"), &[]).in_phase(phase(1)).after_phases([phase(0)]));
    let tasks = [task("a", &[]).in_phase(phase(0))].into_iter().chain(dependants).chain(waiting).collect();
    let mut effects = Vec::new();
    let mut startup = Startup::begin(plan(tasks).unwrap(), workers(1), Timestamp::ZERO, &mut effects);
    let mut queue = VecDeque::new();
    startup.release(0, true, &mut queue);
    assert_eq!(queue.len(), many + 1, "each dependant, and the gate");
    let gate = startup.plan.gates().start;
    for dependant in 1..=many {
        startup.release(dependant, true, &mut queue);
    }
    assert_eq!(queue.iter().filter(|(node, _)| *node == gate).count(), 1, "who waits is told once");
}

#[test]
fn of_a_resource_no_more_is_held_than_there_is_and_what_fits_passes_what_does_not() {
    let cpus = |name: &str, cpus| task(name, &[]).needing(resource("cpu"), cpus);
    let tasks = vec![
        cpus("big", 2).with_priority(Priority::Critical),
        cpus("second", 2).with_priority(Priority::High),
        cpus("small", 1),
        task("free", &[]),
        cpus("all", 1).needing(resource("cpu"), 2).with_priority(Priority::Low),
    ];
    let report = run(tasks.clone(), workers(8), &[]);
    let started: Vec<_> =
        report.tasks.iter().map(|task| task.started.unwrap().since_start().as_secs()).collect();
    assert_eq!(started, [0, 1, 0, 0, 2]);
    assert_eq!(report.lower_bound, Duration::from_micros(8_000_000 / 3), "eight of three for a second each");
    let retried = tasks.into_iter().map(|task| task.retrying(2)).collect();
    let report = run(retried, workers(8), &[("big", Script::Fail)]);
    assert_eq!(report.tasks[0].status, Failed, "what it held is free between its attempts");
}

#[test]
fn a_task_that_never_answers_times_out_after_its_last_attempt() {
    let tasks = vec![task("deaf", &[]).within(Duration::from_secs(3)).retrying(2)];
    let report = run(tasks, workers(1), &[("deaf", Script::Hang)]);
    assert_eq!((report.tasks[0].status, report.tasks[0].attempts), (StartupStatus::TimedOut, 3));
    assert_eq!(report.ended, Some(Timestamp::from_start(Duration::from_millis(9_300))));
}

#[test]
fn the_end_of_an_attempt_that_was_given_up_changes_nothing() {
    let mut effects = Vec::new();
    let plan = plan(vec![task("deaf", &[]).within(Duration::from_secs(3))]).unwrap();
    let mut startup = Startup::begin(plan, workers(1), Timestamp::ZERO, &mut effects);
    startup.advance(seconds(3), &mut effects);
    assert!(!startup.attempt_ended(0, 1, Ok(Value::Null), seconds(4), &mut effects));
    assert!(!startup.attempt_ended(7, 1, Ok(Value::Null), seconds(4), &mut effects));
    assert_eq!(startup.outcome(), Some(StartupOutcome::Failed));
}

#[test]
fn cancelling_aborts_what_runs_and_ends_everything() {
    let tasks = vec![task("a", &[]), task("b", &["a"]), task("c", &[])];
    let mut world = World::begin(plan(tasks).unwrap(), workers(1), vec![vec![Script::Ok]; 3]);
    let mut effects = Vec::new();
    world.startup.cancel(Timestamp::ZERO, &mut effects);
    world.perform(effects);
    let report = world.finish();
    assert!(world.running.is_empty());
    assert_eq!(report.outcome, Some(StartupOutcome::Cancelled));
    assert!(report.tasks.iter().all(|t| t.status == StartupStatus::Cancelled));
}

#[test]
fn an_empty_plan_succeeds_at_once() {
    assert_eq!(run(Vec::new(), workers(1), &[]).outcome, Some(StartupOutcome::Succeeded));
}

#[test]
fn the_executed_path_says_what_held_each_step() {
    let tasks = vec![task("a", &[]), task("b", &["a"]), task("z", &[])];
    let report = run(tasks, workers(1), &[]);
    let path: Vec<_> = report.executed_path.iter().map(|s| (s.task.as_str(), s.held)).collect();
    assert_eq!(path, [("a", Held::Free), ("b", Held::Dependency), ("z", Held::Capacity)]);
    assert_eq!(report.planned_path.iter().map(TaskId::as_str).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_failing_chain_of_100_000_tasks_is_skipped_without_recursion() {
    let tasks = (0..100_000usize)
        .map(|at| {
            StartupTask::new(id(&format!("t{at}"))).after(at.checked_sub(1).map(|b| id(&format!("t{b}"))))
        })
        .collect();
    let report = run(tasks, workers(8), &[("t0", Script::Fail)]);
    assert_eq!(report.phases[0].failed, 100_000);
}

#[test]
fn events_are_serialised_with_their_fields_in_a_stable_order() {
    let event = StartupEvent::TaskEnded {
        at: seconds(2),
        task: id("a"),
        status: Failed,
        attempts: 1,
        took: Duration::from_secs(1),
        fault: Some(StartupFault::Failed { error: "no disk".to_owned() }),
    };
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        r#"{"event":"task_ended","at":2000000,"task":"a","status":"failed","attempts":1,"took_us":1000000,"fault":{"reason":"failed","error":"no disk"}}"#
    );
}

#[path = "startup_lazy_tests.rs"]
mod lazy;
#[path = "startup_random_tests.rs"]
mod random;
#[path = "startup_rollback_tests.rs"]
mod rollback;
