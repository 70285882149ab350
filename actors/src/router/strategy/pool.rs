//! [`Pool`]: those on a route of whom one can be chosen, and how it is chosen.
//!
//! **Invariant.** Whoever is on the route is in its pool once, in the class of its priority, at its place, and in a bucket of
//! its own. Decisions look at a few of them, however many there are, unless most of those they meet cannot be chosen.

use std::{
    any::Any,
    cell::Cell,
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustc_hash::FxHashMap;

use super::{
    AdaptiveOptions, Draws, Load, Strategy, Why,
    chunked::Chunked,
    draw::{Draw, mix},
    memento::Memento,
    places::{Places, PlacesEditor, Seat},
    standing::{Look, Standing, Verdict},
};
use crate::{
    agent::{AgentId, Location, Priority},
    inbox::AgentHandle,
    router::predicate::Predicate,
};

/// One member of a pool.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) agent: AgentHandle,
    /// What it wants of the route; everything, when there is none.
    tests: Option<Arc<[Predicate]>>,
    priority: Priority,
    bucket: u32,
    /// Its position among those of its priority.
    at_class: u32,
    seat: Option<Seat>,
    standing: Arc<Mutex<Standing>>,
}

impl Spot {
    #[inline]
    fn load(&self) -> Load {
        let door = &self.agent.door;
        Load { depth: door.occupied(), took_us: door.gauge().took_us() }
    }

    fn look(&self, now: u64, median_us: f32) -> Look {
        let gauge = self.agent.door.gauge();
        let (handled, failed) = gauge.counts();
        Look { now, latency_us: gauge.latency_us(), median_us, handled, failed }
    }
}

/// Those of whom one can be chosen, as a decision sees them. Members are known by their buckets, which they keep.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    spots: Chunked<Spot>,
    /// Where the member of each bucket is among the spots; of no meaning where there is none.
    at: Chunked<u32>,
    keys: Memento,
    classes: [Chunked<u32>; Priority::ALL.len()],
    places: Places,
}

/// What one decision is asked.
pub(crate) struct Question<'a> {
    pub(crate) strategy: Strategy,
    pub(crate) key: u64,
    pub(crate) point: Option<Location>,
    pub(crate) message: &'a dyn Any,
    /// The buckets of those that refused already.
    pub(crate) refused: &'a [u32],
    /// \[us\]
    pub(crate) now: u64,
}

/// What was decided.
pub(crate) struct Choice<'a> {
    pub(crate) spot: &'a Spot,
    pub(crate) why: Why,
}

impl Choice<'_> {
    pub(crate) fn bucket(&self) -> u32 {
        self.spot.bucket
    }
}

/// How often a candidate is drawn before all are gone through one by one.
const DRAWN: usize = 8;
/// One decision by load in so many is left to chance, so that an agent that was slow once is measured again.
const EXPLORE: usize = 64;
/// Of how many agents the median is taken.
const SURVEYED: usize = 33;
/// One decision in so many takes the median anew.
const SURVEY: u32 = 64;

fn class(priority: Priority) -> usize {
    Priority::ALL.len() - priority as usize
}

impl Pool {
    pub(crate) fn len(&self) -> usize {
        self.spots.len()
    }

    /// Whether none of them takes messages.
    pub(crate) fn is_closed(&self) -> bool {
        !self.spots.iter().any(|spot| spot.agent.door.is_open())
    }

    fn spot(&self, bucket: u32) -> &Spot {
        self.spots.get(*self.at.get(bucket as usize) as usize)
    }

