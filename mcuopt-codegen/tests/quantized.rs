//! Operators on integers against onnxruntime: QLinear forms, MatMulInteger and its kin, fused operators, and networks as
//! onnxruntime quantizes them; computed in float and in integers.
//!
//! The cases are made by `data/operators/quantized.py`.

mod common;

use std::fs;
use std::path::Path;

use common::{Result, compile};
use mcuopt_codegen::onnx::Model;
use mcuopt_codegen::tensor::Tensor;
use mcuopt_codegen::{Compiled, Precision};
use mcuopt_rt::v0 as rt;

struct Case {
    model: Model,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

fn cases() -> Result<Vec<Case>> {
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/operators/quantized.bin"))?;
    let mut rest = bytes.as_slice();
    let mut cases = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (case, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        rest = behind;
        let mut model = Model::decode(case, Path::new(""))?;
        let mut take = |kind: &str| {
            let names = (0..).map(|index| format!("{kind}/{index}"));
            names.map_while(|name| model.graph.initializers.remove(&name)).collect::<Vec<_>>()
        };
        let (inputs, outputs) = (take("input"), take("output"));
        cases.push(Case { model, inputs, outputs });
    }
    ensure!(cases.len() >= 70, "{} cases", cases.len());
    Ok(cases)
}

/// Runs the kernels with floats quantized and results dequantized where the firmware does so in `predict`.
fn run(compiled: &Compiled, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let quantized = |(index, x): (usize, &Tensor)| match (compiled.input_quantization(index), x.f32s()) {
        (Some((scale, zero_point)), Some(values)) => {
            let integers: Vec<i8> = values.iter().map(|&x| rt::quantize_f32(x, scale, zero_point)).collect();
            Tensor::new(x.shape(), integers).ok_or("a shape")
        }
        _ => Ok(x.clone()),
    };
    let inputs = inputs.iter().enumerate().map(quantized).collect::<std::result::Result<Vec<_>, _>>()?;
    let outputs = compiled.run(&inputs)?.into_iter().enumerate().map(|(index, y)| {
        match (compiled.output_quantization(index), y.to_i64s()) {
            (Some((scale, zero_point)), Some(values)) => {
                let reals: Vec<f32> = values.iter().map(|&q| rt::dequantize(q as i8, scale, zero_point)).collect();
                Tensor::new(y.shape(), reals).ok_or("a shape")
            }
            _ => Ok(y),
        }
    });
    Ok(outputs.collect::<std::result::Result<Vec<_>, _>>()?)
}

/// Integers may differ by one step in a few places: where onnxruntime rounds a half to even and we round it up, and where
/// it computes in float and we do in integers. `limit` is the share of such places.
fn check(case: &Case, found: &[Tensor], limit: f64, tolerance: f64) -> Result {
    ensure!(found.len() == case.outputs.len(), "{} outputs", found.len());
    for (found, expected) in found.iter().zip(&case.outputs) {
        let same = found.dtype() == expected.dtype() && found.shape() == expected.shape();
        ensure!(same, "{found:?}, not {expected:?}");
        if let (Some(found), Some(expected)) = (found.f32s(), expected.f32s()) {
            let largest = expected.iter().fold(0f32, |largest, y| largest.max(y.abs()));
            let close = |(a, b): (&f32, &f32)| f64::from((a - b).abs()) <= tolerance * f64::from(largest);
            ensure!(found.iter().zip(expected).all(close), "{found:?}\nnot {expected:?}");
            continue;
        }
        let (found, expected) = (found.to_i64s().unwrap_or_default(), expected.to_i64s().unwrap_or_default());
        let close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1);
        let differ = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
        // Averages of a few integers are halves often.
        let few = differ as f64 <= limit * found.len() as f64 + 2.0;
        ensure!(close && few, "{differ} of {} differ: {found:?}\nnot {expected:?}", found.len());
    }
    Ok(())
}

fn check_all(precision: Precision, limit: f64, tolerance: impl Fn(&str) -> f64) -> Result {
    let mut failed = Vec::new();
    for case in cases()? {
        let name = case.model.graph.name.clone();
        let result = || -> Result {
            let compiled = compile(&name, &case.model.encode(), precision)?;
            compiled.source()?;
            check(&case, &run(&compiled, &case.inputs)?, limit, tolerance(&name))
        };
        failed.extend(result().err().map(|error| format!("{name}: {error}")));
    }
    ensure!(failed.is_empty(), "{} cases fail:\n{}", failed.len(), failed.join("\n"));
    Ok(())
}

#[test]
fn in_float_as_onnxruntime_computes_them() -> Result {
    // A network in float lacks the rounding of its activations.
    check_all(Precision::Float32, 0.02, |name| if name.starts_with("network") { 0.1 } else { 1e-4 })
}

#[test]
fn in_integers_as_onnxruntime_computes_them() -> Result {
    check_all(Precision::Auto, 0.05, |name| if name.starts_with("network") { 0.05 } else { 1e-2 })
}
