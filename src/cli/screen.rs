//! [`Screen`]: standard error, shared by everyone who writes to it while bars may be drawn there.

use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::fmt::MakeWriter;

/// Standard error with bars at its end, or without any.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    bars: MultiProgress,
}

impl Screen {
    /// Bars are drawn only when somebody watches.
    pub(super) fn new(watched: bool) -> Self {
        let target = if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target) }
    }

    #[cfg(test)]
    pub(super) fn on(terminal: indicatif::InMemoryTerm) -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(terminal))) }
    }

    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Does something while no bar is on the screen.
    pub(super) fn without_bars<T>(&self, doing: impl FnOnce() -> T) -> T {
        self.bars.suspend(doing)
    }

    /// Writes a line above the bars; nothing can be done if that fails.
    pub(super) fn line(&self, line: &str) {
        self.without_bars(|| _ = writeln!(io::stderr(), "{line}"));
    }

    /// Takes the bars off the screen until they are drawn again.
    pub(super) fn clear(&self) {
        // There is nobody to tell if the terminal is gone.
        let _ = self.bars.clear();
    }

    /// Takes the bars off the screen for good.
    pub(super) fn close(&self) {
        self.clear();
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
    }
}

/// Log lines go above the bars, too.
impl<'w> MakeWriter<'w> for Screen {
    type Writer = Above<'w>;

    fn make_writer(&'w self) -> Self::Writer {
        Above(self)
    }
}

/// Writes above the bars of a screen.
pub(super) struct Above<'s>(&'s Screen);

impl Write for Above<'_> {
    /// Never fails: who logs would write to standard error that standard error cannot be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.without_bars(|| _ = io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
