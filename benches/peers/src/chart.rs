//! The chart: a panel for each setting with streams, a row for each peer, a bar for each window, on one log scale.
//!
//! ```text
//!   Report ──> Sheet: bars, grid and labels in pixels, laid out without drawing ──> SVG
//! ```
//!
//! The sheet has a background of its own, so that it reads on light and on dark pages.
//!
//! **Invariant.** No two labels of a sheet overlap, and none leaves it.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    peers::Kind,
    report::{Line, Report},
    table,
    work::{Measure, Pace, Payload},
};

const MARGIN: i32 = 24;
const HEAD: i32 = 76;
const PANEL: i32 = 600;
const NAMES: i32 = 220;
/// Where bars are; what is right of it is room for the figure of the longest.
const BARS: i32 = 310;
const TITLE: i32 = 34;
const ROW: i32 = 30;
const BAR: i32 = 12;
const AXIS: i32 = 40;
const COLUMNS: i32 = 2;

/// The share of its height that a letter is wide, on the safe side for common fonts.
const LETTER: f64 = 0.6;

/// A text on the sheet.
#[derive(Debug, Clone, PartialEq)]
struct Label {
    text: String,
    /// Where it is: its left end, right end or middle across, its middle down.
    at: (i32, i32),
    side: Side,
    /// The height of the letters \[pixels\].
    size: i32,
    is_bold: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Middle,
}

/// A filled rectangle: its upper left and lower right corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bar {
    from: (i32, i32),
    to: (i32, i32),
    color: RGBColor,
}

/// Everything on the chart.
struct Sheet {
    size: (i32, i32),
    bars: Vec<Bar>,
    /// Vertical lines at the powers of ten: across, from, to.
    grid: Vec<(i32, i32, i32)>,
    labels: Vec<Label>,
}

/// Two shades for each kind: for steady streams and for small windows.
fn colors(kind: Kind) -> [RGBColor; 2] {
    match kind {
        Kind::Phalanx => [RGBColor(191, 78, 20), RGBColor(238, 172, 130)],
        Kind::Runtime => [RGBColor(47, 98, 150), RGBColor(160, 190, 220)],
        Kind::Channel => [RGBColor(52, 122, 84), RGBColor(160, 206, 178)],
        Kind::Floor => [RGBColor(110, 110, 110), RGBColor(190, 190, 190)],
    }
}

/// A log scale over whole powers of ten.
struct Scale {
    lowest: i32,
    highest: i32,
}

impl Scale {
    /// One that has room for all of these.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the power of ten of a figure of a benchmark is small"
    )]
    fn over(figures: impl Iterator<Item = f64> + Clone) -> Self {
        let power = |figure: f64| figure.max(1e-6).log10();
        let lowest = figures.clone().map(power).fold(f64::INFINITY, f64::min);
        let highest = figures.map(power).fold(f64::NEG_INFINITY, f64::max);
        if lowest > highest {
            return Self { lowest: 0, highest: 1 };
        }
        // Half a power below the smallest, so that its bar is seen.
        let (lowest, highest) = ((lowest - 0.3).floor() as i32, highest.ceil() as i32);
        Self { lowest, highest: highest.max(lowest + 1) }
    }

    /// How long the bar of a figure is.
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and BARS")]
    fn length(&self, figure: f64) -> i32 {
        let share =
            (figure.max(1e-12).log10() - f64::from(self.lowest)) / f64::from(self.highest - self.lowest);
        (share.clamp(0.0, 1.0) * f64::from(BARS)).round() as i32
    }
}

impl Label {
    fn new(text: impl Into<String>, at: (i32, i32), end: Side, size: i32) -> Self {
        Self { text: text.into(), at, side: end, size, is_bold: false }
    }

    fn bold(self) -> Self {
        Self { is_bold: true, ..self }
    }

    /// The upper left and the lower right corner of the room that it takes.
    #[cfg(test)]
    fn bounds(&self) -> [(i32, i32); 2] {
        let width = self.width();
        let left = match self.side {
            Side::Left => self.at.0,
            Side::Right => self.at.0 - width,
            Side::Middle => self.at.0 - width / 2,
        };
        [(left, self.at.1 - self.size / 2), (left + width, self.at.1 + self.size / 2)]
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "labels are short")]
    fn width(&self) -> i32 {
        let bold = if self.is_bold { 1.1 } else { 1.0 };
        (self.text.chars().count() as f64 * f64::from(self.size) * LETTER * bold).ceil() as i32
    }
}

/// What a panel shows: the same setting with both windows.
struct Panel<'a> {
    setting: &'a str,
    lines: Vec<&'a Line>,
}

