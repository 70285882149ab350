//! [`Hub`]: what all inboxes of a host share — clock, ledger, arbiters, interventions, dead letters, who listens.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    ArbiterPort, Counts, DeadLetter, DeadLetters, Ledger, RouteAccount, RouteStatus, Waits,
    account::{Lineage, Record},
    batches::Batches,
    dead_letter::LetterContent,
    ledger::Writer,
    pulse::Pulse,
    rows::Rows,
};
use crate::{
    agent::{AgentId, Interventions, Lifecycle, Lost, MessageId, Reason, Timestamp},
    audited::ThreadToken,
};

/// Called for a change in the life of an agent, on the agent's arbiter; must not block.
pub type Observer = Arc<dyn Fn(&Lifecycle) + Send + Sync>;

/// What a [`Hub`] is made from.
#[derive(Default)]
pub struct HubConfig {
    /// All randomness of the host comes from this seed.
    pub seed: u64,
    /// The chain that sees every message.
    pub interventions: Interventions,
}

/// A way that messages take, with a ledger of its own: direct sends, a topic, a group, a capability.
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    pub(super) lineage: Lineage,
    pub(crate) ledger: Ledger,
    /// How many messages wait outside of full inboxes whose policy is to wait.
    pub(crate) parked: AtomicUsize,
    /// Told when `parked` falls to zero.
    pub(crate) room: Notify,
    pub(crate) batches: Batches,
}

/// What all inboxes of one host share.
pub struct Hub {
    epoch: Instant,
    seed: u64,
    ports: Box<[Arc<ArbiterPort>]>,
    ids: Box<[AtomicU64]>,
    pub(crate) interventions: Interventions,
    observers: OnceLock<Vec<Observer>>,
    pub(crate) direct: Arc<Route>,
    /// Nothing else is locked and nothing foreign runs while this is held.
    rows: Mutex<Rows>,
    dead: DeadLetters,
    idle_watchers: AtomicUsize,
    settled: Notify,
    pub(crate) pulse: Pulse,
}

impl Hub {
    /// A hub over the ports of its arbiters, in order. The clock starts now.
    pub fn new(config: HubConfig, ports: Vec<Arc<ArbiterPort>>) -> Arc<Self> {
        let arbiters = ports.len();
        let direct = Arc::new(Route::new("direct", arbiters, Lineage::DIRECT));
        let epoch = Instant::now();
        for (at, port) in ports.iter().enumerate() {
            port.settle_at(at, epoch);
        }
        Arc::new(Self {
            epoch,
            seed: config.seed,
            ids: (0..=arbiters).map(|_| AtomicU64::new(0)).collect(),
            ports: ports.into_boxed_slice(),
            interventions: config.interventions,
            observers: OnceLock::new(),
            rows: Mutex::default(),
            direct,
            dead: DeadLetters::default(),
            idle_watchers: AtomicUsize::new(0),
            settled: Notify::new(),
            pulse: Pulse::default(),
        })
    }

