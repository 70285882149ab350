//! The benchmarks of the command `phalanx bench`: each puts one claim on one page.
//!
//! ```text
//! ALL ──by name──> Bench::run(Options, tell) ──> Findings ──> blocks (table, Markdown), JSON, claims that are missed
//! ```
//!
//! A benchmark is a module with a type that is a [`Bench`] and a line in [`ALL`]; the command knows no more of it. This room
//! owns what is measured, how it is judged, and what the page says. It never prints, and never decides how the command
//! ends.
//!
//! **Invariant.** What a page calls exact is measured in virtual time and is the same on every machine; what is not says
//! so.

mod figures;
mod goal;
mod initialization;
mod multicast;
mod registration;
mod standing;
mod ways;

#[cfg(test)]
pub(crate) use multicast::tests::with_rest;
use phalanx_actors::{
    agent::{AskError, InvalidName},
    inbox::Counts,
    initializer::StartUpError,
    supervisor::SpawnError,
};

use serde::Serialize;

use crate::{
    host::HostError,
    manifest::Palette,
    report::{markdown, outline::Block, text},
};

/// How many columns a table takes at most.
pub const WIDTH: usize = 100;

/// All benchmarks, in the order in which they are listed.
pub const ALL: &[&dyn Bench] =
    &[&initialization::Initialization, &registration::Registration, &multicast::Multicast];

/// Something to measure.
pub trait Bench: Sync {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// What it measures, in one line.
    fn about(&self) -> &'static str;

    /// Measures, and tells of each step.
    ///
    /// # Errors
    /// [`BenchError`] when there is nothing to judge.
    fn run(&self, options: Options, tell: &mut dyn FnMut(Step)) -> Result<Box<dyn Findings>, BenchError>;
}

/// What is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Measure this machine as well, in real time.
    pub real: bool,
}

/// How far a benchmark is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How many steps are done.
    pub done: usize,
    /// How many there are.
    pub of: usize,
    /// What is being done now.
    pub doing: String,
}

/// What a benchmark found.
pub trait Findings {
    /// All figures as JSON, indented, with a line break at the end.
    fn to_json(&self) -> String;

    /// The page, block by block.
    #[doc(hidden)]
    fn blocks(&self) -> Page;

    /// The claims that are missed, in sentences; empty when all are met.
    fn missed(&self) -> Vec<String>;
}

/// A page of findings.
#[derive(Debug)]
pub struct Page(Vec<Block>);

impl dyn Findings + '_ {
    /// The page for people at a terminal, in at most [`WIDTH`] columns.
    pub fn to_text(&self, palette: Palette) -> String {
        text::render(&self.blocks().0, WIDTH, palette)
    }

    /// The page as Markdown with GitHub's tables; the same content as `to_text`.
    pub fn to_markdown(&self) -> String {
        markdown::render(&self.blocks().0)
    }
}

/// Figures as JSON, indented, with a line break at the end.
fn json(figures: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(figures).expect("numbers and texts have a JSON form");
    format!("{text}\n")
}

fn lost(ledger: &Counts) -> u64 {
    ledger.rejected + ledger.dropped + ledger.expired + ledger.failed
}

/// Why there is nothing to judge.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// There is no host to measure.
    #[error(transparent)]
    Host(#[from] HostError),
    /// There are no agents to measure.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A name is no name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// There are no threads or no clock to run on.
    #[error("the runtime cannot be started: {0}")]
    Runtime(#[from] std::io::Error),
    /// Start-up tasks do not fit together.
    #[error(transparent)]
    StartUp(#[from] StartUpError),
    /// A protocol actor did not answer.
    #[error("the {0} did not answer: measure again")]
    NoAnswer(&'static str),
    /// The work is not what it should be.
    #[error("{way}: {why}; the work is not the same for all, measure again")]
    Unequal {
        /// Whose work.
        way: String,
        /// What is wrong with it.
        why: String,
    },
    /// An agent did not answer.
    #[error("an agent did not answer: {0}; the work is not the same for all, measure again")]
    Answer(#[from] AskError),
    /// A message was refused.
    #[error("{way}: a message was refused: {why}; the work is not the same for all, measure again")]
    Refused {
        /// Whose message.
        way: String,
        /// Why.
        why: String,
    },
    /// The ledger does not say that all was delivered.
    #[error(
        "{way}: of {expected} deliveries {} were sent, {} delivered, {} lost and {} are pending; the work is not the same for \
         all, measure again",
        ledger.sent, ledger.delivered, lost(ledger), ledger.pending
    )]
    Ledger {
        /// Who sent them.
        way: String,
        /// How many deliveries there should be.
        expected: u64,
        /// What the ledger says.
        ledger: Counts,
    },
    /// The agents did not handle what the ledger says.
    #[error(
        "{way}: the agents handled {handled} of {expected} deliveries, {disordered} of them out of order; the ledger says \
         that all were delivered"
    )]
    Handled {
        /// Who sent them.
        way: String,
        /// How many deliveries there should be.
        expected: u64,
        /// How many the agents counted.
        handled: u64,
        /// How many came out of the order of their sender.
        disordered: u64,
    },
}
