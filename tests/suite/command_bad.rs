//! What a newcomer may do wrong, and what the command says to it: one message, its place, its mend and its exit code.

use std::{fs, process::Command};

use crate::command::{Folder, ended};

/// The manifests that the cases below name.
fn manifests(folder: &Folder) {
    let utf16: Vec<u8> = "\u{feff}{\"name\": \"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let many = r#"{"name": "a", "agents": [{"kind": "counter", "count": 1000000000000000000}, {"kind": "relay",
        "id": "r{index}", "count": 1e18, "parameters": {"to": "nowhere"}}], "faults": [{"kill": {"agent": "nobody"},
        "when": {"after": "99999999999999999999s"}}]}"#;
    let files: [(&str, &[u8]); 14] = [
        ("utf16.json", &utf16),
        ("utf16-without-mark.json", &utf16[2..]),
        ("latin1.json", b"{\"name\":\n \"caf\xe9\"}"),
        ("yaml.json", b"name: a\nagents:\n  - kind: counter\n"),
        ("array.json", b"[]"),
        ("null.json", b"null"),
        ("empty.json", b""),
        ("truncated.json", b"{\"name\": \"a\", \"agents\": [{\"kind\": \"coun"),
        ("deep.json", "[".repeat(100_000).leak().as_bytes()),
        ("many.json", many.as_bytes()),
        ("control.json", br#"{"name": "a\u001b[31m", "agents": [{"kind": "counter", "id": "a\u0007b"}]}"#),
        ("unknown.json", br#"{"name": "a", "agnets": [], "agents": [{"kind": "countr", "cuont": 3}]}"#),
        (
            "program.json",
            br#"{"name": "a", "agents": [{"kind": "runner"}],
            "tasks": [{"id": "t", "do": {"run": {"program": "no-such-program"}}}]}"#,
        ),
        ("variable.json", br#"{"name": "${who}", "agents": [{"kind": "runner", "count": "${n:-2}"}]}"#),
    ];
    for (name, bytes) in files {
        fs::write(folder.path(name), bytes).unwrap();
    }
    let big = fs::File::create(folder.path("big.json")).unwrap();
    big.set_len(100_000_000).unwrap();
    fs::create_dir(folder.path("directory")).unwrap();
}

#[test]
fn each_mistake_gets_its_message_and_its_exit_code() {
    let folder = Folder::new();
    manifests(&folder);
    for (name, arguments) in [
        ("utf16", "check utf16.json"),
        ("utf16-without-mark", "check utf16-without-mark.json"),
        ("latin1", "check latin1.json"),
        ("yaml", "check yaml.json"),
        ("array", "check array.json"),
        ("null", "check null.json"),
        ("empty", "check empty.json"),
        ("truncated", "check truncated.json"),
        ("deep", "check deep.json"),
        ("big", "check big.json"),
        ("absurd-counts", "check many.json"),
        ("control-characters", "check control.json"),
        ("unknown", "check unknown.json"),
        ("missing-program", "run program.json"),
        ("directory", "check directory"),
        ("no-file", "run nowhere.json"),
        ("no-value", "check variable.json"),
        ("set-without-value", "check variable.json --set who"),
        ("set-without-name", "check variable.json --set =x"),
        ("set-twice", "check variable.json --set who=a --set who=b"),
        ("set-unused", "check variable.json --set who=a --set m=b"),
        ("set-wrong", "check variable.json --set who=a --set n=many"),
        ("no-arguments-of-run", "run"),
        ("unknown-command", "rum naps.json"),
        ("unknown-option", "run naps.json --sede 3"),
        ("two-manifests", "run naps.json long.json"),
        ("seed", "run naps.json --seed many"),
        ("seed-too-large", "run naps.json --seed 18446744073709551616"),
        ("report-without-form", "run naps.json --report report.txt"),
        ("report-nowhere", "run naps.json --report no/such/report.json"),
        ("report-below-a-file", "run naps.json --report naps.json/report.json"),
        ("trace-nowhere", "run naps.json --trace no/such/trace.jsonl"),
        ("trace-directory", "run naps.json --trace directory"),
        ("bench-unknown", "bench multicats"),
        ("bench-format", "bench multicast --format xml"),
        ("bench-json-and-table", "bench multicast --json --format table"),
        ("bench-real-and-exact", "bench --real --exact"),
        ("bench-list-of-one", "bench multicast --list"),
        ("bench-out-nowhere", "bench multicast --out no/such/page.md"),
        ("trace-over-the-manifest", "run naps.json --trace naps.json"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
        command.args(arguments.split(' ')).current_dir(folder.path("")).env_remove("RUST_LOG");
        let (code, out, err) = ended(command.output().unwrap());
        assert_eq!(out, "", "{arguments}");
        let said = format!("$ phalanx {arguments}\n{err}exit code {}\n", code.expect("it ends by itself"));
        insta::with_settings!({ snapshot_suffix => name, omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!("mistake", said);
        });
    }
}
