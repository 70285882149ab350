//! Interleaved rounds: each peer does the same work by turns, as often as there are rounds.
//!
//! ```text
//!   for each setting: start all peers ─> for each work: find out how much fits into the budget
//!                                                       round 1: A B C, round 2: B C A, ..
//! ```

use std::time::{Duration, Instant};

use crate::{
    args::Plan,
    child::Child,
    peers::{Kind, Peer},
    progress::Progress,
    stage::{Crowd, Order},
    work::{Measure, Pace, Payload, Work},
};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// How long each peer works in each round, about.
    pub(crate) budget: Duration,
    /// How many lone publications there are in each round.
    pub(crate) lone: u64,
    /// Whether a stream lasts at least as long as its window, whatever the budget.
    pub(crate) fills_windows: bool,
}

impl Effort {
    pub(crate) const FULL: Self =
        Self { rounds: 7, budget: Duration::from_millis(250), lone: 300, fills_windows: true };
    pub(crate) const QUICK: Self =
        Self { rounds: 2, budget: Duration::from_millis(10), lone: 15, fills_windows: false };
}

/// What one peer did in all rounds of a work.
pub(crate) struct Part {
    pub(crate) peer: &'static dyn Peer,
    pub(crate) order: Order,
    /// For each measure of the work, the figure of each round.
    pub(crate) rounds: Vec<Vec<f64>>,
}

/// A work that was measured.
pub(crate) struct Measured {
    pub(crate) setting: &'static str,
    pub(crate) payload: Payload,
    pub(crate) work: Work,
    pub(crate) parts: Vec<Part>,
}

/// Does all works of all settings.
///
/// # Errors
/// When a peer does not start, ends, or loses a message.
pub(crate) fn measure(plan: &Plan, effort: Effort) -> Result<Vec<Measured>, String> {
    let Plan { settings, peers } = plan;
    let players = |crowd| peers.iter().copied().filter(move |peer| peer.plays(crowd));
    let steps = settings.iter().map(|setting| {
        let peers = players(setting.crowd).count();
        peers * (1 + setting.works.len() * (1 + effort.rounds))
    });
    let mut progress = Progress::new(steps.sum());
    let mut measured = Vec::new();
    for setting in settings {
        let mut children = Vec::new();
        for peer in players(setting.crowd) {
            progress.step(&format!("{}, {}: starting {}", setting.name, setting.payload.name(), peer.name()));
            children.push(Child::start(peer, setting.crowd, setting.payload)?);
        }
        for work in &setting.works {
            let parts = measure_work(work, &mut children, effort, &mut progress)
                .map_err(|fault| format!("{}: {fault}", work.name))?;
            measured.push(Measured {
                setting: setting.name,
                payload: setting.payload,
                work: work.clone(),
                parts,
            });
        }
    }
    progress.end();
    Ok(measured)
}

fn measure_work(
    work: &Work,
    children: &mut [Child],
    effort: Effort,
    progress: &mut Progress,
) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    for child in &mut *children {
        progress.step(&format!("{}: warming up {}", work.name, child.peer.name()));
        let order = calibrate(child, work.pace, effort)?;
        parts.push(Part { peer: child.peer, order, rounds: vec![Vec::new(); work.measures.len()] });
    }
    for round in 0..effort.rounds {
        for turn in 0..children.len() {
            let at = (round + turn) % children.len();
            let (child, part) = (&mut children[at], &mut parts[at]);
            progress.step(&format!(
                "{}: round {} of {}, {}",
                work.name,
                round + 1,
                effort.rounds,
                child.peer.name()
            ));
            let took = child.perform(part.order)?;
            for ((measure, _), rounds) in work.measures.iter().zip(&mut part.rounds) {
                rounds.push(match measure {
                    Measure::Rate => rate(took.deliveries, took.nanos),
                    Measure::P50 => took.p50 / 1_000.0,
                    Measure::P99 => took.p99 / 1_000.0,
                });
            }
        }
    }
    Ok(parts)
}

/// Millions in a second.
#[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
fn rate(deliveries: u64, nanos: u64) -> f64 {
    deliveries as f64 * 1_000.0 / nanos.max(1) as f64
}

/// How much of a work fits into the budget. The peer is warm afterwards.
fn calibrate(child: &mut Child, pace: Pace, effort: Effort) -> Result<Order, String> {
    let window = match pace {
        Pace::Steady => child.peer.steady(child.crowd),
        Pace::Small(window) => window,
        Pace::Lone => {
            child.perform(Order { publications: 10, window: None })?;
            return Ok(Order { publications: effort.lone, window: None });
        }
    };
    // A window takes most peers long where there are many agents, and its length makes no difference to them.
    let is_long = child.crowd.agents >= 1_000 && !matches!(child.peer.kind(), Kind::Phalanx | Kind::Floor);
    let least = if effort.fills_windows || !is_long { window } else { 1 };
    let mut publications = least;
    loop {
        // More at once may go faster each, so what comes out is tried again.
        let began = Instant::now();
        let order = Order { publications, window: Some(window) };
        child.perform(order)?;
        let took = began.elapsed();
        if took * 2 >= effort.budget {
            return Ok(order);
        }
        publications = scaled(publications, effort.budget.as_secs_f64() / took.as_secs_f64().max(1e-9));
    }
}

/// So many times as many, at least one more and at most eight times as many.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rough figure is meant"
)]
fn scaled(publications: u64, by: f64) -> u64 {
    ((publications as f64 * by.min(8.0)) as u64).max(publications + 1)
}

/// The steady windows of a peer, as a table tells them.
pub(crate) fn steady_windows(peer: &dyn Peer) -> [u64; 4] {
    [(1, 10), (1, 1_000), (1, 100_000), (10, 100)]
        .map(|(topics, agents)| peer.steady(Crowd { topics, agents, first_lane: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_in_millions_a_second() {
        assert!((rate(5_000_000, 1_000_000_000) - 5.0).abs() < 1e-12);
        assert!(rate(1, 0).is_finite());
    }

    #[test]
    fn more_is_tried_until_the_budget_is_met() {
        assert_eq!(scaled(100, 3.0), 300);
        assert_eq!(scaled(100, 1_000.0), 800);
        assert_eq!(scaled(1, 0.5), 2, "it always grows, or calibration would not end");
    }
}
