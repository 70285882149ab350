//! Who is registered on a host: found by all that is known of them, watched, and for how long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use phalanx::{
    agent::{AgentId, Tenant},
    coordinator::TaskState,
    host::FindError,
    prelude::*,
    registrar::{
        BatcherOptions, CancelError, ChangeKind, Limits, RegistrarOptions, Request, RequestId, RosterError,
        RosterUpdate, Rules, Status, WatchFrom,
    },
    supervisor::SpawnError,
};

use crate::support::Worker;

struct Shop {
    place: (f64, f64),
}

impl Actor for Shop {
    type Context = Context<Self>;
}
impl Supervised for Shop {}
impl Agent for Shop {
    fn card(&self) -> Card<Self> {
        Card::new().offers("sell").tenant("acme").with("zone", "a").at(self.place.0, self.place.1)
    }
}

async fn shop(host: &Host, name: &str, place: (f64, f64)) {
    host.spawn(name, move || Shop { place }).await.unwrap();
}

fn names(agents: &[AgentHandle]) -> String {
    agents.iter().map(|agent| agent.id().as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn agents_are_found_by_all_that_is_said_at_once_in_the_order_of_registration() {
    simulate(7, |host| async move {
        // On both sides of the date line, and near the pole.
        for (name, place) in
            [("west", (0.0, 179.9)), ("east", (0.0, -179.9)), ("north", (89.9, 10.0)), ("far", (0.0, 0.0))]
        {
            shop(&host, name, place).await;
        }
        let other = AgentOptions {
            tenant: Some(Tenant::new("zeta").unwrap()),
            metadata: vec![("zone".into(), "b".into())],
            ..AgentOptions::default()
        };
        host.spawn_with("other", other, |_| Shop { place: (0.0, 180.0) }).await.unwrap();
        let found = |find: phalanx::host::Find<'_>| names(&find.all().unwrap());
        assert_eq!(found(host.find()), "west east north far other");
        assert_eq!(found(host.find().within(0.0, 180.0, 12_000.0)), "west east other");
        assert_eq!(names(&host.find().within(0.0, 180.0, 12_000.0).first(2).unwrap()), "west east");
        assert_eq!(found(host.find().within(90.0, -170.0, 12_000.0)), "north");
        assert_eq!(found(host.find().within(0.0, 180.0, 12_000.0).with("zone", "b").kind("shop")), "other");
        assert_eq!(found(host.find().tenant("zeta").offers("sell")), "other");
        assert_eq!(
            found(host.find().offers_any(["sell", "buy"]).tenant("acme").with("zone", "a")),
            "west east north far"
        );
        assert_eq!(found(host.find().offers("sell").offers("buy")), "");
        assert_eq!(found(host.find().offers_any(["buy"]).offers_any(["sell"]).tenant("zeta")), "other");
        assert_eq!(found(host.find().offers_any([""; 0])), "", "none of none");
        let faults = [
            host.find().kind("").all(),
            host.find().within(91.0, 0.0, 1.0).all(),
            host.find().within(0.0, 0.0, -1.0).first(1),
        ];
        assert!(
            matches!(faults[0], Err(FindError::Name(_)))
                && faults[1..].iter().all(|fault| matches!(fault, Err(FindError::Circle(_))))
        );
        host.verify().unwrap();
        Ok::<_, HostError>(())
    })
    .unwrap();
}

#[test]
fn a_lease_that_is_not_renewed_takes_an_agent_off_its_routes_and_leaves_it_alive() {
    simulate(7, |host| async move {
        let options = AgentOptions { lease: Some(Duration::from_secs(30)), ..AgentOptions::default() };
        let agent = host.spawn_with("a", options, |_| Shop { place: (0.0, 0.0) }).await.unwrap();
        let mut watching = host.watch_roster(WatchFrom::Snapshot);
        assert_eq!(watching.next().await.unwrap().revision(), 1);
        host.sleep(Duration::from_secs(20)).await;
        let ends = host.renew(agent.id(), 0).await.unwrap();
        assert_eq!(ends, host.now().plus(Duration::from_secs(30)));
        assert!(matches!(
            host.renew(&AgentId::new("b").unwrap(), 0).await,
            Err(HostError::Roster(RosterError::Unknown(_)))
        ));
        host.sleep(Duration::from_secs(20)).await;
        assert_eq!(names(&host.find().all().unwrap()), "a");
        let Some(RosterUpdate::Change(change)) = watching.next().await else { panic!("it leaves") };
        assert_eq!((change.kind, change.agent.as_str()), (ChangeKind::Removed, "a"));
        let late = host.now().since(ends);
        assert!(late <= Duration::from_millis(2), "{late:?}");
        host.sleep(Duration::from_millis(1)).await;
        assert!(host.agent("a").is_err(), "it is on no route");
        host.verify().unwrap();
        assert_eq!(host.agents(), 1, "it lives on");
        let report = host.shutdown(Duration::from_secs(600)).await;
        assert_eq!((report.blocked, report.killed), (0, 0), "it is stopped like any other");
        assert!(host.now().since(ends) < Duration::from_secs(60), "and not waited for");
        assert_eq!(watching.next().await, None, "nothing changes any more");
        Ok::<_, HostError>(())
    })
    .unwrap();
}

#[test]
fn a_worker_whose_lease_has_ended_is_given_no_task_until_it_is_registered_again() {
    simulate(7, |host| async move {
        let lease = AgentOptions { lease: Some(Duration::from_secs(30)), ..AgentOptions::default() };
        let leased = host.spawn_with("leased", lease, |_| Worker).await.unwrap();
        let task = async |name: &str| {
            let id = name.parse().unwrap();
            host.submit(vec![TaskSpec::new(name.parse().unwrap())]).await.unwrap();
            host.task(&id).await.unwrap().state
        };
        assert_eq!(task("before").await, TaskState::Completed);
        host.sleep(Duration::from_secs(40)).await;
        let after = task("after");
        tokio::pin!(after);
        tokio::select! {
            state = &mut after => panic!("nobody is there to do it: {state:?}"),
            () = host.sleep(Duration::from_secs(40)) => {}
        }
        // It comes back as what it was.
        host.register_again(&leased.handle(), &AgentOptions::default()).await.unwrap();
        assert_eq!(after.await, TaskState::Completed);
        assert_eq!(names(&host.find().all().unwrap()), "leased");
        let twice = host.register_again(&leased.handle(), &AgentOptions::default()).await.unwrap_err();
        assert!(twice.to_string().contains("agent id leased is taken"), "{twice}");
        assert_eq!(host.agents(), 1, "it lives on");
        leased.kill();
        host.sleep(Duration::from_millis(1)).await;
        let ended = host.register_again(&leased.handle(), &AgentOptions::default()).await.unwrap_err();
        assert!(ended.to_string().contains("ended before it was registered"), "{ended}");
        host.verify().unwrap();
        Ok::<_, HostError>(())
    })
    .unwrap();
}

#[test]
fn one_agent_too_many_of_a_tenant_is_refused_and_killed() {
    let system = System::new();
    system.block_on(async {
        let limits = Limits::default().tenant(Tenant::new("acme").unwrap(), 2);
        let options = RegistrarOptions { limits, ..RegistrarOptions::default() };
        let host = Host::builder().arbiters(2).registration(options).start().await.unwrap();
        shop(&host, "a", (0.0, 0.0)).await;
        shop(&host, "b", (0.0, 0.0)).await;
        let refused = host.spawn("c", || Shop { place: (0.0, 0.0) }).await.unwrap_err();
        let SpawnError::Unregistered { why, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(
            why,
            "failed: agent c is one too many of tenant acme: 2 are registered and 0 being registered, of at most 2; remove some \
             of them, or raise the limit"
        );
        host.agent("a").unwrap().kill();
        let mut watching = host.watch_roster(WatchFrom::Revision(2));
        assert_eq!(watching.next().await.unwrap().revision(), 3);
        shop(&host, "d", (0.0, 0.0)).await;
        host.shutdown(Duration::from_secs(5)).await;
    });
}

#[test]
fn thousands_are_registered_in_their_order_and_all_of_them_or_none() {
    let limits = Limits::default().tenant(Tenant::new("acme").unwrap(), 20_000);
    System::new().block_on(async {
        let options = RegistrarOptions { limits, ..RegistrarOptions::default() };
        let host = Host::builder().arbiters(2).registration(options).start().await.unwrap();
        let ids = |name: &str, count: u32| -> Vec<AgentId> {
            (0..count).map(|number| AgentId::new(format!("{name}/{number}")).unwrap()).collect()
        };
        let (first, second) = (ids("first", 19_000), ids("second", 18_000));
        let spawn = async |ids: &[AgentId]| {
            host.spawn_many(ids.to_vec(), AgentOptions::default(), |_| Shop { place: (0.0, 0.0) }).await
        };
        spawn(&first).await.unwrap();
        let registered: Vec<AgentId> =
            host.find().all().unwrap().iter().map(|agent| agent.id().clone()).collect();
        assert_eq!(registered, first);
        // The first portion of these still finds room.
        let refused = spawn(&second).await.unwrap_err();
        assert!(refused.to_string().contains("is one too many of tenant acme"), "{refused}");
        while host.agents() > first.len() {
            tokio::task::yield_now().await;
        }
        assert_eq!(host.find().all().unwrap().len(), first.len());
        host.verify().unwrap();
        host.shutdown(Duration::from_secs(30)).await;
    });
}

#[test]
fn a_watcher_on_another_thread_keeps_up_with_thousands_who_come_and_go() {
    let system = System::new();
    system.block_on(async {
        let registration = RegistrarOptions { changes: 100, ..RegistrarOptions::default() };
        let host = Host::builder().arbiters(2).registration(registration).start().await.unwrap();
        let mut watching = host.watch_roster(WatchFrom::Snapshot);
        let reader = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (mut known, mut revision) = (std::collections::BTreeSet::new(), None);
                while revision != Some(4_000) {
                    let update = watching.next().await.expect("the host lives");
                    match update {
                        RosterUpdate::Snapshot { agents, revision: at, .. } => {
                            assert!(revision.is_none_or(|revision| at > revision));
                            known = agents.into_iter().map(|one| one.agent).collect();
                            revision = Some(at);
                        }
                        RosterUpdate::Change(change) => {
                            assert_eq!(Some(change.revision), revision.map(|revision| revision + 1));
                            revision = Some(change.revision);
                            let changed = match change.kind {
                                ChangeKind::Inserted => known.insert(change.agent),
                                _ => known.remove(&change.agent),
                            };
                            assert!(changed, "it fits what was known");
                        }
                    }
                }
                known
            })
        });
        let ids: Vec<_> = (0..3_000).map(|n| AgentId::new(format!("shop/{n}")).unwrap()).collect();
        let agents =
            host.spawn_many(ids, AgentOptions::default(), |_| Shop { place: (1.0, 1.0) }).await.unwrap();
        agents[..1_000].iter().for_each(AgentRef::kill);
        let known = reader.join().unwrap();
        assert_eq!(known.len(), 2_000);
        assert!(
            known
                .iter()
                .eq(agents[1_000..].iter().map(AgentRef::id).collect::<std::collections::BTreeSet<_>>())
        );
        host.shutdown(Duration::from_secs(5)).await;
    });
}

