//! A process that registers agents and is killed with SIGKILL, again and again, over one journal.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::RecvTimeoutError,
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

/// Registers agents, some of whom were there before, and removes some, until the process is killed. Each answer is printed,
/// and each removal before it is asked for.
async fn register_for_ever(path: &Path, mut random: StdRng) {
    let arbiters = Arbiters::start(ArbitersConfig::Here, HubConfig::default()).await;
    let router = Router::new(Directory::new(arbiters.hub())).start();
    let (journal, before) = Journal::open(path, &small()).unwrap();
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
        let mut answers = Vec::new();
        for call in 0..random.random_range(1..4) {
            let mut names: Vec<String> =
                (0..random.random_range(1..8)).map(|n| format!("r{run}/{round}/{call}/{n}")).collect();
            names.extend(back.pop());
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
        let leaving = format!("r{run}/{round}/0/0");
        say(&format!("leaving {leaving}"));
        let gone = registrar.send(Delist(vec![AgentId::new(&leaving).unwrap()])).await.unwrap();
        assert_eq!(gone, 1);
        say(&format!("gone {leaving}"));
    }
}

fn start(path: &Path, seed: u64) -> Child {
    let name = "journal::tests::killed::nothing_acknowledged_is_lost_by_kill_9";
    Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
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
    let is_alive = child.try_wait().unwrap().is_none();
    if is_alive
        && let Err(RecvTimeoutError::Disconnected) = told.recv_timeout(more).map(|line| said.push(line))
    {
        // It ended by itself, which is found below.
    }
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    reader.join().unwrap();
    said.extend(told.try_iter());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(is_alive && said.len() >= lines, "it ended by itself: {errors}\n{said:?}");
    said
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Registered,
    Leaving,
    Gone,
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let seed: u64 = std::env::var(SEED).map_or(7, |seed| seed.parse().unwrap());
    if let Some(path) = std::env::var_os(FILE) {
        // This is the process that is killed.
        System::new().block_on(register_for_ever(Path::new(&path), StdRng::seed_from_u64(seed)));
    }
    println!("repeat with {SEED}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let (mut agents, mut requests) = (BTreeMap::new(), BTreeMap::new());
    let (mut before, mut unfinished) = (Vec::<(u64, Record)>::new(), 0);
    for round in 0..ROUNDS {
        let lines = if random.random_ratio(1, 10) { 0 } else { random.random_range(1..60) };
        let more = Duration::from_micros(random.random_range(0..4_000));
        for line in kill_after(start(&path, random.random()), lines, more) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["registered", request, agent] => {
                    let first = requests.insert(request.parse::<u64>().unwrap(), agent.to_owned());
                    assert_eq!(first, None, "round {round}: {line} is said twice");
                    agents.insert(agent.to_owned(), Known::Registered);
                }
                ["leaving", agent] => _ = agents.insert(agent.to_owned(), Known::Leaving),
                ["gone", agent] => _ = agents.insert(agent.to_owned(), Known::Gone),
                _ => panic!("round {round}: {line}"),
            }
        }
        let Some(files) = Files::read(&path).unwrap() else { continue };
        let (contents, taken) = files.contents(&path, Intake::new(1 << 20, true));
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
        for (request, agent) in &requests {
            let written = ended.get(request).map(|one| (one.agent.as_str(), one.status()));
            assert_eq!(
                written,
                Some((agent.as_str(), &Status::Completed)),
                "round {round}: request {request}"
            );
        }
        let mut members = std::collections::BTreeSet::new();
        for member in &contents.recovered.members {
            assert!(members.insert(member.request.agent.as_str()), "round {round}: {member:?} twice");
        }
        for (agent, known) in &agents {
            let is_there = members.contains(agent.as_str());
            let is_right = *known == Known::Leaving || is_there == (*known == Known::Registered);
            assert!(is_right, "round {round}: {agent} is {known:?}, in the roster: {is_there}");
        }
        before = records;
    }
    println!("{} records, {} answers, {unfinished} kills within a write", before.len(), requests.len());
    assert!(requests.len() as u64 > 10 * ROUNDS, "too few to say anything");
    let replaced = before.iter().filter(|(_, record)| matches!(record, Record::Replaced { .. })).count();
    assert!(replaced > 0, "agents came back");
}
