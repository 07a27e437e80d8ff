//! How much stack a call needs: the free stack is painted before it, and looked at after it.

#[cfg(target_os = "none")]
use core::ptr::{read_volatile, write_volatile};

/// The free stack below a frame, painted.
pub struct Paint {
    #[cfg(target_os = "none")]
    bottom: *mut u32,
    #[cfg(target_os = "none")]
    top: *mut u32,
}

#[cfg(target_os = "none")]
impl Paint {
    const COLOUR: u32 = 0x5AA5_C33C;
    /// More than any inference may need: bytes.
    const MOST: usize = 256 * 1024;

    /// Paints below the caller's frame.
    #[inline(always)]
    pub fn below_here() -> Self {
        let top = stack_pointer();
        let bottom = top.wrapping_byte_sub(Self::MOST).max(mcuopt_test_board::stack_limit());
        let mut word = bottom;
        while word < top {
            // SAFETY: an aligned word between the end of the stack's region and the stack pointer: nothing lives
            // there while no function is called, and no interrupt is enabled.
            unsafe { write_volatile(word, Self::COLOUR) };
            word = word.wrapping_add(1);
        }
        Paint { bottom, top }
    }

    /// How many bytes of the paint are covered by now.
    pub fn depth(&self) -> usize {
        let mut word = self.bottom;
        // SAFETY: as in `below_here`; reading what calls have left there does no harm.
        while word < self.top && unsafe { read_volatile(word) } == Self::COLOUR {
            word = word.wrapping_add(1);
        }
        self.top as usize - word as usize
    }
}

#[cfg(target_os = "none")]
#[inline(always)]
fn stack_pointer() -> *mut u32 {
    let pointer;
    // SAFETY: copies a register.
    #[cfg(target_arch = "arm")]
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: copies a register.
    #[cfg(target_arch = "riscv32")]
    unsafe {
        core::arch::asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// An operating system's stack is not ours to paint: no figure on the host.
#[cfg(not(target_os = "none"))]
impl Paint {
    pub fn below_here() -> Self {
        Paint {}
    }

    pub fn depth(&self) -> usize {
        0
    }
}
