//! Building, running and counting.

use mcuopt_codegen::Optimize;
use mcuopt_codegen::emit::layer_names;
use mcuopt_codegen::graph::{Graph, Node};
use mcuopt_codegen::ops::{self, Kernel};
use mcuopt_rt::Arch;
use mcuopt_tests::board::Board;
use mcuopt_tests::case::{Case, Inputs};
use mcuopt_tests::counts::{Count, Run};
use mcuopt_tests::elf::Sizes;
use mcuopt_tests::firmware::{Firmware, Purpose, Report};
use mcuopt_tests::report::in_parallel;
use mcuopt_tests::report::peers::Kind;
use mcuopt_tests::shared::{self, Model};

/// How a model is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// In int8, for speed.
    Speed,
    /// In int8 with the default options.
    Balanced,
    /// In int8, for size.
    Size,
    /// With int16 activations, for speed.
    Int16x8,
    /// With int4 weights, for speed.
    Int4,
    /// In float32 with the default options.
    Float32,
}

impl Variant {
    /// All of them.
    pub(crate) const ALL: [Variant; 6] =
        [Variant::Speed, Variant::Balanced, Variant::Size, Variant::Int16x8, Variant::Int4, Variant::Float32];

    /// The option that it is named after.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Variant::Speed => "speed",
            Variant::Balanced => "balanced",
            Variant::Size => "size",
            Variant::Int16x8 => "int16x8",
            Variant::Int4 => "int4",
            Variant::Float32 => "float32",
        }
    }

    /// In a table.
    pub(crate) fn label(self) -> String {
        match self {
            Variant::Float32 => "float32".into(),
            Variant::Int16x8 | Variant::Int4 => format!("{}, speed", self.name()),
            int8 => format!("int8, {}", int8.name()),
        }
    }

    fn compile(self, model: Model) -> Case {
        let files = model.find().expect("the benchmarks need the reference models");
        let (precision, optimize) = match self {
            Variant::Speed => (shared::Variant::Int8, Optimize::Speed),
            Variant::Balanced => (shared::Variant::Int8, Optimize::Balanced),
            Variant::Size => (shared::Variant::Int8, Optimize::Size),
            Variant::Int16x8 => (shared::Variant::Int16x8, Optimize::Speed),
            Variant::Int4 => (shared::Variant::Int4, Optimize::Speed),
            Variant::Float32 => (shared::Variant::Float32, Optimize::Balanced),
        };
        let name = format!("{}-bench-{}", model.name(), self.name());
        Case::compile(name, &files.config(precision).optimize(optimize))
    }
}

/// What was measured.
pub(crate) struct Costs {
    costs: Vec<Cost>,
    cores: Vec<(Model, Board, Option<u64>)>,
}

/// What a model costs on the Cortex-M4.
pub(crate) struct Cost {
    pub(crate) model: Model,
    pub(crate) variant: Variant,
    pub(crate) run: Run,
    pub(crate) sizes: Sizes,
    pub(crate) report: Report,
    /// Of a model compiled for speed: each layer.
    pub(crate) layers: Vec<Layer>,
}

/// A layer on the Cortex-M4.
pub(crate) struct Layer {
    pub(crate) name: String,
    /// The kernel that is chosen for the Cortex-M4, and why it is not its fast one.
    pub(crate) kernel: &'static str,
    pub(crate) remark: &'static str,
    pub(crate) kind: Option<Kind>,
    pub(crate) macs: u64,
    /// Elements of the output.
    pub(crate) outputs: u64,
    pub(crate) count: Count,
}

/// The models that are run on other cores, too.
const TRAVELLERS: [Model; 3] = [Model::Kws, Model::Ad, Model::Sww];

impl Costs {
    /// Measures each model in each variant; also on other cores, those for speed that travel, if `cores`.
    pub(crate) fn measure(models: &[Model], variants: &[Variant], cores: bool) -> Self {
        let pairs = models.iter().flat_map(|model| variants.iter().map(|variant| (*model, *variant)));
        let costs = in_parallel(pairs.collect(), measure);
        let mut measured = Costs { costs, cores: Vec::new() };
        if cores {
            measured.travel();
        }
        measured
    }

    fn travel(&mut self) {
        let boards = Board::ALL.into_iter().filter(|board| *board != Board::CortexM4);
        let travellers = TRAVELLERS.into_iter().filter_map(|model| self.find(model, Variant::Speed));
        let journeys = travellers.flat_map(|cost| boards.clone().map(|board| (cost.model, board, fits(cost, board))));
        self.cores = in_parallel(journeys.collect(), |(model, board, fits)| {
            let count = || {
                let (case, inputs) = prepare(model, Variant::Speed);
                warm(&Firmware::build(&case, Some(board), Purpose::Cost), &inputs).1.total.instructions
            };
            (model, board, fits.then(count))
        });
    }

