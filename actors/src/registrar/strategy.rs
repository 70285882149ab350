//! [`Strategy`]: when a batch of requests is due, and how large it may be.
//!
//! | strategy | a batch is due when | at most |
//! | --- | --- | --- |
//! | `fixed_size` | `size` requests wait, or one has waited for `linger` | `size` |
//! | `time_based` | one has waited for `window` | `size` |
//! | `priority_based` | one of the class `threshold` or above waits, or any has waited for `patience` | `size` |
//! | `adaptive` | one waits and no batch is in flight, or `size` wait, or one has waited for [`LINGER`] | `size` |
//! | `streaming` | one waits | 1 |
//!
//! The adaptive size starts at 20 and keeps within `min` and `max`. As congestion control does, it doubles with each full batch
//! that is through within `target` until one takes longer. That one halves it, and from then on it grows by a sixty-fourth of
//! `max`, at least 8, and is halved again by each that takes longer (slow start, then additive increase and multiplicative
//! decrease). What counts is how long a batch held the line up: from when it was given out, or from when the one before was
//! through if that is later, so that a batch is not blamed for those it queued behind. As a batch is due at once while
//! nothing is in flight, batching adds no delay to a lone request, and grows by itself under load.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::Priority;

/// How long a request waits for a batch to fill, unless the strategy says otherwise.
pub const LINGER: Duration = Duration::from_millis(1);
/// How long a request of a low class waits for a more urgent one, unless the strategy says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How large a batch is at most, unless the strategy says otherwise; an adaptive one may have four times as many.
pub const MAX_BATCH: usize = 1024;

/// When a batch is due, and how large it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// Batches of one size.
    FixedSize {
        /// Which; 10 by default.
        #[serde(default = "ten")]
        size: usize,
        /// How long a request waits at most for its batch to fill; [`LINGER`] by default.
        #[serde(default = "linger")]
        linger: Duration,
    },
    /// A batch per window of time.
    TimeBased {
        /// How long it is; 5 s by default.
        #[serde(default = "window")]
        window: Duration,
        /// How many one batch has at most, the next following at once; [`MAX_BATCH`] by default.
        #[serde(default = "max_batch")]
        size: usize,
    },
    /// A batch as soon as something urgent waits.
    PriorityBased {
        /// The class that counts as urgent, and all above; normal by default.
        #[serde(default)]
        threshold: Priority,
        /// How long a request of a lower class waits at most; [`PATIENCE`] by default.
        #[serde(default = "patience")]
        patience: Duration,
        /// How many one batch has at most, the most urgent; [`MAX_BATCH`] by default.
        #[serde(default = "max_batch")]
        size: usize,
    },
    /// Batches whose size follows how long they take.
    Adaptive {
        /// The least size.
        min: usize,
        /// The greatest size.
        max: usize,
        /// How long a batch may take.
        target: Duration,
    },
    /// Each request by itself.
    Streaming,
}

impl Default for Strategy {
    fn default() -> Self {
        Self::ADAPTIVE
    }
}

impl Strategy {
    /// Fixed size with its default.
    pub const FIXED_SIZE: Strategy = Strategy::FixedSize { size: ten(), linger: LINGER };
    /// Time-based with its default.
    pub const TIME_BASED: Strategy = Strategy::TimeBased { window: window(), size: MAX_BATCH };
    /// Priority-based with its default.
    pub const PRIORITY_BASED: Strategy =
        Strategy::PriorityBased { threshold: Priority::Normal, patience: PATIENCE, size: MAX_BATCH };
    /// Adaptive with its default.
    pub const ADAPTIVE: Strategy =
        Strategy::Adaptive { min: 5, max: 4 * MAX_BATCH, target: Duration::from_millis(5) };
}

const fn ten() -> usize {
    10
}

const fn linger() -> Duration {
    LINGER
}

const fn window() -> Duration {
    Duration::from_secs(5)
}

const fn patience() -> Duration {
    PATIENCE
}

const fn max_batch() -> usize {
    MAX_BATCH
}

const FIRST_SIZE: usize = 20;
/// The least additive growth, and the part of the bound that it is otherwise.
const GROWTH: (usize, usize) = (8, 64);

/// A strategy with what it has learned.
#[derive(Debug)]
pub(super) struct Pace {
    strategy: Strategy,
    size: usize,
    /// Whether no batch was late yet.
    is_starting: bool,
}

