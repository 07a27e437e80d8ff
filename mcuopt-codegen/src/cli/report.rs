//! `mcuopt report`: what each layer costs on a core, what the network takes of a board, and what quantization does to it.

mod compare;
mod graph;
mod html;
mod memory;
mod text;

use std::path::PathBuf;

use mcuopt_codegen::calibrate::Samples;
use mcuopt_codegen::cost::{self, Board, Core, Estimate};
use mcuopt_codegen::graph::{Node, ValueId};
use mcuopt_codegen::{Compiled, emit, ops, quantize};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Failure, write_file};
use crate::inspect::arithmetic;
use crate::progress;
use crate::settings::{Settings, cores};
pub(crate) use compare::Comparison;

/// The version of the JSON's form, for programs that keep it.
pub(crate) const FORMAT: u32 = 1;

/// The core that is meant if none is named.
const USUAL: &str = "cortex-m4";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The ONNX file
    #[arg(required_unless_present = "compare")]
    model: Option<PathBuf>,
    /// Cores to report on, with commas between [default: those of the boards, or cortex-m4]
    #[arg(long, value_name = "CORE", value_delimiter = ',', value_parser = cores())]
    target: Vec<String>,
    /// Boards to report latency and energy on, with commas between [default: all known ones with the cores]
    #[arg(long, value_name = "BOARD", value_delimiter = ',')]
    board: Vec<String>,
    /// A TOML file with boards of your own, a table each, as shown below
    #[arg(long, value_name = "FILE")]
    boards: Option<PathBuf>,
    /// Samples for the quantization error of each layer [default: the calibration data]
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// Write the report as a page: one file, which needs no network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the JSON into a file as well
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show what changed between two reports that --json or --output wrote
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with_all = ["model", "target", "board", "html"])]
    compare: Option<Vec<PathBuf>>,
    #[command(flatten)]
    settings: Settings,
}

/// What `--help` says about boards, below the options.
pub(crate) const BOARDS: &str = "\
A board of your own, for --boards:
  [my-board]
  core = \"cortex-m4\"
  megahertz = 64
  milliamperes = 3.3       # while the core computes at that clock
  volts = 3.0
  ram_kib = 256
  flash_kib = 1024";

/// What `--json` prints. Fields are added, but not renamed or taken away within a `format`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Report {
    /// Version of this form.
    pub(crate) format: u32,
    /// Version of mcuopt.
    pub(crate) mcuopt: String,
    /// The model's file, as the user wrote it.
    pub(crate) model: String,
    /// The generated type.
    pub(crate) r#type: String,
    /// `int8`, `int4`, `int16x8`, `weights8`, `float32` or `mixed`.
    pub(crate) arithmetic: String,
    /// Multiply-accumulates of an inference.
    pub(crate) macs: u64,
    /// Bytes of RAM for all tensors: `RAM_BYTES` of the generated type.
    pub(crate) ram_bytes: u64,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// The layers, in the order in which they run.
    pub(crate) layers: Vec<Layer>,
    /// What lies in the arena, and when.
    pub(crate) memory: Vec<Tenant>,
    /// The quantization error, if there are samples.
    pub(crate) quantization: Option<Quantization>,
    /// A core each.
    pub(crate) targets: Vec<Target>,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

/// An input or output of the network.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// Element type in firmware.
    pub(crate) element: String,
    /// Dimensions in the file.
    pub(crate) shape: Vec<usize>,
    /// Of integers that stand for reals.
    pub(crate) scale: Option<f32>,
    pub(crate) zero_point: Option<i32>,
}

/// A layer, as it is on all cores.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Layer {
    /// Its name in the generated code.
    pub(crate) name: String,
    /// The node's name in the file.
    pub(crate) node: String,
    /// The ONNX operator.
    pub(crate) operator: String,
    pub(crate) macs: u64,
    /// Element type and dimensions of the output.
    pub(crate) element: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) output_bytes: u64,
    /// Positions of the layers whose outputs it reads; −1 − i stands for input i of the network.
    pub(crate) reads: Vec<i64>,
    /// Signal-to-quantization-noise ratio in decibels with all layers before quantized as well; null without samples, or
    /// without an error.
    pub(crate) sqnr: Option<f64>,
    /// The same if this layer alone is quantized.
    pub(crate) own_sqnr: Option<f64>,
    /// Largest absolute error of an element.
    pub(crate) largest_error: Option<f64>,
    /// Share of elements beyond what the integers can stand for.
    pub(crate) clipped: Option<f64>,
}

