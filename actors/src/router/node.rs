//! [`NodeStatus`]: how an agent is doing as one of those that messages are routed to.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::Directory;
use crate::{
    agent::{AgentId, Capability, Kind, Location, Priority, Timestamp},
    inbox::AgentHandle,
};

/// Whether messages are routed to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It is on its routes.
    Active,
    /// It missed a heartbeat.
    Suspected,
    /// It missed too many heartbeats, and is on no route until it beats again.
    Inactive,
    /// It takes nothing in any more.
    Closing,
}

/// A look at one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Who.
    pub agent: AgentId,
    /// What sort of agent it is.
    pub kind: Kind,
    /// What it offers.
    pub capabilities: Vec<Capability>,
    /// How much it is preferred by priority.
    pub priority: Priority,
    /// Where it is.
    pub location: Option<Location>,
    /// How full its inbox is, 0 to 1.
    pub load: f64,
    /// The smoothed time from the arrival of a message in the inbox until it is handled, of those whose time is taken; zero
    /// while none was.
    pub latency: Duration,
    /// How many messages it handled in the last window \[1/s\]: since a look at least a second ago, or since the start of the
    /// host when there was none.
    pub throughput: f64,
    /// Whether messages are routed to it.
    pub status: NodeState,
    /// When it last beat; `None` when it was never asked to.
    pub last_heartbeat: Option<Timestamp>,
    /// How many messages it handled to their end.
    pub handled: u64,
    /// How many messages it failed to handle.
    pub failed: u64,
}

/// What was counted at two looks, a second apart at least.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    older: (Timestamp, u64),
    newer: (Timestamp, u64),
}

impl Window {
    /// The rate since the older look \[1/s\]; a look a second after the newer one begins the next window.
    fn look(&mut self, now: Timestamp, handled: u64) -> f64 {
        if now.since(self.newer.0) >= Duration::from_secs(1) {
            self.older = std::mem::replace(&mut self.newer, (now, handled));
        }
        let took = now.since(self.older.0).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate is meant")]
        let more = handled.saturating_sub(self.older.1) as f64;
        if took > 0.0 { more / took } else { 0.0 }
    }
}

/// The windows of all agents that were looked at.
#[derive(Clone, Default)]
pub(crate) struct Windows(Arc<Mutex<FxHashMap<AgentId, Window>>>);

impl Windows {
    fn rate(&self, agent: &AgentId, now: Timestamp, handled: u64) -> f64 {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.entry(agent.clone()).or_default().look(now, handled)
    }

    /// Forgets those who are no more.
    pub(super) fn forget(&self, agents: &[AgentId]) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for agent in agents {
            windows.remove(agent);
        }
    }
}

impl Directory {
    /// All agents as nodes, in the order in which they joined.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let (agents, now) = (self.agents(), self.now());
        agents.iter().map(|agent| self.look_at(agent, now)).collect()
    }

    /// One agent as a node.
    pub fn node(&self, id: &AgentId) -> Option<NodeStatus> {
        Some(self.look_at(&self.agent(id)?, self.now()))
    }

    fn look_at(&self, agent: &AgentHandle, now: Timestamp) -> NodeStatus {
        let (listing, gauge) = (agent.listing(), agent.door.gauge());
        let (handled, failed) = gauge.counts();
        let inbox = agent.status();
        NodeStatus {
            agent: agent.id().clone(),
            kind: listing.kind.clone(),
            capabilities: listing.capabilities.clone(),
            priority: listing.priority,
            location: listing.location,
            load: (f64::from(inbox.occupied) / f64::from(inbox.capacity)).min(1.0),
            latency: Duration::try_from_secs_f32(gauge.latency_us() / 1e6).unwrap_or(Duration::MAX),
            throughput: self.windows.rate(agent.id(), now, handled),
            status: if !agent.is_open() {
                NodeState::Closing
            } else if self.lock().is_away(agent.id()) {
                NodeState::Inactive
            } else if gauge.missed() > 0 {
                NodeState::Suspected
            } else {
                NodeState::Active
            },
            last_heartbeat: gauge.last_beat(),
            handled,
            failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_window_however_often_it_is_looked_at() {
        let at = |millis| Timestamp::from_start(Duration::from_millis(millis));
        let mut window = Window::default();
        let rates: Vec<f64> = [(2_000, 20), (2_100, 21), (4_000, 60), (4_500, 85), (9_000, 85), (20_000, 85)]
            .into_iter()
            .map(|(millis, handled)| window.look(at(millis), handled))
            .collect();
        assert_eq!(rates, [10.0, 10.0, 20.0, 26.0, 5.0, 0.0]);
    }
}
