//! [`Metrics`]: what the events add up to.
//!
//! Totals per kind and severity, events per second over windows of the host's clock, and a [`Figure`] per event name: how
//! often it came and, where it carries a `value`, the latest, the extremes, the mean and a coarse distribution.
//!
//! **Invariant.** The totals per kind, and those per severity, each add up to the number of events recorded. At most
//! 1,024 names are told apart; what comes under further names counts under `other`.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::event::{Event, EventKind, Severity};
use crate::agent::Timestamp;

/// How many event names are told apart.
const MAX_NAMES: usize = 1024;
/// The name for all names beyond [`MAX_NAMES`].
const OTHER: &str = "other";
/// How many seconds back rates can be told.
const SECONDS: usize = 64;
/// How many buckets a distribution has: below 1, below 2, below 4 and so on, the last without end.
const BUCKETS: usize = 64;

/// What came under one name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figure {
    /// How many events.
    pub count: u64,
    /// Their values, where some had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Box<Values>>,
}

/// The values that came under one name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Values {
    /// How many.
    pub count: u64,
    /// The latest.
    pub last: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// All added up.
    pub sum: f64,
    #[serde(skip)]
    buckets: [u64; BUCKETS],
}

impl Figure {
    fn add(&mut self, value: Option<f64>) {
        self.count += 1;
        if let Some(value) = value {
            self.values.get_or_insert_with(|| Box::new(Values::new())).add(value);
        }
    }
}

impl Values {
    fn new() -> Self {
        Self {
            count: 0,
            last: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: 0.0,
            buckets: [0; BUCKETS],
        }
    }

    fn add(&mut self, value: f64) {
        self.count += 1;
        self.last = value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        self.buckets[bucket(value)] += 1;
    }

