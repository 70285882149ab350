//! phalanx: an actor-model multi-agent runtime on actix.
pub mod cli;
pub mod manifest;
pub use phalanx_actors::*;
