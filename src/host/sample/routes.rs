//! [`RouteWindow`]: what went by each route of a host between two samples.
//!
//! ```text
//! RouteReading of each route ──less its mark──> the busiest: `host.route`
//!        │                                      all others together: `host.other_routes`
//!        └──> marks, for the next sample
//! ```
//!
//! It asks for the batches of a route only when something happened on it, and keeps a mark only of routes that are among the
//! readings and were ever used; so it weighs a fraction of the routes themselves.
//!
//! **Invariant.** What was counted on all routes is told in exactly one window: of a route by name, or of the others.

use std::{cmp::Reverse, collections::hash_map::Entry, sync::Arc, time::Duration};

use phalanx_actors::{
    agent::Timestamp,
    inbox::{BatchCounts, Counts},
    monitor::Event,
};
use rustc_hash::FxHashMap;

use super::{HOST, micros, per_second};

/// How many routes are told by name.
pub(in crate::host) const TOLD: usize = 16;

/// What was counted on a route so far.
pub(in crate::host) struct RouteReading<B> {
    /// What is counted under a number only grows. None for closed routes that are only known together.
    pub(in crate::host) number: Option<u64>,
    /// Whether the number began with what two others had counted.
    pub(in crate::host) is_joined: bool,
    pub(in crate::host) name: Arc<str>,
    pub(in crate::host) ledger: Counts,
    /// Tells what was counted of the batches.
    pub(in crate::host) batches: B,
}

/// Messages, one for each recipient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Flow {
    sent: u64,
    delivered: u64,
    not_delivered: u64,
}

impl Flow {
    fn of(counts: &Counts) -> Self {
        let not_delivered = counts.rejected + counts.dropped + counts.expired + counts.failed;
        Self { sent: counts.sent, delivered: counts.delivered, not_delivered }
    }

    fn with(self, other: Self, change: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            sent: change(self.sent, other.sent),
            delivered: change(self.delivered, other.delivered),
            not_delivered: change(self.not_delivered, other.not_delivered),
        }
    }

    fn plus(self, other: Self) -> Self {
        self.with(other, |sum, more| sum + more)
    }

    fn since(self, earlier: Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }

    fn is_none(self) -> bool {
        self == Self::default()
    }

    /// How busy this makes a route: as many messages as began or ended, whichever were more.
    fn messages(self) -> u64 {
        self.sent.max(self.delivered + self.not_delivered)
    }

    fn told(self, name: &'static str, (at, span): (Timestamp, Duration)) -> Option<Event> {
        let rate = per_second(self.delivered, span)?;
        Some(Event::throughput(HOST, name, rate, at))
    }

    fn put(self, event: Event) -> Event {
        event
            .with("sent", self.sent)
            .with("delivered", self.delivered)
            .with("not_delivered", self.not_delivered)
    }
}

/// How far what was counted on a route has been told.
#[derive(Debug, Default)]
struct Mark {
    round: u64,
    flow: Flow,
    batches: BatchCounts,
}

/// What a route did in the window.
struct Busy {
    name: Arc<str>,
    number: u64,
    flow: Flow,
    batches: BatchCounts,
}

/// What went by each route since the last sample.
#[derive(Debug, Default)]
pub(in crate::host) struct RouteWindow {
    began: Timestamp,
    round: u64,
    /// All that was counted on all routes.
    all: Flow,
    marks: FxHashMap<u64, Mark>,
}

impl RouteWindow {
    /// Nothing happened in the window that ends now, and the next one begins.
    pub(in crate::host) fn skip(&mut self, at: Timestamp) {
        self.began = at;
    }

    /// Ends the window with a reading of each route, and begins the next one.
    pub(in crate::host) fn sample<B: FnOnce() -> BatchCounts>(
        &mut self,
        routes: impl IntoIterator<Item = RouteReading<B>>,
        at: Timestamp,
    ) -> Vec<Event> {
        let time = (at, at.since(std::mem::replace(&mut self.began, at)));
        self.round += 1;
        let (mut all, mut busy, mut busiest) = (Flow::default(), 0, Vec::new());
        for route in routes {
            all = all.plus(Flow::of(&route.ledger));
            let Some((is_busy, told)) = self.look(route) else { continue };
            busy += u64::from(is_busy);
            busiest.extend(told);
            if busiest.len() >= 4 * TOLD {
                keep_busiest(&mut busiest);
            }
        }
        keep_busiest(&mut busiest);
        // Of what is not there any more nothing will be read.
        let round = self.round;
        self.marks.retain(|_, mark| mark.round == round);
        if self.marks.len() * 8 < self.marks.capacity() {
            self.marks.shrink_to(self.marks.len() * 2);
        }
        let mut others = all.since(std::mem::replace(&mut self.all, all));
        let mut events = Vec::new();
        for route in &busiest {
            others = others.since(route.flow);
            events.extend(told(route, time));
        }
        if !others.is_none() {
            let routes = busy.saturating_sub(busiest.len() as u64);
            events.extend(
                others
                    .told("host.other_routes", time)
                    .map(|event| others.put(event.with("routes", routes)).with("window_us", micros(time.1))),
            );
        }
        events
    }

    /// Whether anything happened on a route, and what is to be told of it; nothing of one that was never used.
    fn look<B: FnOnce() -> BatchCounts>(&mut self, route: RouteReading<B>) -> Option<(bool, Option<Busy>)> {
        let (number, now) = (route.number?, Flow::of(&route.ledger));
        let (mark, is_known) = match self.marks.entry(number) {
            Entry::Occupied(mark) => (mark.into_mut(), true),
            Entry::Vacant(_) if now.is_none() => return None,
            Entry::Vacant(place) => (place.insert(Mark::default()), false),
        };
        mark.round = self.round;
        let flow = now.since(std::mem::replace(&mut mark.flow, now));
        if flow.is_none() {
            return Some((false, None));
        }
        let batches = (route.batches)();
        let earlier = std::mem::replace(&mut mark.batches, batches);
        // Nobody knows how much of what was joined has been told.
        let is_told = is_known || !route.is_joined;
        let batches = mark.batches.since(&earlier);
        Some((true, is_told.then_some(Busy { name: route.name, number, flow, batches })))
    }
}

fn keep_busiest(routes: &mut Vec<Busy>) {
    let place = |route: &Busy| (Reverse(route.flow.messages()), route.name.clone(), route.number);
    routes.sort_by_cached_key(place);
    routes.truncate(TOLD);
}

fn told(route: &Busy, time: (Timestamp, Duration)) -> Option<Event> {
    let delay = |share| route.batches.delay(share).map(micros);
    let event = route.flow.told("host.route", time)?.with("route", &*route.name);
    let event = route
        .flow
        .put(event)
        .with("batches", route.batches.batches())
        .with_some("mean_batch", route.batches.mean())
        .with_some("largest_batch", route.batches.largest())
        .with_some("delay_p50_us", delay(50))
        .with_some("delay_p99_us", delay(99));
    Some(event.with("window_us", micros(time.1)))
}

#[cfg(test)]
mod tests;
