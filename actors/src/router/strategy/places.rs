//! [`Places`]: who is nearest to a point on Earth. Pure.
//!
//! Members at the same coordinates share a place. Places are points on the unit sphere in a k-d tree; the straight line
//! between two such points grows with the great circle between them, so the tree needs no trigonometry. What came since the
//! tree was built is in a short list beside it.
//!
//! **Cost.** A search takes O(log p) steps for p places, and one for each place that came since the tree was built, of which
//! there are O(sqrt p); a change takes O(sqrt p log p) on average. Places within the same kilometre are all looked at.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{chunked::Chunked, draw::Draw};
use crate::agent::{Location, Unit, chord_of, chord_squared};

/// The great-circle distance of two points \[km\].
pub(crate) fn distance_km(from: Location, to: Location) -> f64 {
    from.distance_m(to) / 1_000.0
}

#[derive(Debug, Clone)]
struct Place {
    at: Location,
    unit: Unit,
    members: Chunked<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    unit: Unit,
    place: u32,
}

/// Nodes in the order of an implicit tree: the middle of each range parts it along the axis of its depth.
#[derive(Debug, Default)]
struct Tree(Vec<Node>);

impl Tree {
    fn build(mut nodes: Vec<Node>) -> Self {
        fn part(nodes: &mut [Node], axis: usize) {
            if nodes.len() > 1 {
                let middle = nodes.len() / 2;
                let order =
                    |a: &Node, b: &Node| a.unit[axis].total_cmp(&b.unit[axis]).then(a.place.cmp(&b.place));
                nodes.select_nth_unstable_by(middle, order);
                let (low, high) = nodes.split_at_mut(middle);
                part(low, (axis + 1) % 3);
                part(&mut high[1..], (axis + 1) % 3);
            }
        }
        part(&mut nodes, 0);
        Self(nodes)
    }

    /// Shows places to `visit`, those nearer to `from` first; it answers how near a place must be to be of interest still.
    fn search(&self, from: &Unit, reach: f64, visit: &mut impl FnMut(u32, f64) -> f64) {
        fn look(
            nodes: &[Node],
            axis: usize,
            from: &Unit,
            reach: &mut f64,
            visit: &mut impl FnMut(u32, f64) -> f64,
        ) {
            let middle = nodes.len() / 2;
            let Some(node) = nodes.get(middle) else { return };
            let off = from[axis] - node.unit[axis];
            let (low, high) = (&nodes[..middle], &nodes[middle + 1..]);
            let (near, far) = if off < 0.0 { (low, high) } else { (high, low) };
            look(near, (axis + 1) % 3, from, reach, visit);
            let chord = chord_squared(from, &node.unit);
            if chord <= *reach {
                *reach = visit(node.place, chord);
            }
            if off.powi(2) <= *reach {
                look(far, (axis + 1) % 3, from, reach, visit);
            }
        }
        let mut reach = reach;
        look(&self.0, 0, from, &mut reach, visit);
    }
}

/// Who is where, as a decision sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    all: Chunked<Option<Place>>,
    tree: Arc<Tree>,
    recent: Vec<u32>,
    located: usize,
}

/// Two members of those that are nearest, which may be the same, and how far that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Nearest {
    pub(crate) members: [u32; 2],
    /// \[km\]
    pub(crate) km: f64,
    /// How many are within a kilometre of the nearest.
    pub(crate) tied: usize,
}

/// What is within so much of the nearest is as near \[km\].
const TIE_KM: f64 = 1.0;
/// How many members of a place are asked at most whether they can be chosen, before it is passed over.
const ASKED: usize = 64;

impl Places {
    fn place(&self, place: u32) -> &Place {
        self.all.get(place as usize).as_ref().expect("the tree and the list name places that are there")
    }

    fn search(&self, from: &Unit, reach: f64, mut visit: impl FnMut(u32, f64) -> f64) {
        let mut reach = reach;
        for place in &self.recent {
            let chord = chord_squared(from, &self.place(*place).unit);
            if chord <= reach {
                reach = visit(*place, chord);
            }
        }
        self.tree.search(from, reach, &mut visit);
    }

