//! Lazy tasks, and what is ready when.

use StartupStatus::{Cancelled, Dormant, RolledBack};

use super::*;
use crate::initializer::{Readiness, ReadyOf};

fn world(tasks: Vec<StartupTask>, options: StartupOptions) -> World {
    let scripts = vec![vec![Script::Ok]; tasks.len()];
    World::begin(plan(tasks).unwrap(), options, scripts)
}

fn wake(world: &mut World, name: &str) {
    let at = world.startup.plan().position(name).unwrap();
    world.act(|startup, now, effects| startup.wake(at, now, effects));
}

fn of(name: &str) -> ReadyOf {
    ReadyOf::Task(id(name))
}

#[test]
fn a_lazy_task_and_those_it_alone_waits_for_run_when_it_is_asked_for() {
    let tasks = vec![
        task("config", &[]),
        task("index", &["config"]).lazily(),
        task("search", &["index"]).lazily(),
        task("other", &[]).lazily(),
    ];
    let mut world = world(tasks, workers(4));
    world.run_until(seconds(5));
    let report = world.startup.report();
    assert_eq!(
        statuses(&report),
        [("config", Completed), ("index", Dormant), ("search", Dormant), ("other", Dormant)]
    );
    assert_eq!((report.outcome, report.ended), (Some(StartupOutcome::Succeeded), Some(seconds(1))));
    assert_eq!((report.phases[0].tasks, report.phases[0].lazy), (1, 3));
    assert_eq!(world.startup.readiness(&of("search")), Readiness::NotYet);
    wake(&mut world, "search");
    wake(&mut world, "search");
    let report = world.finish();
    assert_eq!(report.tasks[2].ended, Some(seconds(7)), "index, then search");
    assert_eq!(report.tasks[3].status, Dormant);
    assert_eq!(report.ended, Some(seconds(1)), "start-up had ended before");
    assert_eq!(world.startup.readiness(&of("search")), Readiness::Ready(seconds(7)));
    assert_eq!(world.startup.progress(), (1, 1));
}

#[test]
fn what_others_wait_for_is_not_lazy_and_a_hint_does_not_count() {
    let tasks = vec![
        task("hint", &[]).lazily().depended_on_as(NonBlocking),
        task("base", &[]).lazily(),
        task("index", &["base"]).lazily(),
        task("search", &["index", "hint"]),
    ];
    let mut world = world(tasks, workers(4));
    assert_eq!(world.startup.plan().total(), Duration::from_secs(3));
    let report = world.finish();
    let expected = [("hint", Dormant), ("base", Completed), ("index", Completed), ("search", Completed)];
    assert_eq!(statuses(&report), expected);
}

#[test]
fn a_lazy_task_is_left_out_where_what_it_needs_has_failed() {
    let phase = |at: usize| Phase::ALL[at];
    let tasks = vec![
        task("disk", &[]).in_phase(phase(0)),
        task("index", &["disk"]).in_phase(phase(1)).lazily(),
        task("search", &["index"]).in_phase(phase(1)).lazily(),
        task("late", &[]).in_phase(phase(1)).after_phases([phase(0)]).lazily(),
    ];
    let mut world = world(tasks, workers(4));
    world.scripts[0] = vec![Script::Fail];
    world.run_until(seconds(2));
    wake(&mut world, "search");
    wake(&mut world, "late");
    let report = world.finish();
    assert_eq!(statuses(&report)[1..], [("index", Skipped), ("search", Skipped), ("late", Skipped)]);
    let Readiness::Never(why) = world.startup.readiness(&of("late")) else { panic!("it cannot be ready") };
    assert_eq!(
        why.to_string(),
        "start-up task late will not be ready: skipped because disk did not complete"
    );
    assert_eq!(report.outcome, Some(StartupOutcome::Failed));
}

