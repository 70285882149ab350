//! Agents that panic and are rebuilt in place, a group that restarts together, and one that watches.
//!
//! ```text
//!  group "plant", one for all:   boiler ── panics ──> boiler, turbine restarted after one back-off
//!  alone:                        counter ── panics ──> counter restarted, its queue kept
//!                                fuse ── panics too often ──> given up ──> warden is told
//! ```
//!
//! Run it with `cargo run --example supervised`. It runs in virtual time: the same output every time.

use std::{error::Error, time::Duration};

use phalanx::{
    prelude::*,
    supervisor::{Backoff, GroupSpec, Intensity, RestartPolicy, Strategy, Supervision},
};

#[derive(Clone, Message)]
#[rtype(result = "u32")]
enum Order {
    Count,
    Panic,
}

/// Counts orders, and says which incarnation it is.
struct Part {
    me: Me,
    counted: u32,
}

impl Actor for Part {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        println!("  {} starts, incarnation {}", self.me.id, self.me.generation);
    }
}

impl Supervised for Part {}

impl Handler<Order> for Part {
    type Result = u32;

    fn handle(&mut self, order: Order, _: &mut Context<Self>) -> u32 {
        match order {
            Order::Count => {
                self.counted += 1;
                self.counted
            }
            Order::Panic => panic!("{} broke", self.me.id),
        }
    }
}

impl Agent for Part {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Order>()
    }
}

/// Is told when an agent is no more.
struct Warden;

impl Actor for Warden {
    type Context = Context<Self>;
}

impl Supervised for Warden {}

impl Handler<Terminated> for Warden {
    type Result = ();

    fn handle(&mut self, gone: Terminated, _: &mut Context<Self>) {
        println!("  warden: {} is no more: {}", gone.agent, gone.reason);
    }
}

impl Agent for Warden {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Terminated>()
    }
}

fn part(me: &Me) -> Part {
    Part { me: me.clone(), counted: 0 }
}

async fn program(host: Host) -> Result<(), Box<dyn Error>> {
    println!("alone: what was queued behind the panic is handled by the next incarnation");
    let counter = host.spawn_with("counter", AgentOptions::default(), part).await?;
    counter.tell(Order::Count)?;
    counter.tell(Order::Panic)?;
    counter.tell(Order::Count)?;
    println!("  the fresh counter says {}", counter.ask(Order::Count).await?);

    println!("one for all: the turbine is restarted with the boiler");
    let plant = GroupName::new("plant")?;
    let spec =
        GroupSpec { name: plant.clone(), strategy: Strategy::OneForAll, supervision: Supervision::default() };
    host.supervise(spec, None).await?;
    let options = AgentOptions { group: Some(plant), ..AgentOptions::default() };
    let boiler = host.spawn_with("boiler", options.clone(), part).await?;
    let turbine = host.spawn_with("turbine", options, part).await?;
    turbine.ask(Order::Count).await?;
    boiler.tell(Order::Panic)?;
    host.sleep(Duration::from_secs(1)).await;
    println!("  the turbine counts from {} again", turbine.ask(Order::Count).await?);

    println!("watched: two restarts are allowed, the third panic is the end");
    let warden = host.spawn("warden", || Warden).await?;
    let supervision = Supervision {
        policy: RestartPolicy::Permanent,
        intensity: Intensity { restarts: 2, within: Duration::from_secs(60) },
        backoff: Backoff::default(),
    };
    let options = AgentOptions { supervision, ..AgentOptions::default() };
    let fuse = host.spawn_with("fuse", options, part).await?;
    host.watch(&warden, &fuse.handle());
    for _ in 0..3 {
        fuse.tell(Order::Panic)?;
    }
    host.sleep(Duration::from_secs(5)).await;

    let report = host.shutdown(Duration::from_secs(5)).await;
    println!(
        "{} delivered, {} failed, {} pending",
        report.ledger.delivered, report.ledger.failed, report.ledger.pending
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // The panics are part of the show; without this each would print a backtrace hint of its own.
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("?", String::as_str);
        println!("  panic: {text}");
    }));
    simulate(7, program)
}
