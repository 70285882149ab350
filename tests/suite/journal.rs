//! A journal of registration as hosts and the command keep it.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use phalanx::{
    HostError,
    journal::{Contents, Journal, JournalOptions},
    prelude::*,
    registrar::Status,
};
use serde_json::Value;

use crate::command::{Ended, ended};

struct Seller;

impl Actor for Seller {
    type Context = Context<Self>;
}
impl Supervised for Seller {}
impl Agent for Seller {
    fn card(&self) -> Card<Self> {
        Card::new().offers("sell")
    }
}

fn phalanx(folder: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
    ended(command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap())
}

/// A run of two runners, which takes an hour.
fn manifest(runners: u32) -> String {
    format!(
        r#"{{"name": "kept", "arbiters": 1, "registration": {{"journal": "kept.journal"}},
            "agents": [{{"kind": "runner", "id": "w/{{index}}", "count": {runners}}}],
            "tasks": [{{"id": "nap", "timeout": "2h", "do": {{"sleep": {{"for": "${{nap:-1ms}}"}}}}}}]}}"#
    )
}

#[test]
fn a_journal_is_kept_and_says_what_earlier_runs_left() {
    let folder = tempfile::tempdir().unwrap();
    let (path, journal) = (|name: &str| folder.path().join(name), folder.path().join("kept.journal"));
    let run = |arguments: &[&str]| phalanx(folder.path(), &[&["run", "m.json"], arguments].concat());
    fs::write(path("m.json"), manifest(2)).unwrap();
    let (code, out, _) = run(&["--simulate"]);
    assert_eq!((code, journal.exists()), (Some(0), false), "{out}");
    let (code, _, err) = run(&["--report", "kept.journal.json", "--trace", "kept.journal"]);
    assert_eq!(code, Some(2), "{err}");
    assert_eq!(err, "phalanx: the file kept.journal is the journal of registration; write to another one\n");

    let (code, out, err) = run(&[]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("the journal kept.journal held 0 agents and 0 requests of 0 earlier runs\n"),
        "{out}"
    );
    let (code, out, _) = run(&["--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    let kept = &report["registration"]["journal"];
    assert_eq!(
        (code, &kept["recovered_requests"], &kept["records"]),
        (Some(0), &2.into(), &4.into()),
        "{kept}"
    );
    assert_eq!((&kept["runs"], &kept["recovered_agents"]), (&1.into(), &0.into()), "they ended in order");

    // One that is killed leaves its agents registered.
    let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
    command.args(["run", "m.json", "--set", "nap=1h"]).current_dir(folder.path());
    let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let registered = || Contents::read(&journal, 99).map_or(0, |contents| contents.recovered.members.len());
    while registered() < 2 {
        assert!(killed.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    let (code, out, _) = phalanx(folder.path(), &["journal", "kept.journal"]);
    assert!(
        code == Some(0) && out.starts_with("kept.journal: whole, 13 records in 3 runs, in use\n"),
        "{out}"
    );
    let (code, _, err) = phalanx(folder.path(), &["run", "m.json"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("the journal kept.journal is in use by another host; end that"), "{err}");
    killed.kill().unwrap();
    killed.wait().unwrap();

    fs::write(path("m.json"), manifest(1)).unwrap();
    let (code, out, err) = run(&[]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("held 2 agents and 6 requests of 3 earlier runs\n"), "{out}");
    assert!(out.contains("  1 agent did not return: w/1\n"), "{out}");
    let (_, out, _) = phalanx(folder.path(), &["journal", "kept.journal"]);
    assert!(out.contains("1 agent registered\n  w/1, a runner: generation 0, run 3, record "), "{out}");
}

#[test]
fn the_command_shows_a_journal_names_damage_and_repairs_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("kept.journal");
    let phalanx = |arguments: &[&str]| phalanx(folder.path(), arguments);
    let (code, _, err) = phalanx(&["journal", "kept.journal"]);
    assert_eq!((code, &*err), (Some(4), "phalanx: there is no journal kept.journal; name another file\n"));
    fs::write(folder.path().join("m.json"), manifest(30)).unwrap();
    assert_eq!(phalanx(&["run", "m.json", "-q"]).0, Some(0));
    let (code, out, err) = phalanx(&["journal", "kept.journal"]);
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(out.starts_with("kept.journal: whole, 61 records in 1 run\n\n0 agents registered\n"), "{out}");
    assert!(out.contains("\n30 requests ended lately\n  request 30 for w/29: completed, "), "{out}");
    assert!(out.ends_with("  .. and 10 more; --json shows all\n"), "{out}");
    assert_eq!(phalanx(&["journal", "kept.journal", "-q"]), (Some(0), String::new(), String::new()));
    assert_eq!(phalanx(&["journal", "kept.journal", "--repair", "-q"]).0, Some(0), "nothing to repair");

    // Somewhere in the page of the first records.
    let mut file = fs::OpenOptions::new().write(true).open(&journal).unwrap();
    file.seek(SeekFrom::Start(2 * 4096 - 1000)).unwrap();
    file.write_all(&[0xaa; 4]).unwrap();
    drop(file);
    let before = fs::read(&journal).unwrap();
    let (code, out, err) = phalanx(&["journal", "kept.journal", "--json"]);
    let contents: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(3), "{out}");
    let (damage, records) = (&contents["damage"][0], contents["records"].as_u64().unwrap());
    assert_eq!(damage["file"], "kept.journal");
    let offset = damage["offset"].as_u64().unwrap();
    assert!((4096..2 * 4096).contains(&offset) && records < 60, "{contents:#}");
    let refused = contents["refused"].as_u64().unwrap();
    assert!(records > 10 && records + refused < 61, "{contents:#}");
    assert!(err.starts_with(&format!("phalanx: kept.journal at byte {offset}: ")), "{err}");
    assert!(err.contains("`phalanx journal kept.journal --repair` keeps a copy"), "{err}");
    let (code, _, err) = phalanx(&["run", "m.json"]);
    assert!(code == Some(1) && err.contains(&format!("kept.journal at byte {offset}: ")), "{err}");
    assert_eq!(fs::read(&journal).unwrap(), before, "nothing was changed");

    let (code, _, err) = phalanx(&["journal", "kept.journal", "--repair"]);
    assert!(code == Some(0) && err.ends_with("the damaged one is kept as kept.journal.damaged-1\n"), "{err}");
    assert_eq!(fs::read(folder.path().join("kept.journal.damaged-1")).unwrap(), before);
    let (code, out, _) = phalanx(&["journal", "kept.journal"]);
    assert!(code == Some(0) && out.starts_with("kept.journal: whole, "), "{out}");
    assert_eq!(phalanx(&["run", "m.json", "-q"]).0, Some(0));
}

/// Runs a program on a host that keeps a journal in this file.
fn on_host<P: Future<Output = ()>>(path: &Path, options: JournalOptions, program: impl FnOnce(Host) -> P) {
    System::new().block_on(async {
        let host = Host::builder().arbiters(1).journal_with(path, options).start().await.unwrap();
        program(host).await;
    });
}

#[test]
fn a_host_that_shuts_down_leaves_nobody_registered_and_one_that_is_dropped_says_who_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    on_host(&path, JournalOptions::default(), |host| async move {
        host.spawn("a", || Seller).await.unwrap();
        let report = host.shutdown(Duration::from_secs(5)).await.journal.unwrap();
        assert_eq!((report.records, report.refused), (2, 0), "it came, and it went");
    });
    assert_eq!(Contents::read(&path, 9).unwrap().recovered.members.len(), 0);

    // As after a kill: the files of a host that runs.
    let copied = folder.path().join("copy");
    let to = copied.clone();
    on_host(&path, JournalOptions::default(), |host| async move {
        host.spawn("a", || Seller).await.unwrap();
        host.spawn("b", || Seller).await.unwrap();
        let from = host.journal().unwrap().file;
        for end in ["", "-wal", "-shm"] {
            fs::copy(format!("{}{end}", from.display()), format!("{}{end}", to.display())).unwrap();
        }
        host.shutdown(Duration::from_secs(5)).await;
    });
    on_host(&copied, JournalOptions::default(), |host| async move {
        let before = host.journal().unwrap();
        assert_eq!((before.recovered_agents, before.recovered_requests, before.runs), (2, 3, 2));
        assert_eq!((before.unreturned, before.unreturned_first.len()), (2, 2));
        assert!(host.agent("a").is_err(), "nobody is there by itself");
        host.spawn("a", || Seller).await.unwrap();
        let cell = host.protocols().registrar_cell().clone();
        let generation =
            cell.with_roster(|roster| roster.get(&AgentId::new("a").unwrap()).unwrap().generation());
        assert_eq!(generation, 1, "one later than the one that was");
        let after = host.journal().unwrap();
        assert_eq!((after.unreturned, &*after.unreturned_first), (1, &[AgentId::new("b").unwrap()][..]));
        host.shutdown(Duration::from_secs(5)).await;
    });
}

#[test]
fn a_full_journal_refuses_agents_with_the_reason_and_the_host_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let options = JournalOptions { page_size: 512, max_pages: Some(8), ..JournalOptions::default() };
    let (tell, told) = std::sync::mpsc::channel();
    on_host(&path, options, |host| async move {
        let mut refused = 0;
        for number in 0..60 {
            if let Err(error) = host.spawn(format!("seller/{number}"), || Seller).await {
                let text = error.to_string();
                assert!(text.contains("the journal has no room to grow: make room on its disk"), "{text}");
                refused += 1;
            } else {
                tell.send(format!("seller/{number}")).unwrap();
            }
        }
        let report = host.journal().unwrap();
        let there = host.protocols().registrar_cell().with_roster(phalanx::registrar::Roster::len);
        assert!(refused > 10 && there + refused == 60, "{refused} refused, {there} there");
        host.protocols().registrar_cell().verify().unwrap();
        assert!(report.refused >= refused as u64, "{report:?}");
        // What does not fit is tried until then, and a second longer.
        let report = host.shutdown(Duration::from_millis(200)).await;
        assert!(report.ledger.balances() && report.ledger.pending == 0);
        assert!(report.journal.unwrap().closed);
    });
    // Those whose end could not be written are still there in it, and nobody else is.
    let contents = Contents::read(&path, 99).unwrap();
    assert_eq!(contents.damage, []);
    let answered: std::collections::BTreeSet<String> = told.iter().collect();
    let completed = contents.recovered.ended(|status| *status == Status::Completed);
    assert!(!answered.is_empty() && completed == answered.len(), "{completed} of {answered:?}");
    for member in contents.recovered.members {
        assert!(answered.contains(member.request.agent.as_str()), "{member:?}");
    }
}

#[test]
fn a_host_in_virtual_time_keeps_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    System::with_tokio_rt(move || runtime().unwrap()).block_on(async {
        let refused = Host::builder().simulated(7).journal(&path).start().await.unwrap_err();
        assert!(matches!(refused, HostError::JournalInVirtualTime), "{refused}");
        assert!(!path.exists());
    });
}

