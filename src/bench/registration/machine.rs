//! Registration on this machine: a million agents that run already, look-ups among them, and a disk that keeps them.
//!
//! What is compared does the same: each is in the roster and on its routes when it counts. One by one awaits each; a plain map
//! from ids to handles is what nobody can beat who remembers them at all, and has neither routes nor requests.

use std::{collections::HashMap, hint::black_box};

use actix::prelude::*;
use phalanx_actors::{
    agent::{Agent, AgentId, Capability, Card},
    inbox::{AgentHandle, AgentRef},
    monitor::QueryStatus,
    registrar::Lookup,
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    bench::BenchError,
    host::{AgentOptions, Host},
    report::units::count,
};

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) agents: u32,
    /// How many of them one by one.
    pub(super) sample: u32,
    pub(super) lookups: u32,
    /// How many agents are registered durably.
    pub(super) durable: u32,
    pub(super) rounds: usize,
}

impl Size {
    pub(super) const FULL: Self =
        Self { agents: 1_000_000, sample: 2_000, lookups: 20_000, durable: 100_000, rounds: 3 };
    pub(super) const SMALL: Self =
        Self { agents: 20_000, sample: 500, lookups: 1_000, durable: 2_000, rounds: 1 };
}

/// How many steps measuring takes.
pub(super) const STEPS: usize = 3;

/// How agents are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// Each is awaited before the next is asked for.
    OneByOne,
    /// A plain map of ids and handles.
    Map,
    /// By the registrar, all at once.
    Phalanx,
}

impl Way {
    /// All of them, in the order of the page.
    pub(super) const ALL: [Way; 3] = [Way::Map, Way::OneByOne, Way::Phalanx];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OneByOne => "one by one",
            Self::Map => "a plain map from ids to handles",
            Self::Phalanx => "phalanx",
        }
    }
}

/// What one way reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Rate {
    pub(super) way: Way,
    pub(super) agents: u32,
    /// In the median round.
    pub(super) per_s: f64,
    pub(super) slowest_per_s: f64,
    pub(super) fastest_per_s: f64,
}

/// What looking up ten by capability takes \[ns\].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct LookupTime {
    pub(super) agents: u32,
    pub(super) indexed_ns: f64,
    /// By a look at each agent until ten are found.
    pub(super) scan_ns: f64,
    /// The same where the ten stand last.
    pub(super) scan_all_ns: f64,
}

/// What registering with a journal reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Durable {
    pub(super) agents: u32,
    pub(super) per_s: f64,
    /// The same agents without a journal.
    pub(super) volatile_per_s: f64,
    /// Each awaited before the next is asked for.
    pub(super) one_by_one_per_s: f64,
    /// Each a transaction and a sync of its own.
    pub(super) groups: u64,
    pub(super) records: u64,
}

/// What this machine reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Machine {
    pub(super) arbiters: usize,
    /// Whether it was built without optimisation, which makes all figures of it useless.
    pub(super) debug: bool,
    pub(super) registration: Vec<Rate>,
    pub(super) lookup: LookupTime,
    pub(super) durable: Option<Durable>,
}

impl Machine {
    pub(super) fn registering(&self, way: Way) -> f64 {
        self.registration.iter().find(|rate| rate.way == way).expect("all ways are measured").per_s
    }
}

struct Worker {
    number: u32,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Supervised for Worker {}

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Hello;

impl Handler<Hello> for Worker {
    type Result = ();

    fn handle(&mut self, _: Hello, _: &mut Context<Self>) {}
}

impl Agent for Worker {
    fn card(&self) -> Card<Self> {
        Card::new().offers("work").offers(format!("sort_{}", self.number % SORTS)).accepts::<Hello>()
    }
}

/// How many capabilities the agents have between them, but for the one that all have.
const SORTS: u32 = 100;

/// The last agents alone offer it.
const RARE: &str = "rare";

struct Rare;

impl Actor for Rare {
    type Context = Context<Self>;
}

impl Supervised for Rare {}

impl Agent for Rare {
    fn card(&self) -> Card<Self> {
        Card::new().offers(RARE)
    }
}

/// How many are looked up at once.
const LIMIT: usize = 10;

fn system<T>(work: impl Future<Output = Result<T, BenchError>>) -> Result<T, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    System::with_tokio_rt(move || runtime).block_on(work)
}

