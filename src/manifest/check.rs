//! The checks across the parts of a manifest: names given twice, names of nothing, cycles, phases, capabilities.
//!
//! ```text
//! marks --> duplicates --> references --> graphs (start-up, tasks, groups)
//! ```
//!
//! **Invariant.** The checks take time in proportion to the manifest: patterns may stand for at most
//! [`MAX_EDGES`] dependencies, and entries whose ids carry an index are at most [`MAX_TEMPLATES`].

mod startup;

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    fmt::Display,
    ops::Range,
};

use petgraph::{
    algo::kosaraju_scc,
    graph::{DiGraph, NodeIndex},
    visit::EdgeRef,
};
use phalanx_actors::agent::{TopicFilter, TopicName};
use wildmatch::WildMatch;

use super::{
    MAX_AGENTS,
    decode::{Decoder, Spanned, list},
    fault::{Code, nearest, quote},
    marks::{Marks, TaskMark, section},
    model::KindWord,
};

/// The most dependencies that the patterns of a manifest may stand for.
const MAX_EDGES: usize = 1_000_000;

/// The most agent entries whose ids carry an index.
const MAX_TEMPLATES: usize = 500;

/// The most topics that are patterns.
const MAX_PATTERNS: usize = 500;

/// Runs all checks over what was read.
pub(super) fn check(cx: &mut Decoder<'_>) {
    let marks = std::mem::take(&mut cx.marks);
    given_twice(cx, "start-up task", marks.startup.iter().map(|task| &task.id));
    given_twice(cx, "task", marks.tasks.iter().map(|task| &task.id));
    given_twice(cx, "group", marks.groups.iter().map(|group| &group.name));
    given_twice(cx, "topic", &marks.topics);
    given_twice(cx, "handler", &marks.handlers);
    agents(cx, &marks);
    references(cx, &marks);
    let offers = Offers::of(&marks);
    for task in &marks.tasks {
        offers.check(cx, task, &marks);
    }
    startup::check(cx, &marks);
    tasks(cx, &marks);
    groups(cx, &marks);
    cx.marks = marks;
}

fn given_twice<'m, T: AsRef<str> + 'm>(
    cx: &mut Decoder<'_>,
    what: &str,
    all: impl IntoIterator<Item = &'m Spanned<T>>,
) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for one in all {
        let name = one.value.as_ref();
        if let Some(first) = seen.get(name) {
            let line = cx.line(*first);
            let message = format!("the {what} {} is there already, on line {line}", quote(name));
            cx.fault(Code::Duplicate, one.span.clone(), message, "rename one of them");
        } else {
            seen.insert(name, one.span.start);
        }
    }
}

/// The ids of agents are unlike each other, and there are not too many agents.
fn agents(cx: &mut Decoder<'_>, marks: &Marks) {
    let (mut total, mut said) = (0_u64, false);
    for entry in &marks.agents {
        total = total.saturating_add(entry.count);
        if total > MAX_AGENTS && !said {
            let message = format!("with this entry there are {total} agents, more than {MAX_AGENTS}");
            cx.fault(Code::OutOfRange, entry.count_span.clone(), message, "lower the counts");
            said = true;
        }
    }
    let (indexed, fixed): (Vec<_>, Vec<_>) =
        marks.agents.iter().partition(|entry| entry.id.value.is_indexed());
    if let Some(entry) = indexed.get(MAX_TEMPLATES) {
        let message = format!("this is the {}st entry whose ids carry {{index}}", MAX_TEMPLATES + 1);
        cx.fault(
            Code::TooLarge,
            entry.id.span.clone(),
            message,
            "put agents that differ only in their number into one entry",
        );
        return;
    }
    let texts: Vec<_> = fixed
        .iter()
        .map(|entry| Spanned { value: entry.id.value.as_str(), span: entry.id.span.clone() })
        .collect();
    given_twice(cx, "agent", &texts);
    let mut tries = 2 * MAX_AGENTS;
    for (at, entry) in indexed.iter().enumerate() {
        let mut others = indexed[..at].iter().chain(&fixed);
        let clash = others.find_map(|other| match entry.id.value.overlap(&other.id.value, &mut tries) {
            Ok(None) => None,
            Ok(Some(id)) => Some((other, Ok(id))),
            Err(too_alike) => Some((other, Err(too_alike))),
        });
        let Some((other, found)) = clash else { continue };
        let (first, second) =
            if other.id.span.start < entry.id.span.start { (other, entry) } else { (entry, other) };
        let (line, span) = (cx.line(first.id.span.start), second.id.span.clone());
        let Ok(id) = found else {
            let message = format!("these ids are too alike to those of the entry on line {line}");
            cx.fault(Code::TooLarge, span, message, "let each `id` start with another word");
            return;
        };
        let message =
            format!("the agent {} is there already, from the entry on line {line}", quote(id.as_str()));
        cx.fault(Code::Duplicate, span, message, "give one of the entries another `id`");
    }
}

