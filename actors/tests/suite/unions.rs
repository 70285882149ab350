//! Unions and lists of ids: each recipient once, and whoever comes and goes is taken in and out.

use phalanx_actors::{
    agent::{AgentId, Kind, TopicName},
    router::{Publisher, Selector, SubscribeOptions},
    supervisor::SpawnOptions,
};

use crate::support::*;

fn topic(name: &str) -> Selector {
    Selector::Topic(TopicName::new(name).unwrap())
}

fn ids<const N: usize>(names: [&str; N]) -> Selector {
    Selector::agents(names.map(name)).unwrap()
}

#[test]
fn a_union_reaches_each_of_its_agents_once_and_takes_in_who_comes() {
    paused(async {
        let world = World::here().await;
        let logs: Vec<Log> = (0..4).map(|_| Log::default()).collect();
        let mut agents = Vec::new();
        for (at, id) in ["a", "b", "c", "d"].into_iter().enumerate() {
            agents.push(world.actor(id, &logs[at], SpawnOptions::default()).await);
        }
        world.enlist(agents[..2].iter().map(phalanx_actors::inbox::AgentRef::handle)).await;
        world.subscribe("news", agents[0].id()).await;
        world.subscribe("sport", agents[0].id()).await;
        let union = Selector::any([topic("news"), topic("sport"), ids(["a", "c", "nobody"])]).unwrap();
        let publisher: Publisher<Do> = world.directory.publisher(&union);
        assert_eq!(publisher.name(), "any of topic news, topic sport, agents a, c, nobody (Do)");
        assert_eq!(publisher.missing(), [name("c"), name("nobody")]);
        // Agent a is meant by each part and gets it once.
        assert_eq!(publisher.publish(Do::Note(1)).unwrap().recipients, 1);
        world.enlist([agents[2].handle(), agents[3].handle()]).await;
        assert_eq!(publisher.missing(), [name("nobody")]);
        world.subscribe("*", agents[1].id()).await;
        assert_eq!(publisher.publish(Do::Note(2)).unwrap().recipients, 3);
        world.unsubscribe("news", agents[0].id()).await;
        world.unsubscribe("*", agents[1].id()).await;
        assert_eq!(publisher.publish(Do::Note(3)).unwrap().recipients, 2);
        world.remove(agents[0].id()).await;
        assert_eq!(publisher.publish(Do::Note(4)).unwrap().recipients, 1);
        world.settled().await;
        let heard = logs.iter().map(Log::text).collect::<Vec<_>>();
        assert_eq!(heard, ["+0 0:1 0:2 0:3", "+0 0:2", "+0 0:2 0:3 0:4", "+0"]);
        world.directory.verify().unwrap();
    });
}

#[test]
fn equal_unions_share_a_route_however_they_are_written() {
    paused(async {
        let world = World::here().await;
        let one: Publisher<Do> =
            world.directory.publisher(&Selector::any([topic("t"), ids(["b", "a"]), topic("t")]).unwrap());
        let inner = Selector::any([ids(["a"]), topic("t")]).unwrap();
        let other: Publisher<Do> = world.directory.publisher(&Selector::any([inner, ids(["b"])]).unwrap());
        let agent = world.actor("a", &Log::default(), SpawnOptions::default()).await;
        world.enlist([agent.handle()]).await;
        one.publish(Do::Note(1)).unwrap();
        other.publish(Do::Note(2)).unwrap();
        world.settled().await;
        assert_eq!((one.ledger().delivered, other.ledger().delivered), (2, 2), "one ledger for both");
        assert_eq!(world.directory.open_routes(), 1);
    });
}

#[test]
fn a_predicate_of_a_topic_holds_in_a_union_unless_another_part_names_the_agent() {
    paused(async {
        let world = World::here().await;
        let (one, two) = (Log::default(), Log::default());
        let a = world.actor("a", &one, SpawnOptions::default()).await;
        let b = world.actor("b", &two, SpawnOptions::default()).await;
        world.enlist([a.handle(), b.handle()]).await;
        for agent in [&a, &b] {
            let above =
                SubscribeOptions::new().only(|what: &Do| matches!(what, Do::Note(number) if *number > 5));
            world.subscribe_with("t", agent.id(), above).await;
        }
        let union = Selector::any([topic("t"), ids(["b"])]).unwrap();
        let publisher: Publisher<Do> = world.directory.publisher(&union);
        assert_eq!(publisher.publish(Do::Note(1)).unwrap().recipients, 1);
        assert_eq!(publisher.publish(Do::Note(9)).unwrap().recipients, 2);
        world.settled().await;
        assert_eq!((one.text(), two.text()), ("+0 0:9".to_owned(), "+0 0:1 0:9".to_owned()));
    });
}

#[test]
fn a_kind_in_a_union_is_live_and_all_is_one_change_for_publishers() {
    paused(async {
        let world = World::here().await;
        let kind = Selector::Kind(Kind::new("player").unwrap());
        let publisher: Publisher<Do> =
            world.directory.publisher(&Selector::any([kind.clone(), ids(["p/0", "p/7"])]).unwrap());
        let mut agents = Vec::new();
        for at in 0..20 {
            agents.push(world.actor(&format!("p/{at}"), &Log::default(), SpawnOptions::default()).await);
        }
        world.enlist(agents.iter().map(phalanx_actors::inbox::AgentRef::handle)).await;
        assert_eq!(publisher.publish(Do::Note(1)).unwrap().recipients, 20);
        let selected: Vec<AgentId> =
            world.directory.select(&kind).iter().map(|agent| agent.id().clone()).collect();
        assert_eq!(selected, agents.iter().map(|agent| agent.id().clone()).collect::<Vec<_>>());
        assert_eq!(world.settled().await.delivered, 20);
    });
}
