//! [`ArbiterPort`]: the log through which other threads reach the agents of one arbiter.
//!
//! Any thread appends; the arbiter's dispatcher swaps the log out and empties it. The doorbell rings only when the log
//! goes from empty to non-empty. Express lanes (control, critical, urgent) have a log of their own, taken first.
//!
//! **Invariant.** What one thread appends with the same class leaves in the order in which it was appended, and
//! `in_transit` of a class is zero only when everything appended to it has reached its inboxes.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use tokio::{sync::Notify, time::Instant};

use super::{AgentHandle, Route};
use crate::{
    agent::{Lane, Objection, Reason, Timestamp},
    audited::ThreadToken,
};

/// Something that takes itself to its inbox, on the inbox's arbiter.
pub(crate) trait Arrival: Send {
    fn arrive(self: Box<Self>);
    /// To how many deliveries its work comes.
    fn weight(&self) -> usize {
        1
    }
    /// Ends it instead, on any thread, because its arbiter serves its log no more.
    fn abandon(self: Box<Self>) {}
}

/// The local recipients of a route, as one message saw them when it was published.
pub(crate) trait Fanout: Send + Sync {
    /// A number that no other list has, so that what is known of two lists can be remembered.
    fn number(&self) -> u64;
    /// By which route their messages come.
    fn route(&self) -> &Arc<Route>;
    /// How many recipients there are.
    fn recipients(&self) -> usize;
    /// Makes a batch of these parcels, all of the route's message type.
    fn pack(&self, parcels: Vec<Shared>) -> Rc<super::Packed>;
    /// Pushes the batch to the recipients from position `from` on, at most `most` of them; answers the next position.
    fn push(&self, batch: &Rc<super::Packed>, lane: Lane, from: usize, most: usize) -> usize;
    /// The recipient at a position.
    fn agent(&self, position: usize) -> Option<&AgentHandle>;
    /// Whether an agent is on both lists.
    fn overlaps(&self, other: &dyn Fanout) -> bool;
    /// The recipients at some positions, who get a message once more; their rows of its receipt are these.
    fn pick(&self, positions: &[u32], rows: Arc<[u32]>, attempt: u16) -> Arc<dyn Fanout>;
    /// Accounts for these parcels as lost for every recipient, on any thread.
    fn lose(&self, parcels: &[Shared], reason: Reason, objection: Option<&Objection>);
}

/// One thing that waits in the log.
pub(crate) enum PortItem {
    Direct(Box<dyn Arrival>),
    /// What was published to the same recipients in a row, [`BATCH`] parcels at most in the log.
    Published(Publication),
}

/// Parcels on their way to the same recipients in one lane.
pub(crate) struct Publication {
    pub(crate) to: Arc<dyn Fanout>,
    pub(crate) parcels: Vec<Shared>,
    pub(crate) lane: Lane,
    /// When the first was published, where that was measured.
    pub(crate) since: Option<Timestamp>,
}

impl PortItem {
    /// Ends what will not reach its inbox, as everything else ends: accounted for. Whoever listens to dead letters is
    /// called, so nothing may be held meanwhile.
    pub(crate) fn abandon(self) {
        let abandoned = catch_unwind(AssertUnwindSafe(|| match self {
            PortItem::Direct(arrival) => arrival.abandon(),
            PortItem::Published(Publication { to, parcels, .. }) => to.lose(&parcels, Reason::Closed, None),
        }));
        if abandoned.is_err() {
            tracing::error!("the destructor of a message that could not be delivered panicked");
        }
    }
}

/// A parcel on its way to many.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;
/// How many parcels join in the log; there may be more in a batch.
pub(crate) const BATCH: usize = 64;
/// One publication in so many has the time until its batch measured, and each that finds the log empty.
const MEASURED: usize = 8;

#[derive(Default)]
struct Log {
    express: Vec<PortItem>,
    regular: Vec<PortItem>,
    closed: bool,
}

