//! The contract net: a manager asks for bids, the best bidder gets the task, and a bidder that fails is passed over.
//!
//! ```text
//!  manager ── ask_all("transport", CallForBids) ──> carriers ──> bids, or none
//!          └─ ask(best bidder, Award) ─────────────> carries it out, or breaks down
//! ```
//!
//! Run it with `cargo run --example contract`. It runs in virtual time: the same output every time.

use std::{error::Error, time::Duration};

use phalanx::{host::Gather, prelude::*};

/// A load to carry, and by when a bid is wanted.
#[derive(Clone, Message)]
#[rtype(result = "Option<Bid>")]
struct CallForBids {
    tonnes: u32,
}

/// What a carrier wants for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bid {
    price: u32,
}

/// The load is the carrier's.
#[derive(Clone, Message)]
#[rtype(result = "String")]
struct Award {
    tonnes: u32,
}

struct Carrier {
    me: Me,
    capacity: u32,
    rate: u32,
    breaks_down: bool,
}

impl Actor for Carrier {
    type Context = Context<Self>;
}

impl Supervised for Carrier {}

impl Handler<CallForBids> for Carrier {
    type Result = Option<Bid>;

    fn handle(&mut self, call: CallForBids, _: &mut Context<Self>) -> Option<Bid> {
        (call.tonnes <= self.capacity).then(|| Bid { price: call.tonnes * self.rate })
    }
}

impl Handler<Award> for Carrier {
    type Result = ResponseFuture<String>;

    fn handle(&mut self, award: Award, _: &mut Context<Self>) -> ResponseFuture<String> {
        assert!(!self.breaks_down, "{} broke down", self.me.id);
        let id = self.me.id.clone();
        let hours = Duration::from_secs(3_600) * award.tonnes;
        Box::pin(async move {
            actix::clock::sleep(hours).await;
            format!("{id} carried {} t in {} h", award.tonnes, hours.as_secs() / 3_600)
        })
    }
}

impl Agent for Carrier {
    fn card(&self) -> Card<Self> {
        Card::new().offers("transport").accepts::<CallForBids>().accepts::<Award>()
    }
}

async fn program(host: Host) -> Result<(), Box<dyn Error>> {
    let fleet =
        [("van", 2, 9, false), ("barge", 40, 2, true), ("truck", 20, 4, false), ("train", 90, 5, false)];
    for (id, capacity, rate, breaks_down) in fleet {
        let options = AgentOptions::default();
        host.spawn_with(id, options, move |me| Carrier { me: me.clone(), capacity, rate, breaks_down })
            .await?;
    }
    let tonnes = 12;
    let answers = host.ask_all("transport", CallForBids { tonnes }).gather(Gather::All).await?;
    let mut bids: Vec<(Bid, AgentId)> =
        answers.into_answered().filter_map(|(agent, bid)| Some((bid?, agent))).collect();
    bids.sort();
    for (bid, agent) in &bids {
        println!("{agent} bids {}", bid.price);
    }
    for (_, agent) in bids {
        // The work takes hours; an answer is waited for a day, which passes at once in virtual time.
        match host.agent(&agent)?.ask(Award { tonnes }).within(Duration::from_secs(86_400)).await {
            Ok(done) => {
                println!("{done}");
                break;
            }
            Err(error) => println!("{agent}: {error}; the next best gets it"),
        }
    }
    let report = host.shutdown(Duration::from_secs(5)).await;
    println!(
        "virtual time {}, {} failed, {} pending",
        report.at, report.ledger.failed, report.ledger.pending
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("?", String::as_str);
        println!("panic: {text}");
    }));
    simulate(7, program)
}
