//! [`Manifest`]: the whole, and its smaller parts.

use std::time::Duration;

use phalanx_actors::{agent::TopicName, router};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    AgentEntry, Group, Monitor, PlannedFault, Registration, Startup, TaskEntry, TopicEntry,
    registration::{Keys, check_priorities},
};
use crate::manifest::{
    decode::{At, Decode, Decoder, Fields, Spanned},
    fault::Code,
    schema::{DurationText, NameText},
    values::{Line, write_duration},
};

/// A swarm: what starts up, which agents there are, what they hear and what they do.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "phalanx manifest")]
pub struct Manifest {
    /// Where the JSON Schema of this file is, for editors; otherwise without meaning. Default: none.
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The name of the swarm.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What it is for. Default: empty.
    #[schemars(default)]
    pub description: String,
    /// The seed of everything random. Default: 0.
    #[schemars(default)]
    pub seed: u64,
    /// How many threads host the agents, 1 to 1024. Default: one per processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub arbiters: Option<usize>,
    /// The tasks that run before the first agent.
    #[schemars(default)]
    pub startup: Startup,
    /// The agents. Default: none.
    #[schemars(default)]
    pub agents: Vec<AgentEntry>,
    /// Which agents are supervised together. Default: no groups.
    #[schemars(default)]
    pub groups: Vec<Group>,
    /// How the agents are registered.
    #[schemars(default, with = "Keys")]
    pub registration: Registration,
    /// The topics and who hears them. Default: none.
    #[schemars(default)]
    pub topics: Vec<TopicEntry>,
    /// How often agents must show that they come to their turn. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub heartbeat: Option<Heartbeat>,
    /// How tasks are handed out.
    #[schemars(default)]
    pub coordinator: Coordinator,
    /// The tasks. Default: none.
    #[schemars(default)]
    pub tasks: Vec<TaskEntry>,
    /// What happens on events.
    #[schemars(default)]
    pub monitor: Monitor,
    /// What goes wrong on purpose. Default: nothing.
    #[schemars(default)]
    pub faults: Vec<PlannedFault>,
}

/// The shortest time between two beats.
const SHORTEST_BEAT: Duration = Duration::from_millis(1);

/// How often agents must show that they come to their turn. One that does not is suspected, and after some beats inactive:
/// out of all topics until it beats again.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Heartbeat {
    /// How long an agent has for each beat, at least 1ms. Default: 5s.
    #[serde(serialize_with = "write_duration")]
    #[schemars(with = "DurationText")]
    pub every: Duration,
    /// After how many missed beats in a row it is inactive, 1 to 1000. Default: 3.
    #[schemars(range(min = 1, max = 1000))]
    pub inactive_after: u32,
}

impl Default for Heartbeat {
    fn default() -> Self {
        let router::Heartbeat { every, inactive_after } = router::Heartbeat::default();
        Self { every, inactive_after }
    }
}

/// How tasks are handed out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Coordinator {
    /// How many tasks run at the same time, 1 to 1000000. Default: 50.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_concurrent: usize,
    /// The topic that hears of progress, one of `topics`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<NameText>")]
    pub progress_topic: Option<TopicName>,
}

impl Default for Coordinator {
    fn default() -> Self {
        Self { max_concurrent: 50, progress_topic: None }
    }
}

impl Decode for Manifest {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "the manifest")?;
        let schema = fields.optional(cx, "$schema");
        let name_at = fields.must(cx, "name", "\"my swarm\"");
        let name = name_at.and_then(|at| Line::decode(cx, at));
        if let (Some(at), Some("")) = (name_at, name.as_ref().map(|name| name.0.as_str())) {
            cx.fault(Code::BadName, at.span(), "`name` is empty", "give it at least one character");
        }
        let description = fields.or(cx, "description", String::new());
        let seed = fields.integer(cx, "seed", (0, u64::MAX), 0);
        let arbiters = fields.take("arbiters").map_or(Some(None), |at| cx.integer(at, 1, 1024).map(Some));
        let startup = fields.or(cx, "startup", Startup::default());
        let agents = fields.or(cx, "agents", Vec::new());
        let groups = fields.or(cx, "groups", Vec::new());
        let registration = fields.or(cx, "registration", Registration::default());
        let topics = fields.or(cx, "topics", Vec::new());
        let heartbeat = fields.optional(cx, "heartbeat");
        let coordinator = fields.or(cx, "coordinator", Coordinator::default());
        let tasks = fields.or(cx, "tasks", Vec::new());
        let monitor = fields.or(cx, "monitor", Monitor::default());
        let faults = fields.or(cx, "faults", Vec::new());
        fields.close(cx);
        if let Some(registration) = &registration {
            check_priorities(cx, registration);
        }
        Some(Self {
            schema: schema?,
            name: name?.0,
            description: description?,
            seed: seed?,
            arbiters: arbiters?,
            startup: startup?,
            agents: agents?,
            groups: groups?,
            registration: registration?,
            topics: topics?,
            heartbeat: heartbeat?,
            coordinator: coordinator?,
            tasks: tasks?,
            monitor: monitor?,
            faults: faults?,
        })
    }
}

impl Decode for Heartbeat {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`heartbeat`")?;
        let usual = Self::default();
        let every_at = fields.take("every");
        let every = every_at.map_or(Some(usual.every), |at| Duration::decode(cx, at));
        if let (Some(at), Some(every)) = (every_at, every)
            && every < SHORTEST_BEAT
        {
            let message = format!("`every` is {}", humantime::format_duration(every));
            cx.fault(Code::OutOfRange, at.span(), message, "write at least 1ms");
        }
        let inactive_after = fields.integer(cx, "inactive_after", (1, 1000), usual.inactive_after);
        fields.close(cx);
        Some(Self { every: every?, inactive_after: inactive_after? })
    }
}

impl Decode for Coordinator {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`coordinator`")?;
        let max_concurrent =
            fields.integer(cx, "max_concurrent", (1, 1_000_000), Self::default().max_concurrent);
        let progress_topic = fields.optional::<Spanned<TopicName>>(cx, "progress_topic");
        fields.close(cx);
        cx.marks.topics_used.extend(progress_topic.clone().flatten());
        Some(Self {
            max_concurrent: max_concurrent?,
            progress_topic: progress_topic?.map(|topic| topic.value),
        })
    }
}
