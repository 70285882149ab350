use std::{cell::Cell, rc::Rc, time::Duration};

use actix::{Addr, System};

use super::*;
use crate::{
    agent::{Priority, Timestamp},
    monitor::{Severity, names},
};

mod handlers;

type Seen = Arc<Mutex<Vec<String>>>;

fn clock() -> Clock {
    Arc::new(|| Timestamp::ZERO)
}

fn cell(options: MonitorOptions) -> MonitorCell {
    MonitorCell::new(options, clock(), None)
}

fn event(number: u64) -> Event {
    event_of(Severity::Info, number)
}

fn event_of(severity: Severity, number: u64) -> Event {
    Event::system(severity, "test", "test.event", Timestamp::ZERO).with("number", number)
}

/// A handler that notes its name and the events' places, and does `then` with each.
fn noting(
    name: &'static str,
    seen: &Seen,
    mut then: impl FnMut(&Event) -> Result<(), String> + Send + 'static,
) -> AddHandler {
    let seen = seen.clone();
    AddHandler::function(HandlerSpec::new(name), move |event| {
        seen.lock().unwrap().push(format!("{name}{}", event.seq));
        then(event)
    })
}

fn seen_by(seen: &Seen) -> Vec<String> {
    seen.lock().unwrap().clone()
}

/// The status once nothing waits any more.
async fn settled(monitor: &Addr<Monitor>) -> MonitorStatus {
    loop {
        let status = monitor.send(QueryStatus).await.unwrap();
        if status.waiting == 0 || status.mode == MonitorMode::Paused {
            return status;
        }
        tokio::task::yield_now().await;
    }
}

fn run(test: impl Future<Output = ()>) {
    System::new().block_on(test);
}

#[test]
fn handlers_are_called_by_priority_and_come_and_go() {
    run(async {
        let seen = Seen::default();
        let monitor = Monitor::new(cell(MonitorOptions::default())).start();
        monitor.do_send(Record(event(1)));
        monitor.send(noting("a", &seen, |_| Ok(()))).await.unwrap();
        let mut urgent = noting("b", &seen, |_| Ok(()));
        urgent.spec = urgent.spec.priority(Priority::Urgent);
        let b = monitor.send(urgent).await.unwrap();
        monitor.do_send(RecordMany(vec![event(2), event(3)]));
        settled(&monitor).await;
        assert!(monitor.send(EnableHandler { id: b, enabled: false }).await.unwrap());
        monitor.do_send(Record(event(4)));
        settled(&monitor).await;
        assert!(monitor.send(RemoveHandler(b)).await.unwrap());
        assert!(!monitor.send(RemoveHandler(b)).await.unwrap());
        assert_eq!(seen_by(&seen), ["b2", "a2", "b3", "a3", "a4"]);
        assert_eq!(monitor.send(QueryHandlers).await.unwrap()[0].stats.calls, 3);
    });
}

#[test]
fn a_handler_that_panics_is_caught_and_disabled_after_three_in_a_row() {
    run(async {
        let seen = Seen::default();
        let monitor = Monitor::new(cell(MonitorOptions::default())).start();
        monitor.send(noting("bad", &seen, |_| panic!("broken"))).await.unwrap();
        monitor.send(noting("good", &Seen::default(), |_| Err("no".into()))).await.unwrap();
        monitor.do_send(RecordMany((0..5).map(event).collect()));
        let status = settled(&monitor).await;
        assert_eq!((status.mode, status.handlers_enabled), (MonitorMode::Error, 1));
        assert_eq!(seen_by(&seen), ["bad1", "bad2", "bad3"]);
        let filter = EventFilter { name: Some(names::HANDLER_DISABLED.into()), ..EventFilter::default() };
        let said = monitor.send(QueryEvents(filter)).await.unwrap().events;
        assert_eq!(said.len(), 1);
        assert_eq!((&said[0].data["handler"], &said[0].data["error"]), (&"bad".into(), &"broken".into()));
        let metrics = monitor.send(QueryMetrics).await.unwrap();
        assert_eq!((metrics.total, metrics.processed, metrics.failed), (6, 6, 6));
        assert!(monitor.send(EnableHandler { id: HandlerId(1), enabled: true }).await.unwrap());
        assert_eq!(monitor.send(QueryStatus).await.unwrap().mode, MonitorMode::Active);
    });
}

