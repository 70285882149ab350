//! [`Work`]: a task as an agent gets it, and [`InboxWorker`], the way there through the agent's own bounded inbox.

use std::sync::Arc;

use actix::{Addr, Message};
use serde_json::Value;

use super::{Assignment, Coordinator, Refused, TaskEnded, Worker};
use crate::{
    agent::{AskError, Reason, TaskId},
    inbox::{AgentHandle, SendOptions},
};

/// A task as an agent gets it. An agent whose card accepts this message is enrolled for tasks; what its handler
/// answers, at once or by a future, is the task's result.
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
}

/// Hands attempts to an agent through its inbox, with the attempt's deadline, and reports what came of them.
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
        let options = SendOptions::new().priority(assignment.priority);
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
