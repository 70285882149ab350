//! Reading a [`TaskGraph`]: reports, metrics, and the check of its books.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    event::{TaskMetrics, TaskReport},
    graph::{TaskGraph, Timer},
    options::Unserved,
    record::{NONE, Stage},
    task::TaskState,
};
use crate::agent::TaskId;

impl TaskGraph {
    /// How many tasks were submitted.
    pub fn len(&self) -> usize {
        self.tasks.submitted()
    }

    /// Whether no task was ever submitted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tasks are known: those that have not ended, those that something refers to, and the history.
    pub fn known(&self) -> usize {
        self.tasks.known()
    }

    /// How many tasks were forgotten after their end.
    pub fn forgotten(&self) -> u64 {
        self.tasks.forgotten()
    }

    /// How many tasks have not ended.
    pub fn open(&self) -> usize {
        self.totals.stages[..Stage::Completed as usize].iter().sum()
    }

    /// Where a task stands, if it is known.
    pub fn state(&self, task: &TaskId) -> Option<TaskState> {
        self.number(task).map(|number| self.state_at(number))
    }

    fn state_at(&self, task: u32) -> TaskState {
        let record = &self.tasks[task];
        match record.stage {
            Stage::Pending => TaskState::Pending,
            Stage::Ready if self.pool.classes[record.plan().class as usize].capable > 0 => TaskState::Queued,
            Stage::Ready | Stage::Backoff => TaskState::Waiting,
            Stage::Executing => TaskState::Executing,
            Stage::Completed => TaskState::Completed,
            Stage::Failed => TaskState::Failed,
            Stage::Cancelled => TaskState::Cancelled,
            Stage::TimedOut => TaskState::TimedOut,
        }
    }

    /// A task as it stands, if it is known.
    pub fn report(&self, task: &TaskId) -> Option<TaskReport> {
        let number = self.number(task)?;
        let record = &self.tasks[number];
        Some(TaskReport {
            task: task.clone(),
            state: self.state_at(number),
            attempts: record.attempts,
            failures: record.failures,
            agent: (record.agent != NONE).then(|| self.pool.agents[record.agent as usize].id.clone()),
            submitted: record.submitted,
            started: record.started,
            ended: record.ended,
            fault: record.fault.as_deref().cloned(),
            result: record.result.clone(),
        })
    }

