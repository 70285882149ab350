//! [`Checked`]: from tasks as they are listed to links between them; what does not fit is noted, all of it.

use std::collections::BTreeMap;

use super::{
    fault::{PlanError, PlanErrors},
    links::{Links, Neighbours},
    planned::{Finder, Index},
    resources::Resources,
    task::{Phase, StartupTask},
};
use crate::{
    agent::{ResourceName, TaskId},
    support::{Suggester, cycles},
};

/// A task of a list, maybe with something beside it.
pub(super) trait Listed {
    /// What is beside it.
    type Rest;

    fn task(&self) -> &StartupTask;
    fn split(self) -> (StartupTask, Self::Rest);
}

impl Listed for StartupTask {
    type Rest = ();

    fn task(&self) -> &StartupTask {
        self
    }

    fn split(self) -> (StartupTask, ()) {
        (self, ())
    }
}

impl<R> Listed for (StartupTask, R) {
    type Rest = R;

    fn task(&self) -> &StartupTask {
        &self.0
    }

    fn split(self) -> (StartupTask, R) {
        self
    }
}

/// What is known of tasks that are without fault.
pub(super) struct Checked {
    pub(super) index: Index,
    /// The tasks by their positions; after them a gate for each phase, between its tasks and those that wait for it.
    pub(super) links: Links,
    /// All nodes, each after all that come before it.
    pub(super) order: Vec<u32>,
    /// Which tasks are left out of start-up.
    pub(super) dormant: Vec<bool>,
    /// Whether any task needs a resource.
    pub(super) has_needs: bool,
}

impl Checked {
    /// Checks tasks.
    ///
    /// # Errors
    /// [`PlanErrors`] lists every fault of the list.
    pub(super) fn new<L: Listed>(tasks: &[L], resources: &Resources) -> Result<Self, PlanErrors> {
        let mut faults = Vec::new();
        let mut index = Index::with_capacity(tasks.len());
        let id_of = |at: usize| &tasks[at].task().id;
        for (at, listed) in tasks.iter().enumerate() {
            if let Some(first) = index.insert(at, id_of) {
                let task = listed.task().id.clone();
                faults.push(PlanError::Duplicate { task, first, again: at });
            }
        }
        let (before, awaited) = dependencies(tasks, &index, &mut faults);
        let dormant = dormant(tasks, &before);
        let links = Links::new(with_gates(tasks, &dormant, awaited, before));
        let has_needs = check_needs(tasks, resources, &mut faults);
        let order = links.order();
        if order.len() < links.nodes() {
            // Gates have no names.
            let name = |at: usize| tasks.get(at).map(|listed| listed.task().id.clone());
            faults.extend(
                cycles(&links.graph())
                    .into_iter()
                    .map(|path| PlanError::Cycle { path: path.into_iter().filter_map(name).collect() }),
            );
        }
        if faults.is_empty() {
            Ok(Self { index, links, order, dormant, has_needs })
        } else {
            Err(PlanErrors(faults))
        }
    }
}

/// What each task depends on, and which phases are waited for; notes what does not fit.
fn dependencies<L: Listed>(
    tasks: &[L],
    index: &Index,
    faults: &mut Vec<PlanError>,
) -> (Neighbours, [bool; Phase::ALL.len()]) {
    let mut suggester = Suggester::new();
    let links = tasks.iter().map(|listed| listed.task().dependencies.len()).sum();
    let mut before = Neighbours::with_capacity(tasks.len() + Phase::ALL.len(), links);
    let mut awaited = [false; Phase::ALL.len()];
    let mut finder = Finder::new(index);
    // Of two tasks with one id the first counts, which the index knows.
    let is_unique = faults.is_empty();
    for (at, task) in tasks.iter().map(Listed::task).enumerate() {
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
            let found = finder.find(dependency.as_str(), |at| &tasks[at].task().id);
            if *dependency == task.id {
                faults.push(PlanError::OnItself { task: task.id.clone() });
            } else if let Some(on) = found {
                let dependency_phase = tasks[on].task().phase;
                if dependency_phase > task.phase {
                    faults.push(PlanError::PhaseInversion {
                        task: task.id.clone(),
                        phase: task.phase,
                        dependency: dependency.clone(),
                        dependency_phase,
                    });
                }
                before.link(on);
            } else {
                let known = tasks.iter().map(|listed| listed.task().id.as_str());
                let nearest =
                    suggester.nearest(dependency.as_str(), known.filter(|name| *name != task.id.as_str()));
                faults.push(PlanError::Unknown {
                    task: task.id.clone(),
                    dependency: dependency.clone(),
                    nearest: nearest.map(|name| TaskId::new(name).expect("it is the id of a task")),
                });
            }
        }
        before.end_node();
        if is_unique {
            finder.pass(at, &task.id);
        }
    }
    (before, awaited)
}

/// Which tasks are left out of start-up: the lazy ones, but for those that others wait for which are not.
fn dormant<L: Listed>(tasks: &[L], before: &Neighbours) -> Vec<bool> {
    let mut dormant: Vec<bool> = tasks.iter().map(|listed| listed.task().lazy).collect();
    if !dormant.contains(&true) {
        return dormant;
    }
    let mut wanted: Vec<usize> = (0..tasks.len()).filter(|at| !dormant[*at]).collect();
    while let Some(at) = wanted.pop() {
        for on in before.of(at).iter().map(|on| *on as usize) {
            if tasks[on].task().dependency_type.waited_for() && std::mem::take(&mut dormant[on]) {
                wanted.push(on);
            }
        }
    }
    dormant
}

/// Puts the gates of phases that are waited for between their tasks and those who wait. A gate with nothing before it
/// would never open, so nobody waits for it.
fn with_gates<L: Listed>(
    tasks: &[L],
    dormant: &[bool],
    mut awaited: [bool; Phase::ALL.len()],
    mut before: Neighbours,
) -> Neighbours {
    if awaited.contains(&true) {
        let keeps_shut = |at: usize, phase: Phase| {
            let task = tasks[at].task();
            task.phase == phase && task.dependency_type.waited_for() && !dormant[at]
        };
        let mut shut_by = [const { Vec::new() }; Phase::ALL.len()];
        for phase in Phase::ALL.into_iter().filter(|phase| awaited[*phase as usize]) {
            shut_by[phase as usize].extend((0..tasks.len()).filter(|at| keeps_shut(*at, phase)));
        }
        for (awaited, shut_by) in awaited.iter_mut().zip(&shut_by) {
            *awaited &= !shut_by.is_empty();
        }
        let mut gated = Neighbours::with_capacity(tasks.len() + Phase::ALL.len(), 0);
        for (at, task) in tasks.iter().map(Listed::task).enumerate() {
            before.of(at).iter().for_each(|on| gated.link(*on as usize));
            let phases = task.after_phases.iter().filter(|phase| awaited[**phase as usize]);
            phases
                .filter(|phase| **phase < task.phase)
                .for_each(|phase| gated.link(tasks.len() + *phase as usize));
            gated.end_node();
        }
        for shut_by in shut_by {
            for at in shut_by {
                gated.link(at);
            }
            gated.end_node();
        }
        return gated;
    }
    for _ in Phase::ALL {
        before.end_node();
    }
    before
}

/// Notes each need of what there is not, or not enough of. Answers whether there are needs.
fn check_needs<L: Listed>(tasks: &[L], resources: &Resources, faults: &mut Vec<PlanError>) -> bool {
    let mut suggester = Suggester::new();
    let mut has_needs = false;
    for task in tasks.iter().map(Listed::task).filter(|task| !task.needs.is_empty()) {
        has_needs = true;
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
    has_needs
}
