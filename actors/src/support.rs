//! What both schedulers need of graphs and names: cycles as paths, the nearest known name, durations as numbers.
//!
//! Owns nothing and knows neither tasks nor actors; node numbers are positions in the caller's list.

use std::{any::Any, collections::VecDeque, fmt, time::Duration};

use petgraph::{Direction, algo::kosaraju_scc, graph::DiGraph, visit::EdgeRef};
use serde::{Deserialize, Deserializer, Serializer};

mod recent;

pub(crate) use recent::Recent;

/// The graph both schedulers build: an edge runs from a dependency to its dependant.
pub(crate) type Dag = DiGraph<(), ()>;

/// Most character comparisons spent on suggestions per refusal, so that a bad list of any size is refused quickly.
const SUGGESTION_BUDGET: usize = 30_000_000;

/// How many names of a path are printed before its middle is left out.
const PATH_SHOWN: usize = 12;

/// How many faults of a list are printed before the rest is only counted.
const FAULTS_SHOWN: usize = 20;

/// Finds the known name nearest to a misspelt one, within a budget of work shared by all its questions.
pub(crate) struct Suggester {
    budget: usize,
}

impl Suggester {
    /// A suggester with its whole budget.
    pub(crate) fn new() -> Self {
        Self { budget: SUGGESTION_BUDGET }
    }

    /// The name nearest to `wanted` by edit distance (the first of equals), if one is near enough to be meant.
    pub(crate) fn nearest<'a>(
        &mut self,
        wanted: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Option<&'a str> {
        let length = wanted.chars().count();
        let mut limit = (length / 3).max(1);
        let mut best = None;
        for name in known {
            let candidate = name.chars().count();
            let cost = if candidate.abs_diff(length) <= limit { candidate * length } else { candidate };
            self.budget = self.budget.checked_sub(cost)?;
            if candidate.abs_diff(length) > limit {
                continue;
            }
            let distance = strsim::levenshtein(wanted, name);
            if distance <= limit && name != wanted {
                best = Some(name);
                match distance.checked_sub(1) {
                    Some(less) if less > 0 => limit = less,
                    _ => break,
                }
            }
        }
        best
    }
}

/// One cycle per strongly connected component, as `[a, b, c, a]` where each node depends on the next.
///
/// Each cycle is a shortest one through the lowest node of its component; cycles come in the order of those nodes.
/// Takes linear time and no recursion.
pub(crate) fn cycles(graph: &Dag) -> Vec<Vec<usize>> {
    let components: Vec<_> = kosaraju_scc(graph).into_iter().filter(|nodes| nodes.len() > 1).collect();
    let mut component = vec![usize::MAX; graph.node_count()];
    for (number, nodes) in components.iter().enumerate() {
        for node in nodes {
            component[node.index()] = number;
        }
    }
    let mut from = vec![usize::MAX; graph.node_count()];
    let mut found: Vec<Vec<usize>> = components
        .iter()
        .enumerate()
        .map(|(number, nodes)| {
            let start = *nodes.iter().min().expect("a component has nodes");
            let mut queue = VecDeque::from([start]);
            while from[start.index()] == usize::MAX {
                let node = queue.pop_front().expect("a strongly connected node reaches itself");
                for edge in graph.edges_directed(node, Direction::Incoming) {
                    let next = edge.source();
                    if component[next.index()] == number && from[next.index()] == usize::MAX {
                        from[next.index()] = node.index();
                        queue.push_back(next);
                    }
                }
            }
            let mut path = vec![start.index()];
            let mut node = from[start.index()];
            while node != start.index() {
                path.push(node);
                node = from[node];
            }
            path.push(start.index());
            path.reverse();
            path
        })
        .collect();
    found.sort_by_key(|path| path[0]);
    found
}

/// Writes `a -> b -> c`, with the middle of a long path left out and counted.
pub(crate) fn write_path<T: fmt::Display>(f: &mut fmt::Formatter<'_>, path: &[T]) -> fmt::Result {
    for (at, name) in path.iter().enumerate() {
        let hidden = path.len().saturating_sub(PATH_SHOWN);
        if hidden > 0 && at == PATH_SHOWN / 2 {
            write!(f, " -> ({hidden} more)")?;
        }
        if hidden > 0 && (PATH_SHOWN / 2..PATH_SHOWN / 2 + hidden).contains(&at) {
            continue;
        }
        write!(f, "{}{name}", if at == 0 { "" } else { " -> " })?;
    }
    Ok(())
}

