//! [`Door`]: an inbox as other threads, and those who do not know the agent's type, see it.

use std::{
    any::{Any, TypeId},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::Notify;

use super::{
    ArbiterPort, Arrival, Gauge, Hub, Inbox, InboxStatus, OverflowPolicy, Packed, PortItem, entry::Body,
    ledger::Writer, slot::ENDED,
};
use crate::agent::{Agent, AgentId, Envelope, ExitReason, Lane, Listing, Reason};

/// What a supervisor wants of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Handle what is held, then stop.
    Drain,
    /// Stop at once.
    Kill(ExitReason),
    /// End this incarnation and begin the next after the back-off. Orders of a group are numbered, so that one that is
    /// given twice is obeyed once.
    Restart { order: u64, after: std::time::Duration, cause: String },
    /// End this incarnation and wait for another command.
    Hold { order: u64 },
    /// Panic, as a future of the agent might.
    Panic(String),
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
        if self.is_closed() {
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
                let keeps = match held.as_deref() {
                    Some(Command::Kill(_)) => true,
                    Some(_) => matches!(other, Command::Panic(_)),
                    None => false,
                };
                if !keeps {
                    *held = Some(Box::new(other));
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
    /// How many places are taken.
    fn occupied(&self) -> u32;
    /// What is counted and measured of the agent.
    fn gauge(&self) -> &Gauge;
    /// Has it beat when it next comes to its turn. Only on the agent's own arbiter.
    fn ask_to_beat(&self);
    /// Whether the agent is no more, and all that it held is accounted for.
    fn has_ended(&self) -> bool;
    /// The position of a message type among those the agent accepts.
    fn accept(&self, message: TypeId) -> Option<u16>;
    /// Takes in a boxed `Direct<M, ByValue>` whose place is reserved.
    fn offer(self: Arc<Self>, accept: u16, lane: Lane, direct: Box<dyn Any + Send>);
    /// Takes a place for one message, or says why there is none.
    fn admit(&self, lane: Lane) -> Result<(), Reason>;
    /// Gives a place back that was not used, from any thread.
    fn give_back(self: Arc<Self>, lane: Lane);
    /// Queues a batch, for whose recipients the agent has this position. Only on the agent's own arbiter.
    fn push(&self, lane: Lane, packed: &Rc<Packed>, accept: u16, position: u32);
    /// Told whenever places are given back, and when the agent is no more.
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

    fn abandon(self: Box<Self>) {
        let Self { inbox, lane, envelope } = *self;
        let hub = inbox.hub();
        hub.lose(hub.writer(), &hub.direct, &inbox.id, envelope.give_up(Reason::Stopped));
        inbox.release(lane, 1);
        hub.settled();
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

    #[inline]
    fn occupied(&self) -> u32 {
        self.occupied.load(Ordering::Relaxed)
    }

    #[inline]
    fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    fn ask_to_beat(&self) {
        self.local().asked.set(true);
        self.wake();
    }

    fn has_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == ENDED
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

    fn push(&self, lane: Lane, packed: &Rc<Packed>, accept: u16, position: u32) {
        self.enter_batch(lane, packed, accept, position);
    }

    fn room(&self) -> &Notify {
        Inbox::room(self)
    }

    fn command(self: Arc<Self>, command: Command) {
        self.send_command(command);
    }
}
