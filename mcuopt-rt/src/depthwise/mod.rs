//! Depthwise convolution: ONNX Conv with as many groups as input channels.

mod kernel;

pub use kernel::DepthwiseS8;

use crate::fixed::Requantize;
use crate::geometry::{Clamp, Conv2d};
use crate::value::{Value, lanes, store};
use crate::window::{Taps, Window};
use core::ops::Range;

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
    depthwise(p, 0.0, weights, bias, x, y, |_, sum| clamp.apply(sum));
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
    depthwise(p, pad_value, weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
}

#[inline(always)]
fn depthwise<T: Value>(
    p: &Conv2d,
    pad_value: T,
    weights: &[T],
    bias: &[T::Sum],
    x: &[T],
    y: &mut [T],
    finish: impl Fn(usize, T::Sum) -> T,
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
            for (out_x, y) in y.chunks_exact_mut(out_c).enumerate() {
                let columns = Taps::new(out_x, p.stride[1], p.pad[1], p.dilation[1], p.kernel[1], in_w);
                let pixel = Pixel { p, window: Window { rows, columns }, pad_value, weights, bias, image };
                // Many channels at a time, as finding a tap takes as long as several sums.
                let (y16, rest) = pixel.split::<16>(y);
                let (y4, y1) = pixel.split::<4>(rest);
                let mut o = 0;
                for y in y16 {
                    store(y, o, pixel.sums(o), &finish);
                    o += 16;
                }
                for y in y4 {
                    store(y, o, pixel.sums(o), &finish);
                    o += 4;
                }
                for y in y1 {
                    let [sum] = pixel.sums(o);
                    *y = finish(o, sum);
                    o += 1;
                }
            }
        }
    }
}

/// What the channels of one output pixel have in common.
struct Pixel<'a, T: Value> {
    p: &'a Conv2d,
    window: Window,
    pad_value: T,
    weights: &'a [T],
    bias: &'a [T::Sum],
    image: &'a [T],
}

impl<T: Value> Pixel<'_, T> {
    /// Blocks of `N` outputs, if such a block reads `N` neighbouring channels or a single one, and the rest.
    #[inline(always)]
    fn split<'y, const N: usize>(&self, y: &'y mut [T]) -> (&'y mut [[T; N]], &'y mut [T]) {
        let channel_multiplier = self.channel_multiplier();
        if channel_multiplier == 1 || channel_multiplier.is_multiple_of(N) { y.as_chunks_mut() } else { (&mut [], y) }
    }

    #[inline(always)]
    fn channel_multiplier(&self) -> usize {
        self.p.output[2] / self.p.input[2]
    }

    /// The sums of the `N` outputs from `o` on.
    #[inline(always)]
    fn sums<const N: usize>(&self, o: usize) -> [T::Sum; N] {
        let ([_, in_w, in_c], [kernel_h, kernel_w]) = (self.p.input, self.p.kernel);
        let channel = o / self.channel_multiplier();
        let Window { rows, columns } = self.window;
        let mut sums = *lanes(self.bias, o);
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
                    mac(sums, *lanes(x, 0), weights)
                } else {
                    mac(sums, [x[0]; N], weights)
                };
            }
        }
        self.padding(o, sums, done..kernel_h * kernel_w)
    }

    /// Adds a run of taps in the padding.
    #[inline(always)]
    fn padding<const N: usize>(&self, o: usize, mut sums: [T::Sum; N], taps: Range<usize>) -> [T::Sum; N] {
        // Padding of 0 adds nothing.
        if self.pad_value != T::default() {
            for tap in taps {
                sums = mac(sums, [self.pad_value; N], self.weights_at(tap, o));
            }
        }
        sums
    }

    /// The weights of the `N` outputs from `o` on, for one tap.
    #[inline(always)]
    fn weights_at<const N: usize>(&self, tap: usize, o: usize) -> &[T; N] {
        lanes(self.weights, tap * self.p.output[2] + o)
    }
}

/// Adds `x[j] · weights[j]` to `sums[j]`.
#[inline(always)]
fn mac<T: Value, const N: usize>(mut sums: [T::Sum; N], x: [T; N], weights: &[T; N]) -> [T::Sum; N] {
    for j in 0..N {
        sums[j] = T::mac(sums[j], x[j], weights[j]);
    }
    sums
}
