//! The command `phalanx`.
use std::process::ExitCode;

fn main() -> ExitCode {
    phalanx::cli::main()
}
