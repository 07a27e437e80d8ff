//! ONNX Conv: any groups, strides, dilations and padding.

mod kernel;
mod s16;
pub(crate) mod stream;
pub(crate) mod winograd;

pub use kernel::ConvS8;
pub use s16::ConvS16;

use crate::fixed::Requantize;
use crate::geometry::{Clamp, Conv2d};
use crate::value::{Arithmetic, Float, FloatInt8, Int8, Int8x4, Nibbles, Row, short_dot, store};
use crate::window::{Taps, Window};

/// How a kernel for one instruction set goes about a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tiling {
    /// The geometry that it works on: pixels that depend on a single one each are a row.
    pub geometry: Conv2d,
    /// Taps of a filter, those included that fill up words.
    pub taps: usize,
    /// Bytes of a kernel row.
    pub row_bytes: usize,
    /// The rows and the columns of outputs, first and one past the last, whose taps are read where they are in the image.
    pub inside: [[usize; 2]; 2],
    /// Whether the sums of every second filter are split off.
    pub split: bool,
    /// Whether there is a left shift, or an output range of its own.
    pub general: bool,
}

/// Where the input and the output of a layer are.
#[cfg_attr(not(mcuopt_dsp), allow(dead_code, reason = "only fast kernels look inside"))]
pub(crate) enum Operands<'a> {
    /// In different memory.
    Apart(&'a [i8], &'a mut [i8]),
    /// The output is the beginning of the slice, the input starts at the index: at least [`Conv2d::distance`].
    Overlapping(&'a mut [i8], usize),
}

/// Convolution in f32: `y = clamp(bias[o] + Σ x · weights[o])`, summed in the order ky, kx, channel.
///
/// | slice | shape |
/// |---|---|
/// | `weights` | `[out_c, kh, kw, in_c / groups]` |
/// | `bias` | `[out_c]` |
/// | `x` | `[batch, in_h, in_w, in_c]` |
/// | `y` | `[batch, out_h, out_w, out_c]` |
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn conv2d_f32(p: &Conv2d, clamp: &Clamp, weights: &[f32], bias: &[f32], x: &[f32], y: &mut [f32]) {
    conv2d::<Float>(p, 0.0, weights, bias, x, y, |_, sum| clamp.apply(sum));
}

/// Convolution in int8: `y = q.apply(bias[o] + Σ x · weights[o], multipliers[o])`.
///
/// Shapes as in [`conv2d_f32`], and `multipliers: [out_c]`. The sum runs over all kernel taps; one in the
/// padding reads `pad_value`, the input's zero point. The bias includes `−zero_point · Σ weights[o]`, so no
/// offset is added here. The compiler proves that the sum fits `i32`: it does for any `kh · kw · in_c / groups`
/// up to 2¹⁶ with a bias below 2³⁰.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn conv2d_s8(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    weights: &[i8],
    bias: &[i32],
    multipliers: &[i32],
    x: &[i8],
    y: &mut [i8],
) {
    assert_eq!(multipliers.len(), p.output[2], "multipliers");
    conv2d::<Int8>(p, pad_value, weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
}

/// [`conv2d_s8`] with int4 weights: two to a byte, the first one in its low half, and each output channel's in bytes of
/// their own. The same bytes come out as with the same weights in int8.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn conv2d_s8_w4(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    weights: &[i8],
    bias: &[i32],
    multipliers: &[i32],
    x: &[i8],
    y: &mut [i8],
) {
    assert_eq!(multipliers.len(), p.output[2], "multipliers");
    let weights = nibbles(p, weights);
    conv2d::<Int8x4>(p, pad_value, weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
}

/// The int4 weights of a convolution.
#[inline(always)]
pub(crate) fn nibbles<'a>(p: &Conv2d, bytes: &'a [i8]) -> Nibbles<'a> {
    let taps = p.kernel[0] * p.kernel[1] * (p.input[2] / p.groups);
    Nibbles::new(bytes, p.output[2] * Int8x4::stride(taps))
}

/// Convolution in f32 with int8 weights: `y = clamp(scales[o] · (bias[o] + Σ x · weights[o]))`, summed as in
/// [`conv2d_f32`]. Shapes as there, and `scales: [out_c]`; the bias is in units of the scale.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn conv2d_f32_w8(
    p: &Conv2d,
    clamp: &Clamp,
    weights: &[i8],
    bias: &[f32],
    scales: &[f32],
    x: &[f32],
    y: &mut [f32],
) {
    assert_eq!(scales.len(), p.output[2], "scales");
    conv2d::<FloatInt8>(p, 0.0, weights, bias, x, y, |o, sum| clamp.apply(sum * scales[o]));
}

