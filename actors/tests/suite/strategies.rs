//! One of many: how each strategy chooses.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use phalanx_actors::{
    agent::Priority,
    inbox::HubConfig,
    router::{AdaptiveOptions, ArbitersConfig, AskOneError, Publisher, Strategy, Unicast, UnicastFault, Why},
};

use crate::{
    servers::*,
    support::{World, name, threaded},
};

#[test]
fn by_round_robin_each_has_its_turn_and_who_is_closed_is_passed_over() {
    paused(async {
        let world = World::here().await;
        let topic = serving(&world, ["a", "b", "c", "d"].map(Spec::new)).await.by(Strategy::RoundRobin);
        let turns: String = (0..8).map(|_| topic.unicast(Job(1)).unwrap().agent.to_string()).collect();
        assert_eq!(turns, "abcdabcd");
        world.directory.agent(&name("b")).unwrap().stop();
        // Still on the route, but closed: its turns are spent, nobody gets more than another.
        let shares = shares((0..120).map(|_| topic.unicast(Job(1)).unwrap().agent.to_string()));
        assert_eq!(text(&shares), "a 40, c 40, d 40");
        world.settled().await;
    });
}

#[test]
fn by_round_robin_turns_are_fair_whatever_threads_take_them() {
    threaded(async {
        let world = World::two().await;
        let topic = serving(&world, ["a", "b", "c", "d", "e"].map(Spec::new)).await.by(Strategy::RoundRobin);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let topic = topic.clone();
                std::thread::spawn(move || {
                    (0..500).map(|_| topic.unicast(Job(1)).unwrap().agent.to_string()).collect::<Vec<_>>()
                })
            })
            .collect();
        let chosen = threads.into_iter().flat_map(|thread| thread.join().unwrap());
        assert_eq!(text(&shares(chosen)), "a 400, b 400, c 400, d 400, e 400");
        assert_eq!(world.settled().await.delivered, 2_000);
    });
}

#[test]
fn by_priority_the_highest_that_is_there_gets_all_and_equals_share_by_load() {
    paused(async {
        let world = World::here().await;
        let specs = [
            Spec::new("low").with(Priority::Low),
            Spec::new("high/1").with(Priority::High),
            Spec::new("normal"),
            Spec::new("high/2").with(Priority::High),
        ];
        let topic = serving(&world, specs).await.by(Strategy::PriorityBased);
        let shares = shares((0..100).map(|_| topic.unicast(Job(1)).unwrap().agent.to_string()));
        assert_eq!(shares.keys().collect::<Vec<_>>(), ["high/1", "high/2"]);
        assert!(
            shares.values().all(|share| (45..=55).contains(share)),
            "they differ by their depth: {shares:?}"
        );
        for (gone, next) in [("high/1", "high/2"), ("high/2", "normal"), ("normal", "low")] {
            world.remove(&name(gone)).await;
            let chosen = topic.unicast(Job(1)).unwrap();
            assert_eq!(chosen.agent, name(next));
            assert!(matches!(chosen.why, Why::Priority { of: 1, .. }), "{chosen}");
            world.directory.verify().unwrap();
        }
        world.settled().await;
    });
}

