//! Agents that are taken out, and the routes that go with them.

use tokio::sync::oneshot;

use super::State;
use crate::{
    agent::{AgentId, Timestamp},
    registrar::{
        RegistrarEvent, Stage, Submission,
        jobs::{Removal, wait_once},
        waiters::Effects,
    },
};

impl State {
    pub(in crate::registrar) fn delist(
        &mut self,
        agents: Vec<AgentId>,
        answer: oneshot::Sender<usize>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let ticket = self.waiters.ticket();
        let (mut removed, mut gone) = (Vec::new(), Vec::new());
        let mut awaited = 0;
        for agent in agents {
            for id in self.batcher.unbatched_of(&agent) {
                if let Some(Submission { request, payload }) = self.batcher.withdraw(id, Stage::Failed) {
                    let reason = format!("agent {agent} was removed before it was registered");
                    self.fail_unbatched(request, &payload, reason, now, effects);
                }
            }
            if let Some(generation) = self.take_out(&agent) {
                gone.extend(self.writes.is_on().then(|| (agent.clone(), generation)));
                removed.push(agent);
            } else if let Some(claim) = self.claims.get(&agent) {
                let batch = self.batches.get_mut(&claim.batch).or_else(|| self.writes.batch_mut(claim.batch));
                let batch = batch.expect("claims are of batches under way");
                batch.entries[claim.index].payload.is_delisted = true;
                awaited += usize::from(wait_once(&mut batch.tickets, ticket));
            } else if let Some(number) = self.leaving.get(&agent) {
                let removals = [&mut self.removing, &mut self.collecting].into_iter().flatten();
                for removal in removals.filter(|removal| removal.number == *number) {
                    awaited += usize::from(wait_once(&mut removal.tickets, ticket));
                }
                awaited += self.await_write(&agent, ticket);
            } else {
                awaited += self.await_write(&agent, ticket);
            }
        }
        let count = removed.len();
        if count > 0 {
            awaited += 1;
            effects.events.push(RegistrarEvent::AgentsRemoved { at: now, count });
        }
        awaited += usize::from(!gone.is_empty());
        self.waiters.await_removals(ticket, awaited, count, answer, effects);
        self.write_removed(gone, vec![ticket], now);
        if count > 0 {
            self.remove_routes(removed, vec![ticket], effects);
        }
    }

    /// Lets routes be removed and the tickets wait for it: now, or together with others once the removal under way is
    /// through.
    pub(super) fn remove_routes(&mut self, agents: Vec<AgentId>, tickets: Vec<u64>, effects: &mut Effects) {
        if agents.is_empty() {
            for ticket in tickets {
                self.waiters.removed(ticket, effects);
            }
            return;
        }
        let number = self.next_job();
        let removal = if self.removing.is_none() {
            effects.sends.push(number);
            self.removing.insert(Removal::new(number))
        } else {
            self.collecting.get_or_insert_with(|| Removal::new(number))
        };
        for agent in &agents {
            self.leaving.insert(agent.clone(), removal.number);
        }
        removal.agents.extend(agents);
        removal.tickets.extend(tickets);
    }

    /// The removal under way is through; the next one follows.
    pub(super) fn removed(&mut self, effects: &mut Effects) {
        let Some(done) = self.removing.take() else { return };
        for agent in &done.agents {
            if self.leaving.get(agent) == Some(&done.number) {
                self.leaving.remove(agent);
            }
        }
        for ticket in done.tickets {
            self.waiters.removed(ticket, effects);
        }
        self.removing = self.collecting.take();
        effects.sends.extend(self.removing.as_ref().map(|next| next.number));
    }

    /// Lets whoever waits for a removal wait for a batch, too, which removes some of its agents.
    pub(super) fn await_batch(&mut self, removal: u64, batch: u64) {
        let removals = [&self.removing, &self.collecting].into_iter().flatten();
        let removal = removals.into_iter().find(|one| one.number == removal);
        let (Some(removal), Some(batch)) = (removal, self.batches.get_mut(&batch)) else { return };
        for ticket in &removal.tickets {
            self.waiters.await_more(*ticket);
            batch.tickets.push(*ticket);
        }
    }

    /// Lets tickets wait for the removals that there are by now, as these are made in order.
    pub(super) fn await_removals_before(&mut self, tickets: Vec<u64>, effects: &mut Effects) {
        if let Some(latest) = self.collecting.as_mut().or(self.removing.as_mut()) {
            latest.tickets.extend(tickets);
        } else {
            self.remove_routes(Vec::new(), tickets, effects);
        }
    }
}
