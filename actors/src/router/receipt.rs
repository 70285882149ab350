//! [`Receipt`]: what became of a confirmed message at each of its recipients.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::path::Hop;
use crate::{
    agent::{AgentId, MessageId, Reason, Timestamp},
    inbox::Fanout,
};

/// What became of a confirmed message at one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmation {
    /// Its handler has returned, and the response has come to its end.
    Delivered,
    /// It was not handled to the end, and is not tried again.
    Lost(Reason),
    /// When its time was over its handler had not returned; what became of it then is not known here.
    Unconfirmed,
}

impl Confirmation {
    /// Whether the recipient has handled the message.
    pub fn is_delivered(self) -> bool {
        self == Confirmation::Delivered
    }
}

impl fmt::Display for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Confirmation::Delivered => f.write_str("delivered"),
            Confirmation::Lost(reason) => {
                let column = match reason.column() {
                    crate::agent::Column::Rejected => "refused",
                    crate::agent::Column::Dropped => "dropped",
                    crate::agent::Column::Expired => "expired",
                    crate::agent::Column::Failed => "failed",
                };
                write!(f, "{column}: {reason}")
            }
            Confirmation::Unconfirmed => f.write_str("unconfirmed: its handler had not returned in time"),
        }
    }
}

/// One recipient's row of a [`Receipt`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRow {
    /// Who.
    pub agent: AgentId,
    /// What became of the message there.
    pub outcome: Confirmation,
    /// How often it was sent there.
    pub attempts: u16,
}

/// One recipient that is not simply delivered at the first attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) row: u32,
    pub(crate) outcome: Confirmation,
    pub(crate) attempts: u16,
}

/// What became of a confirmed message: one row for each recipient. Cheap to clone.
#[derive(Clone)]
pub struct Receipt {
    inner: Arc<Inner>,
}

struct Inner {
    id: MessageId,
    route: Arc<str>,
    published: Timestamp,
    ended: Timestamp,
    lists: Arc<[Arc<dyn Fanout>]>,
    rows: usize,
    /// By row; all others were delivered at the first attempt.
    exceptions: Vec<Exception>,
    lost: usize,
    path: Vec<Hop>,
}

/// What a [`Receipt`] is made of.
pub(crate) struct Ended {
    pub(crate) id: MessageId,
    pub(crate) route: Arc<str>,
    pub(crate) published: Timestamp,
    pub(crate) at: Timestamp,
    pub(crate) lists: Arc<[Arc<dyn Fanout>]>,
    pub(crate) exceptions: Vec<Exception>,
    pub(crate) path: Vec<Hop>,
}

impl Receipt {
    pub(crate) fn new(ended: Ended) -> Self {
        let Ended { id, route, published, at, lists, exceptions, path } = ended;
        let rows = lists.iter().map(|list| list.recipients()).sum();
        let lost = exceptions.iter().filter(|exception| !exception.outcome.is_delivered()).count();
        Self {
            inner: Arc::new(Inner { id, route, published, ended: at, lists, rows, exceptions, lost, path }),
        }
    }

    /// The message.
    pub fn id(&self) -> MessageId {
        self.inner.id
    }

    /// The topic, group, capability or list that it was published to.
    pub fn route(&self) -> &str {
        &self.inner.route
    }

    /// How many recipients it had.
    pub fn recipients(&self) -> usize {
        self.inner.rows
    }

    /// How many of them have handled it.
    pub fn delivered(&self) -> usize {
        self.inner.rows - self.inner.lost
    }

    /// Whether all of them have handled it.
    pub fn is_complete(&self) -> bool {
        self.inner.lost == 0
    }

    /// When it was published.
    pub fn published(&self) -> Timestamp {
        self.inner.published
    }

    /// When the last of its rows was decided.
    pub fn ended(&self) -> Timestamp {
        self.inner.ended
    }

    /// The rows, arbiter by arbiter in the order of joining the route; those with a predicate come last.
    pub fn rows(&self) -> impl Iterator<Item = ReceiptRow> + '_ {
        let agents = self.inner.lists.iter().flat_map(|list| {
            (0..list.recipients())
                .map(|position| list.agent(position).expect("positions are dense").id().clone())
        });
        let mut exceptions = self.inner.exceptions.iter().peekable();
        (0..).zip(agents).map(move |(row, agent)| {
            let exception = exceptions.next_if(|exception| exception.row == row);
            let (outcome, attempts) = exception
                .map_or((Confirmation::Delivered, 1), |exception| (exception.outcome, exception.attempts));
            ReceiptRow { agent, outcome, attempts }
        })
    }

    /// The rows of those who have not handled it.
    pub fn missed(&self) -> impl Iterator<Item = ReceiptRow> + '_ {
        let exceptions = self.inner.exceptions.iter().filter(|exception| !exception.outcome.is_delivered());
        exceptions.map(|exception| ReceiptRow {
            agent: agent(&self.inner.lists, exception.row).expect("a row of this receipt"),
            outcome: exception.outcome,
            attempts: exception.attempts,
        })
    }

    /// Who decided what on its way, the first first; empty unless it was asked for
    /// ([`ConfirmOptions::with_path`](super::ConfirmOptions::with_path)).
    pub fn path(&self) -> &[Hop] {
        &self.inner.path
    }
}

/// Which list a row is of, and its position there.
pub(crate) fn place(lists: &[Arc<dyn Fanout>], row: u32) -> Option<(usize, u32)> {
    let mut position = row as usize;
    for (at, list) in lists.iter().enumerate() {
        match position.checked_sub(list.recipients()) {
            None => return Some((at, u32::try_from(position).ok()?)),
            Some(beyond) => position = beyond,
        }
    }
    None
}

pub(crate) fn agent(lists: &[Arc<dyn Fanout>], row: u32) -> Option<AgentId> {
    let (list, position) = place(lists, row)?;
    lists[list].agent(position as usize).map(|agent| agent.id().clone())
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("id", &self.id())
            .field("route", &self.route())
            .field("recipients", &self.recipients())
            .field("delivered", &self.delivered())
            .finish_non_exhaustive()
    }
}
