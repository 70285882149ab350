use super::*;
use crate::{
    agent::{Priority, TaskId},
    initializer::StartupTask,
};

fn options(workers: usize) -> StartupOptions {
    StartupOptions { workers, ..StartupOptions::default() }
}

fn task(number: usize, millis: u64, after: impl IntoIterator<Item = usize>) -> StartupTask {
    let name = |number: usize| TaskId::new(format!("t{number}")).unwrap();
    StartupTask::new(name(number)).taking(Duration::from_millis(millis)).after(after.into_iter().map(name))
}

fn times(duration: Duration, factor: f64) -> Duration {
    Duration::from_secs_f64(duration.as_secs_f64() * factor)
}

#[test]
fn the_twenty_tasks_of_the_earlier_system_take_hardly_more_than_the_optimum() {
    let tasks = (0..20).map(|number| task(usize::try_from(number).unwrap(), 500 + 100 * number, []));
    let plan = Plan::new(tasks.collect()).unwrap();
    let makespan = Schedule::of(&plan.clone().refined(&options(8)), options(8)).makespan();
    // 29 s of work on 8 workers are 3.625 s each; no schedule ends between two tenths of a second.
    let optimum = Duration::from_millis(3_700);
    assert!(makespan <= times(optimum, 1.02), "{makespan:?}");
    assert!(times(makespan, 4.04) <= plan.total(), "{makespan:?} instead of {:?}", plan.total());
}

#[test]
fn a_search_that_finds_nothing_shorter_leaves_the_order_and_priorities_are_kept() {
    let order = |plan: &Plan| {
        let schedule = Schedule::of(plan, options(2));
        schedule.slices().iter().map(|slice| slice.task).collect::<Vec<_>>()
    };
    let equal = Plan::new((0..13).map(|number| task(number, 1_000, [])).collect()).unwrap();
    assert_eq!(order(&equal), order(&equal.clone().refined(&options(2))));
    let urgent = (0..13).map(|number| {
        let priority = if number == 11 { Priority::Critical } else { Priority::Low };
        task(number, 1_000 + u64::try_from(number).unwrap() % 3, []).with_priority(priority)
    });
    let urgent = Plan::new(urgent.collect()).unwrap();
    assert_eq!(order(&urgent), order(&urgent.clone().refined(&options(2))), "who is urgent is not put off");
}

#[test]
fn estimates_beyond_all_measure_are_planned_with() {
    let forever = |number: usize, after: Option<usize>| task(number, 1, after).taking(Duration::MAX);
    let tasks = (0..5).map(|number| forever(number, usize::checked_sub(number, 2))).collect();
    let plan = Plan::new(tasks).unwrap().refined(&options(2));
    let end_of_time = Duration::from_micros(u64::MAX);
    assert_eq!(Schedule::of(&plan, options(2)).makespan(), end_of_time);
}
