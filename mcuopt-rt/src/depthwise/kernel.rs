//! The choice of a kernel for an int8 depthwise convolution.

use super::planar::Planar;
use super::{Planes, depthwise_s8, depthwise_s8_in_place, depthwise_s8_w4, depthwise_s8_w4_in_place, in_place, span};
use crate::arch::{Arch, memory};
use crate::conv::Operands;
use crate::fixed::Requantize;
use crate::geometry::Conv2d;
use crate::linear::{Choice, LinearS8, Order, Prefer, nibble_bytes, plain};
use crate::shared;
use crate::weights::Aligned;

/// An int8 depthwise convolution, with the kernel that was chosen for it.
///
/// Computes what [`depthwise_s8`] does; [`run`](Self::run) takes the constants as [`pack`](Self::pack) arranged them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DepthwiseS8 {
    geometry: Conv2d,
    requantize: Requantize,
    pad_value: i8,
    prefer: Prefer,
    /// What [`works_in_place`](Self::works_in_place) says: asking again would take time and code.
    in_place: bool,
    body: Body,
    remark: &'static str,
}

/// The loops that compute a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// [`depthwise_s8`].
    Portable,
    /// [`depthwise_s8_w4`].
    FourBits,
    /// `arch::dsp::depthwise`.
    Dsp {
        planar: Planar,
        /// With a left shift, or an output range of its own.
        general: bool,
    },
}

impl DepthwiseS8 {
    /// The kernel for a layer. `pad_value` is what padded taps read: the input's zero point. The weights are
    /// `[kh, kw, out_c]`.
    pub const fn choose(p: &Conv2d, pad_value: i8, linear: &LinearS8<'_>, prefer: Prefer, arch: Arch) -> Self {
        Self::new(p, pad_value, linear, false, prefer, arch)
    }

    /// [`choose`](Self::choose) for int4 weights, −8 to 7. Where the fast loops are, these take them as int8: there are few
    /// of them.
    pub const fn choose_w4(p: &Conv2d, pad_value: i8, linear: &LinearS8<'_>, prefer: Prefer, arch: Arch) -> Self {
        Self::new(p, pad_value, linear, true, prefer, arch)
    }

    const fn new(
        p: &Conv2d,
        pad_value: i8,
        linear: &LinearS8<'_>,
        four_bits: bool,
        prefer: Prefer,
        arch: Arch,
    ) -> Self {
        let portable = if four_bits { Body::FourBits } else { Body::Portable };
        let (body, remark) = match arch {
            Arch::Portable => (portable, ""),
            Arch::Dsp if !stays_in_range(p, linear) => (portable, "its sums could overflow when they are shifted left"),
            Arch::Dsp => match Planar::new(p) {
                Ok(planar) => {
                    let q = &linear.requantize;
                    let general = q.left_shift > 0 || q.min > i8::MIN || q.max < i8::MAX;
                    (Body::Dsp { planar, general }, "")
                }
                Err(reason) => (portable, reason),
            },
        };
        DepthwiseS8 {
            geometry: *p,
            requantize: linear.requantize,
            pad_value,
            prefer,
            in_place: in_place(p),
            body,
            remark,
        }
    }

