//! Lazy tasks: left out of start-up until somebody asks for them.
//!
//! **Invariant.** Whoever waits for a dormant task is dormant itself, so its end lets nobody start who takes part in
//! start-up. A task that was asked for is late: it counts neither for its phase nor for the end of start-up.

use super::{event::StartupStatus, options::StartupEffect, startup::Startup};
use crate::agent::Timestamp;

impl Startup {
    /// Lets a lazy task run, and the lazy ones that it waits for. Nothing happens to one that is not dormant, or after
    /// start-up was cancelled or stopped by a failure.
    pub fn wake(&mut self, task: usize, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        if !self.takes_more() {
            return;
        }
        let (mut woken, mut asked_for) = (Vec::new(), vec![task]);
        while let Some(at) = asked_for.pop() {
            let slot = &mut self.slots[at];
            if slot.status != StartupStatus::Dormant {
                continue;
            }
            slot.status = StartupStatus::Pending;
            slot.late = true;
            woken.push(at);
            asked_for.extend(self.plan.dependencies(at).filter(|on| self.plan.waited_for(*on)));
        }
        self.late_open += woken.len();
        // Those that cannot run come last: their ends make others startable that wait for nothing else.
        let (lost, others): (Vec<_>, Vec<_>) =
            woken.into_iter().map(|at| (at, self.failed_before(at))).partition(|(_, lost)| lost.is_some());
        for (at, _) in others {
            if self.slots[at].open == 0 {
                super::slots::make_startable(&self.plan, &mut self.phases, at);
            }
        }
        for (at, because_of) in lost {
            if let Some(because_of) = because_of {
                self.end_because(because_of, at, StartupStatus::Skipped, now, effects);
            }
        }
        self.pump(None, now, effects);
    }

    /// Lets lazy tasks that nobody asked for yet wait no more for one that was cancelled.
    pub(super) fn let_go_of_dormant(&mut self, cancelled: usize) {
        if !self.plan.waited_for(cancelled) {
            return;
        }
        for next in self.plan.nodes_after(cancelled).filter(|next| !self.plan.is_gate(*next)) {
            let slot = &mut self.slots[next];
            if slot.status == StartupStatus::Dormant {
                slot.open = slot.open.saturating_sub(1);
            }
        }
    }

    /// The task because of which another one cannot run, if there is one.
    fn failed_before(&self, at: usize) -> Option<usize> {
        let tasks = self.plan.tasks();
        let is_lost = |on: &usize| {
            let status = self.slots[*on].status;
            tasks[*on].dependency_type.must_complete() && status.ended() && !status.completed()
        };
        let direct = self.plan.dependencies(at).find(is_lost);
        let by_phase = || {
            let mut awaited = tasks[at].after_phases();
            let phase = awaited.find(|phase| self.phases[*phase as usize].required_failed)?;
            (0..tasks.len()).find(|on| tasks[*on].phase == phase && is_lost(on))
        };
        direct.or_else(by_phase)
    }
}
