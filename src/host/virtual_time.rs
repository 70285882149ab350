//! Whether the runtime's clock is virtual.

use std::time::Duration;

/// How long real time passes before the runtime's clock is looked at again.
const GLANCE: Duration = Duration::from_micros(50);

/// Whether the clock of the runtime that this is called in stands still while real time passes.
///
/// tokio has no question for that, and answers a second `pause` with a panic; so both clocks are looked at, with a moment
/// of real time in between. A host in virtual time must not pause the clock by itself: timers of a runtime whose clock ran
/// before keep the fraction of a millisecond at which it was stopped, and end at other times in each run.
pub(super) fn clock_is_paused() -> bool {
    let (runtime, real) = (tokio::time::Instant::now(), std::time::Instant::now());
    while real.elapsed() < GLANCE {
        std::hint::spin_loop();
    }
    tokio::time::Instant::now() == runtime
}

#[cfg(test)]
mod tests {
    use super::clock_is_paused;

    fn runtime(paused: bool) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(paused).build().unwrap()
    }

    #[test]
    fn a_clock_is_paused_exactly_when_it_was_started_so_or_paused_since() {
        assert!(runtime(true).block_on(async { clock_is_paused() }));
        runtime(false).block_on(async {
            assert!(!clock_is_paused());
            tokio::time::pause();
            assert!(clock_is_paused());
            tokio::time::resume();
            assert!(!clock_is_paused());
        });
    }
}
