//! [`Atlas`]: where agents live, by the text of their location, and by circles on Earth where the text is a place.
//!
//! Places are points of the unit sphere in an R*-tree (N. Beckmann et al., "The R*-tree", SIGMOD 1990), so the date line and
//! the poles are like anywhere else. Agents at the same text share a place.
//!
//! **Cost.** A text takes about 100 bytes and its own length, a place about 60 more; an agent with a location 4 bytes, or
//! none where it is the only one there. A search takes O(log p) steps for p places, and one for each place that it finds.
//!
//! **Invariant.** The tree holds just the places at which somebody lives.

use std::sync::Arc;

use rstar::{RTree, primitives::GeomWithData};

use super::intern::{Interner, Posting};
use crate::agent::{Circle, Location, Unit};

#[derive(Debug)]
struct Spot {
    at: Location,
    members: Posting,
}

type Leaf = GeomWithData<Unit, u32>;

/// Where agents live.
#[derive(Debug, Default)]
pub(super) struct Atlas {
    texts: Interner<Arc<str>>,
    /// For each text, if it is a place.
    spots: Vec<Option<Spot>>,
    tree: RTree<Leaf>,
}

impl Atlas {
    /// The number of a location.
    pub(super) fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.texts.number_of(text) {
            return number;
        }
        let spot = text.parse().ok().map(|at| Spot { at, members: Posting::None });
        self.spots.push(spot);
        self.texts.intern(&Arc::from(text)).0
    }

    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.value(number)
    }

    /// Where a location is, if it is a place.
    pub(super) fn place(&self, number: u32) -> Option<Location> {
        Some(self.spots[number as usize].as_ref()?.at)
    }

    pub(super) fn enter(&mut self, number: u32, slot: u32) {
        if let Some(spot) = &mut self.spots[number as usize] {
            if spot.members.is_empty() {
                self.tree.insert(Leaf::new(spot.at.unit(), number));
            }
            spot.members.add(slot);
        }
    }

    /// Notes that a slot at this location died.
    pub(super) fn note_dead(&mut self, number: u32, is_alive: impl Fn(u32) -> bool) {
        if let Some(spot) = &mut self.spots[number as usize] {
            spot.members.note_dead(is_alive);
            if spot.members.is_empty() {
                self.tree.remove(&Leaf::new(spot.at.unit(), number));
            }
        }
    }

    /// Puts the members of all places in at once: for each slot, rising, the number of its location.
    pub(super) fn fill(&mut self, located: impl IntoIterator<Item = (u32, u32)>) {
        for (slot, number) in located {
            if let Some(spot) = &mut self.spots[number as usize] {
                spot.members.add(slot);
            }
        }
        let spots = self.spots.iter().zip(0..).filter_map(|(spot, number)| Some((spot.as_ref()?, number)));
        let lived_at = spots.filter(|(spot, _)| !spot.members.is_empty());
        let leaves = lived_at.map(|(spot, number)| Leaf::new(spot.at.unit(), number));
        self.tree = RTree::bulk_load(leaves.collect());
    }

    /// The slots at each place within a circle, rising for each; none if there are more than `most` places.
    pub(super) fn within(&self, circle: &Circle, most: usize) -> Option<Vec<&[u32]>> {
        let mut found = Vec::new();
        for (seen, leaf) in
            self.tree.locate_within_distance(circle.centre().unit(), circle.reach()).enumerate()
        {
            if seen == most {
                return None;
            }
            let spot = self.spots[leaf.data as usize].as_ref().expect("leaves are of places");
            if circle.holds(spot.at) {
                found.push(spot.members.slots());
            }
        }
        Some(found)
    }

    /// At how many places somebody lives.
    #[cfg(test)]
    pub(super) fn lived_at(&self) -> usize {
        self.tree.size()
    }

    /// About how much memory it takes, in bytes, without the texts themselves.
    pub(super) fn bytes(&self) -> usize {
        // Leaves have room for one more than half on average; a text is headed by two words.
        let tree = self.tree.size() * size_of::<Leaf>() * 3 / 2;
        let spots = self.spots.capacity() * size_of::<Option<Spot>>();
        let members = self.spots.iter().flatten().map(|spot| spot.members.bytes()).sum::<usize>();
        self.texts.bytes() + self.texts.values().len() * 2 * size_of::<usize>() + tree + spots + members
    }
}
