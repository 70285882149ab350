//! One to many: a publication for every agent on two arbiters, beside a loop of `do_send`.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, Addr, Handler, Message, dev::ToEnvelope};
use phalanx_actors::{
    agent::AgentId,
    inbox::{AgentRef, InboxConfig},
    router::{Directory, PublishError, Publisher, Reroute, Router, Selector},
    supervisor::SpawnOptions,
};

use crate::{
    actors::{Count, Counter, Large, LargeArc, Small},
    pair::{Pair, Rig, Run, Verdict},
};

/// After so many looks without a delivery something was lost, and waiting on is in vain.
const STALLED: u64 = 100_000_000;

/// How many publications may be on their way.
#[derive(Clone, Copy)]
struct Window {
    name: &'static str,
    phalanx: u64,
    actix: u64,
}

/// What a publication carries.
#[derive(Clone, Copy, PartialEq)]
enum Payload {
    Copied16,
    Shared1024,
}

/// Keeps a window of publications on their way.
struct Flow {
    before: u64,
    seen: u64,
    agents: u64,
    window: u64,
    stalled: u64,
}

impl Flow {
    fn new(agents: u64, window: u64) -> Self {
        Self { before: Count::total(), seen: 0, agents, window, stalled: 0 }
    }

    /// Waits until publication `n` fits in.
    fn admit(&mut self, n: u64) {
        while (n + 1) * self.agents > self.seen + self.window * self.agents {
            self.look();
        }
    }

    fn finish(&mut self, publications: u64) {
        while self.seen < publications * self.agents {
            self.look();
        }
    }

    fn look(&mut self) {
        let seen = Count::total() - self.before;
        if seen == self.seen {
            self.stalled += 1;
            assert!(self.stalled < STALLED, "{seen} deliveries, and no more come");
            std::thread::yield_now();
        } else {
            self.stalled = 0;
        }
        self.seen = seen;
    }
}

fn publish<M: Message + Send + Sync + 'static>(publisher: &Publisher<M>, mut message: M) {
    while let Err(PublishError { message: Some(back), .. }) = publisher.publish(message) {
        message = back;
        std::thread::yield_now();
    }
}

fn plain<M>(addresses: &[Addr<Counter>], message: &M)
where
    M: Message<Result = ()> + Clone + Send + 'static,
    Counter: Handler<M>,
    <Counter as Actor>::Context: ToEnvelope<Counter, M>,
{
    for address in addresses {
        address.do_send(message.clone());
    }
}

#[expect(clippy::cast_possible_truncation, reason = "any byte will do")]
fn block(n: u64) -> [u8; 1024] {
    [n as u8; 1024]
}

fn phalanx(rig: &Rc<Rig>, agents: u64, payload: Payload, window: u64) -> Run {
    let ids = (0..agents).map(|n| AgentId::new(format!("counter/{n}")).expect("a name")).collect();
    // The window bounds what is on its way to all; a single agent may fall far behind the others.
    let mut options = SpawnOptions::default();
    options.inbox.capacity = InboxConfig::MAX_CAPACITY;
    let spawned = rig.there.spawn_many(ids, |_| Counter::new(), options);
    let spawned = rig.system.block_on(spawned).expect("they have valid cards");
    let directory = Directory::new(rig.there.hub());
    let add = Reroute { add: spawned.iter().map(AgentRef::handle).collect(), remove: Vec::new() };
    let routed = rig.system.block_on(async {
        let router = Router::new(directory.clone()).start();
        router.send(add).await.expect("the router lives")
    });
    assert!(routed.taken.is_empty(), "every id is its agent's own");
    let small = directory.publisher::<Small>(&Selector::Everyone);
    let large = directory.publisher::<Large>(&Selector::Everyone);
    let owned = Owned { rig: rig.clone(), agents: spawned };
    Box::new(move |publications| {
        owned.rig.time(async {
            let mut flow = Flow::new(agents, window);
            for n in 0..publications {
                flow.admit(n);
                match payload {
                    Payload::Copied16 => publish(&small, Small(n, 1)),
                    Payload::Shared1024 => publish(&large, Large(block(n))),
                }
            }
            flow.finish(publications);
        })
    })
}

fn actix(rig: &Rc<Rig>, agents: u64, payload: Payload, window: u64) -> Run {
    let half = usize::try_from(agents / 2).expect("it fits");
    let first = rig.start_plain(0, Counter::new, half);
    let second = rig.start_plain(1, Counter::new, half);
    // Alternating, as a list of agents that took turns among the arbiters would be.
    let addresses: Vec<_> = first.into_iter().zip(second).flat_map(|(a, b)| [a, b]).collect();
    let rig = rig.clone();
    Box::new(move |publications| {
        rig.time(async {
            let mut flow = Flow::new(agents, window);
            for n in 0..publications {
                flow.admit(n);
                match payload {
                    Payload::Copied16 => plain(&addresses, &Small(n, 1)),
                    Payload::Shared1024 => plain(&addresses, &LargeArc(Arc::new(block(n)))),
                }
            }
            flow.finish(publications);
        })
    })
}

/// Agents that are stopped when they are not needed any more.
struct Owned {
    rig: Rc<Rig>,
    agents: Vec<AgentRef<Counter>>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.agents.iter().for_each(AgentRef::kill);
        let pause = Duration::from_micros(10) * u32::try_from(self.agents.len()).unwrap_or(u32::MAX);
        self.rig.time(async { tokio::time::sleep(pause).await });
    }
}

fn pair(rig: &Rc<Rig>, agents: u64, payload: Payload, window: Window, least: Option<f64>) -> Pair {
    let what = if payload == Payload::Copied16 { "16 B copied" } else { "1 KiB shared" };
    let count = match agents {
        1_000 => "1,000".to_owned(),
        100_000 => "100,000".to_owned(),
        other => other.to_string(),
    };
    let rig = rig.clone();
    Pair {
        name: format!("fan-out to {count}, {what}, {} window", window.name),
        verdict: Verdict::Rate(least),
        messages: agents,
        least: [window.phalanx, window.actix],
        make: Box::new(move || {
            (phalanx(&rig, agents, payload, window.phalanx), actix(&rig, agents, payload, window.actix))
        }),
    }
}

pub(crate) fn pairs(rig: &Rc<Rig>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    // Steady: enough on its way to fill batches on the one side, and for the other what it does best with; small: the
    // same few for both.
    for (agents, steady, small, least) in [
        (10, Window { name: "steady", phalanx: 4_096, actix: 4_096 }, 64, None),
        (1_000, Window { name: "steady", phalanx: 1_024, actix: 256 }, 64, Some(50.0)),
        (100_000, Window { name: "steady", phalanx: 128, actix: 8 }, 4, None),
    ] {
        let small = Window { name: "small", phalanx: small, actix: small };
        for payload in [Payload::Copied16, Payload::Shared1024] {
            pairs.push(pair(rig, agents, payload, steady, least));
            pairs.push(pair(rig, agents, payload, small, None));
        }
    }
    pairs
}
