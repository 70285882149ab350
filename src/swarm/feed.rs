//! Submitting the tasks of a manifest, each entry after those it depends on, in batches and no faster than they are done.
//!
//! ```text
//! files below, numbers ──batches of 256──> coordinator, while fewer than the window are open
//! ```
//!
//! A task that has ended is kept as long as tasks may come that depend on it, with its result: about 150 bytes, its id and
//! the result. Of those that no other entry depends on, the first [`NAMED`] are kept for the report. What has not been
//! submitted costs nothing; a listing of files is read as it is needed.
//!
//! **Invariant.** At most [`window`] tasks are open that depend on no other entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join_all;
use phalanx_actors::{
    agent::{Capability, TaskId},
    coordinator::{ForgetTasks, TaskSpec},
    initializer::ReadyOf,
};
use tokio::sync::mpsc;

use super::{
    bodies::{Item, payload},
    tally::NAMED,
    walk,
    world::World,
};
use crate::{
    Host, HostError,
    manifest::{ForEach, TaskEntry},
};

/// How many tasks are submitted at once.
const BATCH: usize = 256;

/// How many dependencies two entries may have between them.
const MAX_EDGES: u64 = 50_000_000;

/// What came of submitting.
#[derive(Debug, Default)]
pub(super) struct Fed {
    /// What went wrong, in sentences.
    pub(super) failures: Vec<String>,
    /// How many tasks were submitted, by their type.
    pub(super) by_type: BTreeMap<&'static str, u64>,
    /// The first tasks that no other task depends on.
    pub(super) leaves: Vec<TaskId>,
}

/// How many tasks may be open before more are submitted.
pub(super) fn window(world: &World) -> usize {
    world.manifest.coordinator.max_concurrent.saturating_mul(4).max(4 * BATCH)
}

/// How many tasks the manifest will make, as far as that can be known beforehand: files may come and go.
pub(super) async fn count(world: &Arc<World>) -> u64 {
    let counting = world.clone();
    let count = move || {
        let tasks = counting.manifest.tasks.iter().map(|entry| match &entry.for_each {
            None => 1,
            Some(ForEach::Count(count)) => *count,
            Some(ForEach::FileBelow(root)) => walk::files(root).flatten().count() as u64,
        });
        tasks.sum()
    };
    if world.simulated {
        return count();
    }
    tokio::task::spawn_blocking(count).await.unwrap_or_default()
}

/// Where the items of an entry come from.
enum Items {
    Counted(std::ops::Range<u64>),
    Only(Option<Item>),
    /// From this thread: other threads would make simulated time depend on the machine.
    Here(Box<dyn Iterator<Item = walk::Listed> + Send>),
    Elsewhere(mpsc::Receiver<Vec<walk::Listed>>),
}

impl Items {
    fn of(entry: &TaskEntry, simulated: bool) -> Self {
        match &entry.for_each {
            None => Items::Only(Some(Item::Only)),
            Some(ForEach::Count(count)) => Items::Counted(0..*count),
            Some(ForEach::FileBelow(root)) if simulated => Items::Here(Box::new(walk::files(root))),
            Some(ForEach::FileBelow(root)) => {
                let (to, from) = mpsc::channel(4);
                let mut files = walk::files(root);
                tokio::task::spawn_blocking(move || {
                    loop {
                        let batch: Vec<_> = files.by_ref().take(BATCH).collect();
                        // The run may have been told to stop.
                        if batch.is_empty() || to.blocking_send(batch).is_err() {
                            return;
                        }
                    }
                });
                Items::Elsewhere(from)
            }
        }
    }

    /// The next items; none when there are no more.
    async fn next(&mut self) -> Vec<Result<Item, String>> {
        let file = |listed: walk::Listed| listed.map(Item::File);
        match self {
            Items::Only(only) => only.take().map(Ok).into_iter().collect(),
            Items::Counted(range) => range.by_ref().take(BATCH).map(|index| Ok(Item::Index(index))).collect(),
            Items::Here(files) => files.by_ref().take(BATCH).map(file).collect(),
            Items::Elsewhere(from) => from.recv().await.unwrap_or_default().into_iter().map(file).collect(),
        }
    }
}

/// The entries, each after all it depends on; those that have to wait as late as that allows.
fn order(dependencies: &[Vec<usize>], has_to_wait: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut order = Vec::with_capacity(dependencies.len());
    let mut placed = vec![false; dependencies.len()];
    while order.len() < dependencies.len() {
        let before = order.len();
        for waiting in [false, true] {
            for (entry, on) in dependencies.iter().enumerate() {
                let is_next = !placed[entry] && on.iter().all(|on| placed[*on]);
                if is_next && has_to_wait(entry) == waiting && (!waiting || order.len() == before) {
                    placed[entry] = true;
                    order.push(entry);
                }
            }
        }
        assert!(
            order.len() > before,
            "entries that depend on each other in a circle are a fault of the manifest"
        );
    }
    order
}

