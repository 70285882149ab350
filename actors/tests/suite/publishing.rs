//! publish: to whom a message goes, and what becomes of it.

use phalanx_actors::{
    agent::{AgentId, Reason, TopicName},
    inbox::OverflowPolicy,
    router::Selector,
    supervisor::SpawnOptions,
};

use crate::support::*;

#[test]
fn a_message_goes_to_those_who_are_on_the_route_when_it_is_published() {
    paused(async {
        let world = World::here().await;
        let (one, two) = (Log::default(), Log::default());
        let a = world.actor("a", &one, SpawnOptions::default()).await;
        let b = world.actor("b", &two, SpawnOptions::default()).await;
        let topic = world.topic("t", [a.handle()]).await;
        assert_eq!(topic.publish(Do::Note(1)).unwrap().recipients, 1);
        world.enlist([b.handle()]).await;
        world.subscribe("t", b.id()).await;
        assert_eq!(topic.publish(Do::Note(2)).unwrap().recipients, 2);
        world.unsubscribe("t", a.id()).await;
        assert_eq!(topic.publish(Do::Note(3)).unwrap().recipients, 1);
        world.remove(b.id()).await;
        assert_eq!(topic.publish(Do::Note(4)).unwrap().recipients, 0);
        world.settled().await;
        assert_eq!((one.text(), two.text()), ("+0 0:1 0:2".to_owned(), "+0 0:2 0:3".to_owned()));
        world.directory.verify().unwrap();
    });
}

#[test]
fn recipients_that_stopped_meanwhile_are_accounted_for_and_wake_who_waits() {
    for arbiters in [1, 2] {
        let test = async move {
            let world = if arbiters == 1 { World::here().await } else { World::two().await };
            let a = world.actor("a", &Log::default(), SpawnOptions::default()).await;
            let b = world.actor("b", &Log::default(), SpawnOptions::default()).await;
            let topic = world.topic("t", [a.handle(), b.handle()]).await;
            a.kill();
            topic.publish(Do::Note(1)).unwrap();
            let counts = world.settled().await;
            assert_eq!((counts.rejected, counts.delivered), (1, 1));
            b.kill();
            topic.publish(Do::Note(1)).unwrap();
            world.settled().await;
            assert_eq!(world.reason(Reason::Closed), 3);
            world.arbiters.join();
        };
        if arbiters == 1 { paused(test) } else { threaded(test) }
    }
}

#[test]
fn ten_thousand_agents_on_two_arbiters_each_get_every_message() {
    threaded(async {
        let world = World::two().await;
        let log = Log::default();
        let ids: Vec<AgentId> = (0..10_000).map(|i| name(&format!("a/{i}"))).collect();
        let agents = world
            .arbiters
            .spawn_many(ids, move |me| Player::new(me, &log), SpawnOptions::default())
            .await
            .unwrap();
        let topic = world.topic("t", agents.iter().map(phalanx_actors::inbox::AgentRef::handle)).await;
        for number in 0..20 {
            assert_eq!(topic.publish(Do::Note(number)).unwrap().recipients, 10_000);
        }
        let counts = world.settled().await;
        assert_eq!((counts.delivered, topic.ledger().delivered), (200_000, 200_000));
        world.arbiters.join();
    });
}

#[test]
fn spawning_many_is_all_or_none() {
    threaded(async {
        let world = World::two().await;
        let log = Log::default();
        let ids: Vec<AgentId> = (0..1_200).map(|i| name(&format!("a/{i}"))).collect();
        let weak = std::sync::Arc::new(());
        let held = std::sync::Arc::downgrade(&weak);
        let factory = move |me: &phalanx_actors::agent::Me| {
            assert_eq!(std::sync::Arc::strong_count(&weak), 1);
            assert!(me.id != name("a/600"), "this one cannot be built");
            Player::new(me, &log)
        };
        let error = world.arbiters.spawn_many(ids, factory, SpawnOptions::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "agent a/600: its factory panicked: this one cannot be built");
        // Each arbiter has handled its kills when it answers.
        for arbiter in [0, 1, 0, 1] {
            world
                .actor(&format!("probe{arbiter}"), &Log::default(), on(arbiter))
                .await
                .ask(Do::Note(1))
                .await
                .unwrap();
        }
        assert!(held.upgrade().is_none(), "no agent of the failed spawn is left");
        world.arbiters.join();
    });
}

#[derive(Clone)]
struct Bomb;
impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "the message explodes");
    }
}

