//! [`Consignment`]: one message that is to be confirmed, from its publication until its receipt.
//!
//! ```text
//!  publish ──> parts in flight ──all ended──> everyone has it ──────────────> receipt
//!                 ^      │ too late            │ someone lost it, or is late
//!                 │      v                     v
//!                 └── next attempt <── back-off, while attempts and time are left
//! ```
//!
//! A *part* is what one list of recipients on one arbiter gets of it. Arbiters tell of each part once, of each loss when it
//! happens, and mark who has taken it; nobody tells of a delivery by itself.
//!
//! **Invariant.** It ends exactly once, at its deadline at the latest, with one row for each recipient; a row is delivered
//! only when a handler has returned. While it is followed up nothing else of it is locked, and none of its calls outward is
//! made under its lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::task::AtomicWaker;
use rustc_hash::FxHashMap;

use super::{
    confirm::ConfirmOptions,
    courier::{Courier, MessageStatus},
    path::{Decider, Hop},
    receipt::{Confirmation, Ended, Exception, Receipt, agent, place},
};
use crate::{
    agent::{Confirming, Lane, Mark, Marks, MessageId, Reason, Timestamp},
    inbox::{Fanout, Hub, PortItem, Shared},
};

/// One list of recipients, and the position of their arbiter among those of the host.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) arbiter: usize,
    pub(crate) to: Arc<dyn Fanout>,
}

/// What is known of a message when it is published.
pub(crate) struct Published {
    pub(crate) id: MessageId,
    pub(crate) route: Arc<str>,
    pub(crate) lane: Lane,
    pub(crate) at: Timestamp,
    pub(crate) deadline: Timestamp,
    pub(crate) parts: Vec<Part>,
    pub(crate) parcel: Shared,
}

/// One message that is to be confirmed.
pub(crate) struct Consignment {
    hub: Arc<Hub>,
    courier: Weak<Courier>,
    pub(crate) id: MessageId,
    pub(crate) route: Arc<str>,
    lane: Lane,
    pub(crate) published: Timestamp,
    deadline: Timestamp,
    options: ConfirmOptions,
    lists: Arc<[Arc<dyn Fanout>]>,
    arbiters: Box<[usize]>,
    rows: u32,
    state: Mutex<State>,
    waker: AtomicWaker,
}

struct State {
    /// Until it has ended.
    parcel: Option<Shared>,
    /// How many parts have not come to their end.
    open: usize,
    attempt: u16,
    /// When the latest attempt is too late.
    late_at: Timestamp,
    /// When the next attempt is made, while that is decided.
    retry_at: Option<Timestamp>,
    marks: Vec<(u16, u16, Arc<Marks>)>,
    lost: FxHashMap<(u32, u16), Reason>,
    /// Which attempts a row was part of beside the first, those that were.
    tried: FxHashMap<u32, Vec<u16>>,
    path: Vec<Hop>,
    ended: Option<Receipt>,
}

/// How a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Done,
    Responding,
    Lost(Reason),
    /// On its way, or in the inbox.
    Out,
}

/// What comes next.
enum Next {
    Look(Timestamp),
    Send(Vec<Part>, Shared),
    End(Receipt),
}

impl State {
    fn stand(&self, row: u32) -> Stand {
        let mut goes_on = Stand::Out;
        for (attempt, at, marks) in &self.marks {
            match marks.look(row, *at) {
                Some(Mark::Done) => return Stand::Done,
                Some(Mark::Responding) if !self.lost.contains_key(&(row, *attempt)) => {
                    goes_on = Stand::Responding;
                }
                Some(Mark::Responding | Mark::Untaken) | None => {}
            }
        }
        if goes_on == Stand::Responding {
            return goes_on;
        }
        // Lost is what was lost in every attempt: a copy that is still on its way may be handled yet.
        let mut reason = None;
        for attempt in std::iter::once(0).chain(self.tried.get(&row).into_iter().flatten().copied()) {
            match self.lost.get(&(row, attempt)) {
                None => return Stand::Out,
                // The copy for whose sake it was dropped was lost itself.
                Some(Reason::Duplicate) => {}
                Some(other) => reason = Some(*other),
            }
        }
        reason.map_or(Stand::Out, Stand::Lost)
    }

