//! [`Sampling`]: has a host take samples of itself while somebody listens.
//!
//! ```text
//!  coordinator's events ──┐
//!  dead letters ──────────┼──> Window ───────┬──every sample_every, and at the end──> events ──> monitor
//!  ledger, /proc ─────────┘                  │
//!  accounts of routes ────────> RouteWindow ─┘
//! ```
//!
//! Without a listener there is no timer. No message of the ledger is sent and none is waited for, so that
//! [`Host::idle`](super::Host::idle) does not notice. In virtual time what the process uses is left out, since it differs
//! from run to run; and after a window in which nothing happened the timer rests until something does, so that a sample
//! alone never moves the clock for long.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix::Addr;
use phalanx_actors::{
    coordinator::TaskEvent,
    inbox::{BatchCounts, Hub, RouteAccount, Subscription},
    monitor::{EventKind, Heard, Monitor, RecordMany},
    router::Directory,
};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    process::{Usage, usage},
    sample::{Reading, RouteReading, RouteWindow, Window},
};

/// Of what kinds the events of a sample are, or what they lead to.
const SAMPLED: [EventKind; 5] = [
    EventKind::HealthCheck,
    EventKind::PerformanceMetric,
    EventKind::ResourceUsage,
    EventKind::ThroughputMetric,
    EventKind::LatencyMetric,
];

/// The window of a host, shared by those who put something into it.
#[derive(Clone)]
pub(super) struct SharedWindow(Arc<Mutex<Window>>);

impl SharedWindow {
    pub(super) fn new(simulated: bool) -> Self {
        Self(Arc::new(Mutex::new(Window::new(process(simulated)))))
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts tasks in and out.
    pub(super) fn observe(&self, event: &TaskEvent) {
        self.lock().observe(event);
    }
}

/// What the process uses; nothing in virtual time, where it would differ from run to run.
fn process(simulated: bool) -> Option<Usage> {
    if simulated { None } else { usage() }
}

/// Takes samples.
struct Sampler {
    hub: Arc<Hub>,
    directory: Directory,
    monitor: Addr<Monitor>,
    window: SharedWindow,
    /// Apart from the other, which the arbiters' threads wait for.
    routes: Mutex<RouteWindow>,
    simulated: bool,
}

impl Sampler {
    /// Takes a sample, and says whether anything happened since the last one.
    fn take(&self) -> bool {
        let reading = Reading {
            at: self.hub.now(),
            ledger: self.hub.ledger(),
            waits: self.hub.waits(),
            unconfirmed: self.directory.unconfirmed(),
            process: process(self.simulated),
        };
        let (mut events, is_busy) = self.window.lock().sample(reading);
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if is_busy {
            let accounts = self.hub.accounts();
            events.extend(routes.sample(accounts.iter().map(read), reading.at));
        } else {
            routes.skip(reading.at);
        }
        drop(routes);
        if !events.is_empty() {
            self.monitor.do_send(RecordMany(events));
        }
        is_busy
    }

    async fn run(&self, every: Duration, mut heard: watch::Receiver<Heard>) {
        let is_wanted = |heard: &Heard| SAMPLED.into_iter().any(|kind| heard.hears(kind));
        while heard.wait_for(is_wanted).await.is_ok() {
            let _letters = Letters::count(&self.hub, &self.window);
            tokio::select! {
                biased;
                _ = heard.wait_for(|heard| !is_wanted(heard)) => {}
                () = self.keep_taking(every) => {}
            }
        }
    }

    async fn keep_taking(&self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            if !self.take() && self.simulated {
                self.hub.stirred().await;
            }
        }
    }
}

/// Reads a route now, its batches when they are wanted.
fn read(account: &RouteAccount) -> RouteReading<impl FnOnce() -> BatchCounts> {
    RouteReading {
        number: account.number(),
        is_joined: account.is_joined(),
        name: account.name().clone(),
        ledger: account.ledger(),
        batches: || account.batches(),
    }
}

/// Dead letters are counted in the window until this is dropped.
struct Letters<'a> {
    hub: &'a Hub,
    subscription: Subscription,
}

impl<'a> Letters<'a> {
    fn count(hub: &'a Hub, window: &SharedWindow) -> Self {
        let window = window.clone();
        let subscription =
            hub.dead_letters().subscribe(move |letter| window.lock().lose(&letter.to, letter.reason));
        Self { hub, subscription }
    }
}

impl Drop for Letters<'_> {
    fn drop(&mut self) {
        self.hub.dead_letters().unsubscribe(self.subscription);
    }
}

/// A host that takes samples of itself, until this is dropped.
pub(super) struct Sampling {
    sampler: Arc<Sampler>,
    task: JoinHandle<()>,
}

impl Sampling {
    /// Begins.
    pub(super) fn start(
        (hub, directory): (Arc<Hub>, Directory),
        monitor: Addr<Monitor>,
        window: SharedWindow,
        simulated: bool,
        (every, heard): (Duration, watch::Receiver<Heard>),
    ) -> Self {
        let sampler =
            Arc::new(Sampler { hub, directory, monitor, window, routes: Mutex::default(), simulated });
        let taking = sampler.clone();
        let task = actix_rt::spawn(async move { taking.run(every, heard).await });
        Self { sampler, task }
    }

    /// Takes the last sample, of what happened since the one before.
    pub(super) fn end(&self) {
        self.task.abort();
        self.sampler.take();
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.task.abort();
    }
}
