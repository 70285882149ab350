//! Agents, inboxes, supervision and the five protocol actors of the phalanx runtime.
pub mod agent;
mod audited;
pub mod coordinator;
pub mod inbox;
pub mod initializer;
pub mod monitor;
pub mod registrar;
pub mod router;
pub mod supervisor;
mod support;
