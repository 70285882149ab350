//! Sending: what may be said with a message, and [`Ask`], an answer on its way.

use std::{
    future::{IntoFuture, poll_fn},
    marker::PhantomData,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::agent::{AgentId, AskError, Lane, Meta, Priority, Reason, Timestamp, TraceContext};

use super::{Hub, ledger::Writer};

/// How long an ask waits when nothing else is said.
pub const DEFAULT_ASK: Duration = Duration::from_secs(30);

/// What may be said with a message.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use phalanx_actors::{agent::Priority, inbox::SendOptions};
///
/// let options = SendOptions::new().priority(Priority::Urgent).ttl(Duration::from_secs(300));
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct SendOptions {
    priority: Priority,
    control: bool,
    /// What is seldom said, so that a plain message moves little.
    seldom: Option<Box<Seldom>>,
}

#[derive(Debug, Clone, Default)]
struct Seldom {
    sender: Option<AgentId>,
    ttl: Option<Duration>,
    deadline: Option<Timestamp>,
    attempt: u16,
    trace: Option<TraceContext>,
    recall: Option<CancellationToken>,
}

impl Seldom {
    #[inline(never)]
    fn stamp(self, meta: Meta, hub: &Hub) -> Meta {
        let Seldom { sender, ttl, deadline, attempt, trace, recall } = self;
        let ttl = ttl.map(|ttl| hub.deadline(ttl));
        let deadline = [deadline, ttl, meta.deadline()].into_iter().flatten().min();
        Meta::new(meta.id(), meta.lane(), deadline)
            .with_attempt(attempt)
            .with_sender(sender)
            .with_trace(trace)
            .with_recall(recall)
    }
}

impl SendOptions {
    /// Normal priority, no sender, no deadline.
    pub fn new() -> Self {
        Self::default()
    }

    fn seldom(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_with(Box::default)
    }

    /// Which lane it waits in. A message overtakes those of lower priority.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sends it in the control lane, which no overflow policy drops from.
    pub fn control(mut self) -> Self {
        self.control = true;
        self
    }

    /// Says who sends it.
    pub fn from(mut self, sender: &AgentId) -> Self {
        self.seldom().sender = Some(sender.clone());
        self
    }

    /// After this long it is no longer handled but counted as expired.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.seldom().ttl = Some(ttl);
        self
    }

    /// After this point of the host's clock it is no longer handled; so a deadline travels from message to message.
    pub fn deadline(mut self, deadline: Option<Timestamp>) -> Self {
        self.seldom().deadline = deadline;
        self
    }

    /// How often it was tried before.
    pub fn attempt(mut self, attempt: u16) -> Self {
        self.seldom().attempt = attempt;
        self
    }

    /// The trace it belongs to.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.seldom().trace = Some(trace);
        self
    }

    /// Drops the message unhandled when this is cancelled before its turn has come. Only for asks, which have a deadline.
    pub(crate) fn recalled_by(mut self, recall: CancellationToken) -> Self {
        self.seldom().recall = Some(recall);
        self
    }

    #[inline]
    pub(crate) fn lane(&self) -> Lane {
        if self.control { Lane::Control } else { self.priority.into() }
    }

    #[inline]
    pub(crate) fn stamp(self, hub: &Hub, writer: Writer, by: Option<Timestamp>) -> Meta {
        let (id, lane) = (hub.next_id(writer), self.lane());
        let meta = Meta::new(id, lane, by);
        match self.seldom {
            None => meta,
            Some(seldom) => seldom.stamp(meta, hub),
        }
    }
}

/// An answer on its way. Await it; by default it takes at most 30 s.
///
/// Created by [`AgentRef::ask`](super::AgentRef::ask) and [`AgentHandle::ask`](super::AgentHandle::ask). The message is
/// sent when this is awaited, with the deadline, so that an agent does not start what nobody waits for any more.
#[must_use = "nothing is asked before this is awaited"]
pub struct Ask<'a, R, S> {
    send: S,
    hub: &'a Hub,
    within: Duration,
    options: SendOptions,
    answer: PhantomData<fn() -> R>,
}

/// Where an answer arrives, or why the message was not accepted.
pub type Asked<R> = Result<oneshot::Receiver<Result<R, Reason>>, Reason>;

impl<'a, R, S> Ask<'a, R, S>
where
    S: FnOnce(SendOptions, Timestamp) -> Result<oneshot::Receiver<Result<R, Reason>>, Reason>,
{
    pub(crate) fn new(hub: &'a Hub, send: S) -> Self {
        Self { send, hub, within: DEFAULT_ASK, options: SendOptions::new(), answer: PhantomData }
    }

    /// Waits at most this long for the answer; the deadline travels with the message.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Says more about the message. An earlier deadline among the options holds for the answer, too.
    pub fn with(mut self, options: SendOptions) -> Self {
        self.options = options;
        self
    }

    /// Sends the message now and waits for the answer.
    ///
    /// # Errors
    /// [`AskError`] says whether the message was not delivered or no answer came in time.
    pub async fn answer(self) -> Result<R, AskError> {
        let Self { send, hub, within, options, .. } = self;
        let mut deadline = hub.deadline(within);
        if let Some(earlier) = options.seldom.as_ref().and_then(|seldom| seldom.deadline) {
            deadline = deadline.min(earlier);
        }
        let mut answer = send(options, deadline).map_err(AskError::Undelivered)?;
        let answered = match soon(&mut answer).await {
            Some(answered) => answered,
            None => match tokio::time::timeout_at(hub.instant(deadline), answer).await {
                Ok(answered) => answered,
                Err(_) => return Err(AskError::TimedOut(within)),
            },
        };
        match answered {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Reason::Expired)) => Err(AskError::TimedOut(within)),
            Ok(Err(reason)) => Err(AskError::Undelivered(reason)),
            // The sender of the reply was dropped by unwinding.
            Err(_) => Err(AskError::Undelivered(Reason::Panicked)),
        }
    }
}

/// The answer, when it is there as soon as all tasks that are ready now had their turn; an agent of the same arbiter
/// answers within that time, and no timer is needed.
async fn soon<T>(answer: &mut oneshot::Receiver<T>) -> Option<Result<T, oneshot::error::RecvError>> {
    let mut has_looked = false;
    poll_fn(|context| match Pin::new(&mut *answer).poll(context) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending if has_looked => Poll::Ready(None),
        Poll::Pending => {
            has_looked = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

impl<'a, R: 'a, S> IntoFuture for Ask<'a, R, S>
where
    S: FnOnce(SendOptions, Timestamp) -> Result<oneshot::Receiver<Result<R, Reason>>, Reason> + 'a,
{
    type Output = Result<R, AskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.answer())
    }
}
