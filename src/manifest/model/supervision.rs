//! [`Supervision`] and [`Group`]: how agents are rebuilt after a panic, alone and together.

use std::time::Duration;

use phalanx_actors::{
    agent::GroupName,
    supervisor::{RestartPolicy, Strategy},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::manifest::{
    decode::{At, Decode, Decoder, Fields, Spanned},
    fault::Code,
    marks::{GroupMark, section},
    schema::{DurationText, NameText},
    values::{Positive, write_duration, write_optional_duration},
};

/// How an agent is rebuilt after a panic.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Supervision {
    /// When it is rebuilt. Default: permanent.
    pub policy: RestartPolicy,
    /// How many restarts within the window are borne, 0 to 1000000; in a group, the group says so. Default: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub restarts: Option<u32>,
    /// The window; in a group, the group says so. Default: 5s.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_optional_duration")]
    #[schemars(with = "Option<DurationText>")]
    pub within: Option<Duration>,
    /// The wait before a restart; in a group, the group says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

impl Supervision {
    /// The same without what means nothing where a group decides, or where nothing is ever restarted.
    pub(in crate::manifest) fn policy_alone(self) -> Self {
        Self { policy: self.policy, restarts: None, within: None, backoff: None }
    }
}

impl Default for Supervision {
    fn default() -> Self {
        let (restarts, within) = RESTARTS;
        Self {
            policy: RestartPolicy::Permanent,
            restarts: Some(restarts),
            within: Some(within),
            backoff: Some(Backoff::default()),
        }
    }
}

/// How many restarts are borne, and within which window, unless a manifest says otherwise.
const RESTARTS: (u32, Duration) = (3, Duration::from_secs(5));

/// The wait before a restart: `initial` at first, `factor` times longer each time up to `max`, give or take `jitter`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Backoff {
    /// The first wait. Default: 10ms.
    #[serde(serialize_with = "write_duration")]
    #[schemars(with = "DurationText")]
    pub initial: Duration,
    /// The longest wait. Default: 1s.
    #[serde(serialize_with = "write_duration")]
    #[schemars(with = "DurationText")]
    pub max: Duration,
    /// By how much the wait grows each time, 1 to 100. Default: 2.
    #[schemars(range(min = 1, max = 100))]
    pub factor: f64,
    /// Which share of a wait is random, 0 to 1. Default: 0.2.
    #[schemars(range(min = 0, max = 1))]
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_millis(10), max: Duration::from_secs(1), factor: 2.0, jitter: 0.2 }
    }
}

/// Agents, or groups of agents, that are supervised together.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Group {
    /// Its name, unlike that of any other group.
    #[schemars(with = "NameText")]
    pub name: GroupName,
    /// Which members are rebuilt with the one that failed. Default: `one_for_one`.
    #[schemars(default = "one_for_one")]
    pub strategy: Strategy,
    /// The group it is a member of. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<NameText>")]
    pub parent: Option<GroupName>,
    /// How many restarts within the window are borne, 0 to 1000000. Default: 3.
    #[schemars(default = "three", range(max = 1_000_000))]
    pub restarts: u32,
    /// The window. Default: 5s.
    #[serde(serialize_with = "write_duration")]
    #[schemars(default = "five_seconds", with = "DurationText")]
    pub within: Duration,
    /// The wait before a restart.
    #[schemars(default)]
    pub backoff: Backoff,
}

fn one_for_one() -> Strategy {
    Strategy::OneForOne
}

fn three() -> u32 {
    RESTARTS.0
}

fn five_seconds() -> Duration {
    RESTARTS.1
}

impl Decode for Supervision {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`supervision`")?;
        let policy = fields.or(cx, "policy", RestartPolicy::Permanent);
        let restarts = fields.integer(cx, "restarts", (0, 1_000_000), RESTARTS.0);
        let within = fields.or(cx, "within", Positive(RESTARTS.1));
        let backoff = fields.or(cx, "backoff", Backoff::default());
        for key in ["restarts", "within", "backoff"] {
            cx.marks.restart_keys.extend(fields.key(key).map(|span| (key, span)));
        }
        fields.close(cx);
        Some(Self {
            policy: policy?,
            restarts: Some(restarts?),
            within: Some(within?.0),
            backoff: Some(backoff?),
        })
    }
}

impl Decode for Backoff {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`backoff`")?;
        let defaults = Self::default();
        let initial = fields.or(cx, "initial", Positive(defaults.initial));
        // A first wait beyond the usual longest one moves that along, unless the manifest names both.
        let default_max = initial.as_ref().map_or(defaults.max, |initial| initial.0.max(defaults.max));
        let max_at = fields.take("max");
        let max = max_at.map_or(Some(Positive(default_max)), |at| Positive::decode(cx, at));
        let factor = fields.real(cx, "factor", (1.0, 100.0), defaults.factor);
        let jitter = fields.real(cx, "jitter", (0.0, 1.0), defaults.jitter);
        fields.close(cx);
        let (initial, max) = (initial?.0, max?.0);
        if let Some(at) = max_at.filter(|_| max < initial) {
            let message = format!("`max` is shorter than `initial`, {}", humantime::format_duration(initial));
            cx.fault(Code::Conflict, at.span(), message, "write a `max` of at least `initial`");
        }
        Some(Self { initial, max, factor: factor?, jitter: jitter? })
    }
}

impl Decode for Group {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "a group")?;
        let name = fields.required::<Spanned<GroupName>>(cx, "name", "\"pair\"");
        let strategy = fields.or(cx, "strategy", one_for_one());
        let parent = fields.optional::<Spanned<GroupName>>(cx, "parent");
        let restarts = fields.integer(cx, "restarts", (0, 1_000_000), three());
        let within = fields.or(cx, "within", Positive(five_seconds()));
        let backoff = fields.or(cx, "backoff", Backoff::default());
        fields.close(cx);
        match &name {
            Some(name) => {
                cx.marks.groups.push(GroupMark { name: name.clone(), parent: parent.clone().flatten() });
            }
            None => cx.marks.incomplete.push(section::GROUPS),
        }
        Some(Self {
            name: name?.value,
            strategy: strategy?,
            parent: parent?.map(|parent| parent.value),
            restarts: restarts?,
            within: within?.0,
            backoff: backoff?,
        })
    }
}
