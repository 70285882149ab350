//! `phalanx run` as a shell sees it: how it ends, and what it writes where.

use std::process::Stdio;

use serde_json::Value;

use crate::command::{Folder, ended};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn a_good_run_ends_with_zero_and_a_summary_on_standard_output() {
    let (code, out, err) = Folder::new().run(&["naps.json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    for part in
        ["naps: succeeded in ", "Start-up\n", "warm-up", "2 of 2 registered", "delivered", "completed"]
    {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(out.lines().all(|line| line.chars().count() <= 80) && !out.contains('\u{1b}'), "{out}");
    assert!(err.contains("tasks: 4 of 4 completed"), "{err}");
}

#[test]
fn json_is_all_that_standard_output_gets() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&["naps.json", "--json"]);
    let report = json(&out);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!((&report["schema"], &report["name"]), (&"phalanx-report/1.3".into(), &"naps".into()));
    let ledger = |key: &str| report["ledger"][key].as_u64().unwrap();
    let ended = ["delivered", "rejected", "dropped", "expired", "failed"].map(ledger);
    assert_eq!((ledger("sent"), ledger("pending")), (ended.iter().sum(), 0));
    assert!(ledger("delivered") >= 4, "{out}");
    assert_eq!(report["tasks"]["completed"], 4);
    let validator = jsonschema::validator_for(&phalanx::report::schema()).unwrap();
    assert!(validator.is_valid(&report), "{out}");
}

#[test]
fn quiet_says_nothing_but_what_failed() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["naps.json", "--quiet"]), (Some(0), String::new(), String::new()));
    let (code, out, err) = folder.run(&["failing.json", "-q"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("phalanx: ") && err.contains("no"), "{err}");
}

#[test]
fn a_failed_task_ends_with_one_and_is_named() {
    let (code, out, err) = Folder::new().run(&["failing.json"]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("failing: failed after") && out.contains("Failures\n"), "{out}");
    assert!(out.contains("  - no: "), "{out}");
}

#[test]
fn a_faulty_manifest_ends_with_three_before_anything_starts() {
    let folder = Folder::new();
    std::fs::write(folder.path("bad.json"), "{\"name\": \"x\", \"agent\": []}").unwrap();
    std::fs::write(folder.path("old.jsonl"), "kept").unwrap();
    let (code, out, err) = folder.run(&["bad.json", "--trace", "old.jsonl", "--report", "r.json"]);
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert!(err.starts_with("bad.json:1:15: ") && err.contains("agents"), "{err}");
    assert_eq!((folder.read("old.jsonl"), folder.path("r.json").exists()), ("kept".to_owned(), false));
}

#[test]
fn a_missing_manifest_ends_with_four() {
    let (code, out, err) = Folder::new().run(&["none.json"]);
    assert_eq!((code, out.as_str()), (Some(4), ""));
    assert!(err.contains("none.json cannot be read"), "{err}");
}

