//! Shutting down: ordered, within a deadline, and with an account of everything.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

#[cfg(feature = "journal")]
use phalanx_actors::registrar::QueryRoster;
use phalanx_actors::{
    agent::{Reason, Timestamp},
    coordinator::{CancelAll, QueryTasks, TaskMetrics},
    inbox::{AgentHandle, Counts, RouteStatus},
    initializer::{QueryStartup, StartupReport},
    monitor::{
        Close, Event, EventKind, Health, HealthSummary, MetricsSnapshot, MonitorStatus, QueryHealthSummary,
        QueryMetrics, QueryStatus, Severity, names,
    },
};
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Host, Inner, JournalReport, protocols::OWN};

/// What a host did, taken when it is quiet.
#[derive(Debug, Clone, Serialize)]
pub struct HostReport {
    /// When the report was taken.
    pub at: Timestamp,
    /// What became of every message.
    pub ledger: Counts,
    /// The same for each route, direct sends first, and its batches.
    pub routes: Vec<RouteStatus>,
    /// How many confirmed messages wait for their receipts.
    pub unconfirmed: usize,
    /// Why messages were not delivered, those that came up.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Answers that came after whoever asked had stopped waiting.
    pub late_replies: u64,
    /// The tasks.
    pub tasks: Option<TaskMetrics>,
    /// Start-up, when there was one.
    pub startup: Option<StartupReport>,
    /// How the monitor stands.
    pub monitor: Option<MonitorStatus>,
    /// What the events add up to.
    pub metrics: Option<MetricsSnapshot>,
    /// How the agents are doing, those of the host itself not counted; in the report of a shutdown, how they did before they
    /// were told to stop.
    pub health: Option<HealthSummary>,
    /// How the journal stands, when there is one; in the report of a shutdown, after its last record.
    pub journal: Option<JournalReport>,
    /// How many agents had to be stopped before they had handled what they held.
    pub killed: usize,
    /// How many arbiters' threads had not ended a second after they were told to, because an agent blocks them; they end
    /// when it lets go of them.
    pub blocked: usize,
}

impl Host {
    /// What the host did so far. A protocol actor that does not answer within a second leaves its part out.
    pub async fn report(&self) -> HostReport {
        let protocols = self.protocols();
        let count = |reason: Reason| (reason.as_str(), self.hub().reason(reason));
        let (tasks, startup, monitor, metrics, health) = tokio::join!(
            soon(protocols.coordinator.send(QueryTasks)),
            soon(protocols.initializer.send(QueryStartup)),
            soon(protocols.monitor.send(QueryStatus)),
            soon(protocols.monitor.send(QueryMetrics)),
            self.health(),
        );
        HostReport {
            at: self.now(),
            ledger: self.ledger(),
            routes: self.hub().all_routes(),
            unconfirmed: self.router().unconfirmed(),
            reasons: Reason::ALL.into_iter().map(count).filter(|(_, n)| *n > 0).collect(),
            late_replies: self.hub().late_replies(),
            tasks: tasks.map(|totals| totals.metrics),
            startup: startup.flatten(),
            monitor,
            metrics,
            health,
            journal: self.journal(),
            killed: 0,
            blocked: 0,
        }
    }

    /// How the agents are doing, those of the host itself not counted; none when the monitor does not answer.
    async fn health(&self) -> Option<HealthSummary> {
        soon(self.protocols().monitor.send(QueryHealthSummary { worst: WORST, without: Some(OWN) })).await
    }

    /// Tells the monitor how the agents are doing, as one health check over all of them.
    fn record_health(&self, summary: &HealthSummary) {
        let severity = summary.counts.keys().map(|health| health.severity()).max().unwrap_or(Severity::Info);
        let event = Event::new(EventKind::HealthCheck, severity, "host", names::HEALTH_SUMMARY, self.now());
        let counts =
            Health::ALL.into_iter().filter_map(|health| Some((health, *summary.counts.get(&health)?)));
        self.record(counts.fold(event, |event, (health, agents)| event.with(health.as_str(), agents)));
    }

