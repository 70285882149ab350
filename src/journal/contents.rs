//! [`Contents`]: what a journal holds, read without changing anything, and what is damaged.
//!
//! **Invariant.** What is recovered is what was written up to some record, and nothing behind the first damage. Reading never
//! panics and never writes.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use phalanx_actors::registrar::{Record, Recovered, Recovery};
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::{
    Damage, JournalError,
    format::{self, APPLICATION, RECORDS, SCHEMA, SNAPSHOT, SnapshotHead, VERSION},
    lock::{Lock, Reading, beside, followed},
    pages::{self, Found, Pages, Place, Source},
    wal::Wal,
};

/// What a journal holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Contents {
    /// Who was registered, and how the latest requests ended.
    pub recovered: Recovered,
    /// How many records there are, those of a snapshot included.
    pub records: u64,
    /// How many of them a snapshot keeps of what was written before it.
    pub kept: u64,
    /// What is damaged, in the order in which it was found; what is recovered stands before the first of it.
    pub damage: Vec<Damage>,
    /// How many records behind the damage are whole, and are not taken for that.
    pub refused: u64,
    /// How many bytes of the log follow the last transaction: what a process left that was killed while it wrote \[bytes\].
    pub unfinished: u64,
    /// Whether a process is writing to it.
    pub in_use: bool,
}

/// What is on disk of a journal.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) database: Vec<u8>,
    pub(super) log: Vec<u8>,
    pub(super) index: Option<Vec<u8>>,
}

/// Takes rows in until something is wrong.
pub(super) struct Intake {
    recovery: Recovery,
    /// The records that were taken, where they are wanted.
    taken: Option<Vec<(u64, Record)>>,
    records: u64,
    kept: u64,
    /// The numbers of the whole records that are not taken; a damaged page may lead to one more than once.
    refused: BTreeSet<u64>,
    damage: Vec<(Place, String)>,
    snapshot: Option<SnapshotHead>,
    places: i64,
}

impl Files {
    /// Reads what there is; none when there is no journal.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, JournalError> {
        let part = |path: &Path| match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(JournalError::Io { path: path.to_owned(), source }),
        };
        let (database, log) = (part(path)?, part(&beside(path, "-wal"))?);
        if database.is_none() && log.is_none() {
            return Ok(None);
        }
        let index = part(&beside(path, "-shm"))?;
        Ok(Some(Self { database: database.unwrap_or_default(), log: log.unwrap_or_default(), index }))
    }

    /// The size of the pages, from whatever says so.
    fn page_size(&self) -> Option<usize> {
        let is_size = |size: &usize| size.is_power_of_two() && (512..=65_536).contains(size);
        let big = |bytes: &[u8], at: usize| {
            let word = bytes.get(at..at + 4)?;
            usize::try_from(u32::from_be_bytes([word[0], word[1], word[2], word[3]])).ok()
        };
        let of_head = || match big(&self.database, 16).map(|word| word >> 16) {
            Some(1) => Some(65_536),
            size => size,
        };
        let of_log = || big(&self.log, 8).filter(is_size);
        let of_length = || {
            let pages = big(&self.database, 28).filter(|pages| *pages > 0)?;
            Some(self.database.len() / pages)
        };
        of_log().or_else(|| of_head().filter(is_size)).or_else(|| of_length().filter(is_size))
    }

    /// Whether damaged files are those of a journal, and of one that this version can judge.
    pub(super) fn own(&self, path: &Path, contents: &Contents) -> Result<(), JournalError> {
        let mark = APPLICATION.to_be_bytes();
        // The first page, as its file has it and as the log has it.
        let of_log = || {
            let size = self.page_size()?;
            let wal = Wal::read(&self.log, self.index.as_deref(), size);
            let at = *wal.pages.get(&1)?;
            self.log.get(at..at + size)
        };
        let heads = [of_log(), Some(&self.database[..])];
        let marked = heads.into_iter().flatten().find(|head| head.get(68..72) == Some(&mark));
        if let Some(head) = marked {
            let version = u32::from_be_bytes([head[60], head[61], head[62], head[63]]);
            if version > VERSION && head.starts_with(pages::MAGIC) {
                return Err(JournalError::Later { path: path.to_owned(), version });
            }
        }
        let is_own = marked.is_some()
            || contents.records + contents.refused > 0
            || [&self.database, &self.log].iter().any(|bytes| has(bytes, SCHEMA[0].sql.as_bytes()));
        if is_own { Ok(()) } else { Err(JournalError::Foreign { path: path.to_owned() }) }
    }

    /// What they hold; the latest `remember` requests are recovered.
    pub(super) fn contents(&self, path: &Path, intake: Intake) -> (Contents, Option<Vec<(u64, Record)>>) {
        let log = beside(path, "-wal");
        let file = |source| if source == Source::Database { path.to_owned() } else { log.clone() };
        let Some(size) = self.page_size() else {
            let offset = self.database.len().min(16) as u64;
            let what =
                "the file does not say how large its pages are: it is no journal, or its head is damaged";
            let damage = vec![Damage { file: path.to_owned(), offset, what: what.to_owned() }];
            return (Contents { damage, ..Contents::default() }, intake.taken);
        };
        let wal = Wal::read(&self.log, self.index.as_deref(), size);
        let mut intake = intake;
        let mut pages = Pages::new(&self.database, &self.log, &wal, size);
        for (place, what) in pages.head(APPLICATION, VERSION) {
            intake.fault(place, what);
        }
        schema(&mut pages, &mut intake);
        // Damage so far is that of the head: it does not touch the rows.
        pages.table(SNAPSHOT, &mut |found| intake.take(found, true));
        intake.end_snapshot();
        pages.table(RECORDS, &mut |found| intake.take(found, false));
        for (place, what) in pages.rest() {
            intake.damage.push((place, what));
        }
        if let Some(fault) = &wal.fault {
            let place = Place { source: Source::Wal, offset: fault.offset };
            intake.damage.push((place, fault.what.clone()));
        }
        let (mut contents, taken) = intake.finish(&file);
        contents.unfinished = wal.unfinished as u64;
        (contents, taken)
    }
}

