//! [`Estimates`]: how long start-up tasks took in earlier runs, so that the next start is planned better than the first.
//!
//! **Invariant.** What is known is of tasks of the latest run alone, so it does not grow from run to run.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{event::StartupStatus, report::StartupReport, task::StartupTask};
use crate::{agent::TaskId, support::micros};

/// From this run of a task on, the latest counts this part of what is known of it, so that older ones fade.
const FADING: u32 = 4;

/// How long start-up tasks took in earlier runs: the mean of the first four, then a decayed average with weight 1/4 for the
/// latest.
///
/// # Examples
/// ```
/// use phalanx_actors::initializer::{Estimates, StartupTask};
/// let mut tasks = [StartupTask::new("config".parse().unwrap())];
/// let learned: Estimates = serde_json::from_str(r#"{"tasks": {"config": {"mean_us": 2000, "runs": 3}}}"#).unwrap();
/// learned.apply(&mut tasks);
/// assert_eq!(tasks[0].estimated_duration.as_millis(), 2);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimates {
    tasks: BTreeMap<TaskId, Learned>,
}

/// What is known of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    /// How long it takes \[us\].
    mean_us: u64,
    /// How many runs that is from.
    runs: u32,
}

impl Estimates {
    /// How long a task took in earlier runs, where that is known.
    pub fn of(&self, task: &TaskId) -> Option<Duration> {
        self.tasks.get(task).map(|learned| Duration::from_micros(learned.mean_us))
    }

    /// Puts what is known in the place of what was estimated.
    pub fn apply(&self, tasks: &mut [StartupTask]) {
        for task in tasks {
            task.estimated_duration = self.of(&task.id).unwrap_or(task.estimated_duration);
        }
    }

    /// Learns from a run: of tasks that completed at their first attempt. Tasks that it did not have are forgotten.
    pub fn learn(&mut self, report: &StartupReport) {
        let mut before = std::mem::take(&mut self.tasks);
        for task in &report.tasks {
            let known = before.remove(&task.task);
            let took = match (task.status, task.attempts, task.started.zip(task.ended)) {
                (StartupStatus::Completed, 1, Some((started, ended))) => Some(micros(ended.since(started))),
                _ => None,
            };
            let learned = match (known, took) {
                (Some(known), Some(took)) => known.with(took),
                (None, Some(mean_us)) => Learned { mean_us, runs: 1 },
                (Some(known), None) => known,
                (None, None) => continue,
            };
            self.tasks.insert(task.task.clone(), learned);
        }
    }
}

impl Learned {
    fn with(self, took: u64) -> Self {
        let runs = self.runs.saturating_add(1);
        let weight = u128::from(runs.min(FADING));
        let mean = (u128::from(self.mean_us) * (weight - 1) + u128::from(took)) / weight;
        Self { mean_us: u64::try_from(mean).expect("a mean is not beyond its parts"), runs }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        agent::Timestamp,
        initializer::{Plan, Startup, StartupEffect, StartupOptions},
    };

    /// The report of a run in which tasks take so long, or fail.
    fn run(tasks: &[(&str, Option<u64>)]) -> StartupReport {
        let plan = tasks.iter().map(|(name, _)| StartupTask::new(name.parse().unwrap()));
        let mut effects: Vec<StartupEffect> = Vec::new();
        let options = StartupOptions::default();
        let mut startup =
            Startup::begin(Plan::new(plan.collect()).unwrap(), options, Timestamp::ZERO, &mut effects);
        for (at, (_, took)) in tasks.iter().enumerate() {
            let now = Timestamp::from_start(Duration::from_micros(took.unwrap_or(7)));
            let result = took.map(|_| Value::Null).ok_or_else(String::new);
            assert!(startup.attempt_ended(at, 1, result, now, &mut effects));
        }
        startup.report()
    }

    #[test]
    fn the_first_runs_count_alike_and_later_ones_fade() {
        let mut estimates = Estimates::default();
        let mut known = Vec::new();
        for took in [100, 200, 300, 400, 650, 250] {
            estimates.learn(&run(&[("a", Some(took))]));
            known.push(estimates.of(&"a".parse().unwrap()).unwrap().as_micros());
        }
        assert_eq!(known, [100, 150, 200, 250, 350, 325]);
    }

    #[test]
    fn failures_teach_nothing_and_tasks_that_are_gone_are_forgotten() {
        let mut estimates = Estimates::default();
        estimates.learn(&run(&[("a", Some(100)), ("b", Some(200)), ("c", None)]));
        estimates.learn(&run(&[("a", None), ("c", None)]));
        let known = |name: &str| estimates.of(&name.parse().unwrap()).map(|took| took.as_micros());
        assert_eq!((known("a"), known("b"), known("c")), (Some(100), None, None));
        let mut tasks = ["a", "c"].map(|name| StartupTask::new(name.parse().unwrap()));
        estimates.apply(&mut tasks);
        let planned = tasks.map(|task| task.estimated_duration.as_micros());
        assert_eq!(planned, [100, 1_000_000]);
    }
}
