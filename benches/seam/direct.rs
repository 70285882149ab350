//! One to one: telling, asking, and coming back after a panic.

use std::{rc::Rc, time::Duration};

use actix::Actor;
use phalanx_actors::{
    agent::AgentId,
    inbox::AgentRef,
    router::Arbiters,
    supervisor::{Backoff, Intensity, SpawnOptions},
};

use crate::{
    actors::{Count, Counter, Poison, Question, Small},
    pair::{Pair, Rig, Run, Verdict},
};

/// How many messages a burst has.
const BURST: u64 = 256;

async fn agent(arbiters: &Arbiters) -> AgentRef<Counter> {
    let mut options = SpawnOptions::default();
    options.supervision.backoff = Backoff::NONE;
    options.supervision.intensity = Intensity { restarts: u32::MAX, within: Duration::from_millis(1) };
    let id = AgentId::new("counter").expect("a name");
    arbiters.spawn(id, |_| Counter::new(), options).await.expect("it has a valid card")
}

/// Waits on the thread that the work is done on.
async fn handled(goal: u64) {
    while Count::total() < goal {
        tokio::task::yield_now().await;
    }
}

/// Waits for another thread.
fn spin(goal: u64) {
    while Count::total() < goal {
        std::hint::spin_loop();
    }
}

fn wait(goal: u64) {
    while Count::total() < goal {
        std::thread::yield_now();
    }
}

async fn in_bursts(messages: u64, burst: u64, mut tell: impl FnMut(u64)) {
    let mut told = 0;
    while told < messages {
        let size = burst.min(messages - told);
        let goal = Count::total() + size;
        (0..size).for_each(|at| tell(told + at));
        told += size;
        handled(goal).await;
    }
}

/// Telling on one arbiter, `burst` messages before the agent gets its turn.
fn tell_here(rig: &Rc<Rig>, name: &str, burst: u64, most: f64) -> Pair {
    let rig = rig.clone();
    Pair {
        name: name.to_owned(),
        verdict: Verdict::Cost(Some(most)),
        messages: 1,
        least: [1, 1],
        make: Box::new(move || {
            let agent = rig.system.block_on(agent(&rig.here));
            let address = rig.system.block_on(async { Counter::new().start() });
            let (ours, theirs) = (rig.clone(), rig.clone());
            let phalanx: Run = Box::new(move |messages| {
                ours.time(in_bursts(messages, burst, |n| agent.tell(Small(n, 1)).expect("there is room")))
            });
            let actix: Run = Box::new(move |messages| {
                theirs.time(in_bursts(messages, burst, |n| address.do_send(Small(n, 1))))
            });
            (phalanx, actix)
        }),
    }
}

/// Telling an agent of another arbiter, waiting after each burst.
fn tell_there(rig: &Rc<Rig>, name: &str, burst: u64, wait: fn(u64)) -> Pair {
    fn run(messages: u64, burst: u64, wait: fn(u64), tell: impl Fn(u64)) {
        let mut told = 0;
        while told < messages {
            let size = burst.min(messages - told);
            let goal = Count::total() + size;
            (0..size).for_each(|at| tell(told + at));
            told += size;
            wait(goal);
        }
    }
    let rig = rig.clone();
    Pair {
        name: name.to_owned(),
        verdict: Verdict::Cost(None),
        messages: 1,
        least: [1, 1],
        make: Box::new(move || {
            let agent = rig.system.block_on(agent(&rig.there));
            let address = rig.start_plain(0, Counter::new, 1).remove(0);
            let (ours, theirs) = (rig.clone(), rig.clone());
            let phalanx: Run = Box::new(move |messages| {
                ours.time(async {
                    run(messages, burst, wait, |n| agent.tell(Small(n, 1)).expect("there is room"));
                })
            });
            let actix: Run = Box::new(move |messages| {
                theirs.time(async { run(messages, burst, wait, |n| address.do_send(Small(n, 1))) })
            });
            (phalanx, actix)
        }),
    }
}

/// Asking, one question at a time.
fn ask(rig: &Rc<Rig>, name: &str, is_here: bool) -> Pair {
    let rig = rig.clone();
    Pair {
        name: name.to_owned(),
        verdict: Verdict::Cost(None),
        messages: 1,
        least: [1, 1],
        make: Box::new(move || {
            let arbiters = if is_here { &rig.here } else { &rig.there };
            let agent = rig.system.block_on(agent(arbiters));
            let address = if is_here {
                rig.system.block_on(async { Counter::new().start() })
            } else {
                rig.start_plain(0, Counter::new, 1).remove(0)
            };
            let (ours, theirs) = (rig.clone(), rig.clone());
            let phalanx: Run = Box::new(move |questions| {
                ours.time(async {
                    for n in 0..questions {
                        assert_eq!(agent.ask(Question(n)).await, Ok(n + 1));
                    }
                })
            });
            let actix: Run = Box::new(move |questions| {
                theirs.time(async {
                    for n in 0..questions {
                        assert_eq!(address.send(Question(n)).await.ok(), Some(n + 1));
                    }
                })
            });
            (phalanx, actix)
        }),
    }
}

/// A panic, and the next message handled by a fresh instance. With actix the next actor is started by hand.
fn restart(rig: &Rc<Rig>) -> Pair {
    let rig = rig.clone();
    Pair {
        name: "panic, catch, restart, next message".to_owned(),
        verdict: Verdict::Cost(None),
        messages: 1,
        least: [1, 1],
        make: Box::new(move || {
            let agent = rig.system.block_on(agent(&rig.here));
            let (ours, theirs) = (rig.clone(), rig.clone());
            let phalanx: Run = Box::new(move |panics| {
                ours.time(async {
                    for n in 0..panics {
                        let goal = Count::total() + 1;
                        agent.tell(Poison).expect("there is room");
                        agent.tell(Small(n, 1)).expect("there is room");
                        handled(goal).await;
                    }
                })
            });
            let actix: Run = Box::new(move |panics| {
                theirs.time(async {
                    let mut address = Counter::new().start();
                    for n in 0..panics {
                        let goal = Count::total() + 1;
                        address.do_send(Poison);
                        while address.connected() {
                            tokio::task::yield_now().await;
                        }
                        address = Counter::new().start();
                        address.do_send(Small(n, 1));
                        handled(goal).await;
                    }
                })
            });
            (phalanx, actix)
        }),
    }
}

pub(crate) fn pairs(rig: &Rc<Rig>) -> Vec<Pair> {
    vec![
        tell_here(rig, "tell, same arbiter, lone", 1, 1.3),
        tell_here(rig, "tell, same arbiter, bursts of 256", BURST, 1.3),
        tell_there(rig, "tell, across arbiters, lone, until handled", 1, spin),
        tell_there(rig, "tell, across arbiters, bursts of 256", BURST, wait),
        ask(rig, "ask, same arbiter", true),
        ask(rig, "ask, across arbiters", false),
        restart(rig),
    ]
}

/// A pause between measurements lets what was dropped go.
pub(crate) fn settle(rig: &Rig) {
    rig.time(async { tokio::time::sleep(Duration::from_millis(20)).await });
}