    /// Every task that is known, in the order of submission, with where it stands.
    pub fn states(&self) -> impl Iterator<Item = (&TaskId, TaskState)> + '_ {
        let mut known: Vec<_> = self.tasks.iter().collect();
        known.sort_unstable_by_key(|(_, record)| record.sequence);
        known.into_iter().map(|(number, record)| (&record.id, self.state_at(number)))
    }

    /// Totals over all tasks.
    pub fn metrics(&self) -> TaskMetrics {
        let stage = |stage: Stage| self.totals.stages[stage as usize];
        let completed = stage(Stage::Completed);
        let average = self.totals.latency / u128::try_from(completed.max(1)).unwrap_or(1);
        TaskMetrics {
            submitted: self.len(),
            pending: stage(Stage::Pending),
            queued: stage(Stage::Ready) - self.pool.stranded,
            executing: stage(Stage::Executing),
            waiting: stage(Stage::Backoff) + self.pool.stranded,
            completed,
            failed: stage(Stage::Failed),
            cancelled: stage(Stage::Cancelled),
            timed_out: stage(Stage::TimedOut),
            dispatched: self.totals.dispatched,
            retried: self.totals.retried,
            stale: self.totals.stale,
            releasing: self.recalled.len(),
            agents: self.pool.by_id.len(),
            average_latency: std::time::Duration::from_micros(u64::try_from(average).unwrap_or(u64::MAX)),
            first_submitted: self.totals.first_submitted,
            last_completed: self.totals.last_completed,
        }
    }

    /// Checks every count and every index against the tasks themselves; takes time linear in everything, for tests.
    ///
    /// # Errors
    /// The first contradiction, in words.
    pub fn verify(&self) -> Result<(), String> {
        let mut stages = [0; 8];
        let mut timers = BTreeSet::new();
        // What each task should have: open dependencies, and references to it.
        let (mut open, mut referrers) = (BTreeMap::<u32, u32>::new(), BTreeMap::<u32, u32>::new());
        for (_, record) in self.tasks.iter() {
            let Some(plan) = &record.plan else { continue };
            plan.dependants.iter().for_each(|link| *open.entry(link.task()).or_default() += 1);
            plan.dependencies.iter().for_each(|link| *referrers.entry(link.task()).or_default() += 1);
        }
        let mut retired = 0;
        for (number, record) in self.tasks.iter() {
            stages[record.stage as usize] += 1;
            retired += usize::from(record.in_history);
            timers.extend(
                record.plan.as_ref().and_then(|plan| plan.timer).map(|due| (due, Timer::Task(number))),
            );
            let linked = [&open, &referrers].map(|links| links.get(&number).copied().unwrap_or_default());
            self.verify_task(number, linked)
                .map_err(|wrong| format!("task {}, {:?}: {wrong}", record.id, record.stage))?;
        }
        if retired != self.tasks.history() {
            return Err(format!("{retired} tasks think they are in the history"));
        }
        for (number, slot) in (0u32..).zip(&self.pool.agents) {
            timers.extend(slot.paused.map(|until| (until, Timer::Agent(number))));
        }
        let ended = |stages: &[usize; 8]| stages[Stage::Completed as usize..].iter().sum::<usize>();
        let forgotten = usize::try_from(self.tasks.forgotten()).unwrap_or(usize::MAX);
        let all = self.totals.stages.iter().sum::<usize>();
        if stages[..Stage::Completed as usize] != self.totals.stages[..Stage::Completed as usize]
            || ended(&stages) + forgotten != ended(&self.totals.stages)
            || all != self.len()
        {
            return Err(format!("counted {stages:?}, booked {:?}", self.totals.stages));
        }
        if timers != self.timers {
            return Err(format!("timers of tasks and agents {timers:?}, booked {:?}", self.timers));
        }
        self.verify_pool()
    }

    fn verify_task(&self, number: u32, [open, referrers]: [u32; 2]) -> Result<(), String> {
        let record = &self.tasks[number];
        let stage = record.stage;
        let check = |fine: bool, wrong: &str| if fine { Ok(()) } else { Err(wrong.to_owned()) };
        check(open == record.open, "open dependencies are miscounted")?;
        check(referrers == record.referrers, "references are miscounted")?;
        let recalled = self.recalled.keys().filter(|(task, _)| *task == record.id).count();
        check(recalled == record.releasing as usize, "attempts to be let go of are miscounted")?;
        check(record.in_history || !record.may_be_forgotten(), "it will never be forgotten")?;
        check(record.plan.is_some() != stage.ended(), "plan disagrees")?;
        check(record.ended.is_some() == stage.ended(), "time of end disagrees")?;
        check((record.agent != NONE) == (stage == Stage::Executing), "agent disagrees")?;
        let Some(plan) = &record.plan else { return Ok(()) };
        let class = &self.pool.classes[plan.class as usize];
        check((stage == Stage::Pending) == (open > 0), "pending and open disagree")?;
        check(class.ready.contains(&record.key(number)) == (stage == Stage::Ready), "queue disagrees")?;
        check(plan.cancellation.is_some() == (stage == Stage::Executing), "token disagrees")?;
        let timed = matches!(stage, Stage::Executing | Stage::Backoff);
        check(plan.timer.is_some() == timed, "timer disagrees")?;
        check(record.failures <= plan.max_retries, "too many failures")?;
        if stage == Stage::Executing {
            let agent = &self.pool.agents[record.agent as usize];
            check(agent.executing.contains(&number), "its agent does not know")?;
            check(agent.offers.is_superset(&class.needs), "its agent is not capable")?;
        }
        Ok(())
    }

    fn verify_pool(&self) -> Result<(), String> {
        let pool = &self.pool;
        let executing: usize = pool.agents.iter().map(|agent| agent.executing.len()).sum();
        if executing != self.totals.stages[Stage::Executing as usize] {
            return Err(format!("agents execute {executing} tasks"));
        }
        let taken = executing + self.recalled.len();
        if self.options.max_concurrent.is_some_and(|most| taken > most) {
            return Err(format!("{taken} attempts take slots, more than allowed"));
        }
        let mut stranded = 0;
        for (number, class) in (0u32..).zip(&pool.classes) {
            let capable =
                |agent: &&super::pool::AgentSlot| agent.present && agent.offers.is_superset(&class.needs);
            let free: BTreeSet<u32> = (0u32..)
                .zip(&pool.agents)
                .filter(|(_, agent)| capable(agent) && agent.free())
                .map(|(agent, _)| agent)
                .collect();
            let listed: BTreeSet<u32> = class.free.iter().map(|key| key.agent).collect();
            let first = class.ready.first().filter(|_| !free.is_empty()).copied();
            if pool.agents.iter().filter(capable).count() != class.capable
                || free != listed
                || first != class.listed
                || first.is_some_and(|key| !pool.open.contains(&(key, number)))
            {
                return Err(format!("class {class:?} disagrees with agents {:?}", pool.agents));
            }
            stranded += if class.capable == 0 { class.ready.len() } else { 0 };
        }
        let ready = self.totals.stages[Stage::Ready as usize];
        let queued: usize = pool.classes.iter().map(|class| class.ready.len()).sum();
        if queued != ready {
            return Err(format!("{ready} tasks are ready, {queued} are queued"));
        }
        let open = pool.classes.iter().filter(|class| class.listed.is_some()).count();
        if (stranded, open) != (pool.stranded, pool.open.len()) {
            return Err(format!("{stranded} of {ready} ready tasks are stranded, {open} classes open"));
        }
        for (number, agent) in (0u32..).zip(&pool.agents) {
            let releasing = self.recalled.values().filter(|of| **of == number).count();
            if releasing != agent.releasing as usize {
                return Err(format!("agent {} lets go of {releasing} attempts", agent.id));
            }
        }
        if stranded > 0 && self.options.unserved == Unserved::Cancel {
            return Err(format!("{stranded} tasks wait that should have been cancelled"));
        }
        match pool.agents.iter().find(|agent| agent.taken() > agent.slots) {
            Some(agent) => Err(format!("agent {} works beyond its slots", agent.id)),
            None => Ok(()),
        }
    }
}
