//! xtra: a loop of `send`, and a broadcast to actors that share an address.

use std::sync::Arc;

use ::xtra::{Context, Handler, Mailbox};
use futures_util::FutureExt;

use super::{Kind, Peer, troupe};
use crate::{
    lanes::Lanes,
    load::{Ear, Large, Load, Small},
    stage::{Crowd, Publish, Troupe},
    work::Payload,
};

#[derive(::xtra::Actor)]
struct Listener(Ear);

impl<L: Load> Handler<L> for Listener {
    type Return = ();

    async fn handle(&mut self, load: L, _: &mut Context<Self>) {
        self.0.hear(load.value());
    }
}

pub(crate) struct Direct;
pub(crate) struct Broadcast;

impl Peer for Direct {
    fn name(&self) -> &'static str {
        "xtra, send"
    }

    fn package(&self) -> Option<&'static str> {
        Some("xtra")
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
    let make = async |topic| ::xtra::spawn_tokio(Listener(Ear::new(topic)), Mailbox::unbounded());
    let topics: Vec<Arc<[_]>> = lanes.cast(crowd, make).into_iter().map(Arc::from).collect();
    troupe(lanes, move |topic| {
        let agents = topics[topic].clone();
        let publish = move |number| {
            let load = L::make(number);
            for agent in &*agents {
                // There is always room, so the future is ready at once.
                let sent = agent.send(load.clone()).detach().now_or_never();
                assert!(matches!(sent, Some(Ok(_))), "the agent lives");
            }
        };
        Box::new(publish) as Publish
    })
}

impl Peer for Broadcast {
    fn name(&self) -> &'static str {
        "xtra, broadcast"
    }

    fn package(&self) -> Option<&'static str> {
        Some("xtra")
    }

    fn kind(&self) -> Kind {
        Kind::Runtime
    }

    /// What a broadcast costs each of its agents grows with their number: with 100,000 of them, four publications take
    /// minutes.
    fn plays(&self, crowd: Crowd) -> bool {
        !crowd.is_one() && crowd.agents <= 1_000
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        match payload {
            Payload::Copied16 => broadcast::<Small>(crowd),
            Payload::Shared1024 => broadcast::<Large>(crowd),
        }
    }
}

fn broadcast<L: Load>(crowd: Crowd) -> Troupe {
    let lanes = Lanes::still();
    let (addresses, mailboxes): (Vec<_>, Vec<_>) =
        (0..crowd.topics).map(|_| Mailbox::<Listener>::unbounded()).unzip();
    lanes.cast(crowd, move |topic| {
        let mailbox = mailboxes[topic].clone();
        async move {
            tokio::spawn(::xtra::run(mailbox, Listener(Ear::new(topic))));
        }
    });
    troupe(lanes, move |topic| {
        let address = addresses[topic].clone();
        let publish = move |number| {
            let sent = address.broadcast(L::make(number)).now_or_never();
            assert!(matches!(sent, Some(Ok(()))), "the agents live");
        };
        Box::new(publish) as Publish
    })
}
