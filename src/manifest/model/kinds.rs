//! [`Behaviour`]: the built-in kinds of agents and the parameters of each.

use std::{fmt, time::Duration};

use phalanx_actors::agent::TopicName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::manifest::{
    decode::{At, Decoder, Fields, Spanned},
    schema::{DurationText, NameText},
    values::{Positive, write_duration},
};

/// The kinds of agents that are built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KindWord {
    /// Takes the SHA-256 of files and of hashes. Offers `sha256`.
    Hasher,
    /// Counts the messages of the topics it subscribes to. Offers `count`.
    Counter,
    /// Publishes what it gets on another topic. Offers `relay`.
    Relay,
    /// Publishes a tick at a fixed interval. Offers `tick`.
    Ticker,
    /// Writes what it gets to the log. Offers `log`.
    Logger,
    /// Runs programs, waits for ports, reads files, sleeps. Offers `run`.
    Runner,
}

impl KindWord {
    /// All of them, in order.
    pub const ALL: [KindWord; 6] =
        [Self::Hasher, Self::Counter, Self::Relay, Self::Ticker, Self::Logger, Self::Runner];

    /// The word as a manifest has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hasher => "hasher",
            Self::Counter => "counter",
            Self::Relay => "relay",
            Self::Ticker => "ticker",
            Self::Logger => "logger",
            Self::Runner => "runner",
        }
    }

    /// The capability of the kind's own.
    pub const fn capability(self) -> &'static str {
        match self {
            Self::Hasher => "sha256",
            Self::Counter => "count",
            Self::Relay => "relay",
            Self::Ticker => "tick",
            Self::Logger => "log",
            Self::Runner => "run",
        }
    }
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Every step.
    Trace,
    /// Of use to who looks for a fault.
    Debug,
    /// The normal course.
    Info,
    /// Something to look at.
    Warn,
    /// Something failed.
    Error,
}

impl fmt::Display for KindWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an agent does, by its kind, with the parameters of that kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", content = "parameters", rename_all = "snake_case")]
pub enum Behaviour {
    /// See [`KindWord::Hasher`].
    Hasher(Hasher),
    /// See [`KindWord::Counter`].
    Counter(Counter),
    /// See [`KindWord::Relay`].
    Relay(Relay),
    /// See [`KindWord::Ticker`].
    Ticker(Ticker),
    /// See [`KindWord::Logger`].
    Logger(Logger),
    /// See [`KindWord::Runner`].
    Runner(Runner),
}

impl Behaviour {
    /// The kind.
    pub const fn kind(&self) -> KindWord {
        match self {
            Self::Hasher(_) => KindWord::Hasher,
            Self::Counter(_) => KindWord::Counter,
            Self::Relay(_) => KindWord::Relay,
            Self::Ticker(_) => KindWord::Ticker,
            Self::Logger(_) => KindWord::Logger,
            Self::Runner(_) => KindWord::Runner,
        }
    }
}

/// The parameters of a hasher.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Hasher {
    /// How much of a file is read at once, in bytes, 1 to 67108864. Default: 65536.
    #[schemars(range(min = 1, max = 67_108_864))]
    pub chunk: usize,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { chunk: 64 * 1024 }
    }
}

/// The parameters of a counter: none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Counter {}

/// The parameters of a relay.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Relay {
    /// The topic it publishes to; what it relays comes from the topics it subscribes to.
    #[schemars(with = "NameText")]
    pub to: TopicName,
}

/// The parameters of a ticker.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Ticker {
    /// The topic it publishes to.
    #[schemars(with = "NameText")]
    pub topic: TopicName,
    /// The time between two ticks. Default: 1s.
    #[schemars(default = "super::startup::one_second", with = "DurationText")]
    #[serde(serialize_with = "write_duration")]
    pub every: Duration,
    /// After how many ticks it stops, at least 1. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
}

/// The parameters of a logger.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Logger {
    /// How loud its lines are. Default: info.
    pub level: Level,
}

impl Default for Logger {
    fn default() -> Self {
        Self { level: Level::Info }
    }
}

/// The parameters of a runner: none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Runner {}

pub(super) fn read_behaviour(
    cx: &mut Decoder<'_>,
    kind: KindWord,
    at: Option<At<'_>>,
    entry: &Fields<'_>,
) -> Option<Behaviour> {
    let Some(at) = at else {
        return match kind {
            KindWord::Hasher => Some(Behaviour::Hasher(Hasher::default())),
            KindWord::Counter => Some(Behaviour::Counter(Counter {})),
            KindWord::Logger => Some(Behaviour::Logger(Logger::default())),
            KindWord::Runner => Some(Behaviour::Runner(Runner {})),
            KindWord::Relay => {
                entry.missing(cx, "parameters", "{\"to\": \"topic\"}, which a relay needs");
                None
            }
            KindWord::Ticker => {
                entry.missing(
                    cx,
                    "parameters",
                    "{\"topic\": \"ticks\", \"every\": \"1s\"}, which a ticker needs",
                );
                None
            }
        };
    };
    let what = match kind {
        KindWord::Hasher => "`parameters` of a hasher",
        KindWord::Counter => "`parameters` of a counter",
        KindWord::Relay => "`parameters` of a relay",
        KindWord::Ticker => "`parameters` of a ticker",
        KindWord::Logger => "`parameters` of a logger",
        KindWord::Runner => "`parameters` of a runner",
    };
    let mut fields = Fields::open(cx, at, what)?;
    let behaviour = match kind {
        KindWord::Hasher => {
            let chunk = fields.integer(cx, "chunk", (1, 67_108_864), Hasher::default().chunk);
            chunk.map(|chunk| Behaviour::Hasher(Hasher { chunk }))
        }
        KindWord::Counter => Some(Behaviour::Counter(Counter {})),
        KindWord::Relay => {
            let to = fields.required::<Spanned<TopicName>>(cx, "to", "\"topic\"");
            to.map(|to| {
                cx.marks.topics_used.push(to.clone());
                Behaviour::Relay(Relay { to: to.value })
            })
        }
        KindWord::Ticker => {
            let topic = fields.required::<Spanned<TopicName>>(cx, "topic", "\"ticks\"");
            let every = fields.or(cx, "every", Positive(super::startup::one_second()));
            let limit = fields.take("limit").map(|at| cx.integer(at, 1, u64::MAX));
            cx.marks.topics_used.extend(topic.clone());
            match (topic, every, limit) {
                (Some(topic), Some(Positive(every)), None | Some(Some(_))) => {
                    Some(Behaviour::Ticker(Ticker { topic: topic.value, every, limit: limit.flatten() }))
                }
                _ => None,
            }
        }
        KindWord::Logger => {
            let level = fields.or(cx, "level", Level::Info);
            level.map(|level| Behaviour::Logger(Logger { level }))
        }
        KindWord::Runner => Some(Behaviour::Runner(Runner {})),
    };
    fields.close(cx);
    behaviour
}

impl KindWord {
    /// The kind whose own capability this is.
    pub(in crate::manifest) fn that_offers(capability: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.capability() == capability)
    }
}
