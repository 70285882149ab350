use super::*;

#[test]
fn a_registrar_that_is_rebuilt_while_requests_wait_forms_their_batch_in_time() {
    paused(async {
        let world = World::start(slow(), Rules::default()).await;
        let agents = world.sellers(&["a", "b"]).await;
        let answer = world.enlist(&agents);
        world.turns().await;
        world.break_registrar();
        world.turns().await;
        let (status, generation) = (world.status().await, world.registrar.handle().generation());
        assert_eq!((status.waiting, generation), (2, world.router.handle().generation() + 1));
        let requests = answer.await.unwrap();
        assert_eq!(statuses(&requests), ["completed", "completed"]);
        let took = requests[0].processing_time().unwrap();
        assert!(took >= Duration::from_secs(5) && took < Duration::from_millis(5100), "{took:?}");
        world.assert_only(&["a", "b"]);
    });
}

#[test]
fn a_registrar_that_is_rebuilt_while_a_batch_is_in_flight_sends_it_again() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a", "b"]).await;
        world.rest_router().await;
        let answer = world.enlist(&agents);
        world.turns().await;
        for _ in 0..3 {
            assert_eq!(world.status().await.in_flight, 2);
            world.break_registrar();
            world.turns().await;
        }
        assert_eq!(statuses(&answer.await.unwrap()), ["completed", "completed"]);
        let status = world.status().await;
        assert_eq!((status.agents, status.revision, status.completed, status.batches), (2, 2, 2, 1));
        world.turns().await;
        world.assert_only(&["a", "b"]);
    });
}

#[test]
fn a_registrar_that_breaks_just_before_the_routers_answer_comes_takes_it_in_once() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a"]).await;
        for turns in 0..12 {
            let answer = world.enlist(&agents);
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            world.break_registrar();
            let requests = answer.await.unwrap();
            assert_eq!(statuses(&requests), ["completed"], "broken after {turns} turns");
            world.assert_only(&["a"]);
            let removed = world.asked(Delist(vec![id("a")]));
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            world.break_registrar();
            assert_eq!(removed.await.unwrap(), 1, "broken after {turns} turns");
            world.turns().await;
            world.assert_only(&[]);
            assert_eq!(world.status().await.revision, 2 * (turns + 1));
        }
    });
}

#[test]
fn a_batch_that_was_being_checked_when_the_registrar_broke_is_checked_again() {
    paused(async {
        let world = World::start(slow(), Rules::default()).await;
        let agents = world.sellers(&["a", "b"]).await;
        let answer = world.enlist(&agents);
        world.turns().await;
        let due = Timestamp::from_start(Duration::from_secs(6));
        assert!(world.cell.lock().form(due).is_some());
        world.break_registrar();
        assert_eq!(statuses(&answer.await.unwrap()), ["completed", "completed"]);
        world.assert_only(&["a", "b"]);
    });
}

#[test]
fn an_answer_of_the_router_that_is_lost_is_asked_for_again() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a"]).await;
        world.rest_router().await;
        let answer = world.enlist(&agents);
        world.turns().await;
        let lost = |attempt| Answered { number: 1, attempt, result: Err(MailboxError::Closed) };
        world.asked(lost(1)).await.unwrap();
        let retry = world.cell.lock().next_deadline(world.arbiters.hub().now()).unwrap();
        assert_eq!(retry, world.arbiters.hub().now().plus(Duration::from_millis(10)));
        world.asked(lost(0)).await.unwrap();
        assert_eq!(
            world.cell.lock().next_deadline(world.arbiters.hub().now()),
            Some(retry),
            "only the latest attempt counts"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (attempt, _) = world.cell.lock().reroute(1).unwrap();
        assert_eq!(attempt, 3, "the second was made by the registrar");
        assert_eq!(statuses(&answer.await.unwrap()), ["completed"]);
        world.assert_only(&["a"]);
    });
}

#[test]
fn a_batch_that_the_router_does_not_confirm_in_time_fails_and_leaves_no_route() {
    paused(async {
        let options = RegistrarOptions { batch_timeout: REST / 2, ..RegistrarOptions::default() };
        let world = World::start(options, Rules::default()).await;
        let agents = world.sellers(&["a"]).await;
        world.rest_router().await;
        let requests = world.enlist(&agents).await.unwrap();
        assert_eq!(
            statuses(&requests),
            ["failed: the router did not confirm the routes within 500ms: try again later"]
        );
        tokio::time::sleep(REST).await;
        world.turns().await;
        world.assert_only(&[]);
        assert_eq!(statuses(&world.enlist(&agents).await.unwrap()), ["completed"]);
        world.assert_only(&["a"]);
    });
}

#[test]
fn a_sink_that_panics_costs_nothing_but_its_event() {
    paused(async {
        let arbiters = Arbiters::start(ArbitersConfig::Here, HubConfig::default()).await;
        let router = Router::new(Directory::new(arbiters.hub())).start();
        let cell = RegistrarCell::new(RegistrarOptions::default(), Rules::default());
        let hub = arbiters.hub().clone();
        let sink = Arc::new(|_| panic!("on purpose"));
        let registrar = Registrar::new(cell.clone(), router, Arc::new(move || hub.now()), sink).start();
        let agent = arbiters.spawn(id("a"), |_| Seller, SpawnOptions::default()).await.unwrap().handle();
        let request = Request::of(cell.next_request(), &agent, Priority::Normal, Timestamp::ZERO);
        let requests = registrar.send(Enlist(vec![Enlistment { request, agent }])).await.unwrap();
        assert_eq!(statuses(&requests), ["completed"]);
    });
}

#[test]
fn whoever_asks_hears_it_when_the_state_is_dropped() {
    paused(async {
        let world = World::start(slow(), Rules::default()).await;
        let agents = world.sellers(&["a"]).await;
        let answer = world.registrar.address().send(Enlist(vec![world.enlistment(&agents[0])]));
        world.turns().await;
        world.registrar.kill();
        world.turns().await;
        drop(world);
        assert!(matches!(answer.await, Err(MailboxError::Closed)));
    });
}
