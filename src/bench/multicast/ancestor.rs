//! [`Ancestor`]: the loop by which the ancestor routed, as a baseline.
//!
//! ```text
//! queue ──batch──> 12 workers ──> each delivers a message, then takes the next ──> all done ──pause──> next batch
//! ```
//!
//! What is taken from it, and how:
//! - All messages are queued before the loop starts, which is its best case: no batch is smaller than it has to be.
//! - A batch of a fixed size takes up to 50 of what is queued at that moment. It never waits to become full, so the time
//!   limit of 10 s for a batch never matters.
//! - An adaptive batch takes half of the queue, but at least 25 and at most 100.
//! - The batch is awaited before the next is made, and between the end of one and the making of the next there is a
//!   pause of 10 ms. After the last there is none: the clock stops with the last delivery.
//! - A worker is busy with its message until the last of its nodes has handled it. Its routing tables, metrics and locks
//!   cost nothing here.

use std::{collections::VecDeque, time::Duration};

use futures_util::{StreamExt, stream};
use serde::Serialize;

/// How many messages a batch takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Batches {
    /// 50.
    Fixed,
    /// Half of the queue, between 25 and 100.
    Adaptive,
}

impl Batches {
    /// Of so many that are queued.
    fn limit(self, queued: usize) -> usize {
        match self {
            Self::Fixed => 50,
            Self::Adaptive => (queued / 2).clamp(25, 100),
        }
    }
}

/// The loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ancestor {
    /// How many messages a batch takes.
    pub(super) batches: Batches,
    /// How many messages are delivered at once.
    pub(super) workers: usize,
    /// How long it sleeps between two batches.
    pub(super) pause: Duration,
}

impl Ancestor {
    /// As the ancestor has it.
    pub(super) const fn new(batches: Batches) -> Self {
        Self { batches, workers: 12, pause: Duration::from_millis(10) }
    }

    /// Delivers what is queued, a batch after the other. Answers how large they were.
    pub(super) async fn run<T, D>(self, mut queue: VecDeque<T>, deliver: impl Fn(T) -> D) -> Vec<usize>
    where
        D: Future<Output = ()>,
    {
        let mut sizes = Vec::new();
        while !queue.is_empty() {
            if !sizes.is_empty() && !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
            let size = self.batches.limit(queue.len()).min(queue.len());
            sizes.push(size);
            stream::iter(queue.drain(..size)).for_each_concurrent(self.workers, &deliver).await;
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::{Instant, sleep};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_fixed_batch_is_fifty_and_an_adaptive_one_half_of_the_queue_within_its_limits() {
        assert_eq!([1_000, 50, 3].map(|queued| Batches::Fixed.limit(queued)), [50, 50, 50]);
        assert_eq!(
            [1_000, 200, 199, 100, 51, 50, 3].map(|queued| Batches::Adaptive.limit(queued)),
            [100, 100, 99, 50, 25, 25, 25]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn messages_end_when_a_sum_by_hand_says_that_they_end() {
        // 55 messages of 100 ms, 20 workers. A batch of 50: three rounds, of 20, 20 and 10, end at 100, 200 and 300; a
        // pause until 310; a batch of 5 ends at 410.
        let began = Instant::now();
        let ended = RefCell::new(Vec::new());
        let ancestor = Ancestor { workers: 20, ..Ancestor::new(Batches::Fixed) };
        let deliver = |n: u32| {
            let ended = &ended;
            async move {
                sleep(100 * MS).await;
                ended.borrow_mut().push((began.elapsed().as_millis(), n));
            }
        };
        assert_eq!(ancestor.run((0..55).collect(), deliver).await, [50, 5]);
        let expected: Vec<(u128, u32)> = (0..55)
            .map(|n| {
                let at = match n {
                    0..20 => 100,
                    20..40 => 200,
                    40..50 => 300,
                    _ => 410,
                };
                (at, n)
            })
            .collect();
        assert_eq!(*ended.borrow(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_takes_the_next_message_as_soon_as_it_is_free_and_a_batch_waits_for_its_slowest() {
        // Two workers, messages of 30, 10, 10 and 10 ms: the second worker does the three short ones by 30 ms. Then the
        // batch is over; it takes all there is, so there is no second one.
        let began = Instant::now();
        let ancestor = Ancestor { workers: 2, ..Ancestor::new(Batches::Adaptive) };
        let sizes = ancestor.run([30, 10, 10, 10].into(), |ms| sleep(ms * MS)).await;
        assert_eq!((sizes, began.elapsed()), (vec![4], 30 * MS));
        let began = Instant::now();
        let sizes = ancestor.run(vec![10; 26].into(), |ms| sleep(ms * MS)).await;
        assert_eq!((sizes, began.elapsed()), (vec![25, 1], (130 + 10 + 10) * MS));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_queued_takes_no_time() {
        let began = Instant::now();
        let sizes = Ancestor::new(Batches::Fixed).run(VecDeque::new(), |ms: u32| sleep(ms * MS)).await;
        assert_eq!((sizes, began.elapsed()), (vec![], Duration::ZERO));
    }
}
