//! `tests/kernels`: the kernels that mcuopt-rt chooses for a chip, compared with their definitions on the chip.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::board::Board;
use crate::folder;

/// How the firmware is compiled: no result may depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// opt-level 3, as one unit with link-time optimisation.
    Fast,
    /// opt-level "s", without link-time optimisation.
    Small,
}

impl Build {
    /// Both.
    pub const ALL: [Build; 2] = [Build::Fast, Build::Small];

    fn profile(self) -> &'static str {
        match self {
            Build::Fast => "release",
            Build::Small => "small",
        }
    }
}

/// The boards of the tests: with the DSP instructions, and, as a control, without.
pub const BOARDS: [Board; 4] = [Board::CortexM4, Board::CortexM7, Board::CortexM33, Board::CortexM3];

/// Builds the firmware for a board, runs it and returns what it says.
///
/// `arguments` are the firmware's: none for all cases, or `[suite, first case, number of cases]`.
///
/// # Errors
/// What it says, if a case fails.
///
/// # Panics
/// If the firmware does not build.
pub fn run(board: Board, build: Build, arguments: &[String]) -> Result<String, String> {
    let program = program(board, build);
    let folder = folder::output(&format!("kernels/{board}-{}", build.profile()));
    board.try_run(&program, &folder, arguments, None).map_err(|failure| format!("{board}, {build:?}: {failure}"))
}

fn program(board: Board, build: Build) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let target = folder::output("kernels/target");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--target", board.target(), "--profile", build.profile()]);
    cargo.current_dir(sources).env("CARGO_TARGET_DIR", &target);
    // What is meant for the workspace on the host is not for a chip.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
    let output = cargo.output().expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the kernels' firmware does not build for {board}:\n{said}");
    target.join(board.target()).join(build.profile()).join("mcuopt-test-kernels")
}
