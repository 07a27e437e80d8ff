//! The emulated chips.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fmt, iter, thread};

use mcuopt_codegen::project::{Host, Platform};

/// A machine that QEMU emulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// micro:bit: no hardware divide, no SIMD, 256 kB of flash and 16 kB of RAM.
    CortexM0,
    /// MPS2 AN385.
    CortexM3,
    /// MPS2 AN386, with the DSP instructions and a single-precision FPU.
    CortexM4,
    /// MPS2 AN500, with the DSP instructions and a double-precision FPU. It runs the programs for [`CortexM4`].
    ///
    /// [`CortexM4`]: Board::CortexM4
    CortexM7,
    /// MPS2 AN505: the DSP instructions of Armv8-M.
    CortexM33,
    /// QEMU's own "virt" machine as RV32IMC.
    RiscV,
}

impl Board {
    /// All of them.
    pub const ALL: [Board; 6] =
        [Board::CortexM0, Board::CortexM3, Board::CortexM4, Board::CortexM7, Board::CortexM33, Board::RiscV];

    /// The one with a name, as [`Display`](fmt::Display) writes it.
    ///
    /// # Panics
    /// If there is none.
    pub fn named(name: &str) -> Board {
        let board = Self::ALL.into_iter().find(|board| board.to_string().eq_ignore_ascii_case(name));
        board.unwrap_or_else(|| panic!("{name}: not one of {}", Self::ALL.map(|board| board.to_string()).join(", ")))
    }

    /// The Rust target that programs for it are built for.
    pub fn target(self) -> &'static str {
        match self {
            Board::CortexM0 => "thumbv6m-none-eabi",
            Board::CortexM3 => "thumbv7m-none-eabi",
            Board::CortexM4 | Board::CortexM7 => "thumbv7em-none-eabihf",
            Board::CortexM33 => "thumbv8m.main-none-eabi",
            Board::RiscV => "riscv32imc-unknown-none-elf",
        }
    }

    /// QEMU's program and its arguments that make it the board.
    fn machine(self) -> (&'static str, &'static [&'static str]) {
        let name = match self {
            Board::CortexM0 => "microbit",
            Board::CortexM3 => "mps2-an385",
            Board::CortexM4 => "mps2-an386",
            Board::CortexM7 => "mps2-an500",
            Board::CortexM33 => "mps2-an505",
            Board::RiscV => "virt",
        };
        match Platform::of(name).map(|platform| platform.host) {
            Some(Host::Emulator { program, machine }) => (program, machine),
            _ => panic!("{name} is emulated"),
        }
    }

    /// Bytes of flash and RAM, of a board that has not got plenty.
    pub fn memory(self) -> Option<[u64; 2]> {
        (self == Board::CortexM0).then_some([256 * 1024, 16 * 1024])
    }

    /// Whether the emulator is installed.
    pub fn is_present(self) -> bool {
        let version =
            Command::new(self.machine().0).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    }

    /// Runs a program with `folder` as its working directory until it exits.
    ///
    /// `plugin` is QEMU's notation for a plugin and its arguments.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(self, program: &Path, folder: &Path, plugin: Option<&str>) {
        if let Err(failure) = self.try_run(program, folder, &[], plugin) {
            panic!("{} on {self}: {failure}", program.display());
        }
    }

    /// As [`run`](Self::run), with arguments for the program; returns what it prints.
    ///
    /// # Errors
    /// How the program ended, if it failed, and what it printed.
    pub fn try_run(
        self,
        program: &Path,
        folder: &Path,
        arguments: &[String],
        plugin: Option<&str>,
    ) -> Result<String, String> {
        let console = folder.join("console");
        let log = File::create(&console).expect("the folder is writable");
        let (emulator, machine) = self.machine();
        let mut command = Command::new(emulator);
        command.args(machine);
        command.args(["-display", "none", "-monitor", "none", "-serial", "none"]);
        // The first argument is the program's name.
        let words = iter::once("program").chain(arguments.iter().map(String::as_str));
        let words: String = words.map(|word| format!(",arg={word}")).collect();
        command.arg("-semihosting-config").arg(format!("enable=on,target=native{words}"));
        if let Some(plugin) = plugin {
            command.args(["-plugin", plugin]);
        }
        command.arg("-kernel").arg(program).current_dir(folder);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file handle can be cloned")).stderr(log);
        let result = wait(&mut command, Duration::from_secs(600));
        let said = fs::read_to_string(&console).unwrap_or_default();
        result.map_err(|failure| format!("{failure}\n{said}")).map(|()| said)
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Board::CortexM0 => "Cortex-M0",
            Board::CortexM3 => "Cortex-M3",
            Board::CortexM4 => "Cortex-M4",
            Board::CortexM7 => "Cortex-M7",
            Board::CortexM33 => "Cortex-M33",
            Board::RiscV => "RV32IMC",
        })
    }
}

/// Runs a command and ends it after `limit`: firmware that is lost loops for ever.
fn wait(command: &mut Command, limit: Duration) -> Result<(), String> {
    let mut child = command.spawn().map_err(|error| format!("it does not start: {error}"))?;
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("it ended with {status}")),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                // It may have ended in between.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it ran for more than {limit:?}"));
            }
            Err(error) => return Err(format!("its state is unknown: {error}")),
        }
    }
}
