//! [`Store`]: the database of a journal, with SQLite's hands on it.
//!
//! **Invariant.** A group of records is in the database whole or not at all, and the numbers of records have no gaps.

use std::{fs, path::Path, time::Duration};

use phalanx_actors::registrar::{Record, Unrecorded};
use rusqlite::{Connection, ErrorCode};

use super::{
    JournalError, JournalOptions,
    contents::{Intake, read_tables},
    format::{APPLICATION, SCHEMA, SnapshotHead, VERSION},
    lock::beside,
};

/// From how many bytes on the log is carried over into the database \[bytes\].
const LOG: u64 = 4 << 20;

/// How long a write waits for another program that writes to the database.
const BUSY: Duration = Duration::from_secs(5);

/// The database of a journal.
pub(super) struct Store {
    connection: Connection,
    log: std::path::PathBuf,
    /// The length at which the log is carried over, and the one at which it is next.
    carry_at: u64,
    carried_at: u64,
    pub(super) sequence: u64,
    remember: usize,
    spare: u64,
    /// How many records there are, and how many agents they leave registered. An agent whose coming back is undone counts as
    /// one less, until the next snapshot counts anew.
    rows: u64,
    live: u64,
    pub(super) checkpoints: u64,
    pub(super) compactions: u64,
    /// How many records there were when it was full and compacted, or could not be.
    full_at: Option<u64>,
    #[cfg(test)]
    tight: Option<super::Tight>,
}

const FULL: &str = "the journal has no room to grow: make room on its disk";

/// Why a group was not written.
pub(super) enum WriteFault {
    /// It was taken back, as it did not fit.
    Full,
    /// It was taken back; the next one may succeed.
    Passing(String),
    /// What is on disk is not known any more.
    Lasting(String),
}

impl WriteFault {
    pub(super) fn told(&self) -> Unrecorded {
        match self {
            Self::Full => Unrecorded::Refused(FULL.to_owned()),
            Self::Passing(reason) => Unrecorded::Refused(reason.clone()),
            Self::Lasting(reason) => Unrecorded::Broken(reason.clone()),
        }
    }
}

impl From<rusqlite::Error> for WriteFault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Passing("another program holds the journal: let go of it".to_owned())
            }
            Some(ErrorCode::TooBig) => {
                Self::Passing(format!("a record is too large for the journal: {error}"))
            }
            _ => Self::Lasting(format!(
                "the journal cannot be written any more: {error}; start again to see what it holds"
            )),
        }
    }
}

/// Makes a journal that is there whole or not at all.
pub(super) fn create(path: &Path, options: &JournalOptions, records: &[Vec<u8>]) -> Result<(), JournalError> {
    let fresh = beside(path, "-new");
    write_new(&fresh, options, records, None)?;
    rename(&fresh, path)
}

/// Writes a journal of its own, carried over into one file.
pub(super) fn write_new(
    fresh: &Path,
    options: &JournalOptions,
    records: &[Vec<u8>],
    snapshot: Option<SnapshotHead>,
) -> Result<(), JournalError> {
    let fault = |source| JournalError::Sqlite { path: fresh.to_owned(), source };
    for end in ["", "-wal", "-shm"] {
        let left = if end.is_empty() { fresh.to_owned() } else { beside(fresh, end) };
        match fs::remove_file(&left) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(JournalError::Io { path: left, source });
            }
            _ => {}
        }
    }
    let connection = Connection::open(fresh).map_err(fault)?;
    connection.pragma_update(None, "page_size", options.page_size).map_err(fault)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fault)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    let write = || {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", VERSION)?;
        for table in &SCHEMA {
            connection.execute_batch(table.sql)?;
        }
        match snapshot {
            None => insert(&connection, &SCHEMA[0], records.iter().map(Vec::as_slice))?,
            Some(head) => {
                let head = head.encode();
                insert(
                    &connection,
                    &SCHEMA[1],
                    [&head[..]].into_iter().chain(records.iter().map(Vec::as_slice)),
                )?;
            }
        }
        connection.execute_batch("COMMIT")
    };
    write().map_err(fault)?;
    // The last handle carries the log over and removes it.
    connection.close().map_err(|(_, source)| fault(source))
}

/// Puts a file in its place, so that it is there after a power cut.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), JournalError> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sync = || fs::File::open(folder)?.sync_all();
    fs::rename(from, to)
        .and_then(|()| sync())
        .map_err(|source| JournalError::Io { path: to.to_owned(), source })
}

