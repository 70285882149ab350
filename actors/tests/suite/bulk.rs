//! Large payloads: in chunks, no faster than they are taken, and never ahead of anything else.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use phalanx_actors::{
    agent::{Agent, Card},
    inbox::OverflowPolicy,
    router::{Assembler, BulkError, BulkOptions, Chunk, ConfirmOptions, MAX_BULK, Publisher, Selector},
    supervisor::SpawnOptions,
};

use crate::support::*;

/// Keeps what it is sent, a chunk in so many milliseconds.
struct Archive {
    assembler: Assembler,
    payloads: Arc<Mutex<Vec<Vec<u8>>>>,
    on_its_way: Arc<AtomicU32>,
    takes: u64,
    log: Log,
}

impl Actor for Archive {
    type Context = Context<Self>;
}
impl Supervised for Archive {}
impl Handler<Chunk> for Archive {
    type Result = ();
    fn handle(&mut self, chunk: Chunk, context: &mut Context<Self>) {
        self.log.add(format!("{}", chunk.number()));
        self.on_its_way.store(chunk.number(), Ordering::SeqCst);
        self.payloads.lock().unwrap().extend(self.assembler.take(&chunk));
        context.wait(tokio::time::sleep(Duration::from_millis(self.takes)).into_actor(self));
    }
}
impl Handler<Do> for Archive {
    type Result = u32;
    fn handle(&mut self, what: Do, _: &mut Context<Self>) -> u32 {
        self.log.add(format!("{what:?}"));
        0
    }
}
impl Agent for Archive {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Chunk>().accepts::<Do>()
    }
}

struct Kept {
    payloads: Arc<Mutex<Vec<Vec<u8>>>>,
    on_its_way: Arc<AtomicU32>,
    log: Log,
}

async fn archive(world: &World, id: &str, takes: u64, options: SpawnOptions) -> Kept {
    let kept = Kept { payloads: Arc::default(), on_its_way: Arc::default(), log: Log::default() };
    let (payloads, on_its_way, log) = (kept.payloads.clone(), kept.on_its_way.clone(), kept.log.clone());
    let make = move |_: &_| Archive {
        assembler: Assembler::default(),
        payloads: payloads.clone(),
        on_its_way: on_its_way.clone(),
        takes,
        log: log.clone(),
    };
    let agent = world.spawn(id, make, options).await;
    world.enlist([agent.handle()]).await;
    kept
}

fn everyone(world: &World) -> Publisher<Chunk> {
    world.directory.publisher(&Selector::Everyone)
}

fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn a_large_payload_arrives_whole_at_every_recipient_at_the_pace_of_the_slowest() {
    paused(async {
        let world = World::here().await;
        let quick = archive(&world, "quick", 0, SpawnOptions::default()).await;
        let slow = archive(&world, "slow", 10, SpawnOptions::default()).await;
        let (sent, all) = (payload(1_000), everyone(&world));
        let options = BulkOptions::new().chunk(64).window(4);
        let sending = async { all.bulk(sent.clone(), options).await.unwrap() };
        let watching = async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let ahead = quick.on_its_way.load(Ordering::SeqCst);
                assert!(
                    ahead <= slow.on_its_way.load(Ordering::SeqCst) + 4,
                    "the quick one is ahead by a window"
                );
                if quick.payloads.lock().unwrap().len() == 1 {
                    break;
                }
            }
        };
        let (receipt, ()) = tokio::join!(sending, watching);
        assert!(receipt.is_complete());
        assert_eq!((receipt.chunks, receipt.recipients), (16, 2));
        for kept in [quick, slow] {
            assert_eq!(*kept.payloads.lock().unwrap(), std::slice::from_ref(&sent));
        }
        world.settled().await;
    });
}

#[test]
fn chunks_are_never_ahead_of_anything_else() {
    paused(async {
        let world = World::here().await;
        let kept = archive(&world, "a", 1, SpawnOptions::default()).await;
        let all = everyone(&world);
        let agent = world.directory.agent(&name("a")).unwrap();
        let sending = async { all.bulk(payload(10), BulkOptions::new().chunk(1).window(10)).await.unwrap() };
        let telling = async {
            tokio::time::sleep(Duration::from_millis(3)).await;
            agent.tell(Do::Note(1)).unwrap();
        };
        tokio::join!(sending, telling);
        let log = kept.log.take();
        let at = log.iter().position(|line| line == "Note(1)").unwrap();
        assert!(at <= 5, "it passed the chunks that waited: {log:?}");
    });
}

#[test]
fn who_misses_chunks_is_named_and_the_others_have_them_all() {
    paused(async {
        let world = World::here().await;
        let open = archive(&world, "open", 0, SpawnOptions::default()).await;
        let full = archive(&world, "full", 60_000, inbox(1, OverflowPolicy::Reject)).await;
        let confirm = ConfirmOptions::new().retries(1);
        let options = BulkOptions::new().chunk(10).confirm(confirm);
        let receipt = everyone(&world).bulk(payload(30), options).await.unwrap();
        assert!(!receipt.is_complete());
        assert_eq!(receipt.missed.iter().map(|(id, n)| (id.as_str(), *n)).collect::<Vec<_>>(), [("full", 1)]);
        assert_eq!(open.payloads.lock().unwrap().len(), 1);
        assert!(full.payloads.lock().unwrap().is_empty());
    });
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    paused(async {
        let world = World::here().await;
        let all = everyone(&world);
        let error = |options| {
            let all = all.clone();
            async move { all.bulk(payload(10), options).await.unwrap_err().to_string() }
        };
        assert!(error(BulkOptions::new().chunk(0)).await.contains("choose 1 to 16777216"));
        assert!(error(BulkOptions::new().window(0)).await.contains("choose 1 to 1024"));
        let nobody = error(BulkOptions::new()).await;
        assert!(nobody.starts_with("chunk 0 of 1 was not sent: nobody is on everyone (Chunk)"), "{nobody}");
        let large = all.bulk(vec![0; MAX_BULK + 1], BulkOptions::new()).await.unwrap_err();
        assert!(matches!(large, BulkError::TooLarge { bytes } if bytes == MAX_BULK + 1), "{large}");
        assert_eq!(world.settled().await.sent, 0);
    });
}
