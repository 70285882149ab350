//! [`outline`]: what of a report is shown, and in which order, whatever it is shown as.
//!
//! **Invariant.** Text and Markdown render the same blocks, so that they say the same.

use std::iter::once;

use phalanx_actors::inbox::Counts;
use serde_json::Value;

use super::{
    FailedTask, JournalSection, LostAgent, Outcome, RollbackSection, RunReport, routes,
    units::{brief, count, many, took},
};

/// How many rows of a table or list are shown; all of them are in the JSON report.
pub(super) const MAX_ROWS: usize = 20;

/// How something is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Odd,
    Bad,
}

impl Tone {
    /// Plain for zero.
    fn of(self, number: u64) -> Self {
        if number == 0 { Self::Plain } else { self }
    }
}

/// A part of the report as it is shown, its texts as they stand in the report.
#[derive(Debug)]
pub(crate) enum Block {
    Title { text: String, tone: Tone },
    Heading(String),
    Line(String),
    Table { columns: Vec<Column>, rows: Vec<(Vec<String>, Tone)> },
    List { items: Vec<String>, tone: Tone },
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Whether it holds figures, which stand to the right and are never cut.
    pub(crate) figures: bool,
}

/// A column of text, then columns of figures.
pub(crate) fn columns(text: &'static str, figures: impl IntoIterator<Item = &'static str>) -> Vec<Column> {
    let figures = figures.into_iter().map(|name| Column { name, figures: true });
    once(Column { name: text, figures: false }).chain(figures).collect()
}

impl From<Outcome> for Tone {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Good,
            Outcome::Failed => Self::Bad,
            Outcome::Interrupted => Self::Odd,
        }
    }
}

/// The report, block by block.
pub(super) fn outline(report: &RunReport) -> Vec<Block> {
    let mut blocks = Vec::new();
    title(report, &mut blocks);
    startup(report, &mut blocks);
    agents(report, &mut blocks);
    health(report, &mut blocks);
    messages(report, &mut blocks);
    tasks(report, &mut blocks);
    handlers(report, &mut blocks);
    notes(report, &mut blocks);
    blocks
}

fn number(number: usize) -> u64 {
    u64::try_from(number).expect("a count fits")
}

fn title(report: &RunReport, blocks: &mut Vec<Block>) {
    let how = match report.outcome {
        Outcome::Succeeded => "succeeded in",
        Outcome::Failed => "failed after",
        Outcome::Interrupted => "interrupted after",
    };
    let text = format!("{}: {how} {}", report.name, took(report.duration_us));
    blocks.push(Block::Title { text, tone: report.outcome.into() });
    if !report.description.is_empty() {
        blocks.push(Block::Line(report.description.clone()));
    }
    let time = if report.simulated { "virtual time, " } else { "" };
    let arbiters = many(number(report.arbiters), "arbiter", "arbiters");
    blocks.push(Block::Line(format!("{time}{arbiters}, seed {}", report.seed)));
    list(blocks, "Failures", report.failures.iter().cloned(), Tone::Bad);
}

/// A heading and a list, when there is something to list.
fn list(blocks: &mut Vec<Block>, heading: &str, items: impl ExactSizeIterator<Item = String>, tone: Tone) {
    let more = items.len().saturating_sub(MAX_ROWS);
    if items.len() == 0 {
        return;
    }
    if !heading.is_empty() {
        blocks.push(Block::Heading(heading.to_owned()));
    }
    blocks.push(Block::List { items: items.take(MAX_ROWS).collect(), tone });
    rest(blocks, more);
}

fn rest(blocks: &mut Vec<Block>, more: usize) {
    if more > 0 {
        blocks.push(Block::Line(format!("and {} more, all of them in the JSON report", count(number(more)))));
    }
}

