//! The handlers of events that a manifest names: they write to the log, append to files, and count.
//!
//! They are added before anything else happens, in the order of their priority, so that they see the whole run.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use phalanx_actors::monitor::{AddHandler, Event, HandlerSpec, Severity};
use wildmatch::WildMatch;

use super::world::World;
use crate::{
    Host, HostError,
    manifest::{HandlerEntry, Reaction},
    report::HandlerSection,
};

/// A file that events are appended to.
struct Lines {
    path: PathBuf,
    out: BufWriter<File>,
}

/// What is known of one handler.
struct Running {
    name: String,
    handled: Arc<AtomicU64>,
    errors: Arc<AtomicU64>,
    counts: Option<Arc<Mutex<BTreeMap<&'static str, u64>>>>,
    lines: Option<Arc<Mutex<Lines>>>,
}

/// The handlers of a run.
#[derive(Default)]
pub(super) struct Handlers {
    running: Vec<Running>,
    failures: Vec<String>,
}

impl Handlers {
    /// Adds those that the manifest names.
    pub(super) async fn add(world: &World, host: &Host) -> Result<Self, HostError> {
        let mut entries: Vec<&HandlerEntry> = world.manifest.monitor.handlers.iter().collect();
        // The monitor calls handlers of equal priority in the order of their coming; a manifest has more steps than it.
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.priority));
        let mut handlers = Self::default();
        for entry in entries {
            let running = match Running::new(world, entry) {
                Ok(running) => running,
                Err(failure) => {
                    handlers.failures.push(failure);
                    continue;
                }
            };
            let call = running.call(entry);
            let spec =
                HandlerSpec::new(&entry.name).kinds(entry.events.iter().copied()).at_least(entry.severity);
            let added = host.protocols().monitor.send(AddHandler::function(spec, call)).await;
            added.map_err(|_| HostError::NoAnswer("monitor"))?;
            handlers.running.push(running);
        }
        Ok(handlers)
    }

    /// Writes out what is buffered; how the handlers fared, in the order of the manifest, and what went wrong.
    pub(super) fn end(self, world: &World) -> (Vec<HandlerSection>, Vec<String>) {
        let Self { mut running, mut failures } = self;
        let place = |name: &str| world.manifest.monitor.handlers.iter().position(|entry| entry.name == name);
        running.sort_by_key(|handler| place(&handler.name));
        let mut sections = Vec::new();
        for handler in running {
            if let Some(lines) = &handler.lines {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = lines.out.flush() {
                    handler.errors.fetch_add(1, Ordering::Relaxed);
                    failures.push(unwritable(&handler.name, &lines.path, &error));
                }
            }
            if let Some(counts) = &handler.counts {
                let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                let counts: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
                let counts = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
                world.tally.note(format!("handler {} counted {counts}", handler.name));
            }
            sections.push(HandlerSection {
                name: handler.name,
                handled: handler.handled.load(Ordering::Relaxed),
                errors: handler.errors.load(Ordering::Relaxed),
            });
        }
        (sections, failures)
    }
}

fn unwritable(handler: &str, path: &Path, error: &std::io::Error) -> String {
    format!("handler {handler} cannot append to {}: {error}", path.display())
}

impl Running {
    fn new(world: &World, entry: &HandlerEntry) -> Result<Self, String> {
        let mut lines = None;
        if let Reaction::Append(append) = &entry.reaction {
            if world.simulated {
                let note = "`append` is simulated: no file is written, events are only counted";
                world.tally.note_once("simulated/append", note.to_owned());
            } else {
                let file = OpenOptions::new().create(true).append(true).open(&append.path);
                let file = file.map_err(|error| unwritable(&entry.name, &append.path, &error))?;
                lines = Some(Arc::new(Mutex::new(Lines {
                    path: append.path.clone(),
                    out: BufWriter::new(file),
                })));
            }
        }
        let counts = matches!(entry.reaction, Reaction::Count(_)).then(Arc::default);
        let (handled, errors) = (Arc::default(), Arc::default());
        Ok(Self { name: entry.name.clone(), handled, errors, counts, lines })
    }

    fn call(&self, entry: &HandlerEntry) -> impl FnMut(&Event) -> Result<(), String> + Send + 'static {
        let source = WildMatch::new(&entry.source);
        let (name, handled, errors) = (self.name.clone(), self.handled.clone(), self.errors.clone());
        let (counts, lines) = (self.counts.clone(), self.lines.clone());
        let logs = matches!(entry.reaction, Reaction::Log(_));
        move |event| {
            if !source.matches(event.source.as_str()) {
                return Ok(());
            }
            handled.fetch_add(1, Ordering::Relaxed);
            if logs {
                log(&name, event);
            }
            if let Some(counts) = &counts {
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(event.kind.as_str()).or_default() += 1;
            }
            let Some(lines) = &lines else { return Ok(()) };
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            let written = writeln!(lines.out, "{}", event.to_json());
            written.map_err(|error| {
                errors.fetch_add(1, Ordering::Relaxed);
                unwritable(&name, &lines.path, &error)
            })
        }
    }
}

fn log(handler: &str, event: &Event) {
    let (line, name) = (event.to_json(), &*event.name);
    match event.severity {
        Severity::Debug => tracing::debug!(handler, name, "{line}"),
        Severity::Info => tracing::info!(handler, name, "{line}"),
        Severity::Warning => tracing::warn!(handler, name, "{line}"),
        Severity::Error | Severity::Critical => tracing::error!(handler, name, "{line}"),
    }
}
