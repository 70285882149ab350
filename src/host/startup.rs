//! Start-up on a host: carrying it out, and waiting for what of it is ready.

use phalanx_actors::{
    agent::Timestamp,
    initializer::{AwaitReady, ReadyOf, StartUp, StartupBody, StartupOptions, StartupReport, StartupTask},
};

use super::{Host, HostError};

impl Host {
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
