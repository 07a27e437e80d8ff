//! Fully connected layers: ONNX Gemm, and MatMul with a constant right-hand side.

use crate::fixed::Requantize;
use crate::geometry::Clamp;
use crate::value::{Arithmetic, Float, FloatInt8, Int8, Int8x4, Nibbles, Row, store};

/// A fully connected layer, applied to each row of a matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dense {
    /// Rows of the input and the output: the batch.
    pub rows: usize,
    /// Features of the input.
    pub inputs: usize,
    /// Features of the output.
    pub outputs: usize,
}

/// Fully connected in f32: `y[r][o] = clamp(bias[o] + Σ x[r][i] · weights[o][i])`, in the order of `i`.
///
/// | slice | shape |
/// |---|---|
/// | `weights` | `[outputs, inputs]` |
/// | `bias` | `[outputs]` |
/// | `x` | `[rows, inputs]` |
/// | `y` | `[rows, outputs]` |
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn dense_f32(p: &Dense, clamp: &Clamp, weights: &[f32], bias: &[f32], x: &[f32], y: &mut [f32]) {
    dense::<Float>(p, weights, bias, x, y, |_, sum| clamp.apply(sum));
}

/// Fully connected in int8: `y[r][o] = q.apply(bias[o] + Σ x[r][i] · weights[o][i], multipliers[o])`.
///
/// Shapes as in [`dense_f32`], and `multipliers: [outputs]`. The bias includes `−zero_point · Σ weights[o]`.
/// The sum must fit `i32`: it does for up to 2¹⁶ inputs with a bias below 2³⁰.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn dense_s8(p: &Dense, q: &Requantize, weights: &[i8], bias: &[i32], multipliers: &[i32], x: &[i8], y: &mut [i8]) {
    assert_eq!(multipliers.len(), p.outputs, "multipliers");
    dense::<Int8>(p, weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
}

/// [`dense_s8`] with int4 weights: two to a byte, the first one in its low half, and each output's in bytes of their own.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn dense_s8_w4(
    p: &Dense,
    q: &Requantize,
    weights: &[i8],
    bias: &[i32],
    multipliers: &[i32],
    x: &[i8],
    y: &mut [i8],
) {
    assert_eq!(multipliers.len(), p.outputs, "multipliers");
    let weights = Nibbles::new(weights, p.outputs * Int8x4::stride(p.inputs));
    dense::<Int8x4>(p, weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
}

/// Fully connected in f32 with int8 weights: `y[r][o] = clamp(scales[o] · (bias[o] + Σ x[r][i] · weights[o][i]))`, in the
/// order of `i`. Shapes as in [`dense_f32`], and `scales: [outputs]`; the bias is in units of the scale.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn dense_f32_w8(p: &Dense, clamp: &Clamp, weights: &[i8], bias: &[f32], scales: &[f32], x: &[f32], y: &mut [f32]) {
    assert_eq!(scales.len(), p.outputs, "scales");
    dense::<FloatInt8>(p, weights, bias, x, y, |o, sum| clamp.apply(sum * scales[o]));
}

#[inline(always)]
pub(crate) fn dense<M: Arithmetic>(
    p: &Dense,
    weights: M::Weights<'_>,
    bias: &[M::Bias],
    x: &[M::X],
    y: &mut [M::X],
    finish: impl Fn(usize, M::Sum) -> M::X,
) {
    let row = M::stride(p.inputs);
    assert_eq!(weights.len(), p.outputs * row, "weights");
    assert_eq!(bias.len(), p.outputs, "bias");
    assert_eq!(x.len(), p.rows * p.inputs, "x");
    assert_eq!(y.len(), p.rows * p.outputs, "y");

    let (bias4, bias1) = bias.as_chunks::<4>();
    for (x, y) in x.chunks_exact(p.inputs).zip(y.chunks_exact_mut(p.outputs)) {
        // Four outputs at a time share each load of an input.
        let (y4, y1) = y.as_chunks_mut::<4>();
        let mut o = 0;
        for (y, bias) in y4.iter_mut().zip(bias4) {
            let weights = weights.part(o * row, 4 * row);
            let rows: [_; 4] = core::array::from_fn(|j| weights.part(j * row, p.inputs));
            store(y, o, M::dot(M::start(*bias), x, rows), &finish);
            o += 4;
        }
        for (y, bias) in y1.iter_mut().zip(bias1) {
            let [sum] = M::dot(M::start([*bias]), x, [weights.part(o * row, p.inputs)]);
            *y = finish(o, sum);
            o += 1;
        }
    }
}