    /// Shuts down in order: lets no agents or tasks in, waits for open tasks, drains and stops the agents, then stops the
    /// protocol actors and the arbiters, and waits until their threads have ended. What is not done by the deadline is cut
    /// short, and accounted for all the same.
    ///
    /// An agent that blocks its thread can't be cut short: a second after the deadline it is given up, what it holds stays
    /// pending in the report, and its thread is [blocked](HostReport::blocked). Each step has a second of its own, so that
    /// the answer comes within seconds of the deadline in any case.
    ///
    /// Called by an agent, or by anything else that runs on one of the arbiters, that arbiter is stopped last, and nothing
    /// runs there beyond the next await after this one.
    pub async fn shutdown(&self, within: Duration) -> HostReport {
        let until = later(within);
        self.inner.closing.store(true, Ordering::Release);
        let protocols = self.protocols();
        if timeout_at(until, self.tasks()).await.is_err() {
            let because = "the host is shutting down".to_owned();
            let _ = soon(protocols.coordinator.send(CancelAll { because })).await;
        }
        let quiet = async {
            // What is sent again is pending only once it is.
            self.inner.directory.all_confirmed().await;
            self.idle().await;
        };
        let _ = timeout_at(until, quiet).await;
        if let Some(sampling) = &self.inner.sampling {
            sampling.end();
        }
        let health = self.health().await;
        if let Some(health) = &health {
            self.record_health(health);
        }
        self.inner.stop_all();
        let mut killed = 0;
        if timeout_at(until, self.inner.alive.none()).await.is_err() {
            killed = self.inner.kill_all().await;
        }
        let _ = timeout(GRACE, self.idle()).await;
        let report = HostReport { health, killed, ..self.report().await };
        let journal = self.close_journal(until).await.or(report.journal);
        self.inner.stop_protocols().await;
        let blocked = self.inner.arbiters.stop_within(GRACE).await;
        self.inner.ended.store(true, Ordering::Release);
        HostReport { journal, blocked, ..report }
    }

    /// Closes the journal when the registrar has handled that the agents are gone, and that is written: each within what is left
    /// of the shutdown and a second of its own. Answers how it stands then; if it is not closed, its thread goes on.
    #[cfg_attr(
        not(feature = "journal"),
        expect(clippy::unused_async, reason = "it waits where there are journals")
    )]
    async fn close_journal(&self, until: Instant) -> Option<JournalReport> {
        #[cfg(feature = "journal")]
        if let Some(journal) = &self.inner.journal {
            let until = until.max(Instant::now()) + GRACE;
            let written = async {
                // Behind all removals in its mailbox.
                _ = self.protocols().registrar.send(QueryRoster).await;
                self.protocols().registrar_cell().written().await;
            };
            _ = timeout_at(until, written).await;
            _ = timeout_at(until.max(Instant::now() + GRACE), journal.close()).await;
            return Some(journal.report());
        }
        #[cfg(not(feature = "journal"))]
        let _ = until;
        None
    }
}

impl Inner {
    /// Stops all agents in the order in which they joined, and then those that live on though they are registered no more.
    fn stop_all(&self) {
        self.directory.agents().iter().for_each(AgentHandle::stop);
        let unregistered = self.names.agents().into_iter();
        unregistered
            .filter(|agent| self.directory.agent(agent.id()).is_none())
            .for_each(|agent| agent.stop());
    }

    /// Kills all agents, those on their way into the directory, too, and waits for their ends. Answers how many there were.
    async fn kill_all(&self) -> usize {
        let killed = self.alive.count();
        self.names.agents().iter().for_each(AgentHandle::kill);
        let _ = timeout(GRACE, self.alive.none()).await;
        killed
    }

    /// Lets the monitor's handlers see what waits for them, then stops the protocol actors and the supervisors.
    async fn stop_protocols(&self) {
        self.directory.close();
        let _ = soon(self.protocols.monitor.send(Close)).await;
        self.protocols.agents().iter().for_each(AgentHandle::stop);
        self.protocols.registrar_cell.close();
        self.groups.stop();
        self.root.stop();
    }

    /// What follows the drop of the last clone of a host, on its first arbiter.
    pub(super) async fn stop_at_once(&self) {
        self.kill_all().await;
        let left = self.alive.count();
        if left > 0 {
            tracing::warn!(agents = left, "a host was dropped while agents block their threads");
        }
        self.stop_protocols().await;
        self.arbiters.stop();
    }
}

/// How many of the agents that fare worst a report names.
const WORST: usize = 20;

/// How long what was cut short may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// The point of the clock `after` from now, or one that is far enough away.
fn later(after: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    Instant::now() + after.min(FAR)
}

/// The answer of a protocol actor, if it comes soon.
async fn soon<T, E>(answer: impl Future<Output = Result<T, E>>) -> Option<T> {
    timeout(GRACE, answer).await.ok()?.ok()
}
