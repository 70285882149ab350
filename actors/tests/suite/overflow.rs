//! Overflow policies, one by one.

use phalanx_actors::{
    agent::{Priority, Reason},
    inbox::{OverflowPolicy, SendOptions},
    supervisor::SpawnOptions,
};

use crate::support::*;

fn urgent() -> SendOptions {
    SendOptions::new().priority(Priority::Urgent)
}

#[test]
fn reject_refuses_what_does_not_fit_of_singles_and_batches() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, inbox(2, OverflowPolicy::Reject)).await;
        let topic = world.topic("t", [agent.handle()]).await;
        for number in 0..5 {
            topic.publish(Do::Note(number)).unwrap();
        }
        turn().await;
        assert_eq!(log.text(), "+0 0:0 0:1");
        assert_eq!((topic.ledger().rejected, world.reason(Reason::Full)), (3, 3));
        assert_eq!(world.settled().await.delivered, 2);
    });
}

#[test]
fn drop_newest_keeps_the_oldest_of_a_batch() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, inbox(1, OverflowPolicy::DropNewest)).await;
        let topic = world.topic("t", [agent.handle()]).await;
        for number in 0..5 {
            topic.publish(Do::Note(number)).unwrap();
        }
        world.settled().await;
        assert_eq!(log.text(), "+0 0:0");
        assert_eq!(topic.ledger().dropped, 4);
    });
}

#[test]
fn drop_oldest_keeps_the_newest_and_spares_what_is_more_urgent_and_control() {
    paused(async {
        for capacity in [1, 3] {
            let world = World::here().await;
            let log = Log::default();
            let agent = world.actor("a", &log, inbox(capacity, OverflowPolicy::DropOldest)).await;
            let topic = world.topic("t", [agent.handle()]).await;
            turn().await;
            agent.tell(Do::Pause(10)).unwrap();
            turn().await;
            log.take();
            for number in 0..20 {
                agent.tell(Do::Note(number)).unwrap();
            }
            for number in 20..50 {
                topic.publish(Do::Note(number)).unwrap();
            }
            turn().await;
            assert!(agent.status().occupied <= 2 * capacity);
            for number in 0..5 {
                agent.tell_with(Do::Note(100 + number), SendOptions::new().control()).unwrap();
            }
            world.settled().await;
            let newest: Vec<_> =
                (100..105).chain(50 - capacity..50).map(|number| format!("0:{number}")).collect();
            assert_eq!(log.take(), newest, "capacity {capacity}");
            agent.tell(Do::Pause(10)).unwrap();
            turn().await;
            for number in 0..capacity {
                agent.tell_with(Do::Note(number), urgent()).unwrap();
            }
            topic.publish(Do::Note(99)).unwrap();
            world.settled().await;
            let urgent: Vec<_> = (0..capacity).map(|number| format!("0:{number}")).collect();
            assert_eq!(log.take(), urgent, "what is more urgent stays");
            assert_eq!(agent.status().occupied, 0);
        }
    });
}

#[test]
fn wait_parks_what_was_published_then_refuses_publishers_until_it_was_taken_in() {
    paused(async {
        let world = World::here().await;
        let (slow, quick) = (Log::default(), Log::default());
        let a = world.actor("a", &slow, inbox(1, OverflowPolicy::Wait)).await;
        let b = world.actor("b", &quick, inbox(64, OverflowPolicy::Wait)).await;
        let topic = world.topic("t", [a.handle(), b.handle()]).await;
        turn().await;
        a.tell(Do::Pause(100)).unwrap();
        turn().await;
        for number in 0..5 {
            topic.publish(Do::Note(number)).unwrap();
        }
        turn().await;
        assert_eq!(quick.text(), "+0 0:0 0:1 0:2 0:3 0:4", "the other subscriber is not slowed");
        assert_eq!(slow.text(), "+0");
        assert_eq!(a.status().occupied, 1);
        let refused = topic.publish(Do::Note(9)).unwrap_err();
        assert_eq!((refused.reason, refused.message), (Reason::Congested, Some(Do::Note(9))));
        assert_eq!(topic.ledger().rejected, 2);
        let began = tokio::time::Instant::now();
        topic.publish_waiting(Do::Note(5), SendOptions::new()).await.unwrap();
        assert!(began.elapsed().as_millis() >= 99);
        let counts = world.settled().await;
        assert_eq!(slow.text(), "0:0 0:1 0:2 0:3 0:4 0:5");
        assert_eq!(
            (counts.sent, counts.delivered, counts.rejected),
            (15, 13, 2),
            "waiting counts no attempts"
        );
    });
}

