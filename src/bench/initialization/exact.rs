//! The workload in virtual time: one by one, by the ancestor's pool of threads, and by phalanx. Exact, on every machine.
//!
//! The ancestor sorts the tasks, and in each phase gives those that are ready when the phase begins to a pool of threads,
//! which takes them in the order in which they are listed. Its locks and look-ups cost nothing here.

use std::{cell::Cell, time::Duration};

use futures_util::{StreamExt, stream};
use phalanx_actors::{
    agent::TaskId,
    initializer::{Plan, StartupBody, StartupOptions, StartupOutcome, StartupTask},
};
use serde::Serialize;
use serde_json::Value;

use super::Workload;
use crate::{
    bench::{
        BenchError,
        ways::{self, Way as _},
    },
    host::{Host, simulate},
};

/// All randomness of the simulation comes from it; the workload uses none.
const SEED: u64 = 7;

/// The shortest time for the ancestor's workload: all tasks take whole tenths of a second, and no eight parts of them take
/// less than 3.625 s each.
pub(super) const OPTIMUM: Duration = Duration::from_millis(3_700);

/// How the workload is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// Each task is awaited before the next is begun.
    OneByOne,
    /// By the ancestor's pool.
    Pool,
    /// By phalanx.
    Phalanx,
}

impl Way {
    /// All of them, in the order of the page.
    pub(super) const ALL: [Way; 3] = [Way::OneByOne, Way::Pool, Way::Phalanx];
}

impl ways::Way for Way {
    const ONE_BY_ONE: Self = Self::OneByOne;
    const PHALANX: Self = Self::Phalanx;

    fn name(self) -> &'static str {
        match self {
            Self::OneByOne => "one by one",
            Self::Pool => "the ancestor's pool",
            Self::Phalanx => "phalanx",
        }
    }

    fn is_ancestors(self) -> bool {
        self == Self::Pool
    }
}

fn tasks(workload: Workload) -> Vec<StartupTask> {
    let task = |(number, takes): (usize, Duration)| {
        StartupTask::new(TaskId::new(format!("task_{number}")).expect("a good name")).taking(takes)
    };
    workload.durations().enumerate().map(task).collect()
}

/// No way is shorter.
pub(super) fn bound(workload: Workload) -> Duration {
    Plan::new(tasks(workload)).expect("they need nothing of each other").lower_bound(workload.workers)
}

/// Carries the workload out in one way, in virtual time.
pub(super) fn measure(workload: Workload, way: Way) -> Result<Duration, BenchError> {
    simulate(SEED, |host| async move {
        let began = host.now();
        match way {
            Way::OneByOne => in_turn(&host, workload, 1).await?,
            Way::Pool => in_turn(&host, workload, workload.workers).await?,
            Way::Phalanx => by_phalanx(&host, workload).await?,
        }
        let time = host.now().since(began);
        host.shutdown(Duration::from_secs(1)).await;
        Ok(time)
    })
}

/// By so many workers, each of which takes the next of the list when it is free.
async fn in_turn(host: &Host, workload: Workload, workers: usize) -> Result<(), BenchError> {
    let done = Cell::new(0);
    let work = |takes| {
        let done = &done;
        async move {
            host.sleep(takes).await;
            done.set(done.get() + 1);
        }
    };
    stream::iter(workload.durations()).for_each_concurrent(workers, work).await;
    all_done(Way::Pool, done.get(), workload)
}

async fn by_phalanx(host: &Host, workload: Workload) -> Result<(), BenchError> {
    let body = |task: &StartupTask| {
        let (clock, takes) = (host.clone(), task.estimated_duration);
        StartupBody::new(move |_| {
            let clock = clock.clone();
            async move {
                clock.sleep(takes).await;
                Ok(Value::Null)
            }
        })
    };
    let tasks = tasks(workload).into_iter().map(|task| (task.clone(), body(&task))).collect();
    let options = StartupOptions { workers: workload.workers, ..StartupOptions::default() };
    let report = host.start_up(tasks, options).await?;
    let completed = report.tasks.iter().filter(|task| task.status.completed()).count();
    if report.outcome != Some(StartupOutcome::Succeeded) {
        return Err(BenchError::Unequal { way: Way::Phalanx.name().to_owned(), why: "it failed".to_owned() });
    }
    all_done(Way::Phalanx, completed, workload)
}

fn all_done(way: Way, done: usize, workload: Workload) -> Result<(), BenchError> {
    if done == workload.tasks as usize {
        return Ok(());
    }
    let why = format!("{done} of {} tasks were done", workload.tasks);
    Err(BenchError::Unequal { way: way.name().to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_takes_exactly_as_long_as_its_rules_say() {
        let time = |way| measure(Workload::ANCESTOR, way).unwrap();
        // 20 times 0.5 s, and 0.1 s times 0 to 19.
        assert_eq!(time(Way::OneByOne), Duration::from_secs(29));
        // One worker takes the tasks of 0.8, 1.6 and 2.4 s.
        assert_eq!(time(Way::Pool), Duration::from_millis(4_800));
        assert_eq!(time(Way::Phalanx), OPTIMUM);
        assert_eq!(bound(Workload::ANCESTOR), Duration::from_millis(3_625));
    }
}
