//! [`Lanes`]: what waits, by class, and whose turn it is.
//!
//! The most urgent class comes first, and within a class the one that was offered first. So that nobody starves, every
//! [`FAIR_EVERY`]th place that is given out goes to whoever was offered first of all, whatever its class.
//!
//! What is taken out of the middle of a lane leaves its place behind, as the others would have to move otherwise; these places
//! are cleared when they are more than half of the lane.
//!
//! **Invariant.** Within a lane numbers rise, so that each is found by a binary search. What stands first in a lane waits.

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

/// A place in a lane, by its number.
#[derive(Debug)]
struct Place<T> {
    number: u64,
    /// None once it was taken out.
    waiting: Option<Waiting<T>>,
}

/// What waits of one class.
#[derive(Debug)]
struct Lane<T> {
    places: VecDeque<Place<T>>,
    /// How many places are left behind.
    empty: usize,
}

impl<T> Lane<T> {
    fn place(&self, number: u64) -> Option<usize> {
        self.places.binary_search_by_key(&number, |place| place.number).ok()
    }

    fn insert(&mut self, waiting: Waiting<T>) -> &mut Waiting<T> {
        let number = waiting.number;
        let is_last = self.places.back().is_none_or(|last| last.number < number);
        let at = if is_last {
            self.places.len()
        } else {
            self.places.partition_point(|other| other.number < number)
        };
        if self.places.get(at).is_some_and(|place| place.number == number) {
            self.empty -= 1;
        } else {
            self.places.insert(at, Place { number, waiting: None });
        }
        self.places[at].waiting.insert(waiting)
    }

    fn remove(&mut self, number: u64) -> Option<Waiting<T>> {
        let at = self.place(number)?;
        let taken = self.places[at].waiting.take()?;
        self.empty += 1;
        self.clear();
        Some(taken)
    }

    fn pop(&mut self) -> Option<Waiting<T>> {
        let first = self.places.pop_front()?.waiting;
        self.clear();
        first
    }

    fn clear(&mut self) {
        while self.places.front().is_some_and(|place| place.waiting.is_none()) {
            self.places.pop_front();
            self.empty -= 1;
        }
        if self.empty > self.places.len() / 2 {
            self.places.retain(|place| place.waiting.is_some());
            self.empty = 0;
        }
    }

    fn first(&self) -> Option<&Waiting<T>> {
        self.places.front()?.waiting.as_ref()
    }
}

/// One lane for each class.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    /// Low first.
    classes: [Lane<T>; Priority::ALL.len()],
    len: usize,
    given: u64,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        let lane = |_| Lane { places: VecDeque::new(), empty: 0 };
        Self { classes: std::array::from_fn(lane), len: 0, given: 0 }
    }
}

impl<T> Lanes<T> {
    /// Lets something wait. Usually its number is the greatest; one that comes later than its number says stands before those
    /// that were offered after it.
    pub(super) fn insert(&mut self, class: Priority, waiting: Waiting<T>) -> &mut Waiting<T> {
        self.len += 1;
        self.classes[at(class)].insert(waiting)
    }

    pub(super) fn get(&self, class: Priority, number: u64) -> Option<&Waiting<T>> {
        let lane = &self.classes[at(class)];
        lane.places[lane.place(number)?].waiting.as_ref()
    }

    pub(super) fn remove(&mut self, class: Priority, number: u64) -> Option<Waiting<T>> {
        let taken = self.classes[at(class)].remove(number)?;
        self.len -= 1;
        Some(taken)
    }

    /// Gives out the next place.
    pub(super) fn pop(&mut self) -> Option<Waiting<T>> {
        if self.len == 0 {
            return None;
        }
        self.given += 1;
        let lane =
            if self.given.is_multiple_of(FAIR_EVERY) { self.oldest_lane() } else { self.urgent_lane() };
        self.len -= 1;
        self.classes[lane?].pop()
    }

