//! [`Batcher`]: forms batches of the requests that wait.
//!
//! ```text
//! offer --> one lane per class --> next_batch --> (validate, commit) --> settle
//!             cancel <--+                            in flight             finished, remembered
//! ```
//!
//! **When** a batch is due is up to the [`Strategy`]; **which** requests it gets is not: the most urgent class first, and
//! within a class the one that came first. So that nobody starves, every [`FAIR_EVERY`]th place that is given out goes to
//! whoever has waited longest, whatever its class. A request with `p` requests before it when it comes therefore leaves
//! within the next `FAIR_EVERY * (p + 1)` places.
//!
//! **Idempotence.** A request number is taken once. Offered again while it waits, is in flight or is remembered as finished
//! (the latest [`BatcherOptions::remember`]), it is answered with how far it is and given back.
//!
//! **Invariant.** Every request that was taken is waiting, in flight, settled or cancelled, and in exactly one of them; at
//! most [`BatcherOptions::capacity`] wait.

use std::{
    collections::{VecDeque, hash_map::Entry},
    time::Duration,
};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    request::{Request, RequestId, Status},
    strategy::{Pace, Strategy},
};
use crate::agent::{AgentId, Priority, Timestamp};

/// Every so many places given out, one goes to the request that has waited longest.
pub const FAIR_EVERY: u64 = 8;

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
    /// It waits for its batch.
    Waiting,
    /// It is in a batch that is not settled.
    InFlight,
    /// It was registered.
    Completed,
    /// It was refused.
    Failed,
    /// It was taken back.
    Cancelled,
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
    /// It is past waiting.
    #[error("{request} is {stage:?} and no longer waits: remove the agent instead")]
    Late {
        /// The request.
        request: RequestId,
        /// How far it is.
        stage: Stage,
    },
}

#[derive(Debug)]
struct Waiting<T> {
    number: u64,
    since: Timestamp,
    submission: Submission<T>,
}

#[derive(Debug)]
struct Known {
    agent: AgentId,
    stage: Stage,
    /// While it waits: its class and its number in the order of offers.
    place: (Priority, u64),
}

/// Forms batches of the requests that wait.
#[derive(Debug)]
pub struct Batcher<T> {
    options: BatcherOptions,
    pace: Pace,
    /// Low first.
    lanes: [VecDeque<Waiting<T>>; Priority::ALL.len()],
    waiting: usize,
    known: FxHashMap<RequestId, Known>,
    finished: VecDeque<RequestId>,
    in_flight: usize,
    offered: u64,
    places: u64,
}

impl<T> Batcher<T> {
    /// An empty batcher.
    pub fn new(options: BatcherOptions) -> Self {
        Self {
            pace: Pace::new(options.strategy),
            options,
            lanes: std::array::from_fn(|_| VecDeque::new()),
            waiting: 0,
            known: FxHashMap::default(),
            finished: VecDeque::new(),
            in_flight: 0,
            offered: 0,
            places: 0,
        }
    }

    /// Takes a pending request in at `now`.
    pub fn offer(&mut self, submission: Submission<T>, now: Timestamp) -> Offered<T> {
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
        if self.waiting >= self.options.capacity {
            return Offered::Refused { error: OfferError::Full(self.waiting), submission };
        }
        self.offered += 1;
        let place = (request.priority, self.offered);
        vacant.insert(Known { agent: request.agent.clone(), stage: Stage::Waiting, place });
        self.lanes[lane(place.0)].push_back(Waiting { number: place.1, since: now, submission });
        self.waiting += 1;
        Offered::Taken
    }

    /// Takes a request back while it waits; it comes out cancelled.
    ///
    /// # Errors
    /// [`CancelError`] when it does not wait.
    pub fn cancel(&mut self, id: RequestId, now: Timestamp) -> Result<Submission<T>, CancelError> {
        let known = self.known.get_mut(&id).ok_or(CancelError::Unknown(id))?;
        if known.stage != Stage::Waiting {
            return Err(CancelError::Late { request: id, stage: known.stage });
        }
        known.stage = Stage::Cancelled;
        let (priority, number) = known.place;
        let lane = &mut self.lanes[lane(priority)];
        let place = lane
            .binary_search_by_key(&number, |waiting| waiting.number)
            .expect("what is known as waiting stands in its lane");
        let mut submission = lane.remove(place).expect("it was found a line ago").submission;
        self.waiting -= 1;
        submission.request.advance(Status::Cancelled, now).expect("what waits is pending");
        self.remember(id);
        Ok(submission)
    }

