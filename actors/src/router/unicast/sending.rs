//! [`Publisher::unicast`] and the like: choosing one of a route's recipients, taking a place there, handing over.

use std::{ops::Range, sync::Arc, time::Duration};

use actix::Message;
use arc_swap::Guard;
use futures_util::future::select_all;

use super::{AskOne, Chosen, Unicast, UnicastError, UnicastFault};
use crate::{
    agent::{Lane, Reason, Reply, Timestamp},
    inbox::{AgentHandle, DEFAULT_ASK},
    router::{
        Publisher,
        predicate::refuse_inside,
        strategy::{AdaptiveOptions, Choice, Pool, Question, Strategy, hash_of},
    },
};

/// How many others are tried when the chosen one is full or closed.
const OTHERS: usize = 3;
/// How long one that waits for room waits before it looks at the route anew: at first, and at most.
const RESTS: Range<Duration> = Duration::from_millis(1)..Duration::from_millis(100);

/// One that was chosen and did not take the message.
struct Refusal<'a> {
    choice: Choice<'a>,
    reason: Reason,
}

impl Refusal<'_> {
    fn is_want_of_room(&self) -> bool {
        matches!(self.reason, Reason::Full | Reason::Congested)
    }
}

/// Waits until one of these may have room.
async fn room_in_one(agents: Vec<AgentHandle>, lane: Lane) {
    select_all(agents.iter().map(|agent| Box::pin(agent.room(lane)))).await;
}

