//! Files of the computer on the other side of the debugger.

use core::ffi::CStr;

use semihosting::fs::File;
use semihosting::io::{self, ErrorKind};

pub fn open(path: &str) -> io::Result<File> {
    let mut terminated = [0; 256];
    match terminated.get_mut(..path.len()) {
        Some(start) => start.copy_from_slice(path.as_bytes()),
        None => return Err(ErrorKind::InvalidFilename.into()),
    }
    let path = CStr::from_bytes_until_nul(&terminated).map_err(|_| ErrorKind::InvalidFilename)?;
    File::open(path)
}
