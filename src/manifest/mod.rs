//! The manifest: one JSON file that says what a swarm is, read with every fault named at its place.
//!
//! ```text
//! file --scan--> JSON tree with positions --decode--> Manifest + marks --check, outside--> Manifest or Faults
//! ```
//!
//! It owns the shape of the file, its JSON Schema and its faults. It never starts anything: [`Manifest`] is plain
//! data, which the host turns into agents and tasks.
//!
//! **Invariant.** Reading a manifest never panics, takes bounded memory whatever the file holds, and ends in a
//! [`Manifest`] or in at least one [`Fault`] with a position inside the file.
//!
//! Placeholders: `${name}` and `${name:-default}` in any text are filled by [`Variables`] (`--set name=value`), and
//! `$${` stands for `${` itself; a text with a placeholder may also stand where a number is expected. `{index}` and
//! `{path}` in ids and bodies are filled later, for each agent of an entry or each item of a loop.

mod check;
mod decode;
mod fault;
mod marks;
mod model;
mod outside;
mod page;
mod picture;
mod scan;
mod schema;
mod template;
mod values;
mod variables;
mod words;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::Path,
};

pub use fault::{Code, Fault, Faults, MAX_SHOWN};
pub use model::{
    AgentEntry, Append, Backoff, Batch, BatchStrategy, Behaviour, Body, CombineHashes, Confirm, Coordinator,
    Count, Counter, ForEach, Group, HandlerEntry, HashFile, Hasher, Heartbeat, Inbox, Kill, KindWord, Level,
    Location, Log, Logger, Manifest, Monitor, PlannedFault, Reaction, ReadFile, Registration, Relay, Run,
    Runner, Sleep, Startup, StartupTask, Subscriber, Subscription, Supervision, TaskEntry, Ticker,
    TopicEntry, WaitForFile, WaitForHttp, WaitForPort, When,
};
pub use page::page;
pub use picture::Palette;
pub use scan::{MAX_BYTES, MAX_DEPTH, MAX_VALUES};
pub use schema::schema;
pub use template::{INDEX, IdTemplate, InvalidTemplate, PATH};
pub use values::MAX_DURATION;
pub use variables::{Assignment, InvalidVariable, Variables};

use decode::{At, Decode, Decoder};

/// The most agents of one manifest, and the most tasks made by counting.
pub const MAX_AGENTS: u64 = 10_000_000;

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error(
        "the manifest {file} cannot be read: {}; check the path and its permissions",
        outside::plain(source)
    )]
    Unreadable {
        /// The file as it was named.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// The file is a directory.
    #[error("the manifest {file} is a directory; name the JSON file in it")]
    Directory {
        /// The directory as it was named.
        file: String,
    },
    /// The file is read, but faulty.
    #[error(transparent)]
    Faulty(#[from] Faults),
}

/// Reads a manifest without a look at the outside world, as a simulation needs it.
///
/// # Errors
/// The file cannot be read, or is faulty; all faults are named at once.
pub fn load(path: &Path, variables: &Variables) -> Result<Manifest, LoadError> {
    Ok(examine(&scan::read(path)?, &path.display().to_string(), variables, false)?)
}

/// Reads a manifest and looks whether the programs, files and directories it names are there, as a live run needs it.
///
/// # Errors
/// The file cannot be read, or is faulty, or names what is not there; all faults are named at once.
pub fn check(path: &Path, variables: &Variables) -> Result<Manifest, LoadError> {
    Ok(examine(&scan::read(path)?, &path.display().to_string(), variables, true)?)
}

impl Manifest {
    /// Reads a manifest from its text; `file` is the name that faults carry.
    ///
    /// # Errors
    /// The text is faulty; all faults are named at once.
    pub fn parse(text: &str, file: &str, variables: &Variables) -> Result<Self, Faults> {
        examine(text, file, variables, false)
    }

    /// The manifest as JSON with every default written out; it reads back as the same manifest.
    pub fn to_json(&self) -> serde_json::Value {
        let mut value =
            serde_json::to_value(self).expect("texts, numbers and paths from UTF-8 have a JSON form");
        escape_placeholders(&mut value);
        value
    }

    /// For each entry of [`Manifest::tasks`], the places of the entries it depends on: sorted, each once, patterns
    /// resolved.
    pub fn task_dependencies(&self) -> Vec<Vec<usize>> {
        let ids = || self.tasks.iter().map(|task| task.id.as_str());
        let places: HashMap<&str, usize> = ids().enumerate().map(|(at, id)| (id, at)).collect();
        let resolve = |(at, task): (usize, &TaskEntry)| {
            let mut found = BTreeSet::new();
            for on in &task.depends_on {
                match places.get(on.as_str()) {
                    Some(place) => _ = found.insert(*place),
                    None => found.extend(check::matching(on.as_str(), ids(), at)),
                }
            }
            found.into_iter().collect()
        };
        self.tasks.iter().enumerate().map(resolve).collect()
    }

    /// How many agents there are.
    pub fn agent_count(&self) -> u64 {
        self.agents.iter().map(|entry| entry.count).sum()
    }
}

/// Values are filled in by now: what still looks like a placeholder is text.
fn escape_placeholders(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) if text.contains("${") => *text = text.replace("${", "$${"),
        Value::Array(all) => all.iter_mut().for_each(escape_placeholders),
        Value::Object(all) => all.values_mut().for_each(escape_placeholders),
        _ => {}
    }
}

fn examine(text: &str, file: &str, variables: &Variables, look_outside: bool) -> Result<Manifest, Faults> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut cx = Decoder::new(text, variables);
    let manifest = scan::parse(text, &mut cx.faults).and_then(|tree| {
        let manifest = Manifest::decode(&mut cx, At { value: &tree, called: "", element: false });
        cx.unused_variables();
        check::check(&mut cx);
        if look_outside {
            outside::check(&mut cx);
        }
        manifest
    });
    match manifest {
        Some(manifest) if cx.faults.is_empty() => Ok(manifest),
        _ => Err(cx.faults.finish(file, text)),
    }
}
