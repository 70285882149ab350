//! Tasks that do nothing, on this machine: what planning and carrying them out costs for each.
//!
//! Each task comes after two of the thousand before it, so there are about two edges for each. What is compared does the same
//! work in the same order of dependencies: a walk over the bare graph, which nobody can beat that respects it, and a task of
//! the executor for each, awaited one by one.

use std::{cell::RefCell, hint::black_box, rc::Rc};

use actix::Actor;
use petgraph::{Direction, graph::DiGraph};
use phalanx_actors::{
    agent::{TaskId, Timestamp},
    initializer::{
        Initializer, Plan, StartUp, Startup, StartupBody, StartupEffect, StartupEvent, StartupOptions,
        StartupOutcome, StartupState, StartupTask,
    },
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::{bench::BenchError, report::units::count};

/// How many steps measuring takes.
pub(super) const STEPS: usize = Way::ALL.len() * ROUNDS;

const ROUNDS: usize = 3;

/// How far back a task depends on another one at most.
const WINDOW: usize = 1_000;

/// How the tasks are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// A walk over the bare graph, which calls each.
    Walk,
    /// A task of the executor for each, one by one.
    OneByOne,
    /// The plan and the state machine of start-up, without actor and bodies.
    Machine,
    /// The initializer, with a body for each.
    Initializer,
}

impl Way {
    /// All of them, in the order of the page.
    pub(super) const ALL: [Way; 4] = [Way::Walk, Way::OneByOne, Way::Machine, Way::Initializer];

    /// As the page calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Walk => "a walk over the bare graph",
            Self::OneByOne => "tasks of the executor, one by one",
            Self::Machine => "phalanx, the state machine alone",
            Self::Initializer => "phalanx, the initializer",
        }
    }
}

/// What one way takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) way: Way,
    /// Until the first task starts, for each task, in the median round \[ns\].
    pub(super) plan_ns: f64,
    /// From then on.
    pub(super) run_ns: f64,
    /// Both.
    pub(super) total_ns: f64,
}

/// What all of them take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Machine {
    pub(super) tasks: usize,
    pub(super) edges: usize,
    /// Whether it was built without optimisation, which makes all figures of it useless.
    pub(super) debug: bool,
    /// What plan and state machine keep for each task while start-up runs, texts of ids included \[bytes\].
    pub(super) bytes_per_task: f64,
    pub(super) rows: Vec<Row>,
}

impl Machine {
    pub(super) fn row(&self, way: Way) -> Row {
        *self.rows.iter().find(|row| row.way == way).expect("all ways are measured")
    }
}

/// The dependencies of each task.
fn graph(tasks: usize) -> Vec<Vec<usize>> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let before = (0..tasks).map(|number| {
        let first = number.saturating_sub(WINDOW);
        let mut on: Vec<usize> =
            (0..2).filter(|_| number > 0).map(|_| random.random_range(first..number)).collect();
        on.dedup();
        on
    });
    before.collect()
}

fn listed(graph: &[Vec<usize>]) -> Vec<StartupTask> {
    let ids: Vec<TaskId> =
        (0..graph.len()).map(|number| TaskId::new(format!("t{number}")).expect("a good name")).collect();
    let task = |(id, on): (&TaskId, &Vec<usize>)| {
        StartupTask::new(id.clone()).after(on.iter().map(|on| ids[*on].clone()))
    };
    ids.iter().zip(graph).map(task).collect()
}

