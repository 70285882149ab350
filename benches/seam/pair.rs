//! [`Pair`]: the same work done by phalanx and by plain actix.

use std::{
    future::IntoFuture,
    pin::Pin,
    rc::Rc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use actix_rt::SystemRunner;
use phalanx_actors::{
    agent::{Agent, AgentId, Card, Me},
    inbox::{AgentRef, HubConfig},
    router::{Arbiters, ArbitersConfig},
    supervisor::SpawnOptions,
};
use tokio::sync::oneshot;

/// No work takes longer.
const LONGEST: Duration = Duration::from_secs(600);

/// Does so much of the work and says how long it took.
pub(crate) type Run = Box<dyn FnMut(u64) -> Duration>;

/// How the two are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    /// What phalanx costs, in units of what actix costs; at most so much is wanted.
    Cost(Option<f64>),
    /// How many times as much phalanx does in the same time; at least so much is wanted.
    Rate(Option<f64>),
}

/// The same work done by both. The agents are made when they are first needed and go with it.
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    /// How many messages one unit of the work comes to.
    pub(crate) messages: u64,
    /// How many units phalanx and actix do at least in one go, because fewer would not be the work that is meant.
    pub(crate) least: [u64; 2],
    pub(crate) make: Box<dyn Fn() -> (Run, Run)>,
}

/// Where the work is done: the calling thread, two arbiters of a host, and two plain ones. The arbiters of each two keep to
/// a processor of their own: left alone, the kernel puts both on one now and then, and rates jump by a factor of four.
pub(crate) struct Rig {
    pub(crate) system: SystemRunner,
    pub(crate) here: Arbiters,
    pub(crate) there: Arbiters,
    pub(crate) plain: [Arbiter; 2],
    /// Live on the arbiters `there`, one on each.
    drivers: [AgentRef<Driver>; 2],
}

/// Keeps the calling thread on one processor, counted from 0, where there are so many.
fn pin(processor: usize) {
    let all = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(core) = all.get(processor).filter(|_| all.len() > 1) {
        core_affinity::set_for_current(*core);
    }
}

/// Does work on its arbiter, and answers how long it took.
struct Driver;

impl Actor for Driver {
    type Context = Context<Self>;
}

impl Supervised for Driver {}

impl Agent for Driver {
    fn card(&self) -> Card<Self> {
        Card::new()
    }
}

/// Makes, where it arrives, a future that does the work.
#[derive(Message)]
#[rtype(result = "Duration")]
struct Drive(Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>);

impl Handler<Drive> for Driver {
    type Result = ResponseFuture<Duration>;
    fn handle(&mut self, Drive(job): Drive, _: &mut Context<Self>) -> Self::Result {
        Box::pin(timed(job()))
    }
}

/// How long a future takes.
async fn timed(work: impl Future<Output = ()>) -> Duration {
    let began = Instant::now();
    work.await;
    began.elapsed()
}

impl Rig {
    pub(crate) fn new() -> Rc<Self> {
        let system = System::new();
        let (here, there, drivers) = system.block_on(async {
            let here = Arbiters::start(ArbitersConfig::Here, HubConfig::default()).await;
            let there = Arbiters::start(ArbitersConfig::Threads(2), HubConfig::default()).await;
            let driver = async |at: usize| {
                let id = AgentId::new(format!("driver/{at}")).expect("a name");
                let options = SpawnOptions { arbiter: Some(at), ..SpawnOptions::default() };
                let make = move |_: &Me| {
                    pin(at);
                    Driver
                };
                there.spawn(id, make, options).await.expect("it has a valid card")
            };
            let drivers = [driver(0).await, driver(1).await];
            (here, there, drivers)
        });
        let plain = system.block_on(async { [Arbiter::new(), Arbiter::new()] });
        for (at, arbiter) in plain.iter().enumerate() {
            arbiter.spawn_fn(move || pin(at));
        }
        Rc::new(Self { system, here, there, plain, drivers })
    }

    /// Measures a future that does the work on the calling thread.
    pub(crate) fn time(&self, work: impl Future<Output = ()>) -> Duration {
        self.system.block_on(timed(work))
    }

    /// Measures work on the first arbiter of the host.
    pub(crate) fn on_first<F: Future<Output = ()> + 'static>(
        &self,
        job: impl FnOnce() -> F + Send + 'static,
    ) -> Duration {
        let drive = Drive(Box::new(move || Box::pin(job())));
        self.system.block_on(self.drivers[0].ask(drive).within(LONGEST).into_future()).expect("the work ends")
    }

    /// Measures work on the first plain arbiter.
    pub(crate) fn on_first_plain<F: Future<Output = ()> + 'static>(
        &self,
        job: impl FnOnce() -> F + Send + 'static,
    ) -> Duration {
        let (answer, took) = oneshot::channel();
        self.plain[0].spawn_fn(move || {
            actix_rt::spawn(async move { answer.send(timed(job()).await) });
        });
        self.system.block_on(took).expect("the work ends")
    }

    /// Starts plain actors on a plain arbiter.
    pub(crate) fn start_plain<A>(
        &self,
        arbiter: usize,
        make: impl Fn() -> A + Send + 'static,
        count: usize,
    ) -> Vec<Addr<A>>
    where
        A: Actor<Context = Context<A>>,
    {
        let started = start_plain(&self.plain[arbiter], make, count);
        self.system.block_on(started).expect("the arbiter runs")
    }
}

/// Asks a plain arbiter to start actors; they come by the channel.
pub(crate) fn start_plain<A>(
    arbiter: &Arbiter,
    make: impl Fn() -> A + Send + 'static,
    count: usize,
) -> oneshot::Receiver<Vec<Addr<A>>>
where
    A: Actor<Context = Context<A>>,
{
    let (answer, started) = oneshot::channel();
    arbiter.spawn_fn(move || {
        let _ = answer.send((0..count).map(|_| make().start()).collect());
    });
    started
}
