//! [`TopicEntry`]: a topic or a pattern of topics, who hears it, and how its notices go out.

use std::time::Duration;

use phalanx_actors::{
    agent::{AgentId, Capability, GroupName, TopicFilter},
    inbox::{MAX_BATCH, MAX_LINGER},
    router::{MAX_HISTORY, Strategy},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::KindWord;
use crate::manifest::{
    decode::{At, Decode, Decoder, Fields, Spanned},
    fault::{Code, quote},
    marks::section,
    schema::{DurationText, NameText},
    values::{Positive, write_duration},
};

/// One topic, or all that match a pattern, and who hears it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TopicEntry {
    /// Its name, unlike that of any other entry: levels between dots, of which `*` stands for any one and `>`, at the end, for
    /// all the rest.
    #[schemars(with = "NameText")]
    pub name: TopicFilter,
    /// Who hears it. Default: nobody.
    #[schemars(default)]
    pub subscribers: Vec<Subscription>,
    /// How many of its last notices are kept for those who subscribe later, 0 to 65536. Not for a pattern. Default: 0.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default, range(max = 65_536))]
    pub keep_last: u32,
    /// By which strategy one of its subscribers is chosen for each notice. `geographic` looks from where the agent is that
    /// says it, and `consistent` sends all that one agent said first to the same subscriber. Not for a pattern. Default: all
    /// of them hear it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub to_one: Option<Strategy>,
    /// How its notices form batches. Not for a pattern. Default: as they come, up to a size that is learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub batch: Option<Batch>,
    /// Has each subscriber confirm each notice, which is sent again until it does. Not for a pattern. Default: sent once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    pub confirm: Option<Confirm>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Who hears a topic, from when on, and what of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Subscription {
    /// Who, by one key.
    #[serde(flatten)]
    pub who: Subscriber,
    /// How long after all agents are registered they subscribe. Default: at once.
    #[serde(skip_serializing_if = "Duration::is_zero", serialize_with = "write_duration")]
    #[schemars(default, with = "DurationText")]
    pub after: Duration,
    /// How many of the notices that the topic keeps each gets first, 0 to 65536. Default: 0.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default, range(max = 65_536))]
    pub replay: u32,
    /// The agent whose notices alone they hear: it said them first, whoever relayed them. Default: all notices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Option<NameText>")]
    pub from: Option<AgentId>,
}

/// Who hears a topic, by its one key.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Subscriber {
    /// All agents of a kind.
    Kind(KindWord),
    /// One agent by its id, with its number, as in `logger/1`.
    Agent(#[schemars(with = "NameText")] AgentId),
    /// All agents that offer a capability.
    Capability(#[schemars(with = "NameText")] Capability),
    /// All agents of a group.
    Group(#[schemars(with = "NameText")] GroupName),
}

/// How the notices of a topic form batches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Batch {
    /// How many notices a batch holds at most, 1 to 1024. Default: as many as is learnt to be best.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub size: Option<u16>,
    /// How long a batch waits to be full, at most 10s. Default: 0s, not at all.
    #[serde(serialize_with = "write_duration")]
    #[schemars(with = "DurationText")]
    pub linger: Duration,
}

/// How notices are confirmed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Confirm {
    /// How often a notice is sent again to those who did not confirm it, 0 to 100. Default: 3.
    #[schemars(range(max = 100))]
    pub retries: u16,
    /// After how long a notice is given up. Default: 5m.
    #[serde(serialize_with = "write_duration")]
    #[schemars(with = "DurationText")]
    pub ttl: Duration,
}

impl Default for Confirm {
    fn default() -> Self {
        Self { retries: 3, ttl: Duration::from_secs(300) }
    }
}

