//! Everything that was measured, in the form in which it is written and drawn.
//!
//! ```text
//!   Measured ──> Report { machine, peers, works with figures, targets } ──> table, chart, JSON
//! ```
//!
//! **Invariant.** A ratio is the median of the ratios of the rounds, phalanx's figure by the peer's of the same round.

use serde::Serialize;

use crate::{
    machine::{self, Machine},
    peers::{self, Kind, Peer},
    round::{Effort, Measured},
    stat::{median, percentile},
    work::{Measure, Pace, Payload, Rival},
};

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    /// How long each peer works in each round, about \[ms\].
    pub(crate) budget_ms: u64,
    pub(crate) peers: Vec<Entrant>,
    pub(crate) works: Vec<Line>,
    pub(crate) targets: Vec<Target>,
}

/// A peer that took part.
#[derive(Debug, Serialize)]
pub(crate) struct Entrant {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) package: Option<String>,
    pub(crate) version: Option<String>,
    /// How many publications of each topic are on their way in a steady stream to 10, 1,000 and 100,000 agents, and with ten
    /// topics of 100.
    pub(crate) steady_windows: [u64; 4],
}

/// One measure of one work.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) work: String,
    pub(crate) setting: String,
    pub(crate) payload: Payload,
    pub(crate) pace: Pace,
    pub(crate) measure: Measure,
    pub(crate) figures: Vec<Figures>,
}

/// What one peer did there.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) peer: String,
    pub(crate) kind: Kind,
    /// How many publications of each topic were on their way at most; nothing for lone ones.
    pub(crate) window: Option<u64>,
    /// How many publications of each topic there were in each round.
    pub(crate) publications: u64,
    /// The figure of each round: millions of messages in a second, or microseconds.
    pub(crate) rounds: Vec<f64>,
    pub(crate) median: f64,
    pub(crate) p10: f64,
    pub(crate) p90: f64,
    /// Phalanx's figure by this one.
    pub(crate) ratio: f64,
}

/// What is wanted of phalanx, and whether it is so.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) work: String,
    pub(crate) wanted: String,
    /// Who the rival turned out to be.
    pub(crate) rival: String,
    pub(crate) ratio: f64,
    pub(crate) is_met: bool,
}

impl Measure {
    /// Whether more of it is better.
    pub(crate) fn is_rate(self) -> bool {
        self == Self::Rate
    }
}

impl Line {
    fn new(measured: &Measured, at: usize) -> Self {
        let ours = measured.parts.iter().find(|part| part.peer.kind() == Kind::Phalanx);
        let ours = &ours.expect("phalanx takes part in all").rounds[at];
        let figures = measured.parts.iter().map(|part| {
            let rounds = part.rounds[at].clone();
            let ratios: Vec<f64> = ours.iter().zip(&rounds).map(|(ours, theirs)| ours / theirs).collect();
            Figures {
                peer: part.peer.name().to_owned(),
                kind: part.peer.kind(),
                window: part.order.window,
                publications: part.order.publications,
                median: median(&rounds),
                p10: percentile(&rounds, 10.0),
                p90: percentile(&rounds, 90.0),
                ratio: median(&ratios),
                rounds,
            }
        });
        Self {
            work: measured.work.name.clone(),
            setting: measured.setting.to_owned(),
            payload: measured.payload,
            pace: measured.work.pace,
            measure: measured.work.measures[at].0,
            figures: figures.collect(),
        }
    }

    /// Whom phalanx is compared with here.
    fn rival(&self, rival: Rival) -> Option<&Figures> {
        let actix = peers::ACTIX.name();
        let rivals = self.figures.iter().filter(|figures| match rival {
            Rival::Actix => figures.peer == actix,
            Rival::Best => matches!(figures.kind, Kind::Runtime | Kind::Channel),
            Rival::BestRuntime => figures.kind == Kind::Runtime,
            Rival::TokioBroadcast => figures.peer.starts_with("tokio broadcast"),
        });
        let better = |one: &&Figures, other: &&Figures| one.median.total_cmp(&other.median);
        if self.measure.is_rate() { rivals.max_by(better) } else { rivals.min_by(better) }
    }

    fn target(&self, rival: Rival, bound: f64) -> Option<Target> {
        let figures = self.rival(rival)?;
        let (word, is_met) = if self.measure.is_rate() {
            ("at least", figures.ratio >= bound)
        } else {
            ("at most", figures.ratio <= bound)
        };
        let whom = match rival {
            Rival::Actix => "plain actix",
            Rival::Best => "the best peer",
            Rival::BestRuntime => "the best actor runtime",
            Rival::TokioBroadcast => "tokio broadcast",
        };
        Some(Target {
            work: self.name(),
            wanted: format!("{word} {bound}x {whom}"),
            rival: figures.peer.clone(),
            ratio: figures.ratio,
            is_met,
        })
    }

    /// The work with what is measured of it, where that is not the only thing.
    pub(crate) fn name(&self) -> String {
        match self.measure {
            Measure::Rate => self.work.clone(),
            Measure::P50 => format!("{}, p50", self.work),
            Measure::P99 => format!("{}, p99", self.work),
        }
    }
}

