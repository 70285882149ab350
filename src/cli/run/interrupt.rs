//! ctrl-C: the first lets a run drain, the second ends the process.

use std::{
    process,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    cli::{Exit, screen::Screen},
    swarm::Stop,
};

/// From now on, an interrupt, a hang-up or a request to terminate tells the run to stop, and a second one ends the
/// process, whatever the run is doing: both are handled on a thread of their own.
pub(super) fn install(stop: Stop, screen: Screen, quiet: bool) -> Result<(), ctrlc::Error> {
    let interrupts = AtomicUsize::new(0);
    ctrlc::set_handler(move || {
        if interrupts.fetch_add(1, Ordering::Relaxed) == 0 {
            // Said first: a small run may have ended before another line is written.
            if !quiet {
                screen.line("phalanx: interrupted: draining, then the report; a second ctrl-C stops at once");
            }
            stop.now();
        } else {
            screen.close();
            process::exit(Exit::Interrupted.number().into());
        }
    })
}
