//! [`Startup`]: a plan being carried out, as a state machine that is told the time.
//!
//! ```text
//!            begin, ended, advance, cancel (each with the time)
//!                              |
//!   Pending --start--> Running --ok--------------------> Completed
//!      |                 |  ^ \--failed, no retry left--> Failed | TimedOut
//!      |                 v  |
//!      |               Retrying        any of these --cancel--> Cancelled
//!      \--something waited for did not complete--> Skipped
//!                              |
//!                     effects: Run, Abort, Event
//! ```
//!
//! Owns where every task stands. Never runs a body, waits or reads a clock: the caller performs the effects in order,
//! reports every end of an attempt with [`Startup::attempt_ended`], and calls [`Startup::advance`] at
//! [`Startup::next_deadline`].
//!
//! **Invariant.** At most `workers` attempts run; no task starts before all it waits for have ended well or are
//! tolerated; every task ends exactly once, if every attempt ends or has a timeout; the same calls give the same
//! effects. Between a blocking task's first start and its end nothing else of its phase starts.
//!
//! Each call takes time in proportion to the edges it releases, times the logarithm of the tasks ready; each start looks
//! at one task of each sort of needs.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use super::{
    event::{StartupEvent, StartupFault, StartupOutcome, StartupStatus},
    options::{PhaseMode, StartupEffect, StartupOptions},
    plan::Plan,
    resources::Stock,
    slots::{PhaseSlot, Slot, make_ready},
    task::{DependencyType, Phase},
};
use crate::{
    agent::{TaskId, Timestamp},
    support::doubling,
};

/// A plan being carried out: a state machine without a clock, told what happened and answering with effects.
///
/// Perform the effects in order, report the end of each attempt with [`attempt_ended`](Self::attempt_ended), and call
/// [`advance`](Self::advance) at [`next_deadline`](Self::next_deadline). The same calls give the same effects.
#[derive(Debug)]
pub struct Startup {
    pub(super) plan: Plan,
    pub(super) options: StartupOptions,
    pub(super) slots: Vec<Slot>,
    pub(super) phases: [PhaseSlot; 6],
    pub(super) began: Timestamp,
    pub(super) ready: Option<Timestamp>,
    pub(super) ended: Option<(Timestamp, StartupOutcome)>,
    /// The task that ended last of those that were started.
    pub(super) last: Option<usize>,
    timers: BTreeSet<(Timestamp, usize)>,
    stock: Stock,
    running: usize,
    unended: usize,
    waited_for: usize,
    required_failed: bool,
    tolerated_failed: bool,
    cancelled: bool,
}

impl Startup {
    /// Begins to carry out a plan; what is ready starts at once.
    pub fn begin(
        plan: Plan,
        options: StartupOptions,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) -> Self {
        let options = StartupOptions { workers: options.workers.max(1), ..options };
        let mut phases: [PhaseSlot; 6] = Default::default();
        for (phase, gate) in phases.iter_mut().zip(plan.gates()) {
            phase.ready.resize_with(plan.needs().classes(), BinaryHeap::new);
            phase.gate = plan.nodes_before(gate).count();
        }
        let mut slots = Vec::with_capacity(plan.tasks().len());
        for (at, task) in plan.tasks().iter().enumerate() {
            let open = plan.nodes_before(at).filter(|&on| plan.waited_for(on)).count();
            let phase = &mut phases[task.phase as usize];
            phase.tasks += 1;
            phase.waited_for += usize::from(plan.waited_for(at));
            if open == 0 {
                phase.ready[plan.class(at) as usize].push(Reverse((plan.rank(at), at)));
            }
            slots.push(Slot {
                status: StartupStatus::Pending,
                attempts: 0,
                started: None,
                ended: None,
                fault: None,
                result: None,
                cause: None,
                open,
                timer: None,
            });
        }
        effects.push(StartupEffect::Event(StartupEvent::StartupBegan {
            at: now,
            tasks: slots.len(),
            workers: options.workers,
        }));
        let mut startup = Self {
            unended: slots.len(),
            waited_for: phases.iter().map(|p| p.waited_for).sum(),
            stock: plan.needs().stock(),
            plan,
            options,
            slots,
            phases,
            began: now,
            ready: None,
            ended: None,
            last: None,
            timers: BTreeSet::new(),
            running: 0,
            required_failed: false,
            tolerated_failed: false,
            cancelled: false,
        };
        startup.pump(None, now, effects);
        startup
    }

