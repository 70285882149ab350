//! Topics: names with levels, filters with wildcards, and who hears what.

use std::collections::{BTreeMap, BTreeSet};

use phalanx_actors::{
    agent::{TopicFilter, TopicName},
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
