//! A host under everything at once, again and again: does its memory stay flat, and does its ledger balance?
//!
//! A few rounds by default; `SOAK=600 cargo test --release --test soak -- --nocapture` goes on for ten minutes. A binary of
//! its own, because the allocator counts for the whole process.

use std::{
    env,
    time::{Duration, Instant},
};

use peak_alloc::PeakAlloc;
use phalanx::{
    host::AgentOptions,
    inbox::{InboxConfig, OverflowPolicy, SendOptions},
    monitor::MonitorOptions,
    prelude::*,
    registrar::{BatcherOptions, RegistrarOptions},
    router::{ConfirmOptions, SubscribeOptions},
    supervisor::{Backoff, Intensity, Supervision},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// How many agents there are at any time.
const AGENTS: usize = 40;
/// How many rounds there are at least: in the first half, what is remembered within a bound grows to it.
const ROUNDS: usize = 120;
/// By how much more memory may be held in the last quarter of the rounds than in the third \[bytes\]: queues keep the
/// room that they needed at most, and how much that is depends on how the threads were scheduled. What stays of each
/// topic or of each agent may not be as much as a route or an inbox, for hundreds come and go from quarter to quarter.
const SLACK: usize = 192 * 1024;

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Job {
    number: u64,
    /// What it weighs.
    _content: String,
}

struct Node;

impl Actor for Node {
    type Context = Context<Self>;
}
impl Supervised for Node {}
impl Handler<Job> for Node {
    type Result = ();
    fn handle(&mut self, job: Job, context: &mut Context<Self>) {
        if job.number.is_multiple_of(997) {
            // A panic without the noise of one.
            std::panic::resume_unwind(Box::new("as the number says"));
        }
        if job.number.is_multiple_of(101) {
            context.wait(tokio::time::sleep(Duration::from_millis(1)).into_actor(self));
        }
    }
}
impl Agent for Node {
    fn card(&self) -> Card<Self> {
        Card::new().kind("node").accepts::<Job>()
    }
}

struct Soak {
    host: Host,
    dice: StdRng,
    agents: Vec<String>,
    spawned: u64,
    sent: u64,
    confirmed: u64,
    missed: u64,
}

impl Soak {
    async fn begin() -> Self {
        // What is remembered of the past is bounded: the bounds are met soon when they are low.
        let monitor = MonitorOptions { log_events: 256, remember_stopped: 64, ..MonitorOptions::default() };
        let batcher = BatcherOptions { remember: 64, ..BatcherOptions::default() };
        let registration = RegistrarOptions { batcher, changes: 64, ..RegistrarOptions::default() };
        let host = Host::builder().arbiters(2).seed(7).monitor(monitor).registration(registration);
        let host = host.start().await.unwrap();
        let dice = StdRng::seed_from_u64(7);
        let mut soak = Self { host, dice, agents: Vec::new(), spawned: 0, sent: 0, confirmed: 0, missed: 0 };
        for _ in 0..AGENTS {
            soak.spawn().await;
        }
        soak.flood().await;
        soak
    }

    async fn spawn(&mut self) {
        let policies = OverflowPolicy::ALL;
        let overflow = policies[self.dice.random_range(0..policies.len())];
        let options = AgentOptions {
            inbox: InboxConfig { capacity: 256, overflow, ..InboxConfig::default() },
            supervision: Supervision {
                intensity: Intensity { restarts: 1_000, within: Duration::from_secs(1) },
                backoff: Backoff::NONE,
                ..Supervision::default()
            },
            ..AgentOptions::default()
        };
        // Names of one length weigh the same at all times.
        let id = format!("node/{:09}", self.spawned);
        self.spawned += 1;
        self.host.spawn_with(&id, options, |_| Node).await.unwrap();
        self.agents.push(id);
        self.subscribe(self.agents.len() - 1).await;
    }

    /// Publishes more at once than any round does, so that queues have their room before anything is measured, and
    /// confirms more than the courier remembers.
    async fn flood(&mut self) {
        let always = self.host.topic::<Job>("always").unwrap();
        for _ in 0..12 {
            let mut receipts = Vec::new();
            for _ in 0..1_000 {
                self.sent += 2;
                let job = || Job { number: self.sent, _content: String::new() };
                // What is not taken is accounted for.
                _ = always.publish(job());
                receipts.extend(always.confirm(job()));
            }
            for receipt in receipts {
                receipt.await;
            }
            self.host.idle().await;
        }
    }

    async fn subscribe(&mut self, at: usize) {
        let filter = ["always", "passing.*", ">"][self.dice.random_range(0..3)];
        let mut options = SubscribeOptions::new().replay(self.dice.random_range(0..3));
        if self.dice.random_bool(0.2) {
            options = options.only(|job: &Job| job.number.is_multiple_of(2));
        }
        self.host.subscribe_with(filter, &self.agents[at], options).await.unwrap();
    }

    /// Replaces some agents and subscriptions, publishes some thousand messages, and waits until all is over.
    async fn round(&mut self) {
        for _ in 0..5 {
            let at = self.dice.random_range(0..self.agents.len());
            let agent = self.host.agent(self.agents.swap_remove(at)).unwrap();
            if self.dice.random_bool(0.5) {
                agent.kill();
            } else {
                agent.stop();
            }
            self.spawn().await;
            let at = self.dice.random_range(0..self.agents.len());
            let filter = ["always", "passing.*", ">"][self.dice.random_range(0..3)];
            self.host.unsubscribe(filter, &self.agents[at]).await.unwrap();
            self.subscribe(at).await;
        }
        let always = self.host.topic::<Job>("always").unwrap().keep_last(16);
        let mut receipts = Vec::new();
        for burst in 0..20 {
            // A topic that nobody will publish to any more.
            let passing = self.host.topic::<Job>(format!("passing.{:09}", self.sent)).unwrap();
            for _ in 0..100 {
                self.sent += 1;
                let job = Job { number: self.sent, _content: "x".repeat(self.dice.random_range(1..2_000)) };
                match self.sent % 10 {
                    // What is not taken is accounted for.
                    0 => _ = passing.publish(job),
                    1 => _ = passing.unicast(job),
                    2 => {
                        let confirm =
                            ConfirmOptions::new().backoff(Backoff::NONE).ttl(Duration::from_secs(2));
                        receipts.extend(always.confirm_with(job, confirm));
                    }
                    3 => _ = always.publish_with(job, SendOptions::new().ttl(Duration::from_millis(1))),
                    _ => _ = always.publish_waiting(job, SendOptions::new()).await,
                }
            }
            if burst % 4 == 0 {
                tokio::task::yield_now().await;
            }
        }
        for receipt in receipts {
            let receipt = receipt.await;
            self.confirmed += receipt.delivered() as u64;
            self.missed += receipt.missed().count() as u64;
        }
        self.host.idle().await;
        let ledger = self.host.ledger();
        assert!(ledger.balances() && ledger.pending == 0, "{ledger:?}");
        // A receipt is there a moment before its message is forgotten.
        let forgotten = async {
            while self.host.router().unconfirmed() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), forgotten)
            .await
            .expect("no message is followed up any more");
    }
}

