//! [`HealthSummary`]: how all agents are doing, in a few lines: how many are in each state, and which are the worst.
//!
//! **Invariant.** The counts add up to the number of agents looked at. Only agents that something happened to are among the
//! worst, at most as many as were asked for.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::health::{AgentHealth, Health, HealthBoard};
use crate::agent::AgentId;

/// How all agents are doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HealthSummary {
    /// How many agents are in each state, those states that came up.
    pub counts: BTreeMap<Health, usize>,
    /// The agents that fare worst, the worst first.
    pub worst: Vec<(AgentId, AgentHealth)>,
    /// How many agents something happened to, those among the worst included.
    pub troubled: usize,
}

impl AgentHealth {
    /// Whether anything but its ordinary life happened to the agent.
    pub const fn is_troubled(&self) -> bool {
        self.abandoned
            || matches!(self.health, Health::Degraded | Health::Suspected | Health::Failed)
            || self.panics > 0
            || self.restarts > 0
            || self.errors > 0
            || self.lost() > 0
    }

    /// How many messages for it were lost because it could not keep up.
    pub const fn lost(&self) -> u64 {
        self.rejected.saturating_add(self.dropped).saturating_add(self.expired)
    }

    /// How grave what happened is: given up, state, panics, restarts, errors, losses, in this order.
    fn gravity(&self) -> (bool, u8, u32, u32, u32, u64) {
        let state = match self.health {
            Health::Failed => 3,
            Health::Suspected => 2,
            Health::Degraded => 1,
            Health::Starting | Health::Healthy | Health::Stopped => 0,
        };
        (self.abandoned, state, self.panics, self.restarts, self.errors, self.lost())
    }
}

impl HealthBoard {
    /// The agents of `accept` by state, and the `worst` of them; of two that fare alike, the one of the lesser id comes first.
    pub fn summary(&self, worst: usize, accept: impl Fn(&AgentId) -> bool) -> HealthSummary {
        let mut summary = HealthSummary::default();
        let mut troubled = Vec::new();
        for (agent, known) in self.iter().filter(|(agent, _)| accept(agent)) {
            *summary.counts.entry(known.health).or_default() += 1;
            if known.is_troubled() {
                troubled.push((Reverse(known.gravity()), agent, known));
            }
        }
        troubled.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        summary.troubled = troubled.len();
        summary.worst =
            troubled.into_iter().take(worst).map(|(_, agent, known)| (agent.clone(), *known)).collect();
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agent::Timestamp,
        monitor::{Event, Severity, names},
    };

    fn board(events: &[(&str, &'static str)]) -> HealthBoard {
        let mut board = HealthBoard::new(10);
        for (agent, name) in events {
            let event = Event::system(Severity::Info, "test", *name, Timestamp::ZERO);
            let event = if *name == names::AGENT_DEGRADED { event.with("expired", 4) } else { event };
            board.observe(&event.about(AgentId::new(agent).unwrap()));
        }
        board
    }

    #[test]
    fn the_worst_come_first_and_those_that_nothing_happened_to_are_only_counted() {
        let board = board(&[
            ("fine", names::AGENT_STARTED),
            ("over", names::AGENT_STOPPED),
            ("crashed-twice", names::AGENT_PANICKED),
            ("crashed-twice", names::AGENT_RESTARTED),
            ("crashed-twice", names::AGENT_PANICKED),
            ("crashed-twice", names::AGENT_RESTARTED),
            ("down", names::AGENT_PANICKED),
            ("late", names::AGENT_DEGRADED),
            ("was-late", names::AGENT_DEGRADED),
            ("was-late", names::AGENT_RECOVERED),
            ("lost", names::AGENT_STARTED),
            ("lost", names::AGENT_ABANDONED),
            ("b-restarted", names::AGENT_RESTARTED),
            ("a-restarted", names::AGENT_RESTARTED),
        ]);
        let summary = board.summary(100, |_| true);
        let worst: Vec<&str> = summary.worst.iter().map(|(agent, _)| agent.as_str()).collect();
        assert_eq!(
            worst,
            ["lost", "down", "late", "crashed-twice", "a-restarted", "b-restarted", "was-late"]
        );
        assert_eq!(
            summary.counts.into_iter().collect::<Vec<_>>(),
            [(Health::Healthy, 5), (Health::Degraded, 1), (Health::Failed, 2), (Health::Stopped, 1)]
        );
        assert_eq!(summary.troubled, 7);
        assert_eq!(summary.worst[6].1.lost(), 4);
    }

    #[test]
    fn a_summary_is_bounded_and_leaves_out_whom_it_is_told_to() {
        let board = board(&[
            ("host/a", names::AGENT_PANICKED),
            ("b", names::AGENT_PANICKED),
            ("c", names::AGENT_PANICKED),
        ]);
        let summary = board.summary(1, |agent| !agent.as_str().starts_with("host/"));
        assert_eq!((summary.worst.len(), summary.troubled, summary.counts[&Health::Failed]), (1, 2, 2));
        assert_eq!(summary.worst[0].0.as_str(), "b");
    }
}
