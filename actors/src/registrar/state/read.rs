//! What can be asked of a registrar's state.

use super::State;
use crate::{
    inbox::AgentHandle,
    registrar::{Lookup, Member, Request, RequestId, RosterStatus, Stage},
};

impl State {
    pub(in crate::registrar) fn request(&self, id: RequestId) -> Option<Request> {
        let request = match self.batcher.stage(id)? {
            Stage::Waiting => &self.batcher.waiting_request(id)?.request,
            Stage::InFlight => {
                let mut entries = self.batches.values().flat_map(|batch| &batch.entries);
                &entries.find(|entry| entry.request.id == id)?.request
            }
            Stage::Completed | Stage::Failed | Stage::Cancelled => self.finished.get(id)?,
        };
        Some(request.clone())
    }

    pub(in crate::registrar) fn lookup(&self, Lookup { kind, all_of, any_of }: &Lookup) -> Vec<AgentHandle> {
        let members = match (kind, &all_of[..], &any_of[..]) {
            (Some(kind), [], []) => return self.roster.of_kind(kind).map(|m| m.handle().clone()).collect(),
            (_, [], [_, ..]) => self.roster.with_any(any_of),
            _ => self.roster.with_all(all_of),
        };
        let is_meant = |member: &Member<'_, AgentHandle>| {
            let offers = member.capabilities();
            kind.as_ref().is_none_or(|kind| kind == member.kind())
                && (any_of.is_empty() || any_of.iter().any(|one| offers.binary_search(one).is_ok()))
        };
        members.into_iter().filter(is_meant).map(|member| member.handle().clone()).collect()
    }

    pub(in crate::registrar) fn status(&self) -> RosterStatus {
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
            kinds: self.roster.kinds().into_iter().collect(),
        }
    }
}
