//! `phalanx run`: runs the swarm of a manifest, shows how it goes, and reports.
//!
//! ```text
//! ctrl-C ──> Stop ──┐                  ┌──> bars, or plain lines (standard error)
//! manifest ──> swarm::run ──Progress───┘
//!                   └──RunReport──> summary or JSON (standard output), report files
//! ```
//!
//! It owns what a run looks like from outside. It never takes part in the run.
//!
//! **Invariant.** Whatever can be wrong with the command line, the manifest and the files to write is found before the
//! run starts; and however it ends, no bar is left on the terminal.

mod bars;
mod files;
mod interrupt;
mod lines;

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use clap::builder::{PathBufValueParser, TypedValueParser};

use super::{
    Exit,
    check::Source,
    console::{Console, Output},
    log,
    screen::Screen,
};
use crate::{
    manifest::{self, Manifest},
    report::{Outcome, RunReport},
    swarm::{self, Progress, RunError, RunOptions, Stop},
    whole::same_place,
};
use bars::Bars;
use files::ReportFile;
use lines::Lines;

/// What follows the options in `phalanx run --help`.
const EXAMPLES: &str = "\
Examples:
  phalanx run swarm.json
      runs a swarm and prints a summary
  phalanx run swarm.json --set root=/usr --report run.json --report run.md
      fills ${root} in the manifest, and writes the report as JSON and as Markdown
  phalanx run swarm.json --simulate --seed 7 --trace events.jsonl
      runs in virtual time; the same seed gives the same trace, byte for byte
  phalanx run swarm.json --json | jq .ledger
      prints the report as JSON

ctrl-C drains what the swarm holds and still reports; a second one stops at once.";

/// Runs the swarm of a manifest and reports.
///
/// Starts up in phases, registers the agents in batches, has the tasks done, drains, and prints a summary. How it goes
/// is shown on standard error: as bars on a terminal, as plain lines otherwise.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "`--help` shows examples.")]
pub(super) struct Run {
    #[command(flatten)]
    source: Source,
    /// Run in virtual time: what would touch the outside world takes its estimated duration instead [default: real
    /// time].
    #[arg(long)]
    simulate: bool,
    /// The seed of all randomness, a whole number [default: the manifest's].
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: Option<u64>,
    /// Write every event to a file, one JSON object a line, in order [default: no trace].
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write the report to a file, as JSON (.json) or Markdown (.md), or draw start-up, planned beside actual (.svg); may be given
    /// several times [default: none].
    #[arg(long = "report", value_name = "FILE", value_parser = PathBufValueParser::new().try_map(ReportFile::new))]
    reports: Vec<ReportFile>,
}

impl Run {
    pub(super) fn run(self, output: Output, console: &mut Console<'_>) -> Exit {
        match self.carry_out(output, console) {
            Ok(exit) | Err(exit) => exit,
        }
    }

    fn carry_out(self, output: Output, console: &mut Console<'_>) -> Result<Exit, Exit> {
        self.check_files(console)?;
        let manifest = self.manifest(output, console)?;
        if let Some(kept) = manifest.startup.estimates.as_deref()
            && let Some(file) = self.files().find(|file| same_place(kept, file))
        {
            let file = file.display();
            let text = format!("the file {file} keeps the estimates of start-up; write to another one");
            return Err(sorry(console, &text, Exit::Usage));
        }
        if let Some(kept) = manifest.registration.journal.as_deref()
            && let Some(file) = self.files().find(|file| same_place(kept, file))
        {
            let text =
                format!("the file {} is the journal of registration; write to another one", file.display());
            return Err(sorry(console, &text, Exit::Usage));
        }
        for report in &self.reports {
            report.probe().map_err(|error| sorry(console, &error, Exit::Io))?;
        }
        let trace = self.trace.as_deref().map(files::trace).transpose();
        let trace = trace.map_err(|error| sorry(console, &error, Exit::Io))?;
        let options = RunOptions {
            simulate: self.simulate,
            seed: self.seed,
            trace: trace.map(|file| Box::new(file) as _),
        };
        match watch(&manifest, options, output, console) {
            Ok(report) => Ok(self.report(&report, Exit::Well, output, console)),
            Err(error) => {
                let exit = if let RunError::Trace { .. } = error { Exit::Io } else { Exit::Failed };
                let exit = match &self.trace {
                    Some(path) if exit == Exit::Io => {
                        let path = path.display();
                        sorry(
                            console,
                            &format!("{error}; make room, or choose another file than {path}"),
                            exit,
                        )
                    }
                    _ => sorry(console, &error, exit),
                };
                match error {
                    RunError::Trace { report, .. } => Ok(self.report(&report, exit, output, console)),
                    _ => Err(exit),
                }
            }
        }
    }

