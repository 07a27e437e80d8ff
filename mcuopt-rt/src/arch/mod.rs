//! The only module with unsafe code: typed views of memory, and kernel bodies for one instruction set.

#![allow(unsafe_code)]

#[cfg(mcuopt_dsp)]
pub(crate) mod dsp;
pub(crate) mod memory;
#[cfg(not(mcuopt_dsp))]
pub(crate) mod scalar;

/// An instruction set that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Arch {
    /// Plain Rust, for every target.
    Portable,
    /// The DSP instructions of Armv7E-M and Armv8-M Mainline: Cortex-M4, M7, M33 and their kin.
    Dsp,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 2] = [Arch::Portable, Arch::Dsp];

    /// The one that this crate is being compiled for.
    pub const CURRENT: Arch = if cfg!(mcuopt_dsp) { Arch::Dsp } else { Arch::Portable };
}
