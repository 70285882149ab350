//! [`Priority`]: how urgent a message, a request or a task is.

use serde::{Deserialize, Serialize};

/// How urgent something is, from low (1) to critical (5).
///
/// # Examples
/// ```
/// use phalanx_actors::agent::Priority;
/// assert!(Priority::Critical > Priority::Normal);
/// assert_eq!(Priority::try_from(4).unwrap(), Priority::Urgent);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Priority {
    /// After everything else.
    Low = 1,
    /// The default.
    #[default]
    Normal = 2,
    /// Before normal work.
    High = 3,
    /// Before high.
    Urgent = 4,
    /// Before everything but control.
    Critical = 5,
}

impl Priority {
    /// All priorities, the most urgent first.
    pub const ALL: [Priority; 5] =
        [Priority::Critical, Priority::Urgent, Priority::High, Priority::Normal, Priority::Low];
}

/// A number that is no priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("priority {0} does not exist: 1 (low) to 5 (critical)")]
pub struct UnknownPriority(pub u8);

impl TryFrom<u8> for Priority {
    type Error = UnknownPriority;
    fn try_from(number: u8) -> Result<Self, UnknownPriority> {
        Self::ALL.into_iter().find(|p| *p as u8 == number).ok_or(UnknownPriority(number))
    }
}
