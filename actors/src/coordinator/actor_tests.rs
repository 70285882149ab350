use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use actix::Addr;
use serde_json::Value;
use tokio::time::sleep;

use super::*;
use crate::support::bench::{clock, paused, rebuilt};

fn id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

fn agent(text: &str) -> AgentId {
    AgentId::new(text).unwrap()
}

fn task(name: &str, after: &[&str]) -> TaskSpec {
    TaskSpec::new(id(name)).after(after.iter().map(|d| id(d)))
}

type Log = Rc<RefCell<Vec<TaskEvent>>>;

fn start(state: &SharedTasks, now: &Rc<dyn Fn() -> Timestamp>) -> (Addr<Coordinator>, Log) {
    let log: Log = Rc::default();
    let sink = log.clone();
    let events = Rc::new(move |event| sink.borrow_mut().push(event));
    (Coordinator::new(state.clone(), now.clone(), events).start(), log)
}

fn fresh() -> (Addr<Coordinator>, Log) {
    start(&SharedTasks::default(), &clock())
}

/// What a worker of these tests does with an assignment.
#[derive(Clone)]
enum Manner {
    /// Answers with the agent's name after a while.
    Works { after: Duration, to: Addr<Coordinator> },
    /// Takes it and never answers.
    Deaf,
    /// Takes it and answers only when it is given up.
    LetsGo { to: Addr<Coordinator> },
    /// Refuses the first few.
    Refuses { times: usize, why: Refused },
    /// Panics.
    Panics,
}

struct Hand {
    manner: Manner,
    assigned: Mutex<Vec<(TaskId, u32)>>,
    tokens: Mutex<Vec<(TaskId, u32, CancellationToken)>>,
}

impl Hand {
    fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Self { manner, assigned: Mutex::default(), tokens: Mutex::default() })
    }

    fn assigned(&self) -> Vec<(String, u32)> {
        self.assigned.lock().unwrap().iter().map(|(task, attempt)| (task.to_string(), *attempt)).collect()
    }

    fn recalled(&self) -> Vec<(TaskId, u32)> {
        let tokens = self.tokens.lock().unwrap();
        let cancelled = tokens.iter().filter(|(_, _, token)| token.is_cancelled());
        cancelled.map(|(task, attempt, _)| (task.clone(), *attempt)).collect()
    }
}

impl Worker for Hand {
    fn assign(&self, assignment: Assignment) -> Result<(), Refused> {
        let Assignment { task, attempt, agent, cancellation, .. } = assignment;
        self.assigned.lock().unwrap().push((task.clone(), attempt));
        self.tokens.lock().unwrap().push((task.clone(), attempt, cancellation.clone()));
        match &self.manner {
            Manner::Works { after, to } => {
                let (after, to) = (*after, to.clone());
                actix_rt::spawn(async move {
                    sleep(after).await;
                    to.do_send(TaskEnded { task, attempt, result: Ok(Value::from(agent.as_str())) });
                });
                Ok(())
            }
            Manner::Deaf => Ok(()),
            Manner::LetsGo { to } => {
                let to = to.clone();
                actix_rt::spawn(async move {
                    cancellation.cancelled().await;
                    to.do_send(TaskEnded { task, attempt, result: Err("let go".to_owned()) });
                });
                Ok(())
            }
            Manner::Refuses { times, why } => {
                if self.assigned.lock().unwrap().len() <= *times {
                    Err(*why)
                } else {
                    Ok(())
                }
            }
            Manner::Panics => panic!("no hands"),
        }
    }
}

async fn enroll(coordinator: &Addr<Coordinator>, name: &str, slots: u32, hand: Arc<Hand>) {
    let offers = BTreeSet::new();
    coordinator.send(Enroll { agent: agent(name), offers, slots, worker: hand }).await.unwrap().unwrap();
}

async fn submit(coordinator: &Addr<Coordinator>, tasks: Vec<TaskSpec>) -> Result<usize, SubmitErrors> {
    coordinator.send(Submit { tasks }).await.unwrap()
}

fn millis(n: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(n))
}

