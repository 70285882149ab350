//! [`Health`] of each agent, as events tell it: nothing is polled.
//!
//! An event counts when it is about an agent (its `agent` is set). What it does follows from its name:
//!
//! | event | in which states | leads to |
//! | --- | --- | --- |
//! | `agent.spawned` | any, none | starting |
//! | `agent.started` | any, none | healthy |
//! | `agent.degraded` | any but stopped and abandoned | degraded, and the messages it names were lost |
//! | `agent.suspected` | any but failed, stopped and abandoned | suspected |
//! | `router.node_suspected`, `router.node_inactive` | any but failed, stopped and abandoned | suspected |
//! | `router.node_active` | suspected | healthy |
//! | `agent.recovered` | any but stopped and abandoned | healthy |
//! | `agent.panicked` | any but stopped and abandoned | failed, one more panic |
//! | `agent.restarted` | any but stopped and abandoned | healthy, one more restart |
//! | `agent.abandoned` | any but stopped | failed and abandoned |
//! | `agent.stopped` | any | stopped |
//! | `health.check` with `health` in its data | any but stopped and abandoned | what it says |
//! | `health.check` that says what is known | any | the same |
//! | an error alert | any | the same, one more error |
//!
//! Abandoned means failed for good: only `agent.spawned`, `agent.started` and `agent.stopped` lead out of it, as only the
//! first two lead out of stopped. An event that comes in a state not named here is counted as ignored and changes nothing.
//!
//! **Invariant.** The counts per state always add up to the number of agents known. Of stopped agents, at most as many as
//! the board was told to remember are kept, the latest.

use std::{collections::VecDeque, fmt};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Event, EventKind, Severity, names};
use crate::agent::{AgentId, Timestamp};

/// How an agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Created, not yet up.
    Starting,
    /// Up and working.
    Healthy,
    /// Working, but late, overloaded or in part.
    Degraded,
    /// Not heard of for longer than expected.
    Suspected,
    /// Panicked or given up; a restart may bring it back.
    Failed,
    /// Ended on purpose.
    Stopped,
}

impl Health {
    /// All states, in the order of their declaration.
    pub const ALL: [Health; 6] = [
        Health::Starting,
        Health::Healthy,
        Health::Degraded,
        Health::Suspected,
        Health::Failed,
        Health::Stopped,
    ];

    /// The severity of an event that tells this.
    pub const fn severity(self) -> Severity {
        match self {
            Health::Starting | Health::Healthy | Health::Stopped => Severity::Info,
            Health::Degraded | Health::Suspected => Severity::Warning,
            Health::Failed => Severity::Error,
        }
    }

    /// The name as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Starting => "starting",
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::Suspected => "suspected",
            Health::Failed => "failed",
            Health::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of one agent's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentHealth {
    /// How it is doing.
    pub health: Health,
    /// Since when.
    pub since: Timestamp,
    /// When it was last told of.
    pub last: Timestamp,
    /// How often it panicked.
    pub panics: u32,
    /// How often it was rebuilt.
    pub restarts: u32,
    /// How many error alerts were about it.
    pub errors: u32,
    /// How many messages its full inbox refused, as far as it was told as degraded by them.
    pub rejected: u64,
    /// How many messages its overflow policy let go, likewise.
    pub dropped: u64,
    /// How many messages were overdue before it could handle them, likewise.
    pub expired: u64,
    /// Whether it failed for good.
    pub abandoned: bool,
}

/// A change of an agent's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthChange {
    /// What it was, where the agent was known.
    pub from: Option<Health>,
    /// What it is.
    pub to: Health,
}

/// The health of all agents.
#[derive(Debug)]
pub struct HealthBoard {
    /// Each agent with the number of its latest stop.
    agents: FxHashMap<AgentId, (AgentHealth, u64)>,
    counts: [usize; Health::ALL.len()],
    /// Who stopped, and by which stop, the earliest first; holds agents that started again, too.
    stopped: VecDeque<(AgentId, u64)>,
    stops: u64,
    remember_stopped: usize,
    ignored: u64,
}

