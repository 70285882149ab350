//! Handlers that come, go, panic, fail and dawdle: what they do to each other, and what is counted of it.

use std::sync::atomic::{AtomicU64, Ordering};

use actix::fut::wrap_future;
use tokio::sync::{Notify, watch};

use super::*;
use crate::monitor::{EventKind, HandlerStats, Heard};

async fn stats(monitor: &Addr<Monitor>, name: &str) -> HandlerStats {
    let handlers = monitor.send(QueryHandlers).await.unwrap();
    handlers.into_iter().find(|info| info.spec.name == name).unwrap().stats
}

#[test]
fn a_handler_that_was_removed_sees_nothing_more_and_not_what_waited() {
    run(async {
        let seen = Seen::default();
        let monitor = Monitor::new(cell(MonitorOptions::default())).start();
        let a = monitor.send(noting("a", &seen, |_| Ok(()))).await.unwrap();
        monitor.send(noting("b", &seen, |_| Ok(()))).await.unwrap();
        monitor.do_send(Record(event(1)));
        settled(&monitor).await;
        monitor.send(Pause).await.unwrap();
        monitor.do_send(Record(event(2)));
        assert!(monitor.send(RemoveHandler(a)).await.unwrap());
        let late = monitor.send(noting("c", &seen, |_| Ok(()))).await.unwrap();
        monitor.send(Resume).await.unwrap();
        monitor.do_send(Record(event(3)));
        settled(&monitor).await;
        assert_eq!(seen_by(&seen), ["a1", "b1", "b2", "b3", "c3"], "c came after the second event");
        assert!(late > a);
    });
}

#[test]
fn handlers_come_and_go_in_the_middle_of_a_flood_without_a_gap_for_others() {
    run(async {
        let seen = Seen::default();
        let options = MonitorOptions { turn: 10, backlog: 10_000, ..MonitorOptions::default() };
        let monitor = Monitor::new(cell(options)).start();
        monitor.send(noting("stays", &seen, |_| Ok(()))).await.unwrap();
        for round in 0..20 {
            monitor.do_send(RecordMany((0..50).map(event).collect()));
            let id = monitor.send(noting("comes", &Seen::default(), |_| Ok(()))).await.unwrap();
            monitor.do_send(RecordMany((0..50).map(event).collect()));
            assert!(monitor.send(RemoveHandler(id)).await.unwrap(), "round {round}");
        }
        settled(&monitor).await;
        let expected: Vec<_> = (1..=2000).map(|seq| format!("stays{seq}")).collect();
        assert_eq!(seen_by(&seen), expected);
        assert_eq!(monitor.send(QueryStatus).await.unwrap().handlers, 1);
    });
}

#[test]
fn a_handler_that_panics_or_fails_takes_no_event_from_those_after_it() {
    run(async {
        let seen = Seen::default();
        let monitor = Monitor::new(cell(MonitorOptions::default())).start();
        let urgency = [("fine", Priority::Low), ("fails", Priority::Normal), ("panics", Priority::Critical)];
        for (name, priority) in urgency {
            let mut add = noting(name, &seen, move |event| match name {
                "panics" if event.seq == 2 => panic!("broken"),
                "fails" => Err(format!("no {}", event.seq)),
                _ => Ok(()),
            });
            add.spec = add.spec.priority(priority);
            monitor.send(add).await.unwrap();
        }
        monitor.do_send(RecordMany((0..3).map(event).collect()));
        settled(&monitor).await;
        assert_eq!(
            seen_by(&seen),
            ["panics1", "fails1", "fine1", "panics2", "fails2", "fine2", "panics3", "fails3", "fine3"]
        );
        let (panics, fails) = (stats(&monitor, "panics").await, stats(&monitor, "fails").await);
        assert_eq!((panics.calls, panics.errors, panics.panics, panics.panics_in_a_row), (3, 1, 1, 0));
        assert_eq!((fails.calls, fails.errors, fails.panics), (3, 3, 0));
        assert_eq!(
            (panics.last_error.as_deref(), fails.last_error.as_deref()),
            (Some("broken"), Some("no 3"))
        );
        let fine = stats(&monitor, "fine").await;
        assert_eq!((fine.calls, fine.errors, fine.last_error), (3, 0, None));
    });
}

