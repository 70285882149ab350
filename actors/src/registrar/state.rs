//! [`State`]: the registrar without actor, clock and router. What is to be sent, told and answered comes out as
//! [`Effects`].

use std::{
    collections::{BTreeMap, hash_map::Entry},
    time::Duration,
};

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::oneshot;

use super::{
    AGENTS_NAMED, Batcher, CancelError, Enlistment, Offered, Profile, RegistrarEvent, RegistrarOptions,
    Request, RequestId, Roster, RosterError, Stage, Status, Submission,
    jobs::{Batch, Claim, Payload, Removal, Underway, wait_once},
    limits::Quotas,
    memory::{Barred, Finished},
    waiters::{Effects, Seat, Waiters},
};
use crate::{
    agent::{AgentId, Timestamp},
    inbox::AgentHandle,
    router::Reroute,
    support::micros,
};

mod lease;
mod read;
mod verify;

use read::Totals;

/// What a registrar knows.
pub(super) struct State {
    parallel_batches: usize,
    batch_timeout: Duration,
    batcher: Batcher<Payload>,
    pub(super) roster: Roster<AgentHandle>,
    /// What the batches under way claim of the limits.
    quotas: Quotas,
    finished: Finished,
    waiters: Waiters,
    batches: BTreeMap<u64, Batch>,
    /// The agents that batches under way are registering.
    claims: FxHashMap<AgentId, Claim>,
    /// Which removal takes the routes of an agent away.
    leaving: FxHashMap<AgentId, u64>,
    /// The removal that was sent; there is one at a time.
    removing: Option<Removal>,
    /// The removal that is sent next.
    collecting: Option<Removal>,
    barred: Barred,
    jobs: u64,
    offers: u64,
    totals: Totals,
}

impl State {
    pub(super) fn new(options: RegistrarOptions) -> Self {
        let RegistrarOptions { batcher, parallel_batches, batch_timeout, changes, limits } = options;
        Self {
            parallel_batches: parallel_batches.max(1),
            batch_timeout,
            finished: Finished::new(batcher.remember),
            batcher: Batcher::new(batcher),
            roster: Roster::with_changes(changes),
            quotas: Quotas::new(limits),
            waiters: Waiters::default(),
            batches: BTreeMap::new(),
            claims: FxHashMap::default(),
            leaving: FxHashMap::default(),
            removing: None,
            collecting: None,
            barred: Barred::default(),
            jobs: 0,
            offers: 0,
            totals: Totals::default(),
        }
    }

    pub(super) fn enlist(
        &mut self,
        enlistments: Vec<Enlistment>,
        answer: oneshot::Sender<Vec<Request>>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let group = self.waiters.open(enlistments.len(), answer, effects);
        for (index, Enlistment { request, agent }) in enlistments.into_iter().enumerate() {
            let seat = Seat { group, index };
            if request.agent != *agent.id() {
                let reason = format!(
                    "{} is for agent {} but came with agent {}: pair each request with its own agent",
                    request.id,
                    request.agent,
                    agent.id()
                );
                self.refuse(request, seat, reason, now, effects);
                continue;
            }
            let payload = Payload { agent, seat, number: self.offers + 1, is_delisted: false };
            match self.batcher.offer(Submission { request, payload }, now) {
                Offered::Taken => self.offers += 1,
                Offered::Refused { error, submission } => {
                    self.refuse(submission.request, seat, error.to_string(), now, effects);
                }
                Offered::Known { stage: Stage::Waiting | Stage::InFlight, submission } => {
                    self.waiters.join(submission.request.id, seat);
                }
                Offered::Known { submission, .. } => {
                    let first = self.finished.get(submission.request.id);
                    let first = first.expect("as many are remembered as the batcher knows").clone();
                    self.waiters.fill(seat, first, effects);
                }
            }
        }
    }

    /// Answers a request that was not taken in; it is not remembered, so that it may come again.
    fn refuse(
        &mut self,
        mut request: Request,
        seat: Seat,
        reason: String,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        request.refuse(reason, now);
        self.count(&request, now, effects);
        self.waiters.fill(seat, request, effects);
    }