fn table(blocks: &mut Vec<Block>, columns: Vec<Column>, mut rows: Vec<(Vec<String>, Tone)>) {
    let more = rows.len().saturating_sub(MAX_ROWS);
    rows.truncate(MAX_ROWS);
    if !rows.is_empty() {
        blocks.push(Block::Table { columns, rows });
        rest(blocks, more);
    }
}

fn failed(blocks: &mut Vec<Block>, what: &str, all: &[FailedTask]) {
    let item = |one: &FailedTask| format!("{what}{}: {}", one.task, one.reason);
    list(blocks, "", all.iter().map(item), Tone::Bad);
}

fn lost(blocks: &mut Vec<Block>, all: &[LostAgent]) {
    let item = |one: &LostAgent| format!("given up: {}: {}", one.agent, one.reason);
    list(blocks, "", all.iter().map(item), Tone::Bad);
}

fn startup(report: &RunReport, blocks: &mut Vec<Block>) {
    let Some(startup) = &report.startup else { return };
    blocks.push(Block::Heading("Start-up".to_owned()));
    blocks.push(Block::Line(format!("{} in {}", startup.outcome, took(startup.duration_us))));
    if let Some(RollbackSection { tasks, undone, failed, duration_us }) = startup.rollback.clone() {
        let [tasks, undone, failed] = [tasks, undone, failed].map(|tasks| count(number(tasks)));
        let not = if failed == "0" { String::new() } else { format!(", {failed} could not be undone") };
        let text = format!("rolled back: {undone} of {tasks} undone{not}, in {}", took(duration_us));
        blocks.push(Block::Line(text));
    }
    let when = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), took);
    let phases = startup.phases.iter().map(|phase| {
        let length = phase.started_us.zip(phase.ended_us).map(|(start, end)| end.saturating_sub(start));
        let tone = if phase.completed < phase.tasks { Tone::Bad } else { Tone::Plain };
        let tasks = [phase.tasks, phase.completed].map(|tasks| count(number(tasks)));
        let times = [phase.started_us, phase.ended_us, length].map(when);
        (once(phase.phase.clone()).chain(tasks).chain(times).collect(), tone)
    });
    table(blocks, columns("phase", ["tasks", "completed", "started", "ended", "took"]), phases.collect());
    let path = startup.critical_path.iter().map(|step| {
        let length = step.ended_us.saturating_sub(step.started_us);
        let times = [step.started_us, step.ended_us, length].map(took);
        (once(step.name.clone()).chain(times).collect(), Tone::Plain)
    });
    table(blocks, columns("critical path", ["started", "ended", "took"]), path.collect());
    failed(blocks, "", &startup.failed);
}

fn agents(report: &RunReport, blocks: &mut Vec<Block>) {
    let (registration, agents) = (&report.registration, &report.agents);
    blocks.push(Block::Heading("Agents".to_owned()));
    let refused = match registration.failed {
        0 => String::new(),
        refused => format!(", {} refused", count(refused)),
    };
    blocks.push(Block::Line(format!(
        "{} of {} registered in {}, which took {}{refused}",
        count(registration.completed),
        count(registration.requested),
        many(registration.batches, "batch", "batches"),
        took(registration.duration_us),
    )));
    if let Some(journal) = &registration.journal {
        self::journal(journal, blocks);
    }
    let kinds = agents.by_kind.iter();
    let kinds = kinds.map(|(kind, agents)| (vec![kind.clone(), count(number(*agents))], Tone::Plain));
    table(blocks, columns("kind", ["agents"]), kinds.collect());
    let mut happened =
        vec![many(agents.crashes, "crash", "crashes"), many(agents.restarts, "restart", "restarts")];
    if agents.killed > 0 {
        happened
            .push(format!("{} stopped before they had handled what they held", count(number(agents.killed))));
    }
    blocks.push(Block::Line(happened.join(", ")));
    lost(blocks, &agents.abandoned);
}

