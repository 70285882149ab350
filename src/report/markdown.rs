//! The report as a page of Markdown.

use std::fmt::Write as _;

use super::{
    outline::{Block, Column, Tone},
    units::tame,
};

/// The blocks as a page that ends in a line break.
pub(crate) fn render(blocks: &[Block]) -> String {
    let mut page = String::new();
    for block in blocks {
        if !page.is_empty() {
            page.push('\n');
        }
        match block {
            Block::Title { text, .. } => paragraph(&mut page, "# ", text),
            Block::Heading(text) => paragraph(&mut page, "## ", text),
            Block::Line(text) => paragraph(&mut page, "", text),
            Block::List { items, .. } => items.iter().for_each(|item| paragraph(&mut page, "- ", item)),
            Block::Table { columns, rows } => table(&mut page, columns, rows),
        }
    }
    page
}

fn paragraph(page: &mut String, before: &str, text: &str) {
    writeln!(page, "{before}{}", escape(text)).expect("a text takes all");
}

fn table(page: &mut String, columns: &[Column], rows: &[(Vec<String>, Tone)]) {
    let mut row = |cells: Vec<String>| {
        writeln!(page, "| {} |", cells.join(" | ")).expect("a text takes all");
    };
    row(columns.iter().map(|column| escape(column.name)).collect());
    row(columns.iter().map(|column| if column.figures { "---:" } else { "---" }.to_owned()).collect());
    for (cells, _) in rows {
        row(cells.iter().map(|cell| escape(cell)).collect());
    }
}

/// A text that Markdown shows as it stands, in one line.
fn escape(text: &str) -> String {
    let text: Vec<char> = tame(text).trim_start().chars().collect();
    let is_inner = |at: Option<&char>| at.is_some_and(|c| c.is_alphanumeric());
    let mut escaped = String::with_capacity(text.len());
    // Digits before a full stop or a bracket at the start would make a list.
    let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
    for (at, c) in text.iter().enumerate() {
        let means_something = match c {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '@' => true,
            // Inside a word it is a letter.
            '_' => !(at > 0 && is_inner(text.get(at - 1)) && is_inner(text.get(at + 1))),
            '#' => at == 0 || text.get(at + 1).is_some_and(char::is_ascii_digit) || at + 1 == text.len(),
            '+' | '-' | '=' => at == 0,
            '.' | ')' => at > 0 && at == digits && text.get(at + 1).is_none_or(|next| *next == ' '),
            // What would be made a link by itself.
            ':' => text[at + 1..].starts_with(&['/', '/']),
            _ => false,
        };
        if means_something {
            escaped.push('\\');
        }
        escaped.push(*c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use crate::report::{RunReport, sample};

    use super::*;

    #[test]
    fn a_full_report_is_a_page() {
        insta::assert_snapshot!(sample::full().to_markdown());
    }

    #[test]
    fn the_least_report_is_a_page() {
        insta::assert_snapshot!(sample::least().to_markdown());
    }

    #[test]
    fn what_markdown_would_read_is_escaped() {
        let rows = [
            ("a|b", "a\\|b"),
            ("two\nlines", "two lines"),
            ("core_initialization", "core_initialization"),
            ("_x_", "\\_x\\_"),
            ("hash:a*b", "hash:a\\*b"),
            ("- 1. # x", "\\- 1. # x"),
            ("12. x", "12\\. x"),
            ("12.3 ms", "12.3 ms"),
            ("# x", "\\# x"),
            ("see #12", "see \\#12"),
            ("<b>&amp;", "\\<b\\>\\&amp;"),
            ("   code", "code"),
            ("http://a.b", "http\\://a.b"),
            ("hash:/usr", "hash:/usr"),
        ];
        for (text, escaped) in rows {
            assert_eq!(escape(text), escaped, "{text}");
        }
    }

    #[test]
    fn every_row_of_a_table_has_the_cells_of_its_head() {
        let mut report: RunReport = sample::full();
        report.routes[0].route = "a|b\\|c".to_owned();
        let page = report.to_markdown();
        let cells = |row: &str| row.replace("\\\\", "").replace("\\|", "").matches('|').count();
        let mut head = None;
        let mut rows = 0;
        for line in page.lines() {
            let Some(row) = line.strip_prefix('|') else {
                head = None;
                continue;
            };
            assert_eq!(cells(row), *head.get_or_insert(cells(row)), "{line}");
            rows += 1;
        }
        assert!(rows > 20, "{page}");
    }

    #[test]
    fn the_page_says_what_the_text_says() {
        let report = sample::full();
        let letters = |text: String| -> Vec<String> {
            let text: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
            text.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(letters(report.to_markdown()), letters(report.to_text(crate::manifest::Palette::Plain)));
    }
}
