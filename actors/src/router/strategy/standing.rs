//! [`Standing`]: whether the adaptive strategy uses an agent, learnt from what its inbox counts and measures. Pure.
//!
//! ```text
//!           slow, or fails too often             the back-off is over
//!   good ─────────────────────────────> shed ──────────────────────────> on probation: 1, 2, 4 .. messages
//!    ^                                   ^                                     │  │
//!    │                                   └── slow, failed, or not handled ─────┘  │
//!    └──────────────────────────── the last step went well ──────────────────────┘
//! ```
//!
//! **Invariant.** On probation an agent is sent no more than the messages of its step before they are handled. The back-off
//! doubles with each probation that fails, up to its bound, and begins anew after one that went well.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::support::{doubling, micros};

/// When the adaptive strategy sheds an agent, and how it lets it back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveOptions {
    /// An agent is slow when its latency is more than so many times the median of the route's agents. Default: 3.
    pub slow_factor: f32,
    /// An agent fails when more than this share of its messages do. Default: 0.5.
    pub failure_share: f32,
    /// After how many messages of an agent its share of failures is looked at. Default: 10.
    pub window: u64,
    /// How many messages an agent must have handled before it can be found slow. Default: 8.
    pub measured: u64,
    /// How long an agent is left alone when it is shed. Default: 1 s.
    pub back_off: Duration,
    /// How long it is left alone at most, however often its return failed. Default: 60 s.
    pub most_back_off: Duration,
    /// How many steps its return has; each allows twice as many messages as the one before, the first one. Default: 4.
    pub steps: u32,
}

impl Default for AdaptiveOptions {
    fn default() -> Self {
        Self {
            slow_factor: 3.0,
            failure_share: 0.5,
            window: 10,
            measured: 8,
            back_off: Duration::from_secs(1),
            most_back_off: Duration::from_secs(60),
            steps: 4,
        }
    }
}

/// What is seen of an agent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    /// \[us\]
    pub(super) now: u64,
    /// Smoothed, from its acceptance until a message is handled \[us\].
    pub(super) latency_us: f32,
    /// The median of the route's agents \[us\]; 0 when it is not known.
    pub(super) median_us: f32,
    pub(super) handled: u64,
    pub(super) failed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Good,
    Shed {
        until: u64,
        tries: u32,
    },
    Probation {
        step: u32,
        left: u32,
        tries: u32,
        /// When messages that are not handled count as failed.
        by: u64,
    },
}

/// What may be sent to an agent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As much as to any other.
    Good,
    /// Nothing.
    Shed,
    /// One message, of this step, from 1.
    Probe(u32),
}

/// How an agent stands with one route.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    phase: Phase,
    /// What was counted when the window, or the step, began.
    handled: u64,
    failed: u64,
}

impl Standing {
    /// What may be sent now, from what is seen now.
    pub(super) fn look(&mut self, seen: &Look, options: &AdaptiveOptions) -> Verdict {
        let (done, failures) =
            (seen.handled.saturating_sub(self.handled), seen.failed.saturating_sub(self.failed));
        let is_slow = seen.median_us > 0.0 && seen.latency_us > options.slow_factor * seen.median_us;
        match self.phase {
            Phase::Good => {
                let total = done + failures;
                let mut fails = false;
                if total >= options.window.max(1) {
                    fails = share(failures, total) > options.failure_share;
                    self.mark(seen);
                }
                if fails || is_slow && seen.handled >= options.measured {
                    return self.shed(seen, options, 0);
                }
                Verdict::Good
            }
            Phase::Shed { until, .. } if seen.now < until => Verdict::Shed,
            Phase::Shed { tries, .. } => self.begin(seen, options, 0, tries),
            Phase::Probation { tries, .. } if failures > 0 || done > 0 && is_slow => {
                self.shed(seen, options, tries + 1)
            }
            Phase::Probation { step, left, tries, .. } if done >= 1 << step && left == 0 => {
                if step + 1 >= options.steps.clamp(1, 30) {
                    self.phase = Phase::Good;
                    self.mark(seen);
                    return Verdict::Good;
                }
                self.begin(seen, options, step + 1, tries)
            }
            Phase::Probation { step, left, .. } if left > 0 => Verdict::Probe(step + 1),
            Phase::Probation { tries, by, .. } if seen.now >= by => self.shed(seen, options, tries + 1),
            Phase::Probation { .. } => Verdict::Shed,
        }
    }

    /// Notes that a probe was sent. Answers false when none may be sent any more.
    pub(super) fn probe(&mut self, now: u64, options: &AdaptiveOptions) -> bool {
        let Phase::Probation { left, tries, by, .. } = &mut self.phase else { return false };
        let may = *left > 0;
        *left = left.saturating_sub(1);
        *by = now.saturating_add(wait(options, *tries));
        may
    }

    fn mark(&mut self, seen: &Look) {
        (self.handled, self.failed) = (seen.handled, seen.failed);
    }

    fn shed(&mut self, seen: &Look, options: &AdaptiveOptions, tries: u32) -> Verdict {
        self.phase = Phase::Shed { until: seen.now.saturating_add(wait(options, tries)), tries };
        Verdict::Shed
    }

