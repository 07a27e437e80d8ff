//! Instructions without effect that no compiler emits. QEMU's plugin `mcuopt-codegen/src/profile/mcount.c` looks for them and counts
//! what runs in between.

/// One marker: `$arm` on Cortex-M, `$riscv` on RISC-V, nothing on the host.
macro_rules! marker {
    ($(#[$doc:meta])* $name:ident: $arm:literal, $riscv:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: the instruction changes no register, flag or memory. That it might touch memory, as far as the
            // compiler knows, keeps the computation between the markers.
            #[cfg(target_arch = "arm")]
            unsafe {
                core::arch::asm!($arm, options(nostack, preserves_flags));
            }
            // SAFETY: as above.
            #[cfg(target_arch = "riscv32")]
            unsafe {
                core::arch::asm!($riscv, options(nostack, preserves_flags));
            }
        }
    };
}

marker! {
    /// Counting begins.
    start: "mov r9, r9", "slti x0, x0, 1"
}
marker! {
    /// Counting ends.
    stop: "mov r10, r10", "slti x0, x0, 2"
}
marker! {
    /// A layer ends.
    #[cfg_attr(not(feature = "laps"), expect(dead_code))]
    lap: "mov r11, r11", "slti x0, x0, 3"
}

/// Marks the end of each layer.
#[cfg(feature = "laps")]
pub struct Laps;

#[cfg(feature = "laps")]
impl mcuopt_rt::Observer for Laps {
    #[inline(always)]
    fn layer(&mut self, _: usize, _: mcuopt_rt::Tensor<'_>) {
        lap();
    }
}
