//! [`TaskGraph`]: tasks, what they wait for and who does them, as a state machine that is told the time.
//!
//! ```text
//!  submit --> pending --dependencies ended--> queued <--first capable agent enrols--> waiting
//!                |                             |  ^                                      ^
//!                |                     dispatch|  |refused, agent left                   |
//!                |                             v  |                                      |
//!                |                          executing --failed or late, retries left-----+
//!                |                             |
//!                |                             +--> completed | failed | timed_out
//!                +--a dependency did not complete--> failed
//!  pending, queued, executing, waiting --cancel--> cancelled
//! ```
//!
//! Exactly: `pending` = a dependency is open; `queued` = ready while a capable agent is enrolled; `waiting` = ready
//! while none is, or between a failed attempt and the next; `executing` = dispatched and neither answered, late,
//! refused nor withdrawn. A dependency that fails, times out or is cancelled fails its dependants at once, each naming
//! the task that failed first; a task that only *follows* another one does not mind how that ended.
//!
//! Owns tasks, agents' loads and all counts. Never delivers, waits or reads a clock: the caller performs the effects
//! in order, reports answers, and calls [`TaskGraph::advance`] at [`TaskGraph::next_deadline`].
//!
//! **Invariant.** An attempt runs on one agent that offers all the task needs and has a free slot; a task runs at
//! most once at a time and only after all it waits for; every dispatch ends in exactly one of answered, refused, late,
//! agent left or cancelled; answers to anything else change nothing but slots. The same calls give the same effects.
//! An attempt that was given up (late or cancelled) takes its slot, and its share of the limit over all agents, until
//! its agent has answered or was withdrawn; the task itself goes on without it, so its next attempt may begin before
//! the agent of the last one has let go.
//! [`TaskGraph::verify`] checks the books.
//!
//! Every call takes O(log n) for each task and edge it touches, without recursion. An ended task is known as long as
//! something may refer to it ([`Store`]) and a while longer ([`GraphOptions::history`]); totals count all there ever were.
//! A known task takes about 150 bytes (its record, id, and place in the index) and its result; until it ends as much again,
//! its payload, and 8 bytes for each dependency.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem::take,
    sync::Arc,
};

use super::{
    event::{Effect, TaskEvent},
    options::{GraphOptions, Unserved},
    pool::{Pool, ReadyKey},
    record::{Link, Record, Stage},
    store::Store,
    submit::{self, SubmitErrors},
    task::{TaskFault, TaskSpec, TaskState},
};
use crate::agent::{TaskId, Timestamp};

/// What falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// An attempt is late, or the next one may start.
    Task(u32),
    /// An agent that refused may be asked again.
    Agent(u32),
}

/// Running totals.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) stages: [usize; 8],
    pub(super) dispatched: u64,
    pub(super) retried: u64,
    pub(super) stale: u64,
    pub(super) latency: u128,
    pub(super) first_submitted: Option<Timestamp>,
    pub(super) last_completed: Option<Timestamp>,
}

/// Tasks, what they wait for and who does them: a state machine without a clock, told what happened and answering with
/// effects.
///
/// Perform the effects in order, report answers with [`attempt_ended`](Self::attempt_ended), and call
/// [`advance`](Self::advance) at [`next_deadline`](Self::next_deadline). The same calls give the same effects.
///
/// - *pending* becomes *queued* (or *waiting*, while no enrolled agent offers all it needs) when all it depends on has
///   completed and all it follows has ended; it becomes *failed* as soon as something it depends on does not complete.
/// - *queued* becomes *executing* when it is dispatched; *queued* and *waiting* change places when the first capable
///   agent enrols or the last one is withdrawn.
/// - *executing* becomes *completed*; or *waiting* until its next attempt is due, after a failed or late one; or
///   *queued* at once, when its agent refused it or left; or *failed* or *timed out* when no attempt is left.
/// - Anything that has not ended becomes *cancelled* when it is cancelled.
#[derive(Debug, Default)]
pub struct TaskGraph {
    pub(super) options: GraphOptions,
    pub(super) tasks: Store,
    pub(super) pool: Pool,
    pub(super) timers: BTreeSet<(Timestamp, Timer)>,
    /// Attempts that were given up and whose agents have not let go, with these agents.
    pub(super) recalled: BTreeMap<(TaskId, u32), u32>,
    pub(super) totals: Totals,
}