/// Measures.
pub(super) fn measure(size: Size, step: &mut impl FnMut(String)) -> Result<Machine, BenchError> {
    let agents = count(size.agents.into());
    step(format!("{agents} agents are registered, {} times", size.rounds));
    let mut rounds = Vec::new();
    let mut found = None;
    for number in 1..=size.rounds {
        let times = system(async {
            let (host, times) = round(size).await?;
            if number == size.rounds {
                step(format!("look-ups among {agents} agents"));
                found = Some(lookups(&host, size).await?);
            }
            // The next round would be slowed down by a million agents that end.
            host.shutdown(std::time::Duration::from_secs(60)).await;
            Ok(times)
        })?;
        rounds.push(times);
    }
    let lookup = found.expect("there is a last round");
    step(format!("{} agents are registered durably", count(size.durable.into())));
    let durable = durable::measure(size)?;
    Ok(Machine {
        arbiters: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        debug: cfg!(debug_assertions),
        registration: Way::ALL.iter().enumerate().map(|(at, way)| rate(*way, at, size, &rounds)).collect(),
        lookup,
        durable,
    })
}

fn rate(way: Way, at: usize, size: Size, rounds: &[[f64; Way::ALL.len()]]) -> Rate {
    let agents = if way == Way::OneByOne { size.sample } else { size.agents };
    let mut rates: Vec<f64> = rounds.iter().map(|round| f64::from(agents) / round[at]).collect();
    rates.sort_by(f64::total_cmp);
    let (slowest_per_s, fastest_per_s) = (rates[0], rates[rates.len() - 1]);
    Rate { way, agents, per_s: rates[rates.len() / 2], slowest_per_s, fastest_per_s }
}

/// Agents that run and are not registered.
async fn started(host: &Host, name: &str, agents: u32) -> Result<Vec<AgentHandle>, BenchError> {
    let ids = (0..agents).map(|number| AgentId::new(format!("{name}/{number}"))).collect::<Result<_, _>>()?;
    let number = std::sync::atomic::AtomicU32::new(0);
    let make = move |_: &_| Worker { number: number.fetch_add(1, std::sync::atomic::Ordering::Relaxed) };
    let agents = host.spawn_unregistered(ids, &AgentOptions::default(), make).await?;
    // The monitor hears of each start; what it still has to do about a million is not what is measured.
    let heard = host.protocols().monitor.send(QueryStatus).await;
    heard.map_err(|_| BenchError::NoAnswer("monitor"))?;
    Ok(agents.iter().map(AgentRef::handle).collect())
}

/// Registers all in each way on a host of its own; answers with how long each way took \[s\].
async fn round(size: Size) -> Result<(Host, [f64; Way::ALL.len()]), BenchError> {
    let host = Host::builder().start().await?;
    let publisher = host.broadcast::<Hello>();
    let few = started(&host, "one", size.sample).await?;
    let all = started(&host, "all", size.agents).await?;
    let mut times = [0.0; Way::ALL.len()];
    for (way, time) in Way::ALL.into_iter().zip(&mut times) {
        let began = Instant::now();
        match way {
            Way::Map => {
                let map: HashMap<AgentId, AgentHandle> =
                    all.iter().map(|agent| (agent.id().clone(), agent.clone())).collect();
                black_box(map.len());
            }
            Way::OneByOne => {
                for agent in &few {
                    host.register_spawned(std::slice::from_ref(agent), &AgentOptions::default()).await?;
                }
            }
            Way::Phalanx => host.register_spawned(&all, &AgentOptions::default()).await?,
        }
        *time = began.elapsed().as_secs_f64();
    }
    let (expected, reached) = ((size.agents + size.sample) as usize, publisher.recipients());
    if reached != expected {
        let why = format!("of {expected} agents {reached} are reached");
        return Err(BenchError::Unequal { way: Way::Phalanx.name().to_owned(), why });
    }
    Ok((host, times))
}

