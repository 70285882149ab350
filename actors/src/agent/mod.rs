//! What users write against: [`Agent`] and [`Card`], names, [`Delivery`], outcomes and interventions.
//!
//! This room imports no other; every other room builds on it.

mod adopted;
mod card;
mod confirming;
mod delivery;
pub(crate) mod envelope;
mod intervention;
mod lifecycle;
mod location;
mod meta;
mod name;
mod outcome;
mod priority;
mod time;
mod topic;
mod walk;

pub use adopted::{Adopted, Adoption, Forwarded};
pub use card::{Agent, Card, Listing};
pub(crate) use confirming::{ConfirmedBy, Confirming, Mark, Marks, Rows};
pub(crate) use delivery::Batch;
pub use delivery::Delivery;
pub(crate) use envelope::{
    Accept, Direct, Ended, Envelope, Lost, Reply, Stint, Unfinished, lost_message, lost_parcel,
};
pub use envelope::{ByDelivery, ByValue};
pub(crate) use intervention::Shown;
pub use intervention::{Intervention, Interventions, Objection, Passage, Verdict};
pub use lifecycle::{ExitReason, Lifecycle, LifecycleChange, Me, Terminated};
pub use location::{Circle, InvalidCircle, InvalidLocation, Location};
pub(crate) use location::{Unit, chord_of, chord_squared};
pub use meta::{Lane, MessageId, Meta, Parcel, TraceContext};
pub use name::{
    AgentId, Capability, GroupName, InvalidName, Kind, MAX_NAME_BYTES, ResourceName, TaskId, Tenant,
};
pub use outcome::{AskError, Column, Reason, Refused, short_type_name};
pub use priority::{Priority, UnknownPriority};
pub use time::Timestamp;
pub(crate) use topic::Level;
pub use topic::{TopicFilter, TopicName};
