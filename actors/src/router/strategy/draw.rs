//! [`Draws`]: the randomness of a route's decisions. Pure.
//!
//! Each decision counts one up and mixes the count with the host's seed and the name of the route, so that no state but the
//! count is shared among threads, and the same seed gives the same decisions in virtual time.

use std::{
    hash::{Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

use rustc_hash::FxHasher;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads 64 bits over 64 bits: the finaliser of `SplitMix64` (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", 2014).
#[inline]
pub(crate) const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The hash of anything under a seed, the same in every process.
pub(crate) fn hash_of(key: &(impl Hash + ?Sized), seed: u64) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u64(seed);
    key.hash(&mut hasher);
    mix(hasher.finish())
}

/// The random numbers of one route, for any thread.
pub(crate) struct Draws {
    key: u64,
    count: AtomicU64,
}

impl Draws {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self { key: hash_of(name, seed), count: AtomicU64::new(0) }
    }

    /// The random numbers of the next decision.
    #[inline]
    pub(crate) fn next(&self) -> Draw {
        Draw(mix(self.key.wrapping_add(self.count.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN))))
    }
}

/// The random numbers of one decision.
#[derive(Debug, Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    #[cfg(test)]
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    #[inline]
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `bound`, each as likely as the others to within `bound / 2^64`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "it is below the bound")]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Two different numbers below `bound`, which is 2 at least.
    #[inline]
    pub(crate) fn two_below(&mut self, bound: usize) -> (usize, usize) {
        let first = self.below(bound);
        let second = self.below(bound - 1);
        (first, second + usize::from(second >= first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_seed_and_name_and_no_other_thing() {
        let ten = |seed, name| {
            let draws = Draws::new(seed, name);
            (0..10).map(|_| draws.next().below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(ten(7, "a"), ten(7, "a"));
        assert_ne!(ten(7, "a"), ten(8, "a"));
        assert_ne!(ten(7, "a"), ten(7, "b"));
    }

    #[test]
    fn numbers_below_a_bound_are_drawn_evenly_and_two_are_never_the_same() {
        let draws = Draws::new(7, "a");
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            let (first, second) = draws.next().two_below(7);
            assert_ne!(first, second);
            counts[first] += 1;
            counts[second] += 1;
        }
        // 20,000 each; five standard deviations are 600.
        assert!(counts.iter().all(|count| count.abs_diff(20_000) < 600), "{counts:?}");
    }
}
