//! kameo: a loop of `tell`, and the two of its own actors that send to many, pub/sub and broker.

use std::sync::Arc;

use glob::Pattern;
use kameo::{mailbox, prelude::*};
use kameo_actors::{DeliveryStrategy, broker, pubsub};

use super::{Kind, Peer, troupe};
use crate::{
    lanes::Lanes,
    load::{Ear, Large, Load, Small},
    stage::{Crowd, Publish, Troupe},
    work::Payload,
};

#[derive(kameo::Actor)]
struct Listener(Ear);

impl<L: Load> Message<L> for Listener {
    type Reply = ();

    async fn handle(&mut self, load: L, _: &mut Context<Self, ()>) {
        self.0.hear(load.value());
    }
}

fn cast(lanes: &Lanes, crowd: Crowd) -> Vec<Arc<[ActorRef<Listener>]>> {
    let make = async |topic| Listener::spawn_with_mailbox(Listener(Ear::new(topic)), mailbox::unbounded());
    lanes.cast(crowd, make).into_iter().map(Arc::from).collect()
}

pub(crate) struct Direct;
pub(crate) struct Published;
pub(crate) struct Brokered;

impl Peer for Direct {
    fn name(&self) -> &'static str {
        "kameo, tell"
    }

    fn package(&self) -> Option<&'static str> {
        Some("kameo")
    }

    fn kind(&self) -> Kind {
        Kind::Runtime
    }

    fn plays(&self, _: Crowd) -> bool {
        true
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        match payload {
            Payload::Copied16 => direct::<Small>(crowd),
            Payload::Shared1024 => direct::<Large>(crowd),
        }
    }
}

fn direct<L: Load>(crowd: Crowd) -> Troupe {
    let lanes = Lanes::still();
    let topics = cast(&lanes, crowd);
    troupe(lanes, move |topic| {
        let agents = topics[topic].clone();
        let publish = move |number| {
            let load = L::make(number);
            for agent in &*agents {
                assert!(agent.tell(load.clone()).try_send().is_ok(), "the agent lives");
            }
        };
        Box::new(publish) as Publish
    })
}

impl Peer for Published {
    fn name(&self) -> &'static str {
        "kameo, pub/sub"
    }

    fn package(&self) -> Option<&'static str> {
        Some("kameo_actors")
    }

    fn kind(&self) -> Kind {
        Kind::Runtime
    }

    fn plays(&self, crowd: Crowd) -> bool {
        !crowd.is_one()
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        match payload {
            Payload::Copied16 => published::<Small>(crowd),
            Payload::Shared1024 => published::<Large>(crowd),
        }
    }
}

fn published<L: Load>(crowd: Crowd) -> Troupe {
    let lanes = Lanes::still();
    let topics = cast(&lanes, crowd);
    let start = |(topic, agents): (usize, Arc<[ActorRef<Listener>]>)| {
        lanes.on(Crowd::publisher_lane(topic), async move {
            let hub = pubsub::PubSub::<L>::new(DeliveryStrategy::BestEffort);
            let hub = pubsub::PubSub::spawn_with_mailbox(hub, mailbox::unbounded());
            for agent in &*agents {
                hub.ask(pubsub::Subscribe(agent.clone())).send().await.expect("it takes subscriptions");
            }
            hub
        })
    };
    let hubs: Vec<_> = topics.into_iter().enumerate().map(start).collect();
    troupe(lanes, move |topic| {
        let hub = hubs[topic].clone();
        let publish = move |number| {
            assert!(hub.tell(pubsub::Publish(L::make(number))).try_send().is_ok(), "the hub lives");
        };
        Box::new(publish) as Publish
    })
}

impl Peer for Brokered {
    fn name(&self) -> &'static str {
        "kameo, broker"
    }

    fn package(&self) -> Option<&'static str> {
        Some("kameo_actors")
    }

    fn kind(&self) -> Kind {
        Kind::Runtime
    }

    fn plays(&self, crowd: Crowd) -> bool {
        !crowd.is_one()
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        match payload {
            Payload::Copied16 => brokered::<Small>(crowd),
            Payload::Shared1024 => brokered::<Large>(crowd),
        }
    }
}

/// One broker that knows all topics, as it is meant to be used.
fn brokered<L: Load>(crowd: Crowd) -> Troupe {
    let lanes = Lanes::still();
    let topics = cast(&lanes, crowd);
    let broker = lanes.on(0, async move {
        let broker = broker::Broker::<L>::new(DeliveryStrategy::BestEffort);
        let broker = broker::Broker::spawn_with_mailbox(broker, mailbox::unbounded());
        for (topic, agents) in topics.iter().enumerate() {
            let pattern = Pattern::new(&topic.to_string()).expect("a number is a pattern");
            for agent in &**agents {
                let recipient = agent.clone().recipient();
                let subscribe = broker::Subscribe { topic: pattern.clone(), recipient };
                broker.ask(subscribe).send().await.expect("it takes subscriptions");
            }
        }
        broker
    });
    troupe(lanes, move |topic| {
        let broker = broker.clone();
        let topic = topic.to_string();
        let publish = move |number| {
            let message = broker::Publish { topic: topic.clone(), message: L::make(number) };
            assert!(broker.tell(message).try_send().is_ok(), "the broker lives");
        };
        Box::new(publish) as Publish
    })
}
