//! The command `phalanx`: its subcommands, a file each, and what they have in common.
//!
//! ```text
//! arguments --clap--> Cli --> Command::{Run, Check, Plan, Journal, Schema, Bench} --> Exit
//! ```
//!
//! A subcommand is a struct of clap arguments with `run(self, Output, &mut Console) -> Exit`; it writes results to
//! standard output, everything else to standard error, and never ends the process itself.

mod bench;
mod check;
mod console;
mod exit;
#[cfg(feature = "journal")]
mod journal;
mod log;
mod plan;
mod run;
mod screen;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
pub use exit::Exit;

use crate::{manifest, report};
use console::{Console, Output, with_process};

/// Hosts swarms of agents, each described by one manifest.
#[derive(Debug, Parser)]
#[command(name = "phalanx", version, after_help = after_help())]
struct Cli {
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    /// Reads a manifest and names all of its faults.
    Check(check::Check),
    Plan(plan::Plan),
    #[cfg(feature = "journal")]
    Journal(journal::Show),
    /// Prints the JSON Schema of the manifest, or of the report.
    Schema(Schema),
    Bench(bench::Bench),
}

/// Prints the JSON Schema of the manifest, or of the report.
#[derive(Debug, clap::Args)]
struct Schema {
    /// Print that of the report of a run [default: that of the manifest].
    #[arg(long)]
    report: bool,
    /// Print the page of all keys of the manifest instead, as Markdown.
    #[arg(long, conflicts_with = "report")]
    markdown: bool,
}

/// What follows the options in `phalanx --help`.
fn after_help() -> String {
    format!(
        "\
Examples:
  phalanx check swarm.json           names all faults of a manifest
  phalanx plan swarm.json            shows what its start-up comes to
  phalanx run swarm.json             runs it and prints a summary
  phalanx run swarm.json --simulate  runs it in virtual time
  phalanx schema > schema.json       for editors that complete manifests
  phalanx bench multicast            measures a claim, exactly

{}",
        Exit::help()
    )
}

impl Command {
    fn run(self, output: Output, console: &mut Console<'_>) -> Exit {
        match self {
            Self::Check(check) => check.run(output, console),
            Self::Plan(plan) => plan.run(output, console),
            #[cfg(feature = "journal")]
            Self::Journal(show) => show.run(output, console),
            Self::Run(run) => run.run(output, console),
            Self::Bench(bench) => bench.run(output, console),
            Self::Schema(Schema { report: true, .. }) => console.result(&format!("{:#}\n", report::schema())),
            Self::Schema(Schema { markdown: true, .. }) => console.result(&manifest::page()),
            Self::Schema(_) => console.result(&format!("{:#}\n", manifest::schema())),
        }
    }
}

/// The whole command: reads the arguments of the process, does what they say, and says how it went.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked_or_wrong) => {
            // Help and the version are no errors; where they cannot be written there is nobody to tell.
            let _ = asked_or_wrong.print();
            return if asked_or_wrong.use_stderr() { Exit::Usage } else { Exit::Well }.into();
        }
    };
    with_process(|console| cli.command.run(cli.output, console)).into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_lists_every_exit_code() {
        let help = Cli::command().render_help().to_string();
        for (exit, meaning) in Exit::ALL {
            assert!(help.contains(&format!("{:>3}  {meaning}", exit.number())), "{help}");
        }
    }
}
