//! [`Members`]: the agents that may be routed to, found by id, by what they are, and in the order of joining. Pure.
//!
//! ```text
//! id ──hash──> slot ──> member ──> class: kind, groups, capabilities ──> the routes that all of its members are on
//!                                    ^
//! selector ──> classes ──────────────┘
//! ```
//!
//! Agents that are the same to every selector but lists of ids and topics form a class, however many they are: so an agent
//! joins and leaves in constant time, and a look-up visits only those it finds.
//!
//! **Invariant.** Each member is in one class, which has its kind, groups and capabilities; no class is empty. A class is on
//! a route when one of its selectors is part of the route's.

use std::{
    hash::BuildHasher,
    ops::{Index, Range},
    sync::Arc,
};

use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashMap};
use slab::Slab;

use super::{Selector, chunked::Number};
use crate::{
    agent::{AgentId, Listing},
    inbox::AgentHandle,
    support::Recent,
};

/// An agent, and what the tables know of it.
pub(crate) struct Member {
    pub(crate) agent: AgentHandle,
    /// The first of its subscriptions.
    pub(super) first: u32,
    class: u32,
    place: u32,
    /// When it joined.
    pub(crate) number: Number,
    arbiter: u16,
}

impl Member {
    /// The position of its arbiter among those of the host.
    pub(crate) fn arbiter(&self) -> usize {
        usize::from(self.arbiter)
    }
}

/// Agents of the same kind, groups and capabilities.
struct Class {
    /// That of the member that came last.
    listing: Arc<Listing>,
    members: Vec<u32>,
    /// The routes that its members are on for what they are.
    entries: Vec<u32>,
}

/// What is known of a selector that an agent fits by what it is.
#[derive(Default)]
struct Trait {
    classes: Vec<u32>,
    entries: Vec<u32>,
}

/// The agents that may be routed to.
#[derive(Default)]
pub(crate) struct Members {
    slots: Slab<Member>,
    /// The slot of each id, with a part of its hash.
    ids: HashTable<(u32, u32)>,
    classes: Slab<Class>,
    by_listing: HashTable<u32>,
    by_trait: FxHashMap<Selector, Trait>,
    /// The class of shared listings, and how many classes had been forgotten when it was looked up.
    recent: Recent<Listing, (u32, u64)>,
    forgotten: u64,
}

pub(super) fn slot_of(at: usize) -> u32 {
    u32::try_from(at).expect("memory ends before numbers do")
}

/// The part of an id's hash that is kept.
#[expect(clippy::cast_possible_truncation, reason = "a part of a hash")]
fn hash_of(id: &AgentId) -> u32 {
    FxBuildHasher.hash_one(id.as_str()) as u32
}

/// Spreads what is kept of a hash over all bits, as the table wants it.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn listing_hash(listing: &Listing) -> u64 {
    FxBuildHasher.hash_one((&listing.kind, &listing.groups, &listing.capabilities))
}

fn is_alike(one: &Listing, other: &Listing) -> bool {
    one.kind == other.kind && one.groups == other.groups && one.capabilities == other.capabilities
}

fn traits(listing: &Listing) -> impl Iterator<Item = Selector> {
    let groups = listing.groups.iter().cloned().map(Selector::Group);
    let capabilities = listing.capabilities.iter().cloned().map(Selector::Capability);
    [Selector::Everyone, Selector::Kind(listing.kind.clone())].into_iter().chain(groups).chain(capabilities)
}

/// Takes a number out of a list of few.
pub(super) fn take_out(list: &mut Vec<u32>, number: u32) {
    if let Some(at) = list.iter().position(|held| *held == number) {
        list.swap_remove(at);
    }
    if list.len() * 4 < list.capacity() {
        list.shrink_to(list.len() * 2);
    }
}

impl Index<u32> for Members {
    type Output = Member;

    fn index(&self, slot: u32) -> &Member {
        &self.slots[slot as usize]
    }
}

