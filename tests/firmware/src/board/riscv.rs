//! RISC-V boards.

use core::ptr::addr_of_mut;

use riscv_rt::{TrapFrame, entry};

#[entry]
fn main() -> ! {
    // SAFETY: the runtime calls this function once.
    unsafe { super::semihosted::main() }
}

/// Ends the emulation, which would hang otherwise.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception_handler(_: &TrapFrame) -> ! {
    semihosting::process::exit(3)
}

unsafe extern "C" {
    static mut __estack: u32;
}

/// The lowest word that the stack may use.
pub fn stack_limit() -> *mut u32 {
    addr_of_mut!(__estack)
}
