//! Schedules of faults, drawn from seeds: whatever breaks, every request ends in a stated result, and whoever is answered that
//! its agent is registered reaches it at that moment.

use std::{
    cell::Cell,
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Passes,
    IsSlow,
    Refuses,
    Panics,
    Hangs,
}

/// What may be said of a request that failed.
const REASONS: [&str; 9] = [
    "no licence",
    "a validation rule panicked over it",
    "its validation took longer than",
    "it was not completed within",
    "ended before it was registered",
    "was removed before it was registered",
    "was removed while it was being registered",
    "is being registered by",
    "is taken by generation",
];

fn conduct(random: &mut ChaCha8Rng) -> Conduct {
    use Conduct::{Hangs, IsSlow, Panics, Passes, Refuses};
    [Passes, Passes, Passes, IsSlow, IsSlow, Refuses, Panics, Hangs][random.random_range(0..8)]
}

/// Rules by which each agent is treated as it conducts itself.
fn rules_of(conducts: Vec<Conduct>, random: &mut ChaCha8Rng) -> Rules {
    let rules = Rules::none().at_once(random.random_range(1..6)).validated_within(Duration::from_millis(300));
    rules.and_async(move |request: Arc<Request>| {
        let nth: usize = request.agent.as_str()["seller/".len()..].parse().unwrap();
        let conduct = conducts[nth];
        async move {
            match conduct {
                Conduct::Passes => Ok(()),
                Conduct::IsSlow => {
                    tokio::time::sleep(Duration::from_millis(7 * nth as u64 + 1)).await;
                    Ok(())
                }
                Conduct::Refuses => Err("no licence".to_owned()),
                Conduct::Panics => panic!("on purpose"),
                Conduct::Hangs => pending().await,
            }
        }
    })
}

