//! A data centre starts: forty services that wait for each other and share processors, memory and licences. Then it starts
//! again, and this time the licence server is down: what had started is undone, the latest first.
//!
//! ```text
//!  examples/datacenter/swarm.json ──> 40 start-up tasks ──> each starts an agent, and undone, stops it
//!        first night:   all well; who needs only a part of it does not wait for the rest
//!        second night:  payments get no licence ──> rollback ──> nothing is left running
//! ```
//!
//! Run it with `cargo run --example datacenter`. It runs in virtual time: the same output every time. It fails when a
//! service is left running that should not be, or is not that should. `phalanx plan examples/datacenter/swarm.json` draws
//! its plan.

use std::{error::Error, time::Duration};

use phalanx::{
    agent::Timestamp,
    initializer::{
        OnFailure, Phase, Plan, ReadyOf, StartupBody, StartupOptions, StartupReport, StartupStatus,
        StartupTask,
    },
    manifest::{Manifest, Variables},
    prelude::*,
};

/// A service that takes its time to start.
struct Service {
    boots_for: Duration,
    host: phalanx::host::WeakHost,
}

/// Asks whether a service is up; answered when it is.
#[derive(Clone, Message)]
#[rtype(result = "()")]
struct Boot;

impl Actor for Service {
    type Context = Context<Self>;
}

impl Supervised for Service {}

impl Handler<Boot> for Service {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Boot, _: &mut Context<Self>) -> Self::Result {
        let (host, boots_for) = (self.host.upgrade(), self.boots_for);
        Box::pin(async move {
            if let Some(host) = host {
                host.sleep(boots_for).await;
            }
        })
    }
}

impl Agent for Service {
    fn card(&self) -> Card<Self> {
        Card::new().offers("serve").accepts::<Boot>()
    }
}

/// Starts a service and waits until it is up; undone, stops it.
fn body(host: &Host, task: &StartupTask, licence_server_is_up: bool) -> StartupBody {
    let (start, stop) = (host.downgrade(), host.downgrade());
    let (id, boots_for) = (task.id.to_string(), task.estimated_duration);
    let gets_its_licence = licence_server_is_up || id != "payments";
    let stopped = id.clone();
    let body = StartupBody::new(move |_| {
        let (weak, id) = (start.clone(), id.clone());
        async move {
            let host = weak.upgrade().ok_or("the host is no more")?;
            if !gets_its_licence {
                host.sleep(boots_for).await;
                return Err("the licence server does not answer".to_owned());
            }
            let service = host.spawn(&id, move || Service { boots_for, host: weak.clone() });
            let service = service.await.map_err(|error| error.to_string())?;
            service.ask(Boot).await.map_err(|error| error.to_string())?;
            Ok(serde_json::json!({"service": id}))
        }
    });
    body.undone_by(move |_| {
        let service = stop.upgrade().and_then(|host| host.agent(&stopped).ok());
        async move {
            let Some(service) = service else { return Ok(()) };
            match service.stop_within(Duration::from_secs(1)).await {
                Stopped::Stuck => Err(format!("{} is still there", service.id())),
                Stopped::Drained | Stopped::Killed => Ok(()),
            }
        }
    })
}

/// The services of the manifest, and what they share. Recommendations start when somebody asks for them.
fn services() -> Result<(Vec<StartupTask>, StartupOptions), Box<dyn Error>> {
    let path = "examples/datacenter/swarm.json";
    let startup =
        Manifest::parse(include_str!("datacenter/swarm.json"), path, &Variables::default())?.startup;
    let tasks = startup.tasks.iter().map(|service| StartupTask {
        needs: service.needs.clone().into_iter().collect(),
        lazy: service.id.as_str() == "recommend",
        ..StartupTask::new(service.id.clone())
            .in_phase(service.phase)
            .after(service.depends_on.iter().cloned())
            .after_phases(service.after_phases.iter().copied())
            .depended_on_as(service.dependency)
            .with_priority(service.priority)
            .taking(service.estimate)
    });
    let tasks = tasks.collect();
    let (workers, resources) = (startup.workers, startup.resources);
    Ok((
        tasks,
        StartupOptions { workers, resources, on_failure: OnFailure::Rollback, ..StartupOptions::default() },
    ))
}

fn clock(at: Timestamp) -> String {
    format!("{:>7.2} s", at.since_start().as_secs_f64())
}

async fn first_night(host: &Host) -> Result<StartupReport, Box<dyn Error>> {
    let (tasks, options) = services()?;
    let plan = Plan::with_resources(tasks.clone(), &options.resources)?;
    println!(
        "40 services, one by one {:?}, no schedule is shorter than {:?}",
        plan.total(),
        plan.lower_bound(options.workers)
    );
    let tasks = tasks.into_iter().map(|task| (task.clone(), body(host, &task, true))).collect();
    let waits = async {
        for of in [ReadyOf::Task("dns".parse()?), ReadyOf::Phase(Phase::CoreInitialization), ReadyOf::All] {
            let since = host.ready(of.clone()).await?;
            println!("{}  {of} is ready", clock(since));
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let (report, waited) = tokio::join!(host.start_up(tasks, options), waits);
    let report = report?;
    waited?;
    println!("{}  the last task has ended; {} services run", clock(host.now()), host.agents());
    let since = host.ready(ReadyOf::Task("recommend".parse()?)).await?;
    println!("{}  recommendations, asked for just now, are ready", clock(since));
    Ok(report)
}

async fn second_night(host: &Host) -> Result<StartupReport, Box<dyn Error>> {
    let (tasks, options) = services()?;
    let tasks = tasks.into_iter().map(|task| (task.clone(), body(host, &task, false))).collect();
    let report = host.start_up(tasks, options).await?;
    let payments = report.tasks.iter().find(|task| task.task.as_str() == "payments").ok_or("it is listed")?;
    let fault = payments.fault.as_ref().ok_or("it failed")?;
    println!("{}  payments: {fault}", clock(payments.ended.ok_or("it ended")?));
    let undone = |task: &&phalanx::initializer::StartupTaskReport| task.status == StartupStatus::RolledBack;
    let mut undone: Vec<_> = report.tasks.iter().filter(undone).collect();
    undone.sort_by_key(|task| std::cmp::Reverse(task.ended));
    let names: Vec<_> = undone.iter().map(|task| task.task.as_str()).collect();
    println!("           undone: {}", names.join(", "));
    println!("{}  {} services run", clock(host.now()), host.agents());
    Ok(report)
}

fn check(what: bool, otherwise: &str) -> Result<(), Box<dyn Error>> {
    if what { Ok(()) } else { Err(otherwise.into()) }
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("The first night");
    simulate(7, |host| async move {
        let report = first_night(&host).await?;
        check(
            report.tasks.iter().all(|task| task.status.completed() || task.task.as_str() == "recommend"),
            "not all started",
        )?;
        check(host.agents() == 40, "not all services run")?;
        host.shutdown(Duration::from_secs(5)).await;
        Ok::<_, Box<dyn Error>>(())
    })?;
    println!("The second night");
    simulate(7, |host| async move {
        let report = second_night(&host).await?;
        let rollback = report.rollback.ok_or("nothing was undone")?;
        check(rollback.failed == 0 && rollback.undone == rollback.tasks, "not all was undone")?;
        host.idle().await;
        check(host.agents() == 0, "something is left running")?;
        host.shutdown(Duration::from_secs(5)).await;
        Ok(())
    })
}
