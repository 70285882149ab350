//! [`Lock`]: one process writes to a journal.
//!
//! The lock is on a file of its own, `-lock`. SQLite's locks on the database belong to the process and are gone when any
//! handle on the file is closed, so reading it would break them.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use fs4::fs_std::FileExt;

use super::JournalError;

/// The file with a longer name.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(end);
    name.into()
}

/// The file that a name leads to, as SQLite keeps its log beside that one; also when it is not there yet.
pub(super) fn followed(path: &Path) -> Result<PathBuf, JournalError> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            // It is no link, or not there.
            Err(_) => return Ok(path),
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
        }
    }
    let source = io::Error::other(format!("more than {LINKS} links lead on from it"));
    Err(JournalError::Io { path, source })
}

/// How many links are followed, as on most systems.
const LINKS: usize = 40;

/// How long, and how often, somebody who only reads is waited for: it lets go when it has the bytes.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// Held as long as a journal is written to, or its files are read.
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
        let mut waited = Duration::ZERO;
        while !FileExt::try_lock_exclusive(&file).map_err(fault)? {
            // Who writes does not share it, and is not waited for.
            let is_read = FileExt::try_lock_shared(&file).map_err(fault)?;
            if !is_read || waited >= PATIENCE {
                return Err(JournalError::InUse { path: path.to_owned() });
            }
            FileExt::unlock(&file).map_err(fault)?;
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        Ok(Self(file))
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
