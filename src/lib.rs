//! phalanx: an actor-model multi-agent runtime on actix.

pub mod cli;
pub mod host;
pub mod manifest;
pub mod prelude;
pub mod report;
pub mod swarm;

pub use host::{AgentOptions, Host, HostBuilder, HostError, simulate};
pub use phalanx_actors::agent::{Agent, Card, Delivery, Me};
pub use phalanx_actors::*;
