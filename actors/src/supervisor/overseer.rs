//! [`Supervisor`]: the actor that decides over one group of agents and groups.
//!
//! ```text
//!  Keeper ──Ended──> Supervisor ──Restart | Hold | Kill──> Keepers of the group
//!                        │ ^
//!             GaveUp     v │ Begin (restart all)
//!                    parent Supervisor
//! ```
//!
//! It owns who belongs to the group and how often it was restarted. It never awaits: keepers hold still until told.
//!
//! **Invariant.** Each `Ended` that is handled is followed by exactly one decision for that agent: restarted, left ended, or stopped
//! with its whole group.
//! **Restart.** Members and restarts are kept in a cell that outlives the actor. Lost is the decision during which it
//! panicked: that agent holds still until it is stopped or its group is restarted.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix::{Actor, Addr, Context, Handler, Message, Supervised};
use rustc_hash::FxHashMap;

use super::{
    Overseer, Supervision,
    group::{Consequence, Group, GroupSpec},
};
use crate::{
    agent::{Agent, AgentId, Card, ExitReason, GroupName},
    inbox::{AgentHandle, Command, Hub},
};

enum Child {
    Agent { handle: AgentHandle, supervision: Supervision },
    Group(Addr<Supervisor>),
}

/// What outlives the actor.
pub(crate) struct Members {
    group: Group<Child>,
    agents: FxHashMap<AgentId, usize>,
    groups: FxHashMap<GroupName, usize>,
    parent: Option<Addr<Supervisor>>,
}

/// Decides over one group of agents and groups.
pub struct Supervisor {
    hub: Arc<Hub>,
    members: Arc<Mutex<Members>>,
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Supervised for Supervisor {}

impl Agent for Supervisor {
    fn card(&self) -> Card<Self> {
        Card::new().kind("supervisor")
    }
}

/// An agent joins the group; its keeper was told to ask this supervisor.
#[derive(Message)]
#[rtype(result = "()")]
struct Join {
    handle: AgentHandle,
    supervision: Supervision,
}

/// A group joins the group as a child.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct JoinGroup {
    pub(crate) name: GroupName,
    pub(crate) supervisor: Addr<Supervisor>,
}

/// An incarnation of an agent of the group ended; its keeper holds still.
#[derive(Message)]
#[rtype(result = "()")]
struct Ended {
    agent: AgentId,
    reason: ExitReason,
}

/// An agent of the group is no more.
#[derive(Message)]
#[rtype(result = "()")]
struct Gone {
    agent: AgentId,
}

/// A group of the group gave up.
#[derive(Message)]
#[rtype(result = "()")]
struct GaveUp {
    group: GroupName,
    why: String,
}

/// Restart all of the group.
#[derive(Message)]
#[rtype(result = "()")]
struct Begin {
    after: Duration,
    cause: String,
}

/// Stop all of the group.
#[derive(Message)]
#[rtype(result = "()")]
struct Cease {
    why: String,
}

impl Supervisor {
    /// What a group's supervisor keeps over its own restarts.
    pub(crate) fn members(spec: GroupSpec, parent: Option<Addr<Supervisor>>) -> Arc<Mutex<Members>> {
        Arc::new(Mutex::new(Members {
            group: Group::new(spec),
            agents: FxHashMap::default(),
            groups: FxHashMap::default(),
            parent,
        }))
    }

    pub(crate) fn new(hub: Arc<Hub>, members: Arc<Mutex<Members>>) -> Self {
        Self { hub, members }
    }

    fn decide(&self, members: &mut Members, position: usize, reason: ExitReason) {
        let own = match members.group.child(position) {
            None => return,
            Some(Child::Agent { supervision, .. }) => Some(*supervision),
            Some(Child::Group(_)) => None,
        };
        let (now, seed) = (self.hub.now(), self.hub.seed());
        match members.group.ended(position, own.as_ref(), reason, now, seed) {
            Consequence::LetBe(reason) => match members.group.child(position) {
                Some(Child::Agent { handle, .. }) => handle.door.clone().command(Command::Kill(reason)),
                Some(Child::Group(supervisor)) => supervisor.do_send(Cease { why: reason.to_string() }),
                None => {}
            },
            Consequence::Restart { children, after, cause } => {
                for child in children.into_iter().filter_map(|at| members.group.child(at)) {
                    restart(child, after, &cause);
                }
            }
            Consequence::Escalate(why) => Self::escalate(members, why),
        }
    }