impl HealthBoard {
    /// An empty board that remembers the latest `remember_stopped` agents that stopped.
    pub fn new(remember_stopped: usize) -> Self {
        Self {
            agents: FxHashMap::default(),
            counts: [0; Health::ALL.len()],
            stopped: VecDeque::new(),
            stops: 0,
            remember_stopped,
            ignored: 0,
        }
    }

    /// Takes an event in, and says what it changed.
    pub fn observe(&mut self, event: &Event) -> Option<HealthChange> {
        let agent = event.agent.as_ref()?;
        let known = self.agents.get(agent).map(|(known, _)| *known);
        let target = match target(event, known.as_ref()) {
            Target::Health(health) => Some(health),
            Target::Same => None,
            Target::Ignored => {
                self.ignored += 1;
                return None;
            }
            Target::Irrelevant => return None,
        };
        let mut now = known.unwrap_or(AgentHealth {
            health: target.unwrap_or(Health::Healthy),
            since: event.at,
            last: event.at,
            panics: 0,
            restarts: 0,
            errors: 0,
            rejected: 0,
            dropped: 0,
            expired: 0,
            abandoned: false,
        });
        now.last = now.last.max(event.at);
        match &*event.name {
            names::AGENT_PANICKED => now.panics = now.panics.saturating_add(1),
            names::AGENT_RESTARTED => now.restarts = now.restarts.saturating_add(1),
            names::AGENT_ABANDONED => now.abandoned = true,
            names::AGENT_SPAWNED | names::AGENT_STARTED => now.abandoned = false,
            names::AGENT_DEGRADED => {
                let lost = |key: &str| event.data.get(key).and_then(Value::as_u64).unwrap_or_default();
                now.rejected = now.rejected.saturating_add(lost("rejected"));
                now.dropped = now.dropped.saturating_add(lost("dropped"));
                now.expired = now.expired.saturating_add(lost("expired"));
            }
            _ => {}
        }
        if event.kind == EventKind::ErrorAlert {
            now.errors = now.errors.saturating_add(1);
        }
        let to = target.unwrap_or(now.health);
        let changed = known.is_none_or(|known| known.health != to);
        if changed {
            now.health = to;
            now.since = event.at;
            if let Some(known) = known {
                self.counts[known.health as usize] -= 1;
            }
            self.counts[to as usize] += 1;
        }
        let mut stop = self.agents.get(agent).map_or(0, |(_, stop)| *stop);
        if changed && to == Health::Stopped {
            self.stops += 1;
            stop = self.stops;
            self.stopped.push_back((agent.clone(), stop));
        }
        self.agents.insert(agent.clone(), (now, stop));
        self.forget_stopped();
        changed.then_some(HealthChange { from: known.map(|known| known.health), to })
    }

    fn forget_stopped(&mut self) {
        while self.stopped.len() > self.remember_stopped {
            let Some((oldest, stop)) = self.stopped.pop_front() else { break };
            // It may have started again since, or even stopped again and stand further back.
            let is_over =
                |(known, latest): &(AgentHealth, u64)| known.health == Health::Stopped && *latest == stop;
            if self.agents.get(&oldest).is_some_and(is_over) {
                self.agents.remove(&oldest);
                self.counts[Health::Stopped as usize] -= 1;
            }
        }
    }

    /// What is known of one agent.
    pub fn get(&self, agent: &AgentId) -> Option<&AgentHealth> {
        self.agents.get(agent).map(|(known, _)| known)
    }

    /// All agents in one of the states in `only` (in any, when it is empty), in the order of their ids.
    pub fn all(&self, only: &[Health]) -> Vec<(AgentId, AgentHealth)> {
        let mut rows: Vec<_> = self
            .agents
            .iter()
            .filter(|(_, (known, _))| only.is_empty() || only.contains(&known.health))
            .map(|(agent, (known, _))| (agent.clone(), *known))
            .collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        rows
    }

    /// All agents, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AgentId, &AgentHealth)> {
        self.agents.iter().map(|(agent, (known, _))| (agent, known))
    }

    /// How many agents are in a state.
    pub fn count(&self, health: Health) -> usize {
        self.counts[health as usize]
    }

    /// How many agents are known.
    pub fn len(&self) -> usize {
        self.agents.len()
    }

    /// Whether no agent is known.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// How many events came in a state in which they mean nothing.
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }
}

