//! [`RouteSection`]: what became of what was sent by one way, the batches it came in, and how both are shown.
//!
//! **Invariant.** The busiest routes are shown, and what is not shown is in a row of its own: each column adds up.

use std::{cmp::Reverse, iter::once, time::Duration};

use phalanx_actors::inbox::{Counts, RouteStatus};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    RunReport,
    outline::{Block, MAX_ROWS, Tone, columns, ledger},
    schema::CountsShape,
    units::{brief, many, took},
};

/// One route: its ledger, and its batches.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RouteSection {
    /// The route.
    pub route: String,
    /// Its ledger.
    #[serde(flatten)]
    #[schemars(with = "CountsShape")]
    pub ledger: Counts,
    /// The batches that its messages came in; none for direct sends, and where nothing was published.
    pub batches: Option<BatchSection>,
}

/// The batches of a route, on all arbiters together.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BatchSection {
    /// How many there were.
    pub count: u64,
    /// How many messages they held together; each is counted once on every arbiter that has recipients of it.
    pub messages: u64,
    /// How many messages one held on average, to a hundredth.
    pub mean_size: f64,
    /// No batch held more messages: 1, 2, 4 .. 1,024.
    pub largest_size: u16,
    /// How many there were by size, those sizes that came up.
    pub sizes: Vec<SizeSection>,
    /// From the publication of its first message until a batch was made: the median of those that were measured, within a
    /// fifth \[us\]; none when none was.
    pub delay_p50_us: Option<u64>,
    /// The same for all but one in a hundred \[us\].
    pub delay_p99_us: Option<u64>,
    /// How many messages one could hold in the end.
    pub bound: usize,
}

/// The batches of about one size.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SizeSection {
    /// The most messages one of them held; more than half of that.
    pub up_to: u16,
    /// How many there were.
    pub batches: u64,
}

impl From<RouteStatus> for RouteSection {
    fn from(status: RouteStatus) -> Self {
        let RouteStatus { name, ledger, batches, .. } = status;
        let sizes: Vec<SizeSection> = batches
            .sizes
            .iter()
            .filter(|class| class.batches > 0)
            .map(|class| SizeSection { up_to: class.up_to, batches: class.batches })
            .collect();
        let us = |delay: Duration| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        let batches = sizes.last().map(|size| size.up_to).map(|largest_size| BatchSection {
            count: batches.batches,
            messages: batches.messages,
            mean_size: mean(batches.messages, batches.batches),
            largest_size,
            sizes,
            delay_p50_us: batches.delay_p50.map(us),
            delay_p99_us: batches.delay_p99.map(us),
            bound: batches.limit,
        });
        Self { route: name.to_string(), ledger, batches }
    }
}

/// To a hundredth.
#[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 52 bits")]
fn mean(messages: u64, batches: u64) -> f64 {
    (messages as f64 / batches.max(1) as f64 * 100.0).round() / 100.0
}

/// The routes, the busiest first, and below them the others in one.
fn split<R: Copy>(mut routes: Vec<R>, messages: impl Fn(R) -> u64) -> (Vec<R>, Vec<R>) {
    routes.sort_by_key(|route| Reverse(messages(*route)));
    let others = routes.split_off(routes.len().min(MAX_ROWS));
    (routes, others)
}

/// A table with a row for each of the busiest and one for the others, without those columns that are empty.
fn table(
    blocks: &mut Vec<Block>,
    head: &'static str,
    names: &[&'static str],
    rows: Vec<(String, Vec<Option<String>>)>,
    others: (usize, Vec<Option<String>>),
) {
    let others = Some(others).filter(|(routes, _)| *routes > 0);
    let others = others.map(|(routes, cells)| {
        (many(u64::try_from(routes).expect("a count fits"), "other route", "other routes"), cells)
    });
    let rows: Vec<_> = rows.into_iter().chain(others).collect();
    let shown: Vec<usize> =
        (0..names.len()).filter(|at| rows.iter().any(|(_, cells)| cells[*at].is_some())).collect();
    let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "-".to_owned());
    let rows = rows.iter().map(|(name, cells)| {
        (once(name.clone()).chain(shown.iter().map(|at| cell(&cells[*at]))).collect(), Tone::Plain)
    });
    blocks.push(Block::Table {
        columns: columns(head, shown.iter().map(|at| names[*at])),
        rows: rows.collect(),
    });
}

