//! How the plain values of a manifest are read: names, durations, paths, texts and words.

use std::{collections::BTreeMap, ops::Range, path::PathBuf, time::Duration};

use jsonc_parser::{ast::Value, common::Ranged};
use phalanx_actors::agent::{
    AgentId, Capability, GroupName, InvalidName, Kind, ResourceName, TaskId, Tenant, TopicFilter, TopicName,
};
use serde::Serializer;

use super::{
    decode::{At, Decode, Decoder, Fields, Spanned},
    fault::{Code, quote},
};

/// The longest duration: 365 days.
pub const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Writes a duration as a manifest has it, for example `1m 30s`.
pub(super) fn write_duration<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_duration(*duration))
}

/// The same for one that may be absent.
#[expect(clippy::ref_option, reason = "serde hands it over so")]
pub(super) fn write_optional_duration<S: Serializer>(
    duration: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => write_duration(duration, to),
        None => to.serialize_none(),
    }
}

/// A refusal of a name, split into what is wrong and what would be right.
pub(super) fn bad_name(cx: &mut Decoder<'_>, span: Range<usize>, error: &InvalidName) {
    let text = error.to_string();
    let (message, help) = text.rsplit_once(": ").unwrap_or((&text, "use another name"));
    cx.fault(Code::BadName, span, message, help);
}

macro_rules! names {
    ($($Name:ident = $example:literal),* $(,)?) => {$(
        impl Decode for $Name {
            fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
                let (text, _) = cx.text(at, concat!("a text such as ", $example))?;
                $Name::new(&*text).map_err(|error| bad_name(cx, at.span(), &error)).ok()
            }
        }
    )*};
}

names! {
    AgentId = "\"hasher/7\"", Capability = "\"sha256\"", GroupName = "\"pair\"", Kind = "\"hasher\"",
    ResourceName = "\"memory_mb\"", TaskId = "\"combine\"", Tenant = "\"acme\"", TopicFilter = "\"progress\"", TopicName = "\"progress\"",
}

impl Decode for Duration {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        if let Value::NumberLit(literal) = at.value {
            let (message, digits) = (format!("{} is a number without a unit", at.name()), literal.value);
            let help = format!("write it with its unit, such as \"{digits}s\" or \"{digits}ms\"");
            cx.fault(Code::WrongType, at.span(), message, help);
            return None;
        }
        let (text, _) = cx.text(at, "a duration such as \"250ms\" or \"5s\"")?;
        let ends_in_unit = text.ends_with(|c: char| c.is_alphabetic());
        let message = format!("{} is {}, which is no duration", at.name(), quote(&text));
        match humantime::parse_duration(&text) {
            Ok(duration) if ends_in_unit && duration <= MAX_DURATION => Some(duration),
            Ok(_) | Err(humantime::DurationError::NumberOverflow) if ends_in_unit => {
                let message = format!("{} is {}", at.name(), quote(&text));
                cx.fault(Code::OutOfRange, at.span(), message, "at most 365 days are allowed");
                None
            }
            Ok(_) | Err(_) => {
                cx.fault(
                    Code::OutOfRange,
                    at.span(),
                    message,
                    "write a number and a unit: us, ms, s, m, h or d, as in \"250ms\"",
                );
                None
            }
        }
    }
}

/// A duration above zero.
pub(super) struct Positive(pub(super) Duration);

impl Decode for Positive {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let duration = Duration::decode(cx, at)?;
        if duration.is_zero() {
            let message = format!("{} is zero", at.name());
            cx.fault(Code::OutOfRange, at.span(), message, "write a duration above zero, such as \"1s\"");
            return None;
        }
        Some(Self(duration))
    }
}

/// `true` or `false`, also as a text, which it is where a variable stood.
impl Decode for bool {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        if let Value::BooleanLit(literal) = at.value {
            return Some(literal.value);
        }
        let (text, _) = cx.text(at, "true or false")?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let message = format!("{} is {}", at.name(), quote(&text));
            cx.fault(Code::UnknownWord, at.span(), message, "write true or false, without quotes");
        }
        parsed
    }
}

/// Where an HTTP server is asked for what.
pub(super) struct HttpUrl(pub(super) String);

