//! [`ChangeLog`]: the latest changes of a roster, so that a reader keeps up without reading all of it again.
//!
//! **Invariant.** The changes held have gapless revisions, ending with the present one.

use std::collections::VecDeque;

use serde::Serialize;

use crate::agent::AgentId;

/// What happened to an agent in the roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Inserted,
    /// Its next generation took its place.
    Replaced,
    /// It is gone.
    Removed,
}

/// One change of a roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The revision it led to.
    pub revision: u64,
    /// Which agent it is about.
    pub agent: AgentId,
    /// What happened.
    pub kind: ChangeKind,
    /// The generation that came, or that is gone.
    pub generation: u64,
}

/// Why the changes since a revision cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ChangesError {
    /// They are no longer all held.
    #[error("revision {asked} is too old: changes are held since {oldest}; read the roster again")]
    TooOld {
        /// The revision asked from.
        asked: u64,
        /// The oldest one from which changes can be told.
        oldest: u64,
    },
    /// There was no such revision yet, so it comes from elsewhere.
    #[error("revision {asked} is to come: the roster is at {present}; read the roster again")]
    Ahead {
        /// The revision asked from.
        asked: u64,
        /// The present one.
        present: u64,
    },
}

/// The latest changes of a roster, within a bound.
#[derive(Debug)]
pub(super) struct ChangeLog {
    changes: VecDeque<Change>,
    max: usize,
    revision: u64,
}

impl ChangeLog {
    pub(super) const fn new(max: usize) -> Self {
        Self { changes: VecDeque::new(), max, revision: 0 }
    }

    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn push(&mut self, agent: AgentId, kind: ChangeKind, generation: u64) -> u64 {
        self.revision += 1;
        if self.changes.len() >= self.max {
            self.changes.pop_front();
        }
        if self.max > 0 {
            self.changes.push_back(Change { revision: self.revision, agent, kind, generation });
        }
        self.revision
    }

    pub(super) fn since(&self, asked: u64) -> Result<impl Iterator<Item = &Change>, ChangesError> {
        let behind =
            self.revision.checked_sub(asked).ok_or(ChangesError::Ahead { asked, present: self.revision })?;
        let held = self.changes.len();
        let wanted = usize::try_from(behind).ok().filter(|wanted| *wanted <= held);
        let oldest = self.revision - held as u64;
        let wanted = wanted.ok_or(ChangesError::TooOld { asked, oldest })?;
        Ok(self.changes.range(held - wanted..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_as_far_back_as_they_are_held() {
        let mut log = ChangeLog::new(2);
        for number in 1..=4 {
            log.push(AgentId::new(number.to_string()).unwrap(), ChangeKind::Inserted, 1);
        }
        let told =
            |asked| log.since(asked).map(|changes| changes.map(|change| change.revision).collect::<Vec<_>>());
        assert_eq!(told(4), Ok(vec![]));
        assert_eq!(told(2), Ok(vec![3, 4]));
        assert_eq!(told(1), Err(ChangesError::TooOld { asked: 1, oldest: 2 }));
        assert_eq!(
            told(5).unwrap_err().to_string(),
            "revision 5 is to come: the roster is at 4; read the roster again"
        );
    }
}
