//! [`Plan`]: start-up tasks checked and put in order.
//!
//! ```text
//! tasks --Plan::new--> all faults at once
//!                 \--> Plan: graph, levels, critical path, order of start
//! ```
//!
//! Owns the tasks and everything that can be known before the first one runs. Never runs, waits or reads a clock.
//!
//! **Invariant.** The graph of a plan is acyclic, every dependency names a task of the plan, and no task depends on
//! one of a later phase. All work here is linear in tasks and edges, and uses no recursion.

use std::{cmp::Reverse, ops::Range, time::Duration};

use rustc_hash::FxHashMap;

use super::{
    checks::{Checked, Listed},
    fault::PlanErrors,
    links::Links,
    planned::{Index, Planned},
    resources::{Needs, Resources},
    slots::{NOBODY, number},
    task::StartupTask,
    urgency::Urgency,
};

/// Checked start-up tasks and what can be known of them before they run.
///
/// # Examples
/// ```
/// use phalanx_actors::initializer::{Plan, StartupTask};
/// let task = |id: &str| StartupTask::new(id.parse().unwrap());
/// let plan = Plan::new(vec![task("config"), task("events").after(["config".parse().unwrap()])]).unwrap();
/// assert_eq!(plan.critical_path(), ["config", "events"]);
/// let errors = Plan::new(vec![task("events").after(["confgi".parse().unwrap()]), task("config")]).unwrap_err();
/// assert_eq!(
///     errors.to_string(),
///     "start-up task events depends on confgi, which does not exist: did you mean config?"
/// );
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    tasks: Vec<Planned>,
    /// The names for people of the tasks that have one.
    names: FxHashMap<u32, String>,
    index: Index,
    /// The tasks by their positions; after them a gate for each phase, between its tasks and those that wait for it.
    links: Links,
    urgency: Vec<Urgency>,
    /// Whether there are tasks that nobody waits for, and lazy ones that are left out: then each is looked at.
    has_hints: bool,
    has_dormant: bool,
    needs: Needs,
    /// The class of each task's needs; empty where no task needs anything.
    class: Vec<u32>,
    critical: Vec<usize>,
    critical_length: Duration,
    total: Duration,
}

impl Plan {
    /// Checks tasks that share no resources, and puts them in order.
    ///
    /// # Errors
    /// [`PlanErrors`] lists every fault of the list.
    pub fn new(tasks: Vec<StartupTask>) -> Result<Self, PlanErrors> {
        Self::with_resources(tasks, &Resources::new())
    }

    /// Checks tasks that share resources, and puts them in order.
    ///
    /// # Errors
    /// [`PlanErrors`] lists every fault of the list.
    pub fn with_resources(tasks: Vec<StartupTask>, resources: &Resources) -> Result<Self, PlanErrors> {
        Self::of(tasks, resources).map(|(plan, _)| plan)
    }

    /// Checks tasks that are listed with something beside them, which is answered with the plan in the order of the list.
    pub(super) fn of<L: Listed>(
        tasks: Vec<L>,
        resources: &Resources,
    ) -> Result<(Self, Vec<L::Rest>), PlanErrors> {
        let checked = Checked::new(&tasks, resources)?;
        let (needs, mut class) = if checked.has_needs {
            Needs::new(resources, tasks.iter().map(|listed| &*listed.task().needs))
        } else {
            Needs::new(resources, std::iter::empty())
        };
        if needs.classes() == 1 {
            class = Vec::new();
        }
        let mut names = FxHashMap::default();
        // Collected, they would stay where the larger tasks were that they are made from.
        let (mut planned, mut beside) = (Vec::with_capacity(tasks.len()), Vec::with_capacity(tasks.len()));
        for (at, (listed, dormant)) in tasks.into_iter().zip(checked.dormant).enumerate() {
            let (mut task, rest) = listed.split();
            if !task.name.is_empty() && task.name != task.id.as_str() {
                names.insert(number(at), std::mem::take(&mut task.name));
            }
            planned.push(Planned::new(task, dormant));
            beside.push(rest);
        }
        let mut plan = Self {
            has_hints: planned.iter().any(|task| !task.dependency_type.waited_for()),
            has_dormant: planned.iter().any(|task| task.dormant),
            needs,
            class,
            tasks: planned,
            names,
            urgency: Vec::new(),
            critical: Vec::new(),
            critical_length: Duration::ZERO,
            total: Duration::ZERO,
            index: checked.index,
            links: checked.links,
        };
        plan.lay_out(&checked.order);
        Ok((plan, beside))
    }

