//! [`Outlook`]: what the start-up of a manifest comes to, before it runs: phases, critical path, lower bound, schedule.
//!
//! ```text
//! Manifest --> Plan (checked, order refined) --> Schedule --> Outlook --> text, JSON, SVG, DOT, Mermaid
//! ```
//!
//! **Invariant.** The outlook is made by what carries start-up out, so it is what happens if the estimates hold, but for which
//! of two tasks that end at the same moment is heard of first.

mod chart;
mod graph;
mod text;

use std::{collections::BTreeSet, time::Duration};

use phalanx_actors::initializer::{Estimates, Phase, Plan, Planned, Schedule, StartupOptions};
use serde_json::{Value, json};

use crate::{
    manifest::{Manifest, Palette},
    swarm::planned_startup,
};

/// What the start-up of a manifest comes to.
#[derive(Debug, Clone)]
pub struct Outlook {
    name: String,
    plan: Plan,
    schedule: Schedule,
    workers: usize,
}

/// When one phase begins and ends, by the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    phase: Phase,
    tasks: usize,
    start: Duration,
    end: Duration,
}

impl Outlook {
    /// The outlook of a manifest's start-up, by its own estimates.
    pub fn of(manifest: &Manifest) -> Self {
        Self::learned(manifest, &Estimates::default())
    }

    /// The outlook of a manifest's start-up, by what earlier runs took where that is known.
    pub fn learned(manifest: &Manifest, estimates: &Estimates) -> Self {
        let (plan, options) = planned_startup(manifest, estimates);
        Self::of_plan(manifest.name.clone(), &plan, options)
    }

    fn of_plan(name: String, plan: &Plan, options: StartupOptions) -> Self {
        let workers = options.workers;
        let plan = plan.clone().refined(&options);
        let schedule = Schedule::of(&plan, options);
        Self { name, plan, schedule, workers }
    }

    /// As text in at most so many columns.
    pub fn text(&self, width: usize, palette: Palette) -> String {
        text::render(self, width, palette)
    }

    /// The schedule as a picture: a row for each task, a bar from its start to its end.
    pub fn svg(&self) -> String {
        chart::chart(self).svg()
    }

    /// The tasks and what they wait for, as Graphviz draws them.
    pub fn dot(&self) -> String {
        graph::dot(self)
    }

    /// The tasks and what they wait for, as Mermaid draws them.
    pub fn mermaid(&self) -> String {
        graph::mermaid(self)
    }

    /// The schedule as JSON: figures of the whole, phases, and tasks in the order in which they start; times in
    /// microseconds.
    pub fn to_json(&self) -> Value {
        let levels = self.plan.levels();
        let tasks = self.schedule.slices().iter().map(|slice| {
            let task = &self.plan.tasks()[slice.task];
            json!({
                "task": task.id, "phase": task.phase, "worker": slice.worker, "level": levels[slice.task],
                "start_us": us(slice.start), "end_us": us(slice.end),
            })
        });
        let phases = self.phases().into_iter().map(|span| {
            json!({"phase": span.phase, "tasks": span.tasks, "start_us": us(span.start), "end_us": us(span.end)})
        });
        json!({
            "name": self.name, "workers": self.workers,
            "work_us": us(self.plan.total()), "critical_path": self.plan.critical_path(),
            "critical_us": us(self.plan.critical_length()), "bound_us": us(self.bound()),
            "makespan_us": us(self.schedule.makespan()), "ready_us": us(self.schedule.ready()),
            "decisive_path": self.schedule.path().iter().map(|step| &step.task).collect::<Vec<_>>(),
            "longer_than_their_timeout": self.overdue().collect::<Vec<_>>(),
            "phases": phases.collect::<Vec<_>>(), "tasks": tasks.collect::<Vec<_>>(),
        })
    }

    fn bound(&self) -> Duration {
        self.plan.lower_bound(self.workers)
    }

    /// The phases that have tasks, in order.
    fn phases(&self) -> Vec<Span> {
        let of = |phase| {
            let slices =
                || self.schedule.slices().iter().filter(move |s| self.plan.tasks()[s.task].phase == phase);
            let start = slices().map(|slice| slice.start).min()?;
            let end = slices().map(|slice| slice.end).max()?;
            Some(Span { phase, tasks: slices().count(), start, end })
        };
        Phase::ALL.into_iter().filter_map(of).collect()
    }

    /// The tasks that are expected to take longer than they may.
    fn overdue(&self) -> impl Iterator<Item = &str> {
        let is_overdue =
            |task: &&Planned| !task.dormant && task.timeout().is_some_and(|limit| limit < task.estimate());
        self.plan.tasks().iter().filter(is_overdue).map(|task| task.id.as_str())
    }

    /// The positions of the tasks that decide the makespan.
    fn decisive(&self) -> BTreeSet<usize> {
        let steps = self.schedule.path().iter();
        steps.filter_map(|step| self.plan.position(step.task.as_str())).collect()
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
