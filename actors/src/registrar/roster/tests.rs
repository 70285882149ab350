use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{agent::Capability, registrar::sets::Wanted};

fn id(name: impl ToString) -> AgentId {
    AgentId::new(name.to_string()).unwrap()
}

fn capability(number: u8) -> Capability {
    Capability::new(format!("c{number}")).unwrap()
}

/// A profile by a kind's number and a bit for each capability.
fn profile(kind: u8, bits: u8) -> Profile {
    let mut profile = Profile::new(Kind::new(format!("k{kind}")).unwrap());
    profile.capabilities = (0..8).rev().filter(|bit| bits >> bit & 1 == 1).map(capability).collect();
    profile.location = (kind > 0).then(|| format!("hall {kind}"));
    profile.name = (bits > 3).then(|| format!("number {bits}"));
    profile
}

#[test]
fn a_taken_id_is_refused_with_its_holder_and_leaves_no_trace() {
    let mut roster = Roster::new();
    roster.insert(id("a"), 4, profile(0, 1), ()).unwrap();
    let revision = roster.revision();
    assert_eq!(
        roster.insert(id("a"), 5, profile(2, 2), ()).unwrap_err().to_string(),
        "agent id a is taken by generation 4 of a k0: choose another id, or remove it first"
    );
    assert_eq!((roster.revision(), roster.len(), roster.kinds().len()), (revision, 1, 1));
    assert_eq!(roster.remove(&id("b")), None);
    assert_eq!((roster.remove(&id("a")), roster.is_empty()), (Some(()), true));
}

#[test]
fn who_wants_the_first_few_finds_them_though_the_oldest_have_left() {
    let mut roster = Roster::new();
    let capabilities = profile(0, 3).capabilities;
    for number in 0..2_000 {
        let mut looks = profile(u8::try_from(number % 2).unwrap(), 3);
        looks.tenant = Some("acme".parse().unwrap());
        looks.metadata.insert("zone".into(), "a".into());
        looks.location = Some("50.0,8.0".into());
        roster.insert(id(number), 1, looks, number).unwrap();
    }
    for number in 0..999 {
        roster.remove(&id(number)).unwrap();
    }
    assert_eq!(roster.slots.len(), 2_000, "no gap is closed yet");
    let first = |list: &[u32]| list.first().copied();
    let kind = profile(1, 0).kind;
    assert_eq!(first(roster.of(&kind).unwrap().1.slots()), Some(999));
    assert_eq!(first(roster.of_tenant(&"acme".parse().unwrap()).unwrap().1.slots()), Some(999));
    assert_eq!(first(roster.facts().slots("zone", &"a".into())), Some(999));
    assert_eq!(roster.filled(), 999..2_000);
    let wanted = Wanted { all_of: &capabilities, any_of: &[] };
    assert_eq!(roster.sets().merged(wanted).next(), Some(999));
    let circle = crate::agent::Circle::new(50.0, 8.0, 1.0).unwrap();
    assert_eq!(first(roster.atlas().within(&circle, 10).unwrap()[0]), Some(999));
}

#[test]
fn an_agent_tells_all_that_it_registered_with() {
    let mut roster = Roster::new();
    let mut told = profile(3, 5);
    told.capabilities.push(capability(0));
    told.metadata.insert("x".into(), 1.into());
    roster.insert(id("a"), 2, told, 'h').unwrap();
    let member = roster.get(&id("a")).unwrap();
    assert_eq!((member.generation(), *member.handle(), member.kind().as_str()), (2, 'h', "k3"));
    assert_eq!(member.capabilities(), [capability(0), capability(2)]);
    assert_eq!((member.location(), member.name()), (Some("hall 3"), Some("number 5")));
    assert_eq!(member.metadata().unwrap()["x"], 1);
}

#[test]
fn names_that_nobody_has_any_more_are_forgotten() {
    let mut roster = Roster::new();
    for number in 0..1000 {
        let mut passing = profile(0, 0);
        passing.kind = Kind::new(format!("kind {number}")).unwrap();
        roster.insert(id(number), 1, passing, ()).unwrap();
        roster.remove(&id(number)).unwrap();
    }
    assert!(roster.kinds.known() <= 2 * GAPS && roster.slots.len() <= 2 * GAPS);
    assert!(roster.kinds().is_empty() && roster.capabilities().is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, u8, u8),
    Remove(u8),
    RemoveOldest,
    ReadChanges,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..24, 0_u8..3, 0_u8..16).prop_map(|(agent, kind, bits)| Step::Insert(agent, kind, bits)),
        1 => Just(Step::RemoveOldest),
        3 => (0_u8..24).prop_map(Step::Remove),
        1 => Just(Step::ReadChanges),
    ]
}

