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

    /// An id that both templates make, if there is one.
    pub(super) fn overlap(&self, other: &Self) -> Option<AgentId> {
        let (few, many) = if self.count <= other.count { (self, other) } else { (other, self) };
        if !few.alike(many) {
            return None;
        }
        few.ids().find(|id| many.makes(id.as_str()))
    }

    /// Whether the ends of two templates can belong to the same id; most pairs cannot.
    fn alike(&self, other: &Self) -> bool {
        let split = |it: &'_ Self| -> (String, String) {
            it.place.map_or_else(
                || (it.text.clone(), it.text.clone()),
                |place| (it.text[..place].to_owned(), it.text[place + INDEX.len()..].to_owned()),
            )
        };
        let ((a, b), (c, d)) = (split(self), split(other));
        let digit_next = |rest: &str| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit());
        let digit_last = |rest: &str| rest.is_empty() || rest.ends_with(|c: char| c.is_ascii_digit());
        let heads = a.strip_prefix(&*c).or_else(|| c.strip_prefix(&*a)).is_some_and(digit_next);
        let tails = b.strip_suffix(&*d).or_else(|| d.strip_suffix(&*b)).is_some_and(digit_last);
        heads && tails
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
            assert_eq!(one.overlap(&other).is_some(), listed, "{one:?} and {other:?}");
        }
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
