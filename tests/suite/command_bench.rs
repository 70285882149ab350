//! `phalanx bench` as a shell sees it: how it ends, and what it writes where.

use std::{fs, process::Command};

use serde_json::Value;

use crate::command::{Ended, Folder, ended};

/// The heading of what differs between machines, which is last on a page.
const MACHINE: &str = "\n## This machine, without simulated ";

fn bench(folder: &Folder, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
    command.arg("bench").args(arguments).current_dir(folder.path("")).env_remove("RUST_LOG");
    ended(command.output().unwrap())
}

#[test]
fn it_lists_what_there_is() {
    let (code, out, err) = bench(&Folder::new(), &["--list"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("\n  multicast       1,000 multicasts to 5 nodes"), "{out}");
    let (code, help, _) = bench(&Folder::new(), &["--help"]);
    assert!(
        code == Some(0) && help.contains(&out) && help.contains("phalanx bench multicast --real"),
        "{help}"
    );
}

#[test]
fn alone_it_measures_all_there_is_one_after_the_other() {
    let folder = Folder::new();
    let (code, out, err) = bench(&folder, &["--exact", "--format", "json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let names: Vec<_> = phalanx::bench::ALL.iter().map(|bench| bench.name()).collect();
    for name in &names {
        assert!(err.lines().any(|line| line.contains(&format!("] {name}: virtual time, phalanx"))), "{err}");
    }
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["schema"], "phalanx-bench/1.0");
    let listed = found["benches"].as_array().unwrap().iter().map(|one| one["bench"].as_str().unwrap());
    assert_eq!(listed.collect::<Vec<_>>(), names);
    let (code, _, err) = bench(&folder, &["--exact", "--real"]);
    assert!(code == Some(2) && err.contains("cannot be used with"), "{err}");
}

#[test]
fn the_claim_of_multicasts_is_met_and_each_step_is_told_of() {
    let (code, out, err) = bench(&Folder::new(), &["multicast"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.starts_with("multicast: the claim of 12.8x is met\n") && !out.contains('\u{1b}'), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= phalanx::bench::WIDTH), "{out}");
    let steps: Vec<&str> = err.lines().collect();
    assert_eq!((steps.len(), steps[0]), (8, "[ 1/8] virtual time, one by one"), "{err}");
}

#[test]
fn json_holds_every_figure_and_is_all_that_standard_output_gets() {
    let folder = Folder::new();
    let (code, out, err) = bench(&folder, &["multicast", "--format", "json", "--quiet"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["schema"], "phalanx-bench-multicast/1.0");
    let phalanx = &found["exact"][0]["ways"][3];
    let taken =
        [&phalanx["way"], &phalanx["duration_us"], &phalanx["ledger"]["delivered"], &found["machine"]];
    assert_eq!(taken, [&"phalanx".into(), &100_000.into(), &5_000.into(), &Value::Null]);
    assert_eq!(bench(&folder, &["multicast", "--json", "-q"]).1, out, "the same again, byte for byte");
}

#[test]
fn quiet_says_nothing_when_the_claim_is_met() {
    assert_eq!(bench(&Folder::new(), &["multicast", "-q"]), (Some(0), String::new(), String::new()));
}

#[test]
fn the_pages_in_docs_are_what_the_command_writes() {
    let folder = Folder::new();
    let pages = [
        ("initialization", include_str!("../../docs/bench-initialization.md"), "1,000,000 tasks"),
        ("registration", include_str!("../../docs/bench-registration.md"), "1,000,000"),
        ("multicast", include_str!("../../docs/bench-multicast.md"), "100,000 agents"),
    ];
    assert_eq!(pages.len(), phalanx::bench::ALL.len());
    for (name, kept, measured) in pages {
        let (code, out, _) = bench(&folder, &[name, "-q", "--out", "page.md"]);
        assert_eq!((code, out.as_str()), (Some(0), ""));
        let exact = |page: &str| page.split_once(MACHINE).expect("the machine comes last").0.to_owned();
        assert_eq!(
            exact(kept),
            exact(&folder.read("page.md")),
            "write it anew with `phalanx bench {name} --real --out docs/bench-{name}.md`"
        );
        assert!(
            kept.contains(measured) && !kept.contains("without optimisation"),
            "docs/bench-{name}.md was made with --real"
        );
    }
}

#[test]
fn a_page_is_written_whole_or_not_at_all() {
    let folder = Folder::new();
    fs::create_dir(folder.path("d.md")).unwrap();
    for place in ["d.md", "no/such/page.json", "naps.json/page"] {
        let (code, out, err) = bench(&folder, &["multicast", "--real", "--out", place]);
        assert_eq!((code, out.as_str()), (Some(4), ""), "{err}");
        assert!(err.starts_with(&format!("phalanx: the page {place} cannot be written: ")), "{err}");
        assert_eq!(err.lines().count(), 1, "nothing was measured: {err}");
    }
    assert_eq!(folder.added(), ["d.md"]);
}
