//! Operators against others' results: the node tests of the ONNX project, and onnxruntime's on models of our own.
//!
//! Each case runs twice: by the reference evaluation, which calibration relies on, and by the kernels that firmware
//! calls. The cases are made by `data/operators/generate.py`.

mod common;

use common::{Case, Result, check_cases, check_outputs};
use mcuopt_codegen::tensor::Tensor;

/// ONNX's own tolerance for its node tests.
fn close(found: f32, expected: f32) -> bool {
    found == expected || found.is_nan() && expected.is_nan() || (found - expected).abs() <= 1e-6 + 1e-3 * expected.abs()
}

fn check(case: &Case) -> Result {
    check_outputs(case, |found: &Tensor, expected: &Tensor| {
        let values = (found.f32s().unwrap_or_default(), expected.f32s().unwrap_or_default());
        found.shape() == expected.shape()
            && (0..values.1.len()).all(|i| values.0.get(i).is_some_and(|&found| close(found, values.1[i])))
    })
}

#[test]
fn node_tests_of_the_onnx_project() -> Result {
    check_cases("suite.bin", 300, check)
}

#[test]
fn opsets_ranks_and_chains_as_onnxruntime_computes_them() -> Result {
    check_cases("variants.bin", 300, check)
}
