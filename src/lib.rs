//! phalanx: an actor-model multi-agent runtime on actix.
pub use phalanx_actors::*;
