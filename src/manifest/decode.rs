//! The decoder layer: typed values out of the JSON tree, every fault noted and none of them the last.
//!
//! A reader that stops at its first error makes its user run it once per error. Here each value is read by itself:
//! what cannot be read leaves a fault with its position and a `None`, and its neighbours are read all the same.
//!
//! **Invariant.** A `None` always comes with at least one fault.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use indexmap::IndexSet;
use jsonc_parser::{
    ast::{Object, ObjectProp, Value},
    common::Ranged,
};

use super::{
    fault::{Code, Collector, Lines, nearest, quote},
    marks::Marks,
    variables::{Unfilled, Variables, fill},
};

/// How much longer variables may make the texts of a manifest, in all, in bytes.
const MAX_GROWTH: usize = 16 * 1024 * 1024;

/// A value with its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A node of the tree and what it is called in messages.
#[derive(Clone, Copy)]
pub(super) struct At<'n> {
    pub(super) value: &'n Value<'n>,
    pub(super) called: &'n str,
    pub(super) element: bool,
}

impl At<'_> {
    pub(super) fn span(&self) -> Range<usize> {
        let range = self.value.range();
        match self.value {
            Value::Object(_) | Value::Array(_) => range.start..range.start + 1,
            _ => range.start..range.end,
        }
    }

    /// What the node is called in a message.
    pub(super) fn name(&self) -> String {
        if self.is_whole() {
            "the manifest".to_owned()
        } else if self.element {
            format!("an element of {}", quote(self.called))
        } else {
            quote(self.called)
        }
    }

    /// Whether it is the whole file, which has no key.
    fn is_whole(&self) -> bool {
        self.called.is_empty() && !self.element
    }

    fn type_name(&self) -> &'static str {
        match self.value {
            Value::StringLit(_) => "a text",
            Value::NumberLit(_) => "a number",
            Value::BooleanLit(_) => "a boolean",
            Value::Object(_) => "an object",
            Value::Array(_) => "a list",
            Value::NullKeyword(_) => "null",
        }
    }
}

/// A value that can be read from the tree.
pub(super) trait Decode: Sized {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self>;
}

