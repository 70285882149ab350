//! Attempts that are given up: what waits is not handled any more, what runs is told, and a slot is free when its agent has
//! let go.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::{AsyncContext, WrapFuture};
use phalanx::{
    agent::{Agent, Card},
    coordinator::{CancelAll, CancelTask, QueryTasks, TaskMetrics, TaskSpec, TaskState},
    prelude::*,
};
use serde_json::{Value, json};

/// Lets the agent wait before it handles anything else.
#[derive(Clone, Message)]
#[rtype(result = "()")]
struct Block(Duration);

/// What a worker does with a task.
#[derive(Clone, Copy)]
enum Manner {
    /// Stops as soon as it is told, and takes so long for it.
    Heeds(Duration),
    /// Goes on for so long, whatever it is told.
    Ignores(Duration),
}

struct Worker {
    manner: Manner,
    handled: Arc<AtomicUsize>,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Supervised for Worker {}

impl Handler<Block> for Worker {
    type Result = ();
    fn handle(&mut self, block: Block, ctx: &mut Context<Self>) {
        ctx.wait(tokio::time::sleep(block.0).into_actor(self));
    }
}

impl Handler<Work> for Worker {
    type Result = ResponseActFuture<Self, Result<Value, String>>;
    fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Self::Result {
        self.handled.fetch_add(1, Ordering::Relaxed);
        let manner = self.manner;
        let done = async move {
            match manner {
                Manner::Heeds(tidying) => {
                    work.cancellation().cancelled().await;
                    tokio::time::sleep(tidying).await;
                    Err("it was given up".to_owned())
                }
                Manner::Ignores(time) => {
                    tokio::time::sleep(time).await;
                    Ok(json!(work.assignment.attempt))
                }
            }
        };
        Box::pin(done.into_actor(self))
    }
}

impl Agent for Worker {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Block>().accepts::<Work>()
    }
}

async fn worker(host: &Host, name: &str, manner: Manner) -> (AgentRef<Worker>, Arc<AtomicUsize>) {
    let handled = Arc::<AtomicUsize>::default();
    let count = handled.clone();
    let agent = host.spawn(name, move || Worker { manner, handled: count.clone() }).await.unwrap();
    (agent, handled)
}

fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

async fn submit(host: &Host, tasks: impl IntoIterator<Item = TaskSpec>) {
    host.submit(tasks.into_iter().collect()).await.unwrap();
}

async fn cancel(host: &Host, task: &str) {
    let cancel = CancelTask { task: id(task), because: "not needed".to_owned() };
    assert!(host.protocols().coordinator.send(cancel).await.unwrap());
}

async fn metrics(host: &Host) -> TaskMetrics {
    host.protocols().coordinator.send(QueryTasks).await.unwrap().metrics
}

const SECOND: Duration = Duration::from_secs(1);

fn simulated<P: Future<Output = ()>>(program: impl FnOnce(Host) -> P) {
    simulate(1, |host| async move {
        program(host).await;
        Ok::<_, HostError>(())
    })
    .unwrap();
}

