//! [`Gauge`]: what is counted and measured of an agent, for whoever looks from another thread.
//!
//! **Invariant.** Only the agent's own arbiter writes what it counts and measures, so that a relaxed load and a store are
//! enough; what others ask of it (to measure the next message, to say that it lives) they write themselves.

use std::{
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, Ordering::Relaxed},
    time::Duration,
};

use crate::agent::Timestamp;

/// How many of the last samples an average leans on: each new one counts for one in so many.
const SMOOTHING: u8 = 8;

/// The next message is measured.
const WATCHED: u8 = 1;
/// The next message is measured, and what was measured before is forgotten.
const AFRESH: u8 = 2;

/// What is counted and measured of one agent.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    handled: AtomicU64,
    failed: AtomicU64,
    /// Smoothed, as the bits of an `f32` \[us\]; 0 while it is not known.
    took: AtomicU32,
    waited: AtomicU32,
    watch: AtomicU8,
    /// How many samples the averages are of, up to [`SMOOTHING`].
    samples: AtomicU8,
    /// How many beats in a row it has missed.
    missed: AtomicU32,
    /// When it last beat, and when it was last asked to, on the host's clock \[us\]; 0 for never.
    beat: AtomicU64,
    asked: AtomicU64,
}

fn add(cell: &AtomicU64, more: u32) {
    cell.store(cell.load(Relaxed) + u64::from(more), Relaxed);
}

impl Gauge {
    /// Counts messages that were handled to their end.
    #[inline]
    pub(super) fn handled(&self, messages: u32) {
        add(&self.handled, messages);
    }

    /// Counts messages whose handling failed.
    #[inline]
    pub(super) fn failed(&self, messages: u32) {
        add(&self.failed, messages);
    }

    /// Takes in how long a message waited and, when it is handled, how long that took \[us\].
    pub(super) fn note_wait(&self, micros: f32) {
        let samples = self.samples.load(Relaxed);
        Self::smooth(&self.waited, micros, samples);
    }

    pub(super) fn note_handling(&self, micros: f32) {
        let samples = self.samples.load(Relaxed);
        Self::smooth(&self.took, micros.max(0.001), samples);
        self.samples.store((samples + 1).min(SMOOTHING), Relaxed);
    }

    /// The mean of the first few, and from then on an exponentially weighted one.
    fn smooth(cell: &AtomicU32, sample: f32, samples: u8) {
        let before = f32::from_bits(cell.load(Relaxed));
        let weight = f32::from(samples.saturating_add(1).min(SMOOTHING));
        let now = if samples == 0 { sample } else { before + (sample - before) / weight };
        cell.store(now.to_bits(), Relaxed);
    }

    /// Whether the message that comes in now is to be measured by somebody's wish.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.watch.load(Relaxed) != 0 && self.begin_watch()
    }

    #[cold]
    fn begin_watch(&self) -> bool {
        if self.watch.swap(0, Relaxed) == AFRESH {
            self.samples.store(0, Relaxed);
        }
        true
    }

    /// Has the next message measured, from any thread; with `afresh`, what was measured before is forgotten.
    pub(crate) fn watch(&self, afresh: bool) {
        self.watch.store(if afresh { AFRESH } else { WATCHED }, Relaxed);
    }

    /// Notes that the agent is asked to beat, from any thread.
    pub(crate) fn ask(&self, now: u64) {
        self.asked.store(now.max(1), Ordering::Release);
    }

    /// Notes a beat. Answers whether one was missed before.
    pub(super) fn beat(&self, now: u64) -> bool {
        self.beat.store(now.max(1), Ordering::Release);
        self.missed() > 0
    }

    /// Whether it has beaten since it was asked; `None` when it was not asked since the last look.
    pub(crate) fn answered(&self) -> Option<bool> {
        let asked = self.asked.swap(0, Ordering::AcqRel);
        (asked > 0).then(|| self.beat.load(Ordering::Acquire) >= asked)
    }

    /// How many beats in a row it has missed.
    pub(crate) fn missed(&self) -> u32 {
        self.missed.load(Ordering::Acquire)
    }

    pub(crate) fn set_missed(&self, missed: u32) {
        self.missed.store(missed, Ordering::Release);
    }

    /// When it last beat.
    pub(crate) fn last_beat(&self) -> Option<Timestamp> {
        let beat = self.beat.load(Ordering::Acquire);
        (beat > 0).then(|| Timestamp::from_start(Duration::from_micros(beat)))
    }

    /// Messages handled to their end, and those whose handling failed.
    #[inline]
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.handled.load(Relaxed), self.failed.load(Relaxed))
    }

    /// The smoothed time from the call of the handler until the message has ended \[us\]; 0 while it is not known.
    #[inline]
    pub(crate) fn took_us(&self) -> f32 {
        f32::from_bits(self.took.load(Relaxed))
    }

    /// The smoothed time from the arrival in the inbox until the message has ended \[us\]; 0 while it is not known.
    #[inline]
    pub(crate) fn latency_us(&self) -> f32 {
        let took = self.took_us();
        if took > 0.0 { took + f32::from_bits(self.waited.load(Relaxed)) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_samples_give_a_mean_and_later_ones_weigh_an_eighth() {
        let gauge = Gauge::default();
        assert_eq!((gauge.took_us(), gauge.latency_us()), (0.0, 0.0), "nothing is known");
        for sample in [10.0, 20.0, 30.0] {
            gauge.note_wait(1.0);
            gauge.note_handling(sample);
        }
        assert!((gauge.took_us() - 20.0).abs() < 1e-3 && (gauge.latency_us() - 21.0).abs() < 1e-3);
        (0..100).for_each(|_| gauge.note_handling(20.0));
        gauge.note_handling(100.0);
        assert!((gauge.took_us() - 30.0).abs() < 1e-3);
        gauge.watch(true);
        assert!(gauge.is_watched() && !gauge.is_watched(), "one message is watched");
        gauge.note_handling(5.0);
        assert!((gauge.took_us() - 5.0).abs() < 1e-3, "what was measured before is forgotten");
    }
}
