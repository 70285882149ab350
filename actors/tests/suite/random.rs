//! Random operations on one inbox against a plain model.

use std::{collections::VecDeque, time::Duration};

use phalanx_actors::{
    agent::{Lane, Priority, Reason},
    inbox::{OverflowPolicy, SendOptions},
    supervisor::{Backoff, Intensity, RestartPolicy, SpawnOptions, Supervision},
};
use proptest::{prelude::*, test_runner::TestCaseError};

use crate::support::*;

#[derive(Debug, Clone, Copy)]
enum Op {
    /// Tell, in this lane, with or without a deadline that passes in the next `Advance`.
    Tell(usize, bool),
    /// Tell it to panic.
    Poison(usize),
    /// Publish so many, all in the same lane.
    Publish(usize, u8),
    /// Let what is held be handled, some 10 ms later.
    Handle,
    /// Let overdue messages become so.
    Advance,
    Stop,
    Kill,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1..6usize, any::<bool>()).prop_map(|(lane, ttl)| Op::Tell(lane, ttl)),
        1 => (1..6usize).prop_map(Op::Poison),
        4 => (1..6usize, 1..6u8).prop_map(|(lane, n)| Op::Publish(lane, n)),
        3 => Just(Op::Handle),
        1 => Just(Op::Advance),
        1 => Just(Op::Stop),
        1 => Just(Op::Kill),
    ]
}

#[derive(Debug, Clone, Copy)]
struct Held {
    number: u32,
    overdue_at: Option<u64>,
    poison: bool,
}

#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Tally {
    sent: u64,
    delivered: u64,
    reasons: std::collections::BTreeMap<Reason, u64>,
}

impl Tally {
    fn lose(&mut self, reason: Reason) {
        *self.reasons.entry(reason).or_default() += 1;
    }
}

/// One list per lane, what is parked outside, and the tally.
struct Model {
    capacity: usize,
    overflow: OverflowPolicy,
    lanes: [VecDeque<Held>; 6],
    parked: VecDeque<(usize, Held)>,
    seen: Vec<u32>,
    tally: Tally,
    closed: bool,
    ended: bool,
    now: u64,
}

