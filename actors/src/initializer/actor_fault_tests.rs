//! Seeded schedules of faults: bodies, undoing and the initializer itself break.

use rand::{Rng, SeedableRng};

use super::*;
use crate::initializer::DependencyType;

/// How the body of a task behaves in the fault schedules.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaves {
    Well,
    Fails,
    Panics,
    PanicsLater,
    PanicsWhenDropped,
    Hangs,
}

/// Most often well.
const ALL: [Behaves; 8] = [
    Behaves::Well,
    Behaves::Well,
    Behaves::Well,
    Behaves::Fails,
    Behaves::Panics,
    Behaves::PanicsLater,
    Behaves::PanicsWhenDropped,
    Behaves::Hangs,
];

/// Panics when it is dropped.
struct Grudge;

impl Drop for Grudge {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "it breaks when it is dropped");
    }
}

async fn behave(how: Behaves, millis: u64) -> Result<(), String> {
    match how {
        Behaves::Panics => panic!("at once"),
        Behaves::Hangs => std::future::pending().await,
        Behaves::PanicsWhenDropped => {
            let grudge = Grudge;
            std::future::pending::<()>().await;
            drop(grudge);
        }
        _ => sleep(Duration::from_millis(millis)).await,
    }
    match how {
        Behaves::Fails => Err("on purpose".to_owned()),
        Behaves::PanicsLater => panic!("later"),
        _ => Ok(()),
    }
}

#[test]
fn whatever_breaks_start_up_ends_in_a_stated_result_and_nothing_is_done_or_undone_twice() {
    for seed in 0..300 {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let count: usize = random.random_range(1..12);
        let done: Arc<Vec<[AtomicU32; 2]>> = Arc::new((0..count).map(|_| Default::default()).collect());
        let tasks = (0..count).map(|at| {
            let [does, undoes] = [0; 2].map(|_| ALL[random.random_range(0..ALL.len())]);
            let millis = random.random_range(0..50);
            let on: Vec<String> =
                (0..at).filter(|_| random.random_bool(0.2)).map(|on| format!("t{on}")).collect();
            let on: Vec<&str> = on.iter().map(String::as_str).collect();
            let kinds = [DependencyType::Required, DependencyType::Optional, DependencyType::Blocking];
            let (first, second) = (done.clone(), done.clone());
            let body = StartupBody::new(move |_| {
                let done = first.clone();
                async move {
                    behave(does, millis).await?;
                    done[at][0].fetch_add(1, Ordering::Relaxed);
                    Ok(Value::Null)
                }
            });
            let body = body.undone_by(move |_| {
                let done = second.clone();
                async move {
                    behave(undoes, millis).await?;
                    done[at][1].fetch_add(1, Ordering::Relaxed);
                    Ok(())
                }
            });
            let (task, body) = task(&format!("t{at}"), &on, body);
            let task = task.depended_on_as(kinds[random.random_range(0..kinds.len())]);
            (task.within(Duration::from_millis(100)).retrying(random.random_range(0..3)), body)
        });
        let tasks: Vec<_> = tasks.collect();
        let policies = [OnFailure::Abort, OnFailure::Continue, OnFailure::Rollback];
        let on_failure = policies[random.random_range(0..policies.len())];
        let options = StartupOptions { on_failure, workers: 3, ..StartupOptions::default() };
        // Every so many events the sink breaks, and the initializer with it.
        let every: u32 = random.random_range(1..8);
        let cancelled = random.random_bool(0.2).then(|| random.random_range(0..300));
        let report = paused(async move {
            let (state, now) = (SharedStartup::default(), clock());
            let clock = now.clone();
            let told = Rc::new(RefCell::new(0));
            let sink: Rc<dyn Fn(StartupEvent)> = Rc::new(move |_| {
                *told.borrow_mut() += 1;
                assert!(!u32::is_multiple_of(*told.borrow(), every), "the sink breaks");
            });
            let initializer = rebuilt(move || Initializer::new(state.clone(), now.clone(), sink.clone()));
            let report = actix_rt::spawn(initializer.send(StartUp { tasks, options }));
            if let Some(millis) = cancelled {
                sleep(Duration::from_millis(millis)).await;
                // Whoever asks while the initializer breaks may hear nothing.
                _ = initializer.send(CancelStartUp).await;
            }
            let hour = tokio::time::timeout(Duration::from_secs(3_600), report).await;
            let answer = hour.unwrap_or_else(|_| panic!("seed {seed}: it never ended")).unwrap();
            if let Ok(report) = answer {
                return report.unwrap();
            }
            // The answer is lost if the sink breaks while the message is handled that begins it all.
            loop {
                sleep(Duration::from_secs(60)).await;
                assert!(clock() < millis(3_600_000), "seed {seed}: it never ended");
                if let Ok(Some(report)) = initializer.send(QueryStartup).await
                    && report.outcome.is_some()
                {
                    return report;
                }
            }
        });
        assert!(report.outcome.is_some(), "seed {seed}");
        for (at, task) in report.tasks.iter().enumerate() {
            let [done, undone] = [0, 1].map(|part| done[at][part].load(Ordering::Relaxed));
            let status = task.status;
            assert!(status.ended() && status != StartupStatus::RollingBack, "seed {seed}: {task:?}");
            assert!(done >= u32::from(status.completed()) && undone <= done, "seed {seed}: {task:?}");
            assert!(done <= 1 && undone <= 1, "seed {seed}: {done} and {undone} times: {task:?}");
            assert!(
                (status == RolledBack) <= (undone == 1),
                "seed {seed}: {task:?} was undone {undone} times"
            );
        }
        let failed = matches!(report.outcome, Some(StartupOutcome::Failed | StartupOutcome::Cancelled));
        assert_eq!(report.rollback.is_some(), on_failure == OnFailure::Rollback && failed, "seed {seed}");
    }
}
