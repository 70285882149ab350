//! Plain actix: a loop of `do_send`.

use std::sync::Arc;

use actix::prelude::*;

use super::{Kind, Peer, troupe};
use crate::{
    lanes::Lanes,
    load::{Ear, Large, Load, Small},
    stage::{Crowd, Publish, Troupe},
    work::Payload,
};

struct Listener(Ear);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl<L: Load + Message<Result = ()>> Handler<L> for Listener {
    type Result = ();

    fn handle(&mut self, load: L, _: &mut Context<Self>) {
        self.0.hear(load.value());
    }
}

pub(crate) struct DoSend;

impl Peer for DoSend {
    fn name(&self) -> &'static str {
        "actix, do_send"
    }

    fn package(&self) -> Option<&'static str> {
        Some("actix")
    }

    fn kind(&self) -> Kind {
        Kind::Runtime
    }

    fn steady(&self, crowd: Crowd) -> u64 {
        match crowd.agents {
            ..=10 => 4_096,
            11..=1_000 => 256,
            _ => 8,
        }
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

fn start<L: Load + Message<Result = ()>>(crowd: Crowd) -> Troupe {
    let lanes = Lanes::actix();
    let topics = lanes.cast(crowd, async |topic| Listener(Ear::new(topic)).start());
    let topics: Vec<Arc<[_]>> = topics.into_iter().map(Arc::from).collect();
    troupe(lanes, move |topic| {
        let agents = topics[topic].clone();
        let publish = move |number| {
            let load = L::make(number);
            agents.iter().for_each(|agent| agent.do_send(load.clone()));
        };
        Box::new(publish) as Publish
    })
}