#[test]
fn a_lazy_task_starts_once_though_what_it_waits_for_is_left_out() {
    let tasks = vec![
        task("disk", &[]),
        task("cache", &["disk"]).depended_on_as(Optional).lazily(),
        task("index", &["cache"]).lazily(),
    ];
    let mut world = world(tasks, workers(4));
    world.scripts[0] = vec![Script::Fail];
    world.run_until(seconds(2));
    wake(&mut world, "index");
    let report = world.finish();
    assert_eq!(statuses(&report)[1..], [("cache", Skipped), ("index", Completed)]);
    assert_eq!((report.tasks[2].attempts, world.startup.is_under_way()), (1, false));
}

#[test]
fn a_lazy_task_can_be_cancelled_after_start_up_has_ended() {
    let tasks = vec![task("a", &[]), task("lazy", &[]).lazily().taking(Duration::from_secs(99))];
    let mut world = world(tasks, workers(4));
    world.run_until(seconds(2));
    wake(&mut world, "lazy");
    assert!(world.startup.is_under_way());
    world.act(Startup::cancel);
    assert!(!world.startup.is_under_way() && world.running.is_empty());
    let report = world.finish();
    assert_eq!(statuses(&report), [("a", Completed), ("lazy", Cancelled)]);
    assert_eq!(report.outcome, Some(StartupOutcome::Succeeded));
}

#[test]
fn a_lazy_task_runs_though_one_that_it_only_waited_for_was_cancelled_before() {
    let first = |kind| task("first", &[]).lazily().taking(Duration::from_secs(99)).depended_on_as(kind);
    for (kind, then) in [(Optional, Completed), (Required, Skipped)] {
        let mut world =
            world(vec![task("a", &[]), first(kind), task("then", &["first"]).lazily()], workers(4));
        world.run_until(seconds(2));
        wake(&mut world, "first");
        world.act(Startup::cancel);
        wake(&mut world, "then");
        assert_eq!(
            statuses(&world.finish()),
            [("a", Completed), ("first", Cancelled), ("then", then)],
            "{kind:?}"
        );
        assert!(!world.startup.is_under_way());
    }
}

#[test]
fn what_lazy_tasks_have_behind_them_does_not_change_the_order_of_start() {
    let long = |name: &str, on: &[&str], takes| task(name, on).taking(Duration::from_secs(takes));
    let tasks = vec![
        long("a1", &[], 1),
        long("a2", &[], 1),
        long("l1", &["a1"], 100).lazily(),
        long("l2", &["a2"], 100).lazily(),
        long("c", &[], 1),
        long("d", &["c"], 10),
    ];
    assert_eq!(world(tasks, workers(2)).finish().ended, Some(seconds(11)));
}

#[test]
fn a_lazy_task_of_its_own_failure_harms_nobody_and_none_starts_after_start_up_was_stopped() {
    let tasks = || vec![task("a", &[]), task("lazy", &[]).lazily(), task("next", &["lazy"]).lazily()];
    let mut goes_on = world(tasks(), workers(2));
    goes_on.scripts[1] = vec![Script::Fail];
    wake(&mut goes_on, "next");
    let report = goes_on.finish();
    assert_eq!(statuses(&report), [("a", Completed), ("lazy", Failed), ("next", Skipped)]);
    assert_eq!(report.outcome, Some(StartupOutcome::Succeeded));

    let mut stopped = world(tasks(), on_failure(OnFailure::Abort, 2));
    stopped.scripts[0] = vec![Script::Fail];
    stopped.run_until(seconds(2));
    wake(&mut stopped, "next");
    assert_eq!(statuses(&stopped.finish()), [("a", Failed), ("lazy", Dormant), ("next", Dormant)]);
    let Readiness::Never(why) = stopped.startup.readiness(&of("next")) else { panic!("it cannot be ready") };
    assert!(why.to_string().ends_with("it is lazy, and start-up has failed or was cancelled"), "{why}");
}

