//! The machine that builds: files of the working directory.

use std::ffi::CStr;
use std::fs::File;
pub use std::io::{Error, Read, Write};

use crate::Chosen;

/// Runs the network.
pub fn main() -> Result<(), Error> {
    crate::drive::run(Box::new(Chosen::new()).as_mut())
}

/// Opens a file for reading.
pub fn open(name: &CStr) -> Result<File, Error> {
    File::open(path(name))
}

/// Creates or empties a file.
pub fn create(name: &CStr) -> Result<File, Error> {
    File::create(path(name))
}

fn path(name: &CStr) -> &str {
    name.to_str().unwrap_or_default()
}