impl Decode for HttpUrl {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let (text, _) = cx.text(at, "a URL such as \"http://127.0.0.1:8080/health\"")?;
        let uri = text.parse::<hyper::Uri>().ok();
        let fault = match uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?))) {
            Some(("http", host)) if !host.is_empty() => return Some(Self(text.into_owned())),
            Some(("https", _)) => "it asks for TLS, which probes do without",
            _ => "it is no URL of HTTP",
        };
        let message = format!("{} is {}: {fault}", at.name(), quote(&text));
        let help = "write it as in \"http://127.0.0.1:8080/health\"; for TLS, use `run` with a program that speaks it";
        cx.fault(Code::OutOfRange, at.span(), message, help);
        None
    }
}

/// A text without NUL, as a program's argument can be.
impl Decode for String {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let (text, _) = cx.text(at, "a text")?;
        if text.contains('\0') {
            let message = format!("{} holds the character NUL", at.name());
            cx.fault(Code::OutOfRange, at.span(), message, "remove \\u0000");
            return None;
        }
        Some(text.into_owned())
    }
}

/// A text that is not empty.
pub(super) struct Filled(pub(super) String);

impl Decode for Filled {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let text = String::decode(cx, at)?;
        if text.is_empty() {
            cx.fault(
                Code::OutOfRange,
                at.span(),
                format!("{} is empty", at.name()),
                "write at least one character",
            );
            return None;
        }
        Some(Self(text))
    }
}

impl Decode for PathBuf {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        Filled::decode(cx, at).map(|text| text.0.into())
    }
}

/// A text for people, in one line: a name of the swarm, a description.
pub(super) struct Line(pub(super) String);

impl Decode for Line {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let text = String::decode(cx, at)?;
        if let Some(character) = text.chars().find(|c| c.is_control()) {
            let message = format!("{} holds the control character {character:?}", at.name());
            cx.fault(Code::BadName, at.span(), message, "remove it");
            return None;
        }
        Some(Self(text))
    }
}

/// The largest amount of a resource: 2^53, which JSON keeps exactly.
pub(super) const MAX_AMOUNT: u64 = 1 << 53;

/// An object of amounts by the names of resources.
#[derive(Debug, Clone, Default)]
pub(super) struct Amounts(pub(super) Vec<(Spanned<ResourceName>, u64)>);

impl Amounts {
    /// The amounts without their places.
    pub(super) fn plain(self) -> BTreeMap<ResourceName, u64> {
        self.0.into_iter().map(|(resource, amount)| (resource.value, amount)).collect()
    }
}

impl Decode for Amounts {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let Value::Object(object) = at.value else {
            cx.wrong_type(at, "an object of amounts such as {\"memory_mb\": 512}");
            return None;
        };
        Fields::check_keys(cx, object);
        let mut all = Vec::new();
        for property in &object.properties {
            let key = property.name.as_str();
            let span = property.name.start()..property.name.end();
            let name = ResourceName::new(key).map_err(|error| bad_name(cx, span.clone(), &error));
            let at = At { value: &property.value, called: key, element: false };
            if let (Ok(value), Some(amount)) = (name, cx.integer(at, 1, MAX_AMOUNT)) {
                all.push((Spanned { value, span }, amount));
            }
        }
        Some(Self(all))
    }
}

/// An object of texts.
impl Decode for BTreeMap<String, String> {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let Value::Object(object) = at.value else {
            cx.wrong_type(at, "an object of texts");
            return None;
        };
        Fields::check_keys(cx, object);
        let mut all = BTreeMap::new();
        for property in &object.properties {
            let key = property.name.as_str();
            if key.is_empty() || key.contains(['=', '\0']) {
                let span = property.name.start()..property.name.end();
                cx.fault(
                    Code::BadName,
                    span,
                    format!("{} cannot be a key of `{}`", quote(key), at.called),
                    "use a key that is not empty and has neither `=` nor NUL",
                );
            }
            if let Some(text) = String::decode(cx, At { value: &property.value, called: key, element: false })
            {
                all.insert(key.to_owned(), text);
            }
        }
        Some(all)
    }
}
