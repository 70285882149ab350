//! [`Store`]: the tasks that are known, by number and by id.
//!
//! ```text
//! insert --> not ended --ends--> referred to --nothing refers to it any more--> history --beyond its length--> forgotten
//!                                    ^                                             |
//!                                    +------ a new task depends on it -------------+
//! ```
//!
//! Owns the records and decides which are forgotten. Numbers of forgotten tasks are given to new ones.
//!
//! **Invariant.** No number of a forgotten task is left anywhere: a task is forgotten only when it has ended, no task
//! that has not ended depends on it or follows it, it stands in no list of dependants, no agent has yet to let go of it,
//! and nobody asked for it to be kept.

use std::{
    collections::VecDeque,
    hash::BuildHasher,
    ops::{Index, IndexMut},
};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use slab::Slab;

use super::record::Record;
use crate::agent::TaskId;

/// The tasks that are known.
#[derive(Debug, Default)]
pub(super) struct Store {
    records: Slab<Record>,
    /// The number of each id; the id itself is in its record.
    numbers: HashTable<u32>,
    /// Ended tasks in the order in which the last reference to them went; some may be referred to anew.
    history: VecDeque<u32>,
    submitted: usize,
    forgotten: u64,
}

impl Index<u32> for Store {
    type Output = Record;

    fn index(&self, task: u32) -> &Record {
        &self.records[task as usize]
    }
}

impl IndexMut<u32> for Store {
    fn index_mut(&mut self, task: u32) -> &mut Record {
        &mut self.records[task as usize]
    }
}

impl Store {
    /// How many tasks are known.
    pub(super) fn known(&self) -> usize {
        self.records.len()
    }

    /// How many tasks there ever were.
    pub(super) fn submitted(&self) -> usize {
        self.submitted
    }

    /// How many tasks were forgotten.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn number(&self, task: &TaskId) -> Option<u32> {
        self.numbers.find(hash(task), |number| self[*number].id == *task).copied()
    }

    /// All tasks that are known, by number, which is no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Record)> {
        self.records.iter().map(|(at, record)| (to_number(at), record))
    }

    /// How many tasks wait to be forgotten.
    pub(super) fn history(&self) -> usize {
        self.history.len()
    }

    /// Makes room for so many tasks more.
    pub(super) fn reserve(&mut self, tasks: usize) {
        self.records.reserve(tasks);
        self.numbers.reserve(tasks, |number| hash(&self.records[*number as usize].id));
    }

    /// Takes in a task whose id is not known; its number.
    pub(super) fn insert(&mut self, record: Record) -> u32 {
        self.submitted += 1;
        let hashed = hash(&record.id);
        let number = to_number(self.records.insert(record));
        self.numbers.insert_unique(hashed, number, |number| hash(&self.records[*number as usize].id));
        number
    }

    /// Puts a task into the history, if it may be forgotten and is not there. To be called whenever something that kept
    /// it from that may have gone.
    pub(super) fn retire(&mut self, task: u32) {
        let record = &mut self[task];
        if record.may_be_forgotten() && !record.in_history {
            record.in_history = true;
            self.history.push_back(task);
        }
    }

    /// Counts one reference to a task less.
    pub(super) fn unrefer(&mut self, task: u32) {
        self[task].referrers -= 1;
        self.retire(task);
    }

    /// Forgets the oldest of the history until it is at most so long.
    pub(super) fn trim(&mut self, most: usize) {
        while self.history.len() > most {
            let Some(task) = self.history.pop_front() else { return };
            self[task].in_history = false;
            // One that is referred to anew comes back when it no longer is.
            if self[task].may_be_forgotten() {
                let record = self.records.remove(task as usize);
                let entry = self.numbers.find_entry(hash(&record.id), |number| *number == task);
                entry.expect("every task has its number here").remove();
                self.forgotten += 1;
            }
        }
    }
}

fn hash(task: &TaskId) -> u64 {
    FxBuildHasher.hash_one(task)
}

fn to_number(at: usize) -> u32 {
    u32::try_from(at).expect("checked against the most tasks")
}
