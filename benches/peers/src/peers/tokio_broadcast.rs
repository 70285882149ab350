//! tokio's broadcast channel, with a task for each agent: on two current-thread runtimes, and on a multi-thread one.

use tokio::sync::broadcast;

use super::{Kind, Peer, troupe};
use crate::{
    lanes::Lanes,
    load::{Ear, Large, Load, RoamingEar, Small},
    stage::{Crowd, Publish, Troupe},
    work::Payload,
};

/// Tasks that stay on their lane.
pub(crate) struct Still;
/// Tasks that move between the lanes.
pub(crate) struct Roaming;

impl Peer for Still {
    fn name(&self) -> &'static str {
        "tokio broadcast, two runtimes"
    }

    fn package(&self) -> Option<&'static str> {
        Some("tokio")
    }

    fn kind(&self) -> Kind {
        Kind::Channel
    }

    fn plays(&self, crowd: Crowd) -> bool {
        !crowd.is_one()
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        let make = |topic| {
            let mut ear = Ear::new(topic);
            move |value| ear.hear(value)
        };
        match payload {
            Payload::Copied16 => start::<Small, _>(Lanes::still(), crowd, make),
            Payload::Shared1024 => start::<Large, _>(Lanes::still(), crowd, make),
        }
    }
}

impl Peer for Roaming {
    fn name(&self) -> &'static str {
        "tokio broadcast, multi-thread"
    }

    fn package(&self) -> Option<&'static str> {
        Some("tokio")
    }

    fn kind(&self) -> Kind {
        Kind::Channel
    }

    fn plays(&self, crowd: Crowd) -> bool {
        !crowd.is_one()
    }

    fn start(&self, crowd: Crowd, payload: Payload) -> Troupe {
        let make = |topic| {
            let mut ear = RoamingEar::new(topic);
            move |value| ear.hear(value)
        };
        match payload {
            Payload::Copied16 => start::<Small, _>(Lanes::roaming(), crowd, make),
            Payload::Shared1024 => start::<Large, _>(Lanes::roaming(), crowd, make),
        }
    }
}

fn start<L: Load, H: FnMut(u64) + Send + 'static>(
    lanes: Lanes,
    crowd: Crowd,
    make: impl Fn(usize) -> H + Clone + Send + 'static,
) -> Troupe {
    // A window bounds what is on its way to all together; a single agent may fall behind by all of it, and must not lag.
    let window = usize::try_from(Still.steady(crowd)).expect("windows are small");
    let capacity = (window * crowd.agents).next_power_of_two();
    let senders: Vec<_> = (0..crowd.topics).map(|_| broadcast::channel::<L>(capacity).0).collect();
    let subscribed = senders.clone();
    lanes.cast(crowd, move |topic| {
        let (mut receiver, mut hear) = (subscribed[topic].subscribe(), make(topic));
        async move {
            tokio::spawn(async move {
                // A lagging receiver would end here, and what it misses be found missing.
                while let Ok(load) = receiver.recv().await {
                    hear(load.value());
                }
            });
        }
    });
    troupe(lanes, move |topic| {
        let sender = senders[topic].clone();
        let publish = move |number| {
            assert!(sender.send(L::make(number)).is_ok(), "the agents live");
        };
        Box::new(publish) as Publish
    })
}
