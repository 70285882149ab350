//! [`Parallelism`]: how many batches may be under way at once, by Little's law.
//!
//! In a system that keeps up, what is inside is arrival rate times time inside: `L = lambda * W` (J. D. C. Little, "A Proof for
//! the Queuing Formula L = lambda W", Operations Research 9(3), 1961). In batches of `b` requests, that is
//!
//! ```text
//! batches under way = ( lambda * W + backlog ) / b        rounded up, within 1..=max
//!
//! lambda   requests a second that become ready for a batch    an average over about AVERAGED_OVER
//! W        how long a batch takes until its routes are made   an average over about 8 batches
//! b        how many requests a batch has                      an average over about 8 batches
//! backlog  the requests that wait beyond the next batch: they are to be gone within another W
//! ```
//!
//! A batch that is being written down counts no more, so neither does the time that takes; it is bounded by itself.
//!
//! Under a constant load that is kept up with the backlog is zero, and the limit is the formula's. A burst is not held up by
//! an arrival rate that lies before it: the backlog counts. Until something is measured the limit is the bound.
//!
//! **Invariant.** The limit is at least one and at most the bound.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::Timestamp;

/// How many batches may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ParallelBatches {
    /// So many, at least one.
    Fixed(usize),
    /// As many as Little's law says that the load needs: arrival rate times how long a batch's routes take, through batch size.
    Adaptive {
        /// The most, at least one.
        max: usize,
    },
}

impl Default for ParallelBatches {
    /// Adaptive, up to 8.
    fn default() -> Self {
        Self::Adaptive { max: 8 }
    }
}

/// How far back the arrival rate looks.
const AVERAGED_OVER: Duration = Duration::from_millis(250);
/// How much one more batch counts in the averages over batches.
const WEIGHT: f64 = 1.0 / 8.0;

/// How little a number of batches may be above a whole one to count as that: averages only come near.
const WHOLE: f64 = 0.01;

/// What was measured of the load, and what follows.
#[derive(Debug)]
pub(super) struct Parallelism {
    option: ParallelBatches,
    /// Requests a second; none before two points of time had arrivals.
    rate: Option<f64>,
    /// Since when arrivals are counted, and how many came.
    counting: Option<(Timestamp, usize)>,
    /// How long the routes of a batch take \[s\], and its size.
    batches: Option<(f64, f64)>,
    /// Commit latency \[s\].
    latency: Option<f64>,
}

impl Parallelism {
    pub(super) const fn new(option: ParallelBatches) -> Self {
        Self { option, rate: None, counting: None, batches: None, latency: None }
    }

    /// Notes that so many requests became ready for a batch.
    pub(super) fn arrived(&mut self, count: usize, now: Timestamp) {
        if count == 0 {
            return;
        }
        match &mut self.counting {
            Some((since, counted)) if *since >= now => *counted += count,
            Some((since, counted)) => {
                self.rate = Some(averaged(self.rate, *counted, now.since(*since)));
                self.counting = Some((now, count));
            }
            None => self.counting = Some((now, count)),
        }
    }

    /// Notes that the routes of a batch of `size` requests were made, or given up, after so long.
    pub(super) fn routed(&mut self, size: usize, took: Duration) {
        let (took, size) = (took.as_secs_f64(), as_f64(size));
        let (latency, mean) = self.batches.unwrap_or((took, size));
        self.batches = Some((latency + WEIGHT * (took - latency), mean + WEIGHT * (size - mean)));
    }

    /// Notes that a batch was committed, or given up, after so long.
    pub(super) fn committed(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        let latency = self.latency.unwrap_or(took);
        self.latency = Some(latency + WEIGHT * (took - latency));
    }

    /// Requests a second. Falls while none come.
    pub(super) fn rate(&self, now: Timestamp) -> f64 {
        let Some(rate) = self.rate else { return 0.0 };
        // What is being counted tells only once it says less than what was known.
        let fallen = self.counting.map(|(since, counted)| averaged(Some(rate), counted, now.since(since)));
        fallen.map_or(rate, |fallen| fallen.min(rate))
    }

    /// How long a batch takes until it is committed.
    pub(super) fn latency(&self) -> Duration {
        self.latency.map_or(Duration::ZERO, |latency| Duration::from_secs_f64(latency.max(0.0)))
    }

    /// How many batches may be under way while so many requests wait.
    pub(super) fn limit(&self, waiting: usize, now: Timestamp) -> usize {
        let max = match self.option {
            ParallelBatches::Fixed(count) => return count.max(1),
            ParallelBatches::Adaptive { max } => max.max(1),
        };
        let Some((latency, size)) = self.batches.filter(|_| self.rate.is_some()) else { return max };
        let size = size.max(1.0);
        let backlog = (as_f64(waiting) - size).max(0.0);
        let needed = ((self.rate(now) * latency + backlog) / size - WHOLE).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let needed = needed as usize;
        needed.clamp(1, max)
    }
}

