//! Confirmed publications: receipts, retries, deadlines, duplicates.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use phalanx_actors::{
    agent::{Agent, Card, Intervention, Interventions, Objection, Passage, Reason, Verdict},
    inbox::{AgentHandle, HubConfig, OverflowPolicy, SendOptions},
    router::{
        ArbitersConfig, ConfirmError, ConfirmOptions, Confirmation, Decider, Publisher, Receipt, Selector,
        SubscribeOptions,
    },
    supervisor::{Backoff, RestartPolicy, SpawnOptions},
};

use crate::support::*;

/// Answers by a future that takes as long as the message says.
struct Slow(Log);

#[derive(Clone, Message)]
#[rtype(result = "()")]
struct Work {
    takes: Duration,
}

impl Actor for Slow {
    type Context = Context<Self>;
}
impl Supervised for Slow {}
impl Handler<Work> for Slow {
    type Result = ResponseActFuture<Self, ()>;
    fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Self::Result {
        self.0.add("begun");
        Box::pin(tokio::time::sleep(work.takes).into_actor(self).map(|(), this, _| this.0.add("done")))
    }
}
impl Agent for Slow {
    fn card(&self) -> Card<Self> {
        Card::new().accepts::<Work>()
    }
}

fn outcomes(receipt: &Receipt) -> Vec<(String, Confirmation, u16)> {
    receipt.rows().map(|row| (row.agent.to_string(), row.outcome, row.attempts)).collect()
}

/// Timers tick in milliseconds, and each step may take one more.
fn assert_took(receipt: &Receipt, ms: u64) {
    let took = receipt.ended().since(receipt.published());
    let least = Duration::from_millis(ms);
    assert!(took >= least && took <= least + Duration::from_millis(5), "{took:?} instead of {least:?}");
}

async fn players(world: &World, options: &[(&str, SpawnOptions)]) -> (Publisher<Do>, Vec<Log>) {
    let (mut agents, mut logs) = (Vec::new(), Vec::new());
    for (id, options) in options {
        let log = Log::default();
        agents.push(world.actor(id, &log, *options).await.handle());
        logs.push(log);
    }
    (world.topic("t", agents).await, logs)
}

const NO_RETRY: fn() -> ConfirmOptions = || ConfirmOptions::new().retries(0);

#[test]
fn a_receipt_has_one_row_for_each_recipient_once_all_handlers_have_returned() {
    paused(async {
        let world = World::here().await;
        let plain = SpawnOptions::default;
        let (topic, _) = players(&world, &[("a", plain()), ("b", plain()), ("c", plain())]).await;
        let confirmed = topic.confirm(Do::Note(1)).unwrap();
        let id = confirmed.id();
        assert_eq!(confirmed.recipients(), 3);
        assert_eq!(world.directory.message(id).unwrap().ended, None);
        let receipt = confirmed.await;
        assert!(receipt.is_complete());
        assert_eq!((receipt.recipients(), receipt.delivered()), (3, 3));
        assert_eq!(
            outcomes(&receipt),
            ["a", "b", "c"].map(|id| (id.to_owned(), Confirmation::Delivered, 1)).to_vec()
        );
        let status = world.directory.message(id).unwrap();
        assert_eq!((status.recipients, status.delivered, status.attempts), (3, 3, 1));
        assert_eq!(status.ended, Some(receipt.ended()));
        assert_eq!(world.directory.unconfirmed(), 0);
        assert_eq!(world.settled().await.sent, 3);
    });
}

#[test]
fn a_response_by_a_future_is_confirmed_when_the_future_has_ended() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = {
            let log = log.clone();
            world.spawn("slow", move |_| Slow(log.clone()), SpawnOptions::default()).await
        };
        world.enlist([agent.handle()]).await;
        let all = world.directory.publisher::<Work>(&Selector::Everyone);
        let receipt = all.confirm(Work { takes: Duration::from_secs(7) }).unwrap().await;
        assert_eq!(log.text(), "begun done");
        assert_took(&receipt, 7_000);
        assert!(receipt.is_complete());
    });
}

#[test]
fn what_is_refused_is_sent_again_after_a_back_off_to_those_who_refused_it_only() {
    paused(async {
        let world = World::here().await;
        let (topic, logs) =
            players(&world, &[("open", SpawnOptions::default()), ("full", inbox(1, OverflowPolicy::Reject))])
                .await;
        // Its only place is taken for 250 ms.
        world.directory.agent(&name("full")).unwrap().tell(Do::Pause(250)).unwrap();
        turn().await;
        world.directory.agent(&name("full")).unwrap().tell(Do::Note(0)).unwrap();
        let backoff = Backoff { jitter: 0.0, initial: Duration::from_millis(100), ..Backoff::default() };
        let receipt = topic.confirm_with(Do::Note(1), ConfirmOptions::new().backoff(backoff)).unwrap().await;
        assert_eq!(
            outcomes(&receipt),
            [
                ("open".to_owned(), Confirmation::Delivered, 1),
                ("full".to_owned(), Confirmation::Delivered, 3)
            ]
        );
        // At 0, 100 and 300 ms.
        assert_took(&receipt, 300);
        assert_eq!(logs[0].text(), "+0 0:1", "it got it once");
        assert_eq!(logs[1].text(), "+0 0:0 0:1");
        let counts = world.settled().await;
        assert_eq!((counts.delivered, counts.rejected), (4, 2), "each attempt is counted");
    });
}

