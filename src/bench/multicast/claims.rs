//! [`Claim`]: what the ancestor's report says of multicasts, and whether that holds.

use serde::Serialize;

use crate::bench::standing::Standing;

/// What is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Claim {
    /// From so many messages a second ..
    pub(super) from_per_s: f64,
    /// .. to so many.
    pub(super) to_per_s: f64,
    /// So many times as fast.
    pub(super) speed_up: f64,
    /// What was aimed at.
    pub(super) target: f64,
}

impl Claim {
    /// The ancestor's.
    pub(super) const ANCESTOR: Self =
        Self { from_per_s: 100.0, to_per_s: 1_280.0, speed_up: 12.8, target: 10.0 };
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Measure {
    /// How many times as fast as one by one.
    OverOneByOne,
    /// How many times as fast as the ancestor's loop.
    OverAncestor,
    /// Messages a second.
    MessagesPerS,
}

/// A figure beside what is aimed at and what is claimed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Judged {
    /// Where it was measured.
    pub(super) place: String,
    /// What is compared.
    pub(super) measure: Measure,
    /// What phalanx reaches.
    pub(super) reached: f64,
    /// What no router can exceed, where that is known.
    pub(super) possible: Option<f64>,
    /// What was aimed at.
    pub(super) target: f64,
    /// Whether it is reached.
    pub(super) target_is: Standing,
    /// What is claimed.
    pub(super) claim: f64,
    /// Whether it is reached.
    pub(super) claim_is: Standing,
}

impl Claim {
    /// Holds a figure against it.
    pub(super) fn judge(
        &self,
        place: impl Into<String>,
        measure: Measure,
        reached: f64,
        possible: Option<f64>,
    ) -> Judged {
        let (target, claim) = match measure {
            Measure::OverOneByOne | Measure::OverAncestor => (self.target, self.speed_up),
            Measure::MessagesPerS => (self.target * self.from_per_s, self.to_per_s),
        };
        Judged {
            place: place.into(),
            measure,
            reached,
            possible,
            target,
            target_is: Standing::of(reached, target, possible),
            claim,
            claim_is: Standing::of(reached, claim, possible),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_in_messages_a_second_is_ten_times_what_the_claim_starts_from() {
        let judged = Claim::ANCESTOR.judge("x", Measure::MessagesPerS, 1_100.0, None);
        assert!((judged.target - 1_000.0).abs() < 1e-9 && (judged.claim - 1_280.0).abs() < 1e-9);
        assert_eq!((judged.target_is, judged.claim_is), (Standing::Met, Standing::Missed));
    }
}
