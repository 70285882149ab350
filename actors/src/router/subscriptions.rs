//! [`Subscriptions`]: who subscribed to which topics. Pure.
//!
//! **Invariant.** An agent hears a topic when one of its filters matches it, and once however many do. A subscription
//! ends with its agent.

use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::topic_tree::TopicTree;
use crate::agent::{AgentId, TopicFilter, TopicName};

/// The subscribers of one filter, each with the number of its subscription.
#[derive(Default)]
struct Subscribers {
    filter: Option<TopicFilter>,
    agents: IndexMap<AgentId, u64, FxBuildHasher>,
}

/// Who subscribed to which topics.
#[derive(Default)]
pub(crate) struct Subscriptions {
    filters: TopicTree<Subscribers>,
    of: FxHashMap<AgentId, IndexSet<TopicFilter, FxBuildHasher>>,
    next: u64,
}

impl Subscriptions {
    /// Adds a subscription. Answers false when it is there already.
    pub(crate) fn add(&mut self, filter: &TopicFilter, agent: &AgentId) -> bool {
        if !self.of.entry(agent.clone()).or_default().insert(filter.clone()) {
            return false;
        }
        let subscribers = self.filters.entry(filter);
        subscribers.filter.get_or_insert_with(|| filter.clone());
        subscribers.agents.insert(agent.clone(), self.next);
        self.next += 1;
        true
    }

    /// Ends a subscription. Answers whether there was one.
    pub(crate) fn remove(&mut self, filter: &TopicFilter, agent: &AgentId) -> bool {
        let Some(filters) = self.of.get_mut(agent) else { return false };
        if !filters.shift_remove(filter) {
            return false;
        }
        if filters.is_empty() {
            self.of.remove(agent);
        }
        self.take_out(filter, agent);
        true
    }

    /// Ends all subscriptions of an agent, and says which they were.
    pub(crate) fn remove_all(&mut self, agent: &AgentId) -> IndexSet<TopicFilter, FxBuildHasher> {
        let filters = self.of.remove(agent).unwrap_or_default();
        filters.iter().for_each(|filter| self.take_out(filter, agent));
        filters
    }

    fn take_out(&mut self, filter: &TopicFilter, agent: &AgentId) {
        let subscribers = self.filters.entry(filter);
        subscribers.agents.swap_remove(agent);
        if subscribers.agents.is_empty() {
            self.filters.remove(filter);
        }
    }

    /// Whether an agent hears a topic.
    pub(crate) fn hears(&self, agent: &AgentId, topic: &TopicName) -> bool {
        self.of.get(agent).into_iter().flatten().any(|filter| filter.matches(topic))
    }

    /// Who hears a topic, in the order of their first subscription that matches it.
    pub(crate) fn hearers(&self, topic: &TopicName) -> Vec<&AgentId> {
        let mut agents: FxHashMap<&AgentId, u64> = FxHashMap::default();
        for subscribers in self.filters.matching(topic) {
            for (agent, number) in &subscribers.agents {
                agents.entry(agent).and_modify(|first| *first = (*first).min(*number)).or_insert(*number);
            }
        }
        let mut agents: Vec<_> = agents.into_iter().collect();
        agents.sort_unstable_by_key(|(_, number)| *number);
        agents.into_iter().map(|(agent, _)| agent).collect()
    }

    /// The filters that have subscribers, by name, with how many.
    pub(crate) fn counts(&self) -> Vec<(TopicFilter, usize)> {
        let count = |subscribers: &Subscribers| Some((subscribers.filter.clone()?, subscribers.agents.len()));
        let mut counts: Vec<_> = self.filters.values().into_iter().filter_map(count).collect();
        counts.sort();
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::new(text).unwrap()
    }

    fn agent(text: &str) -> AgentId {
        AgentId::new(text).unwrap()
    }

    #[test]
    fn who_hears_a_topic_hears_it_once_in_the_order_of_the_first_subscription() {
        let mut held = Subscriptions::default();
        let topic = TopicName::new("news.sport").unwrap();
        for (at, to) in [("a", "news.*"), ("b", "news.sport"), ("a", "news.>"), ("c", ">"), ("d", "news")] {
            assert!(held.add(&filter(to), &agent(at)));
        }
        assert!(!held.add(&filter("news.*"), &agent("a")), "it is there already");
        assert_eq!(held.hearers(&topic), [&agent("a"), &agent("b"), &agent("c")]);
        assert!(held.remove(&filter("news.*"), &agent("a")));
        assert!(held.hears(&agent("a"), &topic), "by its other subscription");
        assert_eq!(held.hearers(&topic), [&agent("b"), &agent("a"), &agent("c")]);
        assert!(held.remove_all(&agent("a")).iter().eq([&filter("news.>")]));
        assert!(!held.hears(&agent("a"), &topic));
        assert!(!held.remove(&filter("news.>"), &agent("a")), "it is gone");
        assert_eq!(held.counts(), [(filter(">"), 1), (filter("news"), 1), (filter("news.sport"), 1)]);
    }
}
