//! What happens to messages for which an inbox has no room: refused, dropped, or parked outside until there is room.

use std::{cell::RefCell, rc::Rc, sync::atomic::Ordering};

use super::{
    Command, Inbox, OverflowPolicy, Packed, Route,
    entry::Body,
    lanes::Load,
    slot::{Extra, OPEN},
};
use crate::agent::{Agent, Lane, Reason};

impl<A: Agent> Inbox<A> {
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

    /// Takes in what was parked, as far as there is room.
    #[inline]
    pub(super) fn unpark(&self) {
        let Some(local) = self.local.get() else { return };
        if local.extra.borrow().as_ref().is_some_and(|extra| !extra.parked.is_empty()) {
            self.unpark_from(&local.extra);
        }
    }

    #[cold]
    fn unpark_from(&self, extra: &RefCell<Option<Box<Extra<A>>>>) {
        // Control has places of its own; all other lanes share theirs.
        while self.let_in(extra, Lane::Control) {}
        loop {
            let turn = extra.borrow().as_ref().and_then(|extra| extra.parked.turn());
            if !turn.is_some_and(|lane| self.let_in(extra, lane)) {
                return;
            }
        }
    }

    /// Takes in what was parked first in a lane, as far as there is room; answers whether there was any.
    fn let_in(&self, extra: &RefCell<Option<Box<Extra<A>>>>, lane: Lane) -> bool {
        let mut extra = extra.borrow_mut();
        let Some(Extra { parked, .. }) = extra.as_deref_mut() else { return false };
        let Some(first) = parked.front_mut(lane) else { return false };
        let granted = self.reserve(lane, first.load());
        if granted == 0 {
            return false;
        }
        let part = if granted < first.load() { first.split_front(granted) } else { None };
        let enters = part.or_else(|| parked.pop(lane)).expect("it was looked at above");
        parked.let_in(lane, granted);
        drop(extra);
        self.route_of(&enters).unpark(granted as usize);
        self.take_in(lane, enters);
        true
    }

    pub(super) fn route_of<'a>(&'a self, body: &'a Body<A>) -> &'a Route {
        match body {
            Body::One { .. } => &self.hub().direct,
            Body::Many { packed, .. } => &packed.route,
        }
    }

    /// Keeps an entry without places outside, behind those of its lane.
    pub(super) fn park(&self, lane: Lane, body: Body<A>) {
        self.route_of(&body).parked.fetch_add(body.load() as usize, Ordering::AcqRel);
        let mut extra = self.local().extra.borrow_mut();
        extra.get_or_insert_with(Box::default).parked.push(lane, body);
    }

    /// Whether anything of this lane waits outside.
    pub(super) fn has_parked(&self, lane: Lane) -> bool {
        self.profile.config.overflow == OverflowPolicy::Wait
            && self.local.get().is_some_and(|local| {
                let extra = local.extra.borrow();
                extra.as_ref().is_some_and(|extra| extra.parked.has(lane))
            })
    }

    /// Whether what arrives now comes too late. One that was told to stop still takes what was published before: the order
    /// comes by the same log, behind it.
    fn is_ending(&self) -> bool {
        let local = self.local();
        self.state.load(Ordering::Acquire) != OPEN
            && (self.is_closed()
                || local.draining.get()
                || matches!(local.command.borrow().as_deref(), Some(Command::Kill(_))))
    }

    /// Queues the whole batch, as far as the overflow policy lets it. Only on the inbox's own arbiter.
    #[inline]
    pub(crate) fn enter_batch(&self, lane: Lane, packed: &Rc<Packed>, accept: u16, position: u32) {
        let end = packed.count;
        if self.is_ending() {
            self.lose_each(packed, position, 0..end, Reason::Closed);
            self.hub().settled();
            return;
        }
        if self.has_parked(lane) {
            self.park(lane, Body::many(packed.clone(), position, 0, end, accept));
            return;
        }
        let granted = self.reserve(lane, u32::from(end));
        let granted = u16::try_from(granted).expect("no more than was asked for");
        if granted > 0 {
            self.enter(lane, Body::many(packed.clone(), position, 0, granted, accept));
        }
        if granted < end {
            self.overflow(lane, packed, granted, accept, position);
        }
    }

    #[cold]
    pub(super) fn overflow(
        &self,
        lane: Lane,
        packed: &Rc<Packed>,
        mut from: u16,
        accept: u16,
        position: u32,
    ) {
        let reason = match self.profile.config.overflow {
            OverflowPolicy::Wait => {
                self.park(lane, Body::many(packed.clone(), position, from, packed.count, accept));
                return;
            }
            OverflowPolicy::Reject => Reason::Full,
            OverflowPolicy::DropNewest => Reason::DroppedNewest,
            OverflowPolicy::DropOldest => {
                // The batch is larger than all there is room for: its newest messages stay.
                let mut next = from;
                while next < packed.count {
                    if self.reserve(lane, 1) == 1 {
                        self.enter(lane, Body::many(packed.clone(), position, next, next + 1, accept));
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
        self.lose_each(packed, position, from..packed.count, reason);
        self.hub().settled();
    }
}