/// The log of one arbiter.
pub struct ArbiterPort {
    owner: ThreadToken,
    /// Its position among those of the host, and the start of the host's clock.
    place: OnceLock<(usize, Instant)>,
    log: Mutex<Log>,
    /// How many parcels were ever appended to each log; written while it is held.
    appended: [AtomicUsize; 2],
    /// How many of them have reached their inboxes.
    arrived: [AtomicUsize; 2],
    doorbell: AtomicWaker,
    /// Told when there is room in a class again.
    room: [Notify; 2],
    /// How many wait for room in a class.
    waiting: [AtomicUsize; 2],
    waits: [AtomicU64; 2],
}

/// Sampled times that messages spent in inboxes, added up since the start of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// How many messages were sampled.
    pub samples: u64,
    /// How long they waited together \[us\].
    pub total_us: u64,
}

/// Somebody who waits for room, counted as long as this lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many items may be in transit to one arbiter before senders are refused.
pub(crate) const PORT_CAPACITY: usize = 65_536;

impl ArbiterPort {
    /// The port of the arbiter on whose thread this is called.
    pub fn here() -> Arc<Self> {
        Arc::new(Self {
            owner: ThreadToken::current(),
            place: OnceLock::new(),
            log: Mutex::default(),
            appended: Default::default(),
            arrived: Default::default(),
            doorbell: AtomicWaker::new(),
            room: Default::default(),
            waiting: Default::default(),
            waits: Default::default(),
        })
    }

    /// Notes a sampled time in an inbox; only the arbiter's own thread does.
    pub(crate) fn note_wait(&self, age_us: u32) {
        for (cell, more) in self.waits.iter().zip([1, u64::from(age_us)]) {
            // One thread writes, so nothing is lost between load and store.
            cell.store(cell.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        }
    }

    pub(crate) fn waits(&self) -> Waits {
        let [samples, total_us] = [0, 1].map(|at| self.waits[at].load(Ordering::Relaxed));
        Waits { samples, total_us }
    }

    /// Gives it its position among those of a host, whose clock starts at `epoch`. The first host keeps it.
    pub(crate) fn settle_at(&self, position: usize, epoch: Instant) {
        self.place.get_or_init(|| (position, epoch));
    }

    /// Its position among those of its host.
    pub(crate) fn position(&self) -> usize {
        self.place.get().map_or(0, |(position, _)| *position)
    }

    /// The time on the host's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.place.get().map_or(Timestamp::ZERO, |(_, epoch)| Timestamp::from_start(epoch.elapsed()))
    }

