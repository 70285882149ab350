//! What users write against.
mod name;
mod priority;
mod time;
pub use name::{AgentId, Capability, GroupName, InvalidName, Kind, TaskId, TopicName};
pub use priority::Priority;
pub use time::Timestamp;
