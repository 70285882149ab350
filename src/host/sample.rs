//! [`Window`]: what happened on a host between two samples, and the events that tell it.
//!
//! No actor, no clock: a [`Reading`] comes in, events go out.
//!
//! **Invariant.** What is counted is told in exactly one window. A window in which no message and no task began or ended
//! tells nothing, but for what waits for its receipt, and the use of the process where that is known.

mod routes;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hdrhistogram::Histogram;
use phalanx_actors::{
    agent::{AgentId, Reason, Timestamp},
    coordinator::{TaskEvent, TaskState},
    inbox::{Counts, Waits},
    monitor::{Event, Severity, Source, names},
};

pub(super) use self::routes::{RouteReading, RouteWindow};
use super::process::Usage;

/// Who tells these events.
const HOST: Source = Source::part("host");

/// What a host has counted up to one point in time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    pub(super) at: Timestamp,
    pub(super) ledger: Counts,
    pub(super) waits: Waits,
    /// Messages that wait for their receipts.
    pub(super) unconfirmed: usize,
    pub(super) process: Option<Usage>,
}

/// Messages that an agent lost because it could not keep up.
#[derive(Debug, Clone, Copy, Default)]
struct Losses {
    rejected: u64,
    dropped: u64,
    expired: u64,
}

/// What happened since the last sample.
#[derive(Debug)]
pub(super) struct Window {
    last: Reading,
    /// From submission to completion \[us\], within a hundredth.
    latencies: Histogram<u64>,
    submitted: usize,
    ended: usize,
    /// Tasks that have not ended, whenever they were submitted.
    open: usize,
    losses: BTreeMap<AgentId, Losses>,
    /// Agents that were told as degraded and not as recovered since.
    degraded: BTreeSet<AgentId>,
}

impl Window {
    /// The window that begins with the host, in a process that has used so much before.
    pub(super) fn new(process: Option<Usage>) -> Self {
        Self {
            last: Reading { process, ..Reading::default() },
            latencies: Histogram::new(2).expect("two digits are between none and five"),
            submitted: 0,
            ended: 0,
            open: 0,
            losses: BTreeMap::new(),
            degraded: BTreeSet::new(),
        }
    }

    /// Counts tasks in and out.
    pub(super) fn observe(&mut self, event: &TaskEvent) {
        match event {
            TaskEvent::TasksSubmitted { tasks, .. } => {
                self.submitted += tasks;
                self.open += tasks;
            }
            TaskEvent::TaskEnded { state, latency, .. } => {
                self.ended += 1;
                self.open = self.open.saturating_sub(1);
                if *state == TaskState::Completed {
                    // Refused only where memory is addressed by 32 bits and the latency is beyond all that fits.
                    _ = self.latencies.record(micros(*latency));
                }
            }
            TaskEvent::TaskStarted { .. }
            | TaskEvent::TaskRefused { .. }
            | TaskEvent::TaskRetried { .. }
            | TaskEvent::AttemptReleased { .. }
            | TaskEvent::CapabilityMissing { .. }
            | TaskEvent::AgentEnrolled { .. }
            | TaskEvent::AgentWithdrawn { .. } => {}
        }
    }

    /// Counts a message that an agent did not get, where the reason is that it could not keep up.
    pub(super) fn lose(&mut self, agent: &AgentId, reason: Reason) {
        let column: fn(&mut Losses) -> &mut u64 = match reason {
            Reason::Full => |losses| &mut losses.rejected,
            Reason::DroppedOldest | Reason::DroppedNewest => |losses| &mut losses.dropped,
            Reason::Expired => |losses| &mut losses.expired,
            Reason::Congested
            | Reason::Closed
            | Reason::NotAccepted
            | Reason::Unknown
            | Reason::Intervened
            | Reason::Recalled
            | Reason::Duplicate
            | Reason::Panicked
            | Reason::Stopped => return,
        };
        if let Some(losses) = self.losses.get_mut(agent) {
            *column(losses) += 1;
        } else {
            *column(self.losses.entry(agent.clone()).or_default()) += 1;
        }
    }