#[test]
fn tasks_are_shared_out_and_all_who_wait_hear_of_their_end() {
    paused(async {
        let (coordinator, log) = fresh();
        for name in ["a", "b"] {
            let manner = Manner::Works { after: Duration::from_millis(50), to: coordinator.clone() };
            enroll(&coordinator, name, 1, Hand::new(manner)).await;
        }
        let mut tasks: Vec<_> = (0..100).map(|n| task(&format!("t{n}"), &[])).collect();
        tasks.push(TaskSpec::new(id("combine")).after((0..100).map(|n| id(&format!("t{n}")))));
        assert_eq!(submit(&coordinator, tasks).await, Ok(101));
        let combined = coordinator.send(AwaitTask(id("combine"))).await.unwrap().unwrap();
        assert_eq!((combined.state, combined.ended), (TaskState::Completed, Some(millis(51 * 50))));
        let totals = coordinator.send(AwaitAll).await.unwrap().unwrap();
        assert_eq!((totals.metrics.completed, totals.metrics.open()), (101, 0));
        let again = coordinator.send(AwaitTask(id("t7"))).await.unwrap().unwrap();
        assert!(["a", "b"].contains(&again.result.unwrap().as_str().unwrap()));
        let ends = log.borrow().iter().filter(|e| matches!(e, TaskEvent::TaskEnded { .. })).count();
        assert_eq!(ends, 101);
    });
}

#[test]
fn a_late_attempt_is_recalled_at_the_deadline_and_the_task_given_up_after_its_retries() {
    paused(async {
        let (coordinator, _) = fresh();
        let slow = Hand::new(Manner::LetsGo { to: coordinator.clone() });
        enroll(&coordinator, "slow", 1, slow.clone()).await;
        submit(&coordinator, vec![task("t", &[]).retrying(1)]).await.unwrap();
        let report = coordinator.send(AwaitTask(id("t"))).await.unwrap().unwrap();
        assert_eq!((report.state, report.ended), (TaskState::TimedOut, Some(millis(60_100))));
        assert_eq!(slow.recalled(), [(id("t"), 1), (id("t"), 2)]);
        let late = TaskEnded { task: id("t"), attempt: 2, result: Ok(Value::Null) };
        assert!(!coordinator.send(late).await.unwrap());
    });
}

#[test]
fn an_agent_that_never_lets_go_gets_no_more_until_it_is_enrolled_anew() {
    paused(async {
        let (coordinator, _) = fresh();
        let deaf = Hand::new(Manner::Deaf);
        enroll(&coordinator, "deaf", 1, deaf.clone()).await;
        submit(&coordinator, vec![task("t", &[]).retrying(9)]).await.unwrap();
        sleep(Duration::from_secs(3600)).await;
        let metrics = coordinator.send(QueryTasks).await.unwrap().metrics;
        assert_eq!((deaf.assigned().len(), metrics.queued, metrics.releasing), (1, 1, 1));
        assert!(coordinator.send(Withdraw(agent("deaf"))).await.unwrap());
        let manner = Manner::Works { after: Duration::ZERO, to: coordinator.clone() };
        enroll(&coordinator, "deaf", 1, Hand::new(manner)).await;
        let report = coordinator.send(AwaitTask(id("t"))).await.unwrap().unwrap();
        assert_eq!((report.state, report.attempts), (TaskState::Completed, 2));
        assert_eq!(coordinator.send(QueryTasks).await.unwrap().metrics.releasing, 0);
    });
}

#[test]
fn a_busy_agent_is_asked_again_and_one_that_is_gone_is_withdrawn() {
    paused(async {
        let (coordinator, log) = fresh();
        let busy = Hand::new(Manner::Refuses { times: 2, why: Refused::Busy });
        enroll(&coordinator, "busy", 1, busy.clone()).await;
        submit(&coordinator, vec![task("t", &[]).retrying(0)]).await.unwrap();
        sleep(Duration::from_millis(25)).await;
        assert_eq!(busy.assigned(), [("t".to_owned(), 1), ("t".to_owned(), 2), ("t".to_owned(), 3)]);
        assert!(coordinator.send(Withdraw(agent("busy"))).await.unwrap());
        enroll(&coordinator, "gone", 1, Hand::new(Manner::Refuses { times: 9, why: Refused::Gone })).await;
        submit(&coordinator, vec![task("u", &[])]).await.unwrap();
        let report = coordinator.send(QueryTask(id("u"))).await.unwrap().unwrap();
        assert_eq!((report.state, report.failures), (TaskState::Waiting, 1));
        let withdrawn = log.borrow().iter().filter(|e| matches!(e, TaskEvent::AgentWithdrawn { .. })).count();
        assert_eq!((withdrawn, coordinator.send(QueryTasks).await.unwrap().metrics.agents), (2, 0));
    });
}

#[test]
fn a_worker_that_panics_fails_the_attempt_and_not_the_coordinator() {
    paused(async {
        let (coordinator, _) = fresh();
        enroll(&coordinator, "clumsy", 1, Hand::new(Manner::Panics)).await;
        submit(&coordinator, vec![task("t", &[]).retrying(1)]).await.unwrap();
        let report = coordinator.send(AwaitTask(id("t"))).await.unwrap().unwrap();
        assert_eq!((report.state, report.attempts), (TaskState::Failed, 2));
        assert_eq!(report.fault.unwrap().to_string(), "worker of agent clumsy panicked: no hands");
    });
}

