//! The boards that firmware is generated for.

use crate::cost::Core;

/// A board: what its firmware needs besides the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The name that options use.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// Its core, or that of its cores that runs the firmware.
    pub core: Core,
    /// The Rust target that its firmware is built for.
    pub target: &'static str,
    /// How the firmware is started on it.
    pub host: Host,
    /// How its firmware is put together.
    pub(super) kind: Kind,
    /// The linker's view of its memories; empty where a dependency brings it.
    pub(super) memory: &'static str,
}

/// How firmware gets to run on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// In QEMU.
    Emulator {
        /// The program, such as `qemu-system-arm`.
        program: &'static str,
        /// Its arguments that make it the board.
        machine: &'static [&'static str],
    },
    /// On the board, by `probe-rs run --chip` with this chip's name.
    Probe(&'static str),
    /// On the board, by `espflash flash --monitor`.
    Espflash,
}

/// What firmware is put together of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    CortexM,
    /// With a second-stage boot loader in front.
    Rp2040,
    /// With a block of metadata that the boot ROM looks for.
    Rp2350,
    RiscV,
    Esp,
}

const MPS2: &str = "\
MEMORY
{
  FLASH : ORIGIN = 0x00000000, LENGTH = 4M
  RAM   : ORIGIN = 0x20000000, LENGTH = 4M
}
";

const RP2040: &str = "\
MEMORY
{
  BOOT2 : ORIGIN = 0x10000000, LENGTH = 0x100
  FLASH : ORIGIN = 0x10000100, LENGTH = 2M - 0x100
  RAM   : ORIGIN = 0x20000000, LENGTH = 264K
}
EXTERN(BOOT2_FIRMWARE)
SECTIONS
{
  .boot2 ORIGIN(BOOT2) : { KEEP(*(.boot2)); } > BOOT2
} INSERT BEFORE .text;
";

const RP2350: &str = "\
MEMORY
{
  FLASH : ORIGIN = 0x10000000, LENGTH = 4M
  RAM   : ORIGIN = 0x20000000, LENGTH = 512K
}
SECTIONS
{
  .start_block : ALIGN(4)
  {
    __start_block_addr = .;
    KEEP(*(.start_block));
  } > FLASH
} INSERT AFTER .vector_table;
/* The code comes behind the block. */
_stext = ADDR(.start_block) + SIZEOF(.start_block);
";

