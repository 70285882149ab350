//! `phalanx journal`: what a journal of registration holds, and what is damaged in it.

use std::{fmt::Write as _, path::PathBuf};

use serde_json::json;

use super::{
    Exit,
    console::{Console, Output},
};
use crate::journal::{Contents, Journal, JournalError};

/// How many agents, requests and places of damage are shown as text; all of them are in the JSON.
const SHOWN: usize = 20;

/// Shows what a journal of registration holds: who is registered, how the latest requests ended, and damage.
///
/// Reads only, also while a host writes to it. A damaged journal ends with the exit code 3; no host writes to it before it
/// is repaired.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// The journal.
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Put what is whole of a damaged journal in its place, and keep the damaged files beside it, as FILE.damaged-1 or a later
    /// number [default: change nothing].
    #[arg(long)]
    repair: bool,
}

impl Show {
    pub(super) fn run(self, output: Output, console: &mut Console<'_>) -> Exit {
        let read = if self.repair {
            Journal::repair(&self.path).map(|repaired| (repaired.before, repaired.kept))
        } else {
            Contents::read(&self.path, usize::MAX).map(|contents| (contents, None))
        };
        let (contents, kept) = match read {
            Ok(read) => read,
            Err(error) => return sorry(&error, console),
        };
        let is_damaged = !contents.damage.is_empty();
        let written = if output.json {
            let mut json = serde_json::to_value(&contents).expect("contents have a JSON form");
            json["file"] = json!(self.path);
            json["damaged_files"] = json!(kept);
            console.result(&format!("{json:#}\n"))
        } else if output.quiet {
            Exit::Well
        } else {
            console.result(&self.text(&contents))
        };
        for damage in contents.damage.iter().take(SHOWN) {
            console.say(&format!("phalanx: {damage}\n"));
        }
        match (is_damaged, kept) {
            (true, None) => {
                let path = self.path.display();
                console.say(&format!(
                    "phalanx: the journal is damaged, and is not written to; `phalanx journal {path} --repair` keeps a copy and goes \
                     on with what is whole\n"
                ));
                Exit::Faulty
            }
            (_, Some(kept)) => {
                let kept = kept.display();
                console
                    .say(&format!("phalanx: the journal is repaired; the damaged one is kept as {kept}\n"));
                written
            }
            (false, None) => written,
        }
    }

    fn text(&self, contents: &Contents) -> String {
        let recovered = &contents.recovered;
        let mut text = format!(
            "{}: {}, {} in {}{}\n",
            self.path.display(),
            if contents.damage.is_empty() { "whole" } else { "damaged" },
            many(contents.records, "record"),
            many(recovered.run, "run"),
            if contents.in_use { ", in use" } else { "" },
        );
        if !contents.damage.is_empty() {
            _ = writeln!(text, "{} behind the damage are not taken", many(contents.refused, "record"));
        }
        if contents.unfinished > 0 {
            _ = writeln!(text, "{} of a write that was broken off", many(contents.unfinished, "byte"));
        }
        _ = writeln!(text, "\n{} registered", many(recovered.members.len() as u64, "agent"));
        for member in recovered.members.iter().take(SHOWN) {
            let (request, generation, run) = (&member.request, member.generation, member.run);
            let (agent, kind, at) = (&request.agent, &request.profile.kind, member.sequence);
            _ = writeln!(text, "  {agent}, a {kind}: generation {generation}, run {run}, record {at}");
        }
        more(recovered.members.len(), &mut text);
        _ = writeln!(text, "\n{} ended lately", many(recovered.requests.len() as u64, "request"));
        for logged in recovered.requests.iter().rev().take(SHOWN) {
            let (request, run) = (&logged.request, logged.run);
            let ended = request.ended().unwrap_or(request.submitted);
            let (id, agent, status) = (request.id, &request.agent, request.status());
            _ = writeln!(text, "  {id} for {agent}: {status}, {ended} into run {run}");
        }
        more(recovered.requests.len(), &mut text);
        text
    }
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn more(count: usize, text: &mut String) {
    if count > SHOWN {
        _ = writeln!(text, "  .. and {} more; --json shows all", count - SHOWN);
    }
}

fn sorry(error: &JournalError, console: &mut Console<'_>) -> Exit {
    console.say(&format!("phalanx: {error}\n"));
    Exit::Io
}
