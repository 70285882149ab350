//! A market: orders come in one by one, and each goes to one of six workshops. Who gets it is a matter of the strategy.
//!
//! ```text
//!  customers ──an order every 2 ms──> "repair" ──one of six, by the strategy──> workshop ──> done, or broken
//! ```
//!
//! Run it with `cargo run --example market`. It runs in virtual time: the same table every time. With `-- --live` the clock
//! runs as it does for people, and the table fills while they look.
//!
//! The workshops differ in how long they take, in where they are, and in how they are ranked; one breaks whatever it gets,
//! at once, and so looks as if it had nothing to do. A strategy that looks at no load keeps customers waiting for the slow one,
//! where distance counts each customer has its own workshop, by load alone the broken one is favoured, and the adaptive one
//! leaves it out but for a probe now and then.

use std::{
    error::Error,
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::System;
use phalanx::{
    agent::Timestamp,
    host::{WeakHost, simulate},
    prelude::*,
    router::{Strategy, Unicast},
    supervisor::{Backoff, Intensity, RestartPolicy, Supervision},
};

/// How many orders each strategy gets to share out ..
const ORDERS: u32 = 1_000;
/// .. and how far they are apart.
const EVERY: Duration = Duration::from_millis(2);

/// Something to repair. The answer comes when it is done.
#[derive(Clone, Message)]
#[rtype(result = "()")]
struct Order {
    placed: Timestamp,
}

/// What a workshop is like.
struct Shop {
    name: &'static str,
    place: (f64, f64),
    takes: Duration,
    priority: Priority,
    breaks: bool,
}

const fn shop(name: &'static str, place: (f64, f64), takes: u64, priority: Priority, breaks: bool) -> Shop {
    Shop { name, place, takes: Duration::from_millis(takes), priority, breaks }
}

const SHOPS: [Shop; 6] = [
    shop("berlin", (52.52, 13.40), 4, Priority::Normal, false),
    shop("madrid", (40.42, -3.70), 6, Priority::Normal, false),
    shop("oslo", (59.91, 10.75), 8, Priority::High, false),
    shop("rome", (41.90, 12.50), 12, Priority::Normal, false),
    shop("warsaw", (52.23, 21.01), 40, Priority::Normal, false),
    shop("dublin", (53.35, -6.26), 4, Priority::Normal, true),
];

/// Where orders come from, by turns.
const CUSTOMERS: [(&str, (f64, f64)); 4] = [
    ("hamburg", (53.55, 10.00)),
    ("lisbon", (38.72, -9.14)),
    ("naples", (40.85, 14.27)),
    ("stockholm", (59.33, 18.07)),
];

/// What became of the orders, all workshops together.
#[derive(Default)]
struct Books {
    done: AtomicU64,
    waited_us: AtomicU64,
}

struct Workshop {
    number: usize,
    books: Arc<Books>,
    host: WeakHost,
}

impl Actor for Workshop {
    type Context = Context<Self>;
}

impl Supervised for Workshop {}

impl Handler<Order> for Workshop {
    type Result = ();

    /// One at a time: what comes meanwhile waits.
    fn handle(&mut self, order: Order, context: &mut Context<Self>) {
        let shop = &SHOPS[self.number];
        if shop.breaks {
            // A panic without its text on the screen.
            std::panic::resume_unwind(Box::new("broken"));
        }
        let (books, host) = (self.books.clone(), self.host.clone());
        context.wait(tokio::time::sleep(shop.takes).into_actor(self).map(move |(), _, _| {
            let Some(host) = host.upgrade() else { return };
            let waited = host.now().since(order.placed);
            books.done.fetch_add(1, Ordering::Relaxed);
            books
                .waited_us
                .fetch_add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }));
    }
}

impl Agent for Workshop {
    fn card(&self) -> Card<Self> {
        let shop = &SHOPS[self.number];
        Card::new().offers("repair").at(shop.place.0, shop.place.1).priority(shop.priority).accepts::<Order>()
    }
}

/// What one strategy made of it.
struct Column {
    strategy: Strategy,
    shares: [u32; SHOPS.len()],
    done: u64,
    mean: Duration,
}

/// The table so far, a line each.
fn table(columns: &[Column]) -> Vec<String> {
    let line = |first: String, cells: &dyn Fn(&Column) -> String| {
        let cells: Vec<_> = columns.iter().map(|column| format!(" {:>14}", cells(column))).collect();
        format!("{first:<15}{}", cells.concat())
    };
    let mut lines = vec![line(format!("{:<8} {:>6}", "", "takes"), &|column| column.strategy.to_string())];
    lines.extend(SHOPS.iter().enumerate().map(|(number, shop)| {
        line(format!("{:<8} {:>3} ms", shop.name, shop.takes.as_millis()), &|Column { shares, .. }| {
            let all: u32 = shares.iter().sum::<u32>().max(1);
            let percent = f64::from(shares[number] * 100) / f64::from(all);
            let bar = "#".repeat(usize::try_from(shares[number] * 8 / all).expect("at most eight"));
            format!("{bar:>8} {percent:>3.0} %")
        })
    }));
    lines.push(line("repaired".to_owned(), &|column| column.done.to_string()));
    lines.push(line("mean time".to_owned(), &|column| format!("{} ms", column.mean.as_millis())));
    lines
}

/// Draws the table, over the last one where the screen can do that.
fn draw(columns: &[Column], is_live: bool, is_first: bool) {
    let lines = table(columns);
    let can_redraw = is_live && std::io::stdout().is_terminal();
    if is_live && !can_redraw {
        return;
    }
    if can_redraw && !is_first {
        print!("\x1b[{}A", lines.len());
    }
    // On a screen each line is wiped, for the one before may have been longer.
    let wipe = if can_redraw { "\x1b[K" } else { "" };
    for line in lines {
        println!("{line}{wipe}");
    }
}

/// One strategy, on a host of its own, so that none learns from another.
async fn share_out(
    host: Host,
    strategy: Strategy,
    columns: &mut Vec<Column>,
    is_live: bool,
) -> Result<(), Box<dyn Error>> {
    let books = Arc::new(Books::default());
    for (number, shop) in SHOPS.iter().enumerate() {
        let (books, weak) = (books.clone(), host.downgrade());
        let intensity = Intensity { restarts: 10_000, within: Duration::from_secs(60) };
        let supervision = Supervision { policy: RestartPolicy::Permanent, intensity, backoff: Backoff::NONE };
        let options = AgentOptions { supervision, ..AgentOptions::default() };
        let make = move |_: &Me| Workshop { number, books: books.clone(), host: weak.clone() };
        host.spawn_with(shop.name, options, make).await?;
    }
    let repair = host.capability::<Order>("repair")?.by(strategy);
    columns.push(Column { strategy, shares: [0; SHOPS.len()], done: 0, mean: Duration::ZERO });
    for number in 0..ORDERS {
        let (customer, (latitude, longitude)) = CUSTOMERS[number as usize % CUSTOMERS.len()];
        let key = format!("{customer}/{}", number % 97);
        let order = Order { placed: host.now() };
        let chosen = repair.unicast_with(order, Unicast::new().key(&key).near(latitude, longitude))?;
        let at = SHOPS.iter().position(|shop| shop.name == chosen.agent.as_str()).expect("one of ours");
        let column = columns.last_mut().expect("it was put there above");
        column.shares[at] += 1;
        host.sleep(EVERY).await;
        if is_live && number % 25 == 0 {
            note(column, &books);
            draw(columns, is_live, false);
        }
    }
    // The slow ones have a backlog; the orders that wait there are waited for.
    host.idle().await;
    host.sleep(SHOPS[4].takes).await;
    note(columns.last_mut().expect("it was put there above"), &books);
    let report = host.shutdown(Duration::from_secs(60)).await;
    assert!(report.ledger.balances() && report.ledger.pending == 0, "{:?}", report.ledger);
    Ok(())
}

fn note(column: &mut Column, books: &Books) {
    column.done = books.done.load(Ordering::Relaxed);
    let waited = books.waited_us.load(Ordering::Relaxed).checked_div(column.done).unwrap_or(0);
    column.mean = Duration::from_micros(waited);
}

/// All strategies one after another, in virtual time.
fn simulated() -> Result<Vec<Column>, Box<dyn Error>> {
    let mut columns = Vec::new();
    for strategy in Strategy::ALL {
        columns = simulate(7, move |host| async move {
            share_out(host, strategy, &mut columns, false).await?;
            Ok::<_, Box<dyn Error>>(columns)
        })?;
    }
    Ok(columns)
}

/// The same while people look.
fn live() -> Result<(), Box<dyn Error>> {
    let mut columns = Vec::new();
    draw(&columns, true, true);
    for strategy in Strategy::ALL {
        System::new()
            .block_on(async { share_out(Host::start().await?, strategy, &mut columns, true).await })?;
        draw(&columns, true, false);
    }
    if !std::io::stdout().is_terminal() {
        draw(&columns, false, true);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("{ORDERS} orders by each strategy, one every {} ms\n", EVERY.as_millis());
    match std::env::args().nth(1).as_deref() {
        None => {
            let columns = simulated()?;
            draw(&columns, false, true);
            check(&columns);
            Ok(())
        }
        Some("--live") => live(),
        Some(other) => Err(format!("{other} is not known here: say --live, or nothing").into()),
    }
}

/// The story above, as the figures tell it.
fn check(columns: &[Column]) {
    let of = |strategy| columns.iter().find(|column| column.strategy == strategy).expect("all were tried");
    let [berlin, _, oslo, _, warsaw, dublin] = [0, 1, 2, 3, 4, 5];
    let turns = of(Strategy::RoundRobin);
    assert!(turns.shares.iter().all(|share| (160..=170).contains(share)), "each in turn: {:?}", turns.shares);
    assert_eq!(of(Strategy::PriorityBased).shares[oslo], ORDERS, "the highest rank takes all");
    let balanced = of(Strategy::LoadBalanced);
    assert!(
        balanced.shares[berlin] > 2 * balanced.shares[warsaw],
        "the quick get more: {:?}",
        balanced.shares
    );
    assert!(balanced.mean < turns.mean, "and so nobody waits for the slow");
    let near = of(Strategy::Geographic);
    assert_eq!(
        near.shares.iter().filter(|share| **share > 0).count(),
        4,
        "one for each customer: {:?}",
        near.shares
    );
    let adaptive = of(Strategy::Adaptive);
    assert!(
        adaptive.shares[dublin] < balanced.shares[dublin],
        "the broken one is left out: {:?}",
        adaptive.shares
    );
    assert!(adaptive.done > balanced.done, "so more is repaired");
}

#[test]
fn the_shares_are_as_the_story_says() {
    check(&simulated().unwrap());
}
