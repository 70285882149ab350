//! The schedule as a picture: a row for each task, in the order in which they start, a bar from its start to its end, coloured
//! by its phase; the bars that decide how long the whole takes have a frame.
//!
//! ```text
//!   Outlook --> Sheet: rectangles and labels in pixels, laid out without drawing --> SVG
//! ```
//!
//! The sheet has a background of its own, so that it reads on light and on dark pages.
//!
//! **Invariant.** No two labels of a sheet overlap, and none leaves it.

use std::time::Duration;

use phalanx_actors::initializer::Phase;
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use unicode_width::UnicodeWidthStr;

use super::{Outlook, us};
use crate::report::units::{count, fit, tame, took};

const MARGIN: i32 = 24;
const TITLE: i32 = 22;
const LINE: i32 = 20;
const ROW: i32 = 20;
const BAR: i32 = 14;
const NAMES: i32 = 210;
const BARS: i32 = 700;
/// Room for the duration right of the last bar.
const FIGURES: i32 = 70;
const TEXT: i32 = 12;
/// The most letters of a name.
const NAME: usize = 28;
/// How many tasks are drawn; a picture with more is read by nobody.
const ROWS: usize = 1_000;
/// The share of its height that a letter is wide, on the safe side for common fonts.
const LETTER: f64 = 0.6;

const WIDTH: i32 = MARGIN + NAMES + BARS + FIGURES + MARGIN;

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

fn layout(outlook: &Outlook) -> Sheet {
    let slices = outlook.schedule.slices();
    let shown = &slices[..slices.len().min(ROWS)];
    let decisive = outlook.decisive();
    let makespan = outlook.schedule.makespan().max(Duration::from_micros(1));
    let left = MARGIN + NAMES;
    let across = |at: Duration| {
        let along = at.as_micros() * u128::from(BARS.unsigned_abs()) / makespan.as_micros();
        left + i32::try_from(along).unwrap_or(BARS).min(BARS)
    };
    let mut labels = Vec::new();
    let mut label = |text: String, at, side, size| labels.push(Label { text, at, side, size });
    let mut y = MARGIN + TITLE / 2;
    label(fit(&tame(&outlook.name), 90), (MARGIN, y), Side::Left, 18);
    y += TITLE;
    let number = |number: usize| count(u64::try_from(number).expect("a count fits"));
    let figures = format!(
        "{} tasks on {} workers: {}, lower bound {}, one by one {}",
        number(slices.len()),
        number(outlook.workers),
        took(us(outlook.schedule.makespan())),
        took(us(outlook.bound())),
        took(us(outlook.plan.total()))
    );
    label(figures, (MARGIN, y), Side::Left, TEXT);
    y += LINE;
    let mut bars = Vec::new();
    // The phases, as many to a line as there is room for.
    let mut x = MARGIN;
    for span in outlook.phases() {
        let (name, size) = (span.phase.to_string(), 10 + 6);
        let room = size + width(&name, TEXT) + 24;
        if x + room > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + LINE);
        }
        bars.push(Bar { from: (x, y - 5), to: (x + 10, y + 5), color: color(span.phase), is_framed: false });
        label(name, (x + size, y), Side::Left, TEXT);
        x += room;
    }
    y += LINE;
    let top = y;
    let bottom = top + ROW * i32::try_from(shown.len()).expect("there are few");
    for (row, slice) in (0..).zip(shown) {
        let task = &outlook.plan.tasks()[slice.task];
        let middle = top + ROW * row + ROW / 2;
        label(fit(&tame(outlook.plan.label(slice.task)), NAME), (left - 8, middle), Side::Right, TEXT);
        let (from, to) = (across(slice.start), across(slice.end).max(across(slice.start) + 2));
        bars.push(Bar {
            from: (from, middle - BAR / 2),
            to: (to, middle + BAR / 2),
            color: color(task.phase),
            is_framed: decisive.contains(&slice.task),
        });
        label(took(us(slice.takes())), (to + 6, middle), Side::Left, TEXT - 2);
    }
    let makespan = us(makespan);
    let step = step(makespan);
    let ticks: Vec<u64> = (0..=makespan / step).map(|tick| tick * step).collect();
    let grid = ticks.iter().map(|&at| (across(Duration::from_micros(at)), top, bottom + 4)).collect();
    let mut free = 0;
    for at in ticks {
        let (text, x) = (took(at), across(Duration::from_micros(at)));
        let half = width(&text, TEXT) / 2 + 4;
        if x - half >= free {
            free = x + half;
            label(text, (x, bottom + 4 + TEXT), Side::Middle, TEXT);
        }
    }
    let mut y = bottom + 4 + TEXT + LINE;
    if slices.len() > ROWS {
        label(format!("and {} more tasks", number(slices.len() - ROWS)), (MARGIN, y), Side::Left, TEXT);
        y += LINE;
    }
    let legend = "framed: decides how long the whole takes".to_owned();
    label(legend, (MARGIN, y), Side::Left, TEXT);
    Sheet { size: (WIDTH, y + MARGIN), bars, grid, labels }
}

