//! Files through the debugger.

use core::ffi::CStr;
use core::ptr::addr_of_mut;

use semihosting::fs::File;
pub use semihosting::io::{Error, Read, Write};
use semihosting::process;

use crate::Chosen;

mcuopt_test_board::program!(main);

/// Opens a file for reading.
pub fn open(name: &CStr) -> Result<File, Error> {
    File::open(name)
}

/// Creates or empties a file.
pub fn create(name: &CStr) -> Result<File, Error> {
    File::create(name)
}

/// Runs the network and ends the emulation.
///
/// # Safety
/// To be called once: the network's memory is a static.
unsafe fn main() -> ! {
    static mut NETWORK: Chosen = Chosen::new();
    // SAFETY: nobody else can name the static, and the caller promises to come once.
    let network = unsafe { &mut *addr_of_mut!(NETWORK) };
    match crate::drive::run(network) {
        Ok(()) => process::exit(0),
        Err(_) => process::exit(2),
    }
}
