//! [`Memento`]: which of the buckets there are now a key belongs to. Pure.
//!
//! `MementoHash` (Coluzzi, Brocco, Antonucci and Leidi, "`MementoHash`: A Stateful, Minimal Memory, Best Performing Consistent
//! Hash Algorithm", 2023): a key is first hashed among all buckets there ever were, by jump consistent hash (Lamping and
//! Veach, 2014). A bucket that was removed remembers how many were left then, and a key that meets it is hashed again among
//! so many; buckets removed earlier are replaced by what took their place at that time. Buckets come back in the reverse
//! order of their removal.
//!
//! **Invariant.** When a bucket goes, only its keys move; when one comes, keys move to it alone. Each bucket has as many
//! keys as any other, as near as chance allows.
//!
//! Finding a bucket takes O(log n) steps, and about as many more when many were removed; nothing is allocated. The table of
//! the paper is a hash map of removed buckets; here it is an array over all, so that copies share its chunks.

use super::{chunked::Chunked, draw::mix};

const LIVE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// How many were left when it was removed; [`LIVE`] while it is not.
    left: u32,
    /// Which one was removed before it.
    before: u32,
}

/// The buckets of a consistent hash.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memento {
    buckets: Chunked<Bucket>,
    removed: u32,
    last: u32,
}

/// Jump consistent hash: `buckets` is one at least.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the algorithm is stated in floating point, and its numbers are below 2^33"
)]
fn jump(mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (0_u64, 0_u64);
    while next < u64::from(buckets) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    bucket as u32
}

#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 agents")]
impl Memento {
    /// How many buckets there are, those that were removed not counted.
    pub(crate) fn len(&self) -> u32 {
        self.buckets.len() as u32 - self.removed
    }

    /// Adds a bucket: the one that was removed last, or a new one.
    pub(crate) fn add(&mut self) -> u32 {
        if self.removed == 0 {
            self.buckets.push(Bucket { left: LIVE, before: 0 });
            return self.buckets.len() as u32 - 1;
        }
        let back = self.last;
        let bucket = self.buckets.get_mut(back as usize);
        self.last = bucket.before;
        bucket.left = LIVE;
        self.removed -= 1;
        back
    }

    /// Removes a bucket that is there.
    pub(crate) fn remove(&mut self, bucket: u32) {
        let left = self.len() - 1;
        if left == 0 {
            *self = Self::default();
        } else if self.removed == 0 && bucket as usize + 1 == self.buckets.len() {
            self.buckets.pop();
        } else {
            *self.buckets.get_mut(bucket as usize) = Bucket { left, before: self.last };
            self.last = bucket;
            self.removed += 1;
        }
    }

    /// The bucket of a hashed key, unless there is none at all.
    pub(crate) fn bucket(&self, key: u64) -> Option<u32> {
        if self.len() == 0 {
            return None;
        }
        let mut bucket = jump(key, self.buckets.len() as u32);
        loop {
            let left = self.buckets.get(bucket as usize).left;
            if left == LIVE {
                return Some(bucket);
            }
            bucket = (mix(key ^ mix(u64::from(bucket) + 1)) % u64::from(left)) as u32;
            // What was removed before gave its place to another by then.
            loop {
                let earlier = self.buckets.get(bucket as usize).left;
                if earlier == LIVE || earlier < left {
                    break;
                }
                bucket = earlier;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const KEYS: u64 = 2_000;

    fn all(memento: &Memento) -> Vec<Option<u32>> {
        (0..KEYS).map(|key| memento.bucket(mix(key))).collect()
    }

    /// Applies random joins and leaves, and holds each step against what may move in it.
    fn walk(first: u32, steps: &[(bool, u32)]) -> Result<(Memento, BTreeSet<u32>), TestCaseError> {
        let mut memento = Memento::default();
        let mut live: BTreeSet<u32> = (0..first).map(|_| memento.add()).collect();
        let mut before = all(&memento);
        for (joins, number) in steps {
            let changed = if *joins || live.is_empty() {
                let bucket = memento.add();
                prop_assert!(live.insert(bucket), "it was there already");
                bucket
            } else {
                let bucket = *live.iter().nth(*number as usize % live.len()).unwrap();
                memento.remove(bucket);
                live.remove(&bucket);
                bucket
            };
            let after = all(&memento);
            let has_come = live.contains(&changed);
            for (was, is) in before.iter().zip(&after) {
                prop_assert!(is.is_none_or(|bucket| live.contains(&bucket)));
                prop_assert_eq!(is.is_none(), live.is_empty());
                let moved_rightly = if has_come { *is == Some(changed) } else { *was == Some(changed) };
                prop_assert!(was == is || moved_rightly, "{:?} -> {:?} when {} changed", was, is, changed);
            }
            prop_assert_eq!(memento.len() as usize, live.len());
            before = after;
        }
        Ok((memento, live))
    }

    proptest! {
        #[test]
        fn no_key_ever_moves_between_two_that_stay_whoever_comes_and_goes(
            first in 0_u32..40,
            steps in prop::collection::vec((any::<bool>(), any::<u32>()), 0..60),
        ) {
            walk(first, &steps)?;
        }

        #[test]
        fn keys_are_shared_out_evenly_after_any_comings_and_goings(
            steps in prop::collection::vec((prop::bool::weighted(0.4), any::<u32>()), 0..50),
        ) {
            let (memento, live) = walk(40, &steps)?;
            prop_assume!(live.len() >= 2);
            let (each, mut counts) = (500.0, std::collections::BTreeMap::<u32, f64>::new());
            let keys = live.len() as u64 * 500;
            for key in 0..keys {
                *counts.entry(memento.bucket(mix(key + 1_000_000)).unwrap()).or_default() += 1.0;
            }
            // Chi squared has a mean of its freedom f and a deviation of sqrt(2 f); seven deviations are past chance.
            let chi: f64 = live.iter().map(|b| (counts.get(b).copied().unwrap_or(0.0) - each).powi(2) / each).sum();
            let freedom = f64::from(u32::try_from(live.len()).unwrap() - 1);
            prop_assert!(chi < freedom + 7.0 * (2.0 * freedom).sqrt() + 7.0, "chi squared {} of {}", chi, freedom);
        }
    }

    #[test]
    fn a_bucket_that_goes_and_comes_back_has_its_keys_again() {
        let mut memento = Memento::default();
        (0..10).for_each(|_| _ = memento.add());
        let before = all(&memento);
        memento.remove(3);
        memento.remove(9);
        assert_eq!((memento.add(), memento.add()), (9, 3));
        assert_eq!(all(&memento), before);
    }
}
