//! The project's own rules, each a function from the tree (and what cargo says about it) to findings.
//!
//! ```text
//!   git ls-files ──▶ Tree ────┐
//!                             ├──▶ rules ──▶ findings ──▶ errors (fail) and notes
//!   cargo metadata ▶ Packages ┘
//! ```
//!
//! **Invariant.** A rule reads only what it is given, so each is tested on small trees in memory: once where it
//! fires, with its exact message, and once where it does not.

mod clocks;
mod commands;
mod imports;
mod invariants;
mod length;
mod licences;
mod manifests;
mod packages;
mod paths;
mod rooms;
mod stubs;
mod toolchain;
mod tree;
mod words;

use std::{fmt, path::Path};

use anyhow::{Context as _, bail};

use packages::Packages;
use tree::Tree;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// Worth knowing; fails nothing.
    Note,
    /// Fails the check.
    Error,
}

/// What a rule found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    level: Level,
    path: String,
    /// The line, from 1; nothing for the file as a whole.
    line: Option<usize>,
    text: String,
}

impl Finding {
    fn error(path: impl Into<String>, line: impl Into<Option<usize>>, text: impl Into<String>) -> Self {
        Self { level: Level::Error, path: path.into(), line: line.into(), text: text.into() }
    }

    fn note(path: impl Into<String>, line: impl Into<Option<usize>>, text: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::error(path, line, text) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.level == Level::Error { "error" } else { "note" };
        write!(f, "{level}: {}", self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// All the rules, in the order they report.
fn check(tree: &Tree, packages: &Packages, rustc: &str) -> Vec<Finding> {
    let mut findings = tree.unreadable();
    findings.extend(rooms::imports(tree));
    findings.extend(rooms::dependencies(tree));
    findings.extend(words::machine_paths(tree));
    findings.extend(words::registry_hosts(tree));
    findings.extend(stubs::macros(tree));
    findings.extend(stubs::attributes(tree));
    findings.extend(stubs::unsafe_code(tree));
    findings.extend(clocks::real_clocks(tree, clocks::ALLOWED));
    findings.extend(length::lengths(tree));
    findings.extend(invariants::cited_tests(tree));
    findings.extend(commands::named_targets(tree, packages));
    findings.extend(manifests::shared_lints(tree));
    findings.extend(toolchain::rust_versions(packages));
    findings.extend(toolchain::in_use(packages, rustc));
    findings.extend(licences::allowed(tree, packages));
    findings
}

/// Applies every rule to the project at `root` and prints what was found.
///
/// # Errors
/// When there is an error among the findings, or the project cannot be read.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let tree = Tree::load(root)?;
    let packages = Packages::load(root)?;
    let rustc = toolchain::version().context("asking rustc for its version")?;
    let findings = check(&tree, &packages, &rustc);
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    if errors > 0 {
        bail!("{errors} of {} findings are errors", findings.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_level_place_and_text() {
        assert_eq!(Finding::error("a.rs", 3, "is wrong").to_string(), "error: a.rs:3: is wrong");
        assert_eq!(Finding::note("a.rs", None, "is long").to_string(), "note: a.rs: is long");
    }
}
