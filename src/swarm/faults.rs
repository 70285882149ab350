//! The faults a manifest plans: agents struck by a panic, when so many tasks have completed or so much time has passed.
//!
//! **Invariant.** Each fault strikes once, or the report says that it did not.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::{feed, world::Env};
use crate::manifest::{PlannedFault, When};

/// How long the crash that follows a fault is waited for.
const CRASH: Duration = Duration::from_secs(5);

/// The faults of a run.
pub(super) struct Faults {
    tasks: u64,
    /// Without a handle once it has struck and was waited for.
    striking: Vec<(PlannedFault, Option<JoinHandle<()>>)>,
}

impl Faults {
    /// Plans them; time counts from now.
    pub(super) async fn plan(env: &Env) -> Self {
        let planned = &env.world.manifest.faults;
        let by_share = planned.iter().any(|fault| matches!(fault.when, When::TasksCompleted(_)));
        let tasks = if by_share { feed::count(&env.world).await } else { 0 };
        let strike = |fault: &PlannedFault| {
            let strike = strike(env.clone(), fault.clone(), tasks);
            (fault.clone(), Some(actix_rt::spawn(strike)))
        };
        Self { tasks, striking: planned.iter().map(strike).collect() }
    }

    /// Waits for those that strike after a time.
    pub(super) async fn timed(&mut self) {
        for (_, strike) in self.striking.iter_mut().filter(|(fault, _)| matches!(fault.when, When::After(_)))
        {
            if let Some(striking) = strike {
                // Aborted only at the end.
                _ = striking.await;
            }
            *strike = None;
        }
    }

    /// Waits for faults that are just striking, and names those that have not come to it.
    pub(super) async fn end(self, env: &Env) {
        let striking = self.striking.into_iter().filter_map(|(fault, strike)| Some((fault, strike?)));
        for (fault, strike) in striking {
            let due = match fault.when {
                When::TasksCompleted(share) => {
                    needed(share, self.tasks).is_some_and(|needed| env.world.tally.read().completed >= needed)
                }
                When::After(_) => strike.is_finished(),
            };
            if due {
                // Aborted only below.
                _ = strike.await;
            } else {
                strike.abort();
                let agent = &fault.kill.agent;
                env.world
                    .tally
                    .note(format!("the planned fault of {agent} did not strike: the run ended before"));
            }
        }
    }
}

/// How many tasks are this share of all; none when there are no tasks at all.
fn needed(share: f64, tasks: u64) -> Option<usize> {
    #[expect(clippy::cast_precision_loss, reason = "a share of more than 2^53 tasks may be off by some")]
    let exact = (share * tasks as f64).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares are 0 to 1")]
    (tasks > 0).then_some(exact as usize)
}

async fn strike(env: Env, fault: PlannedFault, tasks: u64) {
    let (tally, agent) = (&env.world.tally, &fault.kill.agent);
    let occasion = match fault.when {
        When::After(time) => {
            env.host.sleep(time).await;
            format!("{time:?} after the agents were there")
        }
        When::TasksCompleted(share) => {
            let Some(needed) = needed(share, tasks) else { return std::future::pending().await };
            tally.until(|figures| figures.completed >= needed).await;
            format!("when {} of about {tasks} tasks had completed", tally.read().completed)
        }
    };
    match env.host.agent(agent) {
        Ok(struck) => {
            tally.note(format!("{agent} is struck by a planned fault, {occasion}"));
            let before = tally.read().crashed.get(agent).copied().unwrap_or_default();
            struck.inject_panic("a planned fault");
            let crashed = tally.until(|figures| {
                figures.gone.contains(agent)
                    || figures.crashed.get(agent).is_some_and(|crashes| *crashes > before)
            });
            // An agent that waits for its own restart is not struck again.
            _ = tokio::time::timeout(CRASH, crashed).await;
        }
        Err(_) => tally.note(format!("the planned fault of {agent} did not strike: it is no more")),
    }
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn a_share_is_rounded_up_and_needs_tasks() {
        assert_eq!(needed(0.5, 7), Some(4));
        assert_eq!((needed(0.0, 7), needed(1.0, 7)), (Some(0), Some(7)));
        assert_eq!(needed(0.5, 0), None);
    }
}
