//! [`Recovery`]: from records back to who was registered, and to the latest requests that ended.
//!
//! **Invariant.** Records are taken in order, without a gap but where a snapshot has them, and what one does to the roster is
//! decided by the generation alone: word of an earlier one never harms a later one.

use std::collections::{BTreeMap, BTreeSet, hash_map::Entry};

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::{Record, Request, RequestId, Status};
use crate::agent::AgentId;

/// An agent that was registered when the records end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecoveredMember {
    /// Its generation.
    pub generation: u64,
    /// In which run it was registered.
    pub run: u64,
    /// The number of the record that says so.
    pub sequence: u64,
    /// The request that it was registered by: its id, kind and profile are the agent's.
    pub request: Request,
}

/// A request that ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoggedRequest {
    /// The number of the record that says so.
    pub sequence: u64,
    /// In which run it ended; the times of the request count from the start of that.
    pub run: u64,
    /// The request.
    pub request: Request,
}

/// What records come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Recovered {
    /// Who was registered, in the order of registration.
    pub members: Vec<RecoveredMember>,
    /// The latest requests that ended, the oldest first.
    pub requests: Vec<LoggedRequest>,
    /// The number of the last record, 0 when there is none.
    pub sequence: u64,
    /// How often the journal was opened.
    pub run: u64,
}

/// A record that does not follow the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record {found} stands where record {expected} belongs")]
pub struct OutOfSequence {
    /// The number that should be there; of a snapshot, the least.
    pub expected: u64,
    /// The number that is there.
    pub found: u64,
}

/// What the records say of an agent that is registered.
struct Held {
    last: Member,
    /// Whose places were taken, as long as the later registrations may be undone: they have not come back then, or are not
    /// yet written as removed. By their generations.
    earlier: Vec<Member>,
}

struct Member {
    generation: u64,
    run: u64,
    sequence: u64,
    /// The record by which it came to a later generation.
    renewal: Option<u64>,
}

impl Held {
    fn all(&self) -> impl Iterator<Item = &Member> {
        self.earlier.iter().chain([&self.last])
    }
}

struct Logged {
    run: u64,
    request: Request,
    /// The record by which the agent that this request registered was removed.
    removal: Option<u64>,
}

/// Takes records in and says what they come to.
pub struct Recovery {
    most: usize,
    run: u64,
    sequence: u64,
    members: FxHashMap<AgentId, Held>,
    /// The requests of members that are no longer in the log, by the number of their record.
    outlived: FxHashMap<u64, Request>,
    log: BTreeMap<u64, Logged>,
    by_id: FxHashMap<RequestId, u64>,
    /// The records that opened runs of which something is left.
    openings: BTreeMap<u64, u64>,
}

