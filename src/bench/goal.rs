//! [`Goal`]: a figure beside what is wanted of it, and beside the best that is possible.

use serde::Serialize;

use super::{
    Findings, Page,
    figures::{three_digits, times, whole},
    json,
    standing::Standing,
};
use crate::report::outline::{Block, columns};

/// In what a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// How many times as much.
    Times,
    /// Parts of a hundred.
    Percent,
    /// A second.
    PerSecond,
    /// Nanoseconds \[ns\].
    Nanoseconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    fn show(self, figure: f64) -> String {
        match self {
            Self::Times => times(figure),
            Self::Percent => format!("{} %", three_digits(figure)),
            Self::PerSecond => format!("{}/s", whole(figure)),
            Self::Nanoseconds => format!("{} ns", three_digits(figure)),
            Self::Bytes => format!("{} B", three_digits(figure)),
        }
    }

    /// A figure that was written by hand, as it was written.
    fn show_wanted(self, figure: f64) -> String {
        match self {
            Self::Times => format!("{figure}x"),
            Self::Percent => format!("{figure} %"),
            Self::Nanoseconds => format!("{} ns", whole(figure)),
            Self::Bytes => format!("{} B", whole(figure)),
            Self::PerSecond => self.show(figure),
        }
    }
}

/// Which way a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Aim {
    /// More is better.
    AtLeast,
    /// Less is better.
    AtMost,
}

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// The ancestor claims it.
    Claim,
    /// phalanx aims at it.
    Target,
}

/// A figure beside what is wanted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Goal {
    what: String,
    unit: Unit,
    aim: Aim,
    origin: Origin,
    /// Whether it is the same on every machine.
    exact: bool,
    reached: f64,
    /// The best that is possible, where that is known.
    possible: Option<f64>,
    wanted: f64,
    is: Standing,
}

impl Goal {
    /// A figure that should not be below what is wanted, or not above.
    pub(super) fn new(
        origin: Origin,
        what: impl Into<String>,
        unit: Unit,
        (aim, wanted): (Aim, f64),
        reached: f64,
        possible: Option<f64>,
    ) -> Self {
        // The less the better is the more the better of the reciprocals.
        let is = match aim {
            Aim::AtLeast => Standing::of(reached, wanted, possible),
            Aim::AtMost => Standing::of(1.0 / reached, 1.0 / wanted, possible.map(|least| 1.0 / least)),
        };
        Self { what: what.into(), unit, aim, origin, exact: true, reached, possible, wanted, is }
    }

    /// The same of one machine at one time.
    pub(super) fn of_this_machine(self) -> Self {
        Self { exact: false, ..self }
    }

    /// Whether it is something that phalanx cannot be without: a claim, or what is the same on every machine.
    const fn counts(&self) -> bool {
        self.exact || matches!(self.origin, Origin::Claim)
    }
}

/// Findings that are goals and a page.
pub(super) trait Judged: Serialize {
    /// What is reached beside what is wanted.
    fn goals(&self) -> &[Goal];

    /// The page, block by block.
    fn page(&self) -> Vec<Block>;
}

impl<T: Judged> Findings for T {
    fn to_json(&self) -> String {
        json(self)
    }

    fn blocks(&self) -> Page {
        Page(self.page())
    }

    fn missed(&self) -> Vec<String> {
        missed(self.goals())
    }
}

/// The goals that are missed and count, in sentences.
pub(super) fn missed(goals: &[Goal]) -> Vec<String> {
    let missed = goals.iter().filter(|goal| goal.counts() && goal.is == Standing::Missed);
    let sentence = |goal: &Goal| {
        let Goal { what, unit, aim, origin, reached, wanted, .. } = goal;
        let bound = match (origin, aim) {
            (Origin::Claim, _) => "claimed are",
            (_, Aim::AtLeast) => "wanted are at least",
            (_, Aim::AtMost) => "wanted are at most",
        };
        format!("{what} {}, {bound} {}", unit.show(*reached), unit.show_wanted(*wanted))
    };
    missed.map(sentence).collect()
}

/// What is reached beside what is wanted, of what is exact or of what is not.
pub(super) fn table(goals: &[Goal], exact: bool) -> Block {
    let row = |goal: &Goal| {
        let Goal { what, unit, aim, origin, reached, possible, wanted, is, .. } = goal;
        let sign = if *aim == Aim::AtMost { "<= " } else { "" };
        let cells = vec![
            what.clone(),
            unit.show(*reached),
            possible.map_or_else(|| "-".to_owned(), |possible| unit.show(possible)),
            format!("{sign}{}", unit.show_wanted(*wanted)),
            if *origin == Origin::Claim { "claim" } else { "target" }.to_owned(),
            is.word().to_owned(),
        ];
        (cells, is.tone())
    };
    let rows = goals.iter().filter(|goal| goal.exact == exact).map(row).collect();
    Block::Table { columns: columns("what", ["reached", "best possible", "wanted", "as", "met?"]), rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(origin: Origin, aim: (Aim, f64), reached: f64, possible: Option<f64>) -> Goal {
        Goal::new(origin, "it takes", Unit::Nanoseconds, aim, reached, possible)
    }

    #[test]
    fn less_is_better_where_it_should_be_at_most_so_much() {
        let of = |reached, possible| goal(Origin::Target, (Aim::AtMost, 100.0), reached, possible).is;
        assert_eq!([of(99.0, None), of(101.0, None)], [Standing::Met, Standing::Missed]);
        assert_eq!(of(205.0, Some(200.0)), Standing::AtBound, "nobody could do it in 100");
        assert_eq!(of(150.0, Some(50.0)), Standing::Missed);
    }

    #[test]
    fn targets_of_one_machine_are_shown_and_do_not_count() {
        let missed_by = |origin| goal(origin, (Aim::AtMost, 100.0), 150.0, None);
        let goals = [
            missed_by(Origin::Target).of_this_machine(),
            missed_by(Origin::Target),
            missed_by(Origin::Claim).of_this_machine(),
            goal(Origin::Claim, (Aim::AtLeast, 100.0), 150.0, None),
        ];
        assert_eq!(
            missed(&goals),
            ["it takes 150 ns, wanted are at most 100 ns", "it takes 150 ns, claimed are 100 ns"]
        );
    }
}