#[inline(always)]
pub(crate) fn conv2d<M: Arithmetic>(
    p: &Conv2d,
    pad_value: M::X,
    weights: M::Weights<'_>,
    bias: &[M::Bias],
    x: &[M::X],
    y: &mut [M::X],
    finish: impl Fn(usize, M::Sum) -> M::X,
) {
    let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (p.input, p.output);
    let taps = p.kernel[0] * p.kernel[1] * (in_c / p.groups);
    assert_eq!(weights.len(), out_c * M::stride(taps), "weights");
    assert_eq!(bias.len(), out_c, "bias");
    assert_eq!(x.len(), p.batch * in_h * in_w * in_c, "x");
    assert_eq!(y.len(), p.batch * out_h * out_w * out_c, "y");

    for (image, y) in x.chunks_exact(in_h * in_w * in_c).zip(y.chunks_exact_mut(out_h * out_w * out_c)) {
        for (out_y, y) in y.chunks_exact_mut(out_w * out_c).enumerate() {
            for (out_x, y) in y.chunks_exact_mut(out_c).enumerate() {
                pixel::<M>(p, pad_value, weights, bias, image, [out_y, out_x], y, &finish);
            }
        }
    }
}

/// [`conv2d_s8`] where input and output share memory: `y` is the beginning of `xy`, `x` starts at `x_start`, which is
/// at least [`Conv2d::distance`]. `scratch` holds a pixel's outputs: `out_c` elements.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn conv2d_s8_overlapping(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    weights: &[i8],
    bias: &[i32],
    multipliers: &[i32],
    x_start: usize,
    xy: &mut [i8],
    scratch: &mut [i8],
) {
    assert_eq!(multipliers.len(), p.output[2], "multipliers");
    let finish = |o, sum| q.apply(sum, multipliers[o]);
    conv2d_overlapping::<Int8>(p, pad_value, weights, bias, x_start, xy, scratch, finish);
}

/// [`conv2d_s8_overlapping`] with int4 weights, as [`conv2d_s8_w4`] has them.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn conv2d_s8_w4_overlapping(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    weights: &[i8],
    bias: &[i32],
    multipliers: &[i32],
    x_start: usize,
    xy: &mut [i8],
    scratch: &mut [i8],
) {
    assert_eq!(multipliers.len(), p.output[2], "multipliers");
    let finish = |o, sum| q.apply(sum, multipliers[o]);
    conv2d_overlapping::<Int8x4>(p, pad_value, nibbles(p, weights), bias, x_start, xy, scratch, finish);
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn conv2d_overlapping<M: Arithmetic>(
    p: &Conv2d,
    pad_value: M::X,
    weights: M::Weights<'_>,
    bias: &[M::Bias],
    x_start: usize,
    xy: &mut [M::X],
    scratch: &mut [M::X],
    finish: impl Fn(usize, M::Sum) -> M::X,
) {
    let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (p.input, p.output);
    let outputs = &mut scratch[..out_c];
    let mut done = 0;
    for image in 0..p.batch {
        for out_y in 0..out_h {
            for out_x in 0..out_w {
                let x = &xy[x_start + image * in_h * in_w * in_c..][..in_h * in_w * in_c];
                pixel::<M>(p, pad_value, weights, bias, x, [out_y, out_x], outputs, &finish);
                xy[done..][..out_c].copy_from_slice(outputs);
                done += out_c;
            }
        }
    }
}

/// All outputs of one pixel.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn pixel<M: Arithmetic>(
    p: &Conv2d,
    pad_value: M::X,
    weights: M::Weights<'_>,
    bias: &[M::Bias],
    image: &[M::X],
    [out_y, out_x]: [usize; 2],
    y: &mut [M::X],
    finish: impl Fn(usize, M::Sum) -> M::X,
) {
    let [in_h, in_w, in_c] = p.input;
    let filter = M::stride(p.kernel[0] * p.kernel[1] * (in_c / p.groups));
    let group_outputs = p.output[2] / p.groups;
    let rows = Taps::new(out_y, p.stride[0], p.pad[0], p.dilation[0], p.kernel[0], in_h);
    let columns = Taps::new(out_x, p.stride[1], p.pad[1], p.dilation[1], p.kernel[1], in_w);
    let window = Window { rows, columns };
    let groups = y.chunks_exact_mut(group_outputs).zip(bias.chunks_exact(group_outputs));
    for (group, (y, bias)) in groups.enumerate() {
        // Four outputs at a time share each load of an activation.
        let (y4, y1) = y.as_chunks_mut::<4>();
        let (bias4, bias1) = bias.as_chunks::<4>();
        let mut o = group * group_outputs;
        for (y, bias) in y4.iter_mut().zip(bias4) {
            let weights = weights.part(o * filter, 4 * filter);
            store(y, o, sum::<M, 4>(p, &window, group, pad_value, weights, M::start(*bias), image), &finish);
            o += 4;
        }
        for (y, bias) in y1.iter_mut().zip(bias1) {
            let weights = weights.part(o * filter, filter);
            let [sum] = sum::<M, 1>(p, &window, group, pad_value, weights, M::start([*bias]), image);
            *y = finish(o, sum);
            o += 1;
        }
    }
}

