//! What waits in a lane: [`Body`], and the batches that local recipients share, [`Packed`].

use std::{any::Any, rc::Rc, sync::Arc};

use super::{Route, Tally, lanes::Load};
use crate::agent::{Agent, Batch, Envelope, Lost, Parcel, Reason, Rows, lost_parcel};

/// A batch and the route it came by, shared by the local recipients.
pub(crate) struct Packed {
    pub(crate) batch: Rc<dyn Any>,
    pub(crate) route: Arc<Route>,
    pub(crate) count: u16,
    /// Who has still to come to the end of it, when any of its messages is to be confirmed.
    pub(crate) tally: Option<Box<Tally>>,
    lose: fn(&Rc<dyn Any>, u16, Reason) -> Lost,
}

/// For whom a batch is.
pub(crate) struct Addressed<'a> {
    /// Their rows of a receipt; none when nobody waits for one.
    pub(crate) rows: Option<&'a Rows>,
    pub(crate) recipients: usize,
    /// How often its messages were tried before.
    pub(crate) attempt: u16,
}

impl Packed {
    pub(crate) fn new<M: Send + Sync + 'static>(
        route: Arc<Route>,
        parcels: Vec<Arc<Parcel<M>>>,
        to: Addressed<'_>,
    ) -> Rc<Self> {
        let metas = parcels.iter().map(|parcel| &parcel.meta);
        Rc::new(Self {
            tally: to.rows.and_then(|rows| Tally::new(metas, rows, to.recipients, to.attempt)),
            count: u16::try_from(parcels.len()).expect("batches are bounded"),
            batch: Rc::new(Batch::new(parcels, to.recipients)),
            route,
            lose: |batch, at, reason| {
                let batch: &Batch<M> = batch.downcast_ref().expect("packed with this type");
                lost_parcel(&batch.parcels[usize::from(at)], reason, None)
            },
        })
    }

    pub(crate) fn lost(&self, at: u16, reason: Reason) -> Lost {
        (self.lose)(&self.batch, at, reason)
    }
}

/// What waits in a lane: one message, or the part of a batch that was let in.
pub(crate) enum Body<A: Agent> {
    One {
        envelope: Box<dyn Envelope<A>>,
        stamp: Stamp,
    },
    /// `position` is the recipient's own among those that the batch is for.
    Many {
        packed: Rc<Packed>,
        position: u32,
        at: u16,
        end: u16,
        accept: u16,
        stamp: Stamp,
    },
}

/// When an entry came in, for some of the first of an agent and one in [`SAMPLED`] of the others, \[us\] since the host's
/// start modulo 2^32, and even; odd when it was not its turn among one in so many; 0 for the others.
pub(crate) type Stamp = u32;

/// One entry in so many has its time in the inbox measured.
pub(super) const SAMPLED: u32 = 64;

impl<A: Agent> Body<A> {
    pub(crate) fn one(envelope: Box<dyn Envelope<A>>) -> Self {
        Body::One { envelope, stamp: 0 }
    }

    /// Takes the first `count` messages of a batch out, as an entry of their own; there is none in a single message.
    pub(crate) fn split_front(&mut self, count: u32) -> Option<Self> {
        match self {
            Body::One { .. } => None,
            Body::Many { packed, position, at, accept, .. } => {
                let until = *at + u16::try_from(count).expect("a batch holds few");
                let front = Body::many(packed.clone(), *position, *at, until, *accept);
                *at = until;
                Some(front)
            }
        }
    }

    pub(crate) fn many(packed: Rc<Packed>, position: u32, at: u16, end: u16, accept: u16) -> Self {
        Body::Many { packed, position, at, end, accept, stamp: 0 }
    }
}

impl<A: Agent> Load for Body<A> {
    #[inline]
    fn load(&self) -> u32 {
        match self {
            Body::One { .. } => 1,
            Body::Many { at, end, .. } => u32::from(end - at),
        }
    }

    fn split_oldest(&mut self) -> Option<Self> {
        self.split_front(1)
    }
}
