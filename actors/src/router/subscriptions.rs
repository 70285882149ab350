//! [`Subscriptions`]: who subscribed to which topics. Pure.
//!
//! ```text
//!                          filter
//!                            │ first
//!                            v
//! member ──first──> subscription ──next──> subscription ──next──> ...
//!                            │ below              ^
//!                            v                    └── hash of (member, filter)
//!                      subscription
//! ```
//!
//! A subscription is a record of 28 bytes that knows its member and its filter by number, stands in a chain of its member
//! and in one of its filter, and is found by both. With 6 to 12 bytes for the look-up and 24 for a recipient on a route's
//! list, a subscription weighs less than 64 bytes.
//!
//! **Invariant.** An agent hears a topic when one of its filters matches it, and once however many do. A subscription
//! ends with its agent.

use std::{any::TypeId, hash::BuildHasher};

use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashMap};
use slab::Slab;

use super::{chunked::Number, entry::Wants, members::slot_of, predicate::Predicate, topic_tree::TopicTree};
use crate::agent::{TopicFilter, TopicName};

/// No subscription.
pub(crate) const NONE: u32 = u32::MAX;

/// How many records a page holds: pages grow by one, so that little room is left over.
const PAGE: usize = 1_024;

/// One subscription of a member to a filter.
#[derive(Debug, Clone, Copy)]
struct Record {
    slot: u32,
    filter: u32,
    /// The next one of the member, or of those that are free.
    next: u32,
    /// The neighbours in the chain of its filter.
    above: u32,
    below: u32,
    number: Number,
    has_predicate: bool,
}

/// Records by number, those that are free in a chain.
struct Records {
    pages: Vec<Vec<Record>>,
    free: u32,
}

impl Records {
    fn get(&self, at: u32) -> &Record {
        &self.pages[at as usize / PAGE][at as usize % PAGE]
    }

    fn get_mut(&mut self, at: u32) -> &mut Record {
        &mut self.pages[at as usize / PAGE][at as usize % PAGE]
    }

    fn insert(&mut self, record: Record) -> u32 {
        if self.free != NONE {
            let at = self.free;
            self.free = self.get(at).next;
            *self.get_mut(at) = record;
            return at;
        }
        let full = self.pages.last().is_none_or(|page| page.len() == PAGE);
        if full {
            self.pages.push(Vec::with_capacity(if self.pages.is_empty() { 4 } else { PAGE }));
        }
        let before = (self.pages.len() - 1) * PAGE;
        let page = self.pages.last_mut().expect("it was made if there was none");
        page.push(record);
        slot_of(before + page.len() - 1)
    }

    fn remove(&mut self, at: u32) {
        self.get_mut(at).next = self.free;
        self.free = at;
    }
}

/// What is known of one filter.
struct Filter {
    name: TopicFilter,
    first: u32,
    count: usize,
}

/// Who subscribed to which topics.
pub(crate) struct Subscriptions {
    records: Records,
    /// The record of each member and filter.
    by_both: HashTable<u32>,
    filters: Slab<Filter>,
    by_filter: TopicTree<u32>,
    predicates: FxHashMap<u32, Predicate>,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            records: Records { pages: Vec::new(), free: NONE },
            by_both: HashTable::new(),
            filters: Slab::new(),
            by_filter: TopicTree::default(),
            predicates: FxHashMap::default(),
        }
    }
}

/// The hash of a member and a filter.
fn hash(slot: u32, filter: u32) -> u64 {
    FxBuildHasher.hash_one(u64::from(slot) << 32 | u64::from(filter))
}

impl Subscriptions {
    fn find(&self, slot: u32, filter: u32) -> Option<u32> {
        let is_it = |at: &u32| {
            let record = self.records.get(*at);
            (record.slot, record.filter) == (slot, filter)
        };
        self.by_both.find(hash(slot, filter), is_it).copied()
    }

    /// Adds a subscription of a member whose first one is `first`. Answers false when it is there already, and then it
    /// stays as it is.
    pub(crate) fn add(
        &mut self,
        filter: &TopicFilter,
        slot: u32,
        first: &mut u32,
        number: Number,
        predicate: Option<Predicate>,
    ) -> bool {
        let filter = match self.by_filter.get(filter) {
            Some(known) if self.find(slot, *known).is_some() => return false,
            Some(known) => *known,
            None => {
                let new =
                    slot_of(self.filters.insert(Filter { name: filter.clone(), first: NONE, count: 0 }));
                *self.by_filter.entry(filter) = new;
                new
            }
        };
        let (held, has_predicate) = (&mut self.filters[filter as usize], predicate.is_some());
        let below = held.first;
        let record = Record { slot, filter, next: *first, above: NONE, below, number, has_predicate };
        let at = self.records.insert(record);
        (held.first, held.count) = (at, held.count + 1);
        if below != NONE {
            self.records.get_mut(below).above = at;
        }
        *first = at;
        let records = &self.records;
        self.by_both.insert_unique(hash(slot, filter), at, |at| {
            let record = records.get(*at);
            hash(record.slot, record.filter)
        });
        if let Some(predicate) = predicate {
            self.predicates.insert(at, predicate);
        }
        true
    }

