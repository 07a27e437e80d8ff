//! `mcuopt profile`: what each layer really takes, in QEMU or on a board, beside what the report says.

use std::fmt::Write as _;
use std::path::Path;

use mcuopt_codegen::cost::Core;
use mcuopt_codegen::profile::{self, Options, Profile, Step};
use mcuopt_codegen::project::Platform;
use serde::Serialize;

use crate::answer::{Answer, BOLD, DIM, Failure, grouped};
use crate::progress;
use crate::settings::{Compilation, cores, platforms};
use crate::table::{Table, shortened};

/// The core that is meant if neither core nor board is named.
const USUAL: &str = "cortex-m4";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The core whose cycles are counted, in QEMU with a model of the core [default: cortex-m4]
    #[arg(long, value_name = "CORE", value_parser = cores(), conflicts_with = "board")]
    target: Option<String>,
    /// The board to run on, an emulated one or, with --runner, a real one
    #[arg(long, value_name = "BOARD", value_parser = platforms())]
    board: Option<String>,
    /// A command that runs a program on the board and prints what it says: `probe-rs run --chip nRF52840_xxAA`
    #[arg(long, value_name = "COMMAND", requires = "board")]
    runner: Option<String>,
    /// End with exit code 3 if the estimate of all cycles is off by more than this share
    #[arg(long, value_name = "SHARE")]
    max_error: Option<f64>,
    #[command(flatten)]
    compilation: Compilation,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Measurement {
    model: String,
    target: String,
    board: String,
    /// Instructions of an inference; null on a real board.
    instructions: Option<u64>,
    /// Cycles of an inference: counted on a board, modelled for the instructions that QEMU executed.
    cycles: u64,
    estimated_cycles: u64,
    /// 0.1 where the estimate is 10 % above the measurement.
    error: f64,
    layers: Vec<LayerMeasurement>,
    /// The program that ran.
    program: String,
    missed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LayerMeasurement {
    layer: String,
    operator: String,
    kernel: String,
    macs: u64,
    instructions: Option<u64>,
    cycles: u64,
    estimated_cycles: u64,
    error: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let target = arguments.target.as_deref().or(arguments.board.is_none().then_some(USUAL));
    let options = options(target, arguments.board.as_deref(), arguments.runner.as_deref())?;
    let options = options.ok_or_else(|| Failure::Usage("on which core?".into()))?;
    let compiled = arguments.compilation.compile()?;
    let bar = progress::spinner("");
    let profile = profile::profile(&compiled, &options, &mut |step| bar.set_message(doing(step, options.platform)));
    bar.finish_and_clear();
    let profile = profile?;
    let measurement = Measurement::new(&arguments.compilation.model, options.platform, &profile, arguments.max_error);
    let json = serde_json::to_value(&measurement).unwrap_or_default();
    Ok(Answer { text: measurement.text(), json, missed: measurement.missed, ..Answer::default() })
}

/// What is going on, for the progress bar.
pub(crate) fn doing(step: Step, platform: Platform) -> String {
    match step {
        Step::Build => format!("building firmware for {}", platform.target),
        Step::Run => format!("running on {}", platform.title),
    }
}

/// Where firmware runs: on the board, or else on the emulated one for the core; nowhere if neither is named.
pub(crate) fn options(
    target: Option<&str>,
    board: Option<&str>,
    runner: Option<&str>,
) -> Result<Option<Options>, Failure> {
    let unknown = |what: &str, name: &str| Failure::Usage(format!("no {what} `{name}`"));
    match (board, target) {
        (Some(name), _) => {
            let platform = Platform::of(name).ok_or_else(|| unknown("board", name))?;
            Ok(Some(match runner {
                Some(runner) => Options::on_board(platform, runner),
                None => Options { platform, ..Options::emulated(platform.core) },
            }))
        }
        (None, Some(name)) => Ok(Some(Options::emulated(Core::of(name).ok_or_else(|| unknown("core", name))?))),
        (None, None) => Ok(None),
    }
}

impl Measurement {
    fn new(model: &Path, platform: Platform, profile: &Profile, max_error: Option<f64>) -> Self {
        let layers = profile.layers.iter().map(|layer| LayerMeasurement {
            layer: layer.cost.name.clone(),
            operator: layer.cost.operator.into(),
            kernel: layer.cost.kernel.into(),
            macs: layer.cost.macs,
            instructions: layer.instructions,
            cycles: layer.cycles,
            estimated_cycles: layer.cost.cycles,
            error: layer.error(),
        });
        let error = profile.error();
        let too_far = max_error.filter(|most| error.abs() > *most);
        let missed = too_far
            .map(|most| format!("the estimate is off by {:.1} %, more than {:.1} %", error * 100.0, most * 100.0));
        Self {
            model: model.display().to_string(),
            target: profile.core.name().into(),
            board: platform.name.into(),
            instructions: profile.instructions,
            cycles: profile.cycles,
            estimated_cycles: profile.estimate.cycles,
            error,
            layers: layers.collect(),
            program: profile.program.display().to_string(),
            missed: missed.into_iter().collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{BOLD}{}{BOLD:#}  {DIM}{} on {}{DIM:#}\n\n", self.model, self.target, self.board);
        let mut table =
            Table::new(&["layer", "kernel", ">MACs", ">instructions", ">cycles", ">%", ">estimate", ">error"]);
        let count = |number: Option<u64>| number.map_or("–".into(), grouped);
        for layer in &self.layers {
            let share = layer.cycles as f64 / self.cycles.max(1) as f64 * 100.0;
            table.row(vec![
                shortened(&layer.layer, 32),
                layer.kernel.clone(),
                if layer.macs == 0 { "–".into() } else { grouped(layer.macs) },
                count(layer.instructions),
                grouped(layer.cycles),
                format!("{share:.1}"),
                grouped(layer.estimated_cycles),
                format!("{:+.1} %", layer.error * 100.0),
            ]);
        }
        table.styled(
            vec![
                "all".into(),
                String::new(),
                grouped(self.layers.iter().map(|layer| layer.macs).sum()),
                count(self.instructions),
                grouped(self.cycles),
                String::new(),
                grouped(self.estimated_cycles),
                format!("{:+.1} %", self.error * 100.0),
            ],
            BOLD,
        );
        let _ = write!(text, "{table}");
        text
    }
}
