//! What is published, what every agent does with it, and the tally of what was handled.
//!
//! ```text
//!   Load (16 B copied, or 1 KiB shared) ──> Ear::hear ──> Tally of (topic, lane)
//! ```
//!
//! A lane is one of the two threads. An [`Ear`] is the whole handler, the same for all: it counts for itself and for its
//! lane, and adds up what it looked at, so that a lost, doubled or mangled message shows in the totals.
//!
//! **Invariant.** A tally is written by one thread alone, that of its lane.

use std::{
    cell::Cell,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use core_affinity::CoreId;

/// How many threads the agents of each peer live on.
pub(crate) const LANES: usize = 2;

/// The most topics of any work.
pub(crate) const TOPICS: usize = 10;

/// What is published.
pub(crate) trait Load: Clone + Send + Sync + std::fmt::Debug + 'static {
    /// The publication with this number.
    fn make(number: u64) -> Self;

    /// What a handler looks at: twice the number, whatever carries it.
    fn value(&self) -> u64;
}

/// What a handler finds in a publication.
#[cfg(test)]
pub(crate) fn value_of(number: u64) -> u64 {
    number.wrapping_mul(2)
}

/// 16 bytes, copied to each agent.
#[derive(Debug, Clone, Copy, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Small(u64, u64);

/// 1 KiB.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Block([u64; 128]);

/// A block shared by all agents.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Large(Arc<Block>);

impl Block {
    pub(crate) fn make(number: u64) -> Self {
        Self([number; 128])
    }

    #[inline]
    pub(crate) fn value(&self) -> u64 {
        self.0[0].wrapping_add(self.0[127])
    }
}

impl Load for Small {
    fn make(number: u64) -> Self {
        Self(number, number)
    }

    #[inline]
    fn value(&self) -> u64 {
        self.0.wrapping_add(self.1)
    }
}

impl Load for Large {
    fn make(number: u64) -> Self {
        Self(Arc::new(Block::make(number)))
    }

    #[inline]
    fn value(&self) -> u64 {
        self.0.value()
    }
}

/// How many messages of one topic were handled on one lane, and the sum of what was in them; on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Tally {
    count: AtomicU64,
    sum: AtomicU64,
}

static TALLIES: [[Tally; LANES]; TOPICS] =
    [const { [const { Tally { count: AtomicU64::new(0), sum: AtomicU64::new(0) } }; LANES] }; TOPICS];

impl Tally {
    #[inline]
    fn add(&self, value: u64) {
        self.sum.store(self.sum.load(Ordering::Relaxed).wrapping_add(value), Ordering::Relaxed);
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

/// How many messages of a topic were handled.
#[inline]
pub(crate) fn handled(topic: usize) -> u64 {
    TALLIES[topic].iter().map(|tally| tally.count.load(Ordering::Acquire)).sum()
}

/// The sum of what was in them.
pub(crate) fn sum(topic: usize) -> u64 {
    TALLIES[topic].iter().fold(0, |sum, tally| sum.wrapping_add(tally.sum.load(Ordering::Acquire)))
}

thread_local! {
    static LANE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Makes the calling thread this lane, and keeps it on a processor of its own where there are so many: left alone, the
/// kernel puts both lanes on one now and then, and rates jump by a factor of four.
pub(crate) fn enter_lane(lane: usize) {
    LANE.set(Some(lane));
    let all = processors();
    if let Some(core) = all.get(lane).filter(|_| all.len() >= LANES) {
        core_affinity::set_for_current(*core);
    }
}

/// All processors that this process may use, as they were before any thread was bound to one: a thread inherits the bounds
/// of the one that starts it, and would see no other processor.
fn processors() -> &'static [CoreId] {
    static ALL: OnceLock<Vec<CoreId>> = OnceLock::new();
    ALL.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default())
}

/// Makes the calling thread the next lane, for runtimes that start their threads themselves.
pub(crate) fn enter_next_lane() {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    enter_lane(NEXT.fetch_add(1, Ordering::Relaxed));
}

fn own_tally(topic: usize) -> &'static Tally {
    &TALLIES[topic][LANE.get().expect("agents run on lanes alone")]
}

/// The handler of an agent that stays on its lane. Must be made there.
#[derive(Clone)]
pub(crate) struct Ear {
    tally: &'static Tally,
    heard: u64,
}

impl Ear {
    pub(crate) fn new(topic: usize) -> Self {
        Self { tally: own_tally(topic), heard: 0 }
    }

    #[inline]
    pub(crate) fn hear(&mut self, value: u64) {
        self.heard += 1;
        self.tally.add(value);
    }
}

/// The handler of an agent that its runtime moves between the lanes.
pub(crate) struct RoamingEar {
    topic: usize,
    heard: u64,
}

impl RoamingEar {
    pub(crate) fn new(topic: usize) -> Self {
        Self { topic, heard: 0 }
    }

    #[inline]
    pub(crate) fn hear(&mut self, value: u64) {
        self.heard += 1;
        own_tally(self.topic).add(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_loads_carry_the_value_of_their_number() {
        for number in [0, 1, 77, u64::MAX] {
            assert_eq!(Small::make(number).value(), value_of(number));
            assert_eq!(Large::make(number).value(), value_of(number));
        }
    }

    #[test]
    fn the_loads_are_as_large_as_they_are_called() {
        assert_eq!(size_of::<Small>(), 16);
        assert_eq!(size_of::<Block>(), 1024);
    }

    #[test]
    fn a_lane_that_another_lane_starts_has_a_processor_of_its_own() {
        let all = processors().to_vec();
        let own = || core_affinity::get_core_ids().expect("the system tells them");
        let first = std::thread::spawn(move || {
            enter_lane(0);
            let second = std::thread::spawn(move || {
                enter_lane(1);
                own()
            });
            [own(), second.join().expect("it does not panic")]
        });
        let lanes = first.join().expect("it does not panic");
        if all.len() < LANES {
            assert_eq!(lanes, [all.clone(), all], "there is one processor for both");
        } else {
            assert_eq!(lanes, [vec![all[0]], vec![all[1]]]);
        }
    }

    #[test]
    fn what_both_kinds_of_ears_hear_is_in_the_totals_of_their_topic() {
        enter_lane(0);
        let (mut still, mut roaming) = (Ear::new(3), RoamingEar::new(3));
        still.hear(5);
        roaming.hear(7);
        assert_eq!((handled(3), sum(3)), (2, 12));
        assert_eq!((handled(4), sum(4)), (0, 0));
    }
}