    /// Whether a member subscribed to just this filter.
    pub(crate) fn has(&self, filter: &TopicFilter, slot: u32) -> bool {
        self.by_filter.get(filter).is_some_and(|filter| self.find(slot, *filter).is_some())
    }

    /// Ends a subscription, if there is one. Answers its predicate, to be dropped when nothing is held.
    pub(crate) fn remove(&mut self, filter: &TopicFilter, slot: u32, first: &mut u32) -> Option<Predicate> {
        let at = self.find(slot, *self.by_filter.get(filter)?)?;
        let next = self.records.get(at).next;
        if *first == at {
            *first = next;
        } else {
            let mut before = *first;
            while self.records.get(before).next != at {
                before = self.records.get(before).next;
            }
            self.records.get_mut(before).next = next;
        }
        self.take_out(at)
    }

    /// Ends all subscriptions of a member whose first one is `first`. Answers their predicates.
    pub(crate) fn remove_all(&mut self, mut first: u32) -> Vec<Predicate> {
        let mut predicates = Vec::new();
        while first != NONE {
            let next = self.records.get(first).next;
            predicates.extend(self.take_out(first));
            first = next;
        }
        predicates
    }

    /// Takes a record out of everything but the chain of its member.
    fn take_out(&mut self, at: u32) -> Option<Predicate> {
        let Record { slot, filter, above, below, has_predicate, .. } = *self.records.get(at);
        if let Ok(held) = self.by_both.find_entry(hash(slot, filter), |held| *held == at) {
            held.remove();
        }
        let predicate = if has_predicate { self.predicates.remove(&at) } else { None };
        let held = &mut self.filters[filter as usize];
        held.count -= 1;
        if above == NONE {
            held.first = below;
        } else {
            self.records.get_mut(above).below = below;
        }
        if below != NONE {
            self.records.get_mut(below).above = above;
        }
        if held.count == 0 {
            let Filter { name, .. } = self.filters.remove(filter as usize);
            self.by_filter.remove(&name);
        }
        self.records.remove(at);
        if self.by_both.is_empty() {
            *self = Self::default();
        }
        predicate
    }

    /// The filters of a member whose first subscription is `first`.
    pub(crate) fn filters_of(&self, first: u32) -> impl Iterator<Item = &TopicFilter> {
        let some = |at| (at != NONE).then_some(at);
        std::iter::successors(some(first), move |at| some(self.records.get(*at).next))
            .map(|at| &self.filters[self.records.get(at).filter as usize].name)
    }

