//! One of many: what holds whatever the strategy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use phalanx_actors::{
    agent::{Priority, TopicName},
    inbox::SendOptions,
    router::{AskOneError, Publisher, Selector, Strategy, SubscribeOptions, Unicast, UnicastFault},
};

use crate::{
    servers::*,
    support::{World, name, on, threaded},
};

#[test]
fn a_predicate_holds_for_a_message_to_one_of_many_by_every_strategy() {
    paused(async {
        let world = World::here().await;
        for id in ["even", "odd", "small"] {
            Spec::new(id).spawn(&world).await;
        }
        let only = |id: &str| match id {
            "even" => SubscribeOptions::new().only(|Job(n): &Job| n.is_multiple_of(2)),
            "odd" => SubscribeOptions::new().only(|Job(n): &Job| !n.is_multiple_of(2) && *n < 100),
            _ => SubscribeOptions::new().only(|Job(n): &Job| *n < 10),
        };
        for id in ["even", "odd", "small"] {
            world.subscribe_with("jobs", &name(id), only(id)).await;
        }
        let topic: Publisher<Job> =
            world.directory.publisher(&Selector::Topic(TopicName::new("jobs").unwrap()));
        for strategy in Strategy::ALL {
            for n in 10..40 {
                let unicast = Unicast::new().by(strategy).key(&n).near(0.0, 0.0);
                let chosen = topic.unicast_with(Job(n), unicast.clone()).unwrap().agent;
                assert_eq!(chosen.as_str(), ["even", "odd"][n as usize % 2], "{strategy} chose for {n}");
                let error = topic.unicast_with(Job(101), unicast).unwrap_err();
                assert_eq!(
                    (error.fault, error.message),
                    (UnicastFault::Unwanted, Some(Job(101))),
                    "{strategy}"
                );
            }
        }
        let before = world.settled().await;
        assert_eq!((before.sent, before.rejected), (6 * 30, 0), "what nobody wants is not sent");
        world.directory.verify().unwrap();
    });
}

#[test]
fn a_refusal_falls_to_the_next_best_and_is_counted_once() {
    paused(async {
        let world = World::here().await;
        let specs = ["a", "b"].map(|id| Spec::new(id).taking(1_000).holding(1));
        let topic = serving(&world, specs).await;
        for strategy in Strategy::ALL {
            let unicast = Unicast::new().by(strategy).key(&7).near(0.0, 0.0);
            let [first, second] = [(); 2].map(|()| topic.unicast_with(Job(1), unicast.clone()).unwrap());
            assert_ne!(first.agent, second.agent, "{strategy}: the first one was full");
            let error = topic.unicast_with(Job(3), unicast).unwrap_err();
            let UnicastFault::Refused { tried: 2, .. } = error.fault else { panic!("{strategy}: {error:?}") };
            assert!(error.fault.is_transient() && error.message == Some(Job(3)));
            let counts = world.settled().await;
            assert_eq!(counts.sent, counts.delivered + counts.rejected);
        }
        let counts = world.settled().await;
        assert_eq!((counts.sent, counts.rejected), (18, 6), "each message once");
    });
}

#[test]
fn at_most_three_others_are_tried() {
    paused(async {
        let world = World::here().await;
        let specs = ["a", "b", "c", "d", "e", "f"].map(|id| Spec::new(id).taking(1_000).holding(1));
        let topic = serving(&world, specs).await.by(Strategy::RoundRobin);
        (0..6).for_each(|_| _ = topic.unicast(Job(1)).unwrap());
        let error = topic.unicast(Job(2)).unwrap_err();
        let UnicastFault::Refused { tried: 4, .. } = error.fault else { panic!("{error:?}") };
        assert!(error.to_string().starts_with("4 on capability serve (Job) refused the message"), "{error}");
        world.settled().await;
    });
}

