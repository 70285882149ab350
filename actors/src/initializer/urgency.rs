//! [`Urgency`]: which of two tasks that may start comes first, as one number.

use super::slots::number;

/// Where a task is in the order of start: the lowest first. From the highest bits on: 61 of the remaining path \[us\], which are
/// 73,000 years, 32 of the steps behind it and 3 of its priority, all of them complemented, and 32 of its number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Urgency(u128);

/// The longest path that is told apart \[us\].
const LONGEST: u64 = u64::MAX >> 3;

impl Urgency {
    /// By what still hangs on a node.
    pub(super) fn new(path: u64, steps: u32, priority: u8, node: usize) -> Self {
        debug_assert!(priority < 8, "three bits");
        let weight = u128::from(path.min(LONGEST)) << 35 | u128::from(steps) << 3 | u128::from(priority);
        Self(!weight << 32 | u128::from(number(node)))
    }

    /// By a given place.
    pub(super) fn at(place: usize, node: usize) -> Self {
        Self(u128::from(number(place)) << 32 | u128::from(number(node)))
    }

    /// The path that hangs on it, its own estimate included \[us\].
    pub(super) const fn path(self) -> u64 {
        (!self.0 >> 67) as u64
    }

    /// How many steps there are behind it.
    #[expect(clippy::cast_possible_truncation, reason = "the steps are in the lower half of what is left")]
    pub(super) const fn steps(self) -> u32 {
        (!self.0 >> 35) as u32
    }

    /// The number of the task.
    #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are the task")]
    pub(super) const fn task(self) -> usize {
        self.0 as u32 as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_longer_path_comes_first_then_more_steps_then_priority_then_the_order_of_the_list(
            one in (0..=LONGEST, any::<u32>(), 0..8_u8, any::<u32>()),
            other in (0..=LONGEST, any::<u32>(), 0..8_u8, any::<u32>()),
            // Alike in so many parts.
            alike in 0..4,
        ) {
            let mut other = other;
            if alike > 0 { other.0 = one.0; }
            if alike > 1 { other.1 = one.1; }
            if alike > 2 { other.2 = one.2; }
            let of = |(path, steps, priority, task): (u64, u32, u8, u32)| Urgency::new(path, steps, priority, task as usize);
            let key = |(path, steps, priority, task)| {
                (std::cmp::Reverse((path, steps, priority)), task)
            };
            prop_assert_eq!(of(one).cmp(&of(other)), key(one).cmp(&key(other)));
            prop_assert_eq!((of(one).path(), of(one).steps(), of(one).task()), (one.0, one.1, one.3 as usize));
        }
    }

    #[test]
    fn a_path_beyond_all_time_is_the_longest_of_all_and_a_given_place_counts_alone() {
        assert_eq!(Urgency::new(u64::MAX, 0, 0, 0).path(), LONGEST);
        assert!(Urgency::at(1, 9) < Urgency::at(2, 3));
        assert_eq!(Urgency::at(2, 3).task(), 3);
    }
}
