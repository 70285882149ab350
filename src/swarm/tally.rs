//! [`Tally`]: what the events of a run add up to, for progress, planned faults and the report.
//!
//! It is fed by the monitor's tap, on the monitor's arbiter, and read from everywhere.
//!
//! **Invariant.** Every change is told to those who [`subscribe`](Tally::subscribe).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use phalanx_actors::{
    agent::{AgentId, Timestamp},
    coordinator::TaskFault,
    monitor::{Event, names},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::report::{FailedTask, LostAgent};

/// How many of each sort of thing are kept by name.
pub(super) const NAMED: usize = 100;

/// The host's own actors begin like this.
const OWN: &str = "phalanx/";

/// What the events of a run add up to.
pub(super) struct Tally {
    figures: Mutex<Figures>,
    news: watch::Sender<()>,
}

/// The figures.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// Those that take part in start-up.
    pub(super) startup_tasks: usize,
    pub(super) startup_ended: usize,
    pub(super) startup_failed: usize,
    pub(super) phase: Option<String>,
    pub(super) registered: usize,
    /// Tasks submitted, as far as the run has had them accepted.
    pub(super) submitted: usize,
    pub(super) completed: usize,
    /// Tasks that ended without completing.
    pub(super) failed: usize,
    /// The first [`NAMED`] of those, with the reason.
    pub(super) failed_tasks: Vec<FailedTask>,
    /// The first that neither was cancelled nor failed because of another one.
    pub(super) failed_first: Option<FailedTask>,
    pub(super) last_end: Option<Timestamp>,
    pub(super) crashes: u64,
    pub(super) restarts: u64,
    /// How often each agent crashed, those that did.
    pub(super) crashed: BTreeMap<AgentId, u64>,
    /// The first [`NAMED`] agents that were given up, with the reason.
    pub(super) abandoned: Vec<LostAgent>,
    /// Agents that are no more.
    pub(super) gone: BTreeSet<AgentId>,
    pub(super) draining: bool,
    pub(super) notes: Vec<String>,
    /// Notes that were not shown yet.
    pub(super) unshown: VecDeque<String>,
    said: BTreeSet<String>,
    ticks: BTreeMap<AgentId, u64>,
    pub(super) ticked_out: BTreeSet<AgentId>,
}

impl Figures {
    /// Tasks that have not ended.
    pub(super) fn open(&self) -> usize {
        self.submitted.saturating_sub(self.completed + self.failed)
    }

    /// What is told while the run goes on, without all that is kept by name.
    pub(super) fn outline(&self) -> Self {
        Self {
            startup_tasks: self.startup_tasks,
            startup_ended: self.startup_ended,
            startup_failed: self.startup_failed,
            phase: self.phase.clone(),
            registered: self.registered,
            submitted: self.submitted,
            completed: self.completed,
            failed: self.failed,
            draining: self.draining,
            ..Self::default()
        }
    }

    /// Keeps why a task did not complete, if it is among the first.
    fn note_failed(&mut self, ended: &Event) {
        let has_room = self.failed_tasks.len() < NAMED;
        if !has_room && self.failed_first.is_some() {
            return;
        }
        let text = |key: &str| ended.data.get(key).and_then(Value::as_str).unwrap_or_default();
        let fault = ended.data.get("fault").and_then(|fault| TaskFault::deserialize(fault).ok());
        let reason = fault.as_ref().map_or_else(|| text("state").to_owned(), ToString::to_string);
        let failed = FailedTask { task: text("task").to_owned(), reason };
        let follows = matches!(fault, Some(TaskFault::Dependency { .. } | TaskFault::Cancelled { .. }));
        if !follows && self.failed_first.is_none() {
            self.failed_first = Some(failed.clone());
        }
        if has_room {
            self.failed_tasks.push(failed);
        }
    }

    fn note(&mut self, note: String) {
        self.unshown.push_back(note.clone());
        if self.notes.len() < NAMED {
            self.notes.push(note);
        } else if self.notes.len() == NAMED {
            self.notes.push(format!("further notes are left out: these are the first {NAMED}"));
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { figures: Mutex::default(), news: watch::channel(()).0 }
    }
}

impl Tally {
    pub(super) fn read(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Figures) -> T) -> T {
        let result = change(&mut self.read());
        self.news.send_replace(());
        result
    }

    /// Hears of every change from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Waits until the figures are so.
    pub(super) async fn until(&self, mut so: impl FnMut(&Figures) -> bool) {
        let mut news = self.subscribe();
        loop {
            if so(&self.read()) {
                return;
            }
            // The sender lives as long as `self`.
            _ = news.changed().await;
        }
    }