    fn count(&mut self, request: &Request, at: Timestamp, effects: &mut Effects) {
        match request.status() {
            Status::Completed => self.totals.completed += 1,
            Status::Cancelled => self.totals.cancelled += 1,
            Status::Failed(reason) => {
                self.totals.failed += 1;
                effects.events.push(RegistrarEvent::RequestFailed {
                    at,
                    request: request.id,
                    agent: request.agent.clone(),
                    reason: reason.clone(),
                });
            }
            Status::Pending | Status::Validating | Status::Registering => {}
        }
    }

    /// Answers a request that was taken in and has ended.
    fn end(&mut self, request: Request, seat: Seat, now: Timestamp, effects: &mut Effects) {
        self.count(&request, now, effects);
        self.finished.keep(&request);
        for seat in self.waiters.joined(request.id) {
            self.waiters.fill(seat, request.clone(), effects);
        }
        self.waiters.fill(seat, request, effects);
    }

    pub(super) fn cancel(
        &mut self,
        id: RequestId,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Request, CancelError> {
        let Submission { request, payload } = self.batcher.cancel(id, now)?;
        self.end(request.clone(), payload.seat, now, effects);
        Ok(request)
    }

    /// Forms the next batch, if one is due and may be under way beside the others.
    pub(super) fn form(&mut self, now: Timestamp) -> Option<u64> {
        if self.batches.len() >= self.parallel_batches {
            return None;
        }
        let mut entries = self.batcher.next_batch(now)?;
        if !self.barred.is_empty() {
            for Submission { request, payload } in &mut entries {
                if self.barred.is_barred(&request.agent, payload.number) {
                    let reason = format!("agent {} was removed before it was registered", request.agent);
                    request.refuse(reason, now);
                }
            }
            self.barred.forget(self.batcher.oldest_waiting().map(|oldest| oldest.payload.number));
        }
        let number = self.next_job();
        self.batches.insert(number, Batch::new(entries, now));
        Some(number)
    }

    const fn next_job(&mut self) -> u64 {
        self.jobs += 1;
        self.jobs
    }

    pub(super) fn take_entries(&mut self, batch: u64) -> Vec<Underway> {
        self.batches.get_mut(&batch).map(|batch| std::mem::take(&mut batch.entries)).unwrap_or_default()
    }

    pub(super) fn put_back(&mut self, batch: u64, entries: Vec<Underway>) {
        if let Some(batch) = self.batches.get_mut(&batch) {
            batch.entries = entries;
        }
    }

    /// Goes on with a batch that the rules were asked about: refuses those that cannot be registered now, claims the ids of
    /// the others and lets them be sent.
    pub(super) fn checked(&mut self, number: u64, now: Timestamp, effects: &mut Effects) {
        let Some(batch) = self.batches.get_mut(&number) else { return };
        batch.is_checked = true;
        let mut is_empty = true;
        for (index, Submission { request, payload }) in batch.entries.iter_mut().enumerate() {
            if *request.status() != Status::Registering {
                continue;
            }
            let agent = &request.agent;
            let claim = self.claims.entry(agent.clone());
            let fault = if payload.agent.has_ended() {
                Some(ended(agent))
            } else if let Some(holder) = self.roster.get(agent) {
                let (kind, generation) = (holder.kind().clone(), holder.generation());
                Some(RosterError::Duplicate { agent: agent.clone(), kind, generation }.to_string())
            } else if let Entry::Occupied(claim) = &claim {
                let first = claim.get().request;
                Some(format!("agent id {agent} is being registered by {first}: choose another id"))
            } else {
                self.quotas.claim(request, &self.roster).err().map(|over| over.to_string())
            };
            if let Some(fault) = fault {
                request.refuse(fault, now);
                continue;
            }
            is_empty = false;
            claim.insert_entry(Claim { batch: number, index, request: request.id });
            if !self.leaving.is_empty() && self.leaving.remove(agent).is_some() {
                batch.remove_first.push(agent.clone());
            }
        }
        if is_empty {
            self.settle(number, Ok(Vec::new()), now, effects);
        } else {
            effects.sends.push(number);
        }
    }

    /// What the router is to be sent for a batch or a removal, and which attempt this is.
    pub(super) fn reroute(&mut self, number: u64) -> Option<(u32, Reroute)> {
        if let Some(batch) = self.batches.get_mut(&number) {
            let entries = batch.entries.iter();
            let registering = entries.filter(|entry| *entry.request.status() == Status::Registering);
            let add = registering.map(|entry| entry.payload.agent.clone()).collect();
            let remove = batch.remove_first.clone();
            return Some((batch.sending.next_attempt(), Reroute { add, remove }));
        }
        let removal = self.removing.as_mut().filter(|removal| removal.number == number)?;
        let is_left = |agent: &&AgentId| self.leaving.get(*agent) == Some(&number);
        let remove = removal.agents.iter().filter(is_left).cloned().collect();
        Some((removal.sending.next_attempt(), Reroute { add: Vec::new(), remove }))
    }

    /// Takes in the router's word on a batch or a removal: the ids that were taken, or none when the attempt came to
    /// nothing and the router `lives` to be asked again or not.
    pub(super) fn answered(
        &mut self,
        number: u64,
        attempt: u32,
        taken: Result<Vec<AgentId>, RouterLost>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let sending = match (self.batches.get_mut(&number), &mut self.removing) {
            (Some(batch), _) => &mut batch.sending,
            (None, Some(removal)) if removal.number == number => &mut removal.sending,
            _ => return,
        };
        match taken {
            Err(RouterLost::Retry) => sending.failed(attempt, now),
            taken => {
                let taken = taken.map_err(|_| "the router is gone: the host is shutting down".to_owned());
                if self.batches.contains_key(&number) {
                    self.settle(number, taken, now, effects);
                } else {
                    self.removed(effects);
                }
            }
        }
    }

    /// Ends a batch: its routes are in place but for those `taken`, or they are not for a reason.
    fn settle(
        &mut self,
        number: u64,
        taken: Result<Vec<AgentId>, String>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(mut batch) = self.batches.remove(&number) else { return };
        let taken = taken.map(|taken| taken.into_iter().collect::<FxHashSet<_>>());
        let (mut agents, mut first, mut unwanted) = (0, Vec::new(), Vec::new());
        for Submission { request, payload } in &mut batch.entries {
            if *request.status() != Status::Registering {
                if !request.status().is_final() {
                    request.refuse("its validation was broken off: start a new request".to_owned(), now);
                }
                continue;
            }
            if self.claims.remove(&request.agent).is_some() {
                self.quotas.release(request);
            }
            match register(&mut self.roster, request, payload, &taken) {
                Ok(()) => {
                    agents += 1;
                    lease::grant(&mut self.roster, request, now);
                    if first.len() < AGENTS_NAMED {
                        first.push(request.agent.clone());
                    }
                    request.advance(Status::Completed, now).expect("registering ends in completed or failed");
                }
                Err(Unregistered { reason, is_routed }) => {
                    if is_routed {
                        unwanted.push(request.agent.clone());
                    }
                    request.refuse(reason, now);
                }
            }
        }
        let took = now.since(batch.began);
        self.batcher.settle(batch.entries.iter().map(|entry| &entry.request), took);
        self.totals.batches += 1;
        self.totals.batched += batch.size as u64;
        if agents > 0 {
            let took_us = micros(took);
            effects.events.push(RegistrarEvent::BatchRegistered { at: now, agents, first, took_us });
        }
        for Submission { request, payload } in batch.entries {
            self.end(request, payload.seat, now, effects);
        }
        self.remove_routes(unwanted, batch.tickets, effects);
    }

    pub(super) fn delist(
        &mut self,
        agents: Vec<AgentId>,
        answer: oneshot::Sender<usize>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let ticket = self.waiters.ticket();
        let mut removed = Vec::new();
        let mut awaited = 0;
        for agent in agents {
            if self.batcher.waiting() > 0 {
                self.barred.bar(agent.clone(), self.offers);
            }
            if self.roster.remove(&agent).is_some() {
                removed.push(agent);
            } else if let Some(claim) = self.claims.get(&agent) {
                let batch = self.batches.get_mut(&claim.batch).expect("claims are of batches under way");
                batch.entries[claim.index].payload.is_delisted = true;
                awaited += usize::from(wait_once(&mut batch.tickets, ticket));
            } else if let Some(number) = self.leaving.get(&agent) {
                let removals = [&mut self.removing, &mut self.collecting].into_iter().flatten();
                for removal in removals.filter(|removal| removal.number == *number) {
                    awaited += usize::from(wait_once(&mut removal.tickets, ticket));
                }
            }
        }
        let count = removed.len();
        if count > 0 {
            awaited += 1;
            effects.events.push(RegistrarEvent::AgentsRemoved { at: now, count });
        }
        self.waiters.await_removals(ticket, awaited, count, answer, effects);
        if count > 0 {
            self.remove_routes(removed, vec![ticket], effects);
        }
    }

    /// Lets routes be removed and the tickets wait for it: now, or together with others once the removal under way is
    /// through.
    fn remove_routes(&mut self, agents: Vec<AgentId>, tickets: Vec<u64>, effects: &mut Effects) {
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
    fn removed(&mut self, effects: &mut Effects) {
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

    /// Does what is due at `now`: gives batches up, sends again.
    pub(super) fn advance(&mut self, now: Timestamp, effects: &mut Effects) {
        let timeout = self.batch_timeout;
        let is_late = |batch: &Batch| batch.began.plus(timeout) <= now;
        let late: Vec<u64> = self.batches.iter().filter(|(_, b)| is_late(b)).map(|(n, _)| *n).collect();
        for number in late {
            let reason = format!("the router did not confirm the routes within {timeout:?}: try again later");
            self.settle(number, Err(reason), now, effects);
        }
        let due = self.batches.iter().filter(|(_, batch)| batch.sending.is_due(now));
        effects.sends.extend(due.map(|(number, _)| *number));
        self.end_leases(now, effects);
        let removal = self.removing.as_ref().filter(|removal| removal.sending.is_due(now));
        effects.sends.extend(removal.map(|removal| removal.number));
    }

    /// When [`State::advance`] or [`State::form`] has something to do if nothing else comes.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let has_room = self.batches.len() < self.parallel_batches;
        let batch = has_room.then(|| self.batcher.next_deadline()).flatten();
        let batches = self.batches.values().flat_map(|batch| {
            [Some(batch.began.plus(self.batch_timeout)), batch.sending.retry_at()].into_iter().flatten()
        });
        let removal = self.removing.as_ref().and_then(|removal| removal.sending.retry_at());
        batches.chain(batch).chain(removal).chain(self.roster.next_expiry()).min()
    }

    /// For a new incarnation: lets all that is under way be sent again, and answers the batches that are not checked.
    pub(super) fn resume(&self, effects: &mut Effects) -> Vec<u64> {
        effects.sends.extend(self.batches.iter().filter(|(_, b)| b.is_checked).map(|(number, _)| *number));
        effects.sends.extend(self.removing.as_ref().map(|removal| removal.number));
        self.batches.iter().filter(|(_, batch)| !batch.is_checked).map(|(number, _)| *number).collect()
    }
}

/// Why there is no word of the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouterLost {
    /// It did not answer this time.
    Retry,
    /// It is no more.
    Gone,
}

struct Unregistered {
    reason: String,
    /// Whether its routes may be in place nevertheless.
    is_routed: bool,
}

fn ended(agent: &AgentId) -> String {
    format!("agent {agent} ended before it was registered")
}

/// Puts an agent whose routes are in place into the roster.
fn register(
    roster: &mut Roster<AgentHandle>,
    request: &Request,
    payload: &Payload,
    taken: &Result<FxHashSet<AgentId>, String>,
) -> Result<(), Unregistered> {
    let agent = &request.agent;
    let routed = |reason| Err(Unregistered { reason, is_routed: true });
    match taken {
        Err(reason) => return routed(reason.clone()),
        Ok(taken) if !taken.is_empty() && taken.contains(agent) => {
            let reason = format!(
                "agent id {agent} is taken in the router's tables, or the agent lives on another host: choose another id"
            );
            return Err(Unregistered { reason, is_routed: false });
        }
        Ok(_) => {}
    }
    if payload.is_delisted {
        return routed(format!("agent {agent} was removed while it was being registered"));
    }
    if payload.agent.has_ended() {
        return routed(ended(agent));
    }
    let generation = u64::from(payload.agent.generation());
    let inserted = roster.insert(agent.clone(), generation, Profile::from(request), payload.agent.clone());
    inserted.map(drop).or_else(|error| routed(error.to_string()))
}
