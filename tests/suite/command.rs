//! What the tests of `phalanx run` have in common: a folder of their own with manifests in it, and the command in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A folder of its own with manifests.
pub(crate) struct Folder(TempDir);

/// How a command ended: its exit code, standard output and standard error.
pub(crate) type Ended = (Option<i32>, String, String);

/// Two quick tasks.
pub(crate) const NAPS: &str = r#"{
    "name": "naps", "seed": 3, "arbiters": 1,
    "startup": {"tasks": [{"id": "warm-up", "do": {"sleep": {"for": "1ms"}}}]},
    "agents": [{"kind": "runner", "count": 2}],
    "tasks": [{"id": "nap/{index}", "for_each": {"count": 4}, "do": {"sleep": {"for": "1ms"}}}]
}"#;

/// A task that fails.
pub(crate) const FAILING: &str = r#"{
    "name": "failing", "agents": [{"kind": "runner"}],
    "tasks": [{"id": "no", "retries": 0, "do": {"run": {"program": "sh", "arguments": ["-c", "exit 3"]}}}]
}"#;

/// A task that takes an hour.
pub(crate) const LONG: &str = r#"{
    "name": "long", "arbiters": 1, "agents": [{"kind": "runner"}],
    "tasks": [{"id": "nap", "timeout": "2h", "do": {"sleep": {"for": "1h"}}}]
}"#;

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in [("naps.json", NAPS), ("failing.json", FAILING), ("long.json", LONG)] {
            fs::write(folder.path(name), text).unwrap();
        }
        folder
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names in it that are no manifests of [`Folder::new`].
    pub(crate) fn added(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !["naps.json", "failing.json", "long.json"].contains(&&**name));
        names.sort();
        names
    }

    /// `phalanx run` with these arguments, ready to start.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phalanx"));
        command.arg("run").args(arguments).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for variable in ["RUST_LOG", "RUST_BACKTRACE", "NO_COLOR"] {
            command.env_remove(variable);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).output().unwrap())
    }
}

pub(crate) fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}