/// What reading needs: the text, the variables, and where faults and marks go.
pub(super) struct Decoder<'a> {
    pub(super) faults: Collector,
    pub(super) marks: Marks,
    text: &'a str,
    lines: Lines,
    variables: &'a Variables,
    used: IndexSet<String>,
    growth: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(text: &'a str, variables: &'a Variables) -> Self {
        let (faults, marks, used) = (Collector::default(), Marks::default(), IndexSet::new());
        Self { faults, marks, text, lines: Lines::of(text), variables, used, growth: 0 }
    }

    pub(super) fn fault(
        &mut self,
        code: Code,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.faults.add(code, span, message, help);
    }

    pub(super) fn wrong_type(&mut self, at: At<'_>, expected: &str) {
        let message = format!("{} is {}", at.name(), at.type_name());
        let help = match at.value {
            Value::NullKeyword(_) if !at.is_whole() => {
                format!("leave the key out for its default; otherwise {expected} is expected")
            }
            _ => format!("{expected} is expected"),
        };
        self.fault(Code::WrongType, at.span(), message, help);
    }

    /// The text of a node with its variables filled in, and whether there were any.
    pub(super) fn text<'n>(&mut self, at: At<'n>, expected: &str) -> Option<(Cow<'n, str>, bool)> {
        let Value::StringLit(literal) = at.value else {
            self.wrong_type(at, expected);
            return None;
        };
        let used = &mut self.used;
        match fill(&literal.value, self.variables, |name| _ = used.insert(name.to_owned())) {
            Ok(filled) => {
                self.growth += filled.text.len().saturating_sub(literal.value.len());
                if self.growth > MAX_GROWTH {
                    let message = format!(
                        "variables make the texts of the manifest more than {MAX_GROWTH} bytes longer"
                    );
                    self.fault(Code::TooLarge, at.span(), message, "pass shorter values with --set");
                    return None;
                }
                Some((filled.text, filled.replaced))
            }
            Err(unfilled) => {
                let start = literal.range.start;
                let raw = &self.text[start..literal.range.end];
                let place =
                    |at: &Range<usize>| start + raw_offset(raw, at.start)..start + raw_offset(raw, at.end);
                match unfilled {
                    Unfilled::Value { name, at } => {
                        let near = nearest(&name, self.variables.names()).map(str::to_owned);
                        let help = near.map_or_else(
                            || format!("pass --set {name}=..., give a default as in ${{{name}:-default}}, or write $${{ for the text itself"),
                            |near| format!("did you mean `{near}`, which --set gives?"),
                        );
                        self.fault(Code::UnknownVariable, place(&at), format!("the variable `{name}` has no value"), help);
                    }
                    Unfilled::Name { at } => self.fault(
                        Code::UnknownVariable,
                        place(&at),
                        "this placeholder names no variable",
                        "write ${name} or ${name:-default} with letters, digits and `_`, or $${ for the text itself",
                    ),
                    Unfilled::End { at } => self.fault(
                        Code::UnknownVariable,
                        place(&at),
                        "this placeholder has no }",
                        "write ${name} or ${name:-default}, or $${ for the text itself",
                    ),
                }
                None
            }
        }
    }

    /// The digits of a number, be it a JSON number or a text made from variables.
    fn number<'n>(&mut self, at: At<'n>, expected: &str) -> Option<Cow<'n, str>> {
        match at.value {
            Value::NumberLit(literal) => Some(Cow::Borrowed(literal.value)),
            Value::StringLit(literal) if literal.value.contains("${") => Some(self.text(at, expected)?.0),
            _ => {
                self.wrong_type(at, expected);
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(super) fn integer<T: TryFrom<u64>>(&mut self, at: At<'_>, least: u64, most: u64) -> Option<T> {
        let expected = format!("a whole number from {least} to {most}");
        let digits = self.number(at, &expected)?;
        let number = digits.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.fault(
                Code::OutOfRange,
                at.span(),
                format!("{} is {}", at.name(), quote(&digits)),
                format!("{expected} is expected"),
            );
        }
        number
    }

    /// A number within bounds.
    pub(super) fn real(&mut self, at: At<'_>, least: f64, most: f64) -> Option<f64> {
        let expected = format!("a number from {least} to {most}");
        let digits = self.number(at, &expected)?;
        let number = digits.parse::<f64>().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.fault(
                Code::OutOfRange,
                at.span(),
                format!("{} is {}", at.name(), quote(&digits)),
                format!("{expected} is expected"),
            );
        }
        number
    }

    /// The one key of an object such as `{"sleep": {"for": "1s"}}` and its value.
    pub(super) fn choice<'n>(
        &mut self,
        at: At<'n>,
        known: &[&'static str],
    ) -> Option<(&'static str, At<'n>)> {
        let expected = format!("an object with one of the keys {}", list(known));
        let Value::Object(object) = at.value else {
            self.wrong_type(at, &expected);
            return None;
        };
        let [one] = object.properties.as_slice() else {
            let count = object.properties.len();
            let message = format!("{} has {count} keys", at.name());
            self.fault(Code::WrongType, at.span(), message, format!("{expected} is expected"));
            return None;
        };
        let Some(name) = known.iter().find(|name| **name == one.name.as_str()) else {
            let name = one.name.as_str();
            let message = format!("{} has no field {}", at.name(), quote(name));
            self.unknown(Code::UnknownField, key_span(one), message, name, known);
            return None;
        };
        Some((name, At { value: &one.value, called: name, element: false }))
    }

    /// Notes a text that is none of those known, with the nearest or all of them.
    pub(super) fn unknown(
        &mut self,
        code: Code,
        span: Range<usize>,
        message: String,
        text: &str,
        known: &[&str],
    ) {
        let near = self.faults.may_suggest().then(|| nearest(text, known.iter().copied())).flatten();
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "it has no fields at all".to_owned(),
            None => format!("known here: {}", list(known)),
        };
        self.fault(code, span, message, help);
    }

    /// The variables given but not used, once everything is read.
    pub(super) fn unused_variables(&mut self) {
        let unused: Vec<String> =
            self.variables.names().filter(|name| !self.used.contains(*name)).map(str::to_owned).collect();
        for name in unused {
            let near = nearest(&name, self.used.iter().map(String::as_str));
            let help = near.map_or_else(
                || format!("remove --set {name}=..., or write ${{{name}}} where its value belongs"),
                |near| format!("did you mean `{near}`, which the manifest uses?"),
            );
            let message = format!("the variable `{name}` is set but the manifest does not use it");
            self.fault(Code::UnusedVariable, 0..0, message, help);
        }
    }
}

