//! The page of what was found: the same blocks for a terminal and for Markdown.

use super::{Found, Judged, Machine, Measure, Row, Setting, Way, workload::Nodes};
use crate::{
    bench::{
        figures::{seconds, three_digits, times, whole},
        standing::Standing,
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
    for setting in &found.exact {
        exact(found, setting, &mut blocks);
    }
    claims(found, &mut blocks);
    match &found.machine {
        Some(machine) => measured(found, machine, &mut blocks),
        None => unmeasured(&mut blocks),
    }
    blocks
}

/// A claim that is missed, in a sentence.
pub(super) fn missed(judged: &Judged) -> String {
    let Judged { place, measure, .. } = judged;
    let (reached, claim) = (shown(*measure, judged.reached), wanted(*measure, judged.claim));
    format!("{place}: {} {reached}, claimed are {claim}", name(*measure))
}

const fn name(measure: Measure) -> &'static str {
    match measure {
        Measure::OverOneByOne => "over one by one",
        Measure::OverAncestor => "over the loop",
        Measure::MessagesPerS => "messages a second",
    }
}

fn shown(measure: Measure, figure: f64) -> String {
    match measure {
        Measure::OverOneByOne | Measure::OverAncestor => times(figure),
        Measure::MessagesPerS => whole(figure),
    }
}

/// A figure that was written by hand, as it was written.
fn wanted(measure: Measure, figure: f64) -> String {
    match measure {
        Measure::OverOneByOne | Measure::OverAncestor => format!("{figure}x"),
        Measure::MessagesPerS => whole(figure),
    }
}

fn line(blocks: &mut Vec<Block>, text: String) {
    blocks.push(Block::Line(text));
}

fn title(found: &Found, blocks: &mut Vec<Block>) {
    let (claim, workload) = (&found.claim, &found.workload);
    let (verdict, tone) = if found.met { ("met", Tone::Good) } else { ("MISSED", Tone::Bad) };
    let text = format!("{}: the claim of {}x is {verdict}", found.bench, claim.speed_up);
    blocks.push(Block::Title { text, tone });
    line(
        blocks,
        format!(
            "The ancestor claims that multicasts became {}x as fast, from {} to {} messages a second; its target was {}x. Its \
             workload: {} multicasts, from {} senders, to {} nodes that declare a throughput of {} messages a second. A \
             delivery takes 50 ms, and 10 ms more for each node it goes to: {}.",
            claim.speed_up,
            whole(claim.from_per_s),
            whole(claim.to_per_s),
            claim.target,
            count(workload.messages.into()),
            workload.senders,
            workload.nodes,
            workload.node_messages_per_s,
            seconds(workload.delivery_us),
        ),
    );
}

fn exact(found: &Found, setting: &Setting, blocks: &mut Vec<Block>) {
    let workload = &found.workload;
    let messages = count(workload.messages.into());
    let (heading, bound) = match setting.nodes {
        Nodes::AtOnce => (
            "Exact: nodes that handle any number of messages at once",
            format!(
                "With nobody in the way of another, the bound is one delivery: {}.",
                seconds(setting.bound_us)
            ),
        ),
        Nodes::OneAtATime => (
            "Exact: nodes that handle one message at a time",
            format!(
                "Each message goes to each node, which after the delivery is busy with it alone, as its declared throughput \
                 says, for {}. So the bound is one delivery and then {messages} times that: {}.",
                seconds(setting.busy_us),
                seconds(setting.bound_us),
            ),
        ),
    };
    blocks.push(Block::Heading(heading.to_owned()));
    line(blocks, format!("Virtual time, the same on every machine. {bound}"));
    let figures = ["total time", "msg/s", "deliveries/s", "over one by one", "over the loop", "of the bound"];
    let row = |row: &Row| {
        let cells = [
            seconds(row.duration_us),
            whole(row.messages_per_s),
            whole(row.deliveries_per_s),
            times(row.over_one_by_one),
            times(row.over_ancestor),
            format!("{} %", three_digits(100.0 * row.share_of_bound)),
        ];
        let tone = if row.way == Way::Phalanx { Tone::Good } else { Tone::Plain };
        (std::iter::once(row.way.name().to_owned()).chain(cells).collect(), tone)
    };
    let rows = setting.ways.iter().map(row).collect();
    blocks.push(Block::Table { columns: columns("way", figures), rows });
}

