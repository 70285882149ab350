//! flume: an unbounded channel for each agent, and a loop over them.

use std::sync::Arc;

use super::{Kind, Peer, troupe};
use crate::{
    lanes::Lanes,
    load::{Ear, Large, Load, Small},
    stage::{Crowd, Publish, Troupe},
    work::Payload,
};

pub(crate) struct Channels;

impl Peer for Channels {
    fn name(&self) -> &'static str {
        "flume"
    }

    fn package(&self) -> Option<&'static str> {
        Some("flume")
    }

    fn kind(&self) -> Kind {
        Kind::Channel
    }

    fn plays(&self, _: Crowd) -> bool {
        true
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        match payload {
            Payload::Copied16 => start::<Small>(crowd),
            Payload::Shared1024 => start::<Large>(crowd),
        }
    }
}

fn start<L: Load>(crowd: Crowd) -> Troupe {
    let lanes = Lanes::still();
    let make = async |topic| {
        let (sender, receiver) = ::flume::unbounded::<L>();
        let mut ear = Ear::new(topic);
        tokio::spawn(async move {
            while let Ok(load) = receiver.recv_async().await {
                ear.hear(load.value());
            }
        });
        sender
    };
    let topics: Vec<Arc<[_]>> = lanes.cast(crowd, make).into_iter().map(Arc::from).collect();
    troupe(lanes, move |topic| {
        let agents = topics[topic].clone();
        let publish = move |number| {
            let load = L::make(number);
            for agent in &*agents {
                assert!(agent.send(load.clone()).is_ok(), "the agent lives");
            }
        };
        Box::new(publish) as Publish
    })
}
