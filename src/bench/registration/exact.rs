//! The workload in virtual time: one by one, by the ancestor's loop, and by phalanx. Exact, on every machine.
//!
//! All register the same agents on a host of their own; what takes time is done before the agent is spawned by the first two,
//! and by the rules of the registrar in phalanx. The ancestor's loop takes a batch of what is queued, 10 or half of the queue but
//! at least 5 and at most 20, has its 8 workers do it, waits for all of it, and sleeps 0.1 s before the next. Its locks and
//! tables cost nothing here.
//!
//! **Invariant.** A time is given only when all agents are registered and a publisher reaches each.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use futures_util::{StreamExt, stream};
use phalanx_actors::{
    agent::{Agent, AgentId, Card},
    inbox::AgentRef,
    registrar::{Request, Rules},
};
use serde::Serialize;

use super::Workload;
use crate::{
    bench::{
        BenchError,
        ways::{self, Way as _},
    },
    host::{AgentOptions, Host, paused_runtime},
};

/// All randomness of the simulation comes from it; the workload uses none.
const SEED: u64 = 7;

/// How long the ancestor's loop sleeps between two batches.
const PAUSE: Duration = Duration::from_millis(100);

/// How the workload is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// Each agent is awaited before the next is begun.
    OneByOne,
    /// By the ancestor's loop with batches of 10.
    LoopFixed,
    /// By the ancestor's loop with adaptive batches.
    LoopAdaptive,
    /// By phalanx.
    Phalanx,
}

impl Way {
    /// All of them, in the order of the page.
    pub(super) const ALL: [Way; 4] = [Way::OneByOne, Way::LoopFixed, Way::LoopAdaptive, Way::Phalanx];
}

impl ways::Way for Way {
    const ONE_BY_ONE: Self = Self::OneByOne;
    const PHALANX: Self = Self::Phalanx;

    fn name(self) -> &'static str {
        match self {
            Self::OneByOne => "one by one",
            Self::LoopFixed => "the loop, fixed",
            Self::LoopAdaptive => "the loop, adaptive",
            Self::Phalanx => "phalanx",
        }
    }

    fn is_ancestors(self) -> bool {
        matches!(self, Self::LoopFixed | Self::LoopAdaptive)
    }
}

/// What a publisher reaches agents with.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Hello;

struct Worker {
    capabilities: u32,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Supervised for Worker {}

impl Handler<Hello> for Worker {
    type Result = ();

    fn handle(&mut self, _: Hello, _: &mut Context<Self>) {}
}

impl Agent for Worker {
    fn card(&self) -> Card<Self> {
        let card = Card::new().accepts::<Hello>();
        (0..self.capabilities).fold(card, |card, number| card.offers(format!("capability_{number}")))
    }
}

/// Registers the workload in one way, in virtual time.
pub(super) fn measure(workload: Workload, way: Way) -> Result<Duration, BenchError> {
    let runtime = paused_runtime()?;
    System::with_tokio_rt(move || runtime).block_on(async move {
        let builder = Host::builder().simulated(SEED);
        let host = if way == Way::Phalanx {
            builder.rules(rules(workload)).start().await?
        } else {
            builder.start().await?
        };
        let began = host.now();
        match way {
            Way::OneByOne => by_workers(&host, workload, 0..workload.agents, 1).await?,
            Way::LoopFixed => by_loop(&host, workload, |_| 10).await?,
            Way::LoopAdaptive => by_loop(&host, workload, |queued| (queued / 2).clamp(5, 20)).await?,
            Way::Phalanx => drop(spawn(&host, workload, 0..workload.agents).await?),
        }
        let time = host.now().since(began);
        let (registered, reached) = (host.agents(), host.broadcast::<Hello>().recipients());
        host.shutdown(Duration::from_secs(1)).await;
        if (registered, reached) == (workload.agents as usize, workload.agents as usize) {
            return Ok(time);
        }
        let why =
            format!("of {} agents {registered} were registered and {reached} were reached", workload.agents);
        Err(BenchError::Unequal { way: way.name().to_owned(), why })
    })
}

/// What takes time, as rules of the registrar. In virtual time its clock is tokio's.
fn rules(workload: Workload) -> Rules {
    let takes = |time: Duration| {
        move |_: Arc<Request>| async move {
            tokio::time::sleep(time).await;
            Ok(())
        }
    };
    Rules::default()
        .and_async(takes(workload.validation()))
        .and_async(takes(workload.registration()))
        .at_once(workload.workers)
}

async fn spawn(
    host: &Host,
    workload: Workload,
    numbers: std::ops::Range<u32>,
) -> Result<Vec<AgentRef<Worker>>, BenchError> {
    let ids = numbers.map(|number| AgentId::new(format!("agent_{number}"))).collect::<Result<_, _>>()?;
    let make = move |_: &_| Worker { capabilities: workload.capabilities };
    Ok(host.spawn_many(ids, AgentOptions::default(), make).await?)
}

/// By so many workers, each of which takes the next agent when it is free.
async fn by_workers(
    host: &Host,
    workload: Workload,
    numbers: std::ops::Range<u32>,
    workers: usize,
) -> Result<(), BenchError> {
    let work = |number: u32| async move {
        host.sleep(workload.validation()).await;
        host.sleep(workload.registration()).await;
        spawn(host, workload, number..number + 1).await.map(drop)
    };
    let all: Vec<Result<(), BenchError>> = stream::iter(numbers).map(work).buffered(workers).collect().await;
    all.into_iter().collect()
}

async fn by_loop(host: &Host, workload: Workload, size: impl Fn(u32) -> u32) -> Result<(), BenchError> {
    let mut next = 0;
    while next < workload.agents {
        if next > 0 {
            host.sleep(PAUSE).await;
        }
        let queued = workload.agents - next;
        let batch = size(queued).min(queued);
        by_workers(host, workload, next..next + batch, workload.workers).await?;
        next += batch;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_takes_exactly_as_long_as_its_rules_say() {
        let time = |way| measure(Workload::ANCESTOR, way).unwrap();
        let ms = Duration::from_millis;
        assert_eq!(Workload::ANCESTOR.registration(), ms(260));
        assert_eq!(time(Way::OneByOne), ms(50 * 360));
        // 5 batches of 10 by 8 workers take two rounds each, 4 pauses.
        assert_eq!(time(Way::LoopFixed), ms(5 * 720 + 4 * 100));
        // Batches of 20, 15, 7, 5 and 3 take 3, 2, 1, 1 and 1 rounds, 4 pauses.
        assert_eq!(time(Way::LoopAdaptive), ms(8 * 360 + 4 * 100));
        // 50 by 8 take 7 rounds.
        assert_eq!(time(Way::Phalanx), ms(7 * 360));
        assert_eq!(Workload::ANCESTOR.bound(), ms(2_250));
    }
}
