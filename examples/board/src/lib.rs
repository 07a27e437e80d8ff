//! Where an example runs, with one name for what differs: on this computer with files and command line as they are, and
//! on an emulated chip, whose files and command line are those of the computer behind the debugger (semihosting).

#![cfg_attr(target_os = "none", no_std)]

mod count;
mod memory;

#[cfg(target_os = "none")]
mod chip;
#[cfg(not(target_os = "none"))]
mod computer;

#[cfg(target_os = "none")]
use chip as place;
#[cfg(not(target_os = "none"))]
use computer as place;

pub use place::{Error, println, run};

pub use count::{Checksum, Share, Tally, best};
pub use memory::report;

#[cfg(target_arch = "arm")]
#[doc(hidden)]
pub use cortex_m_rt::entry;
#[cfg(target_arch = "riscv32")]
#[doc(hidden)]
pub use riscv_rt::entry;

/// Makes a function the program: it is given the command line, a file's name for instance.
#[macro_export]
macro_rules! program {
    ($program:path) => {
        #[cfg(not(target_os = "none"))]
        fn main() -> std::process::ExitCode {
            $crate::run($program)
        }

        #[cfg(target_os = "none")]
        #[$crate::entry]
        fn main() -> ! {
            $crate::run($program)
        }
    };
}

/// Reads a file of records of `N` bytes, one after the other.
pub fn records<const N: usize>(path: &str, mut take: impl FnMut(&[u8; N])) -> Result<(), Error> {
    use place::Read as _;

    let mut file = place::open(path)?;
    let mut record = [0; N];
    for _ in 0..file.metadata()?.len() / N as u64 {
        file.read_exact(&mut record)?;
        take(&record);
    }
    Ok(())
}
