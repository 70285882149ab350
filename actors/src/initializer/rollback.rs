//! [`Rollback`]: what completed is undone, the latest first and one after the other, when start-up fails or is cancelled.
//!
//! ```text
//! last task ended --RollbackBegan--> Undo --ok--> RolledBack     --> next, earlier one --> ... --> StartupEnded
//!                                     |  ^ \--no retry left--> NotRolledBack --^
//!                                     v  |
//!                                   waits for its next attempt
//! ```
//!
//! **Invariant.** Each task that completed and can be undone is undone at most once, and none before one that completed
//! later was undone or given up. What cannot be undone does not keep the others from it.

use super::{
    event::{StartupEvent, StartupFault, StartupStatus},
    options::{OnFailure, StartupEffect},
    report::RollbackReport,
    startup::Startup,
};
use crate::{agent::Timestamp, support::doubling};

/// How far undoing is.
#[derive(Debug)]
pub(super) struct Rollback {
    report: RollbackReport,
    current: Option<Undo>,
}

/// A task that is being undone.
#[derive(Debug, Clone, Copy)]
struct Undo {
    task: usize,
    attempt: u32,
    began: Timestamp,
    /// Whether an attempt runs, or the next one waits for its time.
    is_running: bool,
}

impl Rollback {
    pub(super) fn report(&self) -> RollbackReport {
        self.report.clone()
    }
}

impl Startup {
    /// Notes the end of an attempt to undo a task; `false` if that attempt had been given up before.
    pub fn undo_ended(
        &mut self,
        task: usize,
        attempt: u32,
        result: Result<(), String>,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) -> bool {
        let is_meant = |undo: &Undo| undo.is_running && (undo.task, undo.attempt) == (task, attempt);
        let Some(undo) = self.undoing().filter(is_meant) else { return false };
        self.rare.stop_timer(task);
        match result {
            Ok(()) => self.undone(undo, None, now, effects),
            Err(error) => self.undo_failed(undo, StartupFault::Failed { error }, now, effects),
        }
        self.pump(None, now, effects);
        true
    }

    fn undoing(&self) -> Option<Undo> {
        self.rollback.as_ref()?.current
    }

    /// Whether nothing is left to undo; begins to undo where that is due.
    pub(super) fn is_rolled_back(&mut self, now: Timestamp, effects: &mut Vec<StartupEffect>) -> bool {
        let is_wanted = (self.required_failed || self.cancelled)
            && self.options.on_failure == OnFailure::Rollback
            && self.rollback.is_none();
        if is_wanted {
            // What was asked for beside start-up is given up, and what of it completed is undone with the rest.
            self.cancel_all(|slot| slot.late, now, effects);
            let tasks = self.completed.len();
            if tasks > 0 {
                effects.push(StartupEffect::Event(StartupEvent::RollbackBegan { at: now, tasks }));
            }
            let report = RollbackReport { began: now, ended: None, tasks, undone: 0, failed: 0 };
            self.rollback = Some(Rollback { report, current: None });
            self.undo_next(now, effects);
        }
        self.rollback.as_ref().is_none_or(|rollback| rollback.current.is_none())
    }

    /// Begins to undo the latest of what completed, or notes that all is undone.
    fn undo_next(&mut self, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        let Some(rollback) = &mut self.rollback else { return };
        let Some(task) = self.completed.pop() else {
            rollback.current = None;
            rollback.report.ended = Some(now);
            return;
        };
        let task = task as usize;
        self.slots[task].status = StartupStatus::RollingBack;
        self.undo(Undo { task, attempt: 1, began: now, is_running: true }, now, effects);
    }

    fn undo(&mut self, undo: Undo, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        let Undo { task, attempt, .. } = undo;
        let deadline = self.plan.tasks()[task].timeout().map(|limit| now.plus(limit));
        if let Some(due) = deadline {
            self.rare.set_timer(task, due);
        }
        effects.push(StartupEffect::Undo { task, attempt, deadline });
        self.set_current(undo);
    }

    fn set_current(&mut self, undo: Undo) {
        self.rollback.as_mut().expect("it has begun").current = Some(undo);
    }

    /// The timer of the task that is being undone is due: its attempt took too long, or the next one may start.
    pub(super) fn undo_due(&mut self, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        let Some(undo) = self.undoing() else { return };
        let Undo { task, attempt, is_running, .. } = undo;
        if is_running {
            effects.push(StartupEffect::Abort { task, attempt });
            let after = self.plan.tasks()[task].timeout().unwrap_or_default();
            self.undo_failed(undo, StartupFault::TimedOut { after }, now, effects);
        } else {
            self.undo(Undo { attempt: attempt + 1, is_running: true, ..undo }, now, effects);
        }
    }

    /// Tries again to undo, as often as the task itself was to be tried, or goes on with the next one.
    fn undo_failed(
        &mut self,
        undo: Undo,
        fault: StartupFault,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) {
        let Undo { task, attempt, .. } = undo;
        if attempt <= self.plan.tasks()[task].retries {
            let next = now.plus(doubling(self.options.retry_after, self.options.retry_at_most, attempt));
            self.rare.set_timer(task, next);
            self.set_current(Undo { is_running: false, ..undo });
        } else {
            self.undone(undo, Some(fault), now, effects);
        }
    }

    fn undone(
        &mut self,
        undo: Undo,
        fault: Option<StartupFault>,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) {
        let Undo { task, began, .. } = undo;
        self.rare.set_rolled_back(task, now);
        let report = &mut self.rollback.as_mut().expect("it has begun").report;
        let status = if let Some(fault) = &fault {
            report.failed += 1;
            self.rare.set_fault(task, fault.clone());
            StartupStatus::NotRolledBack
        } else {
            report.undone += 1;
            StartupStatus::RolledBack
        };
        self.slots[task].status = status;
        effects.push(StartupEffect::Event(StartupEvent::TaskRolledBack {
            at: now,
            task: self.plan.tasks()[task].id.clone(),
            took: now.since(began),
            fault,
        }));
        self.undo_next(now, effects);
    }

    /// Leaves what is not undone as it is.
    pub(super) fn break_off_rollback(&mut self, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        self.completed.clear();
        let Some(undo) = self.undoing() else { return };
        let Undo { task, attempt, is_running, .. } = undo;
        self.rare.stop_timer(task);
        if is_running {
            effects.push(StartupEffect::Abort { task, attempt });
        }
        self.undone(undo, Some(StartupFault::Cancelled), now, effects);
    }
}
