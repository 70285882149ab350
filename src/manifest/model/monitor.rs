//! [`Monitor`]: what happens on events; [`PlannedFault`](Fault): what goes wrong on purpose.

use std::{path::PathBuf, time::Duration};

use phalanx_actors::{
    agent::AgentId,
    monitor::{EventKind, Severity},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::manifest::{
    decode::{At, Decode, Decoder, Fields, Spanned},
    fault::Code,
    schema::{DurationText, NameText},
    values::{Filled, Line, write_duration},
};

/// What happens on events.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Monitor {
    /// The handlers. Default: none.
    pub handlers: Vec<HandlerEntry>,
    /// How often the host takes a sample of itself: throughput, latency, load and, but for virtual time, memory and
    /// processor. `0s` for never. Default: 5s.
    #[serde(serialize_with = "write_duration")]
    #[schemars(with = "DurationText")]
    pub sample_every: Duration,
}

impl Default for Monitor {
    fn default() -> Self {
        Self { handlers: Vec::new(), sample_every: Duration::from_secs(5) }
    }
}

/// One handler of events.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HandlerEntry {
    /// Its name, unlike that of any other handler.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The events it gets. Default: all.
    #[schemars(default)]
    pub events: Vec<EventKind>,
    /// The least severity of the events it gets. Default: debug, which is all.
    #[schemars(default = "everything")]
    pub severity: Severity,
    /// The sources of the events it gets; `*` stands for any text, `?` for one character. Default: `*`.
    #[schemars(default = "any", length(min = 1))]
    pub source: String,
    /// Handlers of higher priority get an event first, 0 to 1000. Default: 1.
    #[schemars(default = "one", range(max = 1000))]
    pub priority: u32,
    /// What it does.
    #[serde(rename = "do")]
    pub reaction: Reaction,
}

/// What a handler does, by its one key.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Writes the event to the log.
    Log(Log),
    /// Appends the event to a file, one JSON object a line.
    Append(Append),
    /// Counts the events by type.
    Count(Count),
}

/// Writes the event to the log.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Log {}

/// Counts the events by type.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Count {}

/// Appends the event to a file, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Append {
    /// The file, made if it is not there.
    #[schemars(length(min = 1))]
    pub path: PathBuf,
}

/// Something that goes wrong on purpose.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Fault {
    /// Who is struck by a panic.
    pub kill: Kill,
    /// When.
    pub when: When,
}

/// Who is struck by a panic.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Kill {
    /// The id of the agent, with its number, as in `hasher/7`.
    #[schemars(with = "NameText")]
    pub agent: AgentId,
}

/// When a planned fault strikes, by its one key.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// When this share of all tasks is done, 0 to 1.
    TasksCompleted(#[schemars(range(min = 0, max = 1))] f64),
    /// So long after the agents are there.
    After(
        #[serde(serialize_with = "write_duration")]
        #[schemars(with = "DurationText")]
        Duration,
    ),
}

fn everything() -> Severity {
    Severity::Debug
}

fn any() -> String {
    "*".to_owned()
}

fn one() -> u32 {
    1
}

impl Decode for Monitor {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`monitor`")?;
        let default = Self::default();
        let handlers = fields.or(cx, "handlers", default.handlers);
        let sample_every = fields.or(cx, "sample_every", default.sample_every);
        fields.close(cx);
        Some(Self { handlers: handlers?, sample_every: sample_every? })
    }
}

impl Decode for HandlerEntry {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "a handler")?;
        let name = fields.required::<Spanned<HandlerName>>(cx, "name", "\"alerts\"");
        let events = fields.or::<Vec<Spanned<EventKind>>>(cx, "events", Vec::new());
        let severity = fields.or(cx, "severity", everything());
        let source = fields.or(cx, "source", Filled(any()));
        let priority = fields.integer(cx, "priority", (0, 1000), one());
        let reaction = fields.required(cx, "do", "{\"log\": {}}");
        fields.close(cx);
        let events = events.unwrap_or_default();
        cx.distinct(&events, "events");
        let name = name.map(|name| Spanned { value: name.value.0, span: name.span });
        cx.marks.handlers.extend(name.clone());
        Some(Self {
            name: name?.value,
            events: events.into_iter().map(|event| event.value).collect(),
            severity: severity?,
            source: source?.0,
            priority: priority?,
            reaction: reaction?,
        })
    }
}

/// A name of one line that is not empty.
struct HandlerName(String);

impl Decode for HandlerName {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let line = Line::decode(cx, at)?;
        if line.0.is_empty() {
            cx.fault(
                Code::BadName,
                at.span(),
                "the name of a handler is empty",
                "give it at least one character",
            );
            return None;
        }
        Some(Self(line.0))
    }
}

impl Decode for Reaction {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        match cx.choice(at, &["log", "append", "count"])? {
            ("append", at) => {
                let mut fields = Fields::open(cx, at, "`append`")?;
                let path = fields.required(cx, "path", "\"alerts.jsonl\"");
                fields.close(cx);
                Some(Self::Append(Append { path: path? }))
            }
            ("log", at) => {
                Fields::open(cx, at, "`log`")?.close(cx);
                Some(Self::Log(Log {}))
            }
            (_, at) => {
                Fields::open(cx, at, "`count`")?.close(cx);
                Some(Self::Count(Count {}))
            }
        }
    }
}

impl Decode for Fault {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "a planned fault")?;
        let kill = fields.required(cx, "kill", "{\"agent\": \"hasher/7\"}");
        let when = fields.required(cx, "when", "{\"tasks_completed\": 0.5}");
        fields.close(cx);
        Some(Self { kill: kill?, when: when? })
    }
}

impl Decode for Kill {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`kill`")?;
        let agent = fields.required::<Spanned<AgentId>>(cx, "agent", "\"hasher/7\"");
        fields.close(cx);
        let agent = agent?;
        cx.marks.agents_used.push(agent.clone());
        Some(Self { agent: agent.value })
    }
}

impl Decode for When {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        match cx.choice(at, &["tasks_completed", "after"])? {
            ("after", at) => Some(Self::After(Duration::decode(cx, at)?)),
            (_, at) => Some(Self::TasksCompleted(cx.real(at, 0.0, 1.0)?)),
        }
    }
}
