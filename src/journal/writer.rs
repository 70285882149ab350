//! The thread that writes a journal.
//!
//! ```text
//! append --> queue --> thread: take what waits, up to a group --> one transaction, one sync --> tell each call
//!              ^                                                        |
//!              +------------------ the next group gathers here <--------+
//! ```
//!
//! A group is what has come while the last one was written; nobody waits for a group to fill. A call is never split.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use phalanx_actors::registrar::{Record, Recorded, Recorder, Unrecorded};
use serde::Serialize;
use tokio::sync::watch;

use super::{
    lock::Lock,
    store::{Store, WriteFault},
};

/// What a journal has written since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct JournalStats {
    /// The number of the last record.
    pub sequence: u64,
    /// How many records were written.
    pub records: u64,
    /// How many groups they made, each a transaction and a sync of its own.
    pub groups: u64,
    /// How many records the largest had.
    pub largest: u64,
    /// How many records were refused.
    pub refused: u64,
    /// How often the log was carried over into the database.
    pub checkpoints: u64,
    /// How often a snapshot was made.
    pub compactions: u64,
}

struct Call {
    records: Vec<Record>,
    recorded: Recorded,
}

#[derive(Default)]
struct Queue {
    calls: VecDeque<Call>,
    is_closed: bool,
    stats: JournalStats,
}

/// What the thread and those who append share.
#[derive(Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> JournalStats {
        self.lock().stats
    }

    /// Lets the thread end when it has written what waits.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
    }

    /// The next group: what waits, up to about `most` records; none when it is closed and nothing waits.
    fn next(&self, most: usize, group: &mut Vec<Call>) -> bool {
        let mut queue = self.lock();
        while queue.calls.is_empty() && !queue.is_closed {
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let mut records = 0;
        while records < most
            && let Some(call) = queue.calls.pop_front()
        {
            records += call.records.len();
            group.push(call);
        }
        !group.is_empty()
    }
}

impl Recorder for Shared {
    fn append(&self, records: Vec<Record>, recorded: Recorded) {
        let mut queue = self.lock();
        if queue.is_closed {
            drop(queue);
            return recorded.tell(Err(Unrecorded::Broken("the journal is closed".to_owned())));
        }
        let was_empty = queue.calls.is_empty();
        queue.calls.push_back(Call { records, recorded });
        drop(queue);
        if was_empty {
            self.wake.notify_one();
        }
    }
}

/// Closes the queue however the thread ends, so that nobody waits for it.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        let calls = {
            let mut queue = self.0.lock();
            queue.is_closed = true;
            std::mem::take(&mut queue.calls)
        };
        // Dropped outside of the lock: each tells that nothing is known of it.
        drop(calls);
    }
}

/// Starts the thread; what it answers ends with it.
pub(super) fn start(
    shared: &Arc<Shared>,
    store: Store,
    lock: Lock,
    group: usize,
) -> std::io::Result<watch::Receiver<bool>> {
    let (ended, end) = watch::channel(false);
    let shared = shared.clone();
    {
        let stats = &mut shared.lock().stats;
        stats.sequence = store.sequence;
        (stats.checkpoints, stats.compactions) = (store.checkpoints, store.compactions);
    }
    std::thread::Builder::new().name("phalanx-journal".to_owned()).spawn(move || {
        let closing = Closing(shared);
        let store = run(&closing.0, store, group.max(1));
        drop(closing);
        store.close();
        drop(lock);
        ended.send_replace(true);
    })?;
    Ok(end)
}

fn run(shared: &Shared, mut store: Store, most: usize) -> Store {
    let (mut group, mut bytes) = (Vec::new(), Vec::new());
    let mut broken: Option<WriteFault> = None;
    while shared.next(most, &mut group) {
        let records: usize = group.iter().map(|call| call.records.len()).sum();
        let results = match &broken {
            Some(fault) => vec![Err(fault.told()); group.len()],
            None => write(&mut store, &group, &mut bytes, &mut broken),
        };
        let written: usize = group
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_ok())
            .map(|(call, _)| call.records.len())
            .sum();
        {
            let stats = &mut shared.lock().stats;
            stats.sequence = store.sequence;
            stats.groups += u64::from(written > 0);
            stats.records += written as u64;
            stats.refused += (records - written) as u64;
            stats.largest = stats.largest.max(written as u64);
        }
        for (call, result) in group.drain(..).zip(results) {
            call.recorded.tell(result);
        }
        if broken.is_none()
            && let Err(fault) = store.keep_small()
        {
            broken = Some(fault);
        }
        let stats = &mut shared.lock().stats;
        (stats.checkpoints, stats.compactions) = (store.checkpoints, store.compactions);
    }
    store
}

/// Writes a group as one transaction; where that is refused, each call by itself, so that one too many harms no other.
fn write(
    store: &mut Store,
    group: &[Call],
    bytes: &mut Vec<u8>,
    broken: &mut Option<WriteFault>,
) -> Vec<Result<(), Unrecorded>> {
    let mut one = |calls: &[Call]| match store.write(calls.iter().flat_map(|call| &call.records), bytes) {
        Ok(()) => Ok(()),
        Err(fault) => {
            let told = fault.told();
            if matches!(fault, WriteFault::Lasting(_)) {
                *broken = Some(fault);
            }
            Err(told)
        }
    };
    match one(group) {
        Err(Unrecorded::Refused(_)) if group.len() > 1 => {
            let mut results = Vec::with_capacity(group.len());
            for call in group {
                let lasting = results.last().and_then(|last: &Result<(), Unrecorded>| match last {
                    Err(Unrecorded::Broken(reason)) => Some(reason.clone()),
                    _ => None,
                });
                results.push(match lasting {
                    Some(reason) => Err(Unrecorded::Broken(reason)),
                    None => one(std::slice::from_ref(call)),
                });
            }
            results
        }
        result => vec![result; group.len()],
    }
}
