//! Tasks that are cancelled, late, retried, and whose agents break or die, at random and in virtual time: whatever happens,
//! every attempt ends once, nothing is begun that was given up, and no agent works on more than it has slots for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix::WrapFuture;
use phalanx::{
    agent::{Agent, AgentId, Card, Me},
    coordinator::{CancelAll, CancelTask, QueryTask, QueryTasks, TaskSpec, TaskState},
    prelude::*,
    supervisor::{Backoff, Intensity, RestartPolicy, Supervision},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::support::quiet_panics;

/// What all workers of one test saw.
#[derive(Default)]
struct Seen {
    /// How many attempts each agent works on, and the most that it ever did.
    working: BTreeMap<AgentId, (u32, u32)>,
    /// How often each attempt was begun.
    begun: BTreeMap<(TaskId, u32), u32>,
    begun_too_late: Vec<(TaskId, u32)>,
}

type Book = Arc<Mutex<Seen>>;

fn see<T>(book: &Book, look: impl FnOnce(&mut Seen) -> T) -> T {
    look(&mut book.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Counts an attempt as worked on until it is dropped.
struct Working(Book, AgentId);

impl Drop for Working {
    fn drop(&mut self) {
        see(&self.0, |seen| seen.working.get_mut(&self.1).expect("it was counted").0 -= 1);
    }
}

struct Worker {
    me: AgentId,
    book: Book,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Supervised for Worker {}

impl Handler<Work> for Worker {
    type Result = ResponseActFuture<Self, Result<Value, String>>;
    fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Self::Result {
        let attempt = (work.task().clone(), work.assignment.attempt);
        see(&self.book, |seen| {
            if work.cancellation().is_cancelled() {
                seen.begun_too_late.push(attempt.clone());
            }
            *seen.begun.entry(attempt).or_default() += 1;
            let working = seen.working.entry(self.me.clone()).or_default();
            working.0 += 1;
            working.1 = working.1.max(working.0);
        });
        let working = Working(self.book.clone(), self.me.clone());
        let (takes, heeds) = (work.payload()["takes"].as_u64().unwrap(), work.payload()["heeds"] == true);
        let done = async move {
            let _working = working;
            let nap = tokio::time::sleep(Duration::from_millis(takes));
            if heeds {
                work.cancellation().run_until_cancelled(nap).await.ok_or("given up")?;
            } else {
                nap.await;
            }
            if takes % 7 == 0 { Err("it failed".to_owned()) } else { Ok(json!(work.assignment.attempt)) }
        };
        Box::pin(done.into_actor(self))
    }
}

impl Agent for Worker {
    fn card(&self) -> Card<Self> {
        Card::new().offers("work").accepts::<Work>()
    }
}

const AGENTS: usize = 5;
const SLOTS: u32 = 3;

async fn hire(host: &Host, number: usize, book: &Book) {
    let supervision = Supervision {
        policy: RestartPolicy::Permanent,
        intensity: Intensity { restarts: 10_000, within: Duration::from_secs(1) },
        backoff: Backoff { initial: Duration::from_millis(30), ..Backoff::default() },
    };
    let options = AgentOptions { supervision, slots: Some(SLOTS), ..AgentOptions::default() };
    let book = book.clone();
    let make = move |me: &Me| Worker { me: me.id.clone(), book: book.clone() };
    host.spawn_with(format!("worker/{number}"), options, make).await.unwrap();
}

async fn storm(host: &Host, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let book = Book::default();
    for number in 0..AGENTS {
        hire(host, number, &book).await;
    }
    let coordinator = &host.protocols().coordinator;
    let mut tasks: Vec<TaskId> = Vec::new();
    for round in 0..120 {
        let batch = (0..random.random_range(0..6)).map(|n| {
            let id = TaskId::new(format!("{round}/{n}")).unwrap();
            let payload = json!({"takes": random.random_range(1..120), "heeds": random.random_bool(0.5)});
            TaskSpec::new(id)
                .needing(["work".parse().unwrap()])
                .with_payload(payload)
                .within(Duration::from_millis(random.random_range(1..100)))
                .retrying(random.random_range(0..3))
        });
        let batch: Vec<TaskSpec> = batch.collect();
        tasks.extend(batch.iter().map(|task| task.id.clone()));
        host.submit(batch).await.unwrap();
        let because = || "the test says so".to_owned();
        match random.random_range(0..12) {
            0..4 if !tasks.is_empty() => {
                let task = tasks[random.random_range(0..tasks.len())].clone();
                coordinator.send(CancelTask { task, because: because() }).await.unwrap();
            }
            4 if random.random_bool(0.2) => {
                _ = coordinator.send(CancelAll { because: because() }).await.unwrap();
            }
            5 | 6 => {
                let number = random.random_range(0..AGENTS);
                host.agent(format!("worker/{number}")).unwrap().inject_panic("killed by the test");
            }
            7 => {
                let number = random.random_range(0..AGENTS);
                host.agent(format!("worker/{number}")).unwrap().kill();
                host.sleep(Duration::from_millis(1)).await;
                hire(host, number, &book).await;
            }
            8 => host.protocols().agents()[3].inject_panic("killed by the test"),
            _ => {}
        }
        host.sleep(Duration::from_millis(random.random_range(0..25))).await;
    }
    let totals = host.tasks().await.unwrap().metrics;
    assert_eq!((totals.submitted, totals.open()), (tasks.len(), 0), "seed {seed}");
    host.idle().await;
    host.sleep(Duration::from_millis(1)).await;
    let metrics = coordinator.send(QueryTasks).await.unwrap().metrics;
    assert_eq!((metrics.releasing, metrics.agents), (0, AGENTS), "seed {seed}: {metrics:?}");
    assert!(metrics.stale > 0 && metrics.retried > 0 && metrics.completed > 0, "seed {seed}: {metrics:?}");
    for task in &tasks {
        let report = coordinator.send(QueryTask(task.clone())).await.unwrap().unwrap();
        let last = report.result.as_deref().and_then(Value::as_u64);
        let expected = (report.state == TaskState::Completed).then_some(u64::from(report.attempts));
        assert_eq!(
            last, expected,
            "seed {seed}: the result of {task} is that of its last attempt: {report:?}"
        );
    }
    see(&book, |seen| {
        assert_eq!(seen.begun_too_late, [], "seed {seed}: begun after they were given up");
        assert!(seen.begun.values().all(|times| *times == 1), "seed {seed}: an attempt is begun once");
        assert!(seen.begun.len() as u64 <= metrics.dispatched, "seed {seed}");
        for (agent, (now, most)) in &seen.working {
            assert!(
                *now == 0 && *most <= SLOTS,
                "seed {seed}: {agent} works on {now} now, on {most} at most"
            );
        }
    });
    let ledger = host.ledger();
    assert!(ledger.balances() && ledger.pending == 0, "seed {seed}: {ledger:?}");
}

#[test]
fn whatever_is_cancelled_late_or_broken_attempts_end_once_and_agents_never_work_beyond_their_slots() {
    quiet_panics();
    for seed in 0..25 {
        simulate(seed, |host| async move {
            storm(&host, seed).await;
            Ok::<_, HostError>(())
        })
        .unwrap();
    }
}
