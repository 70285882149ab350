//! Leases, limits and watches of a registrar that breaks now and then.

use super::*;
use crate::{
    agent::{Circle, Tenant},
    registrar::{ChangeKind, Limits, Renew, RosterError, RosterUpdate, WatchFrom, WatchRoster, Watching},
};

const LEASE: Duration = Duration::from_secs(10);

impl World {
    async fn leased(&self, names: &[&str]) -> Vec<AgentHandle> {
        let agents = self.sellers(names).await;
        let with_lease = |agent| {
            let mut enlistment = self.enlistment(agent);
            enlistment.request.lease = Some(LEASE);
            enlistment
        };
        let requests = self.asked(Enlist(agents.iter().map(with_lease).collect())).await.unwrap();
        assert!(requests.iter().all(|request| *request.status() == Status::Completed), "{requests:?}");
        agents
    }

    async fn renew(&self, agent: &str, generation: u64) -> Result<Timestamp, RosterError> {
        self.asked(Renew { agent: id(agent), generation }).await.unwrap()
    }

    fn expired(&self) -> Vec<(Timestamp, AgentId, u64)> {
        let events = self.events.lock().unwrap();
        let expired = events.iter().filter_map(|event| match event {
            RegistrarEvent::LeaseExpired { at, agent, generation, lease_us: 10_000_000 } => {
                Some((*at, agent.clone(), *generation))
            }
            _ => None,
        });
        expired.collect()
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs(seconds))
}

/// The next word, if it comes without time passing.
async fn now<T>(word: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(1), word).await.ok()
}

