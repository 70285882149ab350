//! [`Entry`]: one route for one message type, with those who are on it, as the router changes it.

use std::{
    any::{Any, TypeId},
    sync::{Arc, Weak},
};

use super::{
    Recipients, Selector, Snapshot,
    chunked::{Chunked, Number},
    lease::{Lease, OpenRoute, Tables},
    members::Member,
    predicate::Predicate,
    publisher::RouteCell,
    recipients::{ChunkedList, FEW, Recipient, Selective},
    strategy::PoolEditor,
};
use crate::{
    agent::{Parcel, Rows},
    inbox::{AgentHandle, Fanout, PortItem, Route, Shared},
};

/// What an agent wants of a route that it is meant for.
pub(crate) enum Wants {
    All,
    /// What any of these passes.
    Some(Vec<Predicate>),
}

/// Those of one arbiter who get everything.
#[derive(Default)]
struct Local {
    list: ChunkedList,
    /// The list as publishers see it.
    frozen: Option<Arc<dyn Fanout>>,
    /// How many recipients on other arbiters have their rows of a receipt before these.
    first: u32,
    has_changed: bool,
}

/// One route for one message type.
pub(crate) struct Entry {
    pub(crate) selector: Selector,
    pub(crate) message: TypeId,
    cell: Arc<RouteCell>,
    /// What its publishers hold together, as long as there are any.
    lease: Weak<Lease>,
    locals: Vec<Local>,
    selective: Chunked<Selective>,
    freeze: fn(Arc<Route>, ChunkedList, Option<Rows>) -> Arc<dyn Fanout>,
    content: fn(&Shared) -> &dyn Any,
    has_changed: bool,
    /// It is among those that the change being made has touched.
    pub(crate) is_touched: bool,
    /// There from the first time that one of those on the route is to be chosen.
    pool: Option<PoolEditor>,
}

