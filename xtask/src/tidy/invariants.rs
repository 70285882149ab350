//! The numbered invariants of ARCHITECTURE.md and the tests they cite.
//!
//! An invariant is one paragraph:
//!
//! ```text
//! **I-7.** What always holds. (test: `inbox::tests::a_full_lane_refuses`)
//! ```

use std::{collections::BTreeMap, path::Path};

use proc_macro2::{TokenStream, TokenTree};

use super::{Finding, tree::Tree};

const FILE: &str = "ARCHITECTURE.md";

/// The invariants are numbered 1, 2, 3 and so on, and each cites at least one test, and each cited test exists; so do those
/// that the pages in `docs` cite.
pub(super) fn cited_tests(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(FILE) else {
        return vec![Finding::error(
            FILE,
            None,
            "is missing: write it, with numbered invariants that cite tests",
        )];
    };
    let functions = functions(tree);
    let mut findings = Vec::new();
    let mut expected = 1;
    for paragraph in paragraphs(text) {
        let line = paragraph.line;
        let Some(number) = paragraph.number else {
            let text = "starts an invariant without a number: write it as `**I-1.** text (test: `name`)`";
            findings.push(Finding::error(FILE, line, text));
            continue;
        };
        if number != expected {
            findings.push(Finding::error(
                FILE,
                line,
                format!("I-{number} stands where I-{expected} must be: renumber"),
            ));
        }
        expected = number.saturating_add(1);
        let cited = cited(&paragraph.text);
        if cited.is_empty() {
            findings.push(Finding::error(
                FILE,
                line,
                format!("I-{number} cites no test: add (test: `name`)"),
            ));
        }
        let place = format!("I-{number}");
        findings.extend(cited.iter().filter_map(|name| missing(FILE, line, &place, name, &functions)));
    }
    let is_page =
        |path: &str| path.starts_with("docs/") && Path::new(path).extension().is_some_and(|ext| ext == "md");
    for (page, text) in tree.texts().filter(|(path, _)| is_page(path)) {
        // A list of names may go over the end of a line.
        for name in cited(&text.replace('\n', " ")) {
            findings.extend(missing(page, None, "the page", &name, &functions));
        }
    }
    if expected == 1 && findings.is_empty() {
        findings.push(Finding::error(FILE, None, "states no invariant: add `**I-1.** text (test: `name`)`"));
    }
    findings
}

/// What is wrong with a test that is cited.
fn missing(
    file: &str,
    line: impl Into<Option<usize>>,
    place: &str,
    name: &str,
    functions: &BTreeMap<String, bool>,
) -> Option<Finding> {
    let text = match functions.get(name.rsplit("::").next().unwrap_or(name)) {
        Some(true) => return None,
        Some(false) => format!("{place} cites `{name}`, which is a function but no test: cite a test"),
        None => format!("{place} cites `{name}`, which no Rust file has: write the test or correct the name"),
    };
    Some(Finding::error(file, line, text))
}

/// A paragraph that states an invariant.
struct Paragraph {
    line: usize,
    number: Option<u32>,
    text: String,
}

/// The paragraphs that start with an invariant's mark, also as items of a list; code blocks are skipped.
fn paragraphs(text: &str) -> Vec<Paragraph> {
    let mut found: Vec<Paragraph> = Vec::new();
    let mut inside = false;
    let mut code = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("```") {
            code = !code;
            inside = false;
            continue;
        }
        let body = line.trim_start_matches(['-', '*']).trim_start();
        let start = line.strip_prefix("**I-").or_else(|| body.strip_prefix("**I-"));
        match start {
            _ if code => {}
            Some(rest) => {
                let number = rest.split_once(".**").and_then(|(number, _)| number.parse().ok());
                found.push(Paragraph { line: at + 1, number, text: line.to_owned() });
                inside = true;
            }
            None if line.is_empty() || line.starts_with('#') => inside = false,
            None if inside => {
                let paragraph = found.last_mut().expect("a paragraph was opened before");
                paragraph.text.push(' ');
                paragraph.text.push_str(line);
            }
            None => {}
        }
    }
    found
}

