//! [`Backlog`]: what a dispatcher has taken out of its log and not yet to the inboxes; here batches come about.
//!
//! ```text
//!  log:      A1 B1 A2 B2 tell A3        A and B are routes that share no recipient
//!  backlog:  [A1 A2] [B1 B2] tell [A3]  where they share one: [A1] [B1] [A2] [B2] tell [A3]
//! ```
//!
//! A publication joins the last one to the same recipients, past others that nobody of them gets; so topics that are
//! published to by turns have their batches, too. Publications of a route that lingers are kept apart until their batch is
//! full, its time is over, or something else for one of its recipients comes.
//!
//! **Invariant.** For each recipient and lane, what leaves is in the order of what came.

use std::{collections::VecDeque, sync::Arc};

use rustc_hash::FxHashMap;

use crate::{
    agent::{Lane, Timestamp},
    inbox::{Fanout, PortItem, Publication},
};

/// How many of the last entries a publication may pass to join an earlier one.
const REACH: usize = 64;
/// Lists with more recipients than this together are taken to overlap.
const COMPARED: usize = 8_192;
/// How many pairs of lists are remembered.
const REMEMBERED: usize = 4_096;

/// Which lists of recipients have one in common.
#[derive(Default)]
struct Overlaps {
    known: FxHashMap<(u64, u64), bool>,
}

impl Overlaps {
    fn have(&mut self, one: &Arc<dyn Fanout>, other: &Arc<dyn Fanout>) -> bool {
        if one.number() == other.number() || one.recipients() + other.recipients() > COMPARED {
            return true;
        }
        let key = (one.number().min(other.number()), one.number().max(other.number()));
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let have = one.overlaps(&**other);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(key, have);
        have
    }
}

/// An entry that later publications may join.
struct Open {
    number: u64,
    lane: Lane,
    /// Its position among all entries there ever were.
    at: u64,
}

/// A batch that waits to be full.
struct Held {
    publication: Publication,
    due: Timestamp,
}

/// What a dispatcher has taken out of its log.
#[derive(Default)]
pub(crate) struct Backlog {
    entries: VecDeque<PortItem>,
    /// How many entries have left.
    left: u64,
    open: VecDeque<Open>,
    held: Vec<Held>,
    overlaps: Overlaps,
}

impl Backlog {
    /// Whether nothing is to be taken to the inboxes now; something may be held.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether batches wait to be full.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes in what came next, on this arbiter at this time.
    pub(crate) fn add(&mut self, item: PortItem, arbiter: usize, now: impl Fn() -> Timestamp) {
        match item {
            PortItem::Direct(_) => {
                // Whom it is for is not known here, so nothing passes it.
                self.release(|_| true);
                self.open.clear();
                self.entries.push_back(item);
            }
            PortItem::Published(publication) => self.publish(publication, arbiter, now),
        }
    }

    fn publish(&mut self, mut publication: Publication, arbiter: usize, now: impl Fn() -> Timestamp) {
        let batches = &publication.to.route().batches;
        let (limit, linger) = (batches.limit(arbiter), batches.linger());
        if !self.held.is_empty() {
            let same = |held: &Held| {
                held.publication.lane == publication.lane
                    && held.publication.to.number() == publication.to.number()
            };
            if let Some(at) = self.held.iter().position(same) {
                let held = &mut self.held[at];
                held.publication.parcels.append(&mut publication.parcels);
                if held.publication.parcels.len() >= limit {
                    let full = self.held.remove(at).publication;
                    self.push(full, limit);
                }
                return;
            }
            let (overlaps, held) = (&mut self.overlaps, &self.held);
            let in_the_way: Vec<bool> = held
                .iter()
                .map(|held| {
                    held.publication.lane == publication.lane
                        && overlaps.have(&held.publication.to, &publication.to)
                })
                .collect();
            self.release(|at| in_the_way[at]);
        }
        if !linger.is_zero() && publication.parcels.len() < limit {
            let due = now().plus(linger);
            self.held.push(Held { publication, due });
            return;
        }
        self.push(publication, limit);
    }

    /// Puts a publication into the order: into the last one to the same recipients, where that has room and nothing after it
    /// is in the way, else behind all others.
    fn push(&mut self, mut publication: Publication, limit: usize) {
        while self.open.front().is_some_and(|open| open.at < self.left) {
            self.open.pop_front();
        }
        if let Some(earlier) = self.joinable(&publication) {
            let room = limit.saturating_sub(earlier.parcels.len());
            if room >= publication.parcels.len() {
                earlier.parcels.append(&mut publication.parcels);
                return;
            }
            earlier.parcels.extend(publication.parcels.drain(..room));
            publication.since = None;
        }
        if self.open.len() >= REACH {
            self.open.pop_front();
        }
        let at = self.left + self.entries.len() as u64;
        self.open.push_back(Open { number: publication.to.number(), lane: publication.lane, at });
        self.entries.push_back(PortItem::Published(publication));
    }

