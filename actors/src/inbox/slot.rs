//! [`Inbox`]: the lanes of one agent and the door in front of them.

use std::{
    any::{Any, TypeId},
    cell::{Cell, RefCell},
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use actix::Addr;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    ArbiterPort, Arrival, Hub, InboxConfig, OverflowPolicy, PortItem, Route,
    lanes::{Lanes, Load},
    ledger::Writer,
    pump::SLOWEST_PACE,
};
use crate::{
    agent::{
        Accept, Agent, AgentId, Batch, Ended, Envelope, ExitReason, Lane, Listing, Lost, Parcel, Reason,
        Unfinished, lost_parcel,
    },
    audited::{ArbiterBound, InstanceAddress},
};

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
const SAMPLED: u32 = 64;

impl<A: Agent> Body<A> {
    pub(crate) fn one(envelope: Box<dyn Envelope<A>>) -> Self {
        Body::One { envelope, stamp: 0 }
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
        match self {
            Body::One { .. } => None,
            Body::Many { packed, at, accept, .. } => {
                let oldest = Body::many(packed.clone(), *at, *at + 1, *accept);
                *at += 1;
                Some(oldest)
            }
        }
    }
}

/// What a supervisor wants of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Handle what is held, then stop.
    Drain,
    /// Stop at once.
    Kill(ExitReason),
    /// End this incarnation and begin the next after the back-off.
    Restart { after: std::time::Duration, cause: String },
    /// End this incarnation and wait for another command.
    Hold,
    /// Panic, as a future of the agent might.
    Panic(String),
}

/// What agents of one spawn have in common.
pub(crate) struct Profile<A: Agent> {
    pub(crate) hub: Arc<Hub>,
    pub(crate) port: Arc<ArbiterPort>,
    pub(crate) writer: Writer,
    pub(crate) listing: Arc<Listing>,
    pub(crate) accepts: Box<[Accept<A>]>,
    pub(crate) config: InboxConfig,
}

/// A handled message whose response goes on.
pub(crate) struct Responding {
    pub(crate) route: Arc<Route>,
    pub(crate) lane: Lane,
    pub(crate) response: Unfinished,
}

impl Future for Responding {
    type Output = (Arc<Route>, Lane, Ended);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        Pin::new(&mut this.response).poll(cx).map(|ended| (this.route.clone(), this.lane, ended))
    }
}

/// What came in beyond the usual: responses that go on, messages parked outside, ages.
pub(crate) struct Extra<A: Agent> {
    pub(crate) unfinished: FuturesUnordered<Responding>,
    pub(crate) parked: VecDeque<(Lane, Body<A>)>,
    pub(crate) ages: Ages,
}

impl<A: Agent> Default for Extra<A> {
    fn default() -> Self {
        Self { unfinished: FuturesUnordered::new(), parked: VecDeque::new(), ages: Ages::default() }
    }
}

/// Sampled times that messages spent in the inbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ages {
    pub(crate) samples: u64,
    pub(crate) total_us: u64,
    pub(crate) max_us: u32,
}

/// The part of an inbox that belongs to its arbiter.
pub(crate) struct Local<A: Agent> {
    pub(crate) lanes: RefCell<Lanes<Body<A>>>,
    pub(crate) waker: RefCell<Option<Waker>>,
    pub(crate) idle: Cell<bool>,
    pub(crate) preempt: Cell<bool>,
    pub(crate) running: Cell<Lane>,
    pub(crate) seen: Cell<Option<InstanceAddress>>,
    pub(crate) command: RefCell<Option<Command>>,
    pub(crate) draining: Cell<bool>,
    pub(crate) asked_to_stop: Cell<bool>,
    pub(crate) extra: RefCell<Option<Box<Extra<A>>>>,
    /// How many messages this agent handles before it looks at the clock, learnt from how long they took.
    pub(crate) pace: Cell<u16>,
    entries: Cell<u32>,
}

const OPEN: u8 = 0;
const CLOSING: u8 = 1;
const CLOSED: u8 = 2;

/// One agent's inbox.
pub(crate) struct Inbox<A: Agent> {
    pub(crate) id: AgentId,
    pub(crate) profile: Arc<Profile<A>>,
    address: Mutex<Addr<A>>,
    pub(crate) generation: AtomicU32,
    occupied: AtomicU32,
    control: AtomicU32,
    state: AtomicU8,
    room: OnceLock<Box<Notify>>,
    pub(crate) local: ArbiterBound<Local<A>>,
}