    /// How many members have a place.
    pub(crate) fn located(&self) -> usize {
        self.located
    }

    /// Two of the nearest that are usable, drawn at random.
    pub(crate) fn nearest(
        &self,
        from: Location,
        draw: &mut Draw,
        usable: &impl Fn(u32) -> bool,
    ) -> Option<Nearest> {
        let point = from.unit();
        let is_usable =
            |place: u32| self.place(place).members.iter().take(ASKED).any(|member| usable(*member));
        let mut best: Option<(u32, f64)> = None;
        self.search(&point, f64::INFINITY, |place, chord| {
            // Of those that are as near the first is taken, however the tree came about.
            let is_nearer =
                best.is_none_or(|(at, reach)| chord.total_cmp(&reach).then(place.cmp(&at)).is_lt());
            if is_nearer && is_usable(place) {
                best = Some((place, chord));
            }
            best.map_or(f64::INFINITY, |(_, chord)| chord)
        });
        let (nearest, _) = best?;
        let km = distance_km(from, self.place(nearest).at);
        let reach = chord_of(1_000.0 * (km + TIE_KM)).powi(2);
        let mut tied = 0;
        self.search(&point, reach, |place, _| {
            tied += self.place(place).members.len();
            reach
        });
        // By numbers and not by the order of the search, which depends on how the tree came about.
        let [mut first, mut second] = [draw.below(tied.max(1)), draw.below(tied.max(1))];
        if first == second && tied > 1 {
            second = (second + 1) % tied;
        }
        let mut members = [None; 2];
        self.search(&point, reach, |place, _| {
            let list = &self.place(place).members;
            for (chosen, at) in members.iter_mut().zip([&mut first, &mut second]) {
                if *at < list.len() && chosen.is_none() {
                    *chosen = Some(*list.get(*at));
                }
                *at = at.wrapping_sub(list.len());
            }
            reach
        });
        let fallback =
            || self.place(nearest).members.iter().take(ASKED).copied().find(|member| usable(*member));
        let fit = |member: Option<u32>| member.filter(|member| usable(*member)).or_else(fallback);
        let members = [fit(members[0])?, fit(members[1])?];
        Some(Nearest { members, km, tied })
    }
}

/// Where a member is in the tables: its place, and its position there.
pub(crate) type Seat = (u32, u32);

/// The places as they change.
#[derive(Default)]
pub(crate) struct PlacesEditor {
    pub(crate) shown: Places,
    index: FxHashMap<[u64; 2], u32>,
    free: Vec<u32>,
    vacant: Vec<u32>,
}

fn key(at: Location) -> [u64; 2] {
    // Adding zero makes minus zero zero.
    [(at.latitude + 0.0).to_bits(), (at.longitude + 0.0).to_bits()]
}

#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 agents")]
impl PlacesEditor {
    /// Puts a member to its place. One that is nowhere on Earth has none.
    pub(crate) fn join(&mut self, member: u32, at: Location) -> Option<Seat> {
        if !at.is_on_earth() {
            return None;
        }
        let known = self.index.get(&key(at)).copied();
        let place = known.unwrap_or_else(|| self.open(at));
        let members = &mut self.shown.all.get_mut(place as usize).as_mut().expect("it is open").members;
        members.push(member);
        let seat = (place, members.len() as u32 - 1);
        self.shown.located += 1;
        Some(seat)
    }

    fn open(&mut self, at: Location) -> u32 {
        let place = Some(Place { at, unit: at.unit(), members: Chunked::default() });
        let number = if let Some(number) = self.free.pop() {
            *self.shown.all.get_mut(number as usize) = place;
            number
        } else {
            self.shown.all.push(place);
            self.shown.all.len() as u32 - 1
        };
        self.index.insert(key(at), number);
        self.shown.recent.push(number);
        number
    }

