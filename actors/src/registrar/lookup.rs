//! [`Found`]: the agents that a [`Lookup`] is for, in the order of registration, one by one.
//!
//! ```text
//! kind, tenant, metadata ──> the list of those who have it ┐
//! capabilities ──────> the sets that fit, their slots merged ├─ the shortest is walked ──> the others are asked of each ──> limit
//! circle ────────> the places within it, their slots merged ┘
//! ```
//!
//! **Cost.** A lookup visits the agents of its rarest criterion up to the last that it finds, so one for the first few who
//! offer something takes less than a microsecond among a million; each set of capabilities on the way has to be looked at, and
//! where something else is said, some to guess, which takes microseconds. How rare sets of capabilities are is guessed from some of them. The places of a circle
//! are all visited, unless that is more than the square root of the limit times the agents: by then it is cheaper to ask
//! agents in order until enough are found.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    ops::Range,
    slice,
};

use rustc_hash::FxHashMap;
use serde_json::Value;

use super::{
    message::Lookup,
    roster::{Member, Roster},
    sets::{Merged, Wanted},
};
use crate::agent::Circle;

/// Up to so many agents are rather asked where they are than looked for on the map.
const FEW: usize = if cfg!(test) { 1 } else { 64 };
/// So many places of a circle are visited in any case.
const PLACES: usize = if cfg!(test) { 2 } else { 1_024 };

/// The slots that are walked.
enum Source<'a> {
    None,
    All(Range<u32>),
    List(slice::Iter<'a, u32>),
    Sets(Merged<'a>),
    Places(Places<'a>),
}

/// The slots of several places in one rising order.
struct Places<'a>(BinaryHeap<Reverse<(u32, usize)>>, Vec<&'a [u32]>);

impl<'a> Places<'a> {
    fn new(places: Vec<&'a [u32]>) -> Self {
        let firsts = places.iter().zip(0..).filter_map(|(place, at)| Some(Reverse((*place.first()?, at))));
        Self(firsts.collect(), places)
    }
}

impl Iterator for Places<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let mut top = self.0.peek_mut()?;
        let Reverse((slot, at)) = *top;
        self.1[at] = &self.1[at][1..];
        match self.1[at].first() {
            Some(next) => *top = Reverse((*next, at)),
            None => _ = PeekMut::pop(top),
        }
        Some(slot)
    }
}

impl Iterator for Source<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Source::None => None,
            Source::All(all) => all.next(),
            Source::List(list) => list.next().copied(),
            Source::Sets(sets) => sets.next(),
            Source::Places(places) => places.next(),
        }
    }
}

/// What is asked of each agent that is walked by.
struct Asked<'a> {
    kind: Option<u32>,
    tenant: Option<u32>,
    wanted: Option<Wanted<'a>>,
    circle: Option<&'a Circle>,
    metadata: &'a [(String, Value)],
    /// Which sets fit, as far as they came up.
    fitting: RefCell<FxHashMap<u32, bool>>,
}

/// The agents that a lookup is for.
pub(super) struct Found<'a, H> {
    roster: &'a Roster<H>,
    source: Source<'a>,
    asked: Asked<'a>,
    left: usize,
}

impl<'a, H: Clone> Iterator for Found<'a, H> {
    type Item = Member<'a, H>;

    fn next(&mut self) -> Option<Member<'a, H>> {
        self.left = self.left.checked_sub(1)?;
        loop {
            let slot = self.source.next()?;
            if let Some(member) =
                self.roster.member(slot).filter(|member| self.asked.fits(self.roster, member))
            {
                return Some(member);
            }
        }
    }
}

impl Asked<'_> {
    fn fits<H: Clone>(&self, roster: &Roster<H>, member: &Member<'_, H>) -> bool {
        let (kind, tenant, set) = member.numbers();
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.tenant.is_none_or(|wanted| wanted == tenant)
            && self.wanted.is_none_or(|wanted| {
                let mut fitting = self.fitting.borrow_mut();
                *fitting.entry(set).or_insert_with(|| wanted.fits(roster.sets().set(set)))
            })
            && self
                .metadata
                .iter()
                .all(|(key, value)| member.metadata().and_then(|metadata| metadata.get(key)) == Some(value))
            && self.circle.is_none_or(|circle| member.place().is_some_and(|place| circle.holds(place)))
    }
}

/// The agents that a lookup is for, in the order of registration.
pub(super) fn found<'a, H: Clone>(roster: &'a Roster<H>, lookup: &'a Lookup) -> Found<'a, H> {
    let (source, asked) = plan(roster, lookup).unwrap_or((Source::None, Asked::nothing()));
    Found { roster, source, asked, left: lookup.limit.unwrap_or(usize::MAX) }
}

impl Asked<'_> {
    fn nothing() -> Self {
        Self {
            kind: None,
            tenant: None,
            wanted: None,
            circle: None,
            metadata: &[],
            fitting: RefCell::default(),
        }
    }
}

/// Which slots are walked, and what is asked of each. None when nobody can fit.
fn plan<'a, H: Clone>(roster: &'a Roster<H>, lookup: &'a Lookup) -> Option<(Source<'a>, Asked<'a>)> {
    let slots = roster.filled();
    let mut asked = Asked { circle: lookup.within.as_ref(), metadata: &lookup.metadata, ..Asked::nothing() };
    let mut lists: Vec<&'a [u32]> = Vec::new();
    if let Some(kind) = &lookup.kind {
        let (number, members) = roster.of(kind)?;
        asked.kind = Some(number);
        lists.push(members.slots());
    }
    if let Some(tenant) = &lookup.tenant {
        let (number, members) = roster.of_tenant(tenant)?;
        asked.tenant = Some(number);
        lists.push(members.slots());
    }
    lists.extend(lookup.metadata.iter().map(|(key, value)| roster.facts().slots(key, value)));
    let shortest = lists.into_iter().min_by_key(|list| list.len());
    let mut best = shortest.map_or(slots.len(), <[u32]>::len);
    let mut source = shortest.map_or(Source::All(slots), |list| Source::List(list.iter()));
    let wanted = Wanted { all_of: &lookup.all_of, any_of: &lookup.any_of };
    if !wanted.is_any() {
        // What needs no choice needs no guess.
        let is_alone = shortest.is_none() && lookup.within.is_none();
        let guess = if is_alone { 0 } else { roster.sets().guess(wanted) };
        if is_alone || guess < best {
            source = Source::Sets(roster.sets().merged(wanted));
            best = guess;
        } else {
            asked.wanted = Some(wanted);
        }
    }
    if let Some(circle) = lookup.within.as_ref().filter(|_| best > FEW) {
        let most =
            lookup.limit.map_or(best, |limit| limit.saturating_mul(best).isqrt().max(PLACES).min(best));
        let places = roster.atlas().within(circle, most);
        if let Some(places) =
            places.filter(|places| places.iter().map(|place| place.len()).sum::<usize>() < best)
        {
            source = Source::Places(Places::new(places));
            asked.circle = None;
            asked.wanted = Some(wanted).filter(|wanted| !wanted.is_any());
        }
    }
    Some((source, asked))
}
