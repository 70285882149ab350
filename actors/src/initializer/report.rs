//! Reading a [`Startup`]: reports of tasks, phases and the path that decided its length.

use super::{
    event::{CriticalStep, Held, PhaseReport, StartupReport, StartupTaskReport},
    rollback::Rollback,
    startup::Startup,
    task::Phase,
};
use crate::agent::TaskId;

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