/// Notes a name that nothing has, unless a faulty entry may have it.
fn unknown_reference<'m>(
    cx: &mut Decoder<'_>,
    marks: &Marks,
    part: &'static str,
    used: &Spanned<impl AsRef<str>>,
    known: impl IntoIterator<Item = &'m str>,
) {
    if marks.incomplete.contains(&part) {
        return;
    }
    let name = used.value.as_ref();
    let near = cx.faults.may_suggest().then(|| nearest(name, known)).flatten();
    let help = near.map_or_else(
        || {
            let article = if part.starts_with('a') { "an" } else { "a" };
            format!("add {article} {part} of this name, or remove it here")
        },
        |near| format!("did you mean {}?", quote(near)),
    );
    cx.fault(Code::UnknownReference, used.span.clone(), format!("there is no {part} {}", quote(name)), help);
}

fn references(cx: &mut Decoder<'_>, marks: &Marks) {
    let (patterns, topics): (Vec<_>, Vec<_>) =
        marks.topics.iter().map(|topic| &topic.value).partition(|topic| topic.topic().is_none());
    if patterns.len() > MAX_PATTERNS {
        let pattern = marks.topics.iter().filter(|topic| topic.value.topic().is_none()).nth(MAX_PATTERNS);
        let message = format!("this is the {}st topic that is a pattern", MAX_PATTERNS + 1);
        let span = pattern.map_or(0..0, |pattern| pattern.span.clone());
        cx.fault(Code::TooLarge, span, message, "use one that matches more");
        return;
    }
    let topics: HashSet<&str> = topics.into_iter().map(TopicFilter::as_str).collect();
    let is_known = |used: &TopicName| {
        topics.contains(used.as_str()) || patterns.iter().any(|pattern| pattern.matches(used))
    };
    for used in marks.topics_used.iter().filter(|used| !is_known(&used.value)) {
        let known = marks.topics.iter().map(|topic| topic.value.as_str());
        unknown_reference(cx, marks, section::TOPICS, used, known);
    }
    let groups: HashSet<&str> = marks.groups.iter().map(|group| group.name.value.as_str()).collect();
    let parents = marks.groups.iter().filter_map(|group| group.parent.as_ref());
    for used in marks.groups_used.iter().chain(parents).filter(|used| !groups.contains(used.value.as_str())) {
        let known = marks.groups.iter().map(|group| group.name.value.as_str());
        unknown_reference(cx, marks, section::GROUPS, used, known);
    }
    let fixed: HashSet<&str> = marks.agents.iter().map(|entry| entry.id.value.as_str()).collect();
    for used in &marks.agents_used {
        let id = used.value.as_str();
        let indexed =
            || marks.agents.iter().any(|entry| entry.id.value.is_indexed() && entry.id.value.makes(id));
        if (!fixed.contains(id) || id.contains("{index}")) && !indexed() {
            let known: Vec<String> = marks
                .agents
                .iter()
                .take(500)
                .flat_map(|entry| {
                    let last = entry.count.saturating_sub(1);
                    [entry.id.value.id(0).to_string(), entry.id.value.id(last).to_string()]
                })
                .collect();
            unknown_reference(cx, marks, section::AGENTS, used, known.iter().map(String::as_str));
        }
    }
    if marks.incomplete.contains(&section::AGENTS) {
        return;
    }
    let kinds: HashSet<KindWord> = marks.agents.iter().map(|entry| entry.kind).collect();
    for used in marks.kinds_used.iter().filter(|used| !kinds.contains(&used.value)) {
        let message = format!("no agent is a {}", used.value);
        let help = format!("add {{\"kind\": \"{}\"}} to `agents`", used.value);
        cx.fault(Code::UnknownReference, used.span.clone(), message, help);
    }
    let offers = Offers::of(marks);
    for used in &marks.capabilities_used {
        offers.offered(cx, used.value.as_str(), used.span.clone());
    }
}

