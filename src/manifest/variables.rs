//! [`Variables`]: the values that `--set name=value` gives to `${name}` and `${name:-default}` in a manifest.
//!
//! **Invariant.** A value is put in as text after the JSON is parsed, so it can never change the shape of a manifest.

use std::{borrow::Cow, ops::Range, str::FromStr};

use indexmap::IndexMap;

/// Values for the placeholders of a manifest, by name.
///
/// # Examples
/// ```
/// use phalanx::manifest::{Manifest, Variables};
/// let mut variables = Variables::default();
/// variables.set("name", "checksum").unwrap();
/// let manifest = Manifest::parse("{\"name\": \"${name}-${run:-1}\"}", "swarm.json", &variables).unwrap();
/// assert_eq!(manifest.name.as_str(), "checksum-1");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(IndexMap<String, String>);

/// Why a variable is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidVariable {
    /// The name is none.
    #[error("{0:?} is no variable name: use letters, digits and `_`, not a digit first")]
    Name(String),
    /// There is no `=`.
    #[error("{0:?} has no `=`: write name=value")]
    NoValue(String),
    /// The variable has a value already.
    #[error("the variable {0:?} is given twice: give it once")]
    Twice(String),
}

/// One `name=value` of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The variable.
    pub name: String,
    /// Its value, which may hold anything.
    pub value: String,
}

impl FromStr for Assignment {
    type Err = InvalidVariable;
    fn from_str(text: &str) -> Result<Self, InvalidVariable> {
        let (name, value) = text.split_once('=').ok_or_else(|| InvalidVariable::NoValue(text.to_owned()))?;
        if !is_name(name) {
            return Err(InvalidVariable::Name(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Variables {
    /// Gives a variable its value.
    ///
    /// # Errors
    /// The name is none, or has a value already.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidVariable> {
        if !is_name(name) {
            return Err(InvalidVariable::Name(name.to_owned()));
        }
        if self.0.contains_key(name) {
            return Err(InvalidVariable::Twice(name.to_owned()));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// All of the assignments of a command line.
    ///
    /// # Errors
    /// A variable is given twice.
    pub fn from_assignments(all: impl IntoIterator<Item = Assignment>) -> Result<Self, InvalidVariable> {
        let mut variables = Self::default();
        for Assignment { name, value } in all {
            variables.set(&name, &value)?;
        }
        Ok(variables)
    }

    /// The names, in the order given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// What filling one text came to.
#[derive(Debug, PartialEq)]
pub(super) struct Filled<'a> {
    /// The text with every placeholder replaced.
    pub(super) text: Cow<'a, str>,
    /// Whether there was a placeholder.
    pub(super) replaced: bool,
}

/// What a placeholder lacks, so that it cannot be filled; the range is that of the placeholder within the text.
#[derive(Debug, PartialEq)]
pub(super) enum Unfilled {
    Value { name: String, at: Range<usize> },
    Name { at: Range<usize> },
    End { at: Range<usize> },
}

/// Puts the values into a text: `${name}`, `${name:-default}`; `$${` stands for `${` itself. `used` hears each name.
pub(super) fn fill<'a>(
    text: &'a str,
    variables: &Variables,
    mut used: impl FnMut(&str),
) -> Result<Filled<'a>, Unfilled> {
    if !text.contains("${") {
        return Ok(Filled { text: Cow::Borrowed(text), replaced: false });
    }
    let (mut out, mut rest_at, mut replaced) = (String::with_capacity(text.len()), 0, false);
    while let Some(found) = text[rest_at..].find("${") {
        let start = rest_at + found;
        if text[rest_at..start].ends_with('$') {
            out.push_str(&text[rest_at..start - 1]);
            out.push_str("${");
            rest_at = start + 2;
            continue;
        }
        out.push_str(&text[rest_at..start]);
        let Some(length) = text[start..].find('}') else {
            return Err(Unfilled::End { at: start..text.len() });
        };
        let (inside, at) = (&text[start + 2..start + length], start..start + length + 1);
        let (name, default) =
            inside.split_once(":-").map_or((inside, None), |(name, text)| (name, Some(text)));
        if !is_name(name) {
            return Err(Unfilled::Name { at });
        }
        used(name);
        match variables.get(name).or(default) {
            Some(value) => out.push_str(value),
            None => return Err(Unfilled::Value { name: name.to_owned(), at }),
        }
        (rest_at, replaced) = (at.end, true);
    }
    out.push_str(&text[rest_at..]);
    Ok(Filled { text: Cow::Owned(out), replaced })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, Unfilled> {
        let mut variables = Variables::default();
        variables.set("a", "1${b}\"").unwrap();
        fill(text, &variables, |_| {}).map(|filled| filled.text.into_owned())
    }

    #[test]
    fn values_and_defaults_are_put_in_once_and_never_read_again() {
        assert_eq!(filled("<${a}|${b:-x:-y}|${b:-}|$a>").unwrap(), "<1${b}\"|x:-y||$a>");
    }

    #[test]
    fn a_doubled_dollar_keeps_the_braces_as_text() {
        assert_eq!(filled("$${a} $$ ${a}").unwrap(), "${a} $$ 1${b}\"");
    }

    #[test]
    fn what_cannot_be_filled_says_where() {
        assert_eq!(filled("xx${b}"), Err(Unfilled::Value { name: "b".into(), at: 2..6 }));
        assert_eq!(filled("ü${b"), Err(Unfilled::End { at: 2..5 }));
        assert_eq!(filled("${}"), Err(Unfilled::Name { at: 0..3 }));
        assert_eq!(filled("${1:-x}"), Err(Unfilled::Name { at: 0..7 }));
    }

    #[test]
    fn an_assignment_splits_at_its_first_equals_sign() {
        let assignment: Assignment = "a=b=c".parse().unwrap();
        assert_eq!((assignment.name.as_str(), assignment.value.as_str()), ("a", "b=c"));
        assert_eq!("a".parse::<Assignment>(), Err(InvalidVariable::NoValue("a".into())));
        assert_eq!("=b".parse::<Assignment>(), Err(InvalidVariable::Name(String::new())));
    }
}
