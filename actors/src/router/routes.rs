//! [`Routes`]: which agents each topic, group and capability leads to. No clock, no I/O, no waiting.
//!
//! **Invariant.** An agent is on a route at most once, and only while it is a member that accepts the route's message
//! type. Order on a route is the order of joining it.

use std::{any::TypeId, collections::HashSet, fmt, sync::Arc};

use arc_swap::ArcSwap;
use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap};
use serde::{Deserialize, Serialize};

use super::{
    Courier, Snapshot, SubscribeOptions,
    entry::{Entry, Member, Wants},
    history::History,
    publisher::RouteCell,
    subscriptions::Subscriptions,
    topic_tree::TopicTree,
};
use crate::{
    agent::{
        AgentId, Capability, GroupName, Kind, Listing, Timestamp, TopicFilter, TopicName, short_type_name,
    },
    inbox::{AgentHandle, Hub, PortItem},
};

/// Whom a multicast is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// All agents that accept the message type.
    Everyone,
    /// Those that subscribed to the topic, or to a filter that matches it.
    Topic(TopicName),
    /// Those whose cards put them into the group.
    Group(GroupName),
    /// Those that offer the capability.
    Capability(Capability),
    /// Those of this kind.
    Kind(Kind),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Everyone => f.write_str("everyone"),
            Selector::Topic(name) => write!(f, "topic {name}"),
            Selector::Group(name) => write!(f, "group {name}"),
            Selector::Capability(name) => write!(f, "capability {name}"),
            Selector::Kind(name) => write!(f, "kind {name}"),
        }
    }
}

/// Which agents each topic, group and capability leads to.
pub(crate) struct Routes {
    hub: Arc<Hub>,
    courier: Arc<Courier>,
    members: IndexMap<AgentId, Member, FxBuildHasher>,
    subscriptions: Subscriptions,
    entries: Vec<Entry>,
    /// Where the entries of each selector are; those of topics are below.
    by_selector: FxHashMap<Selector, Vec<usize>>,
    by_topic: TopicTree<Vec<usize>>,
}

fn selectors(listing: &Listing) -> impl Iterator<Item = Selector> {
    let groups = listing.groups.iter().cloned().map(Selector::Group);
    let capabilities = listing.capabilities.iter().cloned().map(Selector::Capability);
    [Selector::Everyone, Selector::Kind(listing.kind.clone())].into_iter().chain(groups).chain(capabilities)
}

impl Routes {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self {
            courier: Courier::new(hub.clone()),
            hub,
            members: IndexMap::default(),
            subscriptions: Subscriptions::default(),
            entries: Vec::new(),
            by_selector: FxHashMap::default(),
            by_topic: TopicTree::default(),
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

    /// The route of a selector for messages of type `M`, made when it is first asked for.
    pub(crate) fn open<M: Send + Sync + 'static>(&mut self, selector: &Selector) -> Arc<RouteCell> {
        let message = TypeId::of::<M>();
        let indexes = match selector {
            Selector::Topic(topic) => self.by_topic.entry(&topic.clone().into()),
            other => self.by_selector.entry(other.clone()).or_default(),
        };
        if let Some(known) = indexes.iter().find(|index| self.entries[**index].message == message) {
            return self.entries[*known].cell.clone();
        }
        indexes.push(self.entries.len());
        let route = self.hub.open_route(format!("{selector} ({})", short_type_name::<M>()));
        let cell = Arc::new(RouteCell {
            hub: self.hub.clone(),
            route,
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            history: History::default(),
            courier: self.courier.clone(),
        });
        let mut entry = Entry::new::<M>(selector, cell.clone());
        for agent in self.select(selector) {
            let wants = self.wants(agent.id(), &entry);
            entry.add(&self.members[agent.id()], wants);
        }
        entry.publish();
        self.entries.push(entry);
        cell
    }

    /// Adds a member, which may be there already. Answers false when another agent has its id, or it lives on an arbiter of
    /// another host.
    pub(crate) fn add(&mut self, agent: AgentHandle) -> bool {
        if let Some(member) = self.members.get(agent.id()) {
            return std::ptr::addr_eq(Arc::as_ptr(&member.agent.door), Arc::as_ptr(&agent.door));
        }
        let owner = agent.door.port().owner();
        let Some(arbiter) = self.hub.ports().iter().position(|port| port.owner() == owner) else {
            return false;
        };
        let id = agent.id().clone();
        let member = Member { agent, arbiter };
        if !self.entries.is_empty() {
            for selector in selectors(member.agent.listing()) {
                for index in self.by_selector.get(&selector).into_iter().flatten() {
                    self.entries[*index].add(&member, Wants::All);
                }
            }
        }
        self.members.insert(id, member);
        true
    }