#[test]
fn retries_end_with_the_last_reason_and_the_number_of_attempts() {
    paused(async {
        let world = World::here().await;
        let (topic, _) = players(&world, &[("full", inbox(1, OverflowPolicy::Reject))]).await;
        let full = world.directory.agent(&name("full")).unwrap();
        full.tell(Do::Pause(3_600_000)).unwrap();
        turn().await;
        full.tell(Do::Note(0)).unwrap();
        let receipt = topic.confirm(Do::Note(1)).unwrap().await;
        assert_eq!(outcomes(&receipt), [("full".to_owned(), Confirmation::Lost(Reason::Full), 4)]);
        assert_eq!(receipt.missed().count(), 1);
        assert!(!receipt.is_complete());
        assert_eq!(world.reason(Reason::Full), 4);
    });
}

#[test]
fn a_panic_is_retried_in_the_next_incarnation_and_a_stopped_agent_is_not() {
    paused(async {
        let world = World::here().await;
        let (topic, logs) =
            players(&world, &[("tough", tough(RestartPolicy::Permanent)), ("gone", SpawnOptions::default())])
                .await;
        let gone = world.directory.agent(&name("gone")).unwrap();
        gone.tell(Do::Pause(60_000)).unwrap();
        turn().await;
        let confirmed = topic.confirm_with(Do::Panic, ConfirmOptions::new().retries(1)).unwrap();
        turn().await;
        gone.kill();
        let receipt = confirmed.await;
        assert_eq!(
            outcomes(&receipt),
            [
                ("tough".to_owned(), Confirmation::Lost(Reason::Panicked), 2),
                ("gone".to_owned(), Confirmation::Lost(Reason::Stopped), 1)
            ]
        );
        assert_eq!(logs[0].text(), "+0 +1 +2");
        world.settled().await;
    });
}

#[test]
fn what_is_late_is_sent_again_and_the_copy_that_comes_second_is_dropped_as_a_duplicate() {
    paused(async {
        let world = World::here().await;
        let (topic, logs) = players(&world, &[("a", SpawnOptions::default())]).await;
        world.directory.agent(&name("a")).unwrap().tell(Do::Pause(5_000)).unwrap();
        let options = ConfirmOptions::new().repeat_after(Duration::from_secs(2));
        let receipt = topic.confirm_with(Do::Note(1), options).unwrap().await;
        assert_eq!(outcomes(&receipt), [("a".to_owned(), Confirmation::Delivered, 3)], "at 0, 2 and 4 s");
        assert_took(&receipt, 5_000);
        let counts = world.settled().await;
        assert_eq!(logs[0].text(), "+0 0:1", "it handled it once");
        assert_eq!((counts.sent, counts.delivered, counts.dropped), (4, 2, 2));
        assert_eq!(world.reason(Reason::Duplicate), 2);
    });
}

#[test]
fn duplicates_are_handled_where_they_are_allowed() {
    paused(async {
        let world = World::here().await;
        let (topic, logs) = players(&world, &[("a", SpawnOptions::default())]).await;
        world.directory.agent(&name("a")).unwrap().tell(Do::Pause(5_000)).unwrap();
        let options = ConfirmOptions::new().repeat_after(Duration::from_secs(2)).allow_duplicates();
        let receipt = topic.confirm_with(Do::Note(1), options).unwrap().await;
        assert!(receipt.is_complete());
        world.settled().await;
        assert_eq!(logs[0].text(), "+0 0:1 0:1 0:1");
    });
}

#[test]
fn what_is_being_handled_is_not_handled_twice_at_once() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = {
            let log = log.clone();
            world.spawn("slow", move |_| Slow(log.clone()), SpawnOptions::default()).await
        };
        world.enlist([agent.handle()]).await;
        let all = world.directory.publisher::<Work>(&Selector::Everyone);
        let options = ConfirmOptions::new().repeat_after(Duration::from_secs(1));
        let receipt = all.confirm_with(Work { takes: Duration::from_secs(9) }, options).unwrap().await;
        assert_eq!(outcomes(&receipt), [("slow".to_owned(), Confirmation::Delivered, 1)]);
        assert_eq!(log.text(), "begun done");
        assert_eq!(world.settled().await.sent, 1);
    });
}

