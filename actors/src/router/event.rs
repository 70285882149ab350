//! What the router tells of: [`RouterEvent`].

use serde::Serialize;

use crate::{
    agent::{AgentId, Timestamp, TopicFilter},
    monitor::{Event, Severity},
};

/// Something that the router did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RouterEvent {
    /// Agents were added and removed, in one change.
    Rerouted {
        /// When.
        at: Timestamp,
        /// How many were added.
        added: usize,
        /// How many were to be removed.
        removed: usize,
        /// How many were not added because their id is another agent's.
        taken: usize,
    },
    /// An agent subscribed to topics.
    Subscribed {
        /// When.
        at: Timestamp,
        /// Which topics.
        filter: TopicFilter,
        /// The agent.
        agent: AgentId,
    },
    /// A subscription ended while its agent goes on.
    Unsubscribed {
        /// When.
        at: Timestamp,
        /// Which topics.
        filter: TopicFilter,
        /// The agent.
        agent: AgentId,
    },
    /// An agent missed a heartbeat.
    NodeSuspected {
        /// When.
        at: Timestamp,
        /// The agent.
        agent: AgentId,
    },
    /// An agent missed too many heartbeats, and is on no route until it beats again.
    NodeInactive {
        /// When.
        at: Timestamp,
        /// The agent.
        agent: AgentId,
        /// How many it missed in a row.
        missed: u32,
    },
    /// An agent that missed heartbeats beat again, and is on its routes.
    NodeActive {
        /// When.
        at: Timestamp,
        /// The agent.
        agent: AgentId,
        /// How many it missed in a row.
        missed: u32,
    },
}

impl From<RouterEvent> for Event {
    /// The event for the monitor: each variant has its name and severity, and the data it is serialised with.
    fn from(event: RouterEvent) -> Self {
        let system = |severity, name: &'static str, at| Event::system(severity, "router", name, at);
        match event {
            RouterEvent::Rerouted { at, added, removed, taken } => {
                // An id that is taken is told by the registrar as a request that failed.
                system(Severity::Info, "router.rerouted", at)
                    .with("added", added)
                    .with("removed", removed)
                    .with("taken", taken)
            }
            RouterEvent::Subscribed { at, filter, agent } => {
                system(Severity::Info, "router.subscribed", at).about(agent).with("filter", filter.as_str())
            }
            RouterEvent::Unsubscribed { at, filter, agent } => {
                system(Severity::Info, "router.unsubscribed", at).about(agent).with("filter", filter.as_str())
            }
            RouterEvent::NodeSuspected { at, agent } => {
                system(Severity::Warning, "router.node_suspected", at).about(agent)
            }
            RouterEvent::NodeInactive { at, agent, missed } => {
                system(Severity::Warning, "router.node_inactive", at).about(agent).with("missed", missed)
            }
            RouterEvent::NodeActive { at, agent, missed } => {
                system(Severity::Info, "router.node_active", at).about(agent).with("missed", missed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{EventKind, testing::assert_told};

    #[test]
    fn the_monitor_is_told_each_router_event_by_its_serialised_name_and_data() {
        let (at, filter, agent) =
            (Timestamp::ZERO, TopicFilter::new("news.*").unwrap(), AgentId::new("a").unwrap());
        for event in [
            RouterEvent::NodeSuspected { at, agent: agent.clone() },
            RouterEvent::NodeInactive { at, agent: agent.clone(), missed: 3 },
        ] {
            let how = (EventKind::SystemEvent, Severity::Warning);
            assert_told("router", &event, &event.clone().into(), how, &[]);
        }
        for event in [
            RouterEvent::NodeActive { at, agent: agent.clone(), missed: 3 },
            RouterEvent::Rerouted { at, added: 1, removed: 2, taken: 3 },
            RouterEvent::Subscribed { at, filter: filter.clone(), agent: agent.clone() },
            RouterEvent::Unsubscribed { at, filter, agent },
        ] {
            let how = (EventKind::SystemEvent, Severity::Info);
            assert_told("router", &event, &event.clone().into(), how, &[]);
        }
    }
}
