//! The table of ratios: interleaved rounds, medians, and how it is printed.

use std::{fmt::Write as _, path::Path, time::Duration};

use crate::pair::{Pair, Run, Verdict};

/// One line of the table.
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) phalanx: String,
    pub(crate) actix: String,
    pub(crate) ratio: f64,
    pub(crate) verdict: Verdict,
}

const MARK: [&str; 2] = ["<!-- seam:begin -->", "<!-- seam:end -->"];

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// How many units of the work take about `budget`, and no fewer than `least`.
fn calibrate(run: &mut Run, least: u64, budget: Duration) -> u64 {
    let mut units = least;
    loop {
        // More at once may go faster each, so what comes out is tried again.
        let took = run(units);
        if took * 2 >= budget {
            return units;
        }
        units = scaled(units, (budget.as_secs_f64() / took.as_secs_f64().max(1e-9)).min(8.0));
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rough figure is meant"
)]
fn scaled(units: u64, by: f64) -> u64 {
    ((units as f64 * by) as u64).max(1)
}

#[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
fn nanos_each(run: &mut Run, units: u64, messages: u64) -> f64 {
    run(units).as_nanos() as f64 / (units * messages) as f64
}

/// Measures a pair in rounds of both, each round beginning with the other side.
pub(crate) fn measure(pair: &Pair, rounds: usize, budget: Duration) -> Row {
    let (mut phalanx, mut actix) = (pair.make)();
    let units =
        [calibrate(&mut phalanx, pair.least[0], budget), calibrate(&mut actix, pair.least[1], budget)];
    let mut nanos = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for round in 0..rounds {
        for side in [round % 2, (round + 1) % 2] {
            let run = if side == 0 { &mut phalanx } else { &mut actix };
            nanos[side].push(nanos_each(run, units[side], pair.messages));
        }
        ratios.push(nanos[0][round] / nanos[1][round]);
    }
    let cost = median(&ratios);
    let ratio = if matches!(pair.verdict, Verdict::Cost(_)) { cost } else { 1.0 / cost };
    let show = |nanos: &[f64]| shown(median(nanos), pair.verdict);
    Row {
        work: pair.name.clone(),
        phalanx: show(&nanos[0]),
        actix: show(&nanos[1]),
        ratio,
        verdict: pair.verdict,
    }
}

/// A time for each, or, where rates are compared, how many there are in a second.
pub(crate) fn shown(nanos: f64, verdict: Verdict) -> String {
    match verdict {
        Verdict::Rate(_) if nanos < 1_000.0 => format!("{:.3} M/s", 1_000.0 / nanos),
        Verdict::Rate(_) => format!("{:.1} k/s", 1e6 / nanos),
        Verdict::Cost(_) if nanos >= 10_000.0 => format!("{:.1} us", nanos / 1_000.0),
        Verdict::Cost(_) => format!("{nanos:.0} ns"),
    }
}

impl Row {
    /// The columns, and whether the target is met.
    fn cells(&self) -> [String; 6] {
        let ratio = match self.verdict {
            Verdict::Cost(_) => format!("{:.2}x the cost", self.ratio),
            Verdict::Rate(_) if self.ratio >= 10.0 => format!("{:.0}x the rate", self.ratio),
            Verdict::Rate(_) => format!("{:.2}x the rate", self.ratio),
        };
        let (target, met) = match self.verdict {
            Verdict::Cost(Some(most)) => (format!("at most {most}x"), yes_no(self.ratio <= most)),
            Verdict::Rate(Some(least)) => (format!("at least {least}x"), yes_no(self.ratio >= least)),
            Verdict::Cost(None) | Verdict::Rate(None) => ("-".to_owned(), "-"),
        };
        [self.work.clone(), self.phalanx.clone(), self.actix.clone(), ratio, target, met.to_owned()]
    }
}

fn yes_no(is_met: bool) -> &'static str {
    if is_met { "yes" } else { "NO" }
}

/// Lines that have a target of their own, in absolute figures.
pub(crate) struct Absolute {
    pub(crate) work: String,
    pub(crate) phalanx: String,
    pub(crate) actix: String,
    pub(crate) ratio: String,
    pub(crate) target: String,
    pub(crate) is_met: Option<bool>,
}

impl Absolute {
    fn cells(&self) -> [String; 6] {
        let met = self.is_met.map_or("-", yes_no).to_owned();
        [
            self.work.clone(),
            self.phalanx.clone(),
            self.actix.clone(),
            self.ratio.clone(),
            self.target.clone(),
            met,
        ]
    }
}

/// The whole table as Markdown, its columns aligned.
pub(crate) fn render(rows: &[Row], absolutes: &[Absolute]) -> String {
    let head = ["work", "phalanx", "actix", "ratio", "target", "met?"].map(str::to_owned);
    let mut lines = vec![head];
    lines.extend(rows.iter().map(Row::cells));
    lines.extend(absolutes.iter().map(Absolute::cells));
    let widths: [usize; 6] =
        std::array::from_fn(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or_default());
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in widths {
                let _ = write!(text, "| {} ", "-".repeat(width));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Puts the table between the two marks of a page.
///
/// # Errors
/// When the page cannot be read or written, or has no marks.
pub(crate) fn write_into(page: &Path, table: &str) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("{}: {error}", page.display());
    let text = std::fs::read_to_string(page).map_err(fault)?;
    let (before, rest) =
        text.split_once(MARK[0]).ok_or_else(|| format!("{}: no {}", page.display(), MARK[0]))?;
    let (_, after) = rest.split_once(MARK[1]).ok_or_else(|| format!("{}: no {}", page.display(), MARK[1]))?;
    let text = format!("{before}{}\n\n{table}\n{}{after}", MARK[0], MARK[1]);
    std::fs::write(page, text).map_err(fault)
}
