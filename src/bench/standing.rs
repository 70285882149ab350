//! [`Standing`]: whether something wanted is reached.

use serde::Serialize;

use crate::report::outline::Tone;

/// Who falls short of what nobody can reach must come as close as this to what one can.
const CLOSE: f64 = 0.95;

/// Whether something wanted is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// It is.
    Met,
    /// It is beyond what anybody can reach, and what one can is reached.
    AtBound,
    /// It is not.
    Missed,
}

impl Standing {
    /// Of what is reached beside what is wanted, and beside the most that is possible where that is known.
    pub(super) fn of(reached: f64, wanted: f64, possible: Option<f64>) -> Self {
        let at_bound = |possible: f64| possible < wanted && reached >= CLOSE * possible;
        match possible {
            _ if reached >= wanted => Self::Met,
            Some(possible) if at_bound(possible) => Self::AtBound,
            _ => Self::Missed,
        }
    }

    /// How the page shows it.
    pub(super) const fn tone(self) -> Tone {
        match self {
            Self::Met => Tone::Good,
            Self::AtBound => Tone::Odd,
            Self::Missed => Tone::Bad,
        }
    }

    /// As the page says it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Met => "yes",
            Self::AtBound => "at the bound",
            Self::Missed => "NO",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reached_is_met_and_what_is_not_is_missed_unless_nobody_could() {
        let of = |reached, possible| Standing::of(reached, 12.8, possible);
        assert_eq!(of(12.8, None), Standing::Met);
        assert_eq!(of(12.8, Some(13.0)), Standing::Met);
        assert_eq!(of(12.7, None), Standing::Missed);
        assert_eq!(of(12.7, Some(12.8)), Standing::Missed, "it could be reached");
        assert_eq!(of(1.9, Some(2.0)), Standing::AtBound);
        assert_eq!(of(1.8, Some(2.0)), Standing::Missed, "more could be reached");
    }
}
