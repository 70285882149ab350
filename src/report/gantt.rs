//! [`Chart`]: what start-up tasks take, as a picture: a row for each task, a bar from its start to its end, coloured by its
//! phase, and where both are known a thin bar below it for what was planned.
//!
//! ```text
//!   Chart --> Sheet: rectangles and labels in pixels, laid out without drawing --> SVG
//! ```
//!
//! The sheet has a background of its own, so that it reads on light and on dark pages.
//!
//! **Invariant.** No two labels of a sheet overlap, and none leaves it.

use phalanx_actors::initializer::Phase;
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use unicode_width::UnicodeWidthStr;

use super::units::{count, fit, tame, took};

const MARGIN: i32 = 24;
const TITLE: i32 = 22;
const LINE: i32 = 20;
const ROW: i32 = 20;
const BAR: i32 = 14;
/// The heights of a bar with one for what was planned below it, and of that.
const BOTH: (i32, i32) = (9, 4);
const PLANNED: RGBColor = RGBColor(150, 150, 150);
const INK: RGBColor = RGBColor(30, 30, 30);
const BAD: RGBColor = RGBColor(190, 30, 45);
const NAMES: i32 = 210;
const BARS: i32 = 700;
/// Room for the figures right of the last bar.
const FIGURES: i32 = 180;
const TEXT: i32 = 12;
/// The most letters of a name.
const NAME: usize = 28;
/// How many tasks are drawn; a picture with more is read by nobody.
const ROWS: usize = 1_000;
/// The most letters of the figures of a row.
const NOTE: usize = 26;
/// The share of its height that a letter is wide, on the safe side for common fonts.
const LETTER: f64 = 0.6;

const WIDTH: i32 = MARGIN + NAMES + BARS + FIGURES + MARGIN;

/// From when to when \[us\].
pub(crate) type Span = (u64, u64);

/// What is drawn of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) phase: Phase,
    /// When it ran, if it did.
    pub(crate) bar: Option<Span>,
    /// When it was to run, where the chart has that beside when it did.
    pub(crate) planned: Option<Span>,
    /// What stands right of the bar.
    pub(crate) note: String,
    /// Whether it decides how long the whole takes.
    pub(crate) decides: bool,
    /// Whether it did not go well.
    pub(crate) is_bad: bool,
}

/// What start-up tasks take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) figures: String,
    /// In the order of the picture, from above.
    pub(crate) rows: Vec<Row>,
}

impl Chart {
    /// As SVG.
    pub(crate) fn svg(&self) -> String {
        let sheet = layout(self);
        let mut svg = String::new();
        let size = (sheet.size.0.unsigned_abs(), sheet.size.1.unsigned_abs());
        let drawn = paint(&sheet, &SVGBackend::with_string(&mut svg, size).into_drawing_area());
        drawn.expect("a string takes all that is drawn");
        svg
    }

