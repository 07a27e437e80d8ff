//! Convolutions and dense layers on int16 activations.

use super::stream::{self, Form, Sizes};
use super::{Operands, Tiling, conv2d, conv2d_overlapping};
use crate::arch::{Arch, memory};
use crate::dense::{Dense, dense};
use crate::depthwise::planar::Planar;
use crate::depthwise::{Planes, depthwise, depthwise_in_place, in_place, span};
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
    sizes: Sizes,
    kind: Kind,
    requantize: RequantizeS16,
    pad_value: i16,
    prefer: Prefer,
    body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Conv,
    Depthwise,
    Dense,
}

/// The loops that compute a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// With sums of 64 bits.
    Wide,
    Portable,
    FourBits,
    /// `arch::dsp::convolution`.
    Dsp {
        /// How the weights share words.
        form: Form,
        /// With a left shift, or an output range of its own.
        general: bool,
    },
    /// `arch::dsp::depthwise`.
    Planes {
        planar: Planar,
        /// As above.
        general: bool,
    },
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident $kind:ident $four_bits:literal;)*) => {$(
        $(#[$doc])*
        pub const fn $name(
            p: &Conv2d,
            pad_value: i16,
            linear: &LinearS16<'_>,
            prefer: Prefer,
            arch: Arch,
        ) -> Self {
            Self::new(p, Kind::$kind, pad_value, linear, $four_bits, prefer, arch)
        }
    )*};
}

impl ConvS16 {
    choices! {
        /// The kernel for a convolution. `pad_value` is what padded taps read: the input's zero point. The weights are
        /// `[out_c, kh, kw, in_c / groups]`.
        choose Conv false;
        /// [`choose`](Self::choose) for int4 weights, −8 to 7, which take half a byte each where they are packed.
        choose_w4 Conv true;
        /// The kernel for a depthwise convolution. The weights are `[kh, kw, out_c]`.
        choose_depthwise Depthwise false;
        /// [`choose_depthwise`](Self::choose_depthwise) for int4 weights, as [`choose_w4`](Self::choose_w4).
        choose_depthwise_w4 Depthwise true;
    }

    /// The kernel for a dense layer. The weights are `[outputs, inputs]`.
    pub const fn choose_dense(p: &Dense, linear: &LinearS16<'_>, prefer: Prefer, arch: Arch) -> Self {
        Self::new(&as_conv(p), Kind::Dense, 0, linear, false, prefer, arch)
    }

    /// [`choose_dense`](Self::choose_dense) for int4 weights, as [`choose_w4`](Self::choose_w4).
    pub const fn choose_dense_w4(p: &Dense, linear: &LinearS16<'_>, prefer: Prefer, arch: Arch) -> Self {
        Self::new(&as_conv(p), Kind::Dense, 0, linear, true, prefer, arch)
    }

    const fn new(
        p: &Conv2d,
        kind: Kind,
        pad_value: i16,
        linear: &LinearS16<'_>,
        four_bits: bool,
        prefer: Prefer,
        arch: Arch,
    ) -> Self {
        let q = &linear.requantize;
        let general = q.left_shift > 0 || q.min > i16::MIN || q.max < i16::MAX;
        let is_dsp = matches!(arch, Arch::Dsp);
        let planes = match Planar::new(p) {
            Ok(planar) if is_dsp && matches!(kind, Kind::Depthwise) => Some(planar),
            _ => None,
        };
        let body = if !stays_in_range(p, kind, linear, q.left_shift) {
            // Rare; for them int4 weights are unpacked.
            Body::Wide
        } else if let Some(planar) = planes {
            // These take int4 weights as int8: there are few of them.
            Body::Planes { planar, general }
        } else if matches!(kind, Kind::Depthwise) {
            if four_bits { Body::FourBits } else { Body::Portable }
        } else if is_dsp && !four_bits {
            Body::Dsp { form: Form::Bytes, general }
        } else if is_dsp && stays_in_range(p, kind, linear, 4) {
            Body::Dsp { form: Form::Nibbles, general }
        } else if four_bits {
            Body::FourBits
        } else {
            Body::Portable
        };
        let form = if let Body::Dsp { form, .. } = body { form } else { Form::Bytes };
        let sizes = Sizes::new(p, form, 2);
        ConvS16 { geometry: *p, sizes, kind, requantize: *q, pad_value, prefer, body }
    }

