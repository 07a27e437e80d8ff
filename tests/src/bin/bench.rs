//! Writes BENCHMARKS.md: what the compiled reference models cost on an emulated Cortex-M4.

use std::fmt::Write;

use mcuopt_codegen::Optimize;
use mcuopt_tests::board::Board;
use mcuopt_tests::case::{Case, Inputs};
use mcuopt_tests::counts::{Count, Run};
use mcuopt_tests::elf::Sizes;
use mcuopt_tests::firmware::{Firmware, Layer, Purpose, Report};
use mcuopt_tests::report::peers::{self, CmsisNn};
use mcuopt_tests::report::{self, Table, grouped, three_digits};
use mcuopt_tests::shared::{Model, Variant};

const INTRODUCTION: &str = "\
# Benchmarks

Made by `cargo run -p mcuopt-tests --bin bench`; do not edit.

One warm inference of each reference model on QEMU's `mps2-an386` board (Cortex-M4F, no wait states). Instructions are
counted by a QEMU plugin, `tests/qemu/mcount.c`; cycles are modelled from them by the table in the Cortex-M4 manual.
So they are ratios to compare by, not times: silicon with flash wait states takes 1.2 to 1.4 times as many. The firmware
is `tests/firmware`, without its messages: opt-level 3, fat LTO, one codegen unit.

TFLM is TensorFlow Lite Micro with CMSIS-NN in int8 at its fastest exact setting, and onnx2c the C compiler of that name
on the float model, both on the same board with the same counter.
";

/// A model with one set of options.
#[derive(Clone, Copy)]
struct Entry {
    model: Model,
    variant: Variant,
    optimize: Optimize,
}

impl Entry {
    fn label(self) -> String {
        match (self.variant, self.optimize) {
            (Variant::Float32, _) => "float32".into(),
            (variant, optimize) => format!("{variant}, {}", name(optimize)),
        }
    }
}

fn name(optimize: Optimize) -> &'static str {
    match optimize {
        Optimize::Speed => "speed",
        Optimize::Balanced => "balanced",
        Optimize::Size => "size",
    }
}

/// What an entry costs.
struct Cost {
    entry: Entry,
    run: Run,
    sizes: Sizes,
    report: Report,
    /// For the default options: each layer.
    layers: Vec<(Layer, Count)>,
}

fn main() {
    assert!(Board::CortexM4.is_present(), "QEMU is not installed: tests/run installs it");
    let variants = [
        (Variant::Int8, Optimize::Speed),
        (Variant::Int8, Optimize::Balanced),
        (Variant::Int8, Optimize::Size),
        (Variant::Float32, Optimize::Balanced),
    ];
    let entries =
        Model::ALL.into_iter().flat_map(|model| variants.map(|(variant, optimize)| Entry { model, variant, optimize }));
    let costs: Vec<Cost> = report::in_parallel(entries.collect(), measure);
    let mut text = INTRODUCTION.to_string();
    for section in [speed(&costs), memory(&costs), layers(&costs)] {
        write!(text, "\n{section}").expect("a string takes any text");
    }
    println!("{}", report::write("BENCHMARKS.md", &text).display());
}

fn measure(entry: Entry) -> Cost {
    let files = entry.model.find().expect("the benchmarks need the reference models");
    let config = files.config(entry.variant).optimize(entry.optimize);
    let name = format!("{}-{}-{}", entry.model.name(), entry.variant, name(entry.optimize));
    let case = Case::compile(name, &config);
    // The first inference is cold, the second is warm.
    let inputs: Vec<_> = files.test_set().inputs.into_iter().take(2).map(|item| case.inputs(&[item])).collect();
    let firmware = Firmware::build(&case, Some(Board::CortexM4), Purpose::Cost);
    let (report, runs) = firmware.count(&inputs);
    let [_, warm] = &runs[..] else { panic!("{}: {} inferences were counted", case.name, runs.len()) };
    let layers = if entry.optimize == Optimize::Balanced { by_layer(&case, &inputs) } else { Vec::new() };
    Cost { entry, run: warm.clone(), sizes: firmware.sizes(), report, layers }
}

