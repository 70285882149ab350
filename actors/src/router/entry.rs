//! [`Entry`]: one route for one message type, with those who are on it, as the router changes it.

use std::{
    any::{Any, TypeId},
    sync::Arc,
};

use super::{
    Recipients, Snapshot,
    predicate::Predicate,
    publisher::RouteCell,
    recipients::{ChunkedList, FEW, Recipient, Selective},
    routes::Selector,
};
use crate::{
    agent::{AgentId, Parcel, Rows, TopicName},
    inbox::{AgentHandle, Fanout, PortItem, Route, Shared},
};

/// An agent, and the position of its arbiter among those of the host.
pub(crate) struct Member {
    pub(crate) agent: AgentHandle,
    pub(crate) arbiter: usize,
}

/// What an agent wants of a route.
pub(crate) enum Wants {
    Nothing,
    All,
    /// What any of these passes.
    Some(Vec<Predicate>),
}

/// One route for one message type.
pub(crate) struct Entry {
    pub(crate) selector: Selector,
    pub(crate) message: TypeId,
    pub(crate) cell: Arc<RouteCell>,
    lists: Vec<ChunkedList>,
    selective: Arc<Vec<Selective>>,
    freeze: fn(Arc<Route>, ChunkedList, Option<Rows>) -> Arc<dyn Fanout>,
    content: fn(&Shared) -> &dyn Any,
    changed: bool,
}

impl Entry {
    /// A route that nobody is on.
    pub(crate) fn new<M: Send + Sync + 'static>(selector: &Selector, cell: Arc<RouteCell>) -> Self {
        Self {
            selector: selector.clone(),
            message: TypeId::of::<M>(),
            lists: vec![ChunkedList::default(); cell.hub.ports().len()],
            cell,
            selective: Arc::default(),
            freeze: |route, list, rows| Arc::new(Recipients::<M>::new(route, list, rows)),
            content: |parcel| {
                &parcel.downcast_ref::<Parcel<M>>().expect("a route carries one message type").message
            },
            changed: false,
        }
    }

    /// The topic, when it is one's route.
    pub(crate) fn topic(&self) -> Option<&TopicName> {
        match &self.selector {
            Selector::Topic(topic) => Some(topic),
            _ => None,
        }
    }

    fn recipient(&self, member: &Member) -> Option<Recipient> {
        let accept = member.agent.door.accept(self.message)?;
        Some(Recipient { agent: member.agent.clone(), accept })
    }

    /// Adds a member that is not on the route.
    pub(crate) fn add(&mut self, member: &Member, wants: Wants) {
        let Some(recipient) = self.recipient(member) else { return };
        match wants {
            Wants::Nothing => return,
            Wants::All => self.lists[member.arbiter].push(recipient),
            Wants::Some(tests) => {
                let selective = Selective { recipient, arbiter: member.arbiter, tests: tests.into() };
                Arc::make_mut(&mut self.selective).push(selective);
            }
        }
        self.changed = true;
    }

    /// Adds a member that is not on the route, and sends it the last publications of those before: for publishers it all
    /// happens between two publications. What its arbiter does not take any more is put to `refused`.
    pub(crate) fn join(&mut self, member: &Member, wants: Wants, replay: usize, refused: &mut Vec<PortItem>) {
        let cell = self.cell.clone();
        let kept = cell.history.lock();
        let content = self.content;
        let tests = match &wants {
            Wants::Some(tests) => tests.clone(),
            Wants::All | Wants::Nothing => Vec::new(),
        };
        let is_wanted =
            |parcel: &Shared| tests.is_empty() || tests.iter().any(|test| test.passes(content(parcel)));
        self.add(member, wants);
        self.publish();
        let Some(kept) = kept.filter(|_| replay > 0) else { return };
        let Some(recipient) = self.recipient(member) else { return };
        let mut alone = ChunkedList::default();
        alone.push(recipient);
        let to = (self.freeze)(cell.route.clone(), alone, None);
        let (hub, port) = (&cell.hub, member.agent.door.port());
        for (lane, parcel) in kept.last(replay, hub.now(), is_wanted) {
            cell.route.ledger.sent(hub.writer(), 1);
            refused.extend(port.publish(lane, &to, parcel));
        }
    }

    /// Takes members off the route.
    pub(crate) fn remove(&mut self, gone: &dyn Fn(&AgentId) -> bool) {
        let before = self.len();
        self.lists.iter_mut().for_each(|list| list.remove(gone));
        if self.selective.iter().any(|selective| gone(selective.recipient.agent.id())) {
            Arc::make_mut(&mut self.selective).retain(|selective| !gone(selective.recipient.agent.id()));
        }
        self.changed |= self.len() < before;
    }

    /// Whether an agent is on the route for all of its messages.
    pub(crate) fn has_all(&self, agent: &AgentId) -> bool {
        self.lists.iter().flat_map(ChunkedList::iter).any(|recipient| recipient.agent.id() == agent)
    }

    fn len(&self) -> usize {
        self.lists.iter().map(ChunkedList::len).sum::<usize>() + self.selective.len()
    }

    /// Makes the changes visible to publishers.
    pub(crate) fn publish(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let mut first = 0;
        let freeze = |list: &ChunkedList| {
            let rows = Some(Rows::From(first));
            first += u32::try_from(list.len()).expect(FEW);
            (list.len() > 0).then(|| (self.freeze)(self.cell.route.clone(), list.clone(), rows))
        };
        self.cell.snapshot.store(Arc::new(Snapshot {
            total: self.lists.iter().map(ChunkedList::len).sum(),
            lists: self.lists.iter().map(freeze).collect(),
            selective: self.selective.clone(),
        }));
    }

    /// Who is on the route.
    pub(crate) fn agents(&self) -> impl Iterator<Item = &AgentId> {
        let all = self.lists.iter().flat_map(ChunkedList::iter);
        all.chain(self.selective.iter().map(|selective| &selective.recipient))
            .map(|recipient| recipient.agent.id())
    }
}
