//! [`State`]: the registrar without actor, clock and router. What is to be sent, told and answered comes out as
//! [`Effects`].

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::Entry},
    time::Duration,
};

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::{
    Batcher, CancelError, Enlistment, METADATA_DEPTH, Offered, RegistrarEvent, RegistrarOptions, Request,
    RequestId, Roster, RosterError, Stage, Status, Submission,
    jobs::{Batch, Claim, Payload, Removal, Underway},
    judging::Judging,
    limits::Quotas,
    little::Parallelism,
    memory::Finished,
    waiters::{Effects, Seat, Waiters},
};
use crate::{
    agent::{AgentId, Timestamp},
    inbox::AgentHandle,
    router::Reroute,
};

mod expiry;
mod lease;
#[cfg(test)]
mod model_tests;
mod read;
mod recording;
mod removal;
mod settle;
mod validation;
mod verify;
mod writes;

use read::Totals;
use writes::Writes;

/// What a registrar knows.
pub(super) struct State {
    parallelism: Parallelism,
    /// When the latest batch was through.
    settled: Timestamp,
    batch_timeout: Duration,
    batcher: Batcher<Payload>,
    /// Where rules may wait: those that run as tasks.
    judging: Option<Judging>,
    /// The requests that were given a time and have not ended, the next to be over first.
    deadlines: BTreeSet<(Timestamp, RequestId)>,
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
    jobs: u64,
    offers: u64,
    totals: Totals,
    writes: Writes,
}

