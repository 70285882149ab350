//! Faults as pictures: the line of the manifest with the place marked, for people at a terminal.
//!
//! Each picture is drawn from a small window around its fault, so that one line of a million characters costs no
//! more than a short one, and what could steer the terminal is replaced.

use std::{fmt, ops::Range};

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents,
};

use super::fault::{Fault, Faults, floor};

/// Whether pictures have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// Colours, for a terminal that takes them.
    Colours,
    /// None.
    Plain,
}

/// How much of a line is shown on either side of a fault, in bytes.
const WINDOW: usize = 60;

/// One fault with the part of the file around it.
#[derive(Debug)]
struct Picture<'f> {
    fault: &'f Fault,
    window: Window,
}

/// A part of one line, without anything that could steer a terminal.
#[derive(Debug)]
struct Window {
    file: String,
    text: String,
    span: Range<usize>,
    line: usize,
    column: usize,
}

impl Window {
    fn around(fault: &Fault, faults: &Faults) -> Self {
        let text = faults.text();
        let (start, line) = faults.lines().line(text, fault.line).unwrap_or((0, ""));
        let at = floor(line, fault.span.start.saturating_sub(start));
        let end =
            floor(line, fault.span.end.saturating_sub(start)).clamp(at, at.saturating_add(WINDOW).max(at));
        let end = floor(line, end).max(at);
        let from = floor(line, at.saturating_sub(WINDOW));
        let to = floor(line, end.saturating_add(WINDOW));
        let tame = |part: &str| part.replace(|c: char| c.is_control() || is_bidi(c), "\u{fffd}");
        let (before, marked, after) = (tame(&line[from..at]), tame(&line[at..end]), tame(&line[end..to]));
        let span = before.len()..before.len() + marked.len();
        // The heading names the fault's own place, not that of the window.
        let column = fault.column - 1;
        Self {
            file: faults.file().to_owned(),
            text: before + &marked + &after,
            span,
            line: fault.line - 1,
            column,
        }
    }
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl SourceCode for Window {
    fn read_span<'a>(
        &'a self,
        _: &SourceSpan,
        _: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        Ok(Box::new(MietteSpanContents::new_named(
            self.file.clone(),
            self.text.as_bytes(),
            (0, self.text.len()).into(),
            self.line,
            self.column,
            1,
        )))
    }
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fault.message)
    }
}

impl std::error::Error for Picture<'_> {}

impl Diagnostic for Picture<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.fault.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.fault.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.window.text.is_empty()).then_some(&self.window as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new(Some("here".to_owned()), self.window.span.start, self.window.span.len());
        Some(Box::new(std::iter::once(label)))
    }
}

impl Faults {
    /// One picture a fault: message, the line with the place marked, and what would be right.
    pub fn picture(&self, palette: Palette, width: usize) -> String {
        use fmt::Write as _;
        let theme = match palette {
            Palette::Colours => GraphicalTheme::unicode(),
            Palette::Plain => GraphicalTheme::unicode_nocolor(),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(width);
        let mut out = String::new();
        for fault in self.list() {
            let picture = Picture { fault, window: Window::around(fault, self) };
            if handler.render_report(&mut out, &picture).is_err() {
                let _ = write!(out, "{}", fault.message);
            }
            out.push('\n');
        }
        if self.more() > 0 {
            let _ = writeln!(out, "{}: and {} more", self.file(), self.more());
        }
        out
    }
}
