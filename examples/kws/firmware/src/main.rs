//! Says which word it hears in clips of one second, and what that costs.

#![no_std]
#![no_main]

mod clips;
#[cfg(feature = "mps2-an386")]
mod files;
mod memory;
mod spotter;
#[cfg(feature = "mps2-an386")]
mod test_set;
mod wav;

use cortex_m_rt::entry;
use semihosting::{io, println, process};
use static_cell::ConstStaticCell;

use spotter::Spotter;

static SPOTTER: ConstStaticCell<Spotter> = ConstStaticCell::new(Spotter::new());

#[entry]
fn main() -> ! {
    let spotter = SPOTTER.take();
    memory::report();
    let done = listen(spotter);
    println!("stack   {:7} bytes at the deepest", memory::deepest_stack());
    match done {
        Ok(()) => process::exit(0),
        Err(error) => {
            println!("error: {error}");
            process::exit(1)
        }
    }
}

/// `kws clip.wav...` or `kws --test-set file`
#[cfg(feature = "mps2-an386")]
fn listen(spotter: &mut Spotter) -> io::Result<()> {
    let arguments = semihosting::experimental::env::args::<1024>()?;
    let mut arguments = (&arguments).into_iter().skip(1).flatten().peekable();
    if arguments.next_if_eq(&"--test-set").is_some() {
        return match arguments.next() {
            Some(path) => test_set::measure(spotter, path),
            None => Err(io::ErrorKind::InvalidInput.into()),
        };
    }
    arguments.try_for_each(|path| clips::from_file(spotter, path))
}

#[cfg(not(feature = "mps2-an386"))]
fn listen(spotter: &mut Spotter) -> io::Result<()> {
    clips::built_in(spotter)
}