impl Recovery {
    /// Nothing yet; the latest `most` requests are kept.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            run: 0,
            sequence: 0,
            members: FxHashMap::default(),
            outlived: FxHashMap::default(),
            log: BTreeMap::new(),
            by_id: FxHashMap::default(),
            openings: BTreeMap::new(),
        }
    }

    /// The number of the last record.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many agents are registered.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Takes the next record in.
    ///
    /// # Errors
    /// [`OutOfSequence`] when it is another one than the next.
    pub fn take(&mut self, sequence: u64, record: Record) -> Result<(), OutOfSequence> {
        let expected = self.sequence + 1;
        if sequence != expected {
            return Err(OutOfSequence { expected, found: sequence });
        }
        self.apply(sequence, record);
        Ok(())
    }

    /// Takes a record of a snapshot in, which holds only those that matter.
    ///
    /// # Errors
    /// [`OutOfSequence`] when its number is no greater than that of the one before.
    pub fn take_kept(&mut self, sequence: u64, record: Record) -> Result<(), OutOfSequence> {
        if sequence <= self.sequence {
            return Err(OutOfSequence { expected: self.sequence + 1, found: sequence });
        }
        self.apply(sequence, record);
        Ok(())
    }

    /// Ends a snapshot that holds what matters of the records up to `through`.
    ///
    /// # Errors
    /// [`OutOfSequence`] when it holds later ones.
    pub const fn end_kept(&mut self, through: u64) -> Result<(), OutOfSequence> {
        if through < self.sequence {
            return Err(OutOfSequence { expected: through, found: self.sequence });
        }
        self.sequence = through;
        Ok(())
    }

    fn apply(&mut self, sequence: u64, record: Record) {
        self.sequence = sequence;
        match record {
            Record::Opened { run } => {
                self.run = run;
                self.openings.insert(sequence, run);
            }
            Record::Registered { request, generation } | Record::Replaced { request, generation } => {
                self.register(sequence, &request, generation);
                self.log(sequence, request);
            }
            Record::Ended { request } => self.log(sequence, request),
            Record::Undone { request, generation } => {
                // The record of the registration gives way to this one, so nothing would bring the agent back.
                self.remove(&request.agent, |one| one == generation);
                self.log(sequence, request);
            }
            Record::Removed { agent, generation, .. } => {
                for registered in self.remove(&agent, |one| one <= generation) {
                    if let Some(logged) = self.log.get_mut(&registered) {
                        logged.removal = Some(sequence);
                    }
                }
            }
            Record::Renewed { agent, generation, .. } => {
                let last = self.members.get_mut(&agent).map(|held| &mut held.last);
                if let Some(last) = last.filter(|last| last.generation < generation) {
                    (last.generation, last.renewal) = (generation, Some(sequence));
                }
            }
        }
    }

    fn register(&mut self, sequence: u64, request: &Request, generation: u64) {
        let last = Member { generation, run: self.run, sequence, renewal: None };
        match self.members.entry(request.agent.clone()) {
            Entry::Vacant(place) => _ = place.insert(Held { last, earlier: Vec::new() }),
            Entry::Occupied(mut place) if place.get().last.generation < generation => {
                let Held { last: before, earlier } = place.get_mut();
                let before = std::mem::replace(before, last);
                if before.run < self.run {
                    // Nothing of its run is undone any more.
                    for one in earlier.drain(..) {
                        self.outlived.remove(&one.sequence);
                    }
                }
                earlier.push(before);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Removes the registrations of an agent that are of these generations. Answers which records they stand in.
    fn remove(&mut self, agent: &AgentId, is_gone: impl Fn(u64) -> bool) -> Vec<u64> {
        let Entry::Occupied(mut place) = self.members.entry(agent.clone()) else { return Vec::new() };
        let Held { last, earlier } = place.get_mut();
        let gone = earlier.extract_if(.., |one| is_gone(one.generation)).map(|one| one.sequence);
        let mut gone: Vec<u64> = gone.collect();
        if is_gone(last.generation) {
            gone.push(last.sequence);
            match earlier.pop() {
                Some(before) => *last = before,
                None => _ = place.remove(),
            }
        }
        for sequence in &gone {
            self.outlived.remove(sequence);
        }
        gone
    }

    fn log(&mut self, sequence: u64, request: Request) {
        if let Some(before) = self.by_id.insert(request.id, sequence)
            && let Some(logged) = self.log.remove(&before)
        {
            self.outlive(before, logged);
        }
        self.log.insert(sequence, Logged { run: self.run, request, removal: None });
        while self.log.len() > self.most
            && let Some((oldest, logged)) = self.log.pop_first()
        {
            if self.by_id.get(&logged.request.id) == Some(&oldest) {
                self.by_id.remove(&logged.request.id);
            }
            self.outlive(oldest, logged);
        }
    }

    /// Keeps a request that leaves the log as long as it is what is known of a member.
    fn outlive(&mut self, sequence: u64, logged: Logged) {
        let is_its = |held: &Held| held.all().any(|member| member.sequence == sequence);
        if self.members.get(&logged.request.agent).is_some_and(is_its) {
            self.outlived.insert(sequence, logged.request);
        }
    }

    /// The numbers of the records that matter: all others may be forgotten, and the rest comes to the same.
    pub fn kept(&self) -> BTreeSet<u64> {
        let mut kept: BTreeSet<u64> = self.log.keys().copied().collect();
        for member in self.members.values().flat_map(Held::all) {
            kept.extend([Some(member.sequence), member.renewal].into_iter().flatten());
        }
        kept.extend(self.log.values().filter_map(|logged| logged.removal));
        let mut openings = Vec::new();
        let mut next = None;
        for opening in self.openings.keys().rev() {
            let of_it = kept.range((std::ops::Bound::Excluded(opening), std::ops::Bound::Unbounded));
            // The last one is kept for its number.
            if next.is_none()
                || of_it.into_iter().next().is_some_and(|first| next.is_none_or(|next| *first < next))
            {
                openings.push(*opening);
            }
            next = Some(*opening);
        }
        kept.extend(openings);
        kept
    }

    /// What the records come to.
    pub fn finish(mut self) -> Recovered {
        let mut members = Vec::with_capacity(self.members.len());
        for Held { last: Member { generation, run, sequence, .. }, .. } in self.members.into_values() {
            let logged = || self.log.get(&sequence).map(|logged| logged.request.clone());
            let request = self.outlived.remove(&sequence).or_else(logged);
            let request =
                request.expect("a request that leaves the log outlives it while its agent is there");
            members.push(RecoveredMember { generation, run, sequence, request });
        }
        members.sort_unstable_by_key(|member| member.sequence);
        let requests = self.log.into_iter();
        let requests =
            requests.map(|(sequence, Logged { run, request, .. })| LoggedRequest { sequence, run, request });
        Recovered { members, requests: requests.collect(), sequence: self.sequence, run: self.run }
    }
}

impl Recovered {
    /// How many of the requests ended so.
    pub fn ended(&self, is_meant: impl Fn(&Status) -> bool) -> usize {
        self.requests.iter().filter(|logged| is_meant(logged.request.status())).count()
    }
}

#[cfg(test)]
mod tests;
