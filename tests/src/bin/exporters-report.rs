//! Writes tests/exporters/RESULTS.md: how the compiled forms of exported networks compare with ONNX Runtime.

use mcuopt_tests::exported::{Exported, Figures, Outcome};
use mcuopt_tests::report::{self, Table, grouped};

const INTRODUCTION: &str = "\
# Exported networks

Made by `cargo run -p mcuopt-tests --bin exporters-report` from what `tests/exporters/generate` made; do not edit.

Small networks, trained for seconds on synthetic tasks, as PyTorch's two exporters (the older tracer, and dynamo),
tf2onnx and skl2onnx write them; n in a name stands for a batch of any size. Scores are percent of right answers over
1000 items, or percent of the targets' variance that is explained. float32 is compared with ONNX Runtime's outputs: the
largest deviation, relative to the largest output of an item. Float layers are those of the int8 network that compute
in float, quantizing and dequantizing included.
";

const QUANTIZED: &str = "\
## Quantized networks

Trained with simulated integers (PyTorch's FX, eager and pt2e modes, Brevitas, TensorFlow Model Optimization), or quantized
by ONNX Runtime. Both scores are of the quantized file. Its outputs are compared with ONNX Runtime's, which computes in
float between roundings: how many are off by more than a step of their quantization, and by how many steps at most.
Where the output is in float, a step is the largest one's over
127, or over 7 where activations have 4 bits.
";

fn main() {
    let networks = Exported::all();
    let comparisons = report::in_parallel(networks, |network| (network.compare(), network));
    let mut table = Table::new(&[
        "network",
        "exporter",
        "ONNX Runtime",
        "float32 off by",
        "int8",
        "float layers",
        "RAM float32",
        "RAM int8",
    ]);
    let mut quantized = Table::new(&[
        "network",
        "exporter",
        "ONNX Runtime",
        "mcuopt",
        "off by more than a step",
        "at most",
        "float layers",
        "RAM",
    ]);
    let mut faulty = 0;
    for (comparison, network) in &comparisons {
        faulty += usize::from(!comparison.faults().is_empty());
        let cell = |outcome: &Outcome, show: &dyn Fn(&Figures) -> String| match outcome {
            Ok(figures) => show(figures),
            Err(_) => "refused".into(),
        };
        if comparison.author.is_some() {
            quantized.row(vec![
                network.name.trim_start_matches("quantized_").into(),
                network.about.clone(),
                format!("{:.1}", comparison.expected),
                cell(&comparison.int8, &|figures| format!("{:.1}", figures.score)),
                cell(&comparison.int8, &|figures| format!("{:.2} %", 100.0 * figures.beyond)),
                cell(&comparison.int8, &|figures| format!("{:.1}", figures.steps)),
                cell(&comparison.int8, &|figures| format!("{} of {}", figures.float_layers.0, figures.float_layers.1)),
                cell(&comparison.int8, &|figures| grouped(figures.ram_bytes as u64)),
            ]);
            continue;
        }
        table.row(vec![
            network.name.clone(),
            network.about.clone(),
            format!("{:.1}", comparison.expected),
            cell(&comparison.float, &|figures| format!("{:.0e}", figures.deviation)),
            cell(&comparison.int8, &|figures| format!("{:.1}", figures.score)),
            cell(&comparison.int8, &|figures| format!("{} of {}", figures.float_layers.0, figures.float_layers.1)),
            cell(&comparison.float, &|figures| grouped(figures.ram_bytes as u64)),
            cell(&comparison.int8, &|figures| grouped(figures.ram_bytes as u64)),
        ]);
    }
    let summary = format!("{} of {} networks are as they should be.", comparisons.len() - faulty, comparisons.len());
    println!(
        "{}",
        report::write(
            "tests/exporters/RESULTS.md",
            &format!("{INTRODUCTION}\n{summary}\n\n{table}\n{QUANTIZED}\n{quantized}")
        )
        .display()
    );
}