    /// One of them, or nobody when none can be chosen.
    pub(crate) fn choose(&self, one: &OneOfMany, ask: &Question<'_>) -> Option<Choice<'_>> {
        if self.len() == 0 {
            return None;
        }
        let mut draw = one.draws.next();
        let usable = |spot: &Spot| {
            spot.agent.door.is_open()
                && !ask.refused.contains(&spot.bucket)
                && spot.tests.as_ref().is_none_or(|tests| tests.iter().any(|test| test.passes(ask.message)))
        };
        match ask.strategy {
            Strategy::RoundRobin => self.in_turn(one, &usable),
            Strategy::PriorityBased => self.by_priority(&mut draw, &usable),
            Strategy::LoadBalanced => self.by_load(&mut draw, &usable),
            Strategy::Geographic => {
                let nearest = ask.point.and_then(|point| self.nearest(point, &mut draw, &usable));
                nearest.or_else(|| self.by_load(&mut draw, &usable))
            }
            Strategy::Consistent => self.by_key(ask.key, &usable),
            Strategy::Adaptive => {
                let adapted = self.adapting(one, ask.now, &mut draw, &usable);
                // When all are shed, the best of them is better than nobody.
                adapted.or_else(|| self.by_load(&mut draw, &usable))
            }
        }
    }

    fn in_turn(&self, one: &OneOfMany, usable: &impl Fn(&Spot) -> bool) -> Option<Choice<'_>> {
        // One that is passed over uses its turn up, or whoever follows it would get twice as much.
        let spots = (0..self.len()).map(|_| self.spots.get(one.turn.fetch_add(1, Relaxed) % self.len()));
        let spot = spots.into_iter().find(|spot| usable(spot))?;
        Some(Choice { spot, why: Why::Turn { of: self.len() } })
    }

