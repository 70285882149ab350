//! Restart in place: same id, inbox and address, a fresh instance.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use phalanx_actors::{
    agent::{Agent, AskError, Card, Me, Reason},
    supervisor::{RestartPolicy, SpawnOptions},
};

use crate::support::*;

fn permanent() -> SpawnOptions {
    tough(RestartPolicy::Permanent)
}

/// Breaks an agent by `poison`, with messages queued behind it, and looks at what lives on.
async fn breaks(poison: Do, before: &str, failed: u64) {
    let world = World::here().await;
    let log = Log::default();
    let agent = world.actor("a", &log, permanent()).await;
    let address = agent.address();
    agent.tell(Do::Tick(1_000)).unwrap();
    agent.tell(Do::Note(1)).unwrap();
    agent.tell(poison.clone()).unwrap();
    turn().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    agent.tell(Do::Note(2)).unwrap();
    let counts = world.settled().await;
    assert_eq!(log.text(), format!("{before} +1 1:2"), "{poison:?}");
    assert_eq!((counts.failed, counts.delivered), (failed, 4 - failed), "{poison:?}");
    assert_eq!((agent.status().generation, agent.status().occupied), (1, 0));
    assert!(address.connected());
    assert_eq!(address.send(Do::Note(3)).await.unwrap(), 3, "the address leads to the new instance");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(log.text(), "1:3", "timers of the old instance are gone after {poison:?}");
}

#[test]
fn a_panic_in_a_handler_fails_that_message_alone() {
    paused(breaks(Do::Panic, "+0 0:1", 1));
}

#[test]
fn a_panic_in_a_timer_restarts_in_place() {
    paused(breaks(Do::Later(10), "+0 0:1", 0));
}

#[test]
fn a_panic_in_an_interval_restarts_in_place() {
    paused(breaks(Do::Interval(10), "+0 0:1", 0));
}

#[test]
fn a_panic_in_a_spawned_future_restarts_in_place() {
    paused(breaks(Do::Spawned, "+0 0:1", 0));
}

#[test]
fn a_panic_in_a_future_of_wait_restarts_in_place() {
    paused(breaks(Do::Wait, "+0 0:1", 0));
}

#[test]
fn a_panic_in_a_stream_restarts_in_place() {
    paused(breaks(Do::Stream, "+0 0:1", 0));
}

#[test]
fn a_panic_over_a_plain_actix_message_restarts_in_place() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, permanent()).await;
        turn().await;
        let address = agent.address();
        address.do_send(Do::Panic);
        address.do_send(Do::Note(1));
        agent.tell(Do::Note(2)).unwrap();
        world.settled().await;
        turn().await;
        let seen = log.take();
        assert_eq!(&seen[..2], ["+0", "+1"]);
        assert!(seen.contains(&"1:1".to_owned()) && seen.contains(&"1:2".to_owned()), "{seen:?}");
    });
}

#[test]
fn a_panic_before_anything_ran_restarts_in_place() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let inner = log.clone();
        let agent = world
            .spawn(
                "a",
                move |me| {
                    let player = Player::new(me, &inner);
                    if me.generation == 0 {
                        inner.add("built");
                    }
                    player
                },
                permanent(),
            )
            .await;
        // Comes before the first poll of what serves the inbox.
        agent.address().do_send(Do::Panic);
        agent.tell(Do::Note(1)).unwrap();
        world.settled().await;
        assert_eq!(log.text(), "built +0 +1 1:1");
    });
}

#[test]
fn the_rest_of_a_batch_is_handled_by_the_fresh_instance() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let (a, b) =
            (world.actor("a", &log, permanent()).await, world.actor("b", &Log::default(), permanent()).await);
        let topic = world.topic("t", [a.handle(), b.handle()]).await;
        for what in [Do::Note(1), Do::Panic, Do::Note(2), Do::Note(3), Do::Panic, Do::Note(4)] {
            topic.publish(what).unwrap();
        }
        let counts = world.settled().await;
        assert_eq!(log.text(), "+0 0:1 +1 1:2 1:3 +2 2:4");
        assert_eq!((topic.ledger().failed, topic.ledger().delivered), (4, 8));
        assert_eq!(counts.sent, 12);
        assert_eq!(b.status().generation, 2);
    });
}

