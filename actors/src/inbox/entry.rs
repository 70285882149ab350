//! What waits in a lane: [`Body`], and the batches that local recipients share, [`Packed`].

use std::{any::Any, rc::Rc, sync::Arc};

use super::{Route, lanes::Load};
use crate::agent::{Agent, Batch, Envelope, Lost, Parcel, Reason, lost_parcel};

/// A batch and the route it came by, shared by the local recipients.
pub(crate) struct Packed {
    pub(crate) batch: Rc<dyn Any>,
    pub(crate) route: Arc<Route>,
    pub(crate) count: u16,
    lose: fn(&Rc<dyn Any>, u16, Reason) -> Lost,
}

impl Packed {
    pub(crate) fn new<M: Send + Sync + 'static>(route: Arc<Route>, parcels: Vec<Arc<Parcel<M>>>) -> Rc<Self> {
        Rc::new(Self {
            count: u16::try_from(parcels.len()).expect("batches are bounded"),
            batch: Rc::new(Batch::new(parcels)),
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
    One { envelope: Box<dyn Envelope<A>>, stamp: Stamp },
    Many { packed: Rc<Packed>, at: u16, end: u16, accept: u16, stamp: Stamp },
}

/// When an entry came in, for one in [`SAMPLED`], \[us\] since the host's start modulo 2^32; 0 for the others.
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
            Body::Many { packed, at, accept, .. } => {
                let until = *at + u16::try_from(count).expect("a batch holds few");
                let front = Body::many(packed.clone(), *at, until, *accept);
                *at = until;
                Some(front)
            }
        }
    }

    pub(crate) fn many(packed: Rc<Packed>, at: u16, end: u16, accept: u16) -> Self {
        Body::Many { packed, at, end, accept, stamp: 0 }
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
