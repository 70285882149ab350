use std::cell::Cell;

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs(seconds))
}

type Batches = Box<dyn FnOnce() -> BatchCounts>;

/// A reading without batches.
fn route(number: u64, name: &str, sent: u64, delivered: u64, failed: u64) -> RouteReading<Batches> {
    let pending = sent - delivered - failed;
    RouteReading {
        number: Some(number),
        is_joined: false,
        name: name.into(),
        ledger: Counts { sent, delivered, failed, pending, ..Counts::default() },
        batches: Box::new(BatchCounts::default),
    }
}

/// What is only known together.
fn folded(sent: u64) -> RouteReading<Batches> {
    RouteReading { number: None, is_joined: true, ..route(0, "closed routes", sent, sent, 0) }
}

fn lines(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| {
        format!("{} {} {}", event.kind, event.name, serde_json::to_string(&event.data).unwrap())
    };
    events.iter().map(line).collect()
}

fn sum(events: &[Event], key: &str) -> u64 {
    events.iter().map(|event| event.data[key].as_u64().unwrap()).sum()
}

#[test]
fn a_route_on_which_something_happened_is_told_with_what_happened_and_others_are_not() {
    let mut window = RouteWindow::default();
    window.sample([route(0, "direct", 7, 7, 0), route(1, "topic a (N)", 3, 1, 0)], at(5));
    let quiet = route(0, "direct", 7, 7, 0);
    let events = window.sample([quiet, route(1, "topic a (N)", 9, 5, 2), route(2, "new", 0, 0, 0)], at(7));
    assert_eq!(
        lines(&events),
        [
            r#"throughput_metric host.route {"value":2.0,"unit":"1/s","route":"topic a (N)","sent":6,"delivered":4,"not_delivered":2,"batches":0,"window_us":2000000}"#
        ]
    );
    assert_eq!(window.marks.len(), 2, "a route that was never used has no mark");
}

#[test]
fn the_busiest_are_told_by_name_and_the_others_together() {
    let mut window = RouteWindow::default();
    let readings = |more: u64| {
        let routes = (0..100).map(move |n| route(n, &format!("r{n:02}"), n * more, n * more, 0));
        routes.chain([folded(1_000 * more)])
    };
    window.sample(readings(1), at(1));
    let events = window.sample(readings(3), at(2));
    let names: Vec<&str> = events.iter().filter_map(|event| event.data.get("route")?.as_str()).collect();
    let busiest: Vec<String> = (0..100).rev().take(TOLD).map(|n| format!("r{n:02}")).collect();
    assert_eq!(names, busiest);
    let others: u64 = (0..84).map(|n| 2 * n).sum::<u64>() + 2_000;
    let line = format!(
        r#"throughput_metric host.other_routes {{"value":{others}.0,"unit":"1/s","routes":83,"sent":{others},"delivered":{others},"not_delivered":0,"window_us":1000000}}"#
    );
    assert_eq!(lines(&events).last(), Some(&line), "83 of the others did something, r00 did not");
}

#[test]
fn of_equally_busy_routes_those_are_told_whose_names_come_first() {
    let mut readings: Vec<_> = (0..40).map(|n| route(n, &format!("r{:02}", 39 - n), 5, 5, 0)).collect();
    readings.rotate_left(13);
    let events = RouteWindow::default().sample(readings, at(1));
    let names: Vec<&str> = events.iter().filter_map(|event| event.data.get("route")?.as_str()).collect();
    assert_eq!((names.len(), names[0], names[15]), (TOLD, "r00", "r15"));
}

#[test]
fn whatever_opens_closes_and_is_folded_all_that_was_counted_is_told_once() {
    let mut window = RouteWindow::default();
    let mut events = window.sample([route(1, "a", 10, 8, 0), route(2, "b", 5, 5, 0)], at(1));
    // The first was folded, and is opened again with another number; two of one name came to rest in one row.
    let joined = RouteReading { is_joined: true, ..route(4, "b", 12, 12, 0) };
    events.extend(window.sample([route(3, "a", 2, 0, 0), joined, folded(13)], at(2)));
    let names: Vec<&str> = events.iter().filter_map(|event| event.data.get("route")?.as_str()).collect();
    assert_eq!(names, ["a", "b", "a"], "nobody knows how much of what was joined has been told");
    let joined = RouteReading { is_joined: true, ..route(4, "b", 15, 14, 1) };
    events.extend(window.sample([route(3, "a", 2, 2, 0), joined, folded(13)], at(3)));
    assert_eq!(events.last().unwrap().data["route"], "a");
    assert_eq!((sum(&events, "sent"), sum(&events, "delivered")), (30, 29), "{:?}", lines(&events));
}

#[test]
fn batches_are_asked_for_only_where_something_happened() {
    thread_local!(static ASKED: Cell<u32> = const { Cell::new(0) });
    let asked = |number, sent| RouteReading {
        batches: Box::new(|| {
            ASKED.set(ASKED.get() + 1);
            BatchCounts::default()
        }) as Batches,
        ..route(number, "r", sent, sent, 0)
    };
    let mut window = RouteWindow::default();
    window.sample((0..100).map(|number| asked(number, number)), at(1));
    assert_eq!(ASKED.get(), 99);
    window.sample((0..100).map(|number| asked(number, number.max(3))), at(2));
    assert_eq!(ASKED.get(), 99 + 3);
}

#[test]
fn a_hundred_thousand_routes_that_come_and_go_leave_no_marks() {
    let mut window = RouteWindow::default();
    for round in 0..4 {
        let first = round * 100_000;
        window.sample((first..first + 100_000).map(|number| route(number, "r", 1, 1, 0)), at(round + 1));
        assert_eq!(window.marks.len(), 100_000);
    }
    window.sample([route(1, "r", 2, 2, 0)], at(9));
    assert!(window.marks.len() == 1 && window.marks.capacity() < 100, "{}", window.marks.capacity());
}

#[test]
fn after_windows_in_which_nothing_happened_the_next_is_as_long_as_the_last() {
    let mut window = RouteWindow::default();
    window.skip(at(60));
    let events = window.sample([route(0, "direct", 10, 10, 0)], at(65));
    assert_eq!(events[0].value(), Some(2.0));
    assert_eq!(window.sample([route(0, "direct", 20, 20, 0)], at(65)), [], "no time has passed");
}
