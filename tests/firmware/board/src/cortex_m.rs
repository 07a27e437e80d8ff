//! Cortex-M boards.

use core::ptr::addr_of_mut;

use cortex_m_rt::{ExceptionFrame, exception};

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    crate::fault(frame.pc() as usize)
}

unsafe extern "C" {
    static mut _stack_end: u32;
}

/// The lowest word that the stack may use.
pub fn stack_limit() -> *mut u32 {
    addr_of_mut!(_stack_end)
}
