//! The start-up tasks of a manifest, carried out by the host's initializer.

use phalanx_actors::initializer::{self, CancelStartUp, Plan, StartupOptions, StartupOutcome, StartupReport};

use super::{
    bodies,
    world::{Env, World},
};
use crate::{
    HostError,
    manifest::{Manifest, OnFailure, Startup, StartupTask},
};

/// Carries out start-up, if there is any to do; when the run is told to stop, what has not started is left out.
pub(super) async fn carry_out(env: &Env) -> Result<Option<StartupReport>, HostError> {
    let startup = &env.world.manifest.startup;
    if startup.tasks.is_empty() {
        return Ok(None);
    }
    let body = |entry: &StartupTask| bodies::startup(env.world.clone(), entry.body.clone(), entry.estimate);
    let tasks = startup.tasks.iter().map(|entry| (task(entry), body(entry))).collect();
    let carried_out = env.host.start_up(tasks, options(startup));
    tokio::pin!(carried_out);
    tokio::select! {
        biased;
        report = &mut carried_out => return report.map(Some),
        () = env.world.stop.asked() => {}
    }
    // Without an answer there is nothing left to cancel.
    _ = env.host.protocols().initializer.send(CancelStartUp).await;
    carried_out.await.map(Some)
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
        fail_fast: startup.on_failure == OnFailure::Abort,
        ..StartupOptions::default()
    }
}

/// The plan of a manifest's start-up, and how it is carried out.
pub(crate) fn planned(manifest: &Manifest) -> (Plan, StartupOptions) {
    let tasks = manifest.startup.tasks.iter().map(task).collect();
    let options = options(&manifest.startup);
    let plan = Plan::with_resources(tasks, &options.resources);
    (plan.expect("a checked manifest has a plan"), options)
}

fn task(entry: &StartupTask) -> initializer::StartupTask {
    initializer::StartupTask {
        name: entry.name.clone(),
        needs: entry.needs.iter().map(|(resource, amount)| (resource.clone(), *amount)).collect(),
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