    fn joinable(&mut self, publication: &Publication) -> Option<&mut Publication> {
        let mut found = None;
        for open in self.open.iter().rev().filter(|open| open.lane == publication.lane) {
            let at = usize::try_from(open.at - self.left).expect("it was put into memory");
            if open.number == publication.to.number() {
                found = Some(at);
                break;
            }
            let Some(PortItem::Published(other)) = self.entries.get(at) else { break };
            if self.overlaps.have(&other.to, &publication.to) {
                break;
            }
        }
        match &mut self.entries[found?] {
            PortItem::Published(publication) => Some(publication),
            PortItem::Direct(_) => None,
        }
    }

    /// Lets those that are held by these positions go on, in their order.
    fn release(&mut self, is_released: impl Fn(usize) -> bool) {
        let held = std::mem::take(&mut self.held);
        for (at, held) in held.into_iter().enumerate() {
            if is_released(at) {
                self.push(held.publication, usize::MAX);
            } else {
                self.held.push(held);
            }
        }
    }

    /// Lets those go on whose time is over. Answers when the next one's is.
    pub(crate) fn release_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.held.iter().any(|held| held.due <= now) {
            let due: Vec<bool> = self.held.iter().map(|held| held.due <= now).collect();
            self.release(|at| due[at]);
        }
        self.held.iter().map(|held| held.due).min()
    }

    /// Takes the next one out, of a publication as much as a batch may hold.
    pub(crate) fn pop(&mut self, arbiter: usize) -> Option<PortItem> {
        if let Some(PortItem::Published(first)) = self.entries.front_mut() {
            let limit = first.to.route().batches.limit(arbiter).max(1);
            if first.parcels.len() > limit {
                let rest = first.parcels.split_off(limit);
                let (to, lane) = (first.to.clone(), first.lane);
                let parcels = std::mem::replace(&mut first.parcels, rest);
                let since = first.since.take();
                return Some(PortItem::Published(Publication { to, parcels, lane, since }));
            }
        }
        let item = self.entries.pop_front()?;
        self.left += 1;
        Some(item)
    }

    /// Takes all out, what is held last.
    pub(crate) fn drain(&mut self) -> Vec<PortItem> {
        self.release(|_| true);
        self.left += self.entries.len() as u64;
        self.open.clear();
        self.entries.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{rc::Rc, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        agent::{Objection, Reason},
        inbox::{AgentHandle, ArbiterPort, Arrival, Batching, Hub, HubConfig, Packed, Route, Shared},
    };

    /// Recipients that are numbers.
    struct Numbers {
        number: u64,
        route: Arc<Route>,
        recipients: Vec<u8>,
    }

    impl Fanout for Numbers {
        fn number(&self) -> u64 {
            self.number
        }
        fn route(&self) -> &Arc<Route> {
            &self.route
        }
        fn recipients(&self) -> usize {
            self.recipients.len()
        }
        fn pack(&self, _: Vec<Shared>) -> Rc<Packed> {
            unreachable!("nothing is packed here")
        }
        fn push(&self, _: &Rc<Packed>, _: Lane, _: usize, _: usize) -> usize {
            unreachable!("nothing is packed here")
        }
        fn agent(&self, _: usize) -> Option<&AgentHandle> {
            None
        }
        /// Lists overlap as the numbers of their routes say: 0 and 1 share a recipient, 2 is for itself.
        fn overlaps(&self, other: &dyn Fanout) -> bool {
            self.number.max(other.number()) < 2
        }
        fn pick(&self, _: &[u32], _: Arc<[u32]>, _: u16) -> Arc<dyn Fanout> {
            unreachable!("nothing is sent again here")
        }
        fn lose(&self, _: &[Shared], _: Reason, _: Option<&Objection>) {}
    }

    struct Direct;

    impl Arrival for Direct {
        fn arrive(self: Box<Self>) {}
    }

    const RECIPIENTS: [&[u8]; 3] = [&[0, 1], &[1, 2], &[3]];

    fn lists(batching: [Batching; 3]) -> Vec<Arc<dyn Fanout>> {
        let hub = Hub::new(HubConfig::default(), vec![ArbiterPort::here()]);
        let list = |(number, recipients): (usize, &&[u8])| {
            let route = hub.open_route(format!("route {number}"));
            route.batches.set(batching[number]);
            Arc::new(Numbers { number: number as u64, route, recipients: recipients.to_vec() })
                as Arc<dyn Fanout>
        };
        RECIPIENTS.iter().enumerate().map(list).collect()
    }

    fn publication(to: &Arc<dyn Fanout>, lane: Lane, content: u32) -> PortItem {
        let parcels: Vec<Shared> = vec![Arc::new(content)];
        PortItem::Published(Publication { to: to.clone(), parcels, lane, since: None })
    }

    /// What is in an entry: the list and its messages, or nothing for a direct one.
    fn content(item: &PortItem) -> Option<(u64, Lane, Vec<u32>)> {
        let PortItem::Published(Publication { to, parcels, lane, .. }) = item else { return None };
        let numbers = parcels.iter().map(|parcel| *parcel.downcast_ref().unwrap()).collect();
        Some((to.number(), *lane, numbers))
    }

    #[test]
    fn topics_by_turns_have_their_batches_where_nobody_hears_two_of_them() {
        let lists = lists([Batching::adaptive(); 3]);
        let leave = |order: &[usize]| {
            let mut backlog = Backlog::default();
            for (at, list) in (0..).zip(order) {
                backlog.add(publication(&lists[*list], Lane::Normal, at), 0, || Timestamp::ZERO);
            }
            let left = std::iter::from_fn(|| backlog.pop(0)).filter_map(|item| content(&item));
            left.map(|(list, _, numbers)| (list, numbers)).collect::<Vec<_>>()
        };
        assert_eq!(leave(&[0, 2, 0, 2]), [(0, vec![0, 2]), (2, vec![1, 3])]);
        assert_eq!(leave(&[0, 1, 0]), [(0, vec![0]), (1, vec![1]), (0, vec![2])]);
    }

    fn batching() -> impl Strategy<Value = Batching> {
        (1u16..5, 0u64..4).prop_map(|(size, linger)| {
            Batching::fixed(size).unwrap().linger(Duration::from_micros(linger * 10)).unwrap()
        })
    }

    proptest! {
        #[test]
        fn for_each_recipient_and_lane_what_leaves_is_in_the_order_of_what_came(
            batching in [batching(), batching(), batching()],
            steps in prop::collection::vec((0usize..5, any::<bool>(), 0u64..30), 0..120),
        ) {
            let lists = lists(batching);
            let mut backlog = Backlog::default();
            let (mut clock, mut came, mut left) = (0, Vec::new(), Vec::new());
            let heard = |item: PortItem, batch: bool, left: &mut Vec<(u8, Lane, u32)>| {
                if let Some((list, lane, numbers)) = content(&item) {
                    let list = usize::try_from(list).unwrap();
                    assert!(!batch || numbers.len() <= lists[list].route().batches.limit(0), "a batch keeps its bound");
                    for number in numbers {
                        left.extend(RECIPIENTS[list].iter().map(|recipient| (*recipient, lane, number)));
                    }
                } else {
                    left.extend((0..4).map(|recipient| (recipient, Lane::Control, 0)));
                }
            };
            for (number, (what, is_high, passes)) in (1..).zip(steps) {
                clock += passes;
                let now = Timestamp::from_start(Duration::from_micros(clock));
                let lane = if is_high { Lane::High } else { Lane::Normal };
                match what {
                    0..3 => {
                        came.extend(RECIPIENTS[what].iter().map(|recipient| (*recipient, lane, number)));
                        backlog.add(publication(&lists[what], lane, number), 0, || now);
                    }
                    3 => {
                        came.extend((0..4).map(|recipient| (recipient, Lane::Control, 0)));
                        backlog.add(PortItem::Direct(Box::new(Direct)), 0, || now);
                    }
                    _ => {
                        if let Some(next) = backlog.release_due(now) {
                            prop_assert!(next > now, "what is due is not held");
                        }
                        if let Some(item) = backlog.pop(0) {
                            heard(item, true, &mut left);
                        }
                    }
                }
            }
            while let Some(item) = backlog.pop(0) {
                heard(item, true, &mut left);
            }
            for item in backlog.drain() {
                heard(item, false, &mut left);
            }
            prop_assert!(backlog.is_empty() && !backlog.holds());
            for recipient in 0..4 {
                // A direct message stands between all others of all lanes.
                for lane in [Lane::High, Lane::Normal] {
                    let of = |all: &[(u8, Lane, u32)]| -> Vec<(Lane, u32)> {
                        let mine = all.iter().filter(|(who, ..)| *who == recipient);
                        mine.filter(|(_, of, _)| *of == lane || *of == Lane::Control).map(|(_, of, n)| (*of, *n)).collect()
                    };
                    prop_assert_eq!(of(&left), of(&came));
                }
            }
        }
    }
}
