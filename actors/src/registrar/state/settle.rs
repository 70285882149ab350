//! How a batch ends: judged when the router has spoken, written down where there is a recorder, and then concluded.
//!
//! ```text
//! settle --> judge each --> (write, see `recording`) --> conclude --> roster, answers, removal of routes nobody wants
//! ```

use std::time::Duration;

use rustc_hash::FxHashSet;

use super::{State, lease};
use crate::{
    agent::{AgentId, Timestamp},
    registrar::{
        AGENTS_NAMED, Record, RegistrarEvent, Request, Status, Submission,
        jobs::{Batch, Payload},
        waiters::Effects,
    },
    support::micros,
};

/// A batch that the router is through with.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) batch: Batch,
    /// With a recorder, the generation of each entry whose registration is, or is to be, written.
    pub(super) generations: Vec<Option<u64>>,
    /// Whose routes are to be removed again when it is concluded.
    unwanted: Vec<AgentId>,
    /// When it was written down; its requests have ended then.
    pub(super) at: Timestamp,
    /// How long it held the line up until then, without the writing; nothing, if it was never sent.
    held_up: Option<Duration>,
}

/// Whether what a batch comes to is written down.
#[derive(Debug)]
pub(super) enum Written {
    /// It is, or it need not be.
    Yes,
    /// It is not, for this reason.
    No(String),
    /// It may be, or come to be.
    Unknown(String),
}

struct Unregistered {
    reason: String,
    /// Whether its routes may be in place nevertheless.
    is_routed: bool,
}

impl State {
    /// Ends a batch: its routes are in place but for those `taken`, or they are not for a reason.
    pub(super) fn settle(
        &mut self,
        number: u64,
        taken: Result<Vec<AgentId>, String>,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let Some(batch) = self.batches.remove(&number) else { return };
        let taken = taken.map(|taken| taken.into_iter().collect::<FxHashSet<_>>());
        // One that was refused whole says nothing of how long batches take.
        let held_up = batch.sending.was_sent().then(|| {
            self.parallelism.routed(batch.size, now.since(batch.began));
            // A batch that queued behind others held nothing up meanwhile.
            now.since(batch.began.max(std::mem::replace(&mut self.settled, now)))
        });
        let mut routed = Routed { batch, generations: Vec::new(), unwanted: Vec::new(), at: now, held_up };
        let (mut is_written, is_on) = (false, self.writes.is_on());
        for Submission { request, payload } in &mut routed.batch.entries {
            is_written |= is_on && !payload.is_ended;
            routed.generations.extend(is_on.then_some(None));
            if *request.status() != Status::Registering {
                if !request.status().is_final() {
                    request.refuse("its validation was broken off: start a new request".to_owned(), now);
                }
                continue;
            }
            match judge(request, payload, &taken) {
                Ok(()) => {
                    if let Some(generation) = routed.generations.last_mut() {
                        *generation =
                            Some(self.writes.generation(&request.agent, payload.agent.generation()));
                    }
                }
                Err(Unregistered { reason, is_routed }) => {
                    if self.claims.remove(&request.agent).is_some() {
                        self.quotas.release(request);
                    }
                    if is_routed {
                        routed.unwanted.push(request.agent.clone());
                    }
                    request.refuse(reason, now);
                }
            }
        }
        if is_written {
            // At once: whoever takes such an id while this is being written wants its routes.
            let unwanted = std::mem::take(&mut routed.unwanted);
            if !unwanted.is_empty() {
                let tickets = routed.batch.tickets.clone();
                for ticket in &tickets {
                    self.waiters.await_more(*ticket);
                }
                self.remove_routes(unwanted, tickets, effects);
            }
            self.write_batch(number, routed);
        } else {
            self.conclude(routed, &Written::Yes, now, effects);
        }
    }

