//! What the initializer is asked, and what it answers.

use actix::{Message, Recipient};

use super::{
    NotReady, PlanErrors, ReadyOf, StartupBody, StartupEvent, StartupOptions, StartupReport, StartupTask,
    StartupTaskReport,
};
use crate::agent::{TaskId, Timestamp};

/// Carries out start-up tasks; answered when the last one has ended, those that are lazy left out.
#[derive(Message)]
#[rtype(result = "Result<StartupReport, StartUpError>")]
pub struct StartUp {
    /// The tasks and what they do.
    pub tasks: Vec<(StartupTask, StartupBody)>,
    /// How they are carried out.
    pub options: StartupOptions,
}

/// Asks how start-up stands, or how it ended; `None` before the first.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<StartupReport>")]
pub struct QueryStartup;

/// Asks how one start-up task stands; `None` if there is no such task.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<StartupTaskReport>")]
pub struct QueryStartupTask(pub TaskId);

/// Waits until something is ready; lets a task run that is lazy. Answered with when it became so.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Timestamp, NotReady>")]
pub struct AwaitReady(pub ReadyOf);

/// Ends start-up, or what undoes it, or after its end the lazy tasks that were asked for; `false` if nothing runs.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct CancelStartUp;

/// Asks for [`StartupProgress`] from now on, for this and later runs.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SubscribeStartup(pub Recipient<StartupProgress>);

/// Something happened during start-up. A subscriber whose mailbox is full misses some, but never the end of a run.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct StartupProgress {
    /// How many tasks have ended.
    pub ended: usize,
    /// How many tasks there are.
    pub tasks: usize,
    /// How many messages this subscriber missed so far.
    pub missed: u64,
    /// What happened.
    pub event: StartupEvent,
}

/// Why there is no report of a start-up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartUpError {
    /// The tasks do not fit together. Permanent.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// Another run has not ended. Transient.
    #[error("start-up is running already: wait for its end or cancel it first")]
    Busy,
    /// The state of the run was dropped before it ended. Permanent.
    #[error("start-up was abandoned before it ended: the host has shut down")]
    Abandoned,
}
