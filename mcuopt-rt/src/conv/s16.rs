//! Convolutions and dense layers on int16 activations.

use super::conv2d;
use crate::arch::{Arch, memory};
use crate::dense::{Dense, dense};
use crate::depthwise::{depthwise, depthwise_in_place, in_place, span};
use crate::fixed::RequantizeS16;
use crate::geometry::Conv2d;
use crate::linear::{Choice, LinearS16, Order, Prefer, nibble_bytes, plain};
use crate::value::{Arithmetic, Int16x4, Int16x8, Int16x8Wide, Nibbles};
use crate::weights::Aligned;

/// A convolution, depthwise convolution or dense layer of int16 activations and int8 or int4 weights, with the loops that
/// were chosen for it.
///
/// `y = q.apply(bias[o] + Σ x · weights[o], multipliers[o])`, with sums of 32 bits where the weights prove that these are
/// enough for any activations, else of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvS16 {
    geometry: Conv2d,
    kind: Kind,
    requantize: RequantizeS16,
    pad_value: i16,
    /// Whether sums need 64 bits.
    wide: bool,
    four_bits: bool,
    prefer: Prefer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Conv,
    Depthwise,
    Dense,
}

impl ConvS16 {
    /// The kernel for a convolution. `pad_value` is what padded taps read: the input's zero point. The weights are
    /// `[out_c, kh, kw, in_c / groups]`.
    pub const fn choose(p: &Conv2d, pad_value: i16, linear: &LinearS16<'_>, prefer: Prefer, arch: Arch) -> Self {
        Self::new(p, Kind::Conv, pad_value, linear, prefer, arch)
    }

    /// The kernel for a depthwise convolution, likewise. The weights are `[kh, kw, out_c]`.
    pub const fn choose_depthwise(
        p: &Conv2d,
        pad_value: i16,
        linear: &LinearS16<'_>,
        prefer: Prefer,
        arch: Arch,
    ) -> Self {
        Self::new(p, Kind::Depthwise, pad_value, linear, prefer, arch)
    }

    /// The kernel for a dense layer. The weights are `[outputs, inputs]`.
    pub const fn choose_dense(p: &Dense, linear: &LinearS16<'_>, prefer: Prefer, arch: Arch) -> Self {
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
        Self::new(&geometry, Kind::Dense, 0, linear, prefer, arch)
    }

    const fn new(p: &Conv2d, kind: Kind, pad_value: i16, linear: &LinearS16<'_>, prefer: Prefer, _: Arch) -> Self {
        let (outputs, mut o, mut wide) = (p.output[2], 0, false);
        let taps = p.kernel[0] * p.kernel[1] * if matches!(kind, Kind::Depthwise) { 1 } else { p.input[2] / p.groups };
        while o < outputs {
            let (first, stride) = if matches!(kind, Kind::Depthwise) { (o, outputs) } else { (o * taps, 1) };
            // `largest_sum` counts with activations of 8 bits.
            let largest = 256 * linear.largest_sum(first, stride, taps) + linear.bias(o).unsigned_abs() as u64;
            if largest > i32::MAX as u64 || largest << linear.requantize.left_shift > i32::MAX as u64 {
                wide = true;
            }
            o += 1;
        }
        // Wide sums are rare; for them the weights are unpacked.
        let four_bits = linear.four_bits && !wide;
        ConvS16 { geometry: *p, kind, requantize: linear.requantize, pad_value, wide, four_bits, prefer }
    }

