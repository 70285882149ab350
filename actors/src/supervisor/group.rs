//! [`Group`]: the strategy, the order and the restarts of one group of agents and groups. Pure.
//!
//! ```text
//!  a child ended ──> needs no restart ──> Let it be
//!                └─> restarts left ─────> Restart [the child | all | the child and those after it], one back-off
//!                └─> too many ──────────> Escalate: the parent group restarts this one, or all of it stops
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::policy::{Decision, RestartLog, Supervision};
use crate::agent::{ExitReason, GroupName, Timestamp};

/// Which members of a group are restarted when one of them ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The one that ended.
    #[default]
    OneForOne,
    /// All of the group.
    OneForAll,
    /// The one that ended and those that joined after it.
    RestForOne,
}

/// What a group is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Its name, in all messages about it.
    pub name: GroupName,
    /// Which children are restarted together.
    pub strategy: Strategy,
    /// How often the group may restart children, and after which wait. The policy is each agent's own.
    pub supervision: Supervision,
}

/// What follows the end of a child.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Consequence {
    /// The child stays ended, for this reason.
    LetBe(ExitReason),
    /// The children at these positions are restarted after the wait.
    Restart { children: Vec<usize>, after: std::time::Duration, cause: String },
    /// The group gives up.
    Escalate(String),
}

/// One group's children, in order of joining, and its restarts.
#[derive(Debug)]
pub(crate) struct Group<C> {
    pub(crate) spec: GroupSpec,
    children: BTreeMap<usize, C>,
    /// How many have ever joined.
    joined: usize,
    log: RestartLog,
}

impl<C> Group<C> {
    pub(crate) fn new(spec: GroupSpec) -> Self {
        Self { spec, children: BTreeMap::new(), joined: 0, log: RestartLog::default() }
    }

    /// Adds a child behind the others; answers its position, which no other child ever has.
    pub(crate) fn join(&mut self, child: C) -> usize {
        let position = self.joined;
        self.joined += 1;
        self.children.insert(position, child);
        position
    }

    pub(crate) fn leave(&mut self, position: usize) {
        self.children.remove(&position);
    }

    pub(crate) fn child(&self, position: usize) -> Option<&C> {
        self.children.get(&position)
    }

    pub(crate) fn child_mut(&mut self, position: usize) -> Option<&mut C> {
        self.children.get_mut(&position)
    }

    /// The positions of all children, in order of joining.
    pub(crate) fn positions(&self) -> Vec<usize> {
        self.present(0)
    }

    /// What follows the end of the child at `position`. `own` is the child's own supervision, whose policy decides
    /// whether it needs a restart; a nested group that gave up always does.
    pub(crate) fn ended(
        &mut self,
        position: usize,
        own: Option<&Supervision>,
        reason: ExitReason,
        now: Timestamp,
        seed: u64,
    ) -> Consequence {
        let cause = reason.to_string();
        let supervision = Supervision {
            policy: own.map_or(super::RestartPolicy::Permanent, |own| own.policy),
            ..self.spec.supervision
        };
        let who = format!("group {}", self.spec.name);
        match self.log.decide(&supervision, reason, now, seed, &who) {
            Decision::Restart(after) => {
                let children = match self.spec.strategy {
                    Strategy::OneForOne => vec![position],
                    Strategy::OneForAll => self.present(0),
                    Strategy::RestForOne => self.present(position),
                };
                Consequence::Restart { children, after, cause }
            }
            Decision::Stop(ExitReason::Escalated(why)) => Consequence::Escalate(why),
            Decision::Stop(reason) => Consequence::LetBe(reason),
        }
    }

    fn present(&self, from: usize) -> Vec<usize> {
        self.children.range(from..).map(|(position, _)| *position).collect()
    }

    /// Forgets past restarts, as after the parent restarted the whole group.
    pub(crate) fn begin_anew(&mut self) {
        self.log = RestartLog::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Backoff, Intensity, RestartPolicy};

    fn group(strategy: Strategy) -> Group<&'static str> {
        let supervision = Supervision { backoff: Backoff::NONE, ..Supervision::default() };
        let spec = GroupSpec { name: GroupName::new("g").unwrap(), strategy, supervision };
        let mut group = Group::new(spec);
        for child in ["a", "b", "c"] {
            group.join(child);
        }
        group
    }

    fn restarted(group: &mut Group<&'static str>, position: usize) -> Vec<&'static str> {
        let own = Supervision::default();
        let panic = ExitReason::Panicked("x".into());
        match group.ended(position, Some(&own), panic, Timestamp::ZERO, 1) {
            Consequence::Restart { children, .. } => {
                children.into_iter().map(|at| *group.child(at).unwrap()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_strategy_restarts_the_children_it_names() {
        assert_eq!(restarted(&mut group(Strategy::OneForOne), 1), ["b"]);
        assert_eq!(restarted(&mut group(Strategy::OneForAll), 1), ["a", "b", "c"]);
        assert_eq!(restarted(&mut group(Strategy::RestForOne), 1), ["b", "c"]);
    }

    #[test]
    fn a_child_that_left_is_restarted_no_more() {
        let mut group = group(Strategy::OneForAll);
        group.leave(0);
        assert_eq!(restarted(&mut group, 2), ["b", "c"]);
        assert_eq!(group.positions(), [1, 2]);
        assert_eq!(group.join("d"), 3, "a position is not given to another");
    }

    #[test]
    fn the_policy_of_the_child_decides_whether_it_needs_a_restart() {
        let mut group = group(Strategy::OneForAll);
        let own = Supervision { policy: RestartPolicy::Temporary, ..Supervision::default() };
        let panic = ExitReason::Panicked("x".into());
        let consequence = group.ended(0, Some(&own), panic.clone(), Timestamp::ZERO, 1);
        assert_eq!(consequence, Consequence::LetBe(panic));
    }

    #[test]
    fn one_restart_too_many_in_the_whole_group_escalates_until_it_begins_anew() {
        let mut group = group(Strategy::OneForOne);
        group.spec.supervision.intensity = Intensity { restarts: 2, ..Intensity::default() };
        assert_eq!(restarted(&mut group, 0), ["a"]);
        assert_eq!(restarted(&mut group, 1), ["b"]);
        let panic = || ExitReason::Panicked("x".into());
        let own = Supervision::default();
        let consequence = group.ended(2, Some(&own), panic(), Timestamp::ZERO, 1);
        assert_eq!(
            consequence,
            Consequence::Escalate("group g needed more than 2 restarts within 5s".into())
        );
        group.begin_anew();
        assert_eq!(restarted(&mut group, 2), ["c"]);
    }
}
