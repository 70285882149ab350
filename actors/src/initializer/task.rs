//! What is asked of start-up: [`StartupTask`], its [`Phase`] and its [`DependencyType`].

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::agent::{Priority, ResourceName, TaskId};

/// One of the six phases of start-up, in order.
///
/// # Examples
/// ```
/// use phalanx_actors::initializer::Phase;
/// assert!(Phase::DependencyResolution < Phase::Ready);
/// assert_eq!(Phase::ServiceStartup.to_string(), "service_startup");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// What everything else stands on is looked for.
    DependencyResolution,
    /// Memory, files, ports and connections are taken.
    ResourceAllocation,
    /// The core is set up.
    #[default]
    CoreInitialization,
    /// Services and agents start.
    ServiceStartup,
    /// The parts are tried together.
    IntegrationTesting,
    /// The last steps before work is taken.
    Ready,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Phase; 6] = [
        Phase::DependencyResolution,
        Phase::ResourceAllocation,
        Phase::CoreInitialization,
        Phase::ServiceStartup,
        Phase::IntegrationTesting,
        Phase::Ready,
    ];

    /// The name as it is serialised.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::DependencyResolution => "dependency_resolution",
            Phase::ResourceAllocation => "resource_allocation",
            Phase::CoreInitialization => "core_initialization",
            Phase::ServiceStartup => "service_startup",
            Phase::IntegrationTesting => "integration_testing",
            Phase::Ready => "ready",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a task means to those that depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DependencyType {
    /// The task must complete or start-up fails; its dependants wait for it and are skipped if it fails.
    #[default]
    Required,
    /// Its dependants wait for it; its failure is reported and tolerated.
    Optional,
    /// Required, and from its first start to its end nothing else starts in its phase.
    Blocking,
    /// A hint of order only: it is started before its dependants if both could start, but nobody waits for it and
    /// its failure is reported and tolerated.
    NonBlocking,
}

impl DependencyType {
    /// Whether dependants wait for such a task.
    pub const fn waited_for(self) -> bool {
        !matches!(self, DependencyType::NonBlocking)
    }

    /// Whether start-up fails when such a task does.
    pub const fn must_complete(self) -> bool {
        matches!(self, DependencyType::Required | DependencyType::Blocking)
    }
}

/// One task of start-up.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use phalanx_actors::initializer::{Phase, StartupTask};
/// let task = StartupTask::new("events".parse().unwrap())
///     .in_phase(Phase::ServiceStartup)
///     .after(["config".parse().unwrap()])
///     .taking(Duration::from_millis(300))
///     .retrying(2);
/// assert_eq!(task.dependencies[0].as_str(), "config");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupTask {
    /// Its identity, unique within the plan.
    pub id: TaskId,
    /// A name for people; the id when empty.
    pub name: String,
    /// What it does, for people.
    pub description: String,
    /// Where in the order of phases it belongs.
    pub phase: Phase,
    /// The tasks it comes after.
    pub dependencies: Vec<TaskId>,
    /// How others depend on it.
    pub dependency_type: DependencyType,
    /// Which of two equally urgent ready tasks starts first.
    pub priority: Priority,
    /// How long it is expected to take; one second unless said.
    pub estimated_duration: Duration,
    /// How long one attempt may take; no limit when `None`.
    pub timeout: Option<Duration>,
    /// How many further attempts follow a failed one.
    pub retries: u32,
    /// The earlier phases it comes after: all of their tasks that anybody would wait for.
    pub after_phases: Vec<Phase>,
    /// How much of which resource it holds while it runs.
    pub needs: Vec<(ResourceName, u64)>,
    /// Whether it is left out of start-up and runs when it is first asked for, unless a task that is not lazy waits for it.
    pub lazy: bool,
}

impl StartupTask {
    /// A required task of core initialization without dependencies, estimated at one second, tried once.
    pub fn new(id: TaskId) -> Self {
        Self {
            id,
            name: String::new(),
            description: String::new(),
            phase: Phase::default(),
            dependencies: Vec::new(),
            dependency_type: DependencyType::default(),
            priority: Priority::default(),
            estimated_duration: Duration::from_secs(1),
            timeout: None,
            retries: 0,
            after_phases: Vec::new(),
            needs: Vec::new(),
            lazy: false,
        }
    }

    /// Puts the task into a phase.
    pub fn in_phase(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    /// Adds tasks that this one comes after.
    pub fn after(mut self, dependencies: impl IntoIterator<Item = TaskId>) -> Self {
        self.dependencies.extend(dependencies);
        self
    }

    /// Adds earlier phases whose tasks this one comes after.
    pub fn after_phases(mut self, phases: impl IntoIterator<Item = Phase>) -> Self {
        self.after_phases.extend(phases);
        self
    }

    /// Has the task hold so much of a resource while it runs.
    pub fn needing(mut self, resource: ResourceName, amount: u64) -> Self {
        self.needs.push((resource, amount));
        self
    }

    /// Says how others depend on the task.
    pub fn depended_on_as(self, dependency_type: DependencyType) -> Self {
        Self { dependency_type, ..self }
    }

    /// Sets the priority.
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Sets the estimated duration.
    pub fn taking(self, estimated_duration: Duration) -> Self {
        Self { estimated_duration, ..self }
    }

    /// Leaves the task out of start-up until it is first asked for.
    pub fn lazily(self) -> Self {
        Self { lazy: true, ..self }
    }

    /// Limits the time of one attempt.
    pub fn within(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Sets how many further attempts follow a failed one.
    pub fn retrying(self, retries: u32) -> Self {
        Self { retries, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_serialised_by_the_name_they_print_and_keep_their_order() {
        for phase in Phase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
        assert!(Phase::ALL.is_sorted());
        assert_eq!(serde_json::to_value(DependencyType::NonBlocking).unwrap(), "non_blocking");
    }
}
