//! [`Progress`]: how far a benchmark is, as a bar on a terminal and as plain lines otherwise.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{bench::Step, cli::screen::Screen};

/// How often the bar shows that time passes.
const TICK: Duration = Duration::from_millis(250);

/// How far a benchmark is.
#[derive(Debug)]
pub(super) enum Progress {
    /// A bar, taken off the screen when this is dropped.
    Bar(ProgressBar),
    /// A line for each step.
    Lines(Screen),
    /// Nobody wants to know.
    Nothing,
}

impl Progress {
    pub(super) fn new(screen: &Screen, watched: bool, quiet: bool) -> Self {
        if quiet {
            return Self::Nothing;
        }
        if !watched {
            return Self::Lines(screen.clone());
        }
        let bar = screen.bars().add(ProgressBar::no_length());
        let style = "[{bar:24}] {human_pos}/{human_len} {elapsed} {wide_msg}";
        let style = ProgressStyle::with_template(style).expect("the template is well-formed");
        bar.set_style(style.progress_chars("=> "));
        bar.enable_steady_tick(TICK);
        Self::Bar(bar)
    }

    pub(super) fn tell(&mut self, step: &Step) {
        match self {
            Self::Bar(bar) => {
                let wide = |number: usize| u64::try_from(number).expect("a count fits");
                bar.set_length(wide(step.of));
                bar.set_position(wide(step.done));
                bar.set_message(step.doing.clone());
            }
            Self::Lines(screen) => screen.line(&format!("[{:2}/{}] {}", step.done + 1, step.of, step.doing)),
            Self::Nothing => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.disable_steady_tick();
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    #[test]
    fn there_is_a_bar_while_it_lasts_and_none_afterwards() {
        let terminal = InMemoryTerm::new(24, 80);
        let screen = Screen::on(terminal.clone());
        let mut progress = Progress::new(&screen, true, false);
        progress.tell(&Step { done: 2, of: 8, doing: "virtual time, phalanx".to_owned() });
        if let Progress::Bar(bar) = &progress {
            bar.force_draw();
        }
        let drawn = terminal.contents();
        assert!(drawn.contains("] 2/8 ") && drawn.ends_with("s virtual time, phalanx"), "{drawn}");
        drop(progress);
        screen.close();
        assert_eq!(terminal.contents(), "");
    }
}
