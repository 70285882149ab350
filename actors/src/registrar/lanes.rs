//! [`Lanes`]: what waits, by class, and whose turn it is.
//!
//! The most urgent class comes first, and within a class the one that was offered first. So that nobody starves, every
//! [`FAIR_EVERY`]th place that is given out goes to whoever was offered first of all, whatever its class.
//!
//! **Invariant.** Within a lane numbers rise, so that each is found by a binary search.

use std::collections::VecDeque;

use crate::agent::{Priority, Timestamp};

/// Every so many places given out, one goes to the request that has waited longest.
pub const FAIR_EVERY: u64 = 8;

/// Something that waits since it was offered, as the so many-eth.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) number: u64,
    pub(super) since: Timestamp,
    pub(super) value: T,
}

/// One lane for each class.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    /// Low first.
    classes: [VecDeque<Waiting<T>>; Priority::ALL.len()],
    len: usize,
    places: u64,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { classes: std::array::from_fn(|_| VecDeque::new()), len: 0, places: 0 }
    }
}

impl<T> Lanes<T> {
    /// Lets something wait. Usually its number is the greatest; one that comes later than its number says stands before those
    /// that were offered after it.
    pub(super) fn insert(&mut self, class: Priority, waiting: Waiting<T>) -> &mut Waiting<T> {
        self.len += 1;
        let lane = &mut self.classes[at(class)];
        let is_last = lane.back().is_none_or(|last| last.number < waiting.number);
        let place =
            if is_last { lane.len() } else { lane.partition_point(|other| other.number < waiting.number) };
        lane.insert(place, waiting);
        &mut lane[place]
    }

    pub(super) fn get(&self, class: Priority, number: u64) -> Option<&Waiting<T>> {
        let lane = &self.classes[at(class)];
        let place = lane.binary_search_by_key(&number, |waiting| waiting.number).ok()?;
        lane.get(place)
    }

    pub(super) fn remove(&mut self, class: Priority, number: u64) -> Option<Waiting<T>> {
        let lane = &mut self.classes[at(class)];
        let place = lane.binary_search_by_key(&number, |waiting| waiting.number).ok()?;
        self.len -= 1;
        lane.remove(place)
    }

    /// Gives out the next place.
    pub(super) fn pop(&mut self) -> Option<Waiting<T>> {
        if self.len == 0 {
            return None;
        }
        self.places += 1;
        let lane =
            if self.places.is_multiple_of(FAIR_EVERY) { self.oldest_lane() } else { self.urgent_lane() };
        self.len -= 1;
        self.classes[lane?].pop_front()
    }

    /// All that wait, class by class.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting<T>> {
        self.classes.iter().flatten()
    }

    fn urgent_lane(&self) -> Option<usize> {
        self.classes.iter().rposition(|lane| !lane.is_empty())
    }

    fn oldest_lane(&self) -> Option<usize> {
        let heads =
            self.classes.iter().enumerate().filter_map(|(lane, all)| Some((all.front()?.number, lane)));
        heads.min().map(|(_, lane)| lane)
    }

    /// What was offered first.
    pub(super) fn oldest(&self) -> Option<&Waiting<T>> {
        self.classes[self.oldest_lane()?].front()
    }

    /// The most urgent class of which something waits.
    pub(super) fn most_urgent(&self) -> Option<Priority> {
        Some(Priority::ALL[Priority::ALL.len() - 1 - self.urgent_lane()?])
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

const fn at(class: Priority) -> usize {
    class as usize - 1
}
