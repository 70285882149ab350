//! What can be asked of a registrar's state.

use super::State;
use crate::{
    agent::Timestamp,
    inbox::AgentHandle,
    registrar::{Lookup, Request, RequestId, RosterStatus, Stage},
};

/// What there was since the beginning.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    pub(super) batches: u64,
    pub(super) batched: u64,
}

impl State {
    /// Whether nothing is under way that is written down: no batch, and no record of which the recorder owes its word.
    pub(in crate::registrar) fn is_quiet(&self) -> bool {
        self.batches.is_empty() && self.writes.is_empty()
    }

    pub(in crate::registrar) fn request(&self, id: RequestId) -> Option<Request> {
        let request = match self.batcher.stage(id)? {
            Stage::Waiting | Stage::Validating => &self.batcher.unbatched_request(id)?.request,
            Stage::InFlight => {
                let claim = self.batcher.agent(id).and_then(|agent| self.claims.get(agent));
                if let Some(claim) = claim.filter(|claim| claim.request == id) {
                    let batch = self.batches.get(&claim.batch).or_else(|| self.writes.batch(claim.batch))?;
                    return Some(batch.entries.get(claim.index)?.request.clone());
                }
                let writing = self.writes.batches().map(|(_, batch)| batch);
                let mut entries = self.batches.values().chain(writing).flat_map(|batch| &batch.entries);
                &entries.find(|entry| entry.request.id == id)?.request
            }
            Stage::Completed | Stage::Failed | Stage::Cancelled => self.finished.get(id)?,
        };
        Some(request.clone())
    }

    pub(in crate::registrar) const fn capacity(&self) -> usize {
        self.batcher.capacity()
    }

    pub(in crate::registrar) fn lookup(&self, lookup: &Lookup) -> Vec<AgentHandle> {
        self.roster.lookup(lookup).map(|member| member.handle().clone()).collect()
    }

    pub(in crate::registrar) fn status(&self, now: Timestamp) -> RosterStatus {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let mean = self.totals.batched as f64 / self.totals.batches.max(1) as f64;
        RosterStatus {
            agents: self.roster.len(),
            revision: self.roster.revision(),
            waiting: self.batcher.waiting(),
            in_flight: self.batcher.in_flight(),
            completed: self.totals.completed,
            failed: self.totals.failed,
            cancelled: self.totals.cancelled,
            batches: self.totals.batches,
            mean_batch_size: mean,
            validating: self.batcher.validating(),
            parallel_batches: self.parallelism.limit(self.batcher.ready(), now),
            arrival_rate: self.parallelism.rate(now),
            commit_latency: self.parallelism.latency(),
            kinds: self.roster.kinds().into_iter().collect(),
            tenants: self.roster.tenants().into_iter().collect(),
            leased: self.roster.leased(),
        }
    }
}
