//! [`Roster`]: who exists. Agents by id, kind and capabilities, in the order in which they registered.
//!
//! ```text
//! id --> slot     slots in the order of registration, a gap where an agent left
//! kind --> slots  capability --> capability sets --> slots
//! ```
//!
//! Kinds, locations and sets of capabilities are stored once, members as 32-bit slots; looking up by capability looks at the
//! distinct sets of capabilities first, of which there are few, and never at agents that do not match. Gaps are closed when
//! they outnumber the agents.
//!
//! **Cost.** An agent takes about 112 bytes at a million agents, and at most 200 just after the tables have grown, beside its
//! id's text, its handle and its metadata ([`Roster::bytes`] tells); a set of capabilities that nobody else has takes a few
//! hundred more. The change log comes on top with at most [`MAX_CHANGES`] entries of 48 bytes. Inserting a million
//! agents with three capabilities each took 0.7 us an agent on two busy cores, where a plain hash map from ids to profiles
//! took 1.0 us.
//!
//! **Invariant.** Every agent stands in exactly one slot, one kind and one set of capabilities. The revision rises by one
//! with each change, and a refused change leaves no trace.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    changes::{Change, ChangeKind, ChangeLog, ChangesError},
    index::{Index, hash},
    intern::{CapabilitySets, Interner, Members},
    request::Request,
};
use crate::agent::{AgentId, Capability, Kind};

/// How many changes are held for readers that keep up, unless told otherwise.
pub const MAX_CHANGES: usize = 65_536;
/// Fewer gaps than this are left open.
const GAPS: usize = if cfg!(test) { 4 } else { 1024 };

/// What is told of an agent when it registers.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// What sort of agent it is.
    pub kind: Kind,
    /// What it offers; order and repetition do not matter.
    pub capabilities: Vec<Capability>,
    /// A name for people.
    pub name: Option<String>,
    /// Where it lives.
    pub location: Option<String>,
    /// What else there is to know.
    pub metadata: Map<String, Value>,
}

impl Profile {
    /// An agent of a kind, with nothing else to tell.
    pub fn new(kind: Kind) -> Self {
        Self { kind, capabilities: Vec::new(), name: None, location: None, metadata: Map::new() }
    }
}

impl From<&Request> for Profile {
    fn from(request: &Request) -> Self {
        Self {
            kind: request.kind.clone(),
            capabilities: request.capabilities.clone(),
            name: request.name.clone(),
            location: request.location.clone(),
            metadata: request.metadata.clone(),
        }
    }
}

