//! [`AgentEntry`]: some agents of one kind, their ids, inboxes and place in the world.

use std::collections::BTreeMap;

use phalanx_actors::{
    agent::{Capability, GroupName, Priority, Tenant},
    inbox::OverflowPolicy,
    supervisor::RestartPolicy,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Supervision,
    kinds::{Behaviour, KindWord, read_behaviour},
};
use crate::manifest::{
    MAX_AGENTS,
    decode::{At, Decode, Decoder, Fields, Spanned},
    fault::{Code, quote},
    marks::{AgentMark, section},
    schema::{NameText, PriorityWord},
    template::{IdTemplate, InvalidTemplate},
    values::bad_name,
};

/// A place on Earth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Location {
    /// Degrees north of the equator, -90 to 90.
    #[schemars(range(min = -90, max = 90))]
    pub latitude: f64,
    /// Degrees east of Greenwich, -180 to 180.
    #[schemars(range(min = -180, max = 180))]
    pub longitude: f64,
}

/// The inbox of each agent of an entry.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Inbox {
    /// How many messages it holds, 1 to 1000000. Default: 1024.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub capacity: u32,
    /// What happens to a message that finds it full. Default: wait.
    pub overflow: OverflowPolicy,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { capacity: 1024, overflow: OverflowPolicy::Wait }
    }
}

/// Some agents of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AgentEntry {
    /// What they do: `kind` and `parameters`.
    #[serde(flatten)]
    pub behaviour: Behaviour,
    /// Their ids, `{index}` standing for the number from 0. Default: `<kind>/{index}`, or `<kind>` for a single one.
    #[schemars(with = "Option<NameText>")]
    pub id: IdTemplate,
    /// How many there are, 1 to 10000000. Default: 1.
    #[schemars(default = "one", range(min = 1, max = 10_000_000))]
    pub count: u64,
    /// What they offer beside the capability of their kind. Default: none.
    #[schemars(default, with = "Vec<NameText>")]
    pub capabilities: Vec<Capability>,
    /// How urgent their registration is, low (1) to critical (5), where agents wait to be registered together:
    /// under `fixed_size`, `time_based` and `priority_based`; and how much they are preferred on a topic that goes to one
    /// by `priority_based`. Default: normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<PriorityWord>")]
    pub priority: Option<Priority>,
    /// Where they are. Default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Whom they work for, for the limits of `registration`. Default: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<NameText>")]
    pub tenant: Option<Tenant>,
    /// Anything else to know about them, texts by name. Default: none.
    #[schemars(default)]
    pub metadata: BTreeMap<String, String>,
    /// The inbox of each.
    #[schemars(default)]
    pub inbox: Inbox,
    /// The group they belong to, one of `groups`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<NameText>")]
    pub group: Option<GroupName>,
    /// How each is rebuilt after a panic.
    #[schemars(default)]
    pub supervision: Supervision,
}

fn one() -> u64 {
    1
}

impl AgentEntry {
    /// All that they offer: the capability of their kind first.
    pub fn offers(&self) -> impl Iterator<Item = &str> {
        let own = self.behaviour.kind().capability();
        std::iter::once(own)
            .chain(self.capabilities.iter().map(Capability::as_str).filter(move |offer| *offer != own))
    }
}

/// The ids of an entry; the place of a fault is the id if there is one, else the kind.
fn read_template(cx: &mut Decoder<'_>, at: At<'_>, text: &str, count: u64) -> Option<IdTemplate> {
    IdTemplate::new(text, count)
        .map_err(|error| match error {
            InvalidTemplate::Name(error) => bad_name(cx, at.span(), &error),
            InvalidTemplate::Alike { text, count } => {
                let message = format!("the id {} names {count} agents alike", quote(&text));
                let help = format!(
                    "put {{index}} into it, as in \"{}/{{index}}\"",
                    text.chars().take(20).collect::<String>()
                );
                cx.fault(Code::Duplicate, at.span(), message, help);
            }
            InvalidTemplate::Twice { text } => {
                let message = format!("the id {} holds {{index}} more than once", quote(&text));
                cx.fault(Code::BadName, at.span(), message, "keep one of them");
            }
        })
        .ok()
}

