//! [`AskAll`]: one question to all who offer a capability.

use std::{
    future::IntoFuture,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix::Message;
use futures_util::{Stream, stream::FuturesUnordered};
use phalanx_actors::{
    agent::{AgentId, AskError, Capability, InvalidName, Reason},
    inbox::{AgentHandle, SendOptions},
    router::Selector,
};

use super::Host;

/// When enough answers are in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gather {
    /// When the deadline has come, or everyone has answered or failed. Any number of answers is enough.
    #[default]
    UntilDeadline,
    /// When everyone has answered; one missing answer is an error.
    All,
    /// When so many have answered; fewer are an error.
    First(usize),
    /// When more than half of those asked have answered; fewer are an error.
    Quorum,
}

/// What one agent answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<R> {
    /// Who.
    pub agent: AgentId,
    /// What, or why not.
    pub answer: Result<R, AskError>,
}

/// One row for each agent asked, in the order in which they were registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers<R> {
    /// The rows.
    pub rows: Vec<Answer<R>>,
}

impl<R> Answers<R> {
    /// The answers, without those who gave none.
    pub fn into_answered(self) -> impl Iterator<Item = (AgentId, R)> {
        self.rows.into_iter().filter_map(|row| Some((row.agent, row.answer.ok()?)))
    }

    /// How many answered.
    pub fn answered(&self) -> usize {
        self.rows.iter().filter(|row| row.answer.is_ok()).count()
    }
}

impl<R> IntoIterator for Answers<R> {
    type Item = Answer<R>;
    type IntoIter = std::vec::IntoIter<Answer<R>>;
    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

/// Why there are not enough answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskAllError {
    /// The capability is no name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Nobody who offers the capability accepts the message.
    #[error(
        "nobody offers {capability} and accepts a {message}: spawn an agent that does, or check its card"
    )]
    Nobody {
        /// The capability.
        capability: Capability,
        /// The type of the message.
        message: &'static str,
    },
    /// Too few answered in time.
    #[error(
        "{answered} of {asked} agents that offer {capability} answered within {within:?}, {wanted} were wanted"
    )]
    TooFew {
        /// The capability.
        capability: Capability,
        /// How many answered.
        answered: usize,
        /// How many were asked.
        asked: usize,
        /// How many were wanted.
        wanted: usize,
        /// How long they had.
        within: Duration,
    },
}

/// One question to all who offer a capability. Await it; by default it takes at most a second and gathers until then.
#[must_use = "nothing is asked before this is awaited"]
pub struct AskAll<'a, M> {
    host: &'a Host,
    capability: Result<Capability, InvalidName>,
    message: M,
    within: Duration,
    gather: Gather,
    options: SendOptions,
}

struct Pending<R> {
    row: usize,
    answer: tokio::sync::oneshot::Receiver<Result<R, Reason>>,
}

impl<R> Future for Pending<R> {
    type Output = (usize, Result<R, Reason>);
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let row = self.row;
        Pin::new(&mut self.answer).poll(cx).map(|answer| (row, answer.unwrap_or(Err(Reason::Panicked))))
    }
}

impl<'a, M> AskAll<'a, M>
where
    M: Message + Clone + Send + Sync + 'static,
    M::Result: Send,
{
    pub(super) fn new(host: &'a Host, capability: &str, message: M) -> Self {
        Self {
            host,
            capability: Capability::new(capability),
            message,
            within: Duration::from_secs(1),
            gather: Gather::default(),
            options: SendOptions::new(),
        }
    }

    /// Waits at most this long; the deadline travels with the messages.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// When enough answers are in.
    pub fn gather(mut self, gather: Gather) -> Self {
        self.gather = gather;
        self
    }

    /// Says more about the messages.
    pub fn with(mut self, options: SendOptions) -> Self {
        self.options = options;
        self
    }

    async fn answers(self) -> Result<Answers<M::Result>, AskAllError> {
        let capability = self.capability?;
        let mut asked: Vec<AgentHandle> = self.host.select(&Selector::Capability(capability.clone()));
        asked.retain(AgentHandle::accepts::<M>);
        if asked.is_empty() {
            let message = phalanx_actors::agent::short_type_name::<M>();
            return Err(AskAllError::Nobody { capability, message });
        }
        let deadline = self.host.now().plus(self.within);
        let mut rows: Vec<Answer<M::Result>> = Vec::with_capacity(asked.len());
        let mut pending = FuturesUnordered::new();
        for (row, agent) in asked.iter().enumerate() {
            let sent = agent.ask_by(self.message.clone(), self.options.clone(), deadline);
            let answer = match sent {
                Ok(answer) => {
                    pending.push(Pending { row, answer });
                    Err(AskError::TimedOut(self.within))
                }
                Err(reason) => Err(AskError::Undelivered(reason)),
            };
            rows.push(Answer { agent: agent.id().clone(), answer });
        }
        let wanted = match self.gather {
            Gather::UntilDeadline => None,
            Gather::All => Some(asked.len()),
            Gather::First(n) => Some(n),
            Gather::Quorum => Some(asked.len() / 2 + 1),
        };
        let mut answered = 0;
        let time = self.host.sleep(self.within);
        tokio::pin!(time);
        std::future::poll_fn(|cx| {
            loop {
                if wanted.is_some_and(|wanted| answered >= wanted || answered + pending.len() < wanted) {
                    return Poll::Ready(());
                }
                match Pin::new(&mut pending).poll_next(cx) {
                    Poll::Ready(Some((row, answer))) => {
                        answered += usize::from(answer.is_ok());
                        rows[row].answer = answer.map_err(|reason| match reason {
                            Reason::Expired => AskError::TimedOut(self.within),
                            reason => AskError::Undelivered(reason),
                        });
                    }
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return time.as_mut().poll(cx),
                }
            }
        })
        .await;
        match wanted {
            Some(wanted) if answered < wanted => {
                let (asked, within) = (asked.len(), self.within);
                Err(AskAllError::TooFew { capability, answered, asked, wanted, within })
            }
            _ => Ok(Answers { rows }),
        }
    }
}

impl<'a, M> IntoFuture for AskAll<'a, M>
where
    M: Message + Clone + Send + Sync + 'static,
    M::Result: Send,
{
    type Output = Result<Answers<M::Result>, AskAllError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.answers())
    }
}