#[test]
fn an_attempt_that_waits_in_an_inbox_is_not_handled_after_its_task_was_cancelled() {
    simulated(|host| async move {
        let (agent, handled) = worker(&host, "w", Manner::Ignores(SECOND)).await;
        let letters = Arc::<Mutex<Vec<_>>>::default();
        let read = letters.clone();
        let _subscription = host.dead_letters().subscribe(move |letter| {
            let task = letter.look(|work: &Work| work.task().to_string());
            read.lock().unwrap().push((letter.reason, task));
        });
        agent.tell(Block(SECOND * 5)).unwrap();
        submit(&host, [TaskSpec::new(id("t"))]).await;
        host.sleep(SECOND).await;
        assert_eq!(agent.status().occupied, 1);
        cancel(&host, "t").await;
        assert_eq!(metrics(&host).await.releasing, 1, "it still waits there");
        host.sleep(SECOND * 5).await;
        assert_eq!(*letters.lock().unwrap(), [(Reason::Recalled, Some("t".to_owned()))]);
        assert_eq!((handled.load(Ordering::Relaxed), agent.status().occupied), (0, 0));
        let ledger = host.ledger();
        assert_eq!((ledger.dropped, ledger.pending, ledger.balances()), (1, 0, true));
        let metrics = metrics(&host).await;
        assert_eq!((metrics.releasing, metrics.stale), (0, 1));
        submit(&host, [TaskSpec::new(id("u"))]).await;
        assert_eq!(host.task(&id("u")).await.unwrap().state, TaskState::Completed, "the slot is free again");
        assert_eq!(handled.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn an_attempt_that_waits_in_an_inbox_is_not_handled_after_its_time_is_up() {
    simulated(|host| async move {
        let (agent, handled) = worker(&host, "w", Manner::Ignores(SECOND)).await;
        agent.tell(Block(SECOND * 5)).unwrap();
        submit(&host, [TaskSpec::new(id("t")).within(SECOND).retrying(0)]).await;
        assert_eq!(host.task(&id("t")).await.unwrap().state, TaskState::TimedOut);
        host.idle().await;
        assert_eq!(handled.load(Ordering::Relaxed), 0);
        let ledger = host.ledger();
        assert_eq!((ledger.expired, ledger.delivered, ledger.balances()), (1, 1, true));
        assert_eq!((agent.status().occupied, metrics(&host).await.releasing), (0, 0));
    });
}

#[test]
fn a_handler_is_told_when_its_attempt_is_late_cancelled_or_all_is_cancelled_and_its_slot_is_free_when_it_ends()
 {
    simulated(|host| async move {
        let (_, handled) = worker(&host, "w", Manner::Heeds(SECOND * 3)).await;
        for (round, name) in ["late", "cancelled", "all"].into_iter().enumerate() {
            let began = host.now();
            let next = format!("after {name}");
            submit(&host, [TaskSpec::new(id(name)).within(SECOND * 10).retrying(0)]).await;
            submit(&host, [TaskSpec::new(id(&next)).following([id(name)])]).await;
            match name {
                "late" => _ = host.task(&id(name)).await,
                "cancelled" => cancel(&host, name).await,
                _ => {
                    let all = CancelAll { because: "enough".to_owned() };
                    assert_eq!(host.protocols().coordinator.send(all).await.unwrap(), 2);
                    submit(&host, [TaskSpec::new(id("last"))]).await;
                }
            }
            let given_up = host.now().since(began);
            assert_eq!((metrics(&host).await.releasing, metrics(&host).await.queued), (1, 1), "{name}");
            host.sleep(SECOND * 2).await;
            assert_eq!(handled.load(Ordering::Relaxed), 2 * round + 1, "{name}: it is tidying up");
            host.sleep(SECOND * 2).await;
            assert_eq!(handled.load(Ordering::Relaxed), 2 * round + 2, "{name}: it has let go");
            assert_eq!((metrics(&host).await.releasing, metrics(&host).await.executing), (0, 1), "{name}");
            assert_eq!(given_up, if name == "late" { SECOND * 10 } else { Duration::ZERO });
            let last = if name == "all" { "last" } else { &*next };
            cancel(&host, last).await;
            host.sleep(SECOND * 4).await;
        }
    });
}

#[test]
fn a_late_result_is_counted_and_never_taken_for_that_of_a_later_attempt() {
    simulated(|host| async move {
        // The first attempt is given up after 5 s and ends after 8; the second one takes from 5.1 s to 9.1.
        let (_, first) = worker(&host, "first", Manner::Ignores(SECOND * 8)).await;
        submit(&host, [TaskSpec::new(id("t")).within(SECOND * 5).retrying(1)]).await;
        host.sleep(SECOND).await;
        let (_, second) = worker(&host, "second", Manner::Ignores(SECOND * 4)).await;
        let report = host.task(&id("t")).await.unwrap();
        assert_eq!((report.state, report.attempts), (TaskState::Completed, 2));
        assert_eq!(report.result.as_deref(), Some(&json!(2)));
        assert_eq!((first.load(Ordering::Relaxed), second.load(Ordering::Relaxed)), (1, 1));
        let metrics = metrics(&host).await;
        assert_eq!(
            (metrics.stale, metrics.releasing, metrics.completed),
            (1, 0, 1),
            "the first came in between"
        );
    });
}

#[test]
fn the_slot_of_an_agent_that_never_lets_go_is_free_again_when_it_is_restarted() {
    crate::support::quiet_panics();
    simulated(|host| async move {
        let (agent, handled) = worker(&host, "w", Manner::Ignores(SECOND * 1_000_000)).await;
        submit(&host, [TaskSpec::new(id("t")), TaskSpec::new(id("u"))]).await;
        host.sleep(SECOND).await;
        cancel(&host, "t").await;
        host.sleep(SECOND * 3600).await;
        assert_eq!((handled.load(Ordering::Relaxed), metrics(&host).await.releasing), (1, 1));
        agent.handle().inject_panic("killed by the test");
        host.sleep(SECOND).await;
        assert_eq!((handled.load(Ordering::Relaxed), metrics(&host).await.releasing), (2, 0));
        agent.kill();
        host.sleep(SECOND).await;
        cancel(&host, "u").await;
    });
}

#[cfg(unix)]
#[test]
fn a_program_whose_attempt_is_given_up_is_gone_when_the_slot_is_free() {
    use phalanx::{
        manifest::{Manifest, Variables},
        swarm::{self, RunOptions, Stop},
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let text = format!(
        r#"{{"name": "n", "arbiters": 1, "agents": [{{"kind": "runner"}}], "tasks": [
            {{"id": "slow", "retries": 0, "timeout": "300ms", "priority": "urgent", "do": {{"run": {{"program": "sh",
                "arguments": ["-c", "echo $$ > {0}; exec sleep 600"]}}}}}},
            {{"id": "next", "retries": 0, "do": {{"run": {{"program": "sh", "arguments": ["-c",
                "kill -0 $(cat {0}) 2>/dev/null && echo alive || echo gone"]}}}}}}]}}"#,
        file.display()
    );
    let manifest = Manifest::parse(&text, "test.json", &Variables::default()).unwrap();
    let report = swarm::run(&manifest, RunOptions::default(), |_| {}, Stop::default()).unwrap();
    let totals = report.tasks.totals;
    assert_eq!((totals.timed_out, totals.completed, totals.releasing), (1, 1, 0), "{:?}", report.tasks);
    assert_eq!(report.tasks.results["next"]["stdout"], "gone\n");
}