/// Looks ten up, by the index of the roster and by a look at each agent.
async fn lookups(host: &Host, size: Size) -> Result<LookupTime, BenchError> {
    let ids = (0..LIMIT).map(|number| AgentId::new(format!("rare/{number}"))).collect::<Result<_, _>>()?;
    host.spawn_many(ids, AgentOptions::default(), |_| Rare).await?;
    let cell = host.protocols().registrar_cell();
    let of = |capability: &str| Lookup {
        all_of: Capability::new(capability).into_iter().collect(),
        limit: Some(LIMIT),
        ..Lookup::default()
    };
    let common = of("sort_7");
    let indexed_ns = per_lookup(size.lookups, || cell.lookup(&common).len())?;
    let scanned = |capability: &str| {
        let capability = Capability::new(capability).expect("a good name");
        cell.with_roster(|roster| {
            let offers = |member: &phalanx_actors::registrar::Member<'_, AgentHandle>| {
                member.capabilities().binary_search(&capability).is_ok()
            };
            let found: Vec<AgentHandle> =
                roster.iter().filter(offers).take(LIMIT).map(|member| member.handle().clone()).collect();
            found.len()
        })
    };
    let scan_ns = per_lookup(size.lookups, || scanned("sort_7"))?;
    let scan_all_ns = per_lookup((size.lookups / 5_000).max(1), || scanned(RARE))?;
    Ok(LookupTime { agents: size.agents, indexed_ns, scan_ns, scan_all_ns })
}

/// How long one look-up takes \[ns\].
fn per_lookup(lookups: u32, lookup: impl Fn() -> usize) -> Result<f64, BenchError> {
    let began = Instant::now();
    let found: usize = (0..lookups).map(|_| black_box(lookup())).sum();
    let took = began.elapsed();
    if found != LIMIT * lookups as usize {
        let why = format!("{found} agents were found in {lookups} look-ups");
        return Err(BenchError::Unequal { way: "look-up".to_owned(), why });
    }
    Ok(took.as_secs_f64() * 1e9 / f64::from(lookups))
}

#[cfg(not(feature = "journal"))]
mod durable {
    use super::{BenchError, Durable, Size};

    /// Without a journal there is nothing durable.
    #[expect(clippy::unnecessary_wraps, reason = "the measure fails where there is one")]
    pub(super) const fn measure(_: Size) -> Result<Option<Durable>, BenchError> {
        Ok(None)
    }
}

#[cfg(feature = "journal")]
mod durable {
    use super::{AgentOptions, BenchError, Durable, Host, Instant, Size, started, system};

    /// How many are registered one by one at most.
    const ONE_BY_ONE: u32 = 300;

    /// Registers agents that run already: with a journal in the folder for temporary files all at once and one by one, and
    /// without a journal. What comes out is a figure of the disk below that folder.
    pub(super) fn measure(size: Size) -> Result<Option<Durable>, BenchError> {
        let (volatile, _, _) = system(round(size.durable, 0, None))?;
        let folder = tempfile::tempdir()?;
        let (took, one_by_one, journal) =
            system(round(size.durable, ONE_BY_ONE.min(size.sample), Some(folder.path())))?;
        let (groups, records) = journal.unwrap_or_default();
        Ok(Some(Durable {
            agents: size.durable,
            per_s: took,
            volatile_per_s: volatile,
            one_by_one_per_s: one_by_one,
            groups,
            records,
        }))
    }

    /// How many a second are registered all at once and one by one, and the groups and records of the former.
    async fn round(
        agents: u32,
        few: u32,
        folder: Option<&std::path::Path>,
    ) -> Result<(f64, f64, Option<(u64, u64)>), BenchError> {
        let mut builder = Host::builder();
        if let Some(folder) = folder {
            builder = builder.journal(folder.join("journal"));
        }
        let host = builder.start().await?;
        let few = started(&host, "one", few).await?;
        let all = started(&host, "all", agents).await?;
        let written =
            |host: &Host| host.journal().map(|report| (report.groups, report.records, report.refused));
        let before = written(&host);
        let began = Instant::now();
        host.register_spawned(&all, &AgentOptions::default()).await?;
        let took = f64::from(agents) / began.elapsed().as_secs_f64();
        let after = written(&host);
        let journal = before.zip(after).map(|(before, after)| (after.0 - before.0, after.1 - before.1));
        if let Some((_, records, refused)) = after
            && (records < u64::from(agents) || refused > 0)
        {
            let why = format!("of {agents} agents {records} records were written and {refused} refused");
            return Err(BenchError::Unequal { way: "journal".to_owned(), why });
        }
        let began = Instant::now();
        for agent in &few {
            host.register_spawned(std::slice::from_ref(agent), &AgentOptions::default()).await?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let one_by_one = few.len() as f64 / began.elapsed().as_secs_f64();
        host.shutdown(std::time::Duration::from_secs(10)).await;
        Ok((took, one_by_one, journal))
    }
}