    /// The time on the host's clock.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_start(self.epoch.elapsed())
    }

    /// The time on the host's clock, as exact as it goes \[ns\]; never 0.
    pub(crate) fn nanos(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// The point of the host's clock on tokio's.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.epoch + at.since_start()
    }

    /// The point `after` from now on the host's clock.
    pub(crate) fn deadline(&self, after: Duration) -> Timestamp {
        self.now().plus(after)
    }

    /// The seed of all randomness of the host.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The arbiters' ports, in order.
    pub fn ports(&self) -> &[Arc<ArbiterPort>] {
        &self.ports
    }

    /// The columns that the calling thread writes.
    #[inline]
    pub(crate) fn writer(&self) -> Writer {
        self.writer_of(ThreadToken::current())
    }

    #[inline]
    pub(crate) fn writer_of(&self, token: ThreadToken) -> Writer {
        match self.ports.iter().position(|port| port.owner() == token) {
            Some(index) => Writer(u16::try_from(index + 1).expect("there are few arbiters")),
            None => Writer::FOREIGN,
        }
    }

    #[inline]
    pub(crate) fn next_id(&self, writer: Writer) -> MessageId {
        self.pulse.note_sent();
        let cell = &self.ids[usize::from(writer.0)];
        let n = if writer == Writer::FOREIGN {
            cell.fetch_add(1, Ordering::Relaxed)
        } else {
            // One thread writes this counter.
            let n = cell.load(Ordering::Relaxed);
            cell.store(n + 1, Ordering::Relaxed);
            n
        };
        MessageId(u64::from(writer.0) << 48 | n)
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A route with a ledger of its own, which goes on where the last closed route of this name stopped, as long as that
    /// has a row.
    pub(crate) fn open_route(&self, name: impl AsRef<str>) -> Arc<Route> {
        self.rows().open(name.as_ref(), self.ports.len())
    }

    /// Closes a route: its row stays until it is quiet and a thousand others closed since; then it is folded into one with
    /// those before it.
    pub(crate) fn close_route(&self, route: &Arc<Route>) {
        self.rows().close(route);
    }

    /// The ledger of the whole host.
    pub fn ledger(&self) -> Counts {
        self.rows().sum(&self.direct)
    }

    /// The ledger of each route: `direct` for what was sent to one agent, then all others by name. Of routes that closed and
    /// are quiet the last 1,000 have a row; those before them are `closed routes` together.
    pub fn ledgers(&self) -> Vec<(Arc<str>, Counts)> {
        let direct = (self.direct.name.clone(), self.direct.ledger.counts());
        [direct].into_iter().chain(self.rows().rows()).collect()
    }

    /// The account of each route, to be read by the caller: that of direct sends first, then all others in no order, of those
    /// that closed as many as have a row; last, the one of all closed before.
    pub fn accounts(&self) -> Vec<RouteAccount> {
        let direct = RouteAccount::open(&self.direct);
        [direct].into_iter().chain(self.rows().accounts()).collect()
    }

    fn status(&self, is_wanted: impl Fn(&RouteAccount) -> bool) -> Vec<RouteStatus> {
        let mut accounts = self.accounts();
        accounts.retain(is_wanted);
        // Direct sends have the first number, and closed routes together none.
        accounts.sort_by(|a, b| a.place().cmp(&b.place()));
        let now = self.now();
        accounts.iter().map(|account| account.status(now)).collect()
    }

    /// Each route that is open or not yet quiet by name, direct sends first, with its batches.
    pub fn routes(&self) -> Vec<RouteStatus> {
        self.status(RouteAccount::is_open)
    }

    /// All of [`ledgers`](Self::ledgers), with the batches.
    pub fn all_routes(&self) -> Vec<RouteStatus> {
        self.status(|_| true)
    }

    /// How often messages ended for this reason, on all routes together.
    pub fn reason(&self, reason: Reason) -> u64 {
        self.rows().reason(&self.direct, reason)
    }

    /// Sampled times that messages spent in inboxes so far.
    pub fn waits(&self) -> Waits {
        self.ports.iter().map(|port| port.waits()).fold(Waits::default(), |sum, waits| Waits {
            samples: sum.samples + waits.samples,
            total_us: sum.total_us + waits.total_us,
        })
    }

    /// Answers that came after whoever asked had stopped waiting.
    pub fn late_replies(&self) -> u64 {
        self.direct.ledger.late_replies()
    }

    /// Where dead letters can be subscribed to.
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.dead
    }

    /// Waits until nothing is pending: every message sent so far, and every message that its handling sent, has ended.
    pub async fn idle(&self) {
        self.idle_watchers.fetch_add(1, Ordering::SeqCst);
        let _leave = Leave(&self.idle_watchers);
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            fence(Ordering::SeqCst);
            if self.ledger().pending == 0 {
                return;
            }
            settled.await;
        }
    }

    /// Waits until an arbiter has counted outcomes again, however many.
    pub async fn stirred(&self) {
        self.idle_watchers.fetch_add(1, Ordering::SeqCst);
        let _leave = Leave(&self.idle_watchers);
        self.settled.notified().await;
    }

    /// Called after outcomes were counted and there is nothing more to do for now.
    #[inline]
    pub(crate) fn settled(&self) {
        // Pairs with the fence in `idle`: either the watcher sees the outcome, or this sees the watcher.
        fence(Ordering::SeqCst);
        if self.idle_watchers.load(Ordering::Relaxed) > 0 {
            self.settled.notify_waiters();
        }
    }

    /// Calls these for every change in the life of an agent from now on. Answers false, and changes nothing, the second
    /// time.
    pub fn observe_with(&self, observers: Vec<Observer>) -> bool {
        self.observers.set(observers).is_ok()
    }

    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.observers.get().is_some()
    }

    pub(crate) fn observe(&self, change: &Lifecycle) {
        for observer in self.observers.get().into_iter().flatten() {
            if catch_unwind(AssertUnwindSafe(|| observer(change))).is_err() {
                tracing::error!(?change, "an observer of the agents' lives panicked");
            }
        }
    }

    /// Counts a message that was not handled, and posts it to the dead letters.
    pub(crate) fn lose(&self, writer: Writer, route: &Route, to: &AgentId, lost: Lost) {
        route.ledger.lost(writer, lost.reason, 1);
        let wanted = self.dead.are_wanted();
        // The message ends here, and its destructor must not take the arbiter along.
        let dropped = catch_unwind(AssertUnwindSafe(move || {
            if wanted {
                self.dead.post(&DeadLetter {
                    to: to.clone(),
                    message_type: lost.name,
                    reason: lost.reason,
                    objection: lost.objection,
                    meta: Some(lost.meta),
                    content: lost.content.into(),
                });
            }
        }));
        if dropped.is_err() {
            tracing::error!(%to, "the destructor of a lost message panicked");
        }
    }

    /// Counts a message that is gone, and posts what is known of it.
    pub(crate) fn lose_gone(
        &self,
        writer: Writer,
        route: &Route,
        to: &AgentId,
        reason: Reason,
        message_type: &'static str,
    ) {
        route.ledger.lost(writer, reason, 1);
        if self.dead.are_wanted() {
            let content = LetterContent::Gone;
            let to = to.clone();
            self.dead.post(&DeadLetter { to, message_type, reason, objection: None, meta: None, content });
        }
    }
}

/// Somebody waits for the host to be quiet, until this is dropped.
struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Route {
    pub(super) fn new(name: impl AsRef<str>, arbiters: usize, lineage: Lineage) -> Self {
        Self::with(name, arbiters, Record::new(lineage))
    }

    /// A route that goes on where another one stopped.
    pub(super) fn with(name: impl AsRef<str>, arbiters: usize, record: Record) -> Self {
        let before = Some(record.batches).filter(|batches| batches.batches() > 0).map(Box::new);
        Self {
            name: Arc::from(name.as_ref()),
            lineage: record.lineage,
            ledger: Ledger::with(arbiters, &record.totals),
            parked: AtomicUsize::new(0),
            room: Notify::new(),
            batches: Batches::new(arbiters, before),
        }
    }

    /// All that was counted, when nobody counts any more.
    pub(super) fn record(&mut self) -> Record {
        let (batches, limit) = (self.batches.counts(), self.batches.largest_limit());
        Record { lineage: self.lineage, totals: self.ledger.totals(), batches, limit }
    }

    pub(crate) fn unpark(&self, messages: usize) {
        if self.parked.fetch_sub(messages, Ordering::AcqRel) == messages {
            self.room.notify_waiters();
        }
    }
}