impl Decode for AgentEntry {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "an agent entry")?;
        let kind_at = fields.must(cx, "kind", "\"hasher\"");
        let kind = kind_at.and_then(|at| KindWord::decode(cx, at));
        let parameters = fields.take("parameters");
        let behaviour = kind.and_then(|kind| read_behaviour(cx, kind, parameters, &fields));
        let count_at = fields.take("count");
        let count = count_at.map_or(Some(1), |at| cx.integer(at, 1, MAX_AGENTS));
        let id_at = fields.take("id");
        let text = match id_at {
            Some(at) => cx.text(at, "a text such as \"hasher/{index}\"").map(|(text, _)| text.into_owned()),
            None => kind
                .zip(count)
                .map(|(kind, count)| if count == 1 { kind.to_string() } else { format!("{kind}/{{index}}") }),
        };
        let place = id_at.or(kind_at);
        let id =
            text.zip(place).zip(count).and_then(|((text, at), count)| read_template(cx, at, &text, count));
        let capabilities =
            fields.or::<Vec<Spanned<Capability>>>(cx, "capabilities", Vec::new()).unwrap_or_default();
        cx.distinct(&capabilities, "capabilities");
        cx.marks.priorities.extend(fields.key("priority"));
        let priority = fields.optional(cx, "priority");
        let location = fields.optional(cx, "location");
        let tenant = fields.optional(cx, "tenant");
        let metadata = fields.or(cx, "metadata", BTreeMap::new());
        let inbox = fields.or(cx, "inbox", Inbox::default());
        let group = fields.optional::<Spanned<GroupName>>(cx, "group");
        cx.marks.restart_keys.clear();
        let mut supervision = fields.or(cx, "supervision", Supervision::default());
        let never = supervision.as_ref().is_some_and(|own| own.policy == RestartPolicy::Temporary);
        if never || fields.key("group").is_some() {
            for (key, span) in std::mem::take(&mut cx.marks.restart_keys) {
                let (message, help) = if never {
                    (
                        format!(
                            "`{key}` has no effect under the policy `temporary`, by which nothing is restarted"
                        ),
                        "remove it, or set \"policy\" to `permanent` or `transient`".to_owned(),
                    )
                } else {
                    (
                        format!("`{key}` has no effect on an agent of a group, for which the group says so"),
                        format!("write \"{key}\" at the group instead"),
                    )
                };
                cx.fault(Code::Conflict, span, message, help);
            }
            supervision = supervision.map(Supervision::policy_alone);
        }
        fields.close(cx);
        for offer in &capabilities {
            // A task goes to any agent that offers what it needs, so these two may only be offered where they are known.
            let reserved = [KindWord::Hasher, KindWord::Runner]
                .into_iter()
                .find(|k| k.capability() == offer.value.as_str());
            if let Some(owner) = reserved.filter(|owner| kind.is_some_and(|kind| kind != *owner)) {
                let message = format!("only a {owner} can offer `{}`", offer.value);
                cx.fault(
                    Code::Conflict,
                    offer.span.clone(),
                    message,
                    format!("remove it, or add agents of kind `{owner}`"),
                );
            }
        }
        cx.marks.groups_used.extend(group.clone().flatten());
        match (&id, kind, place) {
            (Some(id), Some(kind), Some(place)) => cx.marks.agents.push(AgentMark {
                id: Spanned { value: id.clone(), span: place.span() },
                kind,
                count: count.unwrap_or(1),
                count_span: count_at.or(kind_at).map_or(0..0, |at| at.span()),
                capabilities: capabilities.iter().map(|offer| offer.value.clone()).collect(),
            }),
            _ => cx.marks.incomplete.push(section::AGENTS),
        }
        Some(Self {
            behaviour: behaviour?,
            id: id?,
            count: count?,
            capabilities: capabilities.into_iter().map(|offer| offer.value).collect(),
            priority: priority?,
            location: location?,
            tenant: tenant?,
            metadata: metadata?,
            inbox: inbox?,
            group: group?.map(|group| group.value),
            supervision: supervision?,
        })
    }
}

impl Decode for Location {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`location`")?;
        let latitude = fields.must(cx, "latitude", "48.2").and_then(|at| cx.real(at, -90.0, 90.0));
        let longitude = fields.must(cx, "longitude", "16.4").and_then(|at| cx.real(at, -180.0, 180.0));
        fields.close(cx);
        Some(Self { latitude: latitude?, longitude: longitude? })
    }
}

impl Decode for Inbox {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`inbox`")?;
        let defaults = Self::default();
        let capacity = fields.integer(cx, "capacity", (1, 1_000_000), defaults.capacity);
        let overflow = fields.or(cx, "overflow", defaults.overflow);
        fields.close(cx);
        Some(Self { capacity: capacity?, overflow: overflow? })
    }
}