/// Submits all tasks; answers when the last was taken, not when it has ended.
///
/// # Errors
/// The coordinator did not answer.
pub(super) async fn feed(world: &Arc<World>, host: &Host) -> Result<Fed, HostError> {
    let dependencies = world.manifest.task_dependencies();
    let depended_on: BTreeSet<usize> = dependencies.iter().flatten().copied().collect();
    let mut ids: Vec<Vec<TaskId>> = vec![Vec::new(); dependencies.len()];
    let mut fed = Fed::default();
    let order = order(&dependencies, |entry| !world.manifest.tasks[entry].uses.is_empty());
    let mut left_out = vec![false; dependencies.len()];
    for (at, &number) in order.iter().enumerate() {
        let entry = &world.manifest.tasks[number];
        let why = match dependencies[number].iter().find(|on| left_out[**on]) {
            Some(on) => Some(format!("those of {} were not", world.manifest.tasks[*on].id)),
            None => unready(host, entry).await?,
        };
        if let Some(why) = why {
            fed.failures.push(format!("no task of {} was handed out: {why}", entry.id));
            left_out[number] = true;
            continue;
        }
        let on: Vec<TaskId> = dependencies[number].iter().flat_map(|on| ids[*on].iter().cloned()).collect();
        let mut items = Items::of(entry, world.simulated);
        let (mut unlisted, mut made) = (Vec::new(), 0_u64);
        loop {
            let batch = items.next().await;
            if batch.is_empty() {
                break;
            }
            let mut tasks = Vec::with_capacity(batch.len());
            for item in batch {
                match item.map(|item| spec(world, number, &item, &on)) {
                    Ok(Ok(task)) => tasks.push(task),
                    Ok(Err(failure)) => fed.failures.push(failure),
                    Err(why) => unlisted.push(why),
                }
            }
            made += tasks.len() as u64;
            *fed.by_type.entry(entry.task_type.as_str()).or_default() += tasks.len() as u64;
            if made.saturating_mul(on.len() as u64) > MAX_EDGES {
                let many = on.len();
                fed.failures.push(format!(
                    "the tasks of {} depend on {many} tasks each, which is more than {MAX_EDGES} dependencies together: \
                     put one task in between that depends on them all",
                    entry.id
                ));
                break;
            }
            let (kept, room) = if depended_on.contains(&number) {
                (&mut ids[number], usize::MAX)
            } else {
                let room = NAMED.saturating_sub(fed.leaves.len());
                (&mut fed.leaves, room)
            };
            for task in tasks.iter_mut().take(room) {
                task.keep = true;
                kept.push(task.id.clone());
            }
            submit(world, host, tasks, &mut fed).await?;
            if on.is_empty() {
                let window = window(world);
                world.tally.until(|figures| figures.open() < window).await;
            }
        }
        report_unlisted(world, entry, &unlisted, &mut fed);
        // What no entry depends on that is still to come need not be kept any more.
        for on in &dependencies[number] {
            if !order[at + 1..].iter().any(|later| dependencies[*later].contains(on)) {
                forget(host, std::mem::take(&mut ids[*on])).await?;
            }
        }
    }
    Ok(fed)
}

/// Waits until the start-up tasks that an entry uses are ready, or answers why one of them will not be.
async fn unready(host: &Host, entry: &TaskEntry) -> Result<Option<String>, HostError> {
    let ready = entry.uses.iter().map(|used| host.ready(ReadyOf::Task(used.clone())));
    for ready in join_all(ready).await {
        match ready {
            Ok(_) => {}
            Err(HostError::NotReady(why)) => return Ok(Some(why.to_string())),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn report_unlisted(world: &World, entry: &TaskEntry, unlisted: &[String], fed: &mut Fed) {
    for why in unlisted.iter().take(NAMED) {
        world.tally.note(format!("{}: {why}", entry.id));
    }
    if let [first, rest @ ..] = unlisted {
        let others = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        fed.failures.push(format!("not all files of {} were listed: {first}{others}", entry.id));
    }
}

async fn forget(host: &Host, tasks: Vec<TaskId>) -> Result<(), HostError> {
    let let_go = host.protocols().coordinator.send(ForgetTasks(tasks)).await;
    let_go.map(drop).map_err(|_| HostError::NoAnswer("coordinator"))
}

async fn submit(world: &World, host: &Host, tasks: Vec<TaskSpec>, fed: &mut Fed) -> Result<(), HostError> {
    let count = tasks.len();
    // Counted first, so that nobody sees more tasks ended than submitted.
    world.tally.submitted(count);
    match host.submit(tasks).await {
        Ok(_) => Ok(()),
        Err(HostError::Tasks(faults)) => {
            world.tally.refused(count);
            fed.failures.push(format!("{count} tasks were refused: {faults}"));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn spec(world: &World, number: usize, item: &Item, on: &[TaskId]) -> Result<TaskSpec, String> {
    let entry = &world.manifest.tasks[number];
    let named = entry.for_item(&item.text());
    let (id, _) = named.map_err(|error| format!("a task of {} has no good id: {error}", entry.id))?;
    let needs = entry.capabilities().map(|need| Capability::new(need).expect("the manifest's are names"));
    Ok(TaskSpec::new(id)
        .of_type(entry.task_type)
        .with_priority(entry.priority)
        .after(on.iter().cloned())
        .needing(needs)
        .with_payload(payload(world, number, item))
        .within(entry.timeout)
        .retrying(entry.retries))
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn entries_come_after_all_they_depend_on_and_otherwise_as_they_are_written() {
        assert_eq!(order(&[vec![2], vec![], vec![1], vec![]], |_| false), [1, 2, 3, 0]);
        assert_eq!(order(&[], |_| false), [0; 0]);
    }

    #[test]
    fn entries_that_have_to_wait_come_after_all_that_need_not() {
        let dependencies = [vec![], vec![0], vec![], vec![], vec![3]];
        assert_eq!(order(&dependencies, |entry| [0, 2].contains(&entry)), [3, 4, 0, 1, 2]);
    }
}