/// Handles nothing before it is let.
struct Dawdler {
    gate: Rc<Notify>,
    seen: Rc<Cell<u64>>,
}

impl Actor for Dawdler {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(4);
        let gate = self.gate.clone();
        ctx.wait(wrap_future(async move { gate.notified().await }));
    }
}

impl Handler<Observed> for Dawdler {
    type Result = ();
    fn handle(&mut self, _: Observed, _: &mut Context<Self>) {
        self.seen.set(self.seen.get() + 1);
    }
}

#[test]
fn an_actor_that_dawdles_holds_nobody_up_and_what_it_misses_counts_as_its_errors() {
    run(async {
        let seen = Seen::default();
        let monitor = Monitor::new(cell(MonitorOptions::default())).start();
        let (gate, handled) = (Rc::new(Notify::new()), Rc::new(Cell::new(0)));
        let dawdler = Dawdler { gate: gate.clone(), seen: handled.clone() }.start();
        let spec = HandlerSpec::new("dawdler").priority(Priority::Critical);
        monitor.send(AddHandler::recipient(spec, dawdler.clone().recipient())).await.unwrap();
        monitor.send(noting("a", &seen, |_| Ok(()))).await.unwrap();
        monitor.do_send(RecordMany((0..100).map(event).collect()));
        settled(&monitor).await;
        assert_eq!(seen_by(&seen).len(), 100, "the other one has seen them all");
        assert_eq!(handled.get(), 0);
        let missed = stats(&monitor, "dawdler").await;
        assert!(missed.errors > 0 && missed.errors < 100, "{missed:?}");
        assert_eq!((missed.calls, missed.last_error.as_deref()), (100, Some("its mailbox is full")));
        gate.notify_one();
        while handled.get() < 100 - missed.errors {
            tokio::task::yield_now().await;
        }
        monitor.do_send(Record(event(101)));
        settled(&monitor).await;
        assert_eq!(stats(&monitor, "dawdler").await.errors, missed.errors, "it has room again");
    });
}

