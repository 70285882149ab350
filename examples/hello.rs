//! Three sellers, one question, one publication: the shortest program that hosts agents.
//!
//! ```text
//!  host ── ask_all("sell", Cfp) ──> seller/0, seller/1, seller/2 ──> one row each
//!       └─ topic "rfq" ──────────> those that subscribed
//! ```
//!
//! Run it with `cargo run --example hello`.

use std::{error::Error, time::Duration};

use phalanx::prelude::*;

#[derive(Clone, Message)]
#[rtype(result = "Option<u32>")]
struct Cfp {
    job: u32,
}

struct Seller {
    price: u32,
}

impl Actor for Seller {
    type Context = Context<Self>;
}

impl Supervised for Seller {}

impl Handler<Cfp> for Seller {
    type Result = Option<u32>;

    fn handle(&mut self, cfp: Cfp, _: &mut Context<Self>) -> Option<u32> {
        (cfp.job != 0).then_some(self.price)
    }
}

impl Agent for Seller {
    fn card(&self) -> Card<Self> {
        Card::new().offers("sell").accepts::<Cfp>()
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let host = Host::start().await?;
    for i in 0..3 {
        let id = format!("seller/{i}");
        host.spawn(&id, move || Seller { price: 10 + i }).await?;
        host.subscribe("rfq", &id).await?;
    }
    let bids = host.ask_all("sell", Cfp { job: 1 }).within(Duration::from_millis(500)).await?;
    for bid in bids {
        println!("{}: {:?}", bid.agent, bid.answer);
    }
    let published = host.topic::<Cfp>("rfq")?.publish(Cfp { job: 2 })?;
    println!("published to {} subscribers", published.recipients);
    host.idle().await; // exact: the ledger has nothing pending
    let report = host.shutdown(Duration::from_secs(5)).await;
    println!("{} messages sent, {} delivered", report.ledger.sent, report.ledger.delivered);
    Ok(())
}
