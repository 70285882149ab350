//! Who may import whom: the rooms of `actors/src` and the crates of the workspace.

use super::{Finding, paths, tree::Tree};

/// The room graph: each room with the rooms it may import.
///
/// ```text
///   agent ◀── inbox ◀── supervisor ◀── router ◀── registrar ◀── initializer
///                                         ▲
///                                         └────── coordinator
///   monitor imports agent alone; every room but agent may import monitor, for its events
/// ```
const ROOMS: &[(&str, &[&str])] = &[
    ("agent", &[]),
    ("inbox", &["agent", "monitor"]),
    ("supervisor", &["agent", "inbox", "monitor"]),
    ("router", &["agent", "inbox", "supervisor", "monitor"]),
    ("registrar", &["agent", "inbox", "supervisor", "router", "monitor"]),
    ("initializer", &["agent", "inbox", "supervisor", "router", "registrar", "monitor"]),
    ("coordinator", &["agent", "inbox", "supervisor", "router", "monitor"]),
    ("monitor", &["agent"]),
];

/// Modules below all rooms: every room may import them, and they import no room.
const FLOOR: &[&str] = &["audited", "support"];

/// What crate each folder may not depend on, and why.
const FORBIDDEN_DEPENDENCIES: &[(&str, &str)] = &[("actors/Cargo.toml", "phalanx")];

/// A room of `actors/src` imports only the rooms [`ROOMS`] allows it; code for tests is free.
///
/// `use` and inline paths count alike, also inside macros and by way of `super`. What a room takes from the crate
/// must name its room, so that a re-export at the root of the crate cannot hide an import.
pub(super) fn imports(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().iter().filter(|file| !file.test) {
        let Some(below) = file.path.strip_prefix("actors/src/") else { continue };
        let room = below.split('/').next().unwrap_or(below).trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        let Some(allowed) = allowed(room) else {
            findings.push(Finding::error(
                &file.path,
                None,
                format!("`{room}` is no known room: put it into ROOMS or FLOOR of xtask/src/tidy/rooms.rs, or move the file"),
            ));
            continue;
        };
        for named in paths::named(file).into_iter().filter(|named| !named.test) {
            let [start, target, ..] = &named.written[..] else { continue };
            if !matches!(start.as_str(), "crate" | "phalanx_actors") || target == room {
                continue;
            }
            let path = named.written.join("::");
            if FLOOR.contains(&target.as_str()) || allowed.contains(&target.as_str()) {
                continue;
            }
            let text = if self::allowed(target).is_none() {
                format!("`{path}` names no room: name the item by its room")
            } else if allowed.is_empty() {
                format!("`{room}` may not import `{target}` (`{path}`): it imports no room")
            } else {
                format!("`{room}` may not import `{target}` (`{path}`): it may import {}", allowed.join(", "))
            };
            let finding = Finding::error(&file.path, named.line, text);
            if findings.last() != Some(&finding) {
                findings.push(finding);
            }
        }
    }
    findings
}

fn allowed(room: &str) -> Option<&'static [&'static str]> {
    let floor = FLOOR.contains(&room).then_some(&[][..]);
    floor.or_else(|| ROOMS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed))
}

/// `src/` builds on `actors/`, never the other way: no manifest names a crate that [`FORBIDDEN_DEPENDENCIES`] forbids
/// it, under whatever name and for whatever target.
pub(super) fn dependencies(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &(path, forbidden) in FORBIDDEN_DEPENDENCIES {
        let Some(text) = tree.text(path) else {
            findings.push(Finding::error(path, None, "is missing: its dependencies cannot be checked"));
            continue;
        };
        match text.parse::<toml::Table>() {
            Ok(manifest) => {
                if depends(&manifest, forbidden) {
                    let text = format!(
                        "depends on `{forbidden}`: it is the other way round, take the dependency out"
                    );
                    findings.push(Finding::error(path, None, text));
                }
            }
            Err(fault) => {
                findings.push(Finding::error(
                    path,
                    None,
                    format!("does not parse as TOML: {}", fault.message()),
                ));
            }
        }
    }
    findings
}