#[test]
fn an_agent_whose_lease_is_not_renewed_leaves_roster_and_routes_on_time() {
    paused(async {
        let world = World::fast().await;
        world.leased(&["a", "b"]).await;
        let unleased = world.sellers(&["c"]).await;
        world.enlist(&unleased).await.unwrap();
        let start = world.arbiters.hub().now();
        tokio::time::sleep(LEASE / 2).await;
        assert_eq!(world.renew("a", 0).await, Ok(world.arbiters.hub().now().plus(LEASE)));
        assert_eq!(
            world.renew("c", 0).await.unwrap_err().to_string(),
            "agent c has no lease: it stays until it is removed, and need not be renewed"
        );
        assert_eq!(world.status().await.leased, 2);
        tokio::time::sleep(LEASE / 2 + Duration::from_millis(2)).await;
        world.turns().await;
        world.assert_only(&["a", "c"]);
        assert_eq!(
            world.renew("b", 0).await.unwrap_err().to_string(),
            "agent b is not registered: register it first"
        );
        tokio::time::sleep(LEASE).await;
        world.turns().await;
        world.assert_only(&["c"]);
        let expired = world.expired();
        let late = |expired: &(Timestamp, AgentId, u64)| expired.0.since(start);
        let took: Vec<_> = expired.iter().map(late).collect();
        assert_eq!(expired.iter().map(|one| one.1.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        for (took, due) in took.iter().zip([LEASE, LEASE * 3 / 2]) {
            assert!(*took >= due && *took <= due + Duration::from_millis(3), "{took:?} instead of {due:?}");
        }
        // Nothing is left to wait for: with the clock paused, an hour is one step.
        assert_eq!(world.cell.lock().next_deadline(world.arbiters.hub().now()), None);
        // It lives on, and may come again, at once.
        assert_eq!(statuses(&world.enlist(&world.sellers(&["d"]).await).await.unwrap()), ["completed"]);
    });
}

#[test]
fn an_incarnation_that_was_followed_by_another_cannot_renew_the_lease() {
    paused(async {
        let world = World::fast().await;
        let agents = world.leased(&["a"]).await;
        let mut watching = world.cell.watch(WatchFrom::Revision(1));
        agents[0].inject_panic("on purpose");
        tokio::time::sleep(LEASE / 2).await;
        assert_eq!(agents[0].generation(), 1);
        // The later one has not been heard yet.
        let stale = world.renew("a", 0).await.unwrap_err();
        assert_eq!(stale, RosterError::Stale { agent: id("a"), present: 1, offered: 0 });
        assert_eq!(
            stale.to_string(),
            "agent a is at generation 1, so this word of generation 0 is out of date: let the present one speak"
        );
        assert!(world.renew("a", 1).await.is_ok());
        let Some(RosterUpdate::Change(change)) = watching.next().await else { panic!("a change") };
        assert_eq!((change.kind, change.generation, change.revision), (ChangeKind::Replaced, 1, 2));
        tokio::time::sleep(LEASE * 3 / 4).await;
        world.assert_only(&["a"]);
        assert!(world.renew("a", 0).await.is_err());
        tokio::time::sleep(LEASE / 2).await;
        world.assert_only(&[]);
        assert_eq!(world.expired()[0].2, 1);
    });
}

#[test]
fn leases_outlive_the_registrar_and_end_while_it_rests() {
    paused(async {
        let world = World::fast().await;
        world.leased(&["a", "b"]).await;
        tokio::time::sleep(LEASE / 2).await;
        world.break_registrar();
        world.turns().await;
        assert!(world.renew("b", 0).await.is_ok());
        world.rest_router().await;
        tokio::time::sleep(LEASE / 2 + Duration::from_millis(5)).await;
        world.break_registrar();
        tokio::time::sleep(2 * REST).await;
        world.assert_only(&["b"]);
        assert_eq!(world.expired().len(), 1);
    });
}

#[test]
fn an_agent_that_is_removed_takes_its_lease_along() {
    paused(async {
        let world = World::fast().await;
        let agents = world.leased(&["a"]).await;
        world.asked(Delist(vec![id("a")])).await.unwrap();
        assert_eq!(world.cell.lock().next_deadline(world.arbiters.hub().now()), None);
        assert_eq!(statuses(&world.enlist(&agents).await.unwrap()), ["completed"]);
        tokio::time::sleep(LEASE * 2).await;
        world.assert_only(&["a"]);
        assert!(world.expired().is_empty());
    });
}

#[test]
fn batches_under_way_at_once_keep_to_the_limits_together() {
    paused(async {
        let limits = Limits::default().kind(Kind::new("seller").unwrap(), 3);
        let options = RegistrarOptions { limits, ..batched_by(Strategy::Streaming) };
        let world = World::start(options, Rules::default()).await;
        let agents = world.sellers(&["a", "b", "c", "d", "e"]).await;
        world.enlist(&agents[..1]).await.unwrap();
        world.rest_router().await;
        let all = world.enlist(&agents[1..]);
        world.turns().await;
        assert_eq!(world.status().await.in_flight, 2);
        let requests = all.await.unwrap();
        let refusal = "failed: agent d is one too many of kind seller: 1 are registered and 2 being registered, of at most 3; \
                       remove some of them, or raise the limit";
        assert_eq!(statuses(&requests)[..3], ["completed", "completed", refusal]);
        world.assert_only(&["a", "b", "c"]);
        // Who leaves makes room, and a duplicate takes none.
        let twice = world.enlist(&agents[..1]).await.unwrap();
        assert_eq!(
            statuses(&twice),
            [
                "failed: agent id a is taken by generation 0 of a seller: choose another id, or remove it first"
            ]
        );
        world.asked(Delist(vec![id("a")])).await.unwrap();
        assert_eq!(statuses(&world.enlist(&agents[4..]).await.unwrap()), ["completed"]);
        world.break_registrar();
        world.turns().await;
        let refused = world.enlist(&agents[3..4]).await.unwrap();
        assert!(statuses(&refused)[0].contains("3 are registered and 0 being registered"), "{refused:?}");
        assert_eq!(world.status().await.agents, 3);
    });
}

#[test]
fn a_batch_that_comes_to_nothing_gives_its_places_back() {
    paused(async {
        let limits = Limits::default().per_tenant(1);
        let options = RegistrarOptions { limits, batch_timeout: REST / 2, ..RegistrarOptions::default() };
        let world = World::start(options, Rules::default()).await;
        let agents = world.sellers(&["a", "b", "c"]).await;
        let of = |agent: &AgentHandle, tenant: &str| {
            let mut enlistment = world.enlistment(agent);
            enlistment.request = enlistment.request.tenant(Tenant::new(tenant).unwrap());
            enlistment
        };
        world.rest_router().await;
        let late = world.asked(Enlist(vec![of(&agents[0], "acme")])).await.unwrap();
        assert!(statuses(&late)[0].starts_with("failed: the router did not confirm"), "{late:?}");
        tokio::time::sleep(2 * REST).await;
        let both = vec![of(&agents[0], "acme"), of(&agents[1], "acme"), of(&agents[2], "zeta")];
        let requests = world.asked(Enlist(both)).await.unwrap();
        let refusal = "failed: agent b is one too many of tenant acme: 0 are registered and 1 being registered, of at most 1; \
                       remove some of them, or raise the limit";
        assert_eq!(statuses(&requests), ["completed", refusal, "completed"]);
        let status = world.status().await;
        assert_eq!(status.tenants.values().copied().collect::<Vec<_>>(), [1, 1]);
        let lookup = Lookup { tenant: Some(Tenant::new("zeta").unwrap()), ..Lookup::default() };
        assert_eq!(world.asked(lookup).await.unwrap()[0].id(), &id("c"));
    });
}

#[test]
fn a_watcher_hears_each_change_once_whoever_breaks_and_a_slow_one_gets_a_snapshot() {
    paused(async {
        let options = RegistrarOptions { changes: 4, ..RegistrarOptions::default() };
        let world = World::start(options, Rules::default()).await;
        let mut quick = world.asked(WatchRoster(WatchFrom::Revision(0))).await.unwrap();
        let mut slow = world.cell.watch(WatchFrom::Revision(0));
        let mut fresh: Option<Watching> = None;
        assert!(now(quick.next()).await.is_none(), "nothing has changed");
        let agents = world.sellers(&["a", "b", "c", "d", "e", "f"]).await;
        let mut heard = Vec::new();
        for (number, agent) in agents.iter().enumerate() {
            let answer = world.enlist(std::slice::from_ref(agent));
            if number == 2 {
                world.break_registrar();
                fresh = Some(world.cell.watch(WatchFrom::Snapshot));
            }
            answer.await.unwrap();
            let Some(RosterUpdate::Change(change)) = quick.next().await else { panic!("it keeps up") };
            heard.push((change.revision, change.agent.to_string()));
        }
        let names = ["a", "b", "c", "d", "e", "f"];
        assert_eq!(heard, (1..).zip(names.map(str::to_owned)).collect::<Vec<_>>());
        world.asked(Delist(vec![id("b")])).await.unwrap();
        for (watching, is_behind) in [(&mut slow, true), (fresh.as_mut().unwrap(), false)] {
            let Some(RosterUpdate::Snapshot { revision, agents, missed }) = watching.next().await else {
                panic!("a snapshot")
            };
            let agents: Vec<_> = agents.iter().map(|one| one.agent.as_str()).collect();
            assert_eq!((revision, agents), (7, vec!["a", "c", "d", "e", "f"]));
            let why = "revision 0 is too old: changes are held since 3; read the roster again";
            assert_eq!(missed.map(|missed| missed.to_string()), is_behind.then(|| why.to_owned()));
            assert!(now(watching.next()).await.is_none());
        }
        world.enlist(&agents[1..2]).await.unwrap();
        for watching in [&mut slow, fresh.as_mut().unwrap()] {
            assert_eq!(watching.next().await.map(|update| update.revision()), Some(8));
        }
        let ahead = world.cell.watch(WatchFrom::Revision(99)).next().await;
        assert!(
            matches!(ahead, Some(RosterUpdate::Snapshot { revision: 8, missed: Some(_), .. })),
            "{ahead:?}"
        );
        drop((slow, fresh));
        let ends = actix_rt::spawn(async move { while quick.next().await.is_some() {} });
        world.registrar.kill();
        world.turns().await;
        drop(world);
        ends.await.unwrap();
    });
}

#[test]
fn agents_are_found_by_place_and_metadata_together_with_all_else() {
    paused(async {
        let world = World::fast().await;
        let agents = world.sellers(&["a", "b", "c"]).await;
        let mut enlistments: Vec<_> = agents.iter().map(|agent| world.enlistment(agent)).collect();
        Arc::make_mut(&mut enlistments[1].request.profile).location = Some("1.5, -2.001".to_owned());
        Arc::make_mut(&mut enlistments[2].request.profile).metadata.insert("zone".to_owned(), 7.into());
        world.asked(Enlist(enlistments)).await.unwrap();
        let within = |radius| Some(Circle::new(1.5, -2.0, radius).unwrap());
        let zone = || vec![("note".to_owned(), "n".into()), ("zone".to_owned(), 7.into())];
        let sell = || vec![Capability::new("sell").unwrap()];
        for (lookup, expected) in [
            (Lookup { within: within(1.0), ..Lookup::default() }, "a c"),
            (Lookup { within: within(200.0), all_of: sell(), ..Lookup::default() }, "a b c"),
            (Lookup { within: within(200.0), limit: Some(2), ..Lookup::default() }, "a b"),
            (Lookup { within: within(1.0), metadata: zone(), ..Lookup::default() }, "c"),
            (Lookup { metadata: vec![("note".to_owned(), "other".into())], ..Lookup::default() }, ""),
            (Lookup { limit: Some(0), ..Lookup::default() }, ""),
        ] {
            let found = world.asked(lookup.clone()).await.unwrap();
            let found: Vec<_> = found.iter().map(|agent| agent.id().as_str()).collect();
            assert_eq!(found.join(" "), expected, "{lookup:?}");
        }
    });
}

#[test]
fn an_agent_whose_place_ran_out_at_a_certain_second_is_not_found_a_moment_later() {
    paused(async {
        let world = World::fast().await;
        world.leased(&["a"]).await;
        let ends = world.cell.with_roster(|roster| roster.get(&id("a")).unwrap().lease_ends()).unwrap();
        assert!(ends >= at(10) && ends < at(11), "{ends}");
        tokio::time::sleep(ends.since(world.arbiters.hub().now()) + Duration::from_millis(2)).await;
        assert!(world.asked(Lookup::default()).await.unwrap().is_empty());
        assert!(world.cell.lookup(&Lookup::default()).is_empty());
    });
}
