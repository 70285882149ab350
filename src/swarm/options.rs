//! What a run is told beforehand, [`RunOptions`], and why there may be no report, [`RunError`].

use std::{fmt, io, io::Write};

use crate::{host::HostError, report::RunReport};

/// How a manifest is run.
#[derive(Default)]
pub struct RunOptions {
    /// In virtual time: one thread, a paused clock, and nothing of the outside world is touched but the names of files.
    pub simulate: bool,
    /// The seed of all randomness, in place of the manifest's.
    pub seed: Option<u64>,
    /// Gets every event as one JSON object a line, in order; buffered, and flushed at the end.
    pub trace: Option<Box<dyn Write + Send>>,
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("simulate", &self.simulate)
            .field("seed", &self.seed)
            .field("trace", &self.trace.is_some())
            .finish()
    }
}

/// Why a run has no report. What goes wrong inside a run that has one is in [`RunReport::failures`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The threads or the clock of the run cannot be had.
    #[error("the runtime cannot be started: {0}")]
    Runtime(io::Error),
    /// The host did not start, or stopped answering.
    #[error("the host cannot run the swarm: {0}")]
    Host(#[from] HostError),
    /// An event could not be written to the trace.
    #[error(
        "the trace cannot be written: {source}; it ends after at most {written} events, while the run went on to its end"
    )]
    Trace {
        /// How many events were taken before, some of which may not have reached the end of the buffer.
        written: u64,
        /// What the system says.
        source: io::Error,
        /// The report of the run, which went on without a trace.
        report: Box<RunReport>,
    },
    /// Agents could not be spawned.
    #[error("the agents `{entry}` cannot be spawned: {source}")]
    Agents {
        /// The ids of the entry, as the manifest writes them.
        entry: String,
        /// Why.
        source: phalanx_actors::supervisor::SpawnError,
    },
}
