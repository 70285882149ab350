//! [`Exit`]: how the command ends, in numbers that scripts can rely on.

use std::process::ExitCode;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All well.
    Well = 0,
    /// The run ended, but a start-up task or a task failed, or the ledger does not balance.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The manifest is faulty, or the journal is damaged.
    Faulty = 3,
    /// A file could not be read or written.
    Io = 4,
    /// A benchmark misses a claim.
    Missed = 5,
    /// The run was interrupted by ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// All of them with their meaning, as `--help` and `docs/exit-codes.md` list them.
    pub const ALL: [(Exit, &'static str); 7] = [
        (Exit::Well, "all well"),
        (Exit::Failed, "the run ended, but a start-up task or a task failed, or the ledger does not balance"),
        (Exit::Usage, "the command line is wrong"),
        (Exit::Faulty, "the manifest is faulty, or the journal is damaged"),
        (Exit::Io, "a file could not be read or written"),
        (Exit::Missed, "a benchmark misses a claim"),
        (Exit::Interrupted, "the run was interrupted by ctrl-C"),
    ];

    /// The number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The paragraph that ends `--help`.
    pub fn help() -> String {
        let rows = Self::ALL.iter().map(|(exit, meaning)| format!("  {:>3}  {meaning}\n", exit.number()));
        format!("Exit codes:\n{}", rows.collect::<String>())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_exit_codes_lists_what_the_command_uses() {
        let page = include_str!("../../docs/exit-codes.md");
        let rows: Vec<&str> =
            page.lines().filter(|line| line.starts_with("| ") && !line.contains("meaning")).collect();
        let listed = Exit::ALL.map(|(exit, meaning)| format!("| {} | {meaning} |", exit.number()));
        assert_eq!(rows.iter().filter(|row| !row.contains("---")).copied().collect::<Vec<_>>(), listed);
    }
}
