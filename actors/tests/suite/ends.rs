//! How agents end: policies, intensity, back-off, stop and kill; and what is left of them.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use phalanx_actors::{
    agent::{Agent, AskError, Card, ExitReason, Lifecycle, LifecycleChange, Me, Reason},
    inbox::{AgentHandle, AgentRef, HubConfig, OverflowPolicy, Stopped},
    router::ArbitersConfig,
    supervisor::{Backoff, Intensity, RestartPolicy, SpawnOptions, Supervision, Watches},
};

use crate::support::*;

#[test]
fn each_policy_follows_each_end_as_it_says() {
    let cases = [
        (RestartPolicy::Permanent, Do::Stop, true),
        (RestartPolicy::Permanent, Do::Panic, true),
        (RestartPolicy::Transient, Do::Stop, false),
        (RestartPolicy::Transient, Do::Panic, true),
        (RestartPolicy::Temporary, Do::Stop, false),
        (RestartPolicy::Temporary, Do::Panic, false),
    ];
    for (policy, end, again) in cases {
        paused(async {
            let world = World::here().await;
            let log = Log::default();
            let agent = world.actor("a", &log, tough(policy)).await;
            agent.tell(end.clone()).unwrap();
            agent.tell(Do::Note(1)).unwrap();
            let counts = world.settled().await;
            turn().await;
            let seen = log.text();
            assert_eq!(seen.contains("+1 1:1"), again, "{policy:?} {end:?}: {seen}");
            assert_eq!(agent.handle().has_ended(), !again, "{policy:?} {end:?}");
            assert_eq!(world.reason(Reason::Stopped), u64::from(!again), "{policy:?} {end:?}");
            assert_eq!(counts.sent, 2);
        });
    }
}

#[test]
fn stop_and_kill_end_an_agent_whatever_its_policy() {
    for policy in [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary] {
        paused(async {
            let world = World::here().await;
            let log = Log::default();
            let agent = world.actor("a", &log, tough(policy)).await;
            agent.tell(Do::Note(1)).unwrap();
            agent.stop();
            assert_eq!(agent.tell(Do::Note(2)).unwrap_err().reason, Reason::Closed);
            world.settled().await;
            turn().await;
            assert_eq!(log.text(), "+0 0:1 -0", "{policy:?}");
            let agent = world.actor("b", &log, tough(policy)).await;
            turn().await;
            agent.tell(Do::Note(1)).unwrap();
            agent.kill();
            let counts = world.settled().await;
            assert_eq!(log.text(), "+0 -0", "{policy:?}");
            assert_eq!((counts.delivered, counts.failed, counts.rejected), (1, 1, 1));
        });
    }
}

#[test]
fn too_many_restarts_end_the_agent_and_account_for_its_inbox() {
    paused(async {
        let world = World::here().await;
        let ends: Arc<Mutex<Vec<LifecycleChange>>> = Arc::default();
        let seen = ends.clone();
        world
            .hub()
            .observe_with(vec![Arc::new(move |event| seen.lock().unwrap().push(event.change.clone()))]);
        let intensity = Intensity { restarts: 2, within: Duration::from_secs(5) };
        let supervision = Supervision { intensity, backoff: Backoff::NONE, ..Supervision::default() };
        let agent =
            world.actor("a", &Log::default(), SpawnOptions { supervision, ..SpawnOptions::default() }).await;
        for what in [Do::Panic, Do::Panic, Do::Panic, Do::Note(1), Do::Note(2)] {
            agent.tell(what).unwrap();
        }
        world.settled().await;
        turn().await;
        assert_eq!((world.reason(Reason::Panicked), world.reason(Reason::Stopped)), (3, 2));
        let last = ends.lock().unwrap().last().cloned();
        let Some(LifecycleChange::Terminated(ExitReason::Escalated(why))) = last else { panic!("{last:?}") };
        assert_eq!(why, "a needed more than 2 restarts within 5s");
        assert_eq!(agent.status().occupied, 0);
    });
}

#[test]
fn back_off_takes_as_long_as_its_function_says() {
    paused(async {
        let world = World::here().await;
        let backoff = Backoff { initial: Duration::from_millis(100), ..Backoff::default() };
        let intensity = Intensity { restarts: 10, within: Duration::from_secs(60) };
        let supervision = Supervision { policy: RestartPolicy::Transient, intensity, backoff };
        let agent =
            world.actor("a", &Log::default(), SpawnOptions { supervision, ..SpawnOptions::default() }).await;
        for nth in 1..=5 {
            agent.tell(Do::Panic).unwrap();
            let began = tokio::time::Instant::now();
            assert_eq!(agent.ask(Do::Note(nth)).await, Ok(nth));
            let (took, said) = (began.elapsed(), backoff.delay(nth, 7, "a", nth));
            // tokio's timers round up to the next millisecond.
            assert!(took >= said && took <= said + Duration::from_millis(2), "{nth}: {took:?} for {said:?}");
        }
    });
}

