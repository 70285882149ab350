//! [`Startup`]: a plan being carried out, as a state machine that is told the time.
//!
//! ```text
//!            begin, ended, advance, cancel (each with the time)
//!                              |
//!   Dormant --wake-->  (lazy tasks)
//!                 \
//!   Pending --start--> Running --ok--------------------> Completed --undo--> RolledBack
//!      |                 |  ^ \--failed, no retry left--> Failed | TimedOut
//!      |                 v  |
//!      |               Retrying        any of these --cancel--> Cancelled
//!      \--something waited for did not complete--> Skipped
//!                              |
//!                     effects: Run, Abort, Event
//! ```
//!
//! Owns where every task stands. How the end of one becomes that of others is in `ending`, undoing in `rollback`, lazy tasks in
//! `lazy`. Never runs a body, waits or reads a clock: the caller performs the effects in order,
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
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};

use serde_json::Value;

use super::{
    event::{StartupEvent, StartupFault, StartupOutcome, StartupStatus},
    options::{OnFailure, PhaseMode, StartupEffect, StartupOptions},
    plan::Plan,
    resources::Stock,
    rollback::Rollback,
    slots::{PhaseSlot, Rare, Slot, make_startable},
    task::DependencyType,
    urgency::Urgency,
};
use crate::{
    agent::{TaskId, Timestamp},
    support::doubling,
};

