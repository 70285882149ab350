//! The start-up tasks of a manifest, carried out by the host's initializer.

use std::sync::Arc;

use phalanx_actors::initializer::{self, Body, CancelStartUp, StartupOptions, StartupOutcome, StartupReport};

use super::{
    bodies,
    world::{Env, World},
};
use crate::{
    HostError,
    manifest::{OnFailure, StartupTask},
};

/// Carries out start-up, if there is any to do; when the run is told to stop, what has not started is left out.
pub(super) async fn carry_out(env: &Env) -> Result<Option<StartupReport>, HostError> {
    let startup = &env.world.manifest.startup;
    if startup.tasks.is_empty() {
        return Ok(None);
    }
    let options = StartupOptions {
        workers: startup.workers,
        phases: startup.phases,
        fail_fast: startup.on_failure == OnFailure::Abort,
        ..StartupOptions::default()
    };
    let tasks = startup.tasks.iter().map(|entry| task(&env.world, entry)).collect();
    let carried_out = env.host.start_up(tasks, options);
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

fn task(world: &Arc<World>, entry: &StartupTask) -> (initializer::StartupTask, Body) {
    let task = initializer::StartupTask {
        name: entry.name.clone(),
        ..initializer::StartupTask::new(entry.id.clone())
            .in_phase(entry.phase)
            .after(entry.depends_on.iter().cloned())
            .depended_on_as(entry.dependency)
            .with_priority(entry.priority)
            .taking(entry.estimate)
            .within(entry.timeout)
            .retrying(entry.retries)
    };
    (task, bodies::startup(world.clone(), entry.body.clone(), entry.estimate))
}