/// Which entries offer a capability.
struct Offers<'m>(HashMap<&'m str, Vec<usize>>);

impl<'m> Offers<'m> {
    fn of(marks: &'m Marks) -> Self {
        let mut by: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, entry) in marks.agents.iter().enumerate() {
            by.entry(entry.kind.capability()).or_default().push(at);
            for offer in entry.capabilities.iter().filter(|offer| offer.as_str() != entry.kind.capability()) {
                by.entry(offer.as_str()).or_default().push(at);
            }
        }
        Self(by)
    }

    /// Whether any agent offers it; a fault if not.
    fn offered(&self, cx: &mut Decoder<'_>, capability: &str, span: Range<usize>) -> bool {
        if self.0.contains_key(capability) {
            return true;
        }
        let mut known: Vec<&str> = self.0.keys().copied().collect();
        known.sort_unstable();
        let near = cx.faults.may_suggest().then(|| nearest(capability, known.iter().copied())).flatten();
        let help = match (near, KindWord::that_offers(capability)) {
            (Some(near), _) => format!("did you mean {}?", quote(near)),
            (None, Some(kind)) => format!("add {{\"kind\": \"{kind}\"}} to `agents`, which offers it"),
            (None, None) if known.is_empty() => "there are no agents; add some to `agents`".to_owned(),
            (None, None) => format!("offered are {}", list(&known[..known.len().min(10)])),
        };
        let message = format!("no agent offers the capability {}", quote(capability));
        cx.fault(Code::UnknownReference, span, message, help);
        false
    }

    /// Whether some agent offers all that a task needs.
    fn check(&self, cx: &mut Decoder<'_>, task: &TaskMark, marks: &Marks) {
        if marks.incomplete.contains(&section::AGENTS) {
            return;
        }
        let mut all_there = true;
        let mut needs: Vec<&str> = Vec::new();
        for need in &task.needs {
            all_there &= self.offered(cx, need.value.as_str(), need.span.clone());
            needs.push(need.value.as_str());
        }
        if let Some((own, span)) = task.body.as_ref().filter(|(own, _)| !needs.contains(own)) {
            all_there &= self.offered(cx, own, span.clone());
            needs.push(own);
        }
        if !all_there {
            return;
        }
        let Some(rarest) =
            needs.iter().filter_map(|need| self.0.get(need)).min_by_key(|entries| entries.len())
        else {
            return;
        };
        let has = |entry: &usize, need: &&str| {
            let entry = &marks.agents[*entry];
            entry.kind.capability() == *need || entry.capabilities.iter().any(|offer| offer.as_str() == *need)
        };
        if !rarest.iter().any(|entry| needs.iter().all(|need| has(entry, need))) {
            let message = format!(
                "no agent offers all that the task {} needs: {}",
                quote(task.id.value.as_str()),
                list(&needs)
            );
            let help = "add the missing `capabilities` to the agents that should do it";
            cx.fault(Code::UnknownReference, task.id.span.clone(), message, help);
        }
    }
}

/// A graph of names; an edge leads from the one that depends to the one it depends on.
type Graph<'m> = DiGraph<&'m str, Range<usize>>;

fn tasks(cx: &mut Decoder<'_>, marks: &Marks) {
    let mut graph = Graph::new();
    let mut nodes: HashMap<&str, NodeIndex> = HashMap::new();
    let mut total = 0_u64;
    for task in &marks.tasks {
        let node = graph.add_node(task.id.value.as_str());
        nodes.entry(task.id.value.as_str()).or_insert(node);
        let before = total;
        total = total.saturating_add(task.count);
        if before <= MAX_AGENTS && total > MAX_AGENTS {
            let message = format!("with this entry there are {total} tasks, more than {MAX_AGENTS}");
            cx.fault(Code::OutOfRange, task.id.span.clone(), message, "lower the counts");
        }
    }
    let mut tried = 0;
    for (at, task) in marks.tasks.iter().enumerate() {
        let own = NodeIndex::new(at);
        for on in &task.depends_on {
            let text = on.value.as_str();
            if let Some(target) = nodes.get(text) {
                graph.add_edge(own, *target, on.span.clone());
                continue;
            }
            if !text.contains('*') {
                let known = marks.tasks.iter().map(|task| task.id.value.as_str());
                unknown_reference(cx, marks, section::TASKS, on, known);
                continue;
            }
            tried += marks.tasks.len();
            if tried > MAX_EDGES {
                let message = format!("up to here the patterns stand for more than {MAX_EDGES} dependencies");
                cx.fault(
                    Code::TooLarge,
                    on.span.clone(),
                    message,
                    "use fewer patterns, or fewer entries with `for_each`",
                );
                return;
            }
            let before = graph.edge_count();
            for target in matching(text, marks.tasks.iter().map(|task| task.id.value.as_str()), at) {
                graph.add_edge(own, NodeIndex::new(target), on.span.clone());
            }
            if graph.edge_count() == before && !marks.incomplete.contains(&section::TASKS) {
                let message = format!("the pattern {} stands for no other task", quote(text));
                let help = "patterns are compared with the ids as they are written, as in \"hash:*\" for \"hash:{path}\"";
                cx.fault(Code::UnknownReference, on.span.clone(), message, help);
            }
        }
    }
    cycles(cx, &graph, "tasks depend on each other");
}

