//! Registering agents through the registrar, with a journal that syncs to the disk and with none.
//!
//! The journal lies in the folder for temporary files (`TMPDIR`): what comes out is a figure of the disk below that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use phalanx::journal::{Journal, JournalOptions, JournalStats};
use phalanx_actors::{
    agent::{AgentId, Priority},
    inbox::{AgentHandle, AgentRef, HubConfig},
    registrar::{Enlist, Enlistment, Registrar, RegistrarCell, RegistrarOptions, Request, Rules, Status},
    router::{Arbiters, ArbitersConfig, Directory, Router},
    supervisor::SpawnOptions,
};

use crate::{
    actors::Counter,
    pair::{Rig, Verdict},
    table::{self, Absolute},
};

const AGENTS: usize = 100_000;
/// How many are asked for in one message; all messages are sent before the first is answered.
const CALL: usize = 1_024;

/// How long it took to register agents that run, and what the journal wrote.
async fn registered(is_durable: bool) -> (Duration, JournalStats) {
    let arbiters = Arbiters::start(ArbitersConfig::Here, HubConfig::default()).await;
    let router = Router::new(Directory::new(arbiters.hub())).start();
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let (journal, cell) = if is_durable {
        let path = folder.path().join("journal");
        let (journal, before) =
            Journal::open(&path, &JournalOptions::default()).expect("a new journal can be made");
        let options = RegistrarOptions::default();
        let cell = RegistrarCell::recording(options, Rules::default(), journal.recorder(), before.recovered);
        (Some(journal), cell)
    } else {
        (None, RegistrarCell::new(RegistrarOptions::default(), Rules::default()))
    };
    let hub = arbiters.hub().clone();
    let registrar =
        Registrar::new(cell.clone(), router, Arc::new(move || hub.now()), Arc::new(|_| ())).start();
    let ids = (0..AGENTS).map(|n| AgentId::new(format!("counter/{n}")).expect("a name")).collect();
    let agents = arbiters.spawn_many(ids, |_| Counter::starting(), SpawnOptions::default()).await;
    let agents: Vec<AgentHandle> =
        agents.expect("they have valid cards").iter().map(AgentRef::handle).collect();
    let began = Instant::now();
    let now = arbiters.hub().now();
    let enlistment = |agent: &AgentHandle| Enlistment {
        request: Request::of(cell.next_request(), agent, Priority::Normal, now),
        agent: agent.clone(),
    };
    let calls: Vec<_> = agents
        .chunks(CALL)
        .map(|chunk| registrar.send(Enlist(chunk.iter().map(enlistment).collect())))
        .collect();
    for call in calls {
        let requests = call.await.expect("the registrar lives");
        assert!(requests.iter().all(|request| *request.status() == Status::Completed));
    }
    let took = began.elapsed();
    let stats = match journal {
        Some(journal) => journal.close().await,
        None => JournalStats::default(),
    };
    for agent in &agents {
        agent.kill();
    }
    (took, stats)
}

/// The line of the table: durable beside not durable.
#[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
pub(crate) fn lines(rig: &Rig, filter: &str, rounds: usize) -> Vec<Absolute> {
    let work = "register 100,000 running agents, durable (not durable)".to_owned();
    if !work.contains(filter) {
        return Vec::new();
    }
    let (mut durable, mut plain) = (Vec::new(), Vec::new());
    let mut wrote = JournalStats::default();
    for round in 0..rounds {
        eprintln!("[register: {}/{rounds}]", round + 1);
        let (took, stats) = rig.system.block_on(registered(true));
        eprintln!("  durable in {took:?}: {stats:?}");
        durable.push(took.as_nanos() as f64 / AGENTS as f64);
        wrote = stats;
        let (took, _) = rig.system.block_on(registered(false));
        plain.push(took.as_nanos() as f64 / AGENTS as f64);
    }
    let (durable, plain) = (table::median(&durable), table::median(&plain));
    let rate = |nanos| table::shown(nanos, Verdict::Rate(None));
    vec![Absolute {
        work,
        phalanx: rate(durable),
        actix: format!("({})", rate(plain)),
        ratio: format!(
            "{:.2}x the cost; {} syncs, {:.0} records each",
            durable / plain,
            wrote.groups,
            wrote.records as f64 / wrote.groups.max(1) as f64
        ),
        target: "at least 50,000/s".to_owned(),
        is_met: Some(durable <= 20_000.0),
    }]
}