#[test]
fn events_wait_while_paused_and_come_in_order_on_resume() {
    run(async {
        let seen = Seen::default();
        let monitor = Monitor::new(cell(MonitorOptions { backlog: 3, ..MonitorOptions::default() })).start();
        monitor.send(noting("a", &seen, |_| Ok(()))).await.unwrap();
        assert!(monitor.send(Pause).await.unwrap());
        for severity in [
            Severity::Info,
            Severity::Debug,
            Severity::Error,
            Severity::Debug,
            Severity::Info,
            Severity::Debug,
        ] {
            monitor.do_send(Record(event_of(severity, 0)));
        }
        let status = settled(&monitor).await;
        assert_eq!((status.mode, status.waiting, status.recorded), (MonitorMode::Paused, 3, 6));
        assert_eq!(status.shed, [3, 0, 0, 0, 0], "all that is left is graver than debug");
        assert!(seen_by(&seen).is_empty());
        assert!(monitor.send(Resume).await.unwrap());
        settled(&monitor).await;
        assert_eq!(seen_by(&seen), ["a1", "a3", "a5"]);
        assert_eq!(
            monitor.send(QueryEvents::default()).await.unwrap().events.len(),
            6,
            "the log has them all"
        );
    });
}

#[test]
fn what_a_handler_tells_the_monitor_comes_after_and_not_within() {
    run(async {
        let seen = Seen::default();
        let monitor = Monitor::new(cell(MonitorOptions::default())).start();
        let (to, inside) = (monitor.clone(), Arc::new(Mutex::new(false)));
        monitor
            .send(noting("a", &seen, move |event| {
                let mut inside = inside.try_lock().map_err(|_| "called from within".to_owned())?;
                *inside = true;
                if event.seq < 4 {
                    to.do_send(Record(event_of(Severity::Info, event.seq)));
                }
                Ok(())
            }))
            .await
            .unwrap();
        monitor.do_send(Record(event(0)));
        while monitor.send(QueryStatus).await.unwrap().recorded < 4 {}
        settled(&monitor).await;
        assert_eq!(seen_by(&seen), ["a1", "a2", "a3", "a4"]);
        assert_eq!(monitor.send(QueryMetrics).await.unwrap().failed, 0);
    });
}

#[test]
fn the_next_incarnation_knows_all_that_the_first_one_knew() {
    run(async {
        let (seen, trace) = (Seen::default(), Seen::default());
        let lines = trace.clone();
        let tap: Tap = Box::new(move |event| lines.lock().unwrap().push(event.to_json()));
        let cell = MonitorCell::new(MonitorOptions::default(), clock(), Some(tap));
        let factory = move || Monitor::new(cell.clone());
        let agent = AgentId::new("a").unwrap();
        let first = factory().start();
        first.send(noting("a", &seen, |_| Ok(()))).await.unwrap();
        first
            .send(Record(Event::health_check("test", agent.clone(), Health::Degraded, Timestamp::ZERO)))
            .await
            .unwrap();
        settled(&first).await;
        first.send(Pause).await.unwrap();
        first.send(RecordMany(vec![event(2), event(3)])).await.unwrap();
        drop(first);

        let second = factory().start();
        let status = second.send(QueryStatus).await.unwrap();
        assert_eq!((status.generation, status.recorded, status.waiting), (2, 4, 3));
        assert_eq!(status.mode, MonitorMode::Paused);
        second.send(Resume).await.unwrap();
        second.send(Record(event(5))).await.unwrap();
        settled(&second).await;
        assert_eq!(seen_by(&seen), ["a1", "a2", "a3", "a4", "a5"]);
        assert_eq!(second.send(QueryHealth(agent)).await.unwrap().unwrap().health, Health::Degraded);
        let events = second.send(QueryEvents::default()).await.unwrap().events;
        assert_eq!(events[3].name, names::MONITOR_RESTARTED);
        assert_eq!(seen_by(&trace), events.iter().map(|event| event.to_json()).collect::<Vec<_>>());
    });
}

