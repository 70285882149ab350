//! [`Pump`]: the future inside an agent's own context that takes messages from its lanes to its handlers.

use std::{
    cell::Cell,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix::{ActorContext, AsyncContext, Context, fut::ActorFuture};
use futures_util::Stream;
use tokio::time::Instant;

use super::{
    Inbox, OverflowPolicy, Packed, Tally,
    entry::Body,
    slot::{Extra, Local, Origin, Responding},
};
use crate::{
    agent::{Agent, Ended, Interventions, Lane, Reason, Stint},
    audited::InstanceAddress,
};

/// How long an agent may run before its neighbours get their turn.
const STINT: Duration = Duration::from_micros(20);
/// After how many messages the clock is looked at for an agent whose messages are slow or not known yet ..
pub(super) const SLOWEST_PACE: u16 = 8;
/// .. and for one whose messages were quick so far.
const FASTEST_PACE: u16 = 64;

/// Takes messages from the lanes to the handlers, a quantum at a time.
///
/// **Invariant.** A panic of a handler costs the message being handled and nothing else: what is left of its batch is
/// put back before the unwinding goes on to the keeper.
pub(crate) struct Pump<A: Agent>(pub(crate) Arc<Inbox<A>>);

impl<A: Agent> ActorFuture<A> for Pump<A> {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        agent: &mut A,
        context: &mut Context<A>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let inbox = &self.0;
        let local = inbox.local.get().expect("an agent runs on the arbiter of its inbox");
        local.seen.set(Some(InstanceAddress::of(agent)));
        listen(local, cx);
        if is_responding(local) {
            finish_responses(inbox, local, cx);
        }
        if local.asked.get() && !context.waiting() {
            inbox.beat();
        }
        let mut turn = Turn::new(inbox.profile.config.quantum, local.pace.get());
        loop {
            if context.waiting() || local.command.borrow().is_some() {
                // Stopping, or a future of `ctx.wait` goes first; the context polls again afterwards. A command is for
                // the keeper, which looks next.
                inbox.hub().settled();
                return Poll::Pending;
            }
            let Some((lane, body, allowance)) = local.lanes.borrow_mut().take() else {
                if local.draining.get() && !is_responding(local) && !local.asked_to_stop.replace(true) {
                    // Asked once: an agent whose `stopping()` answers `Running::Continue` stops when it sees fit.
                    context.stop();
                }
                local.idle.set(true);
                inbox.hub().settled();
                return Poll::Pending;
            };
            handle(inbox, local, lane, body, turn.most(allowance), &mut turn, agent, context);
            if turn.is_over(local) {
                inbox.hub().settled();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if is_responding(local) {
                finish_responses(inbox, local, cx);
            }
        }
    }
}

#[inline]
fn is_responding<A: Agent>(local: &Local<A>) -> bool {
    local.extra.borrow().as_ref().is_some_and(|extra| !extra.unfinished.is_empty())
}

#[inline]
fn listen<A: Agent>(local: &Local<A>, cx: &TaskContext<'_>) {
    let mut waker = local.waker.borrow_mut();
    if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
}

/// How much of its quantum an agent has used up.
struct Turn {
    left: u32,
    handled: u32,
    look_at: u32,
    began: Option<Instant>,
}

impl Turn {
    fn new(quantum: u32, pace: u16) -> Self {
        Self { left: quantum, handled: 0, look_at: u32::from(pace), began: None }
    }

    #[inline]
    fn most(&self, allowance: u32) -> u32 {
        let until_look = self.look_at.saturating_sub(self.handled).max(1);
        allowance.min(self.left).min(until_look)
    }

    #[inline]
    fn used(&mut self, messages: u32) {
        self.handled += messages;
        self.left = self.left.saturating_sub(messages);
    }

    /// Whether the neighbours have waited long enough. With nothing left to do the clock is not read.
    #[inline]
    fn is_over<A: Agent>(&mut self, local: &Local<A>) -> bool {
        if self.left == 0 {
            return true;
        }
        self.handled >= self.look_at && local.lanes.borrow().waiting() > 0 && self.look(&local.pace)
    }

    #[cold]
    fn look(&mut self, pace: &Cell<u16>) -> bool {
        // The first look only starts the watch, so that short visits never read the clock.
        let Some(began) = self.began else {
            self.began = Some(Instant::now());
            self.look_at = self.handled * 2;
            return false;
        };
        let elapsed = began.elapsed();
        if elapsed >= STINT {
            pace.set((pace.get() / 2).max(SLOWEST_PACE));
            if elapsed >= STINT * 2 {
                pace.set(SLOWEST_PACE);
            }
            return true;
        }
        if elapsed < STINT / 4 {
            pace.set((pace.get() * 2).min(FASTEST_PACE));
        }
        self.look_at = self.handled * 2;
        false
    }
}

#[expect(clippy::too_many_arguments, reason = "one step of the loop above, apart because it unwinds")]
#[inline]
fn handle<A: Agent>(
    inbox: &Arc<Inbox<A>>,
    local: &Local<A>,
    lane: Lane,
    body: Body<A>,
    most: u32,
    turn: &mut Turn,
    agent: &mut A,
    context: &mut Context<A>,
) {
    let (Body::One { stamp, .. } | Body::Many { stamp, .. }) = &body;
    if *stamp != 0 {
        inbox.note_age(*stamp);
    }
    local.running.set(lane);
    local.preempt.set(false);
    let hub = inbox.hub();
    let now = || hub.now();
    let mut stint = stint(inbox, &hub.interventions, &now, &local.preempt, most);
    match body {
        Body::One { mut envelope, .. } => {
            // Places are given back when the run is over, so a run is short where there are few.
            let most = most.min(inbox.profile.config.capacity / 8).max(1);
            let mut handled = 0;
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                loop {
                    handled += 1;
                    envelope.open(agent, context, &mut stint);
                    if handled >= most || local.preempt.get() || context.waiting() {
                        return;
                    }
                    let next = local
                        .lanes
                        .borrow_mut()
                        .take_next(lane, |body| matches!(body, Body::One { stamp: 0, .. }));
                    match next {
                        Some(Body::One { envelope: next, .. }) => envelope = next,
                        Some(Body::Many { .. }) => unreachable!("only single messages are taken"),
                        None => return,
                    }
                }
            }));
            stint.failed += u32::from(outcome.is_err());
            local.lanes.borrow_mut().handled(lane, handled);
            turn.used(handled);
            settle(inbox, local, lane, None, stint, handled);
            if let Err(panic) = outcome {
                hub.settled();
                resume_unwind(panic);
            }
        }
        Body::Many { packed, position, mut at, end, accept, .. } => {
            let first = at;
            // What was not granted a place at the end of the batch is not this agent's to handle.
            stint.left = stint.left.min(u32::from(end - at));
            let tally = packed.tally.as_deref();
            let repeats = |at| tally.is_some_and(|tally| tally.is_repeated(position, at));
            if tally.is_some_and(Tally::may_repeat) {
                stint.repeats = Some(&repeats);
            }
            let run = inbox.profile.accepts[usize::from(accept)].run;
            let outcome =
                catch_unwind(AssertUnwindSafe(|| run(&packed.batch, &mut at, agent, context, &mut stint)));
            let handled = u32::from(at - first);
            {
                let mut lanes = local.lanes.borrow_mut();
                lanes.handled(lane, handled);
                if at < end {
                    lanes.put_back(lane, Body::many(packed.clone(), position, at, end, accept));
                }
            }
            if at < end && inbox.profile.config.overflow == OverflowPolicy::DropOldest {
                inbox.evict_overflow(lane);
            }
            turn.used(handled);
            let part = Part { packed: &packed, position, range: first..at, poisoned: outcome.is_err() };
            settle(inbox, local, lane, Some(part), stint, handled);
            if let Err(panic) = outcome {
                hub.settled();
                resume_unwind(panic);
            }
        }
    }
}

