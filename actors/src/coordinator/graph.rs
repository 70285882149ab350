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
//! Every call takes O(log n) for each task and edge it touches, without recursion. A task takes about 250 bytes (its
//! record, id, and place in the index) plus 12 bytes for each dependency, its payload until it ends, and its result:
//! 500,000 ready tasks with empty payloads were measured at 355 bytes each, some 100 of them the payload.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::{
    event::{Effect, TaskEvent},
    pool::{Pool, ReadyKey},
    record::{Edge, Link, NONE, Record, Stage},
    submit::{self, SubmitErrors},
    task::{TaskDetails, TaskFault, TaskSpec, TaskState},
};
use crate::{
    agent::{TaskId, Timestamp},
    support::micros,
};

/// What becomes of a ready task while no enrolled agent offers all it needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unserved {
    /// It waits until one enrols. The default.
    #[default]
    Wait,
    /// It is cancelled at once, as [`TaskFault::Unserved`]: for those who know that no other agent will come. An agent that
    /// waits for its restart is still enrolled.
    Cancel,
}

/// How a task graph shares out work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphOptions {
    /// How many tasks may execute at once over all agents; no limit unless said. Zero holds everything back.
    pub max_concurrent: Option<usize>,
    /// The wait before the first retry, doubled for each further one; 100 ms unless said.
    pub retry_after: Duration,
    /// The longest wait before a retry; 10 s unless said.
    pub retry_at_most: Duration,
    /// How long an agent that refused a task gets no other one; 10 ms unless said.
    pub refusal_pause: Duration,
    /// What becomes of tasks that nobody can do; they wait unless said.
    pub unserved: Unserved,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self {
            max_concurrent: None,
            retry_after: Duration::from_millis(100),
            retry_at_most: Duration::from_secs(10),
            refusal_pause: Duration::from_millis(10),
            unserved: Unserved::default(),
        }
    }
}

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
    pub(super) tasks: IndexMap<TaskId, Record, FxBuildHasher>,
    pub(super) edges: Vec<Edge>,
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

    /// Takes a batch of tasks, which may depend on each other and on all submitted before.
    ///
    /// # Errors
    /// [`SubmitErrors`] lists all that is wrong; then nothing of the batch is taken.
    pub fn submit(
        &mut self,
        batch: Vec<TaskSpec>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<usize, SubmitErrors> {
        submit::check(&batch, self.tasks.len(), |id| self.tasks.contains_key(id), || self.tasks.keys())?;
        let (first, count) = (self.tasks.len(), batch.len());
        if count == 0 {
            return Ok(0);
        }
        self.totals.first_submitted.get_or_insert(now);
        effects.push(Effect::Event(TaskEvent::TasksSubmitted { at: now, tasks: count }));
        self.tasks.reserve(count);
        let mut named = Vec::with_capacity(count);
        for task in batch {
            named.push((task.dependencies, task.follows));
            let class = self.pool.class(&task.needs);
            let plain = task.description.is_empty()
                && task.metadata.is_empty()
                && task.estimated_duration == Duration::ZERO;
            let record = Record {
                head: NONE,
                open: 0,
                class,
                agent: NONE,
                attempts: 0,
                failures: 0,
                max_retries: task.max_retries,
                stage: Stage::Pending,
                priority: task.priority,
                task_type: task.task_type,
                dependencies: Box::default(),
                payload: Some(Arc::new(task.payload)),
                result: None,
                fault: None,
                cancellation: None,
                details: (!plain).then(|| {
                    Arc::new(TaskDetails {
                        description: task.description,
                        metadata: task.metadata,
                        estimated_duration: task.estimated_duration,
                    })
                }),
                timeout: micros(task.timeout),
                submitted: now,
                started: None,
                ended: None,
                timer: None,
            };
            self.tasks.insert(task.id, record);
        }
        self.totals.stages[Stage::Pending as usize] += count;
        let last = u32::try_from(first + count).expect("checked against the most tasks");
        let first = u32::try_from(first).expect("it is less than the last");
        for (task, (dependencies, follows)) in (first..last).zip(named) {
            self.link(task, &dependencies, &follows);
        }
        for task in first..last {
            self.release(task, now, effects);
        }
        self.pump(now, effects);
        Ok(count)
    }

    /// Links a new task to all it waits for.
    fn link(&mut self, task: u32, dependencies: &[TaskId], follows: &[TaskId]) {
        let named = dependencies.iter().map(|id| (id, false)).chain(follows.iter().map(|id| (id, true)));
        let mut links = Vec::with_capacity(dependencies.len() + follows.len());
        for (id, soft) in named {
            let on = self.tasks.get_index_of(id).expect("the batch was checked");
            links.push(Link::new(u32::try_from(on).expect("checked against the most tasks"), soft));
            if !self.tasks[on].stage.ended() {
                let edge = u32::try_from(self.edges.len()).expect("fewer than 2^32 dependencies");
                self.edges.push(Edge { dependant: Link::new(task, soft), next: self.tasks[on].head });
                self.tasks[on].head = edge;
                self.tasks[task as usize].open += 1;
            }
        }
        self.tasks[task as usize].dependencies = links.into();
    }

    /// Queues a new task without open dependencies, or fails it for one that did not complete.
    fn release(&mut self, task: u32, now: Timestamp, effects: &mut Vec<Effect>) {
        let record = &self.tasks[task as usize];
        if record.stage != Stage::Pending {
            return;
        }
        let failed = record.dependencies.iter().find(|link| {
            let stage = self.tasks[link.task() as usize].stage;
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
        let Some(number) = self.number(task).filter(|&n| !self.tasks[n as usize].stage.ended()) else {
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
        let last = u32::try_from(self.tasks.len()).expect("checked against the most tasks");
        let mut cancelled = 0;
        for task in 0..last {
            if !self.tasks[task as usize].stage.ended() {
                self.stop(task, effects);
                self.tasks[task as usize].head = NONE;
                let fault = TaskFault::Cancelled { because: because.clone() };
                self.settle(task, TaskState::Cancelled, Some(fault), now, effects);
                cancelled += 1;
            }
        }
        cancelled
    }

    /// Takes a task away from where it runs, is queued or waits.
    fn stop(&mut self, task: u32, effects: &mut Vec<Effect>) {
        match self.tasks[task as usize].stage {
            Stage::Executing => {
                self.recall(task, effects);
            }
            Stage::Ready => self.pool.unqueue(self.tasks[task as usize].class, self.key(task)),
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
            if self.tasks[task as usize].stage.ended() {
                continue;
            }
            self.settle(task, state, fault, now, effects);
            let mut next = std::mem::replace(&mut self.tasks[task as usize].head, NONE);
            // The list runs from the newest edge; dependants are looked at in the order they came.
            let mut dependants = Vec::new();
            while next != NONE {
                let edge = self.edges[next as usize];
                dependants.push(edge.dependant);
                next = edge.next;
            }
            for link in dependants.into_iter().rev() {
                let record = &mut self.tasks[link.task() as usize];
                if record.stage.ended() {
                    continue;
                }
                record.open -= 1;
                if state != TaskState::Completed && !link.soft() {
                    let because_of = self.root(task);
                    let fault = TaskFault::Dependency { because_of };
                    queue.push_back((link.task(), TaskState::Failed, Some(fault)));
                } else if self.tasks[link.task() as usize].open == 0
                    && !self.doomed(link.task())
                    && let Some(fault) = self.queue(link.task(), now, effects)
                {
                    queue.push_back((link.task(), TaskState::Cancelled, Some(fault)));
                }
            }
        }
    }

    /// Whether a task waits for one that did not complete.
    fn doomed(&self, task: u32) -> bool {
        self.tasks[task as usize].dependencies.iter().any(|link| {
            let stage = self.tasks[link.task() as usize].stage;
            !link.soft() && stage.ended() && stage != Stage::Completed
        })
    }

    /// Books the end of one task.
    fn settle(
        &mut self,
        task: u32,
        state: TaskState,
        fault: Option<TaskFault>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        self.move_to(task, state.stage());
        let (id, record) = self.tasks.get_index_mut(task as usize).expect("the task exists");
        record.ended = Some(now);
        record.payload = None;
        record.fault = fault.clone().map(Box::new);
        let latency = now.since(record.submitted);
        if state == TaskState::Completed {
            self.totals.latency += latency.as_micros();
            self.totals.last_completed = Some(now);
        }
        effects.push(Effect::Event(TaskEvent::TaskEnded {
            at: now,
            task: id.clone(),
            state,
            attempts: record.attempts,
            latency,
            fault,
        }));
    }

    /// Queues a task that is ready, or cancels it when nobody can do it and such tasks do not wait.
    pub(super) fn make_ready(&mut self, task: u32, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Some(fault) = self.queue(task, now, effects) {
            self.end(task, TaskState::Cancelled, Some(fault), now, effects);
        }
    }

    /// Queues a task that is ready; why it has to be cancelled instead, if so.
    fn queue(&mut self, task: u32, now: Timestamp, effects: &mut Vec<Effect>) -> Option<TaskFault> {
        let class = self.tasks[task as usize].class;
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
        let mut waiting: Vec<u32> = slot.ready.iter().map(|(_, task)| *task).collect();
        let retried = self.timers.iter().filter_map(|(_, timer)| match timer {
            Timer::Task(task) => Some(*task),
            Timer::Agent(_) => None,
        });
        waiting.extend(retried.filter(|task| {
            let record = &self.tasks[*task as usize];
            record.stage == Stage::Backoff && record.class == class
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
        let (id, record) = self.tasks.get_index(task as usize).expect("the task exists");
        match record.fault.as_deref() {
            Some(TaskFault::Dependency { because_of }) => because_of.clone(),
            _ => id.clone(),
        }
    }

    pub(super) fn number(&self, task: &TaskId) -> Option<u32> {
        self.tasks.get_index_of(task).and_then(|at| u32::try_from(at).ok())
    }

    pub(super) fn key(&self, task: u32) -> ReadyKey {
        self.tasks[task as usize].key(task)
    }

    pub(super) fn move_to(&mut self, task: u32, stage: Stage) {
        let old = std::mem::replace(&mut self.tasks[task as usize].stage, stage);
        self.totals.stages[old as usize] -= 1;
        self.totals.stages[stage as usize] += 1;
    }

    pub(super) fn set_timer(&mut self, task: u32, due: Timestamp) {
        self.tasks[task as usize].timer = Some(due);
        self.timers.insert((due, Timer::Task(task)));
    }

    pub(super) fn stop_timer(&mut self, task: u32) {
        if let Some(due) = self.tasks[task as usize].timer.take() {
            self.timers.remove(&(due, Timer::Task(task)));
        }
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
