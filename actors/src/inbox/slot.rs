//! [`Inbox`]: the lanes of one agent and the door in front of them.

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU32, Ordering, fence},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use actix::Addr;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    ArbiterPort, Command, Gauge, Hub, InboxConfig, OverflowPolicy, Packed, Route,
    entry::{Body, SAMPLED},
    lanes::{Lanes, Load},
    ledger::Writer,
    parked::Parked,
    pump::SLOWEST_PACE,
};
use crate::{
    agent::{Accept, Agent, AgentId, Ended, Lane, Listing, Reason, Unfinished},
    audited::{ArbiterBound, InstanceAddress},
};

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
    pub(crate) origin: Origin,
    pub(crate) lane: Lane,
    pub(crate) response: Unfinished,
    /// When its handler was called, where that is measured \[ns\]; else 0.
    pub(crate) began: u64,
}

/// How a message came to its agent.
#[derive(Clone)]
pub(crate) enum Origin {
    /// By itself, or in a batch of which nothing is to be confirmed.
    Route(Arc<Route>),
    /// In a batch, where it had this position among the messages, and the agent that among the recipients.
    Batch { packed: Rc<Packed>, position: u32, at: u16 },
}

impl Origin {
    fn route(&self) -> &Arc<Route> {
        match self {
            Origin::Route(route) => route,
            Origin::Batch { packed, .. } => &packed.route,
        }
    }
}

impl Future for Responding {
    type Output = (Origin, Lane, Ended, u64);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        Pin::new(&mut this.response).poll(cx).map(|ended| (this.origin.clone(), this.lane, ended, this.began))
    }
}

/// What came in beyond the usual: responses that go on, messages parked outside, ages.
pub(crate) struct Extra<A: Agent> {
    pub(crate) unfinished: FuturesUnordered<Responding>,
    pub(crate) parked: Parked<Body<A>>,
    pub(crate) ages: Ages,
}

impl<A: Agent> Default for Extra<A> {
    fn default() -> Self {
        Self { unfinished: FuturesUnordered::new(), parked: Parked::default(), ages: Ages::default() }
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
    /// Boxed, because there seldom is one.
    pub(crate) command: RefCell<Option<Box<Command>>>,
    pub(crate) draining: Cell<bool>,
    pub(crate) asked_to_stop: Cell<bool>,
    pub(crate) extra: RefCell<Option<Box<Extra<A>>>>,
    /// How many messages this agent handles before it looks at the clock, learnt from how long they took.
    pub(crate) pace: Cell<u16>,
    /// When the run over the present entry began, where it is measured \[ns\]; else 0.
    pub(crate) began: Cell<u64>,
    /// It is to beat when it next comes to its turn.
    pub(crate) asked: Cell<bool>,
    entries: Cell<u32>,
}

pub(super) const OPEN: u8 = 0;
pub(super) const CLOSING: u8 = 1;
pub(super) const CLOSED: u8 = 2;
/// Closed, and all that was left is accounted for.
pub(super) const ENDED: u8 = 3;

/// One agent's inbox.
pub(crate) struct Inbox<A: Agent> {
    pub(crate) id: AgentId,
    pub(crate) profile: Arc<Profile<A>>,
    address: Mutex<Addr<A>>,
    pub(crate) generation: AtomicU32,
    pub(super) occupied: AtomicU32,
    pub(super) control: AtomicU32,
    pub(super) state: AtomicU8,
    pub(super) room: OnceLock<Box<Notify>>,
    pub(super) gauge: Gauge,
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
    /// The mean time that sampled messages spent waiting \[us\]; only on the agent's own arbiter.
    pub mean_age_us: Option<u64>,
    /// The longest time that a sampled message spent waiting \[us\]; only on the agent's own arbiter.
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
            gauge: Gauge::default(),
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
                began: Cell::new(0),
                asked: Cell::new(false),
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

    /// Whether it takes nothing in any more, not even what has a place.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) >= CLOSED
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