fn stint<'a, A: Agent>(
    inbox: &'a Inbox<A>,
    interventions: &'a Interventions,
    now: &'a dyn Fn() -> crate::agent::Timestamp,
    preempt: &'a Cell<bool>,
    left: u32,
) -> Stint<'a> {
    Stint {
        me: &inbox.id,
        interventions,
        now,
        preempt,
        left,
        delivered: 0,
        late: 0,
        failed: 0,
        at: 0,
        repeats: None,
        unfinished: Vec::new(),
        lost: Vec::new(),
    }
}

/// The part of a batch that a run has handled.
struct Part<'a> {
    packed: &'a Rc<Packed>,
    position: u32,
    range: Range<u16>,
    /// The handler of the last one panicked.
    poisoned: bool,
}

impl Part<'_> {
    /// The messages of the run that were not simply delivered: lost, or with a response that goes on.
    fn others(&self, stint: &Stint<'_>) -> Vec<(u16, Option<Reason>)> {
        let Part { range, poisoned, .. } = self;
        let mut others = stint.unfinished.iter().map(|(at, _)| (*at, None)).collect::<Vec<_>>();
        others.extend(stint.lost.iter().map(|(at, lost)| (*at, Some(lost.reason))));
        others.extend(poisoned.then(|| (range.end - 1, Some(Reason::Panicked))));
        others.sort_unstable_by_key(|(at, _)| *at);
        others
    }

    /// Tells those who want to know what became of each message.
    fn confirm(&self, tally: &Tally, others: Vec<(u16, Option<Reason>)>) {
        let Part { position, range, .. } = self;
        let mut from = range.start;
        for (at, lost) in others {
            tally.delivered(*position, from, at);
            match lost {
                Some(reason) => tally.lost(*position, at, reason),
                None => tally.responding(*position, at),
            }
            from = at + 1;
        }
        tally.delivered(*position, from, range.end);
    }
}

