//! How a task graph shares out work and what it keeps: [`GraphOptions`].

use std::time::Duration;

/// What becomes of a ready task while no enrolled agent offers all it needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unserved {
    /// It waits until one enrols. The default.
    #[default]
    Wait,
    /// It is cancelled at once, as [`TaskFault::Unserved`](super::TaskFault::Unserved): for those who know that no other agent will come. An agent that
    /// waits for its restart is still enrolled.
    Cancel,
}

/// How a task graph shares out work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphOptions {
    /// How many tasks may execute at once over all agents; no limit unless said. Zero holds everything back.
    pub max_concurrent: Option<usize>,
    /// The wait before the first retry, doubled for each further one; 100 ms unless said.
    pub retry_after: Duration,
    /// The longest wait before a retry; 10 s unless said.
    pub retry_at_most: Duration,
    /// How long an agent that refused a task gets no other one; 10 ms unless said.
    pub refusal_pause: Duration,
    /// What becomes of tasks that nobody can do; they wait unless said.
    pub unserved: Unserved,
    /// How many ended tasks are remembered that nothing refers to any more, the most recent ones; 10,000 unless said.
    pub history: usize,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self {
            max_concurrent: None,
            retry_after: Duration::from_millis(100),
            retry_at_most: Duration::from_secs(10),
            refusal_pause: Duration::from_millis(10),
            unserved: Unserved::default(),
            history: 10_000,
        }
    }
}
