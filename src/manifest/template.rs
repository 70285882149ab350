//! [`IdTemplate`]: the ids of the agents of one entry; [`item_text`]: an item of a loop as part of a task's id.

use std::{
    ffi::OsStr,
    fmt::{self, Write as _},
    hash::Hasher,
};

use phalanx_actors::agent::{AgentId, InvalidName};
use serde::{Serialize, Serializer};

/// The place for the number of an agent or of a counted task.
pub const INDEX: &str = "{index}";

/// The place for the path of a file.
pub const PATH: &str = "{path}";

/// The ids of the agents of one entry, `hasher/{index}`: the index counts from 0.
///
/// # Examples
/// ```
/// use phalanx::manifest::IdTemplate;
/// let ids = IdTemplate::new("hasher/{index}", 50).unwrap();
/// assert_eq!(ids.id(7).as_str(), "hasher/7");
/// assert!(ids.makes("hasher/49") && !ids.makes("hasher/50") && !ids.makes("hasher/07"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdTemplate {
    text: String,
    place: Option<usize>,
    count: u64,
}

/// Two templates are too alike to be told apart in the time given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooAlike;

/// Why a text is no template of ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTemplate {
    /// It makes the same id for several agents.
    #[error("{text:?} names {count} agents alike: put {INDEX} into it")]
    Alike {
        /// The template.
        text: String,
        /// How many agents there are.
        count: u64,
    },
    /// The index stands in it twice.
    #[error("{text:?} holds {INDEX} more than once: keep one of them")]
    Twice {
        /// The template.
        text: String,
    },
    /// It makes an id that is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl IdTemplate {
    /// A template for the ids of `count` agents.
    ///
    /// # Errors
    /// The ids would not differ, or would be no ids.
    pub fn new(text: &str, count: u64) -> Result<Self, InvalidTemplate> {
        let place = text.find(INDEX);
        if text.matches(INDEX).count() > 1 {
            return Err(InvalidTemplate::Twice { text: text.to_owned() });
        }
        if place.is_none() && count > 1 {
            return Err(InvalidTemplate::Alike { text: text.to_owned(), count });
        }
        let template = Self { text: text.to_owned(), place, count };
        AgentId::new(template.text(count.saturating_sub(1)))?;
        Ok(template)
    }

    fn text(&self, index: u64) -> String {
        match self.place {
            Some(_) => self.text.replacen(INDEX, &index.to_string(), 1),
            None => self.text.clone(),
        }
    }

    /// The id of one agent.
    pub fn id(&self, index: u64) -> AgentId {
        AgentId::new(self.text(index)).expect("the longest id was tried when the template was made")
    }

    /// All ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = AgentId> + '_ {
        (0..self.count).map(|index| self.id(index))
    }

    /// Whether one of the ids is this one.
    pub fn makes(&self, id: &str) -> bool {
        let Some(place) = self.place else { return self.text == id };
        let (before, after) = (&self.text[..place], &self.text[place + INDEX.len()..]);
        let middle = id.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        middle.is_some_and(|digits| {
            (digits == "0" || !digits.starts_with('0'))
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u64>().is_ok_and(|index| index < self.count)
        })
    }

    /// The text before and after the index; both are the whole of a template without one.
    fn ends(&self) -> (&str, &str) {
        self.place.map_or((&self.text, &self.text), |place| {
            (&self.text[..place], &self.text[place + INDEX.len()..])
        })
    }

    /// An id that both templates make, if there is one. Each id tried costs one of `tries`; without any left there is
    /// no answer.
    pub(super) fn overlap(&self, other: &Self, tries: &mut u64) -> Result<Option<AgentId>, TooAlike> {
        let (few, many) = if self.count <= other.count { (self, other) } else { (other, self) };
        if few.place.is_none() {
            return Ok(many.makes(&few.text).then(|| few.id(0)));
        }
        if !few.alike(many) {
            return Ok(None);
        }
        for index in 0..few.count {
            *tries = tries.checked_sub(1).ok_or(TooAlike)?;
            if many.makes(&few.text(index)) {
                return Ok(Some(few.id(index)));
            }
        }
        Ok(None)
    }

    /// Whether the ends of two templates can belong to the same id; most pairs cannot.
    fn alike(&self, other: &Self) -> bool {
        fn rest<'t>(
            one: &'t str,
            other: &'t str,
            strip: impl Fn(&'t str, &'t str) -> Option<&'t str>,
        ) -> Option<(&'t str, bool)> {
            strip(one, other).map(|rest| (rest, true)).or_else(|| strip(other, one).map(|rest| (rest, false)))
        }
        let ((a, b), (c, d)) = (self.ends(), other.ends());
        let head = rest(a, c, |long, short| long.strip_prefix(short));
        let tail = rest(b, d, |long, short| long.strip_suffix(short));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        match (head, tail) {
            // What one has more at both ends is part of the other's index.
            (Some((head, first)), Some((tail, also)))
                if first == also || head.is_empty() || tail.is_empty() =>
            {
                digits(head) && digits(tail)
            }
            (Some((head, _)), Some((tail, _))) => {
                head.starts_with(|c: char| c.is_ascii_digit()) && tail.ends_with(|c: char| c.is_ascii_digit())
            }
            _ => false,
        }
    }

    /// Whether the index is part of it.
    pub(super) fn is_indexed(&self) -> bool {
        self.place.is_some()
    }

    /// The template as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for IdTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} x {}", self.text, self.count)
    }
}

