//! [`Registration`]: how the agents are registered. The runtime's own strategy, written with flat keys.

use std::{path::PathBuf, time::Duration};

use phalanx_actors::{
    agent::Priority,
    registrar::{Limits, Strategy},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::limits::LimitKeys;
use crate::manifest::{
    decode::{At, Decode, Decoder, Fields},
    fault::Code,
    schema::{DurationText, PriorityWord},
    values::{Positive, write_optional_duration},
};

/// How registration requests are put into batches.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BatchStrategy {
    /// At once while none is under way, otherwise as many as came meanwhile: from 5 up to `batch`, more while batches
    /// are quick and fewer when one takes more than 5 ms.
    #[default]
    Adaptive,
    /// `batch` of them, or fewer when the first has waited for `window`.
    FixedSize,
    /// All that come within `window`, at most `batch` at a time.
    TimeBased,
    /// At once when one of at least `threshold` waits, otherwise when the first has waited for `window`; the most
    /// urgent, at most `batch` at a time.
    PriorityBased,
    /// Each by itself.
    Streaming,
}

impl BatchStrategy {
    const ALL: [Self; 5] =
        [Self::Adaptive, Self::FixedSize, Self::TimeBased, Self::PriorityBased, Self::Streaming];

    /// The keys of `registration` that mean something to it, beside `strategy`.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Adaptive => &["batch"],
            Self::FixedSize | Self::TimeBased => &["batch", "window"],
            Self::PriorityBased => &["batch", "window", "threshold"],
            Self::Streaming => &[],
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::FixedSize => "fixed_size",
            Self::TimeBased => "time_based",
            Self::PriorityBased => "priority_based",
            Self::Streaming => "streaming",
        }
    }

    /// The names of some of them, for a message.
    fn those(mut wanted: impl FnMut(Self) -> bool) -> String {
        let names = Self::ALL.into_iter().filter(|strategy| wanted(*strategy));
        names.map(|strategy| format!("`{}`", strategy.as_str())).collect::<Vec<_>>().join(" or ")
    }

    /// Whether requests wait for each other, so that all agents are registered together and the most urgent come first.
    /// Under the others one entry is registered after the other.
    const fn gathers(self) -> bool {
        matches!(self, Self::FixedSize | Self::TimeBased | Self::PriorityBased)
    }
}

/// The sizes of an adaptive batch, and how long one may take.
const ADAPTIVE: (usize, usize, Duration) = (5, 20, Duration::from_millis(5));

/// How the agents are registered. A key that means nothing to the strategy is refused.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(into = "Keys")]
pub struct Registration {
    /// When a batch is due, and how large it may be.
    pub strategy: Strategy,
    /// The file of the journal, if one is kept.
    pub journal: Option<PathBuf>,
    /// How many agents may be registered.
    pub limits: Limits,
}

impl Default for Registration {
    fn default() -> Self {
        let (min, max, target) = ADAPTIVE;
        Self { strategy: Strategy::Adaptive { min, max, target }, journal: None, limits: Limits::default() }
    }
}

impl Registration {
    fn word(&self) -> BatchStrategy {
        match self.strategy {
            Strategy::Adaptive { .. } => BatchStrategy::Adaptive,
            Strategy::FixedSize { .. } => BatchStrategy::FixedSize,
            Strategy::TimeBased { .. } => BatchStrategy::TimeBased,
            Strategy::PriorityBased { .. } => BatchStrategy::PriorityBased,
            Strategy::Streaming => BatchStrategy::Streaming,
        }
    }

    /// Whether requests wait for each other, so that all agents have to ask before any of them is answered.
    pub fn gathers(&self) -> bool {
        self.word().gathers()
    }
}

/// How the agents are registered. A key that means nothing to the strategy is refused.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields, rename = "Registration", extend("allOf" = rules()))]
pub(in crate::manifest) struct Keys {
    /// How requests are put into batches. Default: adaptive.
    strategy: BatchStrategy,
    /// How many one batch has at most, 1 to 1000000; not for `streaming`. Default: 20 for `adaptive`, 10 for
    /// `fixed_size`, 1024 for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    batch: Option<usize>,
    /// How long a request waits at most for its batch, for `fixed_size`, `time_based` and `priority_based`. Default: 1ms
    /// for `fixed_size`, 5s for the others.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_optional_duration")]
    #[schemars(with = "Option<DurationText>")]
    window: Option<Duration>,
    /// The least priority that waits for nobody, for `priority_based`. Default: normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<PriorityWord>")]
    threshold: Option<Priority>,
    /// A file in which it is kept durably who is registered and how requests end, before anybody is told of it; what earlier runs
    /// left there counts. In simulated time it is left alone. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<PathBuf>,
    /// How many agents may be registered at once; a run with more fails.
    #[serde(skip_serializing_if = "LimitKeys::is_empty")]
    limits: LimitKeys,
}

