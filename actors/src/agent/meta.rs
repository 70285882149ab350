//! What travels with a message: [`Meta`], and both together: [`Parcel`].

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{AgentId, ConfirmedBy, Priority, Timestamp};

/// Identifies one message on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub(crate) u64);

impl MessageId {
    /// The part that differs most between messages.
    pub(crate) fn low(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).expect("masked above")
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// One of the six queues of an inbox, the first served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Lane {
    /// The host's own signals; never dropped by an overflow policy.
    Control = 0,
    /// [`Priority::Critical`].
    Critical = 1,
    /// [`Priority::Urgent`].
    Urgent = 2,
    /// [`Priority::High`].
    High = 3,
    /// [`Priority::Normal`].
    Normal = 4,
    /// [`Priority::Low`].
    Low = 5,
}

impl Lane {
    /// All lanes, the first served first.
    pub const ALL: [Lane; 6] =
        [Lane::Control, Lane::Critical, Lane::Urgent, Lane::High, Lane::Normal, Lane::Low];

    /// Whether messages of this lane may pass those waiting between arbiters.
    pub(crate) const fn is_express(self) -> bool {
        matches!(self, Lane::Control | Lane::Critical | Lane::Urgent)
    }
}

impl From<Priority> for Lane {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Critical => Lane::Critical,
            Priority::Urgent => Lane::Urgent,
            Priority::High => Lane::High,
            Priority::Normal => Lane::Normal,
            Priority::Low => Lane::Low,
        }
    }
}

/// The W3C trace context of a message: which trace it belongs to, and which span sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceContext {
    /// The trace, shared by all messages that one cause set off.
    pub trace_id: u128,
    /// The span that sent this message.
    pub span_id: u64,
}

/// What travels with a message beside its content.
///
/// Kept small, because every message carries one: what is seldom said stands apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "MetaForm", into = "MetaForm")]
pub struct Meta {
    id: MessageId,
    /// `u64::MAX` stands for none \[us\].
    deadline_us: u64,
    attempt: u16,
    lane: Lane,
    seldom: Option<Box<Seldom>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seldom {
    sender: Option<AgentId>,
    trace: Option<TraceContext>,
    recall: Option<CancellationToken>,
    confirmed_by: Option<ConfirmedBy>,
}

/// How [`Meta`] is written.
#[derive(Serialize, Deserialize)]
struct MetaForm {
    id: MessageId,
    lane: Lane,
    attempt: u16,
    deadline_us: Option<u64>,
    sender: Option<AgentId>,
    trace: Option<TraceContext>,
}

impl From<MetaForm> for Meta {
    fn from(form: MetaForm) -> Self {
        let deadline = form.deadline_us.map(|us| Timestamp::from_start(Duration::from_micros(us)));
        Meta::new(form.id, form.lane, deadline)
            .with_attempt(form.attempt)
            .with_sender(form.sender)
            .with_trace(form.trace)
    }
}

impl From<Meta> for MetaForm {
    fn from(meta: Meta) -> Self {
        Self {
            id: meta.id,
            lane: meta.lane,
            attempt: meta.attempt,
            deadline_us: meta.deadline().map(Timestamp::micros),
            sender: meta.sender().cloned(),
            trace: meta.trace().copied(),
        }
    }
}

impl Meta {
    #[inline]
    pub(crate) fn new(id: MessageId, lane: Lane, deadline: Option<Timestamp>) -> Self {
        // The last point of the clock is as good as the one before it, and stands for something else.
        let deadline_us = deadline.map_or(u64::MAX, |deadline| deadline.micros().min(u64::MAX - 1));
        Self { id, deadline_us, attempt: 0, lane, seldom: None }
    }

    pub(crate) fn with_attempt(mut self, attempt: u16) -> Self {
        self.attempt = attempt;
        self
    }

    pub(crate) fn with_sender(mut self, sender: Option<AgentId>) -> Self {
        if sender.is_some() {
            self.seldom.get_or_insert_with(Box::default).sender = sender;
        }
        self
    }

    pub(crate) fn with_trace(mut self, trace: Option<TraceContext>) -> Self {
        if trace.is_some() {
            self.seldom.get_or_insert_with(Box::default).trace = trace;
        }
        self
    }

    /// Lets the sender recall it. Only for messages with a deadline: one without is not looked at before it is handled.
    pub(crate) fn with_recall(mut self, recall: Option<CancellationToken>) -> Self {
        if recall.is_some() {
            debug_assert!(self.may_expire(), "what may be recalled has a deadline");
            self.seldom.get_or_insert_with(Box::default).recall = recall;
        }
        self
    }

    /// Tells what becomes of it at each recipient.
    pub(crate) fn with_confirmation(mut self, confirmed_by: ConfirmedBy) -> Self {
        self.seldom.get_or_insert_with(Box::default).confirmed_by = Some(confirmed_by);
        self
    }

    /// Who wants to know what becomes of it at each recipient.
    #[inline]
    pub(crate) fn confirmed_by(&self) -> Option<&ConfirmedBy> {
        self.seldom.as_ref()?.confirmed_by.as_ref()
    }

    /// Whether the sender has recalled it.
    pub(crate) fn is_recalled(&self) -> bool {
        let recall = self.seldom.as_ref().and_then(|seldom| seldom.recall.as_ref());
        recall.is_some_and(CancellationToken::is_cancelled)
    }

    /// Identifies the message on its host.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Who sent it, where the sender said so.
    pub fn sender(&self) -> Option<&AgentId> {
        self.seldom.as_ref()?.sender.as_ref()
    }

    /// The queue it waits in.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// After this point it is no longer handled but accounted as expired.
    #[inline]
    pub fn deadline(&self) -> Option<Timestamp> {
        (self.deadline_us != u64::MAX).then(|| Timestamp::from_start(Duration::from_micros(self.deadline_us)))
    }

    /// Whether it has a deadline.
    #[inline]
    pub(crate) fn may_expire(&self) -> bool {
        self.deadline_us != u64::MAX
    }

    /// How often delivery was tried before: 0 for the first time.
    pub fn attempt(&self) -> u16 {
        self.attempt
    }

    /// The trace it belongs to.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.seldom.as_ref()?.trace.as_ref()
    }
}

/// A message and what travels with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel<M> {
    /// What travels with it.
    pub meta: Meta,
    /// The message.
    pub message: M,
}
