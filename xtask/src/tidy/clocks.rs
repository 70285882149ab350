//! Real clocks and real sleeps.

use super::{Finding, paths, tree::Tree};

/// Files of `actors/src` and `src` that may read a real clock or sleep, each with the reason.
pub(super) const ALLOWED: &[(&str, &str)] = &[
    ("src/cli/run/mod.rs", "lines of progress come at most once a second of whoever reads them"),
    ("src/journal/lock.rs", "another process that reads a journal lets go of it in real time"),
    ("src/host/virtual_time.rs", "finds out whether the host's clock stands still"),
];

/// What reads a real clock or sleeps.
const REAL: [&[&str]; 4] = [
    &["std", "thread", "sleep"],
    &["std", "thread", "sleep_ms"],
    &["std", "time", "Instant", "now"],
    &["std", "time", "SystemTime", "now"],
];

/// Nothing in `actors/src` and `src` reads a real clock or sleeps, tests included, but the files of `allowed`: time
/// comes from the host's clock, or else a simulation could not repeat itself.
pub(super) fn real_clocks(tree: &Tree, allowed: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut needed = Vec::new();
    for file in tree.rust() {
        if !["actors/src/", "src/"].iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        for named in paths::named(file) {
            if !REAL.contains(&&named.meant.iter().map(String::as_str).collect::<Vec<_>>()[..]) {
                continue;
            }
            if allowed.iter().any(|(path, _)| *path == file.path) {
                needed.push(file.path.as_str());
                continue;
            }
            let text = format!("`{}` is real time: take it from the host's clock", named.meant.join("::"));
            findings.push(Finding::error(&file.path, named.line, text));
        }
    }
    for (path, reason) in allowed.iter().filter(|(path, _)| !needed.contains(path)) {
        let text = format!(
            "needs no real time any more: take it out of ALLOWED in xtask/src/tidy/clocks.rs ({reason})"
        );
        findings.push(Finding::error(*path, None, text));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(findings: Vec<Finding>) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_real_clock_or_sleep_is_an_error_however_it_is_imported() {
        let tree = Tree::of(&[
            ("actors/src/a.rs", "use std::time::Instant as Now;\nfn f() { Now::now(); }"),
            (
                "actors/src/b.rs",
                "use std::{thread, time};\nfn f() { thread::sleep(x);\n time::SystemTime::now(); }",
            ),
            (
                "src/c.rs",
                "use std::thread::sleep;\nfn f() { assert!(g(::std::time::Instant::now()));\n sleep(x); }",
            ),
        ]);
        assert_eq!(
            texts(real_clocks(&tree, &[])),
            [
                "error: actors/src/a.rs:2: `std::time::Instant::now` is real time: take it from the host's clock",
                "error: actors/src/b.rs:2: `std::thread::sleep` is real time: take it from the host's clock",
                "error: actors/src/b.rs:3: `std::time::SystemTime::now` is real time: take it from the host's clock",
                "error: src/c.rs:1: `std::thread::sleep` is real time: take it from the host's clock",
                "error: src/c.rs:2: `std::time::Instant::now` is real time: take it from the host's clock",
                "error: src/c.rs:3: `std::thread::sleep` is real time: take it from the host's clock",
            ]
        );
    }

    #[test]
    fn the_runtime_s_clock_other_folders_and_allowed_files_pass() {
        let real = "fn f() { std::time::Instant::now(); }";
        let tree = Tree::of(&[
            ("actors/src/a.rs", "use tokio::time::{Instant, sleep};\nfn f() { Instant::now(); sleep(x); }"),
            ("benches/b.rs", real),
            ("src/cli/c.rs", real),
        ]);
        assert_eq!(texts(real_clocks(&tree, &[("src/cli/c.rs", "shows progress to a person")])), [""; 0]);
    }

    #[test]
    fn an_allowed_file_that_needs_it_no_more_is_an_error() {
        assert_eq!(
            texts(real_clocks(&Tree::of(&[("src/c.rs", "fn f() {}")]), &[("src/c.rs", "shows progress")])),
            [
                "error: src/c.rs: needs no real time any more: take it out of ALLOWED in xtask/src/tidy/clocks.rs \
                 (shows progress)"
            ]
        );
    }
}
