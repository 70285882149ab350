//! [`Work`]: a task as an agent gets it, and [`InboxWorker`], the way there through the agent's own bounded inbox.

use std::sync::Arc;

use actix::{Addr, Message};
use serde_json::Value;

use super::{Assignment, CancellationToken, Coordinator, Refused, TaskEnded, Worker};
use crate::{
    agent::{AskError, Reason, TaskId},
    inbox::{AgentHandle, SendOptions},
};

/// A task as an agent gets it. An agent whose card accepts this message is enrolled for tasks; what its handler
/// answers, at once or by a future, is the task's result.
///
/// An attempt that is given up, because it is late or its task is cancelled, is not handled any more if it still waits in
/// the inbox. A handler that has begun is told by [`cancellation`](Self::cancellation) and should end soon: the agent's
/// slot stays taken until it does, and its answer counts for nothing. A restart of the agent ends a `ResponseActFuture`,
/// which is part of the agent, but not a `ResponseFuture`, which actix runs beside it.
///
/// # Examples
/// ```
/// use actix::prelude::*;
/// use phalanx_actors::{agent::{Agent, Card}, coordinator::Work};
/// use serde_json::{Value, json};
///
/// struct Miner;
/// impl Actor for Miner { type Context = Context<Self>; }
/// impl Supervised for Miner {}
/// impl Handler<Work> for Miner {
///     type Result = ResponseFuture<Result<Value, String>>;
///     fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Self::Result {
///         Box::pin(async move {
///             let dig = async { json!("gold") };
///             work.cancellation().run_until_cancelled(dig).await.ok_or("given up".to_owned())
///         })
///     }
/// }
/// impl Agent for Miner {
///     fn card(&self) -> Card<Self> { Card::new().offers("dig").accepts::<Work>() }
/// }
/// ```
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Value, String>")]
pub struct Work {
    /// The attempt, with what to work on and what came of the tasks before it.
    pub assignment: Arc<Assignment>,
}

impl Work {
    /// The task.
    pub fn task(&self) -> &TaskId {
        &self.assignment.task
    }

    /// What to work on.
    pub fn payload(&self) -> &Value {
        &self.assignment.payload
    }

    /// Cancelled when the attempt is given up.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.assignment.cancellation
    }
}

/// Hands attempts to an agent through its inbox, with the attempt's deadline and the means to recall it, and reports what
/// came of them: also of those that were given up, as soon as the agent has let go.
pub struct InboxWorker {
    agent: AgentHandle,
    coordinator: Addr<Coordinator>,
}

impl InboxWorker {
    /// The way to `agent`; results go to `coordinator`.
    pub fn new(agent: AgentHandle, coordinator: Addr<Coordinator>) -> Self {
        Self { agent, coordinator }
    }
}

impl Worker for InboxWorker {
    fn assign(&self, assignment: Assignment) -> Result<(), Refused> {
        let (task, attempt, deadline) = (assignment.task.clone(), assignment.attempt, assignment.deadline);
        let options =
            SendOptions::new().priority(assignment.priority).recalled_by(assignment.cancellation.clone());
        let work = Work { assignment: Arc::new(assignment) };
        let answer = self.agent.ask_now(work, options, deadline).map_err(|reason| match reason {
            Reason::Full | Reason::Congested | Reason::DroppedNewest | Reason::Intervened => Refused::Busy,
            _ => Refused::Gone,
        })?;
        let coordinator = self.coordinator.clone();
        actix_rt::spawn(async move {
            let result = match answer.await {
                Ok(Ok(result)) => result,
                Ok(Err(reason)) => Err(AskError::Undelivered(reason).to_string()),
                Err(_) => Err(AskError::Undelivered(Reason::Panicked).to_string()),
            };
            coordinator.do_send(TaskEnded { task, attempt, result });
        });
        Ok(())
    }
}
