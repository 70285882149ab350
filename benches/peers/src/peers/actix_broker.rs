//! actix-broker: messages issued to the broker of the system, which sends them on.
//!
//! It knows message types instead of topics, so each topic is a type here.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use actix::prelude::*;
use actix_broker::{Broker, BrokerSubscribe, SystemBroker};

use super::{Kind, Peer, troupe};
use crate::{
    lanes::Lanes,
    load::{Ear, Large, Load, Small, TOPICS},
    stage::{Crowd, Publish, Troupe},
    work::Payload,
};

/// A message of one topic.
#[derive(Clone)]
struct Tagged<L, const TOPIC: usize>(L);

impl<L: 'static, const TOPIC: usize> Message for Tagged<L, TOPIC> {
    type Result = ();
}

/// How many agents have asked for their subscription.
static SUBSCRIBED: AtomicUsize = AtomicUsize::new(0);

struct Listener {
    ear: Ear,
    subscribe: fn(&Self, &mut Context<Self>),
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        (self.subscribe)(self, context);
        SUBSCRIBED.fetch_add(1, Ordering::Release);
    }
}

impl<L: Load, const TOPIC: usize> Handler<Tagged<L, TOPIC>> for Listener {
    type Result = ();

    fn handle(&mut self, Tagged(load): Tagged<L, TOPIC>, _: &mut Context<Self>) {
        self.ear.hear(load.value());
    }
}

/// What is done to a topic, by its type.
struct Topic {
    subscribe: fn(&Listener, &mut Context<Listener>),
    issue: fn(u64),
}

fn topic<L: Load, const TOPIC: usize>() -> Topic {
    Topic {
        subscribe: |listener, context| {
            listener.subscribe_async::<SystemBroker, Tagged<L, TOPIC>>(context);
        },
        issue: |number| Broker::<SystemBroker>::issue_async(Tagged::<L, TOPIC>(L::make(number))),
    }
}

fn topics<L: Load>() -> [Topic; TOPICS] {
    [
        topic::<L, 0>(),
        topic::<L, 1>(),
        topic::<L, 2>(),
        topic::<L, 3>(),
        topic::<L, 4>(),
        topic::<L, 5>(),
        topic::<L, 6>(),
        topic::<L, 7>(),
        topic::<L, 8>(),
        topic::<L, 9>(),
    ]
}

pub(crate) struct SystemBrokered;

impl Peer for SystemBrokered {
    fn name(&self) -> &'static str {
        "actix-broker"
    }

    fn package(&self) -> Option<&'static str> {
        Some("actix-broker")
    }

    fn kind(&self) -> Kind {
        Kind::Runtime
    }

    fn plays(&self, crowd: Crowd) -> bool {
        !crowd.is_one()
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        match payload {
            Payload::Copied16 => start::<Small>(crowd),
            Payload::Shared1024 => start::<Large>(crowd),
        }
    }
}

fn start<L: Load>(crowd: Crowd) -> Troupe {
    let lanes = Lanes::actix();
    // The addresses are let go: the broker's recipients keep the agents.
    lanes.cast(crowd, async |topic| {
        let listener = Listener { ear: Ear::new(topic), subscribe: topics::<L>()[topic].subscribe };
        listener.start();
    });
    while SUBSCRIBED.load(Ordering::Acquire) < crowd.topics * crowd.agents {
        std::thread::sleep(Duration::from_millis(1));
    }
    troupe(lanes, move |topic| {
        let issue = topics::<L>()[topic].issue;
        Box::new(issue) as Publish
    })
}