/// The keys that each strategy does without.
fn rules() -> Value {
    let rule = |strategy: BatchStrategy| {
        let without =
            ["batch", "window", "threshold"].into_iter().filter(|key| !strategy.keys().contains(key));
        let without: serde_json::Map<_, _> =
            without.map(|key| (key.to_owned(), Value::Bool(false))).collect();
        json!({
            "if": {"properties": {"strategy": {"const": strategy.as_str()}}},
            "then": {"properties": without},
        })
    };
    // Without a strategy it is the first of them, whose rule holds as well when the key is absent.
    let [default, others @ ..] = BatchStrategy::ALL;
    let mut rules = vec![rule(default)];
    rules.extend(others.into_iter().filter(|strategy| strategy.keys().len() < 3).map(|strategy| {
        let mut rule = rule(strategy);
        rule["if"]["required"] = json!(["strategy"]);
        rule
    }));
    rules.into()
}

impl From<Registration> for Keys {
    fn from(registration: Registration) -> Self {
        let (batch, window, threshold) = match registration.strategy {
            Strategy::Adaptive { max, .. } => (Some(max), None, None),
            Strategy::FixedSize { size, linger } => (Some(size), Some(linger), None),
            Strategy::TimeBased { window, size } => (Some(size), Some(window), None),
            Strategy::PriorityBased { threshold, patience, size } => {
                (Some(size), Some(patience), Some(threshold))
            }
            Strategy::Streaming => (None, None, None),
        };
        Self {
            strategy: registration.word(),
            batch,
            window,
            threshold,
            journal: registration.journal,
            limits: registration.limits.into(),
        }
    }
}

impl From<Keys> for Registration {
    fn from(keys: Keys) -> Self {
        let Keys { strategy, batch, window, threshold, journal, limits } = keys;
        let runtimes = match strategy {
            BatchStrategy::Adaptive => Self::default().strategy,
            BatchStrategy::FixedSize => Strategy::FIXED_SIZE,
            BatchStrategy::TimeBased => Strategy::TIME_BASED,
            BatchStrategy::PriorityBased => Strategy::PRIORITY_BASED,
            BatchStrategy::Streaming => Strategy::Streaming,
        };
        let strategy = match runtimes {
            Strategy::Adaptive { min, max, target } => {
                let max = batch.unwrap_or(max);
                Strategy::Adaptive { min: min.min(max), max, target }
            }
            Strategy::FixedSize { size, linger } => {
                Strategy::FixedSize { size: batch.unwrap_or(size), linger: window.unwrap_or(linger) }
            }
            Strategy::TimeBased { window: usual, size } => {
                Strategy::TimeBased { window: window.unwrap_or(usual), size: batch.unwrap_or(size) }
            }
            Strategy::PriorityBased { threshold: least, patience, size } => Strategy::PriorityBased {
                threshold: threshold.unwrap_or(least),
                patience: window.unwrap_or(patience),
                size: batch.unwrap_or(size),
            },
            Strategy::Streaming => Strategy::Streaming,
        };
        Self { strategy, journal, limits: limits.into() }
    }
}

impl Decode for Registration {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`registration`")?;
        let strategy = fields.or(cx, "strategy", BatchStrategy::default());
        if let Some(strategy) = strategy {
            for key in ["batch", "window", "threshold"] {
                let Some(span) = fields.key(key).filter(|_| !strategy.keys().contains(&key)) else {
                    continue;
                };
                let useful = BatchStrategy::those(|other| other.keys().contains(&key));
                let message = format!("`{key}` has no effect under the strategy `{}`", strategy.as_str());
                let help = format!("remove it, or set \"strategy\" to {useful}");
                cx.fault(Code::Conflict, span, message, help);
            }
        }
        let batch = fields.take("batch").map(|at| cx.integer(at, 1, 1_000_000));
        let window = fields.optional::<Positive>(cx, "window");
        let threshold = fields.optional(cx, "threshold");
        let journal = fields.optional(cx, "journal");
        let limits = fields.or(cx, "limits", LimitKeys::default());
        fields.close(cx);
        let keys = Keys {
            strategy: strategy?,
            batch: batch.map_or(Some(None), |batch| batch.map(Some))?,
            window: window?.map(|window| window.0),
            threshold: threshold?,
            journal: journal?,
            limits: limits?,
        };
        Some(keys.into())
    }
}

/// Refuses the priorities of agents where they cannot count.
pub(in crate::manifest) fn check_priorities(cx: &mut Decoder<'_>, registration: &Registration) {
    let strategy = registration.word();
    if strategy.gathers() || cx.marks.chooses_by_priority {
        return;
    }
    let gathering = BatchStrategy::those(BatchStrategy::gathers);
    for span in std::mem::take(&mut cx.marks.priorities) {
        let message = format!(
            "`priority` has no effect under the registration strategy `{}`, by which no agent waits for others, and no topic \
             chooses by it",
            strategy.as_str()
        );
        let help = format!(
            "remove it, set \"strategy\" of `registration` to {gathering}, or \"to_one\" of a topic to `priority_based`"
        );
        cx.fault(Code::Conflict, span, message, help);
    }
}
