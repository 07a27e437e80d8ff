//! The choice of a kernel for an int8 depthwise convolution.

use super::depthwise_s8;
use crate::arch::Arch;
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
            Prefer::Fastest | Prefer::Speed => Body::Portable,
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

    /// Words of work memory.
    const fn scratch_words(&self) -> usize {
        0
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
}
