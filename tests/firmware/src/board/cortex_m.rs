//! Cortex-M boards.

use core::ptr::addr_of_mut;

use cortex_m_rt::{ExceptionFrame, entry, exception};

#[entry]
fn main() -> ! {
    // SAFETY: the runtime calls this function once.
    unsafe { super::semihosted::main() }
}

/// Ends the emulation, which would hang otherwise.
#[exception]
unsafe fn HardFault(_: &ExceptionFrame) -> ! {
    semihosting::process::exit(3)
}

unsafe extern "C" {
    static mut _stack_end: u32;
}

/// The lowest word that the stack may use.
pub fn stack_limit() -> *mut u32 {
    addr_of_mut!(_stack_end)
}