impl Decode for TopicEntry {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "a topic")?;
        let name = fields.required::<Spanned<TopicFilter>>(cx, "name", "\"progress\"");
        cx.marks.replays.clear();
        let subscribers = fields.or::<Vec<Subscription>>(cx, "subscribers", Vec::new());
        let replays = std::mem::take(&mut cx.marks.replays);
        let keep_last = fields.integer(cx, "keep_last", (0, MAX_HISTORY as u64), 0);
        let to_one = fields.optional(cx, "to_one");
        let batch = fields.optional(cx, "batch");
        let confirm = fields.optional(cx, "confirm");
        let mut conflict = |span, message: String, help: &str| cx.fault(Code::Conflict, span, message, help);
        let is_pattern = name.as_ref().is_some_and(|name| name.value.topic().is_none());
        for key in ["keep_last", "to_one", "batch", "confirm"] {
            let Some(span) = fields.key(key) else { continue };
            if let (true, Some(name)) = (is_pattern, &name) {
                let pattern = quote(name.value.as_str());
                let message = format!("`{key}` has no effect on {pattern}, to which nothing is published");
                conflict(
                    span,
                    message,
                    "write it at the topics that are published to, each an entry of its own",
                );
            } else if key != "to_one" && fields.key("to_one").is_some() {
                let message =
                    format!("`{key}` has no effect beside `to_one`: what goes to one is sent by itself");
                conflict(span, message, "remove one of the two");
            }
        }
        if !is_pattern && keep_last == Some(0) {
            for span in replays {
                let message = "`replay` has no effect: the topic keeps none of its notices".to_owned();
                conflict(span, message, "add \"keep_last\" to the topic, or remove \"replay\"");
            }
        }
        fields.close(cx);
        match &name {
            Some(name) => cx.marks.topics.push(name.clone()),
            None => cx.marks.incomplete.push(section::TOPICS),
        }
        cx.marks.chooses_by_priority |= to_one == Some(Some(Strategy::PriorityBased));
        Some(Self {
            name: name?.value,
            subscribers: subscribers?,
            keep_last: keep_last?,
            to_one: to_one?,
            batch: batch?,
            confirm: confirm?,
        })
    }
}

impl Decode for Subscription {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "a subscriber")?;
        let after = fields.or(cx, "after", Duration::ZERO);
        cx.marks.replays.extend(fields.key("replay"));
        let replay = fields.integer(cx, "replay", (0, MAX_HISTORY as u64), 0);
        let from = fields.optional::<Spanned<AgentId>>(cx, "from");
        cx.marks.agents_used.extend(from.clone().flatten());
        let chosen = fields.one_of(cx, &["kind", "agent", "capability", "group"]);
        let who = chosen.and_then(|(key, at)| read_subscriber(cx, key, at));
        fields.close(cx);
        Some(Self { who: who?, after: after?, replay: replay?, from: from?.map(|from| from.value) })
    }
}

fn read_subscriber(cx: &mut Decoder<'_>, key: &str, at: At<'_>) -> Option<Subscriber> {
    Some(match key {
        "kind" => {
            let kind = Spanned::<KindWord>::decode(cx, at)?;
            cx.marks.kinds_used.push(kind.clone());
            Subscriber::Kind(kind.value)
        }
        "agent" => {
            let agent = Spanned::<AgentId>::decode(cx, at)?;
            cx.marks.agents_used.push(agent.clone());
            Subscriber::Agent(agent.value)
        }
        "capability" => {
            let capability = Spanned::<Capability>::decode(cx, at)?;
            cx.marks.capabilities_used.push(capability.clone());
            Subscriber::Capability(capability.value)
        }
        _ => {
            let group = Spanned::<GroupName>::decode(cx, at)?;
            cx.marks.groups_used.push(group.clone());
            Subscriber::Group(group.value)
        }
    })
}

impl Decode for Batch {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`batch`")?;
        let size = fields.take("size").map_or(Some(None), |at| cx.integer(at, 1, MAX_BATCH.into()).map(Some));
        let linger_at = fields.take("linger");
        let linger = linger_at.map_or(Some(Duration::ZERO), |at| Duration::decode(cx, at));
        fields.close(cx);
        if let (Some(at), Some(linger)) = (linger_at, linger)
            && linger > MAX_LINGER
        {
            let message = format!("`linger` is {}", humantime::format_duration(linger));
            let help = format!("write at most {}", humantime::format_duration(MAX_LINGER));
            cx.fault(Code::OutOfRange, at.span(), message, help);
            return None;
        }
        Some(Self { size: size?, linger: linger? })
    }
}

impl Decode for Confirm {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`confirm`")?;
        let usual = Self::default();
        let retries = fields.integer(cx, "retries", (0, 100), usual.retries);
        let ttl = fields.or(cx, "ttl", Positive(usual.ttl));
        fields.close(cx);
        Some(Self { retries: retries?, ttl: ttl?.0 })
    }
}