    /// [`Choice::name`].
    pub const fn name(&self) -> &'static str {
        match (self.kind, self.wide, self.four_bits) {
            (Kind::Conv, true, _) => "conv2d_s16_wide",
            (Kind::Conv, false, false) => "conv2d_s16",
            (Kind::Conv, false, true) => "conv2d_s16_w4",
            (Kind::Depthwise, true, _) => "depthwise_s16_wide",
            (Kind::Depthwise, false, false) => "depthwise_s16",
            (Kind::Depthwise, false, true) => "depthwise_s16_w4",
            (Kind::Dense, true, _) => "dense_s16_wide",
            (Kind::Dense, false, false) => "dense_s16",
            (Kind::Dense, false, true) => "dense_s16_w4",
        }
    }

    /// [`Choice::remark`].
    pub const fn remark(&self) -> &'static str {
        if self.wide { "its sums need 64 bits" } else { "" }
    }

    /// [`Choice::weight_bytes`].
    pub const fn weight_bytes(&self) -> usize {
        4 * self.words()
    }

    /// What was chosen, for reports and plans.
    pub const fn choice(&self) -> Choice {
        Choice {
            name: self.name(),
            remark: self.remark(),
            weight_bytes: self.weight_bytes(),
            scratch_bytes: 4 * self.scratch_words(),
            distance: 0,
            order: Order::Pixels,
        }
    }

    /// Whether [`run_in_place`](Self::run_in_place) can compute a depthwise convolution.
    pub const fn works_in_place(p: &Conv2d) -> bool {
        in_place(p)
    }

    /// The input rows that a window spans, for work in place.
    const fn scratch_words(&self) -> usize {
        let p = &self.geometry;
        let is_possible = matches!(self.kind, Kind::Depthwise) && in_place(p);
        if is_possible { (span(p) * p.input[1] * p.input[2]).div_ceil(2) } else { 0 }
    }

    /// Taps of a filter, and how many filters lie one behind the other.
    const fn rows(&self) -> (usize, usize) {
        let p = &self.geometry;
        let taps = p.kernel[0] * p.kernel[1];
        match self.kind {
            Kind::Depthwise => (taps * p.output[2], 1),
            Kind::Conv | Kind::Dense => (taps * (p.input[2] / p.groups), p.output[2]),
        }
    }

    const fn weight_len(&self) -> usize {
        let (row, rows) = self.rows();
        if self.four_bits { nibble_bytes(row, rows) } else { row * rows }
    }

    /// Words of the constants.
    pub const fn words(&self) -> usize {
        LinearS16::plain_words(self.weight_len(), self.geometry.output[2])
    }

    /// The constants, arranged for this kernel.
    ///
    /// # Panics
    /// If `N` is not [`words`](Self::words), or the constants are not those of the layer: an error of the build where
    /// the result is a static.
    pub const fn pack<const N: usize>(&self, linear: &LinearS16<'_>) -> Aligned<[u32; N]> {
        let mut words = [0; N];
        self.pack_into(linear, &mut words);
        Aligned(words)
    }

    /// [`pack`](Self::pack) into memory of [`words`](Self::words) words.
    pub const fn pack_into(&self, linear: &LinearS16<'_>, words: &mut [u32]) {
        let (row, rows) = self.rows();
        assert!(words.len() == self.words(), "the constants have another length");
        assert!(linear.weights.len() == row * rows && linear.outputs() == self.geometry.output[2], "weights, bias");
        if self.four_bits {
            linear.pack_nibbles(row, words);
        } else {
            linear.pack_plain(words);
        }
    }

    /// Computes the layer: `x: [batch, in_h, in_w, in_c]`, `y: [batch, out_h, out_w, out_c]`.
    ///
    /// # Panics
    /// If a slice's length is not that of its shape, or `constants` not that of [`pack`](Self::pack).
    #[inline(always)]
    pub fn run(&self, constants: &[u32], x: &[i16], y: &mut [i16], _: &mut [u32]) {
        match self.prefer {
            Prefer::Fastest | Prefer::Speed => self.inlined(constants, x, y),
            Prefer::Size => self.shared(constants, x, y),
        }
    }

    /// [`run`](Self::run) in place, for a depthwise convolution of which [`works_in_place`](Self::works_in_place) says that
    /// it can be done: `xy` is the input, and its beginning the output. One copy for all layers.
    ///
    /// # Panics
    /// As [`run`](Self::run), if it cannot be done in place, or if `scratch` has fewer bytes than
    /// [`choice`](Self::choice) says.
    #[inline(never)]
    pub fn run_in_place(&self, constants: &[u32], xy: &mut [i16], scratch: &mut [u32]) {
        let (p, q, pad) = (&self.geometry, &self.requantize, self.pad_value);
        assert!(self.kind == Kind::Depthwise && in_place(p), "this layer cannot work in place");
        let (weights, bias, multipliers) = plain(constants, self.weight_len(), p.output[2]);
        let rows = memory::i16s_mut(scratch);
        match (self.wide, self.four_bits) {
            (true, _) => {
                let finish = |o: usize, sum: i64| q.apply_wide(sum, multipliers[o]);
                depthwise_in_place::<Int16x8Wide>(p, pad, weights, bias, xy, rows, finish);
            }
            (false, false) => {
                let finish = |o: usize, sum: i32| q.apply(sum, multipliers[o]);
                depthwise_in_place::<Int16x8>(p, pad, weights, bias, xy, rows, finish);
            }
            (false, true) => {
                let finish = |o: usize, sum: i32| q.apply(sum, multipliers[o]);
                let weights = Nibbles::new(weights, self.rows().0);
                depthwise_in_place::<Int16x4>(p, pad, weights, bias, xy, rows, finish);
            }
        }
    }

    /// [`inlined`](Self::inlined), one copy for all layers.
    #[inline(never)]
    fn shared(&self, constants: &[u32], x: &[i16], y: &mut [i16]) {
        core::hint::black_box(self).inlined(constants, x, y);
    }

    #[inline(always)]
    fn inlined(&self, constants: &[u32], x: &[i16], y: &mut [i16]) {
        let q = &self.requantize;
        let (weights, bias, multipliers) = plain(constants, self.weight_len(), self.geometry.output[2]);
        match (self.wide, self.four_bits) {
            (true, _) => {
                let finish = |o: usize, sum: i64| q.apply_wide(sum, multipliers[o]);
                self.layer::<Int16x8Wide>(weights, bias, x, y, finish);
            }
            (false, false) => self.layer::<Int16x8>(weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o])),
            (false, true) => {
                let (row, rows) = self.rows();
                // Depthwise weights are one row.
                let len = if self.kind == Kind::Depthwise { row } else { rows * Int16x4::stride(row) };
                let weights = Nibbles::new(weights, len);
                self.layer::<Int16x4>(weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
            }
        }
    }

    #[inline(always)]
    fn layer<M: Arithmetic<X = i16>>(
        &self,
        weights: M::Weights<'_>,
        bias: &[M::Bias],
        x: &[i16],
        y: &mut [i16],
        finish: impl Fn(usize, M::Sum) -> i16,
    ) {
        let p = &self.geometry;
        match self.kind {
            Kind::Conv => conv2d::<M>(p, self.pad_value, weights, bias, x, y, finish),
            Kind::Depthwise => depthwise::<M>(p, self.pad_value, weights, bias, x, y, finish),
            Kind::Dense => {
                let p = Dense { rows: p.input[1], inputs: p.input[2], outputs: p.output[2] };
                dense::<M>(&p, weights, bias, x, y, finish);
            }
        }
    }
}
