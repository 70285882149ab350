//! `phalanx bench`: measures phalanx against a claim, and puts what was found on a page.
//!
//! ```text
//! name ──> bench::ALL ──Step──> bar, or plain lines (standard error)
//!                     └──Findings──> page (standard output, or a file) ──> Exit
//! ```
//!
//! It owns what a benchmark looks like from outside. What is measured and how it is judged is the room `bench`'s.
//!
//! **Invariant.** A claim that is missed never ends with zero; and however it ends, no bar is left on the terminal.

mod progress;

use std::{path::PathBuf, process};

use clap::{
    ValueEnum,
    builder::{PossibleValue, PossibleValuesParser},
};

use serde_json::{Value, json};

use super::{
    Exit,
    console::{Console, Output},
    log,
    screen::Screen,
};
use crate::{
    bench::{ALL, Findings, Options, Step},
    whole::{WholeFile, ends_in},
};
use progress::Progress;

/// What follows the options in `phalanx bench --help`.
fn after_help() -> String {
    format!(
        "\
{}
Examples:
  phalanx bench
      measures all of them, this machine included, in about two minutes
  phalanx bench multicast
      measures in virtual time, which is exact, and prints a table
  phalanx bench multicast --real
      measures this machine as well
  phalanx bench multicast --format json | jq .claims
      prints all figures as JSON
  phalanx bench multicast --real --out page.md
      writes a page of Markdown

A claim that is missed ends with the exit code {}.",
        list(),
        Exit::Missed.number()
    )
}

/// What there is to measure.
fn list() -> String {
    let widest = ALL.iter().map(|bench| bench.name().len()).max().unwrap_or(0);
    let line = |bench: &&dyn crate::bench::Bench| {
        let (name, about) = (bench.name(), bench.about());
        format!("  {name:widest$}  {about}\n")
    };
    format!("Benchmarks:\n{}", ALL.iter().map(line).collect::<String>())
}

fn names() -> PossibleValuesParser {
    ALL.iter().map(|bench| PossibleValue::new(bench.name()).help(bench.about())).collect::<Vec<_>>().into()
}

/// Measures phalanx against what is claimed, and puts it on one page.
///
/// Without a name it measures all there is, in virtual and in real time. What is measured in virtual time is exact and the
/// same on every machine; the page says so, and says what is not.
#[derive(Debug, clap::Args)]
#[command(after_long_help = after_help(), after_help = "`--help` shows the benchmarks and examples.")]
pub(super) struct Bench {
    /// What to measure [default: all there is].
    #[arg(value_name = "BENCH", value_parser = names())]
    name: Option<String>,
    /// List what there is to measure.
    #[arg(long, exclusive = true)]
    list: bool,
    /// Write the page as this [default: as the name of FILE ends, else a table].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Measure this machine as well, in real time; takes about half a minute each [default with a BENCH: virtual time alone].
    #[arg(long, conflicts_with = "exact")]
    real: bool,
    /// Measure in virtual time alone [default without a BENCH: this machine as well].
    #[arg(long)]
    exact: bool,
    /// Write the page to a file [default: to standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What a page is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Table,
    /// All figures, with the version of their form.
    Json,
    /// A page of Markdown.
    Md,
}

impl Bench {
    pub(super) fn run(self, output: Output, console: &mut Console<'_>) -> Exit {
        match self.carry_out(output, console) {
            Ok(exit) | Err(exit) => exit,
        }
    }

    fn carry_out(self, output: Output, console: &mut Console<'_>) -> Result<Exit, Exit> {
        if self.list {
            return Ok(console.result(&list()));
        }
        let is_meant = |name: &str| self.name.as_deref().is_none_or(|meant| meant == name);
        let benches: Vec<_> = ALL.iter().filter(|bench| is_meant(bench.name())).collect();
        let options = Options { real: self.real || (self.name.is_none() && !self.exact) };
        let format = self.format(output).map_err(|text| sorry(console, &text, Exit::Usage))?;
        let out = self.out.clone().map(|path| WholeFile::new("page", path));
        if let Some(file) = &out {
            file.probe().map_err(|error| sorry(console, &error, Exit::Io))?;
        }
        let watched = console.terminal.is_some() && !output.quiet && !output.json;
        let screen = Screen::new(watched);
        log::install(output, &screen, console.palette);
        end_on_interrupt(screen.clone());
        let mut progress = Progress::new(&screen, watched, output.quiet);
        let found: Result<Vec<_>, _> = benches
            .iter()
            .map(|bench| {
                // Of several each step says of which it is.
                let of = if benches.len() > 1 { format!("{}: ", bench.name()) } else { String::new() };
                bench.run(options, &mut |step| {
                    progress.tell(&Step { doing: of.clone() + &step.doing, ..step });
                })
            })
            .collect();
        drop(progress);
        screen.close();
        let findings = found.map_err(|error| sorry(console, &error, Exit::Failed))?;
        Ok(deliver(&findings, format, out.as_ref(), console))
    }

    /// As what the page is written, if it is; or what is wrong with the command line.
    fn format(&self, output: Output) -> Result<Option<Format>, String> {
        let by_name = |path: &PathBuf| match path {
            path if ends_in(path, "json") => Format::Json,
            path if ends_in(path, "md") => Format::Md,
            _ => Format::Table,
        };
        match (output.json, self.format, &self.out) {
            (true, Some(Format::Table | Format::Md), _) => {
                Err("--json and another --format contradict each other; leave one of them out".to_owned())
            }
            (true, ..) => Ok(Some(Format::Json)),
            (_, Some(format), _) => Ok(Some(format)),
            (_, None, Some(path)) => Ok(Some(by_name(path))),
            (_, None, None) => Ok((!output.quiet).then_some(Format::Table)),
        }
    }
}

