use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use StartupStatus::{Completed, Failed, RolledBack, TimedOut};
use actix::Addr;
use tokio::time::sleep;

use super::*;
use crate::{
    agent::TaskId,
    initializer::{OnFailure, Phase, StartupOptions, StartupOutcome, StartupTask},
    support::bench::{clock, paused, rebuilt},
};

fn id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

type Log = Rc<RefCell<Vec<StartupEvent>>>;

fn start(state: &SharedStartup, now: &Rc<dyn Fn() -> Timestamp>) -> (Addr<Initializer>, Log) {
    let log: Log = Rc::default();
    let sink = log.clone();
    let events = Rc::new(move |event| sink.borrow_mut().push(event));
    (Initializer::new(state.clone(), now.clone(), events).start(), log)
}

fn fresh() -> (Addr<Initializer>, Log) {
    start(&SharedStartup::default(), &clock())
}

fn taking(millis: u64) -> Body {
    Arc::new(move |context| {
        Box::pin(async move {
            sleep(Duration::from_millis(millis)).await;
            Ok(Value::from(context.task.as_str()))
        })
    })
}

fn task(name: &str, after: &[&str], body: impl Into<StartupBody>) -> (StartupTask, StartupBody) {
    (StartupTask::new(id(name)).after(after.iter().map(|d| id(d))), body.into())
}

fn start_up(tasks: Vec<(StartupTask, StartupBody)>) -> StartUp {
    StartUp { tasks, options: StartupOptions::default() }
}

fn millis(n: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(n))
}

#[test]
fn independent_bodies_run_in_parallel_and_dependants_get_their_results() {
    let report = paused(async {
        let (initializer, log) = fresh();
        let inputs: Body = Arc::new(|context| {
            Box::pin(async move { Ok(context.inputs.iter().map(|(_, v)| (**v).clone()).collect()) })
        });
        let tasks =
            vec![task("a", &[], taking(300)), task("b", &[], taking(300)), task("c", &["b", "a"], inputs)];
        let report = initializer.send(start_up(tasks)).await.unwrap().unwrap();
        assert!(matches!(log.borrow().last(), Some(StartupEvent::StartupEnded { .. })));
        report
    });
    assert_eq!((report.outcome, report.ended), (Some(StartupOutcome::Succeeded), Some(millis(300))));
    assert_eq!(report.tasks[2].result.as_deref(), Some(&serde_json::json!(["b", "a"])));
}

#[test]
fn a_body_that_panics_fails_its_own_task_only() {
    let report = paused(async {
        let (initializer, _) = fresh();
        let in_call: Body = Arc::new(|_| panic!("no such disk"));
        let in_future: Body = Arc::new(|_| Box::pin(async { panic!("disk {} is full", 7) }));
        let tasks = vec![
            task("call", &[], in_call),
            task("future", &[], in_future),
            task("after", &["call"], taking(1)),
            task("other", &[], taking(1)),
        ];
        initializer.send(start_up(tasks)).await.unwrap().unwrap()
    });
    let faults: Vec<_> =
        report.tasks.iter().map(|t| t.fault.as_ref().map(ToString::to_string).unwrap_or_default()).collect();
    let expected = [
        "body panicked: no such disk",
        "body panicked: disk 7 is full",
        "skipped because call did not complete",
        "",
    ];
    assert_eq!(faults, expected);
    assert_eq!(report.outcome, Some(StartupOutcome::Failed));
}

#[test]
fn a_late_attempt_is_dropped_and_the_next_one_runs_after_a_wait() {
    let (report, alive) = paused(async {
        let (initializer, _) = fresh();
        let alive = Arc::new(());
        let held = alive.clone();
        let body: Body = Arc::new(move |context| {
            let held = held.clone();
            Box::pin(async move {
                if context.attempt == 1 {
                    std::future::pending::<()>().await;
                }
                drop(held);
                Ok(Value::from(context.attempt))
            })
        });
        let (slow, body) = task("slow", &[], body);
        let tasks = vec![(slow.within(Duration::from_secs(2)).retrying(1), body)];
        let report = initializer.send(start_up(tasks)).await.unwrap().unwrap();
        (report, Arc::strong_count(&alive))
    });
    assert_eq!((report.tasks[0].attempts, report.ended), (2, Some(millis(2_100))));
    assert_eq!(alive, 2, "only the body itself holds its share, no attempt does");
}

