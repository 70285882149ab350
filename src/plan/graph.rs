//! The tasks and what they wait for, as a graph for Graphviz or Mermaid: a cluster for each phase, the critical path marked.

use std::fmt::Write as _;

use phalanx_actors::initializer::{DependencyType, Phase};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Outlook, us};
use crate::report::units::took;

/// A graph before it is written in either form.
struct Edge {
    from: usize,
    to: usize,
    /// Whether anybody waits.
    is_hint: bool,
    is_critical: bool,
}

fn edges(outlook: &Outlook) -> Vec<Edge> {
    let plan = &outlook.plan;
    let path: Vec<_> = plan.critical_path().into_iter().filter_map(|id| plan.position(id)).collect();
    let next: FxHashMap<usize, usize> = path.windows(2).map(|step| (step[0], step[1])).collect();
    let mut edges = Vec::new();
    for to in 0..plan.tasks().len() {
        for from in plan.dependencies(to) {
            let is_hint = plan.tasks()[from].dependency_type == DependencyType::NonBlocking;
            let is_critical = next.get(&from) == Some(&to);
            edges.push(Edge { from, to, is_hint, is_critical });
        }
    }
    edges
}

/// Each phase that has tasks, with their positions.
fn clusters(outlook: &Outlook) -> impl Iterator<Item = (Phase, Vec<usize>)> + '_ {
    let tasks = outlook.plan.tasks();
    let of = move |phase| (0..tasks.len()).filter(move |&at| tasks[at].phase == phase).collect::<Vec<_>>();
    Phase::ALL.into_iter().map(move |phase| (phase, of(phase))).filter(|(_, tasks)| !tasks.is_empty())
}

fn label(outlook: &Outlook, at: usize) -> String {
    let plan = &outlook.plan;
    format!("{} ({})", plan.label(at), took(us(plan.tasks()[at].estimate())))
}

pub(super) fn dot(outlook: &Outlook) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let tasks = outlook.plan.tasks();
    let critical: FxHashSet<&str> = outlook.plan.critical_path().into_iter().collect();
    let mut text = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", quoted(&outlook.name));
    for (phase, members) in clusters(outlook) {
        _ = writeln!(text, "  subgraph cluster_{phase} {{\n    label={};", quoted(phase.as_str()));
        for at in members {
            let bold = if critical.contains(tasks[at].id.as_str()) { ", penwidth=2" } else { "" };
            _ = writeln!(text, "    t{at} [label={}{bold}];", quoted(&label(outlook, at)));
        }
        text.push_str("  }\n");
    }
    for edge in edges(outlook) {
        let style = match (edge.is_hint, edge.is_critical) {
            (true, _) => " [style=dashed]",
            (_, true) => " [penwidth=2]",
            _ => "",
        };
        _ = writeln!(text, "  t{} -> t{}{style};", edge.from, edge.to);
    }
    for (from, to) in waits_for_phases(outlook) {
        _ = writeln!(text, "  t{from} -> t{to} [style=dotted];");
    }
    text.push_str("}\n");
    text
}

pub(super) fn mermaid(outlook: &Outlook) -> String {
    let quoted = |text: &str| {
        let escaped =
            text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;");
        format!("\"{escaped}\"")
    };
    let mut text = "flowchart LR\n".to_owned();
    for (phase, members) in clusters(outlook) {
        _ = writeln!(text, "  subgraph {phase}");
        for at in members {
            _ = writeln!(text, "    t{at}[{}]", quoted(&label(outlook, at)));
        }
        text.push_str("  end\n");
    }
    for edge in edges(outlook) {
        let arrow = match (edge.is_hint, edge.is_critical) {
            (true, _) => "-.->",
            (_, true) => "==>",
            _ => "-->",
        };
        _ = writeln!(text, "  t{} {arrow} t{}", edge.from, edge.to);
    }
    for (from, to) in waits_for_phases(outlook) {
        _ = writeln!(text, "  t{from} -.- t{to}");
    }
    text
}

/// From the task of a phase that ends last to each that waits for the phase.
fn waits_for_phases(outlook: &Outlook) -> Vec<(usize, usize)> {
    let tasks = outlook.plan.tasks();
    let waited_for = |at: usize| tasks[at].dependency_type.waited_for();
    let last = Phase::ALL.map(|phase| {
        let of_phase = outlook.schedule.slices().iter().filter(|s| tasks[s.task].phase == phase);
        of_phase.filter(|s| waited_for(s.task)).max_by_key(|s| s.end).map(|s| s.task)
    });
    let waits = |to: usize| {
        let phases = tasks[to].after_phases();
        phases.filter_map(move |phase| Some((last[phase as usize]?, to)))
    };
    (0..tasks.len()).flat_map(waits).collect()
}
