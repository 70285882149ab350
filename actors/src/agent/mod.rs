//! What users write against.
mod name;
mod priority;
mod time;
pub use name::{AgentId, Capability, GroupName, InvalidName, Kind, MAX_NAME_BYTES, TaskId, TopicName};
pub use priority::Priority;
pub use time::Timestamp;