#[test]
fn a_wrong_command_line_ends_with_two_and_says_what_would_be_right() {
    let folder = Folder::new();
    for (arguments, parts) in [
        (&["naps.json", "--sead", "7"][..], &["--sead", "similar argument", "--seed"][..]),
        (&["naps.json", "--seed", "x"], &["--seed", "a whole number from 0 to"]),
        (&["naps.json", "--report", "r.txt"], &["r.txt", ".json", ".md"]),
        (&["naps.json", "--set", "x"], &["--set"]),
        (&["naps.json", "--trace", "t", "--report", "./naps.json"], &["./naps.json", "the manifest itself"]),
        (&["naps.json", "--trace", "naps.json"], &["naps.json", "the manifest itself"]),
        (&["naps.json", "--report", "a.md", "--report", "./a.md"], &["./a.md", "named twice"]),
        (&[], &["<MANIFEST>"]),
    ] {
        let (code, out, err) = folder.run(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(parts.iter().all(|part| err.contains(part)), "{arguments:?}: {err}");
    }
    assert_eq!(folder.added(), Vec::<String>::new());
    assert_eq!(folder.read("naps.json"), crate::command::NAPS);
}

#[test]
fn help_shows_every_option_with_its_default_and_examples() {
    let (code, out, err) = Folder::new().run(&["--help"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for option in ["--set", "--json", "--quiet", "--verbose", "--simulate", "--seed", "--trace", "--report"] {
        let text: String = out.split_once(option).unwrap().1.chars().take(400).collect();
        assert!(text.contains("[default"), "{option}: {text}");
    }
    assert!(out.contains("Examples:\n  phalanx run swarm.json\n"), "{out}");
}

#[test]
fn a_simulated_run_takes_no_real_time_and_looks_at_nothing_outside() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&["long.json", "--simulate", "--json"]);
    assert_eq!((code, &json(&out)["simulated"]), (Some(0), &true.into()), "{err}");
    let text = crate::command::FAILING.replace("\"sh\"", "\"/no/such/program\"");
    std::fs::write(folder.path("absent.json"), text).unwrap();
    assert_eq!(folder.run(&["absent.json"]).0, Some(3));
    let (code, out, err) = folder.run(&["absent.json", "--simulate"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("virtual time"), "{out}");
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_the_seed_it_was_given() {
    let folder = Folder::new();
    for trace in ["a.jsonl", "b.jsonl"] {
        let (code, out, err) =
            folder.run(&["naps.json", "--simulate", "--seed", "7", "--trace", trace, "--json"]);
        assert_eq!((code, &json(&out)["seed"]), (Some(0), &7.into()), "{err}");
    }
    assert!(folder.read("a.jsonl").lines().count() > 10);
    assert_eq!(folder.read("a.jsonl"), folder.read("b.jsonl"));
    assert_eq!(json(&folder.run(&["naps.json", "--simulate", "--json"]).1)["seed"], 3);
}

#[test]
fn two_runs_at_once_in_one_folder_do_not_disturb_each_other() {
    let folder = Folder::new();
    let start = |name: &str| {
        let (trace, report) = (format!("{name}.jsonl"), format!("{name}.json"));
        folder.command(&["naps.json", "--trace", &trace, "--report", &report]).spawn().unwrap()
    };
    let runs = ["a", "b"].map(start);
    for run in runs {
        let (code, out, err) = ended(run.wait_with_output().unwrap());
        assert_eq!(code, Some(0), "{out}{err}");
    }
    for name in ["a", "b"] {
        assert_eq!(json(&folder.read(&format!("{name}.json")))["tasks"]["completed"], 4);
        let trace = folder.read(&format!("{name}.jsonl"));
        for (at, line) in trace.lines().enumerate() {
            assert_eq!(json(line)["seq"], at + 1, "{line}");
        }
    }
    assert_eq!(folder.added(), ["a.json", "a.jsonl", "b.json", "b.jsonl"]);
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    for arguments in [&["naps.json"][..], &["naps.json", "--json"]] {
        let folder = Folder::new();
        let mut run = folder.command(arguments).stderr(Stdio::piped()).spawn().unwrap();
        drop(run.stdout.take());
        let (code, _, err) = ended(run.wait_with_output().unwrap());
        assert_eq!(code, Some(0), "{err}");
        assert!(!err.contains("panicked"), "{err}");
    }
    let folder = Folder::new();
    let mut run = folder.command(&["naps.json", "-vv"]).spawn().unwrap();
    drop(run.stderr.take());
    let (code, out, _) = ended(run.wait_with_output().unwrap());
    assert!(code == Some(0) && out.contains("naps: succeeded"), "{code:?} {out}");
}

#[test]
fn a_panic_of_an_agent_is_one_line_of_the_log_unless_a_backtrace_is_wanted() {
    let folder = Folder::new();
    let text = crate::command::NAPS.replace(
        "\"agents\"",
        r#""faults": [{"kill": {"agent": "runner/1"}, "when": {"tasks_completed": 0.5}}], "agents""#,
    );
    std::fs::write(folder.path("kill.json"), text).unwrap();
    let (code, out, err) = folder.run(&["kill.json"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("1 crash, 1 restart"), "{out}");
    assert!(!err.contains("panicked at") && err.contains("note: runner/1 crashed"), "{err}");
    let panics = |err: &str| err.lines().filter(|line| line.contains("phalanx::panic")).count();
    assert_eq!(panics(&err), 0);
    let (_, _, err) = folder.run(&["kill.json", "-v"]);
    assert_eq!((panics(&err), err.contains("panicked at")), (1, false), "{err}");
    let output = folder.command(&["kill.json"]).env("RUST_BACKTRACE", "1").output().unwrap();
    assert!(ended(output).2.contains("panicked at"));
}

#[test]
fn verbose_logs_what_happens_and_twice_its_details() {
    let folder = Folder::new();
    let lines = |arguments: &[&str], level: &str| {
        let (code, _, err) = folder.run(&[&["naps.json"], arguments].concat());
        assert_eq!(code, Some(0), "{err}");
        err.lines().filter(|line| line.contains(level)).count()
    };
    assert_eq!((lines(&[], " INFO "), lines(&["-q", "-v"], "")), (0, 0));
    assert!(lines(&["-v"], " INFO ") > 0 && lines(&["-v"], "DEBUG ") == 0);
    assert!(lines(&["-vv"], "DEBUG ") > 0);
    let output = folder.command(&["naps.json"]).env("RUST_LOG", "=,[[").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
