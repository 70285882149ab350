//! Topics: names with levels, filters with wildcards, and who hears what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use phalanx_actors::{
    agent::{TopicFilter, TopicName},
    inbox::{HubConfig, OverflowPolicy, SendOptions},
    router::{ArbitersConfig, SubscribeOptions},
    supervisor::{RestartPolicy, SpawnOptions},
};
use proptest::prelude::*;

use crate::support::*;

#[test]
fn a_subscription_to_a_filter_hears_every_topic_that_matches_once() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        world.enlist([agent.handle()]).await;
        let before = world.publisher("news.sport");
        world.subscribe("news.*", agent.id()).await;
        world.subscribe("news.>", agent.id()).await;
        // Opened before and after the subscription, and matched by two filters.
        assert_eq!(before.publish(Do::Note(1)).unwrap().recipients, 1);
        assert_eq!(world.publisher("news.world").publish(Do::Note(2)).unwrap().recipients, 1);
        assert_eq!(world.publisher("news.sport.chess").publish(Do::Note(3)).unwrap().recipients, 1);
        assert_eq!(world.publisher("news").publish(Do::Note(4)).unwrap().recipients, 0);
        world.unsubscribe("news.>", agent.id()).await;
        assert_eq!(before.publish(Do::Note(5)).unwrap().recipients, 1, "by the other subscription");
        assert_eq!(world.publisher("news.sport.chess").publish(Do::Note(6)).unwrap().recipients, 0);
        world.unsubscribe("news.*", agent.id()).await;
        assert_eq!(before.publish(Do::Note(7)).unwrap().recipients, 0);
        world.settled().await;
        assert_eq!(log.text(), "+0 0:1 0:2 0:3 0:5");
        world.directory.verify().unwrap();
    });
}

#[test]
fn a_subscription_survives_the_restart_of_its_agent_and_ends_with_it() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, tough(RestartPolicy::Permanent)).await;
        world.enlist([agent.handle()]).await;
        world.subscribe("news.*", agent.id()).await;
        let topic = world.publisher("news.sport");
        topic.publish(Do::Panic).unwrap();
        topic.publish(Do::Note(1)).unwrap();
        world.settled().await;
        assert_eq!(log.text(), "+0 +1 1:1");
        world.remove(agent.id()).await;
        assert_eq!(topic.recipients(), 0);
        assert!(world.directory.subscriptions().is_empty());
    });
}

#[test]
fn a_late_subscriber_gets_the_last_publications_it_asked_for_and_then_the_new_ones() {
    paused(async {
        let world = World::here().await;
        let topic = world.publisher("news.sport").keep_last(3);
        let other = world.publisher("news.world").keep_last(1);
        let forgetful = world.publisher("news.weather");
        for number in 1..=5 {
            topic.publish(Do::Note(number)).unwrap();
            other.publish(Do::Note(10 + number)).unwrap();
            forgetful.publish(Do::Note(20 + number)).unwrap();
        }
        let overdue = SendOptions::new().ttl(Duration::from_secs(1));
        topic.publish_with(Do::Note(6), overdue).unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        let replays = [(0, "+0 0:7"), (1, "+0 0:5 0:15 0:7"), (9, "+0 0:4 0:5 0:15 0:7")];
        let mut agents = Vec::new();
        for (replay, _) in replays {
            let log = Log::default();
            let agent = world.actor(&format!("agent/{replay}"), &log, SpawnOptions::default()).await;
            world.enlist([agent.handle()]).await;
            world.subscribe_late("news.*", agent.id(), replay).await;
            // It hears them already: nothing is sent again.
            world.subscribe_late("news.>", agent.id(), replay).await;
            agents.push((agent, log));
        }
        topic.publish(Do::Note(7)).unwrap();
        let counts = world.settled().await;
        for ((_, log), (replay, expected)) in agents.iter().zip(replays) {
            assert_eq!(log.text(), expected, "replay of {replay}");
        }
        assert_eq!((counts.sent, counts.delivered), (8, 8), "what is replayed is sent");
    });
}

fn notes_above(least: u32) -> impl Fn(&Do) -> bool + Send + Sync {
    move |what| matches!(what, Do::Note(number) if *number > least)
}

