//! Names, parsed once at the edge: [`AgentId`], [`Kind`], [`Capability`], [`GroupName`], [`TaskId`],
//! [`Tenant`], [`ResourceName`]; the names of topics are next door.
//!
//! **Invariant.** A name is 1 to 255 bytes of UTF-8 without control characters and without white space at either
//! end, so that it can be printed, logged and used as a key anywhere without escaping surprises.

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
    /// Two dots in a row, or a dot at an end.
    #[error("{what} {text:?} has an empty level at byte {at}: write something between the dots")]
    EmptyLevel {
        /// What was being named.
        what: &'static str,
        /// The text as it came.
        text: String,
        /// Where the level should begin \[bytes\].
        at: usize,
    },
    /// A wildcard where one topic is to be named.
    #[error(
        "{what} {text:?} holds the wildcard '{wildcard}' at byte {at}: name one topic; wildcards are for subscriptions"
    )]
    Wildcard {
        /// What was being named.
        what: &'static str,
        /// The text as it came.
        text: String,
        /// The wildcard.
        wildcard: char,
        /// Where it stands \[bytes\].
        at: usize,
    },
    /// A wildcard that is not a level of its own, or a `>` that is not the last.
    #[error(
        "{what} {text:?} holds '{wildcard}' at byte {at}: '*' stands for one whole level, '>' for the rest at the end"
    )]
    MisplacedWildcard {
        /// What was being named.
        what: &'static str,
        /// The text as it came.
        text: String,
        /// The wildcard.
        wildcard: char,
        /// Where it stands \[bytes\].
        at: usize,
    },
}

/// A name of any sort.
pub(super) fn parse(what: &'static str, text: &str) -> Result<(), InvalidName> {
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
        name!($(#[$doc])* $Name, $what, crate::agent::name::parse);
    };
    ($(#[$doc:meta])* $Name:ident, $what:literal, $parse:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $Name(std::sync::Arc<str>);

        impl $Name {
            /// Parses a name.
            ///
            /// # Errors
            /// [`InvalidName`](crate::agent::InvalidName) says what is wrong with the text.
            pub fn new(text: impl AsRef<str>) -> Result<Self, crate::agent::InvalidName> {
                let text = text.as_ref();
                $parse($what, text)?;
                Ok(Self(std::sync::Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::fmt::Debug for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $Name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $Name {
            type Err = crate::agent::InvalidName;
            fn from_str(text: &str) -> Result<Self, crate::agent::InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $Name {
            type Error = crate::agent::InvalidName;
            fn try_from(text: &str) -> Result<Self, crate::agent::InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $Name {
            type Error = crate::agent::InvalidName;
            fn try_from(text: String) -> Result<Self, crate::agent::InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<&String> for $Name {
            type Error = crate::agent::InvalidName;
            fn try_from(text: &String) -> Result<Self, crate::agent::InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<&$Name> for $Name {
            type Error = crate::agent::InvalidName;
            fn try_from(name: &$Name) -> Result<Self, crate::agent::InvalidName> {
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

pub(super) use name;

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
    /// The name of a group of agents.
    GroupName,
    "group"
);
name!(
    /// The identity of one task, at start-up or later.
    TaskId,
    "task id"
);
name!(
    /// Whom an agent works for, for example `acme`: one of several who share a host.
    Tenant,
    "tenant"
);
name!(
    /// Something that there is a certain amount of, for example `memory_mb`.
    ResourceName,
    "resource"
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