impl TaskGraph {
    /// An empty graph.
    pub fn new(options: GraphOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Takes a batch of tasks, which may depend on each other and on all that are known.
    ///
    /// # Errors
    /// [`SubmitErrors`] lists all that is wrong; then nothing of the batch is taken.
    pub fn submit(
        &mut self,
        batch: Vec<TaskSpec>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<usize, SubmitErrors> {
        let known = || self.tasks.iter().map(|(_, record)| &record.id);
        let (held, forgotten) = (self.tasks.known(), self.tasks.forgotten());
        submit::check(&batch, held, forgotten, |id| self.tasks.number(id).is_some(), known)?;
        let count = batch.len();
        if count == 0 {
            return Ok(0);
        }
        self.totals.first_submitted.get_or_insert(now);
        effects.push(Effect::Event(TaskEvent::TasksSubmitted { at: now, tasks: count }));
        self.tasks.reserve(count);
        let mut taken = Vec::with_capacity(count);
        for mut task in batch {
            let (dependencies, follows) = (take(&mut task.dependencies), take(&mut task.follows));
            let class = self.pool.class(&task.needs);
            let record = Record::new(task, self.tasks.submitted() as u64, class, now);
            taken.push((self.tasks.insert(record), dependencies, follows));
        }
        self.totals.stages[Stage::Pending as usize] += count;
        for (task, dependencies, follows) in &taken {
            self.link(*task, dependencies, follows);
        }
        for (task, ..) in taken {
            self.release(task, now, effects);
        }
        self.pump(now, effects);
        Ok(count)
    }

    /// Lets go of tasks that were to be kept: as soon as nothing else refers to them they may be forgotten. How many
    /// these were.
    pub fn forget(&mut self, tasks: &[TaskId]) -> usize {
        let mut let_go = 0;
        for task in tasks {
            if let Some(task) = self.number(task) {
                let_go += usize::from(take(&mut self.tasks[task].keep));
                self.tasks.retire(task);
            }
        }
        let_go
    }

    /// Forgets ended tasks that nothing refers to any more, but for the most recent. Call it when the effects so far are
    /// performed, for whoever performs them may look at ended tasks.
    pub fn trim(&mut self) {
        self.tasks.trim(self.options.history);
    }

    /// Links a new task to all it waits for.
    fn link(&mut self, task: u32, dependencies: &[TaskId], follows: &[TaskId]) {
        let named = dependencies.iter().map(|id| (id, false)).chain(follows.iter().map(|id| (id, true)));
        let mut links = Vec::with_capacity(dependencies.len() + follows.len());
        for (id, soft) in named {
            let on = self.number(id).expect("the batch was checked");
            links.push(Link::new(on, soft));
            let dependency = &mut self.tasks[on];
            dependency.referrers += 1;
            if !dependency.stage.ended() {
                dependency.plan_mut().dependants.push(Link::new(task, soft));
                self.tasks[task].open += 1;
            }
        }
        self.tasks[task].plan_mut().dependencies = links.into();
    }

    /// Queues a new task without open dependencies, or fails it for one that did not complete.
    fn release(&mut self, task: u32, now: Timestamp, effects: &mut Vec<Effect>) {
        let record = &self.tasks[task];
        if record.stage != Stage::Pending {
            return;
        }
        let failed = record.plan().dependencies.iter().find(|link| {
            let stage = self.tasks[link.task()].stage;
            !link.soft() && stage.ended() && stage != Stage::Completed
        });
        if let Some(link) = failed {
            let because_of = self.root(link.task());
            self.end(task, TaskState::Failed, Some(TaskFault::Dependency { because_of }), now, effects);
        } else if record.open == 0 {
            self.make_ready(task, now, effects);
        }
    }

    /// Withdraws a task; `false` if it is unknown or has ended.
    pub fn cancel(
        &mut self,
        task: &TaskId,
        because: &str,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(number) = self.number(task).filter(|&n| !self.tasks[n].stage.ended()) else {
            return false;
        };
        self.stop(number, effects);
        let fault = TaskFault::Cancelled { because: Arc::from(because) };
        self.end(number, TaskState::Cancelled, Some(fault), now, effects);
        self.pump(now, effects);
        true
    }

    /// Withdraws every task that has not ended; how many those were.
    pub fn cancel_all(&mut self, because: &str, now: Timestamp, effects: &mut Vec<Effect>) -> usize {
        let because: Arc<str> = Arc::from(because);
        let open = self.tasks.iter().filter(|(_, record)| !record.stage.ended());
        let mut open: Vec<(u64, u32)> = open.map(|(task, record)| (record.sequence, task)).collect();
        open.sort_unstable();
        for (_, task) in &open {
            self.stop(*task, effects);
            let fault = TaskFault::Cancelled { because: because.clone() };
            let dependants = self.settle(*task, TaskState::Cancelled, Some(fault), now, effects);
            for link in dependants {
                self.wait_less(link.task());
            }
            self.tasks.retire(*task);
        }
        open.len()
    }

    /// Takes a task away from where it runs, is queued or waits.
    fn stop(&mut self, task: u32, effects: &mut Vec<Effect>) {
        match self.tasks[task].stage {
            Stage::Executing => {
                self.recall(task, effects);
            }
            Stage::Ready => self.pool.unqueue(self.tasks[task].plan().class, self.key(task)),
            _ => self.stop_timer(task),
        }
    }

    /// Ends a task and all that depend on it, if it did not complete; releases what waited for it.
    pub(super) fn end(
        &mut self,
        task: u32,
        state: TaskState,
        fault: Option<TaskFault>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let mut queue = VecDeque::from([(task, state, fault)]);
        while let Some((task, state, fault)) = queue.pop_front() {
            if self.tasks[task].stage.ended() {
                continue;
            }
            let dependants = self.settle(task, state, fault, now, effects);
            for link in dependants {
                self.wait_less(link.task());
                let dependant = &self.tasks[link.task()];
                if dependant.stage.ended() {
                    continue;
                }
                if state != TaskState::Completed && !link.soft() {
                    let because_of = self.root(task);
                    let fault = TaskFault::Dependency { because_of };
                    queue.push_back((link.task(), TaskState::Failed, Some(fault)));
                } else if dependant.open == 0
                    && !self.doomed(link.task())
                    && let Some(fault) = self.queue(link.task(), now, effects)
                {
                    queue.push_back((link.task(), TaskState::Cancelled, Some(fault)));
                }
            }
            self.tasks.retire(task);
        }
    }

    /// Notes that one dependency of a task has ended.
    fn wait_less(&mut self, task: u32) {
        self.tasks[task].open -= 1;
        self.tasks.retire(task);
    }

    /// Whether a task waits for one that did not complete.
    fn doomed(&self, task: u32) -> bool {
        self.tasks[task].plan().dependencies.iter().any(|link| {
            let stage = self.tasks[link.task()].stage;
            !link.soft() && stage.ended() && stage != Stage::Completed
        })
    }

    /// Books the end of one task; what waited for it.
    fn settle(
        &mut self,
        task: u32,
        state: TaskState,
        fault: Option<TaskFault>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Vec<Link> {
        self.move_to(task, state.stage());
        let record = &mut self.tasks[task];
        record.ended = Some(now);
        let plan = record.plan.take().expect("a task ends once");
        record.fault = fault.clone().map(Box::new);
        let latency = now.since(record.submitted);
        if state == TaskState::Completed {
            self.totals.latency += latency.as_micros();
            self.totals.last_completed = Some(now);
        }
        effects.push(Effect::Event(TaskEvent::TaskEnded {
            at: now,
            task: record.id.clone(),
            state,
            attempts: record.attempts,
            latency,
            fault,
        }));
        for link in plan.dependencies {
            self.tasks.unrefer(link.task());
        }
        plan.dependants
    }

    /// Queues a task that is ready, or cancels it when nobody can do it and such tasks do not wait.
    pub(super) fn make_ready(&mut self, task: u32, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Some(fault) = self.queue(task, now, effects) {
            self.end(task, TaskState::Cancelled, Some(fault), now, effects);
        }
    }

    /// Queues a task that is ready; why it has to be cancelled instead, if so.
    fn queue(&mut self, task: u32, now: Timestamp, effects: &mut Vec<Effect>) -> Option<TaskFault> {
        let class = self.tasks[task].plan().class;
        if let Some((needs, first)) = self.pool.lack(class) {
            if first {
                let needs = BTreeSet::clone(&needs);
                effects.push(Effect::Event(TaskEvent::CapabilityMissing { at: now, needs }));
            }
            if self.options.unserved == Unserved::Cancel {
                return Some(TaskFault::Unserved { needs });
            }
        }
        self.move_to(task, Stage::Ready);
        self.pool.queue(class, self.key(task));
        None
    }

    /// Tells that nobody can do the waiting tasks of a class any more, and cancels them when such tasks do not wait.
    pub(super) fn bereave(&mut self, class: u32, now: Timestamp, effects: &mut Vec<Effect>) {
        let slot = &self.pool.classes[class as usize];
        let mut waiting: Vec<u32> = slot.ready.iter().map(|(_, _, task)| *task).collect();
        let retried = self.timers.iter().filter_map(|(_, timer)| match timer {
            Timer::Task(task) => Some(*task),
            Timer::Agent(_) => None,
        });
        waiting.extend(retried.filter(|task| {
            let record = &self.tasks[*task];
            record.stage == Stage::Backoff && record.plan().class == class
        }));
        if waiting.is_empty() {
            return;
        }
        let Some((needs, first)) = self.pool.lack(class) else { return };
        if first {
            let needs = BTreeSet::clone(&needs);
            effects.push(Effect::Event(TaskEvent::CapabilityMissing { at: now, needs }));
        }
        if self.options.unserved == Unserved::Cancel {
            for task in waiting {
                self.stop(task, effects);
                let fault = TaskFault::Unserved { needs: needs.clone() };
                self.end(task, TaskState::Cancelled, Some(fault), now, effects);
            }
        }
    }

    /// The task that failed first on the way to this one.
    fn root(&self, task: u32) -> TaskId {
        let record = &self.tasks[task];
        match record.fault.as_deref() {
            Some(TaskFault::Dependency { because_of }) => because_of.clone(),
            _ => record.id.clone(),
        }
    }

    pub(super) fn number(&self, task: &TaskId) -> Option<u32> {
        self.tasks.number(task)
    }

    pub(super) fn key(&self, task: u32) -> ReadyKey {
        self.tasks[task].key(task)
    }

    pub(super) fn move_to(&mut self, task: u32, stage: Stage) {
        let old = std::mem::replace(&mut self.tasks[task].stage, stage);
        self.totals.stages[old as usize] -= 1;
        self.totals.stages[stage as usize] += 1;
    }

    pub(super) fn set_timer(&mut self, task: u32, due: Timestamp) {
        self.tasks[task].plan_mut().timer = Some(due);
        self.timers.insert((due, Timer::Task(task)));
    }

    pub(super) fn stop_timer(&mut self, task: u32) {
        if let Some(due) = self.tasks[task].plan_mut().timer.take() {
            self.timers.remove(&(due, Timer::Task(task)));
        }
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
