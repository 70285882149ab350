//! One to many: a publication for every agent on two arbiters, beside a loop of `do_send`.
//!
//! The publisher is a task on one of the two arbiters, which is what plain actix does best with: half of its messages
//! cross no thread. A third thread that publishes makes it three times as slow.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, Addr, Handler, Message, dev::ToEnvelope};
use phalanx_actors::{
    agent::AgentId,
    inbox::{AgentRef, InboxConfig},
    router::{Directory, Reroute, Router, Selector},
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

/// Who publishes.
#[derive(Clone, Copy, PartialEq)]
enum From {
    /// A task on the first of the two arbiters that the agents live on.
    Arbiter,
    /// A third thread.
    Outside,
}

impl From {
    /// Lets others go on.
    async fn pause(self) {
        match self {
            From::Arbiter => tokio::task::yield_now().await,
            From::Outside => std::thread::yield_now(),
        }
    }
}

/// One way to publish to many agents.
#[derive(Clone, Copy)]
struct Work {
    agents: u64,
    payload: Payload,
    from: From,
    window: u64,
    /// Whether each publication is to be confirmed by all.
    confirms: bool,
}

impl Work {
    /// Publishes so often, with a window of publications on their way, and waits until all have been handled.
    async fn flow(self, publications: u64, mut publish: impl FnMut(u64)) {
        let Self { agents, from, window, .. } = self;
        let before = Count::total();
        let (mut seen, mut stalled) = (0, 0);
        // One look more than there are publications: the last waits for all.
        for n in 0..=publications {
            let wanted =
                if n < publications { (n + 1).saturating_sub(window) } else { publications } * agents;
            while seen < wanted {
                let now = Count::total() - before;
                stalled = if now == seen { stalled + 1 } else { 0 };
                assert!(stalled < STALLED, "{now} deliveries, and no more come");
                seen = now;
                if seen < wanted {
                    from.pause().await;
                }
            }
            if n < publications {
                publish(n);
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "any byte will do")]
fn block(n: u64) -> [u8; 1024] {
    [n as u8; 1024]
}

fn phalanx(rig: &Rc<Rig>, work: Work) -> Run {
    let ids = (0..work.agents).map(|n| AgentId::new(format!("counter/{n}")).expect("a name")).collect();
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
        let (small, large, directory) = (small.clone(), large.clone(), directory.clone());
        let job = async move || {
            let publish = |n| {
                let published = match (work.payload, work.confirms) {
                    (Payload::Copied16, false) => small.publish(Small(n, 1)).is_ok(),
                    (Payload::Copied16, true) => small.confirm(Small(n, 1)).is_ok(),
                    (Payload::Shared1024, false) => large.publish(Large(block(n))).is_ok(),
                    (Payload::Shared1024, true) => large.confirm(Large(block(n))).is_ok(),
                };
                assert!(published, "the window fits into the log");
            };
            work.flow(publications, publish).await;
            // The last receipts.
            while directory.unconfirmed() > 0 {
                work.from.pause().await;
            }
        };
        match work.from {
            From::Arbiter => owned.rig.on_first(job),
            From::Outside => owned.rig.time(job()),
        }
    })
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

fn actix(rig: &Rc<Rig>, work: Work) -> Run {
    let half = usize::try_from(work.agents / 2).expect("it fits");
    let first = rig.start_plain(0, Counter::new, half);
    let second = rig.start_plain(1, Counter::new, half);
    // Alternating, as a list of agents that took turns among the arbiters would be.
    let addresses: Arc<[_]> = first.into_iter().zip(second).flat_map(|(a, b)| [a, b]).collect();
    let rig = rig.clone();
    Box::new(move |publications| {
        let addresses = addresses.clone();
        let job = move || {
            work.flow(publications, move |n| match work.payload {
                Payload::Copied16 => plain(&addresses, &Small(n, 1)),
                Payload::Shared1024 => plain(&addresses, &LargeArc(Arc::new(block(n)))),
            })
        };
        match work.from {
            From::Arbiter => rig.on_first_plain(job),
            From::Outside => rig.time(job()),
        }
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

fn pair(rig: &Rc<Rig>, work: Work, window: Window, least: Option<f64>) -> Pair {
    let what = if work.payload == Payload::Copied16 { "16 B copied" } else { "1 KiB shared" };
    let count = match work.agents {
        1_000 => "1,000".to_owned(),
        100_000 => "100,000".to_owned(),
        other => other.to_string(),
    };
    let from = if work.from == From::Outside { ", from outside" } else { "" };
    let rig = rig.clone();
    Pair {
        name: format!("fan-out to {count}, {what}, {} window{from}", window.name),
        verdict: Verdict::Rate(least),
        messages: work.agents,
        least: [window.phalanx, window.actix],
        make: Box::new(move || {
            let [ours, theirs] = [window.phalanx, window.actix].map(|window| Work { window, ..work });
            (phalanx(&rig, ours), actix(&rig, theirs))
        }),
    }
}

/// The same with every publication confirmed by all, beside phalanx without.
fn confirmed(rig: &Rc<Rig>, work: Work) -> Pair {
    let what = if work.payload == Payload::Copied16 { "16 B copied" } else { "1 KiB shared" };
    let rig = rig.clone();
    Pair {
        name: format!("confirmed fan-out to 1,000, {what}, beside phalanx without"),
        verdict: Verdict::Rate(Some(0.5)),
        messages: work.agents,
        least: [work.window, work.window],
        make: Box::new(move || (phalanx(&rig, Work { confirms: true, ..work }), phalanx(&rig, work))),
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
            let work = Work { agents, payload, from: From::Arbiter, window: 0, confirms: false };
            pairs.push(pair(rig, work, steady, least));
            pairs.push(pair(rig, work, small, None));
            if agents == 1_000 {
                pairs.push(pair(rig, Work { from: From::Outside, ..work }, steady, least));
                pairs.push(confirmed(rig, Work { window: steady.phalanx, ..work }));
            }
        }
    }
    pairs
}
