//! [`Writes`]: what is being written down by the recorder, and what is answered when it is.
//!
//! ```text
//! settle, delist, cancel --> ready --> handed over --> recorded: conclude the batch, answer the removal
//!                              ^                  \--> refused:  fail the batch; rest, and hand the removal over again
//!                              +---- rested -----------/
//!                                                 \--> silence:  fail the batch; undo it if it was written after all
//! ```
//!
//! All of it is in the state, so a rebuilt registrar goes on with it: what was handed over is not handed over again, and the
//! recorder's word is kept in the cell until somebody reads it.
//!
//! **Invariant.** Each write is handed over once for each word of the recorder. Two registrations of an agent whose records
//! may both count never have the same generation.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use rustc_hash::FxHashMap;

use super::{
    State,
    settle::{Routed, Written},
};
use crate::{
    agent::{AgentId, Timestamp},
    registrar::{
        Record, Recovered, RecoveredMember, RegistrarEvent, Request, Status, Submission, Unrecorded,
        jobs::{Batch, Payload, wait_once},
        waiters::Effects,
    },
    support::doubling,
};

/// The wait before a removal whose record was refused is handed over again the first time; it doubles up to [`MAX_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(10);
const MAX_RETRY: Duration = Duration::from_secs(1);
/// While so many requests are being written, no batch is formed: they wait where their number is bounded.
const MOST_HELD: usize = 16_384;

#[derive(Debug)]
enum What {
    /// A batch that is concluded when it is written.
    Batch(Routed),
    /// What undoes a batch that was given up, if that was written after all.
    Late(Vec<Record>),
    /// Facts about agents that are gone, and who waits for them to be written.
    Gone { records: Vec<Record>, tickets: Vec<u64> },
    /// A request that ended and was answered.
    Ended(Record),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ready,
    HandedOver,
    Resting,
}

#[derive(Debug)]
struct Write {
    what: What,
    stage: Stage,
    began: Timestamp,
    /// When something is done about it if nothing comes.
    due: Option<Timestamp>,
    failures: u32,
}

/// From where on the generations of an agent count.
#[derive(Debug, Default)]
struct Floor {
    least: u64,
    /// How many reasons there are to remember it.
    holds: usize,
    /// The writes after which it is gone for good, and some that are through.
    writes: Vec<u64>,
}

/// What is being written.
#[derive(Debug, Default)]
pub(super) struct Writes {
    is_on: bool,
    all: BTreeMap<u64, Write>,
    /// Those that are to be handed over, in order.
    ready: VecDeque<u64>,
    due: BTreeSet<(Timestamp, u64)>,
    held: usize,
    floors: FxHashMap<AgentId, Floor>,
    /// By how much the generation in the roster is above the incarnation of its holder, where it is.
    bases: FxHashMap<AgentId, u64>,
    unreturned: BTreeMap<AgentId, RecoveredMember>,
}

