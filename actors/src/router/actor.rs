//! [`Router`]: the actor that changes who gets what.
//!
//! ```text
//!  Registrar ──Reroute──> Router ──> Directory (tables) ──snapshot, atomic swap──> publishers
//!  agents ──Subscribe, Unsubscribe──┘
//! ```
//!
//! It owns all changes of the tables and never touches a message on its way: publishers deliver by snapshot. Beside them it
//! runs the round of the courier, which follows up what is to be confirmed.
//!
//! **Invariant.** When a change is answered, every publication that begins afterwards sees it.
//! **Restart.** The tables are the [`Directory`]'s and outlive the actor: routes and subscriptions survive. A change that
//! was being made when it panicked is either wholly there or not at all, because it is made under one lock and published
//! last.

use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};

use super::{
    Directory, Heartbeat, Predicate, RouterEvent,
    heartbeat::{Beats, Heart, Turn},
};
use crate::{
    agent::{Agent, AgentId, Card, Timestamp, TopicFilter},
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

/// Subscribes an agent to topics. Answered with whether that changed anything.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Subscribe {
    /// Which topics.
    pub filter: TopicFilter,
    /// Who wants their messages.
    pub agent: AgentId,
    /// What more is wanted.
    pub options: SubscribeOptions,
}

/// What may be said with a subscription.
///
/// # Examples
/// ```
/// use phalanx_actors::router::SubscribeOptions;
///
/// struct Price { cents: u64 }
/// let options = SubscribeOptions::new().replay(1).only(|price: &Price| price.cents < 100);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct SubscribeOptions {
    pub(crate) replay: usize,
    pub(crate) predicate: Option<Predicate>,
}

impl SubscribeOptions {
    /// Everything that is published from now on.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many of the last publications of each topic at once, the oldest first, of those that the topic keeps
    /// ([`Publisher::keep_last`](super::Publisher::keep_last)); none by default. A topic that the agent hears already by another
    /// subscription sends nothing again.
    #[must_use]
    pub fn replay(mut self, most: usize) -> Self {
        self.replay = most;
        self
    }

    /// Of the messages of type `M` only those that `test` answers true to. Where several subscriptions of an agent match a
    /// topic, it gets what any of them wants.
    #[must_use]
    pub fn only<M: 'static>(mut self, test: impl Fn(&M) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Some(Predicate::new(test));
        self
    }
}

/// Ends a subscription. Answered with whether there was one.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Unsubscribe {
    /// The filter that was subscribed to.
    pub filter: TopicFilter,
    /// Who wants its messages no more.
    pub agent: AgentId,
}

/// Hears what the router does.
pub type RouterSink = Arc<dyn Fn(RouterEvent) + Send + Sync>;

/// Changes who gets what.
pub struct Router {
    directory: Directory,
    events: Option<RouterSink>,
    /// How often agents beat, and whether the timer rests while nothing happens.
    heartbeat: Option<(Heartbeat, bool)>,
}

impl Router {
    /// A router over these tables.
    pub fn new(directory: Directory) -> Self {
        Self { directory, events: None, heartbeat: None }
    }

    /// The same router, which tells what it does.
    #[must_use]
    pub fn telling(mut self, events: RouterSink) -> Self {
        self.events = Some(events);
        self
    }

    /// The same router, which asks agents for heartbeats. With `rests`, as in virtual time, its timer rests while nothing
    /// happens.
    #[must_use]
    pub fn beating(mut self, heartbeat: Heartbeat, rests: bool) -> Self {
        self.heartbeat = Some((heartbeat, rests));
        self
    }

    fn tell(&self, event: impl FnOnce(Timestamp) -> RouterEvent) {
        if let Some(events) = &self.events {
            events(event(self.directory.now()));
        }
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    /// Lends the courier its time: a rebuilt router goes on with what is due.
    fn started(&mut self, context: &mut Context<Self>) {
        context.spawn(self.directory.courier().round().into_actor(self));
        if let Some((options, rests)) = self.heartbeat {
            let (directory, router) = (self.directory.clone(), context.address());
            let heart = Heart { hub: directory.hub(), directory, router, options };
            context.spawn(heart.run(rests).into_actor(self));
        }
    }
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
        let (asked, removed) = (change.add.len(), change.remove.len());
        let taken = self.directory.change(change.add, &change.remove);
        let refused = taken.len();
        self.tell(|at| RouterEvent::Rerouted { at, added: asked - refused, removed, taken: refused });
        actix::MessageResult(Rerouted { taken })
    }
}

impl Handler<Beats> for Router {
    type Result = ();
    fn handle(&mut self, Beats(turns): Beats, _: &mut Context<Self>) {
        self.directory.turn(&turns);
        for (agent, turn) in turns {
            self.tell(|at| match turn {
                Turn::Suspected => RouterEvent::NodeSuspected { at, agent },
                Turn::Inactive(missed) => RouterEvent::NodeInactive { at, agent, missed },
                Turn::Active(missed) => RouterEvent::NodeActive { at, agent, missed },
            });
        }
    }
}

impl Handler<Subscribe> for Router {
    type Result = bool;
    fn handle(&mut self, subscribe: Subscribe, _: &mut Context<Self>) -> bool {
        let changed = self.directory.subscribe(&subscribe.filter, &subscribe.agent, &subscribe.options);
        if changed {
            let Subscribe { filter, agent, .. } = subscribe;
            self.tell(|at| RouterEvent::Subscribed { at, filter, agent });
        }
        changed
    }
}

impl Handler<Unsubscribe> for Router {
    type Result = bool;
    fn handle(&mut self, unsubscribe: Unsubscribe, _: &mut Context<Self>) -> bool {
        let changed = self.directory.unsubscribe(&unsubscribe.filter, &unsubscribe.agent);
        if changed {
            let Unsubscribe { filter, agent } = unsubscribe;
            self.tell(|at| RouterEvent::Unsubscribed { at, filter, agent });
        }
        changed
    }
}
