//! How agents come into a roster: their profiles taken apart, their parts interned.

use std::sync::Arc;

use super::{Extra, Member, Roster, Slot};
use crate::{
    agent::AgentId,
    registrar::{
        changes::ChangeKind,
        index::hash,
        profile::{Profile, RosterError},
    },
};

/// Where the parts of a profile stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    kind: u32,
    set: u32,
    location: u32,
    tenant: u32,
}

impl<H> Slot<H> {
    pub(super) fn new(
        id: AgentId,
        generation: u64,
        handle: H,
        parts: Parts,
        extra: Option<Box<Extra>>,
    ) -> Self {
        let Parts { kind, set, location, tenant } = parts;
        Self { id, handle, extra, generation, kind, set, location, tenant }
    }
}

/// What a profile says beyond what is interned.
fn extra_of(profile: &Profile) -> Option<Box<Extra>> {
    let has_extra = profile.name.is_some() || !profile.metadata.is_empty();
    has_extra.then(|| Box::new(Extra { name: profile.name.clone(), metadata: profile.metadata.clone() }))
}

impl<H: Clone> Roster<H> {
    /// Adds an agent as [`Roster::insert`] does. It is quick when the profile was shared by one of
    /// the last insertions.
    ///
    /// # Errors
    /// As [`Roster::insert`].
    pub fn insert_shared(
        &mut self,
        id: AgentId,
        generation: u64,
        profile: &Arc<Profile>,
        handle: H,
    ) -> Result<u64, RosterError> {
        self.insert_filled(id, generation, handle, |roster| {
            if let Some(parts) = roster.recent.get(profile) {
                return (*parts, extra_of(profile));
            }
            let (parts, extra) = roster.fill(Profile::clone(profile));
            roster.recent.note(profile, parts);
            (parts, extra)
        })
    }

    pub(super) fn insert_filled(
        &mut self,
        id: AgentId,
        generation: u64,
        handle: H,
        fill: impl FnOnce(&mut Self) -> (Parts, Option<Box<Extra>>),
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
        let (parts, extra) = fill(self);
        let filled = Slot::new(id.clone(), generation, handle, parts, extra);
        self.enter(slot, &filled);
        self.slots.push(Some(filled));
        self.by_id.insert(hash, slot);
        Ok(self.changes.push(id, ChangeKind::Inserted, generation))
    }

    pub(super) fn fill(&mut self, profile: Profile) -> (Parts, Option<Box<Extra>>) {
        let extra = extra_of(&profile);
        let kind = self.kinds.intern(&profile.kind);
        let mut capabilities = profile.capabilities;
        capabilities.sort_unstable();
        capabilities.dedup();
        let set = self.sets.intern(&capabilities, self.end());
        let location = profile.location.map_or(0, |text| self.atlas.intern(&text) + 1);
        let tenant = profile.tenant.map_or(0, |tenant| self.tenants.intern(&tenant) + 1);
        (Parts { kind, set, location, tenant }, extra)
    }
}
