//! A whole swarm from one manifest: [`run`].
//!
//! ```text
//! Manifest ──> start-up tasks ──> agents (registered in batches) ──> subscriptions ──> tasks ──> drain ──> RunReport
//!                 │                    │                                                 │
//!                 └────────────────────┴──────────── Progress ───────────────────────────┘
//! ```
//!
//! This room turns the words of a manifest into what a host does, and owns the built-in kinds of agents and what tasks do.
//! It decides nothing that a host decides: who gets which task, who is restarted, what is delivered.
//!
//! In simulated time one thread runs everything and nothing of the outside world is touched, with one exception: the names
//! of files are read where a manifest makes tasks from them. The same manifest, files and seed give the same trace, byte
//! for byte.
//!
//! **Invariant.** A run ends with every task ended, every agent stopped and nothing pending; what went wrong on the way is
//! in [`RunReport::failures`].

mod agents;
mod bodies;
mod conduct;
mod estimates;
mod faults;
mod feed;
mod handlers;
mod kinds;
mod options;
mod progress;
mod reporter;
mod startup;
mod subscriptions;
mod summary;
mod tally;
mod trace;
mod walk;
mod world;

use std::sync::Arc;

use crate::{host::paused_runtime, manifest::Manifest, report::RunReport};

pub(crate) use estimates::load as load_estimates;
pub use kinds::{MAX_RELAYS, Notice};
pub use options::{RunError, RunOptions};
pub use progress::{Progress, Stop};
pub(crate) use startup::planned as planned_startup;

/// Runs a whole swarm and waits until it has ended.
///
/// A run without tasks ends when every ticker has reached its limit and every planned fault that waits for a time has
/// struck. `progress` is called on the calling thread, at most about twenty times a second but for notes.
///
/// # Errors
/// [`RunError`] when there is no report to give, or the trace is not whole.
///
/// # Panics
/// When it is called inside of another runtime: it makes an actix system of its own.
///
/// # Examples
/// ```
/// use phalanx::{manifest::{Manifest, Variables}, report::Outcome, swarm::{self, RunOptions, Stop}};
/// let text = r#"{
///     "name": "naps", "agents": [{"kind": "runner", "count": 2}],
///     "tasks": [{"id": "nap/{index}", "for_each": {"count": 10}, "do": {"sleep": {"for": "1h"}}, "timeout": "2h"}]
/// }"#;
/// let manifest = Manifest::parse(text, "naps.json", &Variables::default())?;
/// let options = RunOptions { simulate: true, ..RunOptions::default() };
/// let report = swarm::run(&manifest, options, |_| {}, Stop::default())?;
/// assert_eq!((report.outcome, report.tasks.totals.completed), (Outcome::Succeeded, 10));
/// assert_eq!(report.tasks.duration_us, 5 * 3_600_000_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(
    manifest: &Manifest,
    options: RunOptions,
    progress: impl FnMut(Progress) + Send + 'static,
    stop: Stop,
) -> Result<RunReport, RunError> {
    let RunOptions { simulate, seed, trace } = options;
    let runtime = if simulate {
        paused_runtime()
    } else {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    };
    let runtime = runtime.map_err(RunError::Runtime)?;
    let system = actix_rt::System::with_tokio_rt(move || runtime);
    let seed = seed.unwrap_or(manifest.seed);
    let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let arbiters = if simulate { 1 } else { manifest.arbiters.unwrap_or_else(processors) };
    let world = Arc::new(world::World::new(manifest.clone(), simulate, stop, Arc::default()));
    let course = conduct::conduct(world, seed, arbiters, trace::Trace::to(trace), Box::new(progress));
    system.block_on(course)
}
