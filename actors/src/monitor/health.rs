//! [`Health`] of an agent, as events tell it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::Severity;

/// How an agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Created, not yet up.
    Starting,
    /// Up and working.
    Healthy,
    /// Working, but late, overloaded or in part.
    Degraded,
    /// Not heard of for longer than expected.
    Suspected,
    /// Panicked or given up; a restart may bring it back.
    Failed,
    /// Ended on purpose.
    Stopped,
}

impl Health {
    /// The severity of an event that tells this.
    pub const fn severity(self) -> Severity {
        match self {
            Health::Starting | Health::Healthy | Health::Stopped => Severity::Info,
            Health::Degraded | Health::Suspected => Severity::Warning,
            Health::Failed => Severity::Error,
        }
    }

    /// The name as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Starting => "starting",
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::Suspected => "suspected",
            Health::Failed => "failed",
            Health::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
