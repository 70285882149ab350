//! Names stored once, members as lists of slots.
//!
//! **Invariant.** Of the slots of a list only so many are dead as it counts; a [`Posting`] without living slots is
//! [`Posting::None`].

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// A number for each distinct value.
#[derive(Debug)]
pub(super) struct Interner<T> {
    values: Vec<T>,
    numbers: FxHashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: FxHashMap::default() }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    /// The number of a value, and whether it is new.
    pub(super) fn intern(&mut self, value: &T) -> (u32, bool) {
        if let Some(number) = self.numbers.get(value) {
            return (*number, false);
        }
        let number = u32::try_from(self.values.len()).expect("no more values than slots, which fit 32 bits");
        self.values.push(value.clone());
        self.numbers.insert(value.clone(), number);
        (number, true)
    }

    /// The number of a value by what it may be looked up by.
    pub(super) fn number_of<Q: Hash + Eq + ?Sized>(&self, value: &Q) -> Option<u32>
    where
        T: std::borrow::Borrow<Q>,
    {
        self.numbers.get(value).copied()
    }

    pub(super) fn value(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    /// About how much memory it takes, in bytes, without what values own elsewhere.
    pub(super) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<T>()
            + self.numbers.capacity() * 8 / 7 * (size_of::<(T, u32)>() + 1)
    }
}

/// Slots in rising order, which is the order of registration; slots that died may still be among them, but not before the
/// first one that lives.
#[derive(Debug, Default)]
pub(super) struct Members {
    slots: Vec<u32>,
    /// How many slots at the beginning are dead.
    passed: usize,
    /// How many of the others are.
    dead: usize,
}

impl Members {
    /// Adds the last slot of all.
    pub(super) fn add(&mut self, slot: u32) {
        debug_assert!(self.slots.last().is_none_or(|last| *last < slot), "slots are given out rising");
        self.slots.push(slot);
    }

    /// Notes that one of the slots died; the dead ones are swept out when they are more than half.
    pub(super) fn note_dead(&mut self, is_alive: impl Fn(u32) -> bool) {
        self.dead += 1;
        // So that whoever wants the first few finds them, though it is the oldest who leave.
        while self.slots.get(self.passed).is_some_and(|slot| !is_alive(*slot)) {
            self.passed += 1;
            self.dead -= 1;
        }
        if (self.passed + self.dead) * 2 > self.slots.len() {
            self.slots.retain(|slot| is_alive(*slot));
            (self.passed, self.dead) = (0, 0);
        }
    }

    pub(super) fn slots(&self) -> &[u32] {
        &self.slots[self.passed..]
    }

    pub(super) const fn alive(&self) -> usize {
        self.slots.len() - self.passed - self.dead
    }

    pub(super) const fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}

/// Slots by something that mostly one agent has.
#[derive(Debug, Default)]
pub(super) enum Posting {
    #[default]
    None,
    One(u32),
    Many(Box<Members>),
}

impl Posting {
    pub(super) fn add(&mut self, slot: u32) {
        match self {
            Posting::None => *self = Posting::One(slot),
            Posting::One(first) => {
                let mut members = Members::default();
                members.add(*first);
                members.add(slot);
                *self = Posting::Many(Box::new(members));
            }
            Posting::Many(members) => members.add(slot),
        }
    }

    /// Notes that one of the slots died.
    pub(super) fn note_dead(&mut self, is_alive: impl Fn(u32) -> bool) {
        match self {
            Posting::None => {}
            Posting::One(_) => *self = Posting::None,
            Posting::Many(members) => members.note_dead(is_alive),
        }
        if matches!(self, Posting::Many(members) if members.alive() == 0) {
            *self = Posting::None;
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Posting::None)
    }

    /// In rising order; slots that died may still be among them.
    pub(super) fn slots(&self) -> &[u32] {
        match self {
            Posting::None => &[],
            Posting::One(slot) => std::slice::from_ref(slot),
            Posting::Many(members) => members.slots(),
        }
    }

    /// About how much memory it takes elsewhere, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Posting::None | Posting::One(_) => 0,
            Posting::Many(members) => size_of::<Members>() + members.bytes(),
        }
    }
}

/// The distinct names of a sort, and who has each.
#[derive(Debug)]
pub(super) struct Named<T> {
    names: Interner<T>,
    members: Vec<Members>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { names: Interner::default(), members: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash + Ord> Named<T> {
    /// The number of a name.
    pub(super) fn intern(&mut self, name: &T) -> u32 {
        let (number, is_new) = self.names.intern(name);
        if is_new {
            self.members.push(Members::default());
        }
        number
    }

    pub(super) fn name(&self, number: u32) -> &T {
        self.names.value(number)
    }

    pub(super) fn members(&mut self, number: u32) -> &mut Members {
        &mut self.members[number as usize]
    }

    /// Those who have a name: its number and their slots. None if nobody ever had it.
    pub(super) fn of(&self, name: &T) -> Option<(u32, &Members)> {
        let number = self.names.number_of(name)?;
        Some((number, &self.members[number as usize]))
    }

    /// The names that somebody has, sorted, with how many have them.
    pub(super) fn counts(&self) -> Vec<(T, usize)> {
        let alive = self.members.iter().map(Members::alive);
        let all = self.names.values().iter().cloned().zip(alive);
        let mut counts: Vec<_> = all.filter(|(_, count)| *count > 0).collect();
        counts.sort_unstable();
        counts
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.names.values().len()
    }

    pub(super) fn bytes(&self) -> usize {
        let members: usize = self.members.iter().map(Members::bytes).sum();
        self.names.bytes() + self.members.capacity() * size_of::<Members>() + members
    }
}
