//! What `cargo metadata` says about the workspace and its dependencies.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// All packages of the dependency graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Packages(pub(super) Vec<Package>);

/// One package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// The oldest Rust it builds with, when it says so.
    pub(super) rust_version: Option<String>,
    /// Its licence expression, when it has one.
    pub(super) license: Option<String>,
    /// Whether it is a member of the workspace.
    pub(super) member: bool,
    /// What it builds: kind (`bin`, `example`, `bench`, `test`, ..) and name.
    pub(super) targets: Vec<(String, String)>,
    /// Whether it is a member that is never published.
    pub(super) private: bool,
    /// Which packages it is built with, by their places among all; those for its tests and benches alone do not count.
    pub(super) dependencies: Vec<usize>,
}

impl Packages {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo does not start, fails, or answers in a form that is not its own.
    pub(super) fn load(root: &Path) -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1"])
            .current_dir(root)
            .output()
            .context("cargo does not start")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata: {}", errors.trim());
        let answer =
            serde_json::from_slice(&output.stdout).context("the answer of cargo metadata is no JSON")?;
        Self::read(&answer).context("the answer of cargo metadata lacks a part")
    }

    /// Reads cargo's answer; nothing when a part of its form is missing.
    fn read(answer: &Value) -> Option<Self> {
        let members = answer.get("workspace_members")?.as_array()?;
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let all = answer.get("packages")?.as_array()?;
        let nodes = answer.get("resolve")?.get("nodes")?.as_array()?;
        let place = |id: &Value| all.iter().position(|package| package.get("id") == Some(id));
        let packages = all.iter().map(|package| {
            let id = package.get("id")?;
            let node = nodes.iter().find(|node| node.get("id") == Some(id))?;
            let mut dependencies = Vec::new();
            for dependency in node.get("deps")?.as_array()? {
                let kinds = dependency.get("dep_kinds")?.as_array()?;
                if kinds.iter().any(|kind| kind.get("kind").and_then(Value::as_str) != Some("dev")) {
                    dependencies.push(place(dependency.get("pkg")?)?);
                }
            }
            let mut targets = Vec::new();
            for target in package.get("targets")?.as_array()? {
                for kind in target.get("kind")?.as_array()? {
                    targets.push((kind.as_str()?.to_owned(), text(target, "name")?));
                }
            }
            Some(Package {
                name: text(package, "name")?,
                version: text(package, "version")?,
                rust_version: text(package, "rust_version"),
                license: text(package, "license"),
                member: members.contains(id),
                targets,
                private: package.get("publish").and_then(Value::as_array).is_some_and(Vec::is_empty),
                dependencies,
            })
        });
        packages.collect::<Option<Vec<_>>>().map(Self)
    }

    /// The members of the workspace.
    pub(super) fn members(&self) -> impl Iterator<Item = &Package> {
        self.0.iter().filter(|package| package.member)
    }

    /// The packages from elsewhere.
    pub(super) fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.0.iter().filter(|package| !package.member)
    }

    /// What the members that are published are built with, themselves included, by places among all.
    pub(super) fn published(&self) -> BTreeSet<usize> {
        let is_root = |at: &usize| self.0[*at].member && !self.0[*at].private;
        let mut open: Vec<usize> = (0..self.0.len()).filter(is_root).collect();
        let mut found = BTreeSet::new();
        while let Some(at) = open.pop() {
            if found.insert(at) {
                open.extend(&self.0[at].dependencies);
            }
        }
        found
    }

    /// Whether a member of the workspace builds a `kind` of this name.
    pub(super) fn builds(&self, kind: &str, name: &str) -> bool {
        self.members().any(|package| package.targets.iter().any(|(k, n)| k == kind && n == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_s_answer_is_read_with_members_told_from_others() {
        let answer = serde_json::json!({
            "workspace_members": ["id of a", "id of c"],
            "packages": [
                {"id": "id of a", "name": "a", "version": "1.0.0", "rust_version": "1.88", "license": "MIT",
                 "publish": null, "targets": [{"kind": ["example"], "name": "hello"}]},
                {"id": "id of b", "name": "b", "version": "2.0.0", "rust_version": null, "license": null,
                 "publish": null, "targets": [{"kind": ["bench"], "name": "inbox"}]},
                {"id": "id of c", "name": "c", "version": "1.0.0", "publish": [], "targets": []},
                {"id": "id of d", "name": "d", "version": "1.0.0", "publish": null, "targets": []},
            ],
            "resolve": {"nodes": [
                {"id": "id of a", "deps": [{"pkg": "id of b", "dep_kinds": [{"kind": null}]},
                                           {"pkg": "id of d", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "id of b", "deps": []},
                {"id": "id of c", "deps": [{"pkg": "id of d", "dep_kinds": [{"kind": "dev"}, {"kind": null}]}]},
                {"id": "id of d", "deps": []},
            ]},
        });
        let packages = Packages::read(&answer).expect("the answer is whole");
        assert_eq!(packages.members().map(|package| &*package.name).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(packages.foreign().map(|package| &*package.name).collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(
            packages.0.iter().map(|package| package.private).collect::<Vec<_>>(),
            [false, false, true, false]
        );
        // The private one's dependency, and the one of tests alone, are not among what is published.
        assert_eq!(packages.published(), BTreeSet::from([0, 1]));
        assert!(packages.builds("example", "hello"));
        assert!(!packages.builds("bench", "inbox"), "it is not ours");
        assert_eq!(packages.0[1].rust_version, None);
        assert_eq!(Packages::read(&serde_json::json!({"packages": []})), None);
    }
}
