//! Fully connected layers: ONNX Gemm, and MatMul with a constant right-hand side.

use crate::fixed::Requantize;
use crate::geometry::Clamp;
use crate::value::{Value, dot, store};

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
    dense(p, weights, bias, x, y, |_, sum| clamp.apply(sum));
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
    dense(p, weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
}

#[inline(always)]
fn dense<T: Value>(
    p: &Dense,
    weights: &[T],
    bias: &[T::Sum],
    x: &[T],
    y: &mut [T],
    finish: impl Fn(usize, T::Sum) -> T,
) {
    assert_eq!(weights.len(), p.outputs * p.inputs, "weights");
    assert_eq!(bias.len(), p.outputs, "bias");
    assert_eq!(x.len(), p.rows * p.inputs, "x");
    assert_eq!(y.len(), p.rows * p.outputs, "y");

    let (bias4, bias1) = bias.as_chunks::<4>();
    let (weights4, weights1) = weights.split_at(bias4.len() * 4 * p.inputs);
    for (x, y) in x.chunks_exact(p.inputs).zip(y.chunks_exact_mut(p.outputs)) {
        // Four outputs at a time share each load of an input.
        let (y4, y1) = y.as_chunks_mut::<4>();
        let mut o = 0;
        for ((y, bias), weights) in y4.iter_mut().zip(bias4).zip(weights4.chunks_exact(4 * p.inputs)) {
            let rows = core::array::from_fn(|j| &weights[j * p.inputs..][..p.inputs]);
            store(y, o, dot(*bias, x, rows), &finish);
            o += 4;
        }
        for ((y, bias), weights) in y1.iter_mut().zip(bias1).zip(weights1.chunks_exact(p.inputs)) {
            let [sum] = dot([*bias], x, [weights]);
            *y = finish(o, sum);
            o += 1;
        }
    }
}
