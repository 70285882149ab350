//! [`Judging`]: the validations that run as tasks beside the registrar, and their verdicts.
//!
//! ```text
//! begin --> task --verdict, or that it was lost--> reports --> take_reports
//!             ^                                                  |
//!             +----------------- lost: once more ----------------+
//! ```
//!
//! A task says its verdict to the registrar's state, not to the actor, so a verdict outlives an incarnation. A task that is
//! dropped without one, by the end of its arbiter say, says that; then its request is validated anew.
//!
//! **Invariant.** A request has at most one task whose verdict counts, and at most `at_once` tasks exist.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rustc_hash::FxHashMap;
use tokio::task::AbortHandle;

use super::Request;
use crate::agent::Timestamp;

/// What a validation found: why the request is refused, if it is; nothing when its task was dropped before the end.
pub(super) type Found = Option<Result<(), String>>;

/// A validation that is to be run as a task.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) task: u64,
    pub(super) request: Arc<Request>,
}

#[derive(Debug)]
struct Task {
    /// The number of the request in the order of offers; none once its verdict does not count any more.
    number: Option<u64>,
    deadline: Option<Timestamp>,
    /// None until it runs.
    abort: Option<AbortHandle>,
}

/// The validations that run as tasks beside the registrar.
#[derive(Debug)]
pub(super) struct Judging {
    at_once: usize,
    timeout: Duration,
    tasks: FxHashMap<u64, Task>,
    by_number: FxHashMap<u64, u64>,
    deadlines: BTreeSet<(Timestamp, u64)>,
    reports: Vec<(u64, Found)>,
    begun: u64,
}

impl Judging {
    pub(super) fn new((at_once, timeout): (usize, Duration)) -> Self {
        Self {
            at_once,
            timeout,
            tasks: FxHashMap::default(),
            by_number: FxHashMap::default(),
            deadlines: BTreeSet::new(),
            reports: Vec::new(),
            begun: 0,
        }
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn has_room(&self) -> bool {
        self.tasks.len() < self.at_once
    }

    /// Begins the validation of the request of this number.
    pub(super) fn begin(&mut self, number: u64, request: &Request, now: Timestamp) -> Trial {
        self.begun += 1;
        let task = self.begun;
        let deadline = Some(now.plus(self.timeout)).filter(|end| *end < Timestamp::END);
        self.deadlines.extend(deadline.map(|deadline| (deadline, task)));
        self.tasks.insert(task, Task { number: Some(number), deadline, abort: None });
        self.by_number.insert(number, task);
        Trial { task, request: Arc::new(request.clone()) }
    }

    /// Notes that a task runs.
    pub(super) fn runs(&mut self, task: u64, abort: AbortHandle) {
        if let Some(task) = self.tasks.get_mut(&task) {
            task.abort = Some(abort);
        }
    }

    /// Whether the verdict of a task counts.
    pub(super) fn is_wanted(&self, task: u64) -> bool {
        self.tasks.get(&task).is_some_and(|task| task.number.is_some())
    }

    /// Lets the verdict on a request count no more. Its task has its place until it is dropped; one that does not run yet is
    /// not wanted any more.
    pub(super) fn stop(&mut self, number: u64) -> Option<AbortHandle> {
        let id = self.by_number.remove(&number)?;
        let task = self.tasks.get_mut(&id)?;
        task.number = None;
        let (deadline, abort) = (task.deadline, task.abort.clone());
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if abort.is_none() {
            self.tasks.remove(&id);
        }
        abort
    }

    /// Takes in what a task found. Answers whether nothing else was waiting to be taken.
    pub(super) fn report(&mut self, task: u64, found: Found) -> bool {
        self.reports.push((task, found));
        self.reports.len() == 1
    }

    /// What was found since it was last asked, by the requests' numbers and without what does not count.
    pub(super) fn take_reports(&mut self) -> Vec<(u64, Found)> {
        let reports = std::mem::take(&mut self.reports);
        let mut found = Vec::with_capacity(reports.len());
        for (id, verdict) in reports {
            let Some(task) = self.tasks.remove(&id) else { continue };
            let Some(number) = task.number else { continue };
            self.by_number.remove(&number);
            if let Some(deadline) = task.deadline {
                self.deadlines.remove(&(deadline, id));
            }
            found.push((number, verdict));
        }
        found
    }

    /// The number of a request whose validation is over time at `now`.
    pub(super) fn overdue(&self, now: Timestamp) -> Option<u64> {
        let (_, task) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        self.tasks.get(task)?.number
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// For a new incarnation: the numbers of the requests whose task never ran, which are to be begun anew, and the tasks whose
    /// verdict does not count, as the one before may not have come to break them off.
    pub(super) fn never_ran(&mut self) -> (Vec<u64>, Vec<AbortHandle>) {
        let mut waiting: Vec<(u64, u64)> = Vec::new();
        let mut unwanted: Vec<(u64, AbortHandle)> = Vec::new();
        for (id, task) in &self.tasks {
            match (task.number, &task.abort) {
                (Some(number), None) => waiting.push((*id, number)),
                (None, Some(abort)) => unwanted.push((*id, abort.clone())),
                _ => {}
            }
        }
        waiting.sort_unstable();
        unwanted.sort_unstable_by_key(|(id, _)| *id);
        for (_, number) in &waiting {
            self.stop(*number);
        }
        let numbers = waiting.into_iter().map(|(_, number)| number).collect();
        (numbers, unwanted.into_iter().map(|(_, abort)| abort).collect())
    }

    /// Ends all tasks as the end of their arbiter does.
    #[cfg(test)]
    pub(super) fn abort_all(&self) {
        self.tasks.values().filter_map(|task| task.abort.as_ref()).for_each(AbortHandle::abort);
    }

    /// How many tasks there are, with those whose verdict does not count any more.
    pub(super) fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The numbers of the requests that have a task.
    pub(super) fn verify(&self, validating: usize) -> Result<(), String> {
        let wanted = self.tasks.iter().filter_map(|(id, task)| Some((task.number?, *id)));
        let wanted: FxHashMap<u64, u64> = wanted.collect();
        let late =
            self.tasks.values().filter(|task| task.number.is_some() && task.deadline.is_some()).count();
        if wanted != self.by_number || wanted.len() != validating {
            return Err(format!("{validating} requests are validated by {} tasks", wanted.len()));
        }
        let unbegun = self.tasks.values().any(|task| task.number.is_none() && task.abort.is_none());
        if unbegun {
            return Err("a task that never runs has a place".to_owned());
        }
        if self.tasks() > self.at_once || late != self.deadlines.len() {
            return Err(format!("{} tasks, {} deadlines for {late}", self.tasks(), self.deadlines.len()));
        }
        Ok(())
    }
}

impl Drop for Judging {
    fn drop(&mut self) {
        // Nobody is left to hear their verdicts.
        self.tasks.values().filter_map(|task| task.abort.as_ref()).for_each(AbortHandle::abort);
    }
}
