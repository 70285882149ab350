//! Supervision: agents that are restarted in place, alone or in groups, and those who watch them.
//!
//! ```text
//!  Supervisor (group, or its parent) <──Ended── Keeper ──polls──> actix context of the agent ──Pump──> inbox
//!        └──────Restart | Hold | Kill─────────────^   └─ Lifecycle ─> Watches, monitor, registrar
//! ```
//!
//! actix's own `Supervisor` does not restart after a panic; here every panic is caught where the agent is polled.

mod group;
mod journal;
mod keeper;
mod overseer;
mod policy;
mod spawn;
mod watch;

pub use group::{GroupSpec, Strategy};
pub(crate) use keeper::{Factory, Overseer, Rule};
pub use overseer::Supervisor;
pub use policy::{Backoff, Intensity, RestartPolicy, Supervision};
pub(crate) use spawn::{Amend, SpawnJob, Spawned};
pub use spawn::{SpawnError, SpawnFailed, SpawnOptions};
pub use watch::Watches;
