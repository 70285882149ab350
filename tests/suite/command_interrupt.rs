//! ctrl-C, as a shell sends it.
#![cfg(unix)]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, Command},
    time::{Duration, Instant},
};

use crate::command::{Folder, ended};

/// A run that has begun its long task.
struct Running {
    child: Child,
    err: BufReader<ChildStderr>,
}

impl Running {
    fn start(folder: &Folder, arguments: &[&str]) -> Self {
        let mut child = folder.command(arguments).spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self { child, err };
        running.until("tasks: 0 of ");
        running
    }

    /// Reads standard error up to a line that holds this.
    fn until(&mut self, part: &str) {
        let mut seen = String::new();
        while !seen.lines().last().is_some_and(|line| line.contains(part)) {
            assert_ne!(self.err.read_line(&mut seen).unwrap(), 0, "no {part} in {seen}");
        }
    }

    fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn end(self) -> (Option<i32>, String) {
        let Self { child, mut err } = self;
        // Whoever is not read from might wait for it.
        let reader = std::thread::spawn(move || std::io::copy(&mut err, &mut std::io::sink()));
        let (code, out, _) = ended(child.wait_with_output().unwrap());
        reader.join().unwrap().unwrap();
        (code, out)
    }
}

#[test]
fn ctrl_c_drains_reports_and_ends_with_130() {
    let folder = Folder::new();
    for signal in ["INT", "TERM"] {
        let began = Instant::now();
        let mut running = Running::start(&folder, &["long.json", "--report", "r.json"]);
        running.signal(signal);
        running.until("phalanx: interrupted: draining");
        running.until("draining");
        let (code, out) = running.end();
        assert_eq!(code, Some(130), "{signal}: {out}");
        assert!(out.starts_with("long: interrupted after "), "{signal}: {out}");
        let report: serde_json::Value = serde_json::from_str(&folder.read("r.json")).unwrap();
        assert_eq!(report["outcome"], "interrupted");
        assert_eq!((&report["ledger"]["pending"], &report["tasks"]["cancelled"]), (&0.into(), &1.into()));
        // The task takes an hour.
        assert!(began.elapsed() < Duration::from_secs(300));
        std::fs::remove_file(folder.path("r.json")).unwrap();
    }
}

#[test]
fn a_second_ctrl_c_stops_at_once_whatever_the_run_waits_for() {
    let folder = Folder::new();
    // A report too long for a pipe that nobody reads: the first ctrl-C cannot end the process.
    let text = crate::command::LONG.replace("\"long\"", &format!("\"{}\"", "long".repeat(100_000)));
    std::fs::write(folder.path("wordy.json"), text).unwrap();
    let mut running =
        Running::start(&folder, &["wordy.json", "--json", "--trace", "t.jsonl", "--report", "r.md"]);
    running.signal("INT");
    running.until("phalanx: interrupted: draining");
    // From its first letter on, it writes and waits.
    let mut out = running.child.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    assert_eq!(running.child.try_wait().unwrap(), None);
    running.signal("INT");
    assert_eq!(running.child.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(!rest.ends_with("}\n"), "the whole report was written");
    assert_eq!(folder.added(), ["r.md", "t.jsonl", "wordy.json"]);
}