    /// The measured costs of a model in a variant.
    pub(crate) fn find(&self, model: Model, variant: Variant) -> Option<&Cost> {
        self.costs.iter().find(|cost| (cost.model, cost.variant) == (model, variant))
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Cost] {
        &self.costs
    }

    /// The models of which something was measured.
    pub(crate) fn models(&self) -> impl Iterator<Item = Model> + '_ {
        Model::ALL.into_iter().filter(|model| self.costs.iter().any(|cost| cost.model == *model))
    }

    /// The models that were run on other cores.
    pub(crate) fn travellers(&self) -> impl Iterator<Item = Model> + '_ {
        TRAVELLERS.into_iter().filter(|model| self.cores.iter().any(|(other, ..)| other == model))
    }

    /// Instructions of a model compiled for speed, on another core; `None` where it does not fit.
    pub(crate) fn instructions(&self, model: Model, board: Board) -> Option<u64> {
        let (.., count) = self.cores.iter().find(|(other, core, _)| (*other, *core) == (model, board))?;
        *count
    }
}

/// Whether a board has room for a model, judged by what it takes of a Cortex-M4. Without that core's instructions there
/// is more code.
fn fits(cost: &Cost, board: Board) -> bool {
    let code = cost.sizes.flash - cost.report.weight_bytes as u64;
    let flash = cost.sizes.flash + code;
    let ram = cost.sizes.ram + 2 * cost.report.stack as u64;
    board.memory().is_none_or(|[most_flash, most_ram]| flash <= most_flash && ram <= most_ram)
}

/// The first inference is cold, the second is warm.
fn prepare(model: Model, variant: Variant) -> (Case, Vec<Inputs>) {
    let case = variant.compile(model);
    let files = model.find().expect("the model was compiled");
    let inputs = files.test_set().inputs.into_iter().take(2).map(|item| case.inputs(&[item])).collect();
    (case, inputs)
}

fn warm(firmware: &Firmware, inputs: &[Inputs]) -> (Report, Run) {
    let (report, mut runs) = firmware.count(inputs);
    assert_eq!(runs.len(), inputs.len(), "each inference is counted");
    (report, runs.pop().expect("there are inferences"))
}

fn measure((model, variant): (Model, Variant)) -> Cost {
    let (case, inputs) = prepare(model, variant);
    let firmware = Firmware::build(&case, Some(Board::CortexM4), Purpose::Cost);
    let (report, run) = warm(&firmware, &inputs);
    let layers = if variant == Variant::Speed { by_layer(&case, &inputs) } else { Vec::new() };
    Cost { model, variant, run, sizes: firmware.sizes(), report, layers }
}

fn by_layer(case: &Case, inputs: &[Inputs]) -> Vec<Layer> {
    let (_, run) = warm(&Firmware::build(case, Some(Board::CortexM4), Purpose::Laps), inputs);
    let graph = &case.compiled.lowered;
    // What runs behind the last layer is not a layer.
    assert_eq!(run.laps.len(), graph.nodes.len() + 1, "{}: a lap for each layer", case.name);
    let layers = graph.nodes.iter().zip(layer_names(graph)).zip(&run.laps);
    layers.map(|((node, name), count)| layer(graph, node, name, *count)).collect()
}

fn layer(graph: &Graph<ops::Layer>, node: &Node<ops::Layer>, name: String, count: Count) -> Layer {
    let output = &graph.value(node.outputs[0]).ty;
    let (kernel, remark) = match node.op.choice(Arch::Dsp) {
        Some(choice) => (choice.name, choice.remark),
        None => (node.op.kernel.call(output.dtype).function, ""),
    };
    let (kind, macs) = (kind(&node.op.kernel), node.op.kernel.macs());
    Layer { name, kernel, remark, kind, macs, outputs: output.len() as u64, count }
}

/// What others would call the layer.
fn kind(kernel: &Kernel) -> Option<Kind> {
    match kernel {
        Kernel::ConvS8(conv) => Some(Kind::Conv { kernel: conv.geometry.kernel, inputs: conv.geometry.input[2] }),
        Kernel::DepthwiseS8(conv) => Some(Kind::Depthwise { kernel: conv.geometry.kernel }),
        Kernel::DenseS8(_) => Some(Kind::Dense),
        Kernel::AddS8(_) => Some(Kind::Add),
        _ => None,
    }
}
