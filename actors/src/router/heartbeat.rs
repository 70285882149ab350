//! [`Heartbeat`]: whether agents still come to their turn, and what follows when they do not.
//!
//! ```text
//!  every so often:  Heart ──question for each agent──> its arbiter's port ──> its pump, when it next runs and does not wait
//!                     ^                                                         │ notes the beat
//!                     └───────────── looks at the beats, a round later ─────────┘
//!                     │
//!                     v  suspected, inactive, active again
//!                   Router ──> routes, events
//! ```
//!
//! An agent that waits in `ctx.wait`, one that rests before a restart, and all whose thread is blocked miss their beats.
//! Whoever misses one is suspected; whoever misses so many in a row is inactive and on no route until it beats again. A
//! question stays until it is answered, so an agent that comes back does so at once.
//!
//! Nobody is asked while nothing is sent, pending or missed; in virtual time the timer rests then, until something is sent,
//! or it would let the clock run on for ever. The heart lives on the first arbiter: while that one is blocked it asks nobody.
//!
//! **Invariant.** A missed beat is one that was asked for and not answered within a round. **Restart.** What was missed is
//! in the inboxes and outlives the router.

use std::{sync::Arc, time::Duration};

use actix::{Addr, Message};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Directory, Router};
use crate::{
    agent::{AgentId, Lane},
    inbox::{AgentHandle, Arrival, Hub, PortItem},
};

/// How often agents must show that they come to their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// How long an agent has for each beat, 1 ms at least. Default: 5 s.
    pub every: Duration,
    /// After how many missed beats in a row it is inactive. Default: 3.
    pub inactive_after: u32,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { every: Duration::from_secs(5), inactive_after: 3 }
    }
}

/// A change in whether an agent beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Suspected,
    /// After so many beats.
    Inactive(u32),
    /// It missed so many beats before.
    Active(u32),
}

/// What follows from one question: how many beats in a row are missed now, and what changes.
fn judge(missed: u32, answered: bool, inactive_after: u32) -> (u32, Option<Turn>) {
    if answered {
        return (0, (missed > 0).then_some(Turn::Active(missed)));
    }
    let now = missed.saturating_add(1);
    let turn = if now == inactive_after.max(1) {
        Some(Turn::Inactive(now))
    } else {
        (missed == 0).then_some(Turn::Suspected)
    };
    (now, turn)
}

/// Tells the router who beats no more, and who does again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Beats(pub(crate) Vec<(AgentId, Turn)>);

/// Asks agents of one arbiter to beat.
struct Question(Vec<AgentHandle>);

impl Arrival for Question {
    fn arrive(self: Box<Self>) {
        self.0.iter().for_each(|agent| agent.door.ask_to_beat());
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

/// How many agents are looked at before others get their turn.
const CHUNK: usize = 1_024;

/// Asks, and looks at the answers.
pub(crate) struct Heart {
    pub(crate) hub: Arc<Hub>,
    pub(crate) directory: Directory,
    pub(crate) router: Addr<Router>,
    pub(crate) options: Heartbeat,
}

impl Heart {
    /// Beats for ever. With `rests`, the timer rests while nothing happens.
    pub(crate) async fn run(self, rests: bool) {
        let every = self.options.every.max(Duration::from_millis(1));
        let (mut next, mut last, mut asked) = (Instant::now() + every, None, false);
        loop {
            tokio::select! {
                biased;
                () = self.hub.pulse.heard() => {
                    self.welcome();
                    continue;
                }
                () = tokio::time::sleep_until(next) => {}
            }
            let counts = self.hub.ledger();
            let is_stirring = last != Some(counts) || !rests && counts.pending > 0;
            last = Some(counts);
            let mut is_open = asked && self.look().await;
            is_open |= is_stirring;
            asked = is_open;
            if is_open {
                self.ask().await;
            } else if rests {
                tokio::select! {
                    biased;
                    () = self.hub.pulse.heard() => self.welcome(),
                    () = self.hub.pulse.sent() => {}
                }
            }
            next = Instant::now() + every;
        }
    }

    /// Whoever was missed and beat again is back at once.
    fn welcome(&self) {
        let agents = self.hub.pulse.take_heard();
        let back = agents.into_iter().filter_map(|id| {
            let agent = self.directory.agent(&id)?;
            let (missed, turn) = judge(agent.door.gauge().missed(), true, self.options.inactive_after);
            agent.door.gauge().set_missed(missed);
            Some((id, turn?))
        });
        self.tell(back.collect());
    }

    fn tell(&self, turns: Vec<(AgentId, Turn)>) {
        if !turns.is_empty() {
            self.router.do_send(Beats(turns));
        }
    }

    /// Looks at the answers. Answers whether somebody is on the way to being inactive.
    async fn look(&self) -> bool {
        let (mut from, mut is_open) = (0, false);
        while let Some(agents) = self.directory.some(from..from + CHUNK) {
            let mut turns = Vec::new();
            for agent in &agents {
                let gauge = agent.door.gauge();
                let Some(answered) = gauge.answered() else { continue };
                let (missed, turn) = judge(gauge.missed(), answered, self.options.inactive_after);
                gauge.set_missed(missed);
                is_open |= (1..self.options.inactive_after).contains(&missed);
                turns.extend(turn.map(|turn| (agent.id().clone(), turn)));
            }
            self.tell(turns);
            from += CHUNK;
            tokio::task::yield_now().await;
        }
        is_open
    }

    async fn ask(&self) {
        let mut from = 0;
        while let Some(agents) = self.directory.some(from..from + CHUNK) {
            let now = self.hub.now().micros();
            let mut arbiters: Vec<Vec<AgentHandle>> = vec![Vec::new(); self.hub.ports().len()];
            for agent in agents {
                let port = agent.door.port();
                if let Some(at) = self.hub.ports().iter().position(|other| Arc::ptr_eq(other, port)) {
                    agent.door.gauge().ask(now);
                    arbiters[at].push(agent);
                }
            }
            for (port, agents) in self.hub.ports().iter().zip(arbiters) {
                if !agents.is_empty() {
                    port.append(Lane::Control, [PortItem::Direct(Box::new(Question(agents)))]);
                }
            }
            from += CHUNK;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn who_missed_how_many_beats_is_as_the_history_says(
            beats in prop::collection::vec(prop::bool::weighted(0.4), 0..60), inactive_after in 1_u32..5,
        ) {
            let mut missed = 0;
            for end in 1..=beats.len() {
                let history = &beats[..end];
                let (now, turn) = judge(missed, history[end - 1], inactive_after);
                // The naive model counts back from the end.
                let missed_by = |history: &[bool]| {
                    u32::try_from(history.iter().rev().take_while(|beat| !**beat).count()).unwrap()
                };
                let (before, after) = (missed_by(&history[..end - 1]), missed_by(history));
                prop_assert_eq!((missed, now), (before, after));
                let expected = match (before, after) {
                    (0, 0) => None,
                    (before, 0) => Some(Turn::Active(before)),
                    (_, after) if after == inactive_after => Some(Turn::Inactive(after)),
                    (0, 1) => Some(Turn::Suspected),
                    _ => None,
                };
                prop_assert_eq!(turn, expected);
                missed = now;
            }
        }
    }
}
