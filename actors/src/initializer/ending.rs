//! How a task ends, and what that means to those that wait for it.

use std::{collections::VecDeque, time::Duration};

use super::{
    event::{StartupEvent, StartupFault, StartupStatus},
    options::{OnFailure, StartupEffect},
    slots::make_startable,
    startup::Startup,
    task::Phase,
};
use crate::agent::Timestamp;

impl Startup {
    /// Ends a task and, without recursion, all that cannot run any more because of it.
    pub(super) fn end(
        &mut self,
        task: usize,
        status: StartupStatus,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) {
        self.end_because(task, task, status, now, effects);
    }

    /// As [`end`](Self::end), because of another task.
    pub(super) fn end_because(
        &mut self,
        because_of: usize,
        task: usize,
        status: StartupStatus,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) {
        let mut queue = std::mem::take(&mut self.spreading);
        queue.push_back((task, status));
        while let Some((node, status)) = queue.pop_front() {
            if self.plan.is_gate(node) {
                self.release(node, status != StartupStatus::Completed, &mut queue);
                continue;
            }
            let slot = self.slots[node];
            if slot.status.ended() || slot.status == StartupStatus::Dormant {
                continue;
            }
            let kind = self.plan.tasks()[node].dependency_type;
            if status == StartupStatus::Skipped {
                let because_of = self.plan.tasks()[because_of].id.clone();
                self.rare.set_fault(node, StartupFault::Skipped { because_of });
            }
            let fails = status != StartupStatus::Completed && kind.must_complete();
            let first_failure = fails && !self.required_failed && !slot.late;
            self.settle(node, status, now, effects);
            if kind.waited_for() {
                self.release(node, fails, &mut queue);
            }
            if first_failure && self.options.on_failure != OnFailure::Continue {
                self.leave_out_the_rest(&mut queue);
            }
        }
        self.spreading = queue;
    }

    /// Lets no task start any more: those that never did are skipped, those that wait for their next attempt end as their last
    /// one did.
    fn leave_out_the_rest(&mut self, queue: &mut VecDeque<(usize, StartupStatus)>) {
        for at in 0..self.slots.len() {
            match self.slots[at].status {
                StartupStatus::Pending => queue.push_back((at, StartupStatus::Skipped)),
                StartupStatus::Retrying => {
                    self.rare.stop_timer(at);
                    let status = match self.rare.fault(at) {
                        Some(StartupFault::TimedOut { .. }) => StartupStatus::TimedOut,
                        _ => StartupStatus::Failed,
                    };
                    queue.push_back((at, status));
                }
                _ => {}
            }
        }
    }

    /// Tells all that wait for a task or a phase that it has ended, and whether they cannot run because of that.
    pub(super) fn release(&mut self, node: usize, fails: bool, queue: &mut VecDeque<(usize, StartupStatus)>) {
        let then = if fails { StartupStatus::Skipped } else { StartupStatus::Completed };
        let is_late = !self.plan.is_gate(node) && self.slots[node].late;
        for next in self.plan.nodes_after(node) {
            if self.plan.is_gate(next) {
                if is_late {
                    continue;
                }
                let phase = &mut self.phases[next - self.slots.len()];
                phase.gate -= 1;
                // Of a phase in which a task fails that had to complete, those who wait hear at once, else at its end;
                // once in any case.
                if !phase.gate_failed && (fails || phase.gate == 0) {
                    phase.gate_failed = fails;
                    queue.push_back((next, then));
                }
                continue;
            }
            let slot = &mut self.slots[next];
            slot.open = slot.open.saturating_sub(1);
            if fails {
                queue.push_back((next, StartupStatus::Skipped));
            } else if slot.open == 0 && slot.status == StartupStatus::Pending {
                make_startable(&self.plan, &mut self.phases, next);
            }
        }
    }

    /// Books the end of one task.
    pub(super) fn settle(
        &mut self,
        task: usize,
        status: StartupStatus,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) {
        let asked = &self.plan.tasks()[task];
        let (kind, number) = (asked.dependency_type, asked.phase as usize);
        let slot = &mut self.slots[task];
        slot.end(status, now);
        let slot = *slot;
        effects.push(StartupEffect::Event(StartupEvent::TaskEnded {
            at: now,
            task: asked.id.clone(),
            status,
            attempts: slot.attempts,
            took: slot.started().map_or(Duration::ZERO, |started| now.since(started)),
            fault: self.rare.fault(task),
        }));
        let phase = &mut self.phases[number];
        phase.holder = phase.holder.filter(|(holder, _)| *holder != task);
        if slot.late {
            self.late_open -= 1;
            return;
        }
        self.last = slot.started().map(|_| task).or(self.last);
        self.unended -= 1;
        if status == StartupStatus::Completed {
            phase.completed += 1;
        } else {
            phase.failed += 1;
            phase.required_failed |= kind.must_complete();
            self.required_failed |= kind.must_complete();
            self.tolerated_failed |= !kind.must_complete();
        }
        if kind.waited_for() {
            phase.waited_for -= 1;
            self.waited_for -= 1;
        }
        self.note_phase_ready(number, now, effects);
        let phase = &mut self.phases[number];
        if phase.completed + phase.failed == phase.tasks {
            phase.ended = Some(now);
            effects.push(StartupEffect::Event(StartupEvent::PhaseEnded {
                at: now,
                phase: Phase::ALL[number],
                took: phase.started.map_or(Duration::ZERO, |started| now.since(started)),
                failed: phase.failed,
            }));
        }
    }

    /// Notes once when a phase with tasks has become ready.
    pub(super) fn note_phase_ready(
        &mut self,
        number: usize,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) {
        let phase = &mut self.phases[number];
        if phase.ready.is_none() && phase.tasks > 0 && phase.waited_for == 0 && !phase.required_failed {
            phase.ready = Some(now);
            let event = StartupEvent::PhaseReady { at: now, phase: Phase::ALL[number] };
            effects.push(StartupEffect::Event(event));
        }
    }
}
