//! The working half of [`TaskGraph`]: who is enrolled, what is dispatched, and how attempts end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    event::{Effect, TaskEvent},
    graph::{TaskGraph, Timer},
    record::{NONE, Stage},
    task::{Assignment, TaskFault, TaskState},
};
use crate::{
    agent::{AgentId, Capability, TaskId, Timestamp},
    support::doubling,
};

/// Why an agent was not enrolled. Both are permanent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnrollError {
    /// It already is.
    #[error("agent {agent} is enrolled already: withdraw it first")]
    Enrolled {
        /// The agent.
        agent: AgentId,
    },
    /// It would take no task.
    #[error("agent {agent} has no slots: give it at least one")]
    NoSlots {
        /// The agent.
        agent: AgentId,
    },
}

impl TaskGraph {
    /// Enrols an agent with what it offers and how many tasks it takes at once.
    ///
    /// # Errors
    /// [`EnrollError`] when it is enrolled already or has no slots.
    pub fn enroll(
        &mut self,
        agent: AgentId,
        offers: BTreeSet<Capability>,
        slots: u32,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), EnrollError> {
        if self.pool.by_id.contains_key(&agent) {
            return Err(EnrollError::Enrolled { agent });
        }
        if slots == 0 {
            return Err(EnrollError::NoSlots { agent });
        }
        self.pool.enroll(agent.clone(), offers, slots);
        effects.push(Effect::Event(TaskEvent::AgentEnrolled { at: now, agent, slots }));
        self.pump(now, effects);
        Ok(())
    }

    /// Removes an agent that left or died; what it was working on is recalled, counts as failed attempts and is queued
    /// again at once. `false` if it is not enrolled.
    pub fn withdraw(&mut self, agent: &AgentId, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let Some((number, executing, bereft)) = self.pool.withdraw(agent.as_str()) else { return false };
        if let Some(until) = self.pool.agents[number as usize].paused.take() {
            self.timers.remove(&(until, Timer::Agent(number)));
        }
        effects.push(Effect::Event(TaskEvent::AgentWithdrawn {
            at: now,
            agent: agent.clone(),
            executing: executing.len(),
        }));
        for class in bereft {
            self.bereave(class, now, effects);
        }
        if std::mem::take(&mut self.pool.agents[number as usize].releasing) > 0 {
            let held =
                self.recalled.iter().filter(|(_, of)| **of == number).map(|(attempt, _)| attempt.clone());
            for attempt in held.collect::<Vec<_>>() {
                self.unhold(&attempt);
            }
        }
        for task in executing {
            effects.push(self.take_back(task).1);
            let fault = TaskFault::AgentLeft { agent: agent.clone() };
            self.attempt_failed(task, fault, now, effects);
        }
        self.pump(now, effects);
        true
    }

    /// Notes an agent's answer to an attempt; `false` if that attempt had ended otherwise before. Then the answer is
    /// counted, and the slot is free again if it was still taken.
    pub fn attempt_ended(
        &mut self,
        task: &TaskId,
        attempt: u32,
        result: Result<Value, String>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(task) = self.executing(task, attempt) else {
            self.totals.stale += 1;
            self.released(task, attempt, result.is_ok(), now, effects);
            return false;
        };
        match result {
            Ok(value) => {
                self.put_down(task);
                self.tasks[task].result = Some(Arc::new(value));
                self.end(task, TaskState::Completed, None, now, effects);
            }
            Err(error) => self.attempt_failed(task, TaskFault::Failed { error }, now, effects),
        }
        self.pump(now, effects);
        true
    }

    /// Notes that an agent did not take an attempt: the task is queued again, the agent is left alone for a while.
    /// `false` if that attempt had ended otherwise before.
    pub fn attempt_refused(
        &mut self,
        task: &TaskId,
        attempt: u32,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(number) = self.executing(task, attempt) else { return false };
        let agent = self.tasks[number].agent;
        self.put_down(number);
        let until = now.plus(self.options.refusal_pause);
        if let Some(earlier) = self.pool.agents[agent as usize].paused {
            self.timers.remove(&(earlier, Timer::Agent(agent)));
        }
        self.pool.change(agent, |slot| slot.paused = Some(until));
        self.timers.insert((until, Timer::Agent(agent)));
        effects.push(Effect::Event(TaskEvent::TaskRefused {
            at: now,
            task: task.clone(),
            agent: self.pool.agents[agent as usize].id.clone(),
            attempt,
        }));
        self.make_ready(number, now, effects);
        self.pump(now, effects);
        true
    }