    /// The point of the host's clock on tokio's.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.place.get().map_or_else(Instant::now, |(_, epoch)| *epoch + at.since_start())
    }

    pub(crate) fn owner(&self) -> ThreadToken {
        self.owner
    }

    /// How many items, each parcel counted, of the lane's class have not reached their inboxes.
    #[inline]
    pub(crate) fn in_transit(&self, lane: Lane) -> usize {
        self.in_transit_of(usize::from(lane.is_express()))
    }

    /// What has arrived is read first, so that it is never more than what was appended.
    #[inline]
    fn in_transit_of(&self, class: usize) -> usize {
        let arrived = self.arrived[class].load(Ordering::SeqCst);
        self.appended[class].load(Ordering::Acquire).wrapping_sub(arrived)
    }

    /// Whether another item of this lane may be appended now.
    #[inline]
    pub(crate) fn has_room(&self, lane: Lane) -> bool {
        // The first look may have been taken over a long time.
        lane == Lane::Control || (0..2).any(|_| self.in_transit(lane) < PORT_CAPACITY)
    }

    /// Waits until another item of this lane may be appended.
    pub(crate) async fn wait_for_room(&self, lane: Lane) {
        if self.has_room(lane) {
            return;
        }
        // Either this sees what arrives from now on, or `arrived` sees that somebody waits.
        let class = usize::from(lane.is_express());
        let _waiting = Waiting::new(&self.waiting[class]);
        loop {
            let room = self.room[class].notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.has_room(lane) {
                return;
            }
            room.await;
        }
    }

    /// Appends items of one lane's class, in order. Those of a closed log end here.
    pub(crate) fn append(&self, lane: Lane, items: impl IntoIterator<Item = PortItem>) {
        let refused = self.write(lane, items, |list, items, _| {
            let before = list.len();
            list.extend(items);
            list.len() - before
        });
        if let Some(items) = refused {
            items.into_iter().for_each(PortItem::abandon);
        }
    }

    /// Appends a parcel for many. It joins the entry before it where that goes to the same recipients, so that neither
    /// their list is counted up and down for each parcel, nor the batch has to be put together later. Answers what a closed
    /// log did not take: it is the caller's to [`abandon`](PortItem::abandon), when it holds nothing.
    #[inline]
    #[must_use = "what a closed log does not take is still to be accounted for"]
    pub(crate) fn publish(&self, lane: Lane, to: &Arc<dyn Fanout>, parcel: Shared) -> Option<PortItem> {
        let new = |parcel, since| {
            PortItem::Published(Publication { to: to.clone(), parcels: vec![parcel], lane, since })
        };
        let refused = self.write(lane, parcel, |list, parcel, in_transit| {
            match list.last_mut() {
                Some(PortItem::Published(last))
                    if last.lane == lane && last.parcels.len() < BATCH && Arc::ptr_eq(&last.to, to) =>
                {
                    if last.parcels.len() == 1 {
                        // More will come.
                        last.parcels.reserve(BATCH / 4);
                    }
                    last.parcels.push(parcel);
                }
                _ => {
                    let is_measured = list.is_empty() || in_transit.is_multiple_of(MEASURED);
                    list.push(new(parcel, is_measured.then(|| self.now())));
                }
            }
            1
        });
        refused.map(|parcel| new(parcel, None))
    }

    /// Gives back what a closed log does not take.
    #[inline]
    fn write<T>(
        &self,
        lane: Lane,
        what: T,
        add: impl FnOnce(&mut Vec<PortItem>, T, usize) -> usize,
    ) -> Option<T> {
        let class = usize::from(lane.is_express());
        let was_empty = {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.closed {
                return Some(what);
            }
            let was_empty = log.express.is_empty() && log.regular.is_empty();
            let list = if lane.is_express() { &mut log.express } else { &mut log.regular };
            let added = add(list, what, self.in_transit_of(class));
            // Who holds the log writes alone.
            let appended = self.appended[class].load(Ordering::Relaxed);
            self.appended[class].store(appended.wrapping_add(added), Ordering::Release);
            was_empty
        };
        if was_empty {
            self.doorbell.wake();
        }
        None
    }

    /// Lets nothing more into the log, and has the dispatcher end once it is empty.
    pub(crate) fn close(&self) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.doorbell.wake();
    }

    /// Closes the log for good and ends what is in it.
    pub(crate) fn abandon(&self) {
        let (mut express, mut regular) = (Vec::new(), Vec::new());
        self.close();
        self.swap_out(&mut express, &mut regular);
        for (class, items) in [(true, express), (false, regular)] {
            self.abandon_all(class, items);
        }
    }

    /// Ends items that were swapped out.
    pub(crate) fn abandon_all(&self, express: bool, items: impl IntoIterator<Item = PortItem>) {
        for item in items {
            let parcels = match &item {
                PortItem::Direct(_) => 1,
                PortItem::Published(publication) => publication.parcels.len(),
            };
            item.abandon();
            self.arrived(express, parcels);
        }
    }

    pub(crate) fn listen(&self, waker: &Waker) {
        self.doorbell.register(waker);
    }

    /// Swaps out what waits: express first, then the rest. Answers whether the log is closed.
    pub(crate) fn swap_out(&self, express: &mut Vec<PortItem>, regular: &mut Vec<PortItem>) -> bool {
        debug_assert!(express.is_empty() && regular.is_empty());
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut log.express, express);
        std::mem::swap(&mut log.regular, regular);
        log.closed
    }

    /// Swaps out only what waits in the express log.
    pub(crate) fn swap_out_express(&self, express: &mut Vec<PortItem>) {
        debug_assert!(express.is_empty());
        if self.in_transit_of(1) > 0 {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut log.express, express);
        }
    }

    /// Notes that items have reached their inboxes.
    pub(crate) fn arrived(&self, express: bool, items: usize) {
        let class = usize::from(express);
        self.arrived[class].fetch_add(items, Ordering::SeqCst);
        if self.waiting[class].load(Ordering::SeqCst) > 0 && self.in_transit_of(class) < PORT_CAPACITY {
            self.room[class].notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Fanout for Nobody {
        fn number(&self) -> u64 {
            0
        }
        fn route(&self) -> &Arc<Route> {
            unreachable!("nothing is sent here")
        }
        fn recipients(&self) -> usize {
            0
        }
        fn pack(&self, _: Vec<Shared>) -> Rc<crate::inbox::Packed> {
            unreachable!("nothing is taken out here")
        }
        fn push(&self, _: &Rc<crate::inbox::Packed>, _: Lane, _: usize, _: usize) -> usize {
            unreachable!("nothing is taken out here")
        }
        fn agent(&self, _: usize) -> Option<&AgentHandle> {
            None
        }
        fn overlaps(&self, _: &dyn Fanout) -> bool {
            true
        }
        fn pick(&self, _: &[u32], _: Arc<[u32]>, _: u16) -> Arc<dyn Fanout> {
            unreachable!("nobody is here")
        }
        fn lose(&self, _: &[Shared], _: Reason, _: Option<&Objection>) {}
    }

    /// How many parcels each entry of the regular log holds; 0 for what is no publication.
    fn entries(port: &ArbiterPort) -> Vec<usize> {
        let (mut express, mut regular) = (Vec::new(), Vec::new());
        port.swap_out(&mut express, &mut regular);
        let parcels = |item: &PortItem| match item {
            PortItem::Published(publication) => publication.parcels.len(),
            PortItem::Direct(_) => 0,
        };
        regular.iter().map(parcels).collect()
    }

    struct Nothing;

    impl Arrival for Nothing {
        fn arrive(self: Box<Self>) {}
    }

    #[test]
    fn publications_join_only_what_was_logged_last_for_the_same_recipients_and_lane() {
        let port = ArbiterPort::here();
        let lists: [Arc<dyn Fanout>; 2] = [Arc::new(Nobody), Arc::new(Nobody)];
        let publish = |lane, list: usize| assert!(port.publish(lane, &lists[list], Arc::new(7)).is_none());
        publish(Lane::Normal, 0);
        publish(Lane::Normal, 0);
        publish(Lane::Normal, 1);
        publish(Lane::Normal, 0);
        publish(Lane::Low, 0);
        port.append(Lane::Normal, [PortItem::Direct(Box::new(Nothing))]);
        publish(Lane::Normal, 0);
        publish(Lane::Urgent, 0);
        assert_eq!(port.in_transit(Lane::Normal), 7);
        assert_eq!(port.in_transit(Lane::Urgent), 1);
        assert_eq!(entries(&port), [2, 1, 1, 1, 0, 1]);
    }

    #[test]
    fn a_batch_is_never_larger_than_its_bound() {
        let port = ArbiterPort::here();
        let list: Arc<dyn Fanout> = Arc::new(Nobody);
        (0..=2 * BATCH).for_each(|n| assert!(port.publish(Lane::Normal, &list, Arc::new(n)).is_none()));
        assert_eq!(entries(&port), [BATCH, BATCH, 1]);
    }
}
