//! [`Facts`]: who has which metadata, by the hash of key and value.
//!
//! What is found is to be compared with what was looked for: different metadata may hash alike. It costs memory for agents
//! with metadata alone: about 30 bytes for what one agent has, 4 bytes for what many share.
//!
//! **Invariant.** Each agent stands once under each hash of its entries, and no hash is kept that nobody has.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use rustc_hash::FxHasher;
use serde_json::{Map, Value};

use super::{index::AsIs, intern::Posting};

/// Who has which metadata.
#[derive(Debug, Default)]
pub(super) struct Facts(HashMap<u64, Posting, BuildHasherDefault<AsIs>>);

fn hash(key: &str, value: &Value) -> u64 {
    let mut hasher = FxHasher::default();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

/// The hashes of all entries, each once.
fn hashes(metadata: &Map<String, Value>) -> Vec<u64> {
    let mut all: Vec<u64> = metadata.iter().map(|(key, value)| hash(key, value)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

impl Facts {
    pub(super) fn add(&mut self, slot: u32, metadata: &Map<String, Value>) {
        for hash in hashes(metadata) {
            self.0.entry(hash).or_default().add(slot);
        }
    }

    /// Notes that a slot with this metadata died.
    pub(super) fn note_dead(&mut self, metadata: &Map<String, Value>, is_alive: impl Fn(u32) -> bool) {
        for hash in hashes(metadata) {
            if let Some(posting) = self.0.get_mut(&hash) {
                posting.note_dead(&is_alive);
                if posting.is_empty() {
                    self.0.remove(&hash);
                }
            }
        }
    }

    /// Among whom all are that have this entry, rising.
    pub(super) fn slots(&self, key: &str, value: &Value) -> &[u32] {
        self.0.get(&hash(key, value)).map_or(&[], Posting::slots)
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let buckets = self.0.capacity() * 8 / 7 * (size_of::<(u64, Posting)>() + 1);
        buckets + self.0.values().map(Posting::bytes).sum::<usize>()
    }
}
