//! What happened.
mod event;
mod health;

pub use event::{Event, EventKind, Observed, Record, RecordMany, Severity, Source, names};
pub use health::Health;
