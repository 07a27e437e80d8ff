//! Convolutions over up to three axes in plain loops: ONNX Conv for what [`conv`](crate::conv) does not do, and
//! ConvTranspose.

use crate::fixed::Requantize;
use crate::geometry::{Clamp, Window3d};

/// Convolution in f32: `y = clamp(bias[o] + Σ x · weights[o])`.
///
/// | slice | shape |
/// |---|---|
/// | `weights` | `[out_c, kd, kh, kw, in_c / groups]` |
/// | `bias` | `[out_c]` |
/// | `x` | `[batch, in_d, in_h, in_w, in_c]` |
/// | `y` | `[batch, out_d, out_h, out_w, out_c]` |
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn conv3d_f32(p: &Window3d, groups: usize, clamp: &Clamp, weights: &[f32], bias: &[f32], x: &[f32], y: &mut [f32]) {
    let place = |axis, output, tap| p.reads(axis, output, tap);
    convolution(p, groups, weights, bias, x, y, place, |sum, x, w| sum + x * w, |_, sum| clamp.apply(sum));
}

/// Convolution in int8: `y = q.apply(bias[o] + Σ (x − input_zero_point) · weights[o], multipliers[o])`.
///
/// Shapes as in [`conv3d_f32`], and `multipliers: [out_c]`. The compiler proves that the sum fits `i32`.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[allow(clippy::too_many_arguments)]
pub fn conv3d_s8(
    p: &Window3d,
    groups: usize,
    q: &Requantize,
    input_zero_point: i32,
    weights: &[i8],
    bias: &[i32],
    multipliers: &[i32],
    x: &[i8],
    y: &mut [i8],
) {
    assert_eq!(multipliers.len(), p.output[3], "multipliers");
    let place = |axis, output, tap| p.reads(axis, output, tap);
    let multiply = |sum, x, w| sum + (i32::from(x) - input_zero_point) * i32::from(w);
    convolution(p, groups, weights, bias, x, y, place, multiply, |o, sum| q.apply(sum, multipliers[o]));
}

/// Transposed convolution in f32; shapes as in [`conv3d_f32`], where `y` is larger than `x` for a stride above 1.
///
/// Each output sums the taps that reach it, so nothing is written twice.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn conv_transpose_f32(
    p: &Window3d,
    groups: usize,
    clamp: &Clamp,
    weights: &[f32],
    bias: &[f32],
    x: &[f32],
    y: &mut [f32],
) {
    let place = |axis, output, tap| p.receives(axis, output, tap);
    convolution(p, groups, weights, bias, x, y, place, |sum, x, w| sum + x * w, |_, sum| clamp.apply(sum));
}

/// Transposed convolution in int8: [`conv_transpose_f32`] with the arithmetic of [`conv3d_s8`].
///
/// # Panics
/// If a slice's length is not that of its shape.
#[allow(clippy::too_many_arguments)]
pub fn conv_transpose_s8(
    p: &Window3d,
    groups: usize,
    q: &Requantize,
    input_zero_point: i32,
    weights: &[i8],
    bias: &[i32],
    multipliers: &[i32],
    x: &[i8],
    y: &mut [i8],
) {
    assert_eq!(multipliers.len(), p.output[3], "multipliers");
    let place = |axis, output, tap| p.receives(axis, output, tap);
    let multiply = |sum, x, w| sum + (i32::from(x) - input_zero_point) * i32::from(w);
    convolution(p, groups, weights, bias, x, y, place, multiply, |o, sum| q.apply(sum, multipliers[o]));
}

/// `place(axis, output, tap)` is the input that a tap of an output meets, if there is one.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn convolution<T: Copy, S: Copy>(
    p: &Window3d,
    groups: usize,
    weights: &[T],
    bias: &[S],
    x: &[T],
    y: &mut [T],
    place: impl Fn(usize, usize, usize) -> Option<usize>,
    multiply: impl Fn(S, T, T) -> S,
    finish: impl Fn(usize, S) -> T,
) {
    let ([_, _, _, in_c], [_, _, _, out_c]) = (p.input, p.output);
    let (in_cells, out_cells) = p.cells();
    let (in_group, out_group) = (in_c / groups, out_c / groups);
    let taps = p.kernel[0] * p.kernel[1] * p.kernel[2];
    assert_eq!(weights.len(), out_c * taps * in_group, "weights");
    assert_eq!(bias.len(), out_c, "bias");
    assert_eq!(x.len(), p.batch * in_cells * in_c, "x");
    assert_eq!(y.len(), p.batch * out_cells * out_c, "y");

    for (image, y) in x.chunks_exact(in_cells * in_c).zip(y.chunks_exact_mut(out_cells * out_c)) {
        for (cell, y) in y.chunks_exact_mut(out_c).enumerate() {
            let at = p.place(cell);
            for (group, y) in y.chunks_exact_mut(out_group).enumerate() {
                let first = group * out_group;
                let sums = Sums { p, at, image, weights, channels: group * in_group..(group + 1) * in_group };
                let (y4, y1) = y.as_chunks_mut::<4>();
                for (block, y) in y4.iter_mut().enumerate() {
                    let o = first + 4 * block;
                    let starts = [bias[o], bias[o + 1], bias[o + 2], bias[o + 3]];
                    let found = sums.of(o, starts, &place, &multiply);
                    for j in 0..4 {
                        y[j] = finish(o + j, found[j]);
                    }
                }
                for (y, o) in y1.iter_mut().zip(first + 4 * y4.len()..) {
                    let [sum] = sums.of(o, [bias[o]], &place, &multiply);
                    *y = finish(o, sum);
                }
            }
        }
    }
}

/// What the outputs of a group at one place have in common.
struct Sums<'a, T> {
    p: &'a Window3d,
    at: [usize; 3],
    image: &'a [T],
    weights: &'a [T],
    channels: core::ops::Range<usize>,
}

impl<T: Copy> Sums<'_, T> {
    /// The sums of `N` outputs from `o` on.
    #[inline(always)]
    fn of<S: Copy, const N: usize>(
        &self,
        o: usize,
        mut sums: [S; N],
        place: &impl Fn(usize, usize, usize) -> Option<usize>,
        multiply: &impl Fn(S, T, T) -> S,
    ) -> [S; N] {
        let ([kd, kh, kw], [_, in_h, in_w, in_c]) = (self.p.kernel, self.p.input);
        let row = self.channels.len();
        let filter = kd * kh * kw * row;
        for tap_z in 0..kd {
            let Some(z) = place(0, self.at[0], tap_z) else { continue };
            for tap_y in 0..kh {
                let Some(y) = place(1, self.at[1], tap_y) else { continue };
                for tap_x in 0..kw {
                    let Some(x) = place(2, self.at[2], tap_x) else { continue };
                    let pixel = &self.image[((z * in_h + y) * in_w + x) * in_c..][self.channels.clone()];
                    let first = o * filter + ((tap_z * kh + tap_y) * kw + tap_x) * row;
                    let rows: [&[T]; N] = core::array::from_fn(|j| &self.weights[first + j * filter..][..row]);
                    for (i, &x) in pixel.iter().enumerate() {
                        for j in 0..N {
                            sums[j] = multiply(sums[j], x, rows[j][i]);
                        }
                    }
                }
            }
        }
        sums
    }
}
