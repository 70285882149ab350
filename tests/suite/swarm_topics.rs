//! What a manifest says of its topics, in virtual time: who hears which notices, from when on, and how they go out.

use phalanx::{
    manifest::{Manifest, Variables},
    report::RunReport,
};

use crate::swarm_keys::{named, route, succeeds, traced};

/// What each agent heard of a topic, by the notes of a run.
fn heard(report: &RunReport, topic: &str) -> Vec<(String, u64)> {
    let ending = format!(" notices on {topic}");
    let notes = report.notes.iter().filter_map(|note| note.strip_suffix(&ending)?.split_once(" heard "));
    notes.map(|(agent, count)| (agent.to_owned(), count.parse().unwrap())).collect()
}

fn pairs<const N: usize>(pairs: [(&str, u64); N]) -> Vec<(String, u64)> {
    pairs.map(|(agent, count)| (agent.to_owned(), count)).into()
}

#[test]
fn a_pattern_hears_all_topics_that_match_it() {
    let report = succeeds(
        r#""agents": [{"kind": "ticker", "id": "a", "parameters": {"topic": "rooms.a", "every": "1s", "limit": 2}},
            {"kind": "ticker", "id": "b", "parameters": {"topic": "rooms.b.door", "every": "1s", "limit": 3}},
            {"kind": "counter", "id": "one"}, {"kind": "counter", "id": "rest"}],
        "topics": [{"name": "rooms.*", "subscribers": [{"agent": "one"}]},
            {"name": "rooms.>", "subscribers": [{"agent": "rest"}]}]"#,
    );
    assert_eq!(heard(&report, "rooms.a"), pairs([("one", 2), ("rest", 2)]));
    assert_eq!(heard(&report, "rooms.b.door"), pairs([("rest", 3)]));
}

