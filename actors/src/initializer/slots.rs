//! [`Slot`], [`PhaseSlot`]: where a task and where a phase stands while start-up is carried out.
//!
//! There is a slot for each task, so it is small; what few tasks have lies beside, in [`Rare`].

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    sync::Arc,
};

use rustc_hash::FxHashMap;
use serde_json::Value;

use super::{
    event::{StartupFault, StartupStatus},
    plan::Plan,
    urgency::Urgency,
};
use crate::agent::Timestamp;

/// No task.
pub(super) const NOBODY: u32 = u32::MAX;

/// Where one task stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    started: Timestamp,
    ended: Timestamp,
    /// The task whose end, or end of an attempt, let this one start.
    cause: u32,
    /// How many waited-for dependencies and phases have not ended.
    pub(super) open: u32,
    pub(super) attempts: u32,
    pub(super) status: StartupStatus,
    /// Whether it is lazy and was asked for: it counts neither for its phase nor for the whole.
    pub(super) late: bool,
}

impl Slot {
    pub(super) fn new(status: StartupStatus, open: usize) -> Self {
        Self {
            started: Timestamp::END,
            ended: Timestamp::END,
            cause: NOBODY,
            open: number(open),
            attempts: 0,
            status,
            late: false,
        }
    }

    /// Its first start.
    pub(super) fn started(&self) -> Option<Timestamp> {
        Some(self.started).filter(|at| *at != Timestamp::END)
    }

    pub(super) fn ended(&self) -> Option<Timestamp> {
        Some(self.ended).filter(|at| *at != Timestamp::END)
    }

    pub(super) fn cause(&self) -> Option<usize> {
        Some(self.cause).filter(|cause| *cause != NOBODY).map(|cause| cause as usize)
    }

    /// Notes the start of an attempt; of the first, when it was and what let it start.
    pub(super) fn start(&mut self, now: Timestamp, cause: Option<usize>) {
        self.status = StartupStatus::Running;
        self.attempts += 1;
        if self.attempts == 1 {
            self.started = now;
            self.cause = cause.map_or(NOBODY, number);
        }
    }

    pub(super) fn end(&mut self, status: StartupStatus, now: Timestamp) {
        self.status = status;
        self.ended = now;
    }
}

/// The number of a task, of which there are fewer than 2^32.
pub(super) fn number(task: usize) -> u32 {
    u32::try_from(task).expect("a plan has fewer than 2^32 tasks")
}

/// What few tasks have at any time: results that are something, faults, timers.
#[derive(Debug, Default)]
pub(super) struct Rare {
    results: FxHashMap<usize, Arc<Value>>,
    faults: FxHashMap<usize, StartupFault>,
    timers: BTreeSet<(Timestamp, usize)>,
    due: FxHashMap<usize, Timestamp>,
    rolled_back: FxHashMap<usize, Timestamp>,
    null: Arc<Value>,
}

impl Rare {
    pub(super) fn keep_result(&mut self, task: usize, result: Value) {
        self.faults.remove(&task);
        if !result.is_null() {
            self.results.insert(task, Arc::new(result));
        }
    }

    /// Whether a body returned anything.
    pub(super) fn has_results(&self) -> bool {
        !self.results.is_empty()
    }

    /// What the body of a task that completed returned.
    pub(super) fn result(&self, task: usize) -> Arc<Value> {
        self.results.get(&task).unwrap_or(&self.null).clone()
    }

    pub(super) fn set_fault(&mut self, task: usize, fault: StartupFault) {
        self.faults.insert(task, fault);
    }

    pub(super) fn fault(&self, task: usize) -> Option<StartupFault> {
        self.faults.get(&task).cloned()
    }

    /// Notes when a task was undone, or could not be.
    pub(super) fn set_rolled_back(&mut self, task: usize, at: Timestamp) {
        self.rolled_back.insert(task, at);
    }

    pub(super) fn rolled_back(&self, task: usize) -> Option<Timestamp> {
        self.rolled_back.get(&task).copied()
    }

    /// Sets the one timer of a task.
    pub(super) fn set_timer(&mut self, task: usize, due: Timestamp) {
        self.stop_timer(task);
        self.due.insert(task, due);
        self.timers.insert((due, task));
    }

    pub(super) fn stop_timer(&mut self, task: usize) {
        if let Some(due) = self.due.remove(&task) {
            self.timers.remove(&(due, task));
        }
    }

    /// Takes the first timer that is due.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<usize> {
        let (due, task) = *self.timers.first().filter(|(due, _)| *due <= now)?;
        self.timers.remove(&(due, task));
        self.due.remove(&task);
        Some(task)
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }
}

/// Where one phase stands. Lazy tasks are not counted, but in `lazy`.
#[derive(Debug, Default)]
pub(super) struct PhaseSlot {
    pub(super) tasks: usize,
    pub(super) lazy: usize,
    pub(super) completed: usize,
    pub(super) failed: usize,
    pub(super) started: Option<Timestamp>,
    pub(super) ready: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    /// Waited-for tasks that have not ended.
    pub(super) waited_for: usize,
    /// Whether a task failed that had to complete.
    pub(super) required_failed: bool,
    /// Tasks that may start, the most urgent first, those with equal needs together.
    pub(super) startable: Vec<BinaryHeap<Reverse<Urgency>>>,
    /// The blocking task that holds the phase, and whether it is ready for its next attempt.
    pub(super) holder: Option<(usize, bool)>,
    /// How many tasks keep the gate closed for those who wait for the phase.
    pub(super) gate: usize,
    /// Whether those who wait for the phase were told that they cannot run.
    pub(super) gate_failed: bool,
}

/// Puts a task among those that may start.
pub(super) fn make_startable(plan: &Plan, phases: &mut [PhaseSlot], task: usize) {
    let phase = &mut phases[plan.tasks()[task].phase as usize];
    phase.startable[plan.class(task) as usize].push(Reverse(plan.urgency(task)));
}
