//! From what a run came to, to its [`RunReport`].

use std::collections::BTreeMap;

use phalanx_actors::{
    agent::{TaskId, Timestamp},
    initializer::{Estimates, Schedule, StartupOutcome, StartupReport, StartupStatus},
    monitor::HealthSummary,
};
use serde_json::Value;

use super::{
    conduct::{Course, Tasks},
    startup,
    world::World,
};
use crate::{
    host::{HostReport, JournalReport},
    report::{
        AgentsSection, FailedTask, HealthSection, JournalSection, Outcome, PhaseSection, RollbackSection,
        RouteSection, RunReport, SCHEMA, StartupSection, StartupTaskSection, StepSection, TasksSection,
        TroubledAgent,
    },
};

/// The report of a run that was shut down.
pub(super) fn report(
    world: &World,
    course: Course,
    tasks: Tasks,
    host: HostReport,
    (seed, arbiters): (u64, usize),
) -> RunReport {
    let Course { startup, estimates, mut registration, fed, interrupted, handlers } = course;
    // Lazy tasks may have run since.
    let startup = startup.map(|then| host.startup.clone().unwrap_or(then));
    let mut failures = Vec::new();
    failures.extend(startup.iter().flat_map(|startup| startup_failures(world, startup)));
    failures.extend(fed.failures);
    let tasks = tasks_section(world, tasks, fed.by_type, &mut failures);
    let (handlers, unwritten) = handlers.end(world);
    failures.extend(unwritten);
    if let Some(shed) =
        host.monitor.as_ref().map(|status| status.shed.iter().sum::<u64>()).filter(|shed| *shed > 0)
    {
        world.tally.note(format!("the handlers missed {shed} events: they were slower than these came"));
    }
    if let Some(refused) =
        host.monitor.as_ref().map(|status| status.refused.iter().sum::<u64>()).filter(|refused| *refused > 0)
    {
        world.tally.note(format!("{refused} events were refused: too many were on their way to the monitor"));
    }
    if host.blocked > 0 {
        let blocked = host.blocked;
        world.tally.note(format!("{blocked} arbiters did not stop: an agent blocks their threads"));
    }
    for (agent, topic, count) in world.heard() {
        world.tally.note(format!("{agent} heard {count} notices on {topic}"));
    }
    let figures = world.tally.read().clone();
    failures.extend(
        figures
            .abandoned
            .iter()
            .map(|given_up| format!("agent {} was given up: {}", given_up.agent, given_up.reason)),
    );
    if !host.ledger.balances() || host.ledger.pending != 0 {
        failures.push(format!("the ledger does not balance: {:?}", host.ledger));
    }
    let outcome = match (interrupted, failures.is_empty()) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::Succeeded,
        (false, false) => Outcome::Failed,
    };
    registration.journal = host.journal.map(journal_section);
    let mut by_kind = BTreeMap::new();
    if registration.completed > 0 {
        for entry in &world.manifest.agents {
            let count = usize::try_from(entry.count).unwrap_or(usize::MAX);
            *by_kind.entry(entry.behaviour.kind().to_string()).or_insert(0) += count;
        }
    }
    RunReport {
        schema: SCHEMA,
        name: world.manifest.name.clone(),
        description: world.manifest.description.clone(),
        outcome,
        failures,
        simulated: world.simulated,
        seed,
        arbiters,
        duration_us: host.at.micros(),
        startup: startup.map(|startup| startup_section(world, startup, &estimates)),
        registration,
        agents: AgentsSection {
            by_kind,
            crashes: figures.crashes,
            restarts: figures.restarts,
            abandoned: figures.abandoned,
            killed: host.killed,
        },
        health: host.health.map(health_section).unwrap_or_default(),
        ledger: host.ledger,
        routes: host.routes.into_iter().map(RouteSection::from).collect(),
        reasons: host.reasons,
        late_replies: host.late_replies,
        tasks,
        handlers,
        notes: figures.notes,
    }
}

fn journal_section(journal: JournalReport) -> JournalSection {
    JournalSection {
        file: journal.file.display().to_string(),
        runs: journal.runs,
        recovered_agents: journal.recovered_agents,
        recovered_requests: journal.recovered_requests,
        unreturned: journal.unreturned,
        unreturned_first: journal.unreturned_first.iter().map(ToString::to_string).collect(),
        records: journal.records,
        groups: journal.groups,
        refused: journal.refused,
        closed: journal.closed,
    }
}

fn health_section(summary: HealthSummary) -> HealthSection {
    let HealthSummary { counts, worst, troubled } = summary;
    HealthSection {
        by_state: counts.into_iter().map(|(health, agents)| (health.to_string(), agents)).collect(),
        troubled,
        worst: worst
            .into_iter()
            .map(|(agent, known)| TroubledAgent {
                agent: agent.to_string(),
                state: known.health.to_string(),
                since_us: known.since.micros(),
                given_up: known.abandoned,
                crashes: known.panics,
                restarts: known.restarts,
                errors: known.errors,
                rejected: known.rejected,
                dropped: known.dropped,
                expired: known.expired,
            })
            .collect(),
    }
}