    /// Takes a member away. Answers who has its seat now.
    pub(crate) fn leave(&mut self, (place, at): Seat) -> Option<u32> {
        let members = &mut self.shown.all.get_mut(place as usize).as_mut().expect("it is open").members;
        members.swap_remove(at as usize);
        let moved = ((at as usize) < members.len()).then(|| *members.get(at as usize));
        if members.len() == 0 {
            self.vacant.push(place);
        }
        self.shown.located -= 1;
        moved
    }

    /// Builds the tree anew when much has changed since.
    pub(crate) fn settle(&mut self) {
        let changes = self.shown.recent.len() + self.vacant.len();
        if changes.pow(2) <= 4 * self.shown.all.len().max(1_024) {
            return;
        }
        for place in std::mem::take(&mut self.vacant) {
            let held = self.shown.all.get_mut(place as usize);
            // It may have members again.
            if let Some(empty) = held.take_if(|held| held.members.len() == 0) {
                self.index.remove(&key(empty.at));
                self.free.push(place);
            }
        }
        let nodes = self.shown.all.iter().zip(0..);
        let nodes =
            nodes.filter_map(|(place, number)| Some(Node { unit: place.as_ref()?.unit, place: number }));
        self.shown.tree = Arc::new(Tree::build(nodes.collect()));
        self.shown.recent.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(latitude: f64, longitude: f64) -> Location {
        Location { latitude, longitude }
    }

    #[test]
    fn who_is_within_a_kilometre_of_the_nearest_is_as_near() {
        let mut places = PlacesEditor::default();
        for (member, longitude) in (0..).zip([10.0, 10.005, 10.02, 30.0]) {
            places.join(member, at(0.0, longitude)).unwrap();
        }
        let mut seen = [0; 4];
        for seed in 0..100 {
            let found = places.shown.nearest(at(0.0, 9.9), &mut Draw::of(seed), &|_| true).unwrap();
            assert_eq!(found.tied, 2);
            found.members.into_iter().for_each(|member| seen[member as usize] += 1);
        }
        assert!(seen[0] == 100 && seen[1] == 100 && seen[2] + seen[3] == 0, "{seen:?}");
    }

    fn place() -> impl Strategy<Value = Location> {
        // Few coordinates, so that places are shared, and the poles and the date line are among them.
        (-9_i32..=9, -18_i32..=18).prop_map(|(a, b)| at(f64::from(a) * 10.0, f64::from(b) * 10.0))
    }

    proptest! {
        #[test]
        fn the_nearest_is_found_as_by_looking_at_all(
            steps in prop::collection::vec((prop::bool::weighted(0.7), place(), any::<usize>()), 1..400),
            from in place(), seed in any::<u64>(),
        ) {
            let mut places = PlacesEditor::default();
            let mut model: Vec<(u32, Location, Seat)> = Vec::new();
            for (number, (joins, location, which)) in (0..).zip(steps) {
                if joins || model.is_empty() {
                    model.push((number, location, places.join(number, location).unwrap()));
                } else {
                    let (_, _, seat) = model.swap_remove(which % model.len());
                    if let Some(moved) = places.leave(seat) {
                        model.iter_mut().find(|(member, ..)| *member == moved).unwrap().2 = seat;
                    }
                }
                places.settle();
            }
            let usable = |member: u32| !member.is_multiple_of(5);
            let distance = |location| distance_km(from, location);
            let least = model.iter().filter(|(member, ..)| usable(*member)).map(|(_, at, _)| distance(*at));
            let least = least.min_by(f64::total_cmp);
            let found = places.shown.nearest(from, &mut Draw::of(seed), &usable);
            prop_assert_eq!(found.is_some(), least.is_some());
            prop_assert_eq!(places.shown.located(), model.len());
            if let (Some(found), Some(least)) = (found, least) {
                prop_assert!((found.km - least).abs() < 0.001, "{:?} but {}", found, least);
                for chosen in found.members {
                    let (_, location, _) = model.iter().find(|(member, ..)| *member == chosen).unwrap();
                    prop_assert!(usable(chosen) && distance(*location) <= least + TIE_KM);
                }
            }
        }
    }
}
