//! The choice of a kernel for an int8 depthwise convolution.

use super::depthwise_s8;
use crate::arch::{Arch, memory};
use crate::fixed::Requantize;
use crate::geometry::Conv2d;
use crate::linear::{Choice, LinearS8, Prefer, plain};
use crate::weights::Aligned;

/// An int8 depthwise convolution, with the kernel that was chosen for it.
///
/// Computes what [`depthwise_s8`] does; [`run`](Self::run) takes the constants as [`pack`](Self::pack) arranged them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DepthwiseS8 {
    geometry: Conv2d,
    requantize: Requantize,
    pad_value: i8,
    body: Body,
}

/// The loops that compute it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// [`depthwise_s8`], inlined into the layer.
    Portable,
    /// [`depthwise_s8`], one copy for all layers.
    PortableShared,
}

impl DepthwiseS8 {
    /// The kernel for a layer. `pad_value` is what padded taps read: the input's zero point. The weights are
    /// `[kh, kw, out_c]`.
    pub const fn choose(p: &Conv2d, pad_value: i8, linear: &LinearS8<'_>, prefer: Prefer, arch: Arch) -> Self {
        let body = match prefer {
            Prefer::Speed => Body::Portable,
            Prefer::Size => Body::PortableShared,
        };
        let _ = arch;
        DepthwiseS8 { geometry: *p, requantize: linear.requantize, pad_value, body }
    }

    /// What was chosen, for reports and plans.
    pub const fn choice(&self) -> Choice {
        Choice {
            name: self.name(),
            remark: "",
            weight_bytes: 4 * self.words(),
            scratch_bytes: 4 * self.scratch_words(),
        }
    }

    const fn name(&self) -> &'static str {
        "depthwise_s8"
    }

    /// Words of work memory: one plane of the input.
    const fn scratch_words(&self) -> usize {
        (self.geometry.input[0] * self.geometry.input[1]).div_ceil(4)
    }

    /// Words of the constants.
    pub const fn words(&self) -> usize {
        LinearS8::plain_words(self.weights(), self.geometry.output[2])
    }

    const fn weights(&self) -> usize {
        let p = &self.geometry;
        p.output[2] * p.kernel[0] * p.kernel[1]
    }

    /// The constants, arranged for this kernel.
    ///
    /// # Panics
    /// If `N` is not [`words`](Self::words), or the constants are not those of the layer: an error of the build where
    /// the result is a static.
    pub const fn pack<const N: usize>(&self, linear: &LinearS8<'_>) -> Aligned<[u32; N]> {
        let mut words = [0; N];
        self.pack_into(linear, &mut words);
        Aligned(words)
    }

    /// [`pack`](Self::pack) into memory of [`words`](Self::words) words.
    pub const fn pack_into(&self, linear: &LinearS8<'_>, words: &mut [u32]) {
        assert!(words.len() == self.words(), "the constants have another length");
        assert!(linear.weights.len() == self.weights() && linear.outputs() == self.geometry.output[2], "weights, bias");
        linear.pack_plain(words);
    }

    /// Computes the layer: `x: [batch, in_h, in_w, in_c]`, `y: [batch, out_h, out_w, out_c]`.
    ///
    /// # Panics
    /// If a slice's length is not that of its shape, `constants` not that of [`pack`](Self::pack), or `scratch` has
    /// fewer bytes than [`choice`](Self::choice) says.
    #[inline(always)]
    pub fn run(&self, constants: &[u32], x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
        let (p, q) = (&self.geometry, &self.requantize);
        let (weights, bias, multipliers) = plain(constants, self.weights(), p.output[2]);
        let _ = scratch;
        match self.body {
            Body::Portable => depthwise_s8(p, q, self.pad_value, weights, bias, multipliers, x, y),
            Body::PortableShared => {
                crate::shared::depthwise_s8(p, q, self.pad_value, weights, bias, multipliers, x, y);
            }
        }
    }

    /// [`run`](Self::run) where the output is the beginning of the input; for as many outputs as input channels, and
    /// no more pixels.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    #[inline(always)]
    pub fn run_in_place(&self, constants: &[u32], xy: &mut [i8], scratch: &mut [u32]) {
        let (weights, bias, multipliers) = plain(constants, self.weights(), self.geometry.output[2]);
        let plane = memory::i8s_mut(scratch);
        depthwise_s8_in_place(&self.geometry, &self.requantize, self.pad_value, weights, bias, multipliers, xy, plane);
    }
}

/// A plane of one channel is copied to `plane`; then nobody else needs what its outputs overwrite.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
fn depthwise_s8_in_place(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    weights: &[i8],
    bias: &[i32],
    multipliers: &[i32],
    xy: &mut [i8],
    plane: &mut [i8],
) {
    let ([in_h, in_w, channels], [out_h, out_w, _]) = (p.input, p.output);
    let plane = &mut plane[..in_h * in_w];
    let taps = p.kernel[0] * p.kernel[1];
    for image in 0..p.batch {
        for c in 0..channels {
            let x = xy[image * in_h * in_w * channels..].iter().skip(c).step_by(channels);
            plane.iter_mut().zip(x).for_each(|(copy, x)| *copy = *x);
            for pixel in 0..out_h * out_w {
                let mut sum = bias[c];
                for tap in 0..taps {
                    let row = pixel / out_w * p.stride[0] + tap / p.kernel[1] * p.dilation[0];
                    let column = pixel % out_w * p.stride[1] + tap % p.kernel[1] * p.dilation[1];
                    let (row, column) = (row.wrapping_sub(p.pad[0]), column.wrapping_sub(p.pad[1]));
                    let x = if row < in_h && column < in_w { plane[row * in_w + column] } else { pad_value };
                    sum += i32::from(x) * i32::from(weights[tap * channels + c]);
                }
                xy[(image * out_h * out_w + pixel) * channels + c] = q.apply(sum, multipliers[c]);
            }
        }
    }
}