/// Words in back quotes with commas in between.
pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn key_span(property: &ObjectProp<'_>) -> Range<usize> {
    property.name.start()..property.name.end()
}

/// Where a byte of a decoded text stands in its literal, quotes and escapes counted.
fn raw_offset(literal: &str, decoded: usize) -> usize {
    let (mut raw, mut seen) = (1, 0);
    let bytes = literal.as_bytes();
    while seen < decoded && raw + 1 < literal.len() {
        let (step, worth) = match (bytes[raw], bytes.get(raw + 1)) {
            (b'\\', Some(b'u')) => {
                let unit = u32::from_str_radix(literal.get(raw + 2..raw + 6).unwrap_or("0"), 16).unwrap_or(0);
                match unit {
                    0xd800..0xe000 => (12, 4),
                    _ => (6, char::from_u32(unit).map_or(1, char::len_utf8)),
                }
            }
            (b'\\', _) => (2, 1),
            _ => (1, 1),
        };
        (raw, seen) = (raw + step, seen + worth);
    }
    raw.min(literal.len())
}

/// The keys of one object, read one by one.
pub(super) struct Fields<'n> {
    object: &'n Object<'n>,
    what: &'static str,
    asked: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Opens an object, noting keys that stand twice.
    pub(super) fn open(cx: &mut Decoder<'_>, at: At<'n>, what: &'static str) -> Option<Self> {
        let Value::Object(object) = at.value else {
            cx.wrong_type(at, "an object");
            return None;
        };
        Self::check_keys(cx, object);
        Some(Self { object, what, asked: Vec::new() })
    }

    /// Notes the keys of an object that stand twice.
    pub(super) fn check_keys(cx: &mut Decoder<'_>, object: &Object<'_>) {
        let mut seen = HashMap::with_capacity(object.properties.len());
        for property in &object.properties {
            if let Some(first) = seen.insert(property.name.as_str(), key_span(property)) {
                let line = cx.line(first.start);
                let message =
                    format!("the key {} stands twice, first on line {line}", quote(property.name.as_str()));
                cx.fault(Code::DuplicateKey, key_span(property), message, "keep one of them");
            }
        }
    }

    /// The node under a key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<At<'n>> {
        self.asked.push(key);
        let property = self.object.properties.iter().find(|property| property.name.as_str() == key)?;
        Some(At { value: &property.value, called: key, element: false })
    }

    /// How many keys the object under a key has; none when it is no object.
    pub(super) fn entries(&self, key: &str) -> usize {
        let property = self.object.properties.iter().find(|property| property.name.as_str() == key);
        match property.map(|property| &property.value) {
            Some(Value::Object(object)) => object.properties.len(),
            _ => 0,
        }
    }

    /// Where a key stands, if it is there.
    pub(super) fn key(&self, key: &str) -> Option<Range<usize>> {
        self.object.properties.iter().find(|property| property.name.as_str() == key).map(key_span)
    }

    /// Notes that a key must be there.
    pub(super) fn missing(&self, cx: &mut Decoder<'_>, key: &str, example: &str) {
        let at = self.object.range.start;
        let message = format!("{} has no `{key}`", self.what);
        cx.fault(Code::MissingField, at..at + 1, message, format!("add \"{key}\": {example}"));
    }

    /// The node under a key that must be there.
    pub(super) fn must(&mut self, cx: &mut Decoder<'_>, key: &'static str, example: &str) -> Option<At<'n>> {
        let at = self.take(key);
        if at.is_none() {
            self.missing(cx, key, example);
        }
        at
    }

    /// A key that must be there.
    pub(super) fn required<T: Decode>(
        &mut self,
        cx: &mut Decoder<'_>,
        key: &'static str,
        example: &str,
    ) -> Option<T> {
        self.must(cx, key, example).and_then(|at| T::decode(cx, at))
    }

    /// A key that may be left out; the outer `None` means that it is there and faulty.
    #[expect(clippy::option_option, reason = "absent is not the same as faulty")]
    pub(super) fn optional<T: Decode>(
        &mut self,
        cx: &mut Decoder<'_>,
        key: &'static str,
    ) -> Option<Option<T>> {
        match self.take(key) {
            Some(at) => T::decode(cx, at).map(Some),
            None => Some(None),
        }
    }

    /// A key with a default.
    pub(super) fn or<T: Decode>(&mut self, cx: &mut Decoder<'_>, key: &'static str, default: T) -> Option<T> {
        self.take(key).map_or(Some(default), |at| T::decode(cx, at))
    }

    /// A whole number with a default.
    pub(super) fn integer<T: TryFrom<u64>>(
        &mut self,
        cx: &mut Decoder<'_>,
        key: &'static str,
        (least, most): (u64, u64),
        default: T,
    ) -> Option<T> {
        self.take(key).map_or(Some(default), |at| cx.integer(at, least, most))
    }

    /// A number with a default.
    pub(super) fn real(
        &mut self,
        cx: &mut Decoder<'_>,
        key: &'static str,
        (least, most): (f64, f64),
        default: f64,
    ) -> Option<f64> {
        self.take(key).map_or(Some(default), |at| cx.real(at, least, most))
    }

    /// The one that is there of some keys that exclude each other.
    pub(super) fn one_of(
        &mut self,
        cx: &mut Decoder<'_>,
        keys: &[&'static str],
    ) -> Option<(&'static str, At<'n>)> {
        let found: Vec<_> = keys.iter().filter_map(|key| Some((*key, self.take(key)?))).collect();
        match found.as_slice() {
            [one] => Some(*one),
            [] => {
                let at = self.object.range.start;
                let message = format!("{} has none of the keys {}", self.what, list(keys));
                cx.fault(Code::MissingField, at..at + 1, message, "add one of them");
                None
            }
            [(first, _), .., (second, at)] => {
                let message = format!("{} has both `{first}` and `{second}`", self.what);
                cx.fault(Code::Conflict, at.span(), message, "keep one of them");
                None
            }
        }
    }

    /// Notes every key that was not asked for.
    pub(super) fn close(self, cx: &mut Decoder<'_>) {
        for property in &self.object.properties {
            let name = property.name.as_str();
            if !self.asked.contains(&name) && !cx.faults.count_only() {
                let message = format!("{} has no field {}", self.what, quote(name));
                cx.unknown(Code::UnknownField, key_span(property), message, name, &self.asked);
            }
        }
    }
}

impl Decoder<'_> {
    /// The line a byte stands on, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.number(at)
    }
}

impl<T: Decode> Decode for Spanned<T> {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        Some(Self { value: T::decode(cx, at)?, span: at.span() })
    }
}

/// Faulty elements are left out: their faults already refuse the manifest, and the others can be checked on.
impl<T: Decode> Decode for Vec<T> {
    fn decode(cx: &mut Decoder<'_>, at: At<'_>) -> Option<Self> {
        let Value::Array(array) = at.value else {
            cx.wrong_type(at, "a list");
            return None;
        };
        Some(
            array
                .elements
                .iter()
                .filter_map(|value| T::decode(cx, At { value, called: at.called, element: true }))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_text_counts_the_escapes_before_it() {
        let literal = r#""a\n\u00fc\ud83d\ude00é${x}""#;
        let decoded: String = serde_json::from_str(literal).unwrap();
        let at = decoded.find("${x}").unwrap();
        assert_eq!(&literal[raw_offset(literal, at)..raw_offset(literal, at + 4)], "${x}");
    }
}
