//! [`Recorder`]: where records go to become durable.

use std::fmt;

use super::Record;

/// Why records are not durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unrecorded {
    /// None of them was written; a later attempt may succeed.
    #[error("{0}")]
    Refused(String),
    /// Nothing is written any more, and whether these were is not known.
    #[error("{0}")]
    Broken(String),
}

/// Makes records durable.
///
/// All records of one call become durable together or not at all, and calls in the order in which they were made. A call
/// neither blocks nor panics, and [`Recorded`] is told once: from any thread, at any time, also before the call returns.
/// After [`Unrecorded::Broken`] nothing succeeds any more.
pub trait Recorder: Send + Sync {
    /// Takes records, and tells `recorded` when they are durable or will not be.
    fn append(&self, records: Vec<Record>, recorded: Recorded);
}

/// Whom to tell whether records are durable. Dropped without a word, it tells that it is not known.
pub struct Recorded(Option<Tell>);

type Tell = Box<dyn FnOnce(Result<(), Unrecorded>) + Send>;

impl Recorded {
    /// Calls `tell` once with the word of the recorder.
    pub fn new(tell: impl FnOnce(Result<(), Unrecorded>) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    /// Tells that the records are durable, or why not.
    pub fn tell(mut self, result: Result<(), Unrecorded>) {
        self.give(result);
    }

    fn give(&mut self, result: Result<(), Unrecorded>) {
        if let Some(tell) = self.0.take() {
            tell(result);
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.give(Err(Unrecorded::Broken("the recorder dropped the records without a word".to_owned())));
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorded")
    }
}
