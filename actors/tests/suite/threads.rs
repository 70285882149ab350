//! Exactness under threads.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use actix::prelude::*;
use phalanx_actors::{
    agent::{Agent, Card, Priority},
    inbox::{AgentHandle, OverflowPolicy, SendOptions},
    supervisor::{RestartPolicy, SpawnOptions},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::*;

#[derive(Clone, Message)]
#[rtype(result = "()")]
struct Token(u32);

/// Passes a token on until it is used up.
struct Link {
    next: Arc<Mutex<Option<AgentHandle>>>,
    ended: Arc<AtomicU64>,
}
impl Actor for Link {
    type Context = Context<Self>;
}
impl Supervised for Link {}
impl Handler<Token> for Link {
    type Result = ();
    fn handle(&mut self, Token(left): Token, _: &mut Context<Self>) {
        if left == 0 {
            self.ended.fetch_add(1, Ordering::SeqCst);
        } else {
            self.next.lock().unwrap().as_ref().unwrap().tell(Token(left - 1)).unwrap();
        }
    }
}
impl Agent for Link {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Token>()
    }
}

async fn ring(world: &World, size: usize, ended: &Arc<AtomicU64>) -> Vec<AgentHandle> {
    let mut nexts = Vec::new();
    let mut links = Vec::new();
    for at in 0..size {
        let next = Arc::new(Mutex::new(None));
        nexts.push(next.clone());
        let ended = ended.clone();
        let make = move |_: &phalanx_actors::agent::Me| Link { next: next.clone(), ended: ended.clone() };
        links.push(world.spawn(&format!("l{at}"), make, on(at % 2)).await.handle());
    }
    for (at, next) in nexts.iter().enumerate() {
        *next.lock().unwrap() = Some(links[(at + 1) % size].clone());
    }
    links
}

#[test]
fn idle_returns_only_when_a_token_has_gone_all_the_way() {
    threaded(async {
        let world = World::two().await;
        let ended = Arc::new(AtomicU64::new(0));
        let links = ring(&world, 7, &ended).await;
        links[0].tell(Token(100_000)).unwrap();
        world.hub().idle().await;
        assert_eq!(ended.load(Ordering::SeqCst), 1);
        assert_eq!(world.settled().await.delivered, 100_001);
        for round in 2..1_002 {
            links[round % 7].tell(Token(u32::try_from(round % 13).unwrap())).unwrap();
            world.hub().idle().await;
            assert_eq!(ended.load(Ordering::SeqCst), u64::try_from(round).unwrap());
        }
        for link in &links {
            link.kill();
        }
        world.arbiters.join();
    });
}

/// What one thread does to the agents of the stress, from its own seed.
fn annoy(agents: &[AgentHandle], topic: &phalanx_actors::router::Publisher<Do>, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..3_000 {
        let agent = &agents[random.random_range(0..agents.len())];
        let options = SendOptions::new()
            .priority([Priority::Low, Priority::Normal, Priority::Critical][random.random_range(0..3)]);
        let what = match random.random_range(0..100) {
            0..5 => Do::Panic,
            5..7 => Do::Spawned,
            7..9 => Do::Wait,
            _ => Do::Note(u32::try_from(seed).unwrap()),
        };
        // Refusals are part of the game; the ledger counts them.
        match random.random_range(0..2_000) {
            0 => agent.kill(),
            1 => agent.stop(),
            2..4 => drop(agent.tell(Do::Stop)),
            4..100 => drop(topic.publish_with(what, options)),
            100..300 => drop(agent.ask_by(
                what,
                options,
                phalanx_actors::agent::Timestamp::ZERO.plus(std::time::Duration::from_secs(60)),
            )),
            _ => drop(agent.tell_with(what, options)),
        }
    }
}

#[test]
fn the_ledger_balances_after_threads_told_published_asked_broke_and_killed_at_random() {
    for seed in 0..10 {
        println!("seed {seed}");
        threaded(async move {
            let world = World::two().await;
            let mut agents = Vec::new();
            for at in 0..24_u32 {
                let policy = [RestartPolicy::Permanent, RestartPolicy::Transient][at as usize % 2];
                let overflow = OverflowPolicy::ALL[at as usize % 4];
                let options = SpawnOptions {
                    inbox: inbox(1 + at * 3, overflow).inbox,
                    arbiter: Some(at as usize / 4 % 2),
                    ..tough(policy)
                };
                agents.push(world.actor(&format!("a{at}"), &Log::default(), options).await);
            }
            let handles: Vec<_> = agents.iter().map(phalanx_actors::inbox::AgentRef::handle).collect();
            let topic = world.topic("t", handles.clone()).await;
            let threads: Vec<_> = (0..3)
                .map(|thread| {
                    let (handles, topic) = (handles.clone(), topic.clone());
                    std::thread::spawn(move || annoy(&handles, &topic, seed * 10 + thread))
                })
                .collect();
            for round in 0..50 {
                let agent = world.actor(&format!("b{round}"), &Log::default(), SpawnOptions::default()).await;
                agent.tell(Do::Note(1)).unwrap();
            }
            for thread in threads {
                thread.join().unwrap();
            }
            let counts = world.settled().await;
            assert!(counts.sent > 9_000 && counts.delivered > 100, "{counts:?}");
            for agent in &agents {
                assert_eq!(agent.status().occupied, 0, "{agent:?} gave all places back");
            }
            world.arbiters.join();
        });
    }
}