    /// Says something, in the report and on the way.
    pub(super) fn note(&self, note: String) {
        self.change(|figures| figures.note(note));
    }

    /// Says something the first time that it comes up under this key.
    pub(super) fn note_once(&self, key: &str, note: String) {
        if !self.read().said.contains(key) {
            self.change(|figures| {
                if figures.said.insert(key.to_owned()) {
                    figures.note(note);
                }
            });
        }
    }

    pub(super) fn submitted(&self, tasks: usize) {
        self.change(|figures| figures.submitted += tasks);
    }

    /// Takes back what was counted as submitted and then refused.
    pub(super) fn refused(&self, tasks: usize) {
        self.change(|figures| figures.submitted -= tasks);
    }

    pub(super) fn drain(&self) {
        self.change(|figures| figures.draining = true);
    }

    /// Counts a tick of a ticker: its number, and whether it is the last; none when the limit was reached before.
    pub(super) fn tick(&self, ticker: &AgentId, limit: Option<u64>) -> Option<(u64, bool)> {
        let mut figures = self.read();
        let ticks = figures.ticks.entry(ticker.clone()).or_default();
        if limit.is_some_and(|limit| *ticks >= limit) {
            return None;
        }
        *ticks += 1;
        Some((*ticks, Some(*ticks) == limit))
    }

    /// Notes that a ticker has published its last tick.
    pub(super) fn ticked_out(&self, ticker: &AgentId) {
        self.change(|figures| figures.ticked_out.insert(ticker.clone()));
    }

    /// Takes in an event.
    pub(super) fn observe(&self, event: &Event) {
        let own = event.agent.as_ref().is_some_and(|agent| agent.as_str().starts_with(OWN));
        let text = |key: &str| event.data.get(key).and_then(Value::as_str).unwrap_or_default();
        match &*event.name {
            "initializer.phase_started" => {
                self.change(|figures| figures.phase = Some(text("phase").to_owned()));
            }
            "initializer.startup_began" => {
                let tasks = event.data.get("tasks").and_then(Value::as_u64).unwrap_or_default();
                self.change(|figures| figures.startup_tasks = usize::try_from(tasks).unwrap_or(usize::MAX));
            }
            "initializer.task_ended" => self.change(|figures| {
                figures.startup_ended += 1;
                figures.startup_failed += usize::from(text("status") != "completed");
            }),
            "registrar.batch_registered" => {
                let agents = event.data.get("agents").and_then(Value::as_u64).unwrap_or_default();
                self.change(|figures| figures.registered += usize::try_from(agents).unwrap_or_default());
            }
            "coordinator.task_ended" => self.change(|figures| {
                figures.last_end = Some(event.at);
                if text("state") == "completed" {
                    figures.completed += 1;
                } else {
                    figures.failed += 1;
                    figures.note_failed(event);
                }
            }),
            "coordinator.capability_missing" => {
                let needs = event.data.get("needs").and_then(Value::as_array);
                let needs =
                    needs.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
                let lacking =
                    if needs.is_empty() { "does tasks".to_owned() } else { format!("offers {needs}") };
                self.note(format!("no agent is left that {lacking}: the tasks that need one are cancelled"));
            }
            names::AGENT_PANICKED => self.change(|figures| {
                let Some(agent) = &event.agent else { return };
                if own {
                    figures.note(format!("the host's own {agent} crashed: {}", text("message")));
                    return;
                }
                figures.crashes += 1;
                *figures.crashed.entry(agent.clone()).or_default() += 1;
                figures.note(format!("{agent} crashed: {}", text("message")));
            }),
            names::AGENT_RESTARTED if !own => self.change(|figures| {
                figures.restarts += 1;
                if let Some(agent) = &event.agent {
                    figures.unshown.push_back(format!("{agent} was restarted"));
                }
            }),
            names::AGENT_ABANDONED if !own => self.change(|figures| {
                let Some(agent) = &event.agent else { return };
                figures.gone.insert(agent.clone());
                figures.note(format!("{agent} was given up: {}", text("message")));
                if figures.abandoned.len() < NAMED {
                    let (agent, reason) = (agent.to_string(), text("message").to_owned());
                    figures.abandoned.push(LostAgent { agent, reason });
                }
            }),
            names::AGENT_STOPPED if !own => self.change(|figures| {
                figures.gone.extend(event.agent.clone());
            }),
            _ => {}
        }
    }
}
