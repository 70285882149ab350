//! [`Batching`]: how large the batches of a route may be; [`Batches`]: what they were like.
//!
//! Batches come about while an arbiter is busy: what was published to the same recipients meanwhile is taken to them
//! together. So a batch never waits, unless its route says that it may linger. How large it gets is bounded, and the bound
//! is learnt: [`Climb`] doubles it while that brings more messages a second, and halves it when they wait for longer
//! than they should and nothing is lost by that.
//!
//! **Invariant.** One arbiter writes a shard, and only batches that it made.

use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    BatchCounts, BatchStatus,
    batch_counts::{DELAYS, SIZES, delay_class, size_class},
};
use crate::agent::Timestamp;

/// How many messages a batch holds at most, whatever a route says.
pub const MAX_BATCH: u16 = 1_024;
/// What a bound that is learnt begins with.
const FIRST_LIMIT: u16 = 64;
/// How long messages should wait for their batch at most, unless a route says otherwise.
const DELAY_TARGET: Duration = Duration::from_millis(5);
/// For how long a batch may be made to wait at most.
pub const MAX_LINGER: Duration = Duration::from_secs(10);

/// How large the batches of a route may be, and whether they wait to get there.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use phalanx_actors::inbox::Batching;
///
/// let patient = Batching::fixed(50)?.linger(Duration::from_millis(1))?;
/// assert!(Batching::fixed(0).is_err());
/// # let _ = patient;
/// # Ok::<(), phalanx_actors::inbox::InvalidBatching>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batching {
    fixed: Option<u16>,
    max: u16,
    linger: Duration,
    delay_target: Duration,
}

/// Why batches can't be like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatching {
    /// There is no batch of this size.
    #[error("a batch of {0} messages is not possible: choose 1 to {MAX_BATCH}")]
    Size(u16),
    /// Nobody would get anything.
    #[error("batches can't linger for {0:?}: choose at most {MAX_LINGER:?}")]
    Linger(Duration),
}

impl Default for Batching {
    fn default() -> Self {
        Self::adaptive()
    }
}

fn checked(size: u16) -> Result<u16, InvalidBatching> {
    if (1..=MAX_BATCH).contains(&size) { Ok(size) } else { Err(InvalidBatching::Size(size)) }
}

impl Batching {
    /// As large as what came in while the arbiter was busy, up to a bound that is learnt; the default.
    pub const fn adaptive() -> Self {
        Self { fixed: None, max: MAX_BATCH, linger: Duration::ZERO, delay_target: DELAY_TARGET }
    }

    /// At most so many messages.
    ///
    /// # Errors
    /// [`InvalidBatching::Size`] when it is not 1 to [`MAX_BATCH`].
    pub fn fixed(size: u16) -> Result<Self, InvalidBatching> {
        Ok(Self { fixed: Some(checked(size)?), ..Self::adaptive() })
    }

    /// Bounds what is learnt.
    ///
    /// # Errors
    /// [`InvalidBatching::Size`] when it is not 1 to [`MAX_BATCH`].
    pub fn at_most(self, max: u16) -> Result<Self, InvalidBatching> {
        Ok(Self { max: checked(max)?, ..self })
    }

    /// Lets a batch that is not full wait for so long after its first message. By default it does not wait.
    ///
    /// # Errors
    /// [`InvalidBatching::Linger`] beyond [`MAX_LINGER`].
    pub fn linger(self, linger: Duration) -> Result<Self, InvalidBatching> {
        if linger > MAX_LINGER { Err(InvalidBatching::Linger(linger)) } else { Ok(Self { linger, ..self }) }
    }

    /// How long messages should wait for their batch at most: beyond this, batches get smaller where that costs nothing. 5 ms
    /// by default.
    #[must_use]
    pub fn delay_target(self, delay_target: Duration) -> Self {
        Self { delay_target, ..self }
    }
}

/// After so many full batches the bound is looked at.
const WINDOW: u32 = 64;
/// By so much a rate must differ to be another one.
const DIFFERENCE: f64 = 0.05;
/// For how many windows a bound is left alone at most after a change was taken back.
const LONGEST_REST: u32 = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Up,
    Down,
    None,
}

/// Climbs to the bound that brings the most. Pure.
#[derive(Debug)]
pub(crate) struct Climb {
    limit: u16,
    last: Move,
    rate: f64,
    rest: u32,
    next_rest: u32,
}

impl Default for Climb {
    fn default() -> Self {
        Self { limit: FIRST_LIMIT, last: Move::None, rate: 0.0, rest: 0, next_rest: 4 }
    }
}