impl Serialize for IdTemplate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

/// An item of a loop as part of a task's id: control characters, back slashes, bytes that are no UTF-8 and white
/// space at either end are written as escapes, so that different items give different texts. A text of more than
/// `room` bytes keeps its end behind a hash of the whole.
pub(super) fn item_text(item: &OsStr, room: usize) -> String {
    let mut out = String::new();
    for chunk in item.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if c.is_control() => out.extend(c.escape_default()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    for end in [out.chars().next(), out.chars().next_back()] {
        if let Some(end) = end.filter(|c| c.is_whitespace()) {
            let escape = end.escape_unicode().to_string();
            if out.starts_with(end) {
                out.replace_range(..end.len_utf8(), &escape);
            } else {
                out.replace_range(out.len() - end.len_utf8().., &escape);
            }
        }
    }
    if out.len() > room {
        let mut hasher = rustc_hash::FxHasher::default();
        hasher.write(out.as_bytes());
        let head = format!("…{:016x}…", hasher.finish());
        let mut keep = out.len() - room.saturating_sub(head.len()).min(out.len());
        while !out.is_char_boundary(keep) {
            keep += 1;
        }
        out = format!("{head}{}", out[keep..].trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str, count: u64) -> IdTemplate {
        IdTemplate::new(text, count).unwrap()
    }

    #[test]
    fn overlaps_of_templates_are_found_as_listing_all_ids_finds_them() {
        let texts = [
            "a/{index}",
            "a/1{index}",
            "{index}/1",
            "1/{index}",
            "a/{index}/b",
            "{index}",
            "x{index}",
            "a/1",
        ];
        for (one, other) in texts.iter().flat_map(|one| texts.iter().map(move |other| (one, other))) {
            let count = |text: &str| if text.contains(INDEX) { 30 } else { 1 };
            let (one, other) = (template(one, count(one)), template(other, count(other)));
            let listed = one.ids().any(|id| other.ids().any(|too| too == id));
            assert_eq!(one.overlap(&other, &mut 100).unwrap().is_some(), listed, "{one:?} and {other:?}");
        }
    }

    #[test]
    fn templates_too_alike_to_compare_are_told() {
        let (one, other) = (template("1/{index}", 1000), template("{index}/x1", 1000));
        assert_eq!(one.overlap(&other, &mut 100), Err(TooAlike));
        assert_eq!(one.overlap(&other, &mut 1000), Ok(None));
        let (one, other) = (template("a/1{index}", 1000), template("a/{index}0", 2));
        assert_eq!(one.overlap(&other, &mut 1), Err(TooAlike));
        assert_eq!(one.overlap(&other, &mut 2).unwrap().unwrap().as_str(), "a/10");
    }

    #[test]
    fn a_template_that_names_many_alike_is_refused() {
        assert_eq!(
            IdTemplate::new("hasher", 2).unwrap_err().to_string(),
            "\"hasher\" names 2 agents alike: put {index} into it"
        );
        assert!(matches!(IdTemplate::new("{index}{index}", 2), Err(InvalidTemplate::Twice { .. })));
        assert!(matches!(
            IdTemplate::new(&format!("{}{{index}}", "x".repeat(254)), 11),
            Err(InvalidTemplate::Name(_))
        ));
    }

    #[test]
    fn items_stay_apart_and_within_room() {
        assert_eq!(item_text(OsStr::new("a\n\\ "), 100), "a\\n\\\\\\u{20}");
        let (one, other) = ("x/".to_owned() + &"y".repeat(400), "z/".to_owned() + &"y".repeat(400));
        let (one, other) = (item_text(OsStr::new(&one), 200), item_text(OsStr::new(&other), 200));
        assert!(one.len() <= 200 && other.len() <= 200 && one != other);
    }
}