/// A tensor or a layer's work memory in the arena.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Tenant {
    /// The layer that makes it, or the input.
    pub(crate) name: String,
    /// `input`, `output`, `tensor`, `state` (kept from run to run) or `work` (a layer's work memory).
    pub(crate) kind: String,
    /// Its first byte in the arena.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// The layer that writes it, counted from 1; 0 is the caller before the first layer.
    pub(crate) first: usize,
    /// The layer that reads it for the last time; one more than there are layers is the caller behind them.
    pub(crate) last: usize,
}

/// The quantization error of the whole network.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Quantization {
    pub(crate) samples: usize,
    /// Signal-to-quantization-noise ratio of each output in decibels; null without an error.
    pub(crate) outputs: Vec<Option<f64>>,
    /// The layer in which most of the error is born.
    pub(crate) worst: Option<String>,
}

/// What the network costs on a core.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Target {
    pub(crate) target: String,
    /// Modelled cycles of an inference.
    pub(crate) cycles: u64,
    /// Modelled bytes of stack.
    pub(crate) stack_bytes: u64,
    /// Exact.
    pub(crate) weight_bytes: u64,
    /// Modelled.
    pub(crate) code_bytes: u64,
    pub(crate) flash_bytes: u64,
    /// As many as the network has, in the same order.
    pub(crate) layers: Vec<LayerCost>,
    pub(crate) boards: Vec<OnBoard>,
}

/// What a layer costs on a core.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct LayerCost {
    pub(crate) kernel: String,
    /// Why that is not the core's fast kernel; empty if it is, or if there is none.
    pub(crate) remark: String,
    pub(crate) cycles: u64,
    pub(crate) weight_bytes: u64,
    pub(crate) code_bytes: u64,
}

/// What the network takes of a board.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct OnBoard {
    pub(crate) board: String,
    pub(crate) megahertz: f64,
    pub(crate) milliseconds: f64,
    pub(crate) millijoules: f64,
    pub(crate) ram_bytes: u64,
    /// 0 where the flash is a chip of its own.
    pub(crate) flash_bytes: u64,
    /// Whether tensors and stack fit the RAM, and weights and code the flash.
    pub(crate) fits: bool,
    /// Where the figures of current and voltage come from.
    pub(crate) source: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    if let Some([old, new]) = arguments.compare.as_deref() {
        return compare::run(old, new);
    }
    let Some(model) = &arguments.model else { return Err(Failure::Usage("which model?".into())) };
    let (cores, boards) = arguments.cores_and_boards()?;
    let compiled = arguments.settings.compile(model)?;
    let samples = arguments.samples(&compiled)?;
    let report = Report::new(&compiled, samples.as_ref(), &cores, &boards).map_err(Failure::of(model))?;
    let json = serde_json::to_value(&report).unwrap_or_default();
    if let Some(path) = &arguments.output {
        write_file(path, &format!("{json:#}\n"))?;
    }
    let mut text = text::show(&report);
    if let Some(path) = &arguments.html {
        write_file(path, &html::page(&report))?;
        text.push_str(&format!("\nwrote {}\n", path.display()));
    }
    Ok(Answer { text, json, ..Answer::default() })
}

impl Arguments {
    fn cores_and_boards(&self) -> Result<(Vec<Core>, Vec<Board>), Failure> {
        cores_and_boards(&self.target, &self.board, self.boards.as_deref())
    }

    fn samples(&self, compiled: &Compiled) -> Result<Option<Samples>, Failure> {
        let given = self.samples.clone().or_else(|| compiled.options.calibration_path());
        let Some(path) = given.filter(|_| arithmetic(compiled) != "float32") else { return Ok(None) };
        let read = Samples::read(&path, &compiled.float);
        read.map(Some).map_err(|error| error.in_file(path.display().to_string()).into())
    }
}

