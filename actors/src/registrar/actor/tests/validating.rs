//! Async rules.

use std::{
    cell::Cell,
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::time::sleep;

use super::*;

const MOMENT: Duration = Duration::from_millis(10);

fn times(request: &Request) -> [Option<u64>; 4] {
    let micros = |at: Option<Timestamp>| at.map(|at| at.micros() / 1000);
    [Some(request.submitted), request.validating(), request.registering(), request.ended()].map(micros)
}

#[test]
fn a_slow_async_rule_delays_its_own_request_only() {
    paused(async {
        let rules = Rules::default().and_async(|request: Arc<Request>| async move {
            sleep(if request.agent.as_str() == "slow" { 100 * MOMENT } else { MOMENT }).await;
            Ok(())
        });
        let world = World::start(RegistrarOptions::default(), rules).await;
        let agents = world.sellers(&["a", "slow", "b"]).await;
        let answers: Vec<_> = agents.iter().map(|agent| world.enlist(std::slice::from_ref(agent))).collect();
        let together = world.sellers(&["c", "d"]).await;
        let together = world.enlist(&together);
        sleep(MOMENT / 2).await;
        let slow = world.asked(QueryRequest(RequestId(2))).await.unwrap().unwrap();
        assert_eq!((slow.status(), times(&slow)), (&Status::Validating, [Some(0), Some(0), None, None]));
        let status = world.status().await;
        assert_eq!((status.waiting, status.validating, status.in_flight), (0, 5, 0));
        sleep(MOMENT).await;
        world.turns().await;
        world.assert_only(&["a", "b", "c", "d"]);
        assert_eq!(statuses(&together.await.unwrap()), ["completed"; 2]);
        let mut requests = Vec::new();
        for answer in answers {
            requests.extend(answer.await.unwrap());
        }
        assert_eq!(statuses(&requests), ["completed"; 3]);
        assert_eq!(times(&requests[0]), [Some(0), Some(0), Some(10), Some(10)]);
        assert_eq!(times(&requests[1]), [Some(0), Some(0), Some(1000), Some(1000)]);
    });
}

#[test]
fn an_async_rule_that_refuses_panics_or_never_answers_fails_its_request_alone() {
    paused(async {
        let rules = Rules::none()
            .and(|request: &Request| match request.agent.as_str() {
                "bad" => Err("not this one".to_owned()),
                "worse" => panic!("on purpose"),
                _ => Ok(()),
            })
            .and_async(|request: Arc<Request>| {
                assert_ne!(request.agent.as_str(), "at once", "on purpose");
                assert!(!["bad", "worse"].contains(&request.agent.as_str()), "validators are asked first");
                async move {
                    sleep(MOMENT).await;
                    match request.agent.as_str() {
                        "refused" => Err("no licence".to_owned()),
                        "broken" => panic!("on purpose"),
                        "hangs" => pending().await,
                        _ => Ok(()),
                    }
                }
            })
            .and_async(|request: Arc<Request>| async move {
                assert_ne!(request.agent.as_str(), "refused", "the first refusal is the last that is asked");
                Ok(())
            })
            .validated_within(5 * MOMENT);
        let world = World::start(RegistrarOptions::default(), rules).await;
        let names = ["a", "bad", "worse", "at once", "refused", "broken", "hangs", "b"];
        let agents = world.sellers(&names).await;
        let requests = world.enlist(&agents).await.unwrap();
        assert_eq!(
            statuses(&requests),
            [
                "completed",
                "failed: not this one",
                "failed: a validation rule panicked over it",
                "failed: a validation rule panicked over it",
                "failed: no licence",
                "failed: a validation rule panicked over it",
                "failed: its validation took longer than 50ms: try again later",
                "completed",
            ]
        );
        assert_eq!(requests.iter().map(|request| times(request)[3]).max(), Some(Some(50)));
        world.assert_only(&["a", "b"]);
    });
}

#[test]
fn no_more_are_validated_at_once_than_may_be_and_the_most_urgent_come_first() {
    paused(async {
        let began = Arc::<Mutex<Vec<String>>>::default();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (told, now, peak) = (began.clone(), running.clone(), most.clone());
        let rules = Rules::none().at_once(2).and_async(move |request: Arc<Request>| {
            told.lock().unwrap().push(request.agent.to_string());
            peak.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let now = now.clone();
            async move {
                sleep(MOMENT).await;
                now.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            }
        });
        let world = World::start(RegistrarOptions::default(), rules).await;
        let agents = world.sellers(&["a", "b", "low", "normal", "high"]).await;
        let classes = [Priority::Normal, Priority::Normal, Priority::Low, Priority::Normal, Priority::High];
        let enlistments = agents.iter().zip(classes).map(|(agent, class)| {
            let mut enlistment = world.enlistment(agent);
            enlistment.request.priority = class;
            enlistment
        });
        let requests = world.asked(Enlist(enlistments.collect())).await.unwrap();
        assert_eq!(statuses(&requests), ["completed"; 5]);
        assert_eq!(*began.lock().unwrap(), ["high", "a", "b", "normal", "low"]);
        assert_eq!(most.load(Ordering::Relaxed), 2);
        let took = world.arbiters.hub().now().since_start();
        assert!(took >= 3 * MOMENT && took < 4 * MOMENT, "three rounds of two: {took:?}");
    });
}

/// Counts what is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_request_is_cancelled_while_it_is_validated_and_its_task_ends() {
    paused(async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = dropped.clone();
        let rules = Rules::none().at_once(1).and_async(move |request: Arc<Request>| {
            let held = Dropped(count.clone());
            async move {
                if request.agent.as_str() == "a" {
                    pending::<()>().await;
                }
                drop(held);
                Ok(())
            }
        });
        let world = World::start(RegistrarOptions::default(), rules).await;
        let agents = world.sellers(&["a", "b", "c"]).await;
        let answer = world.enlist(&agents);
        world.turns().await;
        let status = world.status().await;
        assert_eq!((status.waiting, status.validating), (2, 1));
        let waiting = world.asked(CancelRequest(RequestId(2))).await.unwrap().unwrap();
        assert_eq!((waiting.status(), waiting.validating()), (&Status::Cancelled, None));
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
        let cancelled = world.asked(CancelRequest(RequestId(1))).await.unwrap().unwrap();
        assert_eq!((cancelled.status(), cancelled.validating()), (&Status::Cancelled, Some(Timestamp::ZERO)));
        assert_eq!(statuses(&answer.await.unwrap()), ["cancelled", "cancelled", "completed"]);
        assert_eq!(dropped.load(Ordering::Relaxed), 2, "the one broken off, and that of c");
        let again = world.asked(CancelRequest(RequestId(1))).await.unwrap();
        assert_eq!(again, Err(CancelError::Late { request: RequestId(1), stage: Stage::Cancelled }));
        world.assert_only(&["c"]);
    });
}