    /// Up to two of `count` that are usable, drawn at random.
    fn two<'a>(
        count: usize,
        nth: impl Fn(usize) -> &'a Spot,
        draw: &mut Draw,
        usable: &impl Fn(&Spot) -> bool,
    ) -> Option<(&'a Spot, Option<&'a Spot>)> {
        if count == 0 {
            return None;
        }
        let mut found: Option<&Spot> = None;
        if count > 1 {
            let (first, second) = draw.two_below(count);
            for at in [first, second].into_iter().chain((2..DRAWN).map(|_| draw.below(count))) {
                let spot = nth(at);
                if found.is_none_or(|found| found.bucket != spot.bucket) && usable(spot) {
                    match found {
                        None => found = Some(spot),
                        Some(found) => return Some((found, Some(spot))),
                    }
                }
            }
        }
        if found.is_none() {
            let start = draw.below(count);
            found = (0..count).map(|step| nth((start + step) % count)).find(|spot| usable(spot));
        }
        found.map(|found| (found, None))
    }

    /// The one of two with less to do; now and then the first, whatever it has to do.
    fn lighter<'a>(
        (first, second): (&'a Spot, Option<&'a Spot>),
        draw: &mut Draw,
    ) -> (&'a Spot, usize, Load) {
        let load = first.load();
        let Some(second) = second.filter(|_| draw.below(EXPLORE) > 0) else { return (first, 1, load) };
        let other = second.load();
        if other.is_below(load) { (second, 2, other) } else { (first, 2, load) }
    }

    fn by_load(&self, draw: &mut Draw, usable: &impl Fn(&Spot) -> bool) -> Option<Choice<'_>> {
        let of = self.len();
        let two = Self::two(of, |at| self.spots.get(at), draw, usable)?;
        let (spot, compared, load) = Self::lighter(two, draw);
        Some(Choice { spot, why: Why::Load { compared, of, load } })
    }

    fn by_priority(&self, draw: &mut Draw, usable: &impl Fn(&Spot) -> bool) -> Option<Choice<'_>> {
        self.classes.iter().zip(Priority::ALL).find_map(|(class, priority)| {
            let of = class.len();
            let two = Self::two(of, |at| self.spot(*class.get(at)), draw, usable)?;
            let (spot, compared, load) = Self::lighter(two, draw);
            Some(Choice { spot, why: Why::Priority { priority, compared, of, load } })
        })
    }

    fn nearest(
        &self,
        point: Location,
        draw: &mut Draw,
        usable: &impl Fn(&Spot) -> bool,
    ) -> Option<Choice<'_>> {
        let nearest = self.places.nearest(point, draw, &|bucket| usable(self.spot(bucket)))?;
        let [first, second] = nearest.members.map(|bucket| self.spot(bucket));
        let second = (first.bucket != second.bucket).then_some(second);
        let (spot, _, load) = Self::lighter((first, second), draw);
        Some(Choice { spot, why: Why::Near { km: nearest.km, tied: nearest.tied, load } })
    }

    fn by_key(&self, key: u64, usable: &impl Fn(&Spot) -> bool) -> Option<Choice<'_>> {
        let of = self.len();
        // A key whose agent cannot be chosen goes to the same other one each time.
        let keys = std::iter::successors(Some(key), |key| Some(mix(*key)));
        let buckets = keys.take(DRAWN).filter_map(|key| self.keys.bucket(key));
        let spot = buckets.map(|bucket| self.spot(bucket)).find(|spot| usable(spot));
        let spot = spot.or_else(|| self.spots.iter().find(|spot| usable(spot)))?;
        Some(Choice { spot, why: Why::Key { of } })
    }

    fn adapting(
        &self,
        one: &OneOfMany,
        now: u64,
        draw: &mut Draw,
        usable: &impl Fn(&Spot) -> bool,
    ) -> Option<Choice<'_>> {
        let options = one.adaptive.load();
        let median_us = self.median(one, draw);
        let probe: Cell<Option<(u32, u32)>> = Cell::new(None);
        let is_good = |spot: &Spot| {
            if !usable(spot) {
                return false;
            }
            // Whoever decides about it at the same time finds out how it stands; it is left to them.
            let mut standing = match spot.standing.try_lock() {
                Ok(standing) => standing,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return true,
            };
            match standing.look(&spot.look(now, median_us), &options) {
                Verdict::Good => true,
                Verdict::Shed => false,
                Verdict::Probe(step) => {
                    if probe.get().is_none() && standing.probe(now, &options) {
                        probe.set(Some((spot.bucket, step)));
                        spot.agent.door.gauge().watch(step == 1);
                    }
                    false
                }
            }
        };
        let of = self.len();
        // Once there is a probe to send, any other will do to end the search.
        let two =
            Self::two(of, |at| self.spots.get(at), draw, &|spot| is_good(spot) || probe.get().is_some());
        if let Some((bucket, step)) = probe.get() {
            return Some(Choice { spot: self.spot(bucket), why: Why::Probe { step } });
        }
        let (spot, compared, load) = Self::lighter(two?, draw);
        Some(Choice { spot, why: Why::Load { compared, of, load } })
    }

    /// The median latency of those that are known, of a few drawn at random where there are many \[us\]; 0 when nobody is.
    fn median(&self, one: &OneOfMany, draw: &mut Draw) -> f32 {
        if !one.surveys.fetch_add(1, Relaxed).is_multiple_of(SURVEY) {
            return f32::from_bits(one.median.load(Relaxed));
        }
        let (mut latencies, mut known) = ([0.0_f32; SURVEYED], 0);
        for n in 0..self.len().min(SURVEYED) {
            let at = if self.len() <= SURVEYED { n } else { draw.below(self.len()) };
            let latency = self.spots.get(at).agent.door.gauge().latency_us();
            if latency > 0.0 {
                latencies[known] = latency;
                known += 1;
            }
        }
        let latencies = &mut latencies[..known];
        latencies.sort_unstable_by(f32::total_cmp);
        let median = latencies.get(known.saturating_sub(1) / 2).copied().unwrap_or(0.0);
        one.median.store(median.to_bits(), Relaxed);
        median
    }
}

/// A pool as it changes; belongs to the tables of the router.
#[derive(Default)]
pub(crate) struct PoolEditor {
    pool: Pool,
    places: PlacesEditor,
    buckets: FxHashMap<AgentId, u32>,
}

#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 2^32 agents")]
impl PoolEditor {
    /// Adds a member that is not in the pool.
    pub(crate) fn join(&mut self, agent: &AgentHandle, tests: Option<Arc<[Predicate]>>) {
        let pool = &mut self.pool;
        let (at, bucket) = (pool.spots.len() as u32, pool.keys.add());
        if (bucket as usize) < pool.at.len() {
            *pool.at.get_mut(bucket as usize) = at;
        } else {
            pool.at.push(at);
        }
        let listing = agent.listing();
        let members = &mut pool.classes[class(listing.priority)];
        members.push(bucket);
        let at_class = members.len() as u32 - 1;
        let seat = listing.location.and_then(|location| self.places.join(bucket, location));
        let (agent, priority, standing) = (agent.clone(), listing.priority, Arc::default());
        self.buckets.insert(agent.id().clone(), bucket);
        pool.spots.push(Spot { agent, tests, priority, bucket, at_class, seat, standing });
    }

