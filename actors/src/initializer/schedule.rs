//! [`Schedule`]: what a plan comes to when each body takes just its estimate.
//!
//! The schedule is made by the state machine that carries start-up out, so what is foretold is what happens if the
//! estimates hold.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    time::Duration,
};

use serde_json::Value;

use super::{
    options::{StartupEffect, StartupOptions},
    plan::Plan,
    report::CriticalStep,
    startup::Startup,
};
use crate::agent::Timestamp;

/// When one task runs, and on which worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The position of the task in the plan.
    pub task: usize,
    /// The worker, from 0.
    pub worker: usize,
    /// When it starts, from the beginning of start-up.
    pub start: Duration,
    /// When it ends.
    pub end: Duration,
}

impl Slice {
    /// How long it takes.
    pub const fn takes(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }
}

/// What a plan comes to on some workers, if the estimates hold.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use phalanx_actors::initializer::{Plan, Schedule, StartupOptions, StartupTask};
/// let task = |id: &str, seconds| StartupTask::new(id.parse().unwrap()).taking(Duration::from_secs(seconds));
/// let plan = Plan::new(vec![task("a", 2), task("b", 1), task("c", 1)]).unwrap();
/// let schedule = Schedule::of(&plan, StartupOptions { workers: 2, ..StartupOptions::default() });
/// assert_eq!(schedule.makespan(), Duration::from_secs(2));
/// assert_eq!(plan.lower_bound(2), Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    slices: Vec<Slice>,
    makespan: Duration,
    ready: Duration,
    path: Vec<CriticalStep>,
}

impl Schedule {
    /// The schedule of a plan, carried out with these options.
    pub fn of(plan: &Plan, options: StartupOptions) -> Self {
        let mut effects = Vec::new();
        let mut startup = Startup::begin(plan.clone(), options, Timestamp::ZERO, &mut effects);
        let mut slices = Vec::with_capacity(plan.tasks().len());
        let mut ends = BinaryHeap::new();
        let (mut free, mut workers) = (BTreeSet::new(), 0);
        let mut now = Timestamp::ZERO;
        loop {
            for effect in effects.drain(..) {
                let StartupEffect::Run { task, .. } = effect else { continue };
                let worker = free.pop_first().unwrap_or_else(|| {
                    workers += 1;
                    workers - 1
                });
                let end = now.plus(plan.tasks()[task].estimate());
                slices.push(Slice { task, worker, start: now.since_start(), end: end.since_start() });
                ends.push(Reverse((end, task, worker)));
            }
            let Some(Reverse((end, task, worker))) = ends.pop() else { break };
            now = end;
            free.insert(worker);
            // Every body does well, at its first attempt; a timeout below the estimate is not looked at.
            startup.attempt_ended(task, 1, Ok(Value::Null), now, &mut effects);
        }
        let report = startup.report();
        Self {
            slices,
            makespan: now.since_start(),
            ready: report.ready.map_or(Duration::ZERO, Timestamp::since_start),
            path: report.executed_path,
        }
    }

    /// When each task runs, in the order in which they start.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// When the last task ends.
    pub const fn makespan(&self) -> Duration {
        self.makespan
    }

    /// When the last task that anybody waits for ends.
    pub const fn ready(&self) -> Duration {
        self.ready
    }

    /// The chain of tasks that decides the makespan: each lets the next one start, as its dependency or by its worker.
    pub fn path(&self) -> &[CriticalStep] {
        &self.path
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
