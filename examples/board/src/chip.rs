//! An emulated chip.

use core::ffi::CStr;

use semihosting::fs::File;
use semihosting::io::ErrorKind;
pub use semihosting::io::{Error, Read};
pub use semihosting::println;
use semihosting::process;

/// Runs a program with the command line behind the debugger, and ends the emulation.
pub fn run(program: fn(&str) -> Result<(), Error>) -> ! {
    let arguments = semihosting::experimental::env::args::<1024>();
    let done = arguments.and_then(|arguments| {
        let mut words = (&arguments).into_iter().skip(1).flatten();
        program(words.next().unwrap_or_default())
    });
    match done {
        Ok(()) => process::exit(0),
        Err(error) => {
            println!("error: {error}");
            process::exit(1)
        }
    }
}

/// Opens a file for reading.
pub(crate) fn open(path: &str) -> Result<File, Error> {
    let mut terminated = [0; 256];
    match terminated.get_mut(..path.len()) {
        Some(start) => start.copy_from_slice(path.as_bytes()),
        None => return Err(ErrorKind::InvalidFilename.into()),
    }
    let path = CStr::from_bytes_until_nul(&terminated).map_err(|_| ErrorKind::InvalidFilename)?;
    File::open(path)
}
