//! [`LimitKeys`]: how many agents may be registered; the runtime's own limits as a manifest writes them.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use jsonc_parser::{ast::Value, common::Ranged};
use phalanx_actors::{
    agent::{Kind, Tenant},
    registrar::Limits,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::json;

use super::kinds::KindWord;
use crate::manifest::{
    MAX_AGENTS,
    decode::{At, Decode, Decoder, Fields},
    fault::{Code, quote},
    schema::NameText,
    values::bad_name,
};

/// How many agents.
struct AgentCount;

impl JsonSchema for AgentCount {
    fn schema_name() -> Cow<'static, str> {
        "AgentCount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of agents.",
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_AGENTS,
        })
    }
}

/// How many agents may be registered at once; a run with more fails.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields, rename = "Limits")]
pub(in crate::manifest) struct LimitKeys {
    /// How many of these kinds, by the kind, 1 to 10000000 each. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<NameText, AgentCount>", extend("propertyNames" = kind_words()))]
    kinds: BTreeMap<Kind, usize>,
    /// How many of these tenants, by the tenant, 1 to 10000000 each. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<NameText, AgentCount>")]
    tenants: BTreeMap<Tenant, usize>,
    /// How many of each other kind, 1 to 10000000. Default: without bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    default_per_kind: Option<usize>,
    /// How many of each other tenant, 1 to 10000000. Default: without bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    default_per_tenant: Option<usize>,
}

fn kind_words() -> serde_json::Value {
    json!({"enum": KindWord::ALL.map(KindWord::as_str)})
}

impl LimitKeys {
    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
            && self.tenants.is_empty()
            && self.default_per_kind.is_none()
            && self.default_per_tenant.is_none()
    }
}

impl From<Limits> for LimitKeys {
    fn from(limits: Limits) -> Self {
        let Limits { kinds, tenants, default_per_kind, default_per_tenant } = limits;
        Self { kinds, tenants, default_per_kind, default_per_tenant }
    }
}

impl From<LimitKeys> for Limits {
    fn from(keys: LimitKeys) -> Self {
        let LimitKeys { kinds, tenants, default_per_kind, default_per_tenant } = keys;
        Self { kinds, tenants, default_per_kind, default_per_tenant }
    }
}

/// An object of numbers of agents, by names that are read by `name`.
fn counts<N: Ord>(
    cx: &mut Decoder<'_>,
    at: At<'_>,
    name: impl Fn(&mut Decoder<'_>, &str, Range<usize>) -> Option<N>,
) -> Option<BTreeMap<N, usize>> {
    let Value::Object(object) = at.value else {
        cx.wrong_type(at, "an object of numbers such as {\"counter\": 5}");
        return None;
    };
    Fields::check_keys(cx, object);
    let mut all = BTreeMap::new();
    for property in &object.properties {
        let key = property.name.as_str();
        let name = name(cx, key, property.name.start()..property.name.end());
        let at = At { value: &property.value, called: key, element: false };
        if let (Some(name), Some(count)) = (name, cx.integer(at, 1, MAX_AGENTS)) {
            all.insert(name, count);
        }
    }
    Some(all)
}

fn kind(cx: &mut Decoder<'_>, key: &str, span: Range<usize>) -> Option<Kind> {
    if KindWord::ALL.iter().any(|word| word.as_str() == key) {
        return Kind::new(key).ok();
    }
    let message = format!("unknown kind {}", quote(key));
    cx.unknown(Code::UnknownWord, span, message, key, &KindWord::ALL.map(KindWord::as_str));
    None
}

fn tenant(cx: &mut Decoder<'_>, key: &str, span: Range<usize>) -> Option<Tenant> {
    Tenant::new(key).map_err(|error| bad_name(cx, span, &error)).ok()
}

impl Decode for LimitKeys {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let mut fields = Fields::open(cx, at, "`limits`")?;
        let kinds = fields.take("kinds").map_or(Some(BTreeMap::new()), |at| counts(cx, at, kind));
        let tenants = fields.take("tenants").map_or(Some(BTreeMap::new()), |at| counts(cx, at, tenant));
        let mut most = |key| {
            let at = fields.take(key);
            at.map_or(Some(None), |at| cx.integer(at, 1, MAX_AGENTS).map(Some))
        };
        let (default_per_kind, default_per_tenant) = (most("default_per_kind"), most("default_per_tenant"));
        fields.close(cx);
        Some(Self {
            kinds: kinds?,
            tenants: tenants?,
            default_per_kind: default_per_kind?,
            default_per_tenant: default_per_tenant?,
        })
    }
}
