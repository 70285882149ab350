//! Routes close when nobody publishes on them any more, wherever their last publisher is dropped; the ledger stays exact.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use phalanx_actors::{
    inbox::{Counts, OverflowPolicy},
    router::{ConfirmOptions, Publisher, SubscribeOptions},
    supervisor::{RestartPolicy, SpawnOptions},
};

use crate::support::*;

fn row(world: &World, name: &str) -> Option<Counts> {
    world.hub().ledgers().into_iter().find(|(row, _)| **row == *name).map(|(_, counts)| counts)
}

#[test]
fn a_route_closes_with_its_last_publisher_and_what_was_published_goes_its_way() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        world.enlist([agent.handle()]).await;
        world.subscribe("t", agent.id()).await;
        let (one, other) = (world.publisher("t"), world.publisher("t"));
        one.publish(Do::Note(1)).unwrap();
        drop(one);
        assert_eq!(world.directory.open_routes(), 1, "another publisher holds it");
        other.publish(Do::Pause(1_000)).unwrap();
        other.clone().publish(Do::Note(2)).unwrap();
        drop(other);
        assert_eq!(world.directory.open_routes(), 0);
        assert_eq!(row(&world, "topic t (Do)").unwrap().pending, 3, "closed, and visible until it is quiet");
        turn().await;
        assert_eq!(world.hub().ledger().pending, 1, "the pause holds the agent up");
        let again = world.publisher("t");
        assert_eq!(again.ledger().delivered, 2, "it is the same row again");
        again.publish(Do::Note(3)).unwrap();
        drop(again);
        tokio::time::advance(Duration::from_secs(2)).await;
        let counts = world.settled().await;
        assert_eq!(
            row(&world, "topic t (Do)").unwrap(),
            Counts { sent: 4, delivered: 4, ..Counts::default() }
        );
        assert_eq!(counts.delivered, 4);
        assert_eq!(log.text(), "+0 0:1 0:2 0:3");
    });
}

#[test]
fn a_route_that_keeps_a_history_stays() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        world.enlist([agent.handle()]).await;
        world.publisher("t").keep_last(2).publish(Do::Note(7)).unwrap();
        drop(world.publisher("forgotten"));
        assert_eq!(world.directory.open_routes(), 1);
        world.subscribe_late("t", agent.id(), 1).await;
        world.settled().await;
        assert_eq!(log.text(), "+0 0:7");
    });
}

#[test]
fn a_confirmed_message_is_tried_again_and_counted_when_its_route_has_closed_meanwhile() {
    paused(async {
        let world = World::here().await;
        let agent = world.actor("a", &Log::default(), tough(RestartPolicy::Permanent)).await;
        let topic = world.topic("t", [agent.handle()]).await;
        let confirmed = topic.confirm_with(Do::Panic, ConfirmOptions::new().retries(2)).unwrap();
        drop(topic);
        assert_eq!(world.directory.open_routes(), 0);
        turn().await;
        assert_eq!(row(&world, "topic t (Do)").unwrap(), Counts { sent: 1, failed: 1, ..Counts::default() });
        // A thousand others close before the next attempt, and its row stays: it is not quiet.
        (0..1_500).for_each(|number| drop(world.publisher(&format!("other.{number}"))));
        assert_eq!(world.hub().ledgers().len(), 1_003);
        let receipt = confirmed.await;
        assert_eq!(receipt.rows().map(|row| row.attempts).collect::<Vec<_>>(), [3]);
        assert_eq!(row(&world, "topic t (Do)").unwrap(), Counts { sent: 3, failed: 3, ..Counts::default() });
        drop(receipt);
        assert!(row(&world, "topic t (Do)").is_none(), "it was the first to close, and is folded");
        assert_eq!(world.settled().await.failed, 3);
    });
}

/// Publishers that wait to be dropped somewhere.
type Cell = Arc<Mutex<Option<Publisher<Do>>>>;

