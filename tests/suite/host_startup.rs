//! Start-up on a host: agents that start as start-up tasks, what is ready when, and what is undone.

use std::time::Duration;

use phalanx::{
    initializer::{
        OnFailure, Phase, ReadyOf, StartupBody, StartupOptions, StartupOutcome, StartupStatus, StartupTask,
    },
    prelude::*,
};

struct Service;

impl Actor for Service {
    type Context = Context<Self>;
}

impl Supervised for Service {}

impl Agent for Service {
    fn card(&self) -> Card<Self> {
        Card::new().offers("serve")
    }
}

fn task(id: &str) -> StartupTask {
    StartupTask::new(id.parse().unwrap())
}

fn service(host: &Host, id: &str) -> StartupBody {
    host.starting(id.parse().unwrap(), AgentOptions::default(), |_| Service)
}

#[test]
fn an_agent_that_starts_as_a_start_up_task_is_there_when_it_completes_and_gone_when_it_is_undone() {
    let ended = simulate(7, |host| async move {
        let fails = {
            let host = host.clone();
            StartupBody::new(move |_| {
                let host = host.clone();
                async move {
                    assert_eq!(host.agents(), 2, "both are registered");
                    Err("no licence".to_owned())
                }
            })
        };
        let tasks = |fails: StartupBody, host: &Host| {
            vec![
                (task("db"), service(host, "db")),
                (task("api").after(["db".parse().unwrap()]), service(host, "api")),
                (task("licence").after(["api".parse().unwrap()]), fails),
            ]
        };
        let options = StartupOptions { on_failure: OnFailure::Rollback, ..StartupOptions::default() };
        let report = host.start_up(tasks(fails, &host), options.clone()).await?;
        let statuses: Vec<_> = report.tasks.iter().map(|task| task.status).collect();
        assert_eq!(
            statuses,
            [StartupStatus::RolledBack, StartupStatus::RolledBack, StartupStatus::Failed],
            "{report:?}"
        );
        assert_eq!(report.tasks[1].result.as_deref(), Some(&serde_json::json!({"agent": "api"})));
        host.idle().await;
        assert_eq!(host.agents(), 0);
        assert!(host.agent("db").is_err());
        // The names are free again.
        let works = StartupBody::new(|_| async { Ok(serde_json::Value::Null) });
        let report = host.start_up(tasks(works, &host), options).await?;
        assert_eq!((report.outcome, host.agents()), (Some(StartupOutcome::Succeeded), 2));
        // Twice the same name: the second start says so.
        let report =
            host.start_up(vec![(task("db"), service(&host, "db"))], StartupOptions::default()).await?;
        let fault = report.tasks[0].fault.as_ref().unwrap().to_string();
        assert!(fault.contains("db"), "{fault}");
        Ok::<_, HostError>(())
    });
    ended.unwrap();
}

#[test]
fn a_program_waits_for_a_phase_or_a_task_while_the_rest_starts() {
    let ended = simulate(7, |host| async move {
        let nothing_yet = host.ready(ReadyOf::All).await.unwrap_err().to_string();
        assert_eq!(nothing_yet, "start-up is not ready: no start-up has begun, begin one first");
        let sleeps = |seconds: u64| {
            let host = host.clone();
            StartupBody::new(move |_| {
                let host = host.clone();
                async move {
                    host.sleep(Duration::from_secs(seconds)).await;
                    Ok(serde_json::Value::Null)
                }
            })
        };
        let tasks = vec![
            (task("core"), sleeps(1)),
            (task("slow").in_phase(Phase::ServiceStartup), sleeps(60)),
            (task("index").lazily(), sleeps(5)),
        ];
        let waits = async {
            let core = host.ready(ReadyOf::Phase(Phase::CoreInitialization)).await?;
            let index = host.ready(ReadyOf::Task("index".parse().unwrap())).await?;
            Ok::<_, HostError>((core, index))
        };
        let (report, ready) = tokio::join!(host.start_up(tasks, StartupOptions::default()), waits);
        let (core, index) = ready?;
        let seconds = |at: phalanx::agent::Timestamp| at.since_start().as_secs();
        assert_eq!((seconds(core), seconds(index), seconds(report?.ended.unwrap())), (1, 6, 60));
        Ok::<_, HostError>(())
    });
    ended.unwrap();
}