/// Runs a program on a host of two threads.
fn live<P: Future<Output = ()>>(builder: HostBuilder, program: impl FnOnce(Host) -> P) {
    System::new().block_on(async {
        let host = builder.arbiters(2).start().await.unwrap();
        program(host.clone()).await;
        host.shutdown(Duration::from_secs(5)).await;
    });
}

#[test]
fn whoever_was_refused_may_try_again_at_once() {
    for _ in 0..5 {
        let asked = Arc::new(AtomicUsize::new(0));
        let rules = Rules::none().and(move |_: &Request| {
            if asked.fetch_add(1, Ordering::Relaxed) < 3 { Err("not yet".to_owned()) } else { Ok(()) }
        });
        let builder = Host::builder().rules(rules);
        live(builder, |host| async move {
            for nth in 0..3 {
                let refused = host.spawn("a", || Shop { place: (0.0, 0.0) }).await.unwrap_err();
                assert!(refused.to_string().contains("not yet"), "the {nth}th time: {refused}");
            }
            host.spawn("a", || Shop { place: (0.0, 0.0) }).await.unwrap();
            assert_eq!(names(&host.find().all().unwrap()), "a");
        });
    }
}

#[test]
fn more_agents_than_requests_may_wait_are_registered_part_by_part() {
    for capacity in [1, 2, 10] {
        let batcher = BatcherOptions { capacity, ..BatcherOptions::default() };
        let builder =
            Host::builder().registration(RegistrarOptions { batcher, ..RegistrarOptions::default() });
        live(builder, |host| async move {
            let ids = (0..101).map(|nth| format!("shop/{nth}").parse().unwrap()).collect();
            host.spawn_many(ids, AgentOptions::default(), |_| Shop { place: (0.0, 0.0) }).await.unwrap();
            assert_eq!(host.find().all().unwrap().len(), 101);
        });
    }
}