/// Appends rows with the next keys, from 1 on.
fn insert<'a>(
    connection: &Connection,
    table: &super::format::Table,
    rows: impl Iterator<Item = &'a [u8]>,
) -> rusqlite::Result<()> {
    let sql = format!("INSERT INTO {} ({}) VALUES (?1, ?2)", table.name, table.columns);
    let mut statement = connection.prepare_cached(&sql)?;
    for (before, row) in (0_i64..).zip(rows) {
        statement.execute((before + 1, row))?;
    }
    Ok(())
}

impl Store {
    /// Opens a journal whose files are whole, of which `intake` has taken what SQLite reads in them.
    pub(super) fn open(path: &Path, options: &JournalOptions, sequence: u64) -> Result<Self, JournalError> {
        let fault = |source| JournalError::Sqlite { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(fault)?;
        let set_up = || {
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            // The log is cut whenever it begins anew, so that nothing old stands behind what is new.
            connection.pragma_update(None, "journal_size_limit", 0)?;
            connection.set_prepared_statement_cache_capacity(8);
            if let Some(pages) = options.max_pages {
                connection.pragma_update(None, "max_page_count", pages)?;
            }
            Ok(())
        };
        set_up().map_err(fault)?;
        let mut store = Self {
            log: beside(path, "-wal"),
            carry_at: LOG,
            carried_at: LOG,
            connection,
            sequence,
            remember: options.remember,
            spare: options.spare,
            rows: 0,
            live: 0,
            checkpoints: 0,
            compactions: 0,
            full_at: None,
            #[cfg(test)]
            tight: options.tight,
        };
        #[cfg(test)]
        if let Some(tight) = options.tight {
            store.connection.pragma_update(None, "cache_size", tight.pages).map_err(fault)?;
            (store.carry_at, store.carried_at) = (tight.log, tight.log);
        }
        store.carry_over();
        Ok(store)
    }

    /// Counts what there is.
    pub(super) fn counted(mut self, rows: u64, live: u64) -> Self {
        (self.rows, self.live) = (rows, live);
        self
    }

    /// Writes records as one transaction, the first with the next number. `bytes` is room to write them in. A journal that is
    /// full is made small first, where there is something to leave out.
    pub(super) fn write<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record> + Clone,
        bytes: &mut Vec<u8>,
    ) -> Result<(), WriteFault> {
        match self.write_once(records.clone(), bytes) {
            Err(WriteFault::Full) if self.make_room()? => self.write_once(records, bytes),
            result => result,
        }
    }

