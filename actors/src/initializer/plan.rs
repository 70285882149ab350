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
//! one of a later phase. All work here is linear in tasks and edges, up to one sort, and uses no recursion.

use std::{cmp::Reverse, collections::BTreeMap, ops::Range, time::Duration};

use petgraph::{Direction, graph::NodeIndex};
use rustc_hash::FxHashMap;

use super::{
    fault::{PlanError, PlanErrors},
    planned::{Index, Planned},
    resources::{Needs, Resources},
    slots::number,
    task::{Phase, StartupTask},
};
use crate::{
    agent::{ResourceName, TaskId},
    support::{Dag, Suggester, cycles, micros},
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
    graph: Dag,
    rank: Vec<u32>,
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
        let mut faults = Vec::new();
        let mut index = Index::with_capacity(tasks.len());
        for (at, task) in tasks.iter().enumerate() {
            if let Some(first) = index.insert(at, |at| &tasks[at].id) {
                faults.push(PlanError::Duplicate { task: task.id.clone(), first, again: at });
            }
        }
        let (graph, dormant) = Self::edges(&tasks, &index, &mut faults);
        check_needs(&tasks, resources, &mut faults);
        let order = topological(&graph);
        if order.len() < graph.node_count() {
            // Gates have no names.
            let name = |at: usize| tasks.get(at).map(|task| task.id.clone());
            faults.extend(
                cycles(&graph)
                    .into_iter()
                    .map(|path| PlanError::Cycle { path: path.into_iter().filter_map(name).collect() }),
            );
        }
        if faults.is_empty() {
            Ok(Self::laid_out(tasks, &dormant, index, graph, &order, resources))
        } else {
            Err(PlanErrors(faults))
        }
    }

    /// Builds the graph and notes each dependency that does not fit; answers also which tasks are left out of start-up.
    fn edges(tasks: &[StartupTask], index: &Index, faults: &mut Vec<PlanError>) -> (Dag, Vec<bool>) {
        let mut suggester = Suggester::new();
        let mut edges = Vec::with_capacity(tasks.iter().map(|task| task.dependencies.len()).sum());
        let mut awaited = [false; Phase::ALL.len()];
        for (at, task) in tasks.iter().enumerate() {
            for &phase in &task.after_phases {
                if phase < task.phase {
                    awaited[phase as usize] = true;
                } else {
                    faults.push(PlanError::NotEarlier {
                        task: task.id.clone(),
                        phase: task.phase,
                        awaited: phase,
                    });
                }
            }
            if task.timeout.is_some_and(|limit| limit.as_micros() == 0) {
                faults.push(PlanError::NoTime { task: task.id.clone() });
            }
            for dependency in &task.dependencies {
                if *dependency == task.id {
                    faults.push(PlanError::OnItself { task: task.id.clone() });
                } else if let Some(on) = index.get(dependency.as_str(), |at| &tasks[at].id) {
                    if tasks[on].phase > task.phase {
                        faults.push(PlanError::PhaseInversion {
                            task: task.id.clone(),
                            phase: task.phase,
                            dependency: dependency.clone(),
                            dependency_phase: tasks[on].phase,
                        });
                    }
                    edges.push((on, at));
                } else {
                    let known = tasks.iter().map(|t| t.id.as_str()).filter(|name| *name != task.id.as_str());
                    let nearest = suggester.nearest(dependency.as_str(), known);
                    faults.push(PlanError::Unknown {
                        task: task.id.clone(),
                        dependency: dependency.clone(),
                        nearest: nearest.map(|name| TaskId::new(name).expect("it is the id of a task")),
                    });
                }
            }
        }
        let dormant = dormant(tasks, &edges);
        Self::gate_edges(tasks, &dormant, awaited, &mut edges);
        let mut graph = Dag::with_capacity(tasks.len() + Phase::ALL.len(), edges.len());
        for _ in 0..tasks.len() + Phase::ALL.len() {
            graph.add_node(());
        }
        // The graph lists the newest edge of a node first; added backwards, neighbours come in the order of the list.
        for (from, to) in edges.into_iter().rev() {
            graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), ());
        }
        (graph, dormant)
    }

    /// Puts the gates of phases that are waited for between their tasks and those who wait. A gate with nothing before it
    /// would never open, so nobody waits for it.
    fn gate_edges(
        tasks: &[StartupTask],
        dormant: &[bool],
        mut awaited: [bool; Phase::ALL.len()],
        edges: &mut Vec<(usize, usize)>,
    ) {
        let gate = |phase: Phase| tasks.len() + phase as usize;
        let mut opens = [false; Phase::ALL.len()];
        for (at, task) in tasks.iter().enumerate() {
            if awaited[task.phase as usize] && task.dependency_type.waited_for() && !dormant[at] {
                opens[task.phase as usize] = true;
                edges.push((at, gate(task.phase)));
            }
        }
        for (awaited, opens) in awaited.iter_mut().zip(opens) {
            *awaited &= opens;
        }
        for (at, task) in tasks.iter().enumerate() {
            let phases = task.after_phases.iter().filter(|phase| awaited[**phase as usize]);
            edges.extend(phases.filter(|phase| **phase < task.phase).map(|phase| (gate(*phase), at)));
        }
    }

    fn laid_out(
        tasks: Vec<StartupTask>,
        dormant: &[bool],
        index: Index,
        graph: Dag,
        order: &[usize],
        resources: &Resources,
    ) -> Self {
        let (needs, mut class) = Needs::new(resources, tasks.iter().map(|task| &*task.needs));
        if needs.classes() == 1 {
            class = Vec::new();
        }
        let nodes = graph.node_count();
        let mut names = FxHashMap::default();
        // Collected, they would stay where the larger tasks were that they are made from.
        let mut planned = Vec::with_capacity(tasks.len());
        planned.extend(tasks.into_iter().zip(dormant).enumerate().map(|(at, (task, dormant))| {
            if !task.name.is_empty() && task.name != task.id.as_str() {
                names.insert(number(at), task.name.clone());
            }
            Planned::new(task, *dormant)
        }));
        let mut plan = Self {
            needs,
            class,
            tasks: planned,
            names,
            rank: Vec::new(),
            critical: Vec::new(),
            critical_length: Duration::ZERO,
            total: Duration::ZERO,
            index,
            graph,
        };
        let takes_part = || plan.tasks.iter().filter(|task| !task.dormant);
        plan.total = takes_part().fold(Duration::ZERO, |sum, task| sum.saturating_add(task.estimate()));
        let mut finish = vec![Duration::ZERO; nodes];
        let mut before = vec![None; nodes];
        for &at in order {
            let mut earliest = Duration::ZERO;
            for on in plan.nodes_before(at).filter(|&on| plan.waited_for(on)) {
                if before[at].is_none() || finish[on] > earliest {
                    (earliest, before[at]) = (finish[on], Some(on));
                }
            }
            finish[at] = earliest.saturating_add(plan.estimate(at));
        }
        let of_start = (0..plan.tasks.len()).filter(|at| !plan.tasks[*at].dormant);
        let mut step = of_start.max_by_key(|&at| (finish[at], Reverse(at)));
        plan.critical_length = step.map_or(Duration::ZERO, |at| finish[at]);
        while let Some(at) = step {
            if !plan.is_gate(at) {
                plan.critical.push(at);
            }
            step = before[at];
        }
        plan.critical.reverse();
        plan.rank_by_remaining(order);
        plan
    }

    /// Ranks tasks by what still hangs on them: remaining path, then steps, then priority, then the order of the list.
    fn rank_by_remaining(&mut self, order: &[usize]) {
        let mut remaining = vec![(0_u64, 0_u32); self.graph.node_count()];
        for &at in order.iter().rev() {
            // What lazy tasks have behind them delays nothing of start-up.
            let is_lazy = |node: usize| self.tasks.get(node).is_some_and(|task| task.dormant);
            let (path, steps) = self
                .nodes_after(at)
                .filter(|next| is_lazy(at) || !is_lazy(*next))
                .map(|next| remaining[next])
                .fold((0, 0), |most, next| (most.0.max(next.0), most.1.max(next.1 + 1)));
            remaining[at] = (path.saturating_add(micros(self.estimate(at))), steps);
        }
        // The more urgent the less, and one number, so that a million are sorted quickly.
        let urgency = |at: usize| {
            let ((path, steps), priority) = (remaining[at], self.tasks[at].priority as u8);
            !(u128::from(path) << 64 | u128::from(steps) << 32 | u128::from(priority))
        };
        let mut by_rank: Vec<(u128, u32)> =
            (0..self.tasks.len()).map(|at| (urgency(at), number(at))).collect();
        by_rank.sort_unstable();
        self.rank = vec![0; self.tasks.len()];
        for (rank, (_, at)) in by_rank.into_iter().enumerate() {
            self.rank[at as usize] = number(rank);
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
        let mut level = vec![0; self.graph.node_count()];
        for at in topological(&self.graph) {
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
            + self.graph.capacity().0 * size_of::<petgraph::graph::Node<()>>()
            + self.graph.capacity().1 * size_of::<petgraph::graph::Edge<()>>()
            + (self.rank.capacity() + self.class.capacity()) * size_of::<u32>()
            + self.critical.capacity() * size_of::<usize>()
    }

    /// What a task depends on, in the order it says, hints included; the tasks of phases that it waits for are not listed.
    pub fn dependencies(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.nodes_before(at).filter(|&on| !self.is_gate(on))
    }

    /// The nodes that are before a node: tasks, and the gates of phases.
    pub(super) fn nodes_before(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.graph.neighbors_directed(NodeIndex::new(at), Direction::Incoming).map(NodeIndex::index)
    }

    /// The nodes that are after a node, tasks in the order of the list.
    pub(super) fn nodes_after(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.graph.neighbors_directed(NodeIndex::new(at), Direction::Outgoing).map(NodeIndex::index)
    }

    /// Whether a node is the gate of a phase: it opens when all of its tasks that are waited for have ended.
    pub(super) fn is_gate(&self, node: usize) -> bool {
        node >= self.tasks.len()
    }

    /// The gates of all phases, in order: the nodes after the tasks.
    pub(super) fn gates(&self) -> Range<usize> {
        self.tasks.len()..self.graph.node_count()
    }

    /// Whether a task waits for another one, which it depends on or which is of a phase that it waits for.
    pub(super) fn waits_for(&self, at: usize, on: usize) -> bool {
        let gate = self.tasks.len() + self.tasks[on].phase as usize;
        self.waited_for(on) && self.nodes_before(at).any(|node| node == on || node == gate)
    }

    fn estimate(&self, node: usize) -> Duration {
        self.tasks.get(node).map_or(Duration::ZERO, Planned::estimate)
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
        self.tasks.get(node).is_none_or(|task| task.dependency_type.waited_for())
    }

    /// Has the tasks start in this order, where they can.
    pub(super) fn set_order(&mut self, order: &[usize]) {
        order.iter().enumerate().for_each(|(rank, &at)| self.rank[at] = number(rank));
    }

    /// Notes which tasks can be undone.
    pub(super) fn set_reversible(&mut self, is_reversible: impl Fn(usize) -> bool) {
        self.tasks.iter_mut().enumerate().for_each(|(at, task)| task.reversible = is_reversible(at));
    }

    /// The place of a task in the order of start; the lowest first.
    pub(super) fn rank(&self, at: usize) -> u32 {
        self.rank[at]
    }
}

/// Which tasks are left out of start-up: the lazy ones, but for those that others wait for which are not.
fn dormant(tasks: &[StartupTask], edges: &[(usize, usize)]) -> Vec<bool> {
    let mut dormant: Vec<bool> = tasks.iter().map(|task| task.lazy).collect();
    if !dormant.contains(&true) {
        return dormant;
    }
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    for &(on, at) in edges.iter().filter(|(on, _)| tasks[*on].dependency_type.waited_for()) {
        before[at].push(on);
    }
    let mut wanted: Vec<usize> = (0..tasks.len()).filter(|at| !dormant[*at]).collect();
    while let Some(at) = wanted.pop() {
        for &on in &before[at] {
            if std::mem::take(&mut dormant[on]) {
                wanted.push(on);
            }
        }
    }
    dormant
}

/// Notes each need of what there is not, or not enough of.
fn check_needs(tasks: &[StartupTask], resources: &Resources, faults: &mut Vec<PlanError>) {
    let mut suggester = Suggester::new();
    for task in tasks.iter().filter(|task| !task.needs.is_empty()) {
        let mut sums: BTreeMap<&ResourceName, u64> = BTreeMap::new();
        for (resource, amount) in &task.needs {
            let sum = sums.entry(resource).or_default();
            *sum = sum.saturating_add(*amount);
        }
        for (resource, needed) in sums {
            let task = task.id.clone();
            match resources.get(resource) {
                Some(&capacity) if needed > capacity => {
                    faults.push(PlanError::TooMuch { task, resource: resource.clone(), needed, capacity });
                }
                Some(_) => {}
                None => {
                    let known = resources.keys().map(ResourceName::as_str);
                    let nearest = suggester.nearest(resource.as_str(), known);
                    let nearest = nearest.map(|name| ResourceName::new(name).expect("it is one"));
                    faults.push(PlanError::UnknownResource { task, resource: resource.clone(), nearest });
                }
            }
        }
    }
}

/// As many nodes as can be ordered, each after all it depends on.
fn topological(graph: &Dag) -> Vec<usize> {
    let mut open: Vec<usize> =
        graph.node_indices().map(|n| graph.neighbors_directed(n, Direction::Incoming).count()).collect();
    let mut order: Vec<usize> = (0..open.len()).filter(|&at| open[at] == 0).collect();
    let mut next = 0;
    while next < order.len() {
        for after in graph.neighbors(NodeIndex::new(order[next])) {
            open[after.index()] -= 1;
            if open[after.index()] == 0 {
                order.push(after.index());
            }
        }
        next += 1;
    }
    order
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
