//! [`Hasher`]: takes the SHA-256 of files, and of hashes.
//!
//! Files are read and hashed on threads of their own, so that the arbiter goes on with its other agents.
//!
//! **Restart.** Nothing is kept. What was being hashed is given up, its reading stops, and the task is tried again. An attempt
//! that is recalled lets go when its reading has stopped.

use actix::{Actor, Context, Handler, ResponseActFuture, Supervised, WrapFuture};
use phalanx_actors::{
    agent::{Agent, Card},
    coordinator::Work,
};
use serde_json::Value;

use crate::{
    manifest::KindWord,
    swarm::{bodies, world::Env},
};

/// Takes the SHA-256 of files, and of hashes.
pub(in crate::swarm) struct Hasher {
    env: Env,
    chunk: usize,
}

impl Hasher {
    /// A hasher that reads so many bytes at once.
    pub(in crate::swarm) fn new(env: Env, chunk: usize) -> Self {
        Self { env, chunk }
    }
}

impl Actor for Hasher {
    type Context = Context<Self>;
}

impl Supervised for Hasher {}

impl Handler<Work> for Hasher {
    type Result = ResponseActFuture<Self, Result<Value, String>>;

    fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Self::Result {
        Box::pin(bodies::perform_task(self.env.clone(), work, self.chunk).into_actor(self))
    }
}

impl Agent for Hasher {
    fn card(&self) -> Card<Self> {
        let kind = KindWord::Hasher;
        Card::new().kind(kind.as_str()).offers(kind.capability()).accepts::<Work>()
    }
}