impl Writes {
    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether so much is being written that no more should be begun.
    pub(super) const fn are_many(&self) -> bool {
        self.held >= MOST_HELD
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

    fn hold(&mut self, record: &Record, write: u64) {
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

    fn begin(&mut self, number: u64, what: What, began: Timestamp) {
        self.all.insert(number, Write { what, stage: Stage::Ready, began, due: None, failures: 0 });
        self.ready.push_back(number);
    }

    fn set_due(&mut self, number: u64, due: Option<Timestamp>) {
        let Some(write) = self.all.get_mut(&number) else { return };
        if let Some(before) = std::mem::replace(&mut write.due, due) {
            self.due.remove(&(before, number));
        }
        self.due.extend(due.map(|due| (due, number)));
    }

    fn take(&mut self, number: u64) -> Option<Write> {
        self.set_due(number, None);
        let write = self.all.remove(&number)?;
        if let What::Batch(routed) = &write.what {
            self.held -= routed.batch.entries.len();
        }
        Some(write)
    }

    /// Whether the invariants hold; says which does not.
    pub(super) fn verify(&self) -> Result<(), String> {
        let held: usize = self.batches().map(|(_, batch)| batch.entries.len()).sum();
        let ready = self.all.values().filter(|write| write.stage == Stage::Ready).count();
        let due = self.all.values().filter(|write| write.due.is_some()).count();
        let is = (self.held, self.ready.len(), self.due.len());
        if is != (held, ready, due) {
            return Err(format!("held, ready and due writes: {is:?} instead of {:?}", (held, ready, due)));
        }
        match self.all.iter().find(|(_, write)| write.stage == Stage::Resting && write.due.is_none()) {
            Some((number, _)) => Err(format!("write {number} rests for ever")),
            None => Ok(()),
        }
    }
}

/// The agent and the generation that a record makes void.
const fn voided(record: &Record) -> Option<(&AgentId, u64)> {
    match record {
        Record::Undone { request, generation } => Some((&request.agent, *generation)),
        Record::Removed { agent, generation, .. } => Some((agent, *generation)),
        _ => None,
    }
}

impl State {
    pub(in crate::registrar) fn unreturned(&self) -> impl Iterator<Item = &RecoveredMember> {
        self.writes.unreturned.values()
    }

    /// Lets a recorder be written to from now on, after what it has recovered.
    pub(in crate::registrar) fn record(&mut self, recovered: Recovered) {
        self.writes.is_on = true;
        for logged in &recovered.requests {
            self.batcher.recall(&logged.request);
            self.finished.keep(&logged.request);
        }
        for member in recovered.members {
            let agent = member.request.agent.clone();
            // It is held for good: whoever removes it and whoever brings it back again come after it.
            let floor = Floor { least: member.generation.saturating_add(1), holds: 1, writes: Vec::new() };
            self.writes.floors.insert(agent.clone(), floor);
            self.writes.unreturned.insert(agent, member);
        }
    }

    pub(super) fn write_batch(&mut self, number: u64, routed: Routed) {
        self.writes.held += routed.batch.entries.len();
        let began = routed.at;
        self.writes.begin(number, What::Batch(routed), began);
    }

    /// Writes down that a request ended that nobody waits for.
    pub(super) fn write_ended(&mut self, request: &Request, now: Timestamp) {
        if self.writes.is_on {
            let number = self.next_job();
            self.writes.begin(number, What::Ended(Record::Ended { request: request.clone() }), now);
        }
    }

    /// Takes an agent out of the roster, and answers with its generation there as far as it is to be written.
    pub(super) fn take_out(&mut self, agent: &AgentId) -> Option<u64> {
        if !self.writes.is_on {
            return self.roster.remove(agent).map(|_| 0);
        }
        let generation = self.roster.get(agent)?.generation();
        self.writes.bases.remove(agent);
        self.roster.remove(agent).map(|_| generation)
    }

    /// Takes the agent out of the roster whose lease ends first, if it is over: who it was, its generation and how long its
    /// lease was.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> Option<(AgentId, u64, Duration)> {
        let expired = self.roster.expire(now)?;
        if self.writes.is_on {
            self.writes.bases.remove(&expired.0);
        }
        Some(expired)
    }

    /// Writes down that agents were removed; the tickets wait for it.
    pub(super) fn write_removed(&mut self, gone: Vec<(AgentId, u64)>, tickets: Vec<u64>, now: Timestamp) {
        if gone.is_empty() {
            return;
        }
        let records =
            gone.into_iter().map(|(agent, generation)| Record::Removed { agent, generation, at: now });
        self.begin_gone(records.collect(), tickets, now);
    }

    /// Writes down that registrations are void which were written before; the tickets wait for it, too.
    pub(super) fn write_gone(&mut self, records: Vec<Record>, tickets: &[u64], now: Timestamp) {
        if records.is_empty() {
            return;
        }
        for ticket in tickets {
            self.waiters.await_more(*ticket);
        }
        self.begin_gone(records, tickets.to_vec(), now);
    }

    fn begin_gone(&mut self, records: Vec<Record>, tickets: Vec<u64>, now: Timestamp) {
        let number = self.next_job();
        for record in &records {
            self.writes.hold(record, number);
        }
        self.writes.begin(number, What::Gone { records, tickets }, now);
    }

    /// Lets a ticket wait until it is written that an agent is gone; for how many writes it does so from now on.
    pub(super) fn await_write(&mut self, agent: &AgentId, ticket: u64) -> usize {
        let Some(floor) = self.writes.floors.get(agent) else { return 0 };
        let mut awaited = 0;
        for write in &floor.writes {
            let is_new = match self.writes.all.get_mut(write).map(|write| &mut write.what) {
                Some(What::Gone { tickets, .. }) => wait_once(tickets, ticket),
                Some(What::Batch(routed)) => wait_once(&mut routed.batch.tickets, ticket),
                _ => false,
            };
            awaited += usize::from(is_new);
        }
        awaited
    }

    /// The records that are handed over next; they are counted as handed over from now on.
    pub(in crate::registrar) fn next_append(&mut self, now: Timestamp) -> Option<(u64, Vec<Record>)> {
        let number = self.writes.ready.pop_front()?;
        let write = self.writes.all.get_mut(&number)?;
        write.stage = Stage::HandedOver;
        let records = match &mut write.what {
            What::Batch(routed) => {
                routed.at = now;
                batch_records(routed, &self.writes.unreturned)
            }
            What::Late(records) | What::Gone { records, .. } => records.clone(),
            What::Ended(record) => vec![record.clone()],
        };
        self.writes.set_due(number, Some(now.plus(self.batch_timeout)));
        Some((number, records))
    }

    /// Takes the recorder's word in.
    pub(in crate::registrar) fn recorded(
        &mut self,
        number: u64,
        result: Result<(), Unrecorded>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(mut write) = self.writes.take(number) else { return };
        if let Err(fault) = &result
            && write.failures == 0
        {
            effects.events.push(unrecorded(&write.what, fault.to_string(), now));
        }
        match (write.what, result) {
            (What::Batch(routed), result) => {
                let written = result.map_or_else(not_written, |()| Written::Yes);
                self.conclude(routed, &written, now, effects);
            }
            (What::Late(records), result) => {
                if result.is_ok() {
                    self.write_gone(records.clone(), &[], now);
                }
                self.writes.release(&records);
            }
            (What::Gone { records, tickets }, Ok(())) => {
                self.writes.release(&records);
                for ticket in tickets {
                    self.waiters.removed(ticket, effects);
                }
            }
            (What::Gone { records, tickets }, Err(Unrecorded::Broken(_))) => {
                self.writes.release(&records);
                self.waiters.abandon(tickets);
            }
            (What::Gone { records, mut tickets }, Err(Unrecorded::Refused(_))) => {
                if write.began.plus(self.batch_timeout) <= now {
                    self.waiters.abandon(tickets.drain(..));
                }
                write.failures += 1;
                let due = now.plus(doubling(FIRST_RETRY, MAX_RETRY, write.failures));
                let what = What::Gone { records, tickets };
                self.writes.all.insert(number, Write { what, stage: Stage::Resting, due: None, ..write });
                self.writes.set_due(number, Some(due));
            }
            (What::Ended(_), _) => {}
        }
    }

    /// Hands over again what has rested, and gives up waiting for what the recorder says no word about.
    pub(super) fn advance_writes(&mut self, now: Timestamp, effects: &mut Effects) {
        while let Some((due, number)) = self.writes.due.first().copied()
            && due <= now
        {
            self.writes.set_due(number, None);
            let Some(write) = self.writes.all.get_mut(&number) else { continue };
            if write.stage == Stage::Resting {
                write.stage = Stage::Ready;
                self.writes.ready.push_back(number);
            } else {
                self.give_up_write(number, now, effects);
            }
        }
    }

    /// The recorder was silent for too long: nobody waits for it any more, but its word still counts when it comes.
    fn give_up_write(&mut self, number: u64, now: Timestamp, effects: &mut Effects) {
        let Some(mut write) = self.writes.take(number) else { return };
        let reason = format!("the recorder said nothing within {:?}", self.batch_timeout);
        effects.events.push(unrecorded(&write.what, reason.clone(), now));
        write.what = match write.what {
            What::Batch(routed) => {
                let written = not_written(Unrecorded::Broken(reason));
                let undone = self.conclude(routed, &written, now, effects);
                for record in &undone {
                    self.writes.hold(record, number);
                }
                What::Late(undone)
            }
            What::Gone { records, tickets } => {
                self.waiters.abandon(tickets);
                What::Gone { records, tickets: Vec::new() }
            }
            other => other,
        };
        self.writes.all.insert(number, write);
    }

    /// When [`State::advance_writes`] has something to do.
    pub(super) fn next_write_deadline(&self) -> Option<Timestamp> {
        self.writes.due.first().map(|(due, _)| *due)
    }
}

/// The records of a batch, in order: one for each request that has not ended before it.
fn batch_records(routed: &Routed, unreturned: &BTreeMap<AgentId, RecoveredMember>) -> Vec<Record> {
    let record = |(Submission { request, payload }, generation): (&Submission<Payload>, &Option<u64>)| {
        if payload.is_ended {
            return None;
        }
        let request = request.clone();
        let Some(generation) = *generation else { return Some(Record::Ended { request }) };
        let is_back = !unreturned.is_empty() && unreturned.contains_key(&request.agent);
        let request = request.concluded(Status::Completed, routed.at);
        Some(if is_back {
            Record::Replaced { request, generation }
        } else {
            Record::Registered { request, generation }
        })
    };
    routed.batch.entries.iter().zip(&routed.generations).filter_map(record).collect()
}

fn not_written(fault: Unrecorded) -> Written {
    match fault {
        Unrecorded::Refused(reason) => {
            Written::No(format!("its record was not written: {reason}; try again later"))
        }
        Unrecorded::Broken(reason) => {
            Written::Unknown(format!("whether its record was written is not known: {reason}"))
        }
    }
}

fn unrecorded(what: &What, reason: String, at: Timestamp) -> RegistrarEvent {
    let records = match what {
        What::Batch(routed) => routed.batch.entries.len(),
        What::Late(records) | What::Gone { records, .. } => records.len(),
        What::Ended(_) => 1,
    };
    RegistrarEvent::Unrecorded { at, records, reason }
}
