//! [`TopicTree`]: values kept under filters, found by topic, or under topics, found by filter. Pure.
//!
//! ```text
//! news ─┬─ sport ── chess        "news.sport.chess"
//!       ├─ *  ── chess           "news.*.chess"
//!       └─ >                     "news.>"
//! ```
//!
//! A look-up visits only branches that can match, so it does not depend on how many others there are.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::agent::{Level, TopicFilter, TopicName};

/// Values under filters. The name of a topic is a filter, too.
pub(crate) struct TopicTree<V>(Node<V>);

struct Node<V> {
    value: Option<V>,
    named: IndexMap<Box<str>, Node<V>, FxBuildHasher>,
    one: Option<Box<Node<V>>>,
    rest: Option<V>,
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self { value: None, named: IndexMap::default(), one: None, rest: None }
    }
}

impl<V> Default for TopicTree<V> {
    fn default() -> Self {
        Self(Node::default())
    }
}

impl<V> Node<V> {
    fn is_empty(&self) -> bool {
        self.value.is_none() && self.named.is_empty() && self.one.is_none() && self.rest.is_none()
    }

    fn place<'a>(&mut self, mut levels: impl Iterator<Item = Level<'a>>) -> &mut Option<V> {
        match levels.next() {
            None => &mut self.value,
            Some(Level::Named(name)) => match self.named.get_index_of(name) {
                Some(at) => self.named[at].place(levels),
                None => self.named.entry(name.into()).or_default().place(levels),
            },
            Some(Level::One) => self.one.get_or_insert_default().place(levels),
            Some(Level::Rest) => &mut self.rest,
        }
    }

    fn get<'a>(&self, mut levels: impl Iterator<Item = Level<'a>>) -> Option<&V> {
        match levels.next() {
            None => self.value.as_ref(),
            Some(Level::Named(name)) => self.named.get(name)?.get(levels),
            Some(Level::One) => self.one.as_ref()?.get(levels),
            Some(Level::Rest) => self.rest.as_ref(),
        }
    }

    /// Takes a value out, and the branches with it that hold nothing more.
    fn remove<'a>(&mut self, mut levels: impl Iterator<Item = Level<'a>>) -> Option<V> {
        match levels.next() {
            None => self.value.take(),
            Some(Level::Named(name)) => {
                let below = self.named.get_mut(name)?;
                let removed = below.remove(levels);
                if below.is_empty() {
                    self.named.swap_remove(name);
                    if self.named.len() * 4 < self.named.capacity() {
                        self.named.shrink_to(self.named.len() * 2);
                    }
                }
                removed
            }
            Some(Level::One) => {
                let below = self.one.as_mut()?;
                let removed = below.remove(levels);
                if below.is_empty() {
                    self.one = None;
                }
                removed
            }
            Some(Level::Rest) => self.rest.take(),
        }
    }

    fn of_topic<'a>(&'a self, levels: &[&str], found: &mut Vec<&'a V>) {
        let Some((level, below)) = levels.split_first() else {
            found.extend(&self.value);
            return;
        };
        if let Some(node) = self.named.get(*level) {
            node.of_topic(below, found);
        }
        if let Some(node) = &self.one {
            node.of_topic(below, found);
        }
        found.extend(&self.rest);
    }

    fn of_filter<'a>(&'a self, levels: &[Level<'_>], found: &mut Vec<&'a V>) {
        let Some((level, below)) = levels.split_first() else {
            found.extend(&self.value);
            return;
        };
        match level {
            Level::Named(name) => {
                if let Some(node) = self.named.get(*name) {
                    node.of_filter(below, found);
                }
            }
            Level::One => self.named.values().for_each(|node| node.of_filter(below, found)),
            Level::Rest => self.named.values().for_each(|node| node.all(found)),
        }
    }

    fn all<'a>(&'a self, found: &mut Vec<&'a V>) {
        found.extend(&self.value);
        self.named.values().for_each(|node| node.all(found));
        if let Some(node) = &self.one {
            node.all(found);
        }
        found.extend(&self.rest);
    }
}