/// What the journal held before, and what was written.
fn journal(journal: &JournalSection, blocks: &mut Vec<Block>) {
    let agents = |agents| many(number(agents), "agent", "agents");
    blocks.push(Block::Line(format!(
        "the journal {} held {} and {} of {}",
        journal.file,
        agents(journal.recovered_agents),
        many(number(journal.recovered_requests), "request", "requests"),
        many(journal.runs, "earlier run", "earlier runs"),
    )));
    let mut wrote = format!(
        "{} in {} were written to it",
        many(journal.records, "record", "records"),
        many(journal.groups, "group", "groups")
    );
    if journal.refused > 0 {
        wrote = format!("{wrote}, {} could not be", count(journal.refused));
    }
    if !journal.closed {
        wrote = format!("{wrote}; it was not written to its end");
    }
    blocks.push(Block::Line(wrote));
    if journal.unreturned > 0 {
        let more = if journal.unreturned > journal.unreturned_first.len() { ", .." } else { "" };
        let first = journal.unreturned_first.join(", ");
        blocks.push(Block::Line(format!("{} did not return: {first}{more}", agents(journal.unreturned))));
    }
}

/// How the agents did; nothing where none was there.
fn health(report: &RunReport, blocks: &mut Vec<Block>) {
    let health = &report.health;
    if health.by_state.is_empty() {
        return;
    }
    blocks.push(Block::Heading("Health".to_owned()));
    let states = health.by_state.iter().map(|(state, agents)| format!("{} {state}", count(number(*agents))));
    let states: Vec<String> = states.collect();
    blocks.push(Block::Line(format!("{} when all was done", states.join(", "))));
    let figures: Vec<[u64; 6]> = health
        .worst
        .iter()
        .map(|one| {
            let [crashes, restarts, errors] = [one.crashes, one.restarts, one.errors].map(u64::from);
            [crashes, restarts, errors, one.rejected, one.dropped, one.expired]
        })
        .collect();
    let names = ["crashes", "restarts", "errors", "rejected", "dropped", "expired"];
    // What nobody lost needs no column.
    let shown: Vec<usize> = (0..6).filter(|at| *at < 3 || figures.iter().any(|row| row[*at] > 0)).collect();
    let rows = health.worst.iter().zip(&figures).map(|(one, figures)| {
        let state = if one.given_up { "given up" } else { &one.state };
        let figures = shown.iter().map(|at| brief(figures[*at]));
        let tone = if one.given_up || one.state == "failed" { Tone::Bad } else { Tone::Odd };
        (once(one.agent.clone()).chain(once(state.to_owned())).chain(figures).collect(), tone)
    });
    let heads = once("state").chain(shown.iter().map(|at| names[*at]));
    table(blocks, columns("agent", heads), rows.collect());
    let left_out = health.troubled.saturating_sub(health.worst.len());
    if left_out > 0 {
        let agents = many(number(left_out), "more agent", "more agents");
        blocks.push(Block::Line(format!("something happened to {agents}")));
    }
}

/// The columns of a ledger; those that are no success stand out when they are not zero.
pub(super) fn ledger(counts: &Counts) -> [(&'static str, u64, Tone); 7] {
    [
        ("sent", counts.sent, Tone::Plain),
        ("delivered", counts.delivered, Tone::Plain),
        ("rejected", counts.rejected, Tone::Odd),
        ("dropped", counts.dropped, Tone::Odd),
        ("expired", counts.expired, Tone::Odd),
        ("failed", counts.failed, Tone::Odd),
        ("pending", counts.pending, Tone::Bad),
    ]
}

fn messages(report: &RunReport, blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading("Messages".to_owned()));
    let row = |(name, messages, tone): (&str, u64, Tone)| {
        (vec![name.to_owned(), count(messages)], tone.of(messages))
    };
    table(blocks, columns("outcome", ["messages"]), ledger(&report.ledger).map(row).into());
    let reasons = report.reasons.iter().map(|(reason, messages)| format!("{reason} {}", count(*messages)));
    if !report.reasons.is_empty() {
        blocks.push(Block::Line(format!("reasons: {}", reasons.collect::<Vec<_>>().join(", "))));
    }
    if report.late_replies > 0 {
        blocks.push(Block::Line(format!("late replies: {}", count(report.late_replies))));
    }
    routes::ledgers(report, blocks);
    routes::batches(report, blocks);
}

