//! The outlook as text: figures, phases, and a bar for each task.

use std::{fmt::Write as _, time::Duration};

use unicode_width::UnicodeWidthStr;

use super::{Outlook, us};
use crate::{
    manifest::Palette,
    report::{
        outline::{Block, Tone, columns},
        text,
        units::{count, fit, many, tame, took},
    },
};

/// How many tasks have a bar; all of them are in the other forms.
const ROWS: usize = 60;
/// How many steps of a long path are shown from its beginning, and from its end.
const STEPS: usize = 8;
/// The most columns of a name.
const NAME: usize = 28;

pub(super) fn render(outlook: &Outlook, width: usize, palette: Palette) -> String {
    let mut text = text::render(&blocks(outlook), width, palette);
    if !outlook.schedule.slices().is_empty() {
        text.push_str(&text::render(&[Block::Heading("Schedule".to_owned())], width, palette));
        bars(outlook, width, &mut text);
    }
    text
}

fn blocks(outlook: &Outlook) -> Vec<Block> {
    let Outlook { name, plan, schedule, workers } = outlook;
    let several = |count: usize, one, more| many(u64::try_from(count).expect("a count fits"), one, more);
    let time = |duration| took(us(duration));
    let tasks = plan.tasks().len();
    let title = format!(
        "{name}: {} on {}",
        several(tasks, "start-up task", "start-up tasks"),
        several(*workers, "worker", "workers")
    );
    let mut blocks = vec![Block::Title { text: title, tone: Tone::Plain }];
    if tasks == 0 {
        return blocks;
    }
    let bound = outlook.bound();
    let ratio = if bound.is_zero() { 1.0 } else { schedule.makespan().as_secs_f64() / bound.as_secs_f64() };
    blocks.extend([
        Block::Line(format!("predicted: {}, {ratio:.2} times the lower bound", time(schedule.makespan()))),
        Block::Line(format!("lower bound: {}; one by one: {}", time(bound), time(plan.total()))),
        Block::Line(format!(
            "critical path: {} by {}",
            time(plan.critical_length()),
            path(&plan.critical_path())
        )),
    ]);
    if schedule.ready() < schedule.makespan() {
        blocks
            .push(Block::Line(format!("ready after {}: nobody waits for the rest", time(schedule.ready()))));
    }
    let overdue: Vec<&str> = outlook.overdue().collect();
    if !overdue.is_empty() {
        let item = format!(
            "expected to take longer than their timeout, and to fail: {}",
            path(&overdue).replace(" > ", ", ")
        );
        blocks.push(Block::List { items: vec![item], tone: Tone::Odd });
    }
    let rows = outlook.phases().into_iter().map(|span| {
        let cells = [span.phase.to_string(), number(span.tasks), time(span.start), time(span.end)];
        (cells.into(), Tone::Plain)
    });
    blocks.push(Block::Heading("Phases".to_owned()));
    blocks
        .push(Block::Table { columns: columns("phase", ["tasks", "starts", "ends"]), rows: rows.collect() });
    blocks
}

/// The steps of a path, without the middle of a long one.
fn path(steps: &[&str]) -> String {
    if steps.len() <= 2 * STEPS + 1 {
        return steps.join(" > ");
    }
    let (head, tail) = (&steps[..STEPS], &steps[steps.len() - STEPS..]);
    format!("{} > {} more > {}", head.join(" > "), number(steps.len() - 2 * STEPS), tail.join(" > "))
}

fn number(number: usize) -> String {
    count(u64::try_from(number).expect("a count fits"))
}

/// A line for each task: its name, its worker, and a bar, of another sort where it decides how long the whole takes.
fn bars(outlook: &Outlook, width: usize, text: &mut String) {
    let slices = outlook.schedule.slices();
    let decisive = outlook.decisive();
    let shown = &slices[..slices.len().min(ROWS)];
    let name = |task: usize| fit(&tame(outlook.plan.label(task)), NAME);
    let names = shown.iter().map(|slice| name(slice.task).width()).max();
    let names = names.unwrap_or(0).max("task".len());
    // Two columns before the name, two between, six for the worker, two more.
    let room = width.saturating_sub(names + 12).max(10);
    let makespan = outlook.schedule.makespan();
    let (from, to) = ("0 s", took(us(makespan)));
    let axis = format!("{from}{to:>width$}", width = room - from.len());
    _ = writeln!(text, "  {:<names$}  worker  {axis}", "task");
    for slice in shown {
        let name = name(slice.task);
        let pad = names - name.width();
        let (start, end) = (column(slice.start, makespan, room), column(slice.end, makespan, room));
        let mark = if decisive.contains(&slice.task) { "#" } else { "=" };
        let bar = mark.repeat((end - start).max(1));
        let start = start.min(room - bar.len());
        _ = writeln!(text, "  {name}{:pad$}  {:>6}  {:start$}{bar}", "", slice.worker + 1, "");
    }
    if slices.len() > ROWS {
        _ = writeln!(text, "  and {} more, all of them in the JSON", number(slices.len() - ROWS));
    }
    text.push_str("  # decides how long the whole takes\n");
}

/// The column of a point in time.
fn column(at: Duration, makespan: Duration, room: usize) -> usize {
    if makespan.is_zero() {
        return 0;
    }
    let column = at.as_micros() * room as u128 / makespan.as_micros().max(1);
    usize::try_from(column).unwrap_or(room).min(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_shown_without_its_middle() {
        let ids: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
        let steps: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(path(&steps[..3]), "0 > 1 > 2");
        let shown = path(&steps);
        assert!(shown.starts_with("0 > 1 > 2 > ") && shown.ends_with(" > 19998 > 19999"), "{shown}");
        assert!(shown.contains(" > 7 > 19,984 more > 19992 > "), "{shown}");
    }
}
