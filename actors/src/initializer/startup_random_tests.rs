//! Random plans against a naive model, and against Graham's bound.

use proptest::prelude::*;

use super::*;

/// What becomes of each task, by the meaning of the words alone.
fn naive(tasks: &[StartupTask], scripts: &[Vec<Script>]) -> BTreeMap<TaskId, StartupStatus> {
    let mut known: BTreeMap<TaskId, StartupStatus> = BTreeMap::new();
    // Tasks come after their dependencies in these lists, and after the phases that they wait for.
    let mut order: Vec<_> = tasks.iter().zip(scripts).collect();
    order.sort_by_key(|(task, _)| task.phase);
    for (task, script) in order {
        let blocks = |on: &StartupTask| on.dependency_type.must_complete() && known[&on.id] != Completed;
        let before =
            |on: &&StartupTask| task.dependencies.contains(&on.id) || task.after_phases.contains(&on.phase);
        let blocked = tasks.iter().filter(before).any(blocks);
        let attempts: Vec<_> = (0..=task.retries as usize).map(|n| script[n.min(script.len() - 1)]).collect();
        let status = match attempts.last().unwrap() {
            _ if blocked => Skipped,
            _ if attempts.contains(&Script::Ok) => Completed,
            Script::Hang => StartupStatus::TimedOut,
            _ => Failed,
        };
        known.insert(task.id.clone(), status);
    }
    known
}

