//! [`Rows`]: the ledgers of all routes but direct sends, of those that closed, too.
//!
//! ```text
//! open ──> live ──close──> closing ──nobody can count on it any more──> at rest ──1,000 newer──> folded into one
//!            ^                │                                            │
//!            └─── opened again by its name ────────────────────────────────┘
//! ```
//!
//! **Invariant.** Whatever was ever counted is in just one of the live, closing, resting and folded ledgers. It changes its
//! place only while these are held, so whoever reads them, held, reads the same routes all along. A ledger comes to rest when
//! this is the only one to hold its route: counting takes the route, and every message that has not ended holds it, so what is
//! read then is final, and nothing of it is pending.

use std::{
    collections::{BTreeMap, hash_map::Entry},
    sync::Arc,
};

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::{
    Batching, Counts, RouteAccount,
    account::{Lineage, Record},
    hub::Route,
    ledger::Totals,
};
use crate::agent::Reason;

/// How many closed routes keep a row of their own.
pub(super) const KEPT: usize = 1_000;

/// The row of all others.
const FOLDED: &str = "closed routes";

/// How many closing routes are looked at for each that closes: more than come, so that those that are quiet never pile up.
const LOOKS: usize = 4;

/// Routes of one name that are closed but may still be counted on.
#[derive(Default)]
struct Closing {
    number: u64,
    routes: Vec<Arc<Route>>,
}

/// The ledgers of all routes.
#[derive(Default)]
pub(super) struct Rows {
    /// By address.
    live: IndexMap<usize, Arc<Route>, FxBuildHasher>,
    closing: IndexMap<Arc<str>, Closing, FxBuildHasher>,
    /// Where the next look at those that are closing is.
    look: usize,
    resting: FxHashMap<Arc<str>, (u64, Record)>,
    /// The names of those at rest, by when they closed.
    order: BTreeMap<u64, Arc<str>>,
    folded: Option<Record>,
    /// All that rests or is folded, together.
    ended: Totals,
    closed: u64,
    /// The last number that was given to a row.
    number: u64,
}

fn address(route: &Arc<Route>) -> usize {
    Arc::as_ptr(route) as usize
}

impl Rows {
    /// A route of this name: one that is closing, one that goes on where one at rest stopped, or a new one.
    pub(super) fn open(&mut self, name: &str, arbiters: usize) -> Arc<Route> {
        let route = if let Some(closing) = self.closing.get_mut(name) {
            let route = closing.routes.pop().expect("a name without routes is taken out");
            if closing.routes.is_empty() {
                self.closing.swap_remove(name);
            }
            // How it made its batches was said by publishers that are gone.
            route.batches.set(Batching::adaptive());
            route
        } else if let Some((number, record)) = self.resting.remove(name) {
            self.order.remove(&number);
            self.ended.subtract(&record.totals);
            Arc::new(Route::with(name, arbiters, record))
        } else {
            Arc::new(Route::new(name, arbiters, Lineage::new(&mut self.number)))
        };
        self.live.insert(address(&route), route.clone());
        route
    }

    /// Closes a route; its row stays.
    pub(super) fn close(&mut self, route: &Arc<Route>) {
        let Some(route) = self.live.swap_remove(&address(route)) else { return };
        if self.live.len() * 8 < self.live.capacity() {
            self.live.shrink_to(self.live.len() * 2);
        }
        self.closed += 1;
        let closing = self.closing.entry(route.name.clone()).or_default();
        closing.number = self.closed;
        closing.routes.push(route);
        self.settle(LOOKS);
    }

    /// Looks at so many of those that are closing, and lays to rest those that nobody can count on any more.
    fn settle(&mut self, most: usize) {
        for _ in 0..most.min(self.closing.len()) {
            if self.look >= self.closing.len() {
                self.look = 0;
            }
            let (name, closing) = self.closing.get_index_mut(self.look).expect("the look is within");
            let (name, number) = (name.clone(), closing.number);
            let mut final_ones = Vec::new();
            closing.routes.retain_mut(|route| match Arc::get_mut(route) {
                Some(route) => {
                    final_ones.push(route.record());
                    false
                }
                None => true,
            });
            if closing.routes.is_empty() {
                self.closing.swap_remove_index(self.look);
            } else {
                self.look += 1;
            }
            for record in final_ones {
                self.rest(&name, number, record);
            }
        }
        if self.closing.len() * 8 < self.closing.capacity() {
            self.closing.shrink_to(self.closing.len() * 2);
        }
    }

    fn rest(&mut self, name: &Arc<str>, number: u64, record: Record) {
        debug_assert_eq!(record.totals.counts().pending, 0, "{name}: what is pending holds its route");
        self.ended.add(&record.totals);
        match self.resting.entry(name.clone()) {
            Entry::Occupied(mut row) => {
                let (at, row) = row.get_mut();
                self.order.remove(at);
                *at = number;
                row.add(&record);
                row.lineage = Lineage::joined(&mut self.number);
            }
            Entry::Vacant(row) => _ = row.insert((number, record)),
        }
        self.order.insert(number, name.clone());
        if self.order.len() > KEPT
            && let Some((_, oldest)) = self.order.pop_first()
            && let Some((_, record)) = self.resting.remove(&oldest)
        {
            self.folded.get_or_insert_with(|| Record::new(Lineage::FOLDED)).add(&record);
        }
    }

    fn counted(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.live.values().chain(self.closing.values().flat_map(|closing| &closing.routes))
    }

    /// The account of each route in no order; last, that of the closed routes which have none of their own any more.
    pub(super) fn accounts(&mut self) -> Vec<RouteAccount> {
        self.settle(usize::MAX);
        let resting =
            self.resting.iter().map(|(name, (_, record))| RouteAccount::closed(name.clone(), record));
        let mut accounts: Vec<_> = self.counted().map(RouteAccount::open).chain(resting).collect();
        accounts.extend(self.folded.as_ref().map(|record| RouteAccount::closed(Arc::from(FOLDED), record)));
        accounts
    }

    /// What all ledgers add up to, that of direct sends included.
    pub(super) fn sum(&mut self, direct: &Route) -> Counts {
        self.settle(usize::MAX);
        let routes = || std::iter::once(direct).chain(self.counted().map(|route| &**route));
        // As in `Ledger::counts`: all outcomes are read before any send, so that zero pending is never seen too early.
        let ended = routes().fold(self.ended.counts(), |sum, route| sum.plus(route.ledger.outcomes()));
        let sent = self.ended.counts().sent + routes().map(|route| route.ledger.sends()).sum::<u64>();
        Counts { sent, pending: sent - ended.ended(), ..ended }
    }

    /// How often messages ended for this reason.
    pub(super) fn reason(&self, direct: &Route, reason: Reason) -> u64 {
        let live = self.counted().map(|route| route.ledger.reason(reason)).sum::<u64>();
        live + self.ended.reason(reason) + direct.ledger.reason(reason)
    }

    /// The ledger of each route by name; last, that of the closed routes which have none of their own any more.
    pub(super) fn rows(&mut self) -> Vec<(Arc<str>, Counts)> {
        self.settle(usize::MAX);
        let counted = self.counted().map(|route| (route.name.clone(), route.ledger.counts()));
        let resting = self.resting.iter().map(|(name, (_, record))| (name.clone(), record.totals.counts()));
        let mut rows: Vec<_> = counted.chain(resting).collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows.extend(self.folded.as_ref().map(|record| (Arc::from(FOLDED), record.totals.counts())));
        rows
    }
}
