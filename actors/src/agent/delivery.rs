//! [`Delivery`]: a message as its recipients share it; [`Batch`]: the messages that one arbiter's recipients share.

use std::{
    cell::OnceCell,
    fmt,
    mem::needs_drop,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix::Message;

use super::{AgentId, Meta, Parcel, Timestamp};

/// What is due later than this is looked at once for each run of an agent's messages: a run ends after far less, unless a
/// handler blocks its thread for that long.
const SOON: Duration = Duration::from_secs(1);

/// Parcels that one arbiter's agents share.
pub(crate) struct Batch<M> {
    pub(crate) parcels: Vec<Arc<Parcel<M>>>,
    /// When the first of them is overdue, if any may be.
    earliest: Option<Timestamp>,
    /// Small messages side by side, for those who take them by value; nothing where they are not kept so.
    copies: OnceCell<Option<Box<[M]>>>,
    /// Whether several recipients share it.
    is_shared: bool,
}

/// Messages up to this size are copied side by side [bytes].
const SMALL: usize = 64;

impl<M> Batch<M> {
    pub(crate) fn new(parcels: Vec<Arc<Parcel<M>>>, recipients: usize) -> Self {
        let earliest = parcels.iter().filter_map(|parcel| parcel.meta.deadline()).min();
        Self { parcels, earliest, copies: OnceCell::new(), is_shared: recipients > 1 }
    }

    /// Whether any of them may be overdue soon; then the clock is looked at before each.
    #[inline]
    pub(crate) fn may_expire(&self, now: impl FnOnce() -> Timestamp) -> bool {
        self.earliest.is_some_and(|earliest| now().plus(SOON) > earliest)
    }
}

impl<M: Clone> Batch<M> {
    /// All messages side by side, where copies are to be made from there.
    ///
    /// A parcel lies where its publisher made it, so each is a cache line of its own for each recipient: of small messages
    /// without a destructor there is a copy of them all.
    #[inline]
    pub(crate) fn copies(&self) -> Option<&[M]> {
        if needs_drop::<M>() || size_of::<M>() > SMALL {
            return None;
        }
        self.copies.get_or_init(|| self.copy_all()).as_deref()
    }

    /// A copy of the message at a position, from [`copies`](Self::copies).
    #[inline]
    pub(crate) fn copy(&self, copies: Option<&[M]>, at: u16) -> M {
        let at = usize::from(at);
        copies.map_or_else(|| self.parcels[at].message.clone(), |copies| copies[at].clone())
    }

    /// A message whose copying panics is to fail when it is its turn, so there are no copies of its batch.
    #[inline(never)]
    fn copy_all(&self) -> Option<Box<[M]>> {
        if self.parcels.len() == 1 || !self.is_shared {
            return None;
        }
        let copies = || self.parcels.iter().map(|parcel| parcel.message.clone()).collect();
        let all = catch_unwind(AssertUnwindSafe(copies));
        // What it panicked with may panic when it is dropped.
        all.map_err(|panic| catch_unwind(AssertUnwindSafe(|| drop(panic)))).ok()
    }
}

enum Held<M> {
    Single(Arc<Parcel<M>>),
    Batched(Rc<Batch<M>>, u16),
}

/// A message as it was delivered: the payload, shared with every other recipient, and its [`Meta`].
///
/// An agent that implements `Handler<Delivery<M>>` instead of `Handler<M>` pays for no copy of the payload: recipients
/// on one arbiter share the batch without atomic counts. It derefs to the message.
///
/// # Examples
/// ```
/// use actix::prelude::*;
/// use phalanx_actors::agent::{Agent, Card, Delivery};
///
/// #[derive(Message)]
/// #[rtype(result = "()")]
/// struct Frame { pixels: [u8; 1024] }
///
/// #[derive(Default)]
/// struct Viewer { bytes: usize }
/// impl Actor for Viewer { type Context = Context<Self>; }
/// impl Supervised for Viewer {}
/// impl Handler<Delivery<Frame>> for Viewer {
///     type Result = ();
///     fn handle(&mut self, frame: Delivery<Frame>, _: &mut Context<Self>) {
///         self.bytes += frame.pixels.len();
///     }
/// }
/// impl Agent for Viewer {
///     fn card(&self) -> Card<Self> { Card::new().accepts_delivery::<Frame>() }
/// }
/// ```
pub struct Delivery<M>(Held<M>);

impl<M> Delivery<M> {
    pub(crate) fn single(parcel: Arc<Parcel<M>>) -> Self {
        Self(Held::Single(parcel))
    }

    #[inline]
    pub(crate) fn batched(batch: &Rc<Batch<M>>, at: u16) -> Self {
        Self(Held::Batched(Rc::clone(batch), at))
    }

    fn held(&self) -> &Arc<Parcel<M>> {
        match &self.0 {
            Held::Single(parcel) => parcel,
            Held::Batched(batch, at) => &batch.parcels[usize::from(*at)],
        }
    }

    /// What travels with the message: sender, id, lane, deadline, attempt and trace.
    pub fn meta(&self) -> &Meta {
        &self.held().meta
    }

    /// Who sent it, where the sender said so.
    pub fn sender(&self) -> Option<&AgentId> {
        self.meta().sender()
    }

    /// The payload and its meta data in a form that may leave the arbiter.
    pub fn share(&self) -> Arc<Parcel<M>> {
        Arc::clone(self.held())
    }
}

impl<M> Clone for Delivery<M> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Held::Single(parcel) => Held::Single(parcel.clone()),
            Held::Batched(batch, at) => Held::Batched(batch.clone(), *at),
        })
    }
}