enum Target {
    Health(Health),
    Same,
    Ignored,
    Irrelevant,
}

fn target(event: &Event, known: Option<&AgentHealth>) -> Target {
    let stopped = known.is_some_and(|known| known.health == Health::Stopped);
    let over = stopped || known.is_some_and(|known| known.abandoned);
    let unless = |barred: bool, health: Health| if barred { Target::Ignored } else { Target::Health(health) };
    match &*event.name {
        names::AGENT_SPAWNED => Target::Health(Health::Starting),
        names::AGENT_STARTED => Target::Health(Health::Healthy),
        names::AGENT_STOPPED => Target::Health(Health::Stopped),
        names::AGENT_ABANDONED => unless(stopped, Health::Failed),
        names::AGENT_PANICKED => unless(over, Health::Failed),
        names::AGENT_RESTARTED => unless(over, Health::Healthy),
        // Of one that is not known its end may have been forgotten.
        names::AGENT_RECOVERED => unless(over || known.is_none(), Health::Healthy),
        names::AGENT_DEGRADED => unless(over, Health::Degraded),
        names::NODE_ACTIVE => match known {
            Some(known) if known.health == Health::Suspected => unless(over, Health::Healthy),
            _ => Target::Irrelevant,
        },
        names::AGENT_SUSPECTED | names::NODE_SUSPECTED | names::NODE_INACTIVE => {
            unless(over || known.is_some_and(|known| known.health == Health::Failed), Health::Suspected)
        }
        _ if event.kind == EventKind::HealthCheck => {
            let said = event.data.get("health").and_then(Value::as_str);
            match Health::ALL.into_iter().find(|health| Some(health.as_str()) == said) {
                Some(health) if known.is_some_and(|known| known.health == health) => Target::Same,
                Some(health) => unless(over, health),
                None => Target::Ignored,
            }
        }
        _ if event.kind == EventKind::ErrorAlert => match known {
            Some(_) => Target::Same,
            None => Target::Ignored,
        },
        _ => Target::Irrelevant,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn event(agent: &str, name: &'static str, second: u64) -> Event {
        Event::system(Severity::Info, "test", name, Timestamp::from_start(Duration::from_secs(second)))
            .about(AgentId::new(agent).unwrap())
    }

    fn id(agent: &str) -> AgentId {
        AgentId::new(agent).unwrap()
    }

    #[test]
    fn an_agent_goes_through_a_panic_and_a_restart_and_its_counts_tell() {
        let mut board = HealthBoard::new(10);
        let steps = [
            (names::AGENT_SPAWNED, Health::Starting),
            (names::AGENT_STARTED, Health::Healthy),
            (names::AGENT_PANICKED, Health::Failed),
            (names::AGENT_RESTARTED, Health::Healthy),
            (names::AGENT_SUSPECTED, Health::Suspected),
            (names::AGENT_RECOVERED, Health::Healthy),
            (names::AGENT_STOPPED, Health::Stopped),
        ];
        for (second, (name, health)) in (0..).zip(steps) {
            assert!(board.observe(&event("a", name, second)).is_some(), "{name}");
            let known = board.get(&id("a")).unwrap();
            assert_eq!((known.health, known.since.since_start().as_secs()), (health, second), "{name}");
        }
        let known = board.get(&id("a")).unwrap();
        assert_eq!((known.panics, known.restarts), (1, 1));
    }

    #[test]
    fn late_news_of_a_stopped_or_abandoned_agent_changes_nothing() {
        let mut board = HealthBoard::new(10);
        board.observe(&event("a", names::AGENT_STARTED, 0));
        board.observe(&event("a", names::AGENT_ABANDONED, 1));
        assert_eq!(board.observe(&event("a", names::AGENT_RESTARTED, 2)), None);
        assert_eq!(board.get(&id("a")).unwrap().health, Health::Failed);
        board.observe(&event("a", names::AGENT_STOPPED, 3));
        assert_eq!(board.observe(&event("a", names::AGENT_PANICKED, 4)), None);
        assert_eq!((board.ignored(), board.count(Health::Stopped)), (2, 1));
        board.observe(&event("a", names::AGENT_SPAWNED, 5));
        assert_eq!(board.get(&id("a")).unwrap().health, Health::Starting);
    }

    #[test]
    fn a_health_check_is_taken_at_its_word_and_only_if_it_has_one() {
        let mut board = HealthBoard::new(10);
        board.observe(&Event::health_check("x", id("a"), Health::Degraded, Timestamp::ZERO));
        assert_eq!(board.get(&id("a")).unwrap().health, Health::Degraded);
        let vague =
            Event::health_check("x", id("a"), Health::Healthy, Timestamp::ZERO).with("health", "fine");
        assert_eq!(board.observe(&vague), None);
        let alert = Event::error_alert("x", "a.failed", "no", Timestamp::ZERO).about(id("a"));
        assert_eq!(board.observe(&alert), None);
        assert_eq!(board.get(&id("a")).unwrap().errors, 1);
    }

    #[test]
    fn a_health_check_that_says_what_is_known_changes_nothing_and_is_not_ignored() {
        let mut board = HealthBoard::new(10);
        board.observe(&event("a", names::AGENT_STOPPED, 0));
        let check = |health| Event::health_check("x", id("a"), health, Timestamp::ZERO);
        assert_eq!(board.observe(&check(Health::Stopped)), None);
        assert_eq!(board.ignored(), 0);
        assert_eq!(board.observe(&check(Health::Healthy)), None);
        assert_eq!((board.ignored(), board.count(Health::Stopped)), (1, 1));
    }

    #[test]
    fn what_a_degraded_agent_lost_adds_up() {
        let mut board = HealthBoard::new(10);
        for expired in [2, 3] {
            let degraded = event("a", names::AGENT_DEGRADED, 0).with("rejected", 1).with("expired", expired);
            board.observe(&degraded);
        }
        let known = board.get(&id("a")).unwrap();
        assert_eq!((known.rejected, known.dropped, known.expired), (2, 0, 5));
    }

    #[test]
    fn an_agent_whose_end_was_forgotten_does_not_come_back_by_recovering() {
        let mut board = HealthBoard::new(1);
        board.observe(&event("a", names::AGENT_DEGRADED, 0));
        for agent in ["a", "b"] {
            board.observe(&event(agent, names::AGENT_STOPPED, 1));
        }
        assert_eq!(board.observe(&event("a", names::AGENT_RECOVERED, 2)), None);
        assert!(board.get(&id("a")).is_none());
    }

    #[test]
    fn only_the_latest_stopped_agents_are_remembered() {
        let mut board = HealthBoard::new(2);
        for name in ["a", "b", "a", "c", "d"] {
            board.observe(&event(name, names::AGENT_STARTED, 0));
            board.observe(&event(name, names::AGENT_STOPPED, 1));
        }
        let left: Vec<_> = board.all(&[]).into_iter().map(|(agent, _)| agent.to_string()).collect();
        assert_eq!(left, ["c", "d"]);
        assert_eq!(board.count(Health::Stopped), 2);
    }

    proptest! {
        #[test]
        fn counts_add_up_after_any_events(steps in prop::collection::vec((0_usize..6, 0_usize..9), 0..200)) {
            let all = [
                names::AGENT_SPAWNED, names::AGENT_STARTED, names::AGENT_PANICKED, names::AGENT_RESTARTED,
                names::AGENT_DEGRADED, names::AGENT_SUSPECTED, names::AGENT_RECOVERED, names::AGENT_STOPPED,
                names::AGENT_ABANDONED,
            ];
            let mut board = HealthBoard::new(2);
            for (agent, name) in steps {
                board.observe(&event(&agent.to_string(), all[name], 0));
                for health in Health::ALL {
                    prop_assert_eq!(board.count(health), board.all(&[health]).len());
                }
                prop_assert!(board.count(Health::Stopped) <= 2);
            }
        }
    }
}