#[expect(clippy::cast_precision_loss, reason = "a weight")]
fn bytes(weight: usize) -> f64 {
    weight as f64
}

fn mean(weights: &[usize]) -> f64 {
    bytes(weights.iter().sum::<usize>()) / bytes(weights.len())
}

#[test]
fn a_host_under_everything_at_once_keeps_its_memory_flat() {
    let seconds = env::var("SOAK").map_or(0, |seconds| seconds.parse().expect("SOAK is a number of seconds"));
    let lasting = Duration::from_secs(seconds);
    System::new().block_on(async {
        let mut soak = Soak::begin().await;
        let (mut weights, began) = (Vec::new(), Instant::now());
        while weights.len() < ROUNDS || began.elapsed() < lasting {
            soak.round().await;
            weights.push(ALLOCATOR.current_usage());
            if weights.len().is_multiple_of(ROUNDS) {
                println!(
                    "{:4.0} s, {} rounds: {} KiB; {} messages, {} confirmed, {} not",
                    began.elapsed().as_secs_f64(),
                    weights.len(),
                    weights.last().expect("pushed above") / 1024,
                    soak.sent,
                    soak.confirmed,
                    soak.missed,
                );
            }
        }
        let quarter = weights.len() / 4;
        let (third, last) = (&weights[2 * quarter..3 * quarter], &weights[3 * quarter..]);
        let growth = mean(last) - mean(third);
        println!("grown by {growth:.0} bytes from {:.0}", mean(third));
        assert!(growth < bytes(SLACK), "{growth:.0} bytes more: {weights:?}");
        assert!(soak.confirmed > 10 * soak.missed, "{} confirmed, {} not", soak.confirmed, soak.missed);
        soak.host.verify().unwrap();
        soak.host.shutdown(Duration::from_secs(5)).await;
    });
}
