//! Requests that were given a time.

use std::{
    future::pending,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    recording::{Conduct, recording},
    *,
};
use crate::registrar::Recovered;

/// Shorter than the router rests.
const TIME: Duration = Duration::from_millis(400);

impl World {
    fn enlistment_within(&self, agent: &AgentHandle, timeout: Duration) -> Enlistment {
        let Enlistment { request, agent } = self.enlistment(agent);
        Enlistment { request: request.within(timeout), agent }
    }
}

fn late(place: &str) -> String {
    format!("failed: it was not completed within 400ms, as {place}: try again later, or give it more time")
}

#[test]
fn a_request_that_is_not_completed_in_its_time_fails_then_and_says_where_it_was() {
    paused(async {
        let hanging = || Rules::none().at_once(1).and_async(|_| pending());
        let cases = [
            (slow(), Rules::none(), 0, "it waited for its batch"),
            (slow(), hanging(), 1, "it waited for its validation"),
            (slow(), hanging(), 0, "its validation had not ended"),
            (RegistrarOptions::default(), Rules::none(), 0, "its routes were not confirmed"),
        ];
        for (options, rules, nth, place) in cases {
            let world = World::start(options, rules).await;
            let agents = world.sellers(&["a", "b"]).await;
            world.rest_router().await;
            let first = (nth > 0).then(|| world.enlist(&agents[1..]));
            let answer = world.asked(Enlist(vec![world.enlistment_within(&agents[0], TIME)]));
            let requests = answer.await.unwrap();
            assert_eq!(statuses(&requests), [late(place)]);
            assert_eq!(requests[0].processing_time(), Some(TIME));
            let id = requests[0].id;
            assert_eq!(world.asked(QueryRequest(id)).await.unwrap().as_ref(), Some(&requests[0]));
            let status = world.status().await;
            assert_eq!((status.failed, status.in_flight), (1, 0));
            tokio::time::sleep(2 * REST).await;
            world.assert_only(&[]);
            drop(first);
        }
    });
}

#[test]
fn what_the_router_does_late_for_a_request_whose_time_is_over_is_undone_and_others_complete() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a", "b"]).await;
        world.rest_router().await;
        let enlist = Enlist(vec![world.enlistment_within(&agents[0], TIME), world.enlistment(&agents[1])]);
        let answer = world.asked(enlist);
        tokio::time::sleep(TIME + Duration::from_millis(1)).await;
        let first = world.asked(QueryRequest(RequestId(1))).await.unwrap().unwrap();
        assert_eq!(first.status().to_string(), late("its routes were not confirmed"));
        assert_eq!(world.status().await.in_flight, 1);
        // Its id may be had again at once, and who has it keeps its routes.
        let again = world.sellers(&["a"]).await;
        let back = world.enlist(&again);
        let requests = answer.await.unwrap();
        assert_eq!(*requests[1].status(), Status::Completed);
        assert_eq!(requests[0], first);
        assert_eq!(statuses(&back.await.unwrap()), ["completed"]);
        tokio::time::sleep(REST).await;
        world.assert_only(&["a", "b"]);
        let routed = world.directory.agent(&id("a")).unwrap();
        assert!(Arc::ptr_eq(&routed.door, &again[0].door));
    });
}

#[test]
fn a_removal_waits_for_the_routes_of_a_request_whose_time_is_over() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a", "b"]).await;
        world.rest_router().await;
        let enlist = Enlist(vec![world.enlistment_within(&agents[0], TIME), world.enlistment(&agents[1])]);
        let answer = world.asked(enlist);
        world.turns().await;
        let before = world.asked(Delist(vec![id("a")]));
        tokio::time::sleep(TIME + Duration::from_millis(1)).await;
        let after = world.asked(Delist(vec![id("a")]));
        world.turns().await;
        assert!(!before.is_finished() && !after.is_finished());
        for removal in [before, after] {
            assert_eq!(removal.await.unwrap(), 0);
            assert!(world.directory.agent(&id("a")).is_none());
        }
        assert!(statuses(&answer.await.unwrap())[0].starts_with("failed: it was not completed within"));
        world.turns().await;
        world.assert_only(&["b"]);
    });
}

#[test]
fn a_request_that_completes_in_its_time_leaves_no_deadline_behind() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a", "b"]).await;
        let enlist = agents.iter().map(|agent| world.enlistment_within(agent, TIME)).collect();
        assert_eq!(statuses(&world.asked(Enlist(enlist)).await.unwrap()), ["completed"; 2]);
        assert_eq!(world.cell.lock().next_deadline(world.arbiters.hub().now()), None);
        tokio::time::sleep(2 * TIME).await;
        world.assert_only(&["a", "b"]);
    });
}

