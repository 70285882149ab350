//! [`Console`]: where the command writes, and how it looks there.

use std::io::{self, IsTerminal, Write};

use crate::manifest::{Faults, LoadError, Palette};

use super::Exit;

/// Where the command writes: results to `out`, everything else to `err`.
pub(super) struct Console<'c> {
    pub(super) out: &'c mut dyn Write,
    pub(super) err: &'c mut dyn Write,
    /// The width of the terminal that `err` is, if it is one.
    pub(super) terminal: Option<usize>,
    /// Whether `err` has colours.
    pub(super) palette: Palette,
    /// Whether `out` has colours.
    pub(super) out_palette: Palette,
}

/// The options of every subcommand.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Output {
    /// Write results as JSON to standard output [default: text].
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Say nothing but faults and failures [default: progress and a summary].
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Say more: `-v` logs what happens, `-vv` details [default: warnings, or what `RUST_LOG` says].
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

/// Colours are for terminals, unless `NO_COLOR` is set to something or the terminal is a dumb one.
pub(super) fn palette(is_terminal: bool, no_color: Option<&str>, term: Option<&str>) -> Palette {
    let refused = no_color.is_some_and(|text| !text.is_empty()) || term == Some("dumb");
    if is_terminal && !refused { Palette::Colours } else { Palette::Plain }
}

/// Runs something on the console of this process.
pub(super) fn with_process<T>(run: impl FnOnce(&mut Console<'_>) -> T) -> T {
    const WIDTH: usize = 100;
    let is_terminal = io::stderr().is_terminal();
    let variable = |name| std::env::var(name).ok();
    let (no_color, term) = (variable("NO_COLOR"), variable("TERM"));
    let palette = |is_terminal| palette(is_terminal, no_color.as_deref(), term.as_deref());
    // Neither is locked: other threads write to standard error while the swarm runs.
    run(&mut Console {
        out: &mut io::stdout(),
        err: &mut io::stderr(),
        terminal: is_terminal.then_some(WIDTH),
        palette: palette(is_terminal),
        out_palette: palette(io::stdout().is_terminal()),
    })
}

impl Console<'_> {
    /// Writes a result; a reader that has gone away is not this command's failure.
    pub(super) fn result(&mut self, text: &str) -> Exit {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Exit::Well,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Well,
            Err(error) => {
                self.say(&format!("phalanx: standard output cannot be written: {error}\n"));
                Exit::Io
            }
        }
    }

    /// Writes to the people; nothing can be done if that fails.
    pub(super) fn say(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
    }

    /// Shows why there is no manifest, and says how to end.
    pub(super) fn refuse(&mut self, error: &LoadError, output: Output) -> Exit {
        match error {
            LoadError::Faulty(faults) => {
                self.faults(faults, output);
                Exit::Faulty
            }
            LoadError::Unreadable { .. } | LoadError::Directory { .. } => {
                self.say(&format!("phalanx: {error}\n"));
                Exit::Io
            }
        }
    }

    fn faults(&mut self, faults: &Faults, output: Output) {
        if output.json {
            self.result(&format!("{:#}\n", faults.json()));
        } else if let Some(width) = self.terminal {
            let picture = faults.picture(self.palette, width);
            self.say(&format!("{picture}phalanx: {faults}\n"));
        } else {
            self.say(&faults.plain());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        assert_eq!(palette(true, None, Some("xterm")), Palette::Colours);
        assert_eq!(palette(true, Some(""), None), Palette::Colours);
        assert_eq!(palette(true, Some("1"), None), Palette::Plain);
        assert_eq!(palette(true, None, Some("dumb")), Palette::Plain);
        assert_eq!(palette(false, None, None), Palette::Plain);
    }
}
