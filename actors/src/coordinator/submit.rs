//! Checking a batch of tasks before any of it is taken: [`SubmitErrors`] lists all that is wrong.

use std::fmt;

use petgraph::{algo::toposort, graph::NodeIndex};
use rustc_hash::FxHashMap;

use super::task::TaskSpec;
use crate::{
    agent::TaskId,
    support::{Dag, Suggester, cycles, suggestion, write_faults, write_path},
};

/// Most tasks one graph can hold.
pub(super) const MAX_TASKS: usize = (1 << 31) - 1;

/// One thing that is wrong with a batch of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitError {
    /// The batch names a task twice.
    Duplicate {
        /// The id.
        task: TaskId,
        /// The position of the first one, from 0.
        first: usize,
        /// The position of the other one, from 0.
        again: usize,
    },
    /// A task of this id was submitted before and is known.
    Known {
        /// The id.
        task: TaskId,
    },
    /// A task depends on one that is neither in the batch nor known.
    Unknown {
        /// The task.
        task: TaskId,
        /// The dependency that does not exist.
        dependency: TaskId,
        /// A task of a similar name.
        nearest: Option<TaskId>,
        /// How many tasks were forgotten after their end; it may be one of them.
        forgotten: u64,
    },
    /// A task depends on itself.
    OnItself {
        /// The task.
        task: TaskId,
    },
    /// Tasks depend on each other in a circle.
    Cycle {
        /// The circle; each task depends on the next, the last is the first again.
        path: Vec<TaskId>,
    },
    /// The limit of an attempt is below one microsecond.
    NoTime {
        /// The task.
        task: TaskId,
    },
    /// The graph is full.
    TooMany {
        /// How many tasks it would hold.
        tasks: usize,
    },
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { task, first, again } => write!(
                f,
                "task {task} is listed twice, as number {} and {}: rename one",
                first + 1,
                again + 1
            ),
            Self::Known { task } => write!(f, "task {task} was submitted before: give it another id"),
            Self::Unknown { task, dependency, nearest, forgotten: 0 } => write!(
                f,
                "task {task} depends on {dependency}, which does not exist: {}",
                suggestion(nearest.as_ref(), "submit it first or in the same batch")
            ),
            Self::Unknown { task, dependency, nearest, forgotten } => write!(
                f,
                "task {task} depends on {dependency}, which is not known; it does not exist or is one of {forgotten} that \
                 ended and were forgotten: {}",
                suggestion(nearest.as_ref(), "keep it until its dependants are submitted")
            ),
            Self::OnItself { task } => write!(f, "task {task} depends on itself: remove that dependency"),
            Self::Cycle { path } => {
                f.write_str("tasks depend on each other in a circle: ")?;
                write_path(f, path)?;
                f.write_str(": remove one of these dependencies")
            }
            Self::NoTime { task } => {
                write!(f, "task {task} has a timeout below one microsecond: raise it")
            }
            Self::TooMany { tasks } => {
                write!(f, "the coordinator would hold {tasks} tasks: at most {MAX_TASKS} are possible")
            }
        }
    }
}

impl std::error::Error for SubmitError {}

/// Everything that is wrong with a batch, in the order of the batch, cycles last. Permanent: the same batch will be
/// refused again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitErrors(Vec<SubmitError>);

impl SubmitErrors {
    /// The faults; at least one.
    pub fn faults(&self) -> &[SubmitError] {
        &self.0
    }
}

impl fmt::Display for SubmitErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_faults(f, &self.0)
    }
}

impl std::error::Error for SubmitErrors {}

/// Checks a batch against the ids that are known.
pub(super) fn check<'a, K>(
    batch: &'a [TaskSpec],
    held: usize,
    forgotten: u64,
    is_known: impl Fn(&TaskId) -> bool,
    known: impl Fn() -> K,
) -> Result<(), SubmitErrors>
where
    K: Iterator<Item = &'a TaskId>,
{
    if held + batch.len() > MAX_TASKS {
        return Err(SubmitErrors(vec![SubmitError::TooMany { tasks: held + batch.len() }]));
    }
    let mut faults = Vec::new();
    let mut index: FxHashMap<&TaskId, usize> = FxHashMap::default();
    for (at, task) in batch.iter().enumerate() {
        let first = *index.entry(&task.id).or_insert(at);
        if first != at {
            faults.push(SubmitError::Duplicate { task: task.id.clone(), first, again: at });
        } else if is_known(&task.id) {
            faults.push(SubmitError::Known { task: task.id.clone() });
        }
    }
    let mut suggester = Suggester::new();
    let mut edges = Vec::new();
    for (at, task) in batch.iter().enumerate() {
        if task.timeout.as_micros() == 0 {
            faults.push(SubmitError::NoTime { task: task.id.clone() });
        }
        for dependency in task.dependencies.iter().chain(&task.follows) {
            if *dependency == task.id {
                faults.push(SubmitError::OnItself { task: task.id.clone() });
            } else if let Some(&on) = index.get(dependency) {
                edges.push((on, at));
            } else if !is_known(dependency) {
                let names = batch.iter().map(|t| &t.id).filter(|id| **id != task.id).chain(known());
                let nearest = suggester.nearest(dependency.as_str(), names.map(TaskId::as_str));
                faults.push(SubmitError::Unknown {
                    task: task.id.clone(),
                    dependency: dependency.clone(),
                    forgotten,
                    nearest: nearest.map(|name| TaskId::new(name).expect("it is the id of a task")),
                });
            }
        }
    }
    if !edges.is_empty() {
        let mut graph = Dag::with_capacity(batch.len(), edges.len());
        for _ in batch {
            graph.add_node(());
        }
        for (from, to) in edges.into_iter().rev() {
            graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), ());
        }
        if toposort(&graph, None).is_err() {
            let name = |at: usize| batch[at].id.clone();
            faults.extend(
                cycles(&graph)
                    .into_iter()
                    .map(|path| SubmitError::Cycle { path: path.into_iter().map(name).collect() }),
            );
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(SubmitErrors(faults)) }
}
