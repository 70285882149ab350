//! [`Slot`], [`PhaseSlot`]: where a task and where a phase stands while start-up is carried out.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use serde_json::Value;

use super::{
    event::{StartupFault, StartupStatus},
    plan::Plan,
};
use crate::agent::Timestamp;

/// Where one task stands.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) status: StartupStatus,
    pub(super) attempts: u32,
    pub(super) started: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) fault: Option<StartupFault>,
    pub(super) result: Option<Arc<Value>>,
    /// The task whose end, or end of an attempt, let this one start.
    pub(super) cause: Option<usize>,
    /// How many waited-for dependencies and phases have not ended.
    pub(super) open: usize,
    pub(super) timer: Option<Timestamp>,
}

/// Where one phase stands.
#[derive(Debug, Default)]
pub(super) struct PhaseSlot {
    pub(super) tasks: usize,
    pub(super) completed: usize,
    pub(super) failed: usize,
    pub(super) started: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    /// Waited-for tasks that have not ended.
    pub(super) waited_for: usize,
    /// Ready tasks by rank, those with equal needs together.
    pub(super) ready: Vec<BinaryHeap<Reverse<(usize, usize)>>>,
    /// The blocking task that holds the phase, and whether it is ready for its next attempt.
    pub(super) holder: Option<(usize, bool)>,
    /// How many tasks keep the gate closed for those who wait for the phase.
    pub(super) gate: usize,
    /// Whether those who wait for the phase were told that they cannot run.
    pub(super) gate_failed: bool,
}

/// Puts a task among those that may start.
pub(super) fn make_ready(plan: &Plan, phases: &mut [PhaseSlot], task: usize) {
    let phase = &mut phases[plan.tasks()[task].phase as usize];
    phase.ready[plan.class(task) as usize].push(Reverse((plan.rank(task), task)));
}
