//! [`RegistrarCell`]: what a registrar knows, kept outside of the actor so that it outlives it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{RegistrarOptions, RequestId, Roster, Rules, jobs::Underway, state::State};
use crate::{agent::Timestamp, inbox::AgentHandle};

struct Shared {
    state: Mutex<State>,
    rules: Rules,
    requests: AtomicU64,
}

/// What a registrar knows, shared by all its incarnations and by those who read the roster.
#[derive(Clone)]
pub struct RegistrarCell(Arc<Shared>);

impl RegistrarCell {
    /// An empty roster, and the rules for those who want to be in it.
    pub fn new(options: RegistrarOptions, rules: Rules) -> Self {
        let state = Mutex::new(State::new(options));
        Self(Arc::new(Shared { state, rules, requests: AtomicU64::new(0) }))
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

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under this lock but readers of the roster, who change nothing.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
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
