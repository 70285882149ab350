//! A whole swarm from one manifest: [`run`].
//!
//! ```text
//! Manifest ──> start-up tasks ──> agents (registered in batches) ──> subscriptions ──> tasks ──> drain ──> RunReport
//!                 │                    │                                                 │
//!                 └────────────────────┴──────────── Progress ───────────────────────────┘
//! ```

mod progress;

pub use progress::{Progress, Stop};