/// A look into an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxStatus {
    /// How many messages it holds, those on their way to it and the one being handled included.
    pub occupied: u32,
    /// How many it may hold.
    pub capacity: u32,
    /// How many wait in each lane, the first served first; only where the look was taken on the agent's own arbiter.
    pub depth: Option<[u32; 6]>,
    /// The mean time that sampled messages spent waiting [us]; only on the agent's own arbiter.
    pub mean_age_us: Option<u64>,
    /// The longest time that a sampled message spent waiting [us]; only on the agent's own arbiter.
    pub max_age_us: Option<u32>,
    /// Which incarnation serves it.
    pub generation: u32,
}

impl<A: Agent> Inbox<A> {
    pub(crate) fn new(id: AgentId, profile: Arc<Profile<A>>, address: Addr<A>) -> Arc<Self> {
        Arc::new(Self {
            id,
            profile,
            address: Mutex::new(address),
            generation: AtomicU32::new(0),
            occupied: AtomicU32::new(0),
            control: AtomicU32::new(0),
            state: AtomicU8::new(OPEN),
            room: OnceLock::new(),
            local: ArbiterBound::new(Local {
                lanes: RefCell::new(Lanes::new()),
                waker: RefCell::new(None),
                idle: Cell::new(false),
                preempt: Cell::new(false),
                running: Cell::new(Lane::Normal),
                seen: Cell::new(None),
                command: RefCell::new(None),
                draining: Cell::new(false),
                asked_to_stop: Cell::new(false),
                extra: RefCell::new(None),
                pace: Cell::new(SLOWEST_PACE),
                entries: Cell::new(0),
            }),
        })
    }

