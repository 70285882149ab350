//! [`PlanError`], [`PlanErrors`]: what is wrong with a list of start-up tasks.

use std::fmt;

use super::task::Phase;
use crate::{
    agent::{ResourceName, TaskId},
    support::{suggestion, write_faults, write_path},
};

/// One thing that is wrong with a list of start-up tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanError {
    /// Two tasks have the same id.
    Duplicate {
        /// The id.
        task: TaskId,
        /// The position of the first one, from 0.
        first: usize,
        /// The position of the other one, from 0.
        again: usize,
    },
    /// A task depends on one that is not in the list.
    Unknown {
        /// The task.
        task: TaskId,
        /// The dependency that does not exist.
        dependency: TaskId,
        /// An existing task of a similar name.
        nearest: Option<TaskId>,
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
    /// A task depends on one of a later phase.
    PhaseInversion {
        /// The task.
        task: TaskId,
        /// Its phase.
        phase: Phase,
        /// What it depends on.
        dependency: TaskId,
        /// The later phase of the dependency.
        dependency_phase: Phase,
    },
    /// The limit of an attempt is below one microsecond.
    NoTime {
        /// The task.
        task: TaskId,
    },
    /// A task waits for a phase that is not an earlier one.
    NotEarlier {
        /// The task.
        task: TaskId,
        /// Its phase.
        phase: Phase,
        /// The phase that it waits for.
        awaited: Phase,
    },
    /// A task needs a resource that there is not.
    UnknownResource {
        /// The task.
        task: TaskId,
        /// The resource.
        resource: ResourceName,
        /// An existing resource of a similar name.
        nearest: Option<ResourceName>,
    },
    /// A task needs more of a resource than there is.
    TooMuch {
        /// The task.
        task: TaskId,
        /// The resource.
        resource: ResourceName,
        /// How much it needs.
        needed: u64,
        /// How much there is.
        capacity: u64,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { task, first, again } => write!(
                f,
                "start-up task {task} is listed twice, as number {} and {}: rename one",
                first + 1,
                again + 1
            ),
            Self::Unknown { task, dependency, nearest } => write!(
                f,
                "start-up task {task} depends on {dependency}, which does not exist: {}",
                suggestion(nearest.as_ref(), "add it or remove the dependency")
            ),
            Self::OnItself { task } => {
                write!(f, "start-up task {task} depends on itself: remove that dependency")
            }
            Self::Cycle { path } => {
                f.write_str("start-up tasks depend on each other in a circle: ")?;
                write_path(f, path)?;
                f.write_str(": remove one of these dependencies")
            }
            Self::PhaseInversion { task, phase, dependency, dependency_phase } => write!(
                f,
                "start-up task {task} of phase {phase} depends on {dependency} of the later phase {dependency_phase}: \
                 move one of them"
            ),
            Self::NoTime { task } => write!(
                f,
                "start-up task {task} has a timeout below one microsecond: raise it or leave it out"
            ),
            Self::NotEarlier { task, phase, awaited } => write!(
                f,
                "start-up task {task} of phase {phase} waits for phase {awaited}, which is no earlier one: \
                 name its tasks, or an earlier phase"
            ),
            Self::UnknownResource { task, resource, nearest } => write!(
                f,
                "start-up task {task} needs resource {resource}, which does not exist: {}",
                suggestion(nearest.as_ref(), "say how much there is of it, or remove the need")
            ),
            Self::TooMuch { task, resource, needed, capacity } => write!(
                f,
                "start-up task {task} needs {needed} of resource {resource}, and there is {capacity}: \
                 it could never start; raise the one or lower the other"
            ),
        }
    }
}

impl std::error::Error for PlanError {}

/// Everything that is wrong with a list of start-up tasks, in the order of the list, cycles last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanErrors(pub(super) Vec<PlanError>);

impl PlanErrors {
    /// The faults; at least one.
    pub fn faults(&self) -> &[PlanError] {
        &self.0
    }
}

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_faults(f, &self.0)
    }
}

impl std::error::Error for PlanErrors {}