fn tasks(report: &RunReport, blocks: &mut Vec<Block>) {
    let totals = &report.tasks.totals;
    blocks.push(Block::Heading("Tasks".to_owned()));
    blocks.push(Block::Line(format!(
        "{} in {}",
        many(number(totals.submitted), "task", "tasks"),
        took(report.tasks.duration_us),
    )));
    // Most manifests have one type of tasks, which says nothing.
    if report.tasks.by_type.len() > 1 {
        let types = report.tasks.by_type.iter().map(|(name, tasks)| format!("{name} {}", count(*tasks)));
        blocks.push(Block::Line(format!("types: {}", types.collect::<Vec<_>>().join(", "))));
    }
    let states = [
        ("completed", totals.completed, Tone::Plain),
        ("failed", totals.failed, Tone::Bad),
        ("cancelled", totals.cancelled, Tone::Odd),
        ("timed out", totals.timed_out, Tone::Bad),
        ("pending", totals.pending, Tone::Odd),
        ("queued", totals.queued, Tone::Odd),
        ("executing", totals.executing, Tone::Odd),
        ("waiting", totals.waiting, Tone::Odd),
    ];
    // The first four are how a task ends; the others are only there when a run was cut short.
    let shown = states.iter().enumerate().filter(|(at, (_, tasks, _))| *at < 4 || *tasks > 0);
    let rows = shown.map(|(_, (state, tasks, tone))| {
        (vec![(*state).to_owned(), count(number(*tasks))], tone.of(number(*tasks)))
    });
    table(blocks, columns("state", ["tasks"]), rows.collect());
    if totals.dispatched > 0 {
        let mut parts = vec![
            format!("dispatched {}", many(totals.dispatched, "time", "times")),
            many(totals.retried, "retry", "retries"),
            many(totals.stale, "stale answer", "stale answers"),
        ];
        if totals.completed > 0 {
            let average = u64::try_from(totals.average_latency.as_micros()).unwrap_or(u64::MAX);
            parts.push(format!("on average {} from submission to completion", took(average)));
        }
        blocks.push(Block::Line(parts.join(", ")));
    }
    failed(blocks, "", &report.tasks.not_completed);
    let results: Vec<String> =
        report.tasks.results.iter().flat_map(|(task, value)| facts(task, value)).collect();
    list(blocks, "Results", results.into_iter(), Tone::Plain);
}

/// What a task returned: a line for each part of an object, none for nothing, one for anything else.
fn facts(task: &str, value: &Value) -> Vec<String> {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Null => Vec::new(),
        Value::Object(parts) if !parts.is_empty() => {
            parts.iter().map(|(key, value)| format!("{task}, {key}: {}", plain(value))).collect()
        }
        value => vec![format!("{task}: {}", plain(value))],
    }
}

fn handlers(report: &RunReport, blocks: &mut Vec<Block>) {
    if report.handlers.is_empty() {
        return;
    }
    blocks.push(Block::Heading("Handlers of events".to_owned()));
    let rows = report.handlers.iter().map(|handler| {
        let figures = [handler.handled, handler.errors].map(count);
        (once(handler.name.clone()).chain(figures).collect(), Tone::Bad.of(handler.errors))
    });
    table(blocks, columns("handler", ["handled", "errors"]), rows.collect());
}

fn notes(report: &RunReport, blocks: &mut Vec<Block>) {
    list(blocks, "Notes", report.notes.iter().cloned(), Tone::Plain);
}