    #[inline]
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.profile.hub
    }

    pub(crate) fn address(&self) -> Addr<A> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn readdress(&self, address: Addr<A>) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) == OPEN
    }

    /// Takes places for `wanted` messages; answers how many it got.
    #[inline]
    pub(crate) fn reserve(&self, lane: Lane, wanted: u32) -> u32 {
        let (cell, capacity) = if lane == Lane::Control {
            (&self.control, InboxConfig::CONTROL_CAPACITY)
        } else if self.profile.config.overflow == OverflowPolicy::DropOldest {
            // What is over capacity is evicted on arrival; as much again may be on its way.
            (&self.occupied, self.profile.config.capacity.saturating_mul(2))
        } else {
            (&self.occupied, self.profile.config.capacity)
        };
        // Never more than there is, not even for a moment: whoever takes in what was parked looks only once.
        let mut before = cell.load(Ordering::Relaxed);
        loop {
            let granted = wanted.min(capacity.saturating_sub(before));
            match cell.compare_exchange_weak(before, before + granted, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return granted,
                Err(now) => before = now,
            }
        }
    }

    fn places(&self, lane: Lane) -> &AtomicU32 {
        if lane == Lane::Control { &self.control } else { &self.occupied }
    }

    /// Gives places back.
    #[inline]
    pub(crate) fn release(&self, lane: Lane, places: u32) {
        self.places(lane).fetch_sub(places, Ordering::AcqRel);
        if let Some(room) = self.room.get() {
            room.notify_waiters();
        }
        if self.profile.config.overflow == OverflowPolicy::Wait {
            self.unpark();
        }
    }

    /// Told whenever places are given back.
    pub(crate) fn room(&self) -> &Notify {
        self.room.get_or_init(Box::default)
    }

    #[inline]
    fn local(&self) -> &Local<A> {
        self.local.get().expect("called on the inbox's own arbiter")
    }

    /// Queues an entry whose places are reserved. Only on the inbox's own arbiter.
    #[inline]
    pub(crate) fn enter(&self, lane: Lane, body: Body<A>) {
        if self.state.load(Ordering::Acquire) == CLOSED {
            self.give_up(lane, body, Reason::Stopped);
            return;
        }
        if self.has_parked(lane) {
            // It was sent after what is parked: it takes a place in that line and leaves its own to the first of it.
            let places = body.load();
            self.park(lane, body);
            self.release(lane, places);
            return;
        }
        self.take_in(lane, body);
    }

    #[inline]
    fn take_in(&self, lane: Lane, mut body: Body<A>) {
        let local = self.local();
        let entries = local.entries.get();
        local.entries.set(entries.wrapping_add(1));
        if entries.is_multiple_of(SAMPLED) {
            match &mut body {
                Body::One { stamp, .. } | Body::Many { stamp, .. } => *stamp = self.stamp(),
            }
        }
        local.lanes.borrow_mut().push(lane, body);
        if self.profile.config.overflow == OverflowPolicy::DropOldest && lane != Lane::Control {
            self.evict_overflow(lane);
        }
        if lane != local.running.get() {
            local.preempt.set(true);
        }
        if local.idle.replace(false) {
            self.wake();
        }
    }

    #[cold]
    fn stamp(&self) -> u32 {
        Self::stamp_of(self.hub().now().micros())
    }

    #[expect(clippy::cast_possible_truncation, reason = "stamps are differences modulo 2^32")]
    fn stamp_of(micros: u64) -> u32 {
        (micros as u32).max(1)
    }

    pub(crate) fn note_age(&self, stamp: u32) {
        let age = Self::stamp_of(self.hub().now().micros()).wrapping_sub(stamp);
        let local = self.local();
        let mut extra = local.extra.borrow_mut();
        let ages = &mut extra.get_or_insert_with(Box::default).ages;
        ages.samples += 1;
        ages.total_us += u64::from(age);
        ages.max_us = ages.max_us.max(age);
    }

    pub(crate) fn evict_overflow(&self, lane: Lane) {
        let capacity = self.profile.config.capacity;
        let excess = {
            let lanes = self.local().lanes.borrow();
            if lanes.waiting() <= capacity {
                return;
            }
            (lanes.waiting() - lanes.depth(Lane::Control)).saturating_sub(capacity)
        };
        for _ in 0..excess {
            let evicted = self.local().lanes.borrow_mut().evict(lane);
            let Some(body) = evicted else { return };
            self.give_up(lane, body, Reason::DroppedOldest);
        }
    }

    #[inline]
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.local().waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Accounts for every message of an entry as lost, and gives its places back.
    pub(crate) fn give_up(&self, lane: Lane, body: Body<A>, reason: Reason) {
        let (hub, writer) = (self.hub(), self.profile.writer);
        let places = body.load();
        match body {
            Body::One { envelope, .. } => {
                hub.lose(writer, &hub.direct, &self.id, envelope.give_up(reason));
            }
            Body::Many { packed, at, end, .. } => {
                if hub.dead_letters().are_wanted() {
                    for at in at..end {
                        hub.lose(writer, &packed.route, &self.id, packed.lost(at, reason));
                    }
                } else {
                    packed.route.ledger.lost(writer, reason, u64::from(end - at));
                }
            }
        }
        self.release(lane, places);
        hub.settled();
    }

    /// Takes in what was parked, as far as there is room.
    fn unpark(&self) {
        let Some(local) = self.local.get() else { return };
        loop {
            let Some((lane, body)) = ({
                let mut extra = local.extra.borrow_mut();
                extra.as_mut().and_then(|extra| extra.parked.pop_front())
            }) else {
                return;
            };
            let granted = self.reserve(lane, body.load());
            let (enters, stays) = match body {
                body if granted == 0 => (None, Some(body)),
                Body::One { .. } => (Some(body), None),
                Body::Many { packed, at, end, accept, .. } => {
                    let until = at + u16::try_from(granted).expect("no more than was asked for");
                    let rest = (until < end).then(|| Body::many(packed.clone(), until, end, accept));
                    (Some(Body::many(packed, at, until, accept)), rest)
                }
            };
            if let Some(rest) = stays {
                let mut extra = local.extra.borrow_mut();
                extra.as_mut().expect("it was there above").parked.push_front((lane, rest));
            }
            let Some(body) = enters else { return };
            self.route_of(&body).unpark(granted as usize);
            self.take_in(lane, body);
        }
    }

    fn route_of<'a>(&'a self, body: &'a Body<A>) -> &'a Route {
        match body {
            Body::One { .. } => &self.hub().direct,
            Body::Many { packed, .. } => &packed.route,
        }
    }

    /// Keeps an entry without places outside, behind those of its lane and of those served before it.
    fn park(&self, lane: Lane, body: Body<A>) {
        self.route_of(&body).parked.fetch_add(body.load() as usize, Ordering::AcqRel);
        let mut extra = self.local().extra.borrow_mut();
        let parked = &mut extra.get_or_insert_with(Box::default).parked;
        let at = parked.partition_point(|(before, _)| *before <= lane);
        parked.insert(at, (lane, body));
    }

    /// Whether anything of this lane waits outside.
    fn has_parked(&self, lane: Lane) -> bool {
        self.profile.config.overflow == OverflowPolicy::Wait
            && self.local.get().is_some_and(|local| {
                let extra = local.extra.borrow();
                extra.as_ref().is_some_and(|extra| extra.parked.iter().any(|(parked, _)| *parked == lane))
            })
    }

    /// Queues the whole batch, as far as the overflow policy lets it. Only on the inbox's own arbiter.
    #[inline]
    pub(crate) fn enter_batch(&self, lane: Lane, packed: &Rc<Packed>, accept: u16) {
        let end = packed.count;
        if self.state.load(Ordering::Acquire) != OPEN {
            let hub = self.hub();
            for at in 0..end {
                hub.lose(self.profile.writer, &packed.route, &self.id, packed.lost(at, Reason::Closed));
            }
            hub.settled();
            return;
        }
        if self.has_parked(lane) {
            self.park(lane, Body::many(packed.clone(), 0, end, accept));
            return;
        }
        let granted = self.reserve(lane, u32::from(end));
        let granted = u16::try_from(granted).expect("no more than was asked for");
        if granted > 0 {
            self.enter(lane, Body::many(packed.clone(), 0, granted, accept));
        }
        if granted < end {
            self.overflow(lane, packed, granted, accept);
        }
    }

    #[cold]
    fn overflow(&self, lane: Lane, packed: &Rc<Packed>, mut from: u16, accept: u16) {
        let reason = match self.profile.config.overflow {
            OverflowPolicy::Wait => {
                self.park(lane, Body::many(packed.clone(), from, packed.count, accept));
                return;
            }
            OverflowPolicy::Reject => Reason::Full,
            OverflowPolicy::DropNewest => Reason::DroppedNewest,
            OverflowPolicy::DropOldest => {
                // The batch is larger than all there is room for: its newest messages stay.
                let mut next = from;
                while next < packed.count {
                    if self.reserve(lane, 1) == 1 {
                        self.enter(lane, Body::many(packed.clone(), next, next + 1, accept));
                        next += 1;
                        continue;
                    }
                    let evicted = self.local().lanes.borrow_mut().evict(lane);
                    let Some(body) = evicted else { break };
                    self.give_up(lane, body, Reason::DroppedOldest);
                }
                from = next;
                Reason::DroppedOldest
            }
        };
        for at in from..packed.count {
            self.hub().lose(self.profile.writer, &packed.route, &self.id, packed.lost(at, reason));
        }
        self.hub().settled();
    }

    /// Counts a message whose response has come to its end, and gives its place back.
    pub(crate) fn finish_response(&self, route: &Route, lane: Lane, ended: Ended, reason: Reason) {
        let writer = self.profile.writer;
        match ended {
            Ended::Delivered => route.ledger.delivered(writer, 1),
            Ended::Late => {
                route.ledger.delivered(writer, 1);
                route.ledger.late(writer, 1);
            }
            Ended::Failed => self.hub().lose_gone(writer, route, &self.id, reason, "response"),
        }
        self.release(lane, 1);
    }

    /// Lets nothing more in; what is queued stays.
    pub(crate) fn close_intake(&self) {
        let _ = self.state.compare_exchange(OPEN, CLOSING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Closes for good and accounts for all that is left. Only on the inbox's own arbiter.
    pub(crate) fn close(&self) {
        self.state.store(CLOSED, Ordering::Release);
        let local = self.local();
        loop {
            let left = local.lanes.borrow_mut().drain();
            let extra = local.extra.borrow_mut().take();
            if left.is_empty() && extra.is_none() {
                break;
            }
            for (lane, body) in left {
                self.give_up(lane, body, Reason::Stopped);
            }
            if let Some(mut extra) = extra {
                for responding in &mut extra.unfinished {
                    let ended = responding.response.give_up(Reason::Stopped);
                    self.finish_response(&responding.route, responding.lane, ended, Reason::Stopped);
                }
                for (lane, body) in extra.parked.drain(..) {
                    self.route_of(&body).unpark(body.load() as usize);
                    self.places(lane).fetch_add(body.load(), Ordering::AcqRel);
                    self.give_up(lane, body, Reason::Stopped);
                }
            }
        }
        local.waker.borrow_mut().take();
        if let Some(room) = self.room.get() {
            room.notify_waiters();
        }
        self.hub().settled();
    }
}

struct Signal<A: Agent> {
    inbox: Arc<Inbox<A>>,
    command: Command,
}

impl<A: Agent> Arrival for Signal<A> {
    fn arrive(self: Box<Self>) {
        self.inbox.obey(self.command);
    }
}

impl<A: Agent> Inbox<A> {
    fn obey(&self, command: Command) {
        let local = self.local();
        if self.state.load(Ordering::Acquire) == CLOSED {
            return;
        }
        match command {
            Command::Drain => {
                local.draining.set(true);
                local.asked_to_stop.set(false);
            }
            other => {
                let mut held = local.command.borrow_mut();
                // A kill is final; nothing later weakens it. An injected fault takes no other command's place.
                let keeps = match &*held {
                    Some(Command::Kill(_)) => true,
                    Some(_) => matches!(other, Command::Panic(_)),
                    None => false,
                };
                if !keeps {
                    *held = Some(other);
                }
                // Whatever runs now gives way to the keeper.
                local.preempt.set(true);
            }
        }
        local.idle.set(false);
        self.wake();
    }
}

/// An agent's inbox, whatever the agent's type.
pub(crate) trait Door: Send + Sync {
    fn id(&self) -> &AgentId;
    fn listing(&self) -> &Arc<Listing>;
    fn hub(&self) -> &Arc<Hub>;
    fn port(&self) -> &Arc<ArbiterPort>;
    /// The columns that the calling thread writes.
    fn writer(&self) -> Writer;
    fn generation(&self) -> u32;
    fn status(&self) -> InboxStatus;
    fn is_open(&self) -> bool;
    fn has_ended(&self) -> bool;
    /// The position of a message type among those the agent accepts.
    fn accept(&self, message: TypeId) -> Option<u16>;
    /// Takes in a boxed `Direct<M, ByValue>` whose place is reserved.
    fn offer(self: Arc<Self>, accept: u16, lane: Lane, direct: Box<dyn Any + Send>);
    /// Takes a place for one message, or says why there is none.
    fn admit(&self, lane: Lane) -> Result<(), Reason>;
    /// Gives a place back that was not used, from any thread.
    fn give_back(self: Arc<Self>, lane: Lane);
    /// Queues a batch. Only on the agent's own arbiter.
    fn push(&self, lane: Lane, packed: &Rc<Packed>, accept: u16);
    fn room(&self) -> &Notify;
    /// Tells the agent's keeper what to do.
    fn command(self: Arc<Self>, command: Command);
}

/// Tells an inbox of another arbiter that a place was given back.
struct Vacancy<A: Agent> {
    inbox: Arc<Inbox<A>>,
}

impl<A: Agent> Arrival for Vacancy<A> {
    fn arrive(self: Box<Self>) {
        self.inbox.unpark();
    }
}

/// An envelope on its way to an inbox of another arbiter.
struct Transit<A: Agent> {
    inbox: Arc<Inbox<A>>,
    lane: Lane,
    envelope: Box<dyn Envelope<A>>,
}

impl<A: Agent> Arrival for Transit<A> {
    fn arrive(self: Box<Self>) {
        self.inbox.enter(self.lane, Body::one(self.envelope));
    }
}

impl<A: Agent> Inbox<A> {
    /// Takes an envelope in, whose place is reserved, from any thread.
    #[inline]
    pub(crate) fn deliver(self: &Arc<Self>, lane: Lane, envelope: Box<dyn Envelope<A>>) {
        // What was published or sent before by this thread must not be overtaken: the short way is open only while
        // nothing of the same class is in transit to this arbiter.
        if self.local.get().is_some() && self.profile.port.in_transit(lane) == 0 {
            self.enter(lane, Body::one(envelope));
        } else {
            self.send_over(lane, envelope);
        }
    }

    #[inline(never)]
    fn send_over(self: &Arc<Self>, lane: Lane, envelope: Box<dyn Envelope<A>>) {
        let transit = Box::new(Transit { inbox: self.clone(), lane, envelope });
        self.profile.port.append(lane, [PortItem::Direct(transit)]);
    }

    /// Tells the keeper what to do, from any thread.
    pub(crate) fn send_command(self: &Arc<Self>, command: Command) {
        if matches!(command, Command::Drain | Command::Kill(_)) {
            self.close_intake();
        }
        // What was accepted before a drain is handled, so a drain overtakes nothing; the other commands do.
        let drains = matches!(command, Command::Drain);
        let port = &self.profile.port;
        let in_transit = port.in_transit(Lane::Control) + port.in_transit(Lane::Normal);
        if self.local.get().is_some() && !(drains && in_transit > 0) {
            self.obey(command);
        } else {
            let lane = if drains { Lane::Normal } else { Lane::Control };
            let signal = Box::new(Signal { inbox: self.clone(), command });
            port.append(lane, [PortItem::Direct(signal)]);
        }
    }
}

impl<A: Agent> Door for Inbox<A> {
    fn id(&self) -> &AgentId {
        &self.id
    }

    fn listing(&self) -> &Arc<Listing> {
        &self.profile.listing
    }

    #[inline]
    fn hub(&self) -> &Arc<Hub> {
        &self.profile.hub
    }

    fn port(&self) -> &Arc<ArbiterPort> {
        &self.profile.port
    }

    #[inline]
    fn writer(&self) -> Writer {
        match self.local.get() {
            Some(_) => self.profile.writer,
            None => self.profile.hub.writer(),
        }
    }

    fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    fn status(&self) -> InboxStatus {
        let local = self.local.get();
        let ages = local.and_then(|local| local.extra.borrow().as_ref().map(|extra| extra.ages));
        InboxStatus {
            occupied: self.occupied.load(Ordering::Acquire),
            capacity: self.profile.config.capacity,
            depth: local.map(|local| Lane::ALL.map(|lane| local.lanes.borrow().depth(lane))),
            mean_age_us: ages.and_then(|ages| ages.total_us.checked_div(ages.samples)),
            max_age_us: ages.map(|ages| ages.max_us),
            generation: self.generation(),
        }
    }

    fn is_open(&self) -> bool {
        Inbox::is_open(self)
    }

    fn has_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    fn accept(&self, message: TypeId) -> Option<u16> {
        let at = self.profile.accepts.iter().position(|accept| accept.message == message)?;
        Some(u16::try_from(at).expect("a card lists few types"))
    }

    fn offer(self: Arc<Self>, accept: u16, lane: Lane, direct: Box<dyn Any + Send>) {
        match (self.profile.accepts[usize::from(accept)].open)(direct) {
            Ok(envelope) => self.deliver(lane, envelope),
            Err(_) => unreachable!("the position belongs to this message type"),
        }
    }

    #[inline]
    fn admit(&self, lane: Lane) -> Result<(), Reason> {
        if !Inbox::is_open(self) {
            return Err(Reason::Closed);
        }
        if self.local.get().is_none() && !self.profile.port.has_room(lane) {
            return Err(Reason::Congested);
        }
        if self.reserve(lane, 1) == 1 {
            return Ok(());
        }
        Err(match self.profile.config.overflow {
            OverflowPolicy::DropNewest => Reason::DroppedNewest,
            _ => Reason::Full,
        })
    }

    fn give_back(self: Arc<Self>, lane: Lane) {
        self.release(lane, 1);
        if self.local.get().is_none() && self.profile.config.overflow == OverflowPolicy::Wait {
            // Only the inbox's own arbiter can let in what is parked.
            let port = self.profile.port.clone();
            port.append(Lane::Control, [PortItem::Direct(Box::new(Vacancy { inbox: self }))]);
        }
    }

    fn push(&self, lane: Lane, packed: &Rc<Packed>, accept: u16) {
        self.enter_batch(lane, packed, accept);
    }

    fn room(&self) -> &Notify {
        Inbox::room(self)
    }

    fn command(self: Arc<Self>, command: Command) {
        self.send_command(command);
    }
}
