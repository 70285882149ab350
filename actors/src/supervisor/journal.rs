//! [`Journal`]: what a group's supervisor was told and has not decided, and what it decided and has not carried out. Pure.
//!
//! ```text
//!  note(Notice) ──> notices ──decide──> errands ──next, done──> gone
//! ```
//!
//! It outlives the actor: a supervisor that was rebuilt goes on with the errand that the last one broke off. That errand
//! may be carried out twice; so orders are numbered, and whoever gets one obeys only what is newer than the last. A
//! child's end that is older than the last order given to it is covered by that order, and no decision of its own follows.
//!
//! **Invariant.** Of each end at most one decision is made, and each order of a decision is obeyed exactly once by a child
//! that is still there.

use std::{collections::VecDeque, time::Duration};

use rustc_hash::FxHashMap;

use super::{
    Supervision,
    group::{Consequence, Group, GroupSpec},
};
use crate::agent::{AgentId, ExitReason, GroupName, Timestamp};

/// Who belongs to a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    Agent(AgentId),
    Group(GroupName),
}

/// What a supervisor is told.
#[derive(Debug)]
pub(crate) enum Notice<C> {
    /// A child joins the group. An agent brings its own supervision; a group has none.
    Joins { name: Name, child: C, own: Option<Supervision> },
    /// An incarnation of a child ended, the one that the order of this number brought about; it waits for a decision.
    Ended { name: Name, order: u64, reason: ExitReason },
    /// An agent is no more.
    Gone(AgentId),
    /// The parent wants all of the group restarted.
    Begin { order: u64, after: Duration, cause: String },
    /// The parent wants all of the group stopped.
    Cease(String),
}

/// What a child is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    Restart { number: u64, after: Duration, cause: String },
    Hold { number: u64 },
    Stop(ExitReason),
}

/// One step of carrying out a decision.
#[derive(Debug, Clone)]
pub(crate) enum Errand<C> {
    Tell(C, Order),
    /// The parent is told that the group gave up; `order` is the number of the parent's last order.
    GiveUp {
        order: u64,
        why: String,
    },
}

struct Member<C> {
    child: C,
    own: Option<Supervision>,
    /// The number of the last order it was given.
    ordered: u64,
}

/// What a group's supervisor keeps over its own restarts.
pub(crate) struct Journal<C> {
    group: Group<Member<C>>,
    has_parent: bool,
    positions: FxHashMap<Name, usize>,
    /// How many orders were numbered; those of one decision have the same number.
    numbered: u64,
    /// The number of the parent's last order.
    obeyed: u64,
    notices: VecDeque<Notice<C>>,
    errands: VecDeque<Errand<C>>,
}

impl<C: Clone> Journal<C> {
    pub(crate) fn new(spec: GroupSpec, has_parent: bool) -> Self {
        Self {
            group: Group::new(spec),
            has_parent,
            positions: FxHashMap::default(),
            numbered: 0,
            obeyed: 0,
            notices: VecDeque::new(),
            errands: VecDeque::new(),
        }
    }

    pub(crate) fn group(&self) -> &GroupName {
        &self.group.spec.name
    }

    /// Keeps what was told until it is decided.
    pub(crate) fn note(&mut self, notice: Notice<C>) {
        self.notices.push_back(notice);
    }

    /// The next step, to be carried out and then marked as [`done`](Self::done).
    pub(crate) fn next(&self) -> Option<&Errand<C>> {
        self.errands.front()
    }

    /// The next step was carried out.
    pub(crate) fn done(&mut self) {
        self.errands.pop_front();
    }

    /// Decides over what was told first; answers false when there was nothing.
    pub(crate) fn decide(&mut self, now: Timestamp, seed: u64) -> bool {
        let Some(notice) = self.notices.pop_front() else { return false };
        match notice {
            Notice::Joins { name, child, own } => {
                let position = self.group.join(Member { child, own, ordered: 0 });
                self.positions.insert(name, position);
            }
            Notice::Gone(agent) => {
                if let Some(position) = self.positions.remove(&Name::Agent(agent)) {
                    self.group.leave(position);
                }
            }
            Notice::Ended { name, order, reason } => self.ended(&name, order, reason, now, seed),
            Notice::Begin { order, after, cause } => {
                if order > self.obeyed {
                    self.obeyed = order;
                    self.group.begin_anew();
                    self.restart(&self.group.positions(), after, &cause);
                }
            }
            Notice::Cease(why) => self.stop_all(&why),
        }
        true
    }

