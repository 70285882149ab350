//! What the recorder refused or has not said a word about: it is written later, and there is not too much of it.

use super::*;
use crate::registrar::Renew;

fn told(requests: &[Request]) -> Vec<(u64, String)> {
    requests.iter().map(|request| (request.id.0, request.status().to_string())).collect()
}

#[test]
fn ends_whose_record_is_refused_are_written_later() {
    paused(async {
        let rules = Rules::none().and(|request: &Request| match request.agent.as_str() {
            "bad" => Err("it is bad".to_owned()),
            _ => Ok(()),
        });
        let options =
            RegistrarOptions { batch_timeout: Duration::from_secs(5), ..RegistrarOptions::default() };
        let (cell, memory) = recording_by(options, rules, Recovered::default());
        let world = World::over(cell).await;
        let agents = world.sellers(&["a", "bad", "late"]).await;
        memory.conduct([Conduct::Refuse(30), Conduct::Refuse(0), Conduct::Refuse(0)]);
        let mut enlist: Vec<_> = agents.iter().map(|agent| world.enlistment(agent)).collect();
        enlist[2].request = enlist[2].request.clone().within(Duration::from_millis(10));
        let answer = world.asked(Enlist(enlist)).await.unwrap();
        assert!(answer.iter().all(|request| request.status().as_str() == "failed"), "{answer:?}");
        assert_eq!(memory.kinds().len(), 0);
        world.cell.verify().unwrap();
        world.cell.written().await;
        assert_eq!(memory.kinds(), ["ended"; 3]);
        assert_eq!(memory.ends(), told(&answer), "what is written is what was answered");

        // Nobody waits for these any more when they are refused: what its rules refused, and the rest of its batch.
        let agents = world.sellers(&["bad", "b"]).await;
        memory.conduct([Conduct::Silence; 2]);
        let later = world.enlist(&agents).await.unwrap();
        assert!(later[1].status().to_string().ends_with("the recorder said nothing within 5s"), "{later:?}");
        memory.refuse();
        world.cell.written().await;
        assert_eq!(memory.kinds(), ["ended"; 5]);
        assert_eq!(memory.ends(), told(&[answer, later].concat()));
        assert_eq!(memory.members(), []);
    });
}

#[test]
fn a_batch_that_is_written_after_all_leaves_each_end_as_it_was_told() {
    paused(async {
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a", "b"]).await;
        memory.conduct([Conduct::Silence]);
        let mut enlist: Vec<_> = agents.iter().map(|agent| world.enlistment(agent)).collect();
        enlist[0].request = enlist[0].request.clone().within(Duration::from_millis(10));
        let answer = world.asked(Enlist(enlist)).await.unwrap();
        memory.speak();
        world.cell.written().await;
        assert_eq!(memory.kinds(), ["registered", "registered", "undone", "undone"]);
        assert_eq!((memory.ends(), memory.members()), (told(&answer), vec![]));
        world.assert_only(&[]);
    });
}

#[test]
fn ends_of_one_moment_are_written_together() {
    paused(async {
        let (cell, memory) = recording(slow(), Recovered::default());
        let world = World::over(cell).await;
        let agents = world.sellers(&["a"]).await;
        memory.conduct([Conduct::Silence; 9]);
        let mut within = world.enlistment(&agents[0]);
        let enlist = (0..600).map(|_| {
            within.request.id = world.cell.next_request();
            let request = within.request.clone().within(Duration::from_millis(5));
            Enlistment { request, agent: agents[0].clone() }
        });
        let enlist = Enlist(enlist.collect());
        assert_eq!(world.asked(enlist).await.unwrap().len(), 600);
        let calls: Vec<_> = memory.silent.lock().unwrap().iter().map(|(records, _)| records.len()).collect();
        assert_eq!(calls, [256, 256, 88]);
    });
}

#[test]
fn while_too_many_ends_are_not_known_to_be_written_no_request_is_taken_in() {
    const MOST: u64 = 16_384;
    paused(async {
        let (cell, memory) = recording(slow(), Recovered::default());
        let world = World::over(cell).await;
        let agents = world.sellers(&["a", "b"]).await;
        memory.conduct(std::iter::repeat_n(Conduct::Silence, 20_000));
        let mut answers = Vec::new();
        for number in 1..=MOST {
            answers.push(world.enlist(&agents[..1]));
            let cancelled = world.asked(CancelRequest(RequestId(number))).await.unwrap();
            assert_eq!(cancelled.unwrap().status(), &Status::Cancelled);
        }
        let refused = world.enlist(&agents[1..]).await.unwrap();
        let why =
            "failed: it is not known of 16384 ended requests whether they are written down: try again later";
        assert_eq!(statuses(&refused), [why]);
        let mut known = world.enlistment(&agents[0]);
        known.request.id = RequestId(MOST);
        assert_eq!(statuses(&world.asked(Enlist(vec![known])).await.unwrap()), ["cancelled"]);
        memory.conduct.lock().unwrap().clear();
        memory.speak();
        world.turns().await;
        world.cell.verify().unwrap();
        assert_eq!(statuses(&world.enlist(&agents[1..]).await.unwrap()), ["completed"]);
        assert_eq!(memory.recovered().requests.len() as u64, MOST + 1);
    });
}

