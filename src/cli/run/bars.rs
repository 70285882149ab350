//! [`Bars`]: how a run stands as bars on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{cli::screen::Screen, swarm::Progress};

/// How often a bar shows that time passes.
const TICK: Duration = Duration::from_millis(250);

/// A bar for each stage that has begun.
///
/// **Invariant.** At most the last bar moves by itself; after [`Screen::close`] none is on the terminal.
#[derive(Debug)]
pub(super) struct Bars {
    screen: Screen,
    all: Vec<(&'static str, ProgressBar)>,
}

impl Bars {
    pub(super) fn new(screen: Screen) -> Self {
        Self { screen, all: Vec::new() }
    }

    /// Draws how the run stands.
    pub(super) fn tell(&mut self, progress: &Progress) {
        match progress {
            Progress::StartUp { tasks, ended, failed, phase } => {
                let phase = phase.as_deref().unwrap_or_default();
                let message = [phase.to_owned(), some(*failed, "failed")];
                self.draw("start-up", *ended, *tasks, &message);
            }
            Progress::Registration { agents, registered } => {
                self.draw("registration", *registered, *agents, &[]);
            }
            Progress::Tasks { submitted, completed, failed, executing } => {
                let message = [some(*executing, "in work"), some(*failed, "not completed")];
                self.draw("tasks", completed + failed, *submitted, &message);
            }
            Progress::Draining => {
                if let Some((_, bar)) = self.all.last() {
                    bar.set_message("draining");
                }
            }
            Progress::Note(note) => self.screen.line(&format!("note: {note}")),
        }
    }

    fn draw(&mut self, stage: &'static str, done: usize, of: usize, message: &[String]) {
        let wide = |number: usize| u64::try_from(number).expect("a count fits");
        let bar = self.stage(stage);
        bar.set_length(wide(of));
        bar.set_position(wide(done));
        let parts: Vec<&str> = message.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        bar.set_message(parts.join(", "));
    }

    fn stage(&mut self, stage: &'static str) -> &ProgressBar {
        let at = self.all.iter().position(|(name, _)| *name == stage).unwrap_or_else(|| self.begin(stage));
        &self.all[at].1
    }

    /// Puts a bar below those there are, which move no more.
    fn begin(&mut self, stage: &'static str) -> usize {
        if let Some((_, before)) = self.all.last() {
            before.disable_steady_tick();
            before.abandon();
        }
        let bar = self.screen.bars().add(ProgressBar::no_length());
        let style = "{prefix:>12} [{bar:24}] {human_pos}/{human_len} {elapsed} {wide_msg}";
        let style = ProgressStyle::with_template(style).expect("the template is well-formed");
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(stage);
        bar.enable_steady_tick(TICK);
        self.all.push((stage, bar));
        self.all.len() - 1
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for (_, bar) in &self.all {
            bar.disable_steady_tick();
            bar.finish_and_clear();
        }
    }
}

fn some(number: usize, what: &str) -> String {
    if number == 0 { String::new() } else { format!("{number} {what}") }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    #[test]
    fn there_is_a_bar_for_each_stage_and_none_when_all_is_done() {
        let terminal = InMemoryTerm::new(24, 80);
        let screen = Screen::on(terminal.clone());
        let mut bars = Bars::new(screen.clone());
        bars.tell(&Progress::StartUp { tasks: 4, ended: 1, failed: 1, phase: Some("ready".into()) });
        bars.tell(&Progress::Registration { agents: 10, registered: 5 });
        bars.tell(&Progress::Tasks { submitted: 2_000, completed: 499, failed: 1, executing: 7 });
        bars.all.iter().for_each(|(_, bar)| bar.force_draw());
        let drawn = terminal.contents();
        let expected = [
            ["start-up [======>", "] 1/4 ", "s ready, 1 failed"],
            ["registration [============>", "] 5/10 ", "s"],
            ["tasks [======>", "] 500/2,000 ", "s 7 in work, 1 not completed"],
        ];
        assert_eq!(drawn.lines().count(), expected.len(), "{drawn}");
        for (line, parts) in drawn.lines().zip(expected) {
            assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} in {drawn}");
            assert!(line.len() <= 80, "{drawn}");
        }
        drop(bars);
        screen.close();
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn a_closed_screen_stays_clear_whoever_draws() {
        let terminal = InMemoryTerm::new(24, 80);
        let screen = Screen::on(terminal.clone());
        let mut bars = Bars::new(screen.clone());
        bars.tell(&Progress::Registration { agents: 10, registered: 5 });
        screen.close();
        bars.tell(&Progress::Registration { agents: 10, registered: 6 });
        bars.tell(&Progress::Tasks { submitted: 1, completed: 0, failed: 0, executing: 1 });
        bars.all.iter().for_each(|(_, bar)| bar.force_draw());
        assert_eq!(terminal.contents(), "");
    }
}