    /// Takes a member out, if it is in the pool.
    pub(crate) fn leave(&mut self, agent: &AgentId) {
        let Some(bucket) = self.buckets.remove(agent) else { return };
        let pool = &mut self.pool;
        let at = *pool.at.get(bucket as usize);
        let gone = pool.spots.swap_remove(at as usize);
        if (at as usize) < pool.spots.len() {
            let moved = pool.spots.get(at as usize).bucket;
            *pool.at.get_mut(moved as usize) = at;
        }
        let members = &mut pool.classes[class(gone.priority)];
        members.swap_remove(gone.at_class as usize);
        if (gone.at_class as usize) < members.len() {
            let moved = *members.get(gone.at_class as usize);
            self.edit(moved).at_class = gone.at_class;
        }
        if let Some(seat) = gone.seat
            && let Some(moved) = self.places.leave(seat)
        {
            self.edit(moved).seat = Some(seat);
        }
        self.pool.keys.remove(bucket);
    }

    fn edit(&mut self, bucket: u32) -> &mut Spot {
        let at = *self.pool.at.get(bucket as usize);
        self.pool.spots.get_mut(at as usize)
    }

    /// The pool as it is now.
    pub(crate) fn freeze(&mut self) -> Arc<Pool> {
        self.places.settle();
        self.pool.places = self.places.shown.clone();
        Arc::new(self.pool.clone())
    }

    /// Who is in the pool.
    pub(crate) fn agents(&self) -> impl Iterator<Item = &AgentId> {
        self.pool.spots.iter().map(|spot| spot.agent.id())
    }

    /// Whether all parts of the pool agree; says what does not.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let Self { pool, places, buckets } = self;
        for (at, spot) in (0..).zip(pool.spots.iter()) {
            let is_known = buckets.get(spot.agent.id()) == Some(&spot.bucket);
            let is_at = *pool.at.get(spot.bucket as usize) == at;
            let in_class = *pool.classes[class(spot.priority)].get(spot.at_class as usize) == spot.bucket;
            if !(is_known && is_at && in_class) {
                return Err(format!("{} is not where the pool says", spot.agent.id()));
            }
        }
        let located = pool.spots.iter().filter(|spot| spot.seat.is_some()).count();
        let counts = [
            buckets.len(),
            pool.keys.len() as usize,
            pool.classes.iter().map(Chunked::len).sum(),
            pool.spots.len(),
        ];
        if counts.iter().any(|count| *count != counts[3]) || places.shown.located() != located {
            return Err(format!("a pool has {counts:?} members, {located} of them at places"));
        }
        Ok(())
    }
}

/// What a route needs to choose one of its agents, beside its snapshot.
pub(crate) struct OneOfMany {
    /// There from the first time that one is to be chosen.
    pub(crate) pool: ArcSwapOption<Pool>,
    strategy: AtomicU8,
    pub(crate) adaptive: ArcSwap<AdaptiveOptions>,
    draws: Draws,
    turn: AtomicUsize,
    surveys: AtomicU32,
    median: AtomicU32,
}

impl OneOfMany {
    pub(crate) fn new(seed: u64, route: &str) -> Self {
        Self {
            pool: ArcSwapOption::empty(),
            strategy: AtomicU8::new(Strategy::default() as u8),
            adaptive: ArcSwap::from_pointee(AdaptiveOptions::default()),
            draws: Draws::new(seed, route),
            turn: AtomicUsize::new(0),
            surveys: AtomicU32::new(0),
            median: AtomicU32::new(0),
        }
    }

    /// What is used where a call says nothing else.
    pub(crate) fn strategy(&self) -> Strategy {
        Strategy::ALL[usize::from(self.strategy.load(Relaxed))]
    }

    pub(crate) fn set_strategy(&self, strategy: Strategy) {
        self.strategy.store(strategy as u8, Relaxed);
    }
}
