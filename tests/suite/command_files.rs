//! The files that `phalanx run` writes.

use std::fs;

use crate::command::Folder;

#[test]
fn reports_are_written_in_the_form_of_their_names() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&["naps.json", "--json", "--report", "r.json", "--report", "r.md"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(folder.read("r.json"), out);
    let page = folder.read("r.md");
    assert!(page.starts_with("# naps: succeeded in ") && page.contains("| --- | ---: |"), "{page}");
    assert_eq!(folder.added(), ["r.json", "r.md"]);
}

#[test]
fn a_report_of_a_failed_run_is_written_too() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["failing.json", "-q", "--report", "r.json"]).0, Some(1));
    let report: serde_json::Value = serde_json::from_str(&folder.read("r.json")).unwrap();
    assert_eq!((&report["outcome"], &report["tasks"]["failed"]), (&"failed".into(), &1.into()));
}

#[test]
fn a_report_that_cannot_be_written_ends_with_four_before_the_run_starts() {
    let folder = Folder::new();
    fs::create_dir(folder.path("d.json")).unwrap();
    for report in ["no/such/r.json", "d.json", "naps.json/r.md"] {
        let (code, out, err) = folder.run(&["long.json", "--report", report, "--trace", "t.jsonl"]);
        assert_eq!((code, out.as_str()), (Some(4), ""), "{err}");
        assert!(err.starts_with(&format!("phalanx: the report {report} cannot be written: ")), "{err}");
    }
    assert_eq!(folder.added(), ["d.json"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_nobody_may_write_to_ends_with_four() {
    // Holds for every user, the one who may write everywhere included.
    let (code, out, err) = Folder::new().run(&["long.json", "--report", "/proc/r.json"]);
    assert_eq!((code, out.as_str()), (Some(4), ""), "{err}");
    assert!(err.starts_with("phalanx: the report /proc/r.json cannot be written: "), "{err}");
}

#[test]
fn a_trace_that_cannot_be_made_ends_with_four_before_the_run_starts() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&["long.json", "--trace", "no/such/t.jsonl"]);
    assert_eq!((code, out.as_str()), (Some(4), ""), "{err}");
    assert!(err.starts_with("phalanx: the trace no/such/t.jsonl cannot be written: "), "{err}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_with_four() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&["naps.json", "--trace", "/dev/full"]);
    assert!(code == Some(4) && err.contains("phalanx: the trace cannot be written: "), "{code:?} {err}");
    assert!(err.contains("make room, or choose another file than /dev/full\n"), "{err}");
    assert!(out.contains("naps: succeeded in "), "{out}");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = folder.command(&["naps.json"]).stdout(full).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(4) && err.contains("standard output cannot be written"), "{err}");
}

#[test]
fn the_schema_of_the_report_is_printed() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_phalanx"));
    let output = command.args(["schema", "--report"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, phalanx::report::schema());
}
