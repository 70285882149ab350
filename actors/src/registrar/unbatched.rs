//! [`OfAgent`]: which requests that are in no batch yet are for an agent.
//!
//! Agents are rarely removed while requests wait, and then few of those that wait are theirs. So there is no such index until
//! it is asked for while some wait; from then on it is kept up until none does. Making it costs one look at each request that
//! waits, which came since there was none: a constant for each request altogether.
//!
//! **Invariant.** If there is an index, it names just the requests that are in no batch yet.

use rustc_hash::FxHashMap;

use super::{RequestId, request::Request};
use crate::agent::AgentId;

/// The requests that are in no batch yet, by their agents, if somebody asked for them.
#[derive(Debug, Default)]
pub(super) struct OfAgent(Option<FxHashMap<AgentId, Vec<RequestId>>>);

impl OfAgent {
    /// The requests for this agent, in the order in which they came; `all` says which there are, in any order and with their
    /// numbers in the order of offers, if that is not known yet.
    pub(super) fn get<'a>(
        &mut self,
        agent: &AgentId,
        all: impl FnOnce() -> Vec<(u64, &'a Request)>,
    ) -> Vec<RequestId> {
        let index = self.0.get_or_insert_with(|| {
            let mut all = all();
            all.sort_unstable_by_key(|(number, _)| *number);
            let mut index = FxHashMap::<AgentId, Vec<RequestId>>::default();
            for (_, request) in all {
                index.entry(request.agent.clone()).or_default().push(request.id);
            }
            index
        });
        index.get(agent).cloned().unwrap_or_default()
    }

    /// Notes that a request came.
    pub(super) fn came(&mut self, request: &Request) {
        if let Some(index) = &mut self.0 {
            index.entry(request.agent.clone()).or_default().push(request.id);
        }
    }

    /// Notes that a request left, and how many are left.
    pub(super) fn left(&mut self, request: &Request, unbatched: usize) {
        let Some(index) = &mut self.0 else { return };
        if unbatched == 0 {
            self.0 = None;
            return;
        }
        if let Some(requests) = index.get_mut(&request.agent) {
            requests.retain(|id| *id != request.id);
            if requests.is_empty() {
                index.remove(&request.agent);
            }
        }
    }

    /// How many requests it names, if there is an index.
    pub(super) fn len(&self) -> Option<usize> {
        self.0.as_ref().map(|index| index.values().map(Vec::len).sum())
    }
}
