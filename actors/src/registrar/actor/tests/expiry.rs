//! Requests that were given a time.

use std::future::pending;

use super::*;

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