impl Pace {
    pub(super) fn new(strategy: Strategy) -> Self {
        let size = match strategy {
            Strategy::FixedSize { size, .. }
            | Strategy::TimeBased { size, .. }
            | Strategy::PriorityBased { size, .. } => size.max(1),
            Strategy::Adaptive { min, max, .. } => FIRST_SIZE.min(max).max(min).max(1),
            Strategy::Streaming => 1,
        };
        Self { strategy, size, is_starting: true }
    }

    pub(super) const fn batch_size(&self) -> usize {
        self.size
    }

    /// How long the request that came first waits for its batch.
    pub(super) fn patience(&self, waiting: usize, most_urgent: Priority, is_busy: bool) -> Duration {
        let is_due = match self.strategy {
            Strategy::FixedSize { .. } => waiting >= self.size,
            Strategy::TimeBased { .. } => false,
            Strategy::PriorityBased { threshold, .. } => most_urgent >= threshold,
            Strategy::Adaptive { .. } => !is_busy || waiting >= self.size,
            Strategy::Streaming => true,
        };
        match self.strategy {
            _ if is_due => Duration::ZERO,
            Strategy::FixedSize { linger, .. } => linger,
            Strategy::TimeBased { window, .. } => window,
            Strategy::PriorityBased { patience, .. } => patience,
            Strategy::Adaptive { .. } | Strategy::Streaming => LINGER,
        }
    }

    /// Learns from a batch of `count` requests that took so long.
    pub(super) fn observe(&mut self, count: usize, took: Duration) {
        if let Strategy::Adaptive { min, max, target } = self.strategy {
            if took > target {
                self.is_starting = false;
                self.size = (self.size / 2).max(min).max(1);
            } else if count >= self.size {
                let growth = if self.is_starting { self.size } else { GROWTH.0.max(max / GROWTH.1) };
                self.size = self.size.saturating_add(growth).min(max.max(min).max(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adaptive_size_doubles_at_first_then_grows_by_steps_and_falls_by_halves_within_its_bounds() {
        let target = Duration::from_millis(5);
        let after = |pace: &mut Pace, count, millis| {
            pace.observe(count, Duration::from_millis(millis));
            pace.batch_size()
        };
        let mut pace = Pace::new(Strategy::Adaptive { min: 5, max: 90, target });
        assert_eq!(after(&mut pace, 20, 5), 40);
        assert_eq!(after(&mut pace, 39, 1), 40, "a batch that was not full tells nothing");
        assert_eq!([after(&mut pace, 40, 1), after(&mut pace, 80, 1), after(&mut pace, 90, 1)], [80, 90, 90]);
        assert_eq!([after(&mut pace, 90, 6), after(&mut pace, 45, 5), after(&mut pace, 53, 5)], [45, 53, 61]);
        let falls = [61, 30, 15, 7, 5].map(|count| after(&mut pace, count, 6));
        assert_eq!(falls, [30, 15, 7, 5, 5]);
        let mut large = Pace::new(Strategy::Adaptive { min: 5, max: 6_400, target });
        assert_eq!(
            [after(&mut large, 20, 6), after(&mut large, 10, 1), after(&mut large, 110, 1)],
            [10, 110, 210]
        );
    }

    #[test]
    fn absurd_sizes_still_make_batches() {
        for strategy in [
            Strategy::FixedSize { size: 0, linger: Duration::ZERO },
            Strategy::TimeBased { window: Duration::ZERO, size: 0 },
            Strategy::Adaptive { min: 0, max: 0, target: Duration::ZERO },
            Strategy::Adaptive { min: 9, max: 3, target: Duration::ZERO },
        ] {
            let mut pace = Pace::new(strategy);
            pace.observe(usize::MAX, Duration::ZERO);
            pace.observe(1, Duration::MAX);
            assert!(pace.batch_size() >= 1, "{strategy:?}");
        }
    }

    #[test]
    fn a_strategy_reads_from_json_by_its_name() {
        let read = |text| serde_json::from_str::<Strategy>(text).unwrap();
        assert_eq!(read("\"streaming\""), Strategy::Streaming);
        assert_eq!(read("{\"priority_based\":{\"threshold\":\"normal\"}}"), Strategy::PRIORITY_BASED);
    }
}
