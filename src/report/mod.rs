//! [`RunReport`]: what a run of a swarm did, in a stable form.
//!
//! The JSON form is the report serialised as it stands here; durations and points in time are whole microseconds since
//! the start of the host, and their keys end in `_us`. A key is added with a new minor schema, and changed or removed only
//! with a new major one.
//!
//! ```text
//! RunReport ──serde──> JSON (schema: `schema()`, described in docs/report.md)
//!     ├──outline──> blocks ──> text for a terminal, Markdown for a page
//!     └──picture──> chart of start-up, planned beside actual
//! ```
//!
//! It owns the form of the report and how it is shown. It never takes part in a run, and what it shows depends on the
//! report alone.
//!
//! **Invariant.** The report of a run that has ended has `ledger.pending = 0`, and its ledger balances.

pub(crate) mod gantt;
pub(crate) mod markdown;
pub(crate) mod outline;
mod picture;
mod routes;
#[cfg(test)]
pub(crate) mod sample;
mod schema;
pub(crate) mod text;
pub(crate) mod units;

use std::collections::BTreeMap;

use phalanx_actors::{coordinator::TaskMetrics, inbox::Counts};
use schemars::JsonSchema;
use serde::Serialize;

pub use routes::{BatchSection, RouteSection, SizeSection};
pub use schema::schema;
pub use text::WIDTH;

use crate::manifest::Palette;
use schema::{CountsShape, TaskMetricsShape};

/// The version of the report's form.
pub const SCHEMA: &str = "phalanx-report/1.3";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that was required completed.
    Succeeded,
    /// Something failed.
    Failed,
    /// It was interrupted, drained what it held, and stopped.
    Interrupted,
}

/// What a run of a swarm did.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunReport {
    /// The version of the report's form, [`SCHEMA`].
    pub schema: &'static str,
    /// The manifest's name.
    pub name: String,
    /// What the manifest says it is for; empty when it does not say.
    pub description: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not succeed, in sentences; empty when it did.
    pub failures: Vec<String>,
    /// Whether it ran in virtual time.
    pub simulated: bool,
    /// The seed of all randomness.
    pub seed: u64,
    /// How many arbiters there were.
    pub arbiters: usize,
    /// How long it took, on the host's clock \[us\].
    pub duration_us: u64,
    /// Start-up; none when the manifest names no start-up tasks.
    pub startup: Option<StartupSection>,
    /// Registration.
    pub registration: RegistrationSection,
    /// The agents.
    pub agents: AgentsSection,
    /// How the agents did when all was done, before they were told to stop.
    pub health: HealthSection,
    /// What became of every message.
    #[schemars(with = "CountsShape")]
    pub ledger: Counts,
    /// The same for each route, direct sends first, and its batches.
    pub routes: Vec<RouteSection>,
    /// Why messages were not delivered, those reasons that came up.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Answers that came after whoever asked had stopped waiting.
    pub late_replies: u64,
    /// The tasks.
    pub tasks: TasksSection,
    /// The handlers of events.
    pub handlers: Vec<HandlerSection>,
    /// What the reader should know: bodies that were simulated, faults that were injected.
    pub notes: Vec<String>,
}

impl RunReport {
    /// The report as JSON, indented, with a line break at the end.
    pub fn to_json(&self) -> String {
        let text =
            serde_json::to_string_pretty(self).expect("texts, numbers and maps by text have a JSON form");
        format!("{text}\n")
    }

    /// The report for people at a terminal, in at most [`WIDTH`] columns.
    pub fn to_text(&self, palette: Palette) -> String {
        text::render(&outline::outline(self), WIDTH, palette)
    }

    /// The report as a page of Markdown with GitHub's tables; the same content as [`RunReport::to_text`].
    pub fn to_markdown(&self) -> String {
        markdown::render(&outline::outline(self))
    }

    /// Start-up as a picture in SVG: a row for each task, when it ran, and below it when it was planned to.
    pub fn to_svg(&self) -> String {
        picture::chart(self).svg()
    }
}

/// Start-up.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StartupSection {
    /// How it ended: succeeded, degraded, failed, cancelled.
    pub outcome: String,
    /// How long it took \[us\].
    pub duration_us: u64,
    /// Its phases, in order, those that had tasks.
    pub phases: Vec<PhaseSection>,
    /// The chain of tasks that decided how long it took, in order.
    pub critical_path: Vec<StepSection>,
    /// The tasks that did not complete, or could not be undone, with the reason.
    pub failed: Vec<FailedTask>,
    /// What became of what had completed, where start-up was undone.
    pub rollback: Option<RollbackSection>,
    /// All tasks in the order of the manifest, planned beside actual.
    pub tasks: Vec<StartupTaskSection>,
}

/// How what had completed was undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RollbackSection {
    /// How many tasks there were to undo.
    pub tasks: usize,
    /// How many of them were undone.
    pub undone: usize,
    /// How many of them could not be undone.
    pub failed: usize,
    /// How long that took \[us\].
    pub duration_us: u64,
}

