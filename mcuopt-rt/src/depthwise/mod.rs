//! Depthwise convolution: ONNX Conv with as many groups as input channels.

mod kernel;
pub(crate) mod planar;

pub use kernel::DepthwiseS8;

use crate::fixed::Requantize;
use crate::geometry::{Clamp, Conv2d};
use crate::value::{Arithmetic, Float, FloatInt8, Int8, Int8x4, Nibbles, Row, lanes, store};
use crate::window::{Taps, Window};
use core::ops::Range;

/// How a kernel for one instruction set goes about a layer: each channel is copied into a plane of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planes {
    /// The image's axis along which the plane's lines run: 0 for columns, 1 for rows.
    pub along: usize,
    /// Distance of neighbouring outputs of a line.
    pub stride: usize,
    /// Pairs of taps of a kernel line.
    pub pairs: usize,
    /// Kernel lines.
    pub taps: usize,
    /// Whether the loop over kernel lines is unrolled.
    pub unrolled: bool,
    /// Whether six outputs of a line are computed together, or four.
    pub wide: bool,
    /// Words of a plane.
    pub words: usize,
    /// How many elements of a line, and how many lines, come from the image.
    pub inside: [usize; 2],
    /// Whether there is a left shift, or an output range of its own.
    pub general: bool,
}

/// Depthwise convolution in f32: output channel `o` reads input channel `o / (out_c / in_c)`, summed in the
/// order ky, kx. `p.groups` is `in_c`.
///
/// | slice | shape |
/// |---|---|
/// | `weights` | `[kh, kw, out_c]`, so that neighbouring channels are neighbours in memory |
/// | `bias` | `[out_c]` |
/// | `x` | `[batch, in_h, in_w, in_c]` |
/// | `y` | `[batch, out_h, out_w, out_c]` |
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn depthwise_f32(p: &Conv2d, clamp: &Clamp, weights: &[f32], bias: &[f32], x: &[f32], y: &mut [f32]) {
    depthwise::<Float>(p, 0.0, weights, bias, x, y, |_, sum| clamp.apply(sum));
}

/// Depthwise convolution in int8: `y = q.apply(bias[o] + Σ x · weights[.., o], multipliers[o])`.
///
/// Shapes as in [`depthwise_f32`], and `multipliers: [out_c]`; padding and bias as in
/// [`conv2d_s8`](crate::conv::conv2d_s8).
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn depthwise_s8(
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
    depthwise::<Int8>(p, pad_value, weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
}

/// [`depthwise_s8`] with int4 weights: two to a byte, the first one in its low half.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn depthwise_s8_w4(
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
    depthwise::<Int8x4>(p, pad_value, weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
}

/// The int4 weights of a depthwise convolution.
#[inline(always)]
pub(crate) fn nibbles<'a>(p: &Conv2d, bytes: &'a [i8]) -> Nibbles<'a> {
    Nibbles::new(bytes, p.kernel[0] * p.kernel[1] * p.output[2])
}

/// Depthwise convolution in f32 with int8 weights: `y = clamp(scales[o] · (bias[o] + Σ x · weights[.., o]))`, summed as in
/// [`depthwise_f32`]. Shapes as there, and `scales: [out_c]`; the bias is in units of the scale.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn depthwise_f32_w8(
    p: &Conv2d,
    clamp: &Clamp,
    weights: &[i8],
    bias: &[f32],
    scales: &[f32],
    x: &[f32],
    y: &mut [f32],
) {
    assert_eq!(scales.len(), p.output[2], "scales");
    depthwise::<FloatInt8>(p, 0.0, weights, bias, x, y, |o, sum| clamp.apply(sum * scales[o]));
}

#[inline(always)]
pub(crate) fn depthwise<M: Arithmetic>(
    p: &Conv2d,
    pad_value: M::X,
    weights: M::Weights<'_>,
    bias: &[M::Bias],
    x: &[M::X],
    y: &mut [M::X],
    finish: impl Fn(usize, M::Sum) -> M::X,
) {
    let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (p.input, p.output);
    assert_eq!(weights.len(), p.kernel[0] * p.kernel[1] * out_c, "weights");
    assert_eq!(bias.len(), out_c, "bias");
    assert_eq!(x.len(), p.batch * in_h * in_w * in_c, "x");
    assert_eq!(y.len(), p.batch * out_h * out_w * out_c, "y");

    let images = x.chunks_exact(in_h * in_w * in_c);
    for (image, y) in images.zip(y.chunks_exact_mut(out_h * out_w * out_c)) {
        for (out_y, y) in y.chunks_exact_mut(out_w * out_c).enumerate() {
            let rows = Taps::new(out_y, p.stride[0], p.pad[0], p.dilation[0], p.kernel[0], in_h);
            row::<M>(p, pad_value, weights, bias, image, rows, y, &finish);
        }
    }
}