/// One agent of the naive model: id, kind, capability bits, generation, handle.
type Row = (u8, u8, u8, u64, usize);

fn rows<'a>(members: impl IntoIterator<Item = Member<'a, usize>>) -> Vec<(String, u64, usize)> {
    members.into_iter().map(|one| (one.id().to_string(), one.generation(), *one.handle())).collect()
}

fn expected(model: &[Row], passes: impl Fn(&Row) -> bool) -> Vec<(String, u64, usize)> {
    model.iter().filter(|row| passes(row)).map(|row| (row.0.to_string(), row.3, row.4)).collect()
}

fn agree(roster: &Roster<usize>, model: &[Row]) -> Result<(), TestCaseError> {
    prop_assert_eq!(rows(roster.iter()), expected(model, |_| true));
    prop_assert_eq!(roster.len(), model.len());
    for agent in 0..24 {
        let found = rows(roster.get(&id(agent)));
        prop_assert_eq!(found, expected(model, |row| row.0 == agent));
    }
    for kind in 0..4 {
        let found = rows(roster.of_kind(&profile(kind, 0).kind));
        let count = found.len();
        prop_assert_eq!(found, expected(model, |row| row.1 == kind));
        let told = roster.kinds().into_iter().find(|(name, _)| *name == profile(kind, 0).kind);
        prop_assert_eq!(told.map_or(0, |(_, count)| count), count);
    }
    for bits in 0..16 {
        let wanted = profile(0, bits).capabilities;
        prop_assert_eq!(rows(roster.with_all(&wanted)), expected(model, |row| row.2 & bits == bits));
        prop_assert_eq!(rows(roster.with_any(&wanted)), expected(model, |row| row.2 & bits != 0));
    }
    let offered: Vec<_> =
        (0..4).filter(|bit| model.iter().any(|row| row.2 >> bit & 1 == 1)).map(capability).collect();
    prop_assert_eq!(roster.capabilities(), offered);
    for row in model {
        let (member, told) = (roster.get(&id(row.0)).unwrap(), profile(row.1, row.2));
        prop_assert_eq!(member.location(), told.location.as_deref());
        prop_assert_eq!(member.name(), told.name.as_deref());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_roster_does_as_a_plain_list_would(steps in prop::collection::vec(step(), 0..120)) {
        let mut roster = Roster::with_changes(5);
        let mut model: Vec<Row> = Vec::new();
        let mut shared: std::collections::BTreeMap<_, Arc<Profile>> = std::collections::BTreeMap::new();
        let mut mirror: Vec<(String, u64)> = Vec::new();
        let mut read = 0;
        let mut changes = 0;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(agent, kind, bits) => {
                    let taken = model.iter().any(|row| row.0 == agent);
                    let result = if number % 2 == 0 {
                        roster.insert(id(agent), 1, profile(kind, bits), number)
                    } else {
                        let shared = shared.entry((kind, bits)).or_insert_with(|| profile(kind, bits).into());
                        roster.insert_shared(id(agent), 1, shared, number)
                    };
                    prop_assert_eq!(result.is_err(), taken);
                    if !taken {
                        model.push((agent, kind, bits, 1, number));
                        changes += 1;
                    }
                }
                Step::RemoveOldest => {
                    if !model.is_empty() {
                        let row = model.remove(0);
                        prop_assert_eq!(roster.remove(&id(row.0)), Some(row.4));
                        changes += 1;
                    }
                }
                Step::Remove(agent) => {
                    let place = model.iter().position(|row| row.0 == agent);
                    prop_assert_eq!(roster.remove(&id(agent)), place.map(|place| model[place].4));
                    if let Some(place) = place {
                        model.remove(place);
                        changes += 1;
                    }
                }
                Step::ReadChanges => {
                    prop_assert_eq!(roster.changes_since(read).is_err(), changes - read > 5);
                    if let Ok(told) = roster.changes_since(read) {
                        for change in told {
                            let agent = change.agent.to_string();
                            let place = mirror.iter().position(|(known, _)| *known == agent);
                            match (change.kind, place) {
                                (ChangeKind::Inserted, None) => mirror.push((agent, change.generation)),
                                (ChangeKind::Removed, Some(place)) => { mirror.remove(place); }
                                impossible => prop_assert!(false, "{:?}", impossible),
                            }
                        }
                    } else {
                        mirror = roster.iter().map(|one| (one.id().to_string(), one.generation())).collect();
                    }
                    read = roster.revision();
                    let known: Vec<_> = model.iter().map(|row| (row.0.to_string(), row.3)).collect();
                    prop_assert_eq!(&mirror, &known);
                }
            }
            prop_assert_eq!(roster.revision(), changes);
            agree(&roster, &model)?;
        }
    }
}
