//! ask: all response types of actix, deadlines, and answers that come too late.

use std::time::Duration;

use actix::{dev::MessageResponse, prelude::*};
use phalanx_actors::{
    agent::{Agent, AskError, Card, Reason},
    inbox::SendOptions,
    supervisor::{RestartPolicy, SpawnOptions},
};

use crate::support::*;

/// Answers after so many milliseconds by one of actix's ways; zero panics at the end instead.
macro_rules! way {
    ($message:ident, $agent:ident, $result:ty, $response:ty, |$this:ident, $ms:ident| $body:expr) => {
        #[derive(Clone)]
        struct $message(u64);
        impl Message for $message {
            type Result = $result;
        }

        struct $agent;
        impl Actor for $agent {
            type Context = Context<Self>;
        }
        impl Supervised for $agent {}
        impl Handler<$message> for $agent {
            type Result = $response;
            fn handle(&mut self, $message($ms): $message, _: &mut Context<Self>) -> Self::Result {
                let $this = self;
                let _ = &$this;
                $body
            }
        }
        impl Agent for $agent {
            fn card(&self) -> Card<Self> {
                Card::new().accepts::<$message>()
            }
        }
    };
}

async fn after(ms: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(ms.max(1))).await;
    assert!(ms > 0, "the response breaks");
    ms
}

way!(Plain, PlainAgent, u64, u64, |_this, ms| ms);
way!(Maybe, MaybeAgent, Option<u64>, Option<u64>, |_this, ms| Some(ms));
way!(Fallible, FallibleAgent, Result<u64, String>, Result<u64, String>, |_this, ms| Ok(ms));
way!(Wrapped, WrappedAgent, u64, MessageResult<Wrapped>, |_this, ms| MessageResult(ms));
way!(Eventual, FutureAgent, u64, ResponseFuture<u64>, |_this, ms| Box::pin(after(ms)));
way!(ActFuture, ActFutureAgent, u64, ResponseActFuture<Self, u64>, |this, ms| Box::pin(after(ms).into_actor(this)));
way!(Atomic, AtomicAgent, u64, AtomicResponse<Self, u64>, |this, ms| AtomicResponse::new(Box::pin(
    after(ms).into_actor(this)
)));
way!(Either, EitherAgent, u64, Response<u64>, |_this, ms| Response::fut(after(ms)));
way!(AtOnce, AtOnceAgent, u64, Response<u64>, |_this, ms| Response::reply(ms));
way!(Mixed, MixedAgent, Result<u64, String>, ActorResponse<Self, Result<u64, String>>, |this, ms| {
    ActorResponse::r#async(after(ms).into_actor(this).map(|ms, _, _| Ok(ms)))
});

/// What one way does: the answer, the time until the message counts as delivered, and what a panic leads to.
async fn goes<A, M>(agent: fn() -> A, message: fn(u64) -> M, answer: M::Result, ms: u64)
where
    A: Agent + Handler<M>,
    M: Message + Clone + Send + Sync + 'static,
    M::Result: Send + PartialEq + std::fmt::Debug,
    <A as Handler<M>>::Result: MessageResponse<A, M>,
{
    let what = std::any::type_name::<M>();
    let world = World::here().await;
    let agent = world.spawn("a", move |_| agent(), tough(RestartPolicy::Permanent)).await;
    assert_eq!(agent.ask(message(50)).await.as_ref(), Ok(&answer), "{what}");
    assert_eq!(world.settled().await.delivered, 1);
    let began = tokio::time::Instant::now();
    agent.tell(message(50)).unwrap();
    turn().await;
    assert_eq!(world.hub().ledger().pending, u64::from(ms > 0), "{what}");
    assert_eq!(agent.status().occupied, u32::from(ms > 0), "{what} holds its place until it ends");
    assert_eq!(world.settled().await.delivered, 2, "{what}");
    // tokio's timers round up to the next millisecond.
    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
    assert!((ms..=ms + 1).contains(&took), "{what}: idle() waits {took} ms for the end of the response");
    if ms > 0 {
        assert_eq!(agent.ask(message(0)).await, Err(AskError::Undelivered(Reason::Panicked)), "{what}");
        let counts = world.settled().await;
        assert_eq!((counts.delivered, counts.failed, agent.status().occupied), (2, 1, 0), "{what}");
        assert_eq!(agent.ask(message(50)).await.as_ref(), Ok(&answer), "{what} goes on after a panic");
        agent.tell(message(50)).unwrap();
        agent.stop();
        let counts = world.settled().await;
        assert_eq!((counts.delivered, counts.failed), (4, 1), "{what}: stop() waits for responses");
        turn().await;
        assert!(agent.handle().has_ended(), "{what}");
    }
}