/// Writes the page where it is wanted. A claim that is missed counts more than a page that could not be written.
fn deliver(
    findings: &[Box<dyn Findings>],
    format: Option<Format>,
    out: Option<&WholeFile>,
    console: &mut Console<'_>,
) -> Exit {
    let missed: Vec<String> = findings.iter().flat_map(|findings| findings.missed()).collect();
    for claim in &missed {
        sorry(console, &format!("the claim is missed: {claim}"), Exit::Missed);
    }
    let palette = if out.is_none() { console.out_palette } else { crate::manifest::Palette::Plain };
    let page = format.map(|format| match format {
        Format::Table => joined(findings, |findings| findings.to_text(palette)),
        Format::Json => json(findings),
        Format::Md => joined(findings, |findings| findings.to_markdown()),
    });
    let written = match (page, out) {
        (None, _) => Exit::Well,
        (Some(page), None) => console.result(&page),
        (Some(page), Some(file)) => match file.write(&page) {
            Ok(()) => Exit::Well,
            Err(error) => sorry(console, &error, Exit::Io),
        },
    };
    if missed.is_empty() { written } else { Exit::Missed }
}

/// One page after the other.
fn joined(findings: &[Box<dyn Findings>], page: impl Fn(&dyn Findings) -> String) -> String {
    findings.iter().map(|findings| page(&**findings)).collect::<Vec<_>>().join("\n")
}

/// The figures of one, or of several as a list.
fn json(findings: &[Box<dyn Findings>]) -> String {
    if let [findings] = findings {
        return findings.to_json();
    }
    let all = findings.iter().map(|findings| serde_json::from_str(&findings.to_json()));
    let all: Vec<Value> = all.collect::<Result<_, _>>().expect("figures are good JSON");
    format!("{:#}\n", json!({"schema": "phalanx-bench/1.0", "benches": all}))
}

/// Says what went wrong, and answers how to end.
fn sorry(console: &mut Console<'_>, error: &impl ToString, exit: Exit) -> Exit {
    console.say(&format!("phalanx: {}\n", error.to_string()));
    exit
}

/// From now on an interrupt ends the process at once: half a measurement is none.
fn end_on_interrupt(screen: Screen) {
    let installed = ctrlc::set_handler(move || {
        screen.close();
        process::exit(Exit::Interrupted.number().into());
    });
    if let Err(error) = installed {
        tracing::warn!(%error, "ctrl-C leaves a bar on the terminal: it cannot be listened for");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{bench, manifest::Palette};

    /// How the end of a benchmark looks from outside.
    fn delivered(
        findings: &[Box<dyn Findings>],
        format: Option<Format>,
        out: Option<&WholeFile>,
    ) -> (Exit, String, String) {
        let (mut written, mut said) = (Vec::new(), Vec::new());
        let mut console = Console {
            out: &mut written,
            err: &mut said,
            terminal: None,
            palette: Palette::Plain,
            out_palette: Palette::Plain,
        };
        let exit = deliver(findings, format, out, &mut console);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (exit, text(written), text(said))
    }

    #[test]
    fn a_claim_that_is_missed_ends_with_five_whatever_becomes_of_the_page() {
        let slow = [bench::with_rest(Duration::from_millis(10))];
        let missed =
            "phalanx: the claim is missed: any number at once: over the loop 8.54x, claimed are 12.8x\n";
        for format in [None, Some(Format::Table), Some(Format::Json), Some(Format::Md)] {
            let (exit, out, err) = delivered(&slow, format, None);
            assert_eq!((exit, exit.number()), (Exit::Missed, 5));
            assert_eq!((out.is_empty(), err.starts_with(missed)), (format.is_none(), true), "{err}");
        }
        let nowhere = WholeFile::new("page", "no/such/page.md".into());
        let (exit, out, err) = delivered(&slow, Some(Format::Md), Some(&nowhere));
        assert_eq!((exit, out.as_str()), (Exit::Missed, ""));
        assert!(err.contains("the page no/such/page.md cannot be written"), "{err}");
    }

    #[test]
    fn the_form_is_what_an_option_says_or_else_the_end_of_the_name() {
        let form = |json, quiet, format, out: Option<&str>| {
            let name = Some("multicast".to_owned());
            let out = out.map(PathBuf::from);
            let bench = Bench { name, list: false, format, real: false, exact: false, out };
            bench.format(Output { json, quiet, verbose: 0 })
        };
        assert_eq!(form(false, false, None, None), Ok(Some(Format::Table)));
        assert_eq!(form(false, true, None, None), Ok(None), "quiet");
        assert_eq!(
            form(false, true, Some(Format::Table), None),
            Ok(Some(Format::Table)),
            "quiet, but asked for"
        );
        assert_eq!(form(true, true, None, None), Ok(Some(Format::Json)));
        assert_eq!(form(true, false, Some(Format::Json), Some("a.md")), Ok(Some(Format::Json)));
        for (out, expected) in [("a.md", Format::Md), ("a.JSON", Format::Json), ("a", Format::Table)] {
            assert_eq!(form(false, false, None, Some(out)), Ok(Some(expected)), "{out}");
            assert_eq!(form(false, true, Some(Format::Md), Some(out)), Ok(Some(Format::Md)), "{out}");
        }
        assert!(
            form(true, false, Some(Format::Md), None).unwrap_err().starts_with("--json and another --format")
        );
    }

    #[test]
    fn every_benchmark_is_listed_in_a_line_of_its_own() {
        let listed = list();
        for bench in ALL {
            assert_eq!(listed.matches(&format!("\n  {} ", bench.name())).count(), 1, "{listed}");
        }
        assert!(listed.lines().all(|line| line.chars().count() <= bench::WIDTH), "{listed}");
    }
}
