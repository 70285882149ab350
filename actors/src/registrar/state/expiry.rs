//! Requests whose time is over. They are kept in an ordered set, so that those that have time are not looked at.

use super::State;
use crate::{
    agent::{AgentId, Timestamp},
    registrar::{Request, RequestId, Stage, Status, Submission, waiters::Effects},
};

impl State {
    /// Takes in the verdicts that came, gives up the validations and requests whose time is over at `now`, and begins the
    /// validations that may run then.
    pub(in crate::registrar) fn expire(&mut self, now: Timestamp, effects: &mut Effects) {
        self.take_verdicts(now, effects);
        while let Some((number, timeout)) =
            self.judging.as_ref().and_then(|judging| judging.overdue(now).zip(Some(judging.timeout())))
        {
            let reason = format!("its validation took longer than {timeout:?}: try again later");
            self.refuse_validating(number, reason, now, effects);
        }
        let mut routed = Vec::new();
        let mut batches = Vec::new();
        while let Some((_, id)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.pop_first();
            self.give_up(id, now, (&mut routed, &mut batches), effects);
        }
        // The routes are asked for already: whatever the router answers, and whenever, this comes after it.
        self.remove_routes(routed, Vec::new(), effects);
        for number in batches {
            let is_registering = |entry: &super::Underway| *entry.request.status() == Status::Registering;
            if self.batches.get(&number).is_some_and(|batch| !batch.entries.iter().any(is_registering)) {
                self.settle(number, Ok(Vec::new()), now, effects);
            }
        }
        // Last, so that nothing is begun that is given up at once.
        self.begin_validations(now, effects);
    }

    /// Gives up one request, wherever it is.
    fn give_up(
        &mut self,
        id: RequestId,
        now: Timestamp,
        (routed, batches): (&mut Vec<AgentId>, &mut Vec<u64>),
        effects: &mut Effects,
    ) {
        let stage = self.batcher.stage(id);
        if stage == Some(Stage::InFlight) {
            let Some(claim) = self.batcher.agent(id).and_then(|agent| self.claims.get(agent)).copied() else {
                return;
            };
            if claim.request != id {
                return;
            }
            let is_written = !self.batches.contains_key(&claim.batch);
            let batch = self.batches.get_mut(&claim.batch).or_else(|| self.writes.batch_mut(claim.batch));
            let Some(batch) = batch else { return };
            let Submission { request, payload } = &mut batch.entries[claim.index];
            let place =
                if is_written { "its record was not durable" } else { "its routes were not confirmed" };
            request.refuse(late(request, place), now);
            payload.is_ended = true;
            let (request, seat) = (request.clone(), payload.seat);
            // Who has the id next must not lose its routes to this batch.
            batch.remove_first.retain(|agent| *agent != request.agent);
            if !self.writes.hold_ended(claim.batch, claim.index) {
                self.write_ended(&request, now);
            }
            self.claims.remove(&request.agent);
            self.quotas.release(&request);
            self.batcher.settle_one(&request);
            routed.push(request.agent.clone());
            batches.push(claim.batch);
            self.end(request, seat, now, effects);
            return;
        }
        let is_valid = self.batcher.unbatched_request(id).is_some_and(|entry| entry.payload.is_valid);
        let place = match stage {
            Some(Stage::Validating) => "its validation had not ended",
            _ if self.judging.is_some() && !is_valid => "it waited for its validation",
            _ => "it waited for its batch",
        };
        if let Some(Submission { request, payload }) = self.batcher.withdraw(id, Stage::Failed) {
            let reason = late(&request, place);
            self.fail_unbatched(request, &payload, reason, now, effects);
        }
    }
}

fn late(request: &Request, place: &str) -> String {
    let timeout = request.timeout().unwrap_or_default();
    format!("it was not completed within {timeout:?}, as {place}: try again later, or give it more time")
}