#[test]
fn who_subscribes_later_hears_first_what_the_topic_keeps() {
    let late = |subscriber: &str| {
        let report = succeeds(&format!(
            r#""agents": [{{"kind": "ticker", "parameters": {{"topic": "t", "every": "1s", "limit": 10}}}}, {{"kind": "counter"}}],
            "topics": [{{"name": "t", "keep_last": 3, "subscribers": [{subscriber}]}}]"#
        ));
        heard(&report, "t")
    };
    assert_eq!(late(r#"{"kind": "counter"}"#), pairs([("counter", 10)]));
    assert_eq!(late(r#"{"kind": "counter", "after": "5500ms"}"#), pairs([("counter", 5)]));
    assert_eq!(late(r#"{"kind": "counter", "after": "5500ms", "replay": 2}"#), pairs([("counter", 7)]));
    assert_eq!(late(r#"{"kind": "counter", "after": "5500ms", "replay": 9}"#), pairs([("counter", 8)]));
    let report = succeeds(
        r#""agents": [{"kind": "ticker", "parameters": {"topic": "t", "every": "1s", "limit": 1}}, {"kind": "counter"}],
        "topics": [{"name": "t", "subscribers": [{"kind": "counter", "after": "1m"}]}]"#,
    );
    let note = "the subscription to t after 60s did not come about: the run ended before";
    assert!(report.notes.iter().any(|said| said == note), "{:?}", report.notes);
}

#[test]
fn a_subscriber_hears_those_alone_whom_it_wants_to_hear() {
    let report = succeeds(
        r#""agents": [{"kind": "ticker", "count": 2, "parameters": {"topic": "t", "every": "1s", "limit": 4}},
            {"kind": "counter", "id": "all"}, {"kind": "counter", "id": "first"}],
        "topics": [{"name": "t", "subscribers": [{"agent": "all"}, {"agent": "first", "from": "ticker/0"}]}]"#,
    );
    assert_eq!(heard(&report, "t"), pairs([("all", 8), ("first", 4)]));
}

/// What three counters heard of nine ticks of one ticker that went to one of them each.
fn shared(strategy: &str, counters: [&str; 3]) -> RunReport {
    let [a, b, c] = counters;
    succeeds(&format!(
        r#""agents": [{{"kind": "ticker", "location": {{"latitude": 48.2, "longitude": 16.4}},
                "parameters": {{"topic": "t", "every": "1s", "limit": 9}}}},
            {{"kind": "counter", "id": "a"{a}}}, {{"kind": "counter", "id": "b"{b}}}, {{"kind": "counter", "id": "c"{c}}}],
        "topics": [{{"name": "t", "to_one": "{strategy}", "subscribers": [{{"kind": "counter"}}]}}]"#
    ))
}

#[test]
fn a_notice_for_one_goes_to_whom_the_strategy_says() {
    let same = ["", "", ""];
    assert_eq!(heard(&shared("round_robin", same), "t"), pairs([("a", 3), ("b", 3), ("c", 3)]));
    let urgent = ["", r#", "priority": "high""#, r#", "priority": "low""#];
    assert_eq!(heard(&shared("priority_based", urgent), "t"), pairs([("b", 9)]));
    let places = [(40.7, -74.0), (47.1, 15.4), (-33.9, 151.2)]
        .map(|(north, east)| format!(r#", "location": {{"latitude": {north}, "longitude": {east}}}"#));
    let [a, b, c] = &places;
    assert_eq!(heard(&shared("geographic", [a, b, c]), "t"), pairs([("b", 9)]));
    let consistent = heard(&shared("consistent", same), "t");
    assert_eq!(consistent.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [9], "one has them all");
    for strategy in ["load_balanced", "adaptive"] {
        let all: u64 = heard(&shared(strategy, same), "t").iter().map(|(_, count)| count).sum();
        assert_eq!(all, 9, "{strategy}");
    }
    let nowhere = succeeds(
        r#""agents": [{"kind": "ticker", "parameters": {"topic": "t", "every": "1s", "limit": 2}}, {"kind": "counter"}],
        "topics": [{"name": "t", "to_one": "geographic", "subscribers": [{"kind": "counter"}]}]"#,
    );
    assert_eq!(
        nowhere.notes,
        ["ticker is nowhere, so nobody on t is near: give it a \"location\", or t another \"to_one\""]
    );
}

#[test]
fn a_notice_for_one_waits_while_all_are_full() {
    let report = succeeds(
        r#""agents": [{"kind": "ticker", "count": 50, "parameters": {"topic": "t", "every": "1s", "limit": 2}},
            {"kind": "counter", "inbox": {"capacity": 1}}],
        "topics": [{"name": "t", "to_one": "round_robin", "subscribers": [{"kind": "counter"}]}]"#,
    );
    assert_eq!(heard(&report, "t"), pairs([("counter", 100)]));
}

/// The body of a swarm in which two relays wait for each other's room, until a fault takes one of them away.
fn stuck(agents: &str, struck: &str, more: &str) -> String {
    format!(
        r#""agents": [{{"kind": "ticker", "count": 9, "parameters": {{"topic": "feed", "every": "1s", "limit": 1}}}},
            {{"kind": "relay", "id": "there", "inbox": {{"capacity": 1}}, "parameters": {{"to": "on"}}}},
            {{"kind": "relay", "id": "back", "inbox": {{"capacity": 1}}, "parameters": {{"to": "back"}}}}{agents}],
        "topics": [{{"name": "feed", "subscribers": [{{"agent": "there"}}]}},
            {{"name": "on", "to_one": "round_robin", "subscribers": [{{"agent": "back"}}]}},
            {{"name": "back", "to_one": "round_robin", "subscribers": [{{"agent": "there"}}]}}],
        "faults": [{{"kill": {{"agent": "{struck}"}}, "when": {{"after": "1m"}}}}]{more}"#
    )
}

#[test]
fn relays_that_wait_for_each_other_send_nothing_again_and_again_and_a_fault_strikes_them() {
    let report = succeeds(&stuck("", "there", ""));
    assert!(report.notes.iter().any(|note| note == "there crashed: it panicked: a planned fault"));
    let direct = &report.routes.iter().find(|route| route.route == "direct").unwrap().ledger;
    assert!(direct.sent < 20 && direct.rejected < 10, "{direct:?}");
}

#[test]
fn a_ticker_that_is_struck_while_its_last_tick_waits_holds_up_no_run() {
    let late =
        r#", {"kind": "ticker", "id": "late", "parameters": {"topic": "on", "every": "30s", "limit": 1}}"#;
    let report = succeeds(&stuck(late, "late", ""));
    assert!(report.notes.iter().any(|note| note == "late crashed: it panicked: a planned fault"));
    assert_eq!(
        report.duration_us / 1_000_000,
        120,
        "rebuilt, it comes to its next interval, and all is over"
    );
}

#[test]
fn batches_are_as_large_and_wait_as_long_as_their_topic_says() {
    let sizes = |batch: &str| {
        let report = succeeds(&format!(
            r#""agents": [{{"kind": "ticker", "parameters": {{"topic": "t", "every": "1s", "limit": 8}}}}, {{"kind": "counter"}}],
            "topics": [{{"name": "t", {batch} "subscribers": [{{"kind": "counter"}}]}}]"#
        ));
        assert_eq!(heard(&report, "t"), pairs([("counter", 8)]));
        route(&report, "t").batches.as_ref().unwrap().count
    };
    assert_eq!(sizes(""), 8);
    assert_eq!(sizes(r#""batch": {"size": 4, "linger": "10s"},"#), 2);
    assert_eq!(sizes(r#""batch": {"linger": "1500ms"},"#), 4);
}

#[test]
fn a_notice_that_is_to_be_confirmed_is_sent_again_until_it_is_or_its_time_is_over() {
    let confirmed = |confirm: &str| {
        succeeds(&format!(
            r#""agents": [{{"kind": "ticker", "count": 5, "parameters": {{"topic": "t", "every": "1s", "limit": 1}}}},
                {{"kind": "counter", "inbox": {{"capacity": 1, "overflow": "reject"}}}}],
            "topics": [{{"name": "t", "confirm": {confirm}, "subscribers": [{{"kind": "counter"}}]}}]"#
        ))
    };
    assert_eq!(heard(&confirmed("{}"), "t"), pairs([("counter", 5)]));
    for confirm in [r#"{"retries": 0}"#, r#"{"retries": 9, "ttl": "1ms"}"#] {
        let report = confirmed(confirm);
        assert_eq!(heard(&report, "t"), pairs([("counter", 1)]), "{confirm}");
        let note = "counter did not confirm a notice on t: refused: its inbox is full";
        assert!(report.notes.iter().any(|said| said.starts_with(note)), "{:?}", report.notes);
    }
}

#[test]
fn an_agent_that_waits_for_too_long_is_suspected_and_inactive_by_its_heartbeats() {
    let (_, events) = traced(&stuck("", "there", r#", "heartbeat": {"every": "10s", "inactive_after": 2}"#));
    let times = |name: &str| -> Vec<u64> {
        named(&events, name).map(|event| event["at"].as_u64().unwrap() / 1_000_000).collect()
    };
    assert_eq!((times("router.node_suspected"), times("router.node_inactive")), (vec![20, 20], vec![30, 30]));
}

#[test]
fn keys_of_topics_that_have_no_effect_are_refused() {
    let faults = |topics: &str| {
        let text = format!(
            r#"{{"name": "n", "agents": [{{"kind": "ticker", "parameters": {{"topic": "t", "limit": 1}}}}, {{"kind": "counter"}}],
            "topics": [{topics}]}}"#
        );
        let faults = Manifest::parse(&text, "test.json", &Variables::default()).unwrap_err();
        faults.list().iter().map(|fault| format!("{}; {}", fault.message, fault.help)).collect::<Vec<_>>()
    };
    assert_eq!(
        faults(r#"{"name": "*", "keep_last": 1, "to_one": "adaptive"}"#),
        [
            "`keep_last` has no effect on `*`, to which nothing is published; write it at the topics that are published to, each an entry of its own",
            "`to_one` has no effect on `*`, to which nothing is published; write it at the topics that are published to, each an entry of its own",
        ]
    );
    assert_eq!(
        faults(r#"{"name": "t", "to_one": "round_robin", "confirm": {}}"#),
        [
            "`confirm` has no effect beside `to_one`: what goes to one is sent by itself; remove one of the two"
        ]
    );
    assert_eq!(
        faults(r#"{"name": "t", "subscribers": [{"kind": "counter", "replay": 1}]}"#),
        [
            "`replay` has no effect: the topic keeps none of its notices; add \"keep_last\" to the topic, or remove \"replay\""
        ]
    );
    assert_eq!(
        faults(r#"{"name": "t", "subscribers": [{"after": "1s"}, {"kind": "counter", "agent": "counter"}]}"#),
        [
            "a subscriber has none of the keys `kind`, `agent`, `capability`, `group`; add one of them",
            "a subscriber has both `kind` and `agent`; keep one of them",
        ]
    );
    assert_eq!(
        faults(r#"{"name": "t.*"}"#),
        ["there is no topic `t`; add a topic of this name, or remove it here"]
    );
    assert_eq!(faults(r#"{"name": "a.>.b"}"#).len(), 1, "it is no pattern");
    assert_eq!(
        faults(r#"{"name": "t", "batch": {"size": 1025, "linger": "11s"}}"#),
        ["`size` is `1025`; a whole number from 1 to 1024 is expected", "`linger` is 11s; write at most 10s"]
    );
}

#[test]
fn the_manifest_of_the_page_on_routing_does_what_the_page_says() {
    let page = std::fs::read_to_string("docs/routing.md").unwrap();
    let text = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a manifest");
    let body = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).expect("an object");
    let report = succeeds(&body.replacen(r#""name": "sensors","#, "", 1));
    assert_eq!(heard(&report, "sensors.north"), pairs([("all", 5), ("late", 3)]));
    assert_eq!(heard(&report, "sensors.south"), pairs([("all", 5)]));
    let alarms: u64 = heard(&report, "alarms").iter().map(|(_, count)| count).sum();
    assert_eq!(alarms, 2);
}

#[test]
fn a_notice_for_one_is_not_waited_with_where_nobody_is_there() {
    let alone = |subscribers: &str| {
        succeeds(&format!(
            r#""agents": [{{"kind": "ticker", "parameters": {{"topic": "t", "every": "1s", "limit": 2}}}}, {{"kind": "hasher"}}, {{"kind": "counter"}}],
            "topics": [{{"name": "t", "to_one": "round_robin", "subscribers": [{subscribers}]}}]"#
        ))
    };
    for subscribers in ["", r#"{"kind": "hasher"}"#, r#"{"kind": "counter", "after": "1m"}"#] {
        let report = alone(subscribers);
        let said =
            report.notes.iter().any(|note| note.starts_with("a notice went to nobody: nobody is on topic t"));
        assert!(said && report.duration_us < 10_000_000, "{:?}", report.notes);
    }
}

#[test]
fn who_is_named_twice_where_entries_differ_is_told() {
    let report = succeeds(
        r#""agents": [{"kind": "ticker", "count": 2, "parameters": {"topic": "t", "every": "1s", "limit": 2}}, {"kind": "counter"}],
        "topics": [{"name": "t", "subscribers": [{"kind": "counter", "from": "ticker/0"}, {"agent": "counter", "from": "ticker/1"}]}]"#,
    );
    let note = "counter is subscribed to t already: what its entry says beside has no effect";
    assert!(report.notes.iter().any(|said| said == note), "{:?}", report.notes);
    assert_eq!(heard(&report, "t"), pairs([("counter", 2)]));
}
