use proptest::{prelude::*, strategy::Strategy as Generator};

use super::*;
use crate::{
    agent::Kind,
    registrar::{FAIR_EVERY, Strategy},
};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(millis))
}

fn submission(id: u64, priority: Priority) -> Submission<u64> {
    let agent = AgentId::new(format!("a{id}")).unwrap();
    let request = Request::new(RequestId(id), agent, Kind::new("k").unwrap(), Timestamp::ZERO);
    Submission { request: request.priority(priority), payload: id }
}

fn batcher(strategy: Strategy) -> Batcher<u64> {
    Batcher::new(BatcherOptions { strategy, ..BatcherOptions::default() })
}

fn offer_all(batcher: &mut Batcher<u64>, ids: std::ops::Range<u64>, now: Timestamp) {
    for id in ids {
        assert_eq!(batcher.offer(submission(id, Priority::Normal), now), Offered::Taken);
    }
}

fn sizes(batcher: &mut Batcher<u64>, now: Timestamp) -> Vec<usize> {
    std::iter::from_fn(|| batcher.next_batch(now)).map(|batch| batch.len()).collect()
}

/// Ends all requests of a batch in completion.
fn complete(batch: &mut [Submission<u64>]) {
    for one in batch {
        for status in [Status::Validating, Status::Registering, Status::Completed] {
            one.request.advance(status, at(0)).unwrap();
        }
    }
}

#[test]
fn each_strategy_makes_batches_when_it_should() {
    let mut fixed = batcher(Strategy::FIXED_SIZE);
    offer_all(&mut fixed, 0..25, at(0));
    assert_eq!(sizes(&mut fixed, at(0)), [10, 10]);
    assert_eq!(fixed.next_deadline(), Some(at(1)));
    assert_eq!(sizes(&mut fixed, at(1)), [5]);
    assert_eq!(fixed.next_deadline(), None);
    offer_all(&mut fixed, 25..35, at(2));
    assert_eq!(sizes(&mut fixed, at(2)), [10], "a batch that is just full waits for nothing");

    let mut timed = batcher(Strategy::TIME_BASED);
    offer_all(&mut timed, 0..2000, at(10));
    assert!(sizes(&mut timed, at(5009)).is_empty());
    assert_eq!(sizes(&mut timed, at(5010)), [1024, 976]);

    let mut urgent = batcher(Strategy::PriorityBased {
        threshold: Priority::High,
        patience: Duration::from_secs(5),
        size: 3,
    });
    offer_all(&mut urgent, 0..3, at(0));
    assert_eq!((sizes(&mut urgent, at(4999)), urgent.next_deadline()), (vec![], Some(at(5000))));
    urgent.offer(submission(9, Priority::High), at(4999));
    let batch = urgent.next_batch(at(4999)).unwrap();
    assert_eq!(batch.iter().map(|one| one.payload).collect::<Vec<_>>(), [9, 0, 1]);

    let mut small = batcher(Strategy::TimeBased { window: Duration::from_millis(7), size: 2 });
    offer_all(&mut small, 0..5, at(0));
    assert!(sizes(&mut small, at(6)).is_empty());
    assert_eq!(sizes(&mut small, at(7)), [2, 2, 1], "those beyond the size follow at once");

    let mut patient = batcher(Strategy::FixedSize { size: 4, linger: Duration::from_millis(30) });
    offer_all(&mut patient, 0..6, at(0));
    assert_eq!((sizes(&mut patient, at(29)), sizes(&mut patient, at(30))), (vec![4], vec![2]));

    let mut streaming = batcher(Strategy::Streaming);
    offer_all(&mut streaming, 0..3, at(0));
    assert_eq!(sizes(&mut streaming, at(0)), [1, 1, 1]);
}

#[test]
fn an_adaptive_batch_goes_out_at_once_when_nothing_is_in_flight_and_fills_while_something_is() {
    let mut adaptive = Batcher::new(BatcherOptions::default());
    offer_all(&mut adaptive, 0..1, at(0));
    let mut lone = adaptive.next_batch(at(0)).unwrap();
    offer_all(&mut adaptive, 1..20, at(0));
    assert!(adaptive.next_batch(at(0)).is_none(), "19 wait for the batch in flight or for more");
    assert_eq!(adaptive.next_deadline(), Some(at(1)));
    complete(&mut lone);
    adaptive.settle(lone.iter().map(|one| &one.request), Some(Duration::ZERO));
    assert_eq!(sizes(&mut adaptive, at(0)), [19]);
    assert_eq!(adaptive.in_flight(), 19);
    offer_all(&mut adaptive, 20..40, at(0));
    assert_eq!(sizes(&mut adaptive, at(0)), [20], "a full batch waits for none");
}

