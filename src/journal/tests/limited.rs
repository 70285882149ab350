//! A process whose files may not grow beyond a bound, so that a write of a group fails in its middle.

use std::process::{Command, Stdio};

use super::*;

const FILE: &str = "PHALANX_LIMITED_JOURNAL";

/// Writes groups until one is not written, and says how many were.
fn write_until_it_fails(path: &Path) -> ! {
    let (journal, _) = Journal::open(path, &small()).unwrap();
    let mut written = 0;
    let fault = loop {
        match append(&journal, (1..9).map(|one| registered(written * 8 + one)).collect()) {
            Ok(()) => written += 1,
            Err(fault) => break fault,
        }
    };
    assert!(
        matches!(&fault, Unrecorded::Broken(why) if why.contains("cannot be written any more")),
        "{fault}"
    );
    let next = append(&journal, vec![removed(1)]).unwrap_err();
    assert_eq!(next, fault, "it takes nothing more");
    println!("@{written}");
    // Nothing is put in order.
    std::process::abort();
}

#[test]
fn a_write_that_fails_in_its_middle_is_told_and_nothing_that_was_told_before_is_lost() {
    if let Some(path) = std::env::var_os(FILE) {
        write_until_it_fails(Path::new(&path));
    }
    let name = "journal::tests::limited::a_write_that_fails_in_its_middle_is_told_and_nothing_that_was_told_before_is_lost";
    // The index of the log takes 64 blocks of 512 bytes.
    for blocks in [70, 71, 90, 140] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        // A signal for each write beyond the bound is ignored, so that the write fails.
        let limited = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {name} --exact --nocapture --test-threads=1"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &limited]).arg(std::env::current_exe().unwrap()).env(FILE, &path);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let written = said.split_once('@').and_then(|(_, line)| line.lines().next()?.parse::<u64>().ok());
        let written = written.unwrap_or_else(|| panic!("{blocks} blocks: {said}{errors}"));
        assert!(written > 3, "{written}");
        let (journal, before) = Journal::open(&path, &small()).unwrap();
        // The group that failed is there as a whole, or not at all.
        let members = before.recovered.members.len() as u64;
        assert!(
            members == 8 * written || members == 8 * (written + 1),
            "{blocks} blocks: {members} of {written}"
        );
        append(&journal, vec![registered(9_999)]).unwrap();
        close(journal);
        assert_eq!(by_sqlite(&path).unwrap().len() as u64, members + 3);
    }
}