impl Entry {
    /// A route that nobody is on.
    pub(crate) fn new<M: Send + Sync + 'static>(selector: &Selector, cell: RouteCell) -> Self {
        Self {
            selector: selector.clone(),
            message: TypeId::of::<M>(),
            locals: cell.hub.ports().iter().map(|_| Local::default()).collect(),
            cell: Arc::new(cell),
            lease: Weak::new(),
            selective: Chunked::default(),
            freeze: |route, list, rows| Arc::new(Recipients::<M>::new(route, list, rows)),
            content: |parcel| {
                &parcel.downcast_ref::<Parcel<M>>().expect("a route carries one message type").message
            },
            has_changed: false,
            is_touched: false,
            pool: None,
        }
    }

    /// What a publisher holds of it.
    pub(crate) fn lease(&mut self, tables: &Weak<Tables>, key: u32) -> OpenRoute {
        let lease = self.lease.upgrade().unwrap_or_else(|| Lease::new(tables.clone(), key));
        self.lease = Arc::downgrade(&lease);
        OpenRoute::new(self.cell.clone(), lease)
    }

    /// Whether nobody publishes any more and nobody can ask for what was published.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.lease.strong_count() == 0 && self.cell.history.depth() == 0
    }

    pub(crate) fn route(&self) -> &Arc<Route> {
        &self.cell.route
    }

    fn recipient(&self, member: &Member, number: Number) -> Option<Recipient> {
        let accept = member.agent.door.accept(self.message)?;
        Some(Recipient { agent: member.agent.clone(), accept, number })
    }

    /// Adds a member that is not on the route, as long as it accepts the message type.
    pub(crate) fn add(&mut self, member: &Member, number: Number, wants: Wants) {
        let Some(recipient) = self.recipient(member, number) else { return };
        let arbiter = member.arbiter();
        match wants {
            Wants::All => {
                if let Some(pool) = &mut self.pool {
                    pool.join(&recipient.agent, None);
                }
                self.locals[arbiter].list.push(recipient);
                self.locals[arbiter].has_changed = true;
            }
            Wants::Some(tests) => {
                let tests: Arc<[Predicate]> = tests.into();
                if let Some(pool) = &mut self.pool {
                    pool.join(&recipient.agent, Some(tests.clone()));
                }
                self.selective.push(Selective { recipient, arbiter, tests });
            }
        }
        self.has_changed = true;
    }

    /// Adds a member that is not on the route, and sends it the last publications of those before: for publishers it all
    /// happens between two publications. What its arbiter does not take any more is put to `refused`.
    pub(crate) fn join(
        &mut self,
        member: &Member,
        number: Number,
        wants: Wants,
        replay: usize,
        refused: &mut Vec<PortItem>,
    ) {
        let cell = self.cell.clone();
        let kept = cell.history.lock();
        let content = self.content;
        let tests = match &wants {
            Wants::Some(tests) => tests.clone(),
            Wants::All => Vec::new(),
        };
        let is_wanted =
            |parcel: &Shared| tests.is_empty() || tests.iter().any(|test| test.passes(content(parcel)));
        self.add(member, number, wants);
        self.publish();
        let Some(kept) = kept.filter(|_| replay > 0) else { return };
        let Some(recipient) = self.recipient(member, number) else { return };
        let mut alone = ChunkedList::default();
        alone.push(recipient);
        let to = (self.freeze)(cell.route.clone(), alone, None);
        let (hub, port) = (&cell.hub, member.agent.door.port());
        for (lane, parcel) in kept.last(replay, hub.now(), is_wanted) {
            cell.route.ledger.sent(hub.writer(), 1);
            refused.extend(port.publish(lane, &to, parcel));
        }
    }

    /// Takes a member off the route that was on it since `number`, as far as it accepts the message type.
    pub(crate) fn remove(&mut self, member: &Member, number: Number) {
        let local = &mut self.locals[member.arbiter()];
        let was_on_it = if local.list.remove(number).is_some() {
            local.has_changed = true;
            true
        } else {
            self.selective.remove(number).is_some()
        };
        if was_on_it {
            if let Some(pool) = &mut self.pool {
                pool.leave(member.agent.id());
            }
            self.has_changed = true;
        }
    }

    /// Makes the changes visible to publishers.
    pub(crate) fn publish(&mut self) {
        if !std::mem::take(&mut self.has_changed) {
            return;
        }
        let mut first = 0;
        for local in &mut self.locals {
            if std::mem::take(&mut local.has_changed) || local.first != first {
                local.list.fit();
                local.first = first;
                local.frozen = (!local.list.is_empty()).then(|| {
                    (self.freeze)(self.cell.route.clone(), local.list.clone(), Some(Rows::From(first)))
                });
            }
            first += u32::try_from(local.list.len()).expect(FEW);
        }
        self.selective.fit();
        self.cell.snapshot.store(Arc::new(Snapshot {
            total: self.locals.iter().map(|local| local.list.len()).sum(),
            lists: self.locals.iter().map(|local| local.frozen.clone()).collect(),
            selective: self.selective.clone(),
        }));
        if let Some(pool) = &mut self.pool {
            self.cell.one.pool.store(Some(pool.freeze()));
        }
    }

    /// Makes the pool of those from whom one can be chosen.
    pub(crate) fn open_pool(&mut self) {
        if self.pool.is_some() {
            return;
        }
        let mut pool = PoolEditor::default();
        let all = self.locals.iter().flat_map(|local| local.list.iter());
        all.for_each(|recipient| pool.join(&recipient.agent, None));
        for Selective { recipient, tests, .. } in self.selective.iter() {
            pool.join(&recipient.agent, Some(tests.clone()));
        }
        self.cell.one.pool.store(Some(pool.freeze()));
        self.pool = Some(pool);
    }

    /// Whether its pool holds those on the route and nobody else; says what is not as it should be.
    pub(crate) fn verify_pool(&self) -> Result<(), String> {
        let Some(pool) = &self.pool else { return Ok(()) };
        pool.verify()?;
        let mut on: Vec<_> = self.agents().into_iter().map(|(agent, _)| agent.id()).collect();
        let mut held: Vec<_> = pool.agents().collect();
        on.sort();
        held.sort();
        if on == held {
            Ok(())
        } else {
            Err(format!("{} has a pool of {held:?} instead of {on:?}", self.selector))
        }
    }

    /// Who is on the route, in order, each with whether it gets everything.
    pub(crate) fn agents(&self) -> Vec<(&AgentHandle, bool)> {
        let all = self.locals.iter().flat_map(|local| local.list.iter()).map(|recipient| (recipient, true));
        let some = self.selective.iter().map(|selective| (&selective.recipient, false));
        let mut on: Vec<_> = all.chain(some).collect();
        on.sort_by_key(|(recipient, _)| recipient.number);
        on.into_iter().map(|(recipient, has_all)| (&recipient.agent, has_all)).collect()
    }

    /// Whether the lists are in order, and publishers see them as they are.
    pub(crate) fn verify(&self) -> bool {
        let snapshot = self.cell.snapshot.load();
        let seen = snapshot.lists.iter().map(|list| list.as_ref().map_or(0, |list| list.recipients()));
        !self.has_changed
            && self.selective.verify()
            && self.locals.iter().all(|local| local.list.verify() && !local.has_changed)
            && (snapshot.lists.is_empty() && self.locals.iter().all(|local| local.list.is_empty())
                || seen.eq(self.locals.iter().map(|local| local.list.len())))
            && snapshot.selective.len() == self.selective.len()
    }

    #[cfg(test)]
    pub(crate) fn cell(&self) -> &RouteCell {
        &self.cell
    }
}
