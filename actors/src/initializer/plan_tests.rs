use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    agent::{ResourceName, TaskId},
    initializer::{DependencyType, Phase, PlanError},
};

fn id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

fn resource(text: &str) -> ResourceName {
    ResourceName::new(text).unwrap()
}

fn task(name: &str, after: &[&str]) -> StartupTask {
    StartupTask::new(id(name)).after(after.iter().map(|d| id(d)))
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn all_faults_of_a_list_are_reported_at_once() {
    let cpus = Resources::from([(resource("cpu"), 4)]);
    let checked = |tasks| Plan::with_resources(tasks, &cpus);
    let errors = checked(vec![
        task("config", &[]),
        task("events", &["confgi"]),
        task("config", &[]),
        task("narcissus", &["narcissus"]),
        task("a", &["b"]),
        task("b", &["c"]),
        task("c", &["a"]),
        task("early", &["late"]).in_phase(Phase::DependencyResolution),
        task("late", &[]).in_phase(Phase::ServiceStartup).within(Duration::ZERO),
        task("same", &[]).after_phases([Phase::CoreInitialization]),
        task("greedy", &[]).needing(resource("cpu"), 3).needing(resource("cpu"), 2),
        task("lost", &[]).needing(resource("cpus"), 1).needing(resource("tapes"), 1),
    ])
    .unwrap_err();
    let said: Vec<String> = errors.faults().iter().map(PlanError::to_string).collect();
    assert_eq!(
        said,
        [
            "start-up task config is listed twice, as number 1 and 3: rename one",
            "start-up task events depends on confgi, which does not exist: did you mean config?",
            "start-up task narcissus depends on itself: remove that dependency",
            "start-up task early of phase dependency_resolution depends on late of the later phase service_startup: \
             move one of them",
            "start-up task late has a timeout below one microsecond: raise it or leave it out",
            "start-up task same of phase core_initialization waits for phase core_initialization, which is no earlier one: \
             name its tasks, or an earlier phase",
            "start-up task greedy needs 5 of resource cpu, and there is 4: it could never start; raise the one or lower the \
             other",
            "start-up task lost needs resource cpus, which does not exist: did you mean cpu?",
            "start-up task lost needs resource tapes, which does not exist: say how much there is of it, or remove the need",
            "start-up tasks depend on each other in a circle: a -> b -> c -> a: remove one of these dependencies",
        ]
    );
    assert_eq!(errors.to_string(), said.join("; "));
}

#[test]
fn every_separate_circle_is_reported_once_in_the_order_of_the_list() {
    let errors = Plan::new(vec![
        task("x", &["y"]),
        task("p", &["q"]),
        task("q", &["p"]),
        task("y", &["x"]),
        task("hanger-on", &["x"]),
    ])
    .unwrap_err();
    let paths: Vec<String> = errors
        .faults()
        .iter()
        .map(|fault| match fault {
            PlanError::Cycle { path } => path.iter().map(TaskId::as_str).collect::<Vec<_>>().join(" -> "),
            other => panic!("unexpected {other}"),
        })
        .collect();
    assert_eq!(paths, ["x -> y -> x", "p -> q -> p"]);
}

#[test]
fn the_critical_path_ignores_tasks_nobody_waits_for() {
    let plan = Plan::new(vec![
        task("warm-up", &[]).taking(seconds(50)).depended_on_as(DependencyType::NonBlocking),
        task("a", &["warm-up"]).taking(seconds(2)),
        task("b", &["a"]).taking(seconds(100)),
        task("c", &["a"]).taking(seconds(1)),
    ])
    .unwrap();
    assert_eq!(plan.critical_path(), ["a", "b"]);
    assert_eq!(plan.critical_length(), seconds(102));
    assert_eq!(plan.total(), seconds(153));
    assert_eq!(plan.levels(), [0, 0, 1, 1]);
    assert_eq!((plan.lower_bound(1), plan.lower_bound(8)), (seconds(153), seconds(102)));
}

#[test]
fn an_empty_plan_is_a_plan() {
    let plan = Plan::new(Vec::new()).unwrap();
    assert_eq!((plan.critical_length(), plan.critical_path().len()), (Duration::ZERO, 0));
}

#[test]
fn a_chain_of_100_000_tasks_is_planned_and_as_a_ring_refused_with_its_path() {
    let chain = |first: Option<usize>| -> Vec<StartupTask> {
        (0..100_000usize)
            .map(|at| {
                let before = if at == 0 { first } else { Some(at - 1) };
                StartupTask::new(id(&format!("t{at}"))).after(before.map(|b| id(&format!("t{b}"))))
            })
            .collect()
    };
    let plan = Plan::new(chain(None)).unwrap();
    assert_eq!(plan.critical_length(), seconds(100_000));
    assert_eq!(plan.levels()[99_999], 99_999);
    let errors = Plan::new(chain(Some(99_999))).unwrap_err();
    let [PlanError::Cycle { path }] = errors.faults() else { panic!("one cycle, not {errors}") };
    assert_eq!(path.len(), 100_001);
    assert!(errors.to_string().len() < 300, "{errors}");
}

#[test]
fn a_list_of_100_000_tasks_with_unknown_dependencies_is_refused_without_endless_suggestions() {
    let tasks =
        (0..100_000).map(|at| StartupTask::new(id(&format!("task-{at}"))).after([id("tusk-7")])).collect();
    let errors = Plan::new(tasks).unwrap_err();
    assert_eq!(errors.faults().len(), 100_000);
    assert!(errors.to_string().ends_with("; and 99980 more"), "{errors}");
}

/// Whether some task of a small list reaches itself, by exhaustive closure.
fn naive_has_circle(n: usize, edges: &BTreeSet<(usize, usize)>) -> bool {
    let mut reach = edges.clone();
    for _ in 0..n {
        let more: Vec<_> = reach
            .iter()
            .flat_map(|&(a, b)| edges.iter().filter(move |e| e.0 == b).map(move |e| (a, e.1)))
            .collect();
        reach.extend(more);
    }
    (0..n).any(|at| reach.contains(&(at, at)))
}

proptest! {
    #[test]
    fn a_list_is_refused_exactly_when_it_has_a_circle_and_the_circle_is_real(
        n in 1usize..9,
        edges in prop::collection::btree_set((0usize..9, 0usize..9), 0..14),
    ) {
        let edges: BTreeSet<_> =
            edges.into_iter().map(|(a, b)| (a % n, b % n)).filter(|(a, b)| a != b).collect();
        let tasks = (0..n)
            .map(|at| {
                let on = edges.iter().filter(|e| e.0 == at).map(|e| id(&e.1.to_string()));
                StartupTask::new(id(&at.to_string())).after(on)
            })
            .collect();
        match Plan::new(tasks) {
            Ok(plan) => {
                prop_assert!(!naive_has_circle(n, &edges));
                for &(a, b) in &edges {
                    prop_assert!(plan.levels()[a] > plan.levels()[b]);
                    prop_assert!(plan.urgency(a) > plan.urgency(b), "a dependency is always more urgent");
                }
                let path = plan.critical_path();
                prop_assert_eq!(path.len(), plan.levels().iter().max().unwrap() + 1, "equal estimates: longest chain");
                for pair in path.windows(2) {
                    let pair = (pair[1].parse().unwrap(), pair[0].parse().unwrap());
                    prop_assert!(edges.contains(&pair));
                }
            }
            Err(errors) => {
                prop_assert!(naive_has_circle(n, &edges));
                for fault in errors.faults() {
                    let PlanError::Cycle { path } = fault else { panic!("only circles, not {fault}") };
                    prop_assert_eq!(path.first(), path.last());
                    for pair in path.windows(2) {
                        let number = |t: &TaskId| t.as_str().parse().unwrap();
                        prop_assert!(edges.contains(&(number(&pair[0]), number(&pair[1]))));
                    }
                }
            }
        }
    }
}