    /// How the kernel goes about the layer, for models of its cost; `None` for portable loops.
    pub const fn tiling(&self) -> Option<Tiling> {
        let Body::Dsp { general, .. } = self.body else { return None };
        let sizes = &self.sizes;
        Some(Tiling {
            geometry: self.geometry,
            taps: sizes.taps4,
            row_bytes: sizes.row_stride,
            inside: [sizes.inside_y, sizes.inside_x],
            split: false,
            general,
        })
    }

    /// How the kernel goes about a depthwise layer, for models of its cost; `None` for portable loops.
    pub const fn planes(&self) -> Option<Planes> {
        match self.body {
            Body::Planes { planar, general } => Some(planar.planes(general)),
            _ => None,
        }
    }

    /// [`Choice::name`].
    pub const fn name(&self) -> &'static str {
        match (self.kind, self.body) {
            (Kind::Conv, Body::Wide) => "conv2d_s16_wide",
            (Kind::Conv, Body::Portable | Body::Planes { .. }) => "conv2d_s16",
            (Kind::Conv, Body::FourBits) => "conv2d_s16_w4",
            (Kind::Conv, Body::Dsp { form: Form::Nibbles, .. }) => "conv2d_s16_w4_dsp",
            (Kind::Conv, Body::Dsp { .. }) => "conv2d_s16_dsp",
            (Kind::Depthwise, Body::Wide) => "depthwise_s16_wide",
            (Kind::Depthwise, Body::FourBits) => "depthwise_s16_w4",
            (Kind::Depthwise, Body::Planes { .. }) => "depthwise_s16_dsp",
            (Kind::Depthwise, _) => "depthwise_s16",
            (Kind::Dense, Body::Wide) => "dense_s16_wide",
            (Kind::Dense, Body::Portable | Body::Planes { .. }) => "dense_s16",
            (Kind::Dense, Body::FourBits) => "dense_s16_w4",
            (Kind::Dense, Body::Dsp { form: Form::Nibbles, .. }) => "dense_s16_w4_dsp",
            (Kind::Dense, Body::Dsp { .. }) => "dense_s16_dsp",
        }
    }

    /// [`Choice::remark`].
    pub const fn remark(&self) -> &'static str {
        if matches!(self.body, Body::Wide) { "its sums need 64 bits" } else { "" }
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
            distance: self.distance(),
            order: Order::Pixels,
        }
    }

    /// Whether [`run_in_place`](Self::run_in_place) can compute a depthwise convolution.
    pub const fn works_in_place(p: &Conv2d) -> bool {
        in_place(p)
    }

    const fn scratch_words(&self) -> usize {
        let (p, sizes) = (&self.geometry, &self.sizes);
        match (self.body, self.kind) {
            // A single row's taps are read where they are.
            (Body::Dsp { .. }, Kind::Dense) if sizes.pixels == 1 && stream::is_row(p) => 0,
            (Body::Dsp { .. }, _) => sizes.lane_words + sizes.patch_words,
            (Body::Planes { planar, .. }, _) => planar.plane_words,
            // The input rows that a window spans, for work in place.
            (_, Kind::Depthwise) if in_place(p) => (span(p) * p.input[1] * p.input[2]).div_ceil(2),
            (_, Kind::Depthwise) => 0,
            // A row of a dense layer never lies over its own inputs.
            (_, Kind::Dense) if sizes.pixels == 1 => 0,
            // One pixel's outputs, where they may lie over its inputs.
            (_, Kind::Conv | Kind::Dense) => p.output[2].div_ceil(2),
        }
    }

    /// [`Choice::distance`]: bytes.
    pub const fn distance(&self) -> usize {
        if matches!(self.kind, Kind::Depthwise) { 0 } else { 2 * self.geometry.distance() }
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
        if matches!(self.body, Body::FourBits) { nibble_bytes(row, rows) } else { row * rows }
    }

    /// Words of the constants.
    pub const fn words(&self) -> usize {
        match self.body {
            Body::Dsp { .. } => self.geometry.groups * self.sizes.group_words,
            Body::Planes { planar, .. } => self.geometry.output[2] * planar.channel_words(),
            _ => LinearS16::plain_words(self.weight_len(), self.geometry.output[2]),
        }
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
        match self.body {
            Body::Dsp { form, .. } => stream::pack(&self.geometry, form, 2, linear, words),
            Body::Planes { planar, .. } => planar.pack(&self.geometry, linear, words),
            Body::FourBits => linear.pack_nibbles(row, words),
            Body::Portable | Body::Wide => linear.pack_plain(words),
        }
    }

    /// Computes the layer: `x: [batch, in_h, in_w, in_c]`, `y: [batch, out_h, out_w, out_c]`.
    ///
    /// # Panics
    /// If a slice's length is not that of its shape, `constants` not that of [`pack`](Self::pack), or `scratch` has
    /// fewer bytes than [`choice`](Self::choice) says.
    #[inline(always)]
    pub fn run(&self, constants: &[u32], x: &[i16], y: &mut [i16], scratch: &mut [u32]) {
        if matches!(self.body, Body::Dsp { .. } | Body::Planes { .. }) {
            let operands = Operands::Apart(memory::bytes_of(x), memory::bytes_of_mut(y));
            return self.run_dsp(constants, operands, scratch);
        }
        match self.prefer {
            Prefer::Fastest | Prefer::Speed => self.inlined(constants, x, y),
            Prefer::Size => self.shared(constants, x, y),
        }
    }

    /// [`run`](Self::run) where input and output share memory: the output is the beginning of `xy`, the input starts at
    /// `x_start`, at least [`distance`](Self::distance) bytes behind it. Not for depthwise convolutions. One copy for all
    /// layers.
    ///
    /// # Panics
    /// As [`run`](Self::run), and if `xy` is too short for either.
    #[inline(always)]
    pub fn run_overlapping(&self, constants: &[u32], x_start: usize, xy: &mut [i16], scratch: &mut [u32]) {
        if matches!(self.body, Body::Dsp { .. }) {
            return self.run_dsp(constants, Operands::Overlapping(memory::bytes_of_mut(xy), 2 * x_start), scratch);
        }
        self.overlapping(constants, x_start, xy, scratch);
    }

    #[inline(never)]
    fn overlapping(&self, constants: &[u32], x_start: usize, xy: &mut [i16], scratch: &mut [u32]) {
        let (p, q, pad) = (&self.geometry, &self.requantize, self.pad_value);
        assert!(self.kind != Kind::Depthwise, "a depthwise convolution works in place instead");
        let (weights, bias, multipliers) = plain(constants, self.weight_len(), p.output[2]);
        let pixel = memory::i16s_mut(scratch);
        match self.body {
            Body::Wide => {
                let finish = |o: usize, sum: i64| q.apply_wide(sum, multipliers[o]);
                conv2d_overlapping::<Int16x8Wide>(p, pad, weights, bias, x_start, xy, pixel, finish);
            }
            Body::FourBits => {
                let finish = |o: usize, sum: i32| q.apply(sum, multipliers[o]);
                conv2d_overlapping::<Int16x4>(p, pad, self.nibbles(weights), bias, x_start, xy, pixel, finish);
            }
            Body::Portable | Body::Dsp { .. } | Body::Planes { .. } => {
                let finish = |o: usize, sum: i32| q.apply(sum, multipliers[o]);
                conv2d_overlapping::<Int16x8>(p, pad, weights, bias, x_start, xy, pixel, finish);
            }
        }
    }

    /// [`run`](Self::run) in place, for a depthwise convolution of which [`works_in_place`](Self::works_in_place) says that
    /// it can be done: `xy` is the input, and its beginning the output. One copy for all layers.
    ///
    /// # Panics
    /// As [`run`](Self::run), and if it cannot be done in place.
    #[inline(always)]
    pub fn run_in_place(&self, constants: &[u32], xy: &mut [i16], scratch: &mut [u32]) {
        if matches!(self.body, Body::Planes { .. }) {
            return self.run_dsp(constants, Operands::Overlapping(memory::bytes_of_mut(xy), 0), scratch);
        }
        self.in_place(constants, xy, scratch);
    }

    #[inline(never)]
    fn in_place(&self, constants: &[u32], xy: &mut [i16], scratch: &mut [u32]) {
        let (p, q, pad) = (&self.geometry, &self.requantize, self.pad_value);
        assert!(self.kind == Kind::Depthwise && in_place(p), "this layer cannot work in place");
        let (weights, bias, multipliers) = plain(constants, self.weight_len(), p.output[2]);
        let rows = memory::i16s_mut(scratch);
        match self.body {
            Body::Wide => {
                let finish = |o: usize, sum: i64| q.apply_wide(sum, multipliers[o]);
                depthwise_in_place::<Int16x8Wide>(p, pad, weights, bias, xy, rows, finish);
            }
            Body::FourBits => {
                let finish = |o: usize, sum: i32| q.apply(sum, multipliers[o]);
                depthwise_in_place::<Int16x4>(p, pad, self.nibbles(weights), bias, xy, rows, finish);
            }
            Body::Portable | Body::Dsp { .. } | Body::Planes { .. } => {
                let finish = |o: usize, sum: i32| q.apply(sum, multipliers[o]);
                depthwise_in_place::<Int16x8>(p, pad, weights, bias, xy, rows, finish);
            }
        }
    }

    /// Only the loops that this layer needs get into the program, as `self` is a constant where this is inlined.
    #[cfg(mcuopt_dsp)]
    #[inline(always)]
    fn run_dsp(&self, constants: &[u32], operands: Operands<'_>, scratch: &mut [u32]) {
        use core::hint::black_box;

        use super::stream::TILE_PIXELS;
        use crate::arch::dsp::convolution::{Loops, convolve};
        use crate::arch::dsp::depthwise;
        use crate::arch::dsp::dot::{row, tile};

        if let Body::Planes { planar, general } = &self.body {
            let loops = depthwise::loops::<true>(planar, *general);
            let (kernel, planar, loops) = black_box((self, planar, loops));
            let (p, q, pad) = (&kernel.geometry, &kernel.requantize, kernel.pad_value);
            return depthwise::convolve::<true>(p, q, pad, planar, loops, constants, operands, scratch);
        }
        let Body::Dsp { form, general } = self.body else { return };
        let mut loops = Loops { tile: None, row: None, form };
        if self.sizes.pixels >= TILE_PIXELS {
            loops.tile = Some(match (form, general) {
                (Form::Nibbles, false) => tile::<false, true, true, false>,
                (Form::Nibbles, true) => tile::<false, true, true, true>,
                (_, false) => tile::<false, false, true, false>,
                (_, true) => tile::<false, false, true, true>,
            });
        }
        if !self.sizes.pixels.is_multiple_of(TILE_PIXELS) {
            loops.row = Some(match (form, general) {
                (Form::Nibbles, false) => row::<false, true, true, false>,
                (Form::Nibbles, true) => row::<false, true, true, true>,
                (_, false) => row::<false, false, true, false>,
                (_, true) => row::<false, false, true, true>,
            });
        }
        // The compiler would make a copy of the driver for each layer's constants, for little speed and much flash.
        let (kernel, loops) = black_box((self, loops));
        let (p, sizes, q, pad) = (&kernel.geometry, &kernel.sizes, &kernel.requantize, kernel.pad_value);
        convolve::<true>(p, sizes, q, pad, loops, constants, operands, scratch);
    }

    #[cfg(not(mcuopt_dsp))]
    fn run_dsp(&self, _: &[u32], _: Operands<'_>, _: &mut [u32]) {
        panic!("the kernel was chosen for another instruction set");
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
        match self.body {
            Body::Wide => {
                let finish = |o: usize, sum: i64| q.apply_wide(sum, multipliers[o]);
                self.layer::<Int16x8Wide>(weights, bias, x, y, finish);
            }
            Body::FourBits => {
                let weights = self.nibbles(weights);
                self.layer::<Int16x4>(weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
            }
            Body::Portable | Body::Dsp { .. } | Body::Planes { .. } => {
                self.layer::<Int16x8>(weights, bias, x, y, |o, sum| q.apply(sum, multipliers[o]));
            }
        }
    }

    #[inline(always)]
    fn nibbles<'a>(&self, bytes: &'a [i8]) -> Nibbles<'a> {
        let (row, rows) = self.rows();
        // Depthwise weights are one row.
        Nibbles::new(bytes, if self.kind == Kind::Depthwise { row } else { rows * Int16x4::stride(row) })
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

/// A dense layer as a convolution over its rows.
const fn as_conv(p: &Dense) -> Conv2d {
    Conv2d {
        batch: 1,
        input: [1, p.rows, p.inputs],
        output: [1, p.rows, p.outputs],
        kernel: [1, 1],
        stride: [1, 1],
        pad: [0, 0],
        dilation: [1, 1],
        groups: 1,
    }
}

/// Whether no sum of 32 bits, bias included, overflows or saturates when it is shifted left.
const fn stays_in_range(p: &Conv2d, kind: Kind, linear: &LinearS16<'_>, left_shift: u32) -> bool {
    let (outputs, mut o) = (p.output[2], 0);
    let taps = p.kernel[0] * p.kernel[1] * if matches!(kind, Kind::Depthwise) { 1 } else { p.input[2] / p.groups };
    while o < outputs {
        let (first, stride) = if matches!(kind, Kind::Depthwise) { (o, outputs) } else { (o * taps, 1) };
        // `largest_sum` counts with activations of 8 bits.
        let largest = 256 * linear.largest_sum(first, stride, taps) + linear.bias(o).unsigned_abs() as u64;
        if largest << left_shift > i32::MAX as u64 {
            return false;
        }
        o += 1;
    }
    true
}
