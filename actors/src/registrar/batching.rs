//! [`Batcher`]: forms batches of the requests that wait.
//!
//! ```text
//! offer ------------------------------------------------> lanes --> next_batch --> (commit) --> settle
//!                                                         ^   |                    in flight    finished, remembered
//! offer_unvalidated --> lanes --> validate --> validated -+   |
//!                         |           |                       |
//!                         +-----------+-- withdraw, cancel <--+
//! ```
//!
//! **When** a batch is due is up to the [`Strategy`]; **which** requests it gets is not: the most urgent class first, and
//! within a class the one that came first. So that nobody starves, every [`FAIR_EVERY`]th place that is given out goes to
//! whoever has waited longest, whatever its class. A request with `p` requests before it when it comes therefore leaves
//! within the next `FAIR_EVERY * (p + 1)` places. A validation is begun in the same order. Who was validated takes the place
//! in the lane that it had by its offer; how long it waits for its batch counts from its validation, so that slow validations
//! leave time for batches to fill.
//!
//! **Idempotence.** A request number is taken once. Offered again while it waits, is in flight or is remembered as finished
//! (the latest [`BatcherOptions::remember`]), it is answered with how far it is and given back.
//!
//! **Invariant.** Every request that was taken is waiting, being validated, in flight, settled, withdrawn or cancelled, and in
//! exactly one of them; at most [`BatcherOptions::capacity`] wait or are being validated.

use std::{
    collections::{BTreeMap, VecDeque, hash_map::Entry},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    lanes::{Lanes, Waiting},
    number::{ByRequest, RequestId},
    ready::Ready,
    request::{Request, Status},
    strategy::{Pace, Strategy},
    unbatched::OfAgent,
};
use crate::agent::{AgentId, Priority, Timestamp};

/// The bounds of a batcher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatcherOptions {
    /// When batches are due, and how large they are.
    pub strategy: Strategy,
    /// How many requests may wait.
    pub capacity: usize,
    /// How many finished requests are remembered by their number.
    pub remember: usize,
}

impl Default for BatcherOptions {
    fn default() -> Self {
        Self { strategy: Strategy::default(), capacity: 100_000, remember: 65_536 }
    }
}

/// A request with what travels along: its agent's handle, say, or whom to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission<T> {
    /// The request.
    pub request: Request,
    /// What travels along.
    pub payload: T,
}

/// How far a known request is, without its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits, for its validation or its batch.
    Waiting,
    /// It is being validated, outside of any batch.
    Validating,
    /// It is in a batch that is not settled.
    InFlight,
    /// It was registered.
    Completed,
    /// It was refused.
    Failed,
    /// It was taken back.
    Cancelled,
}

impl Stage {
    /// How far a request came that is through; one that has not ended counts as failed.
    const fn at_the_end(request: &Request) -> Self {
        match request.status() {
            Status::Completed => Self::Completed,
            Status::Cancelled => Self::Cancelled,
            Status::Failed(_) | Status::Pending | Status::Validating | Status::Registering => Self::Failed,
        }
    }
}

/// What became of an offer.
#[derive(Debug, Clone, PartialEq)]
pub enum Offered<T> {
    /// It waits for its batch.
    Taken,
    /// The number came before; the offer is given back.
    Known {
        /// How far the request that came before is.
        stage: Stage,
        /// The offer.
        submission: Submission<T>,
    },
    /// It is refused and given back.
    Refused {
        /// Why.
        error: OfferError,
        /// The offer.
        submission: Submission<T>,
    },
}

/// Why an offer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Too many requests wait; this passes.
    #[error("{0} requests wait, as many as may: try again later")]
    Full(usize),
    /// The number came before with another agent.
    #[error("{request} is for agent {first}, not for {second}: number requests apart")]
    Conflict {
        /// The number.
        request: RequestId,
        /// The agent it came with first.
        first: AgentId,
        /// The agent it came with now.
        second: AgentId,
    },
    /// The request has been through some steps already.
    #[error("{request} is {status}, not pending: offer a new one")]
    NotPending {
        /// The request.
        request: RequestId,
        /// What it is.
        status: &'static str,
    },
}