pub(super) fn draw(outlook: &Outlook) -> String {
    let sheet = layout(outlook);
    let mut svg = String::new();
    let size = (sheet.size.0.unsigned_abs(), sheet.size.1.unsigned_abs());
    let drawn = paint(&sheet, &SVGBackend::with_string(&mut svg, size).into_drawing_area());
    drawn.expect("a string takes all that is drawn");
    svg
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
    for Label { text, at, side, size } in &sheet.labels {
        let across = match side {
            Side::Left => HPos::Left,
            Side::Right => HPos::Right,
            Side::Middle => HPos::Center,
        };
        let style = ("sans-serif", *size).into_font().color(&RGBColor(30, 30, 30));
        let style = style.pos(Pos::new(across, VPos::Center));
        area.draw(&Text::new(text.clone(), *at, style)).map_err(line)?;
    }
    area.present().map_err(line)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use phalanx_actors::initializer::{Plan, StartupOptions, StartupTask};

    use super::*;

    /// Tasks of all phases, each after the one before it in its lane, with names of all lengths.
    fn outlook(tasks: usize, lanes: usize, micros: u64) -> Outlook {
        let id = |number: usize| format!("t{number}{}", "x".repeat(number % 60)).parse().unwrap();
        let task = |number: usize| {
            let phase = Phase::ALL[number * Phase::ALL.len() / tasks];
            let before = number.checked_sub(lanes).map(id);
            let estimate = Duration::from_micros(micros * (1 + number as u64 % 7));
            StartupTask::new(id(number)).in_phase(phase).after(before).taking(estimate)
        };
        let plan = Plan::new((0..tasks).map(task).collect()).unwrap();
        let options = StartupOptions { workers: 4, ..StartupOptions::default() };
        Outlook::of_plan("a name that goes on and on ".repeat(9), &plan, options)
    }

    #[test]
    fn no_two_labels_overlap_and_none_leaves_the_sheet() {
        for (tasks, lanes, micros) in
            [(1, 1, 1), (7, 3, 100_000), (60, 5, 333), (200, 40, 86_400_000_000), (1_100, 300, 0)]
        {
            let sheet = layout(&outlook(tasks, lanes, micros));
            let mut labels = sheet.labels.clone();
            labels.sort_by_key(|label| label.bounds()[0].1);
            for (at, label) in labels.iter().enumerate() {
                let [from, to] = label.bounds();
                let is_inside = from.0 >= 0 && from.1 >= 0 && to.0 <= sheet.size.0 && to.1 <= sheet.size.1;
                assert!(is_inside, "{tasks} tasks: {label:?} leaves {:?}", sheet.size);
                for other in labels[at + 1..].iter().take_while(|other| other.bounds()[0].1 < to.1) {
                    let [start, end] = other.bounds();
                    assert!(from.0 >= end.0 || to.0 <= start.0, "{label:?} overlaps {other:?}");
                }
            }
        }
    }

    #[test]
    fn each_task_has_a_bar_as_long_as_it_takes() {
        let outlook = outlook(60, 5, 50_000);
        let sheet = layout(&outlook);
        let bars = &sheet.bars[outlook.phases().len()..];
        assert_eq!(bars.len(), 60);
        let scale = f64::from(BARS) / outlook.schedule.makespan().as_secs_f64();
        for (bar, slice) in bars.iter().zip(outlook.schedule.slices()) {
            let [from, to] =
                [slice.start, slice.end].map(|at| f64::from(MARGIN + NAMES) + at.as_secs_f64() * scale);
            assert!((f64::from(bar.from.0) - from).abs() <= 1.0 && (f64::from(bar.to.0) - to).abs() <= 2.0);
        }
        let framed = bars.iter().filter(|bar| bar.is_framed).count();
        assert_eq!(framed, outlook.decisive().len());
        assert!(framed > 0 && draw(&outlook).starts_with("<svg"));
    }
}
