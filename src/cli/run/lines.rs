//! [`Lines`]: how a run stands as plain lines, for logs and pipes.

use std::time::Duration;

use crate::swarm::Progress;

/// A line comes at least this long after the one before, unless something began or a tenth is done.
const PAUSE: Duration = Duration::from_secs(1);

/// What the figures of a run are about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    StartUp(Option<String>),
    Registration,
    Tasks,
}

impl Stage {
    /// Whether another phase of the same stage began.
    fn is_phase_of(&self, other: &Self) -> bool {
        matches!((self, other), (Self::StartUp(_), Self::StartUp(_)))
    }
}

/// Which lines are written, and when.
///
/// **Invariant.** Each stage has a first and a last line; between them, there is one when a phase of start-up begins,
/// when a further tenth is done, and when figures changed a second after the line before.
#[derive(Debug, Default)]
pub(super) struct Lines {
    stage: Option<Stage>,
    /// How many tenths of the stage were done at the last line.
    tenths: usize,
    written: Duration,
    /// The last line that was not written.
    held: Option<String>,
}

impl Lines {
    /// What to write when the run stands like this at a time on any clock that never goes back.
    pub(super) fn tell(&mut self, progress: &Progress, now: Duration) -> Vec<String> {
        let (stage, done, of, line) = match progress {
            Progress::StartUp { tasks, ended, failed, phase } => {
                let failed = some(*failed, "failed");
                let phase_now = phase.as_ref().map(|phase| format!(", {phase}")).unwrap_or_default();
                let line = format!("start-up: {ended} of {tasks} tasks ended{failed}{phase_now}");
                (Stage::StartUp(phase.clone()), *ended, *tasks, line)
            }
            Progress::Registration { agents, registered } => {
                let line = format!("registration: {registered} of {agents} agents");
                (Stage::Registration, *registered, *agents, line)
            }
            Progress::Tasks { submitted, completed, failed, executing } => {
                let line = format!(
                    "tasks: {completed} of {submitted} completed{}{}",
                    some(*failed, "not completed"),
                    some(*executing, "in work"),
                );
                (Stage::Tasks, completed + failed, *submitted, line)
            }
            Progress::Draining => {
                return self.held.take().into_iter().chain(["draining".to_owned()]).collect();
            }
            Progress::Note(note) => return vec![format!("note: {note}")],
        };
        let mut lines = Vec::new();
        let began = self.stage.as_ref() != Some(&stage);
        if began {
            if !self.stage.as_ref().is_some_and(|before| before.is_phase_of(&stage)) {
                lines.extend(self.held.take());
                self.tenths = 0;
            }
            self.stage = Some(stage);
        }
        let tenths = (10 * done).checked_div(of).unwrap_or(0);
        if began || tenths > self.tenths || now.saturating_sub(self.written) >= PAUSE {
            self.tenths = self.tenths.max(tenths);
            self.written = now;
            self.held = None;
            lines.push(line);
        } else {
            self.held = Some(line);
        }
        lines
    }

    /// What is left to write when the run has ended.
    pub(super) fn finish(&mut self) -> Option<String> {
        self.held.take()
    }
}

fn some(number: usize, what: &str) -> String {
    if number == 0 { String::new() } else { format!(", {number} {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn tasks(completed: usize, executing: usize) -> Progress {
        Progress::Tasks { submitted: 1_000, completed, failed: 0, executing }
    }

    #[test]
    fn a_line_comes_with_each_tenth_and_with_the_end() {
        let mut lines = Lines::default();
        let mut written: Vec<String> =
            (0..=1_000).flat_map(|done| lines.tell(&tasks(done, 0), ms(1))).collect();
        written.extend(lines.finish());
        let tenths: Vec<String> = (0..=10).map(|n| format!("tasks: {} of 1000 completed", n * 100)).collect();
        assert_eq!(written, tenths);
    }

    #[test]
    fn slow_work_is_told_of_once_a_second_and_not_when_nothing_happens() {
        let mut lines = Lines::default();
        let mut at = |done, now| lines.tell(&tasks(done, 2), ms(now)).len();
        assert_eq!(
            [at(0, 0), at(1, 500), at(2, 999), at(3, 1_000), at(4, 1_999), at(5, 2_000)],
            [1, 0, 0, 1, 0, 1]
        );
    }

    #[test]
    fn each_stage_and_phase_is_told_of_with_its_last_figures() {
        let phase =
            |ended, phase: &str| Progress::StartUp { tasks: 40, ended, failed: 0, phase: Some(phase.into()) };
        let mut lines = Lines::default();
        let told = [
            phase(0, "core_initialization"),
            phase(1, "core_initialization"),
            phase(1, "ready"),
            phase(2, "ready"),
            Progress::Registration { agents: 1, registered: 0 },
            Progress::Registration { agents: 1, registered: 1 },
            Progress::Note("a/1 crashed".into()),
            Progress::Tasks { submitted: 0, completed: 0, failed: 0, executing: 0 },
            Progress::Tasks { submitted: 90, completed: 1, failed: 2, executing: 3 },
            Progress::Draining,
        ];
        let written: Vec<String> = told.iter().flat_map(|told| lines.tell(told, ms(0))).collect();
        assert_eq!(
            written,
            [
                "start-up: 0 of 40 tasks ended, core_initialization",
                "start-up: 1 of 40 tasks ended, ready",
                "start-up: 2 of 40 tasks ended, ready",
                "registration: 0 of 1 agents",
                "registration: 1 of 1 agents",
                "note: a/1 crashed",
                "tasks: 0 of 0 completed",
                "tasks: 1 of 90 completed, 2 not completed, 3 in work",
                "draining",
            ]
        );
        assert_eq!(lines.finish(), None);
    }
}