/// The required tasks that did not complete, without those that were only skipped because of them.
fn startup_failures(world: &World, report: &StartupReport) -> Vec<String> {
    if report.outcome != Some(StartupOutcome::Failed) {
        return Vec::new();
    }
    let failed = report
        .tasks
        .iter()
        .filter(|task| matches!(task.status, StartupStatus::Failed | StartupStatus::TimedOut));
    failed
        .map(|task| {
            let why = task.fault.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("start-up task {} failed: {why}", name(world, &task.task))
        })
        .collect()
}

/// The name for people of a start-up task.
fn name(world: &World, id: &TaskId) -> String {
    let task = world.manifest.startup.tasks.iter().find(|task| task.id == *id);
    task.map_or_else(|| id.to_string(), |task| task.name.clone())
}

fn startup_section(world: &World, report: StartupReport, estimates: &Estimates) -> StartupSection {
    let ended = report.ended.unwrap_or(report.began);
    let tasks = startup_tasks(world, &report, estimates);
    let mut steps = report.executed_path;
    steps.retain(|step| step.started <= step.until);
    StartupSection {
        outcome: word(&report.outcome),
        duration_us: ended.micros() - report.began.micros(),
        phases: report
            .phases
            .into_iter()
            .map(|phase| PhaseSection {
                phase: phase.phase.to_string(),
                tasks: phase.tasks,
                completed: phase.completed,
                started_us: phase.started.map(Timestamp::micros),
                ended_us: phase.ended.map(Timestamp::micros),
            })
            .collect(),
        critical_path: steps
            .into_iter()
            .map(|step| StepSection {
                name: name(world, &step.task),
                task: step.task.to_string(),
                started_us: step.started.micros(),
                ended_us: step.until.micros(),
            })
            .collect(),
        failed: report
            .tasks
            .into_iter()
            .filter(|task| !went_well(task.status))
            .map(|task| FailedTask {
                task: task.task.to_string(),
                reason: task.fault.map_or_else(|| word(&task.status), |fault| fault.to_string()),
            })
            .collect(),
        rollback: report.rollback.map(|rollback| RollbackSection {
            tasks: rollback.tasks,
            undone: rollback.undone,
            failed: rollback.failed,
            duration_us: rollback.ended.unwrap_or(rollback.began).micros() - rollback.began.micros(),
        }),
        tasks,
    }
}

/// Whether a task did all that was wanted of it.
fn went_well(status: StartupStatus) -> bool {
    matches!(status, StartupStatus::Dormant | StartupStatus::Completed | StartupStatus::RolledBack)
}

/// All start-up tasks, planned by what was known before the run.
fn startup_tasks(world: &World, report: &StartupReport, estimates: &Estimates) -> Vec<StartupTaskSection> {
    let (plan, options) = startup::planned(&world.manifest, estimates);
    let schedule = Schedule::of(&plan.refined(&options), options);
    let began = report.began;
    let mut sections: Vec<StartupTaskSection> = report
        .tasks
        .iter()
        .zip(&world.manifest.startup.tasks)
        .map(|(task, entry)| StartupTaskSection {
            task: task.task.to_string(),
            name: entry.name.clone(),
            phase: task.phase.to_string(),
            status: word(&task.status),
            planned_start_us: None,
            planned_end_us: None,
            started_us: task.started.map(Timestamp::micros),
            ended_us: task.ended.map(Timestamp::micros),
            rolled_back_us: task.rolled_back.map(Timestamp::micros),
        })
        .collect();
    for slice in schedule.slices() {
        if let Some(section) = sections.get_mut(slice.task) {
            section.planned_start_us = Some(began.plus(slice.start).micros());
            section.planned_end_us = Some(began.plus(slice.end).micros());
        }
    }
    sections
}

fn tasks_section(
    world: &World,
    tasks: Tasks,
    by_type: BTreeMap<&'static str, u64>,
    failures: &mut Vec<String>,
) -> TasksSection {
    let Tasks { metrics, leaves } = tasks;
    let figures = world.tally.read();
    let not_completed = metrics.failed + metrics.timed_out + metrics.cancelled;
    // Where one task failed because of another, that one says why.
    if let Some(first) = figures.failed_first.as_ref().or(figures.failed_tasks.first()) {
        let (of, FailedTask { task, reason }) = (metrics.submitted, first);
        failures.push(format!("{not_completed} of {of} tasks did not complete, the first {task}: {reason}"));
    }
    let duration = metrics.first_submitted.zip(figures.last_end).map(|(first, last)| last.since(first));
    TasksSection {
        totals: metrics,
        by_type,
        not_completed: figures.failed_tasks.clone(),
        results: leaves
            .into_iter()
            .filter_map(|task| Some((task.task.to_string(), Value::clone(task.result.as_deref()?))))
            .collect(),
        duration_us: duration.and_then(|time| u64::try_from(time.as_micros()).ok()).unwrap_or_default(),
    }
}

/// The word by which something is serialised.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}
