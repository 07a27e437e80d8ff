//! What a compiled network really costs: generates firmware, builds it, runs it in QEMU or on a board, and sets what was
//! counted beside the [estimate](crate::cost).
//!
//! In QEMU a plugin, `mcount.c` beside this file, counts instructions between markers and models a core's cycles for
//! them. On a board the firmware reads the core's cycle counter.

mod answers;
mod build;
mod counts;
mod emulator;
mod runner;

use std::path::PathBuf;

pub use answers::answers;
pub use counts::{Count, Run};
pub use emulator::Counter;

use crate::calibrate;
use crate::compiled::Compiled;
use crate::cost::{self, Core, Estimate, LayerCost};
use crate::error::Error;
use crate::project::{self, Platform, Purpose, Runtime};

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The board: an emulated one, or a real one with a [`runner`](Self::runner).
    pub platform: Platform,
    /// The core whose cycles are modelled, which may be another than the emulated board's if it runs the same programs.
    pub core: Core,
    /// A command that runs a program, whose path is appended, on a real board and prints what that says over
    /// semihosting: `probe-rs run --chip nRF52840_xxAA`. Words are separated by blanks, or quoted.
    pub runner: Option<String>,
    /// Where the firmware gets mcuopt-rt from.
    pub runtime: Runtime,
    /// Where projects and what is built of them are kept; in the user's cache folder where it is not given.
    pub folder: Option<PathBuf>,
}

impl Options {
    /// Measures on the emulated board for a core.
    pub fn emulated(core: Core) -> Self {
        let platform = Platform::emulating(core);
        Options { platform, core, runner: None, runtime: Runtime::of_this_build(), folder: None }
    }

    /// Measures on a board by a command.
    pub fn on_board(platform: Platform, runner: impl Into<String>) -> Self {
        Options { platform, runner: Some(runner.into()), ..Options::emulated(platform.core) }
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The core.
    pub core: Core,
    /// The layers, in the order of execution.
    pub layers: Vec<Measured>,
    /// Instructions of an inference; `None` on a board, which does not count them.
    pub instructions: Option<u64>,
    /// Cycles of an inference: on a board those of all layers.
    pub cycles: u64,
    /// What was expected.
    pub estimate: Estimate,
    /// The program that ran.
    pub program: PathBuf,
}

/// A layer, as estimated and as measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// What was expected.
    pub cost: LayerCost,
    /// Instructions; `None` on a board.
    pub instructions: Option<u64>,
    /// Cycles.
    pub cycles: u64,
}

impl Profile {
    /// How much the estimated cycles differ from the measured ones: 0.1 where the estimate is 10 % higher.
    pub fn error(&self) -> f64 {
        error(self.estimate.cycles, self.cycles)
    }
}

impl Measured {
    /// As [`Profile::error`].
    pub fn error(&self) -> f64 {
        error(self.cost.cycles, self.cycles)
    }
}

fn error(estimated: u64, measured: u64) -> f64 {
    estimated as f64 / measured.max(1) as f64 - 1.0
}

/// What [`profile`] is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Cargo builds the firmware.
    Build,
    /// The firmware runs.
    Run,
}

/// Measures a compiled network: a second inference, on noise, so that caches and state are those of everyday.
///
/// # Errors
/// What is missing, with the command that installs it; what the build or the run said, if it failed.
pub fn profile(compiled: &Compiled, options: &Options, step: &mut dyn FnMut(Step)) -> Result<Profile, Error> {
    let estimate = cost::estimate(compiled, options.core);
    let folder = options.folder.clone().unwrap_or_else(|| calibrate::cache_folder().join("profile"));
    let purpose = if options.runner.is_some() { Purpose::Time } else { Purpose::Count };
    // What is missing is said before a minute is spent on the build.
    let counter = match (&options.runner, options.platform.is_emulated()) {
        (Some(_), _) => None,
        (None, true) => Some(Counter::new(options.platform, options.core, &folder)?),
        (None, false) => {
            return Err(Error::options(format!(
                "{} is not emulated: a `runner` runs programs on it, `{} …`",
                options.platform.name,
                options.platform.runner().join(" ")
            )));
        }
    };
    step(Step::Build);
    let files = project::generate(compiled, options.platform, &options.runtime, purpose)?;
    let name = project::package_name(compiled);
    let program = build::build(&files, &name, options.platform.target, &folder)?;
    step(Step::Run);
    let (laps, total) = match (counter, &options.runner) {
        (Some(counter), _) => {
            let mut runs = counter.run(&program)?;
            let run = runs.pop().ok_or_else(|| Error::bug("the firmware ran no inference"))?;
            // What runs behind the last layer is no layer.
            let laps = run.laps.iter().take(estimate.layers.len()).map(|lap| (Some(lap.instructions), lap.cycles));
            (laps.collect::<Vec<_>>(), (Some(run.total.instructions), run.total.cycles))
        }
        (None, runner) => {
            let runner = runner.as_deref().unwrap_or_default();
            let cycles = runner::run(runner, &program, estimate.layers.len())?;
            let total = cycles.iter().sum();
            (cycles.into_iter().map(|cycles| (None, cycles)).collect(), (None, total))
        }
    };
    if laps.len() != estimate.layers.len() {
        let (found, expected) = (laps.len(), estimate.layers.len());
        return Err(Error::bug(format!("the firmware counted {found} layers of {expected}")));
    }
    let layers = estimate.layers.iter().cloned().zip(laps);
    let layers = layers.map(|(cost, (instructions, cycles))| Measured { cost, instructions, cycles }).collect();
    Ok(Profile { core: options.core, layers, instructions: total.0, cycles: total.1, estimate, program })
}
