//! The kinds of agents that are built in, a file each, and [`Notice`], what they hear and say.
//!
//! ```text
//! ticker ──Notice──> topic ──> relay ──Notice──> topic ──> counter, logger
//! coordinator ──Work──> hasher (hash_file, combine_hashes), runner (the other bodies)
//! ```

mod counter;
mod hasher;
mod logger;
mod notice;
mod outlet;
mod relay;
mod runner;
mod ticker;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use actix::{Actor, AsyncContext, Context, WrapFuture};
use phalanx_actors::agent::{AgentId, TopicName};

use super::world::Env;

pub use notice::{MAX_RELAYS, Notice};
pub(super) use {
    counter::Counter, hasher::Hasher, logger::Logger, outlet::Outlet, relay::Relay, runner::Runner,
    ticker::Ticker,
};

/// Publishes now, or, when the recipients have no room, lets the agent wait for them before it does anything else; so
/// order is kept and a flood reaches back to where it comes from. Then it is on its way, and `then` is called.
fn publish<A: Actor<Context = Context<A>>>(
    outlet: &Outlet,
    notice: Notice,
    me: &AgentId,
    actor: &A,
    ctx: &mut Context<A>,
    then: impl FnOnce() + 'static,
) {
    match outlet.send(notice, Some(me)) {
        Ok(()) => then(),
        Err(notice) => {
            let (outlet, me) = (outlet.clone(), me.clone());
            let waiting = async move {
                outlet.send_waiting(notice, Some(me)).await;
                then();
            };
            ctx.wait(waiting.into_actor(actor));
        }
    }
}

/// What one agent has heard, by topic. The counts are the run's and survive the agent's restarts.
struct Heard {
    env: Env,
    me: AgentId,
    by_topic: BTreeMap<TopicName, Arc<AtomicU64>>,
}

impl Heard {
    fn new(env: Env, me: AgentId) -> Self {
        Self { env, me, by_topic: BTreeMap::new() }
    }

    fn count(&mut self, topic: &TopicName) {
        let count = if let Some(count) = self.by_topic.get(topic) {
            count
        } else {
            let count = self.env.world.gauge(&self.me, topic);
            self.by_topic.entry(topic.clone()).or_insert(count)
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells the monitor.
    fn tell(&self) {
        for (topic, count) in &self.by_topic {
            self.env.tell_count(&self.me, topic, count.load(Ordering::Relaxed));
        }
    }
}