#[test]
fn what_is_urgent_is_not_kept_waiting_by_what_is_parked() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let a = world.actor("a", &log, inbox(1, OverflowPolicy::Wait)).await;
        let topic = world.topic("t", [a.handle()]).await;
        let other = world.topic_of("u", &a).await;
        let control = world.topic_of("v", &a).await;
        turn().await;
        a.tell(Do::Pause(100)).unwrap();
        turn().await;
        for number in 0..3 {
            topic.publish(Do::Note(number)).unwrap();
        }
        turn().await;
        other.publish_with(Do::Note(10), urgent()).unwrap();
        control.publish_with(Do::Note(20), SendOptions::new().control()).unwrap();
        world.settled().await;
        assert_eq!(log.text(), "+0 0:20 0:0 0:10 0:1 0:2");
    });
}

#[test]
fn a_tell_does_not_overtake_what_its_sender_published_before_and_is_parked() {
    threaded(async {
        let world = World::two().await;
        for round in 0..300 {
            let log = Log::default();
            let agent = world.actor(&format!("a{round}"), &log, inbox(1, OverflowPolicy::Wait)).await;
            let topic = world.topic(&format!("t{round}"), [agent.handle()]).await;
            agent.ask(Do::Note(0)).await.unwrap();
            world.hub().idle().await;
            topic.publish(Do::Note(1)).unwrap();
            agent.tell_waiting(Do::Note(2), SendOptions::new()).await.unwrap();
            world.hub().idle().await;
            assert_eq!(log.text(), "+0 0:0 0:1 0:2", "round {round}");
        }
        world.settled().await;
        world.arbiters.join();
    });
}

#[test]
fn closing_accounts_for_what_is_parked_and_lets_publishers_go_on() {
    paused(async {
        let world = World::here().await;
        let a = world.actor("a", &Log::default(), inbox(1, OverflowPolicy::Wait)).await;
        let topic = world.topic("t", [a.handle()]).await;
        turn().await;
        a.tell(Do::Pause(100)).unwrap();
        turn().await;
        for number in 0..4 {
            topic.publish(Do::Note(number)).unwrap();
        }
        turn().await;
        a.kill();
        let counts = world.settled().await;
        assert_eq!((counts.failed, a.status().occupied), (4, 0));
        topic.publish(Do::Note(9)).unwrap();
        assert_eq!(world.settled().await.rejected, 1);
        assert_eq!(world.reason(Reason::Closed), 1);
    });
}

#[test]
fn a_full_recipient_that_waits_holds_up_its_publisher_only() {
    paused(async {
        let world = World::here().await;
        let (slow, quick) = (Log::default(), Log::default());
        let a = world.actor("a", &slow, inbox(1, OverflowPolicy::Wait)).await;
        let b = world.actor("b", &quick, SpawnOptions::default()).await;
        let both = world.topic("both", [a.handle(), b.handle()]).await;
        let other = world.topic_of("other", &b).await;
        a.tell(Do::Pause(1_000)).unwrap();
        turn().await;
        both.publish(Do::Note(1)).unwrap();
        both.publish(Do::Note(2)).unwrap();
        turn().await;
        assert_eq!(
            both.publish(Do::Note(3)).unwrap_err().reason,
            Reason::Congested,
            "its publisher is held up"
        );
        // Another publisher goes on, to the recipient they share, too; and the router takes changes.
        for number in 10..20 {
            other.publish(Do::Note(number)).unwrap();
        }
        let late = Log::default();
        let c = world.actor("c", &late, SpawnOptions::default()).await;
        world.enlist([c.handle()]).await;
        world.subscribe("other", c.id()).await;
        other.publish(Do::Note(20)).unwrap();
        turn().await;
        assert_eq!(quick.text(), "+0 0:1 0:2 0:10 0:11 0:12 0:13 0:14 0:15 0:16 0:17 0:18 0:19 0:20");
        assert_eq!(late.text(), "+0 0:20");
        assert_eq!(slow.text(), "+0");
        world.settled().await;
        assert_eq!(slow.text(), "0:1 0:2");
    });
}

#[test]
fn control_has_places_of_its_own_and_is_never_dropped_by_overflow() {
    for policy in
        [OverflowPolicy::Reject, OverflowPolicy::DropNewest, OverflowPolicy::DropOldest, OverflowPolicy::Wait]
    {
        paused(async {
            let world = World::here().await;
            let log = Log::default();
            let agent = world.actor("a", &log, inbox(1, policy)).await;
            let topic = world.topic("t", [agent.handle()]).await;
            agent.tell(Do::Pause(100)).unwrap();
            turn().await;
            topic.publish(Do::Note(0)).unwrap();
            turn().await;
            // There is no room for anything else.
            for number in 1..=50 {
                agent.tell_with(Do::Note(number), SendOptions::new().control()).unwrap();
            }
            turn().await;
            world.settled().await;
            let heard = log.take();
            assert_eq!(heard[1], "0:1", "control comes first: {policy:?}");
            let control: Vec<_> = heard.iter().filter(|line| *line != "+0" && *line != "0:0").collect();
            assert_eq!(control.len(), 50, "all of it is there: {policy:?}");
        });
    }
}
