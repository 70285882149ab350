//! [`Fault`] and [`Faults`]: what is wrong with a manifest, where, and what would be right.
//!
//! ```text
//! scan ----\
//! decode ---+--> Collector --finish(source)--> Faults --> plain lines | JSON | pictures of the line
//! check ---/     (bounded)                     (sorted)
//! ```
//!
//! **Invariant.** The faults of one file are sorted by position, every position lies inside the file, and neither a
//! message nor a shown line holds a control character of the file, so that printing them cannot steer a terminal.

use std::{fmt, ops::Range, sync::Arc};

use serde::Serialize;

/// How many faults of one file are kept in full; the rest is counted.
pub const MAX_SHOWN: usize = 100;

/// How many faults are collected before sorting, so that a file full of faults stays within memory.
const MAX_COLLECTED: usize = 10_000;

/// What sort of fault one is: stable names for machines to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// The text is no JSON.
    Syntax,
    /// The bytes are no UTF-8.
    NotUtf8,
    /// The file, a list or a text is larger than allowed.
    TooLarge,
    /// Objects and lists are nested deeper than allowed.
    TooDeep,
    /// A key stands twice in one object.
    DuplicateKey,
    /// A key that the manifest does not know.
    UnknownField,
    /// A key that must be there is not.
    MissingField,
    /// A value of another type than expected.
    WrongType,
    /// A number, duration or text outside its bounds.
    OutOfRange,
    /// A text that is none of the words allowed.
    UnknownWord,
    /// A text that is no name.
    BadName,
    /// An id or name given twice.
    Duplicate,
    /// A reference to something the manifest does not have.
    UnknownReference,
    /// Dependencies that lead back to where they started.
    Cycle,
    /// A start-up task that depends on a task of a later phase.
    PhaseInversion,
    /// Settings that do not go together.
    Conflict,
    /// A variable without a value.
    UnknownVariable,
    /// A variable given on the command line that the manifest does not use.
    UnusedVariable,
    /// A program that is not there.
    MissingProgram,
    /// A file or directory that cannot be read.
    UnreadableFile,
}

impl Code {
    /// The name as it is printed, for example `unknown-field`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::NotUtf8 => "not-utf8",
            Self::TooLarge => "too-large",
            Self::TooDeep => "too-deep",
            Self::DuplicateKey => "duplicate-key",
            Self::UnknownField => "unknown-field",
            Self::MissingField => "missing-field",
            Self::WrongType => "wrong-type",
            Self::OutOfRange => "out-of-range",
            Self::UnknownWord => "unknown-word",
            Self::BadName => "bad-name",
            Self::Duplicate => "duplicate",
            Self::UnknownReference => "unknown-reference",
            Self::Cycle => "cycle",
            Self::PhaseInversion => "phase-inversion",
            Self::Conflict => "conflict",
            Self::UnknownVariable => "unknown-variable",
            Self::UnusedVariable => "unused-variable",
            Self::MissingProgram => "missing-program",
            Self::UnreadableFile => "unreadable-file",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What sort of fault it is.
    pub code: Code,
    /// What is wrong, in one line.
    pub message: String,
    /// What would be right, in one line.
    pub help: String,
    /// Where in the text, in bytes.
    pub span: Range<usize>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// A place in the text of a manifest, from its line starts.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The line of a byte, from 1.
    pub(super) fn number(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at).max(1)
    }

    /// Line and column of a byte, both from 1.
    pub(super) fn place(&self, text: &str, at: usize) -> (usize, usize) {
        let line = self.number(at);
        let start = self.starts[line - 1];
        let before = text.get(start..floor(text, at)).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    /// The bytes of a line (from 1) without its end, if there is such a line.
    pub(super) fn line<'a>(&self, text: &'a str, line: usize) -> Option<(usize, &'a str)> {
        let start = *self.starts.get(line.checked_sub(1)?)?;
        let end = self.starts.get(line).copied().unwrap_or(text.len());
        Some((start, text.get(start..end)?.trim_end_matches(['\n', '\r'])))
    }
}

/// The character boundary at or before a byte.
pub(super) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Gathers faults while a manifest is read.
#[derive(Debug, Default)]
pub(super) struct Collector {
    found: Vec<(Range<usize>, Code, String, String)>,
    beyond: usize,
}

impl Collector {
    pub(super) fn add(
        &mut self,
        code: Code,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if self.found.len() < MAX_COLLECTED {
            self.found.push((span, code, message.into(), help.into()));
        } else {
            self.beyond += 1;
        }
    }