impl<V> TopicTree<V> {
    /// The value under a filter, made when there is none.
    pub(crate) fn entry(&mut self, filter: &TopicFilter) -> &mut V
    where
        V: Default,
    {
        self.0.place(filter.levels()).get_or_insert_default()
    }

    /// The value under just this filter.
    pub(crate) fn get(&self, filter: &TopicFilter) -> Option<&V> {
        self.0.get(filter.levels())
    }

    /// Takes the value under just this filter out.
    pub(crate) fn remove(&mut self, filter: &TopicFilter) -> Option<V> {
        self.0.remove(filter.levels())
    }

    /// The values under the filters that match a topic.
    pub(crate) fn matching(&self, topic: &TopicName) -> Vec<&V> {
        let levels: Vec<&str> = topic.levels().collect();
        let mut found = Vec::new();
        self.0.of_topic(&levels, &mut found);
        found
    }

    /// The values under the topics that a filter matches, in a tree that holds topics only.
    pub(crate) fn matched_by(&self, filter: &TopicFilter) -> Vec<&V> {
        let levels: Vec<Level<'_>> = filter.levels().collect();
        let mut found = Vec::new();
        self.0.of_filter(&levels, &mut found);
        found
    }

    /// All values.
    #[cfg(test)]
    fn values(&self) -> Vec<&V> {
        let mut found = Vec::new();
        self.0.all(&mut found);
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "*"])
    }

    /// Few levels and few names, so that much matches.
    fn filter() -> impl Strategy<Value = TopicFilter> {
        (prop::collection::vec(level(), 1..5), any::<bool>()).prop_map(|(mut levels, rest)| {
            if rest {
                levels.push(">");
            }
            TopicFilter::new(levels.join(".")).unwrap()
        })
    }

    fn topic() -> impl Strategy<Value = TopicName> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..6)
            .prop_map(|levels| TopicName::new(levels.join(".")).unwrap())
    }

    proptest! {
        #[test]
        fn filters_are_found_by_topic_and_topics_by_filter_as_one_by_one(
            filters in prop::collection::vec((filter(), any::<bool>()), 0..40),
            topics in prop::collection::vec(topic(), 0..40),
        ) {
            let (mut by_filter, mut kept) = (TopicTree::<Vec<TopicFilter>>::default(), BTreeSet::new());
            for (filter, is_removed) in filters {
                prop_assert_eq!(by_filter.get(&filter).is_some(), kept.contains(&filter));
                if is_removed {
                    prop_assert_eq!(by_filter.remove(&filter).is_some(), kept.remove(&filter));
                } else {
                    let place = by_filter.entry(&filter);
                    place.clear();
                    place.push(filter.clone());
                    kept.insert(filter);
                }
            }
            let mut by_topic = TopicTree::<Option<TopicName>>::default();
            for topic in &topics {
                *by_topic.entry(&topic.clone().into()) = Some(topic.clone());
                let found: Vec<_> = by_filter.matching(topic).into_iter().flatten().collect();
                let expected: BTreeSet<_> = kept.iter().filter(|filter| filter.matches(topic)).collect();
                prop_assert_eq!(found.len(), expected.len(), "each is found once");
                prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
            }
            let topics: BTreeSet<_> = topics.iter().collect();
            for filter in &kept {
                let found: Vec<_> = by_topic.matched_by(filter).into_iter().flatten().collect();
                let expected: BTreeSet<_> =
                    topics.iter().copied().filter(|topic| filter.matches(topic)).collect();
                prop_assert_eq!(found.len(), expected.len(), "each is found once");
                prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
            }
            prop_assert_eq!(by_filter.values().len(), kept.len());
            for filter in &kept {
                prop_assert!(by_filter.remove(filter).is_some());
            }
            prop_assert!(by_filter.0.is_empty(), "no branch is left behind");
        }
    }
}