/// The ledger of each route; nothing when there is but one, which says no more than that of all.
pub(super) fn ledgers(report: &RunReport, blocks: &mut Vec<Block>) {
    if report.routes.len() < 2 {
        return;
    }
    let (busiest, others) = split(report.routes.iter().collect(), |route: &RouteSection| route.ledger.sent);
    let ledgers: Vec<_> = report.routes.iter().map(|route| ledger(&route.ledger)).collect();
    // A column of zeros says no more than the whole ledger does.
    let is_shown: Vec<bool> =
        (0..7).map(|at| at < 2 || ledgers.iter().any(|ledger| ledger[at].1 > 0)).collect();
    let cells = |counts: &Counts| -> Vec<Option<String>> {
        let figures = ledger(counts).into_iter().zip(&is_shown);
        figures.map(|((_, messages, _), shown)| shown.then(|| brief(messages))).collect()
    };
    let rows = busiest.iter().map(|route| (route.route.clone(), cells(&route.ledger)));
    let sum = others.iter().fold(Counts::default(), |sum, route| sum.plus(route.ledger));
    let names = ledger(&Counts::default()).map(|(name, ..)| name);
    table(blocks, "route", &names, rows.collect(), (others.len(), cells(&sum)));
}

/// Of which sizes batches are shown together, by the largest.
const SHOWN_SIZES: [(u16, &str); 6] =
    [(1, "1"), (4, "2-4"), (16, "5-16"), (64, "17-64"), (256, "65-256"), (u16::MAX, "257-1,024")];

/// How many batches of each shown size these had.
fn sizes<'b>(batches: impl Iterator<Item = &'b BatchSection>) -> [u64; SHOWN_SIZES.len()] {
    let mut sum = [0; SHOWN_SIZES.len()];
    for size in batches.flat_map(|batches| &batches.sizes) {
        let at = SHOWN_SIZES.iter().position(|(most, _)| size.up_to <= *most).expect("the last holds all");
        sum[at] += size.batches;
    }
    sum
}

/// The batches of each route that has any.
pub(super) fn batches(report: &RunReport, blocks: &mut Vec<Block>) {
    let routes = report.routes.iter().filter_map(|route| Some((&*route.route, route.batches.as_ref()?)));
    let (busiest, others) = split(routes.collect(), |(_, batches): (&str, &BatchSection)| batches.messages);
    if busiest.is_empty() {
        return;
    }
    let cells = |(count, mean_size, largest, bound): (u64, f64, u16, usize), delays: [Option<u64>; 2]| {
        let figures = [brief(count), format!("{mean_size:.1}"), brief(largest.into()), brief(bound as u64)];
        figures.map(Some).into_iter().chain(delays.map(|delay| delay.map(took))).collect()
    };
    let rows = busiest.iter().map(|(name, of)| {
        let figures = (of.count, of.mean_size, of.largest_size, of.bound);
        ((*name).to_owned(), cells(figures, [of.delay_p50_us, of.delay_p99_us]))
    });
    let of_others = || others.iter().map(|(_, batches)| *batches);
    let sum = |figure: fn(&BatchSection) -> u64| of_others().map(figure).sum::<u64>();
    let (count, messages) = (sum(|of| of.count), sum(|of| of.messages));
    let largest = of_others().map(|of| of.largest_size).max().unwrap_or(0);
    let bound = of_others().map(|of| of.bound).max().unwrap_or(0);
    // Percentiles of several routes do not add up.
    let last = cells((count, mean(messages, count), largest, bound), [None, None]);
    let names = ["batches", "mean size", "largest", "bound", "delay p50", "delay p99"];
    table(blocks, "in batches", &names, rows.collect(), (others.len(), last));

    let shown = sizes(report.routes.iter().filter_map(|route| route.batches.as_ref()));
    let cells = |sizes: [u64; SHOWN_SIZES.len()]| -> Vec<Option<String>> {
        sizes.into_iter().zip(shown).map(|(batches, all)| (all > 0).then(|| brief(batches))).collect()
    };
    let rows = busiest.iter().map(|(name, of)| ((*name).to_owned(), cells(sizes(once(*of)))));
    let names = SHOWN_SIZES.map(|(_, name)| name);
    table(blocks, "messages in a batch", &names, rows.collect(), (others.len(), cells(sizes(of_others()))));
}

