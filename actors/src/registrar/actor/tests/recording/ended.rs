//! What ends while, or before, it is written: requests by their time, their validation or their cancellation, and leases.

use super::*;
use crate::{
    agent::Tenant,
    registrar::{METADATA_DEPTH, Renew, RosterError},
};

/// A request that is given so many milliseconds.
fn within(mut enlistment: Enlistment, millis: u64) -> Enlistment {
    enlistment.request = enlistment.request.within(Duration::from_millis(millis));
    enlistment
}

#[test]
fn a_request_whose_time_is_over_while_its_record_is_written_fails_then_and_is_undone() {
    paused(async {
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a", "b"]).await;
        memory.conduct([Conduct::Write(50)]);
        let late = within(world.enlistment(&agents[0]), 10);
        let answer = world.asked(Enlist(vec![late, world.enlistment(&agents[1])]));
        millis(11).await;
        world.cell.verify().unwrap();
        let first = world.asked(QueryRequest(RequestId(1))).await.unwrap().unwrap();
        let why = "failed: it was not completed within 10ms, as its record was not durable: \
                   try again later, or give it more time";
        assert_eq!(
            (first.status().to_string().as_str(), first.processing_time().unwrap()),
            (why, Duration::from_millis(10))
        );
        assert_eq!((world.routed().len(), memory.kinds().len()), (1, 0), "its route is gone at once");
        // Whoever removes it is answered when nothing could bring it back.
        let removed = world.asked(Delist(vec![id("a")]));
        // Another incarnation takes its place before the word on the first one comes.
        let back = world.sellers(&["a"]).await;
        let second = world.enlist(&back);
        world.turns().await;
        world.cell.verify().unwrap();
        assert!(!removed.is_finished() && !answer.is_finished() && !second.is_finished());
        assert_eq!(statuses(&answer.await.unwrap()), [why, "completed"]);
        assert_eq!(statuses(&second.await.unwrap()), ["completed"]);
        assert_eq!(removed.await.unwrap(), 0);
        assert_eq!(memory.kinds(), ["registered", "registered", "registered", "undone"]);
        world.turns().await;
        world.assert_only(&["a", "b"]);
        let generation = world.cell.with_roster(|roster| roster.get(&id("a")).unwrap().generation());
        assert_eq!((generation, memory.members()), (1, vec![("b".to_owned(), 0), ("a".to_owned(), 1)]));
        let logged = memory.recovered().requests;
        assert_eq!(logged.iter().find(|one| one.request.id == first.id).unwrap().request, first);
    });
}

#[test]
fn requests_that_end_before_their_batch_is_written_are_written_by_themselves() {
    paused(async {
        let rules = Rules::none().at_once(2).and_async(|request| async move {
            if request.agent.as_str() == "bad" {
                return Err("it is bad".to_owned());
            }
            std::future::pending().await
        });
        let (cell, memory) = recording_by(RegistrarOptions::default(), rules, Recovered::default());
        let world = World::over(cell).await;
        let agents = world.sellers(&["bad", "stuck", "asked", "waits"]).await;
        let enlist = vec![
            world.enlistment(&agents[0]),
            within(world.enlistment(&agents[1]), 20),
            world.enlistment(&agents[2]),
            within(world.enlistment(&agents[3]), 10),
        ];
        let answer = world.asked(Enlist(enlist));
        millis(5).await;
        assert_eq!(
            world.asked(CancelRequest(RequestId(3))).await.unwrap().unwrap().status(),
            &Status::Cancelled
        );
        let mut requests = answer.await.unwrap();
        world.turns().await;
        assert_eq!(memory.kinds(), ["ended"; 4]);
        requests.sort_by_key(Request::ended);
        let logged = memory.recovered().requests.into_iter().map(|logged| logged.request);
        assert_eq!(logged.collect::<Vec<_>>(), requests, "what is written is what was answered");

        // One whose routes are not confirmed in time leaves its batch before that is written.
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a", "b"]).await;
        world.rest_router().await;
        let answer =
            world.asked(Enlist(vec![within(world.enlistment(&agents[0]), 10), world.enlistment(&agents[1])]));
        millis(11).await;
        assert_eq!(memory.kinds(), ["ended"]);
        assert_eq!(answer.await.unwrap()[1].status(), &Status::Completed);
        assert_eq!(memory.kinds(), ["ended", "registered"]);
        assert_eq!(memory.members(), [("b".to_owned(), 0)]);
    });
}

