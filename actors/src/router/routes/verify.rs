//! Whether the tables are consistent.

use super::{Routes, slot_of};
use crate::{agent::AgentId, inbox::AgentHandle};

impl Routes {
    /// Whether every route holds just the members it should, in order, and all look-ups agree; says what does not.
    pub(crate) fn verify(&self) -> Result<(), String> {
        self.members.verify()?;
        let slots = self.members.in_order();
        self.subscriptions.verify(slots.iter().map(|slot| (*slot, self.members[*slot].first)))?;
        if !self.touched.is_empty() || self.by_route.len() != self.entries.len() {
            return Err("a change was made and not published, or a route has no name".to_owned());
        }
        let (mut topics, mut ids) = (0, 0);
        for (at, entry) in &self.entries {
            let (key, selector) = (slot_of(at), &entry.selector);
            if self.by_route.get(&(selector.clone(), entry.message)) != Some(&key) || !entry.verify() {
                return Err(format!("{selector} is not found, or its lists are not in order"));
            }
            entry.verify_pool()?;
            for topic in selector.topics() {
                topics += 1;
                if !self.by_topic.get(&topic.clone().into()).is_some_and(|keys| keys.contains(&key)) {
                    return Err(format!("{selector} is not among the routes of topic {topic}"));
                }
            }
            for id in selector.ids() {
                ids += 1;
                if !self.by_id.get(id).is_some_and(|keys| keys.contains(&key)) {
                    return Err(format!("{selector} is not among the routes of agent {id}"));
                }
            }
            let on: Vec<&AgentId> = entry.agents().into_iter().map(|(agent, _)| agent.id()).collect();
            let should = self.led_to(selector).into_iter().map(|(_, slot)| &self.members[slot].agent);
            let should: Vec<_> = should
                .filter(|agent| agent.door.accept(entry.message).is_some())
                .map(AgentHandle::id)
                .collect();
            if on != should {
                return Err(format!("{selector} leads to {on:?} instead of {should:?}"));
            }
        }
        let all = "*.>".parse().and_then(|deep| Ok([deep, "*".parse()?])).expect("these are filters");
        let by_topic =
            all.iter().flat_map(|filter| self.by_topic.matched_by(filter)).map(Vec::len).sum::<usize>();
        let by_id = self.by_id.values().map(Vec::len).sum::<usize>();
        if (by_topic, by_id) == (topics, ids) {
            Ok(())
        } else {
            Err(format!("{topics} topics and {ids} ids of routes, {by_topic} and {by_id} found"))
        }
    }
}
