//! The project's own checks: `cargo xtask test`, `cargo xtask ci` and `cargo xtask tidy`.
//!
//! ```text
//!   args ──▶ steps ──▶ cargo (tests, benches, docs, clippy, fmt)
//!              ├─────▶ tidy: rules over the files of the project and over `cargo metadata`
//!              └─────▶ readme: the set-up commands README.md promises
//! ```
//!
//! It needs the Rust toolchain and nothing else; `ci` also needs its parts rustfmt and clippy.

mod args;
mod readme;
mod steps;
mod tidy;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use args::{Command, Request};

fn main() -> ExitCode {
    let request = match args::parse(std::env::args().skip(1)) {
        Ok(request) => request,
        Err(fault) => {
            eprintln!("error: {fault}");
            return ExitCode::from(2);
        }
    };
    let root = root();
    let passed = match request {
        Request::Help(text) => {
            println!("{text}");
            true
        }
        Request::Run(Command::Test { keep_going }) => steps::run("test", steps::test(&root), keep_going),
        Request::Run(Command::Ci { keep_going }) => steps::run("ci", steps::ci(&root), keep_going),
        Request::Run(Command::Tidy) => steps::run("tidy", steps::tidy(&root), false),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The root of the workspace: the folder above this package.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package is a folder of the workspace").to_path_buf()
}