async fn play(seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let names: Vec<String> = (0..12).map(|n| format!("seller/{n}")).collect();
    let conducts: Vec<Conduct> = names.iter().map(|_| conduct(&mut random)).collect();
    let has_async_rules = random.random_range(0..4) > 0;
    let rules = if has_async_rules { rules_of(conducts.clone(), &mut random) } else { Rules::none() };
    let strategies = [
        Strategy::ADAPTIVE,
        Strategy::Streaming,
        Strategy::FIXED_SIZE,
        Strategy::PRIORITY_BASED,
        Strategy::TimeBased { window: Duration::from_millis(200), size: 5 },
    ];
    let world = World::start(batched_by(strategies[random.random_range(0..5)]), rules).await;
    let agents = world.sellers(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut answers = Vec::new();
    let mut killed = BTreeSet::new();
    for nth in 0..names.len() {
        let mut enlistment = world.enlistment(&agents[nth]);
        if random.random_range(0..3) == 0 {
            enlistment.request =
                enlistment.request.within(Duration::from_millis(random.random_range(1..1500)));
        }
        let (agent, directory, cell) = (agents[nth].clone(), world.directory.clone(), world.cell.clone());
        let bids = world.bids();
        let answer = world.asked(Enlist(vec![enlistment]));
        answers.push(actix_rt::spawn(async move {
            let request = answer.await.unwrap().remove(0);
            let is_routed = directory.agent(agent.id()).is_some();
            let is_listed = cell.with_roster(|roster| roster.get(agent.id()).is_some());
            let completed = *request.status() == Status::Completed;
            if completed {
                assert!(is_routed && is_listed, "{} is not reached when it is answered", request.agent);
                assert!(bids.recipients() > 0);
            }
            request
        }));
        for _ in 0..random.random_range(0..4) {
            match random.random_range(0..6) {
                0 => world.break_registrar(),
                1 => world.router.handle().inject_panic("on purpose"),
                2 => {
                    let nth = random.random_range(0..names.len());
                    agents[nth].kill();
                    killed.insert(agents[nth].id().clone());
                }
                3 => tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await,
                _ => {
                    for _ in 0..random.random_range(0..6) {
                        tokio::task::yield_now().await;
                    }
                }
            }
            world.cell.verify().unwrap();
        }
    }
    let mut registered = BTreeSet::new();
    for (nth, answer) in answers.into_iter().enumerate() {
        let request = tokio::time::timeout(Duration::from_mins(1), answer).await;
        let request = request.unwrap_or_else(|_| panic!("{} is never answered", names[nth])).unwrap();
        match request.status() {
            Status::Completed => {
                registered.insert(request.agent.clone());
                let is_well = matches!(conducts[nth], Conduct::Passes | Conduct::IsSlow);
                assert!(is_well || !has_async_rules, "{request:?}");
            }
            Status::Failed(reason) => {
                assert!(REASONS.iter().any(|one| reason.contains(one)), "{reason}");
                let ended = killed.contains(&request.agent);
                assert!(ended || !reason.contains("ended before"), "{request:?}");
            }
            other => panic!("{other}"),
        }
    }
    tokio::time::sleep(2 * REST).await;
    assert_eq!((&world.registered(), &world.routed()), (&registered, &registered));
    let status = world.status().await;
    assert_eq!((status.waiting, status.validating, status.in_flight), (0, 0, 0));
    assert_eq!(status.completed + status.failed, 12);
}

#[test]
fn whatever_breaks_every_request_ends_in_a_stated_result() {
    for seed in 0..400 {
        let played = catch_unwind(|| paused(play(seed)));
        assert!(played.is_ok(), "with seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_ends_at_the_same_times() {
    let run = || {
        paused(async {
            let rules = Rules::none().at_once(3).validated_within(Duration::from_millis(40)).and_async(
                |request: Arc<Request>| async move {
                    tokio::time::sleep(Duration::from_millis(request.id.0 * 13 % 50)).await;
                    if request.id.0.is_multiple_of(7) { Err("no licence".to_owned()) } else { Ok(()) }
                },
            );
            let world = World::start(RegistrarOptions::default(), rules).await;
            let names: Vec<String> = (0..40).map(|n| format!("seller/{n}")).collect();
            let agents = world.sellers(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
            let answer = world.enlist(&agents);
            tokio::time::sleep(Duration::from_millis(20)).await;
            world.break_registrar();
            serde_json::to_string(&answer.await.unwrap()).unwrap()
        })
    };
    assert_eq!(run(), run());
}

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Ping;

thread_local! {
    static PINGED: Cell<usize> = const { Cell::new(0) };
}

#[derive(Default)]
struct Pinged;

impl Actor for Pinged {
    type Context = Context<Self>;
}
impl Supervised for Pinged {}
impl Handler<Ping> for Pinged {
    type Result = ();
    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {
        PINGED.set(PINGED.get() + 1);
    }
}
impl Agent for Pinged {
    fn card(&self) -> Card<Self> {
        Card::new().offers("ping").accepts::<Ping>()
    }
}

#[test]
fn a_publisher_reaches_an_agent_at_the_moment_its_request_is_answered() {
    paused(async {
        let world = World::start(batched_by(Strategy::Streaming), Rules::default()).await;
        let pings =
            world.directory.publisher::<Ping>(&Selector::Capability(Capability::new("ping").unwrap()));
        let published = Arc::new(AtomicUsize::new(0));
        let mut answers = Vec::new();
        for n in 0..20 {
            let agent = world.arbiters.spawn(id(&format!("p/{n}")), |_| Pinged, SpawnOptions::default());
            let agent = agent.await.unwrap().handle();
            let (answer, pings, published) = (world.enlist(&[agent]), pings.clone(), published.clone());
            if n % 5 == 0 {
                world.break_registrar();
            }
            answers.push(actix_rt::spawn(async move {
                assert_eq!(statuses(&answer.await.unwrap()), ["completed"]);
                let recipients = pings.publish(Ping).unwrap().recipients;
                assert!(recipients > n, "{recipients} at the {n}th");
                published.fetch_add(recipients, Ordering::Relaxed);
            }));
        }
        for answer in answers {
            answer.await.unwrap();
        }
        world.turns().await;
        assert_eq!(PINGED.get(), published.load(Ordering::Relaxed));
        assert!(PINGED.get() >= (1..=20).sum());
    });
}