#[test]
fn who_asked_the_agent_that_panicked_is_told() {
    paused(async {
        let world = World::here().await;
        let agent = world.actor("a", &Log::default(), permanent()).await;
        assert_eq!(agent.ask(Do::Panic).await, Err(AskError::Undelivered(Reason::Panicked)));
        assert_eq!(agent.ask(Do::Note(3)).await, Ok(3));
    });
}

/// Breaks in the place and the generations it is made for.
struct Fragile {
    me: Me,
    log: Log,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Started(u32),
    StartedAfterStop,
    StartedWait,
    StartedWaitThenWait,
    Restarting,
    Drop,
    StoppingPanics,
    StoppedPanics,
    NeverStops,
}

impl Actor for Fragile {
    type Context = Context<Self>;
    fn started(&mut self, context: &mut Context<Self>) {
        let generation = self.me.generation;
        self.log.add(format!("+{generation}"));
        match self.place {
            Place::Started(until) if generation < until => panic!("in started"),
            Place::StartedAfterStop if generation == 0 => {
                context.stop();
                panic!("in started");
            }
            Place::StartedWait if generation == 0 => {
                context.wait(async { panic!("in wait") }.into_actor(self));
            }
            Place::StartedWaitThenWait if generation == 0 => {
                context.wait(futures_util::future::pending::<()>().into_actor(self));
                context.wait(async { panic!("in wait") }.into_actor(self));
            }
            _ => {}
        }
    }
    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        assert!(self.place != Place::StoppingPanics, "in stopping");
        if self.place == Place::NeverStops { Running::Continue } else { Running::Stop }
    }
    fn stopped(&mut self, _: &mut Context<Self>) {
        assert!(self.place != Place::StoppedPanics, "in stopped");
    }
}
impl Supervised for Fragile {
    fn restarting(&mut self, _: &mut Context<Self>) {
        assert!(self.place != Place::Restarting || self.me.generation != 1, "in restarting");
    }
}
impl Drop for Fragile {
    fn drop(&mut self) {
        self.log.add(format!("~{}", self.me.generation));
        let breaks = self.place == Place::Drop && self.me.generation == 0 && !std::thread::panicking();
        assert!(!breaks, "in drop");
    }
}
impl Handler<Do> for Fragile {
    type Result = u32;
    fn handle(&mut self, what: Do, context: &mut Context<Self>) -> u32 {
        match what {
            Do::Note(number) => {
                self.log.add(format!("{}:{number}", self.me.generation));
                number
            }
            Do::Stop => {
                context.stop();
                0
            }
            _ => panic!("told to"),
        }
    }
}
impl Agent for Fragile {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Do>()
    }
}

async fn fragile(world: &World, log: &Log, place: Place) -> phalanx_actors::inbox::AgentRef<Fragile> {
    let log = log.clone();
    let make = move |me: &Me| Fragile { me: me.clone(), log: log.clone(), place };
    world.spawn("f", make, permanent()).await
}

#[test]
fn a_panic_in_started_restarts_until_one_stands_each_started_once() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = fragile(&world, &log, Place::Started(3)).await;
        let address = agent.address();
        agent.tell(Do::Note(1)).unwrap();
        world.settled().await;
        assert_eq!(log.text(), "+0 ~0 +1 ~1 +2 ~2 +3 3:1");
        assert!(address.connected());
        assert_eq!(agent.status().generation, 3);
    });
}

#[test]
fn a_first_started_that_leaves_a_broken_wait_or_a_stop_behind_is_restarted_too() {
    for place in [Place::StartedWait, Place::StartedWaitThenWait, Place::StartedAfterStop] {
        paused(async {
            let world = World::here().await;
            let log = Log::default();
            let agent = fragile(&world, &log, place).await;
            agent.tell(Do::Note(1)).unwrap();
            world.settled().await;
            assert_eq!(log.text(), "+0 ~0 +1 1:1", "{place:?}");
            assert_eq!(agent.address().send(Do::Note(2)).await.unwrap(), 2);
            agent.tell(Do::Panic).unwrap();
            agent.tell(Do::Note(3)).unwrap();
            world.settled().await;
            assert_eq!(log.text(), "1:2 ~1 +2 2:3", "{place:?}");
        });
    }
}

