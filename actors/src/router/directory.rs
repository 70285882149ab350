//! [`Directory`]: the router's tables as everyone may read them.

use std::{ops::Range, sync::Arc};

use actix::Message;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::{
    Courier, MessageStatus, Publisher, Selector, SubscribeOptions,
    heartbeat::Turn,
    lease::{Locked, Tables},
    node::Windows,
    predicate::refuse_inside,
};
use crate::{
    agent::{AgentId, MessageId, Timestamp, TopicFilter},
    inbox::{AgentHandle, Hub, PortItem, RouteStatus},
};

/// How the router stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStatus {
    /// How many agents are in the tables.
    pub members: usize,
    /// How many subscriptions there are.
    pub subscriptions: usize,
    /// How many messages wait for their receipts.
    pub unconfirmed: usize,
    /// Each open route by name, direct sends first: outcomes and batches.
    pub routes: Vec<RouteStatus>,
}

impl RouterStatus {
    /// The route of this name, such as `topic news (Update)`. Two types of messages may have one short name: it is the first of
    /// their routes, then.
    pub fn route(&self, name: &str) -> Option<&RouteStatus> {
        self.routes.iter().find(|route| *route.name == *name)
    }
}

/// The router's tables. Changes are made by the router actor; opening a route and looking things up is for everyone and
/// never waits for an actor.
///
/// The tables are held here and not in the actor, so that they survive it.
#[derive(Clone)]
pub struct Directory {
    tables: Arc<Tables>,
    pub(super) windows: Windows,
}

impl Directory {
    /// Empty tables over the arbiters of a hub.
    pub fn new(hub: &Arc<Hub>) -> Self {
        Self { tables: Tables::new(hub.clone()), windows: Windows::default() }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        refuse_inside();
        self.tables.lock()
    }

    /// A publisher of messages of type `M` to those that the selector leads to, now and later. The route is there as long as
    /// a publisher is, or it keeps a history.
    pub fn publisher<M: Message + Send + Sync + 'static>(&self, selector: &Selector) -> Publisher<M> {
        Publisher::new(self.lock().open::<M>(selector))
    }

    /// Follows up what is to be confirmed.
    pub(crate) fn courier(&self) -> Arc<Courier> {
        self.lock().courier().clone()
    }

    /// How a message stands that was published for confirmation: while its receipt is not complete, and for a while after
    /// (the last 10,000, for 300 s). Nothing is known of single messages that were sent without.
    pub fn message(&self, id: MessageId) -> Option<MessageStatus> {
        self.courier().status(id)
    }

    /// How many messages wait for their receipts.
    pub fn unconfirmed(&self) -> usize {
        self.courier().pending()
    }

    /// How the router stands.
    pub fn status(&self) -> RouterStatus {
        let (hub, members, subscriptions) = {
            let routes = self.lock();
            let subscriptions = routes.subscriptions().into_iter().map(|(_, agents)| agents).sum();
            (routes.hub().clone(), routes.count_members(), subscriptions)
        };
        RouterStatus { members, subscriptions, unconfirmed: self.unconfirmed(), routes: hub.routes() }
    }

    /// Waits until no message waits for its receipt.
    pub async fn all_confirmed(&self) {
        self.courier().quiet().await;
    }

    /// Gives every message that waits for its receipt one as it stands, and takes no more to be confirmed.
    pub fn close(&self) {
        self.courier().close();
    }

    pub(crate) fn hub(&self) -> Arc<Hub> {
        self.lock().hub().clone()
    }

    /// The time on the host's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.lock().now()
    }

    /// The agent of this id.
    pub fn agent(&self, id: &AgentId) -> Option<AgentHandle> {
        self.lock().member(id)
    }

    /// The agents that a selector leads to, in the order in which they joined.
    pub fn select(&self, selector: &Selector) -> Vec<AgentHandle> {
        self.lock().select(selector)
    }

    /// All agents, in the order in which they joined.
    pub fn agents(&self) -> Vec<AgentHandle> {
        self.lock().members().cloned().collect()
    }

    /// The filters that were subscribed to, by name, with how many subscribers each has.
    pub fn subscriptions(&self) -> Vec<(TopicFilter, usize)> {
        self.lock().subscriptions()
    }

    /// How many routes are open: those that have a publisher, and those that keep a history.
    pub fn open_routes(&self) -> usize {
        self.lock().open_routes()
    }

    /// Removes and adds agents in one change that publishers see as a whole. Answers those to be added whose id is taken.
    /// Whoever is there already and to be added again stays as it is, with its subscriptions.
    pub(crate) fn change(&self, add: Vec<AgentHandle>, remove: &[AgentId]) -> Vec<AgentId> {
        let mut routes = self.lock();
        let is_there = |agent: &&AgentHandle| {
            routes.member(agent.id()).is_some_and(|one| Arc::ptr_eq(&one.door, &agent.door))
        };
        let stay: FxHashSet<&AgentId> = match remove {
            [] => FxHashSet::default(),
            _ => add.iter().filter(is_there).map(AgentHandle::id).collect(),
        };
        let remaining: Vec<AgentId>;
        let remove = if stay.is_empty() {
            remove
        } else {
            remaining = remove.iter().filter(|id| !stay.contains(*id)).cloned().collect();
            &remaining
        };
        routes.remove(remove);
        let mut taken = Vec::new();
        for agent in add {
            let id = agent.id().clone();
            if !routes.add(agent) {
                taken.push(id);
            }
        }
        routes.publish();
        drop(routes);
        self.windows.forget(remove);
        taken
    }

    /// The agents in these places of the tables; `None` behind the last place. Who joins takes any place that is free.
    pub(crate) fn some(&self, places: Range<usize>) -> Option<Vec<AgentHandle>> {
        self.lock().some(places)
    }

    /// Takes those who are inactive off the routes, and puts those who are active again back.
    pub(crate) fn turn(&self, turns: &[(AgentId, Turn)]) {
        let mut routes = self.lock();
        for (agent, turn) in turns {
            match turn {
                Turn::Suspected => {}
                Turn::Inactive(_) => routes.set_away(agent, true),
                Turn::Active(_) => routes.set_away(agent, false),
            }
        }
        routes.publish();
    }

    /// Subscribes an agent to topics. Answers false when it was subscribed to that filter already, or is not in the tables.
    pub(crate) fn subscribe(
        &self,
        filter: &TopicFilter,
        agent: &AgentId,
        options: &SubscribeOptions,
    ) -> bool {
        let mut refused = Vec::new();
        let mut routes = self.lock();
        let changed = routes.subscribe(filter, agent, options, &mut refused);
        routes.publish();
        drop(routes);
        refused.into_iter().for_each(PortItem::abandon);
        changed
    }

    /// Ends a subscription. Answers whether there was one.
    pub(crate) fn unsubscribe(&self, filter: &TopicFilter, agent: &AgentId) -> bool {
        let mut routes = self.lock();
        let changed = routes.unsubscribe(filter, agent);
        routes.publish();
        changed
    }

    /// Whether the tables are consistent; says what is not.
    ///
    /// # Errors
    /// The first route that does not lead where it should.
    pub fn verify(&self) -> Result<(), String> {
        self.lock().verify()
    }
}