    /// Finds the longest chain, and the order of start.
    fn lay_out(&mut self, order: &[u32]) {
        let takes_part = || self.tasks.iter().filter(|task| !task.dormant);
        let total = takes_part().fold(Duration::ZERO, |sum, task| sum.saturating_add(task.estimate()));
        let nodes = self.links.nodes();
        // [us], and the node before that ends last.
        let mut finish = vec![(0_u64, NOBODY); nodes];
        for at in order.iter().map(|at| *at as usize) {
            let (mut earliest, mut last) = (0, NOBODY);
            for on in self.nodes_before(at).filter(|&on| self.waited_for(on)) {
                if last == NOBODY || finish[on].0 > earliest {
                    (earliest, last) = (finish[on].0, number(on));
                }
            }
            finish[at] = (earliest.saturating_add(self.estimate(at)), last);
        }
        let of_start = (0..self.tasks.len()).filter(|at| !self.tasks[*at].dormant);
        let last = of_start.max_by_key(|&at| (finish[at].0, Reverse(at)));
        let mut step = last.map_or(NOBODY, number);
        let mut critical = Vec::new();
        while step != NOBODY {
            let at = step as usize;
            if !self.is_gate(at) {
                critical.push(at);
            }
            step = finish[at].1;
        }
        critical.reverse();
        self.critical_length = Duration::from_micros(last.map_or(0, |at| finish[at].0));
        self.critical = critical;
        self.total = total;
        // As large as what comes next.
        drop(finish);
        self.find_urgency(order);
    }

    /// Tasks are the more urgent the more still hangs on them: remaining path, then steps, then priority, then the order of the
    /// list.
    fn find_urgency(&mut self, order: &[u32]) {
        self.urgency = vec![Urgency::default(); self.links.nodes()];
        for at in order.iter().rev().map(|at| *at as usize) {
            // What lazy tasks have behind them delays nothing of start-up.
            let is_lazy =
                |node: usize| self.has_dormant && self.tasks.get(node).is_some_and(|task| task.dormant);
            let (path, steps) = self
                .nodes_after(at)
                .filter(|next| is_lazy(at) || !is_lazy(*next))
                .map(|next| self.urgency[next])
                .fold((0, 0), |most, next| (most.0.max(next.path()), most.1.max(next.steps() + 1)));
            let priority = self.tasks.get(at).map_or(0, |task| task.priority as u8);
            self.urgency[at] = Urgency::new(path.saturating_add(self.estimate(at)), steps, priority, at);
        }
    }

    /// The tasks as they were listed.
    pub fn tasks(&self) -> &[Planned] {
        &self.tasks
    }

