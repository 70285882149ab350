//! [`Writes`]: what is being written down, and from where on generations count meanwhile.
//!
//! **Invariant.** What the recorder was given is counted until it says a word. A generation that may be written is not given
//! out again before it is written that it is void.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use rustc_hash::FxHashMap;

use super::settle::Routed;
use crate::{
    agent::{AgentId, Timestamp},
    registrar::{Record, RecoveredMember, jobs::Batch},
    support::doubling,
};

/// The wait before what was refused is handed over again the first time; it doubles up to [`MAX_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(10);
const MAX_RETRY: Duration = Duration::from_secs(1);
/// While so many requests are being written, no batch is formed: they wait where their number is bounded.
const MOST_HELD: usize = 16_384;
/// While the recorder owes its word on so many records that nobody waits for any more, no request is taken in.
const MOST_OWED: usize = 16_384;
/// How many ends of requests are written together at most.
const ENDS: usize = 256;

#[derive(Debug)]
pub(super) enum What {
    /// A batch that is concluded when it is written.
    Batch(Routed),
    /// For each record of a batch that was given up, what says how its request ended: it undoes a registration that was
    /// written after all.
    Late(Vec<Record>),
    /// Facts about agents that are gone or renewed, and who waits for them to be written.
    Gone { records: Vec<Record>, tickets: Vec<u64> },
    /// Requests that ended and were answered.
    Ended(Vec<Record>),
}

impl What {
    pub(super) fn records(&self) -> usize {
        match self {
            Self::Batch(routed) => routed.batch.entries.len(),
            Self::Late(records) | Self::Gone { records, .. } | Self::Ended(records) => records.len(),
        }
    }

