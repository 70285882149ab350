//! Sending to one of a route's recipients: [`Publisher::unicast`], [`Publisher::ask_one`], [`Unicast`], [`Chosen`].
//!
//! ```text
//!  unicast ──> pool: choose ──> take a place in its inbox ──> as any message for one agent
//!                  ^                     │ full, congested or closed
//!                  └── the next best <───┘ three times at most
//! ```
//!
//! **Invariant.** A message is counted once, whoever refused it on the way: as sent to the one that took it, or else as
//! refused by the last that did not.

mod sending;

use std::{fmt, future::IntoFuture, hash::Hash, pin::Pin, sync::Arc, time::Duration};

use actix::Message;

use super::{
    Publisher,
    strategy::{Strategy, Why, hash_of},
};
use crate::{
    agent::{AgentId, AskError, Location, Reason, Reply, short_type_name},
    inbox::{Ask, SendOptions},
};

/// What may be said with a message to one of many.
///
/// # Examples
/// ```
/// use phalanx_actors::router::{Strategy, Unicast};
///
/// let to_owner = Unicast::new().by(Strategy::Consistent).key("order-7");
/// let to_nearest = Unicast::new().by(Strategy::Geographic).near(48.9, 2.4);
/// # let _ = (to_owner, to_nearest);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Unicast {
    strategy: Option<Strategy>,
    key: Option<u64>,
    point: Option<Location>,
    options: SendOptions,
}

impl Unicast {
    /// By the strategy of the route, with normal priority.
    pub fn new() -> Self {
        Self::default()
    }

    /// By this strategy, whatever the route's is.
    #[must_use]
    pub fn by(mut self, strategy: Strategy) -> Self {
        self.strategy = Some(strategy);
        self
    }

    /// With this key, which [`Strategy::Consistent`] needs.
    #[must_use]
    pub fn key(mut self, key: &(impl Hash + ?Sized)) -> Self {
        self.key = Some(hash_of(key, 0));
        self
    }

    /// Near this point, which [`Strategy::Geographic`] needs: degrees north of the equator, and east of Greenwich.
    #[must_use]
    pub fn near(mut self, latitude: f64, longitude: f64) -> Self {
        self.point = Some(Location { latitude, longitude });
        self
    }

    /// Says more about the message.
    #[must_use]
    pub fn options(mut self, options: SendOptions) -> Self {
        self.options = options;
        self
    }
}

/// Who was chosen, and why. Its text is one line.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// Who got the message.
    pub agent: AgentId,
    /// By which strategy.
    pub strategy: Strategy,
    /// Why this one.
    pub why: Why,
    /// How many refused it before.
    pub refused: usize,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, strategy, why, refused } = self;
        write!(f, "{agent} by {strategy}: {why}")?;
        if *refused > 0 {
            write!(f, "; {refused} refused it before")?;
        }
        Ok(())
    }
}

/// Why a message was sent to nobody.
#[derive(Debug, Clone, PartialEq)]
pub enum UnicastFault {
    /// Nobody is on the route.
    Nobody,
    /// All that are on the route are stopping or have stopped.
    Closed,
    /// The predicates of all who could take it refuse it.
    Unwanted,
    /// The strategy needs a key.
    NoKey,
    /// The strategy needs a point.
    NoPoint,
    /// The point is nowhere on Earth.
    BadPoint(Location),
    /// All that were tried refused it.
    Refused {
        /// The last one.
        agent: AgentId,
        /// Why it refused.
        reason: Reason,
        /// How many were tried.
        tried: usize,
    },
    /// An intervention dropped it.
    Intervened,
}

impl UnicastFault {
    /// Whether sending the same message again later may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            UnicastFault::Refused { reason, .. } => reason.is_transient(),
            UnicastFault::Nobody | UnicastFault::Closed => true,
            UnicastFault::Unwanted
            | UnicastFault::NoKey
            | UnicastFault::NoPoint
            | UnicastFault::BadPoint(_)
            | UnicastFault::Intervened => false,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            UnicastFault::Refused { reason, .. } => *reason,
            UnicastFault::Intervened => Reason::Intervened,
            UnicastFault::Closed => Reason::Closed,
            _ => Reason::Unknown,
        }
    }
}

/// A message that was sent to nobody.
pub struct UnicastError<M> {
    /// The topic, group or capability.
    pub route: Arc<str>,
    /// Why.
    pub fault: UnicastFault,
    /// The message, unless an intervention dropped it: then it is in the dead letters.
    pub message: Option<M>,
}

