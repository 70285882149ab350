//! Every file of `tests/manifests/bad` has its faults, each with its place and its mend.

use std::{fs, path::PathBuf};

use phalanx::manifest::{self, Faults, LoadError, Manifest, Palette, Variables};

/// The manifests of a folder of `tests/manifests`, by name.
pub(crate) fn manifests(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(PathBuf::from("tests/manifests").join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn faults_of(path: &str) -> Faults {
    match manifest::check(path.as_ref(), &Variables::default()) {
        Err(LoadError::Faulty(faults)) => faults,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn each_bad_manifest_has_its_expected_faults() {
    for path in manifests("bad") {
        let faults = faults_of(path.to_str().unwrap());
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        insta::with_settings!({ snapshot_suffix => name, omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!("bad", faults.plain());
        });
    }
}

#[test]
fn faults_are_sorted_and_lie_inside_their_file() {
    for path in manifests("bad") {
        let faults = faults_of(path.to_str().unwrap());
        let lines = String::from_utf8_lossy(&fs::read(&path).unwrap()).lines().count().max(1);
        let places: Vec<_> = faults.list().iter().map(|fault| (fault.line, fault.column)).collect();
        assert!(places.is_sorted(), "{faults:?}");
        assert!(places.iter().all(|(line, column)| (1..=lines).contains(line) && *column >= 1), "{faults:?}");
        assert!(faults.list().iter().all(|fault| !fault.help.is_empty()), "{faults:?}");
    }
}

#[test]
fn each_good_manifest_is_taken_and_reads_back_from_its_own_json() {
    for path in manifests("good") {
        let manifest = manifest::check(&path, &Variables::default()).unwrap();
        let text = manifest.to_json().to_string();
        assert_eq!(Manifest::parse(&text, "again.json", &Variables::default()).unwrap(), manifest);
    }
}

#[test]
fn dependencies_are_resolved_to_entries_with_patterns_and_ids_alike() {
    let manifest =
        manifest::load("tests/manifests/good/everything.json".as_ref(), &Variables::default()).unwrap();
    let ids: Vec<&str> = manifest.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["part-{index}", "hash", "list", "end"]);
    assert_eq!(manifest.task_dependencies(), [vec![], vec![], vec![0], vec![0, 1]]);
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let text = "\u{feff}{\"name\": \"a\"}";
    assert_eq!(Manifest::parse(text, "bom.json", &Variables::default()).unwrap().name, "a");
}

#[test]
fn a_variable_that_is_not_used_or_not_set_names_its_nearest() {
    let mut variables = Variables::default();
    variables.set("rot", "src").unwrap();
    let text = r#"{"name": "${root}-${run:-1}"}"#;
    insta::assert_snapshot!(Manifest::parse(text, "m.json", &variables).unwrap_err().plain(), @r"
    m.json:1:1: unused-variable: the variable `rot` is set but the manifest does not use it (did you mean `root`, which the manifest uses?)
    m.json:1:11: unknown-variable: the variable `root` has no value (did you mean `rot`, which --set gives?)
    ");
}

#[test]
fn a_value_cannot_change_the_shape_of_the_manifest() {
    let mut variables = Variables::default();
    variables.set("name", "a\", \"seed\": \"1\", \"${x}").unwrap();
    let manifest = Manifest::parse(r#"{"name": "${name}"}"#, "m.json", &variables).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.seed), ("a\", \"seed\": \"1\", \"${x}", 0));
}

#[test]
fn a_faulty_entry_does_not_make_those_that_refer_to_it_faulty() {
    let text = r#"{"name": "a", "agents": [{"kind": "runner"}], "tasks": [
        {"id": "one", "retries": -1, "do": {"sleep": {"for": "1s"}}},
        {"id": "two", "depends_on": ["one"], "do": {"sleep": {"for": "1s"}}}]}"#;
    assert_eq!(Manifest::parse(text, "m.json", &Variables::default()).unwrap_err().total(), 1);
}

#[test]
fn a_picture_shows_the_line_and_tames_what_could_steer_a_terminal() {
    let faults = faults_of("tests/manifests/bad/raw-control-character.json");
    let picture = faults.picture(Palette::Plain, 80);
    assert!(!picture.contains('\u{1b}'), "{picture}");
    insta::assert_snapshot!(picture);
    let colours = faults.picture(Palette::Colours, 80);
    assert!(colours.contains('\u{1b}') && !colours.contains("\u{1b}[31m alert"), "{colours:?}");
}

#[test]
fn pictures_show_each_fault_by_itself_with_its_line() {
    insta::assert_snapshot!(faults_of("tests/manifests/bad/cycles.json").picture(Palette::Plain, 100));
}

#[test]
fn a_picture_of_a_very_long_line_shows_a_window_of_it() {
    let text = format!("{{\"name\": \"a\", \"description\": \"{}\", \"sed\": 1}}", "x".repeat(100_000));
    let faults = Manifest::parse(&text, "m.json", &Variables::default()).unwrap_err();
    let picture = faults.picture(Palette::Plain, 100);
    assert!(
        picture.len() < 1_000 && picture.contains("m.json:1:100034") && picture.contains("\"sed\": 1"),
        "{picture}"
    );
}