/// The cores and boards that the user names; what is left out follows from the other.
pub(crate) fn cores_and_boards(
    targets: &[String],
    names: &[String],
    file: Option<&std::path::Path>,
) -> Result<(Vec<Core>, Vec<Board>), Failure> {
    let mut known = Board::all();
    if let Some(path) = file {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{shown}: {error}")))?;
        let own = Board::read(&text).map_err(|error| error.in_file(shown))?;
        known.retain(|board| own.iter().all(|other| other.name != board.name));
        known.splice(0..0, own);
    }
    let listed = |names: Vec<String>| names.join(", ");
    let core = |name: &String| {
        let unknown =
            || format!("no core `{name}`; there are: {}", listed(Core::ALL.map(|core| core.name().into()).to_vec()));
        Core::of(name).ok_or_else(|| Failure::Usage(unknown()))
    };
    let board = |name: &String| {
        let all = || listed(known.iter().map(|board| board.name.clone()).collect());
        let found = known.iter().find(|board| board.name == *name).cloned();
        found.ok_or_else(|| Failure::Usage(format!("no board `{name}`; there are: {}", all())))
    };
    let mut cores: Vec<Core> = targets.iter().map(core).collect::<Result<_, _>>()?;
    let mut boards: Vec<Board> = names.iter().map(board).collect::<Result<_, _>>()?;
    if cores.is_empty() {
        for board in &boards {
            if !cores.contains(&board.core) {
                cores.push(board.core);
            }
        }
    }
    if cores.is_empty() {
        cores.extend(Core::of(USUAL));
    }
    if boards.is_empty() {
        boards = known.into_iter().filter(|board| cores.contains(&board.core)).collect();
    }
    if let Some(board) = boards.iter().find(|board| !cores.contains(&board.core)) {
        let message = format!("the board `{}` has a {}, which --target does not name", board.name, board.core.name());
        return Err(Failure::Usage(message));
    }
    Ok((cores, boards))
}

impl Report {
    /// Everything that is known about a compiled network without building it.
    pub(crate) fn new(
        compiled: &Compiled,
        samples: Option<&Samples>,
        cores: &[Core],
        boards: &[Board],
    ) -> Result<Self, mcuopt_codegen::Errors> {
        let mut notes = compiled.notes.clone();
        // A network that takes new frames has other tensors than the samples' whole windows.
        let comparable = compiled.whole.is_none() && !compiled.options.stateful;
        if samples.is_some() && !comparable {
            notes.push(
                "the quantization error of each layer is that of whole windows; leave off `stream` for it".into(),
            );
        }
        let errors = match samples.filter(|_| comparable) {
            Some(samples) => {
                let bar = progress::spinner("comparing int8 with float");
                let report = quantize::report(&compiled.float, &compiled.graph, samples)?;
                bar.finish_and_clear();
                Some(report)
            }
            None => None,
        };
        let layers = layers(compiled, errors.as_ref());
        let quantization = errors.as_ref().map(|errors| Quantization {
            samples: errors.samples,
            outputs: errors.outputs.iter().copied().map(finite).collect(),
            worst: worst(&layers),
        });
        let estimates = cores.iter().map(|core| cost::estimate(compiled, *core));
        Ok(Self {
            format: FORMAT,
            mcuopt: env!("CARGO_PKG_VERSION").into(),
            model: compiled.options.model.display().to_string(),
            r#type: compiled.type_name.clone(),
            arithmetic: arithmetic(compiled).into(),
            macs: layers.iter().map(|layer| layer.macs).sum(),
            ram_bytes: compiled.plan.arena_bytes as u64,
            inputs: ports(compiled, true),
            outputs: ports(compiled, false),
            memory: memory::tenants(compiled),
            layers,
            quantization,
            targets: estimates.map(|estimate| Target::new(&estimate, boards)).collect(),
            notes,
        })
    }
}

