//! Who gets it: routes, publishers, and the dispatcher of each arbiter.
//!
//! ```text
//!  control plane:  registrar ──Reroute──> Router ──> Routes ──snapshot──┐ (atomic swap)
//!                                                                      v
//!  data plane:     publisher ─────────── reads the snapshot, appends to each arbiter's port ──> Dispatcher ──> inboxes
//! ```

mod actor;
mod arbiters;
mod backlog;
mod bulk;
mod chunked;
mod confirm;
mod consignment;
mod courier;
mod directory;
mod dispatcher;
mod entry;
mod event;
mod heartbeat;
mod history;
mod lease;
mod members;
mod node;
mod path;
mod predicate;
mod publisher;
mod receipt;
mod recipients;
mod routes;
mod selector;
mod strategy;
mod subscriptions;
mod topic_tree;
mod unicast;

pub use actor::{Reroute, Rerouted, Router, RouterSink, Subscribe, SubscribeOptions, Unsubscribe};
pub use arbiters::{Arbiters, ArbitersConfig};
pub use bulk::{
    Assembler, BulkError, BulkOptions, BulkReceipt, Chunk, MAX_BULK, MAX_CHUNK, MAX_WINDOW, TransferId,
};
pub use confirm::{ConfirmError, ConfirmOptions, Confirmed};
pub(crate) use courier::Courier;
pub use courier::{MAX_UNCONFIRMED, MessageStatus};
pub use directory::{Directory, RouterStatus};
pub use event::RouterEvent;
pub use heartbeat::Heartbeat;
pub use history::MAX_HISTORY;
pub use node::{NodeState, NodeStatus};
pub use path::{Decider, Hop};
pub use predicate::Predicate;
pub use publisher::{PublishError, Published, Publisher};
pub use receipt::{Confirmation, Receipt, ReceiptRow};
pub(crate) use recipients::{Recipients, Snapshot};
pub use selector::{AgentIds, EmptySelector, Selector, Union};
pub use strategy::{AdaptiveOptions, Load, Strategy, Why};
pub use unicast::{Answered, AskOne, AskOneError, Chosen, Unicast, UnicastError, UnicastFault};
