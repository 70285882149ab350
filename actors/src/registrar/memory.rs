//! [`Finished`]: the latest requests that ended.

use std::collections::VecDeque;

use super::{Request, RequestId, number::ByRequest};

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
