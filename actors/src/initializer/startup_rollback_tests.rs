//! Undoing what completed.

use OnFailure::{Abort, Continue, Rollback};
use StartupStatus::{Cancelled, NotRolledBack, RolledBack};

use super::*;

/// Tasks one second long each, the first so many of which can be undone.
fn world(tasks: Vec<StartupTask>, reversible: usize, options: StartupOptions) -> World {
    let scripts = vec![vec![Script::Ok]; tasks.len()];
    let undos = (0..reversible).map(|at| (at, Script::Ok)).collect();
    World::reversible(plan(tasks).unwrap(), options, scripts, undos)
}

fn undone(world: &World) -> Vec<&str> {
    let undone = world.events.iter().filter_map(|event| match event {
        StartupEvent::TaskRolledBack { task, .. } => Some(task.as_str()),
        _ => None,
    });
    undone.collect()
}

#[test]
fn what_completed_is_undone_in_reverse_order_once_the_last_task_has_ended() {
    let tasks = || {
        vec![
            task("disk", &[]),
            task("net", &["disk"]).taking(Duration::from_secs(3)),
            task("log", &["disk"]).taking(Duration::from_secs(2)),
            task("api", &["log"]).taking(Duration::from_secs(9)),
            task("long", &["disk"]).taking(Duration::from_secs(5)),
        ]
    };
    let with = |on| {
        let mut world = world(tasks(), 5, on_failure(on, 8));
        world.scripts[3] = vec![Script::Fail];
        world.scripts[4] = vec![Script::Fail];
        let report = world.finish();
        (report, undone(&world).into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let (report, order) = with(Rollback);
    assert_eq!(order, ["net", "log", "disk"]);
    assert_eq!(
        statuses(&report),
        [("disk", RolledBack), ("net", RolledBack), ("log", RolledBack), ("api", Failed), ("long", Failed)]
    );
    // The failure comes at 6 s, the last task ends at 12 s, undoing takes a second each.
    let rollback = report.rollback.unwrap();
    assert_eq!((rollback.began, rollback.ended), (seconds(12), Some(seconds(15))));
    assert_eq!((rollback.tasks, rollback.undone, rollback.failed), (3, 3, 0));
    assert_eq!((report.outcome, report.ended), (Some(StartupOutcome::Failed), Some(seconds(15))));
    assert_eq!(report.executed_path.last().unwrap().until, seconds(12));
    for on in [Abort, Continue] {
        let (report, order) = with(on);
        assert!(order.is_empty() && report.rollback.is_none() && report.ended == Some(seconds(12)), "{on:?}");
    }
}

#[test]
fn what_waits_for_its_next_attempt_is_not_tried_again_once_start_up_has_failed() {
    for on in [Abort, Rollback] {
        let tasks = vec![
            task("port", &[]).within(Duration::from_secs(9)).retrying(100),
            task("bad", &[]).taking(Duration::from_millis(1_050)),
        ];
        let mut world = world(tasks, 1, on_failure(on, 2));
        world.scripts = vec![vec![Script::Fail], vec![Script::Fail]];
        let report = world.finish();
        assert_eq!(statuses(&report), [("port", Failed), ("bad", Failed)]);
        assert_eq!(report.tasks[0].attempts, 1);
        assert_eq!(report.ended, Some(Timestamp::from_start(Duration::from_millis(1_050))), "{on:?}");
    }
}

#[test]
fn what_cannot_be_undone_is_told_and_does_not_keep_the_others_from_it() {
    let tasks = vec![
        task("a", &[]),
        task("b", &["a"]).within(Duration::from_secs(4)).retrying(1),
        task("c", &["b"]),
        task("d", &["c"]),
        task("fails", &["d"]),
    ];
    let mut world = world(tasks, 4, on_failure(Rollback, 1));
    world.scripts[4] = vec![Script::Fail];
    world.undos = BTreeMap::from([(0, Script::Ok), (1, Script::Hang), (2, Script::Fail), (3, Script::Ok)]);
    let report = world.finish();
    assert_eq!(
        statuses(&report),
        [("a", RolledBack), ("b", NotRolledBack), ("c", NotRolledBack), ("d", RolledBack), ("fails", Failed)]
    );
    let faults: Vec<_> = report.tasks[1..3].iter().map(|t| t.fault.as_ref().unwrap().to_string()).collect();
    assert_eq!(faults, ["timed out after 4s", "it stays"]);
    let rollback = report.rollback.unwrap();
    assert_eq!((rollback.undone, rollback.failed), (2, 2));
    // d 1 s, c 1 s, b twice 4 s with 0.1 s between, a 1 s.
    assert_eq!(report.ended, Some(Timestamp::from_start(Duration::from_millis(5_000 + 11_100))));
}

#[test]
fn start_up_that_is_cancelled_is_undone_and_cancelled_once_more_left_as_it_is() {
    let tasks = || vec![task("a", &[]), task("b", &["a"]), task("c", &["b"]).taking(Duration::from_secs(9))];
    let mut once = world(tasks(), 3, on_failure(Rollback, 1));
    once.run_until(seconds(3));
    once.act(Startup::cancel);
    let report = once.finish();
    assert_eq!(statuses(&report), [("a", RolledBack), ("b", RolledBack), ("c", Cancelled)]);
    assert_eq!((report.outcome, report.ended), (Some(StartupOutcome::Cancelled), Some(seconds(5))));

    let mut twice = world(tasks(), 3, on_failure(Rollback, 1));
    twice.run_until(seconds(3));
    twice.act(Startup::cancel);
    twice.act(Startup::cancel);
    let report = twice.finish();
    assert_eq!(statuses(&report), [("a", Completed), ("b", NotRolledBack), ("c", Cancelled)]);
    assert_eq!(report.ended, Some(seconds(3)));

    let mut kept = world(tasks(), 3, on_failure(Abort, 1));
    kept.run_until(seconds(3));
    kept.act(Startup::cancel);
    assert_eq!(statuses(&kept.finish()), [("a", Completed), ("b", Completed), ("c", Cancelled)]);
}

#[test]
fn with_nothing_to_undo_start_up_ends_at_once() {
    let mut world = world(vec![task("a", &[]), task("b", &["a"])], 0, on_failure(Rollback, 1));
    world.scripts[1] = vec![Script::Fail];
    let report = world.finish();
    assert_eq!((report.ended, report.rollback.map(|r| r.tasks)), (Some(seconds(2)), Some(0)));
    assert!(undone(&world).is_empty());
    assert!(!world.events.iter().any(|event| matches!(event, StartupEvent::RollbackBegan { .. })));
}

#[test]
fn the_end_of_an_attempt_to_undo_that_was_given_up_changes_nothing() {
    let tasks = vec![task("a", &[]).within(Duration::from_secs(4)), task("fails", &["a"])];
    let mut world = world(tasks, 1, on_failure(Rollback, 1));
    world.scripts[1] = vec![Script::Fail];
    world.undos.insert(0, Script::Hang);
    let report = world.finish();
    assert_eq!(report.tasks[0].status, NotRolledBack);
    let mut effects = Vec::new();
    assert!(!world.startup.undo_ended(0, 1, Ok(()), seconds(99), &mut effects) && effects.is_empty());
}
