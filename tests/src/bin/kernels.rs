//! Compares the kernels with their definitions on emulated chips: `kernels [BOARD [SUITE [FIRST [COUNT]]]]`.
//!
//! Without arguments, everything that the tests run. A failure says its board, suite and number; these as arguments
//! run that case alone. With a count, a suite goes on for longer than in the tests.

use std::env;
use std::process::ExitCode;

use mcuopt_tests::board::Board;
use mcuopt_tests::kernels::{self, Build};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let boards = match arguments.first() {
        None => kernels::BOARDS.to_vec(),
        Some(name) => vec![Board::named(name)],
    };
    let mut status = ExitCode::SUCCESS;
    for board in boards {
        for build in Build::ALL {
            println!("== {board}, {build:?}");
            match kernels::run(board, build, arguments.get(1..).unwrap_or_default()) {
                Ok(said) => print!("{said}"),
                Err(said) => {
                    status = ExitCode::FAILURE;
                    println!("{said}");
                }
            }
        }
    }
    status
}