impl Report {
    /// From what was measured. Targets are judged when all peers took part.
    pub(crate) fn new(measured: &[Measured], effort: Effort, took_part: &[&'static dyn Peer]) -> Self {
        let mut works = Vec::new();
        let mut targets = Vec::new();
        for one in measured {
            for (at, (_, wanted)) in one.work.measures.iter().enumerate() {
                let line = Line::new(one, at);
                if took_part.len() == peers::ALL.len() {
                    targets.extend(wanted.iter().filter_map(|(rival, bound)| line.target(*rival, *bound)));
                }
                works.push(line);
            }
        }
        let peers = took_part.iter().map(|peer| Entrant {
            name: peer.name().to_owned(),
            kind: peer.kind(),
            package: peer.package().map(str::to_owned),
            version: peer.package().and_then(machine::version_of),
            steady_windows: crate::round::steady_windows(*peer),
        });
        Self {
            machine: Machine::here(),
            rounds: effort.rounds,
            budget_ms: u64::try_from(effort.budget.as_millis()).unwrap_or(u64::MAX),
            peers: peers.collect(),
            works,
            targets,
        }
    }

    /// How many targets are missed.
    pub(crate) fn missed(&self) -> usize {
        self.targets.iter().filter(|target| !target.is_met).count()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        round::Part,
        stage::Order,
        work::{Setting, settings},
    };

    /// What would have been measured had each peer the figure that `figure` says in each round.
    pub(crate) fn measured(figure: impl Fn(&'static dyn Peer, Measure, usize) -> f64) -> Vec<Measured> {
        let mut all = Vec::new();
        for Setting { name, crowd, payload, works } in settings() {
            for work in works {
                let parts = peers::ALL.into_iter().filter(|peer| peer.plays(crowd)).map(|peer| Part {
                    peer,
                    order: Order { publications: 100, window: Some(64) },
                    rounds: work
                        .measures
                        .iter()
                        .map(|(measure, _)| (0..3).map(|round| figure(peer, *measure, round)).collect())
                        .collect(),
                });
                let parts = parts.collect();
                all.push(Measured { setting: name, payload, work, parts });
            }
        }
        all
    }

    /// A report in which phalanx has 100 and all others 1, or the other way round where less is better.
    pub(crate) fn report() -> Report {
        let measured = measured(|peer, measure, _| match (peer.kind(), measure.is_rate()) {
            (Kind::Phalanx, true) => 100.0,
            (_, true) => 1.0,
            (Kind::Phalanx, false) => 5.0,
            (_, false) => 50.0,
        });
        Report::new(&measured, Effort::QUICK, &peers::ALL)
    }

    #[test]
    fn the_ratio_is_the_median_of_the_ratios_of_the_rounds() {
        let ours = [10.0, 40.0, 90.0];
        let theirs = [10.0, 20.0, 1.0];
        let measured = measured(|peer, _, round| match peer.kind() {
            Kind::Phalanx => ours[round],
            _ => theirs[round],
        });
        let report = Report::new(&measured, Effort::QUICK, &peers::ALL);
        let actix = report.works[0].rival(Rival::Actix).expect("it takes part");
        // By rounds 1, 2 and 90; by the medians it would be 4.
        assert!((actix.ratio - 2.0).abs() < 1e-12, "{}", actix.ratio);
    }

    #[test]
    fn all_targets_are_met_by_figures_that_are_good_enough_and_all_are_there() {
        let report = report();
        assert_eq!(report.missed(), 0);
        // Per payload: 2 x 2 to 10, 2 x 2 to 1,000 and to 100,000, 2 mixed, 2 lone publications, 2 x 2 lone messages.
        assert_eq!(report.targets.len(), 2 * (4 + 4 + 4 + 2 + 2 + 4));
    }

    #[test]
    fn a_target_is_missed_by_a_rate_too_low_and_by_a_latency_too_high() {
        let measured = measured(|_, _, _| 7.0);
        let report = Report::new(&measured, Effort::QUICK, &peers::ALL);
        let met: Vec<&str> = report
            .targets
            .iter()
            .filter(|target| target.is_met)
            .map(|target| target.wanted.as_str())
            .collect();
        // What may be level is met by equal figures, the rest is not.
        assert!(!met.is_empty() && met.len() < report.targets.len());
        assert!(
            met.iter()
                .all(|wanted| ["at least 0.9x tokio broadcast", "at most 1.3x plain actix"].contains(wanted)),
            "{met:?}"
        );
    }

    #[test]
    fn the_best_peer_is_neither_the_floor_nor_phalanx() {
        let measured = measured(|peer, _, _| match peer.kind() {
            Kind::Floor => 1_000.0,
            Kind::Phalanx => 100.0,
            Kind::Channel => 3.0,
            Kind::Runtime => 2.0,
        });
        let report = Report::new(&measured, Effort::QUICK, &peers::ALL);
        let line = &report.works[0];
        assert_eq!(line.rival(Rival::Best).expect("there are some").kind, Kind::Channel);
        assert_eq!(line.rival(Rival::BestRuntime).expect("there are some").kind, Kind::Runtime);
    }

    #[test]
    fn targets_are_not_judged_when_peers_are_missing() {
        let some = &peers::ALL[..2];
        let mut measured = measured(|_, _, _| 1.0);
        for one in &mut measured {
            one.parts.retain(|part| some.iter().any(|peer| peer.name() == part.peer.name()));
        }
        let report = Report::new(&measured, Effort::QUICK, some);
        assert_eq!((report.targets.len(), report.peers.len()), (0, 2));
    }
}
