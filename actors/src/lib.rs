//! Agents, inboxes, supervision and the five protocol actors of the phalanx runtime.
pub mod agent;
pub mod monitor;
pub mod registrar;
