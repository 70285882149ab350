//! The page of what was found: the same blocks for a terminal and for Markdown.

use super::{CLAIM, Found, machine};
use crate::{
    bench::{
        figures::{seconds, three_digits, whole},
        goal, ways,
    },
    report::{
        outline::{Block, Tone, columns},
        units::count,
    },
};

/// The page, block by block; what is of one machine comes last.
pub(super) fn blocks(found: &Found) -> Vec<Block> {
    let mut blocks = Vec::new();
    title(found, &mut blocks);
    exact(found, &mut blocks);
    blocks.push(Block::Heading("What phalanx reaches, and what is wanted".to_owned()));
    blocks.push(goal::table(&found.goals, true));
    blocks.push(Block::Heading("This machine, without simulated work".to_owned()));
    match &found.machine {
        Some(machine) => measured(found, machine, &mut blocks),
        None => blocks.push(Block::Line(
            "Not measured: --real does it, in about half a minute, with a million agents. All figures above are exact.".to_owned(),
        )),
    }
    blocks
}

fn title(found: &Found, blocks: &mut Vec<Block>) {
    blocks.push(ways::title(found.bench, CLAIM, found.met));
    let workload = found.workload;
    blocks.push(Block::Line(format!(
        "The ancestor claims that registration became 3.2x as fast, from 80.0 to 25.0 s for 50 agents, which is 68.7 % less time; \
         its target was 60 % less. Its workload: {} agents with {} capabilities each; to validate one takes {}, to register it {}, \
         and {} are worked on at once.",
        workload.agents,
        workload.capabilities,
        seconds(workload.validation_us),
        seconds(ways::micros(workload.registration())),
        workload.workers,
    )));
}

fn exact(found: &Found, blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading("Exact: the ancestor's agents".to_owned()));
    blocks.push(Block::Line(format!(
        "Virtual time, the same on every machine. The bound is the work shared out evenly: {}. Nobody reaches it, since 50 agents \
         by 8 workers take 7 rounds. The loop is the ancestor's own, with batches of 10, or of half of the queue between 5 and 20; \
         figures over the loop compare with the faster of the two.",
        seconds(found.bound_us),
    )));
    blocks.push(ways::table(&found.exact, "over the loop"));
}

fn measured(found: &Found, machine: &machine::Machine, blocks: &mut Vec<Block>) {
    let arbiters = machine.arbiters;
    blocks.push(Block::Line(format!(
        "Real time on {arbiters} {}: these figures are of one machine at one time, and differ with both. The agents run already; \
         who is registered is in the roster, on its routes and reached by a publisher. Rates are those of the median round.",
        if arbiters == 1 { "arbiter" } else { "arbiters" },
    )));
    blocks.extend(ways::debug_warning(machine.debug));
    let row = |rate: &machine::Rate| {
        let cells = [
            count(rate.agents.into()),
            whole(rate.per_s),
            whole(rate.slowest_per_s),
            whole(rate.fastest_per_s),
        ];
        let tone = if rate.way == machine::Way::Phalanx { Tone::Good } else { Tone::Plain };
        (std::iter::once(rate.way.name().to_owned()).chain(cells).collect(), tone)
    };
    let rows = machine.registration.iter().map(row).collect();
    blocks.push(Block::Table {
        columns: columns("registered", ["agents", "a second", "slowest", "fastest"]),
        rows,
    });
    let lookup = machine.lookup;
    let ns = |figure: f64| format!("{} ns", three_digits(figure));
    let rows = [
        ("by the index of the roster", lookup.indexed_ns, Tone::Good),
        ("by a look at each agent, found early", lookup.scan_ns, Tone::Plain),
        ("by a look at each agent, found last", lookup.scan_all_ns, Tone::Plain),
    ];
    let rows = rows.map(|(way, time, tone)| (vec![way.to_owned(), ns(time)], tone));
    blocks.push(Block::Table {
        columns: columns("10 of all by capability, output included", ["each"]),
        rows: rows.into(),
    });
    if let Some(durable) = machine.durable {
        let per_group = whole(
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
            {
                durable.records as f64 / durable.groups.max(1) as f64
            },
        );
        blocks.push(Block::Line(format!(
            "Durable: {} agents, each answered once its record is on the disk; {} syncs of {per_group} records each.",
            count(durable.agents.into()),
            count(durable.groups),
        )));
        let rows = [
            ("durable, all at once", durable.per_s, Tone::Good),
            ("durable, one by one", durable.one_by_one_per_s, Tone::Plain),
            ("not durable", durable.volatile_per_s, Tone::Plain),
        ];
        let rows = rows.map(|(way, rate, tone)| (vec![way.to_owned(), whole(rate)], tone));
        blocks.push(Block::Table { columns: columns("registered", ["a second"]), rows: rows.into() });
    }
    blocks.push(goal::table(&found.goals, false));
}
