//! [`Publisher`]: sends messages of one type to everyone on a route, without passing through any actor's mailbox.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, atomic::Ordering},
};

use actix::Message;
use arc_swap::{ArcSwap, Guard};

use super::{
    Courier, Recipients, Snapshot,
    consignment::Part,
    history::History,
    lease::OpenRoute,
    recipients::{ChunkedList, FEW},
    strategy::OneOfMany,
};
use crate::{
    agent::{
        AgentId, Lane, MessageId, Meta, Objection, Parcel, Passage, Reason, Rows, Shown, Timestamp,
        short_type_name,
    },
    inbox::{ArbiterPort, BatchStatus, Batching, Fanout, Hub, PortItem, Route, SendOptions, Shared},
};

/// What every publisher of a route shares: the snapshot of its recipients, and its ledger.
pub(crate) struct RouteCell {
    pub(crate) hub: Arc<Hub>,
    pub(crate) route: Arc<Route>,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) history: History,
    pub(crate) one: OneOfMany,
    pub(crate) courier: Arc<Courier>,
}

/// To whom a message goes that was counted as sent.
pub(super) struct Admitted {
    pub(super) snapshot: Guard<Arc<Snapshot>>,
    /// Those with predicates who want it, by position.
    pub(super) chosen: Vec<usize>,
}

/// Why a message does not go out.
pub(super) enum Turned {
    /// It was not taken, and is the caller's as before.
    Away(Reason),
    /// An intervention dropped it.
    Dropped(Meta, Objection),
}

/// A publication that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// To how many agents it goes: those on the route at this moment.
    pub recipients: usize,
}

/// A message that was not published.
pub struct PublishError<M> {
    /// The topic, group or capability.
    pub route: Arc<str>,
    /// Why: congested, dropped by an intervention, or not accepted by any of those whom the route is for.
    pub reason: Reason,
    /// Why an intervention dropped it, if one did.
    pub objection: Option<Objection>,
    /// The message, unless an intervention dropped it: then it is in the dead letters.
    pub message: Option<M>,
}

impl<M> fmt::Debug for PublishError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishError")
            .field("route", &self.route)
            .field("reason", &self.reason)
            .field("objection", &self.objection)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Display for PublishError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Congested => write!(
                f,
                "{} is congested: its recipients are slower than its publishers; use publish_waiting",
                self.route
            ),
            Reason::NotAccepted => write!(
                f,
                "nobody on {} accepts a {}: publish what they accept, or add the type to their cards",
                self.route,
                short_type_name::<M>()
            ),
            reason => write!(f, "{} did not take the message: {reason}", self.route),
        }
    }
}

impl<M> std::error::Error for PublishError<M> {}

/// Publishes messages of type `M` on one route. Cheap to clone; may be used from any thread, and dropped anywhere. When the
/// last publisher of a route is dropped and it keeps no history, the route closes; what was published goes its way.
pub struct Publisher<M> {
    pub(super) cell: OpenRoute,
    message: PhantomData<fn(M)>,
}

impl<M> Clone for Publisher<M> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone(), message: PhantomData }
    }
}

