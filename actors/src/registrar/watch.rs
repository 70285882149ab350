//! [`Cursor`]: how far a reader of the roster is, and what it is told next. Pure.
//!
//! ```text
//!              held by the log                               taken
//! FOLLOWING ───────────────────────> changes, a few at a time ─────> FOLLOWING
//!     │ not held any more
//!     v      a few slots at a time      changes since the first of them     both put together
//!  COPYING ────────────────────────> CATCHING UP ─────────────────────────> snapshot, then FOLLOWING
//! ```
//!
//! Readers pull: the roster knows none of them, and one that is slow costs nothing and holds nobody up. It falls behind the
//! log at worst, and is then told so with a snapshot. The roster is looked at for no longer than a few hundred changes or a few
//! thousand slots take; a snapshot is made of the slots at different moments and the changes of the meantime. Only one that
//! the roster outran three times is made at one go.
//!
//! **Invariant.** What is taken is a snapshot or the change that leads from the revision before to the next; a snapshot is
//! the roster as it was at its revision, in the order of registration.

use std::collections::VecDeque;

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashSet};
use serde::Serialize;

use super::{
    changes::{Change, ChangeKind, ChangesError},
    roster::Roster,
};
use crate::agent::AgentId;

/// How many changes are read at once.
pub(super) const CHANGES: usize = if cfg!(test) { 3 } else { 256 };
/// How many slots are copied at once.
const SLOTS: usize = if cfg!(test) { 5 } else { 4_096 };
/// How often a snapshot that the roster outran is begun again before it is made at one go.
const TRIES: u32 = 3;

/// From where the roster is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchFrom {
    /// From now on, beginning with a snapshot.
    Snapshot,
    /// From the change on that follows this revision, which a snapshot or a change of this very roster told before: a host that
    /// starts again counts from zero, with a journal as well.
    Revision(u64),
}

/// An agent of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Which agent.
    pub agent: AgentId,
    /// Which incarnation is registered.
    pub generation: u64,
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RosterUpdate {
    /// The next change.
    Change(Change),
    /// All agents at a revision, from which the changes that follow go on.
    Snapshot {
        /// The revision.
        revision: u64,
        /// The agents in the order of their registration.
        agents: Vec<Standing>,
        /// Why the changes up to here are not told one by one, where they were wanted.
        missed: Option<ChangesError>,
    },
}

impl RosterUpdate {
    /// The revision that it leads to.
    pub const fn revision(&self) -> u64 {
        match self {
            RosterUpdate::Change(change) => change.revision,
            RosterUpdate::Snapshot { revision, .. } => *revision,
        }
    }
}

#[derive(Debug)]
enum Mode {
    Following,
    /// Behind the log; or at the beginning, for no reason.
    Behind(Option<ChangesError>),
    Copying(Copying),
    /// All is read.
    Copied(Copying),
}

#[derive(Debug)]
struct Copying {
    missed: Option<ChangesError>,
    /// How often slots had been numbered anew when it was begun.
    numbering: u64,
    /// The next slot.
    at: usize,
    agents: Vec<Standing>,
    /// What changed since it was begun, as far as it is read.
    meantime: Vec<Change>,
    has_all_slots: bool,
}

/// How far a reader is.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Up to where it was read.
    read_to: u64,
    /// Up to where it was taken.
    revision: u64,
    ready: VecDeque<Change>,
    mode: Mode,
    tries: u32,
}

impl Cursor {
    pub(super) fn new(from: WatchFrom) -> Self {
        let (revision, mode) = match from {
            WatchFrom::Snapshot => (0, Mode::Behind(None)),
            WatchFrom::Revision(revision) => (revision, Mode::Following),
        };
        Self { read_to: revision, revision, ready: VecDeque::new(), mode, tries: 0 }
    }

