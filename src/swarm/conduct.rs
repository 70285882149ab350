//! The course of a run, from the first start-up task to the report.

use std::{sync::Arc, time::Duration};

use phalanx_actors::{
    agent::{AgentId, Timestamp},
    coordinator::{CancelAll, GraphOptions, QueryTask, QueryTasks, TaskMetrics, TaskReport, Unserved},
    initializer::{Estimates, StartupReport},
    monitor::MonitorOptions,
    registrar::QueryRoster,
    router,
};

use super::{
    RunError, agents,
    faults::Faults,
    feed::{self, Fed},
    handlers::Handlers,
    reporter::{Listener, Reporter, tell_notes},
    startup, subscriptions, summary,
    trace::Trace,
    world::{Env, World},
};
use crate::{
    Host, HostBuilder, HostError,
    manifest::{Behaviour, Heartbeat},
    report::{RegistrationSection, RunReport},
};

/// How long agents may take to handle what they hold when all is done.
const DRAIN: Duration = Duration::from_secs(30);

/// The same when the run was told to stop.
const DRAIN_STOPPED: Duration = Duration::from_secs(10);

/// How many events may wait for the handlers: a manifest's should miss none.
const BACKLOG: usize = 1 << 16;

/// What a run has come to before it is shut down.
#[derive(Default)]
pub(super) struct Course {
    pub(super) startup: Option<StartupReport>,
    /// What start-up was planned with.
    pub(super) estimates: Estimates,
    pub(super) registration: RegistrationSection,
    pub(super) fed: Fed,
    pub(super) interrupted: bool,
    pub(super) handlers: Handlers,
}

/// What is asked of the coordinator before it is gone.
pub(super) struct Tasks {
    pub(super) metrics: TaskMetrics,
    pub(super) leaves: Vec<TaskReport>,
}

/// Runs a swarm on a host of its own.
pub(super) async fn conduct(
    world: Arc<World>,
    seed: u64,
    arbiters: usize,
    trace: Trace,
    listener: Listener,
) -> Result<RunReport, RunError> {
    let host = journaled(&world, builder(&world, seed, arbiters, trace.clone()))?.start().await?;
    let env = Env { world, host };
    let reporter = Reporter::start(env.clone(), listener);
    let course = course(&env).await;
    let mut listener = reporter.end().await;
    let course = match course {
        Ok(course) => course,
        Err(error) => {
            env.host.shutdown(DRAIN_STOPPED).await;
            return Err(error);
        }
    };
    let tasks = tasks(&env, &course).await;
    let within = if course.interrupted { DRAIN_STOPPED } else { DRAIN };
    let host = env.host.shutdown(within).await;
    let report = summary::report(&env.world, course, tasks, host, (seed, arbiters));
    if let Some(listener) = &mut listener {
        tell_notes(&env.world, listener);
    }
    match trace.end() {
        Ok(()) => Ok(report),
        Err((written, source)) => Err(RunError::Trace { written, source, report: Box::new(report) }),
    }
}

fn builder(world: &Arc<World>, seed: u64, arbiters: usize, trace: Trace) -> HostBuilder {
    let tally = world.tally.clone();
    let tasks = GraphOptions {
        max_concurrent: Some(world.manifest.coordinator.max_concurrent),
        // All agents are enrolled before the first task is submitted, and no other ones come.
        unserved: Unserved::Cancel,
        // Whatever is asked for later is kept.
        history: 0,
        ..GraphOptions::default()
    };
    let monitor = MonitorOptions {
        backlog: BACKLOG,
        sample_every: Some(world.manifest.monitor.sample_every),
        ..MonitorOptions::default()
    };
    let builder = Host::builder()
        .registration(agents::registration(&world.manifest))
        .tasks(tasks)
        .monitor(monitor)
        .tap(move |event| {
            trace.write(event);
            tally.observe(event);
        });
    let builder = match &world.manifest.heartbeat {
        Some(Heartbeat { every, inactive_after }) => {
            builder.heartbeat(router::Heartbeat { every: *every, inactive_after: *inactive_after })
        }
        None => builder,
    };
    if world.simulated { builder.simulated(seed) } else { builder.arbiters(arbiters).seed(seed) }
}