const VIRT: &str = "\
MEMORY
{
  FLASH : ORIGIN = 0x80000000, LENGTH = 8M
  RAM   : ORIGIN = 0x80800000, LENGTH = 8M
}
REGION_ALIAS(\"REGION_TEXT\", FLASH);
REGION_ALIAS(\"REGION_RODATA\", FLASH);
REGION_ALIAS(\"REGION_DATA\", RAM);
REGION_ALIAS(\"REGION_BSS\", RAM);
REGION_ALIAS(\"REGION_HEAP\", RAM);
REGION_ALIAS(\"REGION_STACK\", RAM);
";

const GD32VF103: &str = "\
MEMORY
{
  FLASH : ORIGIN = 0x08000000, LENGTH = 128K
  RAM   : ORIGIN = 0x20000000, LENGTH = 32K
}
REGION_ALIAS(\"REGION_TEXT\", FLASH);
REGION_ALIAS(\"REGION_RODATA\", FLASH);
REGION_ALIAS(\"REGION_DATA\", RAM);
REGION_ALIAS(\"REGION_BSS\", RAM);
REGION_ALIAS(\"REGION_HEAP\", RAM);
REGION_ALIAS(\"REGION_STACK\", RAM);
";

macro_rules! memory {
    ($flash:literal, $flash_length:literal, $ram:literal, $ram_length:literal) => {
        concat!(
            "MEMORY\n{\n  FLASH : ORIGIN = ",
            $flash,
            ", LENGTH = ",
            $flash_length,
            "\n  RAM   : ORIGIN = ",
            $ram,
            ", LENGTH = ",
            $ram_length,
            "\n}\n"
        )
    };
}

const fn arm(machine: &'static [&'static str]) -> Host {
    Host::Emulator { program: "qemu-system-arm", machine }
}

/// A board with a Cortex-M.
const fn cortex_m(
    name: &'static str,
    title: &'static str,
    core: Core,
    target: &'static str,
    host: Host,
    memory: &'static str,
) -> Platform {
    Platform { name, title, core, target, host, kind: Kind::CortexM, memory }
}

const V6M: &str = "thumbv6m-none-eabi";
const V7M: &str = "thumbv7m-none-eabi";
const V7EM: &str = "thumbv7em-none-eabihf";
const V8M: &str = "thumbv8m.main-none-eabihf";

impl Platform {
    /// All of them: first those that QEMU emulates.
    pub const ALL: [Platform; 18] = [
        cortex_m(
            "microbit",
            "BBC micro:bit (nRF51822), emulated",
            Core::CortexM0Plus,
            V6M,
            arm(&["-machine", "microbit"]),
            memory!("0x00000000", "256K", "0x20000000", "16K"),
        ),
        // Armv7-M runs programs for Armv6-M, and this board has plenty of memory.
        cortex_m(
            "mps2-an385-v6m",
            "Arm MPS2+ AN385, emulated, with a program for Cortex-M0+",
            Core::CortexM0Plus,
            V6M,
            arm(&["-machine", "mps2-an385"]),
            MPS2,
        ),
        cortex_m(
            "mps2-an385",
            "Arm MPS2+ AN385, emulated",
            Core::CortexM3,
            V7M,
            arm(&["-machine", "mps2-an385"]),
            MPS2,
        ),
        cortex_m(
            "mps2-an386",
            "Arm MPS2+ AN386, emulated",
            Core::CortexM4,
            V7EM,
            arm(&["-machine", "mps2-an386"]),
            MPS2,
        ),
        cortex_m(
            "mps2-an500",
            "Arm MPS2+ AN500, emulated",
            Core::CortexM7,
            V7EM,
            arm(&["-machine", "mps2-an500"]),
            MPS2,
        ),
        cortex_m(
            "mps2-an505",
            "Arm MPS2+ AN505, emulated",
            Core::CortexM33,
            V8M,
            arm(&["-machine", "mps2-an505"]),
            // It boots in the secure world: the secure aliases of its memories.
            memory!("0x10000000", "4M", "0x38000000", "4M"),
        ),
        Platform {
            name: "virt",
            title: "QEMU's RISC-V machine \"virt\" as RV32IMC",
            core: Core::Riscv32imc,
            target: "riscv32imc-unknown-none-elf",
            host: Host::Emulator { program: "qemu-system-riscv32", machine: &["-machine", "virt", "-bios", "none"] },
            kind: Kind::RiscV,
            memory: VIRT,
        },
        cortex_m(
            "nrf52840",
            "Nordic nRF52840",
            Core::CortexM4,
            V7EM,
            Host::Probe("nRF52840_xxAA"),
            memory!("0x00000000", "1M", "0x20000000", "256K"),
        ),
        cortex_m(
            "nrf5340",
            "Nordic nRF5340, application core",
            Core::CortexM33,
            V8M,
            Host::Probe("nRF5340_xxAA"),
            memory!("0x00000000", "1M", "0x20000000", "512K"),
        ),
        cortex_m(
            "stm32f411",
            "ST STM32F411xE",
            Core::CortexM4,
            V7EM,
            Host::Probe("STM32F411RETx"),
            memory!("0x08000000", "512K", "0x20000000", "128K"),
        ),
        cortex_m(
            "stm32l476",
            "ST STM32L476xG",
            Core::CortexM4,
            V7EM,
            Host::Probe("STM32L476RGTx"),
            memory!("0x08000000", "1M", "0x20000000", "96K"),
        ),
        cortex_m(
            "stm32l4r5",
            "ST STM32L4R5xI",
            Core::CortexM4,
            V7EM,
            Host::Probe("STM32L4R5ZITx"),
            memory!("0x08000000", "2M", "0x20000000", "640K"),
        ),
        cortex_m(
            "stm32h743",
            "ST STM32H743xI",
            Core::CortexM7,
            V7EM,
            Host::Probe("STM32H743ZITx"),
            // Of its memories the largest one in one piece.
            memory!("0x08000000", "2M", "0x24000000", "512K"),
        ),
        cortex_m(
            "stm32u585",
            "ST STM32U585xI",
            Core::CortexM33,
            V8M,
            Host::Probe("STM32U585AIIx"),
            memory!("0x08000000", "2M", "0x20000000", "768K"),
        ),
        Platform {
            name: "rp2040",
            title: "Raspberry Pi RP2040 with 2 MB of flash, as on the Pico",
            core: Core::CortexM0Plus,
            target: V6M,
            host: Host::Probe("RP2040"),
            kind: Kind::Rp2040,
            memory: RP2040,
        },
        Platform {
            name: "rp2350",
            title: "Raspberry Pi RP2350 with 4 MB of flash, as on the Pico 2",
            core: Core::CortexM33,
            target: V8M,
            host: Host::Probe("RP235x"),
            kind: Kind::Rp2350,
            memory: RP2350,
        },
        Platform {
            name: "esp32c3",
            title: "Espressif ESP32-C3",
            core: Core::Riscv32imc,
            target: "riscv32imc-unknown-none-elf",
            host: Host::Espflash,
            kind: Kind::Esp,
            memory: "",
        },
        Platform {
            name: "gd32vf103",
            title: "GigaDevice GD32VF103xB",
            core: Core::Riscv32imc,
            target: "riscv32imc-unknown-none-elf",
            host: Host::Probe("GD32VF103CB"),
            kind: Kind::RiscV,
            memory: GD32VF103,
        },
    ];

    /// The one of a name.
    pub fn of(name: &str) -> Option<Platform> {
        Self::ALL.into_iter().find(|platform| platform.name == name)
    }

    /// The emulated board that programs for a core are measured on: one with plenty of memory.
    ///
    /// QEMU has none for the Cortex-M55 that ran these programs differently than that for the Cortex-M33 does.
    pub fn emulating(core: Core) -> Platform {
        let name = match core {
            Core::CortexM0Plus => "mps2-an385-v6m",
            Core::CortexM3 => "mps2-an385",
            Core::CortexM4 => "mps2-an386",
            Core::CortexM7 => "mps2-an500",
            Core::CortexM33 | Core::CortexM55 => "mps2-an505",
            Core::Riscv32imc => "virt",
        };
        Self::of(name).expect("the table has a board for each core")
    }

    /// Whether QEMU is the board.
    pub fn is_emulated(self) -> bool {
        matches!(self.host, Host::Emulator { .. })
    }

    /// The command that runs a program, whose path comes behind it.
    pub fn runner(self) -> Vec<&'static str> {
        match self.host {
            Host::Emulator { program, machine } => {
                let quiet = ["-display", "none", "-monitor", "none", "-serial", "none"];
                let semihosting = ["-semihosting-config", "enable=on,target=native", "-kernel"];
                [program].into_iter().chain(machine.iter().copied()).chain(quiet).chain(semihosting).collect()
            }
            Host::Probe(chip) => vec!["probe-rs", "run", "--chip", chip],
            Host::Espflash => vec!["espflash", "flash", "--monitor"],
        }
    }
}