#[test]
fn by_load_shares_follow_the_time_that_each_agent_takes() {
    paused(async {
        let world = World::here().await;
        let specs = [Spec::new("2ms").taking(2), Spec::new("8ms").taking(8), Spec::new("32ms").taking(32)];
        let topic = serving(&world, specs).await;
        assert_eq!(topic.strategy(), Strategy::LoadBalanced, "the default");
        // 250 jobs a second, of 656 that all three could do.
        let mut chosen = Vec::new();
        for _ in 0..4_000 {
            chosen.push(topic.unicast(Job(1)).unwrap().agent.to_string());
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        let shares = shares(chosen);
        let [quick, middle, slow] = ["2ms", "8ms", "32ms"].map(|agent| f64::from(shares[agent]));
        assert!(quick > 1.5 * middle && middle > 4.0 * slow && slow > 20.0, "{shares:?}");
        let waiting = world.hub().ledger().pending;
        assert!(waiting < 40, "nobody is overrun: {waiting} wait");
        world.settled().await;
    });
}

#[test]
fn an_agent_that_sleeps_for_each_message_shows_just_that_time() {
    paused(async {
        let world = World::here().await;
        let topic = serving(&world, [Spec::new("a").taking(50)]).await;
        let first = topic.ask_one(Job(1)).await.unwrap();
        assert_eq!(
            first.chosen.to_string(),
            "a by load_balanced: 1 of 1 compared: depth 0, not measured yet"
        );
        let second = topic.ask_one(Job(1)).await.unwrap();
        assert_eq!(second.chosen.to_string(), "a by load_balanced: 1 of 1 compared: depth 0 x 50000 us");
        assert_eq!(second.answer, 2);
    });
}

#[test]
fn the_nearest_is_chosen_by_the_great_circle_and_who_is_nowhere_comes_last() {
    paused(async {
        let world = World::here().await;
        let specs = [
            Spec::new("nowhere"),
            Spec::new("paris").at(48.86, 2.35),
            Spec::new("tokyo").at(35.68, 139.69),
            Spec::new("fiji").at(-18.1, 178.4),
            Spec::new("nan").at(f64::NAN, 0.0),
        ];
        let topic = serving(&world, specs).await.by(Strategy::Geographic);
        let near = |latitude, longitude| send(&topic, &Unicast::new().near(latitude, longitude));
        assert_eq!(near(51.5, -0.13), "paris");
        assert_eq!(near(37.5, 127.0), "tokyo");
        // Across the date line: 179 degrees west is near 178 degrees east.
        assert_eq!(near(-18.0, -179.0), "fiji");
        let chosen = topic.unicast_with(Job(1), Unicast::new().near(48.86, 2.35)).unwrap();
        assert!(chosen.to_string().starts_with("paris by geographic: nearest, 0.0 km: depth 1"), "{chosen}");
        for gone in ["paris", "tokyo", "fiji"] {
            world.remove(&name(gone)).await;
        }
        assert!(["nowhere", "nan"].contains(&near(51.5, -0.13).as_str()));
        for (latitude, longitude) in [(91.0, 0.0), (0.0, -181.0), (f64::NAN, 0.0)] {
            let error = topic.unicast_with(Job(1), Unicast::new().near(latitude, longitude)).unwrap_err();
            assert!(
                matches!(error.fault, UnicastFault::BadPoint(_)) && error.message == Some(Job(1)),
                "{error}"
            );
        }
        let error = topic.unicast(Job(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "capability serve (Job) cannot choose by geographic without a point: add one with Unicast::near"
        );
        world.settled().await;
    });
}

#[test]
fn those_within_a_kilometre_share_by_load() {
    paused(async {
        let world = World::here().await;
        let specs =
            [Spec::new("a").at(10.0, 10.0), Spec::new("b").at(10.0, 10.005), Spec::new("c").at(10.0, 10.1)];
        let topic = serving(&world, specs).await.by(Strategy::Geographic);
        let shares = shares((0..100).map(|_| send(&topic, &Unicast::new().near(10.0, 9.9))));
        assert_eq!(shares.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(shares.values().all(|share| (45..=55).contains(share)), "{shares:?}");
        world.settled().await;
    });
}

#[test]
fn a_key_stays_with_its_agent_and_only_keys_of_one_that_is_gone_move() {
    paused(async {
        let world = World::here().await;
        let topic = serving(&world, ["a", "b", "c", "d", "e"].map(Spec::new)).await.by(Strategy::Consistent);
        let owners = || -> Vec<String> { (0..500).map(|n| send(&topic, &Unicast::new().key(&n))).collect() };
        let before = owners();
        assert_eq!(before, owners(), "the same key, the same agent");
        assert!(shares(before.clone()).values().all(|share| (60..=140).contains(share)));
        world.remove(&name("c")).await;
        let without = owners();
        for (was, is) in before.iter().zip(&without) {
            assert!(is != "c" && (was == is || was == "c"), "{was} -> {is}");
        }
        Spec::new("f").spawn(&world).await;
        for (was, is) in without.iter().zip(owners()) {
            assert!(*was == is || is == "f", "{was} -> {is}");
        }
        let error = topic.unicast(Job(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "capability serve (Job) cannot choose by consistent without a key: add one with Unicast::key"
        );
        world.settled().await;
    });
}

fn adapting() -> AdaptiveOptions {
    AdaptiveOptions::default()
}

/// Asks one after another, and says whom.
async fn asked(topic: &Publisher<Job>, times: u32) -> BTreeMap<String, u32> {
    let mut chosen = Vec::new();
    for _ in 0..times {
        let asked = topic.ask_one(Job(1)).within(Duration::from_secs(9)).await;
        chosen.push(match asked {
            Ok(answered) => answered.chosen.agent.to_string(),
            Err(AskOneError::Unanswered { chosen, .. }) => chosen.agent.to_string(),
            Err(error) => panic!("{error}"),
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shares(chosen)
}

#[test]
fn adaptive_sheds_a_slow_agent_and_lets_it_back_step_by_step_when_it_is_quick_again() {
    paused(async {
        let world = World::here().await;
        let slow = Spec::new("slow").taking(1);
        let traits = slow.traits.clone();
        let quick = ["a", "b", "c"].map(|id| Spec::new(id).taking(1));
        let topic = serving(&world, quick.into_iter().chain([slow])).await;
        let topic = topic.by(Strategy::Adaptive).adapting(adapting());
        let first = asked(&topic, 400).await;
        assert!(first["slow"] > 50, "as good as the others: {first:?}");
        traits.takes.store(100_000, Ordering::Relaxed);
        asked(&topic, 400).await;
        // It is left alone but for a probe after each back-off, which doubles.
        let shed = asked(&topic, 2_000).await;
        assert!(shed.get("slow").copied().unwrap_or(0) <= 6, "{shed:?}");
        traits.takes.store(1_000, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        asked(&topic, 200).await;
        let back = asked(&topic, 400).await;
        assert!(back["slow"] > 50, "{back:?}");
        world.settled().await;
    });
}

#[test]
fn adaptive_sheds_a_failing_agent_and_lets_it_back_when_it_works_again() {
    paused(async {
        let world = World::here().await;
        let bad = Spec::new("bad").taking(1);
        let traits = bad.traits.clone();
        let topic =
            serving(&world, ["a", "b"].map(|id| Spec::new(id).taking(1)).into_iter().chain([bad])).await;
        let topic = topic.by(Strategy::Adaptive).adapting(adapting());
        traits.breaks.store(true, Ordering::Relaxed);
        let first = asked(&topic, 100).await;
        let later = asked(&topic, 1_000).await;
        assert!(first["bad"] >= 10 && later.get("bad").copied().unwrap_or(0) <= 5, "{first:?}, {later:?}");
        traits.breaks.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        asked(&topic, 200).await;
        let back = asked(&topic, 300).await;
        assert!(back["bad"] > 50, "{back:?}");
        world.settled().await;
    });
}

#[test]
fn when_all_are_shed_somebody_is_chosen_all_the_same() {
    paused(async {
        let world = World::here().await;
        let spec = Spec::new("only").taking(1);
        spec.traits.breaks.store(true, Ordering::Relaxed);
        let topic = serving(&world, [spec]).await.by(Strategy::Adaptive);
        assert_eq!(asked(&topic, 50).await["only"], 50);
        world.settled().await;
    });
}

#[test]
fn the_same_seed_chooses_the_same_agents() {
    let run = |seed| {
        let mut lines = Vec::new();
        paused(async {
            let world = World::start(ArbitersConfig::Here, HubConfig { seed, ..HubConfig::default() }).await;
            let specs = ["a", "b", "c", "d", "e"].into_iter().zip(1..);
            let topic = serving(&world, specs.map(|(id, takes)| Spec::new(id).taking(takes))).await;
            for strategy in Strategy::ALL {
                for n in 0..40 {
                    let unicast = Unicast::new().by(strategy).key(&n).near(1.0, 2.0);
                    lines.push(topic.unicast_with(Job(n), unicast).unwrap().to_string());
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            world.settled().await;
        });
        lines
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