    /// Their mean.
    #[expect(clippy::cast_precision_loss, reason = "a mean over 2^53 values may be off in its last digit")]
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    /// A value that at least the share `q` (0 to 1) of all values does not exceed; at most twice the least such value,
    /// or 1 where that is below 1.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the share is clamped to 0..=1, so the rank is within the count"
    )]
    pub fn quantile(&self, q: f64) -> f64 {
        let rank = ((self.count as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        for (power, count) in (0_i32..).zip(self.buckets) {
            seen += count;
            if seen >= rank {
                return 2_f64.powi(power).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: f64) -> usize {
    let mut bound = 1.0;
    let mut bucket = 0;
    while value >= bound && bucket < BUCKETS - 1 {
        bound *= 2.0;
        bucket += 1;
    }
    bucket
}

/// Running totals over all events.
#[derive(Debug)]
pub struct Metrics {
    kinds: [u64; EventKind::ALL.len()],
    severities: [u64; Severity::ALL.len()],
    seconds: [(u64, u64); SECONDS],
    first: Option<Timestamp>,
    names: BTreeMap<Cow<'static, str>, Figure>,
    truncated: u64,
    processed: u64,
    failed: u64,
    handling: Duration,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            kinds: [0; EventKind::ALL.len()],
            severities: [0; Severity::ALL.len()],
            seconds: [(0, 0); SECONDS],
            first: None,
            names: BTreeMap::new(),
            truncated: 0,
            processed: 0,
            failed: 0,
            handling: Duration::ZERO,
        }
    }
}

impl Metrics {
    /// Counts an event in.
    pub fn record(&mut self, event: &Event, truncated: bool) {
        self.kinds[event.kind as usize] += 1;
        self.severities[event.severity as usize - 1] += 1;
        self.truncated += u64::from(truncated);
        self.first = Some(self.first.map_or(event.at, |first| first.min(event.at)));
        let second = event.at.since_start().as_secs();
        let slot = &mut self.seconds[index(second)];
        if slot.0 < second {
            *slot = (second, 1);
        } else if slot.0 == second {
            slot.1 += 1;
        }
        let value = event.value();
        if let Some(figure) = self.names.get_mut(&event.name) {
            figure.add(value);
        } else {
            let is_new = self.names.len() + 1 < MAX_NAMES;
            let name = if is_new { event.name.clone() } else { Cow::Borrowed(OTHER) };
            self.names.entry(name).or_default().add(value);
        }
    }

    /// Counts one event that went through the handlers, whether one of them failed, and how long they took together.
    pub fn record_handled(&mut self, failed: bool, took: Duration) {
        self.processed += 1;
        self.failed += u64::from(failed);
        self.handling = self.handling.saturating_add(took);
    }

    /// How many events were recorded.
    pub fn total(&self) -> u64 {
        self.severities.iter().sum()
    }

    /// Events per second over the `window` whole seconds (1 to 63) before the one of `now`; over fewer where the first
    /// event is not as old.
    #[expect(clippy::cast_precision_loss, reason = "a rate, not a count")]
    pub fn per_second(&self, now: Timestamp, window: u64) -> f64 {
        let Some(first) = self.first else { return 0.0 };
        let end = now.since_start().as_secs();
        let start =
            end.saturating_sub(window.clamp(1, SECONDS as u64 - 1)).max(first.since_start().as_secs());
        if start >= end {
            return 0.0;
        }
        let events: u64 = self
            .seconds
            .iter()
            .filter(|(second, _)| (start..end).contains(second))
            .map(|(_, events)| events)
            .sum();
        events as f64 / (end - start) as f64
    }

    /// All of it as it stands at `now`.
    pub fn snapshot(&self, now: Timestamp) -> MetricsSnapshot {
        let mean =
            u32::try_from(self.processed).ok().and_then(|processed| self.handling.checked_div(processed));
        MetricsSnapshot {
            at: now,
            total: self.total(),
            per_kind: EventKind::ALL.into_iter().zip(self.kinds).collect(),
            per_severity: Severity::ALL.into_iter().zip(self.severities).collect(),
            truncated: self.truncated,
            processed: self.processed,
            failed: self.failed,
            mean_handling: mean.unwrap_or_default(),
            per_second: [1, 10, 60].map(|window| self.per_second(now, window)),
            names: self.names.iter().map(|(name, figure)| (name.to_string(), figure.clone())).collect(),
        }
    }
}

fn index(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).expect("the remainder is below 64")
}

/// The totals at one point in time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricsSnapshot {
    /// Which point.
    pub at: Timestamp,
    /// How many events were recorded.
    pub total: u64,
    /// The same per kind.
    pub per_kind: BTreeMap<EventKind, u64>,
    /// The same per severity.
    pub per_severity: BTreeMap<Severity, u64>,
    /// How many events were too large and were cut.
    pub truncated: u64,
    /// How many events went through the handlers.
    pub processed: u64,
    /// How many of these failed in at least one handler.
    pub failed: u64,
    /// How long all handlers together took per event, on average.
    pub mean_handling: Duration,
    /// Events per second over the latest 1, 10 and 60 whole seconds.
    pub per_second: [f64; 3],
    /// What came under each name.
    pub names: BTreeMap<String, Figure>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(second))
    }

    fn metric(value: f64, second: u64) -> Event {
        Event::metric("test", "test.value", value, "1", at(second))
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "small whole numbers are exact")]
    fn values_of_a_name_are_summed_up() {
        let mut metrics = Metrics::default();
        for value in [3.0, 1.0, 8.0] {
            metrics.record(&metric(value, 0), false);
        }
        metrics.record(&Event::error_alert("test", "test.failed", "no", at(0)), true);
        let snapshot = metrics.snapshot(at(0));
        let values = snapshot.names["test.value"].values.as_ref().unwrap();
        assert_eq!((values.count, values.last, values.min, values.max), (3, 8.0, 1.0, 8.0));
        assert_eq!(values.mean(), 4.0);
        assert_eq!((values.quantile(0.0), values.quantile(0.5), values.quantile(1.0)), (2.0, 4.0, 8.0));
        assert_eq!((snapshot.total, snapshot.truncated), (4, 1));
        assert_eq!(snapshot.per_kind[&EventKind::PerformanceMetric], 3);
        assert_eq!(snapshot.per_severity[&Severity::Error], 1);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "small whole numbers and halves are exact")]
    fn rates_are_told_over_whole_seconds() {
        let mut metrics = Metrics::default();
        for second in 100..110 {
            for _ in 0..second - 99 {
                metrics.record(&metric(1.0, second), false);
            }
        }
        assert_eq!(metrics.per_second(at(110), 1), 10.0);
        assert_eq!(metrics.per_second(at(110), 10), 5.5);
        assert_eq!(metrics.per_second(at(110), 60), 5.5, "the first event is 10 s old");
        assert_eq!(metrics.per_second(at(111), 1), 0.0);
        assert_eq!(metrics.per_second(at(100), 1), 0.0);
        metrics.record(&metric(1.0, 5), false);
        assert_eq!(metrics.total(), 56, "a late event is counted, though in no rate");
    }

    #[test]
    fn names_beyond_the_bound_count_as_others() {
        let mut metrics = Metrics::default();
        for number in 0..2000 {
            metrics.record(&Event::system(Severity::Info, "test", format!("test.{number}"), at(0)), false);
        }
        let snapshot = metrics.snapshot(at(0));
        assert_eq!(snapshot.names.len(), MAX_NAMES);
        assert_eq!(snapshot.names[OTHER].count, 2000 - (MAX_NAMES as u64 - 1));
    }

    #[test]
    fn handling_is_averaged() {
        let mut metrics = Metrics::default();
        metrics.record_handled(false, Duration::from_millis(1));
        metrics.record_handled(true, Duration::from_millis(3));
        let snapshot = metrics.snapshot(at(0));
        assert_eq!(
            (snapshot.processed, snapshot.failed, snapshot.mean_handling),
            (2, 1, Duration::from_millis(2))
        );
    }
}