/// Whether bytes have these among them.
fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|some| some == wanted)
}

/// The tables must be those of a journal.
fn schema(pages: &mut Pages<'_>, intake: &mut Intake) {
    let mut tables = 0;
    pages.table(1, &mut |found| match found {
        Found::Fault(place, what) => intake.fault(place, what),
        Found::Row(key, record, place) => {
            let is_right = usize::try_from(key - 1).ok().and_then(|at| SCHEMA.get(at)).is_some_and(|table| {
                let columns = pages::columns(&record).unwrap_or_default();
                let text = [b"table", table.name.as_bytes(), table.name.as_bytes()];
                matches!(columns[..], [kind, name, of, [root], sql]
                    if [kind, name, of] == text && u32::from(*root) == table.root && sql == table.sql.as_bytes())
            });
            if is_right {
                tables += 1;
            } else {
                intake.fault(place, "the file has another table than a journal".to_owned());
            }
        }
    });
    if tables != SCHEMA.len() {
        let place = Place { source: Source::Database, offset: 0 };
        intake.fault(place, format!("{tables} tables of a journal are there instead of {}", SCHEMA.len()));
    }
}

impl Intake {
    pub(super) fn new(remember: usize, keeps_records: bool) -> Self {
        Self {
            recovery: Recovery::new(remember),
            taken: keeps_records.then(Vec::new),
            records: 0,
            kept: 0,
            refused: BTreeSet::new(),
            damage: Vec::new(),
            snapshot: None,
            places: 0,
        }
    }

    fn fault(&mut self, place: Place, what: String) {
        self.damage.push((place, what));
    }

    /// Takes a row of the snapshot, or of the records, if all before it is whole.
    fn take(&mut self, found: Found<'_>, of_snapshot: bool) {
        let (key, row, place) = match found {
            Found::Fault(place, what) => {
                // It ends what can be recovered, whatever else is damaged.
                self.end_of_rows();
                return self.fault(place, what);
            }
            Found::Row(key, row, place) => (key, row, place),
        };
        if self.is_at_end() {
            let record = format::body(&row).and_then(|body| Record::decode(body).ok());
            let behind =
                record.map(|(sequence, _)| sequence).filter(|found| *found > self.recovery.sequence());
            self.refused.extend(behind);
            return;
        }
        if let Err(what) = self.take_row(key, &row, of_snapshot) {
            self.end_of_rows();
            self.fault(place, what);
        }
    }

    pub(super) fn take_row(&mut self, key: i64, row: &[u8], of_snapshot: bool) -> Result<(), String> {
        let body = format::body(row).ok_or_else(|| format!("row {key} is no record"))?;
        self.take_body(key, body, of_snapshot)
    }

    /// Takes the body of a row in.
    pub(super) fn take_body(&mut self, key: i64, body: &[u8], of_snapshot: bool) -> Result<(), String> {
        if of_snapshot {
            self.places += 1;
            if key != self.places {
                return Err(format!("row {key} of the snapshot stands where row {} belongs", self.places));
            }
            if key == 1 {
                self.snapshot = Some(SnapshotHead::decode(body)?);
                return Ok(());
            }
        }
        let (sequence, record) = Record::decode(body).map_err(|fault| format!("row {key}: {fault}"))?;
        if !of_snapshot && sequence.cast_signed() != key {
            return Err(format!("row {key} holds record {sequence}"));
        }
        let copy = self.taken.is_some().then(|| record.clone());
        let taken = if of_snapshot {
            self.recovery.take_kept(sequence, record)
        } else {
            self.recovery.take(sequence, record)
        };
        taken.map_err(|fault| fault.to_string())?;
        if let (Some(taken), Some(copy)) = (&mut self.taken, copy) {
            taken.push((sequence, copy));
        }
        self.records += 1;
        self.kept += u64::from(of_snapshot);
        Ok(())
    }

