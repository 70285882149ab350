//! What interventions and dead letters see, and what the ledger says of it.

use std::sync::{Arc, Mutex};

use phalanx_actors::{
    agent::{Intervention, Interventions, Objection, Passage, Reason, Verdict},
    inbox::{HubConfig, OverflowPolicy},
    router::ArbitersConfig,
    supervisor::SpawnOptions,
};

use crate::support::*;

/// Objects to 1 and panics over 2 on the way out, to 3 and over 4 on the way in; adds 100 to 5 out, 1,000 to 6 in for
/// agent `a`.
struct Censor;

impl Intervention for Censor {
    fn outbound(&self, passage: &mut Passage<'_>) -> Verdict {
        match passage.message::<Do>() {
            Some(Do::Note(1)) => return Verdict::Drop(Objection::Unauthorised),
            Some(Do::Note(2)) => panic!("out"),
            Some(Do::Note(5)) => assert!(passage.rewrite(Do::Note(105)) && !passage.rewrite("no")),
            _ => {}
        }
        Verdict::Pass
    }

    fn inbound(&self, passage: &mut Passage<'_>) -> Verdict {
        match passage.message::<Do>() {
            Some(Do::Note(3)) => return Verdict::Drop(Objection::OverBudget),
            Some(Do::Note(4)) => panic!("in"),
            Some(Do::Note(6)) if passage.to() == Some(&name("a")) => {
                assert!(passage.rewrite(Do::Note(1_006)));
                assert_eq!(passage.message(), Some(&Do::Note(1_006)));
            }
            _ => {}
        }
        Verdict::Pass
    }
}

#[test]
fn interventions_pass_rewrite_and_drop_both_ways_and_all_is_accounted_for() {
    paused(async {
        let chain = Interventions::new([Arc::new(Censor) as Arc<dyn Intervention>]);
        let world =
            World::start(ArbitersConfig::Here, HubConfig { interventions: chain, ..HubConfig::default() })
                .await;
        let (one, two) = (Log::default(), Log::default());
        let a = world.actor("a", &one, SpawnOptions::default()).await;
        let b = world.actor("b", &two, SpawnOptions::default()).await;
        let topic = world.topic("t", [a.handle(), b.handle()]).await;
        let letters = Arc::new(Mutex::new(Vec::new()));
        let seen = letters.clone();
        let subscription = world.hub().dead_letters().subscribe(move |letter| {
            let message = letter.look(|message: &Do| message.clone());
            seen.lock().unwrap().push((letter.reason, letter.objection.clone(), message));
        });
        for number in [1, 2] {
            assert_eq!(a.tell(Do::Note(number)).unwrap_err().reason, Reason::Intervened);
            let refused = topic.publish(Do::Note(number)).unwrap_err();
            assert!(refused.reason == Reason::Intervened && refused.objection.is_some(), "{refused:?}");
        }
        for number in [3, 4, 5, 6] {
            a.tell(Do::Note(number)).unwrap();
            topic.publish(Do::Note(number)).unwrap();
        }
        let counts = world.settled().await;
        assert_eq!(
            one.text(),
            "+0 0:105 0:1006 0:105 0:1006".replace("0:105 0:1006 0:105 0:1006", "0:105 0:105 0:1006 0:1006")
        );
        assert_eq!(
            two.text(),
            "+0 0:105 0:6",
            "what was rewritten for one recipient is not seen by the other"
        );
        assert_eq!((counts.sent, counts.dropped, counts.delivered), (18, 12, 6));
        assert_eq!((topic.ledger().dropped, a.status().occupied), (8, 0));
        let letters = std::mem::take(&mut *letters.lock().unwrap());
        let broke = || Some(Objection::Other("the intervention panicked".into()));
        for (number, objection) in
            [(1, Some(Objection::Unauthorised)), (2, broke()), (3, Some(Objection::OverBudget)), (4, broke())]
        {
            let letter = (Reason::Intervened, objection, Some(Do::Note(number)));
            let posted = letters.iter().filter(|other| **other == letter).count();
            assert_eq!(posted, 3, "one told, two by the topic: {letter:?} in {letters:?}");
        }
        assert!(world.hub().dead_letters().unsubscribe(subscription));
        assert!(!world.hub().dead_letters().unsubscribe(subscription));
    });
}

#[test]
fn dead_letters_name_reason_and_message_and_their_readers_may_send() {
    paused(async {
        let world = World::here().await;
        let log = Log::default();
        let agent = world.actor("a", &log, inbox(2, OverflowPolicy::DropOldest)).await;
        let reader = world.actor("reader", &log, SpawnOptions::default()).await;
        let (letters, inner, again) = (Log::default(), reader.clone(), agent.clone());
        let seen = letters.clone();
        world.hub().dead_letters().subscribe(move |letter| {
            let number = letter.look(|message: &Do| format!("{message:?}"));
            seen.add(format!("{}:{:?}:{}", letter.to, letter.reason, number.unwrap_or_default()));
            inner.tell(Do::Note(1_000)).unwrap();
            if letter.reason == Reason::Stopped {
                assert_eq!(again.tell(Do::Note(9)).unwrap_err().reason, Reason::Closed);
            }
        });
        world.hub().dead_letters().subscribe(|_| panic!("a bad reader"));
        agent.tell(Do::Pause(10)).unwrap();
        turn().await;
        for number in 0..4 {
            agent.tell(Do::Note(number)).unwrap();
        }
        agent.kill();
        world.settled().await;
        let seen = letters.take();
        assert_eq!(seen[..2], ["a:DroppedOldest:Note(0)", "a:DroppedOldest:Note(1)"]);
        assert!(seen.contains(&"a:Stopped:Note(2)".to_owned()), "{seen:?}");
        assert!(seen.contains(&"a:Closed:".to_owned()), "{seen:?}");
    });
}
