//! The actor that both sides run, and the count of what was handled.

use std::{
    cell::Cell,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use actix::prelude::*;
use phalanx_actors::agent::{Agent, Card, Delivery};

/// 16 bytes, copied to each recipient.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct Small(pub(crate) u64, pub(crate) u64);

/// 1 KiB, shared by all recipients.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Large(pub(crate) [u8; 1024]);

/// The same for plain actix.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub(crate) struct LargeArc(pub(crate) Arc<[u8; 1024]>);

#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "u64")]
pub(crate) struct Question(pub(crate) u64);

/// Panics its handler.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct Poison;

/// A count that one thread writes, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// The calling thread's.
    pub(crate) fn mine() -> &'static Count {
        thread_local! {
            static MINE: Cell<Option<&'static Count>> = const { Cell::new(None) };
        }
        MINE.get().unwrap_or_else(|| {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let mine = COUNTS[NEXT.fetch_add(1, Ordering::Relaxed)].get_or_init(Count::default);
            MINE.set(Some(mine));
            mine
        })
    }

    #[inline]
    fn add(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// All threads' together.
    pub(crate) fn total() -> u64 {
        COUNTS.iter().map_while(OnceLock::get).map(|count| count.0.load(Ordering::Acquire)).sum()
    }
}

static COUNTS: [OnceLock<Count>; 64] = [const { OnceLock::new() }; 64];

/// Counts what it is handed. Must be made on the arbiter that runs it.
pub(crate) struct Counter {
    count: &'static Count,
    sum: u64,
    counts_start: bool,
}

impl Counter {
    pub(crate) fn new() -> Self {
        Self { count: Count::mine(), sum: 0, counts_start: false }
    }

    /// One that counts when it starts.
    pub(crate) fn starting() -> Self {
        Self { counts_start: true, ..Self::new() }
    }

    #[inline]
    fn note(&mut self, value: u64) {
        self.sum = self.sum.wrapping_add(value);
        self.count.add();
    }
}

impl Actor for Counter {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        if self.counts_start {
            self.count.add();
        }
    }
}

impl Supervised for Counter {}

impl Handler<Small> for Counter {
    type Result = ();
    fn handle(&mut self, small: Small, _: &mut Context<Self>) {
        self.note(small.0 ^ small.1);
    }
}

impl Handler<Delivery<Large>> for Counter {
    type Result = ();
    fn handle(&mut self, large: Delivery<Large>, _: &mut Context<Self>) {
        self.note(u64::from(large.0[0]) + u64::from(large.0[1023]));
    }
}

impl Handler<LargeArc> for Counter {
    type Result = ();
    fn handle(&mut self, large: LargeArc, _: &mut Context<Self>) {
        self.note(u64::from(large.0[0]) + u64::from(large.0[1023]));
    }
}

impl Handler<Question> for Counter {
    type Result = u64;
    fn handle(&mut self, question: Question, _: &mut Context<Self>) -> u64 {
        question.0 + 1
    }
}

impl Handler<Poison> for Counter {
    type Result = ();
    fn handle(&mut self, _: Poison, _: &mut Context<Self>) {
        std::panic::resume_unwind(Box::new("poison"));
    }
}

impl Agent for Counter {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Small>().accepts_delivery::<Large>()
    }
}
