//! RISC-V boards.

use core::arch::asm;
use core::ptr::addr_of_mut;

use riscv_rt::TrapFrame;

#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception_handler(_: &TrapFrame) -> ! {
    let place;
    // SAFETY: reads a register that holds the address of the instruction.
    unsafe { asm!("csrr {}, mepc", out(reg) place, options(nomem, nostack, preserves_flags)) };
    crate::fault(place)
}

unsafe extern "C" {
    static mut __estack: u32;
}

/// The lowest word that the stack may use.
pub fn stack_limit() -> *mut u32 {
    addr_of_mut!(__estack)
}
