//! The page of what was found: the same blocks for a terminal and for Markdown.

use super::{CLAIM, Found, graphs, machine};
use crate::{
    bench::{
        figures::{seconds, three_digits, times},
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
    graphs(&found.graphs, &mut blocks);
    blocks.push(Block::Heading("What phalanx reaches, and what is wanted".to_owned()));
    blocks.push(goal::table(&found.goals, true));
    blocks.push(Block::Heading("This machine, without simulated work".to_owned()));
    match &found.machine {
        Some(machine) => measured(found, machine, &mut blocks),
        None => blocks.push(Block::Line(
            "Not measured: --real does it, in about half a minute, with a million tasks that do nothing. All figures above \
             are exact."
                .to_owned(),
        )),
    }
    blocks
}

fn number(number: usize) -> String {
    count(u64::try_from(number).expect("a count fits"))
}

fn title(found: &Found, blocks: &mut Vec<Block>) {
    blocks.push(ways::title(found.bench, CLAIM, found.met));
    let workload = found.workload;
    blocks.push(Block::Line(format!(
        "The ancestor claims that start-up became 4.04x as fast, from 21.0 to 5.2 s, which is 75.2 % less time; its target \
         was 70 % less. Its workload: {} tasks that need nothing of each other and take {}, and {} more each, on {} workers.",
        workload.tasks,
        seconds(workload.shortest_us),
        seconds(workload.step_us),
        workload.workers,
    )));
}

fn exact(found: &Found, blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading("Exact: the ancestor's tasks".to_owned()));
    blocks.push(Block::Line(format!(
        "Virtual time, the same on every machine. The bound is the work shared out evenly: {}. No schedule reaches it, since \
         all tasks take whole tenths of a second; the optimum is 3.7 s. The pool is the ancestor's own: its threads take the \
         tasks in the order in which they are listed.",
        seconds(found.bound_us),
    )));
    blocks.push(ways::table(&found.exact, "over the pool"));
}

fn graphs(graphs: &graphs::Graphs, blocks: &mut Vec<Block>) {
    blocks.push(Block::Heading("Exact: random graphs".to_owned()));
    blocks.push(Block::Line(format!(
        "{} graphs of 10 to 500 tasks of 10 to 1,000 ms, on 1 to 16 workers. The makespan beside the lower bound, which is the \
         longest of critical path and work shared out evenly: {} in the median, {} for nine of ten, {} at most. Graham's \
         bound is what no list schedule exceeds.",
        count(graphs.count),
        times(graphs.median),
        times(graphs.ninth_decile),
        times(graphs.most),
    )));
    let row = |of: &graphs::OfSort| {
        let figures = [of.median, of.most, of.beside_graham, of.over_one_by_one].map(times);
        let name = [of.sort.name().to_owned(), number(of.graphs)];
        (name.into_iter().chain(figures).collect(), Tone::Plain)
    };
    let figures = ["graphs", "median", "at most", "of Graham's bound", "over one by one"];
    let rows = graphs.sorts.iter().map(row).collect();
    blocks.push(Block::Table { columns: columns("sort", figures), rows });
}

fn measured(found: &Found, machine: &machine::Machine, blocks: &mut Vec<Block>) {
    blocks.push(Block::Line(format!(
        "Real time: these figures are of one machine at one time, and differ with both. {} tasks that do nothing, with {} \
         edges; medians of three rounds by turns. Planning checks, sorts and finds the critical path; carrying out goes up to \
         the report. Plan and state machine keep {} bytes of each task.",
        number(machine.tasks),
        number(machine.edges),
        three_digits(machine.bytes_per_task),
    )));
    blocks.extend(ways::debug_warning(machine.debug));
    let row = |row: &machine::Row| {
        let times = [row.plan_ns, row.run_ns, row.total_ns].map(|ns| format!("{} ns", three_digits(ns)));
        let tone = if row.way == machine::Way::Initializer { Tone::Good } else { Tone::Plain };
        (std::iter::once(row.way.name().to_owned()).chain(times).collect(), tone)
    };
    let rows = machine.rows.iter().map(row).collect();
    blocks.push(Block::Table {
        columns: columns("way, for each task", ["planned", "carried out", "both"]),
        rows,
    });
    blocks.push(goal::table(&found.goals, false));
}
