//! phalanx: a host with two arbiters, one topic for each publisher.

use std::{sync::mpsc, thread};

use ::phalanx::{
    agent::{Agent, AgentId, Card, Delivery, Me},
    host::{AgentOptions, Host},
    inbox::{AgentRef, InboxConfig},
    router::Publisher,
};
use actix::prelude::*;

use super::{Kind, Peer};
use crate::{
    load::{self, Block, Ear, LANES, Load, Small},
    stage::{Crowd, Job, Publish, Troupe},
    work::Payload,
};

struct Listener(Ear);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Supervised for Listener {}

impl Handler<Small> for Listener {
    type Result = ();

    fn handle(&mut self, small: Small, _: &mut Context<Self>) {
        self.0.hear(small.value());
    }
}

impl Handler<Delivery<Block>> for Listener {
    type Result = ();

    fn handle(&mut self, block: Delivery<Block>, _: &mut Context<Self>) {
        self.0.hear(block.value());
    }
}

impl Agent for Listener {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Small>().accepts_delivery::<Block>()
    }
}

/// Runs tasks on its arbiter.
struct Driver;

#[derive(Message)]
#[rtype(result = "()")]
struct Drive(Job);

impl Actor for Driver {
    type Context = Context<Self>;
}

impl Supervised for Driver {}

impl Handler<Drive> for Driver {
    type Result = ();

    fn handle(&mut self, Drive(job): Drive, _: &mut Context<Self>) {
        actix_rt::spawn(job);
    }
}

impl Agent for Driver {
    fn card(&self) -> Card<Self> {
        Card::new()
    }
}

pub(crate) struct Phalanx;

impl Peer for Phalanx {
    fn name(&self) -> &'static str {
        "phalanx"
    }

    fn package(&self) -> Option<&'static str> {
        Some("phalanx")
    }

    fn kind(&self) -> Kind {
        Kind::Phalanx
    }

    fn steady(&self, crowd: Crowd) -> u64 {
        match crowd.agents {
            ..=10 => 4_096,
            11..=1_000 => 1_024,
            _ => 128,
        }
    }

    fn plays(&self, _: Crowd) -> bool {
        true
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            System::new().block_on(async move {
                tell.send(House::open(crowd).await).expect("somebody waits for it");
                std::future::pending::<()>().await;
            });
        });
        let House { host, drivers, agents } = told.recv().expect("the host starts");
        let spawn = move |lane: usize, job| {
            assert!(drivers[lane].tell(Drive(job)).is_ok(), "the driver takes it");
        };
        let publisher = move |topic| {
            if crowd.is_one() {
                return teller(agents[0].clone(), payload);
            }
            let topic = name(topic);
            match payload {
                Payload::Copied16 => publish(host.topic(topic).expect("a name"), Small::make),
                Payload::Shared1024 => publish(host.topic(topic).expect("a name"), Block::make),
            }
        };
        Troupe { publisher: Box::new(publisher), spawn: Box::new(spawn) }
    }
}

/// The name of a topic.
fn name(topic: usize) -> String {
    format!("topic-{topic}")
}

/// A host with its agents.
struct House {
    host: Host,
    drivers: Vec<AgentRef<Driver>>,
    agents: Vec<AgentRef<Listener>>,
}

impl House {
    async fn open(crowd: Crowd) -> Self {
        let host = Host::builder().arbiters(LANES).start().await.expect("the host starts");
        let mut drivers = Vec::new();
        for lane in 0..LANES {
            let options = AgentOptions { arbiter: Some(lane), ..AgentOptions::default() };
            let make = move |_: &Me| {
                load::enter_lane(lane);
                Driver
            };
            let driver = host.spawn_with(format!("driver/{lane}"), options, make).await;
            drivers.push(driver.expect("its card is valid"));
        }
        // The window bounds what is on its way to all; a single agent may fall far behind the others.
        let inbox = InboxConfig { capacity: InboxConfig::MAX_CAPACITY, ..InboxConfig::default() };
        let arbiter = crowd.is_one().then_some(crowd.first_lane);
        let options = AgentOptions { inbox, arbiter, ..AgentOptions::default() };
        let mut all = Vec::new();
        for topic in 0..crowd.topics {
            let id = |agent| AgentId::new(format!("listener/{topic}/{agent}")).expect("a name");
            let ids = (0..crowd.agents).map(id).collect();
            let agents = host.spawn_many(ids, options.clone(), move |_| Listener(Ear::new(topic))).await;
            let agents = agents.expect("their cards are valid");
            for agent in &agents {
                host.subscribe(name(topic), agent.id().as_str()).await.expect("it is there");
            }
            all.extend(agents);
        }
        Self { host, drivers, agents: all }
    }
}

fn publish<M: Message + Send + Sync + 'static>(publisher: Publisher<M>, make: fn(u64) -> M) -> Publish {
    Box::new(move |number| {
        assert!(publisher.publish(make(number)).is_ok(), "the window fits into the log");
    })
}

fn teller(agent: AgentRef<Listener>, payload: Payload) -> Publish {
    Box::new(move |number| {
        let is_taken = match payload {
            Payload::Copied16 => agent.tell(Small::make(number)).is_ok(),
            Payload::Shared1024 => agent.tell(Block::make(number)).is_ok(),
        };
        assert!(is_taken, "the inbox has room");
    })
}
