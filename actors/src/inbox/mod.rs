//! One agent's bounded inbox, what is counted there, and how messages get there from any thread.
//!
//! ```text
//!  same arbiter:  tell ───────────────────────────────────────┐
//!                                                             v
//!  elsewhere:     tell ──> ArbiterPort ──> Dispatcher ──> Inbox lanes ──> Pump (in the agent's Context) ──> handler
//!                 publish ─┘ (one log per arbiter)        control critical urgent high normal low
//! ```
//!
//! The lanes belong to the arbiter of their agent and are touched by its thread alone; what other threads need (room,
//! open or closed) is atomic. Senders reserve their place before they hand a message over, so that "accepted" is exact.
//!
//! **Invariant.** Every message that is counted as sent is later counted in exactly one other column of the same
//! [`Ledger`].

mod account;
mod batch_counts;
mod batches;
mod config;
mod dead_letter;
mod door;
mod entry;
mod gauge;
mod hub;
mod lanes;
mod ledger;
mod overflow;
mod parked;
mod port;
mod pulse;
mod pump;
mod reference;
mod rows;
mod send;
mod slot;
mod stop;
mod tally;

pub use account::{RouteAccount, RouteStatus};
pub use batch_counts::{BatchCounts, BatchStatus, SizeClass};
pub use batches::{Batching, InvalidBatching, MAX_BATCH, MAX_LINGER};
pub use config::{InboxConfig, OverflowPolicy};
pub use dead_letter::{DeadLetter, DeadLetters, LetterContent, Subscription};
pub(crate) use door::{Command, Door};
pub(crate) use entry::{Addressed, Packed};
pub(crate) use gauge::Gauge;
pub(crate) use hub::Route;
pub use hub::{Hub, HubConfig, Observer};
pub use lanes::STARVATION_BOUND;
pub use ledger::{Counts, Ledger};
pub use port::{ArbiterPort, Waits};
pub(crate) use port::{Arrival, Fanout, PortItem, Publication, Shared};
pub(crate) use pump::Pump;
pub use reference::{AgentHandle, AgentRef, Takes};
pub use send::{Ask, Asked, DEFAULT_ASK, SendOptions};
pub use slot::InboxStatus;
pub(crate) use slot::{Inbox, Profile};
pub use stop::Stopped;
pub(crate) use tally::Tally;