#[test]
fn a_lazy_task_that_runs_when_start_up_is_undone_is_given_up_and_one_that_completed_is_undone() {
    let tasks = vec![
        task("a", &[]).taking(Duration::from_secs(3)),
        task("done", &[]).lazily(),
        task("long", &[]).lazily().taking(Duration::from_secs(99)),
    ];
    let scripts = vec![vec![Script::Fail], vec![Script::Ok], vec![Script::Ok]];
    let undos = BTreeMap::from([(1, Script::Ok), (2, Script::Ok)]);
    let mut world =
        World::reversible(plan(tasks).unwrap(), on_failure(OnFailure::Rollback, 3), scripts, undos);
    wake(&mut world, "done");
    wake(&mut world, "long");
    let report = world.finish();
    assert_eq!(statuses(&report), [("a", Failed), ("done", RolledBack), ("long", Cancelled)]);
    assert_eq!(report.ended, Some(seconds(4)));
}

#[test]
fn a_phase_is_ready_when_all_that_is_waited_for_has_ended_and_the_whole_likewise() {
    let phase = |at: usize| Phase::ALL[at];
    let tasks = vec![
        task("disk", &[]).in_phase(phase(1)),
        task("hint", &[]).in_phase(phase(1)).depended_on_as(NonBlocking).taking(Duration::from_secs(9)),
        task("optional", &[]).in_phase(phase(1)).depended_on_as(Optional).taking(Duration::from_secs(2)),
        task("api", &["disk"]).in_phase(phase(3)).taking(Duration::from_secs(4)),
    ];
    let mut world = world(tasks, workers(4));
    world.scripts[2] = vec![Script::Fail];
    let ready = |world: &World, of: ReadyOf| match world.startup.readiness(&of) {
        Readiness::Ready(since) => Some(since),
        Readiness::NotYet => None,
        Readiness::Never(why) => panic!("{why}"),
    };
    assert_eq!(ready(&world, ReadyOf::Phase(phase(0))), Some(seconds(0)), "it has no tasks");
    world.run_until(seconds(3));
    assert_eq!(ready(&world, ReadyOf::Phase(phase(1))), Some(seconds(2)), "the hint still runs");
    assert_eq!(ready(&world, ReadyOf::Phase(phase(3))), None);
    assert_eq!((ready(&world, ReadyOf::All), ready(&world, of("disk"))), (None, Some(seconds(1))));
    world.run_until(seconds(6));
    assert_eq!(ready(&world, ReadyOf::All), Some(seconds(5)));
    let report = world.finish();
    assert_eq!((report.phases[0].ready, report.phases[0].ended), (Some(seconds(2)), Some(seconds(9))));
    let told: Vec<_> = world.events.iter().filter(|e| matches!(e, StartupEvent::PhaseReady { .. })).collect();
    let expected = [(2, phase(1)), (5, phase(3))];
    let expected = expected.map(|(at, phase)| StartupEvent::PhaseReady { at: seconds(at), phase });
    assert_eq!(told, expected.iter().collect::<Vec<_>>());
}

#[test]
fn what_will_not_be_ready_says_why() {
    let phase = |at: usize| Phase::ALL[at];
    let tasks = vec![
        task("api", &["disk"]).in_phase(phase(3)),
        task("disk", &[]).in_phase(phase(1)),
        task("b", &[]),
        task("lazy", &[]).lazily().taking(Duration::from_millis(1)),
    ];
    let mut world = world(tasks, workers(4));
    (world.scripts[1], world.scripts[3]) = (vec![Script::Fail], vec![Script::Fail]);
    wake(&mut world, "lazy");
    world.run_until(seconds(1));
    let mut never = |of: ReadyOf| match world.startup.readiness(&of) {
        Readiness::Never(why) => why.to_string(),
        other => panic!("{of}: {other:?}"),
    };
    assert_eq!(
        [of("disk"), of("api"), of("nobody"), ReadyOf::Phase(phase(1)), ReadyOf::All].map(&mut never),
        [
            "start-up task disk will not be ready: attempt 1 failed",
            "start-up task api will not be ready: skipped because disk did not complete",
            "there is no start-up task nobody: ask for one of the plan",
            "the phase resource_allocation of start-up will not be ready: start-up task disk did not complete: attempt 1 failed",
            "start-up will not be ready: start-up task disk did not complete: attempt 1 failed",
        ]
    );
}
