//! [`Finished`]: the latest requests that ended; [`Barred`]: whom a removal overtook.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::{Request, RequestId, request::ByRequest};
use crate::agent::AgentId;

/// The latest requests that ended, as many as the batcher remembers and in the same order.
#[derive(Default)]
pub(super) struct Finished {
    requests: ByRequest<Request>,
    order: VecDeque<RequestId>,
    most: usize,
}

impl Finished {
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    pub(super) fn keep(&mut self, request: &Request) {
        if self.most == 0 {
            return;
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.requests.remove(&oldest);
        }
        self.order.push_back(request.id);
        self.requests.insert(request.id, request.clone());
    }

    pub(super) fn get(&self, id: RequestId) -> Option<&Request> {
        self.requests.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.order.iter().map(|id| &self.requests[id])
    }
}

/// Agents that were removed while requests waited: those that were offered up to then must not be registered.
///
/// A request leaves the queue within a bound, so an entry is kept only as long as a request waits that is older than it.
#[derive(Default)]
pub(super) struct Barred {
    until: FxHashMap<AgentId, u64>,
    order: VecDeque<(AgentId, u64)>,
}

impl Barred {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Bars an agent's requests up to the one of this number.
    pub(super) fn bar(&mut self, agent: AgentId, until: u64) {
        if self.until.insert(agent.clone(), until) != Some(until) {
            self.order.push_back((agent, until));
        }
    }

    pub(super) fn is_barred(&self, agent: &AgentId, number: u64) -> bool {
        self.until.get(agent).is_some_and(|until| number <= *until)
    }

    /// Forgets what concerns only requests before the one of this number; all, when none waits.
    pub(super) fn forget(&mut self, oldest_waiting: Option<u64>) {
        while let Some((agent, until)) = self.order.front()
            && oldest_waiting.is_none_or(|oldest| *until < oldest)
        {
            if self.until.get(agent) == Some(until) {
                self.until.remove(agent);
            }
            self.order.pop_front();
        }
    }
}
