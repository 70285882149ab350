//! The report as text for a terminal.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use super::{
    outline::{Block, Column, Tone},
    units::{fit, tame},
};
use crate::manifest::Palette;

/// How many columns the text of a report takes at most.
pub const WIDTH: usize = 80;

/// What stands before tables and lines below a heading, and between columns.
const INDENT: &str = "  ";
/// The most letters of one item of a list.
const ITEM: usize = 400;

/// The blocks as text in at most so many columns, which ends in a line break.
pub(crate) fn render(blocks: &[Block], width: usize, palette: Palette) -> String {
    let mut text = String::new();
    let mut indent = "";
    for (at, block) in blocks.iter().enumerate() {
        let follows_table = at > 0 && matches!(blocks[at - 1], Block::Table { .. });
        if follows_table && matches!(block, Block::Table { .. }) {
            text.push('\n');
        }
        match block {
            Block::Title { text: title, tone } => {
                lines(&mut text, title, width, ("", ""), |line| paint(line, style(*tone).bold(), palette));
            }
            Block::Heading(heading) => {
                text.push('\n');
                lines(&mut text, heading, width, ("", ""), |line| paint(line, Style::new().bold(), palette));
                indent = INDENT;
            }
            Block::Line(line) => lines(&mut text, line, width, (indent, indent), str::to_owned),
            Block::Table { columns, rows } => table(&mut text, columns, rows, width, palette),
            Block::List { items, tone } => {
                for item in items {
                    lines(&mut text, item, width, ("  - ", "    "), |line| {
                        paint(line, style(*tone), palette)
                    });
                }
            }
        }
    }
    text
}

fn style(tone: Tone) -> Style {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => colour(AnsiColor::Green),
        Tone::Odd => colour(AnsiColor::Yellow),
        Tone::Bad => colour(AnsiColor::Red),
    }
}

fn paint(text: &str, style: Style, palette: Palette) -> String {
    match palette {
        Palette::Colours => format!("{style}{text}{style:#}"),
        Palette::Plain => text.to_owned(),
    }
}

/// One paragraph, wrapped, its first line and the others each with what stands before them.
fn lines(
    to: &mut String,
    text: &str,
    width: usize,
    (first, others): (&str, &str),
    paint: impl Fn(&str) -> String,
) {
    let text = fit(&tame(text), ITEM);
    let options = textwrap::Options::new(width).initial_indent(first).subsequent_indent(others);
    for line in textwrap::wrap(&text, options) {
        to.push_str(&paint(&line));
        to.push('\n');
    }
}

/// A table whose figures stand to the right; its one column of text gives way when there is not enough room.
fn table(to: &mut String, columns: &[Column], rows: &[(Vec<String>, Tone)], most: usize, palette: Palette) {
    let rows: Vec<(Vec<String>, Tone)> =
        rows.iter().map(|(cells, tone)| (cells.iter().map(|cell| tame(cell)).collect(), *tone)).collect();
    let widest = |at: usize| rows.iter().map(|(cells, _)| cells[at].width()).max().unwrap_or(0);
    let mut widths: Vec<usize> =
        columns.iter().enumerate().map(|(at, column)| widest(at).max(column.name.width())).collect();
    let gaps = INDENT.len() * columns.len();
    let figures: usize =
        columns.iter().zip(&widths).filter(|(column, _)| column.figures).map(|(_, w)| w).sum();
    for (column, width) in columns.iter().zip(&mut widths) {
        if !column.figures {
            *width = (*width).min(most.saturating_sub(gaps + figures).max(column.name.width()));
        }
    }
    let mut row = |cells: &mut dyn Iterator<Item = &str>, style: Style| {
        let mut line = String::new();
        for (cell, (column, width)) in cells.zip(columns.iter().zip(&widths)) {
            let cell = if column.figures { cell.to_owned() } else { fit(cell, *width) };
            let space = " ".repeat(width.saturating_sub(cell.width()));
            line.push_str(INDENT);
            line.push_str(&if column.figures { space + &cell } else { cell + &space });
        }
        to.push_str(&paint(line.trim_end(), style, palette));
        to.push('\n');
    };
    row(&mut columns.iter().map(|column| column.name), Style::new().dimmed());
    for (cells, tone) in &rows {
        row(&mut cells.iter().map(String::as_str), style(*tone));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::{RunReport, SizeSection, sample};

    fn widest(text: &str) -> usize {
        text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0)
    }

    #[test]
    fn a_full_report_reads_well() {
        insta::assert_snapshot!(sample::full().to_text(Palette::Plain));
    }

    #[test]
    fn the_least_report_reads_well() {
        insta::assert_snapshot!(sample::least().to_text(Palette::Plain));
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let report = sample::full();
        let coloured = report.to_text(Palette::Colours);
        let plain = report.to_text(Palette::Plain);
        assert!(coloured.contains("\u{1b}[31m") && !plain.contains('\u{1b}'), "{coloured}");
        let mut stripped = String::new();
        for (at, part) in coloured.split('\u{1b}').enumerate() {
            stripped.push_str(if at == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn nothing_in_a_report_can_steer_the_terminal() {
        let text = odd("\u{1b}]0;title\u{7}\r\n\u{202e}").to_text(Palette::Plain);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\r', '\u{202e}']), "{text}");
    }

    /// A report with the same text wherever there is one.
    fn odd(text: &str) -> RunReport {
        let mut report = sample::full();
        report.name = text.to_owned();
        report.failures = vec![text.to_owned()];
        report.notes = vec![text.to_owned()];
        let startup = report.startup.as_mut().unwrap();
        startup.phases[0].phase = text.to_owned();
        startup.critical_path[0].task = text.to_owned();
        report.routes[0].route = text.to_owned();
        report.routes[1].route = text.to_owned();
        report.handlers[0].name = text.to_owned();
        report.tasks.not_completed[0].reason = text.to_owned();
        report.tasks.results = [(text.to_owned(), text.into())].into();
        report.health.worst[0].agent = text.to_owned();
        report.agents.by_kind = [(text.to_owned(), usize::MAX)].into();
        report
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_a_terminal(text in "\\PC{0,300}|[a-z]{200}", figure: u64, time: u64) {
            let mut report = odd(&text);
            report.duration_us = time;
            report.ledger.sent = figure;
            report.routes[0].ledger.sent = figure;
            report.routes[0].ledger.delivered = figure;
            report.routes[0].ledger.pending = figure;
            let batches = report.routes[1].batches.as_mut().unwrap();
            (batches.count, batches.messages, batches.bound) = (figure, figure, usize::MAX);
            (batches.largest_size, batches.delay_p50_us, batches.delay_p99_us) = (1_024, Some(time), Some(time));
            let size = |up_to| SizeSection { up_to, batches: figure / 16 };
            batches.sizes = (0..11).map(|class| size(1 << class)).collect();
            let startup = report.startup.as_mut().unwrap();
            startup.phases[0].started_us = Some(time / 2);
            startup.phases[0].ended_us = Some(time);
            startup.critical_path[0].ended_us = time;
            let worst = &mut report.health.worst[0];
            (worst.rejected, worst.dropped, worst.expired, worst.crashes) = (figure, figure, figure, u32::MAX);
            report.tasks.totals.dispatched = figure;
            report.tasks.totals.retried = figure;
            let text = report.to_text(Palette::Plain);
            prop_assert!(widest(&text) <= WIDTH, "{}", text);
        }
    }
}
