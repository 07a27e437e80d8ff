//! Writes ACCURACY.md: how good the compiled reference models are, and what they take.

use mcuopt_tests::firmware::{Firmware, Purpose};
use mcuopt_tests::metric::{self, Metric};
use mcuopt_tests::report::peers::Scores;
use mcuopt_tests::report::{self, Table, grouped};
use mcuopt_tests::shared::{Model, Variant};

const INTRODUCTION: &str = "\
# Accuracy

Made by `cargo run -p mcuopt-tests --bin accuracy-report`; do not edit.

The generated code, built for the host (where it computes the same bytes as on a chip), over the whole test set of each
reference model. int8, int16x8 (int16 activations) and int4 (int4 weights, but int8 in depthwise, small, first and last layers) are quantized by mcuopt
from the float file and calibration data; weights8 is the float file with int8 weights and float arithmetic; qdq is the file
that ONNX Runtime quantized, compiled as it is. \"As float\" is the share of items with the same largest output as the float model gives;
for ic, vww and person it says more than the metric, as their test sets are substitutes for data that may not be shipped.
ONNX Runtime is 1.18.1; TFLite is the interpreter of TensorFlow 2.15.1 on the official int8 file, which for kws is
another training of the network.
";

/// A compiled model and its answers to the test set.
struct Entry {
    model: Model,
    variant: Variant,
    answers: Vec<Vec<f32>>,
    score: f64,
    ram_bytes: usize,
    weight_bytes: usize,
}

fn main() {
    let entries = Model::ALL.into_iter().flat_map(|model| Variant::ALL.map(|variant| (model, variant)));
    let entries: Vec<Entry> = report::in_parallel(entries.collect(), measure);
    let mut table = Table::new(&[
        "model",
        "items",
        "metric",
        "score",
        "as float",
        "ONNX Runtime's score",
        "as float",
        "TFLite's int8 score",
        "RAM_BYTES",
        "WEIGHT_BYTES",
    ]);
    for entry in &entries {
        table.row(row(entry, &entries));
    }
    println!("{}", report::write("ACCURACY.md", &format!("{INTRODUCTION}\n{table}")).display());
}

fn measure((model, variant): (Model, Variant)) -> Entry {
    let files = model.find().expect("the report needs the reference models");
    let test = files.test_set();
    let case = files.compile(variant);
    let inputs: Vec<_> = test.inputs.iter().map(|item| case.inputs(std::slice::from_ref(item))).collect();
    let report = Firmware::build(&case, None, Purpose::Answers).run(&inputs);
    let answers: Vec<_> = report.outputs.chunks(case.output_bytes()).map(|outputs| case.reals(outputs)).collect();
    let score = Metric::of(model).measure(&test, &answers);
    Entry { model, variant, answers, score, ram_bytes: report.ram_bytes, weight_bytes: report.weight_bytes }
}

fn row(entry: &Entry, all: &[Entry]) -> Vec<String> {
    let metric = Metric::of(entry.model);
    let score = |score: f64| match metric {
        Metric::Sine => format!("{score:.6}"),
        _ => format!("{score:.4}"),
    };
    let float = all.iter().find(|other| other.model == entry.model && other.variant == Variant::Float32);
    let float = float.expect("every model was measured in float32");
    let agreement = metric.is_of_classes().then(|| metric::agreement(&entry.answers, &float.answers));
    let peers = Scores::of(entry.model);
    // ONNX Runtime ran the float file and the one that it quantized itself; TFLite, its own int8 file.
    let (runtime, runtime_agreement) = match entry.variant {
        Variant::Float32 => (Some(peers.float), None),
        Variant::Qdq => (Some(peers.qdq), peers.qdq_agreement),
        _ => (None, None),
    };
    let tflite = peers.tflite.filter(|_| entry.variant == Variant::Int8);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    vec![
        format!("{} {}", entry.model.name(), entry.variant),
        entry.answers.len().to_string(),
        metric.name().into(),
        score(entry.score),
        or_dash(agreement.map(|share| format!("{share:.4}"))),
        or_dash(runtime.map(score)),
        or_dash(runtime_agreement.map(|share| format!("{share:.4}"))),
        or_dash(tflite.map(score)),
        grouped(entry.ram_bytes as u64),
        grouped(entry.weight_bytes as u64),
    ]
}