/// [`depthwise_s8`] in place: the output is the beginning of `xy`, the input all of it. For as many outputs as input
/// channels, and only if [`DepthwiseS8::works_in_place`] says so. `scratch` holds the input rows that a window spans:
/// as many as its taps span.
///
/// # Panics
/// If a slice's length is not that of its shape, or `scratch` is too short.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn depthwise_s8_in_place(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    weights: &[i8],
    bias: &[i32],
    multipliers: &[i32],
    xy: &mut [i8],
    scratch: &mut [i8],
) {
    assert_eq!(multipliers.len(), p.output[2], "multipliers");
    let finish = |o, sum| q.apply(sum, multipliers[o]);
    depthwise_in_place::<Int8>(p, pad_value, weights, bias, xy, scratch, finish);
}

/// [`depthwise_s8_in_place`] with int4 weights, as [`depthwise_s8_w4`] has them.
///
/// # Panics
/// If a slice's length is not that of its shape, or `scratch` is too short.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn depthwise_s8_w4_in_place(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    weights: &[i8],
    bias: &[i32],
    multipliers: &[i32],
    xy: &mut [i8],
    scratch: &mut [i8],
) {
    assert_eq!(multipliers.len(), p.output[2], "multipliers");
    let finish = |o, sum| q.apply(sum, multipliers[o]);
    depthwise_in_place::<Int8x4>(p, pad_value, nibbles(p, weights), bias, xy, scratch, finish);
}

#[inline(always)]
pub(crate) fn depthwise_in_place<M: Arithmetic>(
    p: &Conv2d,
    pad_value: M::X,
    weights: M::Weights<'_>,
    bias: &[M::Bias],
    xy: &mut [M::X],
    scratch: &mut [M::X],
    finish: impl Fn(usize, M::Sum) -> M::X,
) {
    let ([in_h, in_w, channels], [out_h, out_w, out_c]) = (p.input, p.output);
    assert_eq!(out_c, channels, "as many outputs as inputs");
    assert_eq!(weights.len(), p.kernel[0] * p.kernel[1] * out_c, "weights");
    assert_eq!(bias.len(), out_c, "bias");
    assert_eq!(xy.len(), p.batch * in_h * in_w * channels, "xy");

    let row_len = in_w * channels;
    let held = &mut scratch[..span(p) * row_len];
    let mut done = 0;
    for image in 0..p.batch {
        // Rows from `first` to `next` are held; those before are not needed any more.
        let (mut first, mut next) = (0, 0_usize);
        for out_y in 0..out_h {
            let (start, end) = rows_needed(p, out_y);
            if start > first {
                let kept = next.saturating_sub(start);
                held.copy_within((next - kept - first) * row_len..(next - first) * row_len, 0);
                first = start;
            }
            for y in start.max(next)..end {
                let x = &xy[(image * in_h + y) * row_len..][..row_len];
                held[(y - first) * row_len..][..row_len].copy_from_slice(x);
            }
            next = next.max(end);
            let rows = Taps::new(out_y, p.stride[0], p.pad[0], p.dilation[0], p.kernel[0], in_h).behind(first);
            let y = &mut xy[done..][..out_w * out_c];
            row::<M>(p, pad_value, weights, bias, held, rows, y, &finish);
            done += out_w * out_c;
        }
    }
}

/// How many input rows a window spans.
pub(crate) const fn span(p: &Conv2d) -> usize {
    let span = p.dilation[0] * (p.kernel[0] - 1) + 1;
    if span < p.input[0] { span } else { p.input[0] }
}

/// The first input row that the output row `out_y` or a later one needs, and one past the last that it may need.
const fn rows_needed(p: &Conv2d, out_y: usize) -> (usize, usize) {
    let start = out_y * p.stride[0];
    let end = (start + p.dilation[0] * (p.kernel[0] - 1) + 1).saturating_sub(p.pad[0]);
    let (start, in_h) = (start.saturating_sub(p.pad[0]), p.input[0]);
    (if start < in_h { start } else { in_h }, if end < in_h { end } else { in_h })
}

/// Whether [`depthwise_s8_in_place`] can compute a layer: no output row may overwrite an input row that is neither in
/// held yet nor superfluous. Kernels that have read a whole image before they write it can do no less.
pub(crate) const fn in_place(p: &Conv2d) -> bool {
    let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (p.input, p.output);
    if in_c != out_c {
        return false;
    }
    let mut image = 0;
    while image < p.batch {
        let mut y = 0;
        while y < out_h {
            let free = if y + 1 < out_h {
                let (copied, needed) = (rows_needed(p, y).1, rows_needed(p, y + 1).0);
                if copied > needed { copied } else { needed }
            } else {
                in_h
            };
            if (image * out_h + y + 1) * out_w > (image * in_h + free) * in_w {
                return false;
            }
            y += 1;
        }
        image += 1;
    }
    true
}