impl Climb {
    /// Takes a window of full batches into account: how many messages a second it brought, and whether they waited for
    /// longer than they should. Answers the bound from now on.
    pub(crate) fn step(&mut self, rate: f64, is_late: bool, max: u16) -> u16 {
        let before = std::mem::replace(&mut self.rate, rate);
        let is_better = rate > before * (1.0 + DIFFERENCE);
        let is_worse = rate < before * (1.0 - DIFFERENCE);
        let next = match self.last {
            // What made it worse is taken back, and not tried again for a while.
            Move::Up if is_worse => self.give_up(Move::Down),
            Move::Down if is_worse => self.give_up(Move::Up),
            _ if self.rest > 0 => {
                self.rest -= 1;
                Move::None
            }
            Move::Up if is_better => Move::Up,
            _ if is_late => Move::Down,
            Move::Up | Move::Down => Move::None,
            Move::None => Move::Up,
        };
        if next == Move::None && self.rest == 0 {
            self.rest = self.next_rest;
        }
        self.limit = match next {
            Move::Up => self.limit.saturating_mul(2),
            Move::Down => self.limit / 2,
            Move::None => self.limit,
        }
        .clamp(1, max);
        // The way back is no move of its own.
        self.last = if self.rest > 0 { Move::None } else { next };
        self.limit
    }

    fn give_up(&mut self, back: Move) -> Move {
        self.rest = self.next_rest;
        self.next_rest = (self.next_rest * 2).min(LONGEST_REST);
        back
    }
}

struct Shard {
    limit: AtomicU16,
    sizes: [AtomicU64; SIZES],
    messages: AtomicU64,
    delays: [AtomicU64; DELAYS],
    learnt: Mutex<Learnt>,
}

#[derive(Default)]
struct Learnt {
    climb: Climb,
    began: Timestamp,
    full: u32,
    messages: u64,
    delay_us: u64,
    samples: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            limit: AtomicU16::new(FIRST_LIMIT),
            sizes: Default::default(),
            messages: AtomicU64::new(0),
            delays: [const { AtomicU64::new(0) }; DELAYS],
            learnt: Mutex::default(),
        }
    }
}