#[cfg(test)]
mod tests {
    use phalanx_actors::{
        agent::Timestamp,
        inbox::{BatchStatus, SizeClass},
    };

    use super::*;
    use crate::{manifest::Palette, report::sample};

    #[test]
    fn a_section_says_of_batches_what_the_status_does_and_nothing_where_there_are_none() {
        let batches = BatchStatus {
            batches: 3,
            messages: 100,
            sizes: [(1, 1), (64, 2), (1_024, 0)].map(|(up_to, batches)| SizeClass { up_to, batches }).into(),
            limit: 128,
            delay_p50: Some(Duration::from_micros(7)),
            delay_p99: None,
        };
        let ledger = Counts { sent: 200, delivered: 200, ..Counts::default() };
        let status = RouteStatus { name: "topic t (N)".into(), at: Timestamp::ZERO, ledger, batches };
        let section = serde_json::to_value(RouteSection::from(status.clone())).unwrap();
        assert_eq!((&section["route"], &section["sent"]), (&"topic t (N)".into(), &200.into()));
        let sizes = serde_json::json!([{"up_to": 1, "batches": 1}, {"up_to": 64, "batches": 2}]);
        assert_eq!(
            section["batches"],
            serde_json::json!({
                "count": 3, "messages": 100, "mean_size": 33.33, "largest_size": 64, "sizes": sizes,
                "delay_p50_us": 7, "delay_p99_us": null, "bound": 128
            })
        );
        let none = BatchStatus { batches: 0, messages: 0, sizes: Vec::new(), ..status.batches.clone() };
        assert!(RouteSection::from(RouteStatus { batches: none, ..status }).batches.is_none());
    }

    /// A report with this many topics, of which the later ones are the busier.
    fn busy(topics: u64) -> RunReport {
        let mut report = sample::least();
        report.routes = (1..=topics)
            .map(|n| RouteSection {
                route: format!("topic t{n:02} (N)"),
                ledger: Counts { sent: 2 * n, delivered: 2 * n, ..Counts::default() },
                batches: Some(BatchSection {
                    count: n,
                    messages: n,
                    mean_size: 1.0,
                    largest_size: 1,
                    sizes: vec![SizeSection { up_to: 1, batches: n }],
                    delay_p50_us: None,
                    delay_p99_us: None,
                    bound: 64,
                }),
            })
            .collect();
        report
    }

    #[test]
    fn the_twenty_busiest_routes_are_shown_and_the_others_in_one_row() {
        let text = busy(25).to_text(Palette::Plain);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let topics: Vec<&str> =
            rows.iter().filter(|row| row.first() == Some(&"topic")).map(|row| row[1]).collect();
        let busiest: Vec<String> = (6..=25).rev().map(|n| format!("t{n:02}")).collect();
        assert_eq!(topics, [&busiest[..], &busiest, &busiest].concat(), "{text}");
        let others: Vec<&Vec<&str>> = rows.iter().filter(|row| row.get(1) == Some(&"other")).collect();
        assert_eq!(others[0][3..], ["30", "30"], "{text}");
        assert_eq!(others[1][3..], ["15", "1.0", "1", "64"], "{text}");
        assert_eq!((others.len(), &others[2][3..]), (3, &["15"][..]), "{text}");
    }

    #[test]
    fn columns_that_are_empty_everywhere_are_left_out() {
        let text = busy(2).to_text(Palette::Plain);
        assert!(!text.contains("delay") && !text.contains("other route") && !text.contains("2-4"), "{text}");
        let mut report = busy(2);
        report.routes[0].batches.as_mut().unwrap().delay_p50_us = Some(12);
        let text = report.to_text(Palette::Plain);
        assert!(
            text.contains("delay p50") && !text.contains("delay p99") && text.contains("12 us"),
            "{text}"
        );
        report.routes.iter_mut().for_each(|route| route.batches = None);
        assert!(!report.to_text(Palette::Plain).contains("in batches"), "a table of its own");
    }
}