    /// Gives up late attempts, starts retries that are due and asks agents again that had refused.
    pub fn advance(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some(&(due, timer)) = self.timers.first().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, timer));
            match timer {
                Timer::Agent(agent) => self.pool.change(agent, |slot| slot.paused = None),
                Timer::Task(task) => {
                    self.tasks[task].plan_mut().timer = None;
                    if self.tasks[task].stage == Stage::Executing {
                        self.recall(task, effects);
                        let after = Duration::from_micros(self.tasks[task].plan().timeout);
                        self.attempt_failed(task, TaskFault::TimedOut { after }, now, effects);
                    } else {
                        self.make_ready(task, now, effects);
                    }
                }
            }
        }
        self.pump(now, effects);
    }

    /// When [`advance`](Self::advance) has to be called next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Dispatches as much as may be dispatched, the most urgent first.
    pub(super) fn pump(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while self
            .options
            .max_concurrent
            .is_none_or(|most| self.totals.stages[Stage::Executing as usize] + self.recalled.len() < most)
        {
            let Some((task, agent)) = self.pool.best() else { break };
            self.dispatch(task, agent, now, effects);
        }
    }

    fn dispatch(&mut self, task: u32, agent: u32, now: Timestamp, effects: &mut Vec<Effect>) {
        self.pool.unqueue(self.tasks[task].plan().class, self.key(task));
        self.pool.change(agent, |slot| {
            slot.executing.insert(task);
            slot.dispatched += 1;
        });
        self.move_to(task, Stage::Executing);
        self.totals.dispatched += 1;
        let record = &mut self.tasks[task];
        record.agent = agent;
        record.attempts += 1;
        record.started.get_or_insert(now);
        let cancellation = CancellationToken::new();
        record.plan_mut().cancellation = Some(cancellation.clone());
        let (attempt, deadline) = (record.attempts, now.plus(Duration::from_micros(record.plan().timeout)));
        self.set_timer(task, deadline);
        let record = &self.tasks[task];
        let agent = self.pool.agents[agent as usize].id.clone();
        let plan = record.plan();
        let inputs = plan.dependencies.iter().filter_map(|link| {
            let on = &self.tasks[link.task()];
            Some((on.id.clone(), on.result.clone()?))
        });
        let assignment = Assignment {
            task: record.id.clone(),
            agent: agent.clone(),
            attempt,
            task_type: plan.task_type,
            priority: plan.priority,
            deadline,
            payload: plan.payload.clone(),
            details: plan.details.clone(),
            inputs: inputs.collect(),
            cancellation,
        };
        effects.push(Effect::Event(TaskEvent::TaskStarted {
            at: now,
            task: record.id.clone(),
            agent,
            attempt,
        }));
        effects.push(Effect::Dispatch(Box::new(assignment)));
    }

    /// Queues a task for its next attempt, or ends it when it has none left.
    fn attempt_failed(&mut self, task: u32, fault: TaskFault, now: Timestamp, effects: &mut Vec<Effect>) {
        self.put_down(task);
        let record = &mut self.tasks[task];
        record.failures += 1;
        let (failures, attempt) = (record.failures, record.attempts);
        if failures > record.plan().max_retries {
            let state = match fault {
                TaskFault::TimedOut { .. } => TaskState::TimedOut,
                _ => TaskState::Failed,
            };
            self.end(task, state, Some(fault), now, effects);
            return;
        }
        self.totals.retried += 1;
        let left = matches!(fault, TaskFault::AgentLeft { .. });
        let wait = doubling(self.options.retry_after, self.options.retry_at_most, failures);
        let next = if left { now } else { now.plus(wait) };
        record.fault = Some(Box::new(fault.clone()));
        effects.push(Effect::Event(TaskEvent::TaskRetried {
            at: now,
            task: record.id.clone(),
            attempt,
            fault,
            next,
        }));
        if left {
            self.make_ready(task, now, effects);
        } else {
            self.move_to(task, Stage::Backoff);
            self.set_timer(task, next);
        }
    }

    /// Takes an executing task from its agent, if that is still there.
    pub(super) fn put_down(&mut self, task: u32) {
        self.stop_timer(task);
        let record = &mut self.tasks[task];
        record.plan_mut().cancellation = None;
        let agent = std::mem::replace(&mut record.agent, NONE);
        if agent != NONE {
            self.pool.change(agent, |slot| _ = slot.executing.remove(&task));
        }
    }

    /// Gives up the attempt that executes. Its agent's slot stays taken until the agent lets go.
    pub(super) fn recall(&mut self, task: u32, effects: &mut Vec<Effect>) {
        let (agent, recall) = self.take_back(task);
        self.pool.change(agent, |slot| {
            slot.executing.remove(&task);
            slot.releasing += 1;
        });
        self.tasks[task].releasing += 1;
        if let Effect::Recall { task, attempt, .. } = &recall {
            self.recalled.insert((task.clone(), *attempt), agent);
        }
        effects.push(recall);
    }

    /// Takes an executing task from its agent, which is left to the caller; the agent and what it is to be told.
    fn take_back(&mut self, task: u32) -> (u32, Effect) {
        self.stop_timer(task);
        let record = &mut self.tasks[task];
        let number = std::mem::replace(&mut record.agent, NONE);
        let cancellation =
            record.plan_mut().cancellation.take().expect("an attempt has one while it executes");
        let agent = self.pool.agents[number as usize].id.clone();
        (number, Effect::Recall { task: record.id.clone(), agent, attempt: record.attempts, cancellation })
    }

    /// Frees the slot of an attempt that was given up, if it is still taken.
    fn released(
        &mut self,
        task: &TaskId,
        attempt: u32,
        done: bool,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(agent) = self.unhold(&(task.clone(), attempt)) {
            self.pool.change(agent, |slot| slot.releasing -= 1);
            let (task, agent) = (task.clone(), self.pool.agents[agent as usize].id.clone());
            effects.push(Effect::Event(TaskEvent::AttemptReleased { at: now, task, agent, attempt, done }));
            self.pump(now, effects);
        }
    }

    /// Strikes off an attempt that was given up; the agent that held on to it.
    fn unhold(&mut self, attempt: &(TaskId, u32)) -> Option<u32> {
        let agent = self.recalled.remove(attempt)?;
        let task = self.number(&attempt.0).expect("a task is known while an agent holds on to it");
        self.tasks[task].releasing -= 1;
        self.tasks.retire(task);
        Some(agent)
    }

    /// The number of a task if this very attempt executes.
    fn executing(&self, task: &TaskId, attempt: u32) -> Option<u32> {
        self.number(task).filter(|&n| {
            let record = &self.tasks[n];
            record.stage == Stage::Executing && record.attempts == attempt
        })
    }
}