#[test]
fn a_fault_strikes_an_agent_that_waits_and_what_it_holds_is_handled_by_the_next() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = {
            let log = log.clone();
            world.spawn("p", move |me: &Me| Player::new(me, &log), permanent()).await
        };
        agent.tell(Do::Pause(u64::MAX)).unwrap();
        agent.tell(Do::Note(1)).unwrap();
        turn().await;
        assert_eq!(log.text(), "+0");
        agent.handle().inject_panic("a fault");
        turn().await;
        assert_eq!(log.text(), "+1 1:1");
    });
}

#[test]
fn a_panic_in_restarting_is_followed_by_the_next_instance() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = fragile(&world, &log, Place::Restarting).await;
        agent.tell(Do::Panic).unwrap();
        agent.tell(Do::Note(1)).unwrap();
        world.settled().await;
        assert_eq!(log.text(), "+0 ~0 ~1 +2 2:1");
    });
}

#[test]
fn a_panic_in_the_destructor_of_the_old_instance_changes_nothing() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = fragile(&world, &log, Place::Drop).await;
        agent.tell(Do::Panic).unwrap();
        agent.tell(Do::Note(1)).unwrap();
        world.settled().await;
        assert_eq!(log.text(), "+0 ~0 +1 1:1");
    });
}

#[test]
fn a_panic_in_stopping_or_stopped_still_ends_the_agent() {
    for place in [Place::StoppingPanics, Place::StoppedPanics] {
        paused(async {
            let world = World::here().await;
            let log = Log::default();
            let agent = fragile(&world, &log, place).await;
            turn().await;
            agent.kill();
            turn().await;
            assert!(agent.handle().has_ended(), "{place:?}");
            assert_eq!(log.text(), "+0 ~0", "{place:?}");
        });
    }
}

#[test]
fn an_agent_that_refuses_to_stop_is_asked_once_and_killed_all_the_same() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = fragile(&world, &log, Place::NeverStops).await;
        agent.tell(Do::Note(1)).unwrap();
        world.settled().await;
        agent.stop();
        turn().await;
        assert!(!agent.handle().has_ended() && !agent.handle().is_open());
        assert_eq!(log.text(), "+0 0:1");
        agent.address().do_send(Do::Note(2));
        agent.kill();
        turn().await;
        assert!(agent.handle().has_ended());
        assert_eq!(log.text(), "~0", "a killed agent is handed nothing more");
    });
}

#[test]
fn an_agent_that_is_killed_before_it_ran_is_never_started() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = fragile(&world, &log, Place::Started(0)).await;
        if log.take().is_empty() {
            agent.kill();
            turn().await;
            assert_eq!(log.text(), "~0");
        }
    });
}

#[test]
fn a_factory_that_panics_is_tried_again_and_takes_no_generation() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let (inner, calls) = (log.clone(), Arc::new(AtomicU32::new(0)));
        let count = calls.clone();
        let factory = move |me: &Me| {
            let call = count.fetch_add(1, Ordering::Relaxed);
            assert!(!(1..4).contains(&call), "the factory breaks");
            Player::new(me, &inner)
        };
        let agent = world.spawn("a", factory, permanent()).await;
        agent.tell(Do::Panic).unwrap();
        agent.tell(Do::Note(1)).unwrap();
        world.settled().await;
        assert_eq!(log.text(), "+0 +1 1:1");
        assert_eq!(calls.load(Ordering::Relaxed), 5);
    });
}

#[test]
fn an_agent_that_always_breaks_at_once_does_not_stop_its_neighbours() {
    paused(async {
        let world = World::here().await;
        let _broken = fragile(&world, &Log::default(), Place::Started(u32::MAX)).await;
        let neighbour = world.actor("b", &Log::default(), SpawnOptions::default()).await;
        assert_eq!(neighbour.ask(Do::Note(1)).await, Ok(1));
    });
}
