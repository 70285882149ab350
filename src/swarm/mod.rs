//! A whole swarm from one manifest: [`run`].
//!
//! ```text
//! Manifest ──> start-up tasks ──> agents (registered in batches) ──> subscriptions ──> tasks ──> drain ──> RunReport
//!                 │                    │                                                 │
//!                 └────────────────────┴──────────── Progress ───────────────────────────┘
//! ```

mod options;
mod progress;

use crate::{manifest::Manifest, report::RunReport};

pub use options::{RunError, RunOptions};
pub use progress::{Progress, Stop};

/// Runs a whole swarm and waits until it has ended. It makes an actix system of its own, so it must not be called inside
/// another one.
///
/// # Errors
/// [`RunError`] when there is no report to give.
pub fn run(
    manifest: &Manifest,
    options: RunOptions,
    progress: impl FnMut(Progress) + Send + 'static,
    stop: Stop,
) -> Result<RunReport, RunError> {
    let _ = (manifest, options, progress, stop);
    unimplemented!()
}
