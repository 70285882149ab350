//! Who does what, when.
mod attempts;
mod event;
mod graph;
#[cfg(test)]
mod model_tests;
mod pool;
mod read;
mod record;
mod submit;
mod task;
pub use attempts::EnrollError;
pub use event::{Effect, TaskEvent, TaskMetrics, TaskReport};
pub use graph::{GraphOptions, TaskGraph};
pub use submit::{SubmitError, SubmitErrors};
pub use task::{Assignment, TaskDetails, TaskFault, TaskSpec, TaskState, TaskType};