    /// Registers those of a batch that can be and answers all. Answers with the ends of all, where it is not known whether
    /// they are written.
    pub(super) fn conclude(
        &mut self,
        routed: Routed,
        written: &Written,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Vec<Record> {
        let Routed { mut batch, generations, mut unwanted, at, held_up } = routed;
        let (mut agents, mut first, mut undone, mut late) = (0, Vec::new(), Vec::new(), Vec::new());
        let mut has_late = false;
        for (index, Submission { request, payload }) in batch.entries.iter_mut().enumerate() {
            let written_as = generations.get(index).copied().flatten();
            if payload.is_ended {
                has_late = true;
                late.extend(
                    written_as.map(|generation| Record::Undone { request: request.clone(), generation }),
                );
                continue;
            }
            if *request.status() != Status::Registering {
                continue;
            }
            if self.claims.remove(&request.agent).is_some() {
                self.quotas.release(request);
            }
            let generation = written_as.unwrap_or_else(|| u64::from(payload.agent.generation()));
            let registered = match written {
                Written::No(reason) | Written::Unknown(reason) => Err(reason.clone()),
                Written::Yes => self.register(request, payload, generation),
            };
            match registered {
                Ok(()) => {
                    agents += 1;
                    lease::grant(&mut self.roster, request, now);
                    if first.len() < AGENTS_NAMED {
                        first.push(request.agent.clone());
                    }
                    request.advance(Status::Completed, at).expect("registering ends in completed or failed");
                }
                Err(reason) => {
                    unwanted.push(request.agent.clone());
                    request.refuse(reason, now);
                    if self.writes.is_on() && matches!(written, Written::Yes) {
                        undone.push(Record::Undone { request: request.clone(), generation });
                    }
                }
            }
        }
        if held_up.is_some() {
            self.parallelism.committed(now.since(batch.began));
        }
        let unended = batch.entries.iter().filter(|entry| !entry.payload.is_ended);
        self.batcher.settle(unended.map(|entry| &entry.request), held_up);
        self.totals.batches += u64::from(batch.size > 0);
        self.totals.batched += batch.size as u64;
        if agents > 0 {
            let took_us = micros(now.since(batch.began));
            effects.events.push(RegistrarEvent::BatchRegistered { at: now, agents, first, took_us });
        }
        let unwritten =
            if self.writes.is_on() { unwritten(&batch, &generations, written) } else { Vec::new() };
        for Submission { request, payload } in batch.entries {
            if !payload.is_ended {
                self.end(request, payload.seat, now, effects);
            }
        }
        // What ended while it was being written was held since; whoever writes that it is void holds it from here on.
        if matches!(written, Written::Yes) {
            undone.extend(late.iter().cloned());
            self.write_gone(undone, &batch.tickets, now);
        }
        self.writes.release(&late);
        let unknown = if matches!(written, Written::Unknown(_)) {
            unwritten
        } else {
            for record in unwritten {
                self.write_end(record, now);
            }
            Vec::new()
        };
        if has_late && unwanted.is_empty() {
            self.await_removals_before(batch.tickets, effects);
        } else {
            self.remove_routes(unwanted, batch.tickets, effects);
        }
        unknown
    }

    /// Puts an agent whose routes are in place into the roster, or says why not.
    fn register(&mut self, request: &Request, payload: &Payload, generation: u64) -> Result<(), String> {
        still_wanted(request, payload)?;
        let (agent, handle) = (request.agent.clone(), payload.agent.clone());
        let base = generation - u64::from(handle.generation()).min(generation);
        let inserted = self.roster.insert_shared(agent, generation, &request.profile, handle);
        inserted.map_err(|error| error.to_string())?;
        self.writes.entered(&request.agent, base);
        Ok(())
    }
}

/// How the requests of a batch ended whose records are not written, or may not be: then a registration is to be undone.
fn unwritten(batch: &Batch, generations: &[Option<u64>], written: &Written) -> Vec<Record> {
    let may_be = match written {
        Written::Yes => return Vec::new(),
        Written::No(_) => false,
        Written::Unknown(_) => true,
    };
    let end = |(Submission { request, payload }, generation): (&Submission<Payload>, &Option<u64>)| {
        let request = request.clone();
        match *generation {
            Some(generation) if may_be => Some(Record::Undone { request, generation }),
            // It was written by itself.
            None if payload.is_ended => None,
            _ => Some(Record::Ended { request }),
        }
    };
    batch.entries.iter().zip(generations).filter_map(end).collect()
}

fn still_wanted(request: &Request, payload: &Payload) -> Result<(), String> {
    if payload.is_delisted {
        return Err(format!("agent {} was removed while it was being registered", request.agent));
    }
    if payload.agent.has_ended() { Err(super::ended(&request.agent)) } else { Ok(()) }
}

/// Whether an agent can be registered after the router's word.
fn judge(
    request: &Request,
    payload: &Payload,
    taken: &Result<FxHashSet<AgentId>, String>,
) -> Result<(), Unregistered> {
    let agent = &request.agent;
    match taken {
        Err(reason) => return Err(Unregistered { reason: reason.clone(), is_routed: true }),
        Ok(taken) if !taken.is_empty() && taken.contains(agent) => {
            let reason = format!(
                "agent id {agent} is taken in the router's tables, or the agent lives on another host: choose another id"
            );
            return Err(Unregistered { reason, is_routed: false });
        }
        Ok(_) => {}
    }
    still_wanted(request, payload).map_err(|reason| Unregistered { reason, is_routed: true })
}
