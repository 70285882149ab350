//! phalanx: an actor-model multi-agent runtime on actix.

pub mod host;

pub use host::{Host, HostBuilder, HostError, simulate};
pub use phalanx_actors::*;
pub use phalanx_actors::agent::{Agent, Card, Delivery, Me};