    fn write_once<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), WriteFault> {
        match self.try_write(records, bytes) {
            Ok((sequence, rows, live)) => {
                self.rows += rows;
                self.live = self.live.saturating_add_signed(live);
                self.sequence = sequence;
                Ok(())
            }
            Err(mut fault) => {
                if let Err(error) = self.take_back() {
                    fault = WriteFault::Lasting(format!("the journal cannot take a group back: {error}"));
                }
                Err(fault)
            }
        }
    }

    /// Ends a transaction that failed, if SQLite has not.
    fn take_back(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }

    fn try_write<'a>(
        &self,
        records: impl Iterator<Item = &'a Record>,
        bytes: &mut Vec<u8>,
    ) -> Result<(u64, u64, i64), WriteFault> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        let (mut sequence, mut live) = (self.sequence, 0);
        {
            let mut insert = self.connection.prepare_cached("INSERT INTO records VALUES (?1, ?2)")?;
            for record in records {
                sequence += 1;
                bytes.clear();
                record.encode(sequence, bytes);
                // What could not be read again would cost all that is written behind it.
                Record::decode(bytes)
                    .map_err(|fault| WriteFault::Passing(format!("it would not be readable: {fault}")))?;
                insert.execute((sequence.cast_signed(), &bytes[..]))?;
                live += match record {
                    Record::Registered { .. } => 1,
                    Record::Removed { .. } | Record::Undone { .. } => -1,
                    Record::Opened { .. }
                    | Record::Replaced { .. }
                    | Record::Ended { .. }
                    | Record::Renewed { .. } => 0,
                };
            }
        }
        self.connection.prepare_cached("COMMIT")?.execute(())?;
        Ok((sequence, sequence - self.sequence, live))
    }

    /// Does what keeps the files small, if it is time.
    pub(super) fn keep_small(&mut self) -> Result<(), WriteFault> {
        if self.log_length() >= self.carried_at {
            self.carry_over();
        }
        if self.rows > self.most_rows() {
            match self.compact() {
                Err(fault @ (WriteFault::Full | WriteFault::Passing(_))) => {
                    let reason = fault.told().to_string();
                    // It is tried again when as much has come again.
                    self.spare = self.spare.saturating_add(self.rows);
                    tracing::warn!(reason, "the journal could not be compacted");
                }
                result => return result,
            }
        }
        Ok(())
    }

    fn log_length(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// How many records there may be before a snapshot is made.
    fn most_rows(&self) -> u64 {
        #[cfg(test)]
        if let Some(tight) = self.tight {
            return self.full_at.unwrap_or(0) + tight.snapshot;
        }
        self.matter().saturating_mul(2).saturating_add(self.spare)
    }

    /// About how many records matter, and no fewer.
    fn matter(&self) -> u64 {
        self.live.saturating_add((self.remember as u64).saturating_mul(2))
    }

    /// Makes room in a journal that has none. Answers whether it may have some now.
    fn make_room(&mut self) -> Result<bool, WriteFault> {
        let log = self.log_length();
        self.carry_over();
        let mut has_room = self.log_length() < log;
        if self.rows > self.matter() && self.full_at != Some(self.rows) {
            match self.compact() {
                Err(fault @ (WriteFault::Full | WriteFault::Passing(_))) => {
                    let reason = fault.told().to_string();
                    tracing::warn!(reason, "the journal is full and could not be compacted");
                }
                Err(fault) => return Err(fault),
                Ok(()) => has_room = true,
            }
            self.full_at = Some(self.rows);
        }
        Ok(has_room)
    }

    /// Carries the log over into the database and cuts it; where that cannot be, it is tried again when as much has come again.
    fn carry_over(&mut self) {
        match self.checkpoint() {
            Ok(true) => {
                self.carried_at = self.carry_at;
                self.checkpoints += 1;
            }
            failed => {
                // What it could not carry over is still in the log.
                self.carried_at = self.log_length() + self.carry_at;
                let reason =
                    failed.map_or_else(|error| error.to_string(), |_| "somebody reads it".to_owned());
                tracing::warn!(reason, "the log of the journal could not be carried over");
            }
        }
    }

    /// Carries the log over and cuts it, unless somebody who reads it is in the way: that is not waited for. Answers whether it
    /// did.
    fn checkpoint(&self) -> rusqlite::Result<bool> {
        self.connection.busy_timeout(Duration::ZERO)?;
        let done =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0));
        self.connection.busy_timeout(BUSY)?;
        done.map(|is_busy| is_busy == 0)
    }

    /// Replaces all records by a snapshot of those that matter, with their numbers.
    pub(super) fn compact(&mut self) -> Result<(), WriteFault> {
        let mut intake = Intake::new(self.remember, true);
        if let Err(what) = read_tables(&self.connection, &mut intake)? {
            return Err(WriteFault::Lasting(format!("the journal is damaged: {what}")));
        }
        let (recovery, taken) = intake.into_parts();
        let kept = recovery.kept();
        let records = taken.into_iter().filter(|(sequence, _)| kept.contains(sequence));
        let rows: Vec<Vec<u8>> = records.map(|(sequence, record)| encoded(sequence, &record)).collect();
        let head = SnapshotHead { through: recovery.sequence(), rows: rows.len() as u64 };
        let first = head.encode();
        let row = |row: usize| {
            #[cfg(test)]
            self.die_at(row);
            &rows[row][..]
        };
        let replace = || {
            self.connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM snapshot; DELETE FROM records")?;
            insert(&self.connection, &SCHEMA[1], [&first[..]].into_iter().chain((0..rows.len()).map(row)))?;
            self.connection.execute_batch("COMMIT")
        };
        if let Err(error) = replace() {
            self.take_back()?;
            return Err(error.into());
        }
        (self.rows, self.live) = (head.rows, recovery.members() as u64);
        self.compactions += 1;
        #[cfg(test)]
        if self.tight.is_some() {
            self.full_at = Some(self.rows);
        }
        self.carry_over();
        Ok(())
    }

    /// Ends the process at this row of a snapshot, if it is to end there.
    #[cfg(test)]
    fn die_at(&self, row: usize) {
        if let Some(tight) = self.tight
            && tight.dies_at == 100 * self.compactions + row as u64 + 1
        {
            std::process::abort();
        }
    }

    /// Carries the log over and lets go of the files.
    pub(super) fn close(self) {
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the journal was not closed in order; nothing is lost");
        }
    }
}

/// A record as bytes.
pub(super) fn encoded(sequence: u64, record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(sequence, &mut bytes);
    bytes
}
