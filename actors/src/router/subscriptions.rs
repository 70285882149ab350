//! [`Subscriptions`]: who subscribed to which topics. Pure.
//!
//! **Invariant.** An agent hears a topic when one of its filters matches it, and once however many do. A subscription
//! ends with its agent.

use std::any::TypeId;

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::{entry::Wants, predicate::Predicate, topic_tree::TopicTree};
use crate::agent::{AgentId, TopicFilter, TopicName};

/// The subscribers of one filter, each with the number of its subscription.
#[derive(Default)]
struct Subscribers {
    filter: Option<TopicFilter>,
    agents: IndexMap<AgentId, u64, FxBuildHasher>,
}

/// What one agent subscribed to, and which messages of it it wants.
type Filters = IndexMap<TopicFilter, Option<Predicate>, FxBuildHasher>;

/// Who subscribed to which topics.
#[derive(Default)]
pub(crate) struct Subscriptions {
    filters: TopicTree<Subscribers>,
    of: FxHashMap<AgentId, Filters>,
    next: u64,
}

impl Subscriptions {
    /// Adds a subscription. Answers false when it is there already, and then it stays as it is.
    pub(crate) fn add(
        &mut self,
        filter: &TopicFilter,
        agent: &AgentId,
        predicate: Option<Predicate>,
    ) -> bool {
        let filters = self.of.entry(agent.clone()).or_default();
        if filters.contains_key(filter) {
            return false;
        }
        filters.insert(filter.clone(), predicate);
        let subscribers = self.filters.entry(filter);
        subscribers.filter.get_or_insert_with(|| filter.clone());
        subscribers.agents.insert(agent.clone(), self.next);
        self.next += 1;
        true
    }

    /// Ends a subscription. Answers whether there was one.
    pub(crate) fn remove(&mut self, filter: &TopicFilter, agent: &AgentId) -> bool {
        let Some(filters) = self.of.get_mut(agent) else { return false };
        if filters.shift_remove(filter).is_none() {
            return false;
        }
        if filters.is_empty() {
            self.of.remove(agent);
        }
        self.take_out(filter, agent);
        true
    }

    /// Ends all subscriptions of an agent, and says which they were.
    pub(crate) fn remove_all(&mut self, agent: &AgentId) -> Vec<TopicFilter> {
        let filters = self.of.remove(agent).unwrap_or_default();
        filters.keys().for_each(|filter| self.take_out(filter, agent));
        filters.into_keys().collect()
    }

    fn take_out(&mut self, filter: &TopicFilter, agent: &AgentId) {
        let subscribers = self.filters.entry(filter);
        subscribers.agents.swap_remove(agent);
        if subscribers.agents.is_empty() {
            self.filters.remove(filter);
        }
    }

    /// Which messages of a type an agent wants of a topic: all when one of its subscriptions has no predicate for them.
    pub(crate) fn wants(&self, agent: &AgentId, topic: &TopicName, message: TypeId) -> Wants {
        let filters = self.of.get(agent).into_iter().flatten();
        let mut tests = Vec::new();
        for (_, predicate) in filters.filter(|(filter, _)| filter.matches(topic)) {
            match predicate {
                Some(predicate) if predicate.concerns(message) => tests.push(predicate.clone()),
                _ => return Wants::All,
            }
        }
        if tests.is_empty() { Wants::Nothing } else { Wants::Some(tests) }
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
            assert!(held.add(&filter(to), &agent(at), None));
        }
        assert!(!held.add(&filter("news.*"), &agent("a"), None), "it is there already");
        assert_eq!(held.hearers(&topic), [&agent("a"), &agent("b"), &agent("c")]);
        assert!(held.remove(&filter("news.*"), &agent("a")));
        let wants = |held: &Subscriptions| held.wants(&agent("a"), &topic, TypeId::of::<u32>());
        assert!(matches!(wants(&held), Wants::All), "by its other subscription");
        assert_eq!(held.hearers(&topic), [&agent("b"), &agent("a"), &agent("c")]);
        assert_eq!(held.remove_all(&agent("a")), [filter("news.>")]);
        assert!(matches!(wants(&held), Wants::Nothing));
        assert!(!held.remove(&filter("news.>"), &agent("a")), "it is gone");
        assert_eq!(held.counts(), [(filter(">"), 1), (filter("news"), 1), (filter("news.sport"), 1)]);
    }

    #[test]
    fn a_predicate_narrows_only_messages_of_its_type_and_only_where_no_other_subscription_is_wider() {
        let mut held = Subscriptions::default();
        let (topic, a) = (TopicName::new("t").unwrap(), agent("a"));
        let wanted = |held: &Subscriptions, message| match held.wants(&a, &topic, message) {
            Wants::Nothing => "nothing".to_owned(),
            Wants::All => "all".to_owned(),
            Wants::Some(tests) => format!("{} tests", tests.len()),
        };
        let (numbers, texts) = (TypeId::of::<u32>(), TypeId::of::<String>());
        held.add(&filter("t"), &a, Some(Predicate::new(|number: &u32| *number > 3)));
        assert_eq!((wanted(&held, numbers), wanted(&held, texts)), ("1 tests".to_owned(), "all".to_owned()));
        held.add(&filter("*"), &a, Some(Predicate::new(|number: &u32| *number < 2)));
        assert_eq!(wanted(&held, numbers), "2 tests");
        held.add(&filter(">"), &a, None);
        assert_eq!(wanted(&held, numbers), "all");
        held.remove_all(&a);
        assert_eq!(wanted(&held, texts), "nothing");
    }
}
