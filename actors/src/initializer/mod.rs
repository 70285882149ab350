//! Start-up in phases.
mod event;
mod options;
mod plan;
mod report;
mod startup;
mod task;
pub use event::{
    CriticalStep, Held, PhaseReport, StartupEvent, StartupFault, StartupOutcome, StartupReport,
    StartupStatus, StartupTaskReport,
};
pub use options::{PhaseMode, StartupEffect, StartupOptions};
pub use plan::{Plan, PlanError, PlanErrors};
pub use startup::Startup;
pub use task::{DependencyType, Phase, StartupTask};
