//! Whether a registrar's state fits together.

use rustc_hash::FxHashSet;

use super::State;
use crate::registrar::{Stage, Status};

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Result<(), String> {
    if is == should { Ok(()) } else { Err(format!("{what}: {is:?} instead of {should:?}")) }
}

impl State {
    /// Whether roster, requests and answers fit together; says what does not.
    pub(in crate::registrar) fn verify(&self) -> Result<(), String> {
        self.verify_roster()?;
        self.verify_requests()?;
        self.writes.verify()?;
        self.verify_answers()
    }

    fn verify_roster(&self) -> Result<(), String> {
        let mut count = 0;
        for member in self.roster.iter() {
            count += 1;
            let found =
                self.roster.get(member.id()).ok_or_else(|| format!("{} is not found", member.id()))?;
            equal("the agent found by an id", found.handle().id(), member.id())?;
            if self.claims.contains_key(member.id()) {
                return Err(format!("{} is registered and being registered", member.id()));
            }
            if self.leaving.contains_key(member.id()) {
                return Err(format!("{} is registered while its routes are removed", member.id()));
            }
        }
        equal("agents in the roster", count, self.roster.len())?;
        for (kind, count) in self.roster.kinds() {
            let members: Vec<_> = self.roster.of_kind(&kind).collect();
            equal(&format!("agents of kind {kind}"), members.len(), count)?;
            if let Some(stray) = members.iter().find(|member| *member.kind() != kind) {
                return Err(format!("{} is listed as a {kind}", stray.id()));
            }
        }
        let kinds = self.roster.kinds().iter().map(|(_, count)| count).sum();
        equal("agents of all kinds", kinds, self.roster.len())
    }

    fn verify_requests(&self) -> Result<(), String> {
        let batches = || self.batches.iter().chain(self.writes.batches());
        let entries = batches().flat_map(|(_, batch)| &batch.entries);
        let in_batches = entries.filter(|entry| !entry.payload.is_ended).count();
        equal("requests in flight", self.batcher.in_flight(), in_batches)?;
        let (mut claimed, mut counted) = (0, (0, 0));
        for (number, batch) in batches() {
            let is_sent = batch.is_checked && self.batches.contains_key(number);
            for (index, entry) in batch.entries.iter().enumerate() {
                let request = &entry.request;
                if entry.payload.is_ended {
                    equal(&format!("end of {}", request.id), request.status().is_final(), true)?;
                    continue;
                }
                equal(
                    &format!("stage of {}", request.id),
                    self.batcher.stage(request.id),
                    Some(Stage::InFlight),
                )?;
                let is_refused = *request.status() != Status::Registering;
                equal(&format!("whether {} is refused and waits", request.id), is_sent && is_refused, false)?;
                equal(&format!("agent of {}", request.id), entry.payload.agent.id(), &request.agent)?;
                if batch.is_checked && *request.status() == Status::Registering {
                    let claim = self.claims.get(&request.agent);
                    let place = claim.map(|claim| (claim.batch, claim.index, claim.request));
                    equal(&format!("claim on {}", request.agent), place, Some((*number, index, request.id)))?;
                    claimed += 1;
                    let (of_kind, of_tenant) = self.quotas.counts(request);
                    counted = (counted.0 + usize::from(of_kind), counted.1 + usize::from(of_tenant));
                }
            }
        }
        self.batcher.verify()?;
        equal("claims", self.claims.len(), claimed)?;
        if let Some(judging) = &self.judging {
            judging.verify(self.batcher.validating())?;
        }
        for (deadline, id) in &self.deadlines {
            let request = self.request(*id).ok_or_else(|| format!("{id} has a deadline and is not known"))?;
            equal(&format!("deadline of {id}"), request.deadline(), Some(*deadline))?;
            let is_unanswered = self.finished.get(*id).is_none();
            equal(&format!("whether {id}, which has a deadline, is unanswered"), is_unanswered, true)?;
        }
        equal("places claimed of kinds and tenants with a limit", self.quotas.claimed(), counted)?;
        for request in self.finished.iter() {
            let stage = match request.status() {
                Status::Completed => Stage::Completed,
                Status::Cancelled => Stage::Cancelled,
                _ => Stage::Failed,
            };
            equal(&format!("stage of {}", request.id), self.batcher.stage(request.id), Some(stage))?;
        }
        Ok(())
    }

    fn verify_answers(&self) -> Result<(), String> {
        let (empty, joined) = self.waiters.seats();
        let unended = self.batcher.waiting() + self.batcher.validating() + self.batcher.in_flight();
        equal("requests that are waited for", empty, unended + joined)?;
        let removals = || [&self.removing, &self.collecting].into_iter().flatten();
        let batches = self.batches.iter().chain(self.writes.batches());
        let tickets = batches.flat_map(|(_, batch)| &batch.tickets);
        let tickets =
            tickets.chain(removals().flat_map(|removal| &removal.tickets)).chain(self.writes.tickets());
        // Some of them were told already that the recorder fails.
        let tickets = tickets.filter(|ticket| self.waiters.is_waiting(**ticket)).count();
        equal("removals that are waited for", self.waiters.removals(), tickets)?;
        if self.removing.is_none() && self.collecting.is_some() {
            return Err("a removal waits for none".to_owned());
        }
        let named = removals().flat_map(|one| one.agents.iter().map(|agent| (agent, &one.number)));
        let named: FxHashSet<_> = named.collect();
        match self.leaving.iter().find(|leaving| !named.contains(leaving)) {
            Some((agent, _)) => Err(format!("{agent} is said to leave by a removal that does not name it")),
            None => Ok(()),
        }
    }
}
