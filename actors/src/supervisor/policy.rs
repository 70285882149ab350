//! When and how an agent is restarted: [`Supervision`]. Pure.

use std::{collections::VecDeque, time::Duration};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::agent::{ExitReason, Timestamp};

/// When an agent is restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// However it ended, unless it was told to stop.
    Permanent,
    /// After a panic, not after it stopped by itself.
    #[default]
    Transient,
    /// Never.
    Temporary,
}

/// How often a restart is allowed before giving up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Intensity {
    /// So many restarts are allowed ..
    pub restarts: u32,
    /// .. within this time; one more escalates.
    pub within: Duration,
}

impl Default for Intensity {
    /// 3 restarts within 5 s.
    fn default() -> Self {
        Self { restarts: 3, within: Duration::from_secs(5) }
    }
}

/// How long to wait before a restart: `min(max, initial * factor^(n-1))` for the n-th restart within the window, times
/// a random number from `1 - jitter` to `1 + jitter`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// Before the first restart.
    pub initial: Duration,
    /// The longest wait, before jitter.
    pub max: Duration,
    /// By how much each wait is longer than the one before.
    pub factor: f64,
    /// The share by which a wait varies, 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    /// 10 ms, doubling up to 1 s, varied by a fifth.
    fn default() -> Self {
        Self { initial: Duration::from_millis(10), max: Duration::from_secs(1), factor: 2.0, jitter: 0.2 }
    }
}

impl Backoff {
    /// No wait at all.
    pub const NONE: Backoff =
        Backoff { initial: Duration::ZERO, max: Duration::ZERO, factor: 1.0, jitter: 0.0 };

    /// The wait before the `nth` restart, from 1 on. The same seed, agent and `lifetime` (restarts so far, ever) give the
    /// same jitter.
    pub fn delay(&self, nth: u32, seed: u64, agent: &str, lifetime: u32) -> Duration {
        let exponent = i32::try_from(nth.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = if self.factor.is_finite() { self.factor.max(1.0) } else { 1.0 };
        if self.initial.is_zero() {
            // Zero times a factor that has grown to infinity is no number.
            return Duration::ZERO;
        }
        let plain = (self.initial.as_secs_f64() * factor.powi(exponent)).min(self.max.as_secs_f64());
        let jitter = if self.jitter.is_finite() { self.jitter.clamp(0.0, 1.0) } else { 0.0 };
        // Beyond the range of `Duration` is as good as for ever.
        let duration = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        if plain <= 0.0 || jitter == 0.0 {
            return duration(plain.max(0.0));
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ fnv1a(agent));
        random.set_word_pos(u128::from(lifetime) * 2);
        let spread: f64 = random.random_range(-jitter..=jitter);
        duration(plain * (1.0 + spread))
    }
}

/// FNV-1a, 64 bits: a fixed hash, so that the same names give the same randomness on every machine.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// How an agent is supervised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Supervision {
    /// Which ends are followed by a restart.
    pub policy: RestartPolicy,
    /// How often.
    pub intensity: Intensity,
    /// After which wait.
    pub backoff: Backoff,
}

impl Supervision {
    /// Restarted at once, every time: for actors whose state outlives them and that nothing works without.
    pub const ALWAYS: Supervision = Supervision {
        policy: RestartPolicy::Permanent,
        intensity: Intensity { restarts: u32::MAX, within: Duration::ZERO },
        backoff: Backoff::NONE,
    };
}

/// What follows the end of an incarnation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    Restart(Duration),
    Stop(ExitReason),
}

/// The restarts of one agent or group, as far as they matter for its intensity.
#[derive(Debug, Default)]
pub(crate) struct RestartLog {
    recent: VecDeque<Timestamp>,
    lifetime: u32,
}

impl RestartLog {
    /// Decides what follows an end at `now`.
    pub(crate) fn decide(
        &mut self,
        supervision: &Supervision,
        end: ExitReason,
        now: Timestamp,
        seed: u64,
        who: &str,
    ) -> Decision {
        let again = match supervision.policy {
            RestartPolicy::Permanent => true,
            RestartPolicy::Transient => !end.is_normal(),
            RestartPolicy::Temporary => false,
        };
        if again { self.count(supervision, now, seed, who) } else { Decision::Stop(end) }
    }

