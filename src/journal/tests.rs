use std::{fs, sync::mpsc, time::Duration};

use phalanx_actors::{
    agent::{AgentId, Capability, Kind, Timestamp},
    registrar::{Recorded, Request, RequestId, Status, Unrecorded},
};
use rusqlite::Connection;

use super::*;

mod damage;
#[cfg(unix)]
mod killed;
#[cfg(unix)]
mod limited;
mod writing;

fn small() -> JournalOptions {
    JournalOptions { page_size: 512, ..JournalOptions::default() }
}

/// A completed request, made by way of its states.
fn request(number: u64, agent: &str) -> Request {
    let at = Timestamp::from_start(Duration::from_millis(number));
    let (agent, kind) = (AgentId::new(agent).unwrap(), Kind::new("seller").unwrap());
    let mut request =
        Request::new(RequestId(number), agent, kind, at).capability(Capability::new("sell").unwrap());
    for status in [Status::Validating, Status::Registering, Status::Completed] {
        request.advance(status, at).unwrap();
    }
    request
}

fn registered(number: u64) -> Record {
    Record::Registered { request: request(number, &format!("seller/{number}")), generation: 0 }
}

fn removed(number: u64) -> Record {
    let agent = AgentId::new(format!("seller/{number}")).unwrap();
    Record::Removed { agent, generation: 0, at: Timestamp::ZERO }
}

/// Appends and waits for the word.
fn append(journal: &Journal, records: Vec<Record>) -> Result<(), Unrecorded> {
    let (tell, told) = mpsc::channel();
    let recorded = Recorded::new(move |result| tell.send(result).unwrap());
    journal.recorder().append(records, recorded);
    told.recv().unwrap()
}

/// Closes and waits until the files are let go of.
fn close(journal: Journal) -> JournalStats {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stats = runtime.block_on(journal.close());
    assert!(journal.is_closed());
    stats
}

/// The files as they would be after SIGKILL: whatever is on disk while the journal is open.
fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (lock::beside(from, end), lock::beside(to, end));
        if from.exists() {
            fs::copy(from, to).unwrap();
        }
    }
}

/// What SQLite itself reads in files that it may change.
fn by_sqlite(path: &Path) -> Result<Vec<(u64, Record)>, String> {
    let connection = Connection::open(path).map_err(|error| error.to_string())?;
    let check = connection.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0));
    let check = check.map_err(|error| error.to_string())?;
    if check != "ok" {
        return Err(check);
    }
    let mut intake = Intake::new(1 << 16, true);
    contents::read_tables(&connection, &mut intake).map_err(|error| error.to_string())??;
    Ok(intake.into_parts().1)
}
