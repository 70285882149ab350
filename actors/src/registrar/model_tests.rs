//! The roster with all that is asked of it, in any order, beside a plain list.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    ChangeKind, Limits, Lookup, Profile, Request, RequestId, Roster, RosterError, RosterUpdate, WatchFrom,
    limits::Quotas, watch::Cursor,
};
use crate::agent::{AgentId, Capability, Circle, Kind, Location, Tenant, Timestamp};

/// One step: what is done, and seven numbers for it.
type Raw = [u8; 8];

const AGENTS: u8 = 14;
/// How many changes are held.
const HELD: usize = 7;
/// Some places by several names, at the poles, on both sides of the date line, and one that is none.
const PLACES: [&str; 9] =
    ["0,180", "0,-180", "90,0", "90,-120", "-90,5", "10,179.9", "10,-179.9", "0.001,0", "hall 3"];
const RADII: [f64; 5] = [0.0, 200.0, 25_000.0, 3_000_000.0, f64::INFINITY];

fn id(agent: u8) -> AgentId {
    AgentId::new(agent.to_string()).unwrap()
}

fn kind(number: u8) -> Kind {
    Kind::new(format!("k{number}")).unwrap()
}

fn tenant(number: u8) -> Tenant {
    Tenant::new(format!("t{number}")).unwrap()
}

fn capabilities(bits: u8) -> Vec<Capability> {
    (0..4).filter(|bit| bits >> bit & 1 == 1).map(|bit| Capability::new(format!("c{bit}")).unwrap()).collect()
}

/// None for 0 and from 4 on.
fn entry(key: &str, value: u8) -> Option<(String, Value)> {
    let value = [Value::Null, json!(1), json!(1.0), json!("x")].get(usize::from(value)).cloned()?;
    Some((key.to_owned(), value)).filter(|(_, value)| !value.is_null())
}

fn metadata(both: u8) -> Vec<(String, Value)> {
    [entry("a", both % 6), entry("b", both / 6 % 6)].into_iter().flatten().collect()
}

/// What an agent is.
#[derive(Debug, Clone)]
struct Looks {
    kind: u8,
    tenant: Option<u8>,
    bits: u8,
    location: Option<&'static str>,
    metadata: Vec<(String, Value)>,
}

impl Looks {
    fn of([kind, tenant, bits, location, metadata_of, ..]: [u8; 6]) -> Self {
        Self {
            kind: kind % 3,
            tenant: Some(tenant % 4).filter(|tenant| *tenant < 3),
            bits: bits % 16,
            location: PLACES.get(usize::from(location) % (PLACES.len() + 2)).copied(),
            metadata: metadata(metadata_of),
        }
    }

    fn request(&self, agent: u8) -> Request {
        let mut request = Request::new(RequestId(1), id(agent), kind(self.kind), Timestamp::ZERO);
        request.profile = self.profile().into();
        request
    }

    fn profile(&self) -> Profile {
        Profile {
            capabilities: capabilities(self.bits),
            tenant: self.tenant.map(tenant),
            location: self.location.map(str::to_owned),
            metadata: self.metadata.iter().cloned().collect(),
            ..Profile::new(kind(self.kind))
        }
    }

    fn place(&self) -> Option<Location> {
        self.location?.parse().ok()
    }
}

/// One agent of the plain list.
#[derive(Debug, Clone)]
struct Row {
    agent: u8,
    generation: u64,
    handle: usize,
    looks: Looks,
    /// Length, end, and number in the order of granting.
    lease: Option<(Duration, Timestamp, usize)>,
}

/// A watcher and what it knows.
struct Watcher {
    cursor: Cursor,
    mirror: Vec<(AgentId, u64)>,
    revision: u64,
}

