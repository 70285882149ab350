//! Supervision: agents that are restarted in place, alone or in groups.
mod keeper;
mod policy;
mod spawn;

pub(crate) use keeper::{Factory, Overseer, Rule};
pub use policy::{Backoff, Intensity, RestartPolicy, Supervision};
pub(crate) use spawn::SpawnJob;
pub use spawn::{SpawnError, SpawnOptions};
