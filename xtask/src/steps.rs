//! The steps of `test`, `ci` and `tidy`: each named, run, timed and counted, with one closing line.
//!
//! **Invariant.** The closing line says "passed" only when every step passed, and a step of tests in which no test
//! ran has not passed.

use std::{
    ffi::OsString,
    fmt,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail, ensure};

use crate::{readme, tidy};

/// One thing to check.
pub(crate) struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    /// A cargo command that must exit with 0.
    Cargo { root: PathBuf, words: Vec<&'static str>, environment: Vec<(&'static str, &'static str)> },
    /// A cargo command that runs tests; they are counted.
    Tests { root: PathBuf, words: Vec<&'static str> },
    /// The project's own rules.
    Tidy { root: PathBuf },
    /// The set-up commands of README.md.
    Readme { root: PathBuf },
}

/// The package that compares phalanx with its peers, and is built by `ci` alone.
const PEERS: &str = "peers";

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Counts {
    /// Adds what a closing line of the test harness says; other lines add nothing.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tests passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

/// `cargo test` for all but the package that compares peers: they would be built first, and the features that they turn on
/// in the dependencies of all could hide one that is missing here.
fn workspace(what: &[&'static str]) -> Vec<&'static str> {
    ["test", "--workspace", "--exclude", PEERS].iter().chain(what).copied().collect()
}

fn tests(root: &Path) -> [Step; 3] {
    let root = root.to_path_buf();
    [
        Step {
            name: "tests",
            work: Work::Tests {
                root: root.clone(),
                words: workspace(&["--lib", "--bins", "--tests", "--examples"]),
            },
        },
        Step {
            name: "benches compile",
            work: Work::Cargo {
                root: root.clone(),
                words: workspace(&["--benches", "--no-run"]),
                environment: vec![],
            },
        },
        Step { name: "doc tests", work: Work::Tests { root, words: workspace(&["--doc"]) } },
    ]
}

/// The steps of `cargo xtask tidy`.
pub(crate) fn tidy(root: &Path) -> Vec<Step> {
    vec![Step { name: "tidy", work: Work::Tidy { root: root.to_path_buf() } }]
}

/// The steps of `cargo xtask test`.
pub(crate) fn test(root: &Path) -> Vec<Step> {
    tests(root).into_iter().chain(tidy(root)).collect()
}

/// The steps of `cargo xtask ci`, the quick ones first.
pub(crate) fn ci(root: &Path) -> Vec<Step> {
    let cargo = |name, words, environment| Step {
        name,
        work: Work::Cargo { root: root.to_path_buf(), words, environment },
    };
    let mut steps = vec![cargo("format", vec!["fmt", "--all", "--check"], vec![])];
    steps.extend(tidy(root));
    steps.push(cargo(
        "lints",
        vec!["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        vec![],
    ));
    steps.push(cargo("docs", vec!["doc", "--workspace", "--no-deps"], vec![("RUSTDOCFLAGS", "-D warnings")]));
    steps.extend(tests(root));
    steps.push(Step {
        name: "peers",
        work: Work::Tests { root: root.to_path_buf(), words: vec!["test", "-p", PEERS] },
    });
    steps.push(Step { name: "README commands", work: Work::Readme { root: root.to_path_buf() } });
    steps
}

/// Runs the steps in order, prints each with its time, then one closing line; true when all passed.
pub(crate) fn run(title: &str, steps: Vec<Step>, keep_going: bool) -> bool {
    let start = Instant::now();
    let all = steps.len();
    let mut counts = Counts::default();
    let mut failed = Vec::new();
    let mut done = 0;
    for step in steps {
        println!("== {title}: {}", step.name);
        let began = Instant::now();
        let result = step.work.run(keep_going, &mut counts);
        let took = began.elapsed().as_secs_f64();
        done += 1;
        match result {
            Ok(()) => println!("== {title}: {} passed in {took:.1} s", step.name),
            Err(fault) => {
                println!("== {title}: {} FAILED after {took:.1} s: {fault:#}", step.name);
                failed.push(step.name);
                if !keep_going {
                    break;
                }
            }
        }
    }
    println!("{}", closing(title, all, done, &failed, counts, start.elapsed().as_secs_f64()));
    failed.is_empty()
}

/// The closing line.
fn closing(title: &str, all: usize, done: usize, failed: &[&str], counts: Counts, took: f64) -> String {
    let tests = if counts == Counts::default() { String::new() } else { format!("; {counts}") };
    if failed.is_empty() {
        return format!("cargo xtask {title}: passed, {all} of {all} steps{tests}; {took:.1} s");
    }
    let skipped = match all - done {
        0 => String::new(),
        skipped => format!(", {skipped} not run (use --keep-going to run them all the same)"),
    };
    format!("cargo xtask {title}: FAILED in {}{skipped}{tests}; {took:.1} s", failed.join(", "))
}

impl Work {
    fn run(self, keep_going: bool, counts: &mut Counts) -> anyhow::Result<()> {
        match self {
            Self::Cargo { root, words, environment } => {
                let mut command = cargo(&root);
                command.args(&words).envs(environment.iter().copied());
                let set = environment.iter().map(|(name, value)| format!("{name}=\"{value}\""));
                let shown: Vec<String> = set.chain(["cargo".to_owned()]).collect();
                println!("   {} {}", shown.join(" "), words.join(" "));
                succeed(&mut command).with_context(|| missing_part(&words))
            }
            Self::Tests { root, mut words } => {
                if keep_going {
                    words.push("--no-fail-fast");
                }
                println!("   cargo {}", words.join(" "));
                let mut here = Counts::default();
                let result = counted(cargo(&root).args(&words), &mut here);
                counts.passed += here.passed;
                counts.failed += here.failed;
                counts.ignored += here.ignored;
                result?;
                ensure!(words.contains(&"--doc") || here.passed > 0, "no test ran");
                Ok(())
            }
            Self::Tidy { root } => tidy::run(&root),
            Self::Readme { root } => {
                let text = std::fs::read_to_string(root.join("README.md")).ok();
                let command = readme::main_job(text.as_deref()).map_err(anyhow::Error::msg)?;
                println!("   {command}");
                let mut shell = clean(Command::new("sh"), &root);
                succeed(shell.arg("-c").arg(&command)).context("the main job of README.md")
            }
        }
    }
}

/// What to do when a part of the toolchain may be absent.
fn missing_part(words: &[&str]) -> String {
    match words.first() {
        Some(&"fmt") => "run `cargo fmt --all` (needs `rustup component add rustfmt`)".to_owned(),
        Some(&"clippy") => "mend the lints above (needs `rustup component add clippy`)".to_owned(),
        _ => format!("cargo {}", words.join(" ")),
    }
}

/// A cargo command run in `root`.
fn cargo(root: &Path) -> Command {
    clean(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))), root)
}

/// A command as a shell would start it: without what cargo told this program about its own package, which would
/// otherwise make build scripts run again.
fn clean(mut command: Command, root: &Path) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// Runs a command that must exit with 0.
fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("`{program}` does not start"))?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Runs a command of tests, passes its output on and counts the tests.
fn counted(command: &mut Command, counts: &mut Counts) -> anyhow::Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cargo does not start")?;
    let output = child.stdout.take().expect("the output was piped just above");
    let mut lines = BufReader::new(output);
    let mut stdout = std::io::stdout();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        stdout.write_all(&line)?;
        counts.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed tests, {status}", counts.failed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_from_the_closing_lines_of_the_harness_alone() {
        let mut counts = Counts::default();
        counts.read(
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s",
        );
        counts.read("test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        counts.read("test a_test ... ok");
        counts.read("9 passed");
        assert_eq!(counts, Counts { passed: 12, failed: 2, ignored: 1 });
    }

    #[test]
    fn the_closing_line_says_what_failed_and_what_was_not_run() {
        let counts = Counts { passed: 3, failed: 1, ignored: 0 };
        assert_eq!(
            closing("ci", 4, 2, &["tests"], counts, 1.25),
            "cargo xtask ci: FAILED in tests, 2 not run (use --keep-going to run them all the same); \
             3 tests passed, 1 failed, 0 ignored; 1.2 s"
        );
        assert_eq!(
            closing("tidy", 1, 1, &[], Counts::default(), 0.5),
            "cargo xtask tidy: passed, 1 of 1 steps; 0.5 s"
        );
    }

    #[test]
    fn every_step_of_test_is_a_step_of_ci() {
        let root = Path::new(".");
        let names = |steps: Vec<Step>| steps.into_iter().map(|step| step.name).collect::<Vec<_>>();
        let ci = names(ci(root));
        assert_eq!(
            ci,
            [
                "format",
                "tidy",
                "lints",
                "docs",
                "tests",
                "benches compile",
                "doc tests",
                "peers",
                "README commands"
            ]
        );
        assert!(names(test(root)).iter().all(|name| ci.contains(name)));
    }

    #[test]
    fn a_command_that_fails_is_a_fault_with_its_status() {
        let mut command = clean(Command::new("sh"), Path::new("."));
        let fault = succeed(command.arg("-c").arg("exit 3")).unwrap_err();
        assert_eq!(fault.to_string(), "exit status: 3");
    }
}