    /// Ends the window with `now` and begins the next one. Answers what there is to tell, and whether the host was busy.
    pub(super) fn sample(&mut self, now: Reading) -> (Vec<Event>, bool) {
        let last = std::mem::replace(&mut self.last, now);
        let span = now.at.since(last.at);
        let is_busy = self.submitted + self.ended > 0
            || now.ledger.sent != last.ledger.sent
            || now.ledger.pending != last.ledger.pending;
        let mut events = Vec::new();
        self.health(now.at, span, &mut events);
        if is_busy {
            messages(&last.ledger, &now, span, &mut events);
            self.tasks(now.at, span, &mut events);
            waits(&last.waits, &now, span, &mut events);
            let load = Event::metric(HOST, "host.load", float(now.ledger.pending), "messages", now.at);
            events.push(load.with("open_tasks", self.open));
        }
        if now.unconfirmed > 0 {
            let waiting = float(now.unconfirmed as u64);
            events.push(Event::metric(HOST, "host.unconfirmed", waiting, "messages", now.at));
        }
        process(last.process.as_ref(), &now, span, &mut events);
        self.latencies.reset();
        (self.submitted, self.ended) = (0, 0);
        (events, is_busy)
    }

    /// Who could not keep up, and who can again.
    fn health(&mut self, at: Timestamp, span: Duration, events: &mut Vec<Event>) {
        let told = |agent: AgentId, severity, name: &'static str| {
            Event::system(severity, HOST, name, at).about(agent).with("window_us", micros(span))
        };
        let losses = std::mem::take(&mut self.losses);
        self.degraded.retain(|agent| {
            let is_still = losses.contains_key(agent);
            if !is_still {
                events.push(told(agent.clone(), Severity::Info, names::AGENT_RECOVERED));
            }
            is_still
        });
        for (agent, lost) in losses {
            self.degraded.insert(agent.clone());
            events.push(
                told(agent, Severity::Warning, names::AGENT_DEGRADED)
                    .with("rejected", lost.rejected)
                    .with("dropped", lost.dropped)
                    .with("expired", lost.expired),
            );
        }
    }

    fn tasks(&self, at: Timestamp, span: Duration, events: &mut Vec<Event>) {
        if self.ended == 0 {
            return;
        }
        if let Some(rate) = per_second(self.ended as u64, span) {
            events.push(
                Event::throughput(HOST, "host.tasks_ended", rate, at)
                    .with("ended", self.ended)
                    .with("completed", self.latencies.len())
                    .with("window_us", micros(span)),
            );
        }
        if !self.latencies.is_empty() {
            let at_most = |share| self.latencies.value_at_quantile(share);
            events.push(
                Event::latency(HOST, "host.task_latency", Duration::from_micros(at_most(0.5)), at)
                    .with("p90_us", at_most(0.9))
                    .with("p99_us", at_most(0.99))
                    .with("max_us", self.latencies.max())
                    .with("tasks", self.latencies.len())
                    .with("window_us", micros(span)),
            );
        }
    }
}

fn messages(last: &Counts, now: &Reading, span: Duration, events: &mut Vec<Event>) {
    let ledger = &now.ledger;
    let delivered = ledger.delivered - last.delivered;
    let not_delivered = |counts: &Counts| counts.sent - counts.delivered - counts.pending;
    let Some(rate) = per_second(delivered, span) else { return };
    events.push(
        Event::throughput(HOST, "host.messages_delivered", rate, now.at)
            .with("sent", ledger.sent - last.sent)
            .with("delivered", delivered)
            .with("not_delivered", not_delivered(ledger).saturating_sub(not_delivered(last)))
            .with("window_us", micros(span)),
    );
}

/// The mean of the sampled times in inboxes.
fn waits(last: &Waits, now: &Reading, span: Duration, events: &mut Vec<Event>) {
    let samples = now.waits.samples - last.samples;
    if let Some(mean) = (now.waits.total_us.saturating_sub(last.total_us)).checked_div(samples) {
        let event = Event::latency(HOST, "host.inbox_wait", Duration::from_micros(mean), now.at);
        events.push(event.with("samples", samples).with("window_us", micros(span)));
    }
}

fn process(last: Option<&Usage>, now: &Reading, span: Duration, events: &mut Vec<Event>) {
    let Some(usage) = now.process else { return };
    events.push(Event::resource_usage(HOST, "host.memory", float(usage.resident), "bytes", now.at));
    let cpu = usage.cpu.saturating_sub(last.map_or(Duration::ZERO, |last| last.cpu));
    if let (Some(_), false) = (last, span.is_zero()) {
        let processors = cpu.as_secs_f64() / span.as_secs_f64();
        events.push(
            Event::resource_usage(HOST, "host.cpu", processors, "processors", now.at)
                .with("cpu_us", micros(cpu))
                .with("window_us", micros(span)),
        );
    }
}

fn per_second(count: u64, span: Duration) -> Option<f64> {
    (!span.is_zero()).then(|| float(count) / span.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "a figure above 2^53 may be off in its last digit")]
fn float(count: u64) -> f64 {
    count as f64
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