    /// A request that waits.
    pub fn waiting_request(&self, id: RequestId) -> Option<&Submission<T>> {
        let known = self.known.get(&id).filter(|known| known.stage == Stage::Waiting)?;
        let (priority, number) = known.place;
        let lane = &self.lanes[lane(priority)];
        let place = lane.binary_search_by_key(&number, |waiting| waiting.number).ok()?;
        Some(&lane[place].submission)
    }

    /// The request that has waited longest.
    pub fn oldest_waiting(&self) -> Option<&Submission<T>> {
        Some(&self.lanes[self.oldest()?].front()?.submission)
    }

    /// The next batch, if one is due at `now`; its requests are in flight until they are settled. The most urgent come first
    /// in it.
    pub fn next_batch(&mut self, now: Timestamp) -> Option<Vec<Submission<T>>> {
        if self.next_deadline()? > now {
            return None;
        }
        let size = self.pace.batch_size().min(self.waiting);
        let mut batch = Vec::with_capacity(size);
        for _ in 0..size {
            self.places += 1;
            let lane =
                if self.places.is_multiple_of(FAIR_EVERY) { self.oldest() } else { self.most_urgent() };
            let Some(Waiting { submission, .. }) = lane.and_then(|lane| self.lanes[lane].pop_front()) else {
                break;
            };
            if let Some(known) = self.known.get_mut(&submission.request.id) {
                known.stage = Stage::InFlight;
            }
            batch.push(submission);
        }
        self.waiting -= batch.len();
        self.in_flight += batch.len();
        batch.sort_by_key(|submission| std::cmp::Reverse(submission.request.priority));
        Some(batch)
    }

    /// When the next batch is due if nothing else comes: in the past if it is due already, never while nothing waits. A batch
    /// that waits for others to be settled may become due earlier.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let oldest = self.lanes[self.oldest()?].front()?.since;
        let most_urgent = Priority::ALL[Priority::ALL.len() - 1 - self.most_urgent()?];
        Some(oldest.plus(self.pace.patience(self.waiting, most_urgent, self.in_flight > 0)))
    }

    /// Notes that a batch is through, `took` after it was given out, with what became of its requests. One that has not
    /// ended counts as failed; one that is not in flight is passed over.
    pub fn settle<'a>(&mut self, requests: impl IntoIterator<Item = &'a Request>, took: Duration) {
        let mut settled = 0;
        for request in requests {
            let known = self.known.get_mut(&request.id).filter(|known| known.stage == Stage::InFlight);
            let Some(known) = known else { continue };
            settled += 1;
            self.in_flight -= 1;
            known.stage = match request.status() {
                Status::Completed => Stage::Completed,
                Status::Cancelled => Stage::Cancelled,
                Status::Failed(_) | Status::Pending | Status::Validating | Status::Registering => {
                    Stage::Failed
                }
            };
            self.remember(request.id);
        }
        if settled > 0 {
            self.pace.observe(settled, took);
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

    fn most_urgent(&self) -> Option<usize> {
        self.lanes.iter().rposition(|lane| !lane.is_empty())
    }

    fn oldest(&self) -> Option<usize> {
        let heads = self.lanes.iter().enumerate().filter_map(|(lane, all)| Some((all.front()?.number, lane)));
        heads.min().map(|(_, lane)| lane)
    }

    /// How far a request is, as far as it is remembered.
    pub fn stage(&self, id: RequestId) -> Option<Stage> {
        self.known.get(&id).map(|known| known.stage)
    }

    /// How many requests wait.
    pub const fn waiting(&self) -> usize {
        self.waiting
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

const fn lane(priority: Priority) -> usize {
    priority as usize - 1
}

#[cfg(test)]
mod tests;
