//! Progress on the standard error: what is done now, and how long the rest will take.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// Steps of about the same length.
pub(crate) struct Progress {
    began: Instant,
    steps: usize,
    done: usize,
    is_terminal: bool,
    /// When the last line was written, where lines are not written over.
    told: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { began: Instant::now(), steps, done: 0, is_terminal, told: None }
    }

    /// Says what begins now.
    pub(crate) fn step(&mut self, what: &str) {
        let line = format!("[{:4}/{}] {what}{}", self.done + 1, self.steps, self.left());
        self.done += 1;
        let mut out = std::io::stderr().lock();
        // Nobody may be looking.
        if self.is_terminal {
            let _ = write!(out, "\r\x1b[K{line}");
            let _ = out.flush();
        } else if self.told.is_none_or(|told| told.elapsed() >= Duration::from_secs(2)) {
            let _ = writeln!(out, "{line}");
            self.told = Some(Instant::now());
        }
    }

    fn left(&self) -> String {
        if self.done < 10 {
            return String::new();
        }
        let each = self.began.elapsed() / u32::try_from(self.done).unwrap_or(u32::MAX);
        format!("; {} left", told(each * u32::try_from(self.steps - self.done).unwrap_or(u32::MAX)))
    }

    pub(crate) fn end(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
        eprintln!("{} steps in {}", self.done, told(self.began.elapsed()));
    }
}

/// A time as a person tells it.
fn told(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {:02} s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_minutes_and_seconds() {
        assert_eq!(told(Duration::from_millis(59_900)), "59 s");
        assert_eq!(told(Duration::from_secs(605)), "10 min 05 s");
    }
}
