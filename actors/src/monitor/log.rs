//! [`EventLog`]: the latest events, within a number and a size.
//!
//! **Invariant.** The log holds a gapless run of events by `seq`, ending with the latest; `first lost .. held` are counted.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::event::{Event, EventKind, Severity};
use crate::agent::AgentId;

/// Which events one asks for; an empty filter is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// Only these kinds; empty for all.
    pub kinds: Vec<EventKind>,
    /// Only this severity and graver ones.
    pub at_least: Option<Severity>,
    /// Only from this source.
    pub source: Option<String>,
    /// Only about this agent.
    pub agent: Option<AgentId>,
    /// Only of this name.
    pub name: Option<String>,
    /// Only events after this one.
    pub since: u64,
    /// At most so many, the latest; zero for all.
    pub limit: usize,
}

impl EventFilter {
    /// Whether an event passes, its place and the limit apart.
    pub fn matches(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.at_least.is_none_or(|least| event.severity >= least)
            && self.source.as_ref().is_none_or(|source| event.source.as_str() == source)
            && self.agent.as_ref().is_none_or(|agent| event.agent.as_ref() == Some(agent))
            && self.name.as_ref().is_none_or(|name| event.name == name.as_str())
    }
}

/// An answer from the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventPage {
    /// The events that passed, the earliest first.
    pub events: Vec<Arc<Event>>,
    /// How many events since the asked place the log had let go before they could be looked at.
    pub lost: u64,
    /// The place of the latest event, to ask from the next time.
    pub latest: u64,
}

/// A bounded ring of the latest events.
#[derive(Debug)]
pub struct EventLog {
    events: VecDeque<(Arc<Event>, usize)>,
    max_events: usize,
    max_bytes: usize,
    bytes: usize,
    let_go: [u64; Severity::ALL.len()],
    latest: u64,
}

impl EventLog {
    /// An empty log for at most `max_events` events with at most `max_bytes` of data together.
    pub fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            events: VecDeque::new(),
            max_events,
            max_bytes,
            bytes: 0,
            let_go: [0; Severity::ALL.len()],
            latest: 0,
        }
    }

    /// Adds an event with data of `bytes`, and lets go the earliest ones until the bounds hold.
    pub fn push(&mut self, event: Arc<Event>, bytes: usize) {
        self.latest = event.seq;
        self.bytes += bytes;
        self.events.push_back((event, bytes));
        while self.events.len() > self.max_events || self.bytes > self.max_bytes {
            let Some((gone, bytes)) = self.events.pop_front() else { break };
            self.bytes -= bytes;
            self.let_go[gone.severity as usize - 1] += 1;
        }
    }

    /// The events that pass a filter.
    pub fn query(&self, filter: &EventFilter) -> EventPage {
        let first = self.events.front().map_or(self.latest + 1, |(event, _)| event.seq);
        let lost = first.saturating_sub(filter.since.saturating_add(1)).min(self.total_let_go());
        let skip =
            usize::try_from((filter.since.saturating_add(1)).saturating_sub(first)).unwrap_or(usize::MAX);
        let passing =
            self.events.iter().skip(skip).map(|(event, _)| event).filter(|event| filter.matches(event));
        let events = if filter.limit == 0 {
            passing.cloned().collect()
        } else {
            let mut latest: Vec<_> = passing.rev().take(filter.limit).cloned().collect();
            latest.reverse();
            latest
        };
        EventPage { events, lost, latest: self.latest }
    }

    /// How many events of a severity were let go.
    pub const fn let_go(&self, severity: Severity) -> u64 {
        self.let_go[severity as usize - 1]
    }

    /// How many events were let go.
    pub fn total_let_go(&self) -> u64 {
        self.let_go.iter().sum()
    }

    /// How many events are held.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether no event is held.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Timestamp;

    fn log(events: u64, max_events: usize, max_bytes: usize) -> EventLog {
        let mut log = EventLog::new(max_events, max_bytes);
        for seq in 1..=events {
            let severity = if seq % 2 == 0 { Severity::Debug } else { Severity::Error };
            let source = if seq % 3 == 0 { "router" } else { "registrar" };
            let mut event = Event::system(severity, source, "test.event", Timestamp::ZERO);
            event.seq = seq;
            log.push(Arc::new(event), 10);
        }
        log
    }

    fn places(page: &EventPage) -> Vec<u64> {
        page.events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn the_log_keeps_the_latest_events_and_counts_what_it_let_go() {
        let log = log(10, 4, 1000);
        let page = log.query(&EventFilter::default());
        assert_eq!((places(&page), page.lost, page.latest), (vec![7, 8, 9, 10], 6, 10));
        assert_eq!((log.let_go(Severity::Debug), log.let_go(Severity::Error)), (3, 3));
    }

    #[test]
    fn the_log_is_bounded_by_size_as_well() {
        assert_eq!(places(&log(10, 100, 35).query(&EventFilter::default())), [8, 9, 10]);
    }

    #[test]
    fn filters_hold_together() {
        let log = log(12, 100, 1000);
        let filter = EventFilter {
            at_least: Some(Severity::Error),
            source: Some("router".into()),
            ..EventFilter::default()
        };
        assert_eq!(places(&log.query(&filter)), [3, 9]);
        assert_eq!(places(&log.query(&EventFilter { limit: 2, ..EventFilter::default() })), [11, 12]);
        let none = EventFilter { kinds: vec![EventKind::ErrorAlert], ..EventFilter::default() };
        assert!(log.query(&none).events.is_empty());
    }

    #[test]
    fn asking_since_a_place_gives_what_came_after_and_says_what_is_lost() {
        let log = log(10, 4, 1000);
        for since in 0..15 {
            let page = log.query(&EventFilter { since, ..EventFilter::default() });
            let expected: Vec<u64> = (7..=10).filter(|seq| *seq > since).collect();
            assert_eq!((places(&page), page.lost), (expected, 6_u64.saturating_sub(since)), "since {since}");
        }
        assert_eq!(log.query(&EventFilter { since: u64::MAX, ..EventFilter::default() }).lost, 0);
    }
}
