//! The names of topics, [`TopicName`], and what subscriptions are made to, [`TopicFilter`].
//!
//! A name has levels apart by dots, as in `news.sport.chess`. In a filter `*` stands for exactly one level and `>`, at
//! the end, for one or more, as with the subjects of NATS. A filter without wildcards is the name of one topic.

use super::name::{InvalidName, name, parse};

name!(
    /// The name of a topic, levels apart by dots, for example `news.sport`.
    TopicName,
    "topic",
    parse_topic
);

name!(
    /// Which topics a subscription is to: a name, or a pattern such as `news.*.chess` or `news.>`.
    ///
    /// # Examples
    /// ```
    /// use phalanx_actors::agent::{TopicFilter, TopicName};
    ///
    /// # fn main() -> Result<(), phalanx_actors::agent::InvalidName> {
    /// let chess = TopicName::new("news.sport.chess")?;
    /// assert!(TopicFilter::new("news.*.chess")?.matches(&chess));
    /// assert!(TopicFilter::new("news.>")?.matches(&chess));
    /// assert!(!TopicFilter::new("news.*")?.matches(&chess));
    /// # Ok(())
    /// # }
    /// ```
    TopicFilter,
    "topic filter",
    parse_filter
);

/// Stands for one level.
const ONE: &str = "*";
/// Stands for the rest, one level at least.
const REST: &str = ">";

/// The levels of a text, each with the byte where it begins.
fn levels(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split('.').map(move |level| {
        let begins = at;
        at += level.len() + 1;
        (begins, level)
    })
}

fn parse_levels(what: &'static str, text: &str) -> Result<(), InvalidName> {
    parse(what, text)?;
    match levels(text).find(|(_, level)| level.is_empty()) {
        Some((at, _)) => Err(InvalidName::EmptyLevel { what, text: text.to_owned(), at }),
        None => Ok(()),
    }
}

fn parse_topic(what: &'static str, text: &str) -> Result<(), InvalidName> {
    parse_levels(what, text)?;
    match text.char_indices().find(|(_, letter)| matches!(letter, '*' | '>')) {
        Some((at, wildcard)) => Err(InvalidName::Wildcard { what, text: text.to_owned(), wildcard, at }),
        None => Ok(()),
    }
}

fn parse_filter(what: &'static str, text: &str) -> Result<(), InvalidName> {
    parse_levels(what, text)?;
    for (begins, level) in levels(text) {
        let is_last = begins + level.len() == text.len();
        if level == ONE || (level == REST && is_last) {
            continue;
        }
        if let Some((at, wildcard)) = level.char_indices().find(|(_, letter)| matches!(letter, '*' | '>')) {
            let (text, at) = (text.to_owned(), begins + at);
            return Err(InvalidName::MisplacedWildcard { what, text, wildcard, at });
        }
    }
    Ok(())
}

impl TopicName {
    /// Its levels, the outermost first.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('.')
    }
}

/// One level of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level<'a> {
    /// This very one.
    Named(&'a str),
    /// Any one.
    One,
    /// All that follow, one at least.
    Rest,
}

impl TopicFilter {
    /// Its levels, the outermost first.
    pub(crate) fn levels(&self) -> impl Iterator<Item = Level<'_>> {
        self.as_str().split('.').map(|level| match level {
            ONE => Level::One,
            REST => Level::Rest,
            name => Level::Named(name),
        })
    }

    /// Whether a subscription to this hears what is published on the topic.
    pub fn matches(&self, topic: &TopicName) -> bool {
        let mut topic = topic.levels();
        for level in self.levels() {
            match (level, topic.next()) {
                (Level::Rest, found) => return found.is_some(),
                (_, None) => return false,
                (Level::Named(name), Some(found)) if name != found => return false,
                (Level::Named(_) | Level::One, Some(_)) => {}
            }
        }
        topic.next().is_none()
    }

    /// The only topic that it matches, when it has no wildcards.
    pub fn topic(&self) -> Option<TopicName> {
        TopicName::new(self).ok()
    }
}

impl From<TopicName> for TopicFilter {
    fn from(topic: TopicName) -> Self {
        Self::new(topic.as_str()).expect("the name of a topic is a filter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(filter: &str, topics: &[&str]) -> Vec<String> {
        let filter = TopicFilter::new(filter).unwrap();
        let topics = topics.iter().map(|topic| TopicName::new(topic).unwrap());
        topics.filter(|topic| filter.matches(topic)).map(String::from).collect()
    }

    #[test]
    fn a_star_stands_for_one_level_and_an_angle_for_one_or_more() {
        let topics = ["a", "a.b", "a.c", "a.b.c", "b.b", "b"];
        assert_eq!(matching("a", &topics), ["a"]);
        assert_eq!(matching("*", &topics), ["a", "b"]);
        assert_eq!(matching("a.*", &topics), ["a.b", "a.c"]);
        assert_eq!(matching("*.b", &topics), ["a.b", "b.b"]);
        assert_eq!(matching("a.>", &topics), ["a.b", "a.c", "a.b.c"]);
        assert_eq!(matching("*.*.>", &topics), ["a.b.c"]);
        assert_eq!(matching(">", &topics), topics);
    }

    #[test]
    fn a_topic_with_a_wildcard_or_an_empty_level_is_refused_with_its_place() {
        let refused = |text: &str| TopicName::new(text).unwrap_err().to_string();
        assert_eq!(
            refused("news.*"),
            "topic \"news.*\" holds the wildcard '*' at byte 5: name one topic; wildcards are for subscriptions"
        );
        assert_eq!(
            refused("news..sport"),
            "topic \"news..sport\" has an empty level at byte 5: write something between the dots"
        );
        assert!(matches!(TopicName::new("a."), Err(InvalidName::EmptyLevel { at: 2, .. })));
        assert!(matches!(TopicName::new("."), Err(InvalidName::EmptyLevel { at: 0, .. })));
    }

    #[test]
    fn a_wildcard_in_the_wrong_place_of_a_filter_is_refused() {
        for (text, at) in [("a*.b", 1), ("a.>.b", 2), ("a.b>", 3), ("**", 0)] {
            let error = TopicFilter::new(text).unwrap_err();
            assert!(
                matches!(error, InvalidName::MisplacedWildcard { at: found, .. } if found == at),
                "{error}"
            );
        }
        assert_eq!(
            TopicFilter::new("a.>.b").unwrap_err().to_string(),
            "topic filter \"a.>.b\" holds '>' at byte 2: '*' stands for one whole level, '>' for the rest at the end"
        );
        for text in ["*", ">", "*.*", "a.*.>"] {
            assert!(TopicFilter::new(text).is_ok(), "{text}");
        }
    }
}