fn cell(publisher: Publisher<Do>) -> Cell {
    Arc::new(Mutex::new(Some(publisher)))
}

#[test]
fn the_last_publisher_may_be_dropped_in_a_predicate_also_while_the_tables_are_held() {
    paused(async {
        let world = World::here().await;
        let agent = world.actor("a", &Log::default(), SpawnOptions::default()).await;
        world.enlist([agent.handle()]).await;
        let topic = world.publisher("t").keep_last(1);
        topic.publish(Do::Note(1)).unwrap();
        let (first, second) = (cell(world.publisher("one")), cell(world.publisher("two")));
        assert_eq!(world.directory.open_routes(), 3);
        // Asked about the replay while the tables are held, and then about a publication while the history is.
        let publishers = [first.clone(), second.clone()];
        let next = AtomicUsize::new(0);
        let drops = move |_: &Do| {
            let at = next.fetch_add(1, Ordering::SeqCst);
            publishers.get(at).is_none_or(|cell| cell.lock().unwrap().take().is_some())
        };
        world.subscribe_with("t", agent.id(), SubscribeOptions::new().replay(1).only(drops)).await;
        assert!(first.lock().unwrap().is_none());
        assert_eq!(world.directory.open_routes(), 2, "closed as soon as the tables were free");
        assert_eq!(topic.publish(Do::Note(2)).unwrap().recipients, 1);
        assert!(second.lock().unwrap().is_none());
        assert_eq!(world.directory.open_routes(), 1);
        assert_eq!(world.settled().await.delivered, 2);
        world.directory.verify().unwrap();
    });
}