#[test]
fn a_bad_plan_is_refused_and_a_second_start_up_has_to_wait() {
    paused(async {
        let (initializer, _) = fresh();
        let refused = initializer.send(start_up(vec![task("a", &["b"], taking(1))])).await.unwrap();
        assert_eq!(
            refused.unwrap_err().to_string(),
            "start-up task a depends on b, which does not exist: add it or remove the dependency"
        );
        assert_eq!(initializer.send(QueryStartup).await.unwrap(), None);
        let first = initializer.send(start_up(vec![task("a", &[], taking(500))]));
        let second = initializer.send(start_up(vec![task("b", &[], taking(1))]));
        let (first, second) = tokio::join!(first, second);
        assert_eq!(second.unwrap(), Err(StartUpError::Busy));
        assert_eq!(first.unwrap().unwrap().outcome, Some(StartupOutcome::Succeeded));
        let third = initializer.send(start_up(vec![task("b", &[], taking(1))])).await.unwrap();
        assert_eq!(third.unwrap().tasks.len(), 1);
    });
}

#[test]
fn cancelling_drops_the_bodies_and_answers_the_one_who_asked() {
    paused(async {
        let (initializer, _) = fresh();
        let tasks = vec![task("a", &[], taking(u64::from(u32::MAX))), task("b", &["a"], taking(1))];
        let waiting = actix_rt::spawn(initializer.send(start_up(tasks)));
        sleep(Duration::from_secs(1)).await;
        let running = initializer.send(QueryStartupTask(id("a"))).await.unwrap().unwrap();
        assert_eq!(running.status, StartupStatus::Running);
        assert!(initializer.send(CancelStartUp).await.unwrap());
        assert!(!initializer.send(CancelStartUp).await.unwrap());
        let report = waiting.await.unwrap().unwrap().unwrap();
        assert_eq!((report.outcome, report.ended), (Some(StartupOutcome::Cancelled), Some(millis(1_000))));
    });
}

#[test]
fn a_rebuilt_initializer_finishes_the_run_of_one_that_panicked() {
    paused(async {
        let (state, now) = (SharedStartup::default(), clock());
        let poison = Rc::new(|event: StartupEvent| {
            if let StartupEvent::TaskEnded { task, .. } = event {
                panic!("the sink breaks when {task} ends");
            }
        });
        let first = Initializer::new(state.clone(), now.clone(), poison).start();
        let starts = Arc::new(AtomicU32::new(0));
        let counted = starts.clone();
        let count: Body = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                sleep(Duration::from_secs(5)).await;
                Ok(Value::Null)
            })
        });
        let (deaf, never) = task("deaf", &[], StartupBody::new(|_| std::future::pending()));
        let tasks = vec![
            task("a", &[], taking(1_000)),
            task("b", &["a"], taking(1_000)),
            task("long", &[], count),
            (deaf.within(Duration::from_secs(8)), never),
        ];
        let waiting = actix_rt::spawn(first.send(start_up(tasks)));
        sleep(Duration::from_secs(2)).await;
        assert!(!first.connected(), "the first instance is gone");
        sleep(Duration::from_secs(4)).await;
        let (second, log) = start(&state, &now);
        sleep(Duration::from_millis(1)).await;
        let report = second.send(QueryStartupTask(id("long"))).await.unwrap().unwrap();
        assert_eq!(report.status, Completed, "its result came while nobody lived");
        let report = waiting.await.unwrap().unwrap().unwrap();
        assert_eq!(starts.load(Ordering::Relaxed), 1, "a running body is not started again");
        let statuses: Vec<_> = report.tasks.iter().map(|t| t.status).collect();
        assert_eq!(statuses, [Completed, Completed, Completed, TimedOut]);
        assert_eq!(report.tasks[3].ended, Some(millis(8_000)), "the timer was set again");
        let ends = |log: &Log| {
            let log = log.borrow();
            log.iter().filter(|e| matches!(e, StartupEvent::TaskEnded { .. })).count()
        };
        assert_eq!(ends(&log), 3, "only the event that broke the sink is lost");
    });
}

#[test]
fn an_initializer_rebuilt_in_place_keeps_its_run_its_mailbox_and_its_timers() {
    paused(async {
        let (state, now) = (SharedStartup::default(), clock());
        let broken = Rc::new(RefCell::new(0));
        let count = broken.clone();
        let poison: Rc<dyn Fn(StartupEvent)> = Rc::new(move |event| {
            if matches!(event, StartupEvent::TaskRetried { .. } | StartupEvent::TaskEnded { .. }) {
                *count.borrow_mut() += 1;
                panic!("the sink breaks");
            }
        });
        let initializer = rebuilt(move || Initializer::new(state.clone(), now.clone(), poison.clone()));
        let (deaf, never) = task("deaf", &[], StartupBody::new(|_| std::future::pending()));
        let tasks = vec![
            task("a", &[], taking(1_000)),
            task("b", &["a"], taking(1_000)),
            (deaf.within(Duration::from_secs(3)).retrying(1), never),
        ];
        let report = initializer.send(start_up(tasks)).await.unwrap().unwrap();
        assert_eq!(*broken.borrow(), 4, "each end and the retry broke the sink");
        assert_eq!(report.tasks[1].ended, Some(millis(2_000)));
        assert_eq!((report.tasks[2].status, report.ended), (TimedOut, Some(millis(6_100))));
    });
}