    /// The requests that it holds back, and the records that nobody waits for.
    fn weight(&self) -> (usize, usize) {
        match self {
            Self::Batch(_) => (self.records(), 0),
            Self::Late(_) | Self::Ended(_) => (0, self.records()),
            // There are no more of them than agents that were registered.
            Self::Gone { .. } => (0, 0),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Ready,
    HandedOver,
    Resting,
}

#[derive(Debug)]
pub(super) struct Write {
    pub(super) what: What,
    pub(super) stage: Stage,
    pub(super) began: Timestamp,
    /// When something is done about it if nothing comes.
    due: Option<Timestamp>,
    pub(super) failures: u32,
}

/// From where on the generations of an agent count.
#[derive(Debug, Default)]
pub(super) struct Floor {
    least: u64,
    /// How many reasons there are to remember it.
    holds: usize,
    /// The writes after which it is gone for good, and some that are through.
    pub(super) writes: Vec<u64>,
}

impl Floor {
    /// For good: whoever removes a recovered agent and whoever brings it back again come after it.
    fn of(member: &RecoveredMember) -> Self {
        Self { least: member.generation.saturating_add(1), holds: 1, writes: Vec::new() }
    }
}

/// What is being written.
#[derive(Debug, Default)]
pub(super) struct Writes {
    is_on: bool,
    pub(super) all: BTreeMap<u64, Write>,
    /// Those that are to be handed over, in order.
    ready: VecDeque<u64>,
    due: BTreeSet<(Timestamp, u64)>,
    /// How many requests are in batches that are being written.
    held: usize,
    /// On how many records that nobody waits for the recorder owes its word.
    owed: usize,
    pub(super) floors: FxHashMap<AgentId, Floor>,
    /// By how much the generation in the roster is above the incarnation of its holder, where it is.
    bases: FxHashMap<AgentId, u64>,
    pub(super) unreturned: BTreeMap<AgentId, RecoveredMember>,
}

impl Writes {
    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Lets them be written from now on. These were registered before, by what is recovered.
    pub(super) fn begin_after(&mut self, members: Vec<RecoveredMember>) {
        self.is_on = true;
        for member in members {
            let agent = member.request.agent.clone();
            self.floors.insert(agent.clone(), Floor::of(&member));
            self.unreturned.insert(agent, member);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether so much is being written that no more should be begun.
    pub(super) const fn are_many(&self) -> bool {
        self.held >= MOST_HELD
    }

    /// Why no request is taken in now, if so.
    pub(super) fn refusal(&self) -> Option<String> {
        (self.owed >= MOST_OWED).then(|| {
            let owed = self.owed;
            format!("it is not known of {owed} ended requests whether they are written down: try again later")
        })
    }

    /// The generation of an agent that is registered now.
    pub(super) fn generation(&self, agent: &AgentId, incarnation: u32) -> u64 {
        let floor = self.floors.get(agent).map_or(0, |floor| floor.least);
        floor.saturating_add(u64::from(incarnation))
    }

    /// By how much the generation of an agent in the roster is above the incarnation of its holder.
    pub(super) fn base(&self, agent: &AgentId) -> u64 {
        self.bases.get(agent).copied().unwrap_or(0)
    }

    /// Notes that an agent is in the roster.
    pub(super) fn entered(&mut self, agent: &AgentId, base: u64) {
        if base > 0 {
            self.bases.insert(agent.clone(), base);
        }
        if !self.unreturned.is_empty() {
            self.unreturned.remove(agent);
        }
    }

    /// Notes that an agent is no longer in the roster.
    pub(super) fn left(&mut self, agent: &AgentId) {
        self.bases.remove(agent);
    }

    /// The batches that are being written.
    pub(super) fn batches(&self) -> impl Iterator<Item = (&u64, &Batch)> {
        self.all.iter().filter_map(|(number, write)| match &write.what {
            What::Batch(routed) => Some((number, &routed.batch)),
            _ => None,
        })
    }

    pub(super) fn batch(&self, number: u64) -> Option<&Batch> {
        match &self.all.get(&number)?.what {
            What::Batch(routed) => Some(&routed.batch),
            _ => None,
        }
    }

    pub(super) fn batch_mut(&mut self, number: u64) -> Option<&mut Batch> {
        match &mut self.all.get_mut(&number)?.what {
            What::Batch(routed) => Some(&mut routed.batch),
            _ => None,
        }
    }

    /// The tickets that wait for facts to be written.
    pub(super) fn tickets(&self) -> impl Iterator<Item = &u64> {
        self.all.values().flat_map(|write| match &write.what {
            What::Gone { tickets, .. } => &tickets[..],
            _ => &[],
        })
    }

    pub(super) fn hold(&mut self, record: &Record, write: u64) {
        let Some((agent, generation)) = voided(record) else { return };
        let floor = self.floors.entry(agent.clone()).or_default();
        floor.least = floor.least.max(generation.saturating_add(1));
        floor.holds += 1;
        floor.writes.retain(|write| self.all.contains_key(write));
        floor.writes.push(write);
    }

    /// Notes that a request of a batch ended while that is being written. Answers whether its registration may be written:
    /// then its generation counts as taken, and it is undone when the batch is concluded.
    pub(super) fn hold_ended(&mut self, number: u64, index: usize) -> bool {
        let Some(write) = self.all.get_mut(&number) else { return false };
        let What::Batch(routed) = &mut write.what else { return false };
        if write.stage != Stage::HandedOver {
            routed.generations[index] = None;
            return false;
        }
        let Some(generation) = routed.generations[index] else { return false };
        let request = routed.batch.entries[index].request.clone();
        self.hold(&Record::Undone { request, generation }, number);
        true
    }

    pub(super) fn release(&mut self, records: &[Record]) {
        for (agent, _) in records.iter().filter_map(voided) {
            if let Some(floor) = self.floors.get_mut(agent) {
                floor.holds -= 1;
                if floor.holds == 0 {
                    self.floors.remove(agent);
                }
            }
        }
    }

    pub(super) fn begin(&mut self, number: u64, what: What, began: Timestamp) {
        self.put(number, Write { what, stage: Stage::Ready, began, due: None, failures: 0 });
        self.ready.push_back(number);
    }

    /// Adds the end of a request to what is handed over last, if that is more of the kind; else the end comes back.
    pub(super) fn join_ends(&mut self, record: Record) -> Option<Record> {
        let last = self.ready.back().and_then(|last| self.all.get_mut(last)).map(|write| &mut write.what);
        match last {
            Some(What::Ended(records)) if records.len() < ENDS => {
                records.push(record);
                self.owed += 1;
                None
            }
            _ => Some(record),
        }
    }

    /// What is handed over next, and who has not come back.
    pub(super) fn pop_ready(&mut self) -> Option<(u64, &mut Write, &BTreeMap<AgentId, RecoveredMember>)> {
        let number = self.ready.pop_front()?;
        Some((number, self.all.get_mut(&number)?, &self.unreturned))
    }

    /// What is due.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<u64> {
        let (_, number) = self.due.first().copied().filter(|(due, _)| *due <= now)?;
        self.set_due(number, None);
        Some(number)
    }

    /// Lets one that was refused rest before it is handed over again.
    pub(super) fn rest(&mut self, number: u64, mut write: Write, now: Timestamp) {
        write.failures += 1;
        let due = now.plus(doubling(FIRST_RETRY, MAX_RETRY, write.failures));
        self.put(number, Write { stage: Stage::Resting, due: None, ..write });
        self.set_due(number, Some(due));
    }

    /// Hands one over again that has rested. Answers whether it had.
    pub(super) fn rested(&mut self, number: u64) -> bool {
        match self.all.get_mut(&number) {
            Some(write) if write.stage == Stage::Resting => {
                write.stage = Stage::Ready;
                self.ready.push_back(number);
                true
            }
            _ => false,
        }
    }

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn set_due(&mut self, number: u64, due: Option<Timestamp>) {
        let Some(write) = self.all.get_mut(&number) else { return };
        if let Some(before) = std::mem::replace(&mut write.due, due) {
            self.due.remove(&(before, number));
        }
        self.due.extend(due.map(|due| (due, number)));
    }

    pub(super) fn put(&mut self, number: u64, write: Write) {
        let (held, owed) = write.what.weight();
        (self.held, self.owed) = (self.held + held, self.owed + owed);
        self.all.insert(number, write);
    }

    pub(super) fn take(&mut self, number: u64) -> Option<Write> {
        self.set_due(number, None);
        let write = self.all.remove(&number)?;
        let (held, owed) = write.what.weight();
        (self.held, self.owed) = (self.held - held, self.owed - owed);
        Some(write)
    }

    /// Whether the invariants hold; says which does not.
    pub(super) fn verify(&self) -> Result<(), String> {
        let weights = self.all.values().map(|write| write.what.weight());
        let weight = weights.fold((0, 0), |sum, (held, owed)| (sum.0 + held, sum.1 + owed));
        let ready = self.all.values().filter(|write| write.stage == Stage::Ready).count();
        let due = self.all.values().filter(|write| write.due.is_some()).count();
        let is = (self.held, self.owed, self.ready.len(), self.due.len());
        let should = (weight.0, weight.1, ready, due);
        if is != should {
            return Err(format!("held, owed, ready and due writes: {is:?} instead of {should:?}"));
        }
        match self.all.iter().find(|(_, write)| write.stage == Stage::Resting && write.due.is_none()) {
            Some((number, _)) => Err(format!("write {number} rests for ever")),
            None => Ok(()),
        }
    }
}

/// The agent and the generation up to which a record makes others void.
const fn voided(record: &Record) -> Option<(&AgentId, u64)> {
    match record {
        Record::Undone { request, generation } => Some((&request.agent, *generation)),
        // Until a renewal is written, it would count for whoever were registered at an earlier generation.
        Record::Removed { agent, generation, .. } | Record::Renewed { agent, generation, .. } => {
            Some((agent, *generation))
        }
        _ => None,
    }
}