#[test]
fn requests_that_cannot_be_met_are_answered_with_a_typed_error() {
    paused(async {
        let (coordinator, _) = fresh();
        let errors = submit(&coordinator, vec![task("t", &["t"])]).await.unwrap_err();
        assert_eq!(errors.faults(), [SubmitError::OnItself { task: id("t") }]);
        let unknown = coordinator.send(AwaitTask(id("t"))).await.unwrap().unwrap_err();
        assert_eq!(unknown.to_string(), "task t does not exist: submit it first");
        let never = UnknownTask { task: id("t"), forgotten: 0 };
        assert_eq!(coordinator.send(QueryTask(id("t"))).await.unwrap(), Err(never));
        let cancel = CancelTask { task: id("t"), because: "no need".to_owned() };
        assert!(!coordinator.send(cancel).await.unwrap());
        assert_eq!(coordinator.send(AwaitAll).await.unwrap().unwrap().metrics.submitted, 0);
    });
}

#[test]
fn who_awaits_a_task_hears_of_its_end_and_who_asks_after_it_was_forgotten_is_told_so() {
    paused(async {
        let options = GraphOptions { history: 0, ..GraphOptions::default() };
        let (coordinator, _) = start(&Rc::new(RefCell::new(TasksState::new(options))), &clock());
        let manner = Manner::Works { after: Duration::from_millis(5), to: coordinator.clone() };
        enroll(&coordinator, "a", 9, Hand::new(manner)).await;
        submit(&coordinator, vec![task("t", &[]), task("kept", &[]).kept()]).await.unwrap();
        let ended = coordinator.send(AwaitTask(id("t"))).await.unwrap().unwrap();
        assert_eq!(ended.result.unwrap().as_str(), Some("a"));
        let unknown = UnknownTask { task: id("t"), forgotten: 1 };
        assert_eq!(coordinator.send(QueryTask(id("t"))).await.unwrap(), Err(unknown.clone()));
        let error = coordinator.send(AwaitTask(id("t"))).await.unwrap().unwrap_err();
        assert_eq!(error, AwaitError::Unknown(unknown));
        assert_eq!(
            error.to_string(),
            "task t is not known: it was never submitted, or is one of 1 that ended and were forgotten; ask sooner, keep \
             the task, or raise the history"
        );
        let refused = submit(&coordinator, vec![task("u", &["t"])]).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "task u depends on t, which is not known; it does not exist or is one of 1 that ended and were forgotten: keep \
             it until its dependants are submitted"
        );
        submit(&coordinator, vec![task("v", &["kept"])]).await.unwrap();
        assert_eq!(coordinator.send(ForgetTasks(vec![id("kept"), id("t")])).await.unwrap(), 1);
        assert!(coordinator.send(QueryTask(id("kept"))).await.unwrap().is_ok(), "v still needs it");
        assert_eq!(coordinator.send(AwaitTask(id("v"))).await.unwrap().unwrap().state, TaskState::Completed);
        assert!(coordinator.send(QueryTask(id("kept"))).await.unwrap().is_err());
        let metrics = coordinator.send(QueryTasks).await.unwrap().metrics;
        assert_eq!((metrics.submitted, metrics.completed, metrics.open()), (3, 3, 0), "totals stay exact");
    });
}

#[test]
fn cancelling_all_recalls_what_runs_and_answers_those_who_wait() {
    paused(async {
        let (coordinator, _) = fresh();
        let deaf = Hand::new(Manner::Deaf);
        enroll(&coordinator, "deaf", 1, deaf.clone()).await;
        submit(&coordinator, vec![task("t", &[]), task("u", &["t"])]).await.unwrap();
        let waiting = actix_rt::spawn(coordinator.send(AwaitAll));
        sleep(Duration::from_millis(1)).await;
        let all = CancelAll { because: "shutdown".to_owned() };
        assert_eq!(coordinator.send(all).await.unwrap(), 2);
        assert_eq!(waiting.await.unwrap().unwrap().unwrap().metrics.cancelled, 2);
        assert_eq!(deaf.recalled(), [(id("t"), 1)]);
    });
}

#[test]
fn many_answers_can_come_in_one_message() {
    paused(async {
        let (coordinator, _) = fresh();
        enroll(&coordinator, "deaf", 3, Hand::new(Manner::Deaf)).await;
        submit(&coordinator, (0..3).map(|n| task(&format!("t{n}"), &[])).collect()).await.unwrap();
        let answer =
            |n: usize, attempt| TaskEnded { task: id(&format!("t{n}")), attempt, result: Ok(Value::Null) };
        let answers = TasksEnded(vec![answer(0, 1), answer(1, 1), answer(2, 7)]);
        assert_eq!(coordinator.send(answers).await.unwrap(), 2);
        let metrics = coordinator.send(QueryTasks).await.unwrap().metrics;
        assert_eq!((metrics.completed, metrics.executing, metrics.stale), (2, 1, 1));
    });
}

