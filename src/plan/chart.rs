//! The schedule as a picture: a row for each task, in the order in which they start.

use super::{Outlook, us};
use crate::report::{
    gantt::{Chart, Row},
    units::{count, took},
};

/// What is drawn of an outlook.
pub(super) fn chart(outlook: &Outlook) -> Chart {
    let slices = outlook.schedule.slices();
    let decisive = outlook.decisive();
    let number = |number: usize| count(u64::try_from(number).expect("a count fits"));
    let figures = format!(
        "{} tasks on {} workers: {}, lower bound {}, one by one {}",
        number(slices.len()),
        number(outlook.workers),
        took(us(outlook.schedule.makespan())),
        took(us(outlook.bound())),
        took(us(outlook.plan.total()))
    );
    let rows = slices.iter().map(|slice| Row {
        label: outlook.plan.label(slice.task).to_owned(),
        phase: outlook.plan.tasks()[slice.task].phase,
        bar: Some((us(slice.start), us(slice.end))),
        planned: None,
        note: took(us(slice.takes())),
        decides: decisive.contains(&slice.task),
        is_bad: false,
    });
    Chart { title: outlook.name.clone(), figures, rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use phalanx_actors::initializer::{Phase, Plan, StartupOptions, StartupTask};

    use super::*;

    #[test]
    fn each_task_has_a_row_as_long_as_it_takes_and_those_that_decide_are_marked() {
        let id = |number: u64| format!("t{number}").parse().unwrap();
        let task = |number: u64| {
            let before = number.checked_sub(5).map(id);
            let estimate = Duration::from_micros(50_000 * (1 + number % 7));
            StartupTask::new(id(number)).in_phase(Phase::Ready).after(before).taking(estimate)
        };
        let plan = Plan::new((0..60).map(task).collect()).unwrap();
        let options = StartupOptions { workers: 4, ..StartupOptions::default() };
        let outlook = Outlook::of_plan("sixty".to_owned(), &plan, options);
        let chart = chart(&outlook);
        assert_eq!(chart.rows.len(), 60);
        for row in &chart.rows {
            let (start, end) = row.bar.unwrap();
            let task = outlook.plan.position(&row.label).unwrap();
            assert_eq!(end - start, us(outlook.plan.tasks()[task].estimate()));
            assert_eq!(row.decides, outlook.decisive().contains(&task));
        }
        assert!(chart.rows.iter().any(|row| row.decides));
    }
}