    fn ended(&mut self, name: &Name, order: u64, reason: ExitReason, now: Timestamp, seed: u64) {
        let Some(position) = self.positions.get(name).copied() else { return };
        let member = self.group.child(position).expect("who has a position is there");
        if order < member.ordered {
            return;
        }
        let own = member.own;
        match self.group.ended(position, own.as_ref(), reason, now, seed) {
            Consequence::LetBe(reason) => self.tell(&[position], |_| Order::Stop(reason.clone())),
            Consequence::Restart { children, after, cause } => self.restart(&children, after, &cause),
            Consequence::Escalate(why) if self.has_parent => {
                self.tell(&self.group.positions(), |number| Order::Hold { number });
                self.errands.push_back(Errand::GiveUp { order: self.obeyed, why });
            }
            Consequence::Escalate(why) => self.stop_all(&why),
        }
    }

    fn restart(&mut self, positions: &[usize], after: Duration, cause: &str) {
        self.tell(positions, |number| Order::Restart { number, after, cause: cause.to_owned() });
    }

    fn stop_all(&mut self, why: &str) {
        self.tell(&self.group.positions(), |_| Order::Stop(ExitReason::Escalated(why.to_owned())));
    }

    fn tell(&mut self, positions: &[usize], order: impl Fn(u64) -> Order) {
        self.numbered += 1;
        for position in positions {
            let Some(member) = self.group.child_mut(*position) else { continue };
            member.ordered = self.numbered;
            self.errands.push_back(Errand::Tell(member.child.clone(), order(self.numbered)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::supervisor::{Backoff, Intensity, RestartPolicy, Strategy as Restarts};

    fn spec(strategy: Restarts, restarts: u32) -> GroupSpec {
        let intensity = Intensity { restarts, ..Intensity::default() };
        let supervision = Supervision { intensity, backoff: Backoff::NONE, ..Supervision::default() };
        GroupSpec { name: GroupName::new("g").unwrap(), strategy, supervision }
    }

    fn name(kid: usize) -> Name {
        Name::Agent(AgentId::new(format!("kid/{kid}")).unwrap())
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum State {
        Running,
        Held,
        Gone,
    }

    /// What a keeper does with its orders, which are on their way for a while.
    #[derive(Debug, Clone, PartialEq)]
    struct Kid {
        state: State,
        obeyed: u64,
        restarts: u32,
        orders: VecDeque<Order>,
    }

    /// A group, its agents, and the parent's supervisor.
    struct World {
        journal: Journal<usize>,
        kids: Vec<Kid>,
        ends: u64,
        begun: u64,
        gave_up: VecDeque<u64>,
    }

    impl World {
        fn new(spec: GroupSpec, kids: usize, has_parent: bool) -> Self {
            let mut journal = Journal::new(spec, has_parent);
            let own = Supervision { policy: RestartPolicy::Transient, ..Supervision::default() };
            for child in 0..kids {
                journal.note(Notice::Joins { name: name(child), child, own: Some(own) });
            }
            let kid = Kid { state: State::Running, obeyed: 0, restarts: 0, orders: VecDeque::new() };
            Self { journal, kids: vec![kid; kids], ends: 0, begun: 0, gave_up: VecDeque::new() }
        }

        fn fail(&mut self, at: usize) {
            let kid = &mut self.kids[at];
            if kid.state == State::Running {
                kid.state = State::Held;
                self.ends += 1;
                let reason = ExitReason::Panicked("x".into());
                self.journal.note(Notice::Ended { name: name(at), order: kid.obeyed, reason });
            }
        }

        /// Carries out one errand, or decides when there is none; `breaks` is a panic before the errand is marked as done.
        fn work(&mut self, breaks: bool) -> bool {
            match self.journal.next().cloned() {
                Some(Errand::Tell(kid, order)) => self.kids[kid].orders.push_back(order),
                Some(Errand::GiveUp { order, .. }) => self.gave_up.push_back(order),
                None => return self.journal.decide(Timestamp::ZERO, 1),
            }
            if !breaks {
                self.journal.done();
            }
            true
        }

        fn deliver(&mut self, at: usize) -> bool {
            let kid = &mut self.kids[at];
            let Some(order) = kid.orders.pop_front() else { return false };
            match order {
                _ if kid.state == State::Gone => {}
                Order::Restart { number, .. } | Order::Hold { number } if number <= kid.obeyed => {}
                Order::Restart { number, .. } => {
                    (kid.state, kid.obeyed) = (State::Running, number);
                    kid.restarts += 1;
                }
                Order::Hold { number } => (kid.state, kid.obeyed) = (State::Held, number),
                Order::Stop(_) => {
                    kid.state = State::Gone;
                    let Name::Agent(agent) = name(at) else { unreachable!("kids are agents") };
                    self.journal.note(Notice::Gone(agent));
                }
            }
            true
        }

        /// The parent answers what was given up since its last order.
        fn answer(&mut self) -> bool {
            let Some(order) = self.gave_up.pop_front() else { return false };
            if order >= self.begun {
                self.begun += 1;
                let (order, cause) = (self.begun, "x".to_owned());
                self.journal.note(Notice::Begin { order, after: Duration::ZERO, cause });
            }
            true
        }

        fn settle(&mut self) {
            loop {
                let delivered = (0..self.kids.len()).filter(|kid| self.deliver(*kid)).count();
                let worked = self.work(false);
                if delivered == 0 && !worked && !self.answer() {
                    return;
                }
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        Fail(usize),
        Work,
        Break,
        Deliver(usize),
        Answer,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0..KIDS).prop_map(Op::Fail),
            6 => Just(Op::Work),
            3 => Just(Op::Break),
            6 => (0..KIDS).prop_map(Op::Deliver),
            1 => Just(Op::Answer),
        ]
    }

    const KIDS: usize = 5;

    proptest! {
        #[test]
        fn a_supervisor_that_breaks_off_its_errands_leaves_nobody_waiting(
            strategy in prop_oneof![
                Just(Restarts::OneForOne), Just(Restarts::OneForAll), Just(Restarts::RestForOne),
            ],
            restarts in 0..6u32,
            has_parent in any::<bool>(),
            ops in proptest::collection::vec(op(), 1..300),
        ) {
            let mut world = World::new(spec(strategy, restarts), KIDS, has_parent);
            world.settle();
            for op in ops {
                match op {
                    Op::Fail(kid) => world.fail(kid),
                    Op::Work => _ = world.work(false),
                    Op::Break => _ = world.work(true),
                    Op::Deliver(kid) => _ = world.deliver(kid),
                    Op::Answer => _ = world.answer(),
                }
            }
            world.settle();
            for (at, kid) in world.kids.iter().enumerate() {
                prop_assert_ne!(kid.state, State::Held, "kid {} waits for ever", at);
                prop_assert!(has_parent || kid.restarts <= restarts, "{:?}", kid);
            }
            let decisions = world.journal.numbered;
            prop_assert!(decisions <= world.ends + world.begun, "{} for {} ends", decisions, world.ends);
        }
    }

    #[test]
    fn an_errand_that_is_carried_out_twice_is_obeyed_once() {
        let mut world = World::new(spec(Restarts::OneForAll, 3), 3, false);
        world.settle();
        world.fail(1);
        while world.journal.next().is_none() {
            assert!(world.work(false));
        }
        for _ in 0..4 {
            world.work(true);
        }
        assert_eq!(world.kids[0].orders.len(), 4);
        world.settle();
        assert_eq!(world.kids.iter().map(|kid| kid.restarts).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn those_who_end_together_are_restarted_together_once() {
        let mut world = World::new(spec(Restarts::OneForAll, 1), 3, false);
        world.settle();
        (0..3).for_each(|kid| world.fail(kid));
        world.settle();
        assert_eq!(world.kids.iter().map(|kid| kid.restarts).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(world.journal.numbered, 1, "the first end's decision covers the other two");
    }
}
