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

    /// Whether it counts its cycles; others have a timer of 24 bits.
    pub fn has_cycle_counter(self) -> bool {
        self != Core::CortexM0Plus
    }

    /// Whether it computes with float32 in hardware.
    pub fn has_fpu(self) -> bool {
        self.arch() == Arch::Dsp
    }
}

impl Core {
    /// Which of the cycle models of `profile/mcount.c` is the core's, and the factor from its cycles to the core's.
    ///
    /// Arm publishes no cycle counts for the pipelines of the Cortex-M7, M33 and M55. They run the instructions of the
    /// Cortex-M4 faster by about as much as they run CoreMark faster: 3.42 per MHz on the M4, 5.01 on the M7, 4.02 on the
    /// M33, 4.20 on the M55, by Arm's own comparison of its processors.
    pub(crate) fn cycle_model(self) -> (&'static str, f64) {
        match self {
            Core::CortexM0Plus => ("m0plus", 1.0),
            Core::CortexM3 => ("m3", 1.0),
            Core::CortexM4 => ("m4", 1.0),
            Core::CortexM7 => ("m4", 3.42 / 5.01),
            Core::CortexM33 => ("m4", 3.42 / 4.02),
            Core::CortexM55 => ("m4", 3.42 / 4.20),
            Core::Riscv32imc => ("rv32", 1.0),
        }
    }
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