#[test]
fn a_subscription_with_a_predicate_gets_only_what_passes_and_only_that_is_sent() {
    for arbiters in [ArbitersConfig::Here, ArbitersConfig::Threads(2)] {
        threaded(async {
            let world = World::start(arbiters, HubConfig::default()).await;
            let topic = world.publisher("t").keep_last(9);
            topic.publish(Do::Note(1)).unwrap();
            topic.publish(Do::Note(5)).unwrap();
            let mut agents = Vec::new();
            for (at, options) in [
                SubscribeOptions::new().replay(1).only(notes_above(0)),
                SubscribeOptions::new().replay(9).only(notes_above(3)),
                SubscribeOptions::new(),
                SubscribeOptions::new().only(|_: &Do| panic!("a predicate that panics passes nothing")),
            ]
            .into_iter()
            .enumerate()
            {
                let log = Log::default();
                let agent = world.actor(&format!("agent/{at}"), &log, SpawnOptions::default()).await;
                world.enlist([agent.handle()]).await;
                world.subscribe_with("t", agent.id(), options).await;
                agents.push((agent, log));
            }
            assert_eq!(topic.recipients(), 4);
            assert_eq!(topic.publish(Do::Note(2)).unwrap().recipients, 2);
            assert_eq!(topic.publish(Do::Note(7)).unwrap().recipients, 3);
            // Another subscription that wants more widens it, and narrows it again when it ends.
            let widened = agents[1].0.id();
            world.subscribe_with("*", widened, SubscribeOptions::new().only(notes_above(1))).await;
            assert_eq!(topic.publish(Do::Note(2)).unwrap().recipients, 3);
            world.subscribe(">", widened).await;
            assert_eq!(topic.publish(Do::Note(0)).unwrap().recipients, 2);
            world.unsubscribe(">", widened).await;
            world.unsubscribe("*", widened).await;
            assert_eq!(topic.publish(Do::Note(3)).unwrap().recipients, 2);
            world.directory.verify().unwrap();
            let counts = world.settled().await;
            assert_eq!((counts.sent, counts.delivered), (2 + 12, 2 + 12));
            for ((agent, log), heard) in agents.iter().zip([
                "+0 0:5 0:2 0:7 0:2 0:3",
                "+0 0:5 0:7 0:2 0:0",
                "+0 0:2 0:7 0:2 0:0 0:3",
                "",
            ]) {
                let text = log.text();
                assert!(text == heard || (heard.is_empty() && text == "+0"), "{}: {text}", agent.id());
            }
            world.remove(agents[0].0.id()).await;
            assert_eq!(topic.recipients(), 3);
            world.arbiters.join();
        });
    }
}

#[test]
fn who_hears_of_what_a_stopped_arbiter_did_not_take_may_use_the_host() {
    paused(async {
        let world = World::here().await;
        let topic = world.publisher("t").keep_last(1);
        let agent = world.actor("a", &Log::default(), SpawnOptions::default()).await;
        let late = world.actor("b", &Log::default(), SpawnOptions::default()).await;
        world.enlist([agent.handle(), late.handle()]).await;
        world.subscribe("t", agent.id()).await;
        let (directory, again, letters) =
            (world.directory.clone(), topic.clone(), Arc::new(AtomicUsize::new(0)));
        let count = letters.clone();
        world.hub().dead_letters().subscribe(move |_| {
            assert!(directory.agent(&name("a")).is_some());
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                again.publish(Do::Note(2)).unwrap();
            }
        });
        world.arbiters.stop();
        assert_eq!(topic.publish(Do::Note(1)).unwrap().recipients, 1);
        world.subscribe_late("t", late.id(), 1).await;
        assert_eq!(letters.load(Ordering::SeqCst), 3, "two publications and a replay");
        let counts = world.settled().await;
        assert_eq!((counts.sent, counts.rejected), (3, 3));
    });
}

#[test]
fn a_predicate_that_uses_the_host_does_not_pass_and_harms_nobody() {
    paused(async {
        let world = World::here().await;
        let topic = world.publisher("t").keep_last(1);
        let agent = world.actor("a", &Log::default(), SpawnOptions::default()).await;
        world.enlist([agent.handle()]).await;
        let (directory, again) = (world.directory.clone(), topic.clone());
        let looks_up = move |_: &Do| directory.agent(&name("a")).is_some();
        let publishes = move |_: &Do| again.publish(Do::Note(9)).is_ok();
        world.subscribe_with("t", agent.id(), SubscribeOptions::new().only(looks_up)).await;
        world.subscribe_with("*", agent.id(), SubscribeOptions::new().only(publishes)).await;
        assert_eq!(topic.publish(Do::Note(1)).unwrap().recipients, 0);
        assert_eq!(world.settled().await.sent, 0);
    });
}