#[test]
fn a_kill_during_back_off_ends_the_agent_at_once() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        agent.tell(Do::Panic).unwrap();
        agent.tell(Do::Note(1)).unwrap();
        turn().await;
        let began = tokio::time::Instant::now();
        agent.kill();
        let counts = world.settled().await;
        assert_eq!((began.elapsed(), counts.failed), (Duration::ZERO, 2));
        assert!(agent.handle().has_ended());
    });
}

#[test]
fn a_kill_by_the_agent_itself_leaves_the_rest_of_its_turn_unhandled() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        let victim = agent.clone();
        world.hub().dead_letters().subscribe(move |letter| {
            // Runs inside the victim's turn.
            if letter.reason == Reason::Expired {
                victim.kill();
            }
        });
        let overdue = phalanx_actors::inbox::SendOptions::new().ttl(Duration::from_millis(1));
        turn().await;
        agent.tell_with(Do::Note(0), overdue).unwrap();
        for number in 1..100 {
            agent.tell(Do::Note(number)).unwrap();
        }
        tokio::time::advance(Duration::from_millis(5)).await;
        let counts = world.settled().await;
        assert_eq!(counts.expired, 1);
        assert!(counts.failed > 0, "{counts:?}");
    });
}

#[test]
fn a_pause_keeps_messages_and_idle_does_not_wait_for_it() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        agent.tell(Do::Pause(60_000)).unwrap();
        let began = tokio::time::Instant::now();
        world.settled().await;
        assert_eq!(began.elapsed(), Duration::ZERO, "nothing was pending");
        agent.tell(Do::Note(1)).unwrap();
        world.settled().await;
        assert_eq!(began.elapsed().as_secs(), 60);
        assert_eq!(log.text(), "+0 0:1");
    });
}

#[test]
fn what_was_published_before_a_stop_is_handled_wherever_it_was() {
    for arbiters in [ArbitersConfig::Here, ArbitersConfig::Threads(2)] {
        threaded(async {
            let world = World::start(arbiters, HubConfig::default()).await;
            let log = Log::default();
            let agent = world.actor("a", &log, SpawnOptions::default()).await;
            let topic = world.topic("t", [agent.handle()]).await;
            for number in 0..100 {
                assert_eq!(topic.publish(Do::Note(2 * number)).unwrap().recipients, 1);
                agent.tell(Do::Note(2 * number + 1)).unwrap();
            }
            assert_eq!(agent.stop_within(Duration::from_secs(5)).await, Stopped::Drained);
            topic.publish(Do::Note(1_000)).unwrap();
            let counts = world.settled().await;
            assert_eq!((counts.delivered, counts.rejected), (200, 1), "only the last came too late");
            let heard = log.take();
            assert_eq!((heard.len(), heard.last().unwrap().as_str()), (202, "-0"));
            world.arbiters.join();
        });
    }
}

#[test]
fn stop_from_another_thread_overtakes_nothing_that_was_accepted() {
    threaded(async {
        let world = World::two().await;
        for round in 0..200 {
            let agent = world.actor(&format!("a{round}"), &Log::default(), on(round % 2)).await;
            for number in 0..20 {
                agent.tell(Do::Note(number)).unwrap();
            }
            agent.stop();
        }
        let counts = world.settled().await;
        assert_eq!((counts.delivered, counts.failed), (4_000, 0));
        world.arbiters.join();
    });
}

#[test]
fn who_asked_an_agent_that_was_stopped_first_is_told_so() {
    paused(async {
        let world = World::here().await;
        let agent = world.actor("a", &Log::default(), inbox(8, OverflowPolicy::Reject)).await;
        agent.tell(Do::Pause(1_000)).unwrap();
        let asking = agent.ask(Do::Note(1)).answer();
        let kill = async {
            turn().await;
            agent.kill();
        };
        let (answer, ()) = tokio::join!(asking, kill);
        assert_eq!(answer, Err(AskError::Undelivered(Reason::Stopped)));
    });
}

