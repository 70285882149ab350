//! [`RouteAccount`]: what was counted on one route, open or closed; [`RouteStatus`]: how it stands.
//!
//! ```text
//! Rows ──accounts──> RouteAccount ──ledger, batches──> read when they are wanted
//!                         └──status──> RouteStatus
//! ```
//!
//! **Invariant.** What is counted under one number only grows, whether its route is open, closed, or opened again. A route
//! that is opened after its row was folded has another number.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{BatchCounts, BatchStatus, Counts, hub::Route, ledger::Totals};
use crate::agent::Timestamp;

/// Which row something is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lineage {
    number: u64,
    is_joined: bool,
}

impl Lineage {
    pub(super) const DIRECT: Self = Self { number: 0, is_joined: false };
    pub(super) const FOLDED: Self = Self { number: u64::MAX, is_joined: true };

    /// One of its own, which begins with nothing.
    pub(super) fn new(last: &mut u64) -> Self {
        *last += 1;
        Self { number: *last, is_joined: false }
    }

    /// One that begins with what was counted in two others.
    pub(super) fn joined(last: &mut u64) -> Self {
        Self { is_joined: true, ..Self::new(last) }
    }
}

/// All that a route has counted that nobody counts on any more.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) lineage: Lineage,
    pub(super) totals: Totals,
    pub(super) batches: BatchCounts,
    pub(super) limit: usize,
}

impl Record {
    /// A record of nothing.
    pub(super) fn new(lineage: Lineage) -> Self {
        Self { lineage, totals: Totals::default(), batches: BatchCounts::default(), limit: 0 }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.totals.add(&other.totals);
        self.batches = self.batches.plus(&other.batches);
        self.limit = self.limit.max(other.limit);
    }
}

#[derive(Clone)]
enum Counted {
    Open(Arc<Route>),
    Closed(Box<(Counts, BatchCounts, usize)>),
}

/// What was counted on one route: a handle, read when it is wanted. A route that is held by one keeps the row it has.
#[derive(Clone)]
pub struct RouteAccount {
    name: Arc<str>,
    lineage: Lineage,
    counted: Counted,
}

impl RouteAccount {
    pub(super) fn open(route: &Arc<Route>) -> Self {
        let counted = Counted::Open(route.clone());
        Self { name: route.name.clone(), lineage: route.lineage, counted }
    }

    pub(super) fn closed(name: Arc<str>, record: &Record) -> Self {
        let counted = (record.totals.counts(), record.batches.clone(), record.limit);
        Self { name, lineage: record.lineage, counted: Counted::Closed(Box::new(counted)) }
    }

    /// `direct` for what was sent to one agent, `closed routes` for those that have no row any more, else the topic, group or
    /// capability, and the type of message.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A number that no other route of the host has; none for the closed routes that have no row of their own.
    pub fn number(&self) -> Option<u64> {
        Some(self.lineage.number).filter(|_| self.lineage != Lineage::FOLDED)
    }

    /// Whether what is counted under the number began with what two others of the same name had counted.
    pub fn is_joined(&self) -> bool {
        self.lineage.is_joined
    }

    /// Whether it is open, or something of it is not yet quiet.
    pub fn is_open(&self) -> bool {
        matches!(self.counted, Counted::Open(_))
    }

    /// What became of its messages so far, one for each recipient.
    pub fn ledger(&self) -> Counts {
        match &self.counted {
            Counted::Open(route) => route.ledger.counts(),
            Counted::Closed(counted) => counted.0,
        }
    }

    /// What was counted of its batches so far.
    pub fn batches(&self) -> BatchCounts {
        match &self.counted {
            Counted::Open(route) => route.batches.counts(),
            Counted::Closed(counted) => counted.1.clone(),
        }
    }

    /// How many messages a batch may hold, or could when it was closed.
    fn limit(&self) -> usize {
        match &self.counted {
            Counted::Open(route) => route.batches.largest_limit(),
            Counted::Closed(counted) => counted.2,
        }
    }

    /// By which they are put in order: direct sends, the others by name, the closed ones without rows.
    pub(super) fn place(&self) -> (u8, &str, u64) {
        let group = if self.lineage == Lineage::DIRECT {
            0
        } else if self.lineage == Lineage::FOLDED {
            2
        } else {
            1
        };
        (group, &*self.name, self.lineage.number)
    }

