//! Sending: what may be said with a message, and [`Ask`], an answer on its way.

use std::{
    future::IntoFuture,
    pin::Pin,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::agent::{AgentId, AskError, Lane, Meta, Priority, Reason, TraceContext};

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
    pub(crate) priority: Priority,
    pub(crate) control: bool,
    pub(crate) sender: Option<AgentId>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) deadline: Option<crate::agent::Timestamp>,
    pub(crate) attempt: u16,
    pub(crate) trace: Option<Box<TraceContext>>,
}

impl SendOptions {
    /// Normal priority, no sender, no deadline.
    pub fn new() -> Self {
        Self::default()
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
        self.sender = Some(sender.clone());
        self
    }

    /// After this long it is no longer handled but counted as expired.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// After this point of the host's clock it is no longer handled; so a deadline travels from message to message.
    pub fn deadline(mut self, deadline: Option<crate::agent::Timestamp>) -> Self {
        self.deadline = deadline;
        self
    }

    /// How often it was tried before.
    pub fn attempt(mut self, attempt: u16) -> Self {
        self.attempt = attempt;
        self
    }

    /// The trace it belongs to.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(Box::new(trace));
        self
    }

    pub(crate) fn lane(&self) -> Lane {
        if self.control { Lane::Control } else { self.priority.into() }
    }

    pub(crate) fn stamp(self, hub: &Hub, writer: Writer) -> Meta {
        let lane = self.lane();
        let ttl = self.ttl.map(|ttl| hub.deadline(ttl));
        let deadline = match (self.deadline, ttl) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Meta {
            id: hub.next_id(writer),
            sender: self.sender,
            lane,
            deadline,
            attempt: self.attempt,
            trace: self.trace,
        }
    }
}

/// An answer on its way. Await it; by default it takes at most 30 s.
///
/// Created by [`AgentRef::ask`](super::AgentRef::ask) and [`AgentHandle::ask`](super::AgentHandle::ask). The message is
/// sent when this is awaited, with the deadline, so that an agent does not start what nobody waits for any more.
#[must_use = "nothing is asked before this is awaited"]
pub struct Ask<'a, R> {
    send: Box<dyn FnOnce(SendOptions) -> Result<oneshot::Receiver<Result<R, Reason>>, Reason> + 'a>,
    hub: &'a Hub,
    within: Duration,
    options: SendOptions,
}

impl<'a, R> Ask<'a, R> {
    pub(crate) fn new(
        hub: &'a Hub,
        options: SendOptions,
        send: impl FnOnce(SendOptions) -> Result<oneshot::Receiver<Result<R, Reason>>, Reason> + 'a,
    ) -> Self {
        Self { send: Box::new(send), hub, within: DEFAULT_ASK, options }
    }

    /// Waits at most this long for the answer; the deadline travels with the message.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Says more about the message.
    pub fn with(mut self, options: SendOptions) -> Self {
        self.options = options;
        self
    }

    /// Sends the message now and waits for the answer.
    ///
    /// # Errors
    /// [`AskError`] says whether the message was not delivered or no answer came in time.
    pub async fn answer(self) -> Result<R, AskError> {
        let Self { send, hub, within, options } = self;
        let deadline = hub.deadline(within);
        let deadline = options.deadline.map_or(deadline, |earlier| earlier.min(deadline));
        let answer = send(options.deadline(Some(deadline))).map_err(AskError::Undelivered)?;
        match tokio::time::timeout_at(hub.instant(deadline), answer).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(Reason::Expired))) | Err(_) => Err(AskError::TimedOut(within)),
            Ok(Ok(Err(reason))) => Err(AskError::Undelivered(reason)),
            // The sender of the reply was dropped by unwinding.
            Ok(Err(_)) => Err(AskError::Undelivered(Reason::Panicked)),
        }
    }
}

impl<'a, R: 'a> IntoFuture for Ask<'a, R> {
    type Output = Result<R, AskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.answer())
    }
}
