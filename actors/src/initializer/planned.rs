//! [`Planned`]: a task as a plan has it, small, since there may be millions; [`Index`]: from ids to positions.

use std::{hash::BuildHasher as _, time::Duration};

use hashbrown::{HashTable, hash_table::Entry};
use rustc_hash::FxBuildHasher;

use super::{
    slots::number,
    task::{DependencyType, Phase, StartupTask},
};
use crate::{
    agent::{Priority, TaskId},
    support::micros,
};

/// No limit \[us\].
const UNLIMITED: u64 = u64::MAX;

/// A task of a [`Plan`](super::Plan). What it depends on, needs and is called for people, the plan itself knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its identity, unique within the plan.
    pub id: TaskId,
    estimate_us: u64,
    timeout_us: u64,
    /// How many further attempts follow a failed one.
    pub retries: u32,
    /// Where in the order of phases it belongs.
    pub phase: Phase,
    /// How others depend on it.
    pub dependency_type: DependencyType,
    /// Which of two equally urgent ready tasks starts first.
    pub priority: Priority,
    /// Whether it is left out of start-up until it is asked for: it is lazy, and so is all that waits for it.
    pub dormant: bool,
    /// Whether there is a way to undo it.
    pub(super) reversible: bool,
    /// A bit for each phase that it waits for.
    after_phases: u8,
}

impl Planned {
    pub(super) fn new(task: StartupTask, dormant: bool) -> Self {
        Self {
            // The clock has no finer steps.
            estimate_us: micros(task.estimated_duration),
            timeout_us: task.timeout.map_or(UNLIMITED, micros),
            retries: task.retries,
            phase: task.phase,
            dependency_type: task.dependency_type,
            priority: task.priority,
            dormant,
            reversible: false,
            after_phases: task.after_phases.iter().fold(0, |bits, phase| bits | 1 << *phase as u8),
            id: task.id,
        }
    }

    /// How long it is expected to take.
    pub const fn estimate(&self) -> Duration {
        Duration::from_micros(self.estimate_us)
    }

    /// The same [us].
    pub(super) const fn estimate_us(&self) -> u64 {
        self.estimate_us
    }

    /// How long one attempt may take.
    pub const fn timeout(&self) -> Option<Duration> {
        if self.timeout_us == UNLIMITED { None } else { Some(Duration::from_micros(self.timeout_us)) }
    }

    /// The phases that it waits for.
    pub fn after_phases(&self) -> impl Iterator<Item = Phase> + use<> {
        let bits = self.after_phases;
        Phase::ALL.into_iter().filter(move |phase| bits & 1 << *phase as u8 != 0)
    }
}

/// From the id of a task to its position, by its hash alone; the ids are the caller's.
#[derive(Debug, Clone, Default)]
pub(super) struct Index(HashTable<u32>);

fn hash(id: &str) -> u64 {
    FxBuildHasher.hash_one(id)
}

impl Index {
    pub(super) fn with_capacity(tasks: usize) -> Self {
        Self(HashTable::with_capacity(tasks))
    }

    /// About how much memory it takes \[bytes\]: at most 7 of 8 buckets are used, and each has a byte of control.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * 8 / 7 * (size_of::<u32>() + 1)
    }

    pub(super) fn get<'t>(&self, id: &str, id_of: impl Fn(usize) -> &'t TaskId) -> Option<usize> {
        self.find(hash(id), id, id_of)
    }

    fn find<'t>(&self, hash: u64, id: &str, id_of: impl Fn(usize) -> &'t TaskId) -> Option<usize> {
        self.0.find(hash, |at| id_of(*at as usize).as_str() == id).map(|at| *at as usize)
    }

    /// Adds a task, or answers where its id was added first.
    pub(super) fn insert<'t>(&mut self, at: usize, id_of: impl Fn(usize) -> &'t TaskId) -> Option<usize> {
        let id = id_of(at).as_str();
        let is_it = |other: &u32| id_of(*other as usize).as_str() == id;
        match self.0.entry(hash(id), is_it, |other| hash(id_of(*other as usize).as_str())) {
            Entry::Occupied(first) => Some(*first.get() as usize),
            Entry::Vacant(vacant) => {
                vacant.insert(number(at));
                None
            }
        }
    }
}

/// How many ids a [`Finder`] has at hand; a power of two.
const AT_HAND: usize = 8_192;

/// Looks ids up in an index while a list is gone through: those that were passed last are at hand, as tasks mostly depend on
/// what is near them.
pub(super) struct Finder<'i> {
    index: &'i Index,
    /// By the lowest bits of the hash: the others of them, and the position.
    recent: Vec<(u32, u32)>,
}

impl<'i> Finder<'i> {
    pub(super) fn new(index: &'i Index) -> Self {
        Self { index, recent: vec![(0, u32::MAX); AT_HAND.min(index.0.len().next_power_of_two())] }
    }

    #[expect(clippy::cast_possible_truncation, reason = "parts of a hash")]
    fn place(&self, hash: u64) -> (usize, u32) {
        (hash as usize & (self.recent.len() - 1), (hash >> 32) as u32)
    }

    /// Notes that the task at a position was passed.
    pub(super) fn pass(&mut self, at: usize, id: &TaskId) {
        let (place, rest) = self.place(hash(id.as_str()));
        self.recent[place] = (rest, number(at));
    }

    pub(super) fn find<'t>(&self, id: &str, id_of: impl Fn(usize) -> &'t TaskId) -> Option<usize> {
        let hash = hash(id);
        let (place, rest) = self.place(hash);
        let (known, at) = self.recent[place];
        if known == rest && at != u32::MAX && id_of(at as usize).as_str() == id {
            return Some(at as usize);
        }
        self.index.find(hash, id, id_of)
    }
}