impl<M> Deref for Delivery<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.held().message
    }
}

impl<M: fmt::Debug> fmt::Debug for Delivery<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("meta", self.meta()).field("message", &**self).finish()
    }
}

impl<M: Message> Message for Delivery<M> {
    type Result = M::Result;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{Lane, MessageId};

    fn batch<M>(messages: impl IntoIterator<Item = M>) -> Batch<M> {
        let parcel =
            |message| Arc::new(Parcel { meta: Meta::new(MessageId(1), Lane::Normal, None), message });
        Batch::new(messages.into_iter().map(parcel).collect(), 2)
    }

    fn copy<M: Clone>(batch: &Batch<M>, at: u16) -> M {
        batch.copy(batch.copies(), at)
    }

    #[test]
    fn small_messages_lie_side_by_side_and_those_that_own_something_do_not() {
        let small = batch([3_u8, 5, 7]);
        assert_eq!([0, 1, 2].map(|at| copy(&small, at)), [3, 5, 7]);
        assert_eq!(small.copies.get(), Some(&Some(vec![3, 5, 7].into_boxed_slice())));
        let owner = batch(["a", "b"].map(String::from));
        assert_eq!(copy(&owner, 1), "b");
        assert!(owner.copies.get().is_none());
        let large = batch([[1_u8; SMALL + 1]; 2]);
        assert_eq!(copy(&large, 1), [1; SMALL + 1]);
        assert!(large.copies.get().is_none());
        let alone = batch([9_u8]);
        assert_eq!((copy(&alone, 0), alone.copies.get()), (9, Some(&None)));
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Thirteenth(u8);

    impl Clone for Thirteenth {
        fn clone(&self) -> Self {
            assert_ne!(self.0, 13, "unlucky");
            Self(self.0)
        }
    }

    #[test]
    fn a_message_that_panics_when_it_is_copied_spoils_no_other() {
        let batch = batch([12, 13, 14].map(Thirteenth));
        assert_eq!(copy(&batch, 0), Thirteenth(12));
        assert_eq!(batch.copies.get(), Some(&None));
        assert!(catch_unwind(AssertUnwindSafe(|| copy(&batch, 1))).is_err());
        assert_eq!(copy(&batch, 2), Thirteenth(14));
    }
}
