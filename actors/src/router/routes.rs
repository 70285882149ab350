//! [`Routes`]: which agents each selector leads to. No clock, no I/O, no waiting.
//!
//! ```text
//! Members ──────── kind, group, capability, id ──┐
//!                                                ├──> touched entries ──publish──> snapshots
//! Subscriptions ── topics that a filter matches ─┘
//! ```
//!
//! Joining and each subscription have a number of one sequence. An agent's number on a route is the least of those that put
//! it there: of its joining where the selector names it for what it is, of a subscription otherwise. So where an agent
//! stands on a route is known from the tables, and no route keeps an index of its own.
//!
//! **Invariant.** An agent is on a route just when the selector leads to it and it accepts the route's message type, and
//! once. The order on a route is that of the numbers. What changes touches the routes of those whom it is about, and
//! no others.

use std::{
    any::TypeId,
    ops::Range,
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;
use rustc_hash::{FxHashMap, FxHashSet};
use slab::Slab;

use super::{
    Courier, Selector, Snapshot, SubscribeOptions,
    chunked::Number,
    entry::{Entry, Wants},
    history::History,
    lease::{OpenRoute, Tables, Trash},
    members::{Members, slot_of, take_out},
    publisher::RouteCell,
    strategy::OneOfMany,
    subscriptions::{NONE, Subscriptions},
    topic_tree::TopicTree,
};
use crate::{
    agent::{AgentId, Timestamp, TopicFilter, short_type_name},
    inbox::{AgentHandle, Hub, PortItem},
};

/// Which agents each selector leads to.
pub(crate) struct Routes {
    hub: Arc<Hub>,
    courier: Arc<Courier>,
    /// The tables that these are in.
    tables: Weak<Tables>,
    members: Members,
    subscriptions: Subscriptions,
    /// Slots of members that are on no route until they beat again.
    away: FxHashSet<u32>,
    entries: Slab<Box<Entry>>,
    by_route: FxHashMap<(Selector, TypeId), u32>,
    by_topic: TopicTree<Vec<u32>>,
    by_id: FxHashMap<AgentId, Vec<u32>>,
    /// Entries that the change being made has touched.
    touched: Vec<u32>,
    changes: u64,
    trash: Trash,
}

impl Routes {
    pub(crate) fn new(hub: Arc<Hub>, tables: Weak<Tables>) -> Self {
        Self {
            courier: Courier::new(hub.clone()),
            hub,
            tables,
            members: Members::default(),
            subscriptions: Subscriptions::default(),
            away: FxHashSet::default(),
            entries: Slab::new(),
            by_route: FxHashMap::default(),
            by_topic: TopicTree::default(),
            by_id: FxHashMap::default(),
            touched: Vec::new(),
            changes: 0,
            trash: Trash::default(),
        }
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(crate) fn courier(&self) -> &Arc<Courier> {
        &self.courier
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.hub.now()
    }

    fn next_number(&mut self) -> Number {
        self.changes += 1;
        Number::new(self.changes)
    }

    /// The route of a selector for messages of type `M`, made when there is none.
    pub(crate) fn open<M: Send + Sync + 'static>(&mut self, selector: &Selector) -> OpenRoute {
        let (name, message) = ((selector.clone(), TypeId::of::<M>()), TypeId::of::<M>());
        if let Some(key) = self.by_route.get(&name) {
            return self.entries[*key as usize].lease(&self.tables, *key);
        }
        let key = slot_of(self.entries.vacant_key());
        let route = self.hub.open_route(format!("{selector} ({})", short_type_name::<M>()));
        let cell = RouteCell {
            hub: self.hub.clone(),
            one: OneOfMany::new(self.hub.seed(), &route.name),
            route,
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            history: History::default(),
            courier: self.courier.clone(),
        };
        let mut entry = Entry::new::<M>(selector, cell);
        let filters = self.subscriptions.matching(selector.topics());
        for (number, slot) in self.led_to(selector) {
            let standing = self.standing(slot, selector, &filters, message);
            let (since, wants) = standing.expect("whoever a selector leads to has a standing");
            debug_assert_eq!(since, number);
            entry.add(&self.members[slot], number, wants);
        }
        entry.publish();
        let opened = entry.lease(&self.tables, key);
        self.entries.insert(Box::new(entry));
        self.by_route.insert(name, key);
        for part in selector.parts() {
            match part {
                Selector::Topic(topic) => self.by_topic.entry(&topic.clone().into()).push(key),
                Selector::Agents(ids) => {
                    ids.as_slice().iter().for_each(|id| self.by_id.entry(id.clone()).or_default().push(key));
                }
                part => self.members.open(part, key),
            }
        }
        opened
    }

    /// Closes a route that its publishers left, unless it was opened again or keeps a history.
    pub(crate) fn close(&mut self, key: u32) {
        if !self.entries.get(key as usize).is_some_and(|entry| entry.is_abandoned()) {
            return;
        }
        let entry = self.entries.remove(key as usize);
        self.by_route.remove(&(entry.selector.clone(), entry.message));
        if self.by_route.len() * 8 < self.by_route.capacity() {
            self.by_route.shrink_to(self.by_route.len() * 2);
        }
        for part in entry.selector.parts() {
            match part {
                Selector::Topic(topic) => {
                    let topic = TopicFilter::from(topic.clone());
                    take_out(self.by_topic.entry(&topic), key);
                    if self.by_topic.get(&topic).is_some_and(Vec::is_empty) {
                        self.by_topic.remove(&topic);
                    }
                }
                Selector::Agents(ids) => {
                    for id in ids.as_slice() {
                        if let Some(keys) = self.by_id.get_mut(id) {
                            take_out(keys, key);
                            if keys.is_empty() {
                                self.by_id.remove(id);
                            }
                        }
                    }
                }
                part => self.members.close(part, key),
            }
        }
        self.hub.close_route(entry.route());
        self.trash.entries.push(*entry);
    }

    pub(crate) fn take_trash(&mut self) -> Trash {
        std::mem::take(&mut self.trash)
    }

    /// Since when an agent is on a route and what it wants of it, whether it accepts the messages or not; nothing while it is
    /// away. `filters` are those
    /// that match the topics of the selector.
    fn standing(
        &self,
        slot: u32,
        selector: &Selector,
        filters: &[u32],
        message: TypeId,
    ) -> Option<(Number, Wants)> {
        if self.away.contains(&slot) {
            return None;
        }
        let member = &self.members[slot];
        if selector.names(member.agent.id(), member.agent.listing()) {
            return Some((member.number, Wants::All));
        }
        self.subscriptions.wants(slot, filters, message)
    }

    fn standing_on(&self, slot: u32, key: u32) -> Option<(Number, Wants)> {
        let entry = &self.entries[key as usize];
        let filters = self.subscriptions.matching(entry.selector.topics());
        self.standing(slot, &entry.selector, &filters, entry.message)
    }

    /// An entry that is about to be changed.
    fn touch(&mut self, key: u32) -> &mut Entry {
        let entry = &mut self.entries[key as usize];
        if !std::mem::replace(&mut entry.is_touched, true) {
            self.touched.push(key);
        }
        entry
    }

    /// The entries whose selector names an agent for what it is, each once.
    fn entries_naming(&self, slot: u32) -> Vec<u32> {
        let mut keys = self.members.entries_of(slot).to_vec();
        if let Some(named) = self.by_id.get(self.members[slot].agent.id()) {
            keys.extend(named);
            keys.sort_unstable();
            keys.dedup();
        }
        keys
    }

    /// The entries with a topic that a filter matches, each once.
    fn entries_hearing(&self, filter: &TopicFilter) -> Vec<u32> {
        let mut keys: Vec<u32> = self.by_topic.matched_by(filter).into_iter().flatten().copied().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The entries whose selector leads to an agent, each once.
    fn entries_leading_to(&self, slot: u32) -> Vec<u32> {
        let mut keys = self.entries_naming(slot);
        for filter in self.subscriptions.filters_of(self.members[slot].first) {
            keys.extend(self.by_topic.matched_by(filter).into_iter().flatten());
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Takes a member off these entries, as far as it is on them.
    fn leave(&mut self, slot: u32, keys: &[u32]) {
        for key in keys {
            let Some((number, _)) = self.standing_on(slot, *key) else { continue };
            self.touch(*key);
            self.entries[*key as usize].remove(&self.members[slot], number);
        }
    }

    /// Makes the pool of a route, from which one can be chosen, unless it is there.
    pub(crate) fn open_pool(&mut self, key: u32) {
        if let Some(entry) = self.entries.get_mut(key as usize) {
            entry.open_pool();
        }
    }

    /// Adds a member, which may be there already. Answers false when another agent has its id, or it lives on an arbiter of
    /// another host.
    pub(crate) fn add(&mut self, agent: AgentHandle) -> bool {
        if let Some(slot) = self.members.find(agent.id()) {
            return std::ptr::addr_eq(Arc::as_ptr(&self.members[slot].agent.door), Arc::as_ptr(&agent.door));
        }
        let owner = agent.door.port().owner();
        let Some(arbiter) = self.hub.ports().iter().position(|port| port.owner() == owner) else {
            return false;
        };
        let number = self.next_number();
        let slot = self.members.insert(agent, arbiter, number, NONE);
        if self.by_id.is_empty() {
            for at in 0..self.members.entries_of(slot).len() {
                self.enter(slot, self.members.entries_of(slot)[at], number);
            }
        } else {
            self.entries_naming(slot).into_iter().for_each(|key| self.enter(slot, key, number));
        }
        true
    }

    /// Puts a member that has just joined on a route.
    fn enter(&mut self, slot: u32, key: u32, number: Number) {
        self.touch(key);
        self.entries[key as usize].add(&self.members[slot], number, Wants::All);
    }

    /// Removes members, from all routes; their subscriptions end with them.
    pub(crate) fn remove(&mut self, gone: &[AgentId]) {
        for id in gone {
            if let Some(slot) = self.members.find(id) {
                self.remove_member(slot);
            }
        }
    }

    fn remove_member(&mut self, slot: u32) {
        let keys = self.entries_leading_to(slot);
        self.leave(slot, &keys);
        self.away.remove(&slot);
        let member = self.members.remove(slot);
        self.trash.predicates.extend(self.subscriptions.remove_all(member.first));
        self.trash.members.push(member);
    }

    /// Subscribes a member to the topics that a filter matches. Answers false when it was subscribed to that filter already,
    /// or is no member. What could not be replayed is put to `refused`, to be abandoned when nothing is held.
    pub(crate) fn subscribe(
        &mut self,
        filter: &TopicFilter,
        agent: &AgentId,
        options: &SubscribeOptions,
        refused: &mut Vec<PortItem>,
    ) -> bool {
        let Some(slot) = self.members.find(agent) else { return false };
        if self.subscriptions.has(filter, slot) {
            return false;
        }
        let keys = self.entries_hearing(filter);
        let before: Vec<_> = keys.iter().map(|key| self.standing_on(slot, *key)).collect();
        let number = self.next_number();
        let first = &mut self.members.get_mut(slot).first;
        self.subscriptions.add(filter, slot, first, number, options.predicate.clone());
        if self.away.contains(&slot) {
            return true;
        }
        for (key, before) in keys.into_iter().zip(before) {
            let (number, wants) =
                self.standing_on(slot, key).expect("it hears by this subscription at least");
            match before {
                Some((_, Wants::All)) => {}
                Some((before, Wants::Some(_))) => self.replace(key, slot, before, number, wants),
                None => {
                    self.touch(key);
                    self.entries[key as usize].join(
                        &self.members[slot],
                        number,
                        wants,
                        options.replay,
                        refused,
                    );
                }
            }
        }
        true
    }

    /// Gives an agent on a route its new place and what it wants now.
    fn replace(&mut self, key: u32, slot: u32, before: Number, number: Number, wants: Wants) {
        self.touch(key);
        let (entry, member) = (&mut self.entries[key as usize], &self.members[slot]);
        entry.remove(member, before);
        entry.add(member, number, wants);
    }

    /// Ends a subscription. Answers whether there was one.
    pub(crate) fn unsubscribe(&mut self, filter: &TopicFilter, agent: &AgentId) -> bool {
        let Some(slot) = self.members.find(agent) else { return false };
        if !self.subscriptions.has(filter, slot) {
            return false;
        }
        let keys = self.entries_hearing(filter);
        let before: Vec<_> = keys.iter().map(|key| self.standing_on(slot, *key)).collect();
        let first = &mut self.members.get_mut(slot).first;
        self.trash.predicates.extend(self.subscriptions.remove(filter, slot, first));
        if self.away.contains(&slot) {
            return true;
        }
        for (key, before) in keys.into_iter().zip(before) {
            let (number, had) = before.expect("it heard by this subscription at least");
            match self.standing_on(slot, key) {
                Some((same, Wants::All)) if same == number && matches!(had, Wants::All) => {}
                Some((since, wants)) => self.replace(key, slot, number, since, wants),
                None => {
                    self.touch(key);
                    self.entries[key as usize].remove(&self.members[slot], number);
                }
            }
        }
        true
    }

    /// Takes a member off all of its routes, or puts it back; its subscriptions stay.
    pub(crate) fn set_away(&mut self, agent: &AgentId, is_away: bool) {
        let Some(slot) = self.members.find(agent) else { return };
        if self.away.contains(&slot) == is_away {
            return;
        }
        let keys = self.entries_leading_to(slot);
        if is_away {
            self.leave(slot, &keys);
            self.away.insert(slot);
        } else {
            self.away.remove(&slot);
            for key in keys {
                let Some((number, wants)) = self.standing_on(slot, key) else { continue };
                self.touch(key);
                self.entries[key as usize].add(&self.members[slot], number, wants);
            }
        }
    }

    /// Whether a member is on no route until it beats again.
    pub(crate) fn is_away(&self, agent: &AgentId) -> bool {
        self.members.find(agent).is_some_and(|slot| self.away.contains(&slot))
    }

    /// Makes all changes visible to publishers.
    pub(crate) fn publish(&mut self) {
        for key in self.touched.drain(..) {
            if let Some(entry) = self.entries.get_mut(key as usize) {
                entry.is_touched = false;
                entry.publish();
            }
        }
    }

    pub(crate) fn member(&self, id: &AgentId) -> Option<AgentHandle> {
        self.members.find(id).map(|slot| self.members[slot].agent.clone())
    }

    /// Those that a selector leads to, in order, each with its number.
    fn led_to(&self, selector: &Selector) -> Vec<(Number, u32)> {
        let filters = self.subscriptions.matching(selector.topics());
        let mut found: Vec<(u32, Number)> = self.subscriptions.hearers(&filters).collect();
        for part in selector.parts() {
            let slots: &mut dyn Iterator<Item = u32> = match part {
                Selector::Topic(_) => continue,
                Selector::Agents(ids) => &mut ids.as_slice().iter().filter_map(|id| self.members.find(id)),
                part => &mut self.members.fitting(part),
            };
            found.extend(slots.map(|slot| (slot, self.members[slot].number)));
        }
        if filters.len() > 1 || selector.parts().len() > 1 {
            // The least number of each.
            found.sort_unstable();
            found.dedup_by_key(|(slot, _)| *slot);
        }
        let here = found.into_iter().filter(|(slot, _)| !self.away.contains(slot));
        let mut led_to: Vec<_> = here.map(|(slot, number)| (number, slot)).collect();
        led_to.sort_unstable();
        led_to
    }

    /// The members that a selector leads to, in order.
    pub(crate) fn select(&self, selector: &Selector) -> Vec<AgentHandle> {
        self.led_to(selector).into_iter().map(|(_, slot)| self.members[slot].agent.clone()).collect()
    }

    /// Those that the selector of a route names by id and that are no members.
    pub(crate) fn missing(&self, key: u32) -> Vec<AgentId> {
        let ids = self.entries.get(key as usize).map_or(&[][..], |entry| entry.selector.ids());
        ids.iter().filter(|id| self.members.find(id).is_none()).cloned().collect()
    }

    /// Whether a route's selector leads to agents none of whom is on it, because they do not accept its message type. Everyone
    /// means those who do.
    pub(crate) fn leads_to_others(&self, key: u32) -> bool {
        let Some(entry) = self.entries.get(key as usize) else { return false };
        entry.selector != Selector::Everyone
            && entry.agents().is_empty()
            && !self.select(&entry.selector).is_empty()
    }

    /// How many routes are open.
    pub(crate) fn open_routes(&self) -> usize {
        self.entries.len()
    }

    /// All members, in the order in which they were added.
    pub(crate) fn members(&self) -> impl Iterator<Item = &AgentHandle> {
        self.members.in_order().into_iter().map(|slot| &self.members[slot].agent)
    }

    /// The members in these places of the tables; `None` behind the last place.
    pub(crate) fn some(&self, places: Range<usize>) -> Option<Vec<AgentHandle>> {
        self.members.some(places)
    }

    /// How many members there are.
    pub(crate) fn count_members(&self) -> usize {
        self.members.len()
    }

    /// The filters that have subscribers, with how many.
    pub(crate) fn subscriptions(&self) -> Vec<(TopicFilter, usize)> {
        self.subscriptions.counts()
    }
}

mod verify;

#[cfg(test)]
mod tests;
