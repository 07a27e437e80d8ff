//! How good the compiled reference models are on their test sets: never below the bars, whatever the compiler learns.

use mcuopt_tests::firmware::{Firmware, Purpose};
use mcuopt_tests::metric::{self, Metric};
use mcuopt_tests::shared::Variant::{self, Float32, Int4, Int8, Int16x8, Qdq, Weights8};
use mcuopt_tests::shared::{Files, Model};

/// What must hold of a model in one variant.
#[derive(Clone, Copy)]
enum Bar {
    /// The metric is at least so much.
    Score(f64),
    /// The metric, an error, is at most so much.
    Error(f64),
    /// The network agrees with its float form on at least this share of the items.
    Agreement(f64),
}

/// The float form must be what ONNX Runtime computes, within so much of the largest output.
const TOLERANCE: f32 = 1e-4;

/// The answers of the generated code to the whole test set.
fn answers(files: &Files, variant: Variant) -> Vec<Vec<f32>> {
    let case = files.compile(variant);
    let inputs: Vec<_> = files.test_set().inputs.into_iter().map(|item| case.inputs(&[item])).collect();
    let report = Firmware::build(&case, None, Purpose::Answers).run(&inputs);
    report.outputs.chunks(case.output_bytes()).map(|outputs| case.reals(outputs)).collect()
}

#[track_caller]
fn check(model: Model, bars: &[(Variant, Bar)]) {
    let Some(files) = model.find() else { return };
    let test = files.test_set();
    let float = answers(&files, Float32);
    let deviation = metric::deviation(&float[..test.expected.len()], &test.expected);
    println!("{} float32: off by {deviation:.1e}", model.name());
    assert!(deviation <= TOLERANCE, "{}: float32 is off by {deviation}", model.name());

    for &(variant, bar) in bars {
        let answers = answers(&files, variant);
        let score = Metric::of(model).measure(&test, &answers);
        let agreement = metric::agreement(&answers, &float);
        let figures =
            format!("{} {variant}: {} {score:.4}, as float {agreement:.4}", model.name(), Metric::of(model).name());
        println!("{figures}");
        let (holds, wanted) = match bar {
            Bar::Score(least) => (score >= least, format!("at least {least}")),
            Bar::Error(most) => (score <= most, format!("at most {most}")),
            Bar::Agreement(least) => (agreement >= least, format!("agreement of at least {least}")),
        };
        assert!(holds, "{figures}; expected {wanted}");
    }
}

macro_rules! models {
    ($($(#[$attribute:meta])? $name:ident: $model:expr, [$($variant:ident $bar:ident $value:literal),+];)+) => {$(
        $(#[$attribute])?
        #[test]
        fn $name() {
            check($model, &[$(($variant, Bar::$bar($value))),+]);
        }
    )+};
}

// For files that ONNX Runtime quantized, the bar is what ONNX Runtime reaches with them, but for an item or two: int8
// arithmetic rounds once where its float arithmetic rounds twice. int16x8 loses nothing but what int8 weights lose, and
// int4 stays within 1.5 points of float where the test set has labels of its own.
//
// What takes minutes is left to `cargo test --package mcuopt-tests --test accuracy -- --ignored`.
models! {
    ad: Model::Ad, [Int8 Error 16.0, Qdq Error 16.0, Int16x8 Error 12.2, Weights8 Error 12.2];
    ic: Model::Ic, [Int8 Agreement 0.95, Qdq Agreement 0.94];
    kws: Model::Kws,
        [Int8 Score 0.905, Qdq Score 0.91, Int16x8 Score 0.9117, Int4 Score 0.8972, Weights8 Score 0.9117];
    mnist: Model::Mnist,
        [Int8 Score 0.948, Qdq Score 0.948, Int16x8 Score 0.9535, Int4 Score 0.939, Weights8 Score 0.952];
    person: Model::Person, [Int8 Agreement 0.985, Qdq Agreement 0.985];
    sine: Model::Sine, [Int8 Error 0.0007, Qdq Error 0.0007, Int16x8 Error 0.0005, Weights8 Error 0.0005];
    speech: Model::Speech, [Int8 Score 0.98, Qdq Score 0.98];
    sww: Model::Sww, [Int8 Score 0.949, Qdq Score 0.949, Int16x8 Score 0.9553, Int4 Score 0.94, Weights8 Score 0.9553];
    vww: Model::Vww, [Int8 Agreement 0.965, Qdq Agreement 0.965];
    #[ignore = "takes a minute"]
    ic_mixed: Model::Ic, [Int16x8 Agreement 0.97, Weights8 Agreement 0.97];
    #[ignore = "takes a minute"]
    person_mixed: Model::Person, [Int16x8 Agreement 0.995, Int4 Agreement 0.93, Weights8 Agreement 0.995];
    #[ignore = "takes a minute"]
    speech_mixed: Model::Speech, [Int16x8 Score 0.9928, Int4 Score 0.978, Weights8 Score 0.9928];
    #[ignore = "takes a minute"]
    vww_mixed: Model::Vww, [Int16x8 Agreement 0.985, Int4 Agreement 0.91, Weights8 Agreement 0.965];
}