/// The arrival rate with `count` more requests in a time that is averaged with the weight of its length.
fn averaged(rate: Option<f64>, count: usize, time: Duration) -> f64 {
    let time = time.as_secs_f64();
    let Some(rate) = rate else { return as_f64(count) / time.max(1e-6) };
    let weight = time / (time + AVERAGED_OVER.as_secs_f64());
    // The weight times count / time, without dividing by zero.
    rate * (1.0 - weight) + as_f64(count) / (time + AVERAGED_OVER.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_micros(micros))
    }

    /// Requests come `each` at a time, every `gap` \[us\], in batches of `size` that take `latency` \[us\], for 4 s.
    fn under_load(max: usize, each: usize, gap: u64, size: usize, latency: u64) -> (Parallelism, Timestamp) {
        let mut parallelism = Parallelism::new(ParallelBatches::Adaptive { max });
        let mut now = at(0);
        for _ in 0..4_000_000 / gap {
            parallelism.arrived(each, now);
            parallelism.routed(size, Duration::from_micros(latency));
            now = now.plus(Duration::from_micros(gap));
        }
        (parallelism, now)
    }

    #[test]
    fn under_a_constant_load_the_limit_is_arrival_rate_times_latency_through_size() {
        // 10 a millisecond for 25 ms are 250, in batches of 10.
        let cases =
            [(32, 10, 1_000, 10, 25_000, 25), (8, 10, 1_000, 10, 25_000, 8), (8, 10, 1_000, 100, 25_000, 3)];
        for (max, each, gap, size, latency, limit) in cases {
            let (parallelism, now) = under_load(max, each, gap, size, latency);
            assert!((parallelism.rate(now) - 10_000.0).abs() < 1e-6, "{parallelism:?}");
            assert_eq!(parallelism.latency(), Duration::ZERO, "nothing was committed");
            assert_eq!(parallelism.limit(size, now), limit, "{parallelism:?}");
        }
    }

    #[test]
    fn when_the_load_changes_the_limit_follows_and_it_falls_while_nothing_comes() {
        let (mut parallelism, mut now) = under_load(32, 10, 1_000, 10, 25_000);
        for _ in 0..4_000 {
            parallelism.arrived(4, now);
            parallelism.routed(10, Duration::from_millis(25));
            now = now.plus(Duration::from_millis(1));
        }
        assert_eq!(parallelism.limit(0, now), 10, "{parallelism:?}");
        let after = |millis| parallelism.limit(0, now.plus(Duration::from_millis(millis)));
        assert_eq!([after(200), after(750), after(60_000)], [6, 3, 1]);
    }

    #[test]
    fn what_waits_beyond_the_next_batch_counts_as_if_it_came_within_one_latency() {
        let (parallelism, now) = under_load(32, 1, 10_000, 10, 25_000);
        assert_eq!([0, 10, 11, 60, 10_000].map(|waiting| parallelism.limit(waiting, now)), [1, 1, 1, 6, 32]);
    }

    #[test]
    fn how_long_batches_are_written_is_in_the_commit_latency_and_not_in_the_limit() {
        let (mut parallelism, now) = under_load(32, 10, 1_000, 10, 3_000);
        for _ in 0..100 {
            parallelism.committed(Duration::from_millis(40));
        }
        assert_eq!((parallelism.latency(), parallelism.limit(10, now)), (Duration::from_millis(40), 3));
    }

    #[test]
    fn until_something_is_measured_the_limit_is_the_bound_and_a_fixed_one_never_moves() {
        let parallelism = Parallelism::new(ParallelBatches::default());
        assert_eq!(parallelism.limit(0, at(0)), 8);
        let mut fixed = Parallelism::new(ParallelBatches::Fixed(3));
        fixed.arrived(1_000, at(0));
        fixed.arrived(1_000, at(1));
        fixed.routed(1, Duration::from_secs(9));
        assert_eq!(
            (fixed.limit(1_000, at(2)), Parallelism::new(ParallelBatches::Fixed(0)).limit(0, at(2))),
            (3, 1)
        );
    }

    proptest! {
        #[test]
        fn the_limit_is_never_zero_and_never_above_its_bound(
            max in 0_usize..40,
            steps in prop::collection::vec((0_usize..2_000, 0_u64..10_000_000, 0_usize..2_000, any::<u64>()), 0..60),
        ) {
            let mut parallelism = Parallelism::new(ParallelBatches::Adaptive { max });
            let mut now = at(0);
            for (count, gap, size, took) in steps {
                parallelism.arrived(count, now);
                now = now.plus(Duration::from_micros(gap));
                parallelism.routed(size, Duration::from_micros(took));
                let limit = parallelism.limit(count, now);
                prop_assert!((1..=max.max(1)).contains(&limit), "{limit} of {parallelism:?}");
            }
        }
    }
}
