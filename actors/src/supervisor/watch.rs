//! Death watch and links: who is told, and who goes along, when an agent is no more.

use std::sync::{Arc, Mutex, PoisonError};

use actix::Handler;
use rustc_hash::FxHashMap;

use crate::{
    agent::{Agent, AgentId, ExitReason, Lifecycle, LifecycleChange, Terminated},
    inbox::{AgentHandle, AgentRef, Command, SendOptions},
};

type Notice = Box<dyn FnOnce(Terminated) + Send>;

struct Held {
    notices: Vec<Notice>,
    linked: Vec<AgentHandle>,
}

/// Who is told, and who goes along, when an agent is no more. A restart is not an end.
///
/// Kept outside of every actor, so that it survives them all.
#[derive(Clone, Default)]
pub struct Watches {
    held: Arc<Mutex<FxHashMap<AgentId, Held>>>,
}

impl Watches {
    fn with<T>(&self, agent: &AgentId, change: impl FnOnce(&mut Held) -> T) -> T {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        change(held.entry(agent.clone()).or_insert_with(|| Held { notices: Vec::new(), linked: Vec::new() }))
    }

    /// Tells `watcher` when `target` is no more; at once, when it is no more already.
    pub fn watch<W>(&self, watcher: &AgentRef<W>, target: &AgentHandle)
    where
        W: Agent + Handler<Terminated>,
    {
        let watcher = watcher.clone();
        self.notify(target, move |terminated| {
            // A watcher that is gone itself is accounted for by its own inbox.
            let _ = watcher
                .tell_with::<Terminated, crate::agent::ByValue>(terminated, SendOptions::new().control());
        });
    }

    /// Calls `notice` when `target` is no more; at once, when it is no more already.
    pub fn notify(&self, target: &AgentHandle, notice: impl FnOnce(Terminated) + Send + 'static) {
        if target.has_ended() {
            notice(Terminated { agent: target.id().clone(), reason: ExitReason::Killed });
            return;
        }
        self.with(target.id(), |held| held.notices.push(Box::new(notice)));
    }

    /// Ties two agents together: when one comes to a bad end, the other is killed, too.
    pub fn link(&self, one: &AgentHandle, other: &AgentHandle) {
        for (from, to) in [(one, other), (other, one)] {
            if from.has_ended() {
                to.door.clone().command(Command::Kill(ExitReason::Linked(from.id().clone())));
            } else {
                self.with(from.id(), |held| held.linked.push(to.clone()));
            }
        }
    }

    /// To be called for each change in the life of an agent.
    pub fn observe(&self, change: &Lifecycle) {
        let LifecycleChange::Terminated(reason) = &change.change else { return };
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&change.agent);
        let Some(Held { notices, linked }) = held else { return };
        for notice in notices {
            notice(Terminated { agent: change.agent.clone(), reason: reason.clone() });
        }
        for other in linked {
            // Every link is two-sided; the other side's entry is of no use any more.
            self.with(other.id(), |held| held.linked.retain(|back| *back.id() != change.agent));
            if !reason.is_normal() {
                other.door.clone().command(Command::Kill(ExitReason::Linked(change.agent.clone())));
            }
        }
    }
}
