//! What is being written down by the recorder, and what is answered when it is.
//!
//! ```text
//! settle, delist, cancel --> ready --> handed over --> recorded: conclude the batch, answer the removal
//!                              ^                  \--> refused:  fail the batch; rest, and hand the others over again
//!                              +---- rested -----------/
//!                                                 \--> silence:  fail the batch; undo it if it was written after all
//! ```
//!
//! All of it is in the state, so a rebuilt registrar goes on with it: what was handed over is not handed over again, and the
//! recorder's word is kept in the cell until somebody reads it.
//!
//! **Invariant.** Each write is handed over once for each word of the recorder. Two registrations of an agent whose records
//! may both count never have the same generation.

use std::{collections::BTreeMap, time::Duration};

use super::{
    State,
    settle::{Routed, Written},
    writes::{Stage, What, Write},
};
use crate::{
    agent::{AgentId, Timestamp},
    registrar::{
        Record, Recovered, RecoveredMember, RegistrarEvent, Request, Status, Submission, Unrecorded,
        jobs::{Payload, wait_once},
        waiters::Effects,
    },
};

impl State {
    pub(in crate::registrar) fn unreturned(&self) -> impl Iterator<Item = &RecoveredMember> {
        self.writes.unreturned.values()
    }

    /// Lets a recorder be written to from now on, after what it has recovered.
    pub(in crate::registrar) fn record(&mut self, recovered: Recovered) {
        for logged in &recovered.requests {
            self.batcher.recall(&logged.request);
            self.finished.keep(&logged.request);
        }
        self.writes.begin_after(recovered.members);
    }

    pub(super) fn write_batch(&mut self, number: u64, routed: Routed) {
        let began = routed.at;
        self.writes.begin(number, What::Batch(routed), began);
    }

    /// Writes down that a request ended; nobody waits for it.
    pub(super) fn write_ended(&mut self, request: &Request, now: Timestamp) {
        if self.writes.is_on() {
            self.write_end(Record::Ended { request: request.clone() }, now);
        }
    }

    /// Writes ends of requests, those of one moment together.
    pub(super) fn write_end(&mut self, record: Record, now: Timestamp) {
        if let Some(record) = self.writes.join_ends(record) {
            let number = self.next_job();
            self.writes.begin(number, What::Ended(vec![record]), now);
        }
    }

    /// Takes an agent out of the roster, and answers with its generation there as far as it is to be written.
    pub(super) fn take_out(&mut self, agent: &AgentId) -> Option<u64> {
        if !self.writes.is_on() {
            return self.roster.remove(agent).map(|_| 0);
        }
        let generation = self.roster.get(agent)?.generation();
        self.writes.left(agent);
        self.roster.remove(agent).map(|_| generation)
    }

    /// Takes the agent out of the roster whose lease ends first, if it is over: who it was, its generation and how long its
    /// lease was.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> Option<(AgentId, u64, Duration)> {
        let expired = self.roster.expire(now)?;
        if self.writes.is_on() {
            self.writes.left(&expired.0);
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

    /// Writes down that an agent came to a later generation.
    pub(super) fn write_renewed(&mut self, agent: AgentId, generation: u64, now: Timestamp) {
        self.begin_gone(vec![Record::Renewed { agent, generation, at: now }], Vec::new(), now);
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
        let (number, write, unreturned) = self.writes.pop_ready()?;
        let records = hand_over(write, unreturned, now);
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
                match result {
                    Ok(()) => {
                        let is_void = |record: &&Record| matches!(record, Record::Undone { .. });
                        self.write_gone(records.iter().filter(is_void).cloned().collect(), &[], now);
                    }
                    // None of them is written, and so is no end.
                    Err(Unrecorded::Refused(_)) => {
                        let requests = records.iter().filter_map(Record::request);
                        requests.for_each(|request| self.write_ended(request, now));
                    }
                    Err(Unrecorded::Broken(_)) => {}
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
                write.what = What::Gone { records, tickets };
                self.writes.rest(number, write, now);
            }
            (What::Ended(records), Err(Unrecorded::Refused(_))) => {
                write.what = What::Ended(records);
                self.writes.rest(number, write, now);
            }
            (What::Ended(_), Ok(()) | Err(Unrecorded::Broken(_))) => {}
        }
    }

    /// Hands over again what has rested, and gives up waiting for what the recorder says no word about.
    pub(super) fn advance_writes(&mut self, now: Timestamp, effects: &mut Effects) {
        while let Some(number) = self.writes.pop_due(now) {
            if !self.writes.rested(number) {
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
        self.writes.put(number, write);
    }

    /// When [`State::advance_writes`] has something to do.
    pub(super) fn next_write_deadline(&self) -> Option<Timestamp> {
        self.writes.next_due()
    }
}

/// The records of a write, which is handed over now.
fn hand_over(
    write: &mut Write,
    unreturned: &BTreeMap<AgentId, RecoveredMember>,
    now: Timestamp,
) -> Vec<Record> {
    write.stage = Stage::HandedOver;
    match &mut write.what {
        What::Batch(routed) => {
            routed.at = now;
            batch_records(routed, unreturned)
        }
        What::Late(records) | What::Gone { records, .. } | What::Ended(records) => records.clone(),
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
    let records = what.records();
    RegistrarEvent::Unrecorded { at, records, reason }
}