    /// Notes the end of an attempt; `false` if that attempt had been given up before, so that nothing changes.
    pub fn attempt_ended(
        &mut self,
        task: usize,
        attempt: u32,
        result: Result<Value, String>,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) -> bool {
        let current = self
            .slots
            .get(task)
            .is_some_and(|slot| slot.status == StartupStatus::Running && slot.attempts == attempt);
        if !current {
            return false;
        }
        match result {
            Ok(value) => {
                self.slots[task].result = Some(Arc::new(value));
                self.slots[task].fault = None;
                self.attempt_over(task);
                self.end(task, StartupStatus::Completed, now, effects);
            }
            Err(error) => self.attempt_failed(task, StartupFault::Failed { error }, now, effects),
        }
        self.pump(Some(task), now, effects);
        true
    }

    /// Gives up what took too long and starts the retries that are due.
    pub fn advance(&mut self, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        while let Some(&(due, task)) = self.timers.first().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, task));
            self.slots[task].timer = None;
            if self.slots[task].status == StartupStatus::Running {
                effects.push(StartupEffect::Abort { task, attempt: self.slots[task].attempts });
                let after = self.plan.tasks()[task].timeout.unwrap_or_default();
                self.attempt_failed(task, StartupFault::TimedOut { after }, now, effects);
            } else {
                let phase = &mut self.phases[self.plan.tasks()[task].phase as usize];
                match &mut phase.holder {
                    Some((holder, ready)) if *holder == task => *ready = true,
                    _ => make_ready(&self.plan, &mut self.phases, task),
                }
            }
            self.pump(Some(task), now, effects);
        }
    }

    /// Ends all that has not ended; running attempts are aborted.
    pub fn cancel(&mut self, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        if self.ended.is_some() {
            return;
        }
        self.cancelled = true;
        for task in 0..self.slots.len() {
            if self.slots[task].status.ended() {
                continue;
            }
            if self.slots[task].status == StartupStatus::Running {
                effects.push(StartupEffect::Abort { task, attempt: self.slots[task].attempts });
                self.attempt_over(task);
            }
            self.stop_timer(task);
            self.slots[task].fault = Some(StartupFault::Cancelled);
            self.settle(task, StartupStatus::Cancelled, now, effects);
        }
        self.pump(None, now, effects);
    }

    /// When [`advance`](Self::advance) has to be called next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// How it ended; `None` while tasks are open.
    pub fn outcome(&self) -> Option<StartupOutcome> {
        self.ended.map(|(_, outcome)| outcome)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many tasks have ended, and how many there are.
    pub fn progress(&self) -> (usize, usize) {
        (self.slots.len() - self.unended, self.slots.len())
    }

    /// What the completed dependencies of a task returned, in the order it names them.
    pub fn inputs(&self, task: usize) -> Vec<(TaskId, Arc<Value>)> {
        self.plan
            .dependencies(task)
            .filter_map(|on| Some((self.plan.tasks()[on].id.clone(), self.slots[on].result.clone()?)))
            .collect()
    }

    /// Starts as much as may start; `cause` is the task whose doing made this call.
    fn pump(&mut self, cause: Option<usize>, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        while self.running < self.options.workers {
            let Some(task) = self.take_next() else { break };
            self.start(task, cause, now, effects);
        }
        if self.waited_for == 0 && self.ready.is_none() && !self.required_failed && !self.cancelled {
            self.ready = Some(now);
            effects.push(StartupEffect::Event(StartupEvent::BecameReady { at: now }));
        }
        if self.unended == 0 && self.ended.is_none() {
            let outcome = match (self.cancelled, self.required_failed, self.tolerated_failed) {
                (true, ..) => StartupOutcome::Cancelled,
                (_, true, _) => StartupOutcome::Failed,
                (_, _, true) => StartupOutcome::Degraded,
                _ => StartupOutcome::Succeeded,
            };
            self.ended = Some((now, outcome));
            let took = now.since(self.began);
            effects.push(StartupEffect::Event(StartupEvent::StartupEnded { at: now, outcome, took }));
        }
    }

    /// Takes the most urgent task that may start: of the first of each phase and of each sort of needs, the one with the
    /// lowest rank for which there is enough of all that it needs.
    fn take_next(&mut self) -> Option<usize> {
        let (plan, slots) = (&self.plan, &self.slots);
        let mut best: Option<(usize, usize, u32)> = None;
        for (number, phase) in self.phases.iter_mut().enumerate() {
            let mut offer = |task: usize| {
                let (rank, class) = (plan.rank(task), plan.class(task));
                if best.is_none_or(|(lowest, ..)| rank < lowest) && self.stock.fits(plan.needs().of(class)) {
                    best = Some((rank, number, class));
                }
            };
            match phase.holder {
                Some((holder, true)) => offer(holder),
                Some((_, false)) => {}
                None => {
                    for ready in &mut phase.ready {
                        while ready.peek().is_some_and(|&Reverse((_, task))| slots[task].status.ended()) {
                            ready.pop();
                        }
                        ready.peek().into_iter().for_each(|&Reverse((_, task))| offer(task));
                    }
                }
            }
            if self.options.phases == PhaseMode::Strict && phase.waited_for > 0 {
                break;
            }
        }
        let (_, number, class) = best?;
        let phase = &mut self.phases[number];
        if let Some((holder, ready)) = &mut phase.holder {
            *ready = false;
            return Some(*holder);
        }
        phase.ready[class as usize].pop().map(|Reverse((_, task))| task)
    }

    fn start(&mut self, task: usize, cause: Option<usize>, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        let asked = &self.plan.tasks()[task];
        let phase = &mut self.phases[asked.phase as usize];
        if phase.started.is_none() {
            phase.started = Some(now);
            effects.push(StartupEffect::Event(StartupEvent::PhaseStarted {
                at: now,
                phase: asked.phase,
                tasks: phase.tasks,
            }));
        }
        if asked.dependency_type == DependencyType::Blocking {
            phase.holder = Some((task, false));
        }
        let slot = &mut self.slots[task];
        slot.status = StartupStatus::Running;
        slot.attempts += 1;
        if slot.started.is_none() {
            slot.started = Some(now);
            slot.cause = cause;
        }
        let (attempt, deadline) = (slot.attempts, asked.timeout.map(|limit| now.plus(limit)));
        self.running += 1;
        self.stock.take(self.plan.needs().of(self.plan.class(task)));
        effects.push(StartupEffect::Event(StartupEvent::TaskStarted {
            at: now,
            task: asked.id.clone(),
            attempt,
        }));
        effects.push(StartupEffect::Run { task, attempt, deadline });
        if let Some(due) = deadline {
            self.set_timer(task, due);
        }
    }

    /// Retries a task whose attempt failed, or ends it.
    fn attempt_failed(
        &mut self,
        task: usize,
        fault: StartupFault,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) {
        self.attempt_over(task);
        let asked = &self.plan.tasks()[task];
        let attempt = self.slots[task].attempts;
        self.slots[task].fault = Some(fault.clone());
        if attempt <= asked.retries {
            let next = now.plus(doubling(self.options.retry_after, self.options.retry_at_most, attempt));
            let event = StartupEvent::TaskRetried { at: now, task: asked.id.clone(), attempt, fault, next };
            effects.push(StartupEffect::Event(event));
            self.slots[task].status = StartupStatus::Retrying;
            self.set_timer(task, next);
            return;
        }
        let status = match fault {
            StartupFault::TimedOut { .. } => StartupStatus::TimedOut,
            _ => StartupStatus::Failed,
        };
        self.end(task, status, now, effects);
    }

    fn attempt_over(&mut self, task: usize) {
        self.running -= 1;
        self.stock.give_back(self.plan.needs().of(self.plan.class(task)));
        self.stop_timer(task);
    }

    /// Ends a task and, without recursion, all that cannot run any more because of it.
    fn end(&mut self, task: usize, status: StartupStatus, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        let because_of = self.plan.tasks()[task].id.clone();
        let mut queue = VecDeque::from([(task, status)]);
        while let Some((node, status)) = queue.pop_front() {
            if self.plan.is_gate(node) {
                self.release(node, status != StartupStatus::Completed, &mut queue);
                continue;
            }
            if self.slots[node].status.ended() {
                continue;
            }
            let kind = self.plan.tasks()[node].dependency_type;
            if status == StartupStatus::Skipped {
                self.slots[node].fault = Some(StartupFault::Skipped { because_of: because_of.clone() });
            }
            let fails = status != StartupStatus::Completed && kind.must_complete();
            let first_failure = fails && !self.required_failed;
            self.settle(node, status, now, effects);
            if kind.waited_for() {
                self.release(node, fails, &mut queue);
            }
            if first_failure && self.options.fail_fast {
                let open = |at: &usize| self.slots[*at].status == StartupStatus::Pending;
                queue.extend((0..self.slots.len()).filter(open).map(|at| (at, StartupStatus::Skipped)));
            }
        }
    }

    /// Tells all that wait for a task or a phase that it has ended, and whether they cannot run because of that.
    fn release(&mut self, node: usize, fails: bool, queue: &mut VecDeque<(usize, StartupStatus)>) {
        let then = if fails { StartupStatus::Skipped } else { StartupStatus::Completed };
        for next in self.plan.nodes_after(node) {
            if self.plan.is_gate(next) {
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
                make_ready(&self.plan, &mut self.phases, next);
            }
        }
    }

    /// Books the end of one task.
    fn settle(
        &mut self,
        task: usize,
        status: StartupStatus,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) {
        let asked = &self.plan.tasks()[task];
        let (kind, number) = (asked.dependency_type, asked.phase as usize);
        let slot = &mut self.slots[task];
        slot.status = status;
        slot.ended = Some(now);
        self.last = slot.started.map(|_| task).or(self.last);
        self.unended -= 1;
        if status != StartupStatus::Completed {
            self.required_failed |= kind.must_complete();
            self.tolerated_failed |= !kind.must_complete();
        }
        effects.push(StartupEffect::Event(StartupEvent::TaskEnded {
            at: now,
            task: asked.id.clone(),
            status,
            attempts: slot.attempts,
            took: slot.started.map_or(Duration::ZERO, |started| now.since(started)),
            fault: slot.fault.clone(),
        }));
        let phase = &mut self.phases[number];
        if status == StartupStatus::Completed {
            phase.completed += 1;
        } else {
            phase.failed += 1;
        }
        phase.holder = phase.holder.filter(|(holder, _)| *holder != task);
        if kind.waited_for() {
            phase.waited_for -= 1;
            self.waited_for -= 1;
        }
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

    fn set_timer(&mut self, task: usize, due: Timestamp) {
        self.stop_timer(task);
        self.slots[task].timer = Some(due);
        self.timers.insert((due, task));
    }

    fn stop_timer(&mut self, task: usize) {
        if let Some(due) = self.slots[task].timer.take() {
            self.timers.remove(&(due, task));
        }
    }
}

#[cfg(test)]
#[path = "startup_tests.rs"]
mod tests;
