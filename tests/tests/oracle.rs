//! An independent implementation of ONNX, tract, gives the same answers to float networks.

use std::io::Cursor;

use mcuopt_codegen::tensor::Tensor;
use mcuopt_tests::case::Case;
use mcuopt_tests::metric;
use mcuopt_tests::shared::{Model, Variant};
use mcuopt_tests::synthetic::Synthetic;
use tract_onnx::prelude::{Framework, InferenceModelExt, TValue, TypedModel, tvec};

/// Sums in another order differ in the last places.
const TOLERANCE: f32 = 1e-4;

/// Inputs of each model.
const COUNT: usize = 8;

/// Compares answers to inferences that are given as the elements of each input.
#[track_caller]
fn compare(case: &Case, file: &[u8], inferences: &[Vec<Vec<f32>>]) {
    let oracle = tract_onnx::onnx().model_for_read(&mut Cursor::new(file)).and_then(|model| model.into_typed());
    let oracle: TypedModel = oracle.unwrap_or_else(|error| panic!("{}: tract refuses the model: {error:?}", case.name));
}
