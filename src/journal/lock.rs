//! [`Lock`]: one process writes to a journal.
//!
//! The lock is on a file of its own, `-lock`. SQLite's locks on the database belong to the process and are gone when any
//! handle on the file is closed, so reading it would break them.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use fs4::fs_std::FileExt;

use super::JournalError;

/// The file with a longer name.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(end);
    name.into()
}

/// Held as long as a journal is written to or read.
#[derive(Debug)]
pub(super) struct Lock(File);

/// Whether a journal can be read without minding a writer.
#[derive(Debug)]
pub(super) enum Reading {
    /// Nobody writes as long as this is held.
    Locked { _lock: Lock },
    /// Nobody ever wrote, so there is nothing to lock.
    Free,
    /// Somebody writes.
    InUse,
}

impl Lock {
    /// The lock for writing.
    pub(super) fn take(path: &Path) -> Result<Self, JournalError> {
        let lock = beside(path, "-lock");
        let fault = |source| JournalError::Io { path: lock.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(fault)?;
        if FileExt::try_lock_exclusive(&file).map_err(fault)? {
            Ok(Self(file))
        } else {
            Err(JournalError::InUse { path: path.to_owned() })
        }
    }

    /// The lock for reading.
    pub(super) fn share(path: &Path) -> Result<Reading, JournalError> {
        let lock = beside(path, "-lock");
        let fault = |source| JournalError::Io { path: lock.clone(), source };
        let file = match File::open(&lock) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Reading::Free),
            Err(error) => return Err(fault(error)),
        };
        let is_ours = FileExt::try_lock_shared(&file).map_err(fault)?;
        Ok(if is_ours { Reading::Locked { _lock: Self(file) } } else { Reading::InUse })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It is given back with the handle in any case.
        _ = FileExt::unlock(&self.0);
    }
}
