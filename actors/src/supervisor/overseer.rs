//! [`Supervisor`]: the actor that decides over one group of agents and groups.
//!
//! ```text
//!  Keeper ──Ended──> Supervisor ──Restart | Hold | Kill──> Keepers of the group
//!                        │ ^
//!      Ended (gave up)   v │ Begin (restart all) | Cease (stop all)
//!                    parent Supervisor
//! ```
//!
//! It owns the group's [`Journal`]: who belongs to it, how often it was restarted, what is to be decided and carried out. It
//! never awaits: keepers hold still until told. Its mailbox has no bound of its own, and needs none: an agent that ended
//! holds still, so there are at most three notices for each agent on the way.
//!
//! **Invariant.** Each end of an agent is followed by exactly one decision that covers it: it is restarted, left ended, or
//! stopped with its whole group.
//! **Restart.** The journal is kept in a cell that outlives the actor. What it is told goes there before anything is
//! decided, and a decision leaves it step by step as it is carried out; a rebuilt supervisor goes on where the last one
//! broke off.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Actor, Addr, Context, Handler, Message, Supervised};

use super::{
    Overseer, Supervision,
    group::GroupSpec,
    journal::{Errand, Journal, Name, Notice, Order},
};
use crate::{
    agent::{Agent, AgentId, Card, ExitReason, GroupName},
    inbox::{AgentHandle, Command, Hub},
};

#[derive(Debug, Clone)]
pub(crate) enum Child {
    Agent(AgentHandle),
    Group(Addr<Supervisor>),
}

/// What outlives the actor.
pub(crate) struct Cell {
    journal: Mutex<Journal<Child>>,
    parent: Option<Addr<Supervisor>>,
}

/// Decides over one group of agents and groups.
pub struct Supervisor {
    hub: Arc<Hub>,
    cell: Arc<Cell>,
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.work();
    }
}

impl Supervised for Supervisor {}

impl Agent for Supervisor {
    fn card(&self) -> Card<Self> {
        Card::new().kind("supervisor")
    }
}

/// Tells a supervisor.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Tell(Notice<Child>);

impl Supervisor {
    /// What a group's supervisor keeps over its own restarts.
    pub(crate) fn cell(spec: GroupSpec, parent: Option<Addr<Supervisor>>) -> Arc<Cell> {
        Arc::new(Cell { journal: Mutex::new(Journal::new(spec, parent.is_some())), parent })
    }

    pub(crate) fn new(hub: Arc<Hub>, cell: Arc<Cell>) -> Self {
        Self { hub, cell }
    }

    /// Makes a group a child of the group that `parent` decides over.
    pub(crate) fn join(parent: &Addr<Supervisor>, name: GroupName, supervisor: Addr<Supervisor>) {
        let (name, child) = (Name::Group(name), Child::Group(supervisor));
        parent.do_send(Tell(Notice::Joins { name, child, own: None }));
    }

    fn journal(&self) -> MutexGuard<'_, Journal<Child>> {
        self.cell.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what was decided and decides over what was told, until nothing is left of either.
    fn work(&self) {
        let mut journal = self.journal();
        loop {
            while let Some(errand) = journal.next() {
                self.carry_out(journal.group(), errand);
                journal.done();
            }
            if !journal.decide(self.hub.now(), self.hub.seed()) {
                return;
            }
        }
    }

    fn carry_out(&self, group: &GroupName, errand: &Errand<Child>) {
        match errand.clone() {
            Errand::Tell(Child::Agent(agent), order) => {
                let command = match order {
                    Order::Restart { number, after, cause } => {
                        Command::Restart { order: number, after, cause }
                    }
                    Order::Hold { number } => Command::Hold { order: number },
                    Order::Stop(reason) => Command::Kill(reason),
                };
                agent.door.command(command);
            }
            Errand::Tell(Child::Group(supervisor), order) => {
                let notice = match order {
                    Order::Restart { number, after, cause } => Notice::Begin { order: number, after, cause },
                    Order::Stop(reason) => Notice::Cease(reason.to_string()),
                    // It goes on until the parent of this group has decided.
                    Order::Hold { .. } => return,
                };
                supervisor.do_send(Tell(notice));
            }
            Errand::GiveUp { order, why } => {
                let (name, reason) = (Name::Group(group.clone()), ExitReason::Escalated(why));
                let parent = self.cell.parent.as_ref().expect("only a child gives up to a parent");
                parent.do_send(Tell(Notice::Ended { name, order, reason }));
            }
        }
        tracing::debug!(%group, ?errand, "a group's supervisor carried out a step of its decision");
    }
}

impl Handler<Tell> for Supervisor {
    type Result = ();
    fn handle(&mut self, Tell(notice): Tell, _: &mut Context<Self>) {
        self.journal().note(notice);
        self.work();
    }
}

impl Overseer for Addr<Supervisor> {
    fn joins(&self, handle: AgentHandle, supervision: Supervision) {
        let name = Name::Agent(handle.id().clone());
        self.do_send(Tell(Notice::Joins { name, child: Child::Agent(handle), own: Some(supervision) }));
    }

    fn ended(&self, agent: &AgentId, order: u64, reason: &ExitReason) {
        let (name, reason) = (Name::Agent(agent.clone()), reason.clone());
        self.do_send(Tell(Notice::Ended { name, order, reason }));
    }

    fn gone(&self, agent: &AgentId) {
        self.do_send(Tell(Notice::Gone(agent.clone())));
    }
}