impl<M: Message + Send + Sync + 'static> Publisher<M> {
    /// The same publisher, whose route chooses by this strategy where a call says nothing else; for all of its publishers.
    #[must_use]
    pub fn by(self, strategy: Strategy) -> Self {
        self.cell.one.set_strategy(strategy);
        self
    }

    /// The same publisher, whose route sheds agents and lets them back as this says; for all of its publishers.
    #[must_use]
    pub fn adapting(self, options: AdaptiveOptions) -> Self {
        self.cell.one.adaptive.store(Arc::new(options));
        self
    }

    /// By which strategy the route chooses where a call says nothing else.
    pub fn strategy(&self) -> Strategy {
        self.cell.one.strategy()
    }

    /// Sends a message to one of the route's recipients, by the strategy of the route.
    ///
    /// # Errors
    /// [`UnicastError`] says why nobody took it, and gives it back where it can.
    pub fn unicast(&self, message: M) -> Result<Chosen, UnicastError<M>>
    where
        M::Result: Send,
    {
        self.unicast_with(message, Unicast::new())
    }

    /// Sends a message to one of the route's recipients, saying more about it.
    ///
    /// # Errors
    /// [`UnicastError`] says why nobody took it, and gives it back where it can.
    pub fn unicast_with(&self, message: M, unicast: Unicast) -> Result<Chosen, UnicastError<M>>
    where
        M::Result: Send,
    {
        self.send_to_one(message, unicast, None)
    }

    /// Sends a message to one of the route's recipients as soon as one of those that the strategy would choose has room. While
    /// it waits it looks at the route anew every now and then, so whoever comes or has room by then counts.
    ///
    /// # Errors
    /// [`UnicastError`] when it is refused for another reason than want of room.
    pub async fn unicast_waiting(&self, message: M, unicast: Unicast) -> Result<Chosen, UnicastError<M>>
    where
        M::Result: Send,
    {
        if let Err(fault) = self.check(&unicast) {
            return Err(self.unsent(fault, Some(message)));
        }
        let lane = unicast.options.lane();
        let mut rest = RESTS.start;
        loop {
            let full = {
                let pool = self.pool();
                let Some(pool) = &*pool else { return Err(self.unsent(UnicastFault::Nobody, Some(message))) };
                match self.place_for(pool, &message, &unicast) {
                    Ok((choice, refused)) => return self.hand_over(&choice, refused, message, unicast, None),
                    Err(refusals) if refusals.iter().any(Refusal::is_want_of_room) => {
                        let full = refusals.into_iter().filter(Refusal::is_want_of_room);
                        full.map(|refusal| refusal.choice.spot.agent.clone()).collect()
                    }
                    Err(refusals) => return Err(self.refused(pool, &refusals, message)),
                }
            };
            // Looks again in any case: others than these may have room before them.
            _ = tokio::time::timeout(rest, room_in_one(full, lane)).await;
            rest = (rest * 2).min(RESTS.end);
        }
    }

    /// Asks one of the route's recipients, by the strategy of the route.
    pub fn ask_one(&self, message: M) -> AskOne<'_, M>
    where
        M::Result: Send,
    {
        AskOne { publisher: self, message, unicast: Unicast::new(), within: DEFAULT_ASK }
    }

    /// Takes a decision and sends nothing; it counts as one all the same. For measurements.
    #[doc(hidden)]
    pub fn decide(&self, message: &M, unicast: &Unicast) -> bool {
        let one = &self.cell.one;
        let pool = self.pool();
        let Some(pool) = &*pool else { return false };
        let Unicast { key, point, .. } = unicast;
        let (strategy, now) = (self.strategy_for(unicast), self.cell.hub.now().micros());
        let key = hash_of(key, self.cell.hub.seed());
        let ask = Question { strategy, key, point: *point, message, refused: &[], now };
        pool.choose(one, &ask).is_some()
    }

    /// The pool of the route, made when it is first asked for; none when the host is no more.
    fn pool(&self) -> Guard<Option<Arc<Pool>>> {
        let pool = &self.cell.one.pool;
        let loaded = pool.load();
        if loaded.is_some() {
            return loaded;
        }
        self.cell.open_pool();
        pool.load()
    }

    /// That of the call, else that of the route.
    fn strategy_for(&self, unicast: &Unicast) -> Strategy {
        unicast.strategy.unwrap_or_else(|| self.strategy())
    }

    /// Refuses what no pool can answer.
    fn check(&self, unicast: &Unicast) -> Result<(), UnicastFault> {
        refuse_inside();
        let strategy = self.strategy_for(unicast);
        match (strategy, unicast.key, unicast.point) {
            (Strategy::Consistent, None, _) => Err(UnicastFault::NoKey),
            (Strategy::Geographic, _, None) => Err(UnicastFault::NoPoint),
            (Strategy::Geographic, _, Some(point)) if !point.is_on_earth() => {
                Err(UnicastFault::BadPoint(point))
            }
            _ => Ok(()),
        }
    }

    /// Takes a place in the inbox of one of them; answers how many refused before, or all of those.
    fn place_for<'a>(
        &self,
        pool: &'a Pool,
        message: &M,
        unicast: &Unicast,
    ) -> Result<(Choice<'a>, usize), Vec<Refusal<'a>>> {
        let (hub, one) = (&self.cell.hub, &self.cell.one);
        let Unicast { key, point, options, .. } = unicast;
        let strategy = self.strategy_for(unicast);
        let key = hash_of(key, hub.seed());
        let now = if strategy == Strategy::Adaptive { hub.now().micros() } else { 0 };
        let (mut buckets, mut refusals) = ([0; OTHERS + 1], Vec::new());
        while refusals.len() <= OTHERS {
            let refused = &buckets[..refusals.len()];
            let ask = Question { strategy, key, point: *point, message, refused, now };
            let Some(choice) = pool.choose(one, &ask) else { break };
            match choice.spot.agent.door.admit(options.lane()) {
                Ok(()) => return Ok((choice, refusals.len())),
                Err(reason) => {
                    buckets[refusals.len()] = choice.bucket();
                    refusals.push(Refusal { choice, reason });
                }
            }
        }
        Err(refusals)
    }

    /// Sends the message to the one where it has a place.
    fn hand_over(
        &self,
        choice: &Choice<'_>,
        refused: usize,
        message: M,
        unicast: Unicast,
        asks: Option<(Timestamp, Reply<M::Result>)>,
    ) -> Result<Chosen, UnicastError<M>>
    where
        M::Result: Send,
    {
        let agent = &choice.spot.agent;
        let strategy = self.strategy_for(&unicast);
        let (by, reply) = asks.map_or((None, None), |(by, reply)| (Some(by), Some(reply)));
        match agent.send(message, unicast.options, by, reply, true) {
            Ok(()) => Ok(Chosen { agent: agent.id().clone(), strategy, why: choice.why, refused }),
            Err(_) => Err(self.unsent(UnicastFault::Intervened, None)),
        }
    }

    /// Why nobody took it, accounted for as refused by the last that did not.
    fn refused(&self, pool: &Pool, refusals: &[Refusal<'_>], message: M) -> UnicastError<M> {
        let Some(Refusal { choice, reason }) = refusals.last() else {
            let fault = match pool.len() {
                0 => UnicastFault::Nobody,
                _ if pool.is_closed() => UnicastFault::Closed,
                _ => UnicastFault::Unwanted,
            };
            return self.unsent(fault, Some(message));
        };
        let (agent, reason) = (&choice.spot.agent, *reason);
        let fault = UnicastFault::Refused { agent: agent.id().clone(), reason, tried: refusals.len() };
        self.unsent(fault, agent.turn_away(message, reason).message)
    }

    fn unsent(&self, fault: UnicastFault, message: Option<M>) -> UnicastError<M> {
        UnicastError { route: self.cell.route.name.clone(), fault, message }
    }

    pub(super) fn send_to_one(
        &self,
        message: M,
        unicast: Unicast,
        asks: Option<(Timestamp, Reply<M::Result>)>,
    ) -> Result<Chosen, UnicastError<M>>
    where
        M::Result: Send,
    {
        if let Err(fault) = self.check(&unicast) {
            return Err(self.unsent(fault, Some(message)));
        }
        let pool = self.pool();
        let Some(pool) = &*pool else { return Err(self.unsent(UnicastFault::Nobody, Some(message))) };
        match self.place_for(pool, &message, &unicast) {
            Ok((choice, refused)) => self.hand_over(&choice, refused, message, unicast, asks),
            Err(refusals) => Err(self.refused(pool, &refusals, message)),
        }
    }
}