    /// Counts a fault without a word about it, once so many are collected that nobody will read it.
    pub(super) fn count_only(&mut self) -> bool {
        let full = self.found.len() >= MAX_COLLECTED;
        self.beyond += usize::from(full);
        full
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether looking for the nearest name is still worth its time: only the first faults are shown anyway.
    pub(super) fn may_suggest(&self) -> bool {
        self.found.len() < MAX_SHOWN
    }

    /// All faults so far with their places, sorted.
    pub(super) fn finish(self, file: &str, text: impl Into<Arc<str>>) -> Faults {
        let text: Arc<str> = text.into();
        let lines = Lines::of(&text);
        let Self { mut found, beyond } = self;
        found.sort_by(|a, b| (a.0.start, a.0.end, a.1, &a.2).cmp(&(b.0.start, b.0.end, b.1, &b.2)));
        found.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1 && a.2 == b.2);
        let more = found.len().saturating_sub(MAX_SHOWN) + beyond;
        let list = found
            .into_iter()
            .take(MAX_SHOWN)
            .map(|(span, code, message, help)| {
                let start = floor(&text, span.start);
                let end = floor(&text, span.end).max(start);
                let (line, column) = lines.place(&text, start);
                Fault { code, message: clean(&message), help: clean(&help), span: start..end, line, column }
            })
            .collect();
        Faults { file: clean(file), text, lines, list, more }
    }
}

/// Everything wrong with one manifest, sorted by position; at least one fault.
#[derive(Clone, thiserror::Error)]
#[error("{file} has {} fault{}", self.total(), if self.total() == 1 { "" } else { "s" })]
pub struct Faults {
    file: String,
    text: Arc<str>,
    lines: Lines,
    list: Vec<Fault>,
    more: usize,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plain())
    }
}

impl Faults {
    /// The file as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The faults, at most [`MAX_SHOWN`], sorted by position.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// How many faults there are beyond [`Faults::list`].
    pub fn more(&self) -> usize {
        self.more
    }

    /// How many faults there are.
    pub fn total(&self) -> usize {
        self.list.len() + self.more
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// One line a fault, `file:line:column: code: message (help)`, and a last line for those beyond.
    ///
    /// # Examples
    /// ```
    /// use phalanx::manifest::{Manifest, Variables};
    /// let faults = Manifest::parse("{\"name\": 7}", "swarm.json", &Variables::default()).unwrap_err();
    /// assert_eq!(
    ///     faults.plain(),
    ///     "swarm.json:1:10: wrong-type: `name` is a number (a text is expected)\n"
    /// );
    /// ```
    pub fn plain(&self) -> String {
        use fmt::Write as _;
        let mut out = String::new();
        for Fault { code, message, help, line, column, .. } in &self.list {
            let _ = writeln!(out, "{}:{line}:{column}: {code}: {message} ({help})", self.file);
        }
        if self.more > 0 {
            let _ = writeln!(out, "{}: and {} more", self.file, self.more);
        }
        out
    }

    /// A list of objects with `file`, `line`, `column`, `code`, `message` and `help`.
    pub fn json(&self) -> serde_json::Value {
        let row = |fault: &Fault| {
            serde_json::json!({
                "file": self.file, "line": fault.line, "column": fault.column,
                "code": fault.code, "message": fault.message, "help": fault.help,
            })
        };
        self.list.iter().map(row).collect()
    }
}

/// A piece of the file for a message: in back quotes, cut when long, control characters written as escapes.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 80;
    let cut: String = text.chars().take(LONGEST).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", clean(&cut))
}

/// A text without control characters, each written as its escape instead.
pub(super) fn clean(text: &str) -> String {
    let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if steers(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

/// The name among `known` that is nearest to `text`, if any is near.
pub(super) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MOST_LOOKED_AT: usize = 500;
    const LONGEST: usize = 64;
    if text.len() > LONGEST {
        return None;
    }
    known
        .into_iter()
        .take(MOST_LOOKED_AT)
        .filter(|name| name.len() <= LONGEST)
        .map(|name| (strsim::osa_distance(text, name), name))
        .filter(|(distance, name)| *distance * 3 <= name.chars().count().max(text.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_and_not_bytes() {
        let text = "a\nü\"b\r\n";
        let lines = Lines::of(text);
        assert_eq!(lines.place(text, 0), (1, 1));
        assert_eq!(lines.place(text, 4), (2, 2));
        assert_eq!(lines.place(text, text.len()), (3, 1));
        assert_eq!(lines.line(text, 2), Some((2, "ü\"b")));
    }

    #[test]
    fn beyond_the_first_hundred_faults_the_rest_is_counted() {
        let mut faults = Collector::default();
        for at in (0..20_000).rev() {
            faults.add(Code::Syntax, at..at + 1, "wrong", "right");
        }
        let faults = faults.finish("f", " ".repeat(20_000));
        assert_eq!((faults.list().len(), faults.more(), faults.total()), (100, 19_900, 20_000));
        assert!(faults.plain().ends_with("f: and 19900 more\n"));
    }

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        assert_eq!(clean("a\u{1b}[31mb\u{202e}"), "a\\u{1b}[31mb\\u{202e}");
        assert_eq!(quote(&"x".repeat(90)), format!("`{}…`", "x".repeat(80)));
    }

    #[test]
    fn the_nearest_name_is_near_or_none() {
        assert_eq!(nearest("hahser", ["logger", "hasher"]), Some("hasher"));
        assert_eq!(nearest("zebra", ["logger", "hasher"]), None);
    }
}
