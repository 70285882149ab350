//! [`Row`]: what one way of doing a workload took, beside the others, the ancestor's way and the bound.

use std::time::Duration;

use serde::Serialize;

use super::{
    figures::{seconds, three_digits, times},
    goal::{Aim, Goal, Origin, Unit},
};
use crate::report::outline::{Block, Tone, columns};

/// A way of doing a workload.
pub(super) trait Way: Copy + PartialEq + Serialize {
    /// Each part is awaited before the next is begun.
    const ONE_BY_ONE: Self;
    /// phalanx.
    const PHALANX: Self;

    /// As the page calls it.
    fn name(self) -> &'static str;

    /// Whether it is the ancestor's.
    fn is_ancestors(self) -> bool;
}

/// What one way took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Row<W> {
    way: W,
    duration_us: u64,
    over_one_by_one: f64,
    /// Over the fastest form of the ancestor's way.
    over_ancestor: f64,
    /// How much less time than one by one \[%\].
    less_percent: f64,
    /// 1 is all that is possible.
    share_of_bound: f64,
}

/// Whole microseconds of what a workload takes.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("no workload takes that long")
}

/// What each way took, beside the others.
pub(super) fn rows<W: Way>(taken: &[(W, Duration)], bound: Duration) -> Vec<Row<W>> {
    let least = |is_meant: &dyn Fn(W) -> bool| {
        let of_these = taken.iter().filter(|(way, _)| is_meant(*way));
        of_these.map(|(_, time)| time.as_secs_f64()).fold(f64::INFINITY, f64::min)
    };
    let (one_by_one, ancestor) = (least(&|way| way == W::ONE_BY_ONE), least(&W::is_ancestors));
    let row = |(way, time): &(W, Duration)| {
        let seconds = time.as_secs_f64();
        Row {
            way: *way,
            duration_us: micros(*time),
            over_one_by_one: one_by_one / seconds,
            over_ancestor: ancestor / seconds,
            less_percent: 100.0 * (1.0 - seconds / one_by_one),
            share_of_bound: bound.as_secs_f64() / seconds,
        }
    };
    taken.iter().map(row).collect()
}

/// What is claimed of a workload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    /// So many times as fast as one by one.
    pub(super) speed_up: f64,
    /// Which is so much less time \[%\].
    pub(super) less_percent: f64,
}

/// phalanx beside what is claimed.
pub(super) fn claims<W: Way>(rows: &[Row<W>], claim: Claim) -> [Goal; 2] {
    let row = rows.iter().find(|row| row.way == W::PHALANX).expect("phalanx is measured");
    // Who reaches the bound is faster than phalanx by what phalanx lacks of it.
    let most = row.over_one_by_one / row.share_of_bound;
    let less = 100.0 * (1.0 - 1.0 / most);
    let goal = |what, unit, wanted, reached, possible| {
        Goal::new(Origin::Claim, what, unit, (Aim::AtLeast, wanted), reached, Some(possible))
    };
    [
        goal("over one by one", Unit::Times, claim.speed_up, row.over_one_by_one, most),
        goal("less time than one by one", Unit::Percent, claim.less_percent, row.less_percent, less),
    ]
}

/// The title of a page.
pub(super) fn title(bench: &str, claim: Claim, met: bool) -> Block {
    let (verdict, tone) = if met { ("met", Tone::Good) } else { ("MISSED", Tone::Bad) };
    Block::Title { text: format!("{bench}: the claim of {}x is {verdict}", claim.speed_up), tone }
}

/// All ways as a table; `over` says over what the ancestor's way is.
pub(super) fn table<W: Way>(rows: &[Row<W>], over: &'static str) -> Block {
    let figures = ["total time", "less time", "over one by one", over, "of the bound"];
    let row = |row: &Row<W>| {
        let cells = [
            seconds(row.duration_us),
            format!("{} %", three_digits(row.less_percent)),
            times(row.over_one_by_one),
            times(row.over_ancestor),
            format!("{} %", three_digits(100.0 * row.share_of_bound)),
        ];
        let tone = if row.way == W::PHALANX { Tone::Good } else { Tone::Plain };
        (std::iter::once(row.way.name().to_owned()).chain(cells).collect(), tone)
    };
    Block::Table { columns: columns("way", figures), rows: rows.iter().map(row).collect() }
}

/// That it was built without optimisation, if so.
pub(super) fn debug_warning(debug: bool) -> Option<Block> {
    let text = "Built without optimisation: the figures mean little, build with --release.".to_owned();
    debug.then(|| Block::List { items: vec![text], tone: Tone::Bad })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    enum Three {
        Slow,
        Old,
        New,
    }

    impl Way for Three {
        const ONE_BY_ONE: Self = Self::Slow;
        const PHALANX: Self = Self::New;

        fn name(self) -> &'static str {
            "one of three"
        }

        fn is_ancestors(self) -> bool {
            self == Self::Old
        }
    }

    #[test]
    fn ways_are_compared_with_each_other_and_the_claim_with_what_is_possible() {
        let seconds = Duration::from_secs;
        let taken = [(Three::Slow, seconds(20)), (Three::Old, seconds(10)), (Three::New, seconds(5))];
        let rows = rows(&taken, seconds(4));
        let new = rows[2];
        assert_eq!((new.over_one_by_one, new.over_ancestor), (4.0, 2.0));
        assert_eq!((new.less_percent, new.share_of_bound), (75.0, 0.8));
        let missed = |speed_up, less_percent| {
            super::super::goal::missed(&claims(&rows, Claim { speed_up, less_percent }))
        };
        assert_eq!(missed(4.0, 75.0), [""; 0]);
        assert_eq!(missed(4.5, 75.0), ["over one by one 4.00x, claimed are 4.5x"]);
        assert_eq!(missed(6.0, 75.0).len(), 1, "nobody could, and what can be reached is not");
    }
}
