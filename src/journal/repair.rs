//! [`Journal::repair`]: the good part of a damaged journal in its place, and the damaged one kept beside it.
//!
//! ```text
//! lock -> read -> write FILE-repaired -> copy FILE, -wal, -shm to FILE.damaged-N -> remove -wal, -shm -> rename
//! ```
//!
//! As long as FILE-repaired is there, a repair was broken off and the journal is not opened; the next repair goes on with it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use phalanx_actors::registrar::Recovery;

use super::{
    Contents, Journal, JournalError, JournalOptions,
    contents::{Files, Intake},
    format::SnapshotHead,
    lock::{Lock, beside, followed},
    store::{self, encoded, rename},
};

/// What a repair did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Repaired {
    /// What was found before; what is recovered is in the journal now.
    pub before: Contents,
    /// Where the damaged journal is kept, if there was damage.
    pub kept: Option<PathBuf>,
}

const ENDS: [&str; 3] = ["", "-wal", "-shm"];

/// Where the good part stands until it is in its place.
pub(super) fn repaired(path: &Path) -> PathBuf {
    beside(path, "-repaired")
}

impl Journal {
    /// Puts what is whole of a damaged journal in its place, and keeps the damaged files under another name. A journal that
    /// is whole is left alone.
    ///
    /// # Errors
    /// [`JournalError`] when there is none, it is another file or of a later version, it is in use, or a file cannot be written. Whatever happens, the damaged files
    /// are kept.
    pub fn repair(path: &Path) -> Result<Repaired, JournalError> {
        let path = &followed(path)?;
        let _lock = Lock::take(path)?;
        let fault = |path: PathBuf| move |source| JournalError::Io { path, source };
        let good = repaired(path);
        let options = JournalOptions::default();
        let files = Files::read(path)?.ok_or_else(|| JournalError::Missing { path: path.to_owned() })?;
        let (before, taken) = files.contents(path, Intake::new(usize::MAX, true));
        let is_begun = good.try_exists().map_err(fault(good.clone()))?;
        if before.damage.is_empty() && !is_begun {
            return Ok(Repaired { before, kept: None });
        }
        if !is_begun {
            files.own(path, &before)?;
        }
        let before = if is_begun {
            // What is written there is whole; what is in its place may be half taken away.
            Contents::read(&good, usize::MAX)?
        } else {
            let mut recovery = Recovery::new(usize::MAX);
            let taken = taken.unwrap_or_default();
            for (sequence, record) in &taken {
                // They were taken in this order before.
                _ = recovery.take_kept(*sequence, record.clone());
            }
            let kept = recovery.kept();
            let rows: Vec<Vec<u8>> = taken
                .iter()
                .filter(|(sequence, _)| kept.contains(sequence))
                .map(|(sequence, record)| encoded(*sequence, record))
                .collect();
            let head = SnapshotHead { through: before.recovered.sequence, rows: rows.len() as u64 };
            let fresh = beside(path, "-new");
            store::write_new(&fresh, &options, &rows, Some(head))?;
            rename(&fresh, &good)?;
            before
        };
        let kept = keep(path)?;
        for end in &ENDS[1..] {
            let part = beside(path, end);
            if part.try_exists().map_err(fault(part.clone()))? {
                fs::remove_file(&part).map_err(fault(part.clone()))?;
            }
        }
        rename(&good, path)?;
        Ok(Repaired { before, kept: Some(kept) })
    }
}

/// Copies the files as they are to a name that is free.
fn keep(path: &Path) -> Result<PathBuf, JournalError> {
    let mut number = 1;
    let kept = loop {
        let kept = beside(path, &format!(".damaged-{number}"));
        if !ENDS.iter().any(|end| beside(&kept, end).exists()) {
            break kept;
        }
        number += 1;
    };
    for end in ENDS {
        let (from, to) = (beside(path, end), beside(&kept, end));
        if from.exists() {
            let copy = || fs::copy(&from, &to).and_then(|_| fs::File::open(&to)?.sync_all());
            copy().map_err(|source| JournalError::Io { path: to.clone(), source })?;
        }
    }
    Ok(kept)
}