    /// How the route stands.
    pub(super) fn status(&self, at: Timestamp) -> RouteStatus {
        let (name, ledger) = (self.name.clone(), self.ledger());
        RouteStatus { name, at, ledger, batches: self.batches().status(self.limit()) }
    }
}

/// What became of everything that was sent by one way, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// `direct` for what was sent to one agent, else the topic, group or capability, and the type of message.
    pub name: Arc<str>,
    /// When this was read.
    pub at: Timestamp,
    /// What became of its messages, one for each recipient.
    pub ledger: Counts,
    /// The batches that they came in; direct sends come in none.
    pub batches: BatchStatus,
}

impl RouteStatus {
    /// How many messages a second were sent since an earlier status of the same route; 0 when no time has passed.
    ///
    /// Whoever asks keeps the earlier status, so any number may ask.
    pub fn rate_since(&self, earlier: &Self) -> f64 {
        let (span, sent) = (self.at.since(earlier.at), self.ledger.sent.saturating_sub(earlier.ledger.sent));
        #[expect(clippy::cast_precision_loss, reason = "a rate of messages needs no more than 52 bits")]
        let rate = |span: Duration| sent as f64 / span.as_secs_f64();
        if span.is_zero() { 0.0 } else { rate(span) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::{ArbiterPort, Hub, HubConfig, ledger::Writer};

    fn accounts(hub: &Hub, name: &str) -> Vec<(Option<u64>, bool, u64)> {
        let accounts = hub.accounts();
        let of_name = accounts.iter().filter(|account| **account.name() == *name);
        of_name.map(|account| (account.number(), account.is_joined(), account.ledger().sent)).collect()
    }

    fn used(hub: &Hub, name: &str, messages: u64) -> Arc<Route> {
        let route = hub.open_route(name);
        route.ledger.sent(Writer::FOREIGN, messages);
        route.ledger.delivered(Writer::FOREIGN, messages);
        route.batches.note(0, 3, None, || unreachable!("no batch is full"));
        route
    }

    #[test]
    fn a_route_keeps_its_number_when_it_closes_and_opens_again() {
        let hub = Hub::new(HubConfig::default(), vec![ArbiterPort::here()]);
        let first = used(&hub, "a", 5);
        let [(number, false, 5)] = accounts(&hub, "a")[..] else { panic!("{:?}", accounts(&hub, "a")) };
        hub.close_route(&first);
        drop(first);
        assert_eq!(accounts(&hub, "a"), [(number, false, 5)]);
        let again = used(&hub, "a", 2);
        assert_eq!(accounts(&hub, "a"), [(number, false, 7)]);
        assert_eq!((again.batches.counts().batches(), again.batches.counts().messages()), (2, 6));
    }

    #[test]
    fn two_routes_of_one_name_come_to_rest_under_a_number_of_their_own() {
        let hub = Hub::new(HubConfig::default(), vec![ArbiterPort::here()]);
        let routes = [used(&hub, "a", 5), used(&hub, "a", 2)];
        let before = accounts(&hub, "a");
        assert!(before.len() == 2 && before.iter().all(|(_, joined, _)| !joined), "{before:?}");
        for route in routes {
            hub.close_route(&route);
        }
        let [(number, true, 7)] = accounts(&hub, "a")[..] else { panic!("{:?}", accounts(&hub, "a")) };
        assert!(before.iter().all(|(earlier, ..)| *earlier != number));
        let status = hub.all_routes();
        assert_eq!(status.iter().map(|route| &*route.name).collect::<Vec<_>>(), ["direct", "a"]);
        assert_eq!((status[1].batches.batches, status[1].batches.limit), (2, 64));
    }

    #[test]
    fn routes_whose_rows_are_folded_are_one_account_without_a_number() {
        let hub = Hub::new(HubConfig::default(), vec![ArbiterPort::here()]);
        for number in 0..1_010 {
            hub.close_route(&used(&hub, &format!("{number:04}"), 1));
        }
        let status = hub.all_routes();
        let last = status.last().unwrap();
        assert_eq!((status.len(), &*last.name, last.ledger.sent), (1_002, "closed routes", 10));
        assert_eq!((last.batches.batches, last.batches.messages), (10, 30));
        assert_eq!(accounts(&hub, "closed routes"), [(None, true, 10)]);
        assert_eq!(hub.routes().len(), 1, "all but direct sends are closed");
    }
}
