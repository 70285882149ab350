//! The floor: no actors, no mailboxes. A walker on each lane takes what was published since it last looked, as one
//! `Arc<[M]>` for both lanes, and hands it to the plain structs of its lane in a loop.
//!
//! ```text
//!   publish ──> board of the topic ──> walker of the publisher's lane ──Arc<[M]>──> own ears
//!                                                    └───────────────Arc<[M]>──> walker of the other lane ──> its ears
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::{Kind, Peer, troupe};
use crate::{
    lanes::Lanes,
    load::{Ear, LANES, Large, Load, Small},
    stage::{Crowd, Publish, Troupe},
    work::Payload,
};

pub(crate) struct Floor;

impl Peer for Floor {
    fn name(&self) -> &'static str {
        "floor: a plain loop"
    }

    fn package(&self) -> Option<&'static str> {
        None
    }

    fn kind(&self) -> Kind {
        Kind::Floor
    }

    fn steady(&self, crowd: Crowd) -> u64 {
        match crowd.agents {
            ..=10 => 4_096,
            11..=1_000 => 1_024,
            _ => 128,
        }
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

/// What was published to a topic and no walker has taken yet.
struct Board<L> {
    waiting: Mutex<Vec<L>>,
    news: Notify,
}

impl<L> Board<L> {
    fn put(&self, load: L) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(load);
        if waiting.len() == 1 {
            drop(waiting);
            self.news.notify_one();
        }
    }

    async fn take(&self) -> Arc<[L]> {
        loop {
            let taken: Arc<[L]> =
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
            if !taken.is_empty() {
                return taken;
            }
            self.news.notified().await;
        }
    }
}

fn walk<L: Load>(ears: &mut [Ear], loads: &[L]) {
    for ear in ears {
        for load in loads {
            ear.hear(load.value());
        }
    }
}

fn start<L: Load>(crowd: Crowd) -> Troupe {
    let lanes = Lanes::still();
    let mut boards = Vec::new();
    for topic in 0..crowd.topics {
        let board = Arc::new(Board::<L> { waiting: Mutex::default(), news: Notify::new() });
        let (pass, mut passed) = mpsc::unbounded_channel::<Arc<[L]>>();
        let (home, other) = (Crowd::publisher_lane(topic), (topic + 1) % LANES);
        let (at_home, elsewhere) = (crowd.on_lane(home), crowd.on_lane(other));
        lanes.spawn(
            other,
            Box::pin(async move {
                let mut ears = vec![Ear::new(topic); elsewhere];
                while let Some(loads) = passed.recv().await {
                    walk(&mut ears, &loads);
                }
            }),
        );
        let news = board.clone();
        lanes.spawn(
            home,
            Box::pin(async move {
                let mut ears = vec![Ear::new(topic); at_home];
                loop {
                    let loads = news.take().await;
                    assert!(pass.send(loads.clone()).is_ok(), "the other walker lives");
                    walk(&mut ears, &loads);
                }
            }),
        );
        boards.push(board);
    }
    troupe(lanes, move |topic| {
        let board = boards[topic].clone();
        Box::new(move |number| board.put(L::make(number))) as Publish
    })
}