/// The host keeps the journal that the manifest names, but not in virtual time, in which nothing outside is touched.
#[cfg_attr(
    feature = "journal",
    expect(clippy::unnecessary_wraps, reason = "without the feature it is refused")
)]
fn journaled(world: &World, builder: HostBuilder) -> Result<HostBuilder, HostError> {
    match world.manifest.registration.journal.as_deref().filter(|_| !world.simulated) {
        None => Ok(builder),
        #[cfg(feature = "journal")]
        Some(path) => Ok(builder.journal(path)),
        #[cfg(not(feature = "journal"))]
        Some(_) => Err(HostError::NoJournals),
    }
}

async fn course(env: &Env) -> Result<Course, RunError> {
    let (world, host) = (&env.world, &env.host);
    let mut course = Course { handlers: Handlers::add(world, host).await?, ..Course::default() };
    (course.startup, course.estimates) = startup::carry_out(env).await?;
    if course.startup.as_ref().is_some_and(|report| !startup::lets_go_on(world, report)) {
        course.interrupted = world.stop.is_asked();
        return Ok(course);
    }
    if world.stop.is_asked() {
        course.interrupted = true;
        return Ok(course);
    }
    let began = host.now();
    agents::make_groups(env).await?;
    agents::spawn_all(env).await?;
    course.registration = registration(host, began).await?;
    let later = subscriptions::subscribe_all(env).await?;
    let mut faults = Faults::plan(env).await;
    tokio::select! {
        biased;
        () = world.stop.asked() => course.interrupted = true,
        fed = work(env, &mut faults) => course.fed = fed?,
    }
    if course.interrupted {
        world.tally.drain();
        cancel_all(host, "the run was told to stop".to_owned()).await?;
    }
    faults.end(env).await;
    later.end(env);
    Ok(course)
}

/// Has all tasks done; without tasks, waits for tickers and planned faults.
async fn work(env: &Env, faults: &mut Faults) -> Result<Fed, HostError> {
    let (world, host) = (&env.world, &env.host);
    if world.manifest.tasks.is_empty() {
        tick(world).await;
        faults.timed().await;
        return Ok(Fed::default());
    }
    let fed = feed::feed(world, host).await?;
    host.tasks().await?;
    Ok(fed)
}

/// Waits until every ticker has ticked for the last time, or is no more.
async fn tick(world: &World) {
    let mut tickers: Vec<AgentId> = Vec::new();
    for entry in &world.manifest.agents {
        if let Behaviour::Ticker(ticker) = &entry.behaviour {
            tickers.extend(entry.id.ids());
            if ticker.limit.is_none() {
                let ids = entry.id.as_str();
                world.tally.note(format!(
                    "{ids} has no limit, and there are no tasks: the run goes on until it is stopped"
                ));
            }
        }
    }
    let ended = |figures: &super::tally::Figures| {
        tickers.iter().all(|ticker| figures.ticked_out.contains(ticker) || figures.gone.contains(ticker))
    };
    world.tally.until(ended).await;
}

async fn cancel_all(host: &Host, because: String) -> Result<(), HostError> {
    let cancelled = host.protocols().coordinator.send(CancelAll { because }).await;
    cancelled.map(drop).map_err(|_| HostError::NoAnswer("coordinator"))
}

async fn metrics(host: &Host) -> TaskMetrics {
    let totals = host.protocols().coordinator.send(QueryTasks).await;
    totals.map(|totals| totals.metrics).unwrap_or_default()
}

async fn registration(host: &Host, began: Timestamp) -> Result<RegistrationSection, HostError> {
    let roster = host.protocols().registrar.send(QueryRoster).await;
    let roster = roster.map_err(|_| HostError::NoAnswer("registrar"))?;
    Ok(RegistrationSection {
        requested: roster.completed + roster.failed + roster.cancelled,
        completed: roster.completed,
        failed: roster.failed,
        batches: roster.batches,
        duration_us: u64::try_from(host.now().since(began).as_micros()).unwrap_or(u64::MAX),
        journal: None,
    })
}

/// Asks for all of the tasks that the report names.
async fn tasks(env: &Env, course: &Course) -> Tasks {
    let coordinator = &env.host.protocols().coordinator;
    let mut leaves = Vec::new();
    for leaf in &course.fed.leaves {
        leaves.extend(coordinator.send(QueryTask(leaf.clone())).await.into_iter().flatten());
    }
    Tasks { metrics: metrics(&env.host).await, leaves }
}
