//! `phalanx check`: is a manifest right, and is all that it names there?

use std::path::PathBuf;

use crate::manifest::{self, Assignment, Manifest, Variables};

use super::{
    Exit,
    console::{Console, Output},
};

/// Reads a manifest and names all of its faults.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    source: Source,
}

/// A manifest and the values for its placeholders.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// The manifest, a JSON file.
    #[arg(value_name = "MANIFEST")]
    pub(super) path: PathBuf,
    /// Fill `${name}` and `${name:-default}` in the manifest; may be given several times [default: the defaults in
    /// it].
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(super) assignments: Vec<Assignment>,
}

impl Source {
    /// The values, or how to end.
    pub(super) fn variables(&self, console: &mut Console<'_>) -> Result<Variables, Exit> {
        Variables::from_assignments(self.assignments.iter().cloned()).map_err(|error| {
            console.say(&format!("phalanx: {error}\n"));
            Exit::Usage
        })
    }
}

impl Check {
    pub(super) fn run(self, output: Output, console: &mut Console<'_>) -> Exit {
        let variables = match self.source.variables(console) {
            Ok(variables) => variables,
            Err(exit) => return exit,
        };
        match manifest::check(&self.source.path, &variables) {
            Err(error) => console.refuse(&error, output),
            Ok(_) if output.json => console.result("[]\n"),
            Ok(_) if output.quiet => Exit::Well,
            Ok(manifest) => console.result(&summary(&manifest, output.verbose > 0)),
        }
    }
}

fn summary(manifest: &Manifest, verbose: bool) -> String {
    let many = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let entries = |entries: usize| u64::try_from(entries).expect("a length fits");
    let mut text = format!(
        "{}: no faults; {}, {}, {}, {}\n",
        manifest.name,
        many(entries(manifest.startup.tasks.len()), "start-up task"),
        many(manifest.agent_count(), "agent"),
        many(entries(manifest.topics.len()), "topic"),
        many(entries(manifest.tasks.len()), "task entry").replace("entrys", "entries"),
    );
    if verbose {
        text.push_str(&serde_json::to_string_pretty(&manifest.to_json()).expect("a value has a JSON form"));
        text.push('\n');
    }
    text
}
