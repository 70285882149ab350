//! One of many: how a route chooses a single recipient. Pure but for what a decision reads of its candidates.
//!
//! ```text
//!  Router ──join, leave──> PoolEditor ──copy, atomic swap──> Pool ──choose──> one agent, and why
//!                                                             │ reads: open, depth, handling time, handled, failed
//!                                                             v
//!                                                  Gauge in each agent's inbox
//! ```
//!
//! A route has a pool from the first time that somebody sends to one of its agents; other routes pay nothing. What each
//! strategy needs (an order to take turns in, classes of priority, places, buckets of keys) is kept as members come and go,
//! so that a decision does not depend on how many there are.
//!
//! **Invariant.** A decision takes no lock that it waits for, and allocates nothing.

mod chunked;
mod draw;
mod memento;
mod places;
mod pool;
mod standing;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use draw::{Draws, hash_of};
pub(crate) use pool::{Choice, OneOfMany, Pool, PoolEditor, Question};
pub use standing::AdaptiveOptions;

use crate::agent::Priority;

/// How one of many is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Each in turn.
    RoundRobin,
    /// The one of the highest priority on its card; among equals by load.
    PriorityBased,
    /// Of two drawn at random the one with less to do: messages in its inbox times the time that it takes for each.
    #[default]
    LoadBalanced,
    /// The one nearest to a point on Earth; within a kilometre by load, and those without a place last.
    Geographic,
    /// The same one for the same key, as long as it is there.
    Consistent,
    /// By load, without those that are slow or fail; they are let back by probes.
    Adaptive,
}

impl Strategy {
    /// All strategies, in the order of their declaration.
    pub const ALL: [Strategy; 6] = [
        Strategy::RoundRobin,
        Strategy::PriorityBased,
        Strategy::LoadBalanced,
        Strategy::Geographic,
        Strategy::Consistent,
        Strategy::Adaptive,
    ];

    /// The name as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Strategy::RoundRobin => "round_robin",
            Strategy::PriorityBased => "priority_based",
            Strategy::LoadBalanced => "load_balanced",
            Strategy::Geographic => "geographic",
            Strategy::Consistent => "consistent",
            Strategy::Adaptive => "adaptive",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a decision compared of an agent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// How many messages its inbox held.
    pub depth: u32,
    /// The smoothed time that it takes for one \[us\]; 0 when it is not known yet.
    pub took_us: f32,
}

impl Load {
    /// Whether there is less to do here than there, by a tenth at least: or else the quickest of equals would get nearly all.
    /// While the time of one of them is not known, depths alone are compared.
    fn is_below(self, other: Load) -> bool {
        if self.took_us <= 0.0 || other.took_us <= 0.0 {
            return self.depth < other.depth;
        }
        let work = |load: Load| (f64::from(load.depth) + 1.0) * f64::from(load.took_us);
        work(self) < 0.9 * work(other)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.took_us <= 0.0 {
            return write!(f, "depth {}, not measured yet", self.depth);
        }
        write!(f, "depth {} x {:.0} us", self.depth, self.took_us)
    }
}

/// Why an agent was chosen. Its text is one line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Why {
    /// It was its turn.
    Turn {
        /// How many take turns.
        of: usize,
    },
    /// It had the least to do of those compared.
    Load {
        /// How many were compared; one, where no other could be had, or where chance alone was to decide.
        compared: usize,
        /// How many there were.
        of: usize,
        /// What it had to do.
        load: Load,
    },
    /// Nobody had a higher priority.
    Priority {
        /// Its priority.
        priority: Priority,
        /// How many of this priority were compared.
        compared: usize,
        /// How many have this priority.
        of: usize,
        /// What it had to do.
        load: Load,
    },
    /// Nobody was nearer, or only by less than a kilometre.
    Near {
        /// How far it is to the nearest \[km\].
        km: f64,
        /// How many are as near.
        tied: usize,
        /// What it had to do.
        load: Load,
    },
    /// The key is its.
    Key {
        /// Among how many keys are shared out.
        of: usize,
    },
    /// It was shed before, and is tried again.
    Probe {
        /// Which step on the way back this is, from 1.
        step: u32,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Turn { of } => write!(f, "its turn among {of}"),
            Why::Load { compared, of, load } => write!(f, "{compared} of {of} compared: {load}"),
            Why::Priority { priority, compared, of, load } => {
                let priority = format!("{priority:?}").to_lowercase();
                write!(f, "{compared} of {of} with priority {priority} compared: {load}")
            }
            Why::Near { km, tied: 1, load } => write!(f, "nearest, {km:.1} km: {load}"),
            Why::Near { km, tied, load } => write!(f, "nearest, {km:.1} km, of {tied} as near: {load}"),
            Why::Key { of } => write!(f, "its key among {of}"),
            Why::Probe { step } => write!(f, "a probe, step {step} of its return"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_written_as_their_names_and_load_balanced_is_the_default() {
        for strategy in Strategy::ALL {
            assert_eq!(serde_json::to_string(&strategy).unwrap(), format!("\"{strategy}\""));
        }
        assert_eq!(Strategy::default(), Strategy::LoadBalanced);
    }

    #[test]
    fn the_reason_of_a_choice_is_one_line() {
        let load = Load { depth: 3, took_us: 12.2 };
        let fresh = Load { depth: 1, took_us: 0.0 };
        let lines = [
            (Why::Turn { of: 5 }, "its turn among 5"),
            (Why::Load { compared: 2, of: 5, load }, "2 of 5 compared: depth 3 x 12 us"),
            (Why::Load { compared: 1, of: 1, load: fresh }, "1 of 1 compared: depth 1, not measured yet"),
            (
                Why::Priority { priority: Priority::High, compared: 2, of: 4, load },
                "2 of 4 with priority high compared: depth 3 x 12 us",
            ),
            (Why::Near { km: 5.31, tied: 1, load }, "nearest, 5.3 km: depth 3 x 12 us"),
            (Why::Near { km: 5.31, tied: 3, load }, "nearest, 5.3 km, of 3 as near: depth 3 x 12 us"),
            (Why::Key { of: 9 }, "its key among 9"),
            (Why::Probe { step: 2 }, "a probe, step 2 of its return"),
        ];
        for (why, line) in lines {
            assert_eq!(why.to_string(), line);
        }
    }
}