#[test]
fn a_large_batch_is_taken_in_turns_in_order_and_neighbours_run_in_between() {
    run(async {
        let seen = Seen::default();
        let options = MonitorOptions { turn: 10, ..MonitorOptions::default() };
        let monitor = Monitor::new(cell(options)).start();
        monitor.send(noting("a", &seen, |_| Ok(()))).await.unwrap();
        let turns = Rc::new(Cell::new(0));
        let counting = turns.clone();
        let neighbour = actix_rt::spawn(std::future::poll_fn(move |task| {
            counting.set(counting.get() + 1);
            task.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        monitor.do_send(RecordMany((0..3000).map(event).collect()));
        monitor.do_send(Record(event(3000)));
        let recorded = monitor.send(QueryStatus).await.unwrap().recorded;
        let shed: u64 = settled(&monitor).await.shed.iter().sum();
        neighbour.abort();
        assert_eq!((recorded, shed), (3001, 0), "handlers that are quick keep up");
        assert!(turns.get() > 100, "the neighbour had {} turns", turns.get());
        let expected: Vec<_> = (1..=3001).map(|seq| format!("a{seq}")).collect();
        assert_eq!(seen_by(&seen), expected);
    });
}

#[test]
fn a_flood_over_slow_handlers_sheds_debug_and_keeps_errors() {
    run(async {
        let seen = Seen::default();
        let micros = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let ticking = micros.clone();
        let clock: Clock = Arc::new(move || {
            Timestamp::from_start(Duration::from_micros(ticking.load(std::sync::atomic::Ordering::Relaxed)))
        });
        let options = MonitorOptions { backlog: 100, turn: 50, ..MonitorOptions::default() };
        let monitor = Monitor::new(MonitorCell::new(options, clock, None)).start();
        monitor
            .send(noting("a", &seen, move |_| {
                micros.fetch_add(2_000, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            }))
            .await
            .unwrap();
        let severity =
            |number: u64| if number.is_multiple_of(20) { Severity::Error } else { Severity::Debug };
        for number in 1..=1000 {
            monitor.do_send(Record(event_of(severity(number), number)));
        }
        let status = settled(&monitor).await;
        assert_eq!(status.recorded, 1000);
        assert!(status.shed[0] > 500 && status.shed[1..] == [0; 4], "{:?}", status.shed);
        let handled = seen_by(&seen);
        assert_eq!(handled.len() as u64 + status.shed[0], 1000);
        assert!((1..=1000).filter(|number| number % 20 == 0).all(|seq| handled.contains(&format!("a{seq}"))));
        assert!(handled.is_sorted_by_key(|name| name[1..].parse::<u64>().unwrap()));
        assert_eq!(monitor.send(QueryHandlers).await.unwrap()[0].stats.mean_time(), Duration::from_millis(2));
    });
}

#[test]
fn closing_calls_the_handlers_for_all_that_waits_and_then_no_more() {
    run(async {
        let seen = Seen::default();
        let monitor = Monitor::new(cell(MonitorOptions::default())).start();
        monitor.send(noting("a", &seen, |_| Ok(()))).await.unwrap();
        monitor.send(Pause).await.unwrap();
        monitor.do_send(Record(event(1)));
        let status = monitor.send(Close).await.unwrap();
        assert_eq!((status.mode, status.waiting), (MonitorMode::Shutdown, 0));
        assert!(!monitor.send(Resume).await.unwrap());
        monitor.do_send(Record(event(2)));
        assert_eq!(monitor.send(QueryStatus).await.unwrap().recorded, 2);
        assert_eq!(seen_by(&seen), ["a1"]);
    });
}

#[test]
fn in_maintenance_events_are_recorded_and_kept_from_the_handlers() {
    run(async {
        let seen = Seen::default();
        let monitor = Monitor::new(cell(MonitorOptions::default())).start();
        monitor.send(noting("a", &seen, |_| Ok(()))).await.unwrap();
        assert!(monitor.send(Maintain).await.unwrap());
        monitor.do_send(Record(event(1)));
        assert!(monitor.send(Resume).await.unwrap());
        monitor.do_send(Record(event(2)));
        assert_eq!(settled(&monitor).await.recorded, 2);
        assert_eq!(seen_by(&seen), ["a2"]);
    });
}

struct Watcher(Rc<Cell<u64>>);

impl Actor for Watcher {
    type Context = Context<Self>;
}

impl Handler<Observed> for Watcher {
    type Result = ();
    fn handle(&mut self, observed: Observed, ctx: &mut Context<Self>) {
        self.0.set(observed.0.seq);
        if observed.0.seq == 2 {
            actix::ActorContext::stop(ctx);
        }
    }
}

#[test]
fn an_actor_as_a_handler_is_told_and_removed_when_it_is_gone() {
    run(async {
        let monitor = Monitor::new(cell(MonitorOptions::default())).start();
        let latest = Rc::new(Cell::new(0));
        let watcher = Watcher(latest.clone()).start();
        monitor
            .send(AddHandler::recipient(HandlerSpec::new("watcher"), watcher.clone().recipient()))
            .await
            .unwrap();
        monitor.do_send(RecordMany(vec![event(1), event(2)]));
        while watcher.connected() {
            tokio::task::yield_now().await;
        }
        monitor.do_send(Record(event(3)));
        settled(&monitor).await;
        let status = monitor.send(QueryStatus).await.unwrap();
        assert_eq!((latest.get(), status.handlers, status.recorded), (2, 0, 4));
    });
}

#[test]
fn a_tap_that_panics_is_dropped_with_a_word_and_nothing_else_is_lost() {
    run(async {
        let tap: Tap = Box::new(|event| assert!(event.seq < 2, "disk is full"));
        let monitor = Monitor::new(MonitorCell::new(MonitorOptions::default(), clock(), Some(tap))).start();
        monitor.do_send(RecordMany(vec![event(1), event(2), event(3)]));
        let status = monitor.send(QueryStatus).await.unwrap();
        assert_eq!((status.tapped, status.recorded), (false, 4));
        let filter = EventFilter { at_least: Some(Severity::Critical), ..EventFilter::default() };
        assert_eq!(monitor.send(QueryEvents(filter)).await.unwrap().events[0].data["error"], "disk is full");
    });
}