    /// The position of a task in the list.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.index.get(id, |at| &self.tasks[at].id)
    }

    /// The name of a task for people: its name, else its id.
    pub fn label(&self, at: usize) -> &str {
        self.names.get(&number(at)).map_or_else(|| self.tasks[at].id.as_str(), String::as_str)
    }

    /// The level of each task, as listed: the longest chain of waited-for tasks before it.
    pub fn levels(&self) -> Vec<usize> {
        let mut level = vec![0; self.links.nodes()];
        for at in self.links.order().into_iter().map(|at| at as usize) {
            let before = self.nodes_before(at).filter(|&on| self.waited_for(on)).map(|on| level[on]);
            level[at] = before.max().map_or(0, |most| most + usize::from(!self.is_gate(at)));
        }
        level.truncate(self.tasks.len());
        level
    }

    /// The chain of waited-for tasks with the longest estimate.
    pub fn critical_path(&self) -> Vec<&str> {
        self.critical.iter().map(|&at| self.tasks[at].id.as_str()).collect()
    }

    /// The estimate of the critical path.
    pub fn critical_length(&self) -> Duration {
        self.critical_length
    }

    /// The sum of all estimates.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// No schedule on so many workers can end sooner, if the estimates hold: the longest of the critical path, the total
    /// shared out evenly, and for each resource what is needed of it, times how long, shared out over what there is.
    pub fn lower_bound(&self, workers: usize) -> Duration {
        let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        self.critical_length.max(self.total / workers).max(self.resource_bound())
    }

    fn resource_bound(&self) -> Duration {
        // [units x us]
        let mut held = vec![0_u128; self.needs.capacity().len()];
        for (task, class) in self.tasks.iter().zip(&self.class).filter(|(task, _)| !task.dormant) {
            for (resource, amount) in self.needs.of(*class) {
                let sum = &mut held[*resource as usize];
                *sum = sum.saturating_add(task.estimate().as_micros().saturating_mul(u128::from(*amount)));
            }
        }
        let bounds = held.into_iter().zip(self.needs.capacity()).map(|(held, capacity)| {
            let micros = held.checked_div(u128::from(*capacity)).unwrap_or(0);
            Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
        });
        bounds.max().unwrap_or_default()
    }

    /// About how many bytes of memory the plan takes, the texts of ids included.
    pub fn bytes(&self) -> usize {
        // A text is headed by two words, and lies on a multiple of them.
        let text = |task: &Planned| (task.id.as_str().len() + 2 * size_of::<usize>()).next_multiple_of(16);
        let names: usize = self.names.values().map(|name| name.capacity() + size_of::<(u32, String)>()).sum();
        self.tasks.capacity() * size_of::<Planned>()
            + self.tasks.iter().map(text).sum::<usize>()
            + names
            + self.index.bytes()
            + self.links.bytes()
            + self.urgency.capacity() * size_of::<Urgency>()
            + self.class.capacity() * size_of::<u32>()
            + self.critical.capacity() * size_of::<usize>()
    }

    /// What a task depends on, in the order it says, hints included; the tasks of phases that it waits for are not listed.
    pub fn dependencies(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.nodes_before(at).filter(|&on| !self.is_gate(on))
    }

    /// The nodes that are before a node: tasks, and the gates of phases.
    pub(super) fn nodes_before(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.links.before(at).iter().map(|node| *node as usize)
    }

    /// The nodes that are after a node, tasks in the order of the list.
    pub(super) fn nodes_after(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.links.after(at).iter().map(|node| *node as usize)
    }

    /// Whether a node is the gate of a phase: it opens when all of its tasks that are waited for have ended.
    pub(super) fn is_gate(&self, node: usize) -> bool {
        node >= self.tasks.len()
    }

    /// The gates of all phases, in order: the nodes after the tasks.
    pub(super) fn gates(&self) -> Range<usize> {
        self.tasks.len()..self.links.nodes()
    }

    /// Whether a task waits for another one, which it depends on or which is of a phase that it waits for.
    pub(super) fn waits_for(&self, at: usize, on: usize) -> bool {
        let gate = self.tasks.len() + self.tasks[on].phase as usize;
        self.waited_for(on) && self.nodes_before(at).any(|node| node == on || node == gate)
    }

    /// How long a node is expected to take \[us\].
    fn estimate(&self, node: usize) -> u64 {
        self.tasks.get(node).map_or(0, Planned::estimate_us)
    }

    /// What tasks need of resources.
    pub(super) fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The class of a task's needs.
    pub(super) fn class(&self, at: usize) -> u32 {
        self.class.get(at).copied().unwrap_or(0)
    }

    /// Whether anyone waits for a node.
    pub(super) fn waited_for(&self, node: usize) -> bool {
        !self.has_hints || self.tasks.get(node).is_none_or(|task| task.dependency_type.waited_for())
    }

    /// Has the tasks start in this order, where they can.
    pub(super) fn set_order(&mut self, order: &[usize]) {
        order.iter().enumerate().for_each(|(place, &at)| self.urgency[at] = Urgency::at(place, at));
    }

    /// Notes that a task can be undone.
    pub(super) fn set_reversible(&mut self, at: usize) {
        self.tasks[at].reversible = true;
    }

    /// What says where a task is in the order of start.
    pub(super) fn urgency(&self, at: usize) -> Urgency {
        self.urgency[at]
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
