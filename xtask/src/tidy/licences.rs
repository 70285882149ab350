//! The licences of the dependencies, by the allow-list of deny.toml.

use spdx::{Expression, Licensee, ParseMode};

use super::{Finding, packages::Packages, tree::Tree};

const CONFIG: &str = "deny.toml";

/// A licence that one package may have beyond the list.
struct Exception {
    package: String,
    licensees: Vec<Licensee>,
}

/// The licence expression of every dependency can be met by the licences deny.toml allows. Allowed licences that no
/// dependency speaks of are noted.
///
/// A package with an exception must not be among what the published packages are built with: their users did not agree to
/// it.
pub(super) fn allowed(tree: &Tree, packages: &Packages) -> Vec<Finding> {
    let (licensees, exceptions) = match licensees(tree.text(CONFIG)) {
        Ok(read) => read,
        Err(text) => return vec![Finding::error(CONFIG, None, text)],
    };
    let mut findings = Vec::new();
    let mut met = vec![false; licensees.len()];
    let published = packages.published();
    let mut needed = vec![false; exceptions.len()];
    for (at, package) in packages.0.iter().enumerate().filter(|(_, package)| !package.member) {
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
            let exception = exceptions.iter().position(|exception| {
                let licensees = &exception.licensees;
                exception.package == package.name
                    && expression
                        .evaluate(|requirement| licensees.iter().any(|one| one.satisfies(requirement)))
            });
            if let Some(exception) = exception {
                needed[exception] = true;
                if published.contains(&at) {
                    let text = format!(
                        "{name} is under `{license}` by an exception, and a published package is built with it: do \
                         without it there"
                    );
                    findings.push(Finding::error(CONFIG, None, text));
                }
                continue;
            }
            let text =
                format!("{name} is under `{license}`, which the allow-list does not meet: do without it");
            findings.push(Finding::error(CONFIG, None, text));
        }
    }
    for (licensee, _) in licensees.iter().zip(met).filter(|(_, met)| !met) {
        findings.push(Finding::note(CONFIG, None, format!("allows {licensee}, which no dependency uses")));
    }
    for (exception, _) in exceptions.iter().zip(needed).filter(|(_, needed)| !needed) {
        let text = format!("has an exception for `{}`, which needs none", exception.package);
        findings.push(Finding::note(CONFIG, None, text));
    }
    findings
}

/// The licences of the allow-list, and the exceptions from it.
fn licensees(config: Option<&str>) -> Result<(Vec<Licensee>, Vec<Exception>), String> {
    let config = config.ok_or("is missing: it lists the licences dependencies may have")?;
    let config: toml::Table = config
        .parse()
        .map_err(|fault: toml::de::Error| format!("does not parse as TOML: {}", fault.message()))?;
    let licenses = config.get("licenses");
    let list = licenses.and_then(|table| table.get("allow")).and_then(toml::Value::as_array);
    let list = list.ok_or("has no list `licenses.allow`: add it")?;
    let exceptions = licenses.and_then(|table| table.get("exceptions")).and_then(toml::Value::as_array);
    let exceptions = exceptions.into_iter().flatten().map(|exception| {
        let package = exception.get("crate").and_then(toml::Value::as_str);
        let allow = exception.get("allow").and_then(toml::Value::as_array);
        let (Some(package), Some(allow)) = (package, allow) else {
            return Err(format!("has the exception {exception:?}: it takes a `crate` and a list `allow`"));
        };
        Ok(Exception { package: package.to_owned(), licensees: parsed(allow)? })
    });
    Ok((parsed(list)?, exceptions.collect::<Result<_, _>>()?))
}

fn parsed(list: &[toml::Value]) -> Result<Vec<Licensee>, String> {
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
    use super::{
        super::{Level, packages::Package},
        *,
    };

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

    const EXCEPTION: &str =
        "[licenses]\nallow = [\"MIT\"]\nexceptions = [{ allow = [\"MPL-2.0\"], crate = \"x\" }]";

    /// A member built with `x`, which is under MPL-2.0.
    fn found_below(private: bool) -> Vec<String> {
        let tree = Tree::of(&[("deny.toml", EXCEPTION)]);
        let member =
            Package { name: "m".into(), member: true, private, dependencies: vec![1], ..Package::default() };
        let x = Package {
            name: "x".into(),
            version: "1.0.0".into(),
            license: Some("MPL-2.0".into()),
            ..Package::default()
        };
        let findings = allowed(&tree, &Packages(vec![member, x]));
        findings.iter().filter(|finding| finding.level == Level::Error).map(ToString::to_string).collect()
    }

    #[test]
    fn an_excepted_package_passes_below_private_members_and_not_below_published_ones() {
        assert_eq!(found_below(true), [""; 0]);
        assert_eq!(
            found_below(false),
            [
                "error: deny.toml: `x 1.0.0` is under `MPL-2.0` by an exception, and a published package is built with \
                 it: do without it there"
            ]
        );
    }

    #[test]
    fn an_exception_for_another_licence_or_for_nothing_does_not_help() {
        assert_eq!(
            found(EXCEPTION, &[Some("GPL-3.0-only"), Some("MIT")]),
            [
                "error: deny.toml: `x 1.0.0` is under `GPL-3.0-only`, which the allow-list does not meet: do without it",
                "note: deny.toml: has an exception for `x`, which needs none",
            ]
        );
        let half = found("[licenses]\nallow = [\"MIT\"]\nexceptions = [{ crate = \"x\" }]", &[]);
        assert!(half[0].ends_with(": it takes a `crate` and a list `allow`"), "{half:?}");
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