/// A body of so many milliseconds that notes when it is done and when it is undone.
fn noting(millis: u64, notes: &Arc<std::sync::Mutex<Vec<String>>>) -> StartupBody {
    let (done, undone) = (notes.clone(), notes.clone());
    StartupBody::new(move |context| {
        let done = done.clone();
        async move {
            sleep(Duration::from_millis(millis)).await;
            done.lock().unwrap().push(format!("+{}", context.task));
            Ok(Value::from(millis))
        }
    })
    .undone_by(move |context| {
        let undone = undone.clone();
        async move {
            sleep(Duration::from_millis(10)).await;
            undone.lock().unwrap().push(format!("-{} {}", context.task, context.result));
            Ok(())
        }
    })
}

#[test]
fn a_failure_undoes_what_completed_even_if_the_initializer_breaks_over_it() {
    paused(async {
        let (state, now) = (SharedStartup::default(), clock());
        let poison: Rc<dyn Fn(StartupEvent)> = Rc::new(|event| {
            if matches!(event, StartupEvent::RollbackBegan { .. } | StartupEvent::TaskRolledBack { .. }) {
                panic!("the sink breaks");
            }
        });
        let initializer = rebuilt(move || Initializer::new(state.clone(), now.clone(), poison.clone()));
        let notes = Arc::default();
        let tasks = vec![
            task("a", &[], noting(100, &notes)),
            task("b", &["a"], noting(100, &notes)),
            task("plain", &["b"], taking(50)),
            task("bad", &["plain"], StartupBody::new(|_| async { Err("no licence".to_owned()) })),
        ];
        let options = StartupOptions { on_failure: OnFailure::Rollback, ..StartupOptions::default() };
        let report = initializer.send(StartUp { tasks, options }).await.unwrap().unwrap();
        assert_eq!(*notes.lock().unwrap(), ["+a", "+b", "-b 100", "-a 100"]);
        let statuses: Vec<_> = report.tasks.iter().map(|t| t.status).collect();
        assert_eq!(statuses, [RolledBack, RolledBack, Completed, Failed]);
        assert_eq!(report.rollback.unwrap().undone, 2);
        assert!(report.ended.unwrap() >= millis(270));
    });
}

#[test]
fn undoing_that_panics_is_told_and_the_rest_is_undone() {
    paused(async {
        let (initializer, _) = fresh();
        let notes = Arc::default();
        let mut breaks = noting(1, &notes);
        breaks.undo = Some(Arc::new(|_| panic!("the table is gone")));
        let tasks = vec![
            task("a", &[], noting(1, &notes)),
            task("b", &["a"], breaks),
            task("bad", &["b"], StartupBody::new(|_| async { Err("no".to_owned()) })),
        ];
        let options = StartupOptions { on_failure: OnFailure::Rollback, ..StartupOptions::default() };
        let report = initializer.send(StartUp { tasks, options }).await.unwrap().unwrap();
        assert_eq!(*notes.lock().unwrap(), ["+a", "+b", "-a 1"]);
        let fault = report.tasks[1].fault.as_ref().unwrap().to_string();
        assert_eq!(
            (report.tasks[1].status, fault.as_str()),
            (StartupStatus::NotRolledBack, "body panicked: the table is gone")
        );
    });
}

#[test]
fn who_waits_for_something_to_be_ready_hears_when_it_is_and_wakes_what_is_lazy() {
    paused(async {
        let (initializer, _) = fresh();
        let ready = |of| initializer.send(AwaitReady(of));
        let of = |name| ReadyOf::Task(id(name));
        let early = ready(ReadyOf::All).await.unwrap().unwrap_err();
        assert_eq!(early.to_string(), "start-up is not ready: no start-up has begun, begin one first");
        let lazy = |name, after: &[&str]| {
            let (task, body) = task(name, after, taking(500));
            (task.lazily(), body)
        };
        let tasks = vec![
            task("a", &[], taking(100)),
            task("b", &["a"], taking(100)),
            lazy("index", &["a"]),
            lazy("search", &["index"]),
        ];
        let report = actix_rt::spawn(initializer.send(start_up(tasks)));
        sleep(Duration::ZERO).await;
        let phase = ReadyOf::Phase(Phase::CoreInitialization);
        let (a, whole, phase) = tokio::join!(ready(of("a")), ready(ReadyOf::All), ready(phase));
        assert_eq!(a.unwrap(), Ok(millis(100)));
        assert_eq!((whole.unwrap(), phase.unwrap()), (Ok(millis(200)), Ok(millis(200))));
        assert_eq!(report.await.unwrap().unwrap().unwrap().ended, Some(millis(200)));
        sleep(Duration::from_millis(800)).await;
        let busy = actix_rt::spawn(ready(of("search")));
        sleep(Duration::from_millis(1)).await;
        let second = initializer.send(start_up(vec![task("x", &[], taking(1))])).await.unwrap();
        assert_eq!(second, Err(StartUpError::Busy), "a lazy task runs");
        assert_eq!(busy.await.unwrap().unwrap(), Ok(millis(2_000)), "index, then search");
        assert_eq!(ready(of("search")).await.unwrap(), Ok(millis(2_000)), "asked once more");
        let unknown = ready(of("nobody")).await.unwrap().unwrap_err();
        assert_eq!(unknown.to_string(), "there is no start-up task nobody: ask for one of the plan");
    });
}