/// Writes faults one after another, the first twenty in full and the rest counted.
pub(crate) fn write_faults<T: fmt::Display>(f: &mut fmt::Formatter<'_>, faults: &[T]) -> fmt::Result {
    for (at, fault) in faults.iter().take(FAULTS_SHOWN).enumerate() {
        write!(f, "{}{fault}", if at == 0 { "" } else { "; " })?;
    }
    match faults.len().saturating_sub(FAULTS_SHOWN) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

/// Writes `: did you mean "name"?` or `: ` and what to do instead.
pub(crate) fn suggestion(nearest: Option<&impl fmt::Display>, otherwise: &str) -> String {
    nearest.map_or_else(|| otherwise.to_owned(), |name| format!("did you mean {name}?"))
}

/// Whole microseconds of a duration \[us\], saturating.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Serialises a duration as whole microseconds \[us\].
pub(crate) fn as_micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(micros(*duration))
}

/// Reads a duration from whole microseconds \[us\].
pub(crate) fn from_micros<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_micros)
}

/// The wait before an attempt that follows `failures` failed ones: `first`, doubled each time, at most `most`.
pub(crate) fn doubling(first: Duration, most: Duration, failures: u32) -> Duration {
    let factor = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(most)
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// What tests of the actors need.
#[cfg(test)]
pub(crate) mod bench {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        pin::Pin,
        rc::Rc,
        task::Poll,
    };

    use actix::{Actor, Addr, AsyncContext, Context, Supervised, fut::ActorFutureExt};
    use tokio::time::Instant;

    use crate::agent::Timestamp;

    /// Runs a test on one arbiter with a paused clock.
    ///
    /// Paused from the start: a clock paused later is off the timer's ticks, and every sleep takes 1 ms more.
    pub(crate) fn paused<T>(test: impl Future<Output = T>) -> T {
        let paused = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        actix_rt::System::with_tokio_rt(move || paused().expect("a runtime")).block_on(test)
    }

    /// The time since this call.
    pub(crate) fn clock() -> Rc<dyn Fn() -> Timestamp> {
        let start = Instant::now();
        Rc::new(move || Timestamp::from_start(start.elapsed()))
    }

    /// Starts an actor that is rebuilt in place after a panic: same address, same mailbox, new instance.
    pub(crate) fn rebuilt<A>(factory: impl Fn() -> A + 'static) -> Addr<A>
    where
        A: Actor<Context = Context<A>> + Supervised,
    {
        let context = Context::new();
        let address = context.address();
        let mut running = context.into_future(factory());
        actix_rt::spawn(std::future::poll_fn(move |cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut running).poll(cx)));
            polled.unwrap_or_else(|_| {
                assert!(running.restart(), "the mailbox is connected");
                let fresh = factory();
                running.ctx().wait(actix::fut::ready(()).map(move |(), actor: &mut A, _| *actor = fresh));
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        }));
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dag(nodes: u32, edges: &[(u32, u32)]) -> Dag {
        let mut graph = Dag::from_edges(edges);
        while graph.node_count() < nodes as usize {
            graph.add_node(());
        }
        graph
    }

    #[test]
    fn each_component_gives_one_shortest_cycle_through_its_lowest_node() {
        // 2 depends on 4 depends on 3 depends on 2; 0 and 1 on each other; 5 hangs on the second cycle.
        let graph = dag(6, &[(4, 2), (3, 4), (2, 3), (0, 1), (1, 0), (2, 5)]);
        assert_eq!(cycles(&graph), vec![vec![0, 1, 0], vec![2, 4, 3, 2]]);
        assert!(cycles(&dag(3, &[(0, 1), (1, 2), (0, 2)])).is_empty());
    }

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not_suggested() {
        let known = ["config", "resources", "confit"];
        assert_eq!(Suggester::new().nearest("confg", known.into_iter()), Some("config"));
        assert_eq!(Suggester::new().nearest("heartbeat", known.into_iter()), None);
    }

    #[test]
    fn suggestions_stop_when_their_budget_is_spent() {
        let mut suggester = Suggester { budget: 8 };
        assert_eq!(suggester.nearest("confg", ["confix", "config"].into_iter()), None);
    }

    #[test]
    fn a_wait_doubles_up_to_its_bound() {
        let waits: Vec<_> = [1, 2, 3, 40]
            .map(|n| doubling(Duration::from_millis(100), Duration::from_millis(350), n).as_millis())
            .into();
        assert_eq!(waits, [100, 200, 350, 350]);
    }

    #[test]
    fn a_long_path_is_printed_with_its_middle_counted() {
        struct Path(Vec<usize>);
        impl fmt::Display for Path {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_path(f, &self.0)
            }
        }
        assert_eq!(Path(vec![1, 2, 1]).to_string(), "1 -> 2 -> 1");
        assert_eq!(
            Path((0..20).collect()).to_string(),
            "0 -> 1 -> 2 -> 3 -> 4 -> 5 -> (8 more) -> 14 -> 15 -> 16 -> 17 -> 18 -> 19"
        );
    }
}
