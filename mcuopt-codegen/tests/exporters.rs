//! Models as PyTorch and onnxruntime's quantizer write them, against onnxruntime's results.
//!
//! Float: equal but for rounding. int8: close enough to be useful. Quantized by onnxruntime: its integers, nearly all
//! of them exactly. Made by `data/exporters/generate.py`.

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};

use common::Result;
use mcuopt_codegen::tensor::Tensor;
use mcuopt_codegen::{Compiled, Config, Precision};
use ndarray::{ArrayD, Axis, IxDyn, OwnedRepr};
use ndarray_npy::NpzReader;

const FLOAT: [&str; 5] = ["inverted", "separable", "causal", "autoencoder", "branches"];

/// The quantized ones, and how many steps an output may be away: 0 unless the file's weights have zero points, which
/// the compiler's int8 kernels do not know: those weights are rounded to a symmetric scale.
const QUANTIZED: [(&str, f32); 4] =
    [("inverted_qdq", 0.0), ("causal_qdq", 3.0), ("autoencoder_qdq", 0.0), ("branches_qdq", 0.0)];

/// The inputs of one run, and the outputs to expect.
type Sample = (Vec<ArrayD<f32>>, Vec<ArrayD<f32>>);

fn samples(name: &str) -> Result<Vec<Sample>> {
    let mut npz = NpzReader::new(File::open(path(name, "npz"))?)?;
    let mut arrays: [Vec<ArrayD<f32>>; 2] = Default::default();
    let names = npz.names()?;
    for (arrays, kind) in arrays.iter_mut().zip(["x", "y"]) {
        let count = names.iter().filter(|name| name.starts_with(kind)).count();
        for index in 0..count {
            arrays.push(npz.by_name::<OwnedRepr<f32>, IxDyn>(&format!("{kind}_{index}.npy"))?);
        }
    }
    let count = arrays[0].first().ok_or("an input")?.shape()[0];
    let pick = |arrays: &[ArrayD<f32>], index| arrays.iter().map(|a| a.index_axis(Axis(0), index).to_owned()).collect();
    Ok((0..count).map(|index| (pick(&arrays[0], index), pick(&arrays[1], index))).collect())
}

fn path(name: &str, extension: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/exporters").join(format!("{name}.{extension}"))
}

fn compile(name: &str, precision: Precision) -> Result<Compiled> {
    let compiled = Config::new(path(name, "onnx")).precision(precision).compile()?;
    compiled.source()?;
    Ok(compiled)
}

/// Runs floats through integers.
fn run(compiled: &Compiled, inputs: &[ArrayD<f32>]) -> Result<Vec<ArrayD<f32>>> {
    let integers = |(index, x): (usize, &ArrayD<f32>)| match compiled.input_quantization(index) {
        Some((scale, zero_point)) => {
            Tensor::from(x.mapv(|x| ((x / scale).round_ties_even() + zero_point as f32).clamp(-128.0, 127.0) as i8))
        }
        None => Tensor::from(x.clone()),
    };
    let inputs: Vec<Tensor> = inputs.iter().enumerate().map(integers).collect();
    let reals = |(index, y): (usize, Tensor)| match (y, compiled.output_quantization(index)) {
        (Tensor::I8(y), Some((scale, zero_point))) => Ok(y.mapv(|q| (i32::from(q) - zero_point) as f32 * scale)),
        (Tensor::F32(y), _) => Ok(y),
        (y, _) => Err(format!("an output is {y:?}").into()),
    };
    compiled.run(&inputs)?.into_iter().enumerate().map(reals).collect()
}

#[test]
fn float_networks_compute_what_onnxruntime_computes() -> Result {
    for name in FLOAT {
        let compiled = compile(name, Precision::Float32)?;
        for (inputs, expected) in samples(name)? {
            let found = run(&compiled, &inputs)?;
            ensure!(found.len() == expected.len(), "{name}: {} outputs", found.len());
            for (found, expected) in found.iter().zip(&expected) {
                ensure!(found.shape() == expected.shape(), "{name}: {:?}, not {:?}", found.shape(), expected.shape());
                let far = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-5 + 1e-4 * b.abs();
                ensure!(!found.iter().zip(expected).any(far), "{name}: {found}, not {expected}");
            }
        }
    }
    Ok(())
}

#[test]
fn calibrated_networks_stay_close_to_float() -> Result {
    for name in FLOAT {
        let compiled = compile(name, Precision::Int8)?;
        let mut powers: Vec<(f64, f64)> = Vec::new();
        for (inputs, expected) in samples(name)? {
            powers.resize(expected.len(), (0.0, 0.0));
            for ((found, expected), (signal, noise)) in run(&compiled, &inputs)?.iter().zip(&expected).zip(&mut powers)
            {
                *signal += expected.iter().map(|x| f64::from(x * x)).sum::<f64>();
                *noise += found.iter().zip(expected).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>();
            }
        }
        for (index, (signal, noise)) in powers.iter().enumerate() {
            let decibels = 10.0 * (signal / noise.max(f64::MIN_POSITIVE)).log10();
            ensure!(decibels > 20.0, "{name}: output {index} has a signal-to-noise ratio of {decibels:.1} dB");
        }
    }
    Ok(())
}

#[test]
fn quantized_networks_give_the_integers_of_onnxruntime() -> Result {
    for (name, steps) in QUANTIZED {
        let compiled = compile(name, Precision::Auto)?;
        let (mut count, mut different) = (0, 0);
        for (inputs, expected) in samples(name)? {
            for (index, (found, expected)) in run(&compiled, &inputs)?.iter().zip(&expected).enumerate() {
                // An operator that the quantizer left in float has no step: rounding alone.
                let step = compiled.output_quantization(index).map_or(1e-4, |(scale, _)| scale);
                let distances = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / step);
                // Means of few integers often fall on a tie, which goes up here and to the even one there.
                let farthest = distances.clone().fold(0f32, f32::max);
                ensure!(farthest <= steps.max(1.0) + 0.1, "{name}: output {index} is {farthest} steps away");
                count += found.len();
                different += distances.filter(|distance| *distance > 0.5).count();
            }
        }
        ensure!(steps > 0.0 || different * 10 <= count, "{name}: {different} of {count} numbers differ");
    }
    Ok(())
}

#[test]
fn a_quantized_file_in_float_keeps_the_activations_that_its_integers_stood_for() -> Result {
    for name in ["inverted", "branches"] {
        let compiled = compile(&format!("{name}_qdq"), Precision::Float32)?;
        for (inputs, expected) in samples(name)? {
            for (found, expected) in run(&compiled, &inputs)?.iter().zip(&expected) {
                let signal = expected.iter().map(|x| x * x).sum::<f32>();
                let noise = found.iter().zip(expected).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
                ensure!(signal > 100.0 * noise, "{name}: {found}, not {expected}");
            }
        }
    }
    Ok(())
}
