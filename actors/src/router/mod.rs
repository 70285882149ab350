//! Who gets it: routes, publishers, and the dispatcher of each arbiter.
//!
//! ```text
//!  control plane:  registrar ──Reroute──> Router ──> Routes ──snapshot──┐ (atomic swap)
//!                                                                      v
//!  data plane:     publisher ─────────── reads the snapshot, appends to each arbiter's port ──> Dispatcher ──> inboxes
//! ```

mod actor;
mod arbiters;
mod directory;
mod dispatcher;
mod entry;
mod event;
mod history;
mod predicate;
mod publisher;
mod recipients;
mod routes;
mod subscriptions;
mod topic_tree;

pub use actor::{Reroute, Rerouted, Router, RouterSink, Subscribe, SubscribeOptions, Unsubscribe};
pub use arbiters::{Arbiters, ArbitersConfig};
pub use directory::Directory;
pub use event::RouterEvent;
pub use history::MAX_HISTORY;
pub use predicate::Predicate;
pub use publisher::{PublishError, Published, Publisher};
pub(crate) use recipients::{Recipients, Snapshot};
pub use routes::Selector;