impl<M: Message + Send + Sync + 'static> Publisher<M> {
    pub(crate) fn new(cell: OpenRoute) -> Self {
        Self { cell, message: PhantomData }
    }

    /// The name of the route.
    pub fn name(&self) -> &str {
        &self.cell.route.name
    }

    /// A number that no message has.
    pub(super) fn next_id(&self) -> MessageId {
        self.cell.hub.next_id(self.cell.hub.writer())
    }

    /// How many agents a message published now would go to, if it passed every predicate.
    pub fn recipients(&self) -> usize {
        let snapshot = self.cell.snapshot.load();
        snapshot.total + snapshot.selective.len()
    }

    /// Those that the route's selector names by id and that do not exist, in order. They are found when they come.
    pub fn missing(&self) -> Vec<AgentId> {
        self.cell.missing()
    }

    /// What became of everything published on this route.
    pub fn ledger(&self) -> crate::inbox::Counts {
        self.cell.route.ledger.counts()
    }

    /// Sends a message to everyone on the route.
    ///
    /// # Errors
    /// [`PublishError`] when recipients that make their publishers wait are full, too much is in transit, or there are agents
    /// whom it is for but none of them accepts the type of the message.
    #[inline]
    pub fn publish(&self, message: M) -> Result<Published, PublishError<M>> {
        self.publish_with(message, SendOptions::new())
    }

    /// Sends a message to everyone on the route, saying more about it.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    #[inline]
    pub fn publish_with(&self, message: M, options: SendOptions) -> Result<Published, PublishError<M>> {
        self.publish_now(message, options, false)
    }

    /// The ports of arbiters that have recipients.
    fn ports<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a ArbiterPort> {
        let ports = self.cell.hub.ports().iter().zip(&snapshot.lists).enumerate();
        let leads_there = |at: usize| snapshot.selective.iter().any(|selective| selective.arbiter == at);
        ports.filter(move |(at, (_, list))| list.is_some() || leads_there(*at)).map(|(_, (port, _))| &**port)
    }

    /// One full recipient that waits, or one full log on the way, holds up the whole route: a message goes to all of its
    /// recipients or to none.
    fn is_congested(&self, lane: Lane, snapshot: &Snapshot) -> bool {
        self.cell.route.parked.load(Ordering::Acquire) > 0
            || self.ports(snapshot).any(|port| !port.has_room(lane))
    }

    /// With `waits`, the message comes back uncounted while there is no room; interventions see it again only when others
    /// took the room between two looks.
    ///
    /// The message is moved once, into its parcel: a large one is copied by each move.
    #[inline]
    fn publish_now(
        &self,
        mut message: M,
        options: SendOptions,
        waits: bool,
    ) -> Result<Published, PublishError<M>> {
        let RouteCell { hub, history, .. } = &*self.cell;
        let meta = match self.clear(&mut message, options, waits, None) {
            Ok(meta) => meta,
            Err(turned) => return Err(self.turn(turned, message)),
        };
        // From here on nothing of the user's but predicates runs until the history is free again.
        let kept = history.lock();
        let Admitted { snapshot, chosen } = match self.admit(&meta, &message, waits) {
            Ok(admitted) => admitted,
            Err(turned) => {
                drop(kept);
                return Err(self.turn(turned, message));
            }
        };
        let recipients = snapshot.total + chosen.len();
        let (lane, deadline) = (meta.lane(), meta.deadline());
        let parcel: Shared = Arc::new(Parcel { meta, message });
        let mut refused = Vec::new();
        for (port, list) in hub.ports().iter().zip(&snapshot.lists) {
            if let Some(to) = list {
                refused.extend(port.publish(lane, to, parcel.clone()));
            }
        }
        if !chosen.is_empty() {
            for part in self.chosen_parts(&snapshot, &chosen) {
                refused.extend(hub.ports()[part.arbiter].publish(lane, &part.to, parcel.clone()));
            }
        }
        // What makes way is dropped when the history is free again.
        let gone = kept.map(|mut kept| kept.keep(lane, deadline, parcel));
        drop(gone);
        refused.into_iter().for_each(PortItem::abandon);
        Ok(Published { recipients })
    }

    /// What a message goes through before anything of the route is held: it gets its meta data, and the interventions see it.
    #[inline]
    pub(super) fn clear(
        &self,
        message: &mut M,
        options: SendOptions,
        waits: bool,
        by: Option<Timestamp>,
    ) -> Result<Meta, Turned> {
        let RouteCell { hub, route, snapshot, .. } = &*self.cell;
        {
            let snapshot = snapshot.load();
            if snapshot.total + snapshot.selective.len() == 0 && self.cell.is_misdirected() {
                return Err(Turned::Away(Reason::NotAccepted));
            }
            if waits && self.is_congested(options.lane(), &snapshot) {
                return Err(Turned::Away(Reason::Congested));
            }
        }
        let meta = options.stamp(hub, hub.writer(), by);
        if !hub.interventions.is_empty() {
            let mut passage = Passage::new(None, Some(&route.name), &meta, Shown::Owned(message));
            if let Err(objection) = hub.interventions.outbound(&mut passage) {
                return Err(Turned::Dropped(meta, objection));
            }
        }
        Ok(meta)
    }

    /// Looks who gets a message, and counts it as sent to them.
    #[inline]
    pub(super) fn admit(&self, meta: &Meta, message: &M, waits: bool) -> Result<Admitted, Turned> {
        let RouteCell { hub, route, snapshot, .. } = &*self.cell;
        let snapshot = snapshot.load();
        let is_congested = self.is_congested(meta.lane(), &snapshot);
        if waits && is_congested {
            // Others were quicker since the look before.
            return Err(Turned::Away(Reason::Congested));
        }
        let chosen = if snapshot.selective.is_empty() { Vec::new() } else { snapshot.choose(message) };
        let (writer, recipients) = (hub.writer(), (snapshot.total + chosen.len()) as u64);
        route.ledger.sent(writer, recipients);
        if is_congested {
            route.ledger.lost(writer, Reason::Congested, recipients);
            hub.settled();
            return Err(Turned::Away(Reason::Congested));
        }
        Ok(Admitted { snapshot, chosen })
    }

    /// What becomes of a message that does not go out.
    #[cold]
    #[inline(never)]
    pub(super) fn turn(&self, turned: Turned, message: M) -> PublishError<M> {
        let route = self.cell.route.name.clone();
        match turned {
            Turned::Away(reason) => PublishError { route, reason, objection: None, message: Some(message) },
            Turned::Dropped(meta, objection) => {
                self.drop_for(&objection, Arc::new(Parcel { meta, message }));
                let reason = Reason::Intervened;
                PublishError { route, reason, objection: Some(objection), message: None }
            }
        }
    }

    /// Accounts for a message that an intervention dropped, for each of those who would have got it: a dead letter each.
    fn drop_for(&self, objection: &Objection, parcel: Arc<Parcel<M>>) {
        let RouteCell { hub, route, snapshot, .. } = &*self.cell;
        let snapshot = snapshot.load_full();
        let (writer, recipients) = (hub.writer(), snapshot.total as u64);
        route.ledger.sent(writer, recipients);
        if hub.dead_letters().are_wanted() {
            let parcel: [Shared; 1] = [parcel];
            snapshot
                .lists
                .iter()
                .flatten()
                .for_each(|list| list.lose(&parcel, Reason::Intervened, Some(objection)));
        } else {
            route.ledger.lost(writer, Reason::Intervened, recipients);
        }
        hub.settled();
    }

    /// The lists of those whose predicates passed a message; their rows come after those of the others.
    #[inline(never)]
    pub(super) fn chosen_parts(&self, snapshot: &Snapshot, chosen: &[usize]) -> Vec<Part> {
        let RouteCell { hub, route, .. } = &*self.cell;
        let mut first = u32::try_from(snapshot.total).expect(FEW);
        let mut parts = Vec::new();
        for arbiter in 0..hub.ports().len() {
            let mut list = ChunkedList::default();
            snapshot
                .selective
                .pick(chosen.iter().copied())
                .filter(|selective| selective.arbiter == arbiter)
                .for_each(|selective| list.push(selective.recipient.clone()));
            if !list.is_empty() {
                let rows = Some(Rows::From(first));
                first += u32::try_from(list.len()).expect(FEW);
                let to: Arc<dyn Fanout> = Arc::new(Recipients::<M>::new(route.clone(), list, rows));
                parts.push(Part { arbiter, to });
            }
        }
        parts
    }

    /// The same publisher, whose route makes its batches like this from now on, those of its other publishers, too.
    #[must_use]
    pub fn batching(self, batching: Batching) -> Self {
        self.cell.route.batches.set(batching);
        self
    }

    /// What the batches of the route were like so far.
    pub fn batches(&self) -> BatchStatus {
        self.cell.route.batches.status()
    }

    /// The same publisher, whose route keeps the last `depth` publications, of all of its publishers together, for those
    /// who subscribe later and ask for a replay; 1 keeps the last value. A route keeps as many as any publisher wanted, at most
    /// [`MAX_HISTORY`](super::MAX_HISTORY); each is kept until newer ones take its place.
    #[must_use]
    pub fn keep_last(self, depth: usize) -> Self {
        self.cell.history.deepen(depth);
        self
    }

    /// Sends a message as soon as its recipients have room.
    ///
    /// # Errors
    /// [`PublishError`] when an intervention dropped it.
    pub async fn publish_waiting(
        &self,
        mut message: M,
        options: SendOptions,
    ) -> Result<Published, PublishError<M>> {
        loop {
            self.room(&options).await;
            match self.publish_now(message, options.clone(), true) {
                Err(PublishError { reason: Reason::Congested, message: Some(back), .. }) => message = back,
                decided => return decided,
            }
        }
    }

    /// Waits until a message with these options would not be refused for want of room, as far as that can be known: others may
    /// take the room first.
    pub async fn room(&self, options: &SendOptions) {
        let RouteCell { route, snapshot, .. } = &*self.cell;
        let snapshot = snapshot.load_full();
        for port in self.ports(&snapshot) {
            port.wait_for_room(options.lane()).await;
        }
        loop {
            let room = route.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if route.parked.load(Ordering::Acquire) == 0 {
                return;
            }
            room.await;
        }
    }
}

impl<M> fmt::Debug for Publisher<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher({})", self.cell.route.name)
    }
}