    /// Nothing is taken any more.
    fn end_of_rows(&mut self) {
        self.places = i64::MIN;
    }

    const fn is_at_end(&self) -> bool {
        self.places == i64::MIN
    }

    /// Takes the records behind the snapshot from now on.
    fn end_snapshot(&mut self) {
        if self.is_at_end() {
            return;
        }
        if let Err(what) = self.try_end_snapshot() {
            self.end_of_rows();
            self.fault(Place { source: Source::Database, offset: 0 }, what);
        }
    }

    pub(super) fn try_end_snapshot(&mut self) -> Result<(), String> {
        let Some(SnapshotHead { through, rows }) = self.snapshot else { return Ok(()) };
        if rows != self.kept {
            return Err(format!("{} rows of the snapshot are there instead of {rows}", self.kept));
        }
        self.recovery.end_kept(through).map_err(|fault| fault.to_string())
    }

    /// What the records come to, and the records, where they are wanted.
    pub(super) fn into_parts(self) -> (Recovery, Vec<(u64, Record)>) {
        (self.recovery, self.taken.unwrap_or_default())
    }

    fn finish(self, file: &dyn Fn(Source) -> PathBuf) -> (Contents, Option<Vec<(u64, Record)>>) {
        let damage = self.damage.into_iter().map(|(place, what)| Damage {
            file: file(place.source),
            offset: place.offset as u64,
            what,
        });
        let contents = Contents {
            damage: damage.collect(),
            recovered: self.recovery.finish(),
            records: self.records,
            kept: self.kept,
            refused: self.refused.len() as u64,
            unfinished: 0,
            in_use: false,
        };
        (contents, self.taken)
    }
}

impl Contents {
    /// Reads the journal at `path` without changing it, also while a process writes to it; the latest `remember` requests
    /// are recovered.
    ///
    /// # Errors
    /// [`JournalError`] when there is none, or it cannot be read. Damage is none of them: it is in [`Contents::damage`].
    pub fn read(path: &Path, remember: usize) -> Result<Self, JournalError> {
        let path = &followed(path)?;
        let reading = Lock::share(path)?;
        if matches!(reading, Reading::InUse) {
            // The writer has its own hands on the files: SQLite shows them as they are at one moment.
            return Self::of_live(path, remember);
        }
        let files = Files::read(path)?.ok_or_else(|| JournalError::Missing { path: path.to_owned() })?;
        // Whoever wants to write need not wait until the bytes are understood.
        drop(reading);
        let (contents, _) = files.contents(path, Intake::new(remember, false));
        if contents.damage.is_empty() { Ok(contents) } else { files.own(path, &contents).map(|()| contents) }
    }

    fn of_live(path: &Path, remember: usize) -> Result<Self, JournalError> {
        let fault = |source| JournalError::Sqlite { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
        let mut intake = Intake::new(remember, false);
        let outcome = connection
            .execute_batch("BEGIN")
            .map_err(fault)
            .and_then(|()| read_tables(&connection, &mut intake).map_err(fault))?;
        if let Err(what) = outcome {
            intake.fault(Place { source: Source::Database, offset: 0 }, what);
        }
        let (contents, _) = intake.finish(&|_| path.to_owned());
        Ok(Self { in_use: true, ..contents })
    }
}

/// Takes in all rows as SQLite reads them: the outer error is that of SQLite, the inner one what is wrong with a row.
pub(super) fn read_tables(
    connection: &Connection,
    intake: &mut Intake,
) -> rusqlite::Result<Result<(), String>> {
    for (table, of_snapshot) in [(&SCHEMA[1], true), (&SCHEMA[0], false)] {
        let mut rows =
            connection.prepare(&format!("SELECT {} FROM {} ORDER BY 1", table.columns, table.name))?;
        let mut rows = rows.query(())?;
        while let Some(row) = rows.next()? {
            let (key, body) = (row.get(0)?, row.get_ref(1)?.as_blob()?);
            if let Err(what) = intake.take_body(key, body, of_snapshot) {
                return Ok(Err(what));
            }
        }
        if of_snapshot && let Err(what) = intake.try_end_snapshot() {
            return Ok(Err(what));
        }
    }
    Ok(Ok(()))
}