impl Members {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The slot of the agent of this id.
    pub(crate) fn find(&self, id: &AgentId) -> Option<u32> {
        let hash = hash_of(id);
        let is_it = |held: &(u32, u32)| held.0 == hash && self[held.1].agent.id() == id;
        self.ids.find(spread(hash), is_it).map(|held| held.1)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Member {
        &mut self.slots[slot as usize]
    }

    /// Takes in an agent whose id is not known; its slot.
    pub(crate) fn insert(&mut self, agent: AgentHandle, arbiter: usize, number: Number, first: u32) -> u32 {
        let hash = hash_of(agent.id());
        let class = self.class_of(agent.listing());
        let slot = slot_of(self.slots.vacant_key());
        let members = &mut self.classes[class as usize].members;
        let place = slot_of(members.len());
        members.push(slot);
        let arbiter = u16::try_from(arbiter).expect("there are few arbiters");
        self.slots.insert(Member { agent, first, class, place, number, arbiter });
        self.ids.insert_unique(spread(hash), (hash, slot), |held| spread(held.0));
        slot
    }

    /// Takes an agent out.
    pub(crate) fn remove(&mut self, slot: u32) -> Member {
        let member = self.slots.remove(slot as usize);
        let hash = hash_of(member.agent.id());
        if let Ok(held) = self.ids.find_entry(spread(hash), |held| held.1 == slot) {
            held.remove();
        }
        if self.ids.len() * 8 < self.ids.capacity() {
            self.ids.shrink_to(self.ids.len() * 2, |held| spread(held.0));
        }
        let members = &mut self.classes[member.class as usize].members;
        members.swap_remove(member.place as usize);
        if let Some(moved) = members.get(member.place as usize) {
            self.slots[*moved as usize].place = member.place;
        } else if members.is_empty() {
            self.forget_class(member.class);
        }
        member
    }

    /// The class of agents that say this of themselves.
    fn class_of(&mut self, listing: &Arc<Listing>) -> u32 {
        if let Some((class, forgotten)) = self.recent.get(listing)
            && *forgotten == self.forgotten
        {
            return *class;
        }
        let hash = listing_hash(listing);
        let classes = &self.classes;
        let known =
            self.by_listing.find(hash, |class| is_alike(&classes[*class as usize].listing, listing)).copied();
        let class = known.unwrap_or_else(|| self.new_class(hash, listing));
        self.classes[class as usize].listing = listing.clone();
        self.recent.note(listing, (class, self.forgotten));
        class
    }

    fn new_class(&mut self, hash: u64, listing: &Arc<Listing>) -> u32 {
        let class = slot_of(self.classes.vacant_key());
        let mut entries = Vec::new();
        for held in traits(listing) {
            let held = self.by_trait.entry(held).or_default();
            held.classes.push(class);
            entries.extend(&held.entries);
        }
        entries.sort_unstable();
        entries.dedup();
        self.classes.insert(Class { listing: listing.clone(), members: Vec::new(), entries });
        let classes = &self.classes;
        self.by_listing.insert_unique(hash, class, |class| listing_hash(&classes[*class as usize].listing));
        class
    }

    fn forget_class(&mut self, class: u32) {
        let Class { listing, .. } = self.classes.remove(class as usize);
        self.forgotten += 1;
        if let Ok(held) = self.by_listing.find_entry(listing_hash(&listing), |held| *held == class) {
            held.remove();
        }
        for held in traits(&listing) {
            self.change_trait(held, |held| take_out(&mut held.classes, class));
        }
    }

    /// Changes what is known of a selector, which is forgotten when nothing is.
    fn change_trait(&mut self, selector: Selector, change: impl FnOnce(&mut Trait)) {
        let held = self.by_trait.entry(selector.clone()).or_default();
        change(held);
        if held.classes.is_empty() && held.entries.is_empty() {
            self.by_trait.remove(&selector);
        }
    }

    /// The routes that a member is on for what it is.
    pub(crate) fn entries_of(&self, slot: u32) -> &[u32] {
        &self.classes[self[slot].class as usize].entries
    }

    /// Notes a route that a selector is part of.
    pub(crate) fn open(&mut self, part: &Selector, entry: u32) {
        let held = self.by_trait.entry(part.clone()).or_default();
        held.entries.push(entry);
        for class in &held.classes {
            let entries = &mut self.classes[*class as usize].entries;
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
    }

    /// Forgets a route that a selector is part of.
    pub(crate) fn close(&mut self, part: &Selector, entry: u32) {
        for class in self.by_trait.get(part).into_iter().flat_map(|held| &held.classes) {
            take_out(&mut self.classes[*class as usize].entries, entry);
        }
        self.change_trait(part.clone(), |held| take_out(&mut held.entries, entry));
    }

    /// Those that a selector leads to for what they are, in no order.
    pub(crate) fn fitting(&self, part: &Selector) -> impl Iterator<Item = u32> {
        let classes = self.by_trait.get(part).into_iter().flat_map(|held| &held.classes);
        classes.flat_map(|class| self.classes[*class as usize].members.iter().copied())
    }

    /// All, in the order of joining.
    pub(crate) fn in_order(&self) -> Vec<u32> {
        let mut slots: Vec<_> = self.slots.iter().map(|(at, member)| (member.number, slot_of(at))).collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| slot).collect()
    }

    /// The agents in these slots; `None` behind the last slot.
    pub(crate) fn some(&self, slots: Range<usize>) -> Option<Vec<AgentHandle>> {
        let agent = |slot| Some(self.slots.get(slot)?.agent.clone());
        (slots.start < self.slots.capacity()).then(|| slots.filter_map(agent).collect())
    }

    /// Whether ids, classes and selectors agree; says what does not.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let mut in_classes = 0;
        for (at, class) in &self.classes {
            if class.members.is_empty() {
                return Err(format!("a class of kind {} is empty", class.listing.kind));
            }
            in_classes += class.members.len();
            let mut entries: Vec<u32> = Vec::new();
            for held in traits(&class.listing) {
                let Some(known) = self.by_trait.get(&held).filter(|held| held.classes.contains(&slot_of(at)))
                else {
                    return Err(format!("{held} does not know a class of kind {}", class.listing.kind));
                };
                entries.extend(&known.entries);
            }
            entries.sort_unstable();
            entries.dedup();
            let mut held = class.entries.clone();
            held.sort_unstable();
            if held != entries {
                return Err(format!(
                    "the class of kind {} is on {held:?}, not {entries:?}",
                    class.listing.kind
                ));
            }
        }
        for (at, member) in &self.slots {
            let class = &self.classes[member.class as usize];
            let is_there = class.members.get(member.place as usize) == Some(&slot_of(at));
            if self.find(member.agent.id()) != Some(slot_of(at))
                || !is_there
                || !is_alike(&class.listing, member.agent.listing())
            {
                return Err(format!("agent {} is not found where it is", member.agent.id()));
            }
        }
        if (self.slots.len(), self.ids.len()) == (in_classes, in_classes) {
            Ok(())
        } else {
            Err(format!("{} members, {in_classes} in classes, {} ids", self.slots.len(), self.ids.len()))
        }
    }
}
