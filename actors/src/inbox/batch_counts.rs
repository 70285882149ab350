//! [`BatchCounts`]: how many batches of which size a route has made, and how long their messages waited for them.
//!
//! Counts are kept by class, and only of the classes that came up: a route that makes few batches weighs little, however
//! many there are of them.
//!
//! **Invariant.** Counts of one route only grow, so the later less the earlier is what came in between.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A batch holds up to 1, 2, 4 .. 1,024 messages.
pub(super) const SIZES: usize = 11;
/// Four to the octave, from 1 us to beyond half an hour.
pub(super) const DELAYS: usize = 128;

pub(super) fn size_class(size: u16) -> usize {
    (u16::BITS - (size.max(1) - 1).leading_zeros()) as usize
}

pub(super) fn delay_class(micros: u64) -> usize {
    if micros < 4 {
        return usize::try_from(micros).expect("less than four");
    }
    let octave = micros.ilog2();
    let quarter = (micros >> (octave - 2)) & 3;
    let class = 4 * (octave - 1) + u32::try_from(quarter).expect("two bits");
    (class as usize).min(DELAYS - 1)
}

/// The largest delay of a class \[us\].
fn delay_of(class: usize) -> u64 {
    if class < 4 {
        return class as u64;
    }
    let (octave, quarter) = (class / 4 + 1, (class % 4) as u64);
    ((4 + quarter + 1) << (octave - 2)) - 1
}

/// Counts by class, in order, those that are not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Classes(Box<[(u8, u64)]>);

impl Classes {
    fn new(counts: &[u64]) -> Self {
        Self((0..).zip(counts.iter().copied()).filter(|(_, count)| *count > 0).collect())
    }

    fn with(&self, other: &Self, change: impl Fn(u64, u64) -> u64) -> Self {
        let mut counts = [0; DELAYS];
        self.0.iter().for_each(|(class, count)| counts[usize::from(*class)] = *count);
        for (class, count) in &other.0 {
            let sum = &mut counts[usize::from(*class)];
            *sum = change(*sum, *count);
        }
        Self::new(&counts)
    }

    fn all(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The class that so many of a hundred do not exceed.
    fn quantile(&self, share: u64) -> Option<usize> {
        let wanted = (self.all() * share).div_ceil(100);
        let mut seen = 0;
        let class = self.0.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        class.map(|(class, _)| usize::from(*class))
    }
}

/// What was counted of the batches of a route, on all arbiters together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchCounts {
    messages: u64,
    sizes: Classes,
    delays: Classes,
}

impl BatchCounts {
    pub(super) fn new(messages: u64, sizes: &[u64; SIZES], delays: &[u64; DELAYS]) -> Self {
        Self { messages, sizes: Classes::new(sizes), delays: Classes::new(delays) }
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let sum = |classes: &Classes, others| classes.with(others, |sum, more| sum + more);
        Self {
            messages: self.messages + other.messages,
            sizes: sum(&self.sizes, &other.sizes),
            delays: sum(&self.delays, &other.delays),
        }
    }

    /// What was counted since these were taken of the same route.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let difference = |classes: &Classes, others| classes.with(others, u64::saturating_sub);
        Self {
            messages: self.messages.saturating_sub(earlier.messages),
            sizes: difference(&self.sizes, &earlier.sizes),
            delays: difference(&self.delays, &earlier.delays),
        }
    }

    /// How many batches there were.
    pub fn batches(&self) -> u64 {
        self.sizes.all()
    }

    /// How many messages they held together.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// How many messages they held on average; none when there was no batch.
    pub fn mean(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 52 bits")]
        let mean = |batches: u64| self.messages as f64 / batches as f64;
        Some(self.batches()).filter(|batches| *batches > 0).map(mean)
    }

    /// The bound of the class of the largest: no batch held more messages.
    pub fn largest(&self) -> Option<u16> {
        self.sizes.0.last().map(|(class, _)| 1 << class)
    }

    /// From the publication of its first message until a batch was made: the longest time of those `share` of a hundred
    /// which took the least, of the batches that were measured, within a fifth.
    pub fn delay(&self, share: u64) -> Option<Duration> {
        self.delays.quantile(share).map(|class| Duration::from_micros(delay_of(class)))
    }

    pub(super) fn status(&self, limit: usize) -> BatchStatus {
        let mut sizes: Vec<SizeClass> =
            (0..SIZES).map(|class| SizeClass { up_to: 1 << class, batches: 0 }).collect();
        self.sizes.0.iter().for_each(|(class, batches)| sizes[usize::from(*class)].batches = *batches);
        BatchStatus {
            batches: self.batches(),
            messages: self.messages,
            sizes,
            limit,
            delay_p50: self.delay(50),
            delay_p99: self.delay(99),
        }
    }
}

