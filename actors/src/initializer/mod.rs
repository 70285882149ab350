//! Start-up in phases: the actor that runs the bodies of start-up tasks as their plan allows.
//!
//! ```text
//! StartUp --> Plan (checked) --> Startup (state machine) --effects--> bodies, spawned outside the actor
//!                                   ^                                   |
//!                                   +------ results, as messages -------+      events --> sink, subscribers
//! ```
//!
//! Owns one run of start-up at a time: its state machine, the bodies that run, who waits for the report or for something to
//! be ready. Never waits inside a handler, and knows no other actor. A body is polled once where it is begun, so that one
//! that ends at once costs no task of the executor; all else of it runs outside.
//!
//! **Invariant.** Every accepted [`StartUp`] is answered once, when its last task has ended and what is to be undone is
//! undone. A body that panics fails its own attempt only. A result counts only for the attempt it belongs to. Whoever waits for
//! something to be ready is answered once it is or will not be.
//!
//! **Restart.** All that matters lives in the [`SharedStartup`] given to the constructor: plan, running bodies,
//! unperformed effects, results that came in between, subscribers, open answers, who waits. A new instance on the same cell takes
//! over in `started()`: it performs what was left, collects results, and sets its timer. Bodies run on meanwhile. Lost
//! is at most the one event whose sink panicked.

mod actor;
mod body;
mod checks;
mod ending;
mod estimates;
mod event;
mod fault;
mod lazy;
mod links;
mod message;
mod options;
mod plan;
mod planned;
mod readiness;
mod refine;
mod report;
mod resources;
mod rollback;
mod schedule;
mod slots;
mod startup;
mod task;
mod urgency;
pub use actor::{Initializer, SharedStartup, StartupState};
pub use body::{Body, BodyContext, BodyFuture, StartupBody, Undo, UndoContext, UndoFuture};
pub use estimates::Estimates;
pub use event::{StartupEvent, StartupFault, StartupOutcome, StartupStatus};
pub use fault::{PlanError, PlanErrors};
pub use message::{
    AwaitReady, CancelStartUp, QueryStartup, QueryStartupTask, StartUp, StartUpError, StartupProgress,
    SubscribeStartup,
};
pub use options::{OnFailure, PhaseMode, StartupEffect, StartupOptions};
pub use plan::Plan;
pub use planned::Planned;
pub use readiness::{NotReady, Readiness, ReadyOf};
pub use report::{CriticalStep, Held, PhaseReport, RollbackReport, StartupReport, StartupTaskReport};
pub use resources::Resources;
pub use schedule::{Schedule, Slice};
pub use startup::Startup;
pub use task::{DependencyType, Phase, StartupTask};