    fn escalate(members: &Members, why: String) {
        match &members.parent {
            Some(parent) => {
                for child in members.group.children() {
                    if let Child::Agent { handle, .. } = child {
                        handle.door.clone().command(Command::Hold);
                    }
                }
                parent.do_send(GaveUp { group: members.group.spec.name.clone(), why });
            }
            None => cease(members, &why),
        }
    }
}

fn restart(child: &Child, after: Duration, cause: &str) {
    match child {
        Child::Agent { handle, .. } => {
            handle.door.clone().command(Command::Restart { after, cause: cause.to_owned() });
        }
        Child::Group(supervisor) => supervisor.do_send(Begin { after, cause: cause.to_owned() }),
    }
}

fn cease(members: &Members, why: &str) {
    for child in members.group.children() {
        match child {
            Child::Agent { handle, .. } => {
                handle.door.clone().command(Command::Kill(ExitReason::Escalated(why.to_owned())));
            }
            Child::Group(supervisor) => supervisor.do_send(Cease { why: why.to_owned() }),
        }
    }
}

fn lock(members: &Mutex<Members>) -> MutexGuard<'_, Members> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handler<Join> for Supervisor {
    type Result = ();
    fn handle(&mut self, join: Join, _: &mut Context<Self>) {
        let members = &mut *lock(&self.members);
        let id = join.handle.id().clone();
        let child = Child::Agent { handle: join.handle, supervision: join.supervision };
        let position = members.group.join(child);
        members.agents.insert(id, position);
    }
}

impl Handler<JoinGroup> for Supervisor {
    type Result = ();
    fn handle(&mut self, join: JoinGroup, _: &mut Context<Self>) {
        let members = &mut *lock(&self.members);
        let position = members.group.join(Child::Group(join.supervisor));
        members.groups.insert(join.name, position);
    }
}

impl Handler<Ended> for Supervisor {
    type Result = ();
    fn handle(&mut self, ended: Ended, _: &mut Context<Self>) {
        let members = &mut *lock(&self.members);
        if let Some(position) = members.agents.get(&ended.agent).copied() {
            self.decide(members, position, ended.reason);
        }
    }
}

impl Handler<Gone> for Supervisor {
    type Result = ();
    fn handle(&mut self, gone: Gone, _: &mut Context<Self>) {
        let members = &mut *lock(&self.members);
        if let Some(position) = members.agents.remove(&gone.agent) {
            members.group.leave(position);
        }
    }
}

impl Handler<GaveUp> for Supervisor {
    type Result = ();
    fn handle(&mut self, gave_up: GaveUp, _: &mut Context<Self>) {
        let members = &mut *lock(&self.members);
        if let Some(position) = members.groups.get(&gave_up.group).copied() {
            self.decide(members, position, ExitReason::Escalated(gave_up.why));
        }
    }
}

impl Handler<Begin> for Supervisor {
    type Result = ();
    fn handle(&mut self, begin: Begin, _: &mut Context<Self>) {
        let members = &mut *lock(&self.members);
        members.group.begin_anew();
        for child in members.group.children() {
            restart(child, begin.after, &begin.cause);
        }
    }
}

impl Handler<Cease> for Supervisor {
    type Result = ();
    fn handle(&mut self, order: Cease, _: &mut Context<Self>) {
        cease(&lock(&self.members), &order.why);
    }
}

impl Overseer for Addr<Supervisor> {
    fn joins(&self, handle: AgentHandle, supervision: Supervision) {
        self.do_send(Join { handle, supervision });
    }

    fn ended(&self, agent: &AgentId, reason: &ExitReason) {
        self.do_send(Ended { agent: agent.clone(), reason: reason.clone() });
    }

    fn gone(&self, agent: &AgentId) {
        self.do_send(Gone { agent: agent.clone() });
    }
}
