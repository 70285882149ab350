//! What a manifest says, typed: every value resolved, defaults filled in, names parsed.
//!
//! Each type sits beside the code that reads it. The same types make the JSON Schema, and a test holds the two
//! together: the reader asks for exactly the keys that the schema has.

mod agents;
mod body;
mod kinds;
mod limits;
mod monitor;
mod registration;
mod startup;
mod supervision;
mod swarm;
mod tasks;
mod topics;

pub use agents::{AgentEntry, Inbox, Location};
pub use body::{Body, CombineHashes, HashFile, ReadFile, Run, Sleep, WaitForFile, WaitForHttp, WaitForPort};
pub use kinds::{Behaviour, Counter, Hasher, KindWord, Level, Logger, Relay, Runner, Ticker};
pub use monitor::{Append, Count, Fault as PlannedFault, HandlerEntry, Kill, Log, Monitor, Reaction, When};
pub use registration::{BatchStrategy, Registration};
pub use startup::{Startup, StartupTask};
pub use supervision::{Backoff, Group, Supervision};
pub use swarm::{Coordinator, Heartbeat, Manifest};
pub use tasks::{ForEach, TaskEntry};
pub use topics::{Batch, Confirm, Subscriber, Subscription, TopicEntry};
