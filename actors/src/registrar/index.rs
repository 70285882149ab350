//! [`Index`]: from an id to its slot, by a part of the id's hash, so that growing never visits an id.
//!
//! **Invariant.** Each slot stands once, under the hash of its id.

use std::hash::{Hash, Hasher};

use hashbrown::HashTable;
use rustc_hash::FxHasher;

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
pub(super) struct Index(HashTable<(u32, u32)>);

/// The part of a hash that is kept: the lower half.
#[expect(clippy::cast_possible_truncation, reason = "a part of a hash")]
const fn kept(hash: u64) -> u32 {
    hash as u32
}

/// Spreads what is kept of a hash over all bits, as the table wants it.
fn spread(kept: u32) -> u64 {
    u64::from(kept).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Index {
    /// The slot that `is_it` confirms among those of a hash.
    pub(super) fn get(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let kept = kept(hash);
        self.0.find(spread(kept), |held| held.0 == kept && is_it(held.1)).map(|held| held.1)
    }

    /// Adds a slot whose id is not in the index.
    pub(super) fn insert(&mut self, hash: u64, slot: u32) {
        let kept = kept(hash);
        self.0.insert_unique(spread(kept), (kept, slot), |held| spread(held.0));
    }

    /// Takes out a slot that is in the index.
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        if let Ok(held) = self.0.find_entry(spread(kept(hash)), |held| held.1 == slot) {
            held.remove();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// About how much memory it takes, in bytes: at most 7 of 8 buckets are used, and each has a byte of control.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * 8 / 7 * (size_of::<(u32, u32)>() + 1)
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
        }
    }
}
