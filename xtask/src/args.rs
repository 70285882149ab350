//! The command line of `cargo xtask`.
//!
//! **Invariant.** Whatever is not understood is refused with the mend named; nothing is ignored in silence.

/// What `cargo xtask --help` prints.
const HELP: &str = "\
The project's own checks.

Usage: cargo xtask <COMMAND> [OPTIONS]

Commands:
  test    Build everything and run every test: unit, integration, examples, doc tests and tidy;
          benches are compiled, not run, the comparison with peers not even that. Needs
          nothing but the Rust toolchain.
  ci      Everything a change must pass: format, clippy, docs, tidy, tests, benches, doc tests,
          the tests of the comparison with peers, and the main job of README.md. Needs the toolchain's rustfmt and clippy as well.
  tidy    The project's own rules alone: import rules, forbidden words, file lengths, rust-version,
          licences, invariants and their tests, clocks, commands in the docs, unsafe code.

Options:
  --keep-going    (test, ci) run all steps and all tests, even after a failure
  -h, --help      print this help

Exit codes: 0 all passed, 1 a check failed, 2 the command line was not understood.";

/// One of the checks, with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Every test of the workspace.
    Test {
        /// Go on after a failed step.
        keep_going: bool,
    },
    /// Everything a change must pass.
    Ci {
        /// Go on after a failed step.
        keep_going: bool,
    },
    /// The project's own rules.
    Tidy,
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Print this text.
    Help(&'static str),
    /// Run this command.
    Run(Command),
}

/// The names of the commands, in the order of the help.
pub(crate) const COMMANDS: [&str; 3] = ["test", "ci", "tidy"];

/// Reads the arguments after the program's name.
///
/// # Errors
/// A message naming the first argument that is not understood, and what would be right.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Request, String> {
    let mut command: Option<String> = None;
    let mut keep_going = false;
    for argument in arguments {
        match argument.as_str() {
            "-h" | "--help" | "help" => return Ok(Request::Help(HELP)),
            "--keep-going" => keep_going = true,
            option if option.starts_with('-') => {
                return Err(format!("unknown option `{option}`: use --keep-going or --help"));
            }
            name => match &command {
                None if COMMANDS.contains(&name) => command = Some(argument),
                None => {
                    return Err(format!("unknown command `{name}`: use {}", listed()));
                }
                Some(first) => {
                    return Err(format!("unexpected argument `{name}` after `{first}`: give one command"));
                }
            },
        }
    }
    match command.as_deref() {
        Some("test") => Ok(Request::Run(Command::Test { keep_going })),
        Some("ci") => Ok(Request::Run(Command::Ci { keep_going })),
        Some(_) if keep_going => {
            Err("`tidy` does not take --keep-going: it always applies every rule; leave the option out"
                .into())
        }
        Some(_) => Ok(Request::Run(Command::Tidy)),
        None => Err(format!("no command given: use {}, or --help", listed())),
    }
}

fn listed() -> String {
    let [test, ci, tidy] = COMMANDS;
    format!("`{test}`, `{ci}` or `{tidy}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn each_command_is_read_with_its_options() {
        assert_eq!(of("test"), Ok(Request::Run(Command::Test { keep_going: false })));
        assert_eq!(of("--keep-going test"), Ok(Request::Run(Command::Test { keep_going: true })));
        assert_eq!(of("ci --keep-going"), Ok(Request::Run(Command::Ci { keep_going: true })));
        assert_eq!(of("tidy"), Ok(Request::Run(Command::Tidy)));
        assert_eq!(of("ci --help"), Ok(Request::Help(HELP)));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_the_mend() {
        let refusals = [
            ("", "no command given: use `test`, `ci` or `tidy`, or --help"),
            ("tests", "unknown command `tests`: use `test`, `ci` or `tidy`"),
            ("ci --fast", "unknown option `--fast`: use --keep-going or --help"),
            ("test ci", "unexpected argument `ci` after `test`: give one command"),
            (
                "tidy --keep-going",
                "`tidy` does not take --keep-going: it always applies every rule; leave the option out",
            ),
        ];
        for (line, message) in refusals {
            assert_eq!(of(line), Err(message.to_owned()), "{line:?}");
        }
    }

    #[test]
    fn the_help_names_every_command() {
        for command in COMMANDS {
            assert!(HELP.contains(&format!("\n  {command} ")), "{command}");
        }
    }
}
