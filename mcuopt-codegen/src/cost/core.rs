//! The processor cores that costs are modelled for.

use std::fmt;

use mcuopt_rt::v0::Arch;

/// A processor core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Core {
    CortexM0Plus,
    CortexM3,
    CortexM4,
    CortexM7,
    CortexM33,
    CortexM55,
    Riscv32imc,
}

impl Core {
    /// All of them.
    pub const ALL: [Core; 7] = [
        Core::CortexM0Plus,
        Core::CortexM3,
        Core::CortexM4,
        Core::CortexM7,
        Core::CortexM33,
        Core::CortexM55,
        Core::Riscv32imc,
    ];

    /// The name that options and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Core::CortexM0Plus => "cortex-m0plus",
            Core::CortexM3 => "cortex-m3",
            Core::CortexM4 => "cortex-m4",
            Core::CortexM7 => "cortex-m7",
            Core::CortexM33 => "cortex-m33",
            Core::CortexM55 => "cortex-m55",
            Core::Riscv32imc => "riscv32imc",
        }
    }

    /// The core of a name.
    pub fn of(name: &str) -> Option<Core> {
        Self::ALL.into_iter().find(|core| core.name() == name)
    }

    /// The instruction set that mcuopt-rt chooses its kernels for.
    ///
    /// The Cortex-M55 runs the DSP kernels: its vector instructions are not used.
    pub fn arch(self) -> Arch {
        match self {
            Core::CortexM0Plus | Core::CortexM3 | Core::Riscv32imc => Arch::Portable,
            Core::CortexM4 | Core::CortexM7 | Core::CortexM33 | Core::CortexM55 => Arch::Dsp,
        }
    }

    /// The Rust target that firmware for it is built for: with floating-point registers where nearly all chips with
    /// this core have them.
    pub fn target(self) -> &'static str {
        match self {
            Core::CortexM0Plus => "thumbv6m-none-eabi",
            Core::CortexM3 => "thumbv7m-none-eabi",
            Core::CortexM4 | Core::CortexM7 => "thumbv7em-none-eabihf",
            Core::CortexM33 | Core::CortexM55 => "thumbv8m.main-none-eabihf",
            Core::Riscv32imc => "riscv32imc-unknown-none-elf",
        }
    }

    /// Whether it computes with float32 in hardware.
    pub fn has_fpu(self) -> bool {
        self.arch() == Arch::Dsp
    }
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