/// What is reached beside what is claimed; what is possible is known of exact figures alone.
fn table(found: &Found, exact: bool) -> Block {
    let row = |judged: &Judged| {
        let Judged { place, measure, .. } = judged;
        let mut cells = vec![format!("{place}: {}", name(*measure)), shown(*measure, judged.reached)];
        cells.extend(judged.possible.map(|possible| shown(*measure, possible)));
        cells.extend([
            wanted(*measure, judged.target),
            judged.target_is.word().to_owned(),
            wanted(*measure, judged.claim),
            judged.claim_is.word().to_owned(),
        ]);
        (cells, judged.claim_is.tone())
    };
    let mut figures = vec!["reached", "target", "met?", "claim", "met?"];
    if exact {
        figures.insert(1, "at most");
    }
    let rows = found.claims.iter().filter(|judged| judged.possible.is_some() == exact).map(row).collect();
    Block::Table { columns: columns("what", figures), rows }
}

fn claims(found: &Found, blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading("What phalanx reaches, and what is claimed".to_owned()));
    blocks.push(table(found, true));
    if found.claims.iter().any(|judged| judged.claim_is == Standing::AtBound) {
        line(
            blocks,
            "At the bound: what is wanted is more than any router can reach, because the nodes declare to handle no more; \
             what can be reached is reached."
                .to_owned(),
        );
    }
    let at_once = found.exact.iter().find(|setting| setting.nodes == Nodes::AtOnce);
    let Some(setting) = at_once else { return };
    let [fixed, adaptive] = [Way::AncestorFixed, Way::AncestorAdaptive].map(|way| setting.row(way));
    line(
        blocks,
        format!(
            "The loop is the ancestor's own, re-made with its batches, workers and pauses. It reaches {} messages a second with \
             fixed batches of 50, and {} with adaptive ones: {} and {} over one by one, because 12 workers do a batch, and \
             the next one waits for it. Figures over the loop compare with the faster of the two.",
            whole(fixed.messages_per_s),
            whole(adaptive.messages_per_s),
            times(fixed.over_one_by_one),
            times(adaptive.over_one_by_one),
        ),
    );
}

const MACHINE: &str = "This machine, without simulated latency";

fn unmeasured(blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading(MACHINE.to_owned()));
    line(
        blocks,
        "Not measured: --real does it, in about half a minute, at 1,000 and at 100,000 agents. All figures above are exact."
            .to_owned(),
    );
}

fn measured(found: &Found, machine: &Machine, blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading(MACHINE.to_owned()));
    let arbiters = machine.arbiters;
    line(
        blocks,
        format!(
            "Real time on {arbiters} {}: these figures are of one machine at one time, and differ with both. Medians of \
             rounds of all ways by turns, and of the ratios in them. phalanx does all of the workload; the others, which wait \
             for each message or for each twelve, do a part of it, or it would take minutes.",
            if arbiters == 1 { "arbiter" } else { "arbiters" },
        ),
    );
    if machine.debug {
        let text = "Built without optimisation: the figures mean little, build with --release.";
        blocks.push(Block::List { items: vec![text.to_owned()], tone: Tone::Bad });
    }
    for size in &machine.sizes {
        line(blocks, format!("{} agents, {} rounds:", count(size.agents.into()), size.rounds));
        let figures = ["messages", "deliveries/s", "slowest", "fastest", "over one by one", "over the loop"];
        let row = |rate: &super::machine::Rate| {
            let rates = [rate.deliveries_per_s, rate.slowest_per_s, rate.fastest_per_s];
            let rates = rates.map(|rate| format!("{} M", three_digits(rate / 1e6)));
            let name = [rate.way.name().to_owned(), count(rate.messages.into())];
            let ratios = [rate.over_one_by_one, rate.over_ancestor].map(times);
            let tone = if rate.way == Way::Phalanx { Tone::Good } else { Tone::Plain };
            (name.into_iter().chain(rates).chain(ratios).collect(), tone)
        };
        let rows = size.ways.iter().map(row).collect();
        blocks.push(Block::Table { columns: columns("way", figures), rows });
    }
    line(blocks, "What phalanx reaches here, and what is claimed:".to_owned());
    blocks.push(table(found, false));
}