/// The names between backticks in `(test: ..)` and `(tests: ..)`.
fn cited(paragraph: &str) -> Vec<String> {
    let mut names = Vec::new();
    for mark in ["(test: ", "(tests: "] {
        for part in paragraph.split(mark).skip(1) {
            let list = part.split(')').next().unwrap_or(part);
            names.extend(list.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    names
}

/// Every function of the Rust files, also inside macros, and whether one of that name is a test.
fn functions(tree: &Tree) -> BTreeMap<String, bool> {
    fn read(tokens: TokenStream, found: &mut BTreeMap<String, bool>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut test = false;
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(word) if word == "fn" => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at + 1) {
                        *found.entry(name.to_string()).or_default() |= test;
                    }
                    test = false;
                }
                TokenTree::Group(group) => {
                    let after_hash =
                        at > 0 && matches!(&tokens[at - 1], TokenTree::Punct(mark) if mark.as_char() == '#');
                    test |= after_hash && marks_test(group.stream());
                    read(group.stream(), found);
                }
                TokenTree::Punct(mark) if mark.as_char() == ';' => test = false,
                _ => {}
            }
        }
    }
    let mut found = BTreeMap::new();
    tree.rust().iter().for_each(|file| read(file.tokens.clone(), &mut found));
    found
}

/// Whether an attribute's path ends in `test`, as in `#[test]` and `#[actix_rt::test]`.
fn marks_test(attribute: TokenStream) -> bool {
    let path = attribute.into_iter().take_while(|token| !matches!(token, TokenTree::Group(_)));
    path.filter(|token| matches!(token, TokenTree::Ident(_)))
        .last()
        .is_some_and(|word| word.to_string() == "test")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "fn helper() {}\nmod tests {\n #[test]\n fn it_holds() {}\n #[tokio::test(start_paused = true)]\n \
                        async fn it_waits() {}\n proptest! {\n #[test]\n fn it_always_holds(x in 0..9) {} } }";

    fn found(architecture: &str) -> Vec<String> {
        let tree = Tree::of(&[("ARCHITECTURE.md", architecture), ("src/a.rs", CODE)]);
        cited_tests(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn invariants_that_cite_existing_tests_pass() {
        let text = "# A\n\n**I-1.** One. (test: `it_holds`)\n\n- **I-2.** Two\n  (tests: `a::tests::it_waits`,\n  \
                    `it_always_holds`)\n- **I-3.** Three (test: `it_holds`) and (test: `it_waits`).\n\n\
                    ```text\n**I-9.** no invariant\n```\n";
        assert_eq!(found(text), [""; 0]);
    }

    #[test]
    fn a_citation_that_leads_nowhere_is_an_error() {
        assert_eq!(
            found(
                "**I-1.** One. (test: `it_holds`, `gone`)\n\n**I-2.** Two. (test: `helper`)\n**I-3.** Three.\n"
            ),
            [
                "error: ARCHITECTURE.md:1: I-1 cites `gone`, which no Rust file has: write the test or correct the name",
                "error: ARCHITECTURE.md:3: I-2 cites `helper`, which is a function but no test: cite a test",
                "error: ARCHITECTURE.md:4: I-3 cites no test: add (test: `name`)",
            ]
        );
    }

    #[test]
    fn a_page_that_cites_what_is_no_test_is_an_error() {
        let page = "It holds. (tests: `it_holds`,\n`gone`) With `helper`.\n";
        let invariant = "**I-1.** One. (test: `it_holds`)\n";
        let tree = Tree::of(&[("ARCHITECTURE.md", invariant), ("docs/a.md", page), ("src/a.rs", CODE)]);
        assert_eq!(
            cited_tests(&tree).iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "error: docs/a.md: the page cites `gone`, which no Rust file has: write the test or correct the name"
            ]
        );
    }

    #[test]
    fn numbers_that_repeat_or_leave_a_gap_are_errors() {
        let line = |number: &str| format!("**I-{number}** Holds. (test: `it_holds`)\n\n");
        let text: String = ["1.", "1.", "2.", "4.", "x."].map(line).concat();
        assert_eq!(
            found(&text),
            [
                "error: ARCHITECTURE.md:3: I-1 stands where I-2 must be: renumber",
                "error: ARCHITECTURE.md:7: I-4 stands where I-3 must be: renumber",
                "error: ARCHITECTURE.md:9: starts an invariant without a number: write it as `**I-1.** text (test: \
                 `name`)`",
            ]
        );
    }

    #[test]
    fn a_missing_or_empty_page_is_an_error() {
        assert_eq!(
            cited_tests(&Tree::of(&[]))[0].to_string(),
            "error: ARCHITECTURE.md: is missing: write it, with numbered invariants that cite tests"
        );
        assert_eq!(
            found("# Architecture\n"),
            ["error: ARCHITECTURE.md: states no invariant: add `**I-1.** text (test: `name`)`"]
        );
    }
}