#[test]
fn the_deadline_ends_a_receipt_with_what_was_not_begun_expired_and_what_goes_on_unconfirmed() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let slow = world.spawn("slow", move |_| Slow(log.clone()), SpawnOptions::default()).await;
        world.enlist([slow.handle()]).await;
        let work = world.directory.publisher::<Work>(&Selector::Everyone);
        let ttl = || NO_RETRY().ttl(Duration::from_secs(3));
        let receipt = work.confirm_with(Work { takes: Duration::from_secs(60) }, ttl()).unwrap().await;
        assert_eq!(outcomes(&receipt), [("slow".to_owned(), Confirmation::Unconfirmed, 1)]);
        let (topic, logs) = players(&world, &[("barred", SpawnOptions::default())]).await;
        world.directory.agent(&name("barred")).unwrap().tell(Do::Pause(60_000)).unwrap();
        let receipt = topic.confirm_with(Do::Note(1), ttl()).unwrap().await;
        assert_eq!(outcomes(&receipt), [("barred".to_owned(), Confirmation::Lost(Reason::Expired), 1)]);
        assert_took(&receipt, 3_000);
        let counts = world.settled().await;
        assert_eq!(logs[0].text(), "+0", "it is not handled after its deadline");
        assert_eq!(counts.expired, 1);
    });
}

/// Loses the first so many messages on their way into agents.
struct Lossy(AtomicU32);

impl Intervention for Lossy {
    fn inbound(&self, passage: &mut Passage<'_>) -> Verdict {
        let is_told = passage.message::<Do>().is_some();
        if is_told
            && self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        {
            return Verdict::Drop(Objection::Injected);
        }
        Verdict::Pass
    }
}

#[test]
fn losses_on_the_way_are_made_good_and_the_path_says_who_decided_what() {
    paused(async {
        let links: [Arc<dyn Intervention>; 1] = [Arc::new(Lossy(AtomicU32::new(2)))];
        let hub = HubConfig { seed: 7, interventions: Interventions::new(links) };
        let world = World::start(ArbitersConfig::Here, hub).await;
        let (topic, logs) = players(&world, &[("a", SpawnOptions::default())]).await;
        let receipt = topic.confirm_with(Do::Note(1), ConfirmOptions::new().with_path()).unwrap().await;
        assert_eq!(outcomes(&receipt), [("a".to_owned(), Confirmation::Delivered, 3)]);
        assert_eq!(logs[0].text(), "+0 0:1");
        let deciders: Vec<_> = receipt.path().iter().map(|hop| hop.by).collect();
        let attempt = [Decider::Dispatcher, Decider::Recipient, Decider::Courier, Decider::Courier];
        let last = [Decider::Dispatcher, Decider::Courier];
        let expected = [&[Decider::Publisher][..], &attempt, &attempt, &last].concat();
        assert_eq!(deciders, expected, "{:#?}", receipt.path());
        assert!(receipt.path()[2].what.contains("did not reach a"), "{}", receipt.path()[2]);
        let plain = topic.confirm(Do::Note(2)).unwrap().await;
        assert!(plain.path().is_empty(), "only on request");
    });
}

#[test]
fn many_recipients_on_two_arbiters_with_predicates_confirm_in_batches() {
    threaded(async {
        let world = World::two().await;
        let mut agents = Vec::new();
        for at in 0..40 {
            let agent = world.actor(&format!("agent/{at}"), &Log::default(), on(at % 2)).await;
            world.enlist([agent.handle()]).await;
            // The last ten take even numbers only.
            let even = SubscribeOptions::new()
                .only(move |what: &Do| at < 30 || matches!(what, Do::Note(number) if number % 2 == 0));
            let all = SubscribeOptions::new();
            world.subscribe_with("t", agent.id(), if at < 30 { all } else { even }).await;
            agents.push(agent);
        }
        let topic = world.publisher("t");
        let confirmed: Vec<_> = (0..200).map(|number| topic.confirm(Do::Note(number)).unwrap()).collect();
        for (number, confirmed) in (0..).zip(confirmed) {
            let receipt = confirmed.await;
            assert_eq!(receipt.recipients(), if number % 2 == 0 { 40 } else { 30 });
            assert!(receipt.is_complete(), "{:?}", outcomes(&receipt));
        }
        let counts = world.settled().await;
        assert_eq!(counts.delivered, 100 * 40 + 100 * 30);
    });
}

#[test]
fn nobody_to_confirm_a_closed_courier_and_a_short_deadline_are_told_apart() {
    paused(async {
        let world = World::here().await;
        let empty = world.publisher("empty");
        let error = empty.confirm(Do::Note(1)).unwrap_err();
        assert!(matches!(&error, ConfirmError::Nobody { .. }), "{error}");
        assert_eq!(error.into_message(), Some(Do::Note(1)));
        let (topic, _) = players(&world, &[("a", SpawnOptions::default())]).await;
        world.directory.agent(&name("a")).unwrap().tell(Do::Pause(60_000)).unwrap();
        turn().await;
        let short = SendOptions::new().ttl(Duration::from_secs(1));
        let receipt = topic.confirm_with(Do::Note(1), ConfirmOptions::new().send(short)).unwrap().await;
        // The earlier deadline holds.
        assert_took(&receipt, 1_000);
        let open = topic.confirm(Do::Note(2)).unwrap();
        world.directory.close();
        let receipt = open.await;
        assert_eq!(outcomes(&receipt), [("a".to_owned(), Confirmation::Unconfirmed, 1)]);
        assert!(matches!(topic.confirm(Do::Note(3)), Err(ConfirmError::Closed { .. })));
        world.directory.agents().iter().for_each(AgentHandle::kill);
        world.settled().await;
    });
}