#[derive(Clone, actix::Message)]
#[rtype(result = "()")]
struct Explosive(Bomb);

struct Sapper;
impl actix::Actor for Sapper {
    type Context = actix::Context<Self>;
}
impl actix::Supervised for Sapper {}
impl actix::Handler<Explosive> for Sapper {
    type Result = ();
    fn handle(&mut self, message: Explosive, _: &mut actix::Context<Self>) {
        std::mem::forget(message);
    }
}
impl phalanx_actors::agent::Agent for Sapper {
    fn card(&self) -> phalanx_actors::agent::Card<Self> {
        phalanx_actors::agent::Card::new().accepts::<Explosive>()
    }
}

#[test]
fn a_message_whose_destructor_panics_harms_neither_dispatcher_nor_ledger() {
    threaded(async {
        let world = World::two().await;
        let mut options = inbox(1, OverflowPolicy::DropOldest);
        options.arbiter = Some(0);
        let agent = world.spawn("s", |_| Sapper, options).await;
        world.enlist([agent.handle()]).await;
        let everyone = world.directory.publisher::<Explosive>(&Selector::Everyone);
        agent.kill();
        for _ in 0..3 {
            // The publisher itself may be the last to hold the message; that panic is its own affair.
            let publish = || everyone.publish(Explosive(Bomb)).unwrap();
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(publish));
            world.hub().idle().await;
        }
        let probe = world.actor("p", &Log::default(), on(0)).await;
        assert_eq!(probe.ask(Do::Note(4)).await, Ok(4), "the dispatcher lives");
        assert_eq!(world.settled().await.rejected, 3);
        world.arbiters.join();
    });
}

#[test]
fn what_nobody_on_a_route_accepts_is_refused_and_what_nobody_listens_to_is_not() {
    paused(async {
        let world = World::here().await;
        let agent = world.actor("a", &Log::default(), SpawnOptions::default()).await;
        world.topic("t", [agent.handle()]).await;
        let topic = Selector::Topic(TopicName::new("t").unwrap());
        let wrong = world.directory.publisher::<Other>(&topic);
        let error = wrong.publish(Other).unwrap_err();
        assert_eq!(error.reason, Reason::NotAccepted);
        assert_eq!(
            error.to_string(),
            "nobody on topic t (Other) accepts a Other: publish what they accept, or add the type to their cards"
        );
        assert!(
            wrong.confirm(Other).unwrap_err().to_string().starts_with("nobody on topic t (Other) accepts")
        );
        assert!(!error.reason.is_transient());
        // Nobody subscribed, or everyone who accepts it is nobody: that is no fault.
        let empty = Selector::Topic(TopicName::new("empty").unwrap());
        assert_eq!(world.directory.publisher::<Other>(&empty).publish(Other).unwrap().recipients, 0);
        let everyone = world.directory.publisher::<Other>(&Selector::Everyone);
        assert_eq!(everyone.publish(Other).unwrap().recipients, 0);
        assert_eq!(world.settled().await.sent, 0);
    });
}

#[derive(Clone, Debug, actix::Message)]
#[rtype(result = "()")]
struct Other;

#[test]
fn a_broadcast_reaches_all_who_accept_the_type_and_nobody_else() {
    paused(async {
        let world = World::here().await;
        let (one, two, reads) = (Log::default(), Log::default(), Log::default());
        let a = world.actor("a", &one, SpawnOptions::default()).await;
        let b = world.actor("b", &two, SpawnOptions::default()).await;
        let log = reads.clone();
        let reader = world.spawn("reader", move |_| Reader(log.clone()), SpawnOptions::default()).await;
        let deaf = world.spawn("deaf", |_| Deaf, SpawnOptions::default()).await;
        world.enlist([a.handle(), b.handle(), reader.handle(), deaf.handle()]).await;
        let everyone = world.directory.publisher::<Do>(&Selector::Everyone);
        assert_eq!(everyone.publish(Do::Note(1)).unwrap().recipients, 3);
        assert_eq!(world.settled().await.delivered, 3);
        assert_eq!((one.text(), two.text()), ("+0 0:1".to_owned(), "+0 0:1".to_owned()));
        assert_eq!(reads.take().len(), 1);
    });
}

/// Accepts nothing.
struct Deaf;

impl actix::Actor for Deaf {
    type Context = actix::Context<Self>;
}
impl actix::Supervised for Deaf {}
impl phalanx_actors::agent::Agent for Deaf {
    fn card(&self) -> phalanx_actors::agent::Card<Self> {
        phalanx_actors::agent::Card::new()
    }
}