#[test]
fn nothing_is_left_of_a_terminated_agent_but_what_others_hold() {
    paused(async {
        let world = World::here().await;
        for (round, end) in [Do::Stop, Do::Panic, Do::Pause(5)].into_iter().enumerate() {
            let held = Arc::new(());
            let weak: Weak<()> = Arc::downgrade(&held);
            let options = tough(RestartPolicy::Temporary);
            let factory = move |me: &Me| {
                assert_eq!(Arc::strong_count(&held), 1);
                Player::new(me, &Log::default())
            };
            let agent = world.spawn(&format!("a{round}"), factory, options).await;
            agent.tell(end).unwrap();
            agent.tell(Do::Note(1)).unwrap();
            turn().await;
            agent.kill();
            world.settled().await;
            turn().await;
            assert!(weak.upgrade().is_none(), "the keeper and its factory are gone");
        }
    });
}

#[test]
fn an_agent_that_is_stopped_with_a_deadline_handles_what_it_holds_or_is_killed() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        agent.tell(Do::Pause(500)).unwrap();
        agent.tell(Do::Note(1)).unwrap();
        assert_eq!(agent.stop_within(Duration::from_secs(1)).await, Stopped::Drained);
        assert!(agent.handle().has_ended());
        assert_eq!(log.text(), "+0 0:1 -0");

        let agent = world.actor("b", &log, SpawnOptions::default()).await;
        agent.tell(Do::Pause(60_000)).unwrap();
        agent.tell(Do::Note(1)).unwrap();
        let before = world.hub().now();
        assert_eq!(agent.stop_within(Duration::from_secs(1)).await, Stopped::Killed);
        assert_eq!(world.hub().now().since(before).as_secs(), 1, "on the host's clock");
        let counts = world.hub().ledger();
        assert_eq!(
            (counts.pending, counts.failed),
            (0, 1),
            "what it held is accounted for when this answers"
        );
        assert_eq!(log.text(), "+0 -0");
        assert_eq!(agent.stop_within(Duration::ZERO).await, Stopped::Drained, "it is no more already");
    });
}

/// Blocks its thread until the other end is dropped.
struct Blocker(Arc<Mutex<std::sync::mpsc::Receiver<()>>>);
impl Actor for Blocker {
    type Context = Context<Self>;
}
impl Supervised for Blocker {}
impl Handler<Do> for Blocker {
    type Result = u32;
    fn handle(&mut self, _: Do, _: &mut Context<Self>) -> u32 {
        u32::from(self.0.lock().unwrap().recv().is_ok())
    }
}
impl Agent for Blocker {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Do>()
    }
}

#[test]
fn an_agent_that_blocks_its_thread_is_reported_as_stuck_until_it_lets_go() {
    threaded(async {
        let world = World::two().await;
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let agent = world.spawn("a", move |_| Blocker(held.clone()), on(1)).await;
        agent.tell(Do::Note(1)).unwrap();
        assert_eq!(agent.stop_within(Duration::from_millis(20)).await, Stopped::Stuck);
        assert!(!agent.handle().has_ended());
        assert_eq!(world.hub().ledger().pending, 1, "what it holds is not forgotten");
        drop(release);
        agent.handle().ended().await;
        assert_eq!(world.settled().await.sent, 1);
    });
}

#[test]
fn whoever_watches_an_agent_while_it_ends_is_told_of_its_end_once() {
    threaded(async {
        let world = World::two().await;
        let watches = Watches::default();
        let observer = watches.clone();
        world.hub().observe_with(vec![Arc::new(move |change: &Lifecycle| observer.observe(change))]);
        let ids = (0..4_000).map(|number| name(&format!("a{number}"))).collect();
        let make = |me: &Me| Player::new(me, &Log::default());
        let agents = world.arbiters.spawn_many(ids, make, SpawnOptions::default()).await.unwrap();
        let told: Arc<Vec<AtomicU32>> = Arc::new((0..agents.len()).map(|_| AtomicU32::new(0)).collect());
        let victims: Vec<_> = agents.iter().map(AgentRef::handle).collect();
        let killer = std::thread::spawn(move || victims.iter().for_each(AgentHandle::kill));
        for (at, agent) in agents.iter().enumerate() {
            for _ in 0..4 {
                let told = told.clone();
                watches.notify(&agent.handle(), move |_| _ = told[at].fetch_add(1, Ordering::SeqCst));
            }
        }
        killer.join().unwrap();
        let all = || told.iter().all(|told| told.load(Ordering::SeqCst) == 4);
        for _ in 0..1_000 {
            if all() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(all());
        world.arbiters.join();
    });
}
