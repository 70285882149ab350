//! `phalanx check` and `phalanx schema` as a shell sees them: what they write where, and how they end.

use std::process::{Command, Output};

fn phalanx(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_phalanx")).args(arguments).output().unwrap()
}

fn ends(output: &Output) -> (Option<i32>, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const GOOD: &str = "tests/manifests/good/checksum.json";
const BAD: &str = "tests/manifests/bad/duplicate-keys.json";

#[test]
fn a_good_manifest_ends_with_zero_and_one_line() {
    let line = "checksum: no faults; 2 start-up tasks, 51 agents, 1 topic, 2 task entries\n";
    assert_eq!(ends(&phalanx(&["check", GOOD])), (Some(0), line, ""));
    assert_eq!(ends(&phalanx(&["check", "--quiet", GOOD])), (Some(0), "", ""));
    assert_eq!(ends(&phalanx(&["check", "--json", GOOD])), (Some(0), "[]\n", ""));
}

#[test]
fn set_fills_placeholders_and_a_value_is_checked_like_any_other() {
    let output = phalanx(&["check", GOOD, "--set", "agents=8"]);
    assert!(ends(&output).1.contains(" 9 agents,"), "{output:?}");
    let output = phalanx(&["check", GOOD, "--set", "agents=0"]);
    assert_eq!(
        ends(&output),
        (
            Some(3),
            "",
            "tests/manifests/good/checksum.json:14:33: out-of-range: `count` is `0` (a whole number from 1 to 10000000 \
             is expected)\n"
        )
    );
}

#[test]
fn a_faulty_manifest_ends_with_three_and_plain_lines_when_nobody_watches() {
    let output = phalanx(&["check", BAD]);
    let (code, out, err) = ends(&output);
    assert_eq!((code, out), (Some(3), ""));
    assert_eq!(err.lines().count(), 3);
    assert_eq!(
        err.lines().next().unwrap(),
        "tests/manifests/bad/duplicate-keys.json:4:3: duplicate-key: the key `seed` stands twice, first on line 3 \
         (keep one of them)"
    );
}

#[test]
fn json_lists_the_faults_on_standard_output() {
    let output = phalanx(&["check", BAD, "--json"]);
    let (code, out, err) = ends(&output);
    assert_eq!((code, err), (Some(3), ""));
    let faults: serde_json::Value = serde_json::from_str(out).unwrap();
    assert_eq!(faults.as_array().unwrap().len(), 3);
    assert_eq!(
        faults[0],
        serde_json::json!({
            "file": BAD, "line": 4, "column": 3, "code": "duplicate-key",
            "message": "the key `seed` stands twice, first on line 3", "help": "keep one of them",
        })
    );
}

#[test]
fn an_unreadable_manifest_ends_with_four() {
    assert_eq!(
        ends(&phalanx(&["check", "no/such.json"])),
        (
            Some(4),
            "",
            "phalanx: the manifest no/such.json cannot be read: it is not there; check the path and its permissions\n"
        )
    );
    assert_eq!(
        ends(&phalanx(&["check", "tests"])),
        (Some(4), "", "phalanx: the manifest tests is a directory; name the JSON file in it\n")
    );
}

#[test]
fn a_wrong_command_line_ends_with_two() {
    for arguments in [
        &["check"][..],
        &["check", GOOD, "--set", "agents"],
        &["check", GOOD, "--set", "1=2"],
        &["check", GOOD, "--set", "agents=1", "--set", "agents=2"],
        &["no-such-command"],
        &[],
    ] {
        let output = phalanx(arguments);
        let (code, out, err) = ends(&output);
        assert_eq!((code, out), (Some(2), ""), "{arguments:?}");
        assert!(!err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_end_with_zero_on_standard_output() {
    for argument in ["--help", "--version"] {
        let output = phalanx(&[argument]);
        let (code, out, err) = ends(&output);
        assert_eq!((code, err), (Some(0), ""));
        assert!(out.contains("phalanx"), "{out}");
    }
}

#[test]
fn the_schema_is_printed_as_json() {
    let output = phalanx(&["schema"]);
    let (code, out, err) = ends(&output);
    assert_eq!((code, err), (Some(0), ""));
    assert_eq!(serde_json::from_str::<serde_json::Value>(out).unwrap(), phalanx::manifest::schema());
}
