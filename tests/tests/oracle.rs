//! An independent implementation of ONNX, tract, gives the same answers to float networks.

use std::{fs, iter};

use mcuopt_codegen::graph::ValueId;
use mcuopt_tests::case::Case;
use mcuopt_tests::metric;
use mcuopt_tests::shared::{Model, Variant};
use mcuopt_tests::synthetic::Synthetic;
use tract_onnx::prelude::{Framework, InferenceModelExt, IntoRunnable, TValue, TVec};
use tract_onnx::tract_core::internal::Tensor as TractTensor;

/// Sums in another order differ in the last places.
const TOLERANCE: f32 = 1e-4;

/// Inferences with each model.
const COUNT: usize = 8;

/// Both implementations' answers to inferences, each given as the elements of all inputs; outputs as real numbers.
#[track_caller]
fn answers(case: &Case, file: &[u8], inferences: &[Vec<Vec<f32>>]) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let model = tract_onnx::onnx().model_for_read(&mut &*file);
    let model = model.and_then(|model| model.into_typed()).and_then(|model| model.into_runnable());
    let model = model.unwrap_or_else(|error| panic!("{}: tract refuses it: {error:?}", case.name));
    let expected = |reals: &Vec<Vec<f32>>| {
        let outputs = model.run(to_tract(case, reals));
        let outputs = outputs.unwrap_or_else(|error| panic!("{}: tract fails: {error:?}", case.name));
        outputs.iter().flat_map(from_tract).collect()
    };
    let answer = |reals: &Vec<Vec<f32>>| case.reals(&case.interpret(&[case.inputs(reals)]));
    (inferences.iter().map(answer).collect(), inferences.iter().map(expected).collect())
}

#[track_caller]
fn compare(case: &Case, file: &[u8], inferences: &[Vec<Vec<f32>>]) {
    let (answers, expected) = answers(case, file, inferences);
    let deviation = metric::deviation(&answers, &expected);
    assert!(deviation <= TOLERANCE, "{}: off by {deviation}", case.name);
}

fn to_tract(case: &Case, reals: &[Vec<f32>]) -> TVec<TValue> {
    let graph = &case.compiled.graph;
    let tensor = |(id, reals): (&ValueId, &Vec<f32>)| -> TValue {
        let tensor = TractTensor::from_shape(&graph.value(*id).ty.shape, reals);
        tensor.expect("as many numbers as the shape says").into()
    };
    graph.inputs.iter().zip(reals).map(tensor).collect()
}

fn from_tract(value: &TValue) -> Vec<f32> {
    value.to_plain_array_view::<f32>().expect("a float network answers in floats").iter().copied().collect()
}

fn reference(model: Model) {
    let Some(files) = model.find() else { return };
    let case = files.compile(Variant::Float32);
    let file = fs::read(files.onnx(Variant::Float32)).expect("the file that was just compiled");
    let inferences: Vec<_> = files.test_set().probes(COUNT).into_iter().map(|item| vec![item]).collect();
    compare(&case, &file, &inferences);
}

macro_rules! references {
    ($($name:ident: $model:expr;)+) => {$(
        #[test]
        fn $name() {
            reference($model);
        }
    )+};
}

references! {
    ad: Model::Ad;
    ic: Model::Ic;
    kws: Model::Kws;
    mnist: Model::Mnist;
    person: Model::Person;
    sine: Model::Sine;
    speech: Model::Speech;
    sww: Model::Sww;
    vww: Model::Vww;
}

#[test]
fn synthetic_models() {
    // The author's quantization is the other test's: in float32 the compiler leaves it out. Recurrent layers that go
    // backwards come out of tract 0.23 otherwise than out of ONNX Runtime, which the exported networks are held to.
    let others = |synthetic: &Synthetic| !matches!(synthetic.name.as_str(), "quantized" | "both_ways");
    for synthetic in Synthetic::all().into_iter().filter(others) {
        let case = synthetic.compile(Variant::Float32);
        compare(&case, &synthetic.model.encode(), &synthetic.inputs(COUNT));
    }
}

/// Where ONNX rounds twice, the firmware rounds once: now and then a result is the next integer, and where a whole plane
/// has one value, the sum over it may be one further.
#[test]
fn authored_quantization() {
    let synthetic = Synthetic::named("quantized");
    let case = synthetic.compile(Variant::Qdq);
    let (answers, expected) = answers(&case, &synthetic.model.encode(), &synthetic.inputs(50));
    let (step, _) = case.compiled.output_quantization(0).expect("the output is quantized");
    let steps: Vec<f32> =
        iter::zip(answers.concat(), expected.concat()).map(|(a, b)| ((a - b) / step).abs().round()).collect();
    let equal = steps.iter().filter(|&&steps| steps == 0.0).count();
    assert!(equal * 10 >= steps.len() * 9, "only {equal} of {} results are equal", steps.len());
    assert!(steps.iter().all(|&steps| steps <= 2.0), "results differ by up to {:?} steps", steps);
}
