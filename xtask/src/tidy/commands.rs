//! The cargo commands that README.md and the pages of `docs/` show.

use super::{Finding, packages::Packages, tree::Tree};
use crate::args;

/// The languages of fenced blocks that hold commands.
const SHELLS: [&str; 4] = ["sh", "bash", "shell", "console"];

/// What an option names: its forms, the kind of target (none for a package), and the word for it.
const OPTIONS: [(&[&str], Option<&str>, &str); 5] = [
    (&["--example"], Some("example"), "example"),
    (&["--bench"], Some("bench"), "bench"),
    (&["--bin"], Some("bin"), "binary"),
    (&["--test"], Some("test"), "integration test"),
    (&["-p", "--package"], None, "package"),
];

/// Every cargo command shown in README.md, CONTRIBUTING.md or `docs/` names targets, packages, manifests and xtask
/// commands that exist.
pub(super) fn named_targets(tree: &Tree, packages: &Packages) -> Vec<Finding> {
    let mut findings = Vec::new();
    let markdown =
        |path: &str| path.strip_prefix("docs/").is_some_and(|name| name.to_lowercase().ends_with(".md"));
    for (path, text) in
        tree.texts().filter(|(path, _)| ["README.md", "CONTRIBUTING.md"].contains(path) || markdown(path))
    {
        for (line, command) in shown(text) {
            for text in faults(&command, tree, packages) {
                findings.push(Finding::error(path, line, format!("`{command}` {text}")));
            }
        }
    }
    findings
}

/// The lines of fenced shell blocks that call cargo, each with the number of its first line; a line ending in a
/// backslash goes on.
fn shown(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut fence: Option<bool> = None;
    let mut goes_on = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(language) = line.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(SHELLS.contains(&language.trim())) };
            goes_on = false;
            continue;
        }
        if fence != Some(true) {
            continue;
        }
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part.trim_end(), true));
        if goes_on {
            let (_, before) = found.last_mut().expect("the line before goes on");
            before.push(' ');
            before.push_str(part);
        } else {
            found.push((at + 1, part.trim_start_matches("$ ").to_owned()));
        }
        goes_on = more;
    }
    found.retain(|(_, command)| arguments(command).is_some());
    found
}

/// The words after `cargo`, set variables before it left out; nothing when the command is not cargo's.
fn arguments(command: &str) -> Option<Vec<&str>> {
    let mut words =
        command.split_whitespace().skip_while(|word| word.contains('=') && !word.starts_with('-'));
    (words.next() == Some("cargo"))
        .then(|| words.take_while(|word| !["--", "|", "&&", ";", ">", "#"].contains(word)).collect())
}

fn faults(command: &str, tree: &Tree, packages: &Packages) -> Vec<String> {
    let words = arguments(command).unwrap_or_default();
    let mut faults = Vec::new();
    let mut elsewhere = false;
    let mut values = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (*word, words.get(at + 1).copied()),
        };
        if option == "--manifest-path" {
            elsewhere = true;
            if value.is_none_or(|path| tree.text(path).is_none()) {
                faults.push(format!(
                    "names the manifest `{}`, which does not exist",
                    value.unwrap_or_default()
                ));
            }
        }
        if let Some((_, kind, what)) = OPTIONS.iter().find(|(forms, ..)| forms.contains(&option)) {
            values.push((kind, what, value.unwrap_or_default()));
        }
    }
    for (kind, what, name) in values.into_iter().filter(|_| !elsewhere) {
        let exists = match kind {
            Some(kind) => packages.builds(kind, name),
            None => packages.members().any(|package| package.name == name),
        };
        if !exists {
            faults.push(format!("names the {what} `{name}`, which does not exist"));
        }
    }
    if words.first() == Some(&"xtask") {
        let name = words.get(1).copied().unwrap_or_default();
        if !args::COMMANDS.contains(&name) && name != "--help" {
            faults.push(format!("names the check `{name}`, which does not exist"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{super::packages::Package, *};

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let target = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
        let packages = Packages(vec![Package {
            name: "phalanx".into(),
            member: true,
            targets: vec![target("example", "hello"), target("bench", "inbox"), target("bin", "phalanx")],
            ..Package::default()
        }]);
        named_targets(&Tree::of(files), &packages).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_command_that_names_nothing_real_is_an_error() {
        let readme = "x\n```sh\ncargo run --example helo\ncargo xtask check\n```\n";
        let page = "```console\n$ RUST_LOG=debug cargo bench -p phalanxx \\\n   --bench=outbox -- --quick\n```\n\
                    ```sh\ncargo run --manifest-path benches/gone/Cargo.toml\n```";
        assert_eq!(
            found(&[("README.md", readme), ("docs/guide/a.md", page)]),
            [
                "error: README.md:3: `cargo run --example helo` names the example `helo`, which does not exist",
                "error: README.md:4: `cargo xtask check` names the check `check`, which does not exist",
                "error: docs/guide/a.md:2: `RUST_LOG=debug cargo bench -p phalanxx --bench=outbox -- --quick` names the \
                 package `phalanxx`, which does not exist",
                "error: docs/guide/a.md:2: `RUST_LOG=debug cargo bench -p phalanxx --bench=outbox -- --quick` names the \
                 bench `outbox`, which does not exist",
                "error: docs/guide/a.md:6: `cargo run --manifest-path benches/gone/Cargo.toml` names the manifest \
                 `benches/gone/Cargo.toml`, which does not exist",
            ]
        );
    }

    #[test]
    fn commands_that_name_what_exists_and_other_text_pass() {
        let readme = "cargo run --example not-in-a-block\n```sh\ncargo run -p phalanx --bin phalanx -- --example any\n\
                      cargo bench --bench inbox\ncargo xtask test\necho cargo run --example none\n```\n\
                      ```rust\n// cargo run --example none\n```\n\
                      ```sh\ncargo bench --manifest-path benches/peers/Cargo.toml --bench peers\n```";
        assert_eq!(found(&[("README.md", readme), ("benches/peers/Cargo.toml", "")]), [""; 0]);
    }
}
