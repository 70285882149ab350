//! What is under way: [`Batch`]es of requests and [`Removal`]s of routes, each waiting for the router's word.

use std::time::Duration;

use super::{RequestId, Submission, waiters::Seat};
use crate::{
    agent::{AgentId, Timestamp},
    inbox::AgentHandle,
    support::doubling,
};

/// The wait before something the router did not answer is sent again the first time; it doubles up to [`MAX_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(10);
const MAX_RETRY: Duration = Duration::from_secs(1);

/// What travels with a request.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) agent: AgentHandle,
    pub(super) seat: Seat,
    /// Its number in the order of offers.
    pub(super) number: u64,
    /// Whether the agent was removed while the request was in flight.
    pub(super) is_delisted: bool,
    /// Whether it was found valid before it joined its batch.
    pub(super) is_valid: bool,
    /// Whether its request has ended before its batch, and was answered.
    pub(super) is_ended: bool,
}

/// A request on its way.
pub(super) type Underway = Submission<Payload>;

/// How often something was sent to the router, and when it is sent again.
#[derive(Debug, Default)]
pub(super) struct Sending {
    attempt: u32,
    failures: u32,
    retry_at: Option<Timestamp>,
}

impl Sending {
    /// Notes that it is sent, and numbers the attempt.
    pub(super) fn next_attempt(&mut self) -> u32 {
        self.attempt += 1;
        self.retry_at = None;
        self.attempt
    }

    /// Notes that an attempt came to nothing. Only the latest counts: others were replaced already.
    pub(super) fn failed(&mut self, attempt: u32, now: Timestamp) {
        if attempt == self.attempt {
            self.failures += 1;
            self.retry_at = Some(now.plus(doubling(FIRST_RETRY, MAX_RETRY, self.failures)));
        }
    }

    pub(super) const fn was_sent(&self) -> bool {
        self.attempt > 0
    }

    pub(super) const fn retry_at(&self) -> Option<Timestamp> {
        self.retry_at
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }
}

/// A batch of requests under way.
#[derive(Debug)]
pub(super) struct Batch {
    /// Empty while the rules are being asked, outside of the state.
    pub(super) entries: Vec<Underway>,
    /// How many requests it was formed of; none, if they were split off another one.
    pub(super) size: usize,
    pub(super) began: Timestamp,
    /// Whether rules and roster were asked about all entries.
    pub(super) is_checked: bool,
    /// Agents of the same ids whose removal is under way: it is made with this batch.
    pub(super) remove_first: Vec<AgentId>,
    pub(super) sending: Sending,
    /// Who waits for this batch because it holds an agent to be removed.
    pub(super) tickets: Vec<u64>,
}

impl Batch {
    pub(super) fn new(entries: Vec<Underway>, began: Timestamp) -> Self {
        Self {
            size: entries.len(),
            entries,
            began,
            is_checked: false,
            remove_first: Vec::new(),
            sending: Sending::default(),
            tickets: Vec::new(),
        }
    }
}

/// Where the one request stands that may register an agent id now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) batch: u64,
    pub(super) index: usize,
    pub(super) request: RequestId,
}

/// Routes that are being removed.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) number: u64,
    pub(super) agents: Vec<AgentId>,
    pub(super) sending: Sending,
    pub(super) tickets: Vec<u64>,
}

impl Removal {
    pub(super) fn new(number: u64) -> Self {
        Self { number, agents: Vec::new(), sending: Sending::default(), tickets: Vec::new() }
    }
}

/// Lets a ticket wait once; whether it does so from now on.
pub(super) fn wait_once(tickets: &mut Vec<u64>, ticket: u64) -> bool {
    let is_new = tickets.last() != Some(&ticket);
    if is_new {
        tickets.push(ticket);
    }
    is_new
}