/// Uses the tables when it is dropped.
struct Last {
    world: phalanx_actors::router::Directory,
    publisher: Cell,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Last {
    fn drop(&mut self) {
        assert!(self.world.agent(&name("a")).is_some() || self.world.agent(&name("b")).is_some());
        drop(self.publisher.lock().unwrap().take());
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_last_publisher_may_be_dropped_in_a_destructor_that_the_router_runs() {
    paused(async {
        let world = World::here().await;
        let a = world.actor("a", &Log::default(), SpawnOptions::default()).await;
        let b = world.actor("b", &Log::default(), SpawnOptions::default()).await;
        world.enlist([a.handle(), b.handle()]).await;
        let dropped = Arc::new(AtomicUsize::new(0));
        for (filter, agent) in [("x", &a), ("y.>", &a), ("z", &b)] {
            let publisher = cell(world.publisher(&format!("of.{}", filter.len())));
            let last = Last { world: world.directory.clone(), publisher, dropped: dropped.clone() };
            let test = move |_: &Do| last.dropped.load(Ordering::SeqCst) < 99;
            world.subscribe_with(filter, agent.id(), SubscribeOptions::new().only(test)).await;
        }
        let heard = world.publisher("x");
        assert_eq!((heard.publish(Do::Note(1)).unwrap().recipients, world.directory.open_routes()), (1, 3));
        world.unsubscribe("x", a.id()).await;
        assert_eq!(dropped.load(Ordering::SeqCst), 1, "by the end of the subscription");
        world.remove(a.id()).await;
        assert_eq!(dropped.load(Ordering::SeqCst), 2, "by the end of the agent");
        world.unsubscribe("z", b.id()).await;
        assert_eq!(dropped.load(Ordering::SeqCst), 3);
        assert_eq!(world.directory.open_routes(), 1, "that of x");
        world.directory.verify().unwrap();
    });
}

#[test]
fn publishers_dropped_on_threads_while_the_tables_change_close_their_routes() {
    threaded(async {
        let world = World::two().await;
        let agent = world.actor("a", &Log::default(), SpawnOptions::default()).await;
        world.enlist([agent.handle()]).await;
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let directory = world.directory.clone();
                std::thread::spawn(move || {
                    for round in 0..2_000 {
                        // Threads meet on the same names.
                        let topic =
                            phalanx_actors::agent::TopicName::new(format!("t.{}", round % 7)).unwrap();
                        let selector = phalanx_actors::router::Selector::Topic(topic);
                        let publisher: Publisher<Do> = directory.publisher(&selector);
                        let clone = publisher.clone();
                        drop(publisher);
                        if thread % 2 == 0 {
                            clone.publish(Do::Note(round)).unwrap();
                        }
                    }
                })
            })
            .collect();
        for round in 0..500 {
            world.subscribe("t.*", agent.id()).await;
            if round % 2 == 0 {
                world.unsubscribe("t.*", agent.id()).await;
            } else {
                world.remove(agent.id()).await;
                world.enlist([agent.handle()]).await;
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(world.directory.open_routes(), 0);
        world.directory.verify().unwrap();
        let counts = world.settled().await;
        assert_eq!(counts.sent, counts.delivered + counts.rejected);
        world.arbiters.join();
    });
}

#[test]
fn the_ledger_is_exact_whenever_it_is_read_while_routes_open_close_and_are_folded() {
    const THREADS: u64 = 3;
    const ROUNDS: u64 = 1_500;
    threaded(async {
        let world = World::two().await;
        let agents = [
            world.actor("a", &Log::default(), inbox(1 << 20, OverflowPolicy::Reject)).await,
            world.actor("b", &Log::default(), inbox(4, OverflowPolicy::Reject)).await,
        ];
        world.enlist(agents.iter().map(phalanx_actors::inbox::AgentRef::handle)).await;
        for agent in &agents {
            world.subscribe(">", agent.id()).await;
        }
        // How many deliveries were sent for certain.
        let (sent, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (hub, certain, until) = (world.hub().clone(), sent.clone(), done.clone());
        let reading = std::thread::spawn(move || {
            let (mut last, mut readings) = (Counts::default(), 0_u64);
            while !until.load(Ordering::Acquire) {
                let before = certain.load(Ordering::Acquire);
                let now = hub.ledger();
                assert!(now.balances() && now.sent >= before, "{now:?} after {before} were sent");
                let columns = |counts: Counts| [counts.sent, counts.delivered, counts.rejected];
                let grows = columns(last).into_iter().zip(columns(now)).all(|(last, now)| last <= now);
                assert!(grows, "{last:?}, then {now:?}");
                let rows = hub.ledgers().into_iter().fold(Counts::default(), |sum, (_, row)| sum.plus(row));
                assert!(rows.sent >= now.sent && rows.balances(), "{now:?}, then {rows:?}");
                (last, readings) = (now, readings + 1);
            }
            readings
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (directory, sent, hub) = (world.directory.clone(), sent.clone(), world.hub().clone());
                std::thread::spawn(move || {
                    for round in 0..ROUNDS {
                        // Some names come again while their rows are there, most never.
                        let at = if round % 3 == 0 { round % 30 } else { round * THREADS + thread };
                        let topic = phalanx_actors::agent::TopicName::new(format!("t.{at}")).unwrap();
                        let selector = phalanx_actors::router::Selector::Topic(topic);
                        let publisher: Publisher<Do> = directory.publisher(&selector);
                        let recipients = publisher.publish(Do::Note(0)).unwrap().recipients;
                        sent.fetch_add(recipients as u64, Ordering::AcqRel);
                        assert!(publisher.ledger().sent >= recipients as u64);
                        drop(publisher);
                        if round % 100 == 0 {
                            assert!(hub.reason(phalanx_actors::agent::Reason::Full) <= hub.ledger().rejected);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let counts = world.settled().await;
        done.store(true, Ordering::Release);
        assert!(reading.join().unwrap() > 0);
        assert_eq!(counts.sent, 2 * THREADS * ROUNDS);
        assert_eq!(counts.rejected, world.reason(phalanx_actors::agent::Reason::Full));
        let rows = world.hub().ledgers();
        assert_eq!((rows.len(), &*rows.last().unwrap().0), (1_002, "closed routes"));
        world.arbiters.join();
    });
}
