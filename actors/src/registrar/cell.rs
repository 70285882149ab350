//! [`RegistrarCell`]: what a registrar knows, kept outside of the actor so that it outlives it.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use actix::WeakAddr;
use tokio::sync::{Notify, watch};

use super::{
    Lookup, Recorded, Recorder, Recovered, RecoveredMember, Registrar, RegistrarOptions, RequestId, Roster,
    Rules, Status, Unrecorded, WatchFrom, Watching,
    actor::Judged,
    jobs::Underway,
    judging::{Found, Judging, Trial},
    state::State,
    validation::PANICKED,
    waiters::Effects,
    watch::Cursor,
};
use crate::{agent::Timestamp, inbox::AgentHandle};

/// What the recorder said of a write.
type Word = (u64, Result<(), Unrecorded>);

pub(super) struct Shared {
    state: Mutex<State>,
    rules: Rules,
    requests: AtomicU64,
    /// The registrar that works on this now, if one does.
    registrar: Mutex<Option<WeakAddr<Registrar>>>,
    /// The revision of the roster, for those who wait for the next.
    revised: watch::Sender<u64>,
    /// Whether nothing changes any more.
    is_closed: AtomicBool,
    /// For those who wait until nothing is under way.
    quiet: Notify,
    recorder: Option<Arc<dyn Recorder>>,
    /// What the recorder said and no registrar has read yet.
    words: Mutex<Vec<Word>>,
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

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
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
        let (revision, is_quiet) =
            self.state.take().map(|state| (state.roster.revision(), state.is_quiet())).unzip();
        if is_quiet == Some(true) {
            self.shared.quiet.notify_waiters();
        }
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
        let judging = judging_of(&rules);
        Self::with(State::new(options, judging), rules, 0, None)
    }

    /// An empty roster whose changes, and how requests ended, are made durable by `recorder` before anybody is told of
    /// them.
    ///
    /// What the recorder has `recovered` of earlier processes counts: its requests are answered as they were then, and its
    /// agents, once they are registered again, have a generation above the one they had.
    pub fn recording(
        options: RegistrarOptions,
        rules: Rules,
        recorder: Arc<dyn Recorder>,
        recovered: Recovered,
    ) -> Self {
        // A recovered one of a program's own does not use the others up.
        let numbers = recovered.requests.iter().map(|logged| logged.request.id).filter(|id| !id.is_own());
        let latest = numbers.max().map_or(0, |id| id.0);
        let mut state = State::new(options, judging_of(&rules));
        state.record(recovered);
        Self::with(state, rules, latest, Some(recorder))
    }

    fn with(state: State, rules: Rules, requests: u64, recorder: Option<Arc<dyn Recorder>>) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            rules,
            requests: AtomicU64::new(requests),
            registrar: Mutex::new(None),
            revised: watch::Sender::new(0),
            is_closed: AtomicBool::new(false),
            quiet: Notify::new(),
            recorder,
            words: Mutex::default(),
        }))
    }

    /// The agents that were registered when an earlier process ended and have not been since, by id.
    pub fn unreturned(&self) -> Vec<RecoveredMember> {
        self.lock().unreturned().cloned().collect()
    }

    /// A number that no other call on this cell gives out, from 1 on, and none of a program's own ([`RequestId::own`]).
    pub fn next_request(&self) -> RequestId {
        RequestId(self.0.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// How many requests may wait at once, for their validation or their batch.
    pub fn capacity(&self) -> usize {
        self.lock().capacity()
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

    /// Lets those who watch the roster end once they have been told of all changes up to now. For when no registrar will work
    /// on this any more.
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::Release);
        self.0.revised.send_modify(|_| ());
    }

    /// Waits until no batch is under way, and the recorder has said its word on all records, also on those that it refused
    /// before. Without a recorder, batches alone count.
    pub async fn written(&self) {
        loop {
            let mut quiet = std::pin::pin!(self.0.quiet.notified());
            // From here on: what comes to pass before it is awaited counts.
            quiet.as_mut().enable();
            if self.lock().is_quiet() {
                return;
            }
            quiet.await;
        }
    }

    /// Watches the roster.
    pub fn watch(&self, from: WatchFrom) -> Watching {
        Watching::new(&self.0, from)
    }

    pub(super) fn lock(&self) -> Held<'_> {
        self.0.lock()
    }

    /// Takes in what the recorder said.
    pub(super) fn hear(&self, now: Timestamp, effects: &mut Effects) {
        if self.0.recorder.is_none() {
            return;
        }
        let words = std::mem::take(&mut *self.words());
        if words.is_empty() {
            return;
        }
        let mut state = self.lock();
        // Whose time is over has failed, also when the timer comes a little late.
        state.expire(now, effects);
        for (number, result) in words {
            state.recorded(number, result, now, effects);
        }
    }

    /// Hands over to the recorder what is to be written; `nudge` is called when it has said something.
    pub(super) fn hand_over<N: FnOnce() + Send + 'static>(&self, now: Timestamp, nudge: impl Fn() -> N) {
        let Some(recorder) = &self.0.recorder else { return };
        loop {
            let Some((number, records)) = self.lock().next_append(now) else { break };
            let (cell, nudge) = (self.clone(), nudge());
            let promise = Recorded::new(move |result| {
                let mut words = cell.words();
                words.push((number, result));
                // Whoever wakes for the first finds the others, too.
                let is_first = words.len() == 1;
                drop(words);
                if is_first {
                    nudge();
                }
            });
            // A panic drops the promise, which tells that the recorder is broken.
            if catch_unwind(AssertUnwindSafe(|| recorder.append(records, promise))).is_err() {
                tracing::warn!("the recorder of the registrar panicked");
            }
        }
    }

    fn words(&self) -> MutexGuard<'_, Vec<Word>> {
        self.0.words.lock().unwrap_or_else(PoisonError::into_inner)
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

fn judging_of(rules: &Rules) -> Option<Judging> {
    rules.may_wait().then(|| Judging::new(rules.limits()))
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