/// The entries whose id a pattern stands for; never the one that has the pattern.
pub(super) fn matching<'m>(
    pattern: &str,
    ids: impl Iterator<Item = &'m str>,
    own: usize,
) -> impl Iterator<Item = usize> {
    let pattern = WildMatch::new(pattern);
    ids.enumerate().filter(move |(at, id)| *at != own && pattern.matches(id)).map(|(at, _)| at)
}

fn groups(cx: &mut Decoder<'_>, marks: &Marks) {
    let mut graph = Graph::new();
    let mut nodes: HashMap<&str, NodeIndex> = HashMap::new();
    for group in &marks.groups {
        let node = graph.add_node(group.name.value.as_str());
        nodes.entry(group.name.value.as_str()).or_insert(node);
    }
    for (at, group) in marks.groups.iter().enumerate() {
        if let Some(parent) = &group.parent
            && let Some(target) = nodes.get(parent.value.as_str())
        {
            graph.add_edge(NodeIndex::new(at), *target, parent.span.clone());
        }
    }
    cycles(cx, &graph, "groups are parents of each other");
}

/// Notes each knot of the graph by its shortest cycle through its first member.
fn cycles(cx: &mut Decoder<'_>, graph: &Graph<'_>, what: &str) {
    for knot in kosaraju_scc(graph) {
        let start = *knot.iter().min().expect("a component has a member");
        if knot.len() == 1 && graph.find_edge(start, start).is_none() {
            continue;
        }
        let (path, span) = shortest_cycle(graph, &knot, start);
        let message = format!("{what} in a circle: {}", chain(&path));
        cx.fault(Code::Cycle, span, message, "remove one of these dependencies");
    }
}

/// The shortest way from `start` back to itself, and the place of its first step.
fn shortest_cycle<'m>(
    graph: &Graph<'m>,
    knot: &[NodeIndex],
    start: NodeIndex,
) -> (Vec<&'m str>, Range<usize>) {
    let members: HashSet<NodeIndex> = knot.iter().copied().collect();
    let mut came: HashMap<NodeIndex, (NodeIndex, Range<usize>)> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        if came.contains_key(&start) {
            break;
        }
        let mut next: Vec<_> = graph.edges(node).filter(|edge| members.contains(&edge.target())).collect();
        next.sort_by_key(|edge| edge.weight().start);
        for edge in next {
            if let Entry::Vacant(new) = came.entry(edge.target()) {
                new.insert((node, edge.weight().clone()));
                queue.push_back(edge.target());
            }
        }
    }
    let mut path = vec![graph[start]];
    let (mut node, mut span) = came[&start].clone();
    while node != start {
        path.push(graph[node]);
        (node, span) = came[&node].clone();
    }
    path.push(graph[start]);
    path.reverse();
    (path, span)
}

/// Names with arrows in between, the middle of a long way left out.
fn chain(path: &[impl Display]) -> String {
    const ENDS: usize = 6;
    let quoted = |name: &dyn Display| quote(&name.to_string());
    let mut words: Vec<String> = Vec::new();
    for (at, name) in path.iter().enumerate() {
        if at < ENDS || at + ENDS >= path.len() {
            words.push(quoted(name));
        } else if at == ENDS {
            words.push(format!("({} more)", path.len() - 2 * ENDS));
        }
    }
    words.join(" -> ")
}