    /// The numbers of the filters that match one of these topics, as they are now.
    pub(crate) fn matching<'a>(&self, topics: impl Iterator<Item = &'a TopicName>) -> Vec<u32> {
        let mut filters: Vec<u32> =
            topics.flat_map(|topic| self.by_filter.matching(topic)).copied().collect();
        filters.sort_unstable();
        filters.dedup();
        filters
    }

    /// Since when a member hears what goes to these filters, and which messages of a type it wants: all when one of its
    /// subscriptions has no predicate for them.
    pub(crate) fn wants(&self, slot: u32, filters: &[u32], message: TypeId) -> Option<(Number, Wants)> {
        let mut since: Option<Number> = None;
        let (mut tests, mut is_all) = (Vec::new(), false);
        for at in filters.iter().filter_map(|filter| self.find(slot, *filter)) {
            let record = self.records.get(at);
            since = Some(since.map_or(record.number, |since| since.min(record.number)));
            match record.has_predicate.then(|| &self.predicates[&at]) {
                Some(predicate) if predicate.concerns(message) => tests.push(predicate.clone()),
                _ => is_all = true,
            }
        }
        Some((since?, if is_all { Wants::All } else { Wants::Some(tests) }))
    }

    /// Who hears what goes to these filters, each time with the number of the subscription.
    pub(crate) fn hearers(&self, filters: &[u32]) -> impl Iterator<Item = (u32, Number)> {
        filters.iter().flat_map(|filter| self.of_filter(&self.filters[*filter as usize])).map(|at| {
            let record = self.records.get(at);
            (record.slot, record.number)
        })
    }

    fn of_filter(&self, filter: &Filter) -> impl Iterator<Item = u32> {
        let some = |at| (at != NONE).then_some(at);
        std::iter::successors(some(filter.first), move |at| some(self.records.get(*at).below))
    }

    /// The filters that have subscribers, by name, with how many.
    pub(crate) fn counts(&self) -> Vec<(TopicFilter, usize)> {
        let count = |(_, held): (usize, &Filter)| (held.name.clone(), held.count);
        let mut counts: Vec<_> = self.filters.iter().map(count).collect();
        counts.sort();
        counts
    }

    /// Whether chains, lists and look-ups agree, given each member's slot and first subscription; says what does not.
    pub(crate) fn verify(&self, members: impl Iterator<Item = (u32, u32)>) -> Result<(), String> {
        let (mut chained, mut predicates) = (0, 0);
        for (slot, first) in members {
            let mut at = first;
            while at != NONE {
                let record = self.records.get(at);
                let held = self.filters.get(record.filter as usize).ok_or("a subscription has no filter")?;
                let above =
                    if record.above == NONE { held.first } else { self.records.get(record.above).below };
                if record.slot != slot || above != at {
                    return Err(format!("a subscription to {} is not in its chain", held.name));
                }
                if self.find(slot, record.filter) != Some(at)
                    || self.by_filter.get(&held.name) != Some(&record.filter)
                    || record.has_predicate != self.predicates.contains_key(&at)
                {
                    return Err(format!("a subscription to {} is not found", held.name));
                }
                (chained, predicates) = (chained + 1, predicates + usize::from(record.has_predicate));
                at = record.next;
            }
        }
        let of_filters: usize = self.filters.iter().map(|(_, held)| self.of_filter(held).count()).sum();
        let counted: usize = self.filters.iter().map(|(_, held)| held.count).sum();
        let counts = (self.by_both.len(), of_filters, counted, self.predicates.len());
        if counts == (chained, chained, chained, predicates) {
            Ok(())
        } else {
            Err(format!(
                "{chained} subscriptions of members; found, of filters, counted, selective: {counts:?}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::new(text).unwrap()
    }

    #[test]
    fn who_hears_a_topic_hears_it_since_its_first_subscription_that_matches() {
        let mut held = Subscriptions::default();
        let topic = TopicName::new("news.sport").unwrap();
        let mut first = [NONE; 4];
        let subscriptions = [(0, "news.*"), (1, "news.sport"), (0, "news.>"), (2, ">"), (3, "news")];
        for (number, (slot, to)) in (0..).zip(subscriptions) {
            let number = Number::new(number);
            assert!(held.add(&filter(to), slot, &mut first[slot as usize], number, None));
            let again = Number::new(99);
            assert!(
                !held.add(&filter(to), slot, &mut first[slot as usize], again, None),
                "it is there already"
            );
        }
        let since = |held: &Subscriptions, slot| {
            let filters = held.matching([&topic].into_iter());
            held.wants(slot, &filters, TypeId::of::<u32>()).map(|(since, _)| since)
        };
        assert_eq!(
            [0, 1, 2, 3].map(|slot| since(&held, slot)),
            [Some(0), Some(1), Some(3), None].map(|n| n.map(Number::new))
        );
        assert!(held.has(&filter("news.*"), 0) && !held.has(&filter("news.*"), 1));
        held.remove(&filter("news.*"), 0, &mut first[0]);
        assert!(!held.has(&filter("news.*"), 0));
        assert_eq!(since(&held, 0), Some(Number::new(2)), "by its other subscription");
        held.verify((0..).zip(first)).unwrap();
        assert!(held.filters_of(first[0]).eq([&filter("news.>")]));
        held.remove_all(std::mem::replace(&mut first[0], NONE));
        assert_eq!(since(&held, 0), None);
        assert_eq!(held.counts(), [(filter(">"), 1), (filter("news"), 1), (filter("news.sport"), 1)]);
        held.verify((0..).zip(first)).unwrap();
    }

    #[test]
    fn a_predicate_narrows_only_messages_of_its_type_and_only_where_no_other_subscription_is_wider() {
        let mut held = Subscriptions::default();
        let (topic, mut first) = (TopicName::new("t").unwrap(), NONE);
        let wanted = |held: &Subscriptions, message| match held.wants(
            7,
            &held.matching([&topic].into_iter()),
            message,
        ) {
            None => "nothing".to_owned(),
            Some((_, Wants::All)) => "all".to_owned(),
            Some((_, Wants::Some(tests))) => format!("{} tests", tests.len()),
        };
        let (numbers, texts) = (TypeId::of::<u32>(), TypeId::of::<String>());
        let mut add = |held: &mut Subscriptions, to, predicate| {
            assert!(held.add(&filter(to), 7, &mut first, Number::default(), predicate));
            first
        };
        add(&mut held, "t", Some(Predicate::new(|number: &u32| *number > 3)));
        assert_eq!((wanted(&held, numbers), wanted(&held, texts)), ("1 tests".to_owned(), "all".to_owned()));
        add(&mut held, "*", Some(Predicate::new(|number: &u32| *number < 2)));
        assert_eq!(wanted(&held, numbers), "2 tests");
        let first = add(&mut held, ">", None);
        assert_eq!(wanted(&held, numbers), "all");
        assert_eq!(held.remove_all(first).len(), 2);
        assert_eq!(wanted(&held, texts), "nothing");
    }

    #[test]
    fn a_subscription_is_a_record_of_28_bytes() {
        assert_eq!(size_of::<Record>(), 28);
    }
}
