//! [`Runner`]: runs programs, waits for ports, reads files, sleeps.
//!
//! **Restart.** Nothing is kept. A program that was running is killed, and the task is tried again. An attempt that is recalled
//! lets go when its program is gone.

use actix::{Actor, Context, Handler, ResponseActFuture, Supervised, WrapFuture};
use phalanx_actors::{
    agent::{Agent, Card},
    coordinator::Work,
};
use serde_json::Value;

use crate::{
    manifest::{Hasher, KindWord},
    swarm::{bodies, world::Env},
};

/// Runs programs, waits for ports, reads files, sleeps.
pub(in crate::swarm) struct Runner {
    env: Env,
}

impl Runner {
    pub(in crate::swarm) fn new(env: Env) -> Self {
        Self { env }
    }
}

impl Actor for Runner {
    type Context = Context<Self>;
}

impl Supervised for Runner {}

impl Handler<Work> for Runner {
    type Result = ResponseActFuture<Self, Result<Value, String>>;

    fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Self::Result {
        Box::pin(bodies::perform_task(self.env.clone(), work, Hasher::default().chunk).into_actor(self))
    }
}

impl Agent for Runner {
    fn card(&self) -> Card<Self> {
        let kind = KindWord::Runner;
        Card::new().kind(kind.as_str()).offers(kind.capability()).accepts::<Work>()
    }
}