impl Target {
    fn new(estimate: &Estimate, boards: &[Board]) -> Self {
        let layer = |layer: &cost::LayerCost| LayerCost {
            kernel: layer.kernel.into(),
            remark: layer.remark.into(),
            cycles: layer.cycles,
            weight_bytes: layer.weight_bytes as u64,
            code_bytes: layer.code_bytes as u64,
        };
        let on_board = |board: &Board| OnBoard {
            board: board.name.clone(),
            megahertz: board.hertz / 1e6,
            milliseconds: board.seconds(estimate.cycles) * 1e3,
            millijoules: board.joules(estimate.cycles) * 1e3,
            ram_bytes: board.ram as u64,
            flash_bytes: board.flash as u64,
            fits: estimate.ram_bytes + estimate.stack_bytes <= board.ram
                && (board.flash == 0 || estimate.flash_bytes <= board.flash),
            source: board.source.clone(),
        };
        Self {
            target: estimate.core.name().into(),
            cycles: estimate.cycles,
            stack_bytes: estimate.stack_bytes as u64,
            weight_bytes: estimate.weight_bytes as u64,
            code_bytes: estimate.code_bytes as u64,
            flash_bytes: estimate.flash_bytes as u64,
            layers: estimate.layers.iter().map(layer).collect(),
            boards: boards.iter().filter(|board| board.core == estimate.core).map(on_board).collect(),
        }
    }
}

fn ports(compiled: &Compiled, inputs: bool) -> Vec<Port> {
    let (declared, lowered) = match inputs {
        true => (&compiled.graph.inputs, &compiled.lowered.inputs),
        false => (&compiled.graph.outputs, &compiled.lowered.outputs),
    };
    let port = |(index, (id, in_firmware)): (usize, (&ValueId, &ValueId))| {
        let value = compiled.graph.value(*id);
        let quantization =
            if inputs { compiled.input_quantization(index) } else { compiled.output_quantization(index) };
        Port {
            name: value.name.clone(),
            element: compiled.lowered.value(*in_firmware).ty.dtype.name().into(),
            shape: value.ty.shape.clone(),
            scale: quantization.map(|(scale, _)| scale),
            zero_point: quantization.map(|(_, zero_point)| zero_point),
        }
    };
    declared.iter().zip(lowered).enumerate().map(port).collect()
}

fn layers(compiled: &Compiled, errors: Option<&quantize::Report>) -> Vec<Layer> {
    let lowered = &compiled.lowered;
    let producers = lowered.producers();
    // Later stages join layers and change their order: a layer's figures are found by its name and operator.
    let mut figures: Vec<Option<&quantize::LayerReport>> =
        errors.iter().flat_map(|report| &report.layers).map(Some).collect();
    let names = emit::layer_names(lowered);
    let layer = |(node, name): (&Node<ops::Layer>, String)| {
        let is_same = |figure: &&mut Option<&quantize::LayerReport>| {
            figure.is_some_and(|figure| figure.name == node.name && figure.operator == node.op.operator)
        };
        let figure = figures.iter_mut().find(is_same).and_then(Option::take);
        let output = &lowered.value(node.outputs[0]).ty;
        let operands = node.inputs.iter().filter(|id| lowered.constant(**id).is_none());
        let reads = operands.filter_map(|id| match producers[id.index()] {
            Some(producer) => Some(producer as i64),
            None => lowered.inputs.iter().position(|input| input == id).map(|index| -1 - index as i64),
        });
        Layer {
            name,
            node: node.name.clone(),
            operator: node.op.operator.into(),
            macs: node.op.kernel.macs(),
            element: output.dtype.name().into(),
            shape: output.shape.clone(),
            output_bytes: output.bytes() as u64,
            reads: reads.collect(),
            sqnr: figure.and_then(|figure| finite(figure.sqnr)),
            own_sqnr: figure.and_then(|figure| finite(figure.own_sqnr)),
            largest_error: figure.map(|figure| f64::from(figure.largest_error)),
            clipped: figure.map(|figure| figure.clipped),
        }
    };
    lowered.nodes.iter().zip(names).map(layer).collect()
}

/// The layer with the lowest signal-to-noise ratio of its own.
fn worst(layers: &[Layer]) -> Option<String> {
    let known = layers.iter().filter_map(|layer| Some((layer.own_sqnr?, &layer.name)));
    known.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name.clone())
}

/// JSON has no infinity: no error is null.
fn finite(number: f64) -> Option<f64> {
    Some(number).filter(|number| number.is_finite())
}
