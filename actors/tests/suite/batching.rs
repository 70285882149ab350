//! Batches: how they come about, how long they wait, and what is known of them.

use std::time::Duration;

use phalanx_actors::{inbox::Batching, router::Selector, supervisor::SpawnOptions};

use crate::support::*;

#[test]
fn what_is_published_at_once_comes_in_batches_and_what_comes_alone_does_not_wait() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        let topic = world.topic("t", [agent.handle()]).await;
        for number in 0..100 {
            topic.publish(Do::Note(number)).unwrap();
        }
        world.settled().await;
        topic.publish(Do::Note(100)).unwrap();
        world.settled().await;
        assert_eq!(world.hub().now().micros(), 0, "no time has passed");
        let batches = topic.batches();
        assert_eq!(batches.messages, 101);
        let sizes: Vec<_> = batches
            .sizes
            .iter()
            .filter(|class| class.batches > 0)
            .map(|class| (class.up_to, class.batches))
            .collect();
        assert_eq!(sizes, [(1, 1), (64, 2)], "64 and 36, and the one that came alone");
        assert_eq!((batches.delay_p50, batches.delay_p99), (Some(Duration::ZERO), Some(Duration::ZERO)));
    });
}

#[test]
fn a_fixed_bound_holds_and_a_batch_that_lingers_waits_until_it_is_full_or_its_time_is_over() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        let patient = Batching::fixed(3).unwrap().linger(Duration::from_millis(20)).unwrap();
        let topic = world.topic("t", [agent.handle()]).await.batching(patient);
        for number in 0..7 {
            topic.publish(Do::Note(number)).unwrap();
        }
        turn().await;
        assert_eq!(log.text(), "+0 0:0 0:1 0:2 0:3 0:4 0:5 0:6", "more than one batch is not held");
        topic.publish(Do::Note(7)).unwrap();
        topic.publish(Do::Note(8)).unwrap();
        turn().await;
        assert_eq!(log.text(), "", "it waits for a third");
        topic.publish(Do::Note(9)).unwrap();
        turn().await;
        assert_eq!(log.text(), "0:7 0:8 0:9", "it is full");
        topic.publish(Do::Note(10)).unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
        assert_eq!(log.text(), "");
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(log.text(), "0:10", "its time is over");
        topic.publish(Do::Note(11)).unwrap();
        agent.tell(Do::Note(12)).unwrap();
        turn().await;
        assert_eq!(log.text(), "0:11 0:12", "what is sent directly afterwards does not overtake it");
        world.settled().await;
        let batches = topic.batches();
        assert!(batches.sizes[3..].iter().all(|class| class.batches == 0), "{batches:?}");
        assert!(batches.delay_p99 >= Some(Duration::from_millis(20)), "{batches:?}");
    });
}

#[test]
fn the_router_says_what_became_of_each_route_and_how_fast_it_goes() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        let topic = world.topic("t", [agent.handle()]).await;
        let before = world.directory.status();
        assert!(before.route("topic t (Do)").unwrap().rate_since(&before.routes[1]).abs() < 1e-9, "no time");
        tokio::time::sleep(Duration::from_secs(2)).await;
        for number in 0..10 {
            topic.publish(Do::Note(number)).unwrap();
        }
        agent.tell(Do::Note(10)).unwrap();
        world.settled().await;
        let status = world.directory.status();
        assert_eq!((status.members, status.subscriptions, status.unconfirmed), (1, 1, 0));
        let names: Vec<_> = status.routes.iter().map(|route| &*route.name).collect();
        assert_eq!(names, ["direct", "topic t (Do)"]);
        let topic = status.route("topic t (Do)").unwrap();
        assert_eq!((topic.ledger.delivered, topic.batches.messages), (10, 10));
        assert_eq!(status.routes[0].batches.batches, 0, "direct sends come in none");
        let rate = topic.rate_since(&before.routes[1]);
        assert!((rate - 5.0).abs() < 0.1, "10 in 2 s: {rate}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = world.directory.status();
        assert!(now.routes[1].rate_since(topic).abs() < 1e-9, "none since");
        let rate = now.routes[1].rate_since(&before.routes[1]);
        assert!((rate - 2.0).abs() < 0.1, "who asked in between takes nothing away: {rate}");
    });
}

#[test]
fn the_batches_of_a_route_that_closed_are_known_and_go_on_when_it_is_opened_again() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        let topic = world.topic("t", [agent.handle()]).await.batching(Batching::fixed(4).unwrap());
        for number in 0..10 {
            topic.publish(Do::Note(number)).unwrap();
        }
        world.settled().await;
        drop(topic);
        assert_eq!(world.directory.status().routes.len(), 1, "it is closed");
        let all = world.hub().all_routes();
        let closed = all.iter().find(|route| &*route.name == "topic t (Do)").unwrap();
        assert_eq!((closed.batches.batches, closed.batches.messages, closed.batches.limit), (3, 10, 4));
        let number = |world: &World| {
            let accounts = world.hub().accounts();
            accounts.iter().find(|account| &**account.name() == "topic t (Do)").unwrap().number()
        };
        let before = number(&world);
        let again = world.directory.publisher::<Do>(&Selector::Topic("t".parse().unwrap()));
        again.publish(Do::Note(10)).unwrap();
        world.settled().await;
        assert_eq!((again.batches().batches, again.batches().messages), (4, 11));
        assert_eq!(number(&world), before, "it is the same account");
    });
}
