//! `phalanx plan` as a shell sees it: the text, the JSON, the pictures, and that what is foretold is what happens.

use std::{fs, path::Path, process::Command};

use phalanx::{
    manifest::{self, Variables},
    plan::Outlook,
    swarm::{self, RunOptions, Stop},
};
use serde_json::Value;

use crate::command::{Ended, ended};

const SERVICES: &str = "tests/manifests/good/services.json";

fn plan(arguments: &[&str]) -> Ended {
    ended(Command::new(env!("CARGO_BIN_EXE_phalanx")).arg("plan").args(arguments).output().unwrap())
}

#[test]
fn the_plan_of_a_manifest_is_shown_as_text_and_drawn_as_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |name: &str| folder.path().join(name).display().to_string();
    let [svg, dot, mermaid] = ["a.svg", "a.dot", "a.mmd"].map(picture);
    let pictures = ["--picture", &svg, "--picture", &dot, "--picture", &mermaid];
    let (code, out, err) = plan(&[&[SERVICES], &pictures[..]].concat());
    assert_eq!((code, &*err), (Some(0), ""));
    let snapshot = |form: &str, text: String| {
        insta::with_settings!({ snapshot_suffix => form, omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!("plan", text);
        });
    };
    snapshot("text", out);
    let read = |path: &str| fs::read_to_string(path).unwrap();
    snapshot("dot", read(&dot));
    snapshot("mermaid", read(&mermaid));
    let svg = read(&svg);
    assert!(svg.starts_with("<svg") && svg.contains("migrate &quot;accounts&quot; &lt;v2&gt;"), "{svg}");
}

#[test]
fn what_is_foretold_is_what_happens_in_virtual_time() {
    let manifest = manifest::load(Path::new(SERVICES), &Variables::default()).unwrap();
    let foretold = Outlook::of(&manifest).to_json();
    let options = RunOptions { simulate: true, ..RunOptions::default() };
    let report = swarm::run(&manifest, options, |_| {}, Stop::default()).unwrap();
    let startup = report.startup.unwrap();
    assert_eq!(foretold["makespan_us"], startup.duration_us);
    for (phase, span) in startup.phases.iter().zip(foretold["phases"].as_array().unwrap()) {
        assert_eq!(span["phase"], phase.phase.as_str());
        assert_eq!((span["start_us"].as_u64(), span["end_us"].as_u64()), (phase.started_us, phase.ended_us));
    }
    assert!(foretold["bound_us"].as_u64() <= foretold["makespan_us"].as_u64());
}

#[test]
fn a_manifest_without_start_up_tasks_has_a_plan_without_a_schedule() {
    let (code, out, _) = plan(&["tests/manifests/good/minimal.json"]);
    assert_eq!((code, out.lines().count()), (Some(0), 1), "{out}");
    let (_, json, _) = plan(&["--json", "tests/manifests/good/minimal.json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["makespan_us"].as_u64(), json["tasks"].as_array().map(Vec::len)), (Some(0), Some(0)));
}

#[test]
fn a_picture_of_no_known_form_and_one_that_cannot_be_written_are_refused() {
    let (code, _, err) = plan(&[SERVICES, "--picture", "a.png"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("it ends in none of .svg, .dot and .mmd"), "{err}");
    let (code, out, err) = plan(&[SERVICES, "--picture", "no/such/folder/a.svg"]);
    assert_eq!((code, &*out), (Some(4), ""));
    assert!(err.starts_with("phalanx: the picture no/such/folder/a.svg cannot"), "{err}");
    assert_eq!(plan(&["tests/manifests/bad/phase-inversion.json"]).0, Some(3));
}

#[test]
fn the_picture_in_the_documentation_is_that_of_the_example() {
    let manifest =
        manifest::load(Path::new("examples/datacenter/swarm.json"), &Variables::default()).unwrap();
    let drawn = fs::read_to_string("docs/startup.svg").unwrap();
    assert!(drawn == Outlook::of(&manifest).svg(), "draw it anew, as docs/startup.md says");
}

#[test]
fn the_plan_in_the_readme_is_how_that_of_the_example_begins() {
    let readme = fs::read_to_string("README.md").unwrap();
    let shown = readme.split_once("-- plan examples/datacenter/swarm.json\n").expect("it is shown").1;
    let shown = shown.split_once("  ...\n").expect("it is cut short").0;
    let (_, out, _) = plan(&["examples/datacenter/swarm.json"]);
    assert!(shown.lines().count() > 20 && out.starts_with(shown), "{out}");
}

#[test]
fn a_second_start_is_planned_by_what_the_first_took() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = r#"{"name": "n", "startup": {"estimates": "known.json", "tasks": [
        {"id": "a", "estimate": "5s", "do": {"sleep": {"for": "10ms"}}},
        {"id": "b", "estimate": "4s", "depends_on": ["a"], "do": {"read_file": {"path": "m.json"}}}]}}"#;
    fs::write(path("m.json"), text).unwrap();
    let phalanx = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
        ended(command.args(arguments).current_dir(folder.path()).output().unwrap())
    };
    let makespan = || {
        let (_, json, _) = phalanx(&["plan", "m.json", "--json"]);
        serde_json::from_str::<Value>(&json).unwrap()["makespan_us"].as_u64().unwrap()
    };
    let known =
        || -> Value { serde_json::from_str(&fs::read_to_string(path("known.json")).unwrap()).unwrap() };
    assert_eq!(makespan(), 9_000_000, "nothing is known yet");
    assert_eq!(phalanx(&["run", "m.json", "--simulate"]).0, Some(0));
    assert!(!path("known.json").exists(), "virtual time teaches nothing");
    for runs in [1, 2] {
        assert_eq!(phalanx(&["run", "m.json"]).0, Some(0));
        let tasks = &known()["tasks"];
        let mean = |task: &str| tasks[task]["mean_us"].as_u64().unwrap();
        assert_eq!((&tasks["a"]["runs"], &tasks["b"]["runs"]), (&runs.into(), &runs.into()));
        assert!(mean("a") >= 10_000 && makespan() == mean("a") + mean("b"), "{tasks}");
    }
    let (code, _, err) = phalanx(&["run", "m.json", "--report", "known.json"]);
    assert_eq!(
        (code, &*err),
        (Some(2), "phalanx: the file known.json keeps the estimates of start-up; write to another one\n")
    );
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("d.json"), text.replace("known.json", "folder")).unwrap();
    let (code, _, err) = phalanx(&["plan", "d.json"]);
    assert!(code == Some(4) && err.contains("folder cannot be read: it is no regular file"), "{err}");
    fs::write(path("known.json"), "[]").unwrap();
    let (code, out, err) = phalanx(&["plan", "m.json"]);
    assert_eq!((code, &*out), (Some(4), ""));
    assert!(err.starts_with("phalanx: known.json holds no estimates of start-up tasks: "), "{err}");
    let (code, out, _) = phalanx(&["run", "m.json"]);
    assert!(
        code == Some(0) && out.contains("start-up is planned by the manifest alone: known.json"),
        "{out}"
    );
    assert_eq!(fs::read_to_string(path("known.json")).unwrap(), "[]", "it may be somebody else's");
}
