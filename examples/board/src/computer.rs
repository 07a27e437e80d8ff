//! This computer.

use std::env;
use std::fs::File;
pub use std::io::{Error, Read};
pub use std::println;
use std::process::ExitCode;

/// Runs a program with the command line.
pub fn run(program: fn(&str) -> Result<(), Error>) -> ExitCode {
    match program(&env::args().nth(1).unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Opens a file for reading.
pub(crate) fn open(path: &str) -> Result<File, Error> {
    File::open(path)
}