#[test]
fn a_registrar_that_is_rebuilt_after_any_turn_neither_loses_nor_doubles_a_validation() {
    for turns in 0..14 {
        paused(async {
            let asked = Arc::<Mutex<Vec<String>>>::default();
            let told = asked.clone();
            let rules = Rules::none().at_once(2).and_async(move |request: Arc<Request>| {
                told.lock().unwrap().push(request.agent.to_string());
                async move {
                    match request.agent.as_str() {
                        "a" => sleep(MOMENT).await,
                        "b" => tokio::task::yield_now().await,
                        _ => {}
                    }
                    Ok(())
                }
            });
            let world = World::start(RegistrarOptions::default(), rules).await;
            let agents = world.sellers(&["a", "b", "c"]).await;
            let answer = world.enlist(&agents);
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            world.break_registrar();
            world.turns().await;
            world.break_registrar();
            assert_eq!(statuses(&answer.await.unwrap()), ["completed"; 3], "after {turns} turns");
            let mut asked = asked.lock().unwrap().clone();
            asked.sort_unstable();
            assert_eq!(asked, ["a", "b", "c"], "after {turns} turns");
            world.assert_only(&["a", "b", "c"]);
        });
    }
}

#[test]
fn a_verdict_that_comes_while_no_registrar_is_there_is_taken_in_by_the_next_one() {
    paused(async {
        let rules = Rules::none().and_async(|_| async {
            sleep(MOMENT).await;
            Ok(())
        });
        let world = World::start(RegistrarOptions::default(), rules).await;
        let agents = world.sellers(&["a"]).await;
        let answer = world.enlist(&agents);
        world.turns().await;
        world.registrar.kill();
        sleep(2 * MOMENT).await;
        assert!(world.registered().is_empty());
        let (hub, router) = (world.arbiters.hub().clone(), world.router.address());
        let next =
            Registrar::new(world.cell.clone(), router, Arc::new(move || hub.now()), Arc::new(|_| ())).start();
        let requests = answer.await.unwrap();
        assert_eq!(statuses(&requests), ["completed"]);
        assert_eq!(times(&requests[0]), [Some(0), Some(0), Some(20), Some(20)]);
        // What is validated from now on is told to the next one.
        let agents = world.sellers(&["b"]).await;
        let enlist = Enlist(vec![world.enlistment(&agents[0])]);
        assert_eq!(statuses(&next.send(enlist).await.unwrap()), ["completed"]);
        world.assert_only(&["a", "b"]);
    });
}