#[test]
fn who_was_validated_takes_the_place_of_its_offer_and_waits_from_its_validation_on() {
    let mut timed = batcher(Strategy::TimeBased { window: Duration::from_millis(7), size: 9 });
    for id in 0..3 {
        assert_eq!(timed.offer_unvalidated(submission(id, Priority::Normal), at(id)), Offered::Taken);
    }
    assert_eq!((timed.waiting(), timed.ready(), timed.next_deadline()), (3, 0, None));
    assert_eq!(std::iter::from_fn(|| timed.validate(at(3))).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((timed.waiting(), timed.validating()), (0, 3));
    assert_eq!(timed.stage(RequestId(0)), Some(Stage::Validating));
    assert_eq!(timed.validated(2, at(4)).map(|one| one.payload), Some(1));
    assert_eq!(timed.next_deadline(), Some(at(11)), "1 was validated at 4 ms");
    assert_eq!(timed.validated(1, at(5)).map(|one| one.payload), Some(0));
    assert_eq!((timed.next_deadline(), timed.stage(RequestId(0))), (Some(at(11)), Some(Stage::Waiting)));
    assert!(timed.validated(1, at(5)).is_none(), "it is validated once");
    let withdrawn = timed.withdraw(RequestId(2), Stage::Failed).unwrap();
    assert_eq!(
        (withdrawn.payload, timed.validating(), timed.stage(RequestId(2))),
        (2, 0, Some(Stage::Failed))
    );
    let batch = timed.next_batch(at(11)).unwrap();
    assert_eq!(batch.iter().map(|one| one.payload).collect::<Vec<_>>(), [0, 1]);
    assert!(timed.withdraw(RequestId(1), Stage::Failed).is_none(), "in flight it is left where it is");
}

#[test]
fn verdicts_that_come_one_after_the_other_fill_a_batch() {
    let mut fixed = batcher(Strategy::FIXED_SIZE);
    for id in 0..10 {
        assert_eq!(fixed.offer_unvalidated(submission(id, Priority::Normal), at(0)), Offered::Taken);
        fixed.validate(at(0)).unwrap();
    }
    for number in (1..=10).rev() {
        assert!(sizes(&mut fixed, at(50)).is_empty(), "as {number} are missing");
        fixed.validated(number, at(50)).unwrap();
    }
    assert_eq!(sizes(&mut fixed, at(50)), [10]);
}

fn classes() -> impl Generator<Value = Priority> {
    prop::sample::select(Priority::ALL.to_vec())
}

#[derive(Debug, Clone)]
enum Way {
    Offer(Priority),
    OfferUnvalidated(Priority),
    Validate,
    Validated(u8),
    Withdraw(u8),
    Pass(u64),
}

proptest! {
    #[test]
    fn a_batch_is_due_when_whoever_became_ready_first_has_waited_for_so_long(
        size in 1_usize..30,
        ways in prop::collection::vec(
            prop_oneof![
                2 => classes().prop_map(Way::Offer),
                4 => classes().prop_map(Way::OfferUnvalidated),
                4 => Just(Way::Validate),
                4 => any::<u8>().prop_map(Way::Validated),
                2 => any::<u8>().prop_map(Way::Withdraw),
                2 => (1_u64..9).prop_map(Way::Pass),
            ],
            0..300,
        ),
    ) {
        const WINDOW: u64 = 7;
        let mut batcher = batcher(Strategy::TimeBased { window: Duration::from_millis(WINDOW), size });
        let (mut now, mut offered) = (0, 0);
        let mut ready = BTreeMap::<u64, u64>::new();
        let mut validating = Vec::new();
        let mut unbatched = std::collections::BTreeSet::new();
        for way in ways {
            let nth = |nth: u8, count: usize| usize::from(nth) % count.max(1);
            match way {
                Way::Offer(class) => {
                    offered += 1;
                    prop_assert_eq!(batcher.offer(submission(offered, class), at(now)), Offered::Taken);
                    ready.insert(offered, now);
                    unbatched.insert(offered);
                }
                Way::OfferUnvalidated(class) => {
                    offered += 1;
                    prop_assert_eq!(batcher.offer_unvalidated(submission(offered, class), at(now)), Offered::Taken);
                    unbatched.insert(offered);
                }
                Way::Validate => validating.extend(batcher.validate(at(now))),
                Way::Validated(which) if !validating.is_empty() => {
                    let number = validating.swap_remove(nth(which, validating.len()));
                    if let Some(one) = batcher.validated(number, at(now)) {
                        prop_assert_eq!(one.payload, number);
                        ready.insert(number, now);
                    }
                }
                Way::Withdraw(which) => {
                    if let Some(id) = unbatched.iter().nth(nth(which, unbatched.len())).copied() {
                        prop_assert!(batcher.withdraw(RequestId(id), Stage::Failed).is_some());
                        unbatched.remove(&id);
                        ready.remove(&id);
                    }
                }
                Way::Validated(_) => {}
                Way::Pass(millis) => {
                    now += millis;
                    while let Some(batch) = batcher.next_batch(at(now)) {
                        prop_assert!(ready.values().any(|since| since + WINDOW <= now));
                        for one in batch {
                            prop_assert!(ready.remove(&one.payload).is_some());
                            unbatched.remove(&one.payload);
                        }
                    }
                }
            }
            let due = ready.values().min().map(|since| at(since + WINDOW));
            prop_assert_eq!(batcher.next_deadline(), due);
            prop_assert_eq!(batcher.ready(), ready.len());
        }
    }
}

#[test]
fn a_number_is_taken_once_for_as_long_as_it_is_remembered() {
    let options = BatcherOptions { strategy: Strategy::Streaming, remember: 1, capacity: 2 };
    let mut batcher = Batcher::new(options);
    let stage = |offered: Offered<u64>| match offered {
        Offered::Known { stage, submission } => (stage, submission.payload),
        other => panic!("{other:?}"),
    };
    batcher.offer(submission(1, Priority::Normal), at(0));
    assert_eq!(stage(batcher.offer(submission(1, Priority::Normal), at(0))), (Stage::Waiting, 1));
    let mut batch = batcher.next_batch(at(0)).unwrap();
    assert_eq!(stage(batcher.offer(submission(1, Priority::Normal), at(0))), (Stage::InFlight, 1));
    complete(&mut batch);
    for _ in 0..2 {
        batcher.settle([&batch[0].request], Some(Duration::ZERO));
    }
    assert_eq!(batcher.in_flight(), 0, "settling twice counts once");
    assert_eq!(stage(batcher.offer(submission(1, Priority::Normal), at(0))), (Stage::Completed, 1));

    let mut other = submission(1, Priority::Normal);
    other.request.agent = AgentId::new("b").unwrap();
    let Offered::Refused { error, .. } = batcher.offer(other, at(0)) else { panic!("it was taken") };
    assert_eq!(error.to_string(), "request 1 is for agent a1, not for b: number requests apart");

    offer_all(&mut batcher, 2..4, at(0));
    let full = batcher.offer(submission(4, Priority::Critical), at(0));
    assert!(matches!(full, Offered::Refused { error: OfferError::Full(2), .. }), "{full:?}");
    batcher.cancel(RequestId(2), at(0)).unwrap();
    assert_eq!(batcher.offer(submission(1, Priority::Normal), at(0)), Offered::Taken, "it was forgotten");
}

#[test]
fn a_request_is_cancelled_while_it_waits_and_no_later() {
    let mut batcher = batcher(Strategy::Streaming);
    offer_all(&mut batcher, 0..3, at(0));
    let cancelled = batcher.cancel(RequestId(1), at(7)).unwrap();
    assert_eq!((cancelled.request.status(), cancelled.request.ended()), (&Status::Cancelled, Some(at(7))));
    assert_eq!(batcher.next_batch(at(0)).unwrap()[0].payload, 0);
    assert_eq!(
        batcher.cancel(RequestId(0), at(0)).unwrap_err(),
        CancelError::Late { request: RequestId(0), stage: Stage::InFlight }
    );
    assert_eq!(batcher.cancel(RequestId(9), at(0)), Err(CancelError::Unknown(RequestId(9))));
    assert_eq!(batcher.next_batch(at(0)).unwrap()[0].payload, 2);
    assert_eq!(
        batcher.offer(cancelled, at(0)).clone(),
        Offered::Known { stage: Stage::Cancelled, submission: submission_cancelled(1) }
    );
}

fn submission_cancelled(id: u64) -> Submission<u64> {
    let mut cancelled = submission(id, Priority::Normal);
    cancelled.request.advance(Status::Cancelled, at(7)).unwrap();
    cancelled
}

#[derive(Debug, Clone)]
enum Step {
    Offer(Priority),
    OfferAgain(u64),
    Cancel(u64),
    NextBatch,
    Settle(u64),
    Pass(u64),
}

fn step() -> impl Generator<Value = Step> {
    prop_oneof![
        8 => (1_u8..=5).prop_map(|number| Step::Offer(Priority::try_from(number).unwrap())),
        1 => (0_u64..50).prop_map(Step::OfferAgain),
        1 => (0_u64..50).prop_map(Step::Cancel),
        3 => Just(Step::NextBatch),
        1 => (0_u64..6).prop_map(Step::Settle),
        1 => (0_u64..2000).prop_map(Step::Pass),
    ]
}

fn strategies() -> impl Generator<Value = Strategy> {
    prop_oneof![
        (1_usize..12).prop_map(|size| Strategy::FixedSize { size, linger: Duration::from_millis(2) }),
        Just(Strategy::TIME_BASED),
        Just(Strategy::PRIORITY_BASED),
        Just(Strategy::Adaptive { min: 2, max: 30, target: Duration::from_millis(3) }),
        Just(Strategy::Streaming),
    ]
}

/// A request of the model that waits: number, class, and by how many places it has to have left.
type Waits = (u64, Priority, u64);

proptest! {
    #[test]
    fn nothing_is_lost_or_comes_twice_and_classes_go_first_and_nobody_starves(
        strategy in strategies(),
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut batcher = batcher(strategy);
        let mut now = 0;
        let mut offered = 0;
        let mut places = 0;
        let mut model: Vec<Waits> = Vec::new();
        let mut in_flight: Vec<Vec<Submission<u64>>> = Vec::new();
        let (mut left, mut cancelled) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Offer(priority) => {
                    prop_assert_eq!(batcher.offer(submission(offered, priority), at(now)), Offered::Taken);
                    model.push((offered, priority, places + FAIR_EVERY * (model.len() as u64 + 1)));
                    offered += 1;
                }
                Step::OfferAgain(id) if id < offered => {
                    let again = batcher.offer(submission(id, Priority::Low), at(now));
                    let stage = batcher.stage(RequestId(id)).unwrap();
                    prop_assert_eq!(stage == Stage::Waiting, model.iter().any(|waits| waits.0 == id));
                    let known = matches!(again, Offered::Known { stage: told, .. } if told == stage);
                    prop_assert!(known);
                }
                Step::Cancel(id) => {
                    let place = model.iter().position(|waits| waits.0 == id);
                    prop_assert_eq!(batcher.cancel(RequestId(id), at(now)).is_ok(), place.is_some());
                    if let Some(place) = place {
                        model.remove(place);
                        cancelled += 1;
                    }
                }
                Step::NextBatch => {
                    let is_due = batcher.next_deadline().is_some_and(|deadline| deadline <= at(now));
                    let size = batcher.batch_size();
                    let Some(batch) = batcher.next_batch(at(now)) else {
                        prop_assert!(!is_due);
                        continue;
                    };
                    prop_assert!(is_due && !batch.is_empty() && batch.len() <= size);
                    prop_assert!(batch.len() == size || model.len() == batch.len());
                    prop_assert!(batch.iter().map(|one| one.request.priority).rev().is_sorted());
                    let mut expected: Vec<u64> = Vec::new();
                    for _ in 0..batch.len() {
                        places += 1;
                        let next = if places % FAIR_EVERY == 0 {
                            0
                        } else {
                            (0..model.len()).min_by_key(|i| (std::cmp::Reverse(model[*i].1), model[*i].0)).unwrap()
                        };
                        let (id, _, deadline) = model.remove(next);
                        prop_assert!(places <= deadline, "{} left at {} after {}", id, places, deadline);
                        expected.push(id);
                    }
                    let mut told: Vec<u64> = batch.iter().map(|one| one.payload).collect();
                    told.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(&told, &expected);
                    left.extend(told);
                    in_flight.push(batch);
                }
                Step::Settle(millis) if !in_flight.is_empty() => {
                    let mut batch = in_flight.remove(0);
                    complete(&mut batch);
                    batcher.settle(batch.iter().map(|one| &one.request), Some(Duration::from_millis(millis)));
                }
                Step::Pass(millis) => now += millis,
                Step::OfferAgain(_) | Step::Settle(_) => {}
            }
            prop_assert!(model.iter().all(|(_, _, deadline)| *deadline > places));
            prop_assert_eq!(batcher.waiting(), model.len());
            prop_assert_eq!(batcher.in_flight(), in_flight.iter().map(Vec::len).sum::<usize>());
            prop_assert_eq!(batcher.next_deadline().is_none(), model.is_empty());
        }
        while let Some(deadline) = batcher.next_deadline() {
            left.extend(batcher.next_batch(deadline.max(at(now))).unwrap().iter().map(|one| one.payload));
        }
        left.sort_unstable();
        left.dedup();
        prop_assert_eq!(left.len() as u64 + cancelled, offered);
    }
}
