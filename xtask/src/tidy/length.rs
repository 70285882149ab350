//! How long a file may be.

use super::{Finding, tree::Tree};

/// Lines a file aims at.
const AIM: usize = 300;

/// Lines by which a file is split.
const SPLIT: usize = 500;

/// A Rust file is split by 500 lines; from 300 on it is noted. Files for tests alone may be longer.
pub(super) fn lengths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().iter().filter(|file| !file.test) {
        let lines = tree.text(&file.path).map_or(0, |text| text.lines().count());
        if lines > SPLIT {
            let text = format!("has {lines} lines: split it, {SPLIT} is the most");
            findings.push(Finding::error(&file.path, None, text));
        } else if lines > AIM {
            findings.push(Finding::note(&file.path, None, format!("has {lines} lines: aim at {AIM}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beyond_the_bounds_is_noted_then_an_error() {
        let tree =
            Tree::of(&[("src/a.rs", &"// x\n".repeat(SPLIT + 1)), ("src/b.rs", &"// x\n".repeat(SPLIT))]);
        let texts: Vec<String> = lengths(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "error: src/a.rs: has 501 lines: split it, 500 is the most",
                "note: src/b.rs: has 500 lines: aim at 300",
            ]
        );
    }

    #[test]
    fn short_files_files_for_tests_and_other_files_pass() {
        let long = "// x\n".repeat(SPLIT + 1);
        let tree = Tree::of(&[
            ("src/a.rs", &"// x\n".repeat(AIM)),
            ("src/b.rs", "#[cfg(test)] mod tests;"),
            ("src/b/tests.rs", &long),
            ("tests/c.rs", &long),
            ("docs/d.md", &long),
        ]);
        assert_eq!(lengths(&tree), []);
    }
}