#[test]
fn a_validation_that_ends_with_the_thread_it_ran_on_is_begun_again() {
    paused(async {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let rules = Rules::none().and_async(move |_| {
            let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
            async move { if is_first { pending().await } else { Ok(()) } }
        });
        let cell = RegistrarCell::new(RegistrarOptions::default(), rules);
        let world = World::over(cell.clone()).await;
        let agents = world.sellers(&["a"]).await;
        let answer = world.enlist(&agents);
        world.turns().await;
        assert_eq!((asked.load(Ordering::Relaxed), world.status().await.validating), (1, 1));
        cell.lock().abort_validations();
        assert_eq!(statuses(&answer.await.unwrap()), ["completed"]);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        world.assert_only(&["a"]);
    });
}

#[test]
fn a_rule_whose_future_panics_when_it_is_dropped_fails_its_request_alone() {
    struct Bomb(Cell<bool>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0.get(), "on purpose");
        }
    }
    paused(async {
        let rules = Rules::none().and_async(|request: Arc<Request>| {
            let bomb = Bomb(Cell::new(request.agent.as_str() == "a"));
            std::future::poll_fn(move |_| {
                let _held = &bomb;
                std::task::Poll::Ready(Ok(()))
            })
        });
        let world = World::start(RegistrarOptions::default(), rules).await;
        let agents = world.sellers(&["a", "b"]).await;
        let requests = world.enlist(&agents).await.unwrap();
        assert_eq!(statuses(&requests), ["failed: a validation rule panicked over it", "completed"]);
    });
}

#[test]
fn an_async_rule_may_ask_the_registrar() {
    paused(async {
        let known = Arc::<OnceLock<Addr<Registrar>>>::default();
        let told = known.clone();
        let rules = Rules::none().and_async(move |_| {
            let registrar = told.get().unwrap().clone();
            async move {
                let first = registrar.send(QueryAgent(id("a"))).await.unwrap();
                if first.is_none() { Ok(()) } else { Err("one is enough".to_owned()) }
            }
        });
        let world = World::start(RegistrarOptions::default(), rules).await;
        assert!(known.set(world.registrar.address()).is_ok());
        let agents = world.sellers(&["a", "b"]).await;
        let first = world.enlist(&agents[..1]).await.unwrap();
        let second = world.enlist(&agents[1..]).await.unwrap();
        assert_eq!(statuses(&[first, second].concat()), ["completed", "failed: one is enough"]);
    });
}

