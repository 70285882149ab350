//! Looking up the first ten among a million who are registered: by capability, by place, by metadata. Nothing is sent.

use std::{hint::black_box, time::Instant};

use phalanx_actors::{
    agent::{AgentId, Capability, Circle, Kind},
    registrar::{Lookup, Profile, Roster},
};

use crate::{
    pair::Verdict,
    table::{self, Absolute},
};

const AGENTS: u32 = 1_000_000;
/// How many lookups are timed together.
const BATCH: u32 = 1_000;
const LIMIT: usize = 10;

fn capability(number: u32) -> Capability {
    Capability::new(format!("c{number}")).expect("a name")
}

/// A million agents of ten kinds, each with three of a hundred capabilities, a place of its own and a zone of a thousand;
/// what stands for the inbox is as large as one's handle.
fn roster() -> Roster<[usize; 2]> {
    let mut roster = Roster::new();
    for number in 0..AGENTS {
        let mut profile = Profile::new(Kind::new(format!("k{}", number % 10)).expect("a name"));
        profile.capabilities = [number % 97, number % 89, 97 + number % 3].map(capability).into();
        // The golden angle spreads them evenly over the globe.
        let latitude = (2.0 * f64::from(number) / f64::from(AGENTS) - 1.0).asin().to_degrees();
        let longitude = 360.0 * (f64::from(number) * 0.618_033_988_75).fract() - 180.0;
        profile.location = Some(format!("{latitude},{longitude}"));
        profile.metadata.insert("zone".to_owned(), (number % 1_000).into());
        let id = AgentId::new(format!("agent/{number}")).expect("a name");
        roster.insert(id, 0, profile, [0; 2]).expect("its id is its own");
    }
    roster
}

/// The median of a lookup with all that it finds \[ns\].
fn measure(roster: &Roster<[usize; 2]>, rounds: u32, lookup: impl Fn(u32) -> Lookup) -> f64 {
    let lookups: Vec<Lookup> = (0..BATCH).map(lookup).collect();
    let mut nanos = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        for lookup in &lookups {
            let found: Vec<[usize; 2]> = roster.lookup(lookup).map(|member| *member.handle()).collect();
            assert_eq!(black_box(found).len(), LIMIT);
        }
        nanos.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
    }
    table::median(&nanos)
}

/// By what is looked up, the lookups, and whether there is a target.
type By<'a> = (&'static str, &'a dyn Fn(u32) -> Lookup, bool);

/// The lines of the table.
pub(crate) fn lines(filter: &str, rounds: u32) -> Vec<Absolute> {
    let work = |by: &str| format!("look up 10 of 1,000,000 by {by}");
    let limited = || Lookup { limit: Some(LIMIT), ..Lookup::default() };
    let by_capability = |number: u32| Lookup { all_of: vec![capability(97 + number % 3)], ..limited() };
    let by_three = |number: u32| Lookup {
        all_of: [number % 97, number % 89, 97 + number % 3].map(capability).into(),
        ..limited()
    };
    let by_any = |number: u32| Lookup {
        any_of: vec![capability(97 + number % 3), capability(97 + (number + 1) % 3)],
        ..limited()
    };
    let by_kind = |number: u32| Lookup {
        kind: Some(Kind::new(format!("k{}", number % 10)).expect("a name")),
        all_of: vec![capability(97 + number % 3)],
        ..limited()
    };
    // About 40 are within 50 km.
    let by_place = |number: u32| {
        let (latitude, longitude) = (f64::from(number % 120) - 60.0, f64::from(number % 359) - 179.0);
        Lookup { within: Circle::new(latitude, longitude, 50_000.0).ok(), ..limited() }
    };
    let by_metadata =
        |number: u32| Lookup { metadata: vec![("zone".to_owned(), (number % 1_000).into())], ..limited() };
    let all: [By<'_>; 6] = [
        ("capability", &by_capability, true),
        ("three capabilities", &by_three, false),
        ("either of two capabilities", &by_any, false),
        ("kind and capability", &by_kind, false),
        ("place", &by_place, false),
        ("metadata", &by_metadata, false),
    ];
    let wanted: Vec<_> = all.into_iter().filter(|(by, ..)| work(by).contains(filter)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let begun = Instant::now();
    let roster = roster();
    let (each, bytes) =
        (begun.elapsed().as_secs_f64() * 1e6 / f64::from(AGENTS), roster.bytes() / AGENTS as usize);
    eprintln!("[a roster of 1,000,000: {each:.2} us and {bytes} bytes an agent, each at a place of its own]");
    let lines = wanted.into_iter().map(|(by, lookup, has_target)| {
        measure(&roster, rounds / 10 + 1, lookup);
        let nanos = measure(&roster, rounds, lookup);
        Absolute {
            work: work(by),
            phalanx: table::shown(nanos, Verdict::Cost(None)),
            actix: "-".to_owned(),
            ratio: "-".to_owned(),
            target: if has_target { "below 1 us".to_owned() } else { "-".to_owned() },
            is_met: has_target.then_some(nanos < 1_000.0),
        }
    });
    lines.collect()
}
