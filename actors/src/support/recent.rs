//! [`Recent`]: what was found out about shared values, by their address.
//!
//! Whoever comes together often shares what is said of it: a million agents with a hundred different cards have a hundred
//! listings. What follows from one is then found by its address, without a look at its texts.
//!
//! **Invariant.** A value that is known here is kept, so its address is nobody else's.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// How many values are known at most.
const MOST: usize = 1_024;

/// What was found out about shared values, of the latest ones.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    by_address: FxHashMap<usize, (Arc<K>, V)>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { by_address: FxHashMap::default() }
    }
}

fn address<K>(key: &Arc<K>) -> usize {
    Arc::as_ptr(key) as usize
}

impl<K, V> Recent<K, V> {
    /// What was noted of this very value, if it is still known.
    pub(crate) fn get(&self, key: &Arc<K>) -> Option<&V> {
        self.by_address.get(&address(key)).map(|(_, value)| value)
    }

    /// Notes something of a value. Too many to know are all forgotten.
    pub(crate) fn note(&mut self, key: &Arc<K>, value: V) {
        if self.by_address.len() >= MOST {
            self.clear();
        }
        self.by_address.insert(address(key), (key.clone(), value));
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.by_address.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_of_a_value_is_told_of_that_very_value_alone() {
        let mut recent = Recent::default();
        let values: Vec<Arc<u32>> = (0..=MOST).map(|_| Arc::new(7)).collect();
        assert_eq!(recent.get(&values[0]), None);
        for (number, value) in values[..MOST].iter().enumerate() {
            recent.note(value, number);
        }
        for (number, value) in values[..MOST].iter().enumerate() {
            assert_eq!(recent.get(value), Some(&number));
        }
        assert_eq!(recent.get(&values[MOST]), None);
        recent.note(&values[MOST], MOST);
        assert_eq!(recent.get(&values[MOST]), Some(&MOST));
        assert!(recent.by_address.len() <= MOST);
        let first = Arc::downgrade(&values[0]);
        drop(values);
        assert_eq!(first.strong_count(), 0, "what was forgotten is not kept");
        recent.clear();
        assert!(recent.by_address.is_empty());
    }
}