    /// [`Choice::name`]. Alone, it costs less at compile time than all of the choice.
    pub const fn name(&self) -> &'static str {
        match self.body {
            Body::Portable => "depthwise_s8",
            Body::FourBits => "depthwise_s8_w4",
            Body::Dsp { .. } => "depthwise_s8_dsp",
        }
    }

    /// [`Choice::remark`].
    pub const fn remark(&self) -> &'static str {
        self.remark
    }

    /// [`Choice::weight_bytes`].
    pub const fn weight_bytes(&self) -> usize {
        4 * self.words()
    }

    /// What was chosen, for reports and plans.
    pub const fn choice(&self) -> Choice {
        Choice {
            name: self.name(),
            remark: self.remark,
            weight_bytes: self.weight_bytes(),
            scratch_bytes: 4 * self.scratch_words(),
            distance: 0,
            order: Order::Pixels,
        }
    }

    /// How the kernel goes about the layer, for models of its cost; `None` for portable loops.
    pub const fn planes(&self) -> Option<Planes> {
        match self.body {
            Body::Portable | Body::FourBits => None,
            Body::Dsp { planar, general } => Some(planar.planes(general)),
        }
    }

    /// Whether [`run_in_place`](Self::run_in_place) can compute such a layer, whatever the target.
    pub const fn works_in_place(p: &Conv2d) -> bool {
        in_place(p)
    }

    const fn scratch_words(&self) -> usize {
        let p = &self.geometry;
        match self.body {
            // For work in place; otherwise nothing is needed.
            Body::Portable | Body::FourBits if self.in_place => (span(p) * p.input[1] * p.input[2]).div_ceil(4),
            Body::Portable | Body::FourBits => 0,
            Body::Dsp { planar, .. } => planar.plane_words,
        }
    }

    /// Words of the constants.
    pub const fn words(&self) -> usize {
        let outputs = self.geometry.output[2];
        match self.body {
            Body::Portable | Body::FourBits => LinearS8::plain_words(self.weight_len(), outputs),
            Body::Dsp { planar, .. } => outputs * planar.channel_words(),
        }
    }

    /// Bytes of the weights in the portable loops' arrangement.
    const fn weight_len(&self) -> usize {
        if matches!(self.body, Body::FourBits) { nibble_bytes(self.weights(), 1) } else { self.weights() }
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
        match self.body {
            Body::Portable => linear.pack_plain(words),
            Body::FourBits => linear.pack_nibbles(self.weights(), words),
            Body::Dsp { planar, .. } => planar.pack(&self.geometry, linear, words),
        }
    }

    /// Computes the layer: `x: [batch, in_h, in_w, in_c]`, `y: [batch, out_h, out_w, out_c]`.
    ///
    /// # Panics
    /// If a slice's length is not that of its shape, `constants` not that of [`pack`](Self::pack), or `scratch` has
    /// fewer bytes than [`choice`](Self::choice) says.
    #[inline(always)]
    pub fn run(&self, constants: &[u32], x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
        if matches!(self.body, Body::Dsp { .. }) {
            return self.run_dsp(constants, Operands::Apart(x, y), scratch);
        }
        let (p, q, pad) = (&self.geometry, &self.requantize, self.pad_value);
        let (weights, bias, multipliers) = plain(constants, self.weight_len(), p.output[2]);
        if self.body == Body::FourBits {
            return match self.prefer {
                Prefer::Fastest | Prefer::Speed => depthwise_s8_w4(p, q, pad, weights, bias, multipliers, x, y),
                Prefer::Size => shared::depthwise_s8_w4(p, q, pad, weights, bias, multipliers, x, y),
            };
        }
        match self.prefer {
            Prefer::Fastest | Prefer::Speed => depthwise_s8(p, q, pad, weights, bias, multipliers, x, y),
            Prefer::Size => shared::depthwise_s8(p, q, pad, weights, bias, multipliers, x, y),
        }
    }

    /// [`run`](Self::run) in place, if [`works_in_place`](Self::works_in_place) says that it can be done: `xy` is the
    /// input, and its beginning the output.
    ///
    /// # Panics
    /// As [`run`](Self::run), and if it cannot be done in place.
    #[inline(always)]
    pub fn run_in_place(&self, constants: &[u32], xy: &mut [i8], scratch: &mut [u32]) {
        assert!(self.in_place, "this layer cannot work in place");
        if matches!(self.body, Body::Dsp { .. }) {
            return self.run_dsp(constants, Operands::Overlapping(xy, 0), scratch);
        }
        let (p, q, pad) = (&self.geometry, &self.requantize, self.pad_value);
        let (weights, bias, multipliers) = plain(constants, self.weight_len(), p.output[2]);
        let rows = memory::i8s_mut(scratch);
        if self.body == Body::FourBits {
            return match self.prefer {
                Prefer::Fastest | Prefer::Speed => {
                    depthwise_s8_w4_in_place(p, q, pad, weights, bias, multipliers, xy, rows)
                }
                Prefer::Size => shared::depthwise_s8_w4_in_place(p, q, pad, weights, bias, multipliers, xy, rows),
            };
        }
        match self.prefer {
            Prefer::Fastest | Prefer::Speed => depthwise_s8_in_place(p, q, pad, weights, bias, multipliers, xy, rows),
            Prefer::Size => shared::depthwise_s8_in_place(p, q, pad, weights, bias, multipliers, xy, rows),
        }
    }

    /// Only the loop that this layer needs gets into the program, as `self` is a constant where this is inlined.
    #[cfg(mcuopt_dsp)]
    #[inline(always)]
    fn run_dsp(&self, constants: &[u32], operands: Operands<'_>, scratch: &mut [u32]) {
        use crate::arch::dsp::depthwise::{convolve, loops};
        use core::hint::black_box;

        let Body::Dsp { planar, general } = &self.body else { return };
        let loops = loops::<false>(planar, *general);
        // The compiler would make a copy of the driver for each layer's constants, for little speed and much flash.
        let (kernel, planar, loops) = black_box((self, planar, loops));
        let (p, q, pad) = (&kernel.geometry, &kernel.requantize, kernel.pad_value);
        convolve::<false>(p, q, pad, planar, loops, constants, operands, scratch);
    }

    #[cfg(not(mcuopt_dsp))]
    fn run_dsp(&self, _: &[u32], _: Operands<'_>, _: &mut [u32]) {
        panic!("the kernel was chosen for another instruction set");
    }
}

/// Whether no sum, bias included, saturates when it is shifted left.
const fn stays_in_range(p: &Conv2d, linear: &LinearS8<'_>) -> bool {
    let mut o = 0;
    if linear.requantize.left_shift == 0 {
        return true;
    }
    while o < linear.outputs() {
        let products = linear.largest_sum(o, p.output[2], p.kernel[0] * p.kernel[1]);
        if products + linear.bias(o).unsigned_abs() as u64 >= 1 << (31 - linear.requantize.left_shift) {
            return false;
        }
        o += 1;
    }
    true
}
