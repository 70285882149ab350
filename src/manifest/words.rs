//! Words: enumerations that a manifest writes as one text.
//!
//! Most of them are the runtime's own. Each is read by the names it has for serde, which its JSON Schema has as well, so
//! there is no second list of them.

use std::fmt;

use jsonc_parser::ast::Value;
use phalanx_actors::{
    agent::Priority,
    coordinator::TaskType,
    inbox::OverflowPolicy,
    initializer::{DependencyType, OnFailure, Phase, PhaseMode},
    monitor::{EventKind, Severity},
    router::Strategy as RouterStrategy,
    supervisor::{RestartPolicy, Strategy},
};
use serde::{
    Deserialize,
    de::{self, IntoDeserializer, value::StrDeserializer},
};

use super::{
    decode::{At, Decode, Decoder, list},
    fault::{Code, quote},
    model::{BatchStrategy, KindWord, Level},
};

/// An enumeration without data.
pub(super) trait Word: for<'de> Deserialize<'de> {
    /// What it is called in messages.
    const WHAT: &'static str;
}

macro_rules! words {
    ($($Name:ty = $what:literal),+ $(,)?) => {$(
        impl Word for $Name {
            const WHAT: &'static str = $what;
        }
    )+};
}

words! {
    BatchStrategy = "registration strategy", DependencyType = "dependency type", EventKind = "event type",
    KindWord = "kind", Level = "level", OnFailure = "way to take a failure", OverflowPolicy = "overflow policy",
    Phase = "phase", PhaseMode = "order of phases", RestartPolicy = "restart policy",
    RouterStrategy = "routing strategy", Severity = "severity", Strategy = "strategy", TaskType = "task type",
}

/// All words of an enumeration, which is what serde answers to one that it does not know.
#[derive(Debug)]
struct Known(&'static [&'static str]);

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&list(self.0))
    }
}

impl std::error::Error for Known {}

impl de::Error for Known {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(expected)
    }
}

fn parse<'t, W: Deserialize<'t>>(text: &'t str) -> Result<W, Known> {
    let reader: StrDeserializer<'t, Known> = text.into_deserializer();
    W::deserialize(reader)
}

/// The word, or a fault that names the nearest or all of them.
fn read<'t, W: Deserialize<'t>>(cx: &mut Decoder<'_>, at: At<'_>, text: &'t str, what: &str) -> Option<W> {
    parse(text)
        .map_err(|Known(known)| {
            let message = format!("unknown {what} {}", quote(text));
            cx.unknown(Code::UnknownWord, at.span(), message, text, known);
        })
        .ok()
}

impl<W: Word> Decode for W {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let expected = parse::<W>("").err().map_or_else(String::new, |known| format!("one of {known}"));
        let (text, _) = cx.text(at, &expected)?;
        read(cx, at, &text, W::WHAT)
    }
}

/// A word, or its number from 1.
impl Decode for Priority {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        if let Value::NumberLit(_) = at.value {
            let number: u8 = cx.integer(at, 1, 5)?;
            return Priority::try_from(number).ok();
        }
        let (text, _) = cx.text(at, "a priority: low, normal, high, urgent, critical, or 1 to 5")?;
        // A number comes as a text where a variable stood.
        let number = text.parse().ok().and_then(|number: u8| Priority::try_from(number).ok());
        number.or_else(|| read(cx, at, &text, "priority"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_by_the_word_it_prints_and_all_are_known() {
        for kind in KindWord::ALL {
            assert_eq!(parse::<KindWord>(kind.as_str()).unwrap(), kind);
        }
        assert_eq!(parse::<KindWord>("").unwrap_err().0.len(), KindWord::ALL.len());
    }
}
