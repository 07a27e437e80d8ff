//! What programs for the emulated boards have in common: where they start, what a fault does, and, in `build.rs`, the
//! memory layout. The linker's script is for a program's own build script to ask for: `-Tlink.x`.

#![no_std]

#[cfg(target_arch = "arm")]
mod cortex_m;
#[cfg(target_arch = "arm")]
pub use cortex_m::stack_limit;

#[cfg(target_arch = "riscv32")]
mod riscv;
#[cfg(target_arch = "riscv32")]
pub use riscv::stack_limit;

/// Makes an `unsafe fn() -> !` the one that the board starts. It may rely on being called once.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        /// By this name the runtimes of all architectures know it.
        #[unsafe(export_name = "main")]
        extern "C" fn start() -> ! {
            // SAFETY: the runtime comes here once, and nobody else has a name for it.
            unsafe { $main() }
        }
    };
}

/// Ends the emulation, which would hang otherwise. `place` is the instruction at fault.
#[cfg(target_os = "none")]
fn fault(place: usize) -> ! {
    if cfg!(feature = "explain") {
        panic!("a fault at {place:#010x}");
    }
    semihosting::process::exit(3)
}
