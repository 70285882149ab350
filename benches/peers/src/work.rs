//! The works: what is published to whom, and what is wanted of phalanx there.
//!
//! ```text
//!   Setting (crowd, payload) ──> works there: windows, lone ones ──> measures: a rate, or two latencies
//! ```
//!
//! The agents of a setting are made once and do all of its works.

use serde::{Deserialize, Serialize};

use crate::stage::Crowd;

/// What a publication carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Payload {
    /// 1 KiB, one copy for all agents.
    Shared1024,
    /// 16 bytes, copied to each agent.
    Copied16,
}

impl Payload {
    pub(crate) const ALL: [Self; 2] = [Self::Shared1024, Self::Copied16];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shared1024 => "1 KiB shared",
            Self::Copied16 => "16 B copied",
        }
    }
}

/// How much may be on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Pace {
    /// A stream, with as much outstanding as suits each peer.
    Steady,
    /// A stream, with the same few publications of each topic outstanding for all.
    Small(u64),
    /// One at a time, on idle lanes.
    Lone,
}

impl Pace {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Small(_) => "small window",
            Self::Lone => "lone",
        }
    }
}

/// What is measured of a work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Measure {
    /// Messages handled in a second \[millions\].
    Rate,
    /// How long half of the lone publications take until all have handled them \[us\].
    P50,
    /// And 99 of 100 \[us\].
    P99,
}

/// Whom phalanx is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rival {
    /// A loop of `do_send`.
    Actix,
    /// The best of all but the floor.
    Best,
    /// The best actor runtime.
    BestRuntime,
    /// The better of tokio's broadcast channels.
    TokioBroadcast,
}

/// What is wanted: how many times the rival's rate at least, or of its latency at most.
pub(crate) type Wanted = (Rival, f64);

/// A set of agents that works are done with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) crowd: Crowd,
    pub(crate) payload: Payload,
    pub(crate) works: Vec<Work>,
}

/// One work.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) pace: Pace,
    /// What is measured, and what is wanted there.
    pub(crate) measures: Vec<(Measure, Vec<Wanted>)>,
}

/// Fan-out from one publisher, with the small window and what is wanted of steady streams and of small windows.
const FAN_OUT: [(&str, usize, u64, [&[Wanted]; 2]); 3] = [
    ("fan-out to 10", 10, 64, [&TO_FEW, &TO_FEW]),
    ("fan-out to 1,000", 1_000, 64, [&TO_MANY, &TO_MANY_SMALL]),
    ("fan-out to 100,000", 100_000, 4, [&TO_MANY, &TO_MANY_SMALL]),
];

const TO_FEW: [Wanted; 2] = [(Rival::BestRuntime, 4.0), (Rival::TokioBroadcast, 0.9)];
const TO_MANY: [Wanted; 2] = [(Rival::Actix, 80.0), (Rival::Best, 10.0)];
const TO_MANY_SMALL: [Wanted; 2] = [(Rival::Actix, 10.0), (Rival::Best, 3.0)];
const MIXED: [Wanted; 1] = [(Rival::BestRuntime, 5.0)];
const LONE_PUBLICATION: [Wanted; 1] = [(Rival::Actix, 0.4)];
const LONE_MESSAGE: [Wanted; 1] = [(Rival::Actix, 1.3)];

/// All works, by their settings.
pub(crate) fn settings() -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut add = |name: &'static str, crowd, payloads: &[Payload], works: &dyn Fn(&str) -> Vec<Work>| {
        for payload in payloads {
            let works = works(&format!("{name}, {}", payload.name()));
            settings.push(Setting { name, crowd, payload: *payload, works });
        }
    };
    for (name, agents, window, [steady, small]) in FAN_OUT {
        let crowd = Crowd { topics: 1, agents, first_lane: 0 };
        add(name, crowd, &Payload::ALL, &|name| {
            let mut works =
                vec![stream(name, Pace::Steady, steady), stream(name, Pace::Small(window), small)];
            if agents == 1_000 {
                works.push(lone(name, &LONE_PUBLICATION));
            }
            works
        });
    }
    let crowd = Crowd { topics: 10, agents: 100, first_lane: 0 };
    add("10 publishers to 10 topics of 100", crowd, &Payload::ALL, &|name| {
        vec![stream(name, Pace::Steady, &MIXED), stream(name, Pace::Small(64), &MIXED)]
    });
    for (name, first_lane) in
        [("message to one agent, same thread", 0), ("message to one agent, other thread", 1)]
    {
        let crowd = Crowd { topics: 1, agents: 1, first_lane };
        add(name, crowd, &Payload::ALL, &|name| vec![lone(name, &LONE_MESSAGE)]);
    }
    settings
}

fn stream(name: &str, pace: Pace, wanted: &[Wanted]) -> Work {
    let name = format!("{name}, {}", pace.name());
    Work { name, pace, measures: vec![(Measure::Rate, wanted.to_vec())] }
}

fn lone(name: &str, wanted: &[Wanted]) -> Work {
    let measures = [Measure::P50, Measure::P99].map(|measure| (measure, wanted.to_vec())).into();
    Work { name: format!("{name}, lone"), pace: Pace::Lone, measures }
}

/// The settings with those works alone whose name has the filter in it, or all when the filter is none.
pub(crate) fn picked(filters: &[String]) -> Vec<Setting> {
    let mut settings = settings();
    for setting in &mut settings {
        setting.works.retain(|work| {
            filters.is_empty() || filters.iter().any(|filter| work.name.contains(filter.as_str()))
        });
    }
    settings.retain(|setting| !setting.works.is_empty());
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::TOPICS;

    #[test]
    fn every_work_has_a_name_of_its_own_and_fits_into_the_tallies() {
        let settings = settings();
        let mut names: Vec<&str> =
            settings.iter().flat_map(|setting| &setting.works).map(|work| work.name.as_str()).collect();
        assert_eq!(names.len(), 22);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 22);
        assert!(settings.iter().all(|setting| setting.crowd.topics <= TOPICS));
    }

    #[test]
    fn a_filter_picks_the_works_with_its_words_and_leaves_no_empty_setting() {
        let picked = picked(&["to 1,000, 16 B copied, lone".to_owned(), "same thread".to_owned()]);
        let names: Vec<&str> =
            picked.iter().flat_map(|setting| &setting.works).map(|work| work.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "fan-out to 1,000, 16 B copied, lone",
                "message to one agent, same thread, 1 KiB shared, lone",
                "message to one agent, same thread, 16 B copied, lone",
            ]
        );
    }
}
