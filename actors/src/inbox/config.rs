//! How an inbox is bounded: [`InboxConfig`], [`OverflowPolicy`].

use serde::{Deserialize, Serialize};

/// What happens to a message for which an inbox has no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OverflowPolicy {
    /// The sender waits: a publisher until what it published has been taken in, `tell_waiting` until there is room. A
    /// plain `tell` is refused.
    Wait,
    /// The message is refused.
    #[default]
    Reject,
    /// The oldest message of the same or a lower lane makes room; a message that finds only more urgent ones is dropped.
    DropOldest,
    /// The message is dropped.
    DropNewest,
}

impl OverflowPolicy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Wait, Self::Reject, Self::DropOldest, Self::DropNewest];
}

/// The bounds of one inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InboxConfig {
    /// How many messages it holds, all lanes but control together, the one being handled included.
    pub capacity: u32,
    /// What happens to one too many.
    pub overflow: OverflowPolicy,
    /// How many messages are handled before other agents of the arbiter get their turn.
    pub quantum: u32,
}

impl InboxConfig {
    /// The default capacity \[messages\].
    pub const DEFAULT_CAPACITY: u32 = 16_384;
    /// The default quantum \[messages\].
    pub const DEFAULT_QUANTUM: u32 = 1_024;
    /// How many messages the control lane holds.
    pub const CONTROL_CAPACITY: u32 = 65_536;
    /// The largest capacity; a larger one, or zero, is brought into range by [`InboxConfig::within_bounds`].
    pub const MAX_CAPACITY: u32 = 1 << 24;

    /// The same with capacity and quantum brought into their ranges.
    pub fn within_bounds(self) -> Self {
        Self {
            capacity: self.capacity.clamp(1, Self::MAX_CAPACITY),
            quantum: self.quantum.clamp(1, 65_536),
            ..self
        }
    }
}

impl Default for InboxConfig {
    fn default() -> Self {
        Self {
            capacity: Self::DEFAULT_CAPACITY,
            overflow: OverflowPolicy::default(),
            quantum: Self::DEFAULT_QUANTUM,
        }
    }
}