fn count(cell: &AtomicU64, more: u64) {
    // One thread writes, so nothing is lost between load and store.
    cell.store(cell.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// The batches of one route.
pub(crate) struct Batches {
    fixed: AtomicU16,
    max: AtomicU16,
    linger_us: AtomicU32,
    target_us: AtomicU64,
    shards: Box<[OnceLock<Box<Shard>>]>,
    /// What was counted when the route was open before.
    before: Option<Box<BatchCounts>>,
}

impl Batches {
    /// The batches of a route that goes on where another one stopped, if there was one.
    pub(crate) fn new(arbiters: usize, before: Option<Box<BatchCounts>>) -> Self {
        let batches = Self {
            fixed: AtomicU16::new(0),
            max: AtomicU16::new(MAX_BATCH),
            linger_us: AtomicU32::new(0),
            target_us: AtomicU64::new(0),
            shards: (0..arbiters).map(|_| OnceLock::new()).collect(),
            before,
        };
        batches.set(Batching::adaptive());
        batches
    }

    pub(crate) fn set(&self, batching: Batching) {
        let linger = u32::try_from(batching.linger.as_micros()).expect("it was checked");
        let target = u64::try_from(batching.delay_target.as_micros()).unwrap_or(u64::MAX);
        self.fixed.store(batching.fixed.unwrap_or(0), Ordering::Relaxed);
        self.max.store(batching.max, Ordering::Relaxed);
        self.linger_us.store(linger, Ordering::Relaxed);
        self.target_us.store(target, Ordering::Relaxed);
    }

    /// How many messages a batch on this arbiter may hold.
    pub(crate) fn limit(&self, arbiter: usize) -> usize {
        let fixed = self.fixed.load(Ordering::Relaxed);
        let limit = if fixed > 0 {
            fixed
        } else {
            let learnt =
                self.shards[arbiter].get().map_or(FIRST_LIMIT, |shard| shard.limit.load(Ordering::Relaxed));
            learnt.min(self.max.load(Ordering::Relaxed))
        };
        usize::from(limit)
    }

    /// How long a batch that is not full waits for more.
    pub(crate) fn linger(&self) -> Duration {
        Duration::from_micros(self.linger_us.load(Ordering::Relaxed).into())
    }

    /// Notes a batch that was made on an arbiter, and how long its first message had waited, where that was measured.
    pub(crate) fn note(
        &self,
        arbiter: usize,
        size: usize,
        waited: Option<Duration>,
        now: impl FnOnce() -> Timestamp,
    ) {
        let shard = self.shards[arbiter].get_or_init(Box::default);
        let size = u16::try_from(size).expect("batches are bounded");
        count(&shard.sizes[size_class(size)], 1);
        count(&shard.messages, size.into());
        if let Some(waited) = waited {
            count(&shard.delays[delay_class(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX))], 1);
        }
        let limit = shard.limit.load(Ordering::Relaxed);
        if size < limit || self.fixed.load(Ordering::Relaxed) > 0 {
            return;
        }
        // Nobody else takes this lock.
        let mut learnt = shard.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.full += 1;
        learnt.messages += u64::from(size);
        if let Some(waited) = waited {
            learnt.samples += 1;
            learnt.delay_us += u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        }
        if learnt.full < WINDOW {
            return;
        }
        let now = now();
        let took = now.since(learnt.began).as_secs_f64();
        let (messages, delay) = (learnt.messages, learnt.delay_us.checked_div(learnt.samples).unwrap_or(0));
        let climb = std::mem::take(&mut learnt.climb);
        let is_first = learnt.began == Timestamp::ZERO;
        *learnt = Learnt { climb, began: now, ..Learnt::default() };
        // Where no time passes there is no rate: virtual time learns nothing.
        if took > 0.0 && !is_first {
            #[expect(clippy::cast_precision_loss, reason = "a rate of messages needs no more than 52 bits")]
            let rate = messages as f64 / took;
            let is_late = delay > self.target_us.load(Ordering::Relaxed);
            let limit = learnt.climb.step(rate, is_late, self.max.load(Ordering::Relaxed));
            shard.limit.store(limit, Ordering::Relaxed);
        }
    }

    /// What was counted so far, when the route was open before, too.
    pub(crate) fn counts(&self) -> BatchCounts {
        let mut sizes = [0; SIZES];
        let mut delays = [0; DELAYS];
        let mut messages = 0;
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            sizes.iter_mut().zip(&shard.sizes).for_each(|(sum, n)| *sum += n.load(Ordering::Relaxed));
            delays.iter_mut().zip(&shard.delays).for_each(|(sum, n)| *sum += n.load(Ordering::Relaxed));
            messages += shard.messages.load(Ordering::Relaxed);
        }
        let counts = BatchCounts::new(messages, &sizes, &delays);
        self.before.as_ref().map_or_else(|| counts.clone(), |before| before.plus(&counts))
    }

    /// How many messages a batch may hold where it may hold the most.
    pub(crate) fn largest_limit(&self) -> usize {
        (0..self.shards.len()).map(|arbiter| self.limit(arbiter)).max().unwrap_or(0)
    }

    /// What the batches were like so far.
    pub(crate) fn status(&self) -> BatchStatus {
        self.counts().status(self.largest_limit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Climbs for a while; what a bound brings is the model's to say.
    fn climbed(
        max: u16,
        windows: usize,
        is_late: impl Fn(u16) -> bool,
        rate: impl Fn(u16) -> f64,
    ) -> Vec<u16> {
        let mut climb = Climb::default();
        let mut limit = FIRST_LIMIT;
        (0..windows)
            .map(|_| {
                limit = climb.step(rate(limit), is_late(limit), max);
                limit
            })
            .collect()
    }

    #[test]
    fn a_bound_grows_while_the_rate_rises_and_stays_where_it_rises_no_more() {
        let rate = |limit: u16| f64::from(limit.min(512));
        let limits = climbed(MAX_BATCH, 40, |_| false, rate);
        assert!(limits.contains(&512) && limits.iter().all(|limit| *limit >= FIRST_LIMIT), "{limits:?}");
        assert!(climbed(256, 40, |_| false, rate).iter().all(|limit| *limit <= 256));
    }

    #[test]
    fn a_bound_that_costs_is_taken_back() {
        let peak = |limit: u16| if limit <= 128 { f64::from(limit) } else { 64.0 };
        let limits = climbed(MAX_BATCH, 200, |_| false, peak);
        let at_peak = limits.iter().filter(|limit| **limit == 128).count();
        assert!(at_peak > 150, "{limits:?}");
    }

    #[test]
    fn a_bound_shrinks_when_messages_wait_too_long_and_smaller_batches_cost_nothing() {
        let limits = climbed(MAX_BATCH, 60, |limit| limit > 8, |_| 1_000.0);
        assert_eq!(limits.last(), Some(&8), "{limits:?}");
        // Where they cost throughput it goes back.
        let limits = climbed(MAX_BATCH, 200, |_| true, |limit| f64::from(limit.min(64)));
        let kept = limits.iter().filter(|limit| **limit >= 64).count();
        assert!(kept > 150, "{limits:?}");
    }

    #[test]
    fn what_was_noted_is_in_the_status_and_fixed_bounds_hold() {
        let batches = Batches::new(2, None);
        batches.set(Batching::fixed(50).unwrap().linger(Duration::from_millis(1)).unwrap());
        assert_eq!((batches.limit(1), batches.linger()), (50, Duration::from_millis(1)));
        for (arbiter, size, waited) in [(0, 1, 3), (1, 50, 1_000), (1, 3, 7)] {
            let waited = Some(Duration::from_micros(waited));
            batches.note(arbiter, size, waited, || unreachable!("nothing is learnt"));
        }
        let status = batches.status();
        assert_eq!((status.batches, status.messages, status.limit), (3, 54, 50));
        let sizes: Vec<_> =
            status.sizes.iter().filter(|class| class.batches > 0).map(|class| class.up_to).collect();
        assert_eq!(sizes, [1, 4, 64]);
        assert_eq!(status.delay_p50, Some(Duration::from_micros(7)));
        assert!(status.delay_p99 >= Some(Duration::from_millis(1)));
        let again = Batches::new(2, Some(Box::new(batches.counts())));
        again.note(0, 2, None, || unreachable!("no batch is full"));
        assert_eq!((again.counts().batches(), again.counts().messages()), (4, 56), "it goes on");
    }
}