/// One row of outputs.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn row<M: Arithmetic>(
    p: &Conv2d,
    pad_value: M::X,
    weights: M::Weights<'_>,
    bias: &[M::Bias],
    image: &[M::X],
    rows: Taps,
    y: &mut [M::X],
    finish: &impl Fn(usize, M::Sum) -> M::X,
) {
    let (in_w, out_c) = (p.input[1], p.output[2]);
    for (out_x, y) in y.chunks_exact_mut(out_c).enumerate() {
        let columns = Taps::new(out_x, p.stride[1], p.pad[1], p.dilation[1], p.kernel[1], in_w);
        let pixel = Pixel::<'_, '_, M> { p, window: Window { rows, columns }, pad_value, weights, bias, image };
        // Many channels at a time, as finding a tap takes as long as several sums.
        let (y16, rest) = pixel.split::<16>(y);
        let (y4, y1) = pixel.split::<4>(rest);
        let mut o = 0;
        for y in y16 {
            store(y, o, pixel.sums(o), finish);
            o += 16;
        }
        for y in y4 {
            store(y, o, pixel.sums(o), finish);
            o += 4;
        }
        for y in y1 {
            let [sum] = pixel.sums(o);
            *y = finish(o, sum);
            o += 1;
        }
    }
}

/// What the channels of one output pixel have in common.
struct Pixel<'a, 'w, M: Arithmetic> {
    p: &'a Conv2d,
    window: Window,
    pad_value: M::X,
    weights: M::Weights<'w>,
    bias: &'a [M::Bias],
    image: &'a [M::X],
}

impl<M: Arithmetic> Pixel<'_, '_, M> {
    /// Blocks of `N` outputs, if such a block reads `N` neighbouring channels or a single one, and the rest.
    #[inline(always)]
    fn split<'y, const N: usize>(&self, y: &'y mut [M::X]) -> (&'y mut [[M::X; N]], &'y mut [M::X]) {
        let channel_multiplier = self.channel_multiplier();
        if channel_multiplier == 1 || channel_multiplier.is_multiple_of(N) { y.as_chunks_mut() } else { (&mut [], y) }
    }

    #[inline(always)]
    fn channel_multiplier(&self) -> usize {
        self.p.output[2] / self.p.input[2]
    }

    /// The sums of the `N` outputs from `o` on.
    #[inline(always)]
    fn sums<const N: usize>(&self, o: usize) -> [M::Sum; N] {
        let ([_, in_w, in_c], [kernel_h, kernel_w]) = (self.p.input, self.p.kernel);
        let channel = o / self.channel_multiplier();
        let Window { rows, columns } = self.window;
        let mut sums: [M::Sum; N] = M::start(*lanes(self.bias, o));
        // How many taps have been summed. What lies between two runs inside the image is padding.
        let mut done = 0;
        for ky in rows.inside() {
            let inside = columns.inside();
            let run = ky * kernel_w + inside.start..ky * kernel_w + inside.end;
            sums = self.padding(o, sums, done..run.start);
            done = run.end;
            let cell = (rows.position(ky) * in_w + columns.position(inside.start)) * in_c;
            for (i, tap) in run.enumerate() {
                let x = &self.image[cell + i * self.p.dilation[1] * in_c + channel..];
                let weights = self.weights_at(tap, o);
                sums = if self.channel_multiplier() == 1 {
                    mac::<M, N>(sums, *lanes(x, 0), weights)
                } else {
                    mac::<M, N>(sums, [x[0]; N], weights)
                };
            }
        }
        self.padding(o, sums, done..kernel_h * kernel_w)
    }

    /// Adds a run of taps in the padding.
    #[inline(always)]
    fn padding<const N: usize>(&self, o: usize, mut sums: [M::Sum; N], taps: Range<usize>) -> [M::Sum; N] {
        // Padding of 0 adds nothing.
        if self.pad_value != M::X::default() {
            for tap in taps {
                sums = mac::<M, N>(sums, [self.pad_value; N], self.weights_at(tap, o));
            }
        }
        sums
    }

    /// The weights of the `N` outputs from `o` on, for one tap.
    #[inline(always)]
    fn weights_at<const N: usize>(&self, tap: usize, o: usize) -> [M::W; N] {
        self.weights.lanes(tap * self.p.output[2] + o)
    }
}

/// Adds `x[j] · weights[j]` to `sums[j]`.
#[inline(always)]
fn mac<M: Arithmetic, const N: usize>(mut sums: [M::Sum; N], x: [M::X; N], weights: [M::W; N]) -> [M::Sum; N] {
    for j in 0..N {
        sums[j] = M::mac(sums[j], x[j], weights[j]);
    }
    sums
}