    fn length(&self) -> u64 {
        let spans = self.rows.iter().flat_map(|row| [row.bar, row.planned]).flatten();
        spans.map(|(_, end)| end).max().unwrap_or(0).max(1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Middle,
}

/// A text on the sheet.
#[derive(Debug, Clone, PartialEq)]
struct Label {
    text: String,
    /// Its left end, right end or middle across, its middle down.
    at: (i32, i32),
    side: Side,
    size: i32,
    color: RGBColor,
}

impl Label {
    /// Its upper left and lower right corner, on the safe side.
    #[cfg(test)]
    fn bounds(&self) -> [(i32, i32); 2] {
        let width = width(&self.text, self.size);
        let left = match self.side {
            Side::Left => self.at.0,
            Side::Right => self.at.0 - width,
            Side::Middle => self.at.0 - width / 2,
        };
        let top = self.at.1 - self.size / 2;
        [(left, top), (left + width, top + self.size)]
    }
}

fn width(text: &str, size: i32) -> i32 {
    let letters = i32::try_from(text.width()).unwrap_or(i32::MAX / 100);
    #[expect(clippy::cast_possible_truncation, reason = "labels are short")]
    let width = (f64::from(letters) * f64::from(size) * LETTER).ceil() as i32;
    width
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bar {
    from: (i32, i32),
    to: (i32, i32),
    color: RGBColor,
    is_framed: bool,
}

/// Everything on the picture.
#[derive(Debug)]
struct Sheet {
    size: (i32, i32),
    bars: Vec<Bar>,
    /// Vertical lines: across, from, to.
    grid: Vec<(i32, i32, i32)>,
    labels: Vec<Label>,
}

const fn color(phase: Phase) -> RGBColor {
    match phase {
        Phase::DependencyResolution => RGBColor(110, 110, 110),
        Phase::ResourceAllocation => RGBColor(122, 88, 160),
        Phase::CoreInitialization => RGBColor(47, 98, 150),
        Phase::ServiceStartup => RGBColor(52, 122, 84),
        Phase::IntegrationTesting => RGBColor(170, 120, 20),
        Phase::Ready => RGBColor(191, 78, 20),
    }
}

/// A step of 1, 2 or 5 times a power of ten \[us\], such that a time has at most ten of it.
fn step(makespan: u64) -> u64 {
    let steps = (0..19).flat_map(|power| [1, 2, 5].map(|factor| factor * 10_u64.pow(power)));
    steps.into_iter().find(|step| makespan / step <= 10).unwrap_or(u64::MAX)
}

fn layout(chart: &Chart) -> Sheet {
    let shown = &chart.rows[..chart.rows.len().min(ROWS)];
    let length = chart.length();
    let left = MARGIN + NAMES;
    let across = |at: u64| {
        let along = u128::from(at) * u128::from(BARS.unsigned_abs()) / u128::from(length);
        left + i32::try_from(along).unwrap_or(BARS).min(BARS)
    };
    let mut labels = Vec::new();
    let mut colored =
        |text: String, at, side, size, color| labels.push(Label { text, at, side, size, color });
    let mut label = |text, at, side, size| colored(text, at, side, size, INK);
    let mut y = MARGIN + TITLE / 2;
    label(fit(&tame(&chart.title), 90), (MARGIN, y), Side::Left, 18);
    y += TITLE;
    label(fit(&chart.figures, 150), (MARGIN, y), Side::Left, TEXT);
    y += LINE;
    let mut bars = Vec::new();
    // The phases, as many to a line as there is room for.
    let mut x = MARGIN;
    for phase in Phase::ALL.into_iter().filter(|phase| chart.rows.iter().any(|row| row.phase == *phase)) {
        let (name, size) = (phase.to_string(), 10 + 6);
        let room = size + width(&name, TEXT) + 24;
        if x + room > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + LINE);
        }
        bars.push(Bar { from: (x, y - 5), to: (x + 10, y + 5), color: color(phase), is_framed: false });
        label(name, (x + size, y), Side::Left, TEXT);
        x += room;
    }
    y += LINE;
    let top = y;
    let bottom = top + ROW * i32::try_from(shown.len()).expect("there are few");
    let mut notes = Vec::new();
    for (number, row) in (0..).zip(shown) {
        let middle = top + ROW * number + ROW / 2;
        label(fit(&tame(&row.label), NAME), (left - 8, middle), Side::Right, TEXT);
        let ends = draw_row(row, middle, &across, &mut bars);
        notes.push((fit(&tame(&row.note), NOTE), (ends + 6, middle), if row.is_bad { BAD } else { INK }));
    }
    let step = step(length);
    let ticks: Vec<u64> = (0..=length / step).map(|tick| tick * step).collect();
    let grid = ticks.iter().map(|&at| (across(at), top, bottom + 4)).collect();
    let mut free = 0;
    for at in ticks {
        let (text, x) = (took(at), across(at));
        let half = width(&text, TEXT) / 2 + 4;
        if x - half >= free {
            free = x + half;
            label(text, (x, bottom + 4 + TEXT), Side::Middle, TEXT);
        }
    }
    let mut y = bottom + 4 + TEXT + LINE;
    if chart.rows.len() > ROWS {
        let more = u64::try_from(chart.rows.len() - ROWS).expect("a count fits");
        label(format!("and {} more tasks", count(more)), (MARGIN, y), Side::Left, TEXT);
        y += LINE;
    }
    let mut legend = "framed: decides how long the whole takes".to_owned();
    if chart.rows.iter().any(|row| row.planned.is_some()) {
        legend.push_str("; thin and grey: planned");
    }
    label(legend, (MARGIN, y), Side::Left, TEXT);
    for (text, at, color) in notes {
        colored(text, at, Side::Left, TEXT - 2, color);
    }
    Sheet { size: (WIDTH, y + MARGIN), bars, grid, labels }
}

/// The bars of one row; answers where the last of them ends.
fn draw_row(row: &Row, middle: i32, across: &impl Fn(u64) -> i32, bars: &mut Vec<Bar>) -> i32 {
    let mut ends = across(0);
    let mut bar = |(start, end): Span, (above, below), color, is_framed| {
        let (from, to) = (across(start), across(end).max(across(start) + 2));
        ends = ends.max(to);
        bars.push(Bar { from: (from, above), to: (to, below), color, is_framed });
    };
    let top = middle - BAR / 2;
    let height = if row.planned.is_some() { BOTH.0 } else { BAR };
    if let Some(span) = row.bar {
        bar(span, (top, top + height), color(row.phase), row.decides);
    }
    if let Some(span) = row.planned {
        bar(span, (top + BAR - BOTH.1, top + BAR), PLANNED, false);
    }
    ends
}

fn paint(
    sheet: &Sheet,
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
) -> Result<(), Box<dyn std::error::Error>> {
    let line = |message| format!("{message:?}");
    area.fill(&WHITE).map_err(line)?;
    for &(x, from, to) in &sheet.grid {
        area.draw(&PathElement::new([(x, from), (x, to)], RGBColor(220, 220, 220))).map_err(line)?;
    }
    for bar in &sheet.bars {
        area.draw(&Rectangle::new([bar.from, bar.to], bar.color.filled())).map_err(line)?;
        if bar.is_framed {
            let frame = BLACK.stroke_width(2);
            area.draw(&Rectangle::new([bar.from, bar.to], frame)).map_err(line)?;
        }
    }
    for Label { text, at, side, size, color } in &sheet.labels {
        let across = match side {
            Side::Left => HPos::Left,
            Side::Right => HPos::Right,
            Side::Middle => HPos::Center,
        };
        let style = ("sans-serif", *size).into_font().color(color);
        let style = style.pos(Pos::new(across, VPos::Center));
        area.draw(&Text::new(text.clone(), *at, style)).map_err(line)?;
    }
    area.present().map_err(line)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of all phases with names of all lengths, planned and not, good and bad.
    fn chart(rows: usize, micros: u64) -> Chart {
        let row = |number: usize| {
            let start = micros.saturating_mul(number as u64 / 3);
            let span = (start, start.saturating_add(micros * (1 + number as u64 % 7)));
            Row {
                label: format!("t{number}{}", "x".repeat(number % 60)),
                phase: Phase::ALL[number * Phase::ALL.len() / rows],
                bar: (!number.is_multiple_of(5)).then_some(span),
                planned: (!number.is_multiple_of(3)).then_some((span.0 / 2, span.1 * 2)),
                note: "failed after much ado ".repeat(number % 4),
                decides: number.is_multiple_of(4),
                is_bad: number.is_multiple_of(6),
            }
        };
        let title = "a name that goes on and on ".repeat(9);
        Chart { title, figures: "many figures ".repeat(20), rows: (0..rows).map(row).collect() }
    }

    #[test]
    fn no_two_labels_overlap_and_none_leaves_the_sheet() {
        for (rows, micros) in [(0, 1), (1, 1), (7, 100_000), (60, 333), (200, 86_400_000_000), (1_100, 0)] {
            let sheet = layout(&chart(rows, micros));
            let mut labels = sheet.labels.clone();
            labels.sort_by_key(|label| label.bounds()[0].1);
            for (at, label) in labels.iter().enumerate() {
                let [from, to] = label.bounds();
                let is_inside = from.0 >= 0 && from.1 >= 0 && to.0 <= sheet.size.0 && to.1 <= sheet.size.1;
                assert!(is_inside, "{rows} rows: {label:?} leaves {:?}", sheet.size);
                for other in labels[at + 1..].iter().take_while(|other| other.bounds()[0].1 < to.1) {
                    let [start, end] = other.bounds();
                    assert!(from.0 >= end.0 || to.0 <= start.0, "{label:?} overlaps {other:?}");
                }
            }
        }
    }

    #[test]
    fn each_row_has_the_bars_that_it_says_and_what_went_wrong_is_red() {
        let chart = chart(60, 50_000);
        let sheet = layout(&chart);
        let mut bars = sheet.bars[Phase::ALL.len()..].iter();
        let scale = f64::from(BARS) / f64::from(u32::try_from(chart.length()).unwrap());
        let at = |us: u64| f64::from(MARGIN + NAMES) + f64::from(u32::try_from(us).unwrap()) * scale;
        for row in &chart.rows {
            for (span, is_plan) in [(row.bar, false), (row.planned, true)] {
                let Some((start, end)) = span else { continue };
                let bar = bars.next().expect("each span has a bar");
                assert!((f64::from(bar.from.0) - at(start)).abs() <= 1.0, "{row:?} {bar:?}");
                assert!((f64::from(bar.to.0) - at(end)).abs() <= 2.0, "{row:?} {bar:?}");
                assert_eq!((bar.color == PLANNED, bar.is_framed), (is_plan, row.decides && !is_plan));
            }
        }
        assert!(bars.next().is_none());
        let notes: Vec<_> = sheet.labels.iter().filter(|label| label.size == TEXT - 2).collect();
        assert!(notes.iter().zip(&chart.rows).all(|(note, row)| (note.color == BAD) == row.is_bad));
        assert!(chart.svg().starts_with("<svg"));
    }
}