    fn begin(&mut self, seen: &Look, options: &AdaptiveOptions, step: u32, tries: u32) -> Verdict {
        self.mark(seen);
        let by = seen.now.saturating_add(wait(options, tries));
        self.phase = Phase::Probation { step, left: 1 << step, tries, by };
        Verdict::Probe(step + 1)
    }
}

/// The back-off after so many returns that failed \[us\].
fn wait(options: &AdaptiveOptions, tries: u32) -> u64 {
    micros(doubling(options.back_off, options.most_back_off, tries.saturating_add(1)))
}

#[expect(clippy::cast_precision_loss, reason = "a share is compared")]
fn share(part: u64, whole: u64) -> f32 {
    part as f32 / whole as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn seen(now: u64, latency_us: f32, handled: u64, failed: u64) -> Look {
        Look { now, latency_us, median_us: 10.0, handled, failed }
    }

    #[test]
    fn a_slow_agent_is_shed_and_let_back_step_by_step() {
        let (mut standing, options) = (Standing::default(), AdaptiveOptions::default());
        let look = |standing: &mut Standing, seen: Look| standing.look(&seen, &options);
        assert_eq!(look(&mut standing, seen(0, 31.0, 7, 0)), Verdict::Good, "too few to say");
        assert_eq!(look(&mut standing, seen(0, 30.0, 9, 0)), Verdict::Good, "three times is not more");
        assert_eq!(look(&mut standing, seen(0, 31.0, 9, 0)), Verdict::Shed);
        assert_eq!(look(&mut standing, seen(SECOND - 1, 1.0, 9, 0)), Verdict::Shed, "its back-off holds");
        let (mut handled, mut now) = (9, SECOND);
        for step in 1..=4 {
            for sent in 0..1 << (step - 1) {
                assert_eq!(look(&mut standing, seen(now, 1.0, handled, 0)), Verdict::Probe(step), "{sent}");
                assert!(standing.probe(now, &options));
            }
            assert!(!standing.probe(now, &options));
            assert_eq!(look(&mut standing, seen(now, 1.0, handled, 0)), Verdict::Shed, "none is handled yet");
            handled += 1 << (step - 1);
            now += 1;
        }
        assert_eq!(look(&mut standing, seen(now, 1.0, handled, 0)), Verdict::Good);
    }

    #[test]
    fn a_failing_agent_is_shed_after_a_window_and_its_back_off_doubles_up_to_its_bound() {
        let (mut standing, options) = (Standing::default(), AdaptiveOptions::default());
        assert_eq!(standing.look(&seen(0, 1.0, 4, 5), &options), Verdict::Good, "nine are too few");
        assert_eq!(standing.look(&seen(0, 1.0, 4, 6), &options), Verdict::Shed);
        let (mut now, mut failed, mut waits) = (0, 6, Vec::new());
        for _ in 0..8 {
            let begun = now;
            while standing.look(&seen(now, 1.0, 4, failed), &options) == Verdict::Shed {
                now += SECOND;
            }
            waits.push((now - begun) / SECOND);
            assert!(standing.probe(now, &options));
            failed += 1;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_probe_that_is_never_handled_fails() {
        let (mut standing, options) = (Standing::default(), AdaptiveOptions::default());
        assert_eq!(standing.look(&seen(0, 99.0, 9, 0), &options), Verdict::Shed);
        assert_eq!(standing.look(&seen(SECOND, 99.0, 9, 0), &options), Verdict::Probe(1));
        assert!(standing.probe(SECOND, &options));
        assert_eq!(standing.look(&seen(2 * SECOND, 99.0, 9, 0), &options), Verdict::Shed);
        assert_eq!(
            standing.look(&seen(4 * SECOND - 1, 99.0, 9, 0), &options),
            Verdict::Shed,
            "two seconds now"
        );
        assert_eq!(standing.look(&seen(4 * SECOND, 99.0, 9, 0), &options), Verdict::Probe(1));
    }

    proptest! {
        #[test]
        fn on_probation_no_more_is_sent_than_the_step_allows_whatever_happens(
            steps in prop::collection::vec((0_u64..3 * SECOND, 0_u64..3, 0_u64..2, 0.0_f32..60.0), 1..300),
        ) {
            let (mut standing, options) = (Standing::default(), AdaptiveOptions::default());
            let (mut now, mut handled, mut failed) = (0, 0, 0);
            let mut sent = (0_u32, 0_u32);
            for (passed, done, fails, latency) in steps {
                (now, handled, failed) = (now + passed, handled + done, failed + fails);
                match standing.look(&seen(now, latency, handled, failed), &options) {
                    Verdict::Probe(step) => {
                        if step != sent.0 {
                            prop_assert!(step == 1 || step == sent.0 + 1, "{} after {}", step, sent.0);
                            sent = (step, 0);
                        }
                        prop_assert!(standing.probe(now, &options));
                        sent.1 += 1;
                        prop_assert!(sent.1 <= 1 << (step - 1), "{} in step {}", sent.1, step);
                    }
                    Verdict::Good => sent = (0, 0),
                    Verdict::Shed => if matches!(standing.phase, Phase::Shed { .. }) { sent = (0, 0) },
                }
            }
        }
    }
}