#[test]
fn a_host_does_not_start_over_a_journal_that_another_one_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let (journal, _) = Journal::open(&path, &JournalOptions::default()).unwrap();
    System::new().block_on(async {
        let refused = Host::builder().arbiters(1).journal(&path).start().await.unwrap_err().to_string();
        assert!(refused.ends_with("is in use by another host; end that, or name another file"), "{refused}");
        journal.close().await;
        Host::builder().arbiters(1).journal(&path).start().await.unwrap();
    });
}

/// Spawns so many agents at once. Answers how many came to be.
async fn crowd(host: Host, agents: usize) -> usize {
    let spawned = (0..agents).map(|number| host.spawn(format!("seller/{number}"), || Seller));
    futures_util::future::join_all(spawned).await.iter().filter(|agent| agent.is_ok()).count()
}

#[test]
fn a_host_that_shuts_down_writes_that_all_its_agents_are_gone_however_many_and_that_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    // Each group is a sync of its own, so that there is something to wait for.
    let options = JournalOptions { group: 1, ..JournalOptions::default() };
    on_host(&path, options, |host| async move {
        assert_eq!(crowd(host.clone(), 3_000).await, 3_000);
        assert!(!host.journal().unwrap().closed);
        let report = host.shutdown(Duration::from_secs(60)).await.journal.unwrap();
        assert_eq!((report.closed, report.refused), (true, 0));
        assert!(report.records >= 6_000, "{report:?}");
        assert_eq!(host.journal().unwrap(), report, "it is known afterwards, too");
    });
    assert_eq!(Contents::read(&path, 1 << 16).unwrap().recovered.members, []);
}