#[test]
fn an_empty_route_and_one_whose_agents_have_stopped_say_so() {
    paused(async {
        let world = World::here().await;
        let topic = serving(&world, []).await;
        let error = topic.unicast(Job(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "nobody is on capability serve (Job): spawn an agent that accepts a Job, or subscribe one"
        );
        let agent = Spec::new("a").spawn(&world).await;
        assert_eq!(topic.unicast(Job(1)).unwrap().agent, name("a"), "who comes later is found");
        agent.stop();
        let error = topic.unicast(Job(1)).unwrap_err();
        assert_eq!((error.fault, error.message), (UnicastFault::Closed, Some(Job(1))));
        let AskOneError::Unsent(_) = topic.ask_one(Job(1)).await.unwrap_err() else { panic!("it was sent") };
        world.settled().await;
    });
}

#[test]
fn an_answer_that_does_not_come_in_time_says_who_was_asked() {
    paused(async {
        let world = World::here().await;
        let topic = serving(&world, [Spec::new("a").taking(1_000)]).await;
        let error = topic.ask_one(Job(1)).within(Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "a: no answer within 10ms: allow more time, or look whether the agent is overloaded"
        );
        let urgent = Unicast::new().options(SendOptions::new().priority(Priority::Urgent));
        assert_eq!(topic.ask_one(Job(1)).with(urgent).await.unwrap().answer, 2);
        world.settled().await;
    });
}

#[test]
fn members_come_and_go_while_threads_choose_among_them_and_nothing_is_lost() {
    threaded(async {
        let world = World::two().await;
        let topic = serving(&world, [Spec::new("stays")]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = Strategy::ALL
            .map(|strategy| {
                let (topic, stop) = (topic.clone(), stop.clone());
                std::thread::spawn(move || {
                    let mut sent = 0;
                    while !stop.load(Ordering::Relaxed) && sent < 1_000 {
                        let unicast = Unicast::new().by(strategy).key(&sent).near(1.0, 1.0);
                        sent += u64::from(topic.unicast_with(Job(1), unicast).is_ok());
                    }
                    sent
                })
            })
            .into();
        for round in 0..20_u32 {
            let ids: [&'static str; 3] = ["x", "y", "z"];
            for (id, arbiter) in ids.into_iter().zip([0, 1, 0]) {
                let spec = Spec { options: on(arbiter), ..Spec::new(id) }.at(f64::from(round), 1.0);
                spec.spawn(&world).await;
            }
            for id in ids {
                let agent = world.directory.agent(&name(id)).unwrap();
                agent.stop();
                agent.ended().await;
                world.remove(&name(id)).await;
            }
            world.directory.verify().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        let sent: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        let counts = world.settled().await;
        assert!(sent > 0 && counts.delivered + counts.failed >= sent, "{sent} taken: {counts:?}");
    });
}

#[test]
fn one_that_waits_goes_to_whoever_has_room_and_is_counted_once() {
    paused(async {
        let world = World::here().await;
        let specs = [("a", 3_000), ("b", 1_000)].map(|(id, takes)| Spec::new(id).taking(takes).holding(1));
        let topic = serving(&world, specs).await;
        for strategy in Strategy::ALL {
            let unicast = Unicast::new().by(strategy).key(&7).near(0.0, 0.0);
            for _ in 0..2 {
                topic.unicast_with(Job(1), unicast.clone()).unwrap();
            }
            let began = tokio::time::Instant::now();
            let chosen = topic.unicast_waiting(Job(2), unicast).await.unwrap();
            assert_eq!((chosen.agent, chosen.strategy), (name("b"), strategy));
            assert_eq!(began.elapsed().as_secs(), 1, "{strategy}: as soon as there was room");
            world.settled().await;
        }
        let counts = world.settled().await;
        assert_eq!((counts.sent, counts.delivered, counts.rejected), (18, 18, 0));
    });
}

#[test]
fn one_that_waits_finds_who_comes_meanwhile_and_sees_when_nobody_is_left() {
    paused(async {
        let world = World::here().await;
        let hour = 3_600_000;
        let topic = serving(&world, [Spec::new("a").taking(hour).holding(1)]).await;
        topic.unicast(Job(1)).unwrap();
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Spec::new("b").taking(hour).holding(1).spawn(&world).await
        };
        let (chosen, b) = tokio::join!(topic.unicast_waiting(Job(2), Unicast::new()), later);
        assert_eq!(chosen.unwrap().agent, *b.id());
        let end = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.directory.agent(&name("a")).unwrap().kill();
            b.kill();
        };
        let (refused, ()) = tokio::join!(topic.unicast_waiting(Job(3), Unicast::new()), end);
        let refused = refused.unwrap_err();
        assert_eq!((refused.fault, refused.message), (UnicastFault::Closed, Some(Job(3))));
        let bad = topic.unicast_waiting(Job(4), Unicast::new().by(Strategy::Consistent)).await.unwrap_err();
        assert_eq!(bad.fault, UnicastFault::NoKey);
        let counts = world.settled().await;
        assert_eq!((counts.sent, counts.failed, counts.rejected), (2, 2, 0), "what waits is not counted");
    });
}
