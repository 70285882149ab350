//! Starting many agents, and what an idle one keeps resident; each run in a process of its own.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_rt::Arbiter;
use phalanx::{AgentOptions, Host};
use phalanx_actors::{
    agent::{AgentId, Priority},
    inbox::{AgentHandle, AgentRef, HubConfig},
    registrar::{Enlist, Enlistment, Registrar, RegistrarCell, RegistrarOptions, Request, Rules, Status},
    router::{Arbiters, ArbitersConfig, Directory, Router, Selector},
    supervisor::SpawnOptions,
};

use crate::{
    actors::{Count, Counter, Small},
    pair::start_plain,
};

/// The first argument of such a process.
pub(crate) const CHILD: &str = "--spawning-child";

/// What one process measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spawned {
    pub(crate) nanos_each: f64,
    pub(crate) bytes_each: f64,
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("this runs on Linux");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("statm has its form");
    pages * 4_096
}

/// Measures in a fresh process.
pub(crate) fn measure(side: &str, agents: u64) -> Spawned {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args([CHILD, side, &agents.to_string()]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().expect("this program can be started again");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(nanos_each), Some(bytes_each)) => Spawned { nanos_each, bytes_each },
        _ => panic!("the process that spawns {agents} agents said {text:?}"),
    }
}

/// What such a process does.
#[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
pub(crate) fn child(side: &str, agents: u64) {
    actix_rt::System::new().block_on(async {
        let (took, bytes) = match side {
            "phalanx" => phalanx(agents).await,
            "registered" => registered(agents).await,
            "started" => register_started(agents).await,
            _ => actix(agents).await,
        };
        println!("{} {}", took.as_nanos() as f64 / agents as f64, bytes as f64 / agents as f64);
    });
    // What was started need not be taken apart.
    std::process::exit(0);
}

async fn started(agents: u64) {
    while Count::total() < agents {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn phalanx(agents: u64) -> (Duration, u64) {
    let arbiters = Arbiters::start(ArbitersConfig::Threads(2), HubConfig::default()).await;
    let before = resident_bytes();
    let ids = names(agents);
    let began = Instant::now();
    let spawned = arbiters.spawn_many(ids, |_| Counter::starting(), SpawnOptions::default()).await;
    let spawned = spawned.expect("they have valid cards");
    started(agents).await;
    let took = began.elapsed();
    let bytes = resident_bytes() - before;
    assert_eq!(spawned.len() as u64, agents);
    (took, bytes)
}

fn names(agents: u64) -> Vec<AgentId> {
    (0..agents).map(|n| AgentId::new(format!("counter/{n}")).expect("a name")).collect()
}

/// Until all are registered and on their routes, too.
async fn registered(agents: u64) -> (Duration, u64) {
    let host = Host::builder().arbiters(2).start().await.expect("it has threads");
    let before = resident_bytes();
    let ids = names(agents);
    let began = Instant::now();
    let spawned = host.spawn_many(ids, AgentOptions::default(), |_| Counter::starting()).await;
    let took = began.elapsed();
    let bytes = resident_bytes() - before;
    assert_eq!(spawned.expect("they have valid cards").len() as u64, agents);
    assert_eq!(host.broadcast::<Small>().recipients() as u64, agents);
    (took, bytes)
}

/// Agents that run already, from making the requests until all are registered and a publisher reaches them.
async fn register_started(agents: u64) -> (Duration, u64) {
    let arbiters = Arbiters::start(ArbitersConfig::Threads(2), HubConfig::default()).await;
    let (directory, hub) = (Directory::new(arbiters.hub()), arbiters.hub().clone());
    let id = |name| AgentId::new(name).expect("a name");
    let first = || SpawnOptions { arbiter: Some(0), ..SpawnOptions::default() };
    let tables = directory.clone();
    let router = arbiters.spawn(id("router"), move |_| Router::new(tables.clone()), first()).await;
    let router = router.expect("it has a valid card");
    let cell = RegistrarCell::new(RegistrarOptions::default(), Rules::default());
    let (kept, to) = (cell.clone(), router.address());
    let make = move |_: &_| {
        let hub = hub.clone();
        Registrar::new(kept.clone(), to.clone(), Arc::new(move || hub.now()), Arc::new(|_| ()))
    };
    let registrar = arbiters.spawn(id("registrar"), make, first()).await.expect("it has a valid card");
    let publisher = directory.publisher::<Small>(&Selector::Everyone);
    let spawned = arbiters.spawn_many(names(agents), |_| Counter::starting(), SpawnOptions::default()).await;
    let spawned: Vec<AgentHandle> =
        spawned.expect("they have valid cards").iter().map(AgentRef::handle).collect();
    started(agents).await;
    let before = resident_bytes();
    let began = Instant::now();
    let now = arbiters.hub().now();
    let requests = Request::of_all(&spawned, || cell.next_request(), Priority::Normal, now);
    let enlist =
        requests.zip(&spawned).map(|(request, agent)| Enlistment { request, agent: agent.clone() }).collect();
    let requests = registrar.address().send(Enlist(enlist)).await.expect("it runs");
    let took = began.elapsed();
    let bytes = resident_bytes().saturating_sub(before);
    assert!(requests.iter().all(|request| *request.status() == Status::Completed));
    assert_eq!(publisher.recipients() as u64, agents);
    (took, bytes)
}

async fn actix(agents: u64) -> (Duration, u64) {
    let arbiters = [Arbiter::new(), Arbiter::new()];
    let before = resident_bytes();
    let began = Instant::now();
    // In the same portions, by turns.
    let portions = agents.div_ceil(512);
    let jobs: Vec<_> = (0..portions)
        .map(|n| {
            let size = (agents - n * 512).min(512);
            let arbiter = &arbiters[usize::from(n % 2 == 1)];
            start_plain(arbiter, Counter::starting, usize::try_from(size).expect("at most 512"))
        })
        .collect();
    let mut addresses = Vec::new();
    for job in jobs {
        addresses.extend(job.await.expect("the arbiter runs"));
    }
    started(agents).await;
    let took = began.elapsed();
    let bytes = resident_bytes() - before;
    assert_eq!(addresses.len() as u64, agents);
    (took, bytes)
}
