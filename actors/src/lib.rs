//! Agents, inboxes, supervision and the five protocol actors of the phalanx runtime.
pub mod agent;
mod audited;
pub mod inbox;
pub mod router;
pub mod supervisor;
