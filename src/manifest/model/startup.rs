//! [`Startup`]: the tasks that run before the first agent.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use phalanx_actors::{
    agent::{Priority, ResourceName, TaskId},
    initializer::{DependencyType, OnFailure, Phase, PhaseMode},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::Body;
use crate::manifest::{
    decode::{At, Decode, Decoder, Fields, Spanned},
    fault::Code,
    marks::{StartupMark, section},
    schema::{Amount, DurationText, NameText, PriorityWord, StartupBody},
    values::{Amounts, Line, Positive, write_duration},
};

/// The tasks that run before the first agent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Startup {
    /// How many tasks run at the same time, 1 to 1024. Default: 8.
    #[schemars(range(min = 1, max = 1024))]
    pub workers: usize,
    /// What the phases order. Default: labels.
    pub phases: PhaseMode,
    /// What happens when a required task fails: `continue` lets the run go on as well. Default: abort.
    pub on_failure: OnFailure,
    /// How much there is of each resource that the tasks share, in whole units of your choice, by its name. Default: none.
    #[schemars(with = "BTreeMap<NameText, Amount>")]
    pub resources: BTreeMap<ResourceName, u64>,
    /// A file in which it is kept how long the tasks take, so that the next run plans with that instead of the estimates
    /// here; in simulated time it is left alone. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimates: Option<PathBuf>,
    /// The tasks. Default: none.
    pub tasks: Vec<StartupTask>,
}

impl Default for Startup {
    fn default() -> Self {
        Self {
            workers: 8,
            phases: PhaseMode::Labels,
            on_failure: OnFailure::Abort,
            resources: BTreeMap::new(),
            estimates: None,
            tasks: Vec::new(),
        }
    }
}

/// A task that runs before the first agent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StartupTask {
    /// Its id, unlike that of any other start-up task.
    #[schemars(with = "NameText")]
    pub id: TaskId,
    /// Its name for people. Default: its id.
    #[schemars(with = "Option<String>")]
    pub name: String,
    /// Its phase. Default: `core_initialization`.
    #[schemars(default = "core")]
    pub phase: Phase,
    /// The ids of the start-up tasks that end before it starts. Default: none.
    #[schemars(default, with = "Vec<NameText>")]
    pub depends_on: Vec<TaskId>,
    /// The earlier phases that it waits for, without naming their tasks. Default: none.
    #[schemars(default)]
    pub after_phases: Vec<Phase>,
    /// How much it holds of which resource while it runs, by the name of the resource. Default: none.
    #[schemars(default, with = "BTreeMap<NameText, Amount>")]
    pub needs: BTreeMap<ResourceName, u64>,
    /// What it means to those that depend on it. Default: required.
    #[schemars(default = "required")]
    pub dependency: DependencyType,
    /// Which of several ready tasks starts first, low (1) to critical (5). Default: normal.
    #[schemars(default, with = "PriorityWord")]
    pub priority: Priority,
    /// How long it is expected to take; in simulated time it takes exactly that, unless it sleeps for a time of its own. Default:
    /// 1s.
    #[schemars(default = "one_second", with = "DurationText")]
    #[serde(serialize_with = "write_duration")]
    pub estimate: Duration,
    /// How long one try may take. Default: 30s.
    #[schemars(default = "thirty_seconds", with = "DurationText")]
    #[serde(serialize_with = "write_duration")]
    pub timeout: Duration,
    /// How often it is tried again after a failure, 0 to 100. Default: 0.
    #[schemars(default, range(max = 100))]
    pub retries: u32,
    /// Whether it is left out of start-up and runs when a task first uses it; one that others wait for is not left out.
    /// Default: false.
    #[schemars(default)]
    pub lazy: bool,
    /// What it does: `run`, `wait_for_port`, `wait_for_http`, `wait_for_file`, `read_file` or `sleep`.
    #[serde(rename = "do")]
    #[schemars(with = "StartupBody")]
    pub body: Body,
    /// What undoes it once it completed, where `on_failure` is `rollback` and start-up fails or is told to stop. It has the
    /// time and the tries of the task. Default: nothing.
    #[schemars(with = "Option<StartupBody>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<Body>,
}

fn core() -> Phase {
    Phase::CoreInitialization
}

fn required() -> DependencyType {
    DependencyType::Required
}

