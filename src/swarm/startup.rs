//! The start-up tasks of a manifest, carried out by the host's initializer.

use std::path::Path;

use phalanx_actors::initializer::{
    self, CancelStartUp, Estimates, OnFailure, Plan, QueryStartup, StartupOptions, StartupOutcome,
    StartupReport,
};

use super::{
    bodies, estimates,
    world::{Env, World},
};
use crate::{
    HostError,
    manifest::{Manifest, Startup, StartupTask},
};

/// Carries out start-up, if there is any to do; when the run is told to stop, what has not started is left out. Answers
/// also what it was planned with.
pub(super) async fn carry_out(env: &Env) -> Result<(Option<StartupReport>, Estimates), HostError> {
    let startup = &env.world.manifest.startup;
    if startup.tasks.is_empty() {
        return Ok((None, Estimates::default()));
    }
    let mut learned = learned(env);
    let planned_with = learned.as_ref().map(|(_, estimates)| estimates.clone()).unwrap_or_default();
    let body = |entry: &StartupTask| bodies::startup(&env.world, entry);
    let mut tasks: Vec<_> = startup.tasks.iter().map(task).collect();
    planned_with.apply(&mut tasks);
    let tasks = tasks.into_iter().zip(startup.tasks.iter().map(body)).collect();
    let carried_out = env.host.start_up(tasks, options(startup));
    tokio::pin!(carried_out);
    let report = tokio::select! {
        biased;
        report = &mut carried_out => report?,
        () = env.world.stop.asked() => {
            let initializer = &env.host.protocols().initializer;
            // What is being undone is undone to the end. Without an answer there is nothing left to cancel.
            let standing = initializer.send(QueryStartup).await.ok().flatten();
            if standing.is_none_or(|report| report.rollback.is_none()) {
                _ = initializer.send(CancelStartUp).await;
            }
            carried_out.await?
        }
    };
    if let Some((path, estimates)) = &mut learned {
        estimates.learn(&report);
        if let Err(error) = estimates::save(path, estimates) {
            env.world.tally.note(format!("how long start-up tasks took is not kept: {error}"));
        }
    }
    Ok((Some(report), planned_with))
}

/// What earlier runs took, and where it is kept, where the manifest says so. In virtual time tasks take what the manifest
/// estimates.
fn learned(env: &Env) -> Option<(&Path, Estimates)> {
    let path = env.world.manifest.startup.estimates.as_deref().filter(|_| !env.world.simulated)?;
    match estimates::load(path) {
        Ok(estimates) => Some((path, estimates)),
        Err(error) => {
            env.world.tally.note(format!("start-up is planned by the manifest alone: {error}"));
            None
        }
    }
}

/// Whether the run may go on after start-up ended so.
pub(super) fn lets_go_on(world: &World, report: &StartupReport) -> bool {
    match report.outcome {
        Some(StartupOutcome::Succeeded | StartupOutcome::Degraded) => true,
        Some(StartupOutcome::Failed) => world.manifest.startup.on_failure == OnFailure::Continue,
        Some(StartupOutcome::Cancelled) | None => false,
    }
}

fn options(startup: &Startup) -> StartupOptions {
    StartupOptions {
        workers: startup.workers,
        phases: startup.phases,
        resources: startup.resources.clone(),
        on_failure: startup.on_failure,
        ..StartupOptions::default()
    }
}

/// The plan of a manifest's start-up with what earlier runs took, and how it is carried out.
pub(crate) fn planned(manifest: &Manifest, learned: &Estimates) -> (Plan, StartupOptions) {
    let mut tasks: Vec<_> = manifest.startup.tasks.iter().map(task).collect();
    learned.apply(&mut tasks);
    let options = options(&manifest.startup);
    let plan = Plan::with_resources(tasks, &options.resources);
    (plan.expect("a checked manifest has a plan"), options)
}

fn task(entry: &StartupTask) -> initializer::StartupTask {
    initializer::StartupTask {
        name: entry.name.clone(),
        needs: entry.needs.iter().map(|(resource, amount)| (resource.clone(), *amount)).collect(),
        lazy: entry.lazy,
        ..initializer::StartupTask::new(entry.id.clone())
            .in_phase(entry.phase)
            .after(entry.depends_on.iter().cloned())
            .depended_on_as(entry.dependency)
            .with_priority(entry.priority)
            .taking(entry.estimate)
            .within(entry.timeout)
            .retrying(entry.retries)
            .after_phases(entry.after_phases.iter().copied())
    }
}