#[test]
fn a_host_that_shuts_down_while_agents_are_being_registered_leaves_none_of_them_registered() {
    let folder = tempfile::tempdir().unwrap();
    for turns in 0..24 {
        let path = folder.path().join(format!("j{turns}"));
        on_host(&path, JournalOptions { group: 1, ..JournalOptions::default() }, |host| async move {
            let starting = actix_rt::spawn(crowd(host.clone(), 20));
            for _ in 0..turns * turns {
                tokio::task::yield_now().await;
            }
            let report = host.shutdown(Duration::from_secs(20)).await.journal.unwrap();
            assert!(report.closed, "after {turns} turns: {report:?}");
            starting.await.unwrap();
        });
        let contents = Contents::read(&path, 99).unwrap();
        assert_eq!(contents.recovered.members, [], "after {turns} turns");
    }
}

#[test]
fn an_agent_whose_record_is_being_written_while_its_host_shuts_down_is_not_left_registered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let to = path.clone();
    on_host(&path, JournalOptions::default(), |host| async move {
        // Somebody holds the database, so the record waits.
        let other = rusqlite::Connection::open(&to).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let spawning = actix_rt::spawn({
            let host = host.clone();
            async move { host.spawn("a", || Seller).await.is_ok() }
        });
        while host.agent("a").is_err() {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let letting_go = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(400));
            other.execute_batch("COMMIT").unwrap();
        });
        let report = host.shutdown(Duration::from_secs(20)).await.journal.unwrap();
        assert!(report.closed && report.records == 2, "it came to be, and was undone: {report:?}");
        assert!(!spawning.await.unwrap());
        letting_go.join().unwrap();
    });
    let contents = Contents::read(&path, 99).unwrap();
    assert_eq!(contents.recovered.members, []);
    assert_eq!(contents.recovered.ended(|status| status.as_str() == "failed"), 1);
}
