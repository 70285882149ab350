//! [`Roster`]: who exists, in the order of registration: agents by id, kind, tenant, capabilities, place and metadata.
//!
//! ```text
//! id --> slot              slots in the order of registration, a gap where an agent left
//! kind, tenant --> slots   capability --> capability sets --> slots
//! key and value of metadata --> slots          circle --> places --> slots
//! id --> lease --> when the agent leaves by itself
//! ```
//!
//! Kinds, tenants, locations and sets of capabilities are stored once, members as 32-bit slots; a lookup walks the slots of
//! its rarest criterion, see [`Lookup`](super::Lookup). Gaps are closed when they outnumber the agents.
//!
//! **Cost.** An agent takes about 112 bytes at a million agents, and at most 200 just after the tables have grown, beside its
//! id's text, its handle and its metadata ([`Roster::bytes`] tells); a set of capabilities that nobody else has takes a few
//! hundred more, a place that nobody else lives at about 200, an entry of metadata that nobody else has about 40, a tenant 4
//! bytes for each of its agents, a lease about 90. The change log comes on top with at most [`MAX_CHANGES`] entries of 48
//! bytes. Inserting a million
//! agents with three capabilities each took 0.7 us an agent on two busy cores, where a plain hash map from ids to profiles
//! took 1.0 us.
//!
//! **Invariant.** Every agent stands in exactly one slot, one kind and one set of capabilities; whoever has a lease is in the
//! roster. The revision rises by one with each change, and a refused change leaves no trace.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    atlas::Atlas,
    changes::{ChangeKind, ChangeLog},
    facts::Facts,
    index::{Index, hash},
    intern::Named,
    leases::Leases,
    profile::{Profile, RosterError},
    sets::CapabilitySets,
};
use crate::{
    agent::{AgentId, Kind, Tenant, Timestamp},
    support::Recent,
};

use fill::Parts;
pub use read::Member;

/// How many changes are held for readers that keep up, unless told otherwise.
pub const MAX_CHANGES: usize = 65_536;
/// Fewer gaps than this are left open.
const GAPS: usize = if cfg!(test) { 4 } else { 1024 };

#[derive(Debug)]
struct Slot<H> {
    id: AgentId,
    handle: H,
    extra: Option<Box<Extra>>,
    generation: u64,
    kind: u32,
    set: u32,
    /// Zero for none, else the number of the location plus one.
    location: u32,
    /// Likewise.
    tenant: u32,
}

impl<H> Slot<H> {
    fn metadata(&self) -> Option<&Map<String, Value>> {
        self.extra.as_ref().map(|extra| &extra.metadata).filter(|metadata| !metadata.is_empty())
    }
}

#[derive(Debug)]
struct Extra {
    name: Option<String>,
    metadata: Map<String, Value>,
}

/// Who exists, with an opaque handle for each agent.
///
/// # Examples
/// ```
/// use phalanx_actors::{agent::{AgentId, Capability, Kind}, registrar::{Profile, Roster}};
/// let mut roster = Roster::new();
/// let sell = Capability::new("sell")?;
/// let mut profile = Profile::new(Kind::new("seller")?);
/// profile.capabilities.push(sell.clone());
/// roster.insert(AgentId::new("seller/1")?, 1, profile, "its inbox")?;
/// let sellers = roster.with_all(&[sell]);
/// assert_eq!((sellers[0].id().as_str(), *sellers[0].handle()), ("seller/1", "its inbox"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Roster<H> {
    slots: Vec<Option<Slot<H>>>,
    /// No slot before this one has an agent.
    first: usize,
    by_id: Index,
    kinds: Named<Kind>,
    tenants: Named<Tenant>,
    sets: CapabilitySets,
    atlas: Atlas,
    facts: Facts,
    leases: Leases,
    /// Where the parts of shared profiles stand.
    recent: Recent<Profile, Parts>,
    changes: ChangeLog,
    /// How often slots were numbered anew.
    numbering: u64,
}

impl<H: Clone> Default for Roster<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Clone> Roster<H> {
    /// An empty roster that holds its latest [`MAX_CHANGES`] changes.
    pub fn new() -> Self {
        Self::with_changes(MAX_CHANGES)
    }

    /// An empty roster that holds its latest `max_changes` changes.
    pub fn with_changes(max_changes: usize) -> Self {
        Self {
            slots: Vec::new(),
            first: 0,
            by_id: Index::default(),
            kinds: Named::default(),
            tenants: Named::default(),
            sets: CapabilitySets::default(),
            atlas: Atlas::default(),
            facts: Facts::default(),
            leases: Leases::default(),
            recent: Recent::default(),
            changes: ChangeLog::new(max_changes),
            numbering: 0,
        }
    }

    /// Adds an agent at the end and answers with the new revision.
    ///
    /// # Errors
    /// [`RosterError::Duplicate`] when the id is in use, [`RosterError::Full`] beyond 2^32 - 2 slots.
    pub fn insert(
        &mut self,
        id: AgentId,
        generation: u64,
        profile: Profile,
        handle: H,
    ) -> Result<u64, RosterError> {
        self.insert_filled(id, generation, handle, |roster| roster.fill(profile))
    }

    /// Takes an agent out, and answers with its handle.
    pub fn remove(&mut self, id: &AgentId) -> Option<H> {
        let hash = hash(id);
        let slot = self.find(hash, id)?;
        self.by_id.remove(hash, slot);
        let gone = self.slots[slot as usize].take().expect("the index leads to filled slots only");
        while self.slots.get(self.first).is_some_and(Option::is_none) {
            self.first += 1;
        }
        self.note_dead(&gone);
        self.leases.forget(id);
        self.changes.push(gone.id, ChangeKind::Removed, gone.generation);
        if self.slots.len() - self.by_id.len() > self.by_id.len().max(GAPS) {
            self.close_gaps();
        }
        Some(gone.handle)
    }

