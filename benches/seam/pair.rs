//! [`Pair`]: the same work done by phalanx and by plain actix.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, Context};
use actix_rt::{Arbiter, SystemRunner};
use phalanx_actors::{
    inbox::HubConfig,
    router::{Arbiters, ArbitersConfig},
};
use tokio::sync::oneshot;

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

/// Where the work is done: the calling thread, two arbiters of a host, and two plain ones.
pub(crate) struct Rig {
    pub(crate) system: SystemRunner,
    pub(crate) here: Arbiters,
    pub(crate) there: Arbiters,
    pub(crate) plain: [Arbiter; 2],
}

impl Rig {
    pub(crate) fn new() -> Rc<Self> {
        let system = actix_rt::System::new();
        let (here, there, plain) = system.block_on(async {
            let here = Arbiters::start(ArbitersConfig::Here, HubConfig::default()).await;
            let there = Arbiters::start(ArbitersConfig::Threads(2), HubConfig::default()).await;
            (here, there, [Arbiter::new(), Arbiter::new()])
        });
        Rc::new(Self { system, here, there, plain })
    }

    /// Measures a future that does the work.
    pub(crate) fn time(&self, work: impl Future<Output = ()>) -> Duration {
        self.system.block_on(async {
            let began = Instant::now();
            work.await;
            began.elapsed()
        })
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
