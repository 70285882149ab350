//! [`RequestId`]: the numbers of requests, and maps from them.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hasher},
};

use serde::{Deserialize, Serialize};

/// The number of a request; who asks twice with the same one is registered once.
///
/// Numbers below 2^63 are given out, from 1 on, by the registrar's cell
/// ([`RegistrarCell::next_request`](super::RegistrarCell::next_request)), as for all whom a host spawns. Those from 2^63 on
/// never are: they are for programs that number their requests themselves ([`RequestId::own`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

impl RequestId {
    const OWN: u64 = 1 << 63;

    /// The request of this number among a program's own; the number counts from 0 and below 2^63, and its highest bit does
    /// not matter.
    pub const fn own(number: u64) -> Self {
        Self(number | Self::OWN)
    }

    /// Whether it is among a program's own numbers.
    pub const fn is_own(self) -> bool {
        self.0 >= Self::OWN
    }
}

/// From the numbers of requests to something. Numbers that follow each other lie side by side, as requests that come together
/// are looked up together.
pub(super) type ByRequest<V> = std::collections::HashMap<RequestId, V, BuildHasherDefault<NumberHasher>>;

/// Hashes one number. Its low bits, which choose the bucket, stay in order; its high ones are mixed, for the table's tags.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        const TAG: u64 = 0x7F << 57;
        // Numbers whose low bits are the same are told apart by the others.
        let order = number ^ (number >> 20) ^ (number >> 40);
        self.0 = (order & !TAG) | (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) & TAG);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_lie_side_by_side_and_others_are_spread() {
        let hash = |number: u64| {
            let mut hasher = NumberHasher::default();
            hasher.write_u64(number);
            hasher.finish()
        };
        let bucket = |number| hash(number) % (1 << 16);
        assert!((0..1000).all(|number| bucket(number + 1) == bucket(number) + 1));
        for stride in [1_u64, 1 << 10, 1 << 16, 1 << 20, 1 << 32, 1 << 40] {
            let hashes: std::collections::BTreeSet<_> =
                (0..1000).map(|nth| hash(nth * stride) % (1 << 20)).collect();
            assert!(hashes.len() >= 900, "of 1000 numbers {stride} apart there are {} places", hashes.len());
            let tags: std::collections::BTreeSet<_> =
                (0..1000).map(|nth| hash(nth * 3 + stride) >> 57).collect();
            assert_eq!(tags.len(), 128);
        }
    }

    #[test]
    fn a_programs_own_numbers_are_never_among_those_that_are_given_out() {
        assert_eq!([RequestId::own(0), RequestId::own(7)], [RequestId(1 << 63), RequestId((1 << 63) + 7)]);
        assert_eq!(RequestId::own(u64::MAX), RequestId(u64::MAX));
        assert_eq!([0, (1 << 63) - 1, 1 << 63].map(|n| RequestId(n).is_own()), [false, false, true]);
    }
}
