//! [`Router`]: the actor that changes who gets what.
//!
//! ```text
//!  Registrar ──Reroute──> Router ──> Directory (tables) ──snapshot, atomic swap──> publishers
//!  agents ──Subscribe, Unsubscribe──┘
//! ```
//!
//! It owns all changes of the tables and never touches a message on its way: publishers deliver by snapshot.
//!
//! **Invariant.** When a change is answered, every publication that begins afterwards sees it.
//! **Restart.** The tables are the [`Directory`]'s and outlive the actor: routes and subscriptions survive. A change that
//! was being made when it panicked is either wholly there or not at all, because it is made under one lock and published
//! last.

use actix::{Actor, Context, Handler, Message, Supervised};

use super::Directory;
use crate::{
    agent::{Agent, AgentId, Card, TopicName},
    inbox::AgentHandle,
};

/// Adds and removes agents, in one change that publishers see as a whole.
#[derive(Debug, Message)]
#[rtype(result = "Rerouted")]
pub struct Reroute {
    /// Agents that are to be found from now on; one that is found already stays where it is.
    pub add: Vec<AgentHandle>,
    /// Agents that are no more.
    pub remove: Vec<AgentId>,
}

/// A change was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rerouted {
    /// Of those to be added, the ones whose id another agent has, or that live on another host.
    pub taken: Vec<AgentId>,
}

/// Subscribes an agent to a topic. Answered with whether that changed anything.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Subscribe {
    /// The topic.
    pub topic: TopicName,
    /// Who wants its messages.
    pub agent: AgentId,
}

/// Ends a subscription. Answered with whether there was one.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Unsubscribe {
    /// The topic.
    pub topic: TopicName,
    /// Who wants its messages no more.
    pub agent: AgentId,
}

/// Changes who gets what.
pub struct Router {
    directory: Directory,
}

impl Router {
    /// A router over these tables.
    pub fn new(directory: Directory) -> Self {
        Self { directory }
    }
}

impl Actor for Router {
    type Context = Context<Self>;
}

impl Supervised for Router {}

impl Agent for Router {
    fn card(&self) -> Card<Self> {
        Card::new()
    }
}

impl Handler<Reroute> for Router {
    type Result = actix::MessageResult<Reroute>;
    fn handle(&mut self, change: Reroute, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(Rerouted { taken: self.directory.change(change.add, &change.remove) })
    }
}

impl Handler<Subscribe> for Router {
    type Result = bool;
    fn handle(&mut self, subscribe: Subscribe, _: &mut Context<Self>) -> bool {
        self.directory.subscribe(&subscribe.topic, &subscribe.agent)
    }
}

impl Handler<Unsubscribe> for Router {
    type Result = bool;
    fn handle(&mut self, unsubscribe: Unsubscribe, _: &mut Context<Self>) -> bool {
        self.directory.unsubscribe(&unsubscribe.topic, &unsubscribe.agent)
    }
}
