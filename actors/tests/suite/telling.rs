//! tell: accepted, or refused with a reason and the message handed back.

use std::time::Duration;

use actix::prelude::*;
use phalanx_actors::{
    agent::{Priority, Reason, TraceContext},
    inbox::{OverflowPolicy, SendOptions},
    supervisor::SpawnOptions,
};

use crate::support::*;

#[derive(Debug, PartialEq, Message)]
#[rtype(result = "()")]
struct Alien(u32);

#[test]
fn a_message_that_is_refused_is_handed_back_with_the_reason() {
    paused(async {
        let world = World::here().await;
        let agent = world.actor("a", &Log::default(), inbox(1, OverflowPolicy::Reject)).await;
        agent.tell(Do::Note(1)).unwrap();
        for refused in [agent.tell(Do::Note(2)).unwrap_err(), agent.handle().tell(Do::Note(2)).unwrap_err()] {
            assert_eq!((refused.reason, refused.message), (Reason::Full, Some(Do::Note(2))));
        }
        let refused = agent.handle().tell(Alien(5)).unwrap_err();
        assert_eq!((refused.reason, refused.message), (Reason::NotAccepted, Some(Alien(5))));
        world.settled().await;
        agent.kill();
        let refused = agent.tell(Do::Note(3)).unwrap_err();
        assert_eq!((refused.reason, refused.message), (Reason::Closed, Some(Do::Note(3))));
        let newest = world.actor("b", &Log::default(), inbox(1, OverflowPolicy::DropNewest)).await;
        newest.tell(Do::Note(1)).unwrap();
        assert_eq!(newest.tell(Do::Note(2)).unwrap_err().reason, Reason::DroppedNewest);
        let counts = world.settled().await;
        assert_eq!((counts.sent, counts.delivered, counts.rejected, counts.dropped), (7, 2, 4, 1));
    });
}

#[test]
fn an_arbiter_with_too_much_in_transit_refuses_and_lets_those_who_wait_in() {
    threaded(async {
        let world = World::two().await;
        let log = Log::default();
        let agent = world.actor("a", &log, inbox(1 << 20, OverflowPolicy::Reject)).await;
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let once = world.hub().dead_letters().subscribe(move |letter| {
            if letter.reason == Reason::Expired {
                let _ = held.lock().unwrap().recv();
            }
        });
        // Blocks the agent's arbiter, so that nothing there leaves the transit.
        agent.tell_with(Do::Note(0), SendOptions::new().deadline(Some(world.hub().now()))).unwrap();
        let mut accepted = 0;
        let refused = loop {
            match agent.tell(Do::Note(accepted)) {
                Ok(()) => accepted += 1,
                Err(refused) => break refused,
            }
            assert!(accepted < 1_000_000);
        };
        assert_eq!((refused.reason, refused.message), (Reason::Congested, Some(Do::Note(accepted))));
        drop(release);
        agent.tell_waiting(Do::Note(accepted), SendOptions::new()).await.unwrap();
        let counts = world.settled().await;
        assert_eq!(counts.delivered, u64::from(accepted) + 1);
        assert!(world.hub().dead_letters().unsubscribe(once));
        world.arbiters.join();
    });
}

#[test]
fn a_delivery_shows_all_that_travelled_with_the_message() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let inner = log.clone();
        let agent = world.spawn("r", move |_| Reader(inner.clone()), SpawnOptions::default()).await;
        let options = SendOptions::new()
            .from(&name("me"))
            .attempt(3)
            .trace(TraceContext { trace_id: 9, span_id: 4 })
            .priority(Priority::High)
            .ttl(Duration::from_millis(700));
        assert_eq!(
            agent.ask(Do::Note(1)).with(options.clone()).await,
            Ok(700),
            "the shorter deadline travels"
        );
        assert_eq!(agent.handle().ask(Do::Note(2)).within(Duration::from_secs(2)).await, Ok(2_000));
        let topic = world.topic("t", [agent.handle()]).await;
        topic.publish_with(Do::Note(3), options).unwrap();
        world.settled().await;
        let seen = log.take();
        assert_eq!(seen[0], "Note(1) Some(\"me\") Some((9, 4)) 3");
        assert_eq!(seen[1], "Note(2) None None 0");
        assert_eq!(seen[2], "Note(3) Some(\"me\") Some((9, 4)) 3");
    });
}

#[test]
fn tell_waiting_gets_in_as_soon_as_there_is_room_and_learns_of_the_end() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, inbox(1, OverflowPolicy::Wait)).await;
        agent.tell(Do::Pause(100)).unwrap();
        turn().await;
        agent.tell(Do::Note(1)).unwrap();
        assert_eq!(agent.tell(Do::Note(9)).unwrap_err().reason, Reason::Full);
        let waiting = agent.clone();
        let second =
            actix_rt::spawn(async move { waiting.tell_waiting(Do::Note(2), SendOptions::new()).await });
        turn().await;
        assert!(!second.is_finished());
        second.await.unwrap().unwrap();
        world.settled().await;
        assert_eq!(log.text(), "+0 0:1 0:2");
        agent.tell(Do::Pause(100)).unwrap();
        turn().await;
        agent.tell(Do::Note(3)).unwrap();
        let waiting = agent.clone();
        let third =
            actix_rt::spawn(async move { waiting.tell_waiting(Do::Note(4), SendOptions::new()).await });
        turn().await;
        agent.kill();
        assert_eq!(third.await.unwrap().unwrap_err().reason, Reason::Closed);
        world.settled().await;
    });
}