impl<M> fmt::Debug for UnicastError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnicastError")
            .field("route", &self.route)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Display for UnicastError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { route, fault, .. } = self;
        match fault {
            UnicastFault::Nobody => write!(
                f,
                "nobody is on {route}: spawn an agent that accepts a {}, or subscribe one",
                short_type_name::<M>()
            ),
            UnicastFault::Closed => {
                write!(f, "all agents on {route} are stopping or have stopped: spawn another")
            }
            UnicastFault::Unwanted => write!(
                f,
                "nobody on {route} wants the message: the predicates of all subscriptions refuse it"
            ),
            UnicastFault::NoKey => {
                write!(f, "{route} cannot choose by consistent without a key: add one with Unicast::key")
            }
            UnicastFault::NoPoint => {
                write!(f, "{route} cannot choose by geographic without a point: add one with Unicast::near")
            }
            UnicastFault::BadPoint(Location { latitude, longitude }) => write!(
                f,
                "{route} cannot choose near latitude {latitude}, longitude {longitude}: \
                 give -90 to 90 degrees north and -180 to 180 degrees east"
            ),
            UnicastFault::Refused { agent, reason, tried } => {
                write!(f, "{tried} on {route} refused the message, the last one was {agent}: {reason}")
            }
            UnicastFault::Intervened => write!(f, "{route} did not take the message: {}", Reason::Intervened),
        }
    }
}

impl<M> std::error::Error for UnicastError<M> {}

/// What one of many answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered<R> {
    /// Who was asked, and why.
    pub chosen: Chosen,
    /// What it answered.
    pub answer: R,
}

/// Why one of many gave no answer.
pub enum AskOneError<M> {
    /// Nobody was asked.
    Unsent(UnicastError<M>),
    /// Somebody was asked and did not answer.
    Unanswered {
        /// Who was asked, and why.
        chosen: Chosen,
        /// Why there is no answer.
        error: AskError,
    },
}

impl<M> fmt::Display for AskOneError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskOneError::Unsent(error) => error.fmt(f),
            AskOneError::Unanswered { chosen, error } => write!(f, "{}: {error}", chosen.agent),
        }
    }
}

impl<M> fmt::Debug for AskOneError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskOneError::Unsent(error) => f.debug_tuple("Unsent").field(error).finish(),
            AskOneError::Unanswered { chosen, error } => {
                f.debug_struct("Unanswered").field("chosen", chosen).field("error", error).finish()
            }
        }
    }
}

impl<M> std::error::Error for AskOneError<M> {}

/// A question to one of many. Await it; by default it takes at most 30 s.
#[must_use = "nothing is asked before this is awaited"]
pub struct AskOne<'a, M> {
    publisher: &'a Publisher<M>,
    message: M,
    unicast: Unicast,
    within: Duration,
}

impl<M> AskOne<'_, M>
where
    M: Message + Send + Sync + 'static,
    M::Result: Send,
{
    /// Waits at most this long for the answer; the deadline travels with the message.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Says more about whom to ask, and how.
    pub fn with(mut self, unicast: Unicast) -> Self {
        self.unicast = unicast;
        self
    }

    async fn answered(self) -> Result<Answered<M::Result>, AskOneError<M>> {
        let Self { publisher, message, mut unicast, within } = self;
        let options = std::mem::take(&mut unicast.options);
        let mut sent = None;
        let ask = Ask::new(&publisher.cell.hub, |options, by| {
            let (reply, answer) = Reply::new();
            let result = publisher.send_to_one(message, unicast.options(options), Some((by, reply)));
            let refused = result.as_ref().err().map(|error| error.fault.reason());
            sent = Some(result);
            refused.map_or(Ok(answer), Err)
        });
        let answer = ask.within(within).with(options).answer().await;
        let chosen = sent.expect("an ask sends before it answers").map_err(AskOneError::Unsent)?;
        match answer {
            Ok(answer) => Ok(Answered { chosen, answer }),
            Err(error) => Err(AskOneError::Unanswered { chosen, error }),
        }
    }
}

impl<'a, M> IntoFuture for AskOne<'a, M>
where
    M: Message + Send + Sync + 'static,
    M::Result: Send,
{
    type Output = Result<Answered<M::Result>, AskOneError<M>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.answered())
    }
}
