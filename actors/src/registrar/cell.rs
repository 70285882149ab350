//! [`RegistrarCell`]: what a registrar knows, kept outside of the actor so that it outlives it.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use actix::WeakAddr;
use tokio::sync::watch;

use super::{
    Lookup, Registrar, RegistrarOptions, RequestId, Roster, Rules, Status, WatchFrom, Watching,
    actor::Judged,
    jobs::Underway,
    judging::{Found, Judging, Trial},
    state::State,
    validation::PANICKED,
    watch::Cursor,
};
use crate::{agent::Timestamp, inbox::AgentHandle};

pub(super) struct Shared {
    state: Mutex<State>,
    rules: Rules,
    requests: AtomicU64,
    /// The registrar that works on this now, if one does.
    registrar: Mutex<Option<WeakAddr<Registrar>>>,
    /// The revision of the roster, for those who wait for the next.
    revised: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> Held<'_> {
        // No foreign code runs under this lock but readers of the roster, who change nothing.
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Held { revision: state.roster.revision(), shared: self, state: Some(state) }
    }

    pub(super) fn revised(&self) -> watch::Receiver<u64> {
        self.revised.subscribe()
    }

    /// Lets a watcher read a little. Answers whether it may go on at once.
    pub(super) fn read(&self, cursor: &mut Cursor) -> bool {
        cursor.read(&self.lock().roster)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// The state, locked. Whoever waits for the next revision hears of it when it is let go, whatever happened meanwhile.
pub(super) struct Held<'a> {
    revision: u64,
    shared: &'a Shared,
    state: Option<MutexGuard<'a, State>>,
}

impl Deref for Held<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.state.as_ref().expect("taken by the drop alone")
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_mut().expect("taken by the drop alone")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let revision = self.state.take().map(|state| state.roster.revision());
        if let Some(revision) = revision.filter(|revision| *revision != self.revision) {
            self.shared.revised.send_replace(revision);
        }
    }
}

/// What a registrar knows, shared by all its incarnations and by those who read the roster.
#[derive(Clone)]
pub struct RegistrarCell(Arc<Shared>);

impl RegistrarCell {
    /// An empty roster, and the rules for those who want to be in it.
    pub fn new(options: RegistrarOptions, rules: Rules) -> Self {
        let judging = rules.may_wait().then(|| Judging::new(rules.limits()));
        let (state, revised) = (Mutex::new(State::new(options, judging)), watch::Sender::new(0));
        let registrar = Mutex::new(None);
        Self(Arc::new(Shared { state, rules, requests: AtomicU64::new(0), registrar, revised }))
    }

    /// A number that no other call on this cell gives out, from 1 on.
    pub fn next_request(&self) -> RequestId {
        RequestId(self.0.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Reads the roster. The registrar cannot change it meanwhile, so this should be quick, and must not use the cell.
    pub fn with_roster<T>(&self, read: impl FnOnce(&Roster<AgentHandle>) -> T) -> T {
        read(&self.lock().roster)
    }

    /// Whether roster, requests and answers fit together; says what does not.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn verify(&self) -> Result<(), String> {
        self.lock().verify()
    }

    /// The agents that a lookup is for, in the order of their registration. The registrar waits meanwhile, so a lookup of
    /// many should have a limit.
    pub fn lookup(&self, lookup: &Lookup) -> Vec<AgentHandle> {
        self.lock().lookup(lookup)
    }

    /// Watches the roster.
    pub fn watch(&self, from: WatchFrom) -> Watching {
        Watching::new(&self.0, from)
    }

    pub(super) fn lock(&self) -> Held<'_> {
        self.0.lock()
    }

    /// Asks the rules about a batch, without keeping the state locked: a rule may read the roster.
    pub(super) fn apply_rules(&self, batch: u64, now: Timestamp) {
        let mut out = Out { cell: self, batch, entries: self.lock().take_entries(batch) };
        for entry in &mut out.entries {
            if entry.payload.is_valid {
                // It ended in validating when it was removed meanwhile.
                _ = entry.request.advance(Status::Registering, now);
            } else {
                self.0.rules.apply(&mut entry.request, now);
            }
        }
    }

    /// Notes the registrar that is to hear of verdicts.
    pub(super) fn serve(&self, registrar: WeakAddr<Registrar>) {
        *self.0.registrar.lock().unwrap_or_else(PoisonError::into_inner) = Some(registrar);
    }

    /// Asks the rules about a request, as a task: the verdict goes to this cell, or that the task was dropped before the end. The
    /// task does not keep the cell.
    pub(super) fn judge(&self, trial: Trial) -> impl Future<Output = ()> + use<> {
        let report = Report { cell: Arc::downgrade(&self.0), task: trial.task, found: None };
        let verdict = self.0.rules.judge(trial.request);
        async move {
            let mut report = report;
            report.found = Some(verdict.await);
        }
    }

    fn report(&self, task: u64, found: Found) {
        if !self.lock().report(task, found) {
            return;
        }
        let registrar = self.0.registrar.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(registrar) = registrar.and_then(|registrar| registrar.upgrade()) {
            registrar.do_send(Judged);
        }
    }
}

/// What the task of a validation says when it is dropped, at its end or before.
struct Report {
    cell: Weak<Shared>,
    task: u64,
    found: Found,
}

impl Drop for Report {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What the rule left behind broke; asked again, it would again.
            self.found = Some(Err(PANICKED.to_owned()));
        }
        if let Some(cell) = self.cell.upgrade() {
            RegistrarCell(cell).report(self.task, self.found.take());
        }
    }
}

/// The entries of a batch while the rules are asked about them; they go back whatever happens.
struct Out<'a> {
    cell: &'a RegistrarCell,
    batch: u64,
    entries: Vec<Underway>,
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        self.cell.lock().put_back(self.batch, std::mem::take(&mut self.entries));
    }
}

impl fmt::Debug for RegistrarCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistrarCell")
    }
}
