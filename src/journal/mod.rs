//! The durable journal of registration: [`Journal`].
//!
//! ```text
//! registrar --records--> Recorder --> queue --> one thread --> SQLite (WAL, synchronous FULL) --> told
//!     ^                                                                                            |
//!     +------------------------------------ answers what is durable <------------------------------+
//!
//! open: files --> Wal, Pages (own eyes, every byte) --> Recovery --> who was registered, the latest requests, damage
//! ```
//!
//! It owns the files of one journal and the thread that writes them. It never decides what is written or who is registered,
//! and never opens damaged files for writing. Its form, and what to do about damage, stand in `docs/journal.md`.
//!
//! **Invariant.** What was told to be durable is there at the next opening, whatever ends the process; numbers have no gaps;
//! and a journal that is damaged is named with the place, recovered up to there, and not written to.

mod contents;
mod format;
mod lock;
mod pages;
mod repair;
mod store;
mod wal;
mod writer;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use phalanx_actors::registrar::{BatcherOptions, Record, Recorder};
use serde::Serialize;
use tokio::sync::watch;

pub use contents::Contents;
pub use repair::Repaired;
pub use writer::JournalStats;

use self::{
    contents::{Files, Intake},
    format::VERSION,
    lock::{Lock, followed},
    store::Store,
    writer::Shared,
};

/// Something in a journal's files that was not written so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file: the journal itself, or its log `-wal`.
    pub file: PathBuf,
    /// Where in that file \[bytes from its start\].
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.file.display(), self.offset, self.what)
    }
}

/// Why a journal cannot be opened, read or repaired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// There is none.
    #[error("there is no journal {}; name another file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Somebody writes to it.
    #[error("the journal {} is in use by another host; end that, or name another file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error(
        "the journal is damaged: {}; {} records before it are whole; repair it with `phalanx journal {} --repair`, which keeps a copy",
        first(contents), contents.records, path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it holds.
        contents: Box<Contents>,
    },
    /// It is another file: nothing in it says that it is a journal.
    #[error("{} is no journal of registration; name another file, or move this one away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of phalanx made it.
    #[error("the journal {} has version {version}, and {VERSION} is the latest known here; use a later phalanx", path.display())]
    Later {
        /// The file.
        path: PathBuf,
        /// Which version.
        version: u32,
    },
    /// A repair was broken off.
    #[error("a repair of the journal {} was broken off; go on with `phalanx journal {} --repair`", path.display(), path.display())]
    Unrepaired {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{} cannot be read or written: {source}; mend its permissions or name another file", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite cannot do what it is asked.
    #[error("the journal {} cannot be used: {source}; make room or name another file", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

fn first(contents: &Contents) -> String {
    contents.damage.first().map(ToString::to_string).unwrap_or_default()
}

/// How a journal is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOptions {
    /// How many requests that ended are kept; as many as the registrar remembers by default.
    pub remember: usize,
    /// About how many records one transaction has at most; a call is never split. 256 by default.
    pub group: usize,
    /// How large the pages of a new journal are, a power of two from 512 to 65536; 4096 by default \[bytes\].
    pub page_size: u32,
    /// How many pages the database may have; as many as SQLite allows by default.
    pub max_pages: Option<u32>,
    /// How many records that do not matter any more are left alone before a snapshot is made; 16,384 by default.
    pub spare: u64,
    #[cfg(test)]
    pub(crate) tight: Option<Tight>,
}

/// How a journal is kept that does all the time what it should do now and then.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tight {
    /// How many pages are held in memory.
    pages: u32,
    /// From how many bytes on the log is carried over.
    log: u64,
    /// After how many records a snapshot is made.
    snapshot: u64,
    /// At the how many-eth row of snapshots the process dies; 0 for never.
    dies_at: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            remember: BatcherOptions::default().remember,
            group: 256,
            page_size: 4096,
            max_pages: None,
            spare: 16_384,
            #[cfg(test)]
            tight: None,
        }
    }
}

/// A journal that is open for writing, by this process alone. Dropped, it writes what waits and closes by itself;
/// [`Journal::close`] waits for that.
///
/// # Examples
/// ```
/// use phalanx::journal::{Journal, JournalOptions};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("swarm.journal");
/// let (journal, before) = Journal::open(&path, &JournalOptions::default())?;
/// assert_eq!((before.recovered.members.len(), journal.stats().sequence), (0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Journal {
    path: PathBuf,
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens a journal, or makes it, and says what it holds of earlier processes.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when something in it was not written so: nothing is changed then, and what is whole is in the
    /// error. [`JournalError::InUse`] when another host has it; the others when it cannot be used at all.
    pub fn open(path: &Path, options: &JournalOptions) -> Result<(Self, Contents), JournalError> {
        let path = &followed(path)?;
        let lock = Lock::take(path)?;
        if repair::repaired(path).exists() {
            return Err(JournalError::Unrepaired { path: path.to_owned() });
        }
        let contents = match Files::read(path)? {
            None => {
                store::create(path, options, &[])?;
                Contents::default()
            }
            Some(files) => {
                let (contents, _) = files.contents(path, Intake::new(options.remember, false));
                if !contents.damage.is_empty() {
                    files.own(path, &contents)?;
                }
                contents
            }
        };
        if !contents.damage.is_empty() {
            let contents = Box::new(contents);
            return Err(JournalError::Damaged { path: path.to_owned(), contents });
        }
        let recovered = &contents.recovered;
        let store = Store::open(path, options, recovered.sequence)?;
        let mut store = store.counted(contents.records, recovered.members.len() as u64);
        let opened = Record::Opened { run: recovered.run + 1 };
        let wrote = store.keep_small().and_then(|()| store.write([&opened].into_iter(), &mut Vec::new()));
        wrote.map_err(|fault| {
            let source = io::Error::other(fault.told().to_string());
            JournalError::Io { path: path.to_owned(), source }
        })?;
        let shared = Arc::<Shared>::default();
        let ended = writer::start(&shared, store, lock, options.group)
            .map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
        Ok((Self { path: path.to_owned(), shared, ended }, contents))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where records go to become durable here.
    pub fn recorder(&self) -> Arc<dyn Recorder> {
        self.shared.clone()
    }

    /// What it has written so far.
    pub fn stats(&self) -> JournalStats {
        self.shared.stats()
    }

    /// Takes nothing more, writes what waits, and lets go of the files. Answers with what it has written. Broken off, it goes on
    /// all the same.
    pub async fn close(&self) -> JournalStats {
        self.shared.close();
        // An error means that the thread has ended, too.
        _ = self.ended.clone().wait_for(|ended| *ended).await;
        self.stats()
    }

    /// Whether it has written what it took, and let go of the files.
    pub fn is_closed(&self) -> bool {
        *self.ended.borrow()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests;
