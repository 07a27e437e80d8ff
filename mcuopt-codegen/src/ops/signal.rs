//! Window functions and the mel matrix, which are constants; DFT as a dense layer, STFT as a convolution.
//!
//! <https://onnx.ai/onnx/operators/onnx__DFT.html>, opset 17 to 20, and its siblings.

use std::f64::consts::PI;

use mcuopt_rt::v0 as rt;
use ndarray::{ArrayD, IxDyn};

use super::conv::Conv;
use super::dense::Dense;
use super::reshape::axis;
use super::transpose::Transpose;
use crate::builder::{Builder, MAX_ELEMENTS};
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx;
use crate::reference::Window;
use crate::tensor::Tensor;

/// A window or MelWeightMatrix → a constant; DFT → Dense; STFT → Conv.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    match node.op_type.as_str() {
        "DFT" => dft(b),
        "STFT" => stft(b),
        "MelWeightMatrix" => mel_weights(b),
        "HannWindow" => window(b, [0.5, 0.5, 0.0]),
        "HammingWindow" => window(b, [25.0 / 46.0, 21.0 / 46.0, 0.0]),
        _ => window(b, [0.42, 0.5, 0.08]),
    }
}

/// Operand `index`, a number from 1 to `limit`.
fn length(b: &Builder<'_>, index: usize, limit: usize) -> Result<Option<usize>, Error> {
    let Some(values) = b.integers(index)? else { return Ok(None) };
    let valid = match values[..] {
        [value] => usize::try_from(value).ok().filter(|value| (1..=limit).contains(value)),
        _ => None,
    };
    let message = || Error::invalid(format!("it is {values:?}, not a number from 1 to {limit}"));
    valid.map(Some).ok_or_else(|| message().part(format!("input {index}")))
}

fn required(b: &Builder<'_>, index: usize, limit: usize) -> Result<usize, Error> {
    length(b, index, limit)?.ok_or_else(|| Error::invalid("it is missing").part(format!("input {index}")))
}

/// `a0 − a1 cos(2πn/N) + a2 cos(4πn/N)`, N the size of a periodic window, or one less.
fn window(b: &mut Builder<'_>, [a0, a1, a2]: [f64; 3]) -> Result<Vec<ValueId>, Error> {
    let size = required(b, 0, MAX_ELEMENTS)?;
    let period = if b.int("periodic", 1)? != 0 { size } else { size - 1 }.max(1) as f64;
    let at = |n: usize| {
        let angle = 2.0 * PI * n as f64 / period;
        (a0 - a1 * angle.cos() + a2 * (2.0 * angle).cos()) as f32
    };
    constant(b, &[size], (0..size).map(at).collect())
}

/// A constant of the type that the attribute `output_datatype` names.
fn constant(b: &mut Builder<'_>, shape: &[usize], values: Vec<f32>) -> Result<Vec<ValueId>, Error> {
    let code = b.int("output_datatype", 1)?;
    let dtype = onnx::dtype(code).ok_or_else(|| {
        let error = Error::unsupported(format!("the element type with number {code}")).instead("float");
        error.part("attribute `output_datatype`")
    })?;
    let tensor = Tensor::new(shape, values).and_then(|tensor| tensor.cast(dtype));
    let tensor = tensor.ok_or_else(|| Error::bug("a constant of another size"))?;
    Ok(vec![b.constant(tensor)])
}

/// Triangles between frequencies that lie evenly on the mel scale, one for each column.
fn mel_weights(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let bins = required(b, 0, 1 << 14)?;
    let (dft_length, sample_rate) = (required(b, 1, 1 << 14)?, required(b, 2, i32::MAX as usize)?);
    let edge = |index: usize| -> Result<f64, Error> {
        let edge = b.scalar(index)?.ok_or_else(|| Error::invalid("it is missing").part(format!("input {index}")))?;
        Ok(f64::from(edge))
    };
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let (low, high) = (mel(edge(3)?), mel(edge(4)?));
    let step = (high - low) / (bins + 2) as f64;
    let rows = dft_length / 2 + 1;
    // The row that a corner of a triangle lies on.
    let corner = |index: usize| -> Result<usize, Error> {
        let hertz = 700.0 * (10f64.powf((index as f64 * step + low) / 2595.0) - 1.0);
        let row = ((dft_length + 1) as f64 * hertz / sample_rate as f64).floor();
        let message = || Error::invalid(format!("a frequency of {hertz} Hz at {sample_rate} samples a second"));
        if (0.0..rows as f64).contains(&row) { Ok(row as usize) } else { Err(message()) }
    };
    let corners: Vec<usize> = (0..bins + 2).map(corner).collect::<Result<_, _>>()?;
    let mut weights = vec![0f32; rows * bins];
    for (bin, corners) in corners.windows(3).enumerate() {
        let [lower, center, higher] = [corners[0], corners[1], corners[2]];
        let rise = center.saturating_sub(lower);
        weights[center * bins + bin] = 1.0;
        for row in lower..center {
            weights[row * bins + bin] = (row - lower) as f32 / rise as f32;
        }
        for row in center..higher {
            weights[row * bins + bin] = (higher - row) as f32 / (higher - center) as f32;
        }
    }
    constant(b, &[rows, bins], weights)
}

