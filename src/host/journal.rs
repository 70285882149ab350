//! The journal of a host: opened before its registrar, closed after it.

use std::path::PathBuf;

use phalanx_actors::agent::AgentId;
use serde::Serialize;

use super::Host;

#[cfg(feature = "journal")]
use std::sync::Arc;

#[cfg(feature = "journal")]
use phalanx_actors::registrar::{Recorder, Recovered, RegistrarCell};

#[cfg(feature = "journal")]
use crate::{
    HostError,
    journal::{Journal, JournalOptions},
};

/// How many of the agents that did not return a report names.
#[cfg(feature = "journal")]
const NAMED: usize = 20;

/// What a host's journal held when it started, and what was written since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalReport {
    /// The file.
    pub file: PathBuf,
    /// How often it had been opened before.
    pub runs: u64,
    /// How many agents were registered when the last of these runs ended, because it was broken off.
    pub recovered_agents: usize,
    /// How many requests that had ended are still known by their numbers.
    pub recovered_requests: usize,
    /// How many of the recovered agents have not been registered again.
    pub unreturned: usize,
    /// The first 20 of them, by id.
    pub unreturned_first: Vec<AgentId>,
    /// How many records were written since.
    pub records: u64,
    /// How many groups they made, each a transaction and a sync of its own.
    pub groups: u64,
    /// How many records could not be written.
    pub refused: u64,
    /// Whether it was written to its end and closed; the figures are the last ones then.
    pub closed: bool,
}

/// A journal that is to be opened.
#[cfg(feature = "journal")]
pub(super) struct Wanted {
    pub(super) path: PathBuf,
    pub(super) options: Option<JournalOptions>,
}

/// The journal of a host that runs.
#[cfg(feature = "journal")]
pub(super) struct Kept {
    cell: RegistrarCell,
    journal: Journal,
    /// What is known before anything is written.
    opened: JournalReport,
}

/// An open journal on its way to the registrar.
#[cfg(feature = "journal")]
pub(super) struct Opened {
    journal: Journal,
    report: JournalReport,
}

#[cfg(feature = "journal")]
impl Wanted {
    /// Opens it. The registrar remembers as many requests as the journal keeps, unless it is told otherwise.
    pub(super) fn open(self, remember: usize) -> Result<(Opened, Arc<dyn Recorder>, Recovered), HostError> {
        let Self { path, options } = self;
        let options = options.unwrap_or_else(|| JournalOptions { remember, ..JournalOptions::default() });
        let (journal, contents) = Journal::open(&path, &options)?;
        let recovered = contents.recovered;
        let report = JournalReport {
            file: path,
            runs: recovered.run,
            recovered_agents: recovered.members.len(),
            recovered_requests: recovered.requests.len(),
            unreturned: 0,
            unreturned_first: Vec::new(),
            records: 0,
            groups: 0,
            refused: 0,
            closed: false,
        };
        let recorder = journal.recorder();
        Ok((Opened { journal, report }, recorder, recovered))
    }
}

#[cfg(feature = "journal")]
impl Opened {
    pub(super) fn keep(self, cell: RegistrarCell) -> Kept {
        Kept { cell, journal: self.journal, opened: self.report }
    }
}

#[cfg(feature = "journal")]
impl Kept {
    /// How it stands.
    pub(super) fn report(&self) -> JournalReport {
        // In this order: figures that were read before it was closed need not be the last ones.
        let (closed, stats) = (self.journal.is_closed(), self.journal.stats());
        let unreturned = self.cell.unreturned();
        JournalReport {
            unreturned: unreturned.len(),
            unreturned_first: unreturned.into_iter().take(NAMED).map(|member| member.request.agent).collect(),
            records: stats.records,
            groups: stats.groups,
            refused: stats.refused,
            closed,
            ..self.opened.clone()
        }
    }

    /// Writes what waits and lets go of the files.
    pub(super) async fn close(&self) {
        self.journal.close().await;
    }
}

impl Host {
    /// How the host's journal stands, if it keeps one.
    pub fn journal(&self) -> Option<JournalReport> {
        #[cfg(feature = "journal")]
        let report = self.inner.journal.as_ref().map(Kept::report);
        #[cfg(not(feature = "journal"))]
        let report = None;
        report
    }
}
