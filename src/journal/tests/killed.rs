//! A process that registers agents and is killed with SIGKILL, again and again, over one journal.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
};

use actix::{Actor, Context, Supervised};
use actix_rt::System;
use phalanx_actors::{
    agent::{Agent, Card, Priority},
    inbox::{AgentHandle, AgentRef, HubConfig},
    registrar::{Delist, Enlist, Enlistment, Registrar, RegistrarCell, RegistrarOptions, Rules},
    router::{Arbiters, ArbitersConfig, Directory, Router},
    supervisor::SpawnOptions,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

const FILE: &str = "PHALANX_KILLED_JOURNAL";
const SEED: &str = "PHALANX_KILLED_SEED";
const ROUNDS: u64 = 100;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
/// How many requests are kept where snapshots are made all the time.
const FEW: usize = 60;

struct Seller;

impl Actor for Seller {
    type Context = Context<Self>;
}
impl Supervised for Seller {}
impl Agent for Seller {
    fn card(&self) -> Card<Self> {
        Card::new().offers("sell").with("note", "n")
    }
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    out.write_all(format!("@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

async fn spawn(arbiters: &Arbiters, names: &[String]) -> Vec<AgentHandle> {
    let ids = names.iter().map(|name| AgentId::new(name).unwrap()).collect();
    let agents = arbiters.spawn_many(ids, |_| Seller, SpawnOptions::default()).await.unwrap();
    agents.iter().map(AgentRef::handle).collect()
}

/// Where a snapshot is made, and the log carried over, every moment, out of a cache that has no room for either.
fn tight() -> JournalOptions {
    let tight = Tight { pages: 6, log: 20_000, snapshot: 30, dies_at: 0 };
    JournalOptions { remember: FEW, tight: Some(tight), ..small() }
}

/// Registers agents, some of whom were there before, and removes some, until the process is killed. Each answer is printed,
/// and each removal before it is asked for.
async fn register_for_ever(path: &Path, mut options: JournalOptions, mut random: StdRng) {
    if let Some(tight) = &mut options.tight {
        // Half of them die by themselves.
        tight.dies_at = if random.random() { random.random_range(1..400) } else { 0 };
    }
    let arbiters = Arbiters::start(ArbitersConfig::Here, HubConfig::default()).await;
    let router = Router::new(Directory::new(arbiters.hub())).start();
    let leaves_most = options.tight.is_some();
    let (journal, before) = Journal::open(path, &options).unwrap();
    let run = before.recovered.run + 1;
    let options = RegistrarOptions::default();
    let cell = RegistrarCell::recording(options, Rules::default(), journal.recorder(), before.recovered);
    let hub = arbiters.hub().clone();
    let registrar =
        Registrar::new(cell.clone(), router, Arc::new(move || hub.now()), Arc::new(|_| ())).start();
    let mut back: Vec<String> =
        cell.unreturned().iter().map(|member| member.request.agent.to_string()).collect();
    back.truncate(random.random_range(0..6));
    for round in 0.. {
        let (mut answers, mut here) = (Vec::new(), Vec::new());
        for call in 0..random.random_range(1..4) {
            let mut names: Vec<String> =
                (0..random.random_range(1..8)).map(|n| format!("r{run}/{round}/{call}/{n}")).collect();
            names.extend(back.pop());
            here.extend(names.iter().cloned());
            let agents = spawn(&arbiters, &names).await;
            let enlistment = |agent: &AgentHandle| Enlistment {
                request: Request::of(cell.next_request(), agent, Priority::Normal, Timestamp::ZERO),
                agent: agent.clone(),
            };
            let asked = registrar.send(Enlist(agents.iter().map(enlistment).collect()));
            answers.push(actix_rt::spawn(async move {
                for request in asked.await.unwrap() {
                    assert_eq!(*request.status(), Status::Completed);
                    say(&format!("registered {} {}", request.id.0, request.agent));
                }
            }));
        }
        for answer in answers {
            answer.await.unwrap();
        }
        let mut leaving = vec![format!("r{run}/{round}/0/0")];
        if leaves_most {
            leaving = here.into_iter().filter(|_| random.random_ratio(31, 32)).collect();
        }
        for agent in &leaving {
            say(&format!("leaving {agent}"));
        }
        let ids = leaving.iter().map(|agent| AgentId::new(agent).unwrap()).collect();
        assert_eq!(registrar.send(Delist(ids)).await.unwrap(), leaving.len());
        for agent in &leaving {
            say(&format!("gone {agent}"));
        }
    }
}

fn start(path: &Path, seed: u64, test: &str) -> Child {
    let name = format!("journal::tests::killed::{test}");
    Command::new(std::env::current_exe().unwrap())
        .args([&*name, "--exact", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .env(SEED, seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets a process work until it has said so many lines and some time has passed, kills it, and answers all it said.
fn kill_after(mut child: Child, lines: usize, more: Duration) -> Vec<String> {
    let (tell, told) = mpsc::channel();
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            // A line may stand behind what the harness says.
            if let Some((_, said)) = line.split_once('@') {
                _ = tell.send(said.to_owned());
            }
        }
    });
    let mut said = Vec::new();
    while said.len() < lines {
        match told.recv_timeout(Duration::from_secs(20)) {
            Ok(line) => said.push(line),
            Err(_) => break,
        }
    }
    if said.len() == lines {
        said.extend(told.recv_timeout(more));
    }
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    reader.join().unwrap();
    said.extend(told.try_iter());
    let errors = String::from_utf8_lossy(&output.stderr);
    let is_right = match output.status.signal() {
        Some(SIGKILL) => said.len() >= lines,
        // Within a snapshot.
        ended => ended == Some(SIGABRT),
    };
    assert!(is_right, "it ended by itself: {:?} {errors}\n{said:?}", output.status);
    said
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Registered,
    Leaving,
    Gone,
}

/// What was said of each agent and each request.
#[derive(Default)]
struct Said {
    agents: BTreeMap<String, Known>,
    requests: BTreeMap<u64, String>,
    /// The numbers of the latest requests.
    latest: Vec<u64>,
}

impl Said {
    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["registered", request, agent] => {
                let number = request.parse().unwrap();
                let first = self.requests.insert(number, agent.to_owned());
                assert_eq!(first, None, "{line} is said twice");
                self.latest.push(number);
                self.agents.insert(agent.to_owned(), Known::Registered);
            }
            ["leaving", agent] => _ = self.agents.insert(agent.to_owned(), Known::Leaving),
            ["gone", agent] => _ = self.agents.insert(agent.to_owned(), Known::Gone),
            _ => panic!("{line}"),
        }
    }

    /// Those are registered who were told so, each once, and nobody who was told to be gone.
    fn judge_members(&self, contents: &Contents, round: u64) {
        let mut members = std::collections::BTreeSet::new();
        for member in &contents.recovered.members {
            assert!(members.insert(member.request.agent.as_str()), "round {round}: {member:?} twice");
        }
        for (agent, known) in &self.agents {
            let is_there = members.contains(agent.as_str());
            let is_right = *known == Known::Leaving || is_there == (*known == Known::Registered);
            assert!(is_right, "round {round}: {agent} is {known:?}, in the roster: {is_there}");
        }
    }
}

/// Lets processes work over one journal and kills them; `judge` looks at what each leaves.
fn kill_again_and_again(
    test: &str,
    options: JournalOptions,
    mut judge: impl FnMut(u64, &Path, &Files, &Said),
) -> Said {
    let seed: u64 = std::env::var(SEED).map_or(7, |seed| seed.parse().unwrap());
    if let Some(path) = std::env::var_os(FILE) {
        // This is the process that is killed.
        System::new().block_on(register_for_ever(Path::new(&path), options, StdRng::seed_from_u64(seed)));
        unreachable!("it goes on until it is killed");
    }
    println!("repeat with {SEED}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let most = if options.tight.is_some() { 120 } else { 60 };
    let mut said = Said::default();
    for round in 0..ROUNDS {
        let lines = if random.random_ratio(1, 10) { 0 } else { random.random_range(1..most) };
        let more = Duration::from_micros(random.random_range(0..4_000));
        for line in kill_after(start(&path, random.random(), test), lines, more) {
            said.take(&line);
        }
        if let Some(files) = Files::read(&path).unwrap() {
            judge(round, &path, &files, &said);
        }
    }
    assert!(said.requests.len() as u64 > 10 * ROUNDS, "too few to say anything");
    said
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let (mut before, mut unfinished) = (Vec::<(u64, Record)>::new(), 0);
    let said = kill_again_and_again(
        "nothing_acknowledged_is_lost_by_kill_9",
        small(),
        |round, path, files, said| {
            let (contents, taken) = files.contents(path, Intake::new(1 << 20, true));
            assert_eq!(contents.damage, [], "round {round}");
            unfinished += u64::from(contents.unfinished > 0);
            let records = taken.unwrap();
            assert!(records.starts_with(&before), "round {round}: what was there has changed");
            let is_gapless = records.iter().zip(1..).all(|((sequence, _), number)| *sequence == number);
            assert!(is_gapless, "round {round}: a gap");
            let mut ended = BTreeMap::new();
            for request in records.iter().filter_map(|(_, record)| record.request()) {
                assert_eq!(ended.insert(request.id.0, request), None, "round {round}: {} twice", request.id);
            }
            for (request, agent) in &said.requests {
                let written = ended.get(request).map(|one| (one.agent.as_str(), one.status()));
                assert_eq!(
                    written,
                    Some((agent.as_str(), &Status::Completed)),
                    "round {round}: request {request}"
                );
            }
            said.judge_members(&contents, round);
            before = records;
        },
    );
    println!("{} records, {} answers, {unfinished} kills within a write", before.len(), said.requests.len());
    let replaced = before.iter().filter(|(_, record)| matches!(record, Record::Replaced { .. })).count();
    assert!(replaced > 0, "agents came back");
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_within_snapshots_and_while_the_log_is_carried_over() {
    let test = "nothing_acknowledged_is_lost_by_kill_9_within_snapshots_and_while_the_log_is_carried_over";
    let (mut snapshots, mut through, mut broken_off, mut mended_later) = (0, 0, 0, 0);
    let (mut sequence, mut run) = (0, 0);
    kill_again_and_again(test, tight(), |round, path, files, said| {
        let (contents, taken) = files.contents(path, Intake::new(FEW, true));
        assert_eq!(contents.damage, [], "round {round}");
        let recovered = &contents.recovered;
        assert!(
            recovered.sequence >= sequence && recovered.run >= run,
            "round {round}: what was there is gone"
        );
        (sequence, run) = (recovered.sequence, recovered.run);
        let kept = usize::try_from(contents.kept).unwrap();
        let first_behind = taken.unwrap().get(kept).map_or(sequence, |(sequence, _)| *sequence);
        snapshots += u64::from(kept > 0 && first_behind > through);
        through = first_behind;
        // More than one group takes: most of it is a snapshot.
        broken_off += u64::from(contents.unfinished > 10 * 536);
        let wal = wal::Wal::read(&files.log, None, 512);
        mended_later +=
            u64::from(wal.fault.is_some_and(|fault| fault.what.starts_with("the checksum of frame ")));
        let known: BTreeMap<u64, &Request> =
            recovered.requests.iter().map(|logged| (logged.request.id.0, &logged.request)).collect();
        assert!(known.len() <= FEW);
        for (request, agent) in &said.requests {
            if let Some(written) = known.get(request) {
                let is = (written.agent.as_str(), written.status());
                assert_eq!(is, (agent.as_str(), &Status::Completed), "round {round}: request {request}");
            }
        }
        // No more than two rounds of at most 27 were written behind these.
        for request in said.latest.iter().rev().take(20) {
            assert!(known.contains_key(request), "round {round}: request {request} is lost");
        }
        said.judge_members(&contents, round);
    });
    println!(
        "{snapshots} later snapshots, {broken_off} deaths within one, {mended_later} with sums that were not mended"
    );
    assert!(
        snapshots > ROUNDS / 4 && broken_off > ROUNDS / 20,
        "{snapshots} snapshots, {broken_off} broken off"
    );
}
