//! Words no file of the project may hold.

use super::{Finding, tree::Tree};

/// Folders that exist on one machine only. Written in halves, so that this file holds none of them itself.
const MACHINE_PATHS: [&str; 3] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];

/// Hosts of package registries, and how their indices are written.
const REGISTRY_HOSTS: [&str; 10] = [
    concat!("crates", ".io"),
    concat!("registry", "+http"),
    concat!("sparse", "+http"),
    concat!("registry.", "npmjs"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted"),
    concat!("proxy.", "golang"),
    concat!("rubygems", ".org"),
    concat!("docker", ".io"),
    concat!("ghcr", ".io"),
];

/// Cargo writes the lock file; what it names is not ours to choose.
const EXEMPT: &str = "Cargo.lock";

/// No file names a folder of one machine.
///
/// Only whole paths count: a word before the first slash makes it a part of some other path.
pub(super) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    search(tree, &MACHINE_PATHS, "machine path", "use a path below the root of the project")
}

/// No file names the host of a package registry: where packages come from is the user's own set-up.
pub(super) fn registry_hosts(tree: &Tree) -> Vec<Finding> {
    search(tree, &REGISTRY_HOSTS, "registry host", "leave it to cargo's own configuration")
}

fn search(tree: &Tree, forbidden: &[&str], what: &str, mend: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| *path != EXEMPT) {
        for (at, line) in text.lines().enumerate() {
            for word in forbidden.iter().filter(|word| holds(line, word)) {
                findings.push(Finding::error(path, at + 1, format!("names the {what} `{word}`: {mend}")));
            }
        }
    }
    findings
}

/// Whether `line` holds `word`, not as the tail of a longer word.
fn holds(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        line[..at].chars().next_back().is_none_or(|before| match before {
            '.' => !word.starts_with('/'),
            '_' | '-' | '}' | ')' => false,
            other => !other.is_alphanumeric(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(findings: Vec<Finding>) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_machine_path_is_an_error_in_any_file() {
        let [home, root, work] = MACHINE_PATHS;
        let tree = Tree::of(&[
            ("docs/a.md", &format!("first\nsee {home}me/x and file://{root}y")),
            ("x.json", &format!("{{\"root\": \"{work}z\"}}")),
        ]);
        assert_eq!(
            texts(machine_paths(&tree)),
            [
                format!(
                    "error: docs/a.md:2: names the machine path `{home}`: use a path below the root of the project"
                ),
                format!(
                    "error: docs/a.md:2: names the machine path `{root}`: use a path below the root of the project"
                ),
                format!(
                    "error: x.json:1: names the machine path `{work}`: use a path below the root of the project"
                ),
            ]
        );
    }

    #[test]
    fn a_folder_inside_the_project_is_no_machine_path() {
        let [home, root, work] = MACHINE_PATHS;
        let tree = Tree::of(&[("a.md", &format!("docs{home}x ..{work}y ${{base}}{root}z /usr/bin"))]);
        assert_eq!(texts(machine_paths(&tree)), [""; 0]);
    }

    #[test]
    fn a_registry_host_is_an_error_but_in_the_lock_file() {
        let host = REGISTRY_HOSTS[0];
        let text = format!("source = \"https://static.{host}/x\"");
        let tree = Tree::of(&[("Cargo.lock", &text), ("deny.toml", &text), ("a.rs", "fn f() { crates(); }")]);
        assert_eq!(
            texts(registry_hosts(&tree)),
            [format!(
                "error: deny.toml:1: names the registry host `{host}`: leave it to cargo's own configuration"
            )]
        );
    }
}
