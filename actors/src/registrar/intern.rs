//! Names and capability sets stored once, members as lists of slots.

use std::{hash::Hash, sync::Arc};

use rustc_hash::FxHashMap;

use crate::agent::Capability;

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

    pub(super) fn number(&self, value: &T) -> Option<u32> {
        self.numbers.get(value).copied()
    }

    pub(super) fn value(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }
}

/// Slots in rising order, which is the order of registration; slots that died may still be among them.
#[derive(Debug, Default)]
pub(super) struct Members {
    slots: Vec<u32>,
    dead: usize,
}

impl Members {
    /// Adds a slot, mostly at the end.
    pub(super) fn add(&mut self, slot: u32) {
        if self.slots.last().is_none_or(|last| *last < slot) {
            self.slots.push(slot);
        } else if let Err(place) = self.slots.binary_search(&slot) {
            self.slots.insert(place, slot);
        }
    }

    /// Takes out a slot that lives on elsewhere.
    pub(super) fn take_out(&mut self, slot: u32) {
        if let Ok(place) = self.slots.binary_search(&slot) {
            self.slots.remove(place);
        }
    }

    /// Notes that one of the slots died; the dead ones are swept out when they are more than half.
    pub(super) fn note_dead(&mut self, is_alive: impl Fn(u32) -> bool) {
        self.dead += 1;
        if self.dead * 2 > self.slots.len() {
            self.slots.retain(|slot| is_alive(*slot));
            self.dead = 0;
        }
    }

    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }

    pub(super) const fn alive(&self) -> usize {
        self.slots.len() - self.dead
    }

    pub(super) const fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}

/// The distinct sets of capabilities, who has each, and which of them hold a capability.
#[derive(Debug, Default)]
pub(super) struct CapabilitySets {
    sets: Interner<Arc<[Capability]>>,
    pub(super) members: Vec<Members>,
    holders: FxHashMap<Capability, Vec<u32>>,
}

impl CapabilitySets {
    /// The number of a set, which has to be sorted and without repetition.
    pub(super) fn intern(&mut self, sorted: &[Capability]) -> u32 {
        if let Some(number) = self.sets.numbers.get(sorted) {
            return *number;
        }
        let (number, _) = self.sets.intern(&Arc::from(sorted));
        self.members.push(Members::default());
        for capability in sorted {
            self.holders.entry(capability.clone()).or_default().push(number);
        }
        number
    }

    pub(super) fn set(&self, number: u32) -> &Arc<[Capability]> {
        self.sets.value(number)
    }

    /// The sets that hold all of these capabilities.
    pub(super) fn with_all(&self, wanted: &[Capability]) -> Vec<u32> {
        let mut rarest: Option<&[u32]> = None;
        for capability in wanted {
            let Some(holders) = self.holders.get(capability) else { return Vec::new() };
            if rarest.is_none_or(|rarest| holders.len() < rarest.len()) {
                rarest = Some(holders);
            }
        }
        let holds_all = |set: &u32| wanted.iter().all(|one| self.set(*set).binary_search(one).is_ok());
        rarest.unwrap_or_default().iter().copied().filter(holds_all).collect()
    }

    /// The sets that hold any of these capabilities.
    pub(super) fn with_any(&self, wanted: &[Capability]) -> Vec<u32> {
        let mut sets: Vec<u32> =
            wanted.iter().filter_map(|capability| self.holders.get(capability)).flatten().copied().collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// All capabilities anyone offers or once offered, sorted.
    pub(super) fn capabilities(&self) -> Vec<Capability> {
        let is_held = |sets: &Vec<u32>| sets.iter().any(|set| self.members[*set as usize].alive() > 0);
        let mut all: Vec<_> =
            self.holders.iter().filter(|(_, sets)| is_held(sets)).map(|(one, _)| one.clone()).collect();
        all.sort_unstable();
        all
    }

    pub(super) fn bytes(&self) -> usize {
        self.members.iter().map(|members| members.bytes() + size_of::<Members>()).sum()
    }
}