/// Why the roster did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// The id is in use.
    #[error(
        "agent id {agent} is taken by generation {generation} of a {kind}: choose another id, or replace it"
    )]
    Duplicate {
        /// The id.
        agent: AgentId,
        /// The kind of its holder.
        kind: Kind,
        /// The generation of its holder.
        generation: u64,
    },
    /// There is no agent of this id to replace.
    #[error("agent {0} is not registered: insert it first")]
    Unknown(AgentId),
    /// The generation that is to come is not younger than the present one.
    #[error(
        "agent {agent} is at generation {present}, and {offered} is no later one: this word of it is out of date"
    )]
    Stale {
        /// The agent.
        agent: AgentId,
        /// The generation in the roster.
        present: u64,
        /// The generation that was to come.
        offered: u64,
    },
    /// All slots are taken.
    #[error("the roster is full with {0} agents: remove some")]
    Full(usize),
}

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
    by_id: Index,
    kinds: Interner<Kind>,
    kind_members: Vec<Members>,
    sets: CapabilitySets,
    locations: Interner<Arc<str>>,
    changes: ChangeLog,
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
            by_id: Index::default(),
            kinds: Interner::default(),
            kind_members: Vec::new(),
            sets: CapabilitySets::default(),
            locations: Interner::default(),
            changes: ChangeLog::new(max_changes),
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
        let hash = hash(&id);
        if let Some(slot) = self.find(hash, &id) {
            let holder = Member { roster: self, slot: self.at(slot) };
            let (kind, generation) = (holder.kind().clone(), holder.generation());
            return Err(RosterError::Duplicate { agent: id, kind, generation });
        }
        if self.slots.len() >= u32::MAX as usize - 1 {
            self.close_gaps();
        }
        let slot = u32::try_from(self.slots.len())
            .ok()
            .filter(|slot| *slot < u32::MAX - 1)
            .ok_or(RosterError::Full(self.by_id.len()))?;
        let filled = self.fill(id.clone(), generation, profile, handle);
        self.enter(slot, filled.kind, filled.set);
        self.slots.push(Some(filled));
        self.by_id.insert(hash, slot);
        Ok(self.changes.push(id, ChangeKind::Inserted, generation))
    }

    /// Puts the next generation of an agent in the place of the present one, and answers with the handle that was there.
    ///
    /// # Errors
    /// [`RosterError::Unknown`] when there is no such agent, [`RosterError::Stale`] when `generation` is not a later one.
    pub fn replace(
        &mut self,
        id: &AgentId,
        generation: u64,
        profile: Profile,
        handle: H,
    ) -> Result<H, RosterError> {
        let slot = self.find(hash(id), id).ok_or_else(|| RosterError::Unknown(id.clone()))?;
        let present = self.at(slot);
        if present.generation >= generation {
            let present = present.generation;
            return Err(RosterError::Stale { agent: id.clone(), present, offered: generation });
        }
        let filled = self.fill(id.clone(), generation, profile, handle);
        let (kind, set) = (filled.kind, filled.set);
        let old = self.slots[slot as usize].replace(filled).expect("the index leads to filled slots only");
        if (old.kind, old.set) != (kind, set) {
            self.kind_members[old.kind as usize].take_out(slot);
            self.sets.members[old.set as usize].take_out(slot);
            self.enter(slot, kind, set);
        }
        self.changes.push(id.clone(), ChangeKind::Replaced, generation);
        Ok(old.handle)
    }

    /// Takes an agent out, and answers with its handle.
    pub fn remove(&mut self, id: &AgentId) -> Option<H> {
        let hash = hash(id);
        let slot = self.find(hash, id)?;
        self.by_id.remove(hash, slot);
        let gone = self.slots[slot as usize].take().expect("the index leads to filled slots only");
        let slots = &self.slots;
        let is_alive = |slot: u32| slots[slot as usize].is_some();
        self.kind_members[gone.kind as usize].note_dead(is_alive);
        self.sets.members[gone.set as usize].note_dead(is_alive);
        self.changes.push(gone.id, ChangeKind::Removed, gone.generation);
        if self.slots.len() - self.by_id.len() > self.by_id.len().max(GAPS) {
            self.close_gaps();
        }
        Some(gone.handle)
    }

    /// Takes an agent out if it is still at this generation: word of an earlier one's death does not harm its successor.
    pub fn remove_generation(&mut self, id: &AgentId, generation: u64) -> Option<H> {
        (self.get(id)?.generation() == generation).then(|| self.remove(id))?
    }

    fn fill(&mut self, id: AgentId, generation: u64, profile: Profile, handle: H) -> Slot<H> {
        let (kind, is_new) = self.kinds.intern(&profile.kind);
        if is_new {
            self.kind_members.push(Members::default());
        }
        let mut capabilities = profile.capabilities;
        capabilities.sort_unstable();
        capabilities.dedup();
        let set = self.sets.intern(&capabilities);
        let location = profile.location.map_or(0, |text| self.locations.intern(&Arc::from(text)).0 + 1);
        let extra = (profile.name.is_some() || !profile.metadata.is_empty())
            .then(|| Box::new(Extra { name: profile.name, metadata: profile.metadata }));
        Slot { id, handle, extra, generation, kind, set, location }
    }

    fn enter(&mut self, slot: u32, kind: u32, set: u32) {
        self.kind_members[kind as usize].add(slot);
        self.sets.members[set as usize].add(slot);
    }

    /// Numbers the slots anew without gaps, and forgets the names that only gaps knew.
    fn close_gaps(&mut self) {
        let kinds = std::mem::take(&mut self.kinds);
        let sets = std::mem::take(&mut self.sets);
        let locations = std::mem::take(&mut self.locations);
        self.kind_members.clear();
        let old = std::mem::take(&mut self.slots);
        self.slots.reserve(self.by_id.len());
        self.by_id = Index::default();
        for mut filled in old.into_iter().flatten() {
            let slot = u32::try_from(self.slots.len()).expect("there were no fewer slots before");
            let (kind, is_new) = self.kinds.intern(kinds.value(filled.kind));
            if is_new {
                self.kind_members.push(Members::default());
            }
            filled.kind = kind;
            filled.set = self.sets.intern(sets.set(filled.set));
            if filled.location > 0 {
                filled.location = self.locations.intern(locations.value(filled.location - 1)).0 + 1;
            }
            self.enter(slot, filled.kind, filled.set);
            self.by_id.insert(hash(&filled.id), slot);
            self.slots.push(Some(filled));
        }
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

    /// All agents in the order of their registration.
    pub fn iter(&self) -> impl Iterator<Item = Member<'_, H>> {
        self.slots.iter().flatten().map(|slot| Member { roster: self, slot })
    }

    /// The agents of a kind in the order of their registration.
    pub fn of_kind(&self, kind: &Kind) -> impl Iterator<Item = Member<'_, H>> {
        let members = self.kinds.number(kind).map(|number| self.kind_members[number as usize].slots());
        self.members(members.unwrap_or_default())
    }

    /// The agents that offer all of these capabilities, in the order of their registration; all agents for none.
    pub fn with_all(&self, capabilities: &[Capability]) -> Vec<Member<'_, H>> {
        if capabilities.is_empty() {
            self.iter().collect()
        } else {
            self.merge(&self.sets.with_all(capabilities))
        }
    }

    /// The agents that offer at least one of these capabilities, in the order of their registration.
    pub fn with_any(&self, capabilities: &[Capability]) -> Vec<Member<'_, H>> {
        self.merge(&self.sets.with_any(capabilities))
    }

    fn members<'a>(&'a self, slots: &'a [u32]) -> impl Iterator<Item = Member<'a, H>> {
        let alive = slots.iter().filter_map(|slot| self.slots[*slot as usize].as_ref());
        alive.map(|slot| Member { roster: self, slot })
    }

    /// The members of these sets together. Nobody has two sets, and each set's members are sorted.
    fn merge(&self, sets: &[u32]) -> Vec<Member<'_, H>> {
        let slots = |set: &u32| self.sets.members[*set as usize].slots();
        if let [set] = sets {
            return self.members(slots(set)).collect();
        }
        let mut all: Vec<u32> = sets.iter().flat_map(slots).copied().collect();
        // A stable sort merges runs that are sorted already.
        #[expect(clippy::stable_sort_primitive, reason = "it merges sorted runs, the unstable one does not")]
        all.sort();
        let alive = all.iter().filter_map(|slot| self.slots[*slot as usize].as_ref());
        alive.map(|slot| Member { roster: self, slot }).collect()
    }

    /// The kinds of which there are agents, sorted, with their number.
    pub fn kinds(&self) -> Vec<(Kind, usize)> {
        let counts = self.kind_members.iter().map(Members::alive);
        let mut kinds: Vec<_> =
            self.kinds.values().iter().cloned().zip(counts).filter(|(_, count)| *count > 0).collect();
        kinds.sort_unstable();
        kinds
    }

    /// The capabilities that agents offer, sorted.
    pub fn capabilities(&self) -> Vec<Capability> {
        self.sets.capabilities()
    }

    /// How many agents there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no agent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many changes there have been.
    pub const fn revision(&self) -> u64 {
        self.changes.revision()
    }

    /// The changes after a revision, in order.
    ///
    /// # Errors
    /// [`ChangesError`] when they cannot all be told; read the roster again and go on from [`Roster::revision`].
    pub fn changes_since(&self, revision: u64) -> Result<impl Iterator<Item = &Change>, ChangesError> {
        self.changes.since(revision)
    }

    /// About how many bytes of memory the roster takes, without the texts of ids and names, metadata, what handles own
    /// elsewhere, and the change log.
    pub fn bytes(&self) -> usize {
        // An id's text is headed by two words.
        let ids = self.len() * 2 * size_of::<usize>();
        let kinds: usize = self.kind_members.iter().map(Members::bytes).sum();
        self.slots.capacity() * size_of::<Option<Slot<H>>>()
            + self.by_id.bytes()
            + ids
            + kinds
            + self.sets.bytes()
    }
}