prop_compose! {
    fn tasks()(rows in prop::collection::vec(
        (0usize..4, 0usize..6, prop::collection::vec(any::<prop::sample::Index>(), 0..4), 0u64..5, 0u32..3,
         prop::collection::vec(prop_oneof![4 => Just(Script::Ok), 1 => Just(Script::Fail), 1 => Just(Script::Hang)], 1..3),
         1u8..=5, prop::collection::vec(0usize..5, 0..2), (0u64..=3, 0u64..=2)),
        1..15,
    )) -> (Vec<StartupTask>, Vec<Vec<Script>>) {
        let mut phases = Vec::new();
        let mut out = (Vec::new(), Vec::new());
        for (at, (kind, phase, on, takes, retries, script, priority, awaited, (cpu, licence))) in rows.into_iter().enumerate() {
            let on: BTreeSet<usize> = if at == 0 { BTreeSet::new() } else { on.iter().map(|i| i.index(at)).collect() };
            let phase = on.iter().map(|&d| phases[d]).max().unwrap_or(0).max(phase);
            phases.push(phase);
            out.0.push(StartupTask::new(id(&format!("t{at}")))
                .after(on.iter().map(|d| id(&format!("t{d}"))))
                .in_phase(Phase::ALL[phase])
                .depended_on_as([Required, Optional, Blocking, NonBlocking][kind])
                .taking(Duration::from_secs(takes))
                .within(Duration::from_secs(10))
                .with_priority(Priority::try_from(priority).unwrap())
                .retrying(retries)
                .after_phases(awaited.into_iter().filter(|awaited| *awaited < phase).map(|at| Phase::ALL[at]))
                .needing(resource("cpu"), cpu)
                .needing(resource("licence"), licence));
            out.1.push(script);
        }
        out
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_plan_ends_as_the_meaning_of_its_words_says(
        (tasks, scripts) in tasks(), count in 1usize..5, strict: bool,
    ) {
        let phases = if strict { PhaseMode::Strict } else { PhaseMode::Labels };
        let options = StartupOptions { phases, ..workers(count) };
        let expected = naive(&tasks, &scripts);
        let mut world = World::begin(plan(tasks.clone()).unwrap(), options.clone(), scripts.clone());
        let report = world.finish();
        prop_assert!(report.outcome.is_some(), "it never ended: {report:#?}");
        prop_assert!(world.most_running <= count);
        for task in &report.tasks {
            prop_assert_eq!(task.status, expected[&task.task], "{}", task.task);
        }
        let must = |t: &StartupTask| t.dependency_type.must_complete();
        let bad = |t: &&StartupTask| expected[&t.id] != Completed;
        let outcome = if tasks.iter().filter(bad).any(must) {
            StartupOutcome::Failed
        } else if tasks.iter().any(|t| bad(&t)) {
            StartupOutcome::Degraded
        } else {
            StartupOutcome::Succeeded
        };
        prop_assert_eq!(report.outcome, Some(outcome));
        for pair in report.executed_path.windows(2) {
            prop_assert_eq!(pair[0].until, pair[1].started, "the executed path has no gaps");
        }
        if let Some(first) = report.executed_path.first() {
            prop_assert_eq!(first.started, Timestamp::ZERO);
        }
        let ends = world.events.iter().filter(|e| matches!(e, StartupEvent::TaskEnded { .. })).count();
        prop_assert_eq!(ends, tasks.len(), "every task ends once");
        let mut again = World::begin(plan(tasks).unwrap(), options, scripts);
        again.finish();
        prop_assert_eq!(&again.events, &world.events, "the same run tells the same");
    }

    #[test]
    fn whatever_is_asked_for_fails_and_is_cancelled_start_up_ends_and_undoes_just_what_completed(
        (mut tasks, scripts) in tasks(), count in 1usize..5, on in 0usize..3,
        lazy in prop::collection::vec(any::<bool>(), 15), undos in prop::collection::vec(0u8..4, 15),
        wakes in prop::collection::vec((0u64..30, any::<prop::sample::Index>()), 0..4),
        cancels in prop::collection::vec(0u64..40, 0..3),
    ) {
        let on = [OnFailure::Abort, OnFailure::Continue, OnFailure::Rollback][on];
        for (task, lazy) in tasks.iter_mut().zip(lazy) {
            task.lazy = lazy;
        }
        let scripted = undos.iter().enumerate().take(tasks.len()).filter(|(_, script)| **script > 0);
        let undos: BTreeMap<_, _> = scripted
            .map(|(at, script)| (at, [Script::Ok, Script::Fail, Script::Hang][*script as usize - 1]))
            .collect();
        let mut world = World::reversible(plan(tasks.clone()).unwrap(), on_failure(on, count), scripts, undos.clone());
        let mut acts: Vec<(u64, Option<usize>)> = wakes.iter().map(|(at, task)| (*at, Some(task.index(tasks.len())))).collect();
        acts.extend(cancels.iter().map(|at| (*at, None)));
        acts.sort_by_key(|act| act.0);
        for (at, act) in acts {
            world.run_until(seconds(at));
            match act {
                Some(task) => world.act(|startup, now, effects| startup.wake(task, now, effects)),
                None => world.act(Startup::cancel),
            }
        }
        let report = world.finish();
        prop_assert!(report.outcome.is_some(), "it never ended: {:#?}", report);
        prop_assert!(world.running.is_empty() && world.most_running <= count);
        prop_assert!(!world.startup.is_under_way());
        let plan = world.startup.plan();
        for (at, task) in report.tasks.iter().enumerate() {
            prop_assert!(task.status.ended() || plan.tasks()[at].dormant, "{} is {:?}", task.task, task.status);
            prop_assert_eq!(task.status.ended(), world.ended.contains_key(&at));
            prop_assert!(task.status != StartupStatus::RollingBack);
        }
        // What completed, in order, and of that what was undone.
        let mut completed = Vec::new();
        let mut undone = Vec::new();
        let mut was_broken_off = false;
        for event in &world.events {
            match event {
                StartupEvent::TaskEnded { task, status: Completed, .. } => completed.push(plan.position(task.as_str()).unwrap()),
                StartupEvent::TaskRolledBack { task, fault, .. } => {
                    undone.push(plan.position(task.as_str()).unwrap());
                    was_broken_off |= matches!(fault, Some(StartupFault::Cancelled));
                }
                _ => {}
            }
        }
        let failed = matches!(report.outcome, Some(StartupOutcome::Failed | StartupOutcome::Cancelled));
        prop_assert_eq!(report.rollback.is_some(), on == OnFailure::Rollback && failed);
        let late = |at: &usize| plan.tasks()[*at].dormant;
        let mut expected: Vec<usize> =
            completed.iter().rev().copied().filter(|at| undos.contains_key(at)).collect();
        if report.rollback.is_none() {
            expected.clear();
        }
        if was_broken_off {
            expected.truncate(undone.len());
        }
        prop_assert_eq!(&undone, &expected, "late: {:?}", completed.iter().filter(|at| late(at)).collect::<Vec<_>>());
    }

    #[test]
    fn without_failures_and_gates_the_time_keeps_to_grahams_bound(
        (mut tasks, _) in tasks(), count in 1usize..6,
    ) {
        for task in &mut tasks {
            task.dependency_type = Required;
            task.needs.clear();
        }
        let n = tasks.len();
        let plan = plan(tasks).unwrap();
        let (path, total) = (plan.critical_length(), plan.total());
        let lower = plan.lower_bound(count);
        let report = World::begin(plan, workers(count), vec![vec![Script::Ok]; n]).finish();
        let took = report.ended.unwrap().since_start();
        let m = u32::try_from(count).unwrap();
        prop_assert!(took >= lower, "{took:?} below {lower:?}");
        prop_assert!(took * m <= total + path * (m - 1), "{took:?}, path {path:?}, total {total:?}");
    }
}