    /// The files to write.
    fn files(&self) -> impl Iterator<Item = &Path> {
        self.trace.iter().map(PathBuf::as_path).chain(self.reports.iter().map(ReportFile::path))
    }

    /// No file is written twice, and none over the manifest.
    fn check_files(&self, console: &mut Console<'_>) -> Result<(), Exit> {
        let mut files: Vec<&Path> = vec![&self.source.path];
        for file in self.files() {
            if let Some(other) = files.iter().position(|other| same_place(other, file)) {
                let what = if other == 0 { "the manifest itself" } else { "named twice" };
                let text = format!("the file {} is {what}; write to another one", file.display());
                return Err(sorry(console, &text, Exit::Usage));
            }
            files.push(file);
        }
        Ok(())
    }

    /// A simulation does not look at the outside world, so only a live run needs it to be there.
    fn manifest(&self, output: Output, console: &mut Console<'_>) -> Result<Manifest, Exit> {
        let variables = self.source.variables(console)?;
        let read = if self.simulate { manifest::load } else { manifest::check };
        read(&self.source.path, &variables).map_err(|error| console.refuse(&error, output))
    }

    /// Writes the report wherever it is wanted. How the run ended counts more than what could not be written, before
    /// now or now.
    fn report(&self, report: &RunReport, before: Exit, output: Output, console: &mut Console<'_>) -> Exit {
        let outcome = match report.outcome {
            Outcome::Succeeded => Exit::Well,
            Outcome::Failed => Exit::Failed,
            Outcome::Interrupted => Exit::Interrupted,
        };
        let mut exits = vec![outcome, before];
        for file in &self.reports {
            match file.write(report) {
                Ok(()) => tracing::info!(file = %file.path().display(), "the report is written"),
                Err(error) => exits.push(sorry(console, &error, Exit::Io)),
            }
        }
        if output.json {
            exits.push(console.result(&report.to_json()));
        } else if output.quiet {
            report.failures.iter().for_each(|failure| _ = sorry(console, failure, Exit::Failed));
        } else {
            exits.push(console.result(&report.to_text(console.out_palette)));
        }
        exits.into_iter().find(|exit| *exit != Exit::Well).unwrap_or(Exit::Well)
    }
}

/// Reads a seed.
fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a whole number from 0 to {} is expected", u64::MAX))
}

/// Says what went wrong, and answers how to end.
fn sorry(console: &mut Console<'_>, error: &impl ToString, exit: Exit) -> Exit {
    console.say(&format!("phalanx: {}\n", error.to_string()));
    exit
}

/// How progress is shown.
enum View {
    Bars(Bars),
    Lines { lines: Lines, since: Instant, screen: Screen },
    Nothing,
}

impl View {
    fn tell(&mut self, progress: &Progress) {
        match self {
            Self::Bars(bars) => bars.tell(progress),
            Self::Lines { lines, since, screen } => {
                lines.tell(progress, since.elapsed()).iter().for_each(|line| screen.line(line));
            }
            Self::Nothing => {}
        }
    }

    fn finish(&mut self) {
        if let Self::Lines { lines, screen, .. } = self {
            lines.finish().iter().for_each(|line| screen.line(line));
        }
        *self = Self::Nothing;
    }
}

/// Runs the swarm while everyone who wants to can see how it goes, and stop it.
fn watch(
    manifest: &Manifest,
    options: RunOptions,
    output: Output,
    console: &mut Console<'_>,
) -> Result<RunReport, RunError> {
    let bars = console.terminal.is_some() && !output.quiet && !output.json;
    let screen = Screen::new(bars);
    log::install(output, &screen, console.palette);
    let stop = Stop::default();
    if let Err(error) = interrupt::install(stop.clone(), screen.clone(), output.quiet) {
        tracing::warn!(%error, "ctrl-C ends the run at once: it cannot be listened for");
    }
    let view = Arc::new(Mutex::new(if bars {
        View::Bars(Bars::new(screen.clone()))
    } else if output.quiet {
        View::Nothing
    } else {
        View::Lines { lines: Lines::default(), since: Instant::now(), screen: screen.clone() }
    }));
    let (tasks, agents) = (manifest.tasks.len(), manifest.agent_count());
    tracing::info!(swarm = manifest.name, agents, tasks, simulated = options.simulate, "the run starts");
    let teller = Arc::clone(&view);
    let tell = move |progress| {
        tracing::debug!(?progress);
        teller.lock().unwrap_or_else(PoisonError::into_inner).tell(&progress);
    };
    let ended = catch_unwind(AssertUnwindSafe(|| swarm::run(manifest, options, tell, stop)));
    view.lock().unwrap_or_else(PoisonError::into_inner).finish();
    screen.close();
    ended.unwrap_or_else(|payload| {
        let text = log::text(&*payload);
        console.say(&format!("phalanx: {text}; this is a fault of phalanx itself, `-v` shows where\n"));
        resume_unwind(payload)
    })
}
