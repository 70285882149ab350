//! Start-up on a host: carrying it out, and waiting for what of it is ready.

use std::{sync::Arc, time::Duration};

use phalanx_actors::{
    agent::{Agent, AgentId, Me, Timestamp},
    inbox::Stopped,
    initializer::{AwaitReady, ReadyOf, StartUp, StartupBody, StartupOptions, StartupReport, StartupTask},
};
use serde_json::json;

use super::{AgentOptions, Host, HostError};

/// How long an agent may take to handle what it holds when its start is undone.
const DRAIN: Duration = Duration::from_secs(10);

impl Host {
    /// A start-up body that spawns an agent; it completes when the agent is registered and on its routes, and returns
    /// `{"agent"}`, its id. It is undone by stopping the agent, which may first handle what it holds, for 10 s at most.
    ///
    /// The host is not kept alive by the body.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), phalanx::HostError> {
    /// use actix::prelude::*;
    /// use phalanx::{Agent, AgentOptions, Card, initializer::{StartupOptions, StartupTask}};
    /// struct Index;
    /// impl Actor for Index { type Context = Context<Self>; }
    /// impl Supervised for Index {}
    /// impl Agent for Index { fn card(&self) -> Card<Self> { Card::new().offers("search") } }
    ///
    /// phalanx::simulate(7, |host| async move {
    ///     let task = StartupTask::new("index".parse().expect("a good name"));
    ///     let body = host.starting("index".parse().expect("a good name"), AgentOptions::default(), |_| Index);
    ///     host.start_up(vec![(task, body)], StartupOptions::default()).await?;
    ///     assert!(host.agent("index").is_ok());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn starting<A: Agent>(
        &self,
        id: AgentId,
        options: AgentOptions,
        factory: impl Fn(&Me) -> A + Send + Sync + 'static,
    ) -> StartupBody {
        let (begin, undo) = (self.downgrade(), self.downgrade());
        let (undone, factory) = (id.clone(), Arc::new(factory));
        let gone = || "the host is no more".to_owned();
        let body = StartupBody::new(move |_| {
            let (host, id, options, factory) =
                (begin.upgrade(), id.clone(), options.clone(), factory.clone());
            async move {
                let host = host.ok_or_else(gone)?;
                let spawned = host.spawn_with(&id, options, move |me: &Me| factory(me)).await;
                spawned.map(|_| json!({"agent": id})).map_err(|error| error.to_string())
            }
        });
        body.undone_by(move |_| {
            // One that has ended by itself has nothing left to undo.
            let agent = undo.upgrade().and_then(|host| host.agent(&undone).ok());
            async move {
                let Some(agent) = agent else { return Ok(()) };
                match agent.stop_within(DRAIN).await {
                    Stopped::Stuck => {
                        Err(format!("agent {} blocks its thread and is still there", agent.id()))
                    }
                    Stopped::Drained | Stopped::Killed => Ok(()),
                }
            }
        })
    }

    /// Carries out start-up tasks in their phases. Answers when the last has ended, and when what is to be undone is undone;
    /// what is ready before can be waited for with [`Host::ready`].
    ///
    /// # Errors
    /// [`HostError::StartUp`] names all that is wrong with the plan.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), phalanx::HostError> {
    /// use phalanx_actors::initializer::{OnFailure, StartupBody, StartupOptions, StartupStatus, StartupTask};
    /// # phalanx::simulate(7, |host| async move {
    /// let task = |id: &str| StartupTask::new(id.parse().expect("a good name"));
    /// let listen = StartupBody::new(|_| async { Ok(serde_json::json!({"port": 8080})) })
    ///     .undone_by(|undo| async move { println!("port {} is free again", undo.result["port"]); Ok(()) });
    /// let licence = StartupBody::new(|_| async { Err("no licence is left".to_owned()) });
    /// let tasks = vec![
    ///     (task("listen"), listen),
    ///     (task("licence").after(["listen".parse()?]), licence),
    /// ];
    /// let options = StartupOptions { on_failure: OnFailure::Rollback, ..StartupOptions::default() };
    /// let report = host.start_up(tasks, options).await?;
    /// assert_eq!(report.tasks[0].status, StartupStatus::RolledBack);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub async fn start_up(
        &self,
        tasks: Vec<(StartupTask, StartupBody)>,
        options: StartupOptions,
    ) -> Result<StartupReport, HostError> {
        let initializer = &self.inner.protocols.initializer;
        let answer = initializer.send(StartUp { tasks, options }).await;
        Ok(answer.map_err(|_| HostError::NoAnswer("initializer"))??)
    }

    /// Waits until all of start-up, one of its phases, or one of its tasks is ready; a lazy task runs now. Answers when it
    /// became ready.
    ///
    /// # Errors
    /// [`HostError::NotReady`] says why it will not be, or that no start-up has begun.
    pub async fn ready(&self, of: ReadyOf) -> Result<Timestamp, HostError> {
        let answer = self.inner.protocols.initializer.send(AwaitReady(of)).await;
        Ok(answer.map_err(|_| HostError::NoAnswer("initializer"))??)
    }
}
