//! [`RegistrarCell`]: what a registrar knows, kept outside of the actor so that it outlives it.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;

use super::{
    Lookup, RegistrarOptions, RequestId, Roster, Rules, WatchFrom, Watching, jobs::Underway, state::State,
    watch::Cursor,
};
use crate::{agent::Timestamp, inbox::AgentHandle};

pub(super) struct Shared {
    state: Mutex<State>,
    rules: Rules,
    requests: AtomicU64,
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
        let (state, revised) = (Mutex::new(State::new(options)), watch::Sender::new(0));
        Self(Arc::new(Shared { state, rules, requests: AtomicU64::new(0), revised }))
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
            self.0.rules.apply(&mut entry.request, now);
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
