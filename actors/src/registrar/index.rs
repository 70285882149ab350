//! [`Index`]: from an id to its slot, by the id's hash alone, so that growing never visits an id.
//!
//! **Invariant.** Of several slots whose ids hash alike, one stands in `first` and the others in `more`.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use crate::agent::AgentId;

/// Takes a number that is a hash already as it is.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The hash of an id, the same on every run.
pub(super) fn hash(id: &AgentId) -> u64 {
    let mut hasher = FxHasher::default();
    id.hash(&mut hasher);
    hasher.finish()
}

/// From the hash of an id to its slot.
#[derive(Debug, Default)]
pub(super) struct Index {
    first: std::collections::HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    more: FxHashMap<u64, Vec<u32>>,
    len: usize,
}

impl Index {
    /// The slot that `is_it` confirms among those of a hash.
    pub(super) fn get(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let first = *self.first.get(&hash)?;
        if is_it(first) {
            return Some(first);
        }
        if self.more.is_empty() {
            return None;
        }
        self.more.get(&hash)?.iter().copied().find(|slot| is_it(*slot))
    }

    /// Adds a slot whose id is not in the index.
    pub(super) fn insert(&mut self, hash: u64, slot: u32) {
        self.len += 1;
        let first = *self.first.entry(hash).or_insert(slot);
        if first != slot {
            self.more.entry(hash).or_default().push(slot);
        }
    }

    /// Takes out a slot that is in the index.
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        self.len -= 1;
        let is_first = self.first.get(&hash) == Some(&slot);
        match self.more.get_mut(&hash) {
            None => {
                self.first.remove(&hash);
            }
            Some(more) => {
                if !is_first {
                    more.retain(|other| *other != slot);
                } else if let Some(next) = more.pop() {
                    self.first.insert(hash, next);
                }
                if more.is_empty() {
                    self.more.remove(&hash);
                }
            }
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// About how much memory it takes, in bytes: at most 7 of 8 buckets are used, and each has a byte of control.
    pub(super) fn bytes(&self) -> usize {
        self.first.capacity() * 8 / 7 * (size_of::<(u64, u32)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_whose_ids_hash_alike_are_told_apart(steps in prop::collection::vec((any::<bool>(), 0_u32..12), 0..80)) {
            let mut index = Index::default();
            let mut model = std::collections::BTreeSet::new();
            let hash = |slot: u32| u64::from(slot % 3);
            for (is_insert, slot) in steps {
                if is_insert && model.insert(slot) {
                    index.insert(hash(slot), slot);
                } else if !is_insert && model.remove(&slot) {
                    index.remove(hash(slot), slot);
                }
                prop_assert_eq!(index.len(), model.len());
                for slot in 0..12 {
                    prop_assert_eq!(index.get(hash(slot), |other| other == slot).is_some(), model.contains(&slot));
                }
            }
            prop_assert!(index.first.len() <= 3);
        }
    }
}
