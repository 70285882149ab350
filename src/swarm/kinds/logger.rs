//! [`Logger`]: writes what it hears to the log, at its level, and counts it.
//!
//! **Restart.** Nothing is kept but the count, which is the run's.

use actix::{Actor, Context, Handler, Supervised};
use phalanx_actors::agent::{Agent, AgentId, Card};

use super::{Heard, Notice};
use crate::{
    manifest::{KindWord, Level},
    swarm::world::Env,
};

/// Writes what it hears to the log.
pub(in crate::swarm) struct Logger {
    me: AgentId,
    level: Level,
    heard: Heard,
}

impl Logger {
    pub(in crate::swarm) fn new(env: Env, me: AgentId, level: Level) -> Self {
        Self { heard: Heard::new(env, me.clone()), me, level }
    }
}

impl Actor for Logger {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.heard.tell();
    }
}

impl Supervised for Logger {}

impl Handler<Notice> for Logger {
    type Result = ();

    fn handle(&mut self, notice: Notice, _: &mut Context<Self>) {
        let Notice { topic, from, text, data, .. } = &notice;
        let agent = self.me.as_str();
        match self.level {
            Level::Trace => tracing::trace!(agent, %topic, %from, %data, "{text}"),
            Level::Debug => tracing::debug!(agent, %topic, %from, %data, "{text}"),
            Level::Info => tracing::info!(agent, %topic, %from, %data, "{text}"),
            Level::Warn => tracing::warn!(agent, %topic, %from, %data, "{text}"),
            Level::Error => tracing::error!(agent, %topic, %from, %data, "{text}"),
        }
        self.heard.count(topic);
    }
}

impl Agent for Logger {
    fn card(&self) -> Card<Self> {
        let kind = KindWord::Logger;
        Card::new().kind(kind.as_str()).offers(kind.capability()).accepts::<Notice>()
    }
}