pub(super) fn one_second() -> Duration {
    Duration::from_secs(1)
}

pub(super) fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

impl Decode for Startup {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`startup`")?;
        let defaults = Self::default();
        let workers = fields.integer(cx, "workers", (1, 1024), defaults.workers);
        let phases = fields.or(cx, "phases", defaults.phases);
        let on_failure = fields.or(cx, "on_failure", defaults.on_failure);
        let written = fields.entries("resources");
        let resources = fields.or::<Amounts>(cx, "resources", Amounts::default());
        cx.marks.resources = resources.clone().unwrap_or_default().0;
        if cx.marks.resources.len() < written {
            cx.marks.incomplete.push(section::RESOURCES);
        }
        let estimates = fields.optional(cx, "estimates");
        let tasks = fields.or(cx, "tasks", Vec::new());
        fields.close(cx);
        if on_failure.is_some_and(|on_failure| on_failure != OnFailure::Rollback) {
            for span in std::mem::take(&mut cx.marks.undos) {
                let help = "set \"on_failure\" of `startup` to \"rollback\", or remove it";
                cx.fault(Code::Conflict, span, "`undo` has no effect where nothing is rolled back", help);
            }
        }
        Some(Self {
            workers: workers?,
            phases: phases?,
            on_failure: on_failure?,
            resources: resources?.plain(),
            estimates: estimates?,
            tasks: tasks?,
        })
    }
}

impl Decode for StartupTask {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "a start-up task")?;
        let id = fields.required::<Spanned<TaskId>>(cx, "id", "\"config\"");
        let name = fields.optional::<Line>(cx, "name");
        let phase = fields.or(cx, "phase", core());
        let depends_on = fields.or::<Vec<Spanned<TaskId>>>(cx, "depends_on", Vec::new());
        let after_phases = fields.or::<Vec<Spanned<Phase>>>(cx, "after_phases", Vec::new());
        let needs = fields.or::<Amounts>(cx, "needs", Amounts::default());
        let dependency = fields.or(cx, "dependency", required());
        let priority = fields.or(cx, "priority", Priority::Normal);
        let estimate = fields.or(cx, "estimate", one_second());
        let timeout = fields.or(cx, "timeout", Positive(thirty_seconds()));
        let retries = fields.integer(cx, "retries", (0, 100), 0);
        let body = fields
            .must(cx, "do", "{\"sleep\": {\"for\": \"1s\"}}")
            .and_then(|at| Body::read(cx, at, &Body::STARTUP_KEYS));
        let undo = match fields.take("undo") {
            Some(at) => Body::read(cx, at, &Body::STARTUP_KEYS).map(|undo| Some((undo, at.span()))),
            None => Some(None),
        };
        let lazy = fields.or(cx, "lazy", false);
        fields.close(cx);
        let depends_on = depends_on.unwrap_or_default();
        cx.distinct(&depends_on, "depends_on");
        let after_phases = after_phases.unwrap_or_default();
        cx.distinct(&after_phases, "after_phases");
        let needs = needs.unwrap_or_default();
        let undo_span = undo.iter().flatten().map(|(_, span)| span.clone()).next();
        cx.marks.undos.extend(undo_span);
        match &id {
            Some(id) => cx.marks.startup.push(StartupMark {
                id: id.clone(),
                phase,
                depends_on: depends_on.clone(),
                after_phases: after_phases.clone(),
                needs: needs.0.clone(),
                lazy: lazy.unwrap_or_default(),
                waited_for: dependency.is_none_or(DependencyType::waited_for),
                outside: body.as_ref().map(|(_, outside)| outside.clone()).unwrap_or_default(),
            }),
            None => cx.marks.incomplete.push(section::STARTUP),
        }
        let id = id?.value;
        Some(Self {
            name: name?.map_or_else(|| id.to_string(), |line| line.0),
            id,
            phase: phase?,
            depends_on: depends_on.into_iter().map(|on| on.value).collect(),
            after_phases: after_phases.into_iter().map(|phase| phase.value).collect(),
            needs: needs.plain(),
            dependency: dependency?,
            priority: priority?,
            estimate: estimate?,
            timeout: timeout?.0,
            retries: retries?,
            lazy: lazy?,
            body: body?.0,
            undo: undo?.map(|((undo, _), _)| undo),
        })
    }
}