/// The sums of `N` output channels of one group, at one pixel. `weights` are those of the `N` channels.
#[inline(always)]
fn sum<M: Arithmetic, const N: usize>(
    p: &Conv2d,
    window: &Window,
    group: usize,
    pad_value: M::X,
    weights: M::Weights<'_>,
    bias: [M::Sum; N],
    image: &[M::X],
) -> [M::Sum; N] {
    let ([_, in_w, in_c], [kernel_h, kernel_w]) = (p.input, p.kernel);
    let depth = in_c / p.groups;
    let row_len = kernel_w * depth;
    let filter = M::stride(kernel_h * row_len);
    let weights: [M::Weights<'_>; N] = core::array::from_fn(|j| weights.part(j * filter, kernel_h * row_len));
    if !window.whole() {
        // The pixels at the border are usually few, and one copy of the code serves all layers. With short rows,
        // though, run-time parameters would cost more than the sums.
        return if short(p) {
            border::<M, N>(p, window, group, pad_value, weights, bias, image)
        } else {
            shared_border::<M, N>(p, window, group, pad_value, weights, bias, image)
        };
    }

    // All lengths are constants here, if `p` is one.
    let first = (window.rows.position(0) * in_w + window.columns.position(0)) * in_c;
    let image = &image[first + group * depth..];
    let mut sums = bias;
    for ky in 0..kernel_h {
        let row = &image[ky * p.dilation[0] * in_w * in_c..];
        if neighbours(p) {
            sums = M::dot(sums, &row[..row_len], weights.map(|w| w.part(ky * row_len, row_len)));
        } else {
            for kx in 0..kernel_w {
                let x = &row[kx * p.dilation[1] * in_c..][..depth];
                sums = M::dot(sums, x, weights.map(|w| w.part(ky * row_len + kx * depth, depth)));
            }
        }
    }
    sums
}

/// [`sum`] for a window that reaches into the padding, with the weights of each channel apart.
#[inline(always)]
fn border<M: Arithmetic, const N: usize>(
    p: &Conv2d,
    window: &Window,
    group: usize,
    pad_value: M::X,
    weights: [M::Weights<'_>; N],
    bias: [M::Sum; N],
    image: &[M::X],
) -> [M::Sum; N] {
    let ([_, in_w, in_c], [kernel_h, kernel_w]) = (p.input, p.kernel);
    let depth = in_c / p.groups;
    let Window { rows, columns } = window;
    let mut sums = bias;
    // How much of the kernel has been summed. What lies between two runs inside the image is padding.
    let mut done = 0;
    for ky in rows.inside() {
        let row = &image[rows.position(ky) * in_w * in_c..][..in_w * in_c];
        let inside = columns.inside();
        let run = (ky * kernel_w + inside.start) * depth..(ky * kernel_w + inside.end) * depth;
        sums = padding::<M, N>(sums, pad_value, weights.map(|w| w.part(done, run.start - done)));
        if neighbours(p) {
            let x = &row[columns.position(inside.start) * in_c..][..run.len()];
            let weights = weights.map(|w| w.part(run.start, run.len()));
            sums = if short(p) { short_dot::<M, N>(sums, x, weights) } else { M::dot(sums, x, weights) };
        } else {
            for kx in inside {
                let x = &row[columns.position(kx) * in_c + group * depth..][..depth];
                sums = M::dot(sums, x, weights.map(|w| w.part((ky * kernel_w + kx) * depth, depth)));
            }
        }
        done = run.end;
    }
    padding::<M, N>(sums, pad_value, weights.map(|w| w.part(done, kernel_h * kernel_w * depth - done)))
}

/// [`border`], compiled once.
#[inline(never)]
fn shared_border<M: Arithmetic, const N: usize>(
    p: &Conv2d,
    window: &Window,
    group: usize,
    pad_value: M::X,
    weights: [M::Weights<'_>; N],
    bias: [M::Sum; N],
    image: &[M::X],
) -> [M::Sum; N] {
    border::<M, N>(p, window, group, pad_value, weights, bias, image)
}

/// Adds `pad_value · Σ weights[j]` to `sums[j]`, all of the same length.
#[inline(always)]
fn padding<M: Arithmetic, const N: usize>(
    mut sums: [M::Sum; N],
    pad_value: M::X,
    weights: [M::Weights<'_>; N],
) -> [M::Sum; N] {
    // Padding of 0 adds nothing.
    if pad_value != M::X::default() {
        let len = weights[0].len();
        let weights = weights.map(|w| w.part(0, len));
        #[allow(clippy::needless_range_loop)] // One loop for all channels.
        for i in 0..len {
            for j in 0..N {
                sums[j] = M::mac(sums[j], pad_value, weights[j].get(i));
            }
        }
    }
    sums
}

/// Whether a kernel row is short: the first layer of a network, often.
#[inline(always)]
fn short(p: &Conv2d) -> bool {
    p.kernel[1] * (p.input[2] / p.groups) < 16
}

/// Whether a kernel row reads neighbouring pixels with all their channels: one run in memory.
#[inline(always)]
fn neighbours(p: &Conv2d) -> bool {
    p.groups == 1 && p.dilation[1] == 1
}