    /// The revision that was taken last.
    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether something is ready to be told.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty() || matches!(self.mode, Mode::Copied(_))
    }

    /// What is ready to be told.
    pub(super) fn take(&mut self) -> Option<RosterUpdate> {
        if let Mode::Copied(_) = self.mode {
            let Mode::Copied(copied) = std::mem::replace(&mut self.mode, Mode::Following) else {
                return None;
            };
            self.tries = 0;
            self.revision = self.read_to;
            let missed = copied.missed;
            return Some(RosterUpdate::Snapshot { revision: self.read_to, agents: copied.agents(), missed });
        }
        let change = self.ready.pop_front()?;
        self.revision = change.revision;
        Some(RosterUpdate::Change(change))
    }

    /// Reads a little of the roster. Answers whether there is more to be read at once, or something to be taken.
    pub(super) fn read<H: Clone>(&mut self, roster: &Roster<H>) -> bool {
        if !self.ready.is_empty() {
            return true;
        }
        match std::mem::replace(&mut self.mode, Mode::Following) {
            Mode::Following => match roster.changes_since(self.read_to) {
                Ok(changes) => {
                    self.ready.extend(changes.take(CHANGES).cloned());
                    self.read_to += self.ready.len() as u64;
                    !self.ready.is_empty()
                }
                Err(missed) => {
                    self.mode = Mode::Behind(Some(missed));
                    true
                }
            },
            Mode::Behind(missed) => {
                self.read_to = roster.revision();
                self.tries += 1;
                let copying = Copying {
                    missed,
                    numbering: roster.numbering(),
                    at: 0,
                    agents: Vec::new(),
                    meantime: Vec::new(),
                    has_all_slots: false,
                };
                self.copy(copying, roster);
                true
            }
            Mode::Copying(copying) => {
                self.copy(copying, roster);
                true
            }
            copied @ Mode::Copied(_) => {
                self.mode = copied;
                true
            }
        }
    }

    /// Goes on with a snapshot, or begins it again when the roster outran it.
    fn copy<H: Clone>(&mut self, mut copying: Copying, roster: &Roster<H>) {
        if !copying.has_all_slots {
            if copying.numbering != roster.numbering() {
                self.mode = Mode::Behind(copying.missed);
                return;
            }
            let most = if self.tries > TRIES { usize::MAX } else { SLOTS };
            let (next, slots) = roster.slots(copying.at, most);
            copying
                .agents
                .extend(slots.map(|one| Standing { agent: one.id().clone(), generation: one.generation() }));
            copying.has_all_slots = next.is_none();
            copying.at = next.unwrap_or(copying.at);
            if !copying.has_all_slots {
                self.mode = Mode::Copying(copying);
                return;
            }
        }
        let Ok(changes) = roster.changes_since(self.read_to) else {
            self.mode = Mode::Behind(copying.missed);
            return;
        };
        let before = copying.meantime.len();
        copying.meantime.extend(changes.take(CHANGES).cloned());
        self.read_to += (copying.meantime.len() - before) as u64;
        self.mode =
            if self.read_to == roster.revision() { Mode::Copied(copying) } else { Mode::Copying(copying) };
    }
}

impl Copying {
    /// The agents at the revision up to which the changes of the meantime lead.
    fn agents(self) -> Vec<Standing> {
        let Copying { mut agents, meantime, .. } = self;
        if meantime.is_empty() {
            return agents;
        }
        // Whoever came or went meanwhile may have been copied or not.
        let moved: FxHashSet<AgentId> = meantime
            .iter()
            .filter(|change| change.kind != ChangeKind::Replaced)
            .map(|change| change.agent.clone())
            .collect();
        let mut came = IndexMap::<AgentId, u64, FxBuildHasher>::default();
        let mut later = IndexMap::<AgentId, u64, FxBuildHasher>::default();
        for Change { agent, kind, generation, .. } in meantime {
            match kind {
                ChangeKind::Inserted => _ = came.insert(agent, generation),
                ChangeKind::Removed => _ = came.shift_remove(&agent),
                ChangeKind::Replaced if moved.contains(&agent) => {
                    if let Some(held) = came.get_mut(&agent) {
                        *held = generation;
                    }
                }
                ChangeKind::Replaced => _ = later.insert(agent, generation),
            }
        }
        agents.retain(|one| !moved.contains(&one.agent));
        for one in &mut agents {
            if let Some(generation) = later.get(&one.agent) {
                one.generation = *generation;
            }
        }
        agents.extend(came.into_iter().map(|(agent, generation)| Standing { agent, generation }));
        agents
    }
}
