//! The kernels that mcuopt-rt chooses compute what their definitions say, on emulated chips with and without the DSP
//! instructions, at any alignment, however they are compiled.

use mcuopt_tests::board::Board;
use mcuopt_tests::kernels::{self, Build};
use mcuopt_tests::skip;

#[track_caller]
fn on(board: Board, builds: &[Build]) {
    if !board.is_present() {
        skip::note_unless_ci(&format!("kernels on an emulated {board}"), "QEMU is not installed");
        return;
    }
    for build in builds {
        if let Err(failure) = kernels::run(board, *build, &[]) {
            panic!("{failure}\n`cargo run -p mcuopt-tests --bin kernels {board} SUITE NUMBER` runs one case again");
        }
    }
}

#[test]
fn on_cortex_m4() {
    on(Board::CortexM4, &Build::ALL);
}

/// It runs the very programs of the Cortex-M4.
#[test]
fn on_cortex_m7() {
    on(Board::CortexM7, &[Build::Fast]);
}

#[test]
fn on_cortex_m33() {
    on(Board::CortexM33, &Build::ALL);
}

/// Without the DSP instructions.
#[test]
fn on_cortex_m3() {
    on(Board::CortexM3, &Build::ALL);
}
