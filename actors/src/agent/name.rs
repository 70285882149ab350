//! Names, parsed once at the edge: [`AgentId`], [`Kind`], [`Capability`], [`TopicName`], [`GroupName`], [`TaskId`].
//!
//! **Invariant.** A name is 1 to 255 bytes of UTF-8 without control characters and without white space at either
//! end, so that it can be printed, logged and used as a key anywhere without escaping surprises.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest name \[bytes\].
pub const MAX_NAME_BYTES: usize = 255;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The text is empty.
    #[error("{what} is empty: give it at least one character")]
    Empty {
        /// What was being named.
        what: &'static str,
    },
    /// The text is longer than [`MAX_NAME_BYTES`].
    #[error("{what} is {bytes} bytes long: at most {MAX_NAME_BYTES} are allowed")]
    TooLong {
        /// What was being named.
        what: &'static str,
        /// Its length \[bytes\].
        bytes: usize,
    },
    /// The text holds a control character.
    #[error("{what} {text:?} holds the control character {character:?} at byte {at}: remove it")]
    Control {
        /// What was being named.
        what: &'static str,
        /// The text as it came.
        text: String,
        /// The offending character.
        character: char,
        /// Where it stands \[bytes\].
        at: usize,
    },
    /// The text starts or ends with white space.
    #[error("{what} {text:?} starts or ends with white space: trim it")]
    Padded {
        /// What was being named.
        what: &'static str,
        /// The text as it came.
        text: String,
    },
}

fn parse(what: &'static str, text: &str) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty { what });
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(InvalidName::TooLong { what, bytes: text.len() });
    }
    if let Some((at, character)) = text.char_indices().find(|(_, c)| c.is_control()) {
        return Err(InvalidName::Control { what, text: text.to_owned(), character, at });
    }
    if text.trim() != text {
        return Err(InvalidName::Padded { what, text: text.to_owned() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $Name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $Name(Arc<str>);

        impl $Name {
            /// Parses a name.
            ///
            /// # Errors
            /// [`InvalidName`] says what is wrong with the text.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                let text = text.as_ref();
                parse($what, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Borrow<str> for $Name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $Name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $Name {
            type Error = InvalidName;
            fn try_from(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $Name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<&String> for $Name {
            type Error = InvalidName;
            fn try_from(text: &String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<&$Name> for $Name {
            type Error = InvalidName;
            fn try_from(name: &$Name) -> Result<Self, InvalidName> {
                Ok(name.clone())
            }
        }

        impl From<$Name> for String {
            fn from(name: $Name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(
    /// The identity of one agent on a host, kept over its restarts. Slashes are a convention, as in `seller/7`.
    AgentId,
    "agent id"
);
name!(
    /// What sort of agent one is, for example `hasher`.
    Kind,
    "kind"
);
name!(
    /// Something an agent offers to do, for example `sell`.
    Capability,
    "capability"
);
name!(
    /// The name of a topic, levels apart by dots, for example `news.sport`.
    TopicName,
    "topic"
);
name!(
    /// The name of a group of agents.
    GroupName,
    "group"
);
name!(
    /// The identity of one task, at start-up or later.
    TaskId,
    "task id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_with_the_place_of_its_first_control_character() {
        let error = AgentId::new("a\u{7}b").unwrap_err();
        assert_eq!(
            error.to_string(),
            "agent id \"a\\u{7}b\" holds the control character '\\u{7}' at byte 1: remove it"
        );
    }

    #[test]
    fn names_at_the_bounds_are_taken_and_beyond_are_refused() {
        assert!(Kind::new("k".repeat(MAX_NAME_BYTES)).is_ok());
        assert_eq!(
            Kind::new("k".repeat(256)).unwrap_err().to_string(),
            "kind is 256 bytes long: at most 255 are allowed"
        );
        assert!(matches!(Kind::new(""), Err(InvalidName::Empty { .. })));
        assert!(matches!(Kind::new(" a"), Err(InvalidName::Padded { .. })));
    }

    #[test]
    fn a_name_reads_from_json_only_when_it_parses() {
        assert_eq!(serde_json::from_str::<AgentId>("\"seller/1\"").unwrap().as_str(), "seller/1");
        assert!(serde_json::from_str::<AgentId>("\"\"").is_err());
    }
}
