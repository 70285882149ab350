//! One of many: what a decision takes, by each strategy, among few and among many. Nothing is sent.

use std::time::Instant;

use actix::prelude::*;
use phalanx_actors::{
    agent::{Agent, AgentId, Card, Me, Priority},
    inbox::{AgentRef, SendOptions},
    router::{Directory, Publisher, Reroute, Router, Selector, Strategy, Unicast},
    supervisor::SpawnOptions,
};

use crate::{
    pair::{Rig, Verdict},
    table::{self, Absolute},
};

/// How many decisions are timed together.
const BATCH: u32 = 1_000;

#[derive(Clone, Message)]
#[rtype(result = "()")]
struct Job;

/// Somewhere on Earth, with some priority.
struct Site {
    number: u32,
}

impl Actor for Site {
    type Context = Context<Self>;
}
impl Supervised for Site {}
impl Handler<Job> for Site {
    type Result = ();
    fn handle(&mut self, _: Job, _: &mut Context<Self>) {}
}
impl Agent for Site {
    fn card(&self) -> Card<Self> {
        // The golden angle spreads them evenly over the globe.
        let turn = f64::from(self.number) * 0.618_033_988_75;
        let latitude = (2.0 * f64::from(self.number % 997) / 997.0 - 1.0).asin().to_degrees();
        let priority = if self.number.is_multiple_of(2) { Priority::Normal } else { Priority::High };
        Card::new().at(latitude, 360.0 * turn.fract() - 180.0).priority(priority).accepts::<Job>()
    }
}

/// Agents that have all handled a message, so that they are measured, and a publisher to them.
fn sites(rig: &Rig, count: u32) -> (Vec<AgentRef<Site>>, Publisher<Job>) {
    let ids = (0..count).map(|n| AgentId::new(n.to_string()).expect("a name")).collect();
    let make = |me: &Me| Site { number: me.id.as_str().parse().expect("a number") };
    let agents = rig.system.block_on(rig.there.spawn_many(ids, make, SpawnOptions::default()));
    let agents = agents.expect("they have valid cards");
    let directory = Directory::new(rig.there.hub());
    let add = Reroute { add: agents.iter().map(AgentRef::handle).collect(), remove: Vec::new() };
    rig.system.block_on(async {
        let router = Router::new(directory.clone()).start();
        router.send(add).await.expect("the router lives");
        for agent in &agents {
            agent.tell_waiting(Job, SendOptions::new()).await.expect("it lives");
        }
        rig.there.hub().idle().await;
    });
    (agents, directory.publisher(&Selector::Everyone))
}

/// The median of a decision \[ns\].
fn measure(sites: &Publisher<Job>, strategy: Strategy, rounds: u32) -> f64 {
    let mut nanos = Vec::new();
    for round in 0..rounds {
        let begun = Instant::now();
        for n in 0..BATCH {
            let number = round * BATCH + n;
            let (latitude, longitude) = (f64::from(number % 179) - 89.0, f64::from(number % 359) - 179.0);
            let unicast = Unicast::new().by(strategy).key(&number).near(latitude, longitude);
            assert!(sites.decide(&Job, &unicast), "somebody is chosen");
        }
        nanos.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
    }
    table::median(&nanos)
}

/// The lines of the table.
pub(crate) fn lines(rig: &Rig, filter: &str, rounds: u32) -> Vec<Absolute> {
    let work = |strategy: Strategy, count: &str| format!("routing decision among {count}, {strategy}");
    let mut lines = Vec::new();
    for (count, name) in [(100, "100"), (100_000, "100,000")] {
        let wanted: Vec<Strategy> =
            Strategy::ALL.into_iter().filter(|strategy| work(*strategy, name).contains(filter)).collect();
        if wanted.is_empty() {
            continue;
        }
        let (agents, publisher) = sites(rig, count);
        for strategy in wanted {
            measure(&publisher, strategy, rounds / 10);
            let nanos = measure(&publisher, strategy, rounds);
            let has_target = matches!(strategy, Strategy::LoadBalanced | Strategy::Consistent);
            lines.push(Absolute {
                work: work(strategy, name),
                phalanx: table::shown(nanos, Verdict::Cost(None)),
                actix: "-".to_owned(),
                ratio: "-".to_owned(),
                target: if has_target { "below 1 us".to_owned() } else { "-".to_owned() },
                is_met: has_target.then_some(nanos < 1_000.0),
            });
        }
        agents.iter().for_each(AgentRef::kill);
        rig.system.block_on(async {
            for agent in &agents {
                agent.handle().ended().await;
            }
        });
    }
    lines
}