#[test]
fn a_rebuilt_coordinator_carries_on_with_the_tasks_of_one_that_panicked() {
    paused(async {
        let (state, now) = (SharedTasks::default(), clock());
        let poison = Rc::new(|event: TaskEvent| {
            if let TaskEvent::TaskEnded { task, .. } = event {
                panic!("the sink breaks when {task} ends");
            }
        });
        let first = Coordinator::new(state.clone(), now.clone(), poison).start();
        let deaf = Hand::new(Manner::Deaf);
        enroll(&first, "deaf", 1, deaf.clone()).await;
        submit(&first, vec![task("t", &[]), task("u", &["t"]).retrying(0)]).await.unwrap();
        let ended = actix_rt::spawn(first.send(AwaitTask(id("t"))));
        let all = actix_rt::spawn(first.send(AwaitAll));
        sleep(Duration::from_millis(1)).await;
        first.do_send(TaskEnded { task: id("t"), attempt: 1, result: Ok(Value::Null) });
        sleep(Duration::from_millis(1)).await;
        assert!(!first.connected(), "the first instance is gone");
        assert_eq!(ended.await.unwrap().unwrap().unwrap().state, TaskState::Completed);
        assert_eq!(deaf.assigned().len(), 1, "the next task could not be assigned any more");
        let (second, log) = start(&state, &now);
        assert_eq!(second.send(QueryTasks).await.unwrap().metrics.agents, 1);
        assert_eq!(deaf.assigned(), [("t".to_owned(), 1), ("u".to_owned(), 1)]);
        let totals = all.await.unwrap().unwrap().unwrap();
        assert_eq!((totals.metrics.completed, totals.metrics.timed_out), (1, 1));
        assert_eq!(totals.at, millis(30_001), "the timer was set again");
        let told: Vec<_> =
            log.borrow().iter().map(|e| serde_json::to_value(e).unwrap()["event"].clone()).collect();
        assert_eq!(told, ["task_started", "task_ended"]);
        state.borrow().graph().verify().unwrap();
    });
}

#[test]
fn a_coordinator_rebuilt_in_place_keeps_its_tasks_its_mailbox_and_its_timers() {
    paused(async {
        let (state, now) = (SharedTasks::default(), clock());
        let poison: Rc<dyn Fn(TaskEvent)> = Rc::new(|event| {
            if matches!(event, TaskEvent::TaskRetried { .. } | TaskEvent::TaskEnded { .. }) {
                panic!("the sink breaks");
            }
        });
        let shared = state.clone();
        let coordinator = rebuilt(move || Coordinator::new(shared.clone(), now.clone(), poison.clone()));
        let deaf = Hand::new(Manner::Deaf);
        enroll(&coordinator, "deaf", 2, deaf.clone()).await;
        submit(&coordinator, vec![task("t", &[]).retrying(1), task("u", &["t"])]).await.unwrap();
        let totals = coordinator.send(AwaitAll).await.unwrap().unwrap();
        assert_eq!((totals.metrics.timed_out, totals.metrics.failed), (1, 1));
        assert_eq!((totals.at, deaf.assigned().len()), (millis(60_100), 2));
        state.borrow().graph().verify().unwrap();
    });
}

struct Listener(Rc<RefCell<Vec<TaskProgress>>>);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<TaskProgress> for Listener {
    type Result = ();
    fn handle(&mut self, progress: TaskProgress, _: &mut Context<Self>) {
        self.0.borrow_mut().push(progress);
    }
}

#[test]
fn a_subscriber_hears_of_progress_and_always_that_nothing_is_open_any_more() {
    paused(async {
        let (coordinator, _) = fresh();
        let heard = Rc::new(RefCell::new(Vec::new()));
        let listener = Listener(heard.clone()).start();
        coordinator.send(SubscribeTasks(listener.clone().recipient())).await.unwrap();
        let manner = Manner::Works { after: Duration::from_millis(1), to: coordinator.clone() };
        enroll(&coordinator, "a", 50, Hand::new(manner)).await;
        submit(&coordinator, (0..200).map(|n| task(&format!("t{n}"), &[])).collect()).await.unwrap();
        coordinator.send(AwaitAll).await.unwrap().unwrap();
        sleep(Duration::from_millis(1)).await;
        let last = *heard.borrow().last().unwrap();
        assert_eq!((last.totals.metrics.completed, last.totals.metrics.open()), (200, 0));
    });
}