impl Panel<'_> {
    /// The peers with their figures by windows, in the order of the first line.
    fn rows(&self) -> Vec<(&str, Kind, Vec<f64>)> {
        let Some(first) = self.lines.first() else { return Vec::new() };
        let row = |name: &str| {
            self.lines
                .iter()
                .filter_map(|line| line.figures.iter().find(|figures| figures.peer == name))
                .map(|figures| figures.median)
                .collect()
        };
        first
            .figures
            .iter()
            .map(|figures| (figures.peer.as_str(), figures.kind, row(&figures.peer)))
            .collect()
    }
}

fn panels(report: &Report) -> Vec<Panel<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for line in &report.works {
        if line.measure != Measure::Rate || line.payload != Payload::Shared1024 || line.pace == Pace::Lone {
            continue;
        }
        match panels.iter_mut().find(|panel| panel.setting == line.setting) {
            Some(panel) => panel.lines.push(line),
            None => panels.push(Panel { setting: &line.setting, lines: vec![line] }),
        }
    }
    panels
}

fn layout(report: &Report) -> Sheet {
    let panels = panels(report);
    let rows: Vec<_> = panels.iter().map(Panel::rows).collect();
    let figures = rows.iter().flatten().flat_map(|(_, _, figures)| figures.iter().copied());
    let scale = Scale::over(figures);
    let longest = i32::try_from(rows.iter().map(Vec::len).max().unwrap_or_default()).unwrap_or(i32::MAX);
    let height = TITLE + longest * ROW + AXIS;
    let deep = i32::try_from(panels.len()).unwrap_or(i32::MAX).div_euclid(COLUMNS)
        + i32::from(!panels.len().is_multiple_of(2));
    let size = (MARGIN * 2 + PANEL * COLUMNS, MARGIN * 2 + HEAD + height * deep.max(1));
    let mut sheet = Sheet { size, bars: Vec::new(), grid: Vec::new(), labels: Vec::new() };
    sheet.head(report);
    for (at, (panel, rows)) in (0..).zip(panels.iter().zip(&rows)) {
        let corner = (MARGIN + at % COLUMNS * PANEL, MARGIN + HEAD + at / COLUMNS * height);
        sheet.panel(corner, panel.setting, rows, &scale);
    }
    sheet
}

impl Sheet {
    fn head(&mut self, report: &Report) {
        let title = "Messages handled in a second, in millions (log scale), 1 KiB shared by all agents";
        self.labels.push(Label::new(title, (MARGIN, MARGIN + 8), Side::Left, 17).bold());
        let machine = &report.machine;
        let machine = format!("two threads; {}, {} processors", machine.model, machine.processors);
        self.labels.push(Label::new(machine, (MARGIN, MARGIN + 32), Side::Left, 12));
        let mut across = MARGIN;
        for (text, color) in [
            ("dark: steady stream", colors(Kind::Runtime)[0]),
            ("light: the same small window for all", colors(Kind::Runtime)[1]),
            ("phalanx", colors(Kind::Phalanx)[0]),
            ("actor runtimes", colors(Kind::Runtime)[0]),
            ("channels", colors(Kind::Channel)[0]),
            ("floor", colors(Kind::Floor)[0]),
        ] {
            let down = MARGIN + 56;
            self.bars.push(Bar { from: (across, down - 6), to: (across + 12, down + 6), color });
            let label = Label::new(text, (across + 18, down), Side::Left, 12);
            across += 18 + label.width() + 22;
            self.labels.push(label);
        }
    }

    fn panel(
        &mut self,
        (left, top): (i32, i32),
        title: &str,
        rows: &[(&str, Kind, Vec<f64>)],
        scale: &Scale,
    ) {
        let (zero, first) = (left + NAMES, top + TITLE);
        self.labels.push(Label::new(title, (zero, top + TITLE / 2), Side::Left, 15).bold());
        let bottom = first + ROW * i32::try_from(rows.len()).unwrap_or(i32::MAX);
        let powers = scale.highest - scale.lowest;
        for power in 0..=powers {
            let across = zero + power * BARS / powers;
            self.grid.push((across, first, bottom));
            let text = table::shown(10_f64.powi(scale.lowest + power));
            let text = if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            };
            self.labels.push(Label::new(text, (across, bottom + 12), Side::Middle, 11));
        }
        for (down, (name, kind, figures)) in (first..).step_by(ROW.unsigned_abs() as usize).zip(rows) {
            let label = Label::new(*name, (zero - 8, down + ROW / 2), Side::Right, 13);
            self.labels.push(if *kind == Kind::Phalanx { label.bold() } else { label });
            let both = BAR * i32::try_from(figures.len()).unwrap_or(i32::MAX);
            let tops = (down + (ROW - both) / 2..).step_by(BAR.unsigned_abs() as usize);
            for ((top, figure), color) in tops.zip(figures).zip(colors(*kind)) {
                let length = scale.length(*figure);
                self.bars.push(Bar { from: (zero, top), to: (zero + length, top + BAR - 1), color });
                let at = (zero + length + 5, top + BAR / 2);
                self.labels.push(Label::new(table::shown(*figure), at, Side::Left, 11));
            }
        }
    }
}