    /// Lets go of what is known of each row, once nobody asks any more: a copy that is still on its way when the receipt is
    /// complete is not to be handled a second time.
    fn forget(&mut self) {
        if self.open == 0 && self.ended.is_some() {
            self.marks.clear();
            self.lost.clear();
        }
    }

    fn sends(&self, row: u32) -> u16 {
        let again = self.tried.get(&row).map_or(0, Vec::len);
        u16::try_from(1 + again).expect("retries are bounded")
    }
}

/// Whether sending the same message there again may help.
fn may_retry(reason: Reason) -> bool {
    match reason {
        Reason::Full
        | Reason::Congested
        | Reason::Panicked
        | Reason::DroppedOldest
        | Reason::DroppedNewest
        | Reason::Intervened => true,
        Reason::Closed
        | Reason::NotAccepted
        | Reason::Unknown
        | Reason::Recalled
        | Reason::Duplicate
        | Reason::Expired
        | Reason::Stopped => false,
    }
}

impl Consignment {
    pub(crate) fn new(
        hub: Arc<Hub>,
        courier: Weak<Courier>,
        options: ConfirmOptions,
        published: Published,
    ) -> Self {
        let Published { id, route, lane, at, deadline, parts, parcel } = published;
        let lists: Arc<[_]> = parts.iter().map(|part| part.to.clone()).collect();
        let rows =
            lists.iter().map(|list| u32::try_from(list.recipients()).expect(super::recipients::FEW)).sum();
        let mut state = State {
            parcel: Some(parcel),
            open: parts.len(),
            attempt: 0,
            late_at: at.plus(options.repeat_after),
            retry_at: None,
            marks: Vec::with_capacity(parts.len()),
            lost: FxHashMap::default(),
            tried: FxHashMap::default(),
            path: Vec::new(),
            ended: None,
        };
        if options.path {
            let what = format!("{rows} recipients of {route} on {} arbiters, lane {lane:?}", parts.len());
            state.path.push(Hop { at, by: Decider::Publisher, what });
        }
        Self {
            hub,
            courier,
            id,
            route,
            lane,
            published: at,
            deadline,
            options,
            lists,
            arbiters: parts.iter().map(|part| part.arbiter).collect(),
            rows,
            state: Mutex::new(state),
            waker: AtomicWaker::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many recipients it has.
    pub(crate) fn recipients(&self) -> usize {
        self.rows as usize
    }

    /// When it is to be looked at first, if nothing happens before.
    pub(crate) fn first_look(&self) -> Timestamp {
        self.lock().late_at.min(self.deadline)
    }

    /// The receipt, when there is one.
    pub(crate) fn receipt(&self) -> Option<Receipt> {
        self.lock().ended.clone()
    }

    /// The message, until there is a receipt.
    pub(crate) fn parcel(&self) -> Option<Shared> {
        self.lock().parcel.clone()
    }

    /// Told when there is a receipt.
    pub(crate) fn waker(&self) -> &AtomicWaker {
        &self.waker
    }

    /// How it stands.
    pub(crate) fn status(&self) -> MessageStatus {
        let state = self.lock();
        let delivered = match &state.ended {
            Some(receipt) => receipt.delivered(),
            None => (0..self.rows).filter(|row| state.stand(*row) == Stand::Done).count(),
        };
        MessageStatus {
            id: self.id,
            route: self.route.clone(),
            recipients: self.recipients(),
            delivered,
            attempts: state.attempt + 1,
            published: self.published,
            ended: state.ended.as_ref().map(Receipt::ended),
        }
    }

    /// Ends it as it stands: nobody follows it up any more.
    pub(crate) fn break_off(&self) {
        let mut state = self.lock();
        if state.ended.is_none() {
            self.note(&mut state, self.hub.now(), Decider::Courier, || {
                "broken off: the host shuts down".to_owned()
            });
            let receipt = self.close(&mut state, self.hub.now());
            state.ended = Some(receipt);
        }
        drop(state);
        self.waker.wake();
    }

    /// Looks how it stands, and does what is to be done. Answers when to look again; nothing when it has ended.
    pub(crate) fn follow_up(&self) -> Option<Timestamp> {
        let (now, mut state) = (self.hub.now(), self.lock());
        if state.ended.is_some() {
            return None;
        }
        match self.decide(&mut state, now) {
            Next::Look(at) => Some(at),
            Next::Send(parts, parcel) => {
                state.open += parts.len();
                state.late_at = now.plus(self.options.repeat_after);
                state.retry_at = None;
                let look = state.late_at.min(self.deadline);
                drop(state);
                let mut refused = Vec::new();
                for Part { arbiter, to } in parts {
                    to.route().ledger.sent(self.hub.writer(), to.recipients() as u64);
                    refused.extend(self.hub.ports()[arbiter].publish(self.lane, &to, parcel.clone()));
                }
                refused.into_iter().for_each(PortItem::abandon);
                Some(look)
            }
            Next::End(receipt) => {
                state.parcel = None;
                state.ended = Some(receipt);
                state.forget();
                drop(state);
                self.waker.wake();
                None
            }
        }
    }

    fn note(&self, state: &mut State, at: Timestamp, by: Decider, what: impl FnOnce() -> String) {
        if self.options.path && state.ended.is_none() {
            state.path.push(Hop { at, by, what: what() });
        }
    }

    fn decide(&self, state: &mut State, now: Timestamp) -> Next {
        if state.open == 0 && state.lost.is_empty() {
            return Next::End(self.close(state, now));
        }
        if now >= self.deadline {
            self.note(state, now, Decider::Courier, || "its time is over".to_owned());
            return Next::End(self.close(state, now));
        }
        if let Some(at) = state.retry_at.filter(|at| *at > now) {
            return Next::Look(at.min(self.deadline));
        }
        let is_late = now >= state.late_at;
        if state.open > 0 && !is_late && state.retry_at.is_none() {
            return Next::Look(state.late_at.min(self.deadline));
        }
        let mut again = Vec::new();
        let mut is_out = false;
        // With nothing on its way only those who lost it can be without.
        let rows: Vec<u32> = if state.open == 0 {
            let mut rows: Vec<_> = state.lost.keys().map(|(row, _)| *row).collect();
            rows.sort_unstable();
            rows.dedup();
            rows
        } else {
            (0..self.rows).collect()
        };
        for row in rows {
            let has_attempts = state.sends(row) <= self.options.retries;
            match state.stand(row) {
                Stand::Lost(reason) if may_retry(reason) && has_attempts => again.push(row),
                Stand::Out if has_attempts && is_late => again.push(row),
                // What is being handled is only sent again where it may be handled twice.
                Stand::Responding if has_attempts && is_late && !self.options.deduplicates => again.push(row),
                Stand::Out | Stand::Responding => is_out = true,
                Stand::Done | Stand::Lost(_) => {}
            }
        }
        if again.is_empty() {
            if !is_out {
                return Next::End(self.close(state, now));
            }
            // Nothing more can be done for those; what they do is seen when their parts end.
            state.late_at = self.deadline;
            state.retry_at = None;
            return Next::Look(self.deadline);
        }
        if state.retry_at.is_none() && !is_late {
            let nth = u32::from(state.attempt) + 1;
            let wait = self.options.backoff.delay(nth, self.hub.seed(), &self.route, self.id.low());
            if !wait.is_zero() {
                let at = now.plus(wait);
                self.note(state, now, Decider::Courier, || {
                    format!("{} recipients lost it: attempt {} follows in {wait:?}", again.len(), nth + 1)
                });
                state.retry_at = Some(at);
                return Next::Look(at.min(self.deadline));
            }
        }
        self.send_again(state, now, &again)
    }

    /// The parts of the next attempt.
    fn send_again(&self, state: &mut State, now: Timestamp, again: &[u32]) -> Next {
        state.attempt += 1;
        let attempt = state.attempt;
        let mut by_list: Vec<(Vec<u32>, Vec<u32>)> = vec![Default::default(); self.lists.len()];
        for row in again {
            let (list, position) = place(&self.lists, *row).expect("a row of this message");
            by_list[list].0.push(position);
            by_list[list].1.push(*row);
            state.tried.entry(*row).or_default().push(attempt);
        }
        let parts = by_list
            .into_iter()
            .enumerate()
            .filter(|(_, (positions, _))| !positions.is_empty())
            .map(|(list, (positions, rows))| Part {
                arbiter: self.arbiters[list],
                to: self.lists[list].pick(&positions, rows.into(), attempt),
            })
            .collect();
        self.note(state, now, Decider::Courier, || {
            format!("attempt {} for {} recipients", u32::from(attempt) + 1, again.len())
        });
        Next::Send(parts, state.parcel.clone().expect("it has not ended"))
    }

    fn close(&self, state: &mut State, now: Timestamp) -> Receipt {
        let is_plain = state.open == 0 && state.lost.is_empty() && state.tried.is_empty();
        let exceptions = if is_plain {
            Vec::new()
        } else {
            (0..self.rows)
                .map(|row| {
                    let outcome = match state.stand(row) {
                        Stand::Done => Confirmation::Delivered,
                        Stand::Lost(reason) => Confirmation::Lost(reason),
                        Stand::Out if now >= self.deadline => Confirmation::Lost(Reason::Expired),
                        Stand::Responding | Stand::Out => Confirmation::Unconfirmed,
                    };
                    Exception { row, outcome, attempts: state.sends(row) }
                })
                .filter(|row| row.attempts > 1 || !row.outcome.is_delivered())
                .collect()
        };
        self.note(state, now, Decider::Courier, || "the receipt is complete".to_owned());
        Receipt::new(Ended {
            id: self.id,
            route: self.route.clone(),
            published: self.published,
            at: now,
            lists: self.lists.clone(),
            exceptions,
            path: std::mem::take(&mut state.path),
        })
    }

    fn report(&self) {
        if let Some(courier) = self.courier.upgrade() {
            courier.look_after(self);
        }
    }
}

impl Confirming for Consignment {
    fn packed(&self, marks: &Arc<Marks>, at: u16, attempt: u16) {
        let now = if self.options.path { self.hub.now() } else { Timestamp::ZERO };
        let mut state = self.lock();
        state.marks.push((attempt, at, marks.clone()));
        self.note(&mut state, now, Decider::Dispatcher, || {
            format!("attempt {}: message {} of a batch of {}", attempt + 1, at + 1, marks.messages())
        });
    }

    fn lost(&self, row: u32, attempt: u16, reason: Reason) {
        let now = if self.options.path { self.hub.now() } else { Timestamp::ZERO };
        let mut state = self.lock();
        state.lost.insert((row, attempt), reason);
        self.note(&mut state, now, Decider::Recipient, || {
            let name = agent(&self.lists, row).map(|agent| agent.to_string()).unwrap_or_default();
            format!("attempt {} did not reach {name}: {reason}", attempt + 1)
        });
    }

    fn is_repeated(&self, row: u32, attempt: u16) -> bool {
        if !self.options.deduplicates {
            return false;
        }
        let state = self.lock();
        state.marks.iter().filter(|(other, ..)| *other != attempt).any(|(other, at, marks)| {
            match marks.look(row, *at) {
                Some(Mark::Done) => true,
                Some(Mark::Responding) => !state.lost.contains_key(&(row, *other)),
                Some(Mark::Untaken) | None => false,
            }
        })
    }

    fn part_ended(&self) {
        let is_last = {
            let mut state = self.lock();
            state.open -= 1;
            state.forget();
            state.open == 0 && state.ended.is_none()
        };
        if is_last {
            self.report();
        }
    }
}
