//! Death watch and links: who is told, and who goes along, when an agent is no more.

use std::sync::{Arc, Mutex, PoisonError};

use actix::Handler;
use rustc_hash::FxHashMap;

use crate::{
    agent::{Agent, AgentId, ExitReason, Lifecycle, LifecycleChange, Terminated},
    inbox::{AgentHandle, AgentRef, Command, SendOptions},
};

type Notice = Box<dyn FnOnce(Terminated) + Send>;

#[derive(Default)]
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
    /// Notes something that waits for the end of `agent`; answers false, and notes nothing, when it is no more.
    ///
    /// An agent is marked as ended before its end is told, so what is noted here under the lock is found by whoever
    /// tells.
    fn note(&self, agent: &AgentHandle, note: impl FnOnce(&mut Held)) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if agent.has_ended() {
            return false;
        }
        note(held.entry(agent.id().clone()).or_default());
        true
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
        let mut notice: Option<Notice> = Some(Box::new(notice));
        self.note(target, |held| held.notices.extend(notice.take()));
        if let Some(notice) = notice {
            notice(Terminated { agent: target.id().clone(), reason: ExitReason::Gone });
        }
    }

    /// Ties two agents together: when one comes to a bad end, the other is killed, too. One that is no more already
    /// counts as a bad end.
    pub fn link(&self, one: &AgentHandle, other: &AgentHandle) {
        for (from, to) in [(one, other), (other, one)] {
            if !self.note(from, |held| held.linked.push(to.clone())) {
                self.forget(to.id(), from.id());
                to.door.clone().command(Command::Kill(ExitReason::Linked(from.id().clone())));
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
            self.forget(other.id(), &change.agent);
            if !reason.is_normal() {
                other.door.clone().command(Command::Kill(ExitReason::Linked(change.agent.clone())));
            }
        }
    }

    /// Takes out the link from one agent to another.
    fn forget(&self, from: &AgentId, to: &AgentId) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(from) {
            held.linked.retain(|other| other.id() != to);
            if held.linked.is_empty() && held.notices.is_empty() {
                all.remove(from);
            }
        }
    }
}
