//! Kernel bodies for the DSP instructions of Armv7E-M and Armv8-M Mainline.

/// `asm!` or `naked_asm!` with the DSP instructions. On Armv8-M they are an extension, and rustc's assembler has to be
/// told of a core that has them.
macro_rules! dsp_asm {
    ($asm:ident: $($rest:tt)*) => {{
        #[cfg(mcuopt_armv8m)]
        core::arch::$asm!(".cpu cortex-m33", $($rest)*);
        #[cfg(not(mcuopt_armv8m))]
        core::arch::$asm!($($rest)*);
    }};
}

pub(crate) mod add;
pub(crate) mod convolution;
pub(crate) mod depthwise;
pub(crate) mod dot;
pub(crate) mod pool;
pub(crate) mod rows;
pub(crate) mod winograd;
