//! Who exists: requests to register, formed into batches, checked, and written into the roster.
//!
//! ```text
//! Request --> Batcher --> batch --> Rules --> Roster --> changes since a revision
//!             classes,              one by     by id, kind, capability
//!             strategies            one
//! ```
//!
//! All of it is pure: time comes in as an argument, and nothing here sends or waits.
//!
//! **Invariant.** One bad request never fails its batch; a request number is registered at most once; an agent id has at
//! most one holder.

mod batching;
mod changes;
mod index;
mod intern;
mod request;
mod roster;
mod strategy;
mod validation;

pub use batching::{
    Batcher, BatcherOptions, CancelError, FAIR_EVERY, OfferError, Offered, Stage, Submission,
};
pub use changes::{Change, ChangeKind, ChangesError};
pub use request::{IllegalStep, Request, RequestId, Status};
pub use roster::{MAX_CHANGES, Member, Profile, Roster, RosterError};
pub use strategy::{LINGER, MAX_BATCH, PATIENCE, Strategy};
pub use validation::{Bounds, Rules, Validator};