#[test]
fn a_later_incarnation_that_renews_is_written_and_an_agent_that_comes_back_is_later_still() {
    paused(async {
        let leased = |world: &World, agent: &AgentHandle| {
            let mut enlistment = world.enlistment(agent);
            enlistment.request.lease = Some(Duration::from_secs(10));
            Enlist(vec![enlistment])
        };
        let generation =
            |world: &World| world.cell.with_roster(|roster| roster.get(&id("a")).unwrap().generation());
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a"]).await;
        world.asked(leased(&world, &agents[0])).await.unwrap();
        let renew = |generation| world.asked(Renew { agent: id("a"), generation });
        for incarnation in [0, 5, 5] {
            renew(incarnation).await.unwrap().unwrap();
        }
        world.turns().await;
        assert_eq!(memory.kinds(), ["registered", "renewed"]);
        assert_eq!((generation(&world), memory.members()), (5, vec![("a".to_owned(), 5)]));

        // Killed, and started again.
        let (cell, later) = recording(RegistrarOptions::default(), memory.recovered());
        let again = World::over(cell).await;
        let back = again.sellers(&["a"]).await;
        again.asked(leased(&again, &back[0])).await.unwrap();
        assert_eq!((generation(&again), later.kinds()), (6, vec!["replaced"]));

        // Its word comes late: who is registered meanwhile is later than all it may say.
        memory.conduct([Conduct::Refuse(0), Conduct::Refuse(0), Conduct::Write(0), Conduct::Write(0)]);
        renew(7).await.unwrap().unwrap();
        let removed = world.asked(Delist(vec![id("a")]));
        world.turns().await;
        let back = world.sellers(&["a"]).await;
        world.asked(leased(&world, &back[0])).await.unwrap();
        assert_eq!((removed.await.unwrap(), generation(&world)), (1, 8));
        world.cell.written().await;
        assert_eq!(memory.kinds(), ["registered", "renewed", "registered", "renewed", "removed"]);
        assert_eq!(memory.members(), [("a".to_owned(), 8)]);
    });
}

#[test]
fn an_agent_whose_coming_back_fails_stays_what_it_was_in_what_is_written() {
    paused(async {
        let (world, memory) = fresh().await;
        let agents = world.sellers(&["a"]).await;
        world.enlist(&agents).await.unwrap();
        let log = memory.log.lock().unwrap().clone();
        let (cell, later) = recording(RegistrarOptions::default(), memory.recovered());
        later.log.lock().unwrap().extend(log);
        let world = World::over(cell).await;
        let agents = world.sellers(&["a"]).await;
        later.conduct([Conduct::Write(10)]);
        let answer = world.enlist(&agents);
        millis(5).await;
        agents[0].kill();
        assert_eq!(statuses(&answer.await.unwrap()), ["failed: agent a ended before it was registered"]);
        world.cell.written().await;
        assert_eq!(later.kinds(), ["registered", "replaced", "undone"]);
        assert_eq!((later.members(), world.cell.unreturned().len()), (vec![("a".to_owned(), 0)], 1));
    });
}

#[test]
fn who_waits_until_all_is_written_waits_for_batches_and_for_what_was_refused() {
    paused(async {
        let (world, memory) = fresh().await;
        world.cell.written().await;
        let agents = world.sellers(&["a"]).await;
        memory.conduct([Conduct::Write(20), Conduct::Refuse(5), Conduct::Refuse(5), Conduct::Write(5)]);
        let cell = world.cell.clone();
        world.rest_router().await;
        let answer = world.enlist(&agents);
        world.turns().await;
        let written = actix_rt::spawn(async move { cell.written().await });
        answer.await.unwrap();
        world.turns().await;
        assert!(written.is_finished(), "the batch is through");
        let removed = world.asked(Delist(vec![id("a")]));
        world.turns().await;
        world.cell.written().await;
        assert_eq!(memory.kinds(), ["registered", "removed"]);
        assert_eq!(removed.await.unwrap(), 1);
    });
}