/// A plan being carried out: a state machine without a clock, told what happened and answering with effects.
///
/// Perform the effects in order, report the end of each attempt with [`attempt_ended`](Self::attempt_ended) or
/// [`undo_ended`](Self::undo_ended), and call [`advance`](Self::advance) at [`next_deadline`](Self::next_deadline). The same
/// calls give the same effects.
#[derive(Debug)]
pub struct Startup {
    pub(super) plan: Plan,
    pub(super) options: StartupOptions,
    pub(super) slots: Vec<Slot>,
    pub(super) rare: Rare,
    pub(super) phases: [PhaseSlot; 6],
    pub(super) began: Timestamp,
    pub(super) ready: Option<Timestamp>,
    pub(super) ended: Option<(Timestamp, StartupOutcome)>,
    /// The task that ended last of those that were started.
    pub(super) last: Option<usize>,
    pub(super) rollback: Option<Rollback>,
    /// What can be undone, in the order in which it completed.
    pub(super) completed: Vec<u32>,
    pub(super) unended: usize,
    /// Lazy tasks that were asked for and have not ended.
    pub(super) late_open: usize,
    pub(super) waited_for: usize,
    pub(super) required_failed: bool,
    pub(super) tolerated_failed: bool,
    pub(super) cancelled: bool,
    /// Ends that are to be booked; empty between calls.
    pub(super) spreading: VecDeque<(usize, StartupStatus)>,
    stock: Stock,
    running: usize,
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
            phase.startable.resize_with(plan.needs().classes(), BinaryHeap::new);
            phase.gate = plan.nodes_before(gate).count();
        }
        let mut slots = Vec::with_capacity(plan.tasks().len());
        for (at, task) in plan.tasks().iter().enumerate() {
            let open = plan.nodes_before(at).filter(|&on| plan.waited_for(on)).count();
            let phase = &mut phases[task.phase as usize];
            if task.dormant {
                phase.lazy += 1;
                slots.push(Slot::new(StartupStatus::Dormant, open));
                continue;
            }
            phase.tasks += 1;
            phase.waited_for += usize::from(plan.waited_for(at));
            slots.push(Slot::new(StartupStatus::Pending, open));
            if open == 0 {
                make_startable(&plan, &mut phases, at);
            }
        }
        let unended = phases.iter().map(|phase| phase.tasks).sum();
        effects.push(StartupEffect::Event(StartupEvent::StartupBegan {
            at: now,
            tasks: unended,
            workers: options.workers,
        }));
        let mut startup = Self {
            unended,
            late_open: 0,
            waited_for: phases.iter().map(|phase| phase.waited_for).sum(),
            stock: plan.needs().stock(),
            plan,
            options,
            slots,
            rare: Rare::default(),
            phases,
            began: now,
            ready: None,
            ended: None,
            last: None,
            rollback: None,
            completed: Vec::new(),
            running: 0,
            required_failed: false,
            tolerated_failed: false,
            cancelled: false,
            spreading: VecDeque::new(),
        };
        for number in 0..startup.phases.len() {
            startup.note_phase_ready(number, now, effects);
        }
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
                self.rare.keep_result(task, value);
                self.attempt_over(task);
                if self.plan.tasks()[task].reversible {
                    self.completed.push(super::slots::number(task));
                }
                self.end(task, StartupStatus::Completed, now, effects);
            }
            Err(error) => self.attempt_failed(task, StartupFault::Failed { error }, now, effects),
        }
        self.pump(Some(task), now, effects);
        true
    }

    /// Gives up what took too long and starts the retries that are due.
    pub fn advance(&mut self, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        while let Some(task) = self.rare.take_due(now) {
            let attempt = self.slots[task].attempts;
            match self.slots[task].status {
                StartupStatus::Running => {
                    effects.push(StartupEffect::Abort { task, attempt });
                    let after = self.plan.tasks()[task].timeout().unwrap_or_default();
                    self.attempt_failed(task, StartupFault::TimedOut { after }, now, effects);
                }
                StartupStatus::RollingBack => self.undo_due(now, effects),
                _ => {
                    let phase = &mut self.phases[self.plan.tasks()[task].phase as usize];
                    match &mut phase.holder {
                        Some((holder, ready)) if *holder == task => *ready = true,
                        _ => make_startable(&self.plan, &mut self.phases, task),
                    }
                }
            }
            self.pump(Some(task), now, effects);
        }
    }

    /// Ends all that has not ended; running attempts are aborted. What is to be undone then is undone; called once more, that
    /// is broken off as well. After start-up has ended, lazy tasks that were asked for are ended.
    pub fn cancel(&mut self, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        if self.ended.is_some() {
            self.cancel_all(|slot| slot.late, now, effects);
        } else if self.rollback.is_some() {
            self.break_off_rollback(now, effects);
        } else {
            self.cancelled = true;
            self.cancel_all(|_| true, now, effects);
        }
        self.pump(None, now, effects);
    }

    /// Cancels of the tasks that are under way those that are meant.
    pub(super) fn cancel_all(
        &mut self,
        is_meant: impl Fn(&Slot) -> bool,
        now: Timestamp,
        effects: &mut Vec<StartupEffect>,
    ) {
        for task in 0..self.slots.len() {
            let slot = self.slots[task];
            if slot.status.ended() || slot.status == StartupStatus::Dormant || !is_meant(&slot) {
                continue;
            }
            if slot.status == StartupStatus::Running {
                effects.push(StartupEffect::Abort { task, attempt: slot.attempts });
                self.attempt_over(task);
            }
            self.rare.stop_timer(task);
            self.rare.set_fault(task, StartupFault::Cancelled);
            self.settle(task, StartupStatus::Cancelled, now, effects);
            self.let_go_of_dormant(task);
        }
    }

    /// When [`advance`](Self::advance) has to be called next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.rare.next_timer()
    }

    /// How it ended; `None` while tasks are open.
    pub fn outcome(&self) -> Option<StartupOutcome> {
        self.ended.map(|(_, outcome)| outcome)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many tasks have ended, and how many there are, without those that are lazy.
    pub fn progress(&self) -> (usize, usize) {
        let tasks = self.phases.iter().map(|phase| phase.tasks).sum();
        (tasks - self.unended, tasks)
    }

    /// About how many bytes of memory plan and tasks take, without what few tasks have: results that are something, faults and
    /// timers.
    pub fn bytes(&self) -> usize {
        let startable = |phase: &PhaseSlot| phase.startable.iter().map(BinaryHeap::capacity).sum::<usize>();
        let startable: usize = self.phases.iter().map(startable).sum();
        self.plan.bytes()
            + self.slots.capacity() * size_of::<Slot>()
            + startable * size_of::<Urgency>()
            + self.completed.capacity() * size_of::<u32>()
    }

    /// Whether anything is under way: start-up itself, or a lazy task that was asked for.
    pub fn is_under_way(&self) -> bool {
        self.ended.is_none() || self.late_open > 0
    }

    /// What the completed dependencies of a task returned, in the order it names them, without those that returned null.
    pub fn inputs(&self, task: usize) -> Vec<(TaskId, Arc<Value>)> {
        if !self.rare.has_results() {
            return Vec::new();
        }
        let completed = self.plan.dependencies(task).filter(|on| self.slots[*on].status.completed());
        let results = completed.map(|on| (self.plan.tasks()[on].id.clone(), self.rare.result(on)));
        results.filter(|(_, result)| !result.is_null()).collect()
    }

    /// What the body of a task returned, if it completed.
    pub fn result(&self, task: usize) -> Option<Arc<Value>> {
        self.slots[task].status.completed().then(|| self.rare.result(task))
    }

    /// Starts as much as may start; `cause` is the task whose doing made this call.
    pub(super) fn pump(&mut self, cause: Option<usize>, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        while self.running < self.options.workers {
            let Some(task) = self.take_next() else { break };
            self.start(task, cause, now, effects);
        }
        if self.waited_for == 0 && self.ready.is_none() && !self.required_failed && !self.cancelled {
            self.ready = Some(now);
            effects.push(StartupEffect::Event(StartupEvent::BecameReady { at: now }));
        }
        if self.unended == 0 && self.ended.is_none() && self.is_rolled_back(now, effects) {
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
    /// most urgent for which there is enough of all that it needs.
    fn take_next(&mut self) -> Option<usize> {
        let (plan, slots) = (&self.plan, &self.slots);
        let mut best: Option<(Urgency, usize, u32)> = None;
        for (number, phase) in self.phases.iter_mut().enumerate() {
            let mut offer = |urgency: Urgency, class: u32| {
                if best.is_none_or(|(most, ..)| urgency < most) && self.stock.fits(plan.needs().of(class)) {
                    best = Some((urgency, number, class));
                }
            };
            match phase.holder {
                Some((holder, true)) => offer(plan.urgency(holder), plan.class(holder)),
                Some((_, false)) => {}
                None => {
                    for (startable, class) in phase.startable.iter_mut().zip(0..) {
                        while startable
                            .peek()
                            .is_some_and(|&Reverse(ready)| slots[ready.task()].status.ended())
                        {
                            startable.pop();
                        }
                        startable.peek().into_iter().for_each(|Reverse(ready)| offer(*ready, class));
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
        phase.startable[class as usize].pop().map(|Reverse(ready)| ready.task())
    }

    fn start(&mut self, task: usize, cause: Option<usize>, now: Timestamp, effects: &mut Vec<StartupEffect>) {
        let asked = &self.plan.tasks()[task];
        let phase = &mut self.phases[asked.phase as usize];
        let slot = &mut self.slots[task];
        if phase.started.is_none() && !slot.late {
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
        slot.start(now, cause);
        let (attempt, deadline) = (slot.attempts, asked.timeout().map(|limit| now.plus(limit)));
        self.running += 1;
        self.stock.take(self.plan.needs().of(self.plan.class(task)));
        effects.push(StartupEffect::Event(StartupEvent::TaskStarted {
            at: now,
            task: asked.id.clone(),
            attempt,
        }));
        effects.push(StartupEffect::Run { task, attempt, deadline });
        if let Some(due) = deadline {
            self.rare.set_timer(task, due);
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
        self.rare.set_fault(task, fault.clone());
        if attempt <= asked.retries {
            let next = now.plus(doubling(self.options.retry_after, self.options.retry_at_most, attempt));
            let event = StartupEvent::TaskRetried { at: now, task: asked.id.clone(), attempt, fault, next };
            effects.push(StartupEffect::Event(event));
            self.slots[task].status = StartupStatus::Retrying;
            self.rare.set_timer(task, next);
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
        self.rare.stop_timer(task);
    }

    /// Whether more may start: start-up was not cancelled, and goes on in spite of what failed.
    pub(super) fn takes_more(&self) -> bool {
        let goes_on = !self.required_failed || self.options.on_failure == OnFailure::Continue;
        goes_on && !self.cancelled && self.rollback.is_none()
    }
}

#[cfg(test)]
#[path = "startup_tests.rs"]
mod tests;
