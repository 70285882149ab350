//! The size limit of one event: what is beyond it is cut, with a mark.
//!
//! **Invariant.** After [`limit`] the data of an event takes at most the limit plus the entry of the mark, by [`size`]'s measure.

use serde_json::{Map, Value};

use super::event::Event;

/// The key under which the size before the cut (in bytes) stands in the data of a cut event.
pub const TRUNCATED: &str = "truncated_bytes";

/// The longest name and source an event keeps, in bytes.
const MAX_TEXT: usize = 255;
/// What an entry or element takes beside its text, in bytes: quotes, colon, comma.
const ENTRY: usize = 4;
/// What a number, a boolean or a null is counted as, in bytes.
const NUMBER: usize = 20;
/// Data nested deeper than this counts as too large.
const MAX_DEPTH: usize = 32;

/// About how long the data of an event is as JSON, in bytes.
pub(super) fn size(data: &Map<String, Value>) -> usize {
    data.iter().fold(0_usize, |sum, (key, value)| sum.saturating_add(entry(key, value)))
}

fn entry(key: &str, value: &Value) -> usize {
    size_of_value(value, 0).saturating_add(key.len() + ENTRY)
}

fn size_of_value(value: &Value, depth: usize) -> usize {
    if depth > MAX_DEPTH {
        return usize::MAX;
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => NUMBER,
        Value::String(text) => text.len() + ENTRY,
        Value::Array(items) => items.iter().fold(ENTRY, |sum, item| {
            sum.saturating_add(size_of_value(item, depth + 1)).saturating_add(ENTRY)
        }),
        Value::Object(map) => map.iter().fold(ENTRY, |sum, (key, value)| {
            sum.saturating_add(size_of_value(value, depth + 1)).saturating_add(key.len() + ENTRY)
        }),
    }
}

/// Cuts an event down to `max` bytes of data and says how large its data is now, and whether anything was cut.
///
/// Entries are kept from the front while they fit; a text that does not fit is cut, anything else left out.
pub(super) fn limit(event: &mut Event, max: usize) -> (usize, bool) {
    if event.name.len() > MAX_TEXT {
        event.name = cut(&event.name, MAX_TEXT).to_owned().into();
    }
    if event.source.as_str().len() > MAX_TEXT {
        event.source = cut(event.source.as_str(), MAX_TEXT).to_owned().into();
    }
    let before = size(&event.data);
    if before <= max {
        return (before, false);
    }
    let mut left = max;
    let mut kept = Map::new();
    for (key, value) in std::mem::take(&mut event.data) {
        let takes = entry(&key, &value);
        if takes <= left {
            left -= takes;
            kept.insert(key, value);
        } else if let Value::String(text) = value {
            let overhead = key.len() + 2 * ENTRY;
            if overhead < left {
                kept.insert(key, cut(&text, left - overhead).into());
            }
            left = 0;
        }
    }
    kept.insert(TRUNCATED.to_owned(), before.into());
    event.data = kept;
    (size(&event.data), true)
}

fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{agent::Timestamp, monitor::event::Severity};

    const MARK_BYTES: usize = TRUNCATED.len() + ENTRY + NUMBER;

    fn event() -> Event {
        Event::system(Severity::Info, "test", "test.event", Timestamp::ZERO)
    }

    #[test]
    fn a_small_event_is_left_alone() {
        let mut small = event().with("a", 1);
        let before = small.clone();
        assert!(!limit(&mut small, 100).1);
        assert_eq!(small, before);
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_marked() {
        let mut large = event().with("a", "\u{1F980}".repeat(100)).with("b", 1);
        let (size, cut) = limit(&mut large, 50);
        assert!(cut && size <= 50 + MARK_BYTES);
        assert_eq!(large.data["a"].as_str().unwrap().chars().count(), 10);
        assert_eq!(large.data.keys().collect::<Vec<_>>(), ["a", TRUNCATED]);
    }

    #[test]
    fn data_nested_without_end_is_left_out() {
        let nested = (0..100).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        let mut deep = event().with("deep", nested).with("b", 1);
        assert!(limit(&mut deep, 1000).1);
        assert_eq!(deep.data.keys().collect::<Vec<_>>(), ["b", TRUNCATED]);
    }

    #[test]
    fn a_long_name_is_cut() {
        let mut named = event();
        named.name = "n".repeat(1000).into();
        limit(&mut named, 100);
        assert_eq!(named.name.len(), 255);
    }

    proptest! {
        #[test]
        fn a_limited_event_keeps_its_limit(
            entries in prop::collection::vec(("[a-z]{1,9}", "\\PC{0,40}"), 0..20),
            max in 0_usize..400,
        ) {
            let mut limited = entries.into_iter().fold(event(), |event, (key, text)| event.with(key, text));
            let before = size(&limited.data);
            let (after, cut) = limit(&mut limited, max);
            prop_assert_eq!(cut, before > max);
            prop_assert!(after <= max + MARK_BYTES, "{} > {}", after, max);
            prop_assert_eq!(after, size(&limited.data));
        }
    }
}
