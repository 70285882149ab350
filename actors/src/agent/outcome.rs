//! How a message may end other than delivered: [`Reason`], [`Refused`], [`AskError`].

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::AgentId;

/// Why a message was not delivered. Each reason belongs to one column of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Rejected: the inbox was full and its policy is to reject (or to wait, and the sender did not wait).
    Full,
    /// Rejected: what lies between the arbiters was full.
    Congested,
    /// Rejected: the agent was stopping or had stopped when the message was sent.
    Closed,
    /// Rejected: the agent does not accept messages of this type.
    NotAccepted,
    /// Rejected: no agent of this name exists on the host.
    Unknown,
    /// Dropped by the policy `drop_oldest` to make room for a newer message.
    DroppedOldest,
    /// Dropped by the policy `drop_newest` because the inbox was full.
    DroppedNewest,
    /// Dropped by an intervention.
    Intervened,
    /// Dropped: its sender recalled it before it could be handled.
    Recalled,
    /// Dropped: the agent had got it already, by an earlier attempt of its delivery.
    Duplicate,
    /// Expired: its deadline had passed before it could be handled.
    Expired,
    /// Failed: the handler panicked, or the future of its response was dropped.
    Panicked,
    /// Failed: the agent stopped before handling it.
    Stopped,
}

/// The column of the ledger that an outcome is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// Refused at the door.
    Rejected,
    /// Let go by an overflow policy or an intervention, recalled by its sender, or a duplicate.
    Dropped,
    /// Overdue.
    Expired,
    /// Accepted but not handled to the end.
    Failed,
}

impl Reason {
    /// All reasons, in the order of the ledger.
    pub const ALL: [Reason; 13] = [
        Reason::Full,
        Reason::Congested,
        Reason::Closed,
        Reason::NotAccepted,
        Reason::Unknown,
        Reason::DroppedOldest,
        Reason::DroppedNewest,
        Reason::Intervened,
        Reason::Recalled,
        Reason::Duplicate,
        Reason::Expired,
        Reason::Panicked,
        Reason::Stopped,
    ];

    /// The column it is counted in.
    pub const fn column(self) -> Column {
        match self {
            Reason::Full | Reason::Congested | Reason::Closed | Reason::NotAccepted | Reason::Unknown => {
                Column::Rejected
            }
            Reason::DroppedOldest
            | Reason::DroppedNewest
            | Reason::Intervened
            | Reason::Recalled
            | Reason::Duplicate => Column::Dropped,
            Reason::Expired => Column::Expired,
            Reason::Panicked | Reason::Stopped => Column::Failed,
        }
    }

    /// Whether sending the same message again later may succeed.
    pub const fn is_transient(self) -> bool {
        matches!(self, Reason::Full | Reason::Congested | Reason::Panicked)
    }

    /// The reason as it is written in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Full => "full",
            Reason::Congested => "congested",
            Reason::Closed => "closed",
            Reason::NotAccepted => "not_accepted",
            Reason::Unknown => "unknown",
            Reason::DroppedOldest => "dropped_oldest",
            Reason::DroppedNewest => "dropped_newest",
            Reason::Intervened => "intervened",
            Reason::Recalled => "recalled",
            Reason::Duplicate => "duplicate",
            Reason::Expired => "expired",
            Reason::Panicked => "panicked",
            Reason::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Full => {
                "its inbox is full: wait for room, raise the capacity or choose another overflow policy"
            }
            Reason::Congested => "its arbiter has too much in transit: wait and send again",
            Reason::Closed => "it is stopping or has stopped",
            Reason::NotAccepted => "it does not accept this message type: add it to the agent's card",
            Reason::Unknown => "no agent of this name exists on the host",
            Reason::DroppedOldest => "it was dropped to make room for a newer message",
            Reason::DroppedNewest => "it was dropped because the inbox was full",
            Reason::Intervened => "an intervention dropped it",
            Reason::Recalled => "its sender recalled it before it could be handled",
            Reason::Duplicate => "the agent had got it already, by an earlier attempt",
            Reason::Expired => "its deadline passed before it could be handled",
            Reason::Panicked => "the agent panicked while handling it",
            Reason::Stopped => "the agent stopped before handling it",
        })
    }
}

/// A message that was not accepted, with the message where it could be handed back.
pub struct Refused<M> {
    /// To whom it was sent.
    pub to: AgentId,
    /// Why it was not accepted.
    pub reason: Reason,
    /// The message, unless an overflow policy or an intervention consumed it.
    pub message: Option<M>,
}

impl<M> fmt::Debug for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("to", &self.to).field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<M> fmt::Display for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} did not take a {}: {}", self.to, short_type_name::<M>(), self.reason)
    }
}

impl<M> std::error::Error for Refused<M> {}

/// Why an ask had no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskError {
    /// The message did not reach the handler, or the handler did not end.
    #[error("no answer: {0}")]
    Undelivered(Reason),
    /// No answer came within the time allowed; one that comes later is counted as late.
    #[error("no answer within {0:?}: allow more time, or look whether the agent is overloaded")]
    TimedOut(Duration),
}

impl AskError {
    /// Whether asking again may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            AskError::Undelivered(reason) => reason.is_transient(),
            AskError::TimedOut(_) => true,
        }
    }
}

/// The last segment of a type's path, generics kept.
pub fn short_type_name<T: ?Sized>() -> &'static str {
    let full = std::any::type_name::<T>();
    let head = full.split('<').next().unwrap_or(full);
    let from = head.rfind("::").map_or(0, |at| at + 2);
    &full[from..]
}
