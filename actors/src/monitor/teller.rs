//! [`Teller`]: how events reach a monitor from any thread, within a bound.
//!
//! ```text
//!  tell ────> Gate ──has room── Bounded ──> mailbox ──> Monitor
//!  tell_always ┘ └──has none──> refused, counted by severity
//! ```
//!
//! The mailbox of a monitor has no bound of its own. So the bytes on their way are counted, and an event for which there
//! is no room is refused: each severity may fill a larger share, so that the least severe give way first. Events whose
//! number is bounded elsewhere take room, but are never refused.
//!
//! **Invariant.** What [`Teller::tell`] lets in never comes to more than [`MonitorOptions::in_transit_bytes`] on the way.
//! Every event that is told is recorded or counted as refused.
//!
//! [`MonitorOptions::in_transit_bytes`]: super::MonitorOptions::in_transit_bytes

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use actix::{Addr, Message};

use super::{
    Monitor,
    event::{Event, Severity},
    limit::size,
};

/// What an event takes on its way beside its data, in bytes.
const EVENT: usize = 256;
/// An event counts as no more than one part in so many of the bound, so that there is room for one of any size.
const LARGEST: usize = 8;
/// The share of the bound that debug may fill, in tenths; each severity above it may fill a tenth more.
const DEBUG_TENTHS: usize = 6;

/// What is on its way to a monitor.
#[derive(Debug)]
pub(super) struct Gate {
    max: usize,
    in_transit: AtomicUsize,
    refused: [AtomicU64; Severity::ALL.len()],
}

impl Gate {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, in_transit: AtomicUsize::new(0), refused: Default::default() })
    }

    fn cost(&self, event: &Event) -> usize {
        size(&event.data).saturating_add(EVENT).min(self.max / LARGEST)
    }

    /// How much of the bound events up to this severity may fill.
    fn share(&self, severity: Severity) -> usize {
        self.max / 10 * (DEBUG_TENTHS + severity as usize - 1)
    }

    /// Takes room for an event, or counts it as refused.
    fn admit(&self, severity: Severity, cost: usize) -> bool {
        let share = self.share(severity);
        let admitted = self.in_transit.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| {
            taken.checked_add(cost).filter(|taken| *taken <= share)
        });
        if admitted.is_err() {
            self.refused[severity as usize - 1].fetch_add(1, Ordering::Relaxed);
        }
        admitted.is_ok()
    }

    /// Gives back the room of an event that has arrived.
    pub(super) fn arrived(&self, cost: usize) {
        self.in_transit.fetch_sub(cost, Ordering::AcqRel);
    }

    /// How many events were refused, from debug to critical.
    pub(super) fn refused(&self) -> [u64; Severity::ALL.len()] {
        std::array::from_fn(|at| self.refused[at].load(Ordering::Relaxed))
    }
}

/// An event that has taken room on its way.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Bounded {
    pub(super) event: Event,
    pub(super) cost: usize,
}

/// Tells a monitor what happened, from any thread. Cheap to clone; made by [`MonitorCell::teller`](super::MonitorCell::teller).
#[derive(Debug, Clone)]
pub struct Teller {
    pub(super) monitor: Addr<Monitor>,
    pub(super) gate: Arc<Gate>,
}

impl Teller {
    /// Tells the monitor, unless too much is on its way already. Answers whether there was room.
    pub fn tell(&self, event: Event) -> bool {
        let cost = self.gate.cost(&event);
        let admitted = self.gate.admit(event.severity, cost);
        if admitted {
            self.monitor.do_send(Bounded { event, cost });
        }
        admitted
    }

    /// Tells the monitor in any case. For events whose number is bounded by something else.
    pub fn tell_always(&self, event: Event) {
        let cost = self.gate.cost(&event);
        self.gate.in_transit.fetch_add(cost, Ordering::AcqRel);
        self.monitor.do_send(Bounded { event, cost });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_least_severe_give_way_first_and_room_that_is_given_back_is_used_again() {
        let gate = Gate::new(1_000);
        let admitted: Vec<usize> = Severity::ALL
            .into_iter()
            .map(|severity| (0..20).filter(|_| gate.admit(severity, 100)).count())
            .collect();
        assert_eq!(admitted, [6, 1, 1, 1, 1]);
        assert_eq!(gate.refused(), [14, 19, 19, 19, 19]);
        gate.arrived(500);
        assert!(gate.admit(Severity::Debug, 100) && !gate.admit(Severity::Debug, 100));
    }

    proptest! {
        #[test]
        fn no_more_is_on_the_way_than_the_share_of_each_severity(
            max in 0..100_000_usize,
            steps in proptest::collection::vec((0..5_usize, 0..20_000_usize, any::<bool>()), 1..200),
        ) {
            let gate = Gate::new(max);
            let mut on_the_way = std::collections::VecDeque::new();
            let mut refused = [0; 5];
            for (severity, cost, arrives) in steps {
                let severity = Severity::ALL[severity];
                let before: usize = on_the_way.iter().sum();
                if gate.admit(severity, cost) {
                    on_the_way.push_back(cost);
                    prop_assert!(before + cost <= gate.share(severity) && gate.share(severity) <= max);
                } else {
                    refused[severity as usize - 1] += 1;
                    prop_assert!(before + cost > gate.share(severity));
                }
                if let Some(cost) = arrives.then(|| on_the_way.pop_front()).flatten() {
                    gate.arrived(cost);
                }
            }
            prop_assert_eq!(gate.refused(), refused);
            prop_assert_eq!(gate.in_transit.load(Ordering::Relaxed), on_the_way.iter().sum::<usize>());
        }
    }
}