#[test]
fn a_function_that_is_slow_gives_the_arbiter_back_after_each_event() {
    run(async {
        let micros = Arc::new(AtomicU64::new(0));
        let reading = micros.clone();
        let clock: Clock =
            Arc::new(move || Timestamp::from_start(Duration::from_micros(reading.load(Ordering::Relaxed))));
        let options = MonitorOptions { turn: 1_000, ..MonitorOptions::default() };
        let monitor = Monitor::new(MonitorCell::new(options, clock, None)).start();
        let turns = Arc::new(AtomicU64::new(0));
        let counting = turns.clone();
        let neighbour = actix_rt::spawn(std::future::poll_fn(move |task| {
            counting.fetch_add(1, Ordering::Relaxed);
            task.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        let at = Arc::new(Mutex::new(Vec::new()));
        let noted = at.clone();
        let slow = AddHandler::function(HandlerSpec::new("slow"), move |_| {
            micros.fetch_add(5_000, Ordering::Relaxed);
            noted.lock().unwrap().push(turns.load(Ordering::Relaxed));
            Ok(())
        });
        monitor.send(slow).await.unwrap();
        monitor.do_send(RecordMany((0..20).map(event).collect()));
        settled(&monitor).await;
        neighbour.abort();
        let at = at.lock().unwrap().clone();
        assert_eq!(at.len(), 20);
        assert!(at.is_sorted_by(|one, next| one < next), "the neighbour ran in between: {at:?}");
        assert_eq!(stats(&monitor, "slow").await.mean_time(), Duration::from_millis(5));
    });
}

#[test]
fn whoever_asks_is_told_when_somebody_begins_or_ceases_to_listen() {
    run(async {
        let cell = cell(MonitorOptions::default());
        let mut heard = cell.heard();
        let monitor = Monitor::new(cell).start();
        let look = |heard: &mut watch::Receiver<Heard>| {
            let changed = heard.has_changed().unwrap();
            (changed, heard.borrow_and_update().hears(EventKind::SystemEvent))
        };
        assert_eq!(look(&mut heard), (false, false));
        let panicking = noting("a", &Seen::default(), |_| panic!("broken"));
        let a = monitor.send(panicking).await.unwrap();
        assert_eq!(look(&mut heard), (true, true));
        let b = monitor.send(noting("b", &Seen::default(), |_| Ok(()))).await.unwrap();
        assert_eq!(look(&mut heard), (false, true));
        monitor.send(RemoveHandler(b)).await.unwrap();
        assert_eq!(look(&mut heard), (false, true));
        monitor.do_send(RecordMany((0..3).map(event).collect()));
        settled(&monitor).await;
        assert_eq!(look(&mut heard), (true, false), "it was disabled for its panics");
        monitor.send(EnableHandler { id: a, enabled: true }).await.unwrap();
        assert_eq!(look(&mut heard), (true, true));
    });
}

#[test]
fn each_event_that_changes_the_health_of_an_agent_is_followed_by_a_health_check() {
    run(async {
        let seen = Seen::default();
        let monitor = Monitor::new(cell(MonitorOptions::default())).start();
        let lines = seen.clone();
        let checks = HandlerSpec::new("checks").kinds([EventKind::HealthCheck]);
        let add = AddHandler::function(checks, move |event| {
            let data = serde_json::to_string(&event.data).map_err(|error| error.to_string())?;
            lines.lock().unwrap().push(format!("{} {} {data}", event.seq, event.severity));
            Ok(())
        });
        monitor.send(add).await.unwrap();
        let agent = || AgentId::new("a").unwrap();
        let about = |name| Event::system(Severity::Info, "test", name, Timestamp::ZERO).about(agent());
        let own = Event::health_check("a", agent(), Health::Degraded, Timestamp::ZERO);
        monitor.do_send(RecordMany(vec![
            about(names::AGENT_STARTED),
            about(names::AGENT_STARTED),
            about(names::AGENT_PANICKED),
            about(names::AGENT_RESTARTED),
            own,
            about(names::AGENT_STOPPED),
            about(names::AGENT_RESTARTED),
        ]));
        settled(&monitor).await;
        assert_eq!(
            seen_by(&seen),
            [
                r#"2 info {"health":"healthy","because":"agent.started"}"#,
                r#"5 error {"health":"failed","from":"healthy","because":"agent.panicked"}"#,
                r#"7 info {"health":"healthy","from":"failed","because":"agent.restarted"}"#,
                r#"8 warning {"health":"degraded"}"#,
                r#"10 info {"health":"stopped","from":"degraded","because":"agent.stopped"}"#,
            ]
        );
        let summary = monitor.send(QueryHealthSummary { worst: 5, without: None }).await.unwrap();
        assert_eq!((summary.troubled, summary.counts[&Health::Stopped]), (1, 1));
        let without = QueryHealthSummary { worst: 5, without: Some("a") };
        assert_eq!(monitor.send(without).await.unwrap().counts.len(), 0);
    });
}

#[test]
fn handlers_that_are_quick_keep_up_with_a_flood_of_which_each_event_brings_about_another() {
    run(async {
        for at_once in [true, false] {
            let seen = Seen::default();
            let options = MonitorOptions { turn: 10, backlog: 100, ..MonitorOptions::default() };
            let monitor = Monitor::new(cell(options)).start();
            monitor.send(noting("a", &seen, |_| Ok(()))).await.unwrap();
            let started = |number: u64| {
                let agent = AgentId::new(format!("agent/{number}")).unwrap();
                Event::system(Severity::Debug, "test", names::AGENT_STARTED, Timestamp::ZERO).about(agent)
            };
            if at_once {
                monitor.do_send(RecordMany((0..3000).map(started).collect()));
            } else {
                (0..3000).for_each(|number| monitor.do_send(Record(started(number))));
            }
            let status = settled(&monitor).await;
            assert_eq!((status.recorded, status.shed), (6000, [0; 5]), "at once: {at_once}");
            let expected: Vec<_> = (1..=6000).map(|seq| format!("a{seq}")).collect();
            assert_eq!(seen_by(&seen), expected);
        }
    });
}
