//! ractor: a loop of `cast`, an output port, and a process group.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, OutputPort, pg};

use super::{Kind, Peer, troupe};
use crate::{
    lanes::Lanes,
    load::{Ear, Large, Load, Small},
    stage::{Crowd, Publish, Troupe},
    work::Payload,
};

struct Listener<L>(std::marker::PhantomData<fn(L)>);

impl<L: Load> Actor for Listener<L> {
    type Msg = L;
    type State = Ear;
    type Arguments = usize;

    async fn pre_start(&self, _: ActorRef<L>, topic: usize) -> Result<Ear, ActorProcessingErr> {
        Ok(Ear::new(topic))
    }

    async fn handle(&self, _: ActorRef<L>, load: L, ear: &mut Ear) -> Result<(), ActorProcessingErr> {
        ear.hear(load.value());
        Ok(())
    }
}

fn cast<L: Load>(lanes: &Lanes, crowd: Crowd) -> Vec<Arc<[ActorRef<L>]>> {
    let make = async |topic| {
        let listener = Listener::<L>(std::marker::PhantomData);
        let (agent, _) = Actor::spawn(None, listener, topic).await.expect("it starts without a fault");
        agent
    };
    lanes.cast(crowd, make).into_iter().map(Arc::from).collect()
}

pub(crate) struct Direct;
pub(crate) struct Port;
pub(crate) struct Group;

impl Peer for Direct {
    fn name(&self) -> &'static str {
        "ractor, cast"
    }

    fn package(&self) -> Option<&'static str> {
        Some("ractor")
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
    let topics = cast::<L>(&lanes, crowd);
    troupe(lanes, move |topic| {
        let agents = topics[topic].clone();
        let publish = move |number| {
            let load = L::make(number);
            for agent in &*agents {
                assert!(agent.cast(load.clone()).is_ok(), "the agent lives");
            }
        };
        Box::new(publish) as Publish
    })
}

impl Peer for Port {
    fn name(&self) -> &'static str {
        "ractor, output port"
    }

    fn package(&self) -> Option<&'static str> {
        Some("ractor")
    }

    fn kind(&self) -> Kind {
        Kind::Runtime
    }

    fn plays(&self, crowd: Crowd) -> bool {
        !crowd.is_one()
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        match payload {
            Payload::Copied16 => port::<Small>(crowd),
            Payload::Shared1024 => port::<Large>(crowd),
        }
    }
}

fn port<L: Load>(crowd: Crowd) -> Troupe {
    let lanes = Lanes::still();
    let topics = cast::<L>(&lanes, crowd);
    let ports: Vec<Arc<OutputPort<L>>> = topics
        .into_iter()
        .enumerate()
        .map(|(topic, agents)| {
            lanes.on(Crowd::publisher_lane(topic), async move {
                let port = OutputPort::default();
                agents.iter().for_each(|agent| port.subscribe(agent.clone(), Some));
                Arc::new(port)
            })
        })
        .collect();
    troupe(lanes, move |topic| {
        let port = ports[topic].clone();
        Box::new(move |number| port.send(L::make(number))) as Publish
    })
}

impl Peer for Group {
    fn name(&self) -> &'static str {
        "ractor, process group"
    }

    fn package(&self) -> Option<&'static str> {
        Some("ractor")
    }

    fn kind(&self) -> Kind {
        Kind::Runtime
    }

    fn plays(&self, crowd: Crowd) -> bool {
        !crowd.is_one()
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        match payload {
            Payload::Copied16 => group::<Small>(crowd),
            Payload::Shared1024 => group::<Large>(crowd),
        }
    }
}

fn group<L: Load>(crowd: Crowd) -> Troupe {
    let lanes = Lanes::still();
    for (topic, agents) in cast::<L>(&lanes, crowd).into_iter().enumerate() {
        pg::join(topic.to_string(), agents.iter().map(ActorRef::get_cell).collect());
    }
    troupe(lanes, move |topic| {
        let group = topic.to_string();
        let publish = move |number| {
            let load = L::make(number);
            for agent in pg::get_members(&group) {
                assert!(agent.send_message(load.clone()).is_ok(), "the agent lives");
            }
        };
        Box::new(publish) as Publish
    })
}