    /// Counts a restart at `now`, or escalates when there were too many.
    pub(crate) fn count(
        &mut self,
        supervision: &Supervision,
        now: Timestamp,
        seed: u64,
        who: &str,
    ) -> Decision {
        let Intensity { restarts, within } = supervision.intensity;
        while self.recent.front().is_some_and(|at| now.since(*at) > within) {
            self.recent.pop_front();
        }
        if self.recent.len() >= restarts as usize {
            return Decision::Stop(ExitReason::Escalated(format!(
                "{who} needed more than {restarts} restarts within {within:?}"
            )));
        }
        self.recent.push_back(now);
        self.lifetime = self.lifetime.saturating_add(1);
        let nth = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        Decision::Restart(supervision.backoff.delay(nth, seed, who, self.lifetime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panicked() -> ExitReason {
        ExitReason::Panicked("x".into())
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn each_policy_restarts_after_the_ends_it_names_and_no_other() {
        let cases = [
            (RestartPolicy::Permanent, true, true),
            (RestartPolicy::Transient, false, true),
            (RestartPolicy::Temporary, false, false),
        ];
        for (policy, after_normal, after_panic) in cases {
            for (end, again) in [(ExitReason::Normal, after_normal), (panicked(), after_panic)] {
                let supervision = Supervision { policy, ..Supervision::default() };
                let decision = RestartLog::default().decide(&supervision, end.clone(), at(0), 1, "a");
                assert_eq!(matches!(decision, Decision::Restart(_)), again, "{policy:?} after {end:?}");
            }
        }
    }

    #[test]
    fn one_restart_more_than_the_intensity_allows_escalates_and_old_restarts_are_forgotten() {
        let supervision = Supervision::default();
        let mut log = RestartLog::default();
        for second in 0..3 {
            let decision = log.decide(&supervision, panicked(), at(second), 1, "a");
            assert!(matches!(decision, Decision::Restart(_)));
        }
        // At 6 s only the restarts at 1 s and 2 s are within 5 s.
        assert!(matches!(log.decide(&supervision, panicked(), at(6), 1, "a"), Decision::Restart(_)));
        let decision = log.decide(&supervision, panicked(), at(6), 1, "a");
        let Decision::Stop(ExitReason::Escalated(why)) = decision else { panic!("{decision:?}") };
        assert_eq!(why, "a needed more than 3 restarts within 5s");
    }

    #[test]
    fn the_back_off_doubles_up_to_its_maximum_within_its_jitter() {
        let backoff = Backoff::default();
        for (nth, plain) in [(1, 10.0), (2, 20.0), (3, 40.0), (8, 1_000.0), (200, 1_000.0)] {
            let delay = backoff.delay(nth, 7, "a", nth).as_secs_f64() * 1_000.0;
            assert!((plain * 0.8..=plain * 1.2).contains(&delay), "{nth}: {delay} ms");
        }
        assert_eq!(Backoff::NONE.delay(5, 7, "a", 5), Duration::ZERO);
    }

    #[test]
    fn absurd_back_offs_neither_panic_nor_turn_nothing_into_a_wait() {
        let endless = Backoff { initial: Duration::MAX, max: Duration::MAX, factor: f64::MAX, jitter: 1.0 };
        for lifetime in 0..50 {
            assert!(endless.delay(lifetime, 7, "a", lifetime) <= Duration::MAX);
        }
        let none = Backoff { initial: Duration::ZERO, ..Backoff::default() };
        assert_eq!(none.delay(5_000, 7, "a", 5_000), Duration::ZERO);
        assert_eq!(Backoff { jitter: 0.0, ..endless }.delay(1, 7, "a", 1), Duration::MAX);
    }

    #[test]
    fn the_jitter_follows_seed_agent_and_restart() {
        let backoff = Backoff::default();
        let delay = |seed, agent, lifetime| backoff.delay(1, seed, agent, lifetime);
        assert_eq!(delay(7, "a", 1), delay(7, "a", 1));
        assert_ne!(delay(7, "a", 1), delay(8, "a", 1));
        assert_ne!(delay(7, "a", 1), delay(7, "b", 1));
        assert_ne!(delay(7, "a", 1), delay(7, "a", 2));
    }
}