struct World {
    roster: Roster<usize>,
    quotas: Quotas,
    limits: Limits,
    rows: Vec<Row>,
    /// Batches under way.
    batches: Vec<Vec<(u8, Looks, u8)>>,
    now: Timestamp,
    /// Who there was at each revision.
    history: Vec<Vec<(AgentId, u64)>>,
    watchers: Vec<Watcher>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let watcher = |from| Watcher { cursor: Cursor::new(from), mirror: Vec::new(), revision: 0 };
        Self {
            roster: Roster::with_changes(HELD),
            quotas: Quotas::new(limits.clone()),
            limits,
            rows: Vec::new(),
            batches: Vec::new(),
            now: Timestamp::ZERO,
            history: vec![Vec::new()],
            watchers: vec![watcher(WatchFrom::Revision(0)), watcher(WatchFrom::Snapshot)],
        }
    }

    fn changed(&mut self) {
        self.history.push(self.rows.iter().map(|row| (id(row.agent), row.generation)).collect());
    }

    fn row(&self, agent: u8) -> Option<usize> {
        self.rows.iter().position(|row| row.agent == agent)
    }

    /// Whether one more fits, by counting all.
    fn has_room(&self, looks: &Looks) -> bool {
        let all = || {
            let claimed = self.batches.iter().flatten().map(|(_, looks, _)| looks);
            self.rows.iter().map(|row| &row.looks).chain(claimed)
        };
        let of_kind = self.limits.kinds.get(&kind(looks.kind)).copied().or(self.limits.default_per_kind);
        let of_tenant = looks.tenant.and_then(|number| {
            self.limits.tenants.get(&tenant(number)).copied().or(self.limits.default_per_tenant)
        });
        of_kind.is_none_or(|limit| all().filter(|other| other.kind == looks.kind).count() < limit)
            && of_tenant
                .is_none_or(|limit| all().filter(|other| other.tenant == looks.tenant).count() < limit)
    }

    /// A batch of one to three agents is sent to the router.
    fn claim(&mut self, raw: [u8; 7]) -> Result<(), TestCaseError> {
        let [agent, rest @ ..] = raw;
        self.batches.push(Vec::new());
        for more in 0..=agent / 64 % 3 {
            let mut rest = rest;
            rest[0] = rest[0].wrapping_add(more);
            rest[2] = rest[2].wrapping_add(3 * more);
            let (agent, looks) = (agent.wrapping_add(more) % AGENTS, Looks::of(rest));
            let claimed = self.quotas.claim(&looks.request(agent), &self.roster);
            prop_assert_eq!(claimed.is_ok(), self.has_room(&looks), "{:?}", claimed);
            if claimed.is_ok() {
                self.batches.last_mut().expect("pushed above").push((agent, looks, rest[5]));
            }
        }
        Ok(())
    }

    /// A batch is through.
    fn settle(&mut self, which: u8, number: usize) -> Result<(), TestCaseError> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let batch = self.batches.remove(usize::from(which) % self.batches.len());
        for (agent, looks, lease) in batch {
            self.quotas.release(&looks.request(agent));
            let taken = self.row(agent);
            let result = self.roster.insert(id(agent), 1, looks.profile(), number);
            if let Some(holder) = taken.map(|at| &self.rows[at]) {
                let (kind, generation) = (kind(holder.looks.kind), holder.generation);
                prop_assert_eq!(result, Err(RosterError::Duplicate { agent: id(agent), kind, generation }));
                continue;
            }
            prop_assert!(result.is_ok());
            let length = Duration::from_millis(u64::from(lease % 8));
            let lease = (lease > 80).then(|| {
                let ends = self.roster.lease(&id(agent), length, self.now).unwrap();
                let length = length.max(Duration::from_millis(1));
                assert_eq!(ends, self.now.plus(length));
                (length, ends, self.history.len())
            });
            self.rows.push(Row { agent, generation: 1, handle: number, looks, lease });
            self.changed();
        }
        Ok(())
    }

    /// Those who have been there for longest leave, as leases end.
    fn remove_oldest(&mut self, count: u8) -> Result<(), TestCaseError> {
        let oldest: Vec<u8> = self.rows.iter().take(usize::from(count % 4)).map(|row| row.agent).collect();
        oldest.into_iter().try_for_each(|agent| self.remove(agent))
    }

    fn remove(&mut self, agent: u8) -> Result<(), TestCaseError> {
        let row = self.row(agent).map(|at| self.rows.remove(at));
        prop_assert_eq!(self.roster.remove(&id(agent)), row.as_ref().map(|row| row.handle));
        if row.is_some() {
            self.changed();
        }
        Ok(())
    }

    fn renew(&mut self, [agent, by, least, ..]: [u8; 7]) -> Result<(), TestCaseError> {
        let (agent, now) = (agent % AGENTS, self.now);
        let at = self.row(agent);
        let held = at.map_or(1, |at| self.rows[at].generation);
        let (offered, least) = ((held + u64::from(by % 4)).saturating_sub(1), u64::from(least % 3));
        let result = self.roster.renew(&id(agent), offered, least, now);
        let Some(row) = at.map(|at| &mut self.rows[at]) else {
            prop_assert_eq!(result, Err(RosterError::Unknown(id(agent))));
            return Ok(());
        };
        let present = held.max(least);
        if offered < present {
            prop_assert_eq!(result, Err(RosterError::Stale { agent: id(agent), present, offered }));
        } else if let Some((length, ends, _)) = &mut row.lease {
            *ends = now.plus(*length);
            prop_assert_eq!(result, Ok(*ends));
            if offered > held {
                row.generation = offered;
                self.changed();
            }
        } else {
            prop_assert_eq!(result, Err(RosterError::Unleased(id(agent))));
        }
        Ok(())
    }

    /// Time passes, and those whose leases are over leave in the order of their ends.
    fn pass(&mut self, millis: u8) -> Result<(), TestCaseError> {
        self.now = self.now.plus(Duration::from_millis(u64::from(millis % 5)));
        let ends = self.rows.iter().filter_map(|row| Some(row.lease?.1)).min();
        prop_assert_eq!(self.roster.next_expiry(), ends);
        loop {
            let leased =
                self.rows.iter().filter_map(|row| row.lease.map(|lease| (lease.1, lease.2, row.agent)));
            let first = leased.min().filter(|(ends, ..)| *ends <= self.now);
            let gone = first.map(|(.., agent)| self.rows.remove(self.row(agent).unwrap()));
            let told = gone.as_ref().map(|row| (id(row.agent), row.generation, row.lease.unwrap().0));
            prop_assert_eq!(self.roster.expire(self.now), told);
            if gone.is_none() {
                return Ok(());
            }
            self.changed();
        }
    }

    fn look(&self, [of, tenant_of, all, any, circle, entries, limit]: [u8; 7]) -> Result<(), TestCaseError> {
        let centre =
            (circle % 2 == 0).then(|| PLACES[usize::from(circle / 2 % 8)].parse::<Location>().unwrap());
        let radius = RADII[usize::from(circle / 16 % 5)];
        let [all, any] = [all, any].map(|bits| if bits < 128 { 0 } else { bits % 16 });
        let lookup = Lookup {
            kind: Some(of % 8).filter(|of| *of < 4).map(kind),
            tenant: Some(tenant_of % 8).filter(|of| *of < 3).map(tenant),
            all_of: capabilities(all),
            any_of: capabilities(any),
            within: centre.map(|centre| Circle::new(centre.latitude, centre.longitude, radius).unwrap()),
            metadata: if entries < 128 { Vec::new() } else { metadata(entries) },
            limit: Some(usize::from(limit % 8)).filter(|limit| *limit < 6),
        };
        let fits = |row: &&Row| {
            let looks = &row.looks;
            lookup.kind.as_ref().is_none_or(|of| *of == kind(looks.kind))
                && lookup.tenant.as_ref().is_none_or(|of| looks.tenant.map(tenant).as_ref() == Some(of))
                && looks.bits & all == all
                && (any == 0 || looks.bits & any != 0)
                && lookup
                    .within
                    .as_ref()
                    .is_none_or(|circle| looks.place().is_some_and(|at| circle.holds(at)))
                && lookup.metadata.iter().all(|entry| looks.metadata.contains(entry))
        };
        let fitting = self.rows.iter().filter(fits).take(lookup.limit.unwrap_or(usize::MAX));
        let expected: Vec<_> = fitting.map(|row| row.handle).collect();
        let found: Vec<_> = self.roster.lookup(&lookup).map(|member| *member.handle()).collect();
        prop_assert_eq!(found, expected, "{:?}", lookup);
        Ok(())
    }

    /// A watcher reads so many times; each word it hears leads from the revision it knew to what there was at the next.
    fn read(&mut self, which: u8, times: u8) -> Result<(), TestCaseError> {
        let World { roster, watchers, history, .. } = self;
        let count = watchers.len();
        let watcher = &mut watchers[usize::from(which) % count];
        for _ in 0..times {
            while let Some(update) = watcher.cursor.take() {
                match update {
                    RosterUpdate::Change(change) => {
                        prop_assert_eq!(change.revision, watcher.revision + 1);
                        let place = watcher.mirror.iter().position(|(known, _)| *known == change.agent);
                        match (change.kind, place) {
                            (ChangeKind::Inserted, None) => {
                                watcher.mirror.push((change.agent, change.generation));
                            }
                            (ChangeKind::Replaced, Some(place)) => {
                                watcher.mirror[place].1 = change.generation;
                            }
                            (ChangeKind::Removed, Some(place)) => drop(watcher.mirror.remove(place)),
                            impossible => prop_assert!(false, "{:?}", impossible),
                        }
                        watcher.revision = change.revision;
                    }
                    RosterUpdate::Snapshot { revision, agents, missed } => {
                        prop_assert!(missed.is_some() || watcher.revision == 0);
                        prop_assert!(revision >= watcher.revision);
                        let agents = agents.into_iter().map(|one| (one.agent, one.generation));
                        (watcher.mirror, watcher.revision) = (agents.collect(), revision);
                    }
                }
                prop_assert_eq!(watcher.cursor.revision(), watcher.revision);
                let at = usize::try_from(watcher.revision).unwrap();
                prop_assert_eq!(&watcher.mirror, &history[at]);
            }
            let has_more = watcher.cursor.read(roster);
            // What is read and not told yet is no place to go on from.
            prop_assert_eq!(watcher.cursor.revision(), watcher.revision);
            if !has_more {
                prop_assert_eq!(watcher.revision, roster.revision());
                return Ok(());
            }
        }
        Ok(())
    }

    /// All look-ups by one thing, and the counts.
    fn agree(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.roster.revision() + 1, self.history.len() as u64);
        prop_assert_eq!(self.roster.leased(), self.rows.iter().filter(|row| row.lease.is_some()).count());
        for row in &self.rows {
            let member = self.roster.get(&id(row.agent)).unwrap();
            prop_assert_eq!((*member.handle(), member.generation()), (row.handle, row.generation));
            prop_assert_eq!(member.tenant().cloned(), row.looks.tenant.map(tenant));
            prop_assert_eq!((member.location(), member.place()), (row.looks.location, row.looks.place()));
            prop_assert_eq!(member.lease_ends(), row.lease.map(|lease| lease.1));
        }
        for number in 0..3 {
            let of_kind = self.rows.iter().filter(|row| row.looks.kind == number).count();
            let of_tenant = self.rows.iter().filter(|row| row.looks.tenant == Some(number)).count();
            prop_assert_eq!(self.roster.count_of_kind(&kind(number)), of_kind);
            prop_assert_eq!(self.roster.count_of_tenant(&tenant(number)), of_tenant);
        }
        let mut lived_at: Vec<_> = self
            .rows
            .iter()
            .filter(|row| row.looks.place().is_some())
            .map(|row| row.looks.location)
            .collect();
        lived_at.sort_unstable();
        lived_at.dedup();
        prop_assert_eq!(self.roster.atlas().lived_at(), lived_at.len());
        let mut entries: Vec<_> =
            self.rows.iter().flat_map(|row| &row.looks.metadata).map(|one| format!("{one:?}")).collect();
        entries.sort_unstable();
        entries.dedup();
        prop_assert_eq!(self.roster.facts().known(), entries.len());
        Ok(())
    }
}