/// Why a request cannot be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// It is not known, or no longer.
    #[error("{0} is not known: it never came, or ended long ago")]
    Unknown(RequestId),
    /// It is past waiting and validation.
    #[error("{request} is {stage:?} and no longer waits: remove the agent instead")]
    Late {
        /// The request.
        request: RequestId,
        /// How far it is.
        stage: Stage,
    },
}

#[derive(Debug)]
struct Known {
    agent: AgentId,
    stage: Stage,
    /// Its class and its number in the order of offers.
    place: (Priority, u64),
}

/// Forms batches of the requests that wait.
#[derive(Debug)]
pub struct Batcher<T> {
    options: BatcherOptions,
    pace: Pace,
    /// Those that wait for their validation.
    unvalidated: Lanes<Submission<T>>,
    /// Those that are being validated, by their number in the order of offers.
    validating: BTreeMap<u64, Waiting<Submission<T>>>,
    /// Those that wait for their batch.
    lanes: Lanes<Submission<T>>,
    /// Since when those in the lanes wait that are not there by their numbers.
    ready: Ready,
    known: ByRequest<Known>,
    of_agent: OfAgent,
    finished: VecDeque<RequestId>,
    in_flight: usize,
    offered: u64,
}

impl<T> Batcher<T> {
    /// An empty batcher.
    pub fn new(options: BatcherOptions) -> Self {
        Self {
            pace: Pace::new(options.strategy),
            options,
            unvalidated: Lanes::default(),
            validating: BTreeMap::new(),
            lanes: Lanes::default(),
            ready: Ready::default(),
            known: ByRequest::default(),
            of_agent: OfAgent::default(),
            finished: VecDeque::new(),
            in_flight: 0,
            offered: 0,
        }
    }

    /// Takes a pending request in at `now`, to wait for its batch.
    pub fn offer(&mut self, submission: Submission<T>, now: Timestamp) -> Offered<T> {
        self.take(submission, now, false)
    }

    /// Takes a pending request in at `now`, to be validated before it waits for its batch.
    pub fn offer_unvalidated(&mut self, submission: Submission<T>, now: Timestamp) -> Offered<T> {
        self.take(submission, now, true)
    }

    fn take(&mut self, submission: Submission<T>, now: Timestamp, is_unvalidated: bool) -> Offered<T> {
        let unended = self.unbatched();
        let request = &submission.request;
        let vacant = match self.known.entry(request.id) {
            Entry::Vacant(vacant) => vacant,
            Entry::Occupied(known) => {
                let known = known.get();
                if known.agent != request.agent {
                    let (first, second) = (known.agent.clone(), request.agent.clone());
                    let error = OfferError::Conflict { request: request.id, first, second };
                    return Offered::Refused { error, submission };
                }
                return Offered::Known { stage: known.stage, submission };
            }
        };
        if *request.status() != Status::Pending {
            let error = OfferError::NotPending { request: request.id, status: request.status().as_str() };
            return Offered::Refused { error, submission };
        }
        if unended >= self.options.capacity {
            return Offered::Refused { error: OfferError::Full(unended), submission };
        }
        self.offered += 1;
        let (class, number) = (request.priority, self.offered);
        vacant.insert(Known { agent: request.agent.clone(), stage: Stage::Waiting, place: (class, number) });
        self.of_agent.came(request);
        let lanes = if is_unvalidated {
            &mut self.unvalidated
        } else {
            // Whoever is validated later may have a lower number.
            if !(self.ready.is_empty() && self.validating.is_empty() && self.unvalidated.len() == 0) {
                self.ready.push(class, number, now);
            }
            &mut self.lanes
        };
        lanes.insert(class, Waiting { number, since: now, value: submission });
        Offered::Taken
    }

