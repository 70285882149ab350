//! The seam between phalanx and actix, side by side with plain actix in one run.
//!
//! ```text
//! cargo bench --bench seam                          criterion, then the table of ratios: several minutes
//! cargo bench --bench seam -- --quick               the table alone, from short rounds: about a minute
//! cargo bench --bench seam -- fan-out               only the work with this in its name
//! PHALANX_BENCH_PAGE=docs/benchmarks.md cargo bench --bench seam      puts the table into the page
//! ```
//!
//! Machines differ and are seldom quiet: only ratios of interleaved rounds are judged. Compiled as a test it does each
//! work once.

mod actors;
mod deciding;
mod direct;
mod fanout;
mod looking;
mod pair;
#[cfg(feature = "journal")]
mod registering;
mod spawning;
mod table;

use std::{path::PathBuf, time::Duration};

use criterion::{Criterion, Throughput};

use pair::{Pair, Rig, Verdict};
use table::{Absolute, Row};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, side, agents] = &words[..]
        && first == spawning::CHILD
    {
        spawning::child(side, agents.parse().expect("a count"));
        return;
    }
    let is_bench = words.iter().any(|word| word == "--bench");
    let is_quick = words.iter().any(|word| word == "--quick");
    let filter = words.iter().find(|word| !word.starts_with('-')).cloned().unwrap_or_default();
    let rig = Rig::new();
    let mut pairs = direct::pairs(&rig);
    pairs.extend(fanout::pairs(&rig));
    pairs.retain(|pair| pair.name.contains(&filter));
    if !is_bench {
        for pair in &pairs {
            once(pair);
        }
        return;
    }
    if !is_quick {
        by_criterion(&pairs);
    }
    let (rounds, budget) =
        if is_quick { (3, Duration::from_millis(120)) } else { (9, Duration::from_millis(300)) };
    let mut rows = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        eprintln!("[{:2}/{}] {}", number + 1, pairs.len(), pair.name);
        rows.push(table::measure(pair, rounds, budget));
        direct::settle(&rig);
    }
    let mut absolutes = spawned(&filter, is_quick);
    absolutes.extend(deciding::lines(&rig, &filter, if is_quick { 200 } else { 1_000 }));
    #[cfg(feature = "journal")]
    absolutes.extend(registering::lines(&rig, &filter, if is_quick { 1 } else { 5 }));
    absolutes.extend(looking::lines(&filter, if is_quick { 20 } else { 100 }));
    report(&rows, &absolutes);
}

/// Does the work of a pair once, as a test.
fn once(pair: &Pair) {
    let (mut phalanx, mut actix) = (pair.make)();
    phalanx(1);
    actix(1);
    println!("{}: ok", pair.name);
}

fn by_criterion(pairs: &[Pair]) {
    let mut criterion = Criterion::default()
        .configure_from_args()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    for pair in pairs {
        let mut group = criterion.benchmark_group(pair.name.replace(", ", "/"));
        group.throughput(Throughput::Elements(pair.messages));
        let (mut phalanx, mut actix) = (pair.make)();
        group.bench_function("phalanx", |bencher| bencher.iter_custom(&mut phalanx));
        group.bench_function("actix", |bencher| bencher.iter_custom(&mut actix));
        group.finish();
    }
    criterion.final_summary();
}

/// Starting agents, and what they weigh: phalanx, phalanx with registration, and actix.
fn spawned(filter: &str, is_quick: bool) -> Vec<Absolute> {
    const SIDES: [&str; 4] = ["phalanx", "registered", "started", "actix"];
    let mut lines = Vec::new();
    for (agents, count, rounds) in [(100_000, "100,000", 5), (1_000_000, "1,000,000", 3)] {
        let [start, both, register, weight] = [
            format!("start {count} agents"),
            format!("start and register {count} agents"),
            format!("register {count} started agents"),
            format!("an idle agent among {count}, resident"),
        ];
        if ![&start, &both, &register, &weight].iter().any(|work| work.contains(filter)) {
            continue;
        }
        let rounds = if is_quick { 1 } else { rounds };
        let (mut nanos, mut bytes) = ([const { Vec::new() }; 4], [const { Vec::new() }; 4]);
        for round in 0..rounds {
            eprintln!("[start {count}: {}/{rounds}]", round + 1);
            for (at, side) in SIDES.into_iter().enumerate() {
                let spawned = spawning::measure(side, agents);
                nanos[at].push(spawned.nanos_each);
                bytes[at].push(spawned.bytes_each);
            }
        }
        let [ours, registered, started, theirs] = nanos.map(|nanos| table::median(&nanos));
        let [our_bytes, _, _, their_bytes] = bytes.map(|bytes| table::median(&bytes));
        let rate = |nanos| table::shown(nanos, Verdict::Rate(None));
        let line = |work, ours: f64, theirs: f64, show: &dyn Fn(f64) -> String| Absolute {
            work,
            phalanx: show(ours),
            actix: show(theirs),
            ratio: format!("{:.2}x the cost", ours / theirs),
            target: "-".to_owned(),
            is_met: None,
        };
        lines.push(Absolute {
            target: "at least 0.8 M/s".to_owned(),
            is_met: Some(ours <= 1_250.0),
            ..line(start, ours, theirs, &rate)
        });
        lines.push(line(both, registered, theirs, &rate));
        lines.push(Absolute {
            target: "at least 0.5 M/s".to_owned(),
            is_met: Some(started <= 2_000.0),
            ..line(register, started, theirs, &rate)
        });
        lines.push(Absolute {
            target: "below 1600 bytes".to_owned(),
            is_met: Some(our_bytes < 1_600.0),
            ..line(weight, our_bytes, their_bytes, &|bytes| format!("{bytes:.0} bytes"))
        });
    }
    lines
}

fn report(rows: &[Row], absolutes: &[Absolute]) {
    let text = table::render(rows, absolutes);
    println!("\n{text}");
    let Some(page) = std::env::var_os("PHALANX_BENCH_PAGE").map(PathBuf::from) else { return };
    match table::write_into(&page, &text) {
        Ok(()) => eprintln!("the table is in {}", page.display()),
        Err(fault) => {
            eprintln!("{fault}");
            std::process::exit(1);
        }
    }
}