/// Measures, by turns.
pub(super) fn measure(tasks: usize, step: &mut impl FnMut(String)) -> Result<Machine, BenchError> {
    let graph = graph(tasks);
    let mut rounds: Vec<[(f64, f64); Way::ALL.len()]> = Vec::new();
    let mut bytes = 0;
    for round in 1..=ROUNDS {
        let mut times = [(0.0, 0.0); Way::ALL.len()];
        for (way, time) in Way::ALL.into_iter().zip(&mut times) {
            let tasks = count(u64::try_from(tasks).expect("a count fits"));
            step(format!("{tasks} tasks that do nothing, {}, round {round} of {ROUNDS}", way.name()));
            *time = match way {
                Way::Walk => walk(&graph),
                Way::OneByOne => one_by_one(&graph)?,
                Way::Machine => {
                    let (time, kept) = machine(listed(&graph))?;
                    bytes = kept;
                    time
                }
                Way::Initializer => initializer(listed(&graph))?,
            };
        }
        rounds.push(times);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    let per_task = |figure: f64| figure / tasks as f64;
    let rows = Way::ALL.into_iter().enumerate().map(|(at, way)| {
        let median = |figure: fn((f64, f64)) -> f64| {
            let mut all: Vec<f64> = rounds.iter().map(|round| per_task(figure(round[at]) * 1e9)).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let (plan_ns, run_ns) = (median(|time| time.0), median(|time| time.1));
        Row { way, plan_ns, run_ns, total_ns: median(|time| time.0 + time.1) }
    });
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    let bytes_per_task = per_task(bytes as f64);
    Ok(Machine {
        tasks,
        edges: graph.iter().map(Vec::len).sum(),
        debug: cfg!(debug_assertions),
        bytes_per_task,
        rows: rows.collect(),
    })
}

/// How long two parts of some work take, one after the other \[s\].
fn timed<T>(first: impl FnOnce() -> T, then: impl FnOnce(T)) -> (f64, f64) {
    let began = Instant::now();
    let made = first();
    let planned = Instant::now();
    then(made);
    ((planned - began).as_secs_f64(), planned.elapsed().as_secs_f64())
}

/// Calls each task of a bare graph once all before it were called.
fn walk(graph: &[Vec<usize>]) -> (f64, f64) {
    let plan = || {
        let mut bare: DiGraph<(), ()> = DiGraph::with_capacity(graph.len(), 2 * graph.len());
        let nodes: Vec<_> = graph.iter().map(|_| bare.add_node(())).collect();
        for (at, on) in graph.iter().enumerate() {
            for on in on {
                bare.add_edge(nodes[*on], nodes[at], ());
            }
        }
        let open: Vec<usize> =
            bare.node_indices().map(|node| bare.edges_directed(node, Direction::Incoming).count()).collect();
        (bare, open)
    };
    timed(plan, |(bare, mut open)| {
        let mut ready: Vec<_> = bare.node_indices().filter(|node| open[node.index()] == 0).collect();
        while let Some(node) = ready.pop() {
            black_box(node);
            for next in bare.neighbors(node) {
                open[next.index()] -= 1;
                if open[next.index()] == 0 {
                    ready.push(next);
                }
            }
        }
    })
}

fn system<T>(work: impl Future<Output = Result<T, BenchError>>) -> Result<T, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    actix_rt::System::with_tokio_rt(move || runtime).block_on(work)
}

/// Has the executor do each task by itself; they are listed in an order that respects their dependencies.
fn one_by_one(graph: &[Vec<usize>]) -> Result<(f64, f64), BenchError> {
    system(async {
        let began = Instant::now();
        for on in graph {
            let on = on.len();
            // A task that does nothing does not panic.
            _ = tokio::spawn(async move { black_box(on) }).await;
        }
        Ok((0.0, began.elapsed().as_secs_f64()))
    })
}

/// Plans the tasks and carries them out without actor and bodies; answers also what is kept of them \[bytes\].
fn machine(tasks: Vec<StartupTask>) -> Result<((f64, f64), usize), BenchError> {
    let (mut bytes, mut ended) = (0, None);
    let options = StartupOptions::default();
    let time = timed(
        || Plan::new(tasks),
        |plan| {
            let Ok(plan) = plan else { return };
            let (mut effects, mut runs) = (Vec::new(), Vec::new());
            let mut startup = Startup::begin(plan, options, Timestamp::ZERO, &mut effects);
            bytes = startup.bytes();
            loop {
                for effect in effects.drain(..) {
                    if let StartupEffect::Run { task, attempt, .. } = effect {
                        runs.push((task, attempt));
                    }
                }
                let Some((task, attempt)) = runs.pop() else { break };
                startup.attempt_ended(task, attempt, Ok(Value::Null), Timestamp::ZERO, &mut effects);
            }
            ended = startup.outcome();
        },
    );
    succeeded(Way::Machine, ended).map(|()| (time, bytes))
}

/// Has the initializer carry out a body for each task. The time until the first event is that of the plan.
fn initializer(tasks: Vec<StartupTask>) -> Result<(f64, f64), BenchError> {
    system(async {
        let body = StartupBody::new(|_| async { Ok(Value::Null) });
        let tasks = tasks.into_iter().map(|task| (task, body.clone())).collect();
        let began = Instant::now();
        let planned = Rc::new(RefCell::new(None));
        let first = planned.clone();
        let sink = move |event: StartupEvent| {
            if let StartupEvent::StartupBegan { .. } = event {
                *first.borrow_mut() = Some(Instant::now());
            }
        };
        let now = move || Timestamp::from_start(began.elapsed());
        let initializer =
            Initializer::new(Rc::new(RefCell::new(StartupState::default())), Rc::new(now), Rc::new(sink))
                .start();
        let began = Instant::now();
        let report = initializer.send(StartUp { tasks, options: StartupOptions::default() }).await;
        let report = report.map_err(|_| BenchError::NoAnswer("initializer"))??;
        let ended = Instant::now();
        succeeded(Way::Initializer, report.outcome)?;
        let planned = planned.borrow().unwrap_or(ended);
        Ok(((planned - began).as_secs_f64(), (ended - planned).as_secs_f64()))
    })
}

fn succeeded(way: Way, outcome: Option<StartupOutcome>) -> Result<(), BenchError> {
    if outcome == Some(StartupOutcome::Succeeded) {
        return Ok(());
    }
    let why = "not all tasks completed".to_owned();
    Err(BenchError::Unequal { way: way.name().to_owned(), why })
}