    /// Begins the next validation at `now`, if a request waits for one: answers with its number in the order of offers, which
    /// counts from 1.
    pub fn validate(&mut self, now: Timestamp) -> Option<u64> {
        let mut waiting = self.unvalidated.pop()?;
        let request = &mut waiting.value.request;
        request.advance(Status::Validating, now).expect("what waits for its validation is pending");
        self.set_stage(waiting.value.request.id, Stage::Validating);
        let number = waiting.number;
        self.validating.insert(number, waiting);
        Some(number)
    }

    /// The request of this number that is being validated.
    pub fn in_validation(&self, number: u64) -> Option<&Submission<T>> {
        self.validating.get(&number).map(|waiting| &waiting.value)
    }

    /// Lets the request of this number wait for its batch from `now` on, as its validation is through; answers with it.
    pub fn validated(&mut self, number: u64, now: Timestamp) -> Option<&mut Submission<T>> {
        let mut waiting = self.validating.remove(&number)?;
        waiting.since = now;
        let (id, class) = (waiting.value.request.id, waiting.value.request.priority);
        self.set_stage(id, Stage::Waiting);
        self.ready.push(class, number, now);
        Some(&mut self.lanes.insert(class, waiting).value)
    }

    fn set_stage(&mut self, id: RequestId, stage: Stage) {
        if let Some(known) = self.known.get_mut(&id) {
            known.stage = stage;
        }
    }

    /// Takes a request back while it waits or is being validated; it comes out cancelled.
    ///
    /// # Errors
    /// [`CancelError`] when it does neither.
    pub fn cancel(&mut self, id: RequestId, now: Timestamp) -> Result<Submission<T>, CancelError> {
        let stage = self.stage(id).ok_or(CancelError::Unknown(id))?;
        let late = CancelError::Late { request: id, stage };
        let mut submission = self.withdraw(id, Stage::Cancelled).ok_or(late)?;
        let cancelled = submission.request.advance(Status::Cancelled, now);
        cancelled.expect("what waits or is being validated can be cancelled");
        Ok(submission)
    }

    /// Takes out a request that waits or is being validated, and remembers it as ended in this stage.
    pub fn withdraw(&mut self, id: RequestId, end: Stage) -> Option<Submission<T>> {
        let known = self.known.get_mut(&id)?;
        let (class, number) = known.place;
        let waiting = match known.stage {
            Stage::Waiting => {
                self.lanes.remove(class, number).or_else(|| self.unvalidated.remove(class, number))
            }
            Stage::Validating => self.validating.remove(&number),
            Stage::InFlight | Stage::Completed | Stage::Failed | Stage::Cancelled => None,
        }?;
        known.stage = end;
        self.remember(id);
        self.of_agent.left(&waiting.value.request, self.unbatched());
        self.ready.clear(&self.lanes);
        Some(waiting.value)
    }

    /// A request that waits or is being validated.
    pub fn unbatched_request(&self, id: RequestId) -> Option<&Submission<T>> {
        let known = self.known.get(&id)?;
        let (class, number) = known.place;
        let waiting = match known.stage {
            Stage::Waiting => self.lanes.get(class, number).or_else(|| self.unvalidated.get(class, number)),
            Stage::Validating => self.validating.get(&number),
            Stage::InFlight | Stage::Completed | Stage::Failed | Stage::Cancelled => None,
        };
        waiting.map(|waiting| &waiting.value)
    }

    /// The requests for this agent that are not in a batch yet, in the order in which they came.
    pub fn unbatched_of(&mut self, agent: &AgentId) -> Vec<RequestId> {
        if self.unbatched() == 0 {
            return Vec::new();
        }
        let waiting = || self.lanes.iter().chain(self.unvalidated.iter()).chain(self.validating.values());
        self.of_agent.get(agent, || waiting().map(|one| (one.number, &one.value.request)).collect())
    }

