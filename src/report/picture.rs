//! Start-up as it went, beside what was planned, as a chart.

use std::{collections::BTreeSet, fmt::Write as _};

use phalanx_actors::initializer::Phase;

use super::{
    RunReport, StartupTaskSection,
    gantt::{Chart, Row},
    units::{count, took},
};

/// What is drawn of a run: all times from the beginning of start-up, tasks in the order in which they started, then in that
/// of the plan.
pub(super) fn chart(report: &RunReport) -> Chart {
    let title = report.name.clone();
    let Some(startup) = &report.startup else {
        return Chart { title, figures: "no start-up tasks".to_owned(), rows: Vec::new() };
    };
    let tasks = &startup.tasks;
    let planned = tasks.iter().filter_map(|task| task.planned_end_us).max().unwrap_or(0);
    let began = began(tasks);
    let mut figures = format!(
        "{} tasks: {} in {}, planned {}",
        count(u64::try_from(tasks.len()).expect("a count fits")),
        startup.outcome,
        took(startup.duration_us),
        took(planned.saturating_sub(began))
    );
    if let Some(rollback) = &startup.rollback {
        _ = write!(
            figures,
            ", of that {} to undo {} of {}",
            took(rollback.duration_us),
            rollback.undone,
            rollback.tasks
        );
    }
    let decisive: BTreeSet<&str> = startup.critical_path.iter().map(|step| step.task.as_str()).collect();
    let mut order: Vec<&StartupTaskSection> = tasks.iter().collect();
    let late = |at: Option<u64>| at.unwrap_or(u64::MAX);
    order.sort_by_key(|task| (late(task.started_us), late(task.planned_start_us)));
    let rows = order.into_iter().map(|task| row(task, began, decisive.contains(task.task.as_str())));
    Chart { title, figures, rows: rows.collect() }
}

/// When start-up began: no task starts or is planned before.
fn began(tasks: &[StartupTaskSection]) -> u64 {
    tasks.iter().flat_map(|task| [task.planned_start_us, task.started_us]).flatten().min().unwrap_or(0)
}

fn row(task: &StartupTaskSection, began: u64, decides: bool) -> Row {
    let span = |start: Option<u64>, end: Option<u64>| {
        start.zip(end).map(|(start, end)| (start.saturating_sub(began), end.saturating_sub(began)))
    };
    let bar = span(task.started_us, task.ended_us);
    let length = bar.map(|(start, end)| took(end.saturating_sub(start)));
    let is_well = task.status == "completed";
    let note = match (length, task.rolled_back_us) {
        (Some(length), None) if is_well => length,
        (_, Some(undone)) => format!("{} at {}", words(&task.status), took(undone.saturating_sub(began))),
        (Some(length), None) => format!("{length}, {}", words(&task.status)),
        (None, None) => words(&task.status),
    };
    Row {
        label: task.name.clone(),
        phase: Phase::ALL.into_iter().find(|phase| phase.as_str() == task.phase).unwrap_or_default(),
        bar,
        planned: span(task.planned_start_us, task.planned_end_us),
        note,
        decides,
        is_bad: !is_well && task.status != "dormant",
    }
}

fn words(status: &str) -> String {
    status.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn each_task_has_a_row_with_when_it_ran_when_it_was_to_and_how_it_ended() {
        let chart = chart(&sample::full());
        let rows: Vec<_> = chart
            .rows
            .iter()
            .map(|row| (&*row.label, row.bar, row.planned, &*row.note, row.is_bad))
            .collect();
        assert_eq!(
            rows,
            [
                ("root", Some((20, 100_200)), Some((0, 90_000)), "100 ms", false),
                ("warm-up", Some((100_200, 160_150)), Some((90_000, 140_000)), "rolled back at 170 ms", true),
                ("index", None, Some((90_000, 95_000)), "failed", true),
                ("search", None, None, "dormant", false),
            ]
        );
        assert_eq!(
            chart.figures,
            "4 tasks: degraded in 160 ms, planned 140 ms, of that 10.0 ms to undo 1 of 1"
        );
        assert!(chart.rows[0].decides && !chart.rows[3].decides);
    }
}
