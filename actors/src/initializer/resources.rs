//! [`Resources`]: what start-up tasks share while they run, and how much of it there is.
//!
//! ```text
//! a task's needs --Needs::class--> class (tasks with equal needs have the same)
//! Stock: how much of each is free --fits, take, give_back--> by class
//! ```
//!
//! **Invariant.** Of no resource more is taken than there is.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::agent::ResourceName;

/// How much there is of each resource, in whole units of the user's choice.
///
/// # Examples
/// ```
/// use phalanx_actors::initializer::Resources;
/// let mut resources = Resources::new();
/// resources.insert("licence".parse().unwrap(), 2);
/// ```
pub type Resources = BTreeMap<ResourceName, u64>;

/// The needs of a plan's tasks, equal ones once.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    /// How much there is, by the number of the resource.
    capacity: Vec<u64>,
    /// What each class needs: numbers of resources, with an amount above zero. The first class needs nothing.
    classes: Vec<Vec<(u32, u64)>>,
}

impl Needs {
    /// The classes of tasks, from the needs of each, which are known and not more than there is.
    pub(super) fn new<'t>(
        resources: &Resources,
        tasks: impl Iterator<Item = &'t [(ResourceName, u64)]>,
    ) -> (Self, Vec<u32>) {
        let number: FxHashMap<&ResourceName, u32> = resources.keys().zip(0..).collect();
        let mut known = FxHashMap::from_iter([(Vec::new(), 0)]);
        let classes = tasks.map(|needs| {
            if needs.is_empty() {
                return 0;
            }
            let mut sums: BTreeMap<u32, u64> = BTreeMap::new();
            for (resource, amount) in needs.iter().filter(|(_, amount)| *amount > 0) {
                let sum = sums.entry(number[resource]).or_default();
                *sum = sum.saturating_add(*amount);
            }
            let next = u32::try_from(known.len()).expect("there are fewer tasks");
            *known.entry(sums.into_iter().collect()).or_insert(next)
        });
        let classes: Vec<u32> = classes.collect();
        let mut ordered = vec![Vec::new(); known.len()];
        for (needs, class) in known {
            ordered[class as usize] = needs;
        }
        (Self { capacity: resources.values().copied().collect(), classes: ordered }, classes)
    }

    /// How many classes there are.
    pub(super) fn classes(&self) -> usize {
        self.classes.len()
    }

    /// What a class needs: numbers of resources, in the order of their names, and amounts.
    pub(super) fn of(&self, class: u32) -> &[(u32, u64)] {
        &self.classes[class as usize]
    }

    /// How much there is of each resource, by its number.
    pub(super) fn capacity(&self) -> &[u64] {
        &self.capacity
    }

    /// All of it, free.
    pub(super) fn stock(&self) -> Stock {
        Stock { free: self.capacity.clone() }
    }
}

/// How much of each resource is free.
#[derive(Debug)]
pub(super) struct Stock {
    free: Vec<u64>,
}

impl Stock {
    /// Whether there is enough for these needs.
    pub(super) fn fits(&self, needs: &[(u32, u64)]) -> bool {
        needs.iter().all(|(resource, amount)| self.free[*resource as usize] >= *amount)
    }

    /// Takes what fits.
    pub(super) fn take(&mut self, needs: &[(u32, u64)]) {
        for (resource, amount) in needs {
            self.free[*resource as usize] -= amount;
        }
    }

    pub(super) fn give_back(&mut self, needs: &[(u32, u64)]) {
        for (resource, amount) in needs {
            self.free[*resource as usize] += amount;
        }
    }
}