    /// Removes members, from all routes; their subscriptions end with them.
    pub(crate) fn remove(&mut self, gone: &[AgentId]) {
        let gone: HashSet<&AgentId, FxBuildHasher> =
            gone.iter().filter(|id| self.members.contains_key(*id)).collect();
        if gone.is_empty() {
            return;
        }
        let mut touched: IndexSet<usize, FxBuildHasher> = IndexSet::default();
        for id in &gone {
            for selector in selectors(self.members[*id].agent.listing()) {
                touched.extend(self.by_selector.get(&selector).into_iter().flatten());
            }
            for filter in self.subscriptions.remove_all(id) {
                touched.extend(self.by_topic.matched_by(&filter).into_iter().flatten());
            }
        }
        for index in touched {
            self.entries[index].remove(&|id| gone.contains(id));
        }
        if gone.len() > 64 {
            self.members.retain(|id, _| !gone.contains(id));
        } else {
            for id in &gone {
                self.members.shift_remove(*id);
            }
        }
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
        let Some(member) = self.members.get(agent) else { return false };
        let indexes: Vec<usize> = self.by_topic.matched_by(filter).into_iter().flatten().copied().collect();
        let before: Vec<Wants> =
            indexes.iter().map(|index| self.wants(agent, &self.entries[*index])).collect();
        if !self.subscriptions.add(filter, agent, options.predicate.clone()) {
            return false;
        }
        for (index, before) in indexes.into_iter().zip(before) {
            let wants = self.wants(agent, &self.entries[index]);
            let entry = &mut self.entries[index];
            match before {
                Wants::Nothing => entry.join(member, wants, options.replay, refused),
                Wants::All => {}
                Wants::Some(_) => {
                    entry.remove(&|id| id == agent);
                    entry.add(member, wants);
                }
            }
        }
        true
    }

    /// What an agent wants of a topic's route.
    fn wants(&self, agent: &AgentId, entry: &Entry) -> Wants {
        entry.topic().map_or(Wants::All, |topic| self.subscriptions.wants(agent, topic, entry.message))
    }

    /// Ends a subscription. Answers whether there was one.
    pub(crate) fn unsubscribe(&mut self, filter: &TopicFilter, agent: &AgentId) -> bool {
        if !self.subscriptions.remove(filter, agent) {
            return false;
        }
        let Some(member) = self.members.get(agent) else { return true };
        for index in self.by_topic.matched_by(filter).into_iter().flatten() {
            let wants = self.wants(agent, &self.entries[*index]);
            let entry = &mut self.entries[*index];
            // Whoever still gets everything keeps its place.
            if entry.has_all(agent) && matches!(wants, Wants::All) {
                continue;
            }
            entry.remove(&|id| id == agent);
            entry.add(member, wants);
        }
        true
    }

    /// Makes all changes visible to publishers.
    pub(crate) fn publish(&mut self) {
        self.entries.iter_mut().for_each(Entry::publish);
    }

    pub(crate) fn member(&self, id: &AgentId) -> Option<AgentHandle> {
        self.members.get(id).map(|member| member.agent.clone())
    }

    /// The members that a selector leads to, in order.
    pub(crate) fn select(&self, selector: &Selector) -> Vec<AgentHandle> {
        if let Selector::Topic(topic) = selector {
            return self.subscriptions.hearers(topic).into_iter().filter_map(|id| self.member(id)).collect();
        }
        let fits = |member: &&Member| selectors(member.agent.listing()).any(|held| held == *selector);
        self.members.values().filter(fits).map(|member| member.agent.clone()).collect()
    }

    /// All members, in the order in which they were added.
    pub(crate) fn members(&self) -> impl Iterator<Item = &AgentHandle> {
        self.members.values().map(|member| &member.agent)
    }

    /// The filters that have subscribers, with how many.
    pub(crate) fn subscriptions(&self) -> Vec<(TopicFilter, usize)> {
        self.subscriptions.counts()
    }

    /// Whether every route holds just the members it should; says which does not.
    pub(crate) fn verify(&self) -> Result<(), String> {
        for entry in &self.entries {
            let mut on: Vec<_> = entry.agents().cloned().collect();
            let mut should: Vec<_> = self
                .select(&entry.selector)
                .into_iter()
                .filter(|agent| agent.door.accept(entry.message).is_some())
                .map(|agent| agent.id().clone())
                .collect();
            on.sort();
            should.sort();
            if on != should {
                return Err(format!("{} leads to {on:?} instead of {should:?}", entry.selector));
            }
        }
        Ok(())
    }
}
