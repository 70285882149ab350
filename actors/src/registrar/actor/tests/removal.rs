use super::*;

#[test]
fn removed_agents_are_neither_in_the_roster_nor_on_routes() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a", "b", "c"]).await;
        world.enlist(&agents).await.unwrap();
        let bids = world.bids();
        let count = world.asked(Delist(vec![id("a"), id("c"), id("a"), id("nobody")])).await.unwrap();
        assert_eq!((count, bids.recipients()), (2, 1));
        world.assert_only(&["b"]);
        let at = world.arbiters.hub().now();
        assert_eq!(
            world.events.lock().unwrap().last(),
            Some(&RegistrarEvent::AgentsRemoved { at, count: 2 })
        );
        assert_eq!(world.asked(Delist(vec![id("a")])).await.unwrap(), 0);
        assert_eq!(statuses(&world.enlist(&agents[..1]).await.unwrap()), ["completed"], "it may come back");
        world.assert_only(&["a", "b"]);
    });
}

#[test]
fn a_removal_wins_over_requests_in_flight_and_waiting() {
    paused(async {
        for options in [RegistrarOptions::default(), slow()] {
            let world = World::start(options, Rules::default()).await;
            let agents = world.sellers(&["a", "b"]).await;
            world.rest_router().await;
            let answer = world.enlist(&agents);
            world.turns().await;
            let status = world.status().await;
            assert_eq!(status.in_flight + status.waiting, 2);
            let removed = world.asked(Delist(vec![id("a")]));
            world.turns().await;
            world.cell.verify().unwrap();
            let again = world.enlist(&agents[..1]);
            let requests = answer.await.unwrap();
            assert_eq!(removed.await.unwrap(), 0, "it never was in the roster");
            assert!(statuses(&requests)[0].starts_with("failed: agent a was removed "), "{requests:?}");
            assert_eq!(*requests[1].status(), Status::Completed);
            let again = again.await.unwrap();
            let comes_back = status.waiting == 2;
            assert_eq!(*again[0].status() == Status::Completed, comes_back, "{again:?}");
            world.turns().await;
            world.assert_only(if comes_back { &["a", "b"] } else { &["b"] });
        }
    });
}

#[test]
fn an_agent_may_come_back_while_its_routes_are_being_removed() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a", "b"]).await;
        world.enlist(&agents).await.unwrap();
        world.rest_router().await;
        let removals = [world.asked(Delist(vec![id("a")])), world.asked(Delist(vec![id("b")]))];
        let back = world.sellers(&["a", "b"]).await;
        let answer = world.enlist(&back);
        world.turns().await;
        world.cell.verify().unwrap();
        assert_eq!(statuses(&answer.await.unwrap()), ["completed", "completed"]);
        for removal in removals {
            assert_eq!(removal.await.unwrap(), 1);
        }
        world.assert_only(&["a", "b"]);
        let routed = world.directory.agents();
        assert!(routed.iter().all(|agent| back.iter().any(|one| Arc::ptr_eq(&one.door, &agent.door))));
    });
}

#[test]
fn an_agent_that_ends_in_flight_fails_and_leaves_no_route() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a", "b"]).await;
        world.rest_router().await;
        let answer = world.enlist(&agents);
        world.turns().await;
        agents[0].kill();
        let requests = answer.await.unwrap();
        assert_eq!(statuses(&requests), ["failed: agent a ended before it was registered", "completed"]);
        world.turns().await;
        world.assert_only(&["b"]);
    });
}

#[test]
fn without_a_router_requests_fail_and_removals_are_answered() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a", "b"]).await;
        world.enlist(&agents[..1]).await.unwrap();
        world.router.kill();
        world.turns().await;
        let requests = world.enlist(&agents[1..]).await.unwrap();
        assert_eq!(statuses(&requests), ["failed: the router is gone: the host is shutting down"]);
        assert_eq!(world.asked(Delist(vec![id("a")])).await.unwrap(), 1);
        world.turns().await;
        world.cell.verify().unwrap();
    });
}

#[test]
fn a_batch_that_is_sent_again_leaves_the_subscriptions_of_those_it_added() {
    paused(async {
        let world = World::fast().await;
        let old = world.sellers(&["a"]).await;
        world.enlist(&old).await.unwrap();
        world.rest_router().await;
        let removed = world.asked(Delist(vec![id("a")]));
        let back = world.sellers(&["a"]).await;
        let answer = world.enlist(&back);
        world.turns().await;
        let filter = TopicFilter::new("news").unwrap();
        let subscribe = Subscribe { filter, agent: id("a"), options: SubscribeOptions::default() };
        let subscribed = world.router.address().send(subscribe);
        let subscribed = actix_rt::spawn(subscribed);
        world.turns().await;
        // The next registrar sends the batch once more.
        world.break_registrar();
        world.turns().await;
        assert_eq!(
            (removed.await.unwrap(), statuses(&answer.await.unwrap())),
            (1, vec!["completed".to_owned()])
        );
        assert!(subscribed.await.unwrap().unwrap());
        tokio::time::sleep(REST).await;
        world.assert_only(&["a"]);
        assert_eq!(world.directory.subscriptions().len(), 1, "its subscription is there");
    });
}