#[test]
fn who_waits_for_what_fails_or_is_undone_hears_that() {
    paused(async {
        let (initializer, _) = fresh();
        let notes = Arc::default();
        let tasks = vec![
            task("a", &[], noting(100, &notes)),
            task("bad", &["a"], StartupBody::new(|_| async { Err("no licence".to_owned()) })),
            task("after", &["bad"], taking(1)),
        ];
        let options = StartupOptions { on_failure: OnFailure::Rollback, ..StartupOptions::default() };
        let report = actix_rt::spawn(initializer.send(StartUp { tasks, options }));
        sleep(Duration::ZERO).await;
        let of = |name| initializer.send(AwaitReady(ReadyOf::Task(id(name))));
        let (a, after, all) = tokio::join!(of("a"), of("after"), initializer.send(AwaitReady(ReadyOf::All)));
        assert_eq!(a.unwrap(), Ok(millis(100)));
        let [after, all] = [after, all].map(|answer| answer.unwrap().unwrap_err().to_string());
        assert_eq!(after, "start-up task after will not be ready: skipped because bad did not complete");
        assert_eq!(all, "start-up will not be ready: start-up task bad did not complete: no licence");
        report.await.unwrap().unwrap().unwrap();
        let undone = of("a").await.unwrap().unwrap_err().to_string();
        assert_eq!(undone, "start-up task a will not be ready: start-up was undone");
    });
}

/// Has a turn of the executor after every other one, as long as they are counted.
fn take_turns(turns: Weak<RefCell<usize>>) {
    actix_rt::spawn(async move {
        let Some(counted) = turns.upgrade() else { return };
        *counted.borrow_mut() += 1;
        take_turns(turns);
    });
}

#[test]
fn bodies_that_end_at_once_let_others_have_their_turn() {
    paused(async {
        let (initializer, log) = fresh();
        let at_once = StartupBody::new(|_| async { Ok(Value::Null) });
        let tasks: Vec<_> = (0..20_000).map(|n| task(&format!("t{n}"), &[], at_once.clone())).collect();
        let turns = Rc::new(RefCell::new(0));
        take_turns(Rc::downgrade(&turns));
        let report = initializer.send(start_up(tasks)).await.unwrap().unwrap();
        let turns = *turns.borrow();
        assert_eq!((report.outcome, log.borrow().len()), (Some(StartupOutcome::Succeeded), 40_006));
        assert!(turns > 20_000 * 3 / TURN, "{turns}");
    });
}

struct Listener(Rc<RefCell<Vec<StartupProgress>>>);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<StartupProgress> for Listener {
    type Result = ();
    fn handle(&mut self, progress: StartupProgress, _: &mut Context<Self>) {
        self.0.borrow_mut().push(progress);
    }
}

#[test]
fn a_subscriber_hears_of_progress_and_always_of_the_end() {
    paused(async {
        let (initializer, log) = fresh();
        let heard = Rc::new(RefCell::new(Vec::new()));
        let listener = Listener(heard.clone()).start();
        initializer.send(SubscribeStartup(listener.clone().recipient())).await.unwrap();
        let tasks: Vec<_> = (0..100).map(|n| task(&format!("t{n}"), &[], taking(10))).collect();
        initializer.send(start_up(tasks)).await.unwrap().unwrap();
        sleep(Duration::from_millis(1)).await;
        let heard = heard.borrow();
        let last = heard.last().unwrap();
        assert!(matches!(last.event, StartupEvent::StartupEnded { .. }));
        assert_eq!((last.ended, last.tasks), (100, 100));
        assert_eq!(heard.len() as u64 + last.missed, log.borrow().len() as u64, "each is heard or counted");
    });
}

#[path = "actor_fault_tests.rs"]
mod faults;
