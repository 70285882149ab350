//! ctrl-C: the first lets a run drain, the second ends the process.

use std::{
    process,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{files::Trace, screen::Screen};
use crate::{cli::Exit, swarm::Stop};

/// From now on, an interrupt, a hang-up or a request to terminate tells the run to stop, and a second one ends the
/// process, whatever the run is doing: both are handled on a thread of their own.
pub(super) fn install(
    stop: Stop,
    screen: Screen,
    trace: Option<Trace>,
    quiet: bool,
) -> Result<(), ctrlc::Error> {
    let interrupts = AtomicUsize::new(0);
    ctrlc::set_handler(move || {
        if interrupts.fetch_add(1, Ordering::Relaxed) == 0 {
            stop.now();
            if !quiet {
                screen.line("phalanx: interrupted; it drains what it holds and reports, a second ctrl-C stops at once");
            }
        } else {
            if let Some(trace) = &trace {
                trace.flush_if_idle();
            }
            screen.close();
            process::exit(Exit::Interrupted.number().into());
        }
    })
}