#[test]
fn who_ends_or_is_removed_while_it_is_validated_is_not_registered() {
    paused(async {
        let rules = Rules::none().and_async(|_| async {
            sleep(MOMENT).await;
            Ok(())
        });
        let world = World::start(RegistrarOptions::default(), rules).await;
        let agents = world.sellers(&["ended", "removed", "a"]).await;
        let answer = world.enlist(&agents);
        world.turns().await;
        agents[0].kill();
        assert_eq!(world.asked(Delist(vec![id("removed")])).await.unwrap(), 0);
        assert_eq!(
            statuses(&answer.await.unwrap()),
            [
                "failed: agent ended ended before it was registered",
                "failed: agent removed was removed before it was registered",
                "completed",
            ]
        );
        world.assert_only(&["a"]);
    });
}

/// Rules by which whoever is not called `good` is validated for ever, and how many of those validations there are.
fn hanging() -> (Rules, Arc<AtomicUsize>) {
    let running = Arc::new(AtomicUsize::new(0));
    let count = running.clone();
    let rules = Rules::none().and_async(move |request: Arc<Request>| {
        let held = Held::new(&count);
        async move {
            if request.agent.as_str() != "good" {
                pending::<()>().await;
            }
            drop(held);
            Ok(())
        }
    });
    (rules, running)
}

/// Counts those that there are.
struct Held(Arc<AtomicUsize>);

impl Held {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn the_request_of_an_agent_that_is_removed_fails_at_once_and_its_validation_is_broken_off() {
    paused(async {
        let (rules, running) = hanging();
        let world = World::start(RegistrarOptions::default(), rules.validated_within(Duration::MAX)).await;
        let names: Vec<String> = (0..VALIDATIONS + 6).map(|n| format!("bad/{n}")).collect();
        let bad = world.sellers(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let good = world.sellers(&["good"]).await;
        let refused = world.enlist(&bad);
        let answer = world.enlist(&good);
        world.turns().await;
        assert_eq!((running.load(Ordering::Relaxed), world.status().await.waiting), (VALIDATIONS, 7));
        for name in &names {
            assert_eq!(world.asked(Delist(vec![id(name)])).await.unwrap(), 0);
        }
        let requests = refused.await.unwrap();
        assert!(requests.iter().zip(&names).all(|(request, name)| {
            request.status().to_string()
                == format!("failed: agent {name} was removed before it was registered")
        }));
        assert_eq!(statuses(&answer.await.unwrap()), ["completed"]);
        assert_eq!((running.load(Ordering::Relaxed), world.arbiters.hub().now()), (0, Timestamp::ZERO));
        world.assert_only(&["good"]);
    });
}

#[test]
fn a_rule_that_never_answers_is_given_up_unless_told_otherwise() {
    paused(async {
        let (rules, running) = hanging();
        let world = World::start(RegistrarOptions::default(), rules).await;
        let agents = world.sellers(&["a"]).await;
        let requests = world.enlist(&agents).await.unwrap();
        assert_eq!(statuses(&requests), ["failed: its validation took longer than 30s: try again later"]);
        world.turns().await;
        assert_eq!(running.load(Ordering::Relaxed), 0);

        let (rules, _) = hanging();
        let patient = World::start(RegistrarOptions::default(), rules.validated_within(Duration::MAX)).await;
        let agents = patient.sellers(&["a"]).await;
        _ = patient.enlist(&agents);
        sleep(Duration::from_hours(24)).await;
        assert_eq!(patient.status().await.validating, 1);
    });
}

#[test]
fn a_cell_that_is_dropped_breaks_its_validations_off() {
    paused(async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let count = dropped.clone();
        let rules = Rules::none().and_async(move |_| {
            let held = Dropped(count.clone());
            async move {
                pending::<()>().await;
                drop(held);
                Ok(())
            }
        });
        let world = World::start(RegistrarOptions::default(), rules).await;
        let agents = world.sellers(&["a"]).await;
        let answer = world.registrar.address().send(Enlist(vec![world.enlistment(&agents[0])]));
        world.turns().await;
        world.registrar.kill();
        world.turns().await;
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
        drop(world);
        assert!(matches!(answer.await, Err(MailboxError::Closed)));
        tokio::task::yield_now().await;
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    });
}
