//! [`Waiters`]: who waits for which requests and removals.

use rustc_hash::FxHashMap;
use tokio::{sync::oneshot, task::AbortHandle};

use super::{RegistrarEvent, Request, RequestId, judging::Trial};

/// What the actor has to do after a change of its state: first send, then tell, then answer.
#[derive(Default)]
pub(super) struct Effects {
    /// Numbers of the batches and removals that the router is to be sent, in this order.
    pub(super) sends: Vec<u64>,
    /// Validations that are to be run.
    pub(super) trials: Vec<Trial>,
    /// Validations that are to be broken off.
    pub(super) aborts: Vec<AbortHandle>,
    pub(super) events: Vec<RegistrarEvent>,
    pub(super) answers: Vec<Answer>,
}

/// An answer that is due. Whoever asked may have gone.
pub(super) enum Answer {
    Enlisted(oneshot::Sender<Vec<Request>>, Vec<Request>),
    Delisted(oneshot::Sender<usize>, usize),
}

impl Answer {
    pub(super) fn give(self) {
        match self {
            Answer::Enlisted(to, requests) => _ = to.send(requests),
            Answer::Delisted(to, count) => _ = to.send(count),
        }
    }
}

/// A place in the answer to one [`super::Enlist`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) group: u64,
    pub(super) index: usize,
}

struct Group {
    requests: Vec<Option<Request>>,
    missing: usize,
    answer: oneshot::Sender<Vec<Request>>,
}

struct Removing {
    missing: usize,
    count: usize,
    answer: oneshot::Sender<usize>,
}

/// Who waits for which requests and removals.
#[derive(Default)]
pub(super) struct Waiters {
    groups: FxHashMap<u64, Group>,
    /// Seats of requests that were offered again before they ended.
    joined: FxHashMap<RequestId, Vec<Seat>>,
    removals: FxHashMap<u64, Removing>,
    tickets: u64,
}

impl Waiters {
    pub(super) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Opens a group of so many seats.
    pub(super) fn open(
        &mut self,
        seats: usize,
        answer: oneshot::Sender<Vec<Request>>,
        effects: &mut Effects,
    ) -> u64 {
        let group = self.ticket();
        if seats == 0 {
            effects.answers.push(Answer::Enlisted(answer, Vec::new()));
        } else {
            let requests = std::iter::repeat_with(|| None).take(seats).collect();
            self.groups.insert(group, Group { requests, missing: seats, answer });
        }
        group
    }

    /// Puts a request that has ended in its seat.
    pub(super) fn fill(&mut self, seat: Seat, request: Request, effects: &mut Effects) {
        let group = self.groups.get_mut(&seat.group).expect("a group lasts until its seats are filled");
        group.requests[seat.index] = Some(request);
        group.missing -= 1;
        if group.missing == 0 {
            let Group { requests, answer, .. } = self.groups.remove(&seat.group).expect("found above");
            effects.answers.push(Answer::Enlisted(answer, requests.into_iter().flatten().collect()));
        }
    }

    /// Lets a seat wait for a request of another seat.
    pub(super) fn join(&mut self, request: RequestId, seat: Seat) {
        self.joined.entry(request).or_default().push(seat);
    }

    /// The seats that waited for this request beside its own.
    pub(super) fn joined(&mut self, request: RequestId) -> Vec<Seat> {
        if self.joined.is_empty() { Vec::new() } else { self.joined.remove(&request).unwrap_or_default() }
    }

    /// Waits for so many removals before answering that `count` agents were removed.
    pub(super) fn await_removals(
        &mut self,
        ticket: u64,
        missing: usize,
        count: usize,
        answer: oneshot::Sender<usize>,
        effects: &mut Effects,
    ) {
        if missing == 0 {
            effects.answers.push(Answer::Delisted(answer, count));
        } else {
            self.removals.insert(ticket, Removing { missing, count, answer });
        }
    }

    /// Lets a ticket wait for one thing more.
    pub(super) fn await_more(&mut self, ticket: u64) {
        if let Some(waiting) = self.removals.get_mut(&ticket) {
            waiting.missing += 1;
        }
    }

    /// Lets whoever holds one of these tickets hear that there is no answer.
    pub(super) fn abandon(&mut self, tickets: impl IntoIterator<Item = u64>) {
        for ticket in tickets {
            self.removals.remove(&ticket);
        }
    }

    pub(super) fn is_waiting(&self, ticket: u64) -> bool {
        self.removals.contains_key(&ticket)
    }

    /// Notes that one of the removals that a ticket waits for is done. One that was abandoned waits for nothing.
    pub(super) fn removed(&mut self, ticket: u64, effects: &mut Effects) {
        let Some(waiting) = self.removals.get_mut(&ticket) else { return };
        waiting.missing -= 1;
        if waiting.missing == 0 {
            let Removing { count, answer, .. } = self.removals.remove(&ticket).expect("found above");
            effects.answers.push(Answer::Delisted(answer, count));
        }
    }

    /// How many seats are empty, and how many of these wait for another one's request.
    pub(super) fn seats(&self) -> (usize, usize) {
        let missing = self.groups.values().map(|group| group.missing).sum();
        (missing, self.joined.values().map(Vec::len).sum())
    }

    /// How many removals are waited for.
    pub(super) fn removals(&self) -> usize {
        self.removals.values().map(|waiting| waiting.missing).sum()
    }
}
