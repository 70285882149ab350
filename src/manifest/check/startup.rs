//! Whether the start-up tasks of a manifest fit together: dependencies, phases and resources.

use std::collections::HashMap;

use petgraph::graph::NodeIndex;

use super::{Graph, cycles, unknown_reference};
use crate::manifest::{
    decode::Decoder,
    fault::{Code, quote},
    marks::{Marks, StartupMark, section},
};

pub(super) fn check(cx: &mut Decoder<'_>, marks: &Marks) {
    let mut graph = Graph::new();
    let mut nodes: HashMap<&str, NodeIndex> = HashMap::new();
    for task in &marks.startup {
        let node = graph.add_node(task.id.value.as_str());
        nodes.entry(task.id.value.as_str()).or_insert(node);
    }
    for (at, task) in marks.startup.iter().enumerate() {
        for on in &task.depends_on {
            let Some(target) = nodes.get(on.value.as_str()) else {
                let known = marks.startup.iter().map(|task| task.id.value.as_str());
                unknown_reference(cx, marks, section::STARTUP, on, known);
                continue;
            };
            graph.add_edge(NodeIndex::new(at), *target, on.span.clone());
            if let (Some(own), Some(other)) = (task.phase, marks.startup[target.index()].phase)
                && other > own
            {
                let message = format!(
                    "{} of the phase {own} depends on {} of the later phase {other}",
                    quote(task.id.value.as_str()),
                    quote(on.value.as_str())
                );
                let help = format!(
                    "move {} to {own} or before, or {} to {other} or after",
                    quote(on.value.as_str()),
                    quote(task.id.value.as_str())
                );
                cx.fault(Code::PhaseInversion, on.span.clone(), message, help);
            }
        }
    }
    cycles(cx, &graph, "start-up tasks depend on each other");
    let mut wanted: Vec<NodeIndex> =
        (0..marks.startup.len()).filter(|at| !marks.startup[*at].lazy).map(NodeIndex::new).collect();
    for used in marks.tasks.iter().flat_map(|task| &task.uses) {
        if let Some(node) = nodes.get(used.value.as_str()) {
            wanted.push(*node);
        } else {
            let known = marks.startup.iter().map(|task| task.id.value.as_str());
            unknown_reference(cx, marks, section::STARTUP, used, known);
        }
    }
    unused(cx, marks, &graph, wanted);
    for task in &marks.startup {
        awaited_phases(cx, task);
        needs(cx, marks, task);
    }
}

/// A lazy task that nothing uses would never run.
fn unused(cx: &mut Decoder<'_>, marks: &Marks, graph: &Graph<'_>, mut wanted: Vec<NodeIndex>) {
    let mut is_used = vec![false; marks.startup.len()];
    while let Some(node) = wanted.pop() {
        if !std::mem::replace(&mut is_used[node.index()], true) {
            let waited_for = |on: &NodeIndex| marks.startup[on.index()].waited_for;
            wanted.extend(graph.neighbors(node).filter(waited_for));
        }
    }
    // An entry that cannot be read may use it.
    let is_known =
        !marks.incomplete.contains(&section::TASKS) && !marks.incomplete.contains(&section::STARTUP);
    for (task, _) in marks.startup.iter().zip(is_used).filter(|(_, is_used)| is_known && !is_used) {
        let name = quote(task.id.value.as_str());
        let message = format!("{name} is lazy and nothing uses it, so it would never run");
        let help = format!("name it in `uses` of a task, or remove \"lazy\" of {name}");
        cx.fault(Code::Conflict, task.id.span.clone(), message, help);
    }
}

/// Only earlier phases can be waited for.
fn awaited_phases(cx: &mut Decoder<'_>, task: &StartupMark) {
    let Some(own) = task.phase else { return };
    for phase in task.after_phases.iter().filter(|phase| phase.value >= own) {
        let name = quote(task.id.value.as_str());
        let message =
            format!("{name} of the phase {own} waits for the phase {}, which is no earlier one", phase.value);
        let help = format!("name an earlier phase, or name the tasks that {name} waits for in `depends_on`");
        cx.fault(Code::PhaseInversion, phase.span.clone(), message, help);
    }
}

/// A task that needs more than there is would never start.
fn needs(cx: &mut Decoder<'_>, marks: &Marks, task: &StartupMark) {
    for (resource, needed) in &task.needs {
        let name = quote(resource.value.as_str());
        match marks.resources.iter().find(|(known, _)| known.value == resource.value) {
            Some((_, capacity)) if needed > capacity => {
                let message = format!(
                    "{} needs {needed} of {name}, and there is {capacity}, so it could never start",
                    quote(task.id.value.as_str())
                );
                cx.fault(Code::Conflict, resource.span.clone(), message, "raise the one or lower the other");
            }
            Some(_) => {}
            None => {
                let known = marks.resources.iter().map(|(known, _)| known.value.as_str());
                unknown_reference(cx, marks, section::RESOURCES, resource, known);
            }
        }
    }
}
