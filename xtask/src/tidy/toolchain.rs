//! The oldest Rust the project builds with.

use std::process::Command;

use anyhow::{Context as _, ensure};

use super::{Finding, packages::Packages};

const MANIFEST: &str = "Cargo.toml";

/// The version line of the `rustc` in use.
///
/// # Errors
/// When it does not start or fails.
pub(super) fn version() -> anyhow::Result<String> {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("--version")
        .output()
        .context("rustc does not start")?;
    ensure!(output.status.success(), "rustc --version: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Every member states one and the same `rust-version`, and no dependency needs a newer one.
pub(super) fn rust_versions(packages: &Packages) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(ours) = stated(packages) else {
        return vec![Finding::error(
            MANIFEST,
            None,
            "no member states a rust-version: state it in [workspace.package]",
        )];
    };
    for package in packages.members().filter(|package| package.rust_version.as_deref() != Some(ours)) {
        let theirs = package.rust_version.as_deref().unwrap_or("none");
        let text = format!(
            "`{}` states rust-version {theirs}, others {ours}: inherit it from the workspace",
            package.name
        );
        findings.push(Finding::error(MANIFEST, None, text));
    }
    for package in packages.foreign() {
        if let Some(theirs) = &package.rust_version
            && numbers(theirs) > numbers(ours)
        {
            let text = format!(
                "`{} {}` needs Rust {theirs}, the workspace states {ours}: take an older version of it, or raise rust-version",
                package.name, package.version
            );
            findings.push(Finding::error(MANIFEST, None, text));
        }
    }
    findings
}

/// The toolchain in use is at least the one the workspace states.
pub(super) fn in_use(packages: &Packages, rustc: &str) -> Vec<Finding> {
    let Some(ours) = stated(packages) else { return Vec::new() };
    let used = rustc.split_whitespace().nth(1).unwrap_or_default();
    if numbers(used) >= numbers(ours) {
        return Vec::new();
    }
    vec![Finding::error(
        MANIFEST,
        None,
        format!("`{rustc}` is in use, {ours} is the oldest that will do: update Rust"),
    )]
}

/// The `rust-version` of the first member that states one.
fn stated(packages: &Packages) -> Option<&str> {
    packages.members().find_map(|package| package.rust_version.as_deref())
}

/// A version as numbers to compare; what follows a dash does not count.
fn numbers(version: &str) -> (u64, u64, u64) {
    let plain = version.split(['-', '+']).next().unwrap_or(version);
    let mut parts = plain.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::{super::packages::Package, *};

    fn package(name: &str, rust_version: Option<&str>, member: bool) -> Package {
        Package {
            name: name.into(),
            version: "1.2.3".into(),
            rust_version: rust_version.map(str::to_owned),
            member,
            ..Package::default()
        }
    }

    fn texts(findings: Vec<Finding>) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dependency_that_needs_a_newer_rust_is_an_error() {
        let packages =
            Packages(vec![package("ours", Some("1.88"), true), package("new", Some("1.88.1"), false)]);
        assert_eq!(
            texts(rust_versions(&packages)),
            [
                "error: Cargo.toml: `new 1.2.3` needs Rust 1.88.1, the workspace states 1.88: take an older version of \
                 it, or raise rust-version"
            ]
        );
    }

    #[test]
    fn a_member_without_the_common_rust_version_is_an_error() {
        let packages = Packages(vec![package("a", Some("1.88"), true), package("b", None, true)]);
        assert_eq!(
            texts(rust_versions(&packages)),
            ["error: Cargo.toml: `b` states rust-version none, others 1.88: inherit it from the workspace"]
        );
        assert_eq!(
            texts(rust_versions(&Packages(vec![package("b", None, true)]))),
            ["error: Cargo.toml: no member states a rust-version: state it in [workspace.package]"]
        );
    }

    #[test]
    fn dependencies_that_are_old_enough_or_silent_pass() {
        let packages = Packages(vec![
            package("ours", Some("1.88"), true),
            package("same", Some("1.88.0"), false),
            package("older", Some("1.9"), false),
            package("silent", None, false),
        ]);
        assert_eq!(texts(rust_versions(&packages)), [""; 0]);
    }

    #[test]
    fn a_toolchain_older_than_stated_is_an_error_and_others_pass() {
        let packages = Packages(vec![package("ours", Some("1.88"), true)]);
        assert_eq!(
            texts(in_use(&packages, "rustc 1.87.0 (17067e9ac 2025-05-09)")),
            [
                "error: Cargo.toml: `rustc 1.87.0 (17067e9ac 2025-05-09)` is in use, 1.88 is the oldest that will do: \
                 update Rust"
            ]
        );
        assert_eq!(texts(in_use(&packages, "rustc 1.88.0")), [""; 0]);
        assert_eq!(texts(in_use(&packages, "rustc 1.99.0-nightly (x 2026-01-01)")), [""; 0]);
    }
}
