//! [`Hop`]: one decision on the way of a message.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::agent::Timestamp;

/// Who decided something about a message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// The publisher, who reads the routes' snapshot.
    Publisher,
    /// The dispatcher of an arbiter, who makes batches.
    Dispatcher,
    /// A recipient's inbox, or its handler.
    Recipient,
    /// The courier, who follows up what is not confirmed.
    Courier,
}

/// One decision on the way of a message: who decided what, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Decider,
    /// What and why, in words.
    pub what: String,
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            Decider::Publisher => "publisher",
            Decider::Dispatcher => "dispatcher",
            Decider::Recipient => "recipient",
            Decider::Courier => "courier",
        };
        write!(f, "{} {by}: {}", self.at, self.what)
    }
}