/// Whether any table of dependencies, at any depth, names `forbidden`.
fn depends(table: &toml::Table, forbidden: &str) -> bool {
    table.iter().filter_map(|(key, value)| Some((key, value.as_table()?))).any(|(key, inner)| {
        let direct = key.ends_with("dependencies")
            && inner.iter().any(|(name, value)| {
                let package = value.get("package").and_then(toml::Value::as_str);
                package.unwrap_or(name) == forbidden
            });
        direct || depends(inner, forbidden)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(findings: Vec<Finding>) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_import_against_the_flow_is_an_error_with_what_is_allowed() {
        let tree = Tree::of(&[
            ("actors/src/agent/card.rs", "use crate::monitor::Event;"),
            (
                "actors/src/inbox/lane.rs",
                "use crate::agent::Priority;\nuse crate::{agent::Kind, router::Routes};",
            ),
            ("actors/src/monitor.rs", "fn f() {\n let _ = crate::registrar::Roster::new();\n}"),
            ("actors/src/router/mod.rs", "fn f() { println!(\"{}\", super::coordinator::X); }"),
        ]);
        assert_eq!(
            texts(imports(&tree)),
            [
                "error: actors/src/agent/card.rs:1: `agent` may not import `monitor` (`crate::monitor::Event`): \
                 it imports no room",
                "error: actors/src/inbox/lane.rs:2: `inbox` may not import `router` (`crate::router::Routes`): \
                 it may import agent, monitor",
                "error: actors/src/monitor.rs:2: `monitor` may not import `registrar` \
                 (`crate::registrar::Roster::new`): it may import agent",
                "error: actors/src/router/mod.rs:1: `router` may not import `coordinator` (`crate::coordinator::X`): \
                 it may import agent, inbox, supervisor, monitor",
            ]
        );
    }

    #[test]
    fn imports_with_the_flow_and_those_of_tests_pass() {
        let tree = Tree::of(&[
            ("actors/src/lib.rs", "pub mod agent; pub use router::Routes; pub use crate::monitor::Event;"),
            (
                "actors/src/agent/mod.rs",
                "use crate::audited::cell; use super::agent::name::X; #[cfg(test)] mod model;",
            ),
            ("actors/src/agent/model.rs", "use crate::initializer::Plan;"),
            ("actors/src/audited.rs", "use std::cell::Cell;"),
            ("actors/src/coordinator/queue.rs", "use crate::{agent::Kind, monitor::Event, router::Routes};"),
            (
                "actors/src/initializer/plan.rs",
                "use crate::registrar::Roster;\n#[cfg(test)] mod tests { use crate::coordinator::Queue; }",
            ),
            ("src/host.rs", "use phalanx_actors::{router::Routes, agent::Kind};"),
        ]);
        assert_eq!(texts(imports(&tree)), [""; 0]);
    }

    #[test]
    fn an_import_that_hides_its_room_and_a_room_nobody_knows_are_errors() {
        let tree = Tree::of(&[
            ("actors/src/inbox/lane.rs", "use crate::*;\nuse crate::Roster;"),
            ("actors/src/cellar/mod.rs", ""),
        ]);
        assert_eq!(
            texts(imports(&tree)),
            [
                "error: actors/src/cellar/mod.rs: `cellar` is no known room: put it into ROOMS or FLOOR of \
                 xtask/src/tidy/rooms.rs, or move the file",
                "error: actors/src/inbox/lane.rs:1: `crate::*` names no room: name the item by its room",
                "error: actors/src/inbox/lane.rs:2: `crate::Roster` names no room: name the item by its room",
            ]
        );
    }

    #[test]
    fn the_room_graph_has_no_cycle_and_names_only_its_own_rooms() {
        let mut done: Vec<&str> = Vec::new();
        while done.len() < ROOMS.len() {
            let next = ROOMS.iter().find(|(room, allowed)| {
                !done.contains(room) && allowed.iter().all(|other| done.contains(other))
            });
            done.push(next.unwrap_or_else(|| panic!("a cycle or an unknown room is left after {done:?}")).0);
        }
    }

    #[test]
    fn actors_depending_on_the_root_package_is_an_error_under_any_name() {
        for dependency in [
            "[dependencies]\nphalanx = { path = \"..\" }",
            "[dev-dependencies]\nhost = { path = \"..\", package = \"phalanx\" }",
            "[target.'cfg(unix)'.build-dependencies]\nphalanx.workspace = true",
        ] {
            assert_eq!(
                texts(dependencies(&Tree::of(&[("actors/Cargo.toml", dependency)]))),
                [
                    "error: actors/Cargo.toml: depends on `phalanx`: it is the other way round, take the dependency out"
                ]
            );
        }
    }

    #[test]
    fn actors_depending_on_others_passes_and_a_missing_manifest_does_not() {
        let fine = "[package]\nname = \"phalanx-actors\"\n[dependencies]\nactix = \"0.13\"\n";
        assert_eq!(texts(dependencies(&Tree::of(&[("actors/Cargo.toml", fine)]))), [""; 0]);
        assert_eq!(
            texts(dependencies(&Tree::of(&[]))),
            ["error: actors/Cargo.toml: is missing: its dependencies cannot be checked"]
        );
    }
}