/// Draws the chart as SVG.
///
/// # Errors
/// When the drawing fails, which takes a fault in the library.
pub(crate) fn draw(report: &Report) -> Result<String, String> {
    let sheet = layout(report);
    let mut text = String::new();
    let size = (sheet.size.0.unsigned_abs(), sheet.size.1.unsigned_abs());
    let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
    paint(&sheet, &root).map_err(|fault| format!("the chart cannot be drawn: {fault}"))?;
    drop(root);
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn paint<'a>(
    sheet: &Sheet,
    root: &Area<'a>,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    root.fill(&WHITE)?;
    for (across, from, to) in &sheet.grid {
        let line = vec![(*across, *from), (*across, *to)];
        root.draw(&PathElement::new(line, RGBColor(216, 216, 216)))?;
    }
    for Bar { from, to, color } in &sheet.bars {
        root.draw(&Rectangle::new([*from, *to], color.filled()))?;
    }
    for label in &sheet.labels {
        let anchor = match label.side {
            Side::Left => HPos::Left,
            Side::Right => HPos::Right,
            Side::Middle => HPos::Center,
        };
        // The backend makes letters smaller by this.
        let size = f64::from(label.size) * 1.24;
        let style = if label.is_bold { FontStyle::Bold } else { FontStyle::Normal };
        let style = ("sans-serif", size, style)
            .into_font()
            .color(&RGBColor(28, 32, 38))
            .pos(Pos::new(anchor, VPos::Center));
        root.draw(&Text::new(label.text.clone(), label.at, style))?;
    }
    root.present()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        peers,
        report::{Report, tests},
        round::Effort,
    };

    /// Reports with figures of all sizes: equal ones, and ones spread over five powers of ten.
    fn reports() -> Vec<Report> {
        let spread = tests::measured(|peer, _, _| {
            let at = peers::ALL.iter().position(|other| other.name() == peer.name()).expect("it is there");
            0.013 * 2.7_f64.powi(i32::try_from(at).expect("there are few"))
        });
        vec![tests::report(), Report::new(&spread, Effort::QUICK, &peers::ALL)]
    }

    #[test]
    fn no_two_labels_overlap_and_none_leaves_the_sheet() {
        for report in reports() {
            let sheet = layout(&report);
            for (at, label) in sheet.labels.iter().enumerate() {
                let [from, to] = label.bounds();
                assert!(
                    from.0 >= 0 && from.1 >= 0 && to.0 <= sheet.size.0 && to.1 <= sheet.size.1,
                    "{label:?}"
                );
                for other in &sheet.labels[at + 1..] {
                    let [other_from, other_to] = other.bounds();
                    let apart = to.0 <= other_from.0
                        || other_to.0 <= from.0
                        || to.1 <= other_from.1
                        || other_to.1 <= from.1;
                    assert!(apart, "{label:?} and {other:?}");
                }
            }
        }
    }

    #[test]
    fn every_peer_has_a_row_with_two_bars_in_every_panel() {
        let report = tests::report();
        let sheet = layout(&report);
        let panels = panels(&report);
        assert_eq!(panels.len(), 4);
        for peer in peers::ALL {
            let rows =
                sheet.labels.iter().filter(|label| label.text == peer.name() && label.side == Side::Right);
            let plays = panels.iter().filter(|panel| panel.rows().iter().any(|row| row.0 == peer.name()));
            // One of xtra's ways does not do 100,000 agents.
            let (rows, plays) = (rows.count(), plays.count());
            assert!(rows == plays && rows >= 3, "{}: {rows} of {plays}", peer.name());
        }
        let in_head = 6;
        let rows: usize = panels.iter().map(|panel| panel.rows().len()).sum();
        assert_eq!(sheet.bars.len(), in_head + 2 * rows);
    }

    #[test]
    fn bars_grow_with_the_log_of_their_figure() {
        let scale = Scale::over([0.5, 700.0].into_iter());
        assert_eq!((scale.lowest, scale.highest), (-1, 3));
        let lengths = [0.1, 1.0, 10.0, 1_000.0, 1e9].map(|figure| scale.length(figure));
        assert_eq!(lengths, [0, 78, 155, 310, 310]);
    }

    #[test]
    fn the_drawing_is_svg_with_every_label() {
        let report = tests::report();
        let text = draw(&report).expect("it can be drawn");
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
        for label in layout(&report).labels {
            assert!(text.contains(&label.text.replace('&', "&amp;")), "{}", label.text);
        }
    }
}
