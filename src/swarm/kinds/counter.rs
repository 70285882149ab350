//! [`Counter`]: counts what it hears, by topic, and tells the monitor when it stops.
//!
//! **Restart.** The counts are the run's: a rebuilt counter counts on.

use actix::{Actor, Context, Handler, Supervised};
use phalanx_actors::agent::{Agent, AgentId, Card};

use super::{Heard, Notice};
use crate::{manifest::KindWord, swarm::world::Env};

/// Counts what it hears.
pub(in crate::swarm) struct Counter(Heard);

impl Counter {
    pub(in crate::swarm) fn new(env: Env, me: AgentId) -> Self {
        Self(Heard::new(env, me))
    }
}

impl Actor for Counter {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.0.tell();
    }
}

impl Supervised for Counter {}

impl Handler<Notice> for Counter {
    type Result = ();

    fn handle(&mut self, notice: Notice, _: &mut Context<Self>) {
        self.0.count(&notice.topic);
    }
}

impl Agent for Counter {
    fn card(&self) -> Card<Self> {
        let kind = KindWord::Counter;
        Card::new().kind(kind.as_str()).offers(kind.capability()).accepts::<Notice>()
    }
}
