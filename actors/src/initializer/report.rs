//! [`StartupReport`]: start-up as it stands, or as it ended: tasks, phases and the path that decided its length.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;

use super::{
    event::{StartupFault, StartupOutcome, StartupStatus},
    rollback::Rollback,
    startup::Startup,
    task::Phase,
};
use crate::{
    agent::{TaskId, Timestamp},
    support::as_micros,
};

/// One task as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StartupTaskReport {
    /// Which task.
    pub task: TaskId,
    /// Its phase.
    pub phase: Phase,
    /// Where it stands.
    pub status: StartupStatus,
    /// How many attempts were started.
    pub attempts: u32,
    /// The start of its first attempt.
    pub started: Option<Timestamp>,
    /// Its end.
    pub ended: Option<Timestamp>,
    /// Why it did not complete, or why its last attempt did not, or why it could not be undone.
    pub fault: Option<StartupFault>,
    /// When it was undone, or could not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<Timestamp>,
    /// What its body returned.
    pub result: Option<Arc<Value>>,
}

/// One phase as it stands; its time overlaps that of others unless phases are strict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseReport {
    /// Which phase.
    pub phase: Phase,
    /// How many tasks belong to it.
    pub tasks: usize,
    /// How many of them completed.
    pub completed: usize,
    /// How many of them ended otherwise.
    pub failed: usize,
    /// How many further ones are lazy and left out of start-up.
    pub lazy: usize,
    /// The start of its first task.
    pub started: Option<Timestamp>,
    /// When all of its tasks that anyone waits for had ended, if none failed that had to complete.
    pub ready: Option<Timestamp>,
    /// The end of its last task.
    pub ended: Option<Timestamp>,
}

/// Why a task on the executed critical path could not start earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// By nothing: it started at the beginning.
    Free,
    /// It waited for the end of the step before, a dependency.
    Dependency,
    /// It was ready, and waited for a worker, for resources, for a blocking task or for the end of a phase.
    Capacity,
}

/// One step of the executed critical path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CriticalStep {
    /// The task.
    pub task: TaskId,
    /// Its first start.
    pub started: Timestamp,
    /// When it let the next step start; for the last step its end.
    pub until: Timestamp,
    /// What had kept it from starting earlier.
    pub held: Held,
}

/// What became of what had completed when start-up was undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RollbackReport {
    /// When it began.
    pub began: Timestamp,
    /// When the last task was undone, or could not be.
    pub ended: Option<Timestamp>,
    /// How many tasks there were to undo.
    pub tasks: usize,
    /// How many of them were undone.
    pub undone: usize,
    /// How many of them could not be undone.
    pub failed: usize,
}

/// Start-up as it stands, or as it ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StartupReport {
    /// How it ended; `None` while it runs.
    pub outcome: Option<StartupOutcome>,
    /// When it began.
    pub began: Timestamp,
    /// When all that anyone waits for had ended, if nothing required failed.
    pub ready: Option<Timestamp>,
    /// When the last task ended, and what is undone was undone.
    pub ended: Option<Timestamp>,
    /// What became of what had completed, where start-up was undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackReport>,
    /// The phases that have tasks, in order.
    pub phases: Vec<PhaseReport>,
    /// The tasks in the order they were given.
    pub tasks: Vec<StartupTaskReport>,
    /// The longest chain by estimate.
    pub planned_path: Vec<TaskId>,
    /// Its length by estimate, as whole microseconds \[us\].
    #[serde(rename = "planned_length_us", serialize_with = "as_micros")]
    pub planned_length: Duration,
    /// No schedule on as many workers ends sooner by the estimates; as whole microseconds \[us\].
    #[serde(rename = "lower_bound_us", serialize_with = "as_micros")]
    pub lower_bound: Duration,
    /// The chain of tasks that decided when start-up ended, from its beginning; empty while it runs.
    pub executed_path: Vec<CriticalStep>,
}

impl Startup {
    /// Start-up as it stands.
    pub fn report(&self) -> StartupReport {
        let id = |name: &str| self.plan.tasks()[self.plan.position(name).expect("the plan's own")].id.clone();
        StartupReport {
            outcome: self.outcome(),
            began: self.began,
            ready: self.ready,
            ended: self.ended.map(|(at, _)| at),
            rollback: self.rollback.as_ref().map(Rollback::report),
            phases: self.phase_reports(),
            tasks: (0..self.slots.len()).map(|at| self.task_report_at(at)).collect(),
            planned_path: self.plan.critical_path().into_iter().map(id).collect(),
            planned_length: self.plan.critical_length(),
            lower_bound: self.plan.lower_bound(self.options.workers),
            executed_path: self.executed_path(),
        }
    }

    /// One task as it stands, if the plan has it.
    pub fn task_report(&self, id: &TaskId) -> Option<StartupTaskReport> {
        self.plan.position(id.as_str()).map(|at| self.task_report_at(at))
    }

    fn task_report_at(&self, at: usize) -> StartupTaskReport {
        let (task, slot) = (&self.plan.tasks()[at], &self.slots[at]);
        StartupTaskReport {
            task: task.id.clone(),
            phase: task.phase,
            status: slot.status,
            attempts: slot.attempts,
            started: slot.started(),
            ended: slot.ended(),
            fault: self.rare.fault(at),
            rolled_back: self.rare.rolled_back(at),
            result: self.result(at),
        }
    }

    /// The phases that have tasks, in order.
    pub fn phase_reports(&self) -> Vec<PhaseReport> {
        Phase::ALL
            .into_iter()
            .zip(&self.phases)
            .filter(|(_, slot)| slot.tasks + slot.lazy > 0)
            .map(|(phase, slot)| PhaseReport {
                phase,
                tasks: slot.tasks,
                completed: slot.completed,
                failed: slot.failed,
                lazy: slot.lazy,
                started: slot.started,
                ready: slot.ready,
                ended: slot.ended,
            })
            .collect()
    }

    /// The chain of tasks that decided when start-up ended: each let the next one start. Empty while tasks are open.
    pub fn executed_path(&self) -> Vec<CriticalStep> {
        let (Some(_), Some(last)) = (self.ended, self.last) else { return Vec::new() };
        let Some(ended) = self.slots[last].ended() else { return Vec::new() };
        let mut path = Vec::new();
        let (mut step, mut until) = (Some(last), ended);
        while let Some(at) = step {
            let Some(started) = self.slots[at].started() else { break };
            let cause = self.slots[at].cause();
            let held = match cause {
                None => Held::Free,
                Some(on) if self.plan.waits_for(at, on) => Held::Dependency,
                Some(_) => Held::Capacity,
            };
            path.push(CriticalStep { task: self.plan.tasks()[at].id.clone(), started, until, held });
            (step, until) = (cause, started);
        }
        path.reverse();
        path
    }
}
