//! [`Dispatcher`]: the actor of one arbiter that takes what came to its port to the local inboxes.
//!
//! ```text
//! publishers, senders of other arbiters ──> ArbiterPort log ──> Dispatcher ──> inboxes' lanes
//!                                           (swap, doorbell)     a batch per run of the same list
//! ```
//!
//! Batches come about in the log and in the [`Backlog`], while earlier ones are taken to their recipients; so batching never
//! delays what comes alone. At most [`TURN`] deliveries are made before the agents get their turn.
//!
//! **Invariant.** Items of one class arrive in the order of the log.
//! **Restart.** It holds no state beyond what it has swapped out, and guards every step that may call foreign code, so
//! it is never rebuilt.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use actix::{Actor, AsyncContext, Context, fut::ActorFuture};
use tokio::time::{Sleep, sleep_until};

use super::backlog::Backlog;
use crate::{
    agent::{Lane, Timestamp},
    inbox::{ArbiterPort, Fanout, Packed, PortItem, Publication},
};

/// How many deliveries are made before the agents get their turn.
const TURN: usize = 4_096;

/// Takes what came to its arbiter's port to the local inboxes.
pub(crate) struct Dispatcher {
    port: Arc<ArbiterPort>,
}

impl Dispatcher {
    pub(crate) fn new(port: Arc<ArbiterPort>) -> Self {
        Self { port }
    }
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.spawn(Drain {
            port: self.port.clone(),
            express: Queue::default(),
            regular: Queue::default(),
            alarm: None,
        });
    }
}

/// A batch on its way to its recipients.
struct Fan {
    to: Arc<dyn Fanout>,
    batch: Rc<Packed>,
    lane: Lane,
    next: usize,
    items: usize,
}

/// What was swapped out of one log, and the batch that is being fanned out.
#[derive(Default)]
struct Queue {
    backlog: Backlog,
    spare: Vec<PortItem>,
    fan: Option<Fan>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.backlog.is_empty() && self.fan.is_none()
    }

    /// Takes in what was swapped out.
    fn take_in(&mut self, port: &ArbiterPort) {
        for item in self.spare.drain(..) {
            self.backlog.add(item, port.position(), || port.now());
        }
    }

    /// Makes up to `most` deliveries; answers how many it made.
    fn step(&mut self, port: &ArbiterPort, express: bool, most: usize) -> usize {
        if let Some(fan) = &mut self.fan {
            let from = fan.next;
            fan.next = fan.to.push(&fan.batch, fan.lane, from, most);
            let made = fan.next - from;
            if fan.next >= fan.to.recipients() {
                port.arrived(express, fan.items);
                let fan = self.fan.take();
                if catch_unwind(AssertUnwindSafe(|| drop(fan))).is_err() {
                    tracing::error!("the destructor of a published message panicked");
                }
            }
            return made.max(1);
        }
        match self.backlog.pop(port.position()) {
            None => 0,
            Some(PortItem::Direct(arrival)) => {
                let weight = arrival.weight();
                if catch_unwind(AssertUnwindSafe(|| arrival.arrive())).is_err() {
                    tracing::error!("something panicked on its way into an inbox");
                }
                port.arrived(express, 1);
                weight
            }
            Some(PortItem::Published(Publication { to, parcels, lane, since })) => {
                let items = parcels.len();
                let waited = since.map(|since| port.now().since(since));
                to.route().batches.note(port.position(), items, waited, || port.now());
                self.fan = Some(Fan { batch: to.pack(parcels), to, lane, next: 0, items });
                0
            }
        }
    }
}

struct Drain {
    port: Arc<ArbiterPort>,
    express: Queue,
    regular: Queue,
    /// Goes off when a batch that is held has waited for long enough.
    alarm: Option<(Timestamp, Pin<Box<Sleep>>)>,
}

impl Drain {
    /// Takes what came; answers whether nothing more will come.
    fn fill(&mut self) -> bool {
        let closed = self.port.swap_out(&mut self.express.spare, &mut self.regular.spare);
        self.express.take_in(&self.port);
        self.regular.take_in(&self.port);
        closed
    }

    /// Whether batches wait to be full.
    fn holds(&self) -> bool {
        self.express.backlog.holds() || self.regular.backlog.holds()
    }

    /// Lets batches go on that have been held for long enough, and has itself woken for the others. Nothing is held any more
    /// when the log is closed.
    fn release_due(&mut self, closed: bool, cx: &mut TaskContext<'_>) {
        let now = if closed { Timestamp::END } else { self.port.now() };
        let next = [&mut self.express, &mut self.regular].map(|queue| queue.backlog.release_due(now));
        let Some(next) = next.into_iter().flatten().min() else {
            self.alarm = None;
            return;
        };
        let instant = self.port.instant(next);
        let (at, alarm) = self.alarm.get_or_insert_with(|| (next, Box::pin(sleep_until(instant))));
        if *at != next {
            *at = next;
            alarm.as_mut().reset(instant);
        }
        let went_off = alarm.as_mut().poll(cx).is_ready();
        if went_off {
            // It was due between two ticks of the clock: look again.
            self.alarm = None;
            cx.waker().wake_by_ref();
        }
    }
}

impl Drop for Drain {
    /// The arbiter goes away, or its log was closed: what has not reached its inbox ends here.
    fn drop(&mut self) {
        for (express, queue) in [(true, &mut self.express), (false, &mut self.regular)] {
            while queue.fan.is_some() {
                queue.step(&self.port, express, TURN);
            }
            self.port.abandon_all(express, queue.backlog.drain());
        }
        self.port.abandon();
    }
}

impl ActorFuture<Dispatcher> for Drain {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Dispatcher,
        _: &mut Context<Dispatcher>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let this = self.get_mut();
        let mut left = TURN;
        loop {
            while !this.express.is_empty() && left > 0 {
                left = left.saturating_sub(this.express.step(&this.port, true, left));
            }
            if left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if this.regular.is_empty() {
                this.port.listen(cx.waker());
                let closed = this.fill();
                if this.holds() {
                    this.release_due(closed, cx);
                }
                if this.regular.is_empty() && this.express.is_empty() {
                    return if closed { Poll::Ready(()) } else { Poll::Pending };
                }
                continue;
            }
            left = left.saturating_sub(this.regular.step(&this.port, false, left));
            this.port.swap_out_express(&mut this.express.spare);
            this.express.take_in(&this.port);
        }
    }
}
