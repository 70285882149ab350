//! [`Relay`]: publishes what it hears on another topic.
//!
//! **Invariant.** What it hears it publishes once and in order, waiting for room where there is none; only a notice that was
//! relayed [`MAX_RELAYS`](super::MAX_RELAYS) times is let go, and the run says so.
//! **Restart.** Nothing is kept.

use actix::{Actor, Context, Handler, Supervised};
use phalanx_actors::{
    agent::{Agent, AgentId, Card, TopicName},
    router::Publisher,
};

use super::{MAX_RELAYS, Notice, publish};
use crate::{manifest::KindWord, swarm::world::Env};

/// Publishes what it hears on another topic.
pub(in crate::swarm) struct Relay {
    env: Env,
    me: AgentId,
    to: TopicName,
    publisher: Publisher<Notice>,
}

impl Relay {
    pub(in crate::swarm) fn new(env: Env, me: AgentId, to: TopicName) -> Self {
        let publisher = env.publisher(&to);
        Self { env, me, to, publisher }
    }
}

impl Actor for Relay {
    type Context = Context<Self>;
}

impl Supervised for Relay {}

impl Handler<Notice> for Relay {
    type Result = ();

    fn handle(&mut self, notice: Notice, ctx: &mut Context<Self>) {
        match notice.relayed_to(&self.to) {
            Some(notice) => publish(&self.publisher, notice, &self.me, self, ctx),
            None => self.env.world.tally.note_once(
                &format!("relays/{}", self.to),
                format!("relays go in a circle by {}: notices end after {MAX_RELAYS} of them", self.to),
            ),
        }
    }
}

impl Agent for Relay {
    fn card(&self) -> Card<Self> {
        let kind = KindWord::Relay;
        Card::new().kind(kind.as_str()).offers(kind.capability()).accepts::<Notice>()
    }
}