fn play(is_limited: bool, steps: &[Raw]) -> Result<(), TestCaseError> {
    let limits = Limits::default().kind(kind(0), 3).per_kind(5).tenant(tenant(0), 2).per_tenant(4);
    let mut world = World::new(if is_limited { limits } else { Limits::default() });
    for (number, [what, raw @ ..]) in steps.iter().enumerate() {
        match what % 16 {
            0..=3 => world.claim(*raw)?,
            4..=6 => world.settle(raw[0], number)?,
            7 => world.remove_oldest(raw[0])?,
            8..=9 => world.remove(raw[0] % AGENTS)?,
            10 => world.renew(*raw)?,
            11 => world.pass(raw[0])?,
            12..=13 => world.look(*raw)?,
            _ => world.read(raw[0], raw[1] % 4)?,
        }
    }
    world.agree()?;
    for which in 0..2 {
        world.read(which, u8::MAX)?;
        prop_assert_eq!(world.watchers[usize::from(which)].revision, world.roster.revision());
    }
    // All leave, and nothing is left behind.
    for agent in 0..AGENTS {
        world.remove(agent)?;
    }
    for which in (0..world.batches.len()).rev() {
        for (agent, looks, _) in world.batches.remove(which) {
            world.quotas.release(&looks.request(agent));
        }
    }
    prop_assert_eq!(world.quotas.claimed(), (0, 0));
    prop_assert_eq!(world.roster.next_expiry(), None);
    world.agree()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    #[test]
    fn lookups_watches_leases_and_limits_go_as_a_plain_list_says(
        is_limited in any::<bool>(), steps in prop::collection::vec(any::<Raw>(), 0..45),
    ) {
        play(is_limited, &steps)?;
    }
}