/// The discrete Fourier transform of `taps` samples with `parts` numbers each (real, or real and imaginary), as if zeros
/// followed up to `length`: weights [bins, 2, taps, parts].
fn twiddles(bins: usize, taps: usize, parts: usize, length: usize, inverse: bool) -> Result<Vec<f32>, Error> {
    let count = (bins * 2 * parts).checked_mul(taps).filter(|count| *count <= MAX_ELEMENTS);
    let Some(count) = count else {
        return Err(Error::unsupported(format!("a transform of {taps} samples to {bins} bins")).instead("shorter ones"));
    };
    let mut weights = Vec::with_capacity(count);
    let (sign, scale) = if inverse { (1.0, 1.0 / length as f64) } else { (-1.0, 1.0) };
    for bin in 0..bins {
        for imaginary in [false, true] {
            for tap in 0..taps {
                // Reduced first: a large angle would lose digits.
                let angle = sign * 2.0 * PI * (bin * tap % length) as f64 / length as f64;
                let (sin, cos) = angle.sin_cos();
                let factors = if imaginary { [sin, cos] } else { [cos, -sin] };
                weights.extend(factors[..parts].iter().map(|factor| (factor * scale) as f32));
            }
        }
    }
    Ok(weights)
}

/// How many numbers a sample has: 1 or 2, the extent of the last axis.
fn parts(shape: &[usize]) -> Result<usize, Error> {
    match shape.last() {
        Some(&parts @ (1 | 2)) if shape.len() >= 2 => Ok(parts),
        _ => Err(Error::invalid(format!("the shape {shape:?} does not end with 1 or 2")).part("input 0")),
    }
}

fn dft(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    let parts = parts(&shape)?;
    let along = match b.opset < 20 {
        true => b.int("axis", 1)?,
        false => match b.integers(2)?.as_deref() {
            None => -2,
            Some([axis]) => *axis,
            Some(_) => return Err(Error::invalid("it should be a single number").part("input 2")),
        },
    };
    let rank = shape.len();
    let axis = axis(along, rank, false)?;
    if axis == rank - 1 {
        return Err(Error::invalid(format!("the axis {along} is that of real and imaginary parts")));
    }
    let (inverse, onesided) = (b.int("inverse", 0)? != 0, b.int("onesided", 0)? != 0);
    if inverse && onesided {
        return Err(Error::unsupported("an inverse transform of one side").instead("all bins"));
    }
    let length = length(b, 1, MAX_ELEMENTS)?.unwrap_or(shape[axis]);
    let bins = if onesided { length / 2 + 1 } else { length };
    // Samples beyond the length do not count.
    let taps = shape[axis].min(length);
    let mut weights = twiddles(bins, taps, parts, length, inverse)?;
    if taps < shape[axis] {
        let rows = weights.chunks(taps * parts);
        weights = rows.flat_map(|row| [row, &vec![0.0; (shape[axis] - taps) * parts]].concat()).collect();
    }
    let mut perm: Vec<usize> = (0..rank).filter(|&other| other != axis && other != rank - 1).collect();
    let others: Vec<usize> = perm.iter().map(|&axis| shape[axis]).collect();
    perm.extend([axis, rank - 1]);
    let x = b.transpose(x, &perm)?;
    let width = shape[axis] * parts;
    let x = b.reshape(x, &[others.iter().product(), width])?;
    let [weights, bias] = linear(b, &[2 * bins, width], weights)?;
    let y = b.push(Dense { clamp: rt::Clamp::NONE }, &[x, weights, bias])?;
    let y = b.reshape(y, &[&others[..], &[bins, 2]].concat())?;
    Ok(vec![b.transpose(y, &Transpose { perm }.inverse())?])
}

/// Weights [outputs, …] and a bias of zero.
fn linear(b: &mut Builder<'_>, shape: &[usize], weights: Vec<f32>) -> Result<[ValueId; 2], Error> {
    let weights = Tensor::new(shape, weights).ok_or_else(|| Error::bug("twiddles of another size"))?;
    let bias = Tensor::F32(ArrayD::zeros(IxDyn(&shape[..1])));
    Ok([b.constant(weights), b.constant(bias)])
}

fn stft(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let mut shape = b.shape(x).to_vec();
    if shape.len() == 2 {
        shape.push(1);
    }
    let parts = parts(&shape)?;
    let [batch, samples, _] = shape[..] else {
        return Err(Error::invalid(format!("the shape {shape:?} is not [batch, samples, 1 or 2]")).part("input 0"));
    };
    let step = required(b, 1, MAX_ELEMENTS)?;
    let window = match b.optional(2)? {
        None => None,
        Some(id) => Some(b.graph.constant(id).and_then(Tensor::f32s).map(<[f32]>::to_vec).ok_or_else(|| {
            Error::unsupported("a window that is computed at run time").instead("a constant").part("input 2")
        })?),
    };
    let frame = match (length(b, 3, samples)?, &window) {
        (Some(frame), Some(window)) if window.len() != frame => {
            return Err(Error::invalid(format!("a window of {} samples for frames of {frame}", window.len())));
        }
        (Some(frame), _) => frame,
        (None, Some(window)) => window.len(),
        (None, None) => return Err(Error::invalid("both window and frame length are missing")),
    };
    let bins = if b.int("onesided", 1)? != 0 { frame / 2 + 1 } else { frame };
    let mut weights = twiddles(bins, frame, parts, frame, false)?;
    if let Some(window) = window {
        weights.iter_mut().enumerate().for_each(|(i, weight)| *weight *= window[i / parts % frame]);
    }
    let x = b.reshape(x, &shape)?;
    let [weights, bias] = linear(b, &[2 * bins, frame, parts], weights)?;
    let window = Window { kernel: vec![frame], strides: vec![step], dilations: vec![1], pads: vec![[0; 2]] };
    let y = b.push(Conv { window, group: 1, clamp: rt::Clamp::NONE }, &[x, weights, bias])?;
    let frames = b.shape(y)[1];
    Ok(vec![b.reshape(y, &[batch, frames, bins, 2])?])
}
