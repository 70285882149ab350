//! [`Relay`]: publishes what it hears on another topic.
//!
//! **Invariant.** What it hears it publishes once and in order, waiting for room where there is none; only a notice that was
//! relayed [`MAX_RELAYS`](super::MAX_RELAYS) times is let go, and the run says so.
//! **Restart.** Nothing is kept.

use actix::{Actor, Context, Handler, Supervised};
use phalanx_actors::agent::{Agent, AgentId, Card, TopicName};

use super::{MAX_RELAYS, Notice, Outlet, publish};
use crate::{manifest::KindWord, swarm::world::Env};

/// Publishes what it hears on another topic.
pub(in crate::swarm) struct Relay {
    env: Env,
    me: AgentId,
    outlet: Outlet,
}

impl Relay {
    pub(in crate::swarm) fn new(env: Env, me: AgentId, to: &TopicName) -> Self {
        let outlet = Outlet::open(&env, to);
        Self { env, me, outlet }
    }
}

impl Actor for Relay {
    type Context = Context<Self>;
}

impl Supervised for Relay {}

impl Handler<Notice> for Relay {
    type Result = ();

    fn handle(&mut self, notice: Notice, ctx: &mut Context<Self>) {
        let to = &self.outlet.topic;
        match notice.relayed_to(to) {
            Some(notice) => publish(&self.outlet, notice, &self.me, self, ctx, || {}),
            None => self.env.world.tally.note_once(
                &format!("relays/{to}"),
                format!("relays go in a circle by {to}: notices end after {MAX_RELAYS} of them"),
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
