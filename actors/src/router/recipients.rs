//! [`Recipients`]: who of one arbiter gets a route's messages; [`Snapshot`]: who of all arbiters. Immutable once
//! published.

use std::{
    any::Any,
    marker::PhantomData,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustc_hash::FxHashSet;

use super::{
    chunked::{Chunked, Number, Numbered},
    predicate::Predicate,
};

use crate::{
    agent::{Lane, Objection, Parcel, Reason, Rows, lost_parcel},
    inbox::{Addressed, AgentHandle, Fanout, Packed, Route, Shared},
};

/// One recipient: its door, and the position of the message type among those it accepts.
#[derive(Clone)]
pub(crate) struct Recipient {
    pub(crate) agent: AgentHandle,
    pub(crate) accept: u16,
    /// Since when it is meant.
    pub(crate) number: Number,
}

impl Numbered for Recipient {
    fn number(&self) -> Number {
        self.number
    }
}

/// Why positions fit into their type.
pub(crate) const FEW: &str = "a host has fewer than 2^32 agents";

/// Recipients in the order in which they came to be on the route.
pub(crate) type ChunkedList = Chunked<Recipient>;

/// A number that no other list of recipients has.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Those of one arbiter who get a route's messages of type `M`.
pub(crate) struct Recipients<M> {
    route: Arc<Route>,
    list: ChunkedList,
    /// Their rows of a receipt; none for those who get again what was confirmed before them.
    rows: Option<Rows>,
    attempt: u16,
    number: u64,
    message: PhantomData<fn(M)>,
}

impl<M> Recipients<M> {
    pub(crate) fn new(route: Arc<Route>, list: ChunkedList, rows: Option<Rows>) -> Self {
        Self { route, list, rows, attempt: 0, number: next_number(), message: PhantomData }
    }
}

impl<M: Send + Sync + 'static> Fanout for Recipients<M> {
    fn number(&self) -> u64 {
        self.number
    }

    fn route(&self) -> &Arc<Route> {
        &self.route
    }

    fn recipients(&self) -> usize {
        self.list.len()
    }

    fn pack(&self, parcels: Vec<Shared>) -> Rc<Packed> {
        let parcels = parcels
            .into_iter()
            .map(|parcel| parcel.downcast::<Parcel<M>>().expect("a route carries one message type"))
            .collect();
        let rows = self.rows.as_ref();
        let to = Addressed { rows, recipients: self.list.len(), attempt: self.attempt };
        Packed::new(self.route.clone(), parcels, to)
    }

    fn push(&self, batch: &Rc<Packed>, lane: Lane, from: usize, most: usize) -> usize {
        let until = self.list.len().min(from + most);
        let mut skip = from;
        let mut left = until - from;
        let mut position = u32::try_from(from).expect(FEW);
        for chunk in &self.list.chunks {
            if left == 0 {
                break;
            }
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            for recipient in chunk.iter().skip(skip).take(left) {
                recipient.agent.push(lane, batch, recipient.accept, position);
                position += 1;
                left -= 1;
            }
            skip = 0;
        }
        until
    }

    fn lose(&self, parcels: &[Shared], reason: Reason, objection: Option<&Objection>) {
        for Recipient { agent, .. } in self.list.iter() {
            let hub = agent.door.hub();
            for parcel in parcels {
                let parcel =
                    parcel.clone().downcast::<Parcel<M>>().expect("a route carries one message type");
                let lost = lost_parcel(&parcel, reason, objection.cloned());
                hub.lose(hub.writer(), &self.route, agent.id(), lost);
            }
            hub.settled();
        }
        for parcel in parcels {
            self.confirm_lost(parcel, reason);
        }
    }

    fn agent(&self, position: usize) -> Option<&AgentHandle> {
        self.list.get(position).map(|recipient| &recipient.agent)
    }

    fn overlaps(&self, other: &dyn Fanout) -> bool {
        let door = |agent: &AgentHandle| Arc::as_ptr(&agent.door).cast::<()>();
        let mine: FxHashSet<_> = self.list.iter().map(|recipient| door(&recipient.agent)).collect();
        (0..other.recipients()).filter_map(|at| other.agent(at)).any(|agent| mine.contains(&door(agent)))
    }

    fn pick(&self, positions: &[u32], rows: Arc<[u32]>, attempt: u16) -> Arc<dyn Fanout> {
        let mut list = ChunkedList::default();
        let picked = self.list.pick(positions.iter().map(|position| *position as usize));
        picked.for_each(|recipient| list.push(recipient.clone()));
        Arc::new(Self {
            route: self.route.clone(),
            list,
            rows: Some(Rows::Listed(rows)),
            attempt,
            number: next_number(),
            message: PhantomData,
        })
    }
}

impl<M: Send + Sync + 'static> Recipients<M> {
    /// Tells whoever waits for a message's receipt that none of these gets it.
    fn confirm_lost(&self, parcel: &Shared, reason: Reason) {
        let Some(rows) = &self.rows else { return };
        let meta = &parcel.downcast_ref::<Parcel<M>>().expect("a route carries one message type").meta;
        let Some(confirming) = meta.confirmed_by().and_then(|confirmed| confirmed.0.upgrade()) else {
            return;
        };
        for position in 0..u32::try_from(self.list.len()).expect(FEW) {
            confirming.lost(rows.row(position), self.attempt, reason);
        }
        confirming.part_ended();
    }
}

/// A recipient that wants only what one of its predicates passes.
#[derive(Clone)]
pub(crate) struct Selective {
    pub(crate) recipient: Recipient,
    pub(crate) arbiter: usize,
    pub(crate) tests: Arc<[Predicate]>,
}

impl Numbered for Selective {
    fn number(&self) -> Number {
        self.recipient.number
    }
}

/// Who gets a message that is published now, arbiter by arbiter.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) lists: Vec<Option<Arc<dyn Fanout>>>,
    /// How many are on the lists.
    pub(crate) total: usize,
    pub(crate) selective: Chunked<Selective>,
}

impl Snapshot {
    /// Those of the selective ones who want this message, by position.
    pub(crate) fn choose(&self, message: &dyn Any) -> Vec<usize> {
        let wants = |selective: &Selective| selective.tests.iter().any(|test| test.passes(message));
        self.selective.iter().enumerate().filter_map(|(at, held)| wants(held).then_some(at)).collect()
    }
}