    /// The next batch, if one is due at `now`; its requests are in flight until they are settled. The most urgent come first
    /// in it.
    pub fn next_batch(&mut self, now: Timestamp) -> Option<Vec<Submission<T>>> {
        if self.next_deadline()? > now {
            return None;
        }
        let size = self.pace.batch_size().min(self.lanes.len());
        let mut batch = Vec::with_capacity(size);
        batch.extend(std::iter::from_fn(|| self.lanes.pop()).take(size).map(|waiting| waiting.value));
        let unbatched = self.unbatched();
        for submission in &batch {
            self.set_stage(submission.request.id, Stage::InFlight);
            self.of_agent.left(&submission.request, unbatched);
        }
        self.ready.clear(&self.lanes);
        self.in_flight += batch.len();
        batch.sort_by_key(|submission| std::cmp::Reverse(submission.request.priority));
        Some(batch)
    }

    /// When the next batch is due if nothing else comes: in the past if it is due already, never while nothing waits. A batch
    /// that waits for others to be settled may become due earlier.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let oldest = self.lanes.oldest()?.since;
        let oldest = self.ready.first().map_or(oldest, |first| first.min(oldest));
        let most_urgent = self.lanes.most_urgent()?;
        Some(oldest.plus(self.pace.patience(self.lanes.len(), most_urgent, self.in_flight > 0)))
    }

    /// Notes that a batch is through, with what became of its requests, and for how long it held the line up, if it was
    /// committed at all. A request that has not ended counts as failed; one that is not in flight is passed over.
    pub fn settle<'a>(&mut self, requests: impl IntoIterator<Item = &'a Request>, took: Option<Duration>) {
        let settled = requests.into_iter().filter(|request| self.settle_one(request)).count();
        if let Some(took) = took.filter(|_| settled > 0) {
            self.pace.observe(settled, took);
        }
    }

    /// Notes that one request of a batch has ended before the others; whether it was in flight.
    pub fn settle_one(&mut self, request: &Request) -> bool {
        let known = self.known.get_mut(&request.id).filter(|known| known.stage == Stage::InFlight);
        let Some(known) = known else { return false };
        self.in_flight -= 1;
        known.stage = Stage::at_the_end(request);
        self.remember(request.id);
        true
    }

    /// Remembers a request that ended before this batcher was made, so that its number is not taken again.
    pub fn recall(&mut self, request: &Request) {
        if let Entry::Vacant(vacant) = self.known.entry(request.id) {
            let (agent, stage) = (request.agent.clone(), Stage::at_the_end(request));
            vacant.insert(Known { agent, stage, place: (request.priority, 0) });
            self.remember(request.id);
        }
    }

    fn remember(&mut self, id: RequestId) {
        self.finished.push_back(id);
        if self.finished.len() > self.options.remember
            && let Some(forgotten) = self.finished.pop_front()
        {
            self.known.remove(&forgotten);
        }
    }

    /// How far a request is, as far as it is remembered.
    pub fn stage(&self, id: RequestId) -> Option<Stage> {
        self.known.get(&id).map(|known| known.stage)
    }

    /// The agent of a request, as far as it is remembered.
    pub fn agent(&self, id: RequestId) -> Option<&AgentId> {
        self.known.get(&id).map(|known| &known.agent)
    }

    /// How many requests may wait or be validated.
    pub const fn capacity(&self) -> usize {
        self.options.capacity
    }

    /// How many requests wait, for their validation or their batch.
    pub const fn waiting(&self) -> usize {
        self.lanes.len() + self.unvalidated.len()
    }

    /// How many requests wait for their batch.
    pub const fn ready(&self) -> usize {
        self.lanes.len()
    }

    /// How many requests are being validated.
    pub fn validating(&self) -> usize {
        self.validating.len()
    }

    fn unbatched(&self) -> usize {
        self.waiting() + self.validating()
    }

    /// Whether the counts fit together; says which do not.
    pub(super) fn verify(&self) -> Result<(), String> {
        match self.of_agent.len() {
            Some(named) if named != self.unbatched() || named == 0 => {
                Err(format!("{named} requests by agent, {} in no batch", self.unbatched()))
            }
            _ => Ok(()),
        }
    }

    /// How many requests are in batches that are not settled.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many requests the next batch may have at most.
    pub const fn batch_size(&self) -> usize {
        self.pace.batch_size()
    }
}

#[cfg(test)]
mod tests;
