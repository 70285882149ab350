//! [`CapabilitySets`]: the distinct sets of capabilities, who has each, and which of them hold a capability.
//!
//! ```text
//! capability --> sets that hold it, in the order in which they came --> the slots of each, rising
//! ```
//!
//! A set that comes when there are n slots has members from slot n on only. So whoever wants the first few of those who offer
//! something opens the sets one by one, and none whose members come later: see [`Merged`].
//!
//! **Invariant.** The members of a set are its `born` slot and later ones; `born` rises with the number.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use rustc_hash::FxHashMap;

use super::intern::{Interner, Members};
use crate::agent::Capability;

#[derive(Debug)]
struct Set {
    members: Members,
    /// How many slots there were when it came.
    born: u32,
}

/// The distinct sets of capabilities, who has each, and which of them hold a capability.
#[derive(Debug, Default)]
pub(super) struct CapabilitySets {
    names: Interner<Arc<[Capability]>>,
    sets: Vec<Set>,
    /// The sets that hold a capability, rising.
    holders: FxHashMap<Capability, Vec<u32>>,
}

/// Which sets are wanted: those that hold all of these, and one of those unless there are none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) all_of: &'a [Capability],
    pub(super) any_of: &'a [Capability],
}

impl Wanted<'_> {
    pub(super) const fn is_any(self) -> bool {
        self.all_of.is_empty() && self.any_of.is_empty()
    }

    pub(super) fn fits(self, sorted: &[Capability]) -> bool {
        let holds = |one: &Capability| sorted.binary_search(one).is_ok();
        self.all_of.iter().all(holds) && (self.any_of.is_empty() || self.any_of.iter().any(holds))
    }
}

/// How many sets are looked at to guess how many agents have one of those that are wanted.
const SAMPLE: usize = if cfg!(test) { 2 } else { 64 };

impl CapabilitySets {
    /// The number of a set, which has to be sorted and without repetition, when there are so many slots.
    pub(super) fn intern(&mut self, sorted: &[Capability], slots: u32) -> u32 {
        if let Some(number) = self.names.number_of(sorted) {
            return number;
        }
        let (number, _) = self.names.intern(&Arc::from(sorted));
        self.sets.push(Set { members: Members::default(), born: slots });
        for capability in sorted {
            self.holders.entry(capability.clone()).or_default().push(number);
        }
        number
    }

    pub(super) fn set(&self, number: u32) -> &Arc<[Capability]> {
        self.names.value(number)
    }

    /// Lets an agent have a set.
    pub(super) fn enter(&mut self, number: u32, slot: u32) {
        self.sets[number as usize].members.add(slot);
    }

    pub(super) fn members(&mut self, number: u32) -> &mut Members {
        &mut self.sets[number as usize].members
    }

    fn slots(&self, number: u32) -> &[u32] {
        self.sets[number as usize].members.slots()
    }

    /// The sets that hold a capability, rising.
    fn holding(&self, capability: &Capability) -> Option<&[u32]> {
        self.holders.get(capability).map(Vec::as_slice)
    }

    /// The lists of sets among which all are that are wanted, if something is: one for the rarest of `all_of`, or one for
    /// each of `any_of`. None when no set can fit.
    fn lists(&self, wanted: Wanted<'_>) -> Option<Vec<&[u32]>> {
        if wanted.all_of.is_empty() {
            return Some(wanted.any_of.iter().filter_map(|one| self.holding(one)).collect());
        }
        let lists = wanted.all_of.iter().map(|one| self.holding(one)).collect::<Option<Vec<_>>>()?;
        Some(lists.into_iter().min_by_key(|list| list.len()).into_iter().collect())
    }

    /// About how many agents have a set that is wanted.
    pub(super) fn guess(&self, wanted: Wanted<'_>) -> usize {
        let Some(lists) = self.lists(wanted) else { return 0 };
        let of_list = |list: &[u32]| -> usize {
            let sample = list.iter().take(SAMPLE).filter(|set| wanted.fits(self.set(**set)));
            let seen: usize = sample.map(|set| self.slots(*set).len()).sum();
            let unseen = list.len().saturating_sub(SAMPLE);
            seen.max(usize::from(unseen > 0)) * list.len().div_ceil(SAMPLE)
        };
        lists.into_iter().map(of_list).sum()
    }

    /// The slots of all who have a set that is wanted, rising; slots that died may be among them.
    pub(super) fn merged<'a>(&'a self, wanted: Wanted<'a>) -> Merged<'a> {
        let to_come = self.lists(wanted).unwrap_or_default();
        Merged { sets: self, wanted, to_come, open: BinaryHeap::new() }
    }

    /// All capabilities anyone offers, sorted.
    pub(super) fn capabilities(&self) -> Vec<Capability> {
        let is_held = |held: &[u32]| held.iter().any(|set| self.sets[*set as usize].members.alive() > 0);
        let held = self.holders.iter().filter(|(_, held)| is_held(held));
        let mut all: Vec<_> = held.map(|(one, _)| one.clone()).collect();
        all.sort_unstable();
        all
    }

    pub(super) fn bytes(&self) -> usize {
        // The texts of a set are shared with agents' cards; its list is headed by two words.
        let lists = self.names.values().iter().map(|set| 2 * size_of::<usize>() + size_of_val(&**set));
        let members = self.sets.iter().map(|set| set.members.bytes());
        let holders = self.holders.values().map(|sets| sets.capacity() * size_of::<u32>());
        let buckets = self.holders.capacity() * 8 / 7 * (size_of::<(Capability, Vec<u32>)>() + 1);
        let elsewhere: usize = lists.chain(members).chain(holders).sum();
        self.names.bytes() + self.sets.capacity() * size_of::<Set>() + buckets + elsewhere
    }
}

/// The slots of several sets in one rising order; sets are opened only when it is their turn.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    sets: &'a CapabilitySets,
    wanted: Wanted<'a>,
    to_come: Vec<&'a [u32]>,
    /// The next slot of each open set, the set, and the place of the one after in it.
    open: BinaryHeap<Reverse<(u32, u32, u32)>>,
}

impl Merged<'_> {
    fn open(&mut self, set: u32) {
        if self.wanted.fits(self.sets.set(set))
            && let Some(first) = self.sets.slots(set).first()
        {
            self.open.push(Reverse((*first, set, 1)));
        }
    }

    /// Opens the sets that may have members before the next one.
    fn open_due(&mut self) {
        loop {
            let next = self.to_come.iter().filter_map(|list| list.first()).min();
            let Some(&set) = next else { return };
            let born = self.sets.sets[set as usize].born;
            if self.open.peek().is_some_and(|Reverse((slot, ..))| *slot < born) {
                return;
            }
            for list in &mut self.to_come {
                if list.first() == Some(&set) {
                    *list = &list[1..];
                }
            }
            self.open(set);
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.open_due();
        let mut top = self.open.peek_mut()?;
        let Reverse((slot, set, after)) = *top;
        if let Some(next) = self.sets.slots(set).get(after as usize) {
            *top = Reverse((*next, set, after + 1));
        } else {
            std::collections::binary_heap::PeekMut::pop(top);
        }
        Some(slot)
    }
}