impl State {
    /// An empty state. With limits for async rules, requests are validated before they wait for their batch.
    pub(super) fn new(options: RegistrarOptions, judging: Option<Judging>) -> Self {
        let RegistrarOptions { batcher, parallel_batches, batch_timeout, changes, limits } = options;
        Self {
            parallelism: Parallelism::new(parallel_batches),
            settled: Timestamp::ZERO,
            judging,
            deadlines: BTreeSet::new(),
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
            jobs: 0,
            offers: 0,
            totals: Totals::default(),
            writes: Writes::default(),
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
        let before = self.batcher.ready();
        let mut refused = Vec::new();
        for (index, Enlistment { request, agent }) in enlistments.into_iter().enumerate() {
            let seat = Seat { group, index };
            let fault = fault_of(&request, &agent)
                .or_else(|| self.writes.refusal().filter(|_| self.batcher.stage(request.id).is_none()));
            if let Some(fault) = fault {
                refused.push((request, seat, fault));
                continue;
            }
            let deadline = request.deadline().map(|deadline| (deadline, request.id));
            let payload = Payload {
                agent,
                seat,
                number: self.offers + 1,
                is_delisted: false,
                is_valid: false,
                is_ended: false,
            };
            let submission = Submission { request, payload };
            let offered = if self.judging.is_some() {
                self.batcher.offer_unvalidated(submission, now)
            } else {
                self.batcher.offer(submission, now)
            };
            match offered {
                Offered::Taken => {
                    self.offers += 1;
                    self.deadlines.extend(deadline);
                }
                Offered::Refused { error, submission } => {
                    refused.push((submission.request, seat, error.to_string()));
                }
                Offered::Known {
                    stage: Stage::Waiting | Stage::Validating | Stage::InFlight,
                    submission,
                } => {
                    self.waiters.join(submission.request.id, seat);
                }
                Offered::Known { submission, .. } => {
                    let first = self.finished.get(submission.request.id);
                    let first = first.expect("as many are remembered as the batcher knows").clone();
                    self.waiters.fill(seat, first, effects);
                }
            }
        }
        self.refuse(refused, now, effects);
        self.parallelism.arrived(self.batcher.ready() - before, now);
        self.begin_validations(now, effects);
    }

    /// Answers requests that were not taken in; they are not remembered, so that they may come again.
    fn refuse(&mut self, refused: Vec<(Request, Seat, String)>, now: Timestamp, effects: &mut Effects) {
        // However many they are, one event tells of them.
        effects.events.extend(refusal(&refused, now));
        self.totals.failed += refused.len() as u64;
        for (mut request, seat, reason) in refused {
            request.refuse(reason, now);
            self.waiters.fill(seat, request, effects);
        }
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
        if let Some(deadline) = request.deadline() {
            self.deadlines.remove(&(deadline, request.id));
        }
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
        self.expire(now, effects);
        let Submission { request, payload } = self.batcher.cancel(id, now)?;
        self.stop_validation(payload.number, effects);
        self.end(request.clone(), payload.seat, now, effects);
        self.write_ended(&request, now);
        Ok(request)
    }

    /// Forms the next batch, if one is due and may be under way beside the others.
    pub(super) fn form(&mut self, now: Timestamp) -> Option<u64> {
        if !self.has_room(now) {
            return None;
        }
        let entries = self.batcher.next_batch(now)?;
        let number = self.next_job();
        self.batches.insert(number, Batch::new(entries, now));
        Some(number)
    }

    /// Whether one more batch may be under way: as many as there may be, unless too much is being written.
    fn has_room(&self, now: Timestamp) -> bool {
        !self.writes.are_many() && self.batches.len() < self.parallelism.limit(self.batcher.ready(), now)
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
    /// the others and lets them be sent. Removals that it takes over are through when it is.
    pub(super) fn checked(&mut self, number: u64, now: Timestamp, effects: &mut Effects) {
        let Some(batch) = self.batches.get_mut(&number) else { return };
        batch.is_checked = true;
        let (mut registering, mut taken_over) = (0, BTreeSet::new());
        for Submission { request, payload } in &mut batch.entries {
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
            claim.insert_entry(Claim { batch: number, index: registering, request: request.id });
            registering += 1;
            if !self.leaving.is_empty()
                && let Some(removal) = self.leaving.remove(agent)
            {
                batch.remove_first.push(agent.clone());
                taken_over.insert(removal);
            }
        }
        let refused = batch.entries.len() - registering;
        for removal in taken_over {
            self.await_batch(removal, number);
        }
        if registering == 0 {
            self.settle(number, Ok(Vec::new()), now, effects);
            return;
        }
        effects.sends.push(number);
        if refused > 0 {
            self.settle_refused(number, now, effects);
        }
    }

    /// Ends those of a batch that were refused, which have nothing to wait for at the router.
    fn settle_refused(&mut self, number: u64, now: Timestamp, effects: &mut Effects) {
        let split = self.next_job();
        let Some(batch) = self.batches.get_mut(&number) else { return };
        let is_refused = |entry: &mut Underway| *entry.request.status() != Status::Registering;
        let refused = batch.entries.extract_if(.., is_refused).collect();
        let refused = Batch { size: 0, is_checked: true, ..Batch::new(refused, batch.began) };
        self.batches.insert(split, refused);
        self.settle(split, Ok(Vec::new()), now, effects);
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
        // Whose time is over has failed, also when the timer comes a little late.
        self.expire(now, effects);
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

    /// Does what is due at `now`: takes in verdicts, gives requests and batches up, sends again.
    pub(super) fn advance(&mut self, now: Timestamp, effects: &mut Effects) {
        self.expire(now, effects);
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
        self.advance_writes(now, effects);
    }

    /// When [`State::advance`] or [`State::form`] has something to do if nothing else comes.
    pub(super) fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let batch = self.has_room(now).then(|| self.batcher.next_deadline()).flatten();
        let batches = self.batches.values().flat_map(|batch| {
            [Some(batch.began.plus(self.batch_timeout)), batch.sending.retry_at()].into_iter().flatten()
        });
        let removal = self.removing.as_ref().and_then(|removal| removal.sending.retry_at());
        let request = self.deadlines.first().map(|(deadline, _)| *deadline);
        let validation = self.judging.as_ref().and_then(Judging::next_deadline);
        let given = request.into_iter().chain(validation).chain(self.roster.next_expiry());
        batches.chain(batch).chain(removal).chain(given).chain(self.next_write_deadline()).min()
    }

    /// For a new incarnation: takes in what was found meanwhile, lets all that is under way be sent and validated again where it
    /// may not have been, and answers the batches that are not checked.
    pub(super) fn resume(&mut self, now: Timestamp, effects: &mut Effects) -> Vec<u64> {
        self.validate_again(now, effects);
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

/// What is told of requests that were not taken in.
fn refusal(refused: &[(Request, Seat, String)], at: Timestamp) -> Option<RegistrarEvent> {
    let ((first, _, reason), count) = (refused.first()?, refused.len());
    let (request, agent, reason) = (first.id, first.agent.clone(), reason.clone());
    Some(if count == 1 {
        RegistrarEvent::RequestFailed { at, request, agent, reason }
    } else {
        RegistrarEvent::RequestsRefused { at, count, request, agent, reason }
    })
}

/// Why a request is not taken in, whatever else there is.
fn fault_of(request: &Request, agent: &AgentHandle) -> Option<String> {
    let id = request.id;
    if request.agent != *agent.id() {
        let (asked, came) = (&request.agent, agent.id());
        return Some(format!(
            "{id} is for agent {asked} but came with agent {came}: pair each request with its own agent"
        ));
    }
    let deep = request.profile.too_deep()?;
    Some(format!("entry {deep} of its metadata is nested deeper than {METADATA_DEPTH} levels: flatten it"))
}

fn ended(agent: &AgentId) -> String {
    format!("agent {agent} ended before it was registered")
}
