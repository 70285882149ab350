//! What every package of the workspace shares.

use super::{Finding, tree::Tree};

/// Every package inherits `[workspace.lints]`, so that none escapes a lint; a package that is a workspace of its own
/// answers for itself.
pub(super) fn shared_lints(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| path.split('/').next_back() == Some("Cargo.toml")) {
        let manifest = match text.parse::<toml::Table>() {
            Ok(manifest) => manifest,
            Err(fault) => {
                findings.push(Finding::error(
                    path,
                    None,
                    format!("does not parse as TOML: {}", fault.message()),
                ));
                continue;
            }
        };
        let own_workspace = path != "Cargo.toml" && manifest.contains_key("workspace");
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")) == Some(&true.into());
        if manifest.contains_key("package") && !own_workspace && !inherits {
            let text = "does not share the lints: add `workspace = true` under `[lints]`";
            findings.push(Finding::error(path, None, text));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        shared_lints(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_package_without_the_shared_lints_is_an_error() {
        assert_eq!(
            found(&[
                ("Cargo.toml", "[workspace]\n[package]\nname = \"a\""),
                ("b/Cargo.toml", "[package]\nname = \"b\"\n[lints]\nworkspace = false"),
                ("c/Cargo.toml", "[package"),
            ])
            .iter()
            .map(|text| text.split(" TOML: ").next().unwrap_or_default())
            .collect::<Vec<_>>(),
            [
                "error: Cargo.toml: does not share the lints: add `workspace = true` under `[lints]`",
                "error: b/Cargo.toml: does not share the lints: add `workspace = true` under `[lints]`",
                "error: c/Cargo.toml: does not parse as",
            ]
        );
    }

    #[test]
    fn packages_that_share_them_and_workspaces_of_their_own_pass() {
        assert_eq!(
            found(&[
                ("Cargo.toml", "[workspace]\n[package]\nname = \"a\"\n[lints]\nworkspace = true"),
                ("peers/Cargo.toml", "[workspace]\n[package]\nname = \"peers\""),
            ]),
            [""; 0]
        );
    }
}
