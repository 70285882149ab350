#![doc = include_str!("../README.md")]

pub mod bench;
pub mod cli;
pub mod host;
#[cfg(feature = "journal")]
pub mod journal;
pub mod manifest;
pub mod plan;
pub mod prelude;
pub mod report;
pub mod swarm;
mod whole;

/// The guide, `docs/guide.md`: its code is tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
pub struct Guide;

/// The page on routing, `docs/routing.md`: its code is tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../docs/routing.md")]
pub struct Routing;

pub use host::{AgentOptions, Host, HostBuilder, HostError, simulate};
pub use phalanx_actors::agent::{Agent, Card, Delivery, Me};
pub use phalanx_actors::*;