/// How many batches held more messages than the class before, and up to so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeClass {
    /// The most messages of a batch of this class.
    pub up_to: u16,
    /// How many batches.
    pub batches: u64,
}

/// What the batches of a route were like so far, on all arbiters together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchStatus {
    /// How many there were.
    pub batches: u64,
    /// How many messages they held together.
    pub messages: u64,
    /// How many of each size: 1, up to 2, up to 4, .. up to 1,024.
    pub sizes: Vec<SizeClass>,
    /// How many messages one may hold now, or could when the route was closed.
    pub limit: usize,
    /// From the publication of its first message until a batch was made: the median of those that were measured, within a
    /// fifth.
    pub delay_p50: Option<Duration>,
    /// The same for all but one in a hundred.
    pub delay_p99: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::MAX_BATCH;

    #[test]
    fn delays_and_sizes_fall_into_classes_that_hold_them() {
        for micros in (0..5_000).chain([1_000_000, 59_000_000, u64::from(u32::MAX) / 3]) {
            let class = delay_class(micros);
            assert!(delay_of(class) >= micros && (class == 0 || delay_of(class - 1) < micros), "{micros}");
            assert!(delay_of(class) - micros <= micros / 4, "{micros}: {}", delay_of(class));
        }
        assert_eq!(delay_class(u64::MAX), DELAYS - 1);
        for size in 1..=MAX_BATCH {
            let class = size_class(size);
            assert!(size <= 1 << class && (class == 0 || size > 1 << (class - 1)), "{size}");
        }
    }

    fn counts(batches: &[(u16, u64)]) -> BatchCounts {
        let (mut sizes, mut delays) = ([0; SIZES], [0; DELAYS]);
        for (size, micros) in batches {
            sizes[size_class(*size)] += 1;
            delays[delay_class(*micros)] += 1;
        }
        BatchCounts::new(batches.iter().map(|(size, _)| u64::from(*size)).sum(), &sizes, &delays)
    }

    #[test]
    fn the_later_counts_less_the_earlier_are_those_of_what_came_in_between() {
        let (early, late) = ([(1, 0), (64, 900), (1_024, 7)], [(3, 12), (3, 900), (65, u64::MAX)]);
        let all = counts(&[&early[..], &late[..]].concat());
        assert_eq!(all.since(&counts(&early)), counts(&late));
        assert_eq!(counts(&early).plus(&counts(&late)), all);
        assert_eq!(all.since(&all), BatchCounts::default());
    }

    #[test]
    fn figures_are_of_what_was_counted_and_of_nothing_there_are_none() {
        let some = counts(&[(1, 10), (2, 20), (48, 3_000)]);
        assert_eq!((some.batches(), some.messages(), some.mean()), (3, 51, Some(17.0)));
        assert_eq!(some.largest(), Some(64), "the bound of its class");
        assert_eq!(some.delay(50), Some(Duration::from_micros(delay_of(delay_class(20)))));
        assert_eq!(some.delay(99), Some(Duration::from_micros(delay_of(delay_class(3_000)))));
        let none = BatchCounts::default();
        assert_eq!((none.batches(), none.mean(), none.largest(), none.delay(50)), (0, None, None, None));
    }
}