fn by_layer(case: &Case, inputs: &[Inputs]) -> Vec<(Layer, Count)> {
    let (_, runs) = Firmware::build(case, Some(Board::CortexM4), Purpose::Laps).count(inputs);
    let layers = Firmware::build(case, None, Purpose::Answers).layers();
    let laps = &runs.last().expect("an inference was counted").laps;
    // What runs behind the last layer is not a layer.
    assert_eq!(laps.len(), layers.len() + 1, "{}: a lap for each layer", case.name);
    layers.into_iter().zip(laps.iter().copied()).collect()
}

fn find(costs: &[Cost], model: Model, variant: Variant, optimize: Optimize) -> &Cost {
    let same = |cost: &&Cost| (cost.entry.model, cost.entry.variant, cost.entry.optimize) == (model, variant, optimize);
    costs.iter().find(same).expect("every entry was measured")
}

fn millions(number: u64) -> String {
    three_digits(number as f64 / 1e6)
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".into())
}

fn speed(costs: &[Cost]) -> String {
    let mut table = Table::new(&[
        "model",
        "TFLM int8",
        "int8, speed",
        "int8, balanced",
        "int8, size",
        "TFLM ÷ speed",
        "onnx2c float",
        "float32",
    ]);
    let both = |count: Count| format!("{} ({})", millions(count.cycles), millions(count.instructions));
    for model in Model::ALL {
        let int8 = |optimize| find(costs, model, Variant::Int8, optimize).run.total;
        let peer = CmsisNn::of(model);
        let ratio = peer.map(|peer| format!("{:.2}", peer.cycles * 1e6 / int8(Optimize::Speed).cycles as f64));
        let float = find(costs, model, Variant::Float32, Optimize::Balanced).run.total;
        let peer = peer.map(|peer| format!("{} ({})", three_digits(peer.cycles), three_digits(peer.instructions)));
        let other = peers::onnx2c(model);
        let other =
            other.map(|(cycles, instructions, _)| format!("{} ({})", three_digits(cycles), three_digits(instructions)));
        table.row(vec![
            model.name().into(),
            or_dash(peer),
            both(int8(Optimize::Speed)),
            both(int8(Optimize::Balanced)),
            both(int8(Optimize::Size)),
            or_dash(ratio),
            or_dash(other),
            both(float),
        ]);
    }
    format!("## Modelled cycles, in millions (instructions)\n\n{table}")
}

fn memory(costs: &[Cost]) -> String {
    let mut table = Table::new(&[
        "model",
        "RAM_BYTES",
        "peak stack",
        "RAM in all",
        "TFLM's",
        "flash in all",
        "TFLM's",
        "without weights",
        "TFLM's",
    ]);
    for cost in costs {
        let peer = CmsisNn::of(cost.entry.model).filter(|_| cost.entry.variant == Variant::Int8);
        let peer = |index: usize| or_dash(peer.and_then(|peer| peer.memory).map(|memory| grouped(memory[index])));
        let Cost { entry, sizes, report, .. } = cost;
        table.row(vec![
            format!("{} {}", entry.model.name(), entry.label()),
            grouped(report.ram_bytes as u64),
            grouped(report.stack as u64),
            grouped(sizes.ram + report.stack as u64),
            peer(0),
            grouped(sizes.flash),
            peer(1),
            grouped(sizes.flash - report.weight_bytes as u64),
            peer(2),
        ]);
    }
    format!("## Memory, in bytes\n\n{table}")
}

fn layers(costs: &[Cost]) -> String {
    let mut text = "## Layers, with the default options\n".to_string();
    for cost in costs.iter().filter(|cost| !cost.layers.is_empty()) {
        let head = ["layer", "kernel", "MACs", "instructions", "instr/MAC", "cycles", "cycles/MAC"];
        let mut table = Table::new(&head);
        for (layer, count) in &cost.layers {
            let for_each = |number: u64| match layer.macs {
                0 => "–".into(),
                macs => format!("{:.2}", number as f64 / macs as f64),
            };
            table.row(vec![
                layer.name.clone(),
                layer.kernel.clone(),
                grouped(layer.macs),
                grouped(count.instructions),
                for_each(count.instructions),
                grouped(count.cycles),
                for_each(count.cycles),
            ]);
        }
        let title = format!("{} {}", cost.entry.model.name(), cost.entry.variant);
        write!(text, "\n### {title}\n\n{table}").expect("a string takes any text");
    }
    text
}