    pub(super) fn places(&self, lane: Lane) -> &AtomicU32 {
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

    /// Told whenever places are given back, and when the agent is no more.
    pub(crate) fn room(&self) -> &Notify {
        self.room.get_or_init(Box::default)
    }

    #[inline]
    pub(super) fn local(&self) -> &Local<A> {
        self.local.get().expect("called on the inbox's own arbiter")
    }

    /// Queues an entry whose places are reserved. Only on the inbox's own arbiter.
    #[inline]
    pub(crate) fn enter(&self, lane: Lane, body: Body<A>) {
        if self.is_closed() {
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
    pub(super) fn take_in(&self, lane: Lane, mut body: Body<A>) {
        let local = self.local();
        let entries = local.entries.get();
        local.entries.set(entries.wrapping_add(1));
        let is_regular = entries.is_multiple_of(SAMPLED);
        // Of the first ones enough to know a new agent soon; each costs some looks at the clock.
        let is_early = entries < 8 || (entries < SAMPLED && entries.is_power_of_two());
        if is_regular || is_early || self.gauge.is_watched() {
            match &mut body {
                Body::One { stamp, .. } | Body::Many { stamp, .. } => *stamp = self.stamp(is_regular),
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
    pub(super) fn stamp(&self, is_regular: bool) -> u32 {
        (Self::stamp_of(self.hub().now().micros()) & !1).max(2) | u32::from(!is_regular)
    }

    #[expect(clippy::cast_possible_truncation, reason = "stamps are differences modulo 2^32")]
    pub(super) fn stamp_of(micros: u64) -> u32 {
        (micros as u32).max(1)
    }

    pub(crate) fn note_age(&self, stamp: u32) {
        // No earlier than any stamp, not even at the start of the clock.
        let age = Self::stamp_of(self.hub().now().micros()).max(2).wrapping_sub(stamp & !1);
        let local = self.local();
        local.began.set(self.hub().nanos());
        self.gauge.note_wait(Duration::from_micros(u64::from(age)).as_secs_f32() * 1e6);
        if !stamp.is_multiple_of(2) {
            return;
        }
        let mut extra = local.extra.borrow_mut();
        let ages = &mut extra.get_or_insert_with(Box::default).ages;
        ages.samples += 1;
        ages.total_us += u64::from(age);
        ages.max_us = ages.max_us.max(age);
        self.profile.port.note_wait(age);
    }

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
            Body::Many { packed, position, at, end, .. } => {
                self.lose_each(&packed, position, at..end, reason);
            }
        }
        self.release(lane, places);
        hub.settled();
    }

    /// Accounts for messages of a batch as lost.
    pub(crate) fn lose_each(&self, packed: &Packed, position: u32, range: Range<u16>, reason: Reason) {
        let (hub, writer) = (self.hub(), self.profile.writer);
        if hub.dead_letters().are_wanted() {
            for at in range.clone() {
                hub.lose(writer, &packed.route, &self.id, packed.lost(at, reason));
            }
        } else {
            packed.route.ledger.lost(writer, reason, u64::from(range.end - range.start));
        }
        if let Some(tally) = &packed.tally {
            range.for_each(|at| tally.lost(position, at, reason));
        }
    }

    /// Counts a message whose response has come to its end, and gives its place back.
    pub(crate) fn finish_response(&self, origin: &Origin, lane: Lane, ended: Ended, reason: Reason) {
        let (writer, route) = (self.profile.writer, origin.route());
        match ended {
            Ended::Delivered => route.ledger.delivered(writer, 1),
            Ended::Late => {
                route.ledger.delivered(writer, 1);
                route.ledger.late(writer, 1);
            }
            Ended::Failed => self.hub().lose_gone(writer, route, &self.id, reason, "response"),
        }
        if let Origin::Batch { packed, position, at } = origin
            && let Some(tally) = &packed.tally
        {
            tally.responded(*position, *at, (ended == Ended::Failed).then_some(reason));
        }
        self.release(lane, 1);
    }

    /// Beats: it has come to its turn.
    #[cold]
    pub(super) fn beat(&self) {
        self.local().asked.set(false);
        if self.gauge.beat(self.hub().now().micros()) {
            self.hub().pulse.note_heard(&self.id);
        }
    }

    /// Takes in how long a message was handled that began then \[ns\].
    #[cold]
    pub(super) fn note_handling(&self, began: u64, messages: u32) {
        let took = Duration::from_nanos(self.hub().nanos().saturating_sub(began));
        self.gauge
            .note_handling(took.as_secs_f32() * 1e6 / f32::from(u16::try_from(messages).unwrap_or(u16::MAX)));
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
                    self.finish_response(&responding.origin, responding.lane, ended, Reason::Stopped);
                }
                for (lane, body) in extra.parked.drain() {
                    self.route_of(&body).unpark(body.load() as usize);
                    self.places(lane).fetch_add(body.load(), Ordering::AcqRel);
                    self.give_up(lane, body, Reason::Stopped);
                }
            }
        }
        local.waker.borrow_mut().take();
        self.state.store(ENDED, Ordering::Release);
        // Pairs with the fence in `ended`: either whoever waits sees the end, or this sees what it waits for.
        fence(Ordering::SeqCst);
        if let Some(room) = self.room.get() {
            room.notify_waiters();
        }
        self.hub().settled();
    }
}
