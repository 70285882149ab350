//! Who exists: requests to register, formed into batches, checked, and written into the roster.
//!
//! ```text
//! Request --> Batcher --> batch --> Rules --> Roster --> changes since a revision
//!              |  ^                  one by     by id, kind, capability
//!              v  |                  one             by tenant, place, metadata
//!         async rules, as tasks
//! ```
//!
//! All of this is pure: time comes in as an argument, and nothing here sends or waits. The actor around it is
//! [`Registrar`].
//!
//! ```text
//!  Enlist ----> Registrar --Reroute { add }, one a batch--> Router
//!     ^             |  ^                                       |
//!     |          timers +------------- Rerouted { taken } -----+
//!     +--- answered when all have ended      events --> sink
//! ```
//!
//! Where a [`Recorder`] makes changes durable, the way goes on:
//!
//! ```text
//!  Rerouted --> judged --records--> Recorder --word--> cell --> concluded: roster, answers
//! ```
//!
//! Who is registered with a lease leaves roster and routes when it is not renewed in time, as if it were removed; who watches
//! the roster reads its log of changes and is unknown to the registrar.
//!
//! It owns the roster, the requests under way and the answers they owe. It never waits inside a handler, never touches a
//! route but by asking the router, and calls neither rules nor the sink of events while its state is locked.
//!
//! **Invariant.** One bad request never fails its batch; a request number is registered at most once; an agent id has at
//! most one holder. An agent's routes are in place, and with a recorder its record is durable, before its request completes.
//! A removal wins over every request that was there before it: when it is answered, the agent is neither in the roster nor
//! on a route. Whoever asked is answered once.
//!
//! **Restart.** All that matters lives in the [`RegistrarCell`] that is handed to each incarnation: roster, requests that
//! wait, validations and their verdicts, batches and removals under way, what is being written, answers owed, the latest
//! requests that ended. In `started` a new incarnation sends what is under way to the router again, which does not mind,
//! checks a batch that was being checked, and sets its timer. Answers of the router go to the address, which outlives the
//! instance. Lost is only the message whose handling panicked.

mod actor;
mod atlas;
mod batching;
mod cell;
mod changes;
mod event;
mod facts;
mod index;
mod intern;
mod jobs;
mod judging;
mod lanes;
mod leases;
mod limits;
mod little;
mod lookup;
mod memory;
mod message;
#[cfg(test)]
mod model_tests;
mod number;
mod profile;
mod ready;
mod record;
mod recorder;
mod recovery;
mod request;
mod roster;
mod sets;
mod state;
mod strategy;
mod unbatched;
mod validation;
mod waiters;
mod watch;
mod watching;

pub use actor::{Later, Registrar};
pub use batching::{Batcher, BatcherOptions, CancelError, OfferError, Offered, Stage, Submission};
pub use cell::RegistrarCell;
pub use changes::{Change, ChangeKind, ChangesError};
pub use event::{AGENTS_NAMED, RegistrarEvent};
pub use lanes::FAIR_EVERY;
pub use limits::{Limited, Limits, OverLimit};
pub use little::ParallelBatches;
pub use message::{
    CancelRequest, Delist, Enlist, Enlistment, Lookup, QueryAgent, QueryRequest, QueryRoster,
    RegistrarOptions, Renew, RosterStatus, WatchRoster,
};
pub use number::RequestId;
pub use profile::{METADATA_DEPTH, Profile, RosterError};
pub use record::{Record, RecordFault};
pub use recorder::{Recorded, Recorder, Unrecorded};
pub use recovery::{LoggedRequest, OutOfSequence, Recovered, RecoveredMember, Recovery};
pub use request::{IllegalStep, Request, Status};
pub use roster::{MAX_CHANGES, Member, Roster};
pub use strategy::{LINGER, MAX_BATCH, PATIENCE, Strategy};
pub use validation::{Bounds, Rules, VALIDATED_WITHIN, VALIDATIONS, Validator};
pub use watch::{RosterUpdate, Standing, WatchFrom};
pub use watching::Watching;
