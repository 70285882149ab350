//! The licences of the dependencies, by the allow-list of deny.toml.

use spdx::{Expression, Licensee, ParseMode};

use super::{Finding, packages::Packages, tree::Tree};

const CONFIG: &str = "deny.toml";

/// The licence expression of every dependency can be met by the licences deny.toml allows. Allowed licences that no
/// dependency speaks of are noted.
pub(super) fn allowed(tree: &Tree, packages: &Packages) -> Vec<Finding> {
    let licensees = match licensees(tree.text(CONFIG)) {
        Ok(licensees) => licensees,
        Err(text) => return vec![Finding::error(CONFIG, None, text)],
    };
    let mut findings = Vec::new();
    let mut met = vec![false; licensees.len()];
    for package in packages.foreign() {
        let name = format!("`{} {}`", package.name, package.version);
        let Some(license) = &package.license else {
            let text = format!("{name} states no licence: do without it");
            findings.push(Finding::error(CONFIG, None, text));
            continue;
        };
        let expression = match Expression::parse_mode(license, ParseMode::LAX) {
            Ok(expression) => expression,
            Err(fault) => {
                let text = format!("{name} has a licence that does not parse, `{license}`: {}", fault.reason);
                findings.push(Finding::error(CONFIG, None, text));
                continue;
            }
        };
        let ok = expression.evaluate(|requirement| {
            let mut any = false;
            for (licensee, met) in licensees.iter().zip(&mut met) {
                let fits = licensee.satisfies(requirement);
                *met |= fits;
                any |= fits;
            }
            any
        });
        if !ok {
            let text =
                format!("{name} is under `{license}`, which the allow-list does not meet: do without it");
            findings.push(Finding::error(CONFIG, None, text));
        }
    }
    for (licensee, _) in licensees.iter().zip(met).filter(|(_, met)| !met) {
        findings.push(Finding::note(CONFIG, None, format!("allows {licensee}, which no dependency uses")));
    }
    findings
}

/// The licences of the allow-list.
fn licensees(config: Option<&str>) -> Result<Vec<Licensee>, String> {
    let config = config.ok_or("is missing: it lists the licences dependencies may have")?;
    let config: toml::Table = config
        .parse()
        .map_err(|fault: toml::de::Error| format!("does not parse as TOML: {}", fault.message()))?;
    let list = config.get("licenses").and_then(|table| table.get("allow")).and_then(toml::Value::as_array);
    let list = list.ok_or("has no list `licenses.allow`: add it")?;
    list.iter()
        .map(|value| {
            let name =
                value.as_str().ok_or_else(|| format!("allows `{value:?}`, which is no text: quote it"))?;
            Licensee::parse(name)
                .map_err(|fault| format!("allows `{name}`, which is no licence: {}", fault.reason))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::packages::Package, *};

    fn found(config: &str, licenses: &[Option<&str>]) -> Vec<String> {
        let tree = Tree::of(&[("deny.toml", config)]);
        let packages = licenses.iter().map(|license| Package {
            name: "x".into(),
            version: "1.0.0".into(),
            license: license.map(str::to_owned),
            ..Package::default()
        });
        allowed(&tree, &Packages(packages.collect())).iter().map(ToString::to_string).collect()
    }

    const CONFIG: &str = "[licenses]\nallow = [\"MIT\", \"Apache-2.0\", \"Unicode-3.0\"]";

    #[test]
    fn a_dependency_the_allow_list_does_not_cover_is_an_error() {
        let config = "[licenses]\nallow = [\"MIT\"]";
        assert_eq!(
            found(
                config,
                &[Some("MIT"), Some("MIT AND GPL-3.0-only"), Some("Apache-2.0"), None, Some("MIT OR Mine")]
            ),
            [
                "error: deny.toml: `x 1.0.0` is under `MIT AND GPL-3.0-only`, which the allow-list does not meet: do \
                 without it",
                "error: deny.toml: `x 1.0.0` is under `Apache-2.0`, which the allow-list does not meet: do without it",
                "error: deny.toml: `x 1.0.0` states no licence: do without it",
                "error: deny.toml: `x 1.0.0` has a licence that does not parse, `MIT OR Mine`: unknown term",
            ]
        );
    }

    #[test]
    fn expressions_the_allow_list_meets_pass() {
        let licenses = [
            "MIT OR GPL-3.0-only",
            "MIT/Apache-2.0",
            "Apache-2.0 / MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ];
        assert_eq!(found(CONFIG, &licenses.map(Some)), [""; 0]);
    }

    #[test]
    fn an_exception_is_not_covered_by_its_licence_alone() {
        assert_eq!(
            found("[licenses]\nallow = [\"Apache-2.0\"]", &[Some("Apache-2.0 WITH LLVM-exception")]).len(),
            2
        );
    }

    #[test]
    fn an_allowed_licence_nobody_uses_is_noted() {
        assert_eq!(
            found(CONFIG, &[Some("MIT OR Apache-2.0")]),
            ["note: deny.toml: allows Unicode-3.0, which no dependency uses"]
        );
    }

    #[test]
    fn a_missing_or_broken_allow_list_is_an_error() {
        let missing = allowed(&Tree::of(&[]), &Packages::default());
        assert_eq!(
            missing[0].to_string(),
            "error: deny.toml: is missing: it lists the licences dependencies may have"
        );
        assert_eq!(found("[bans]", &[]), ["error: deny.toml: has no list `licenses.allow`: add it"]);
        assert_eq!(
            found("[licenses]\nallow = [\"Mine\"]", &[]),
            ["error: deny.toml: allows `Mine`, which is no licence: unknown term"]
        );
    }
}