impl Model {
    fn waiting(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    fn drop_oldest(&mut self, lane: usize) {
        while self.waiting() > self.capacity {
            let lowest = (lane..6).rev().find(|lane| !self.lanes[*lane].is_empty()).unwrap();
            self.lanes[lowest].pop_front();
            self.tally.lose(Reason::DroppedOldest);
        }
    }

    /// What a tell is answered.
    fn tell(&mut self, lane: usize, held: Held) -> Option<Reason> {
        self.tally.sent += 1;
        let full = self.waiting() >= self.capacity;
        let refusal = match self.overflow {
            _ if self.closed => Some(Reason::Closed),
            OverflowPolicy::DropNewest if full => Some(Reason::DroppedNewest),
            OverflowPolicy::Wait | OverflowPolicy::Reject if full => Some(Reason::Full),
            // `drop_oldest` takes anything.
            _ => None,
        };
        if let Some(reason) = refusal {
            self.tally.lose(reason);
        } else {
            self.lanes[lane].push_back(held);
            self.drop_oldest(lane);
        }
        refusal
    }

    fn publish(&mut self, lane: usize, held: Held) {
        self.tally.sent += 1;
        let full = self.waiting() >= self.capacity;
        match self.overflow {
            _ if self.closed => self.tally.lose(Reason::Closed),
            OverflowPolicy::DropOldest => {
                self.lanes[lane].push_back(held);
                self.drop_oldest(lane);
            }
            OverflowPolicy::Wait if full => self.parked.push_back((lane, held)),
            OverflowPolicy::Reject if full => self.tally.lose(Reason::Full),
            OverflowPolicy::DropNewest if full => self.tally.lose(Reason::DroppedNewest),
            _ => self.lanes[lane].push_back(held),
        }
    }

    /// All that is held is handled, the order of lanes aside.
    fn handle(&mut self) {
        let mut all: Vec<Held> = self.lanes.iter_mut().flat_map(std::mem::take).collect();
        all.extend(self.parked.drain(..).map(|(_, held)| held));
        for held in all {
            if held.overdue_at.is_some_and(|at| at < self.now) {
                self.tally.lose(Reason::Expired);
            } else if held.poison {
                self.tally.lose(Reason::Panicked);
            } else {
                self.tally.delivered += 1;
                self.seen.push(held.number);
            }
        }
    }

    fn kill(&mut self) {
        let left = self.waiting() + self.parked.len();
        self.lanes.iter_mut().for_each(VecDeque::clear);
        self.parked.clear();
        (0..left).for_each(|_| self.tally.lose(Reason::Stopped));
        (self.closed, self.ended) = (true, true);
    }
}

fn priority(lane: usize) -> Priority {
    [Priority::Critical, Priority::Urgent, Priority::High, Priority::Normal, Priority::Low][lane - 1]
}

#[expect(clippy::too_many_lines, reason = "one step after the other, each next to what its model does")]
async fn run(capacity: u32, overflow: OverflowPolicy, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let world = World::here().await;
    let log = Log::default();
    let intensity = Intensity { restarts: 1_000, within: Duration::from_secs(1) };
    let backoff =
        Backoff { initial: Duration::from_millis(10), jitter: 0.0, factor: 1.0, ..Backoff::default() };
    let supervision = Supervision { policy: RestartPolicy::Permanent, intensity, backoff };
    let options = SpawnOptions { supervision, ..inbox(capacity, overflow) };
    let agent = world.actor("a", &log, options).await;
    let topic = world.topic("t", [agent.handle()]).await;
    let mut model = Model {
        capacity: capacity as usize,
        overflow,
        lanes: std::array::from_fn(|_| VecDeque::new()),
        parked: VecDeque::new(),
        seen: Vec::new(),
        tally: Tally::default(),
        closed: false,
        ended: false,
        now: 0,
    };
    let mut number = 0;
    turn().await;
    // Bars the way, so that what is sent waits until `Handle`.
    let bar = |model: &mut Model| {
        if !model.closed {
            agent.address().do_send(Do::Pause(10_000_000));
        }
    };
    bar(&mut model);
    turn().await;
    for op in ops {
        number += 1;
        let micros = |model: &Model| model.now;
        match op {
            Op::Tell(lane, ttl) => {
                let overdue_at = ttl.then(|| micros(&model) + 1);
                let held = Held { number, overdue_at, poison: false };
                let deadline = SendOptions::new().priority(priority(lane));
                let deadline = if ttl { deadline.ttl(Duration::from_millis(1)) } else { deadline };
                let answer = agent.tell_with(Do::Note(number), deadline).err().map(|refused| refused.reason);
                prop_assert_eq!(answer, model.tell(lane, held));
            }
            Op::Poison(lane) => {
                let held = Held { number, overdue_at: None, poison: true };
                let options = SendOptions::new().priority(priority(lane));
                let answer = agent.tell_with(Do::Panic, options).err().map(|refused| refused.reason);
                prop_assert_eq!(answer, model.tell(lane, held));
            }
            Op::Publish(lane, count) => {
                let congested = !model.parked.is_empty();
                for _ in 0..count {
                    number += 1;
                    let options = SendOptions::new().priority(priority(lane));
                    let answer = topic.publish_with(Do::Note(number), options);
                    if congested {
                        prop_assert_eq!(answer.unwrap_err().reason, Reason::Congested);
                        model.tally.sent += 1;
                        model.tally.lose(Reason::Congested);
                    } else {
                        prop_assert!(answer.is_ok());
                        model.publish(lane, Held { number, overdue_at: None, poison: false });
                    }
                }
                turn().await;
            }
            Op::Handle if !model.ended => {
                agent.address().do_send(Do::Note(0));
                // Ends the pause and, after restarts, whatever follows.
                tokio::time::advance(Duration::from_secs(10_001)).await;
                model.now += 10_001_000;
                world.hub().idle().await;
                model.handle();
                if model.closed {
                    model.ended = true;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                model.now += 50;
                bar(&mut model);
                turn().await;
            }
            Op::Advance => {
                tokio::time::advance(Duration::from_millis(5)).await;
                model.now += 5;
            }
            Op::Stop if !model.closed => {
                agent.stop();
                model.closed = true;
            }
            Op::Handle | Op::Stop => {}
            Op::Kill => {
                agent.kill();
                turn().await;
                model.kill();
            }
        }
        let counts = world.hub().ledger();
        let held = (model.waiting() + model.parked.len()) as u64;
        prop_assert!(counts.balances(), "{:?}", counts);
        prop_assert_eq!(
            (counts.sent, counts.delivered, counts.pending),
            (model.tally.sent, model.tally.delivered, held),
            "after {:?}",
            op
        );
        for reason in Reason::ALL {
            let wanted = model.tally.reasons.get(&reason).copied().unwrap_or_default();
            prop_assert_eq!(world.reason(reason), wanted, "{:?} after {:?}", reason, op);
        }
        let status = agent.status();
        prop_assert_eq!(status.occupied as usize, model.waiting(), "places after {:?}", op);
        prop_assert!(model.waiting() <= capacity as usize);
        if let Some(depth) = status.depth {
            for lane in Lane::ALL {
                prop_assert_eq!(depth[lane as usize] as usize, model.lanes[lane as usize].len());
            }
        }
        let mut seen: Vec<u32> = log
            .take()
            .iter()
            .filter_map(|line| line.split_once(':')?.1.parse().ok())
            .filter(|number| *number > 0)
            .collect();
        let mut wanted = std::mem::take(&mut model.seen);
        seen.sort_unstable();
        wanted.sort_unstable();
        prop_assert_eq!(seen, wanted, "handled by {:?}", op);
    }
    agent.kill();
    world.hub().idle().await;
    prop_assert!(world.hub().ledger().balances());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_inbox_does_what_its_plain_model_does(
        capacity in 1..8u32,
        overflow in prop_oneof![
            Just(OverflowPolicy::Wait),
            Just(OverflowPolicy::Reject),
            Just(OverflowPolicy::DropOldest),
            Just(OverflowPolicy::DropNewest),
        ],
        ops in proptest::collection::vec(op(), 1..40),
    ) {
        paused(run(capacity, overflow, ops))?;
    }
}