/// One start-up task, planned beside actual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StartupTaskSection {
    /// The task.
    pub task: String,
    /// Its name for people, which is its id unless the manifest gives it one.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Where it stands: `completed`, `failed`, `timed_out`, `skipped`, `cancelled`, `rolled_back`, `not_rolled_back`, `dormant`,
    /// or what it is doing still.
    pub status: String,
    /// When it was to start by the plan \[us\]; none of a lazy one.
    pub planned_start_us: Option<u64>,
    /// When it was to end by the plan \[us\]; none of a lazy one.
    pub planned_end_us: Option<u64>,
    /// When it started \[us\]; none if it did not.
    pub started_us: Option<u64>,
    /// When it ended \[us\]; none if it did not.
    pub ended_us: Option<u64>,
    /// When it was undone, or could not be \[us\]; none if neither.
    pub rolled_back_us: Option<u64>,
}

/// One phase of start-up.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PhaseSection {
    /// Its name.
    pub phase: String,
    /// How many tasks it has.
    pub tasks: usize,
    /// How many of them completed.
    pub completed: usize,
    /// When its first task started \[us\]; none when none did.
    pub started_us: Option<u64>,
    /// When its last task ended \[us\].
    pub ended_us: Option<u64>,
}

/// A task on the critical path.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StepSection {
    /// The task.
    pub task: String,
    /// Its name for people, which is its id unless the manifest gives it one.
    pub name: String,
    /// When it started \[us\].
    pub started_us: u64,
    /// When it ended \[us\].
    pub ended_us: u64,
}

/// A task that did not complete.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FailedTask {
    /// The task.
    pub task: String,
    /// Why.
    pub reason: String,
}

/// Registration.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct RegistrationSection {
    /// How many agents asked.
    pub requested: u64,
    /// How many were registered.
    pub completed: u64,
    /// How many were refused.
    pub failed: u64,
    /// In how many batches.
    pub batches: u64,
    /// How long it took from the first request to the last answer \[us\].
    pub duration_us: u64,
    /// How the journal stands at the end, when one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalSection>,
}

/// The journal of registration.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct JournalSection {
    /// The file.
    pub file: String,
    /// How often it had been opened before this run.
    pub runs: u64,
    /// How many agents were registered when the last of these runs was broken off.
    pub recovered_agents: usize,
    /// How many requests that had ended were still known by their numbers.
    pub recovered_requests: usize,
    /// How many of the recovered agents were not registered again.
    pub unreturned: usize,
    /// The first 20 of them, by id.
    pub unreturned_first: Vec<String>,
    /// How many records this run wrote.
    pub records: u64,
    /// How many groups they made, each a transaction and a sync of its own.
    pub groups: u64,
    /// How many records could not be written.
    pub refused: u64,
    /// Whether it was written to its end.
    pub closed: bool,
}

/// The agents.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct AgentsSection {
    /// How many there were, by kind.
    pub by_kind: BTreeMap<String, usize>,
    /// How often agents panicked or were ended by their group.
    pub crashes: u64,
    /// How often an agent was restarted in place.
    pub restarts: u64,
    /// Agents that were given up, with the reason.
    pub abandoned: Vec<LostAgent>,
    /// How many had to be stopped before they had handled what they held.
    pub killed: usize,
}

/// An agent that was given up.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LostAgent {
    /// The agent.
    pub agent: String,
    /// Why.
    pub reason: String,
}

/// How the agents did when all was done, before they were told to stop.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct HealthSection {
    /// How many agents were in each state, those states that came up.
    pub by_state: BTreeMap<String, usize>,
    /// How many agents something happened to.
    pub troubled: usize,
    /// Those that fared worst, the worst first: the first twenty.
    pub worst: Vec<TroubledAgent>,
}

/// An agent that something happened to. What it lost are messages.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TroubledAgent {
    /// The agent.
    pub agent: String,
    /// Its state: starting, healthy, degraded, suspected, failed, stopped.
    pub state: String,
    /// Since when it was in this state \[us\].
    pub since_us: u64,
    /// Whether it was given up.
    pub given_up: bool,
    /// How often it panicked or was ended by its group.
    pub crashes: u32,
    /// How often it was restarted in place.
    pub restarts: u32,
    /// How many error alerts were about it, crashes included.
    pub errors: u32,
    /// How many messages its full inbox refused.
    pub rejected: u64,
    /// How many messages its overflow policy let go.
    pub dropped: u64,
    /// How many messages were overdue before it could handle them.
    pub expired: u64,
}

/// The tasks.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TasksSection {
    /// The totals.
    #[serde(flatten)]
    #[schemars(with = "TaskMetricsShape")]
    pub totals: TaskMetrics,
    /// How many were submitted, by their type.
    pub by_type: BTreeMap<&'static str, u64>,
    /// The tasks that did not complete, with the reason: the first hundred.
    pub not_completed: Vec<FailedTask>,
    /// What the tasks returned that no other task depends on: the first hundred.
    pub results: BTreeMap<String, serde_json::Value>,
    /// How long the tasks took from the first submission to the last end \[us\].
    pub duration_us: u64,
}

/// One handler of events.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HandlerSection {
    /// Its name.
    pub name: String,
    /// How many events it handled.
    pub handled: u64,
    /// How often it failed.
    pub errors: u64,
}
