//! [`Timestamp`]: a point on the host's clock.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Time since the host started, on the host's clock (virtual when simulated). Serialised as whole microseconds \[us\].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of the host.
    pub const ZERO: Timestamp = Timestamp(0);

    /// The last point of the clock.
    pub(crate) const END: Timestamp = Timestamp(u64::MAX);

    /// A point by its distance from the start.
    pub fn from_start(elapsed: Duration) -> Self {
        Self(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }

    /// Whole microseconds since the start \[us\].
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The distance from the start.
    pub const fn since_start(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// The time from `earlier` to this point, zero when `earlier` is later.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The point `by` later, saturating.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
