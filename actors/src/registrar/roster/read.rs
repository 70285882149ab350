//! What can be read of a [`Roster`], and a [`Member`] of it.

use serde_json::{Map, Value};

use super::{Roster, Slot};
use crate::{
    agent::{AgentId, Capability, Kind, Location, Tenant, Timestamp},
    registrar::{
        Change, ChangesError, Lookup,
        atlas::Atlas,
        facts::Facts,
        intern::Members,
        lookup::found,
        sets::{CapabilitySets, Wanted},
    },
};

impl<H: Clone> Roster<H> {
    /// All agents in the order of their registration.
    pub fn iter(&self) -> impl Iterator<Item = Member<'_, H>> {
        self.slots[self.first..].iter().flatten().map(|slot| Member { roster: self, slot })
    }

    /// The agents that a lookup is for, in the order of their registration.
    pub fn lookup<'a>(&'a self, lookup: &'a Lookup) -> impl Iterator<Item = Member<'a, H>> {
        found(self, lookup)
    }

    /// The agents of a kind in the order of their registration.
    pub fn of_kind(&self, kind: &Kind) -> impl Iterator<Item = Member<'_, H>> {
        let slots = self.kinds.of(kind).map(|(_, members)| members.slots());
        slots.unwrap_or_default().iter().filter_map(|slot| self.member(*slot))
    }

    /// The agents that offer all of these capabilities, in the order of their registration; all agents for none.
    pub fn with_all(&self, capabilities: &[Capability]) -> Vec<Member<'_, H>> {
        if capabilities.is_empty() {
            return self.iter().collect();
        }
        let wanted = Wanted { all_of: capabilities, any_of: &[] };
        self.sets.merged(wanted).filter_map(|slot| self.member(slot)).collect()
    }

    /// The agents that offer at least one of these capabilities, in the order of their registration.
    pub fn with_any(&self, capabilities: &[Capability]) -> Vec<Member<'_, H>> {
        let wanted = Wanted { all_of: &[], any_of: capabilities };
        self.sets.merged(wanted).filter_map(|slot| self.member(slot)).collect()
    }

    /// The kinds of which there are agents, sorted, with their number.
    pub fn kinds(&self) -> Vec<(Kind, usize)> {
        self.kinds.counts()
    }

    /// The tenants of whom there are agents, sorted, with their number.
    pub fn tenants(&self) -> Vec<(Tenant, usize)> {
        self.tenants.counts()
    }

    /// How many agents there are of a kind.
    pub fn count_of_kind(&self, kind: &Kind) -> usize {
        self.kinds.of(kind).map_or(0, |(_, members)| members.alive())
    }

    /// How many agents there are of a tenant.
    pub fn count_of_tenant(&self, tenant: &Tenant) -> usize {
        self.tenants.of(tenant).map_or(0, |(_, members)| members.alive())
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

    /// About how many bytes of memory the roster takes, without texts, what agents have of names and metadata, what handles own
    /// elsewhere, leases, and the change log.
    pub fn bytes(&self) -> usize {
        // An id's text is headed by two words.
        let ids = self.len() * 2 * size_of::<usize>();
        self.slots.capacity() * size_of::<Option<Slot<H>>>()
            + self.by_id.bytes()
            + ids
            + self.kinds.bytes()
            + self.tenants.bytes()
            + self.sets.bytes()
            + self.atlas.bytes()
            + self.facts.bytes()
    }
}

/// What readers next door need.
impl<H: Clone> Roster<H> {
    /// Who is in a slot.
    pub(in crate::registrar) fn member(&self, slot: u32) -> Option<Member<'_, H>> {
        let slot = self.slots[slot as usize].as_ref()?;
        Some(Member { roster: self, slot })
    }

    /// Those who are in so many slots from one on, and the slot after them unless it was the last.
    pub(in crate::registrar) fn slots(
        &self,
        from: usize,
        most: usize,
    ) -> (Option<usize>, impl Iterator<Item = Member<'_, H>>) {
        let end = from.saturating_add(most).min(self.slots.len());
        let some = self.slots[from.min(end)..end].iter().flatten();
        ((end < self.slots.len()).then_some(end), some.map(|slot| Member { roster: self, slot }))
    }

    /// Among which slots all agents are.
    pub(in crate::registrar) fn filled(&self) -> std::ops::Range<u32> {
        let first = u32::try_from(self.first).expect("there are no more");
        first..self.end()
    }

    /// How often slots were numbered anew.
    pub(in crate::registrar) const fn numbering(&self) -> u64 {
        self.numbering
    }

    pub(in crate::registrar) fn of(&self, kind: &Kind) -> Option<(u32, &Members)> {
        self.kinds.of(kind)
    }

    pub(in crate::registrar) fn of_tenant(&self, tenant: &Tenant) -> Option<(u32, &Members)> {
        self.tenants.of(tenant).map(|(number, members)| (number + 1, members))
    }

    pub(in crate::registrar) const fn sets(&self) -> &CapabilitySets {
        &self.sets
    }

    pub(in crate::registrar) const fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(in crate::registrar) const fn atlas(&self) -> &Atlas {
        &self.atlas
    }
}

/// An agent in a roster.
#[derive(Debug)]
pub struct Member<'a, H> {
    pub(super) roster: &'a Roster<H>,
    pub(super) slot: &'a Slot<H>,
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

    /// Which incarnation it is: the one that was registered, or the latest that renewed its lease.
    pub const fn generation(&self) -> u64 {
        self.slot.generation
    }

    /// Its handle.
    pub const fn handle(&self) -> &'a H {
        &self.slot.handle
    }

    /// What sort of agent it is.
    pub fn kind(&self) -> &'a Kind {
        self.roster.kinds.name(self.slot.kind)
    }

    /// Whom it works for.
    pub fn tenant(&self) -> Option<&'a Tenant> {
        Some(self.roster.tenants.name(self.slot.tenant.checked_sub(1)?))
    }

    /// What it offers, sorted.
    pub fn capabilities(&self) -> &'a [Capability] {
        self.roster.sets.set(self.slot.set)
    }

    /// Where it lives.
    pub fn location(&self) -> Option<&'a str> {
        Some(self.roster.atlas.text(self.slot.location.checked_sub(1)?))
    }

    /// Where it lives, if that is a place on Earth.
    pub fn place(&self) -> Option<Location> {
        self.roster.atlas.place(self.slot.location.checked_sub(1)?)
    }

    /// When it leaves unless its lease is renewed, if it has one.
    pub fn lease_ends(&self) -> Option<Timestamp> {
        self.roster.leases.ends(&self.slot.id)
    }

    /// The numbers of its kind and its tenant, and of its set of capabilities.
    pub(in crate::registrar) const fn numbers(&self) -> (u32, u32, u32) {
        (self.slot.kind, self.slot.tenant, self.slot.set)
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
