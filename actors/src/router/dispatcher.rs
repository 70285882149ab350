//! [`Dispatcher`]: the actor of one arbiter that takes what came to its port to the local inboxes.
//!
//! ```text
//! publishers, senders of other arbiters ──> ArbiterPort log ──> Dispatcher ──> inboxes' lanes
//!                                           (swap, doorbell)     a batch per run of the same list
//! ```
//!
//! Batches come about in the log, while earlier ones are taken out: a publication joins the one before it where both go to
//! the same recipients. So batching never delays what comes alone. At most [`TURN`] deliveries are made before the agents get their turn.
//!
//! **Invariant.** Items of one class arrive in the order of the log.
//! **Restart.** It holds no state beyond what it has swapped out, and guards every step that may call foreign code, so
//! it is never rebuilt.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use actix::{Actor, AsyncContext, Context, fut::ActorFuture};

use crate::{
    agent::Lane,
    inbox::{ArbiterPort, Fanout, Packed, PortItem},
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
    items: VecDeque<PortItem>,
    spare: Vec<PortItem>,
    fan: Option<Fan>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.fan.is_none()
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
        match self.items.pop_front() {
            None => 0,
            Some(PortItem::Direct(arrival)) => {
                let weight = arrival.weight();
                if catch_unwind(AssertUnwindSafe(|| arrival.arrive())).is_err() {
                    tracing::error!("something panicked on its way into an inbox");
                }
                port.arrived(express, 1);
                weight
            }
            Some(PortItem::Published { to, parcels, lane }) => {
                let items = parcels.len();
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
}

impl Drain {
    /// Takes what came; answers whether nothing more will come.
    fn fill(&mut self) -> bool {
        let closed = self.port.swap_out(&mut self.express.spare, &mut self.regular.spare);
        self.express.items.extend(self.express.spare.drain(..));
        self.regular.items.extend(self.regular.spare.drain(..));
        closed
    }
}

impl Drop for Drain {
    /// The arbiter goes away, or its log was closed: what has not reached its inbox ends here.
    fn drop(&mut self) {
        for (express, queue) in [(true, &mut self.express), (false, &mut self.regular)] {
            while queue.fan.is_some() {
                queue.step(&self.port, express, TURN);
            }
            self.port.abandon_all(express, queue.items.drain(..));
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
                if this.regular.is_empty() && this.express.is_empty() {
                    return if closed { Poll::Ready(()) } else { Poll::Pending };
                }
                continue;
            }
            left = left.saturating_sub(this.regular.step(&this.port, false, left));
            this.port.swap_out_express(&mut this.express.spare);
            this.express.items.extend(this.express.spare.drain(..));
        }
    }
}