/// Counts what a run over an entry has done, and gives the places back.
#[inline]
fn settle<A: Agent>(
    inbox: &Arc<Inbox<A>>,
    local: &Local<A>,
    lane: Lane,
    part: Option<Part<'_>>,
    stint: Stint<'_>,
    handled: u32,
) {
    let hub = inbox.hub();
    let (writer, route) =
        (inbox.profile.writer, part.as_ref().map_or(&hub.direct, |part| &part.packed.route));
    let tally = part.as_ref().and_then(|part| part.packed.tally.as_deref().zip(Some(part)));
    let others = tally.map(|(_, part)| part.others(&stint));
    let Stint { delivered, late, failed, unfinished, lost, .. } = stint;
    let began = local.began.take();
    inbox.gauge.handled(delivered);
    if failed > 0 || part.as_ref().is_some_and(|part| part.poisoned) {
        inbox.gauge.failed(failed.max(1));
    } else if began > 0 && unfinished.is_empty() && handled > 0 {
        inbox.note_handling(began, handled);
    }
    let responding = u32::try_from(unfinished.len()).expect("no more than were handled");
    if delivered > 0 {
        route.ledger.delivered(writer, u64::from(delivered));
    }
    if late > 0 {
        route.ledger.late(writer, u64::from(late));
    }
    if responding > 0 {
        let mut extra = local.extra.borrow_mut();
        let extra = extra.get_or_insert_with(Box::<Extra<A>>::default);
        for (at, response) in unfinished {
            let origin = match tally {
                Some((_, Part { packed, position, .. })) => {
                    Origin::Batch { packed: (*packed).clone(), position: *position, at }
                }
                None => Origin::Route(route.clone()),
            };
            extra.unfinished.push(Responding { origin, lane, response, began });
        }
    }
    for (_, lost) in lost {
        hub.lose(writer, route, &inbox.id, lost);
    }
    match &part {
        Some(Part { packed, range, poisoned: true, .. }) => {
            hub.lose(writer, route, &inbox.id, packed.lost(range.end - 1, Reason::Panicked));
        }
        _ if failed > 0 => hub.lose_gone(writer, route, &inbox.id, Reason::Panicked, "message"),
        _ => {}
    }
    // After the ledger: what is confirmed is counted.
    if let (Some((tally, part)), Some(others)) = (tally, others) {
        part.confirm(tally, others);
    }
    inbox.release(lane, handled - responding);
}

/// Counts the messages whose responses have come to their end.
fn finish_responses<A: Agent>(inbox: &Arc<Inbox<A>>, local: &Local<A>, cx: &mut TaskContext<'_>) {
    loop {
        let next = {
            let mut extra = local.extra.borrow_mut();
            match extra.as_mut() {
                Some(extra) if !extra.unfinished.is_empty() => Pin::new(&mut extra.unfinished).poll_next(cx),
                _ => return,
            }
        };
        let Poll::Ready(Some((origin, lane, ended, began))) = next else { return };
        match ended {
            Ended::Failed => inbox.gauge.failed(1),
            Ended::Delivered | Ended::Late => {
                inbox.gauge.handled(1);
                if began > 0 {
                    inbox.note_handling(began, 1);
                }
            }
        }
        inbox.finish_response(&origin, lane, ended, Reason::Panicked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_agent_is_looked_at_seldom_while_it_is_quick_and_often_once_it_was_slow() {
        let pace = Cell::new(SLOWEST_PACE);
        for _ in 0..8 {
            let mut turn = Turn::new(1_024, pace.get());
            turn.used(u32::from(pace.get()));
            assert!(!turn.look(&pace), "the first look only starts the watch");
            assert!(!turn.look(&pace), "no time has passed");
        }
        assert_eq!(pace.get(), FASTEST_PACE);
        let mut turn = Turn::new(1_024, pace.get());
        turn.used(u32::from(pace.get()));
        assert!(!turn.look(&pace));
        tokio::time::advance(STINT * 2).await;
        assert!(turn.look(&pace), "the neighbours have waited");
        assert_eq!(pace.get(), SLOWEST_PACE);
    }
}
