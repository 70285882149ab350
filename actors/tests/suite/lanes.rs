//! Priorities and order.

use phalanx_actors::{
    agent::Priority,
    inbox::{AgentHandle, OverflowPolicy, STARVATION_BOUND, SendOptions},
    router::Publisher,
};

use crate::support::*;

fn at(priority: Priority) -> SendOptions {
    SendOptions::new().priority(priority)
}

#[test]
fn a_critical_message_passes_a_hundred_thousand_others() {
    for published in [false, true] {
        paused(async {
            let world = World::here().await;
            let log = Log::default();
            let agent = world.actor("a", &log, inbox(1 << 20, OverflowPolicy::Reject)).await;
            let topic = world.topic("t", [agent.handle()]).await;
            turn().await;
            agent.tell(Do::Pause(5)).unwrap();
            for number in 0..100_000 {
                if published && number % 2 == 0 {
                    topic.publish_waiting(Do::Note(number), SendOptions::new()).await.unwrap();
                } else {
                    agent.tell_waiting(Do::Note(number), SendOptions::new()).await.unwrap();
                }
            }
            while agent.status().depth.unwrap()[4] < 100_000 {
                turn().await;
            }
            agent.tell_with(Do::Note(1_000_000), at(Priority::Critical)).unwrap();
            world.settled().await;
            let seen = log.take();
            assert_eq!(seen[1], "0:1000000");
            assert!(seen[2..].iter().enumerate().all(|(i, line)| *line == format!("0:{i}")), "order is kept");
        });
    }
}

#[test]
fn a_flood_of_urgent_messages_lets_lower_ones_through_within_the_bound() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, inbox(4_096, OverflowPolicy::Reject)).await;
        turn().await;
        agent.tell(Do::Pause(5)).unwrap();
        turn().await;
        agent.tell_with(Do::Note(9_001), at(Priority::Low)).unwrap();
        agent.tell(Do::Note(9_000)).unwrap();
        for number in 0..1_000 {
            agent.tell_with(Do::Note(number), at(Priority::Urgent)).unwrap();
        }
        world.settled().await;
        let seen = log.take();
        let place =
            |line: &str| u32::try_from(seen.iter().position(|seen| seen == line).unwrap()).unwrap() - 1;
        assert_eq!(place("0:9000"), STARVATION_BOUND);
        assert_eq!(place("0:9001"), STARVATION_BOUND + 1);
    });
}

/// Sends numbers in turn by tell and publish, in three lanes.
fn mix(agent: &AgentHandle, topic: &Publisher<Do>, from: u32) {
    for number in from..from + 300 {
        let options = at([Priority::Normal, Priority::Critical, Priority::Low][number as usize % 3]);
        if number % 7 < 3 {
            topic.publish_with(Do::Note(number), options).unwrap();
        } else {
            agent.tell_with(Do::Note(number), options).unwrap();
        }
    }
}

fn in_order(log: &Log, senders: u32) {
    let seen: Vec<u32> = log
        .take()
        .iter()
        .filter_map(|line| line.strip_prefix("0:"))
        .map(|line| line.parse().unwrap())
        .collect();
    assert_eq!(seen.len(), senders as usize * 300);
    for sender in 0..senders {
        for lane in 0..3 {
            let own: Vec<_> =
                seen.iter().filter(|number| **number / 1_000 == sender && **number % 3 == lane).collect();
            assert!(own.is_sorted(), "sender {sender}, lane {lane}: {own:?}");
        }
    }
}

/// Sends from inside an agent.
struct Mixer {
    agent: AgentHandle,
    topic: Publisher<Do>,
}
impl actix::Actor for Mixer {
    type Context = actix::Context<Self>;
}
impl actix::Supervised for Mixer {}
impl actix::Handler<Do> for Mixer {
    type Result = u32;
    fn handle(&mut self, what: Do, _: &mut actix::Context<Self>) -> u32 {
        let Do::Note(from) = what else { return 0 };
        mix(&self.agent, &self.topic, from);
        0
    }
}
impl phalanx_actors::agent::Agent for Mixer {
    fn card(&self) -> phalanx_actors::agent::Card<Self> {
        phalanx_actors::agent::Card::new().accepts::<Do>()
    }
}

#[test]
fn order_holds_per_sender_and_lane_whichever_way_is_taken() {
    for _ in 0..20 {
        threaded(async {
            let world = World::two().await;
            let log = Log::default();
            let agent = world.actor("a", &log, on(0)).await;
            let topic = world.topic("t", [agent.handle()]).await;
            let mut senders = Vec::new();
            for arbiter in [0, 1] {
                let (agent, topic) = (agent.handle(), topic.clone());
                let make =
                    move |_: &phalanx_actors::agent::Me| Mixer { agent: agent.clone(), topic: topic.clone() };
                senders.push(world.spawn(&format!("m{arbiter}"), make, on(arbiter)).await);
            }
            let (handle, publisher) = (agent.handle(), topic.clone());
            let thread = std::thread::spawn(move || mix(&handle, &publisher, 2_001));
            senders[0].tell(Do::Note(0)).unwrap();
            senders[1].tell(Do::Note(1_002)).unwrap();
            thread.join().unwrap();
            world.settled().await;
            in_order(&log, 3);
            world.arbiters.join();
        });
    }
}