    /// Lets an agent leave by itself after so long, a millisecond at least, unless it is renewed. Answers when that is; nothing
    /// if there is no such agent.
    pub fn lease(&mut self, id: &AgentId, length: Duration, now: Timestamp) -> Option<Timestamp> {
        self.get(id)?;
        Some(self.leases.grant(id.clone(), length, now))
    }

    /// Renews the lease of an agent, by the word of one of its generations, `least` being one that is known to have been
    /// there. A later generation than the one in the roster takes its place. Answers when the lease ends now.
    ///
    /// # Errors
    /// [`RosterError::Unknown`], [`RosterError::Unleased`], and [`RosterError::Stale`] when there is a later generation.
    pub fn renew(
        &mut self,
        id: &AgentId,
        generation: u64,
        least: u64,
        now: Timestamp,
    ) -> Result<Timestamp, RosterError> {
        let slot = self.find(hash(id), id).ok_or_else(|| RosterError::Unknown(id.clone()))?;
        let held = self.at(slot).generation;
        let present = held.max(least);
        if generation < present {
            return Err(RosterError::Stale { agent: id.clone(), present, offered: generation });
        }
        let ends = self.leases.renew(id, now).ok_or_else(|| RosterError::Unleased(id.clone()))?;
        if generation > held {
            let slot = self.slots[slot as usize].as_mut().expect("the index leads to filled slots only");
            slot.generation = generation;
            self.changes.push(id.clone(), ChangeKind::Replaced, generation);
        }
        Ok(ends)
    }

    /// Takes out the agent whose lease ends first, if it is over at `now`. Answers who it was, its generation and how long its
    /// lease was.
    pub fn expire(&mut self, now: Timestamp) -> Option<(AgentId, u64, Duration)> {
        let (agent, length) = self.leases.expire(now)?;
        let generation = self.get(&agent).expect("whoever has a lease is in the roster").generation();
        self.remove(&agent);
        Some((agent, generation, length))
    }

    /// When the next lease ends.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.leases.next()
    }

    /// How many agents have a lease.
    pub fn leased(&self) -> usize {
        self.leases.len()
    }

    /// Puts a slot into all lists.
    fn enter(&mut self, slot: u32, filled: &Slot<H>) {
        self.enter_lists(slot, filled);
        if let Some(location) = filled.location.checked_sub(1) {
            self.atlas.enter(location, slot);
        }
    }

    /// Puts a slot into all lists but those of places.
    fn enter_lists(&mut self, slot: u32, filled: &Slot<H>) {
        self.kinds.members(filled.kind).add(slot);
        self.sets.enter(filled.set, slot);
        if let Some(tenant) = filled.tenant.checked_sub(1) {
            self.tenants.members(tenant).add(slot);
        }
        if let Some(metadata) = filled.metadata() {
            self.facts.add(slot, metadata);
        }
    }

    /// Tells all lists that what was in a slot is gone from it.
    fn note_dead(&mut self, gone: &Slot<H>) {
        let slots = &self.slots;
        let is_alive = |slot: u32| slots[slot as usize].is_some();
        self.kinds.members(gone.kind).note_dead(is_alive);
        self.sets.members(gone.set).note_dead(is_alive);
        if let Some(tenant) = gone.tenant.checked_sub(1) {
            self.tenants.members(tenant).note_dead(is_alive);
        }
        if let Some(metadata) = gone.metadata() {
            self.facts.note_dead(metadata, is_alive);
        }
        if let Some(location) = gone.location.checked_sub(1) {
            self.atlas.note_dead(location, is_alive);
        }
    }

    /// Numbers the slots anew without gaps, and forgets the names that only gaps knew.
    fn close_gaps(&mut self) {
        self.numbering += 1;
        let kinds = std::mem::take(&mut self.kinds);
        let tenants = std::mem::take(&mut self.tenants);
        let sets = std::mem::take(&mut self.sets);
        let atlas = std::mem::take(&mut self.atlas);
        self.facts = Facts::default();
        self.recent.clear();
        let old = std::mem::take(&mut self.slots);
        self.first = 0;
        self.slots.reserve(self.by_id.len());
        self.by_id = Index::default();
        for mut filled in old.into_iter().flatten() {
            let slot = self.end();
            filled.kind = self.kinds.intern(kinds.name(filled.kind));
            filled.set = self.sets.intern(sets.set(filled.set), slot);
            if let Some(location) = filled.location.checked_sub(1) {
                filled.location = self.atlas.intern(atlas.text(location)) + 1;
            }
            if let Some(tenant) = filled.tenant.checked_sub(1) {
                filled.tenant = self.tenants.intern(tenants.name(tenant)) + 1;
            }
            self.enter_lists(slot, &filled);
            self.by_id.insert(hash(&filled.id), slot);
            self.slots.push(Some(filled));
        }
        let located = self.slots.iter().flatten().zip(0..);
        self.atlas.fill(located.filter_map(|(filled, slot)| Some((slot, filled.location.checked_sub(1)?))));
    }

    /// One more than the last slot.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("more are not taken in")
    }

    fn at(&self, slot: u32) -> &Slot<H> {
        self.slots[slot as usize].as_ref().expect("the index leads to filled slots only")
    }

    fn find(&self, hash: u64, id: &AgentId) -> Option<u32> {
        self.by_id.get(hash, |slot| self.at(slot).id == *id)
    }

    /// The agent of an id.
    pub fn get(&self, id: &AgentId) -> Option<Member<'_, H>> {
        self.find(hash(id), id).map(|slot| Member { roster: self, slot: self.at(slot) })
    }
}

mod fill;
mod read;
#[cfg(test)]
mod tests;