#[test]
fn a_program_numbers_asks_about_and_takes_back_its_own_registrations() {
    let rules = Rules::none().and_async(|request: Arc<Request>| async move {
        if request.agent.as_str() == "slow" {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    live(Host::builder().rules(rules), |host| async move {
        let numbered = |number| AgentOptions { request: Some(number), ..AgentOptions::default() };
        let spawn = |id: &'static str, number| {
            let host = host.clone();
            async move { host.spawn_with(id, numbered(number), |_| Shop { place: (0.0, 0.0) }).await }
        };
        let (slow, quick) = (RequestId::own(1), RequestId::own(2));
        let spawned = actix_rt::spawn(spawn("slow", slow));
        let validating = loop {
            if let Some(request) = host.request(slow).await.unwrap() {
                break request;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(validating.status(), &Status::Validating);
        let cancelled = host.cancel(slow).await.unwrap();
        assert_eq!(cancelled.status(), &Status::Cancelled);
        let why = spawned.await.unwrap().unwrap_err().to_string();
        assert!(why.contains("cancelled"), "{why}");
        assert_eq!(host.agents(), 0);
        assert_eq!(host.request(slow).await.unwrap().as_ref(), Some(&cancelled));

        let agent = spawn("quick", quick).await.unwrap();
        assert_eq!(host.request(quick).await.unwrap().unwrap().status(), &Status::Completed);
        let late = host.cancel(quick).await;
        assert!(matches!(late, Err(HostError::Cancel(CancelError::Late { .. }))), "{late:?}");
        let never = host.cancel(RequestId::own(3)).await;
        assert!(matches!(never, Err(HostError::Cancel(CancelError::Unknown(_)))), "{never:?}");

        // Its number is used up, also when it is gone; and what the host gives out is not for programs.
        let mut watching = host.watch_roster(WatchFrom::Snapshot);
        watching.next().await.unwrap();
        agent.kill();
        watching.next().await.unwrap();
        while host.agents() > 0 {
            tokio::task::yield_now().await;
        }
        let again = spawn("quick", quick).await.unwrap_err().to_string();
        assert!(again.contains("completed before, and its agent is not registered"), "{again}");
        let given = spawn("quick", RequestId(5)).await.unwrap_err().to_string();
        assert!(given.contains("request 5 is among the numbers that the host gives out"), "{given}");
        let ids = ["a", "b"].map(|id| id.parse().unwrap()).to_vec();
        let both = host.spawn_many(ids, numbered(RequestId::own(4)), |_| Shop { place: (0.0, 0.0) }).await;
        assert!(both.unwrap_err().to_string().contains("is for 2 agents at once"));
        for n in 0..8 {
            shop(&host, &format!("shop/{n}"), (0.0, 0.0)).await;
        }
    });
}