    /// All that wait, class by class.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting<T>> {
        self.classes.iter().flat_map(|lane| &lane.places).filter_map(|place| place.waiting.as_ref())
    }

    fn urgent_lane(&self) -> Option<usize> {
        self.classes.iter().rposition(|lane| lane.first().is_some())
    }

    fn oldest_lane(&self) -> Option<usize> {
        let heads =
            self.classes.iter().enumerate().filter_map(|(lane, all)| Some((all.first()?.number, lane)));
        heads.min().map(|(_, lane)| lane)
    }

    /// What was offered first.
    pub(super) fn oldest(&self) -> Option<&Waiting<T>> {
        self.classes[self.oldest_lane()?].first()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// Something comes, or comes back before those that were offered after it.
        Insert {
            class: u8,
            is_late: bool,
        },
        Remove(u8),
        Pop,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..5_u8, prop::bool::weighted(0.2)).prop_map(|(class, is_late)| Step::Insert { class, is_late }),
            4 => any::<u8>().prop_map(Step::Remove),
            1 => Just(Step::Pop),
        ];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        #[test]
        fn lanes_are_a_map_by_class_and_number_and_empty_places_are_never_most_of_them(steps in steps()) {
            let mut lanes = Lanes::default();
            let mut model = BTreeMap::new();
            let (mut next, mut given) = (0, 0_u64);
            for step in steps {
                match step {
                    Step::Insert { class, is_late } => {
                        // Even numbers come in order; odd ones are free for those who come late.
                        let number = if is_late && next > 10 { next - 9 } else { next += 2; next };
                        let class = Priority::ALL[usize::from(class)];
                        if model.values().all(|taken| *taken != number) {
                            let waiting = Waiting { number, since: Timestamp::ZERO, value: number };
                            prop_assert_eq!(lanes.insert(class, waiting).value, number);
                            model.insert((class, number), number);
                        }
                    }
                    Step::Remove(nth) => {
                        let key = model.keys().nth(usize::from(nth) % model.len().max(1)).copied();
                        if let Some((class, number)) = key {
                            prop_assert_eq!(lanes.get(class, number).map(|one| one.value), Some(number));
                            prop_assert_eq!(lanes.remove(class, number).map(|one| one.value), Some(number));
                            prop_assert!(lanes.remove(class, number).is_none());
                            prop_assert!(lanes.get(class, number).is_none());
                            model.remove(&(class, number));
                        }
                    }
                    Step::Pop => {
                        given += u64::from(!model.is_empty());
                        let oldest = model.keys().min_by_key(|(_, number)| *number).copied();
                        let urgent = model.keys().map(|(class, _)| *class).max();
                        let first = model.keys().find(|(class, _)| Some(*class) == urgent).copied();
                        let wanted = if given.is_multiple_of(FAIR_EVERY) { oldest } else { first };
                        prop_assert_eq!(lanes.pop().map(|one| one.number), wanted.map(|(_, number)| number));
                        wanted.and_then(|key| model.remove(&key));
                    }
                }
                prop_assert_eq!(lanes.len(), model.len());
                let oldest = model.keys().map(|(_, number)| *number).min();
                prop_assert_eq!(lanes.oldest().map(|one| one.number), oldest);
                prop_assert_eq!(lanes.most_urgent(), model.keys().map(|(class, _)| *class).max());
                let mut all: Vec<u64> = lanes.iter().map(|one| one.number).collect();
                all.sort_unstable();
                let mut wanted: Vec<u64> = model.values().copied().collect();
                wanted.sort_unstable();
                prop_assert_eq!(all, wanted);
                for lane in &lanes.classes {
                    let empty = lane.places.iter().filter(|place| place.waiting.is_none()).count();
                    prop_assert_eq!(lane.empty, empty);
                    prop_assert!(2 * empty <= lane.places.len(), "{} of {}", empty, lane.places.len());
                }
            }
        }
    }
}