#[test]
fn every_response_type_answers_and_counts_when_its_future_ends() {
    paused(async {
        goes(|| PlainAgent, Plain, 50, 0).await;
        goes(|| MaybeAgent, Maybe, Some(50), 0).await;
        goes(|| FallibleAgent, Fallible, Ok(50), 0).await;
        goes(|| WrappedAgent, Wrapped, 50, 0).await;
        goes(|| AtOnceAgent, AtOnce, 50, 0).await;
        goes(|| FutureAgent, Eventual, 50, 50).await;
        goes(|| ActFutureAgent, ActFuture, 50, 50).await;
        goes(|| AtomicAgent, Atomic, 50, 50).await;
        goes(|| EitherAgent, Either, 50, 50).await;
        goes(|| MixedAgent, Mixed, Ok(50), 50).await;
    });
}

#[test]
fn a_kill_accounts_for_responses_in_flight_and_tells_who_asked() {
    paused(async {
        let world = World::here().await;
        let agent = world.spawn("a", |_| FutureAgent, SpawnOptions::default()).await;
        let asking = agent.ask(Eventual(1_000)).answer();
        let kill = async {
            turn().await;
            agent.kill();
        };
        let (answer, ()) = tokio::join!(asking, kill);
        assert_eq!(answer, Err(AskError::Undelivered(Reason::Stopped)));
        let counts = world.settled().await;
        assert_eq!((counts.failed, world.reason(Reason::Stopped), agent.status().occupied), (1, 1, 0));
    });
}

#[test]
fn a_deadline_that_passes_before_handling_times_out_and_counts_as_expired() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, SpawnOptions::default()).await;
        agent.tell(Do::Pause(1_000)).unwrap();
        let within = Duration::from_millis(100);
        assert_eq!(agent.ask(Do::Note(1)).within(within).await, Err(AskError::TimedOut(within)));
        let counts = world.settled().await;
        assert_eq!((counts.expired, counts.delivered, world.hub().late_replies()), (1, 1, 0));
        let past = SendOptions::new().deadline(Some(world.hub().now()));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(matches!(agent.ask(Do::Note(2)).with(past).await, Err(AskError::TimedOut(_))));
        world.settled().await;
        assert_eq!(log.text(), "+0", "neither was handled");
    });
}

#[test]
fn a_reply_that_comes_too_late_is_counted_as_delivered_and_as_late() {
    paused(async {
        let world = World::here().await;
        let agent = world.spawn("a", |_| FutureAgent, SpawnOptions::default()).await;
        let within = Duration::from_millis(10);
        assert_eq!(agent.ask(Eventual(1_000)).within(within).await, Err(AskError::TimedOut(within)));
        let counts = world.settled().await;
        assert_eq!((counts.delivered, world.hub().late_replies()), (1, 1));
        let plain = world.spawn("b", |_| PlainAgent, SpawnOptions::default()).await;
        drop(plain.handle().ask_by(Plain(1), SendOptions::new(), world.hub().now()).unwrap());
        assert_eq!((world.settled().await.delivered, world.hub().late_replies()), (2, 2));
    });
}

#[test]
fn agents_of_two_arbiters_ask_each_other_and_threads_ask_both() {
    threaded(async {
        let world = World::two().await;
        let agents =
            [world.actor("a", &Log::default(), on(0)).await, world.actor("b", &Log::default(), on(1)).await];
        for round in 0..500 {
            let handle = agents[1].handle();
            let (a, b) =
                tokio::join!(agents[0].ask(Do::Note(round)).answer(), handle.ask(Do::Note(round)).answer());
            assert_eq!((a, b), (Ok(round), Ok(round)));
        }
        assert_eq!(world.settled().await.delivered, 1_000);
        world.arbiters.join();
    });
}