#[test]
fn an_agent_whose_lease_ends_is_written_as_removed_and_one_that_is_back_renews_by_its_own_count() {
    paused(async {
        let leased = |world: &World, agent: &AgentHandle| {
            let mut enlistment = world.enlistment(agent);
            enlistment.request =
                enlistment.request.lease(Duration::from_secs(10)).tenant(Tenant::new("t").unwrap());
            enlistment
        };
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a", "b"]).await;
        let enlist = Enlist(agents.iter().map(|agent| leased(&world, agent)).collect());
        assert_eq!(statuses(&world.asked(enlist).await.unwrap()), ["completed"; 2]);
        let before = memory.recovered();
        millis(11_000).await;
        world.assert_only(&[]);
        assert_eq!(memory.kinds(), ["registered", "registered", "removed", "removed"]);
        assert_eq!(memory.members(), []);

        // The process ended before the leases did.
        let (cell, later) = recording(RegistrarOptions::default(), before);
        let world = World::over(cell).await;
        millis(11_000).await;
        assert_eq!(world.cell.unreturned().len(), 2, "leases end with the process that granted them");
        let profile = world.cell.unreturned()[0].request.profile.clone();
        assert_eq!(profile.tenant, Some(Tenant::new("t").unwrap()));
        let back = world.sellers(&["a"]).await;
        world.asked(Enlist(vec![leased(&world, &back[0])])).await.unwrap();
        let generation = || world.cell.with_roster(|roster| roster.get(&id("a")).unwrap().generation());
        assert_eq!(generation(), 1, "above what it had");
        let renew = |generation| world.asked(Renew { agent: id("a"), generation });
        millis(5_000).await;
        let end = world.arbiters.hub().now().plus(Duration::from_secs(10));
        assert_eq!(renew(0).await.unwrap(), Ok(end), "its first incarnation");
        assert_eq!((renew(1).await.unwrap(), generation()), (Ok(end), 2));
        let stale = renew(0).await.unwrap();
        assert_eq!(stale, Err(RosterError::Stale { agent: id("a"), present: 1, offered: 0 }));
        millis(11_000).await;
        assert_eq!(later.kinds(), ["replaced", "renewed", "removed"]);
        world.assert_only(&[]);
    });
}

#[test]
fn metadata_that_is_nested_too_deep_is_neither_taken_in_nor_written_whatever_the_rules() {
    paused(async {
        let options = RegistrarOptions::default();
        let (cell, memory) = recording_by(options, Rules::none(), Recovered::default());
        let world = World::over(cell).await;
        let agents = world.sellers(&["a", "b"]).await;
        let nested = |levels| (0..levels).fold(serde_json::json!({}), |inner, _| serde_json::json!([inner]));
        let enlist = [METADATA_DEPTH, METADATA_DEPTH - 1].iter().zip(&agents).map(|(levels, agent)| {
            let mut enlistment = world.enlistment(agent);
            enlistment.request = enlistment.request.metadata("tree", nested(*levels));
            enlistment
        });
        let answer = world.asked(Enlist(enlist.collect())).await.unwrap();
        let why = "failed: entry tree of its metadata is nested deeper than 64 levels: flatten it";
        assert_eq!(statuses(&answer), [why, "completed"]);
        assert_eq!(memory.kinds(), ["registered"]);
        let mut bytes = Vec::new();
        let record = memory.log.lock().unwrap()[0].clone();
        record.encode(1, &mut bytes);
        assert_eq!(Record::decode(&bytes), Ok((1, record)));
    });
}
