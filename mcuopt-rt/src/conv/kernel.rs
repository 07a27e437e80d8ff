//! The choice of a kernel for an int8 convolution or dense layer.

use super::conv2d_s8;
use crate::arch::{Arch, memory};
use crate::dense::{Dense, dense_s8};
use crate::fixed::Requantize;
use crate::geometry::Conv2d;
use crate::linear::{Choice, LinearS8, Prefer, plain};
use crate::weights::Aligned;

/// An int8 convolution or dense layer, with the kernel that was chosen for it.
///
/// Computes what [`conv2d_s8`] does; [`run`](Self::run) takes the constants as [`pack`](Self::pack) arranged them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvS8 {
    geometry: Conv2d,
    requantize: Requantize,
    pad_value: i8,
    body: Body,
    scratch_words: usize,
}

/// The loops that compute it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// [`conv2d_s8`], inlined into the layer.
    Portable,
    /// [`conv2d_s8`], one copy for all layers.
    PortableShared,
    /// [`dense_s8`], inlined into the layer.
    PortableDense,
    /// [`dense_s8`], one copy for all layers.
    PortableDenseShared,
}

impl ConvS8 {
    /// The kernel for a convolution. `pad_value` is what padded taps read: the input's zero point.
    pub const fn choose(p: &Conv2d, pad_value: i8, linear: &LinearS8<'_>, prefer: Prefer, arch: Arch) -> Self {
        let body = match prefer {
            Prefer::Speed => Body::Portable,
            Prefer::Size => Body::PortableShared,
        };
        let _ = arch;
        // One pixel's outputs, where they may lie over its inputs.
        let scratch_words = p.output[2].div_ceil(4);
        ConvS8 { geometry: *p, requantize: linear.requantize, pad_value, body, scratch_words }
    }

    /// The kernel for a dense layer: a convolution over `rows` pixels.
    pub const fn choose_dense(p: &Dense, linear: &LinearS8<'_>, prefer: Prefer, arch: Arch) -> Self {
        let geometry = Conv2d {
            batch: 1,
            input: [1, p.rows, p.inputs],
            output: [1, p.rows, p.outputs],
            kernel: [1, 1],
            stride: [1, 1],
            pad: [0, 0],
            dilation: [1, 1],
            groups: 1,
        };
        let chosen = Self::choose(&geometry, 0, linear, prefer, arch);
        let body = match chosen.body {
            Body::Portable => Body::PortableDense,
            Body::PortableShared => Body::PortableDenseShared,
            other => other,
        };
        ConvS8 { body, ..chosen }
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
        match self.body {
            Body::Portable | Body::PortableShared => "conv2d_s8",
            Body::PortableDense | Body::PortableDenseShared => "dense_s8",
        }
    }

    /// Words of work memory.
    const fn scratch_words(&self) -> usize {
        self.scratch_words
    }

    /// Words of the constants.
    pub const fn words(&self) -> usize {
        LinearS8::plain_words(self.weights(), self.geometry.output[2])
    }

    const fn weights(&self) -> usize {
        let p = &self.geometry;
        p.output[2] * p.kernel[0] * p.kernel[1] * (p.input[2] / p.groups)
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
        let dense = Dense { rows: p.input[1], inputs: p.input[2], outputs: p.output[2] };
        let (weights, bias, multipliers) = plain(constants, self.weights(), p.output[2]);
        let _ = scratch;
        match self.body {
            Body::Portable => conv2d_s8(p, q, self.pad_value, weights, bias, multipliers, x, y),
            Body::PortableShared => {
                crate::shared::conv2d_s8(p, q, self.pad_value, weights, bias, multipliers, x, y);
            }
            Body::PortableDense => dense_s8(&dense, q, weights, bias, multipliers, x, y),
            Body::PortableDenseShared => crate::shared::dense_s8(&dense, q, weights, bias, multipliers, x, y),
        }
    }

    /// [`run`](Self::run) where input and output share memory: the output is the beginning of `xy`, the input starts
    /// at `x_start`, which is at least [`Conv2d::distance`].
    ///
    /// # Panics
    /// As [`run`](Self::run), and if `xy` is too short for either.
    #[inline(always)]
    pub fn run_overlapping(&self, constants: &[u32], x_start: usize, xy: &mut [i8], scratch: &mut [u32]) {
        let (p, q) = (&self.geometry, &self.requantize);
        let (weights, bias, multipliers) = plain(constants, self.weights(), p.output[2]);
        let pixel = memory::i8s_mut(scratch);
        match self.body {
            Body::Portable | Body::PortableDense => {
                super::conv2d_s8_overlapping(p, q, self.pad_value, weights, bias, multipliers, x_start, xy, pixel);
            }
            Body::PortableShared | Body::PortableDenseShared => {
                crate::shared::conv2d_s8_overlapping(
                    p,
                    q,
                    self.pad_value,
                    weights,
                    bias,
                    multipliers,
                    x_start,
                    xy,
                    pixel,
                );
            }
        }
    }
}