#[test]
fn a_subscriber_that_comes_while_others_publish_gets_each_message_once_and_in_order() {
    const MOST: u32 = 50_000;
    threaded(async {
        let world = World::two().await;
        let topic = world.publisher("t").keep_last(MOST as usize);
        let mut agents = Vec::new();
        for number in 0..40 {
            let log = Log::default();
            let options =
                SpawnOptions { arbiter: Some(number % 2), ..inbox(1 << 20, OverflowPolicy::Reject) };
            agents.push((world.actor(&format!("agent/{number}"), &log, options).await, log));
        }
        world.enlist(agents.iter().map(|(agent, _)| agent.handle())).await;
        // Publishes without a pause until all have subscribed, and something in any case.
        let done = Arc::new(AtomicBool::new(false));
        let until = done.clone();
        let publishing = std::thread::spawn(move || {
            let mut published = 0;
            while published < 100 || (!until.load(Ordering::Acquire) && published < MOST) {
                published += u32::from(topic.publish(Do::Note(published)).is_ok());
            }
            published
        });
        for (agent, _) in &agents {
            world.subscribe_late("t", agent.id(), usize::MAX).await;
        }
        done.store(true, Ordering::Release);
        let published = publishing.join().unwrap();
        world.settled().await;
        let expected: Vec<_> = (0..published).map(|number| format!("0:{number}")).collect();
        for (agent, log) in agents {
            let heard = log.take().split_off(1);
            let wrong = heard.iter().zip(&expected).find(|(heard, expected)| heard != expected);
            assert_eq!(wrong, None, "what {:?} heard, and what it should", agent.id());
            assert_eq!(heard.len(), expected.len(), "{:?}", agent.id());
        }
        world.arbiters.join();
    });
}

const FILTERS: [&str; 10] = ["a", "b", "a.b", "a.c", "*", "*.b", "a.*", "a.>", ">", "*.*.>"];
const TOPICS: [&str; 6] = ["a", "b", "a.b", "a.c", "b.b", "a.b.c"];
const AGENTS: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Op {
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    /// The agent is taken off all routes and comes back without subscriptions.
    Renew(usize),
    Publish(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let (agent, filter) = (0..AGENTS, 0..FILTERS.len());
    prop_oneof![
        4 => (agent.clone(), filter.clone()).prop_map(|(agent, filter)| Op::Subscribe(agent, filter)),
        2 => (agent.clone(), filter).prop_map(|(agent, filter)| Op::Unsubscribe(agent, filter)),
        1 => agent.prop_map(Op::Renew),
        6 => (0..TOPICS.len()).prop_map(Op::Publish),
    ]
}

async fn play(ops: &[Op]) {
    let world = World::here().await;
    let mut agents = Vec::new();
    for at in 0..AGENTS {
        let log = Log::default();
        let agent = world.actor(&format!("agent/{at}"), &log, SpawnOptions::default()).await;
        world.enlist([agent.handle()]).await;
        agents.push((agent, log));
    }
    let mut held = vec![BTreeSet::new(); AGENTS];
    let mut opened = BTreeMap::new();
    let mut expected = vec![vec!["+0".to_owned()]; AGENTS];
    for (number, op) in ops.iter().enumerate() {
        match *op {
            Op::Subscribe(agent, filter) => {
                if held[agent].insert(TopicFilter::new(FILTERS[filter]).unwrap()) {
                    world.subscribe(FILTERS[filter], agents[agent].0.id()).await;
                }
            }
            Op::Unsubscribe(agent, filter) => {
                if held[agent].remove(&TopicFilter::new(FILTERS[filter]).unwrap()) {
                    world.unsubscribe(FILTERS[filter], agents[agent].0.id()).await;
                }
            }
            Op::Renew(agent) => {
                world.remove(agents[agent].0.id()).await;
                world.enlist([agents[agent].0.handle()]).await;
                held[agent].clear();
            }
            Op::Publish(topic) => {
                // Some topics are opened before who subscribes to them, some after.
                let publisher = opened.entry(topic).or_insert_with(|| world.publisher(TOPICS[topic]));
                let topic = TopicName::new(TOPICS[topic]).unwrap();
                let note = u32::try_from(number).unwrap();
                let recipients = publisher.publish(Do::Note(note)).unwrap().recipients;
                let hear = (0..AGENTS).filter(|at| held[*at].iter().any(|filter| filter.matches(&topic)));
                let hear: Vec<_> = hear.collect();
                assert_eq!(recipients, hear.len(), "{topic} at {number}");
                for at in hear {
                    expected[at].push(format!("0:{note}"));
                }
            }
        }
        world.directory.verify().unwrap();
    }
    world.settled().await;
    for ((_, log), expected) in agents.iter().zip(expected) {
        assert_eq!(log.take(), expected);
    }
}

proptest! {
    #[test]
    fn any_order_of_subscriptions_and_publications_reaches_just_who_has_a_filter_that_matches(
        ops in prop::collection::vec(op(), 1..60),
    ) {
        paused(play(&ops));
    }
}
