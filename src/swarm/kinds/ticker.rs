//! [`Ticker`]: publishes a tick at a fixed interval, until its limit.
//!
//! **Invariant.** Ticks are numbered 1, 2, 3 and so on over all incarnations, and there are no more than the limit.
//! **Restart.** The number of ticks is the run's: a rebuilt ticker goes on from there, an interval after it is back.

use actix::{Actor, AsyncContext, Context, SpawnHandle, Supervised};
use phalanx_actors::agent::{Agent, AgentId, Card};
use serde_json::json;

use super::{Notice, Outlet, publish};
use crate::{manifest, manifest::KindWord, swarm::world::Env};

/// Publishes a tick at a fixed interval.
pub(in crate::swarm) struct Ticker {
    env: Env,
    me: AgentId,
    parameters: manifest::Ticker,
    outlet: Outlet,
    interval: Option<SpawnHandle>,
}

impl Ticker {
    pub(in crate::swarm) fn new(env: Env, me: AgentId, parameters: manifest::Ticker) -> Self {
        let outlet = Outlet::open(&env, &parameters.topic);
        Self { env, me, parameters, outlet, interval: None }
    }

    fn tick(&self, ctx: &mut Context<Self>) -> bool {
        let Some((tick, last)) = self.env.world.tally.tick(&self.me, self.parameters.limit) else {
            // Rebuilt while its last tick waited for room, which is lost with what it was.
            self.env.world.tally.ticked_out(&self.me);
            return false;
        };
        let data = json!({"tick": tick, "at_us": self.env.host.now().micros()});
        let topic = self.parameters.topic.clone();
        let notice = Notice::new(topic, self.me.as_str(), &format!("tick {tick}"), data);
        let (world, me) = (self.env.world.clone(), self.me.clone());
        publish(&self.outlet, notice, &self.me, self, ctx, move || {
            if last {
                // Only now, so that nobody takes the run for ended before the last tick is on its way.
                world.tally.ticked_out(&me);
            }
        });
        !last
    }
}

impl Actor for Ticker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let interval = ctx.run_interval(self.parameters.every, |ticker, ctx| {
            if !ticker.tick(ctx)
                && let Some(interval) = ticker.interval.take()
            {
                ctx.cancel_future(interval);
            }
        });
        self.interval = Some(interval);
    }
}

impl Supervised for Ticker {}

impl Agent for Ticker {
    fn card(&self) -> Card<Self> {
        let kind = KindWord::Ticker;
        Card::new().kind(kind.as_str()).offers(kind.capability())
    }
}