#[test]
fn a_time_that_is_over_when_the_request_comes_and_one_without_end_do_no_harm() {
    paused(async {
        let world = World::start(slow(), Rules::none()).await;
        let agents = world.sellers(&["a", "b"]).await;
        let enlist = vec![
            world.enlistment_within(&agents[0], Duration::ZERO),
            world.enlistment_within(&agents[1], Duration::MAX),
        ];
        let requests = world.asked(Enlist(enlist)).await.unwrap();
        assert!(
            statuses(&requests)[0].starts_with("failed: it was not completed within 0ns"),
            "{requests:?}"
        );
        assert_eq!((requests[1].status(), requests[1].deadline()), (&Status::Completed, None));
        world.assert_only(&["b"]);
    });
}

impl World {
    /// Another registrar in the place of the world's, by a clock that is `ahead` of that of its timers \[us\], as when
    /// its thread is kept busy.
    fn stalling(&self) -> (Addr<Registrar>, Arc<AtomicU64>) {
        self.registrar.kill();
        let ahead = Arc::<AtomicU64>::default();
        let (hub, by) = (self.arbiters.hub().clone(), ahead.clone());
        let clock = move || hub.now().plus(Duration::from_micros(by.load(Ordering::Relaxed)));
        let (router, sink) = (self.router.address(), Arc::new(|_| ()));
        (Registrar::new(self.cell.clone(), router, Arc::new(clock), sink).start(), ahead)
    }
}

#[test]
fn a_word_of_router_or_recorder_that_is_handled_when_the_time_is_over_completes_nothing() {
    paused(async {
        for (is_written, place) in
            [(false, "its routes were not confirmed"), (true, "its record was not durable")]
        {
            let (cell, memory) = recording(RegistrarOptions::default(), Recovered::default());
            memory.conduct([Conduct::Write(20)]);
            let world = if is_written { World::over(cell).await } else { World::fast().await };
            world.turns().await;
            let (registrar, ahead) = world.stalling();
            let agents = world.sellers(&["a"]).await;
            if !is_written {
                world.rest_router().await;
            }
            let enlist = Enlist(vec![world.enlistment_within(&agents[0], 2 * REST)]);
            let answer = actix_rt::spawn(registrar.send(enlist));
            world.turns().await;
            assert!(!answer.is_finished());
            ahead.store(5_000_000, Ordering::Relaxed);
            tokio::time::sleep(REST + Duration::from_millis(50)).await;
            let requests = answer.await.unwrap().unwrap();
            let late = format!("failed: it was not completed within 2s, as {place}: ");
            assert!(statuses(&requests)[0].starts_with(&late), "{requests:?}");
            assert!(world.arbiters.hub().now() < Timestamp::ZERO.plus(2 * REST), "no timer came");
            tokio::time::sleep(2 * REST).await;
            world.assert_only(&[]);
        }
    });
}

#[test]
fn whoever_is_refused_in_a_batch_is_answered_at_once_and_in_its_time() {
    paused(async {
        let world = World::start(slow(), Rules::default()).await;
        let held = world.sellers(&["a"]).await;
        assert_eq!(statuses(&world.enlist(&held).await.unwrap()), ["completed"]);
        let (twin, other) = (world.sellers(&["a"]).await, world.sellers(&["b", "c"]).await);
        let window = Duration::from_secs(5);
        let refused = world.asked(Enlist(vec![world.enlistment_within(&twin[0], window + TIME)]));
        let answer = world.enlist(&other);
        tokio::time::sleep(Duration::from_millis(4_999)).await;
        world.rest_router().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        let formed = refused.await.unwrap().remove(0);
        assert!(formed.status().to_string().starts_with("failed: agent id a is taken by"), "{formed:?}");
        assert!(!answer.is_finished() && formed.ended() <= formed.deadline());
        assert_eq!(world.status().await.in_flight, 2);
        let requests = answer.await.unwrap();
        assert_eq!(statuses(&requests), ["completed"; 2]);
        assert!(formed.ended() < requests[0].ended());
        let status = world.status().await;
        assert_eq!((status.batches, status.failed, status.completed), (2, 1, 3));
        assert!((status.mean_batch_size - 2.0).abs() < 1e-9, "{status:?}");
        world.assert_only(&["a", "b", "c"]);
    });
}