/// An agent in a roster.
#[derive(Debug)]
pub struct Member<'a, H> {
    roster: &'a Roster<H>,
    slot: &'a Slot<H>,
}

impl<H> Clone for Member<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Member<'_, H> {}

impl<'a, H> Member<'a, H> {
    /// Its id.
    pub const fn id(&self) -> &'a AgentId {
        &self.slot.id
    }

    /// Which incarnation it is.
    pub const fn generation(&self) -> u64 {
        self.slot.generation
    }

    /// Its handle.
    pub const fn handle(&self) -> &'a H {
        &self.slot.handle
    }

    /// What sort of agent it is.
    pub fn kind(&self) -> &'a Kind {
        self.roster.kinds.value(self.slot.kind)
    }

    /// What it offers, sorted.
    pub fn capabilities(&self) -> &'a [Capability] {
        self.roster.sets.set(self.slot.set)
    }

    /// Where it lives.
    pub fn location(&self) -> Option<&'a str> {
        Some(&**self.roster.locations.value(self.slot.location.checked_sub(1)?))
    }

    /// Its name for people.
    pub fn name(&self) -> Option<&'a str> {
        self.slot.extra.as_ref()?.name.as_deref()
    }

    /// What else there is to know of it.
    pub fn metadata(&self) -> Option<&'a Map<String, Value>> {
        self.slot.extra.as_ref().map(|extra| &extra.metadata)
    }
}

#[cfg(test)]
mod tests;
