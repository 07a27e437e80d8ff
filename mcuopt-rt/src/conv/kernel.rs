//! The choice of a kernel for an int8 convolution or dense layer.

use super::stream::{self, Form, Sizes};
use super::{Operands, Tiling, conv2d_s8, conv2d_s8_overlapping, conv2d_s8_w4, conv2d_s8_w4_overlapping, winograd};
use crate::arch::{Arch, memory};
use crate::dense::{Dense, dense_s8, dense_s8_w4};
use crate::fixed::Requantize;
use crate::geometry::Conv2d;
use crate::linear::{Choice, LinearS8, Order, Prefer, nibble_bytes, plain};
use crate::shared;
use crate::weights::Aligned;

/// An int8 convolution or dense layer, with the kernel that was chosen for it.
///
/// Computes what [`conv2d_s8`] does; [`run`](Self::run) takes the constants as [`pack`](Self::pack) arranged them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvS8 {
    geometry: Conv2d,
    sizes: Sizes,
    requantize: Requantize,
    pad_value: i8,
    /// Whether the layer is a dense one: a convolution over rows.
    dense: bool,
    prefer: Prefer,
    body: Body,
    remark: &'static str,
}

/// The loops that compute a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// [`conv2d_s8`] or [`dense_s8`].
    Portable,
    /// [`conv2d_s8_w4`] or [`dense_s8_w4`].
    FourBits,
    /// `arch::dsp::convolution`.
    Dsp {
        /// How the weights share words.
        form: Form,
        /// With a left shift, or an output range of its own.
        general: bool,
    },
    /// `arch::dsp::winograd`.
    Winograd {
        /// As above.
        general: bool,
    },
}

impl ConvS8 {
    /// The kernel for a convolution. `pad_value` is what padded taps read: the input's zero point. The weights are
    /// `[out_c, kh, kw, in_c / groups]`.
    pub const fn choose(p: &Conv2d, pad_value: i8, linear: &LinearS8<'_>, prefer: Prefer, arch: Arch) -> Self {
        Self::new(p, pad_value, linear, false, prefer, arch)
    }

    /// [`choose`](Self::choose) for int4 weights, −8 to 7, which take half a byte each where they are packed.
    pub const fn choose_w4(p: &Conv2d, pad_value: i8, linear: &LinearS8<'_>, prefer: Prefer, arch: Arch) -> Self {
        Self::new(p, pad_value, linear, true, prefer, arch)
    }

    const fn new(p: &Conv2d, pad: i8, linear: &LinearS8<'_>, four_bits: bool, prefer: Prefer, arch: Arch) -> Self {
        let q = &linear.requantize;
        let general = q.left_shift > 0 || q.min > i8::MIN || q.max < i8::MAX;
        let portable = if four_bits { Body::FourBits } else { Body::Portable };
        let (body, remark) = match arch {
            Arch::Portable => (portable, ""),
            Arch::Dsp if !stays_in_range(p, linear, q.left_shift) => {
                (portable, "its sums could overflow when they are shifted left")
            }
            Arch::Dsp if four_bits && stays_in_range(p, linear, 4) => (Body::Dsp { form: Form::Nibbles, general }, ""),
            Arch::Dsp if four_bits => (portable, "16 times its sums could overflow"),
            Arch::Dsp => {
                let split = can_split(p, linear);
                let form = if split { Form::Split } else { Form::Bytes };
                match winograd(p, linear, split, prefer) {
                    Ok(true) => (Body::Winograd { general }, ""),
                    Ok(false) => (Body::Dsp { form, general }, ""),
                    Err(remark) => (Body::Dsp { form, general }, remark),
                }
            }
        };
        let geometry = if stream::is_pointwise(p) && p.stride[0] == 1 && p.stride[1] == 1 { one_row(p) } else { *p };
        let sizes = Sizes::new(&geometry, if let Body::Dsp { form, .. } = body { form } else { Form::Bytes }, 1);
        ConvS8 { geometry, sizes, requantize: *q, pad_value: pad, dense: false, prefer, body, remark }
    }

    /// The kernel for a dense layer: a convolution over `rows` pixels. The weights are `[outputs, inputs]`.
    pub const fn choose_dense(p: &Dense, linear: &LinearS8<'_>, prefer: Prefer, arch: Arch) -> Self {
        Self::new_dense(p, linear, false, prefer, arch)
    }

    /// [`choose_dense`](Self::choose_dense) for int4 weights, as [`choose_w4`](Self::choose_w4).
    pub const fn choose_dense_w4(p: &Dense, linear: &LinearS8<'_>, prefer: Prefer, arch: Arch) -> Self {
        Self::new_dense(p, linear, true, prefer, arch)
    }

    const fn new_dense(p: &Dense, linear: &LinearS8<'_>, four_bits: bool, prefer: Prefer, arch: Arch) -> Self {
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
        let chosen = ConvS8 { dense: true, ..Self::new(&geometry, 0, linear, four_bits, prefer, arch) };
        // Cycles of a Cortex-M4, about. The portable loop is inlined; the other one has a driver, and may have to gather.
        let portable = p.rows * p.outputs * (5 * p.inputs + 12);
        let gathering = if p.inputs.is_multiple_of(4) { 0 } else { 250 };
        let dsp = 500 + p.rows * (gathering + p.outputs.div_ceil(4) * (60 + 5 * chosen.sizes.taps4));
        match (prefer, chosen.body) {
            (Prefer::Fastest | Prefer::Speed, Body::Dsp { .. }) if portable < dsp && !four_bits => {
                ConvS8 { body: Body::Portable, remark: "so small a layer is faster without", ..chosen }
            }
            _ => chosen,
        }
    }

    /// [`Choice::name`]. Alone, it costs less at compile time than all of the choice.
    pub const fn name(&self) -> &'static str {
        match (self.body, self.dense) {
            (Body::Portable, false) => "conv2d_s8",
            (Body::Portable, true) => "dense_s8",
            (Body::FourBits, false) => "conv2d_s8_w4",
            (Body::FourBits, true) => "dense_s8_w4",
            (Body::Dsp { form: Form::Nibbles, .. }, false) => "conv2d_s8_w4_dsp",
            (Body::Dsp { form: Form::Nibbles, .. }, true) => "dense_s8_w4_dsp",
            (Body::Dsp { .. }, false) => "conv2d_s8_dsp",
            (Body::Dsp { .. }, true) => "dense_s8_dsp",
            (Body::Winograd { .. }, _) => "conv2d_s8_winograd",
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
            distance: self.distance(),
            order: match self.body {
                Body::Portable | Body::FourBits | Body::Dsp { .. } => Order::Pixels,
                Body::Winograd { .. } => Order::Tiles { edge: 2, at_once: winograd::TILES },
            },
        }
    }

    /// How the kernel goes about the layer, for models of its cost; `None` for portable loops.
    pub const fn tiling(&self) -> Option<Tiling> {
        let (split, general) = match self.body {
            Body::Portable | Body::FourBits => return None,
            Body::Dsp { form, general } => (matches!(form, Form::Split), general),
            Body::Winograd { general } => (false, general),
        };
        let sizes = &self.sizes;
        Some(Tiling {
            geometry: self.geometry,
            taps: sizes.taps4,
            row_bytes: sizes.row_stride,
            inside: [sizes.inside_y, sizes.inside_x],
            split,
            general,
        })
    }

    const fn scratch_words(&self) -> usize {
        let sizes = &self.sizes;
        match self.body {
            // A row of a dense layer never lies over its own inputs.
            Body::Portable | Body::FourBits if self.dense && sizes.pixels == 1 => 0,
            // One pixel's outputs, where they may lie over its inputs.
            Body::Portable | Body::FourBits => self.geometry.output[2].div_ceil(4),
            // Read where it is, as nothing overlaps it.
            Body::Dsp { .. } if self.dense && sizes.pixels == 1 && stream::is_row(&self.geometry) => 0,
            Body::Dsp { .. } => sizes.lane_words + sizes.patch_words,
            Body::Winograd { .. } => winograd::Sizes::new(&self.geometry).scratch_words(),
        }
    }

    /// How many elements the input must start behind the output's start where they share memory: [`Conv2d::distance`]
    /// for the order of this kernel. The memory map is the same for all targets, so the largest number counts.
    pub const fn distance(&self) -> usize {
        match self.body {
            Body::Portable | Body::FourBits | Body::Dsp { .. } => self.geometry.distance(),
            Body::Winograd { .. } => winograd::distance(&self.geometry),
        }
    }

    /// Words of the constants.
    pub const fn words(&self) -> usize {
        let p = &self.geometry;
        match self.body {
            Body::Portable | Body::FourBits => LinearS8::plain_words(self.weight_len(), p.output[2]),
            Body::Dsp { .. } => p.groups * self.sizes.group_words,
            Body::Winograd { .. } => winograd::Sizes::new(p).words,
        }
    }

    const fn weights(&self) -> usize {
        self.geometry.output[2] * taps(&self.geometry)
    }

    /// Bytes of the weights in the portable loops' arrangement.
    const fn weight_len(&self) -> usize {
        let p = &self.geometry;
        if matches!(self.body, Body::FourBits) { nibble_bytes(taps(p), p.output[2]) } else { self.weights() }
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
            Body::FourBits => linear.pack_nibbles(taps(&self.geometry), words),
            Body::Dsp { form, .. } => stream::pack(&self.geometry, form, 1, linear, words),
            Body::Winograd { .. } => winograd::pack(&self.geometry, linear, words),
        }
    }

    /// Computes the layer: `x: [batch, in_h, in_w, in_c]`, `y: [batch, out_h, out_w, out_c]`.
    ///
    /// # Panics
    /// If a slice's length is not that of its shape, `constants` not that of [`pack`](Self::pack), or `scratch` has
    /// fewer bytes than [`choice`](Self::choice) says.
    #[inline(always)]
    pub fn run(&self, constants: &[u32], x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
        if !matches!(self.body, Body::Portable | Body::FourBits) {
            return self.run_dsp(constants, Operands::Apart(x, y), scratch);
        }
        let (p, q) = (&self.geometry, &self.requantize);
        let dense = Dense { rows: p.input[1], inputs: p.input[2], outputs: p.output[2] };
        let (weights, bias, multipliers) = plain(constants, self.weight_len(), p.output[2]);
        if self.body == Body::FourBits {
            return match (self.dense, self.prefer) {
                (false, Prefer::Fastest | Prefer::Speed) => {
                    conv2d_s8_w4(p, q, self.pad_value, weights, bias, multipliers, x, y)
                }
                (false, Prefer::Size) => shared::conv2d_s8_w4(p, q, self.pad_value, weights, bias, multipliers, x, y),
                (true, Prefer::Fastest | Prefer::Speed) => dense_s8_w4(&dense, q, weights, bias, multipliers, x, y),
                (true, Prefer::Size) => shared::dense_s8_w4(&dense, q, weights, bias, multipliers, x, y),
            };
        }
        match (self.dense, self.prefer) {
            (false, Prefer::Fastest | Prefer::Speed) => {
                conv2d_s8(p, q, self.pad_value, weights, bias, multipliers, x, y)
            }
            (false, Prefer::Size) => shared::conv2d_s8(p, q, self.pad_value, weights, bias, multipliers, x, y),
            (true, Prefer::Fastest | Prefer::Speed) => dense_s8(&dense, q, weights, bias, multipliers, x, y),
            (true, Prefer::Size) => shared::dense_s8(&dense, q, weights, bias, multipliers, x, y),
        }
    }

    /// [`run`](Self::run) where input and output share memory: the output is the beginning of `xy`, the input starts
    /// at `x_start`, which is at least [`distance`](Self::distance). Not for a dense layer of one row, which reads all of its
    /// input for each output.
    ///
    /// # Panics
    /// As [`run`](Self::run), and if `xy` is too short for either.
    #[inline(always)]
    pub fn run_overlapping(&self, constants: &[u32], x_start: usize, xy: &mut [i8], scratch: &mut [u32]) {
        if !matches!(self.body, Body::Portable | Body::FourBits) {
            return self.run_dsp(constants, Operands::Overlapping(xy, x_start), scratch);
        }
        let (p, q, pad) = (&self.geometry, &self.requantize, self.pad_value);
        let (weights, bias, multipliers) = plain(constants, self.weight_len(), p.output[2]);
        let pixel = memory::i8s_mut(scratch);
        if self.body == Body::FourBits {
            let run = match self.prefer {
                Prefer::Fastest | Prefer::Speed => conv2d_s8_w4_overlapping,
                Prefer::Size => shared::conv2d_s8_w4_overlapping,
            };
            return run(p, q, pad, weights, bias, multipliers, x_start, xy, pixel);
        }
        match self.prefer {
            Prefer::Fastest | Prefer::Speed => {
                conv2d_s8_overlapping(p, q, pad, weights, bias, multipliers, x_start, xy, pixel)
            }
            Prefer::Size => shared::conv2d_s8_overlapping(p, q, pad, weights, bias, multipliers, x_start, xy, pixel),
        }
    }

    /// Only the loops that this layer needs get into the program, as `self` is a constant where this is inlined.
    #[cfg(mcuopt_dsp)]
    #[inline(always)]
    fn run_dsp(&self, constants: &[u32], operands: Operands<'_>, scratch: &mut [u32]) {
        use super::stream::TILE_PIXELS;
        use core::hint::black_box;

        use crate::arch::dsp::convolution::{Loops, convolve};
        use crate::arch::dsp::dot::{row, tile};

        let pixels = self.geometry.output[0] * self.geometry.output[1];
        let (tiles, rows) = (pixels >= TILE_PIXELS, !pixels.is_multiple_of(TILE_PIXELS));
        let (form, general) = match self.body {
            Body::Portable | Body::FourBits => return,
            Body::Dsp { form, general } => (form, general),
            Body::Winograd { general } => return self.run_winograd(general, constants, operands, scratch),
        };
        let mut loops = Loops { tile: None, row: None, form };
        if tiles {
            loops.tile = Some(match (form, general) {
                (Form::Bytes, false) => tile::<false, false, false, false>,
                (Form::Bytes, true) => tile::<false, false, false, true>,
                (Form::Split, false) => tile::<true, false, false, false>,
                (Form::Split, true) => tile::<true, false, false, true>,
                (Form::Nibbles, false) => tile::<false, true, false, false>,
                (Form::Nibbles, true) => tile::<false, true, false, true>,
            });
        }
        if rows {
            loops.row = Some(match (form, general) {
                (Form::Bytes, false) => row::<false, false, false, false>,
                (Form::Bytes, true) => row::<false, false, false, true>,
                (Form::Split, false) => row::<true, false, false, false>,
                (Form::Split, true) => row::<true, false, false, true>,
                (Form::Nibbles, false) => row::<false, true, false, false>,
                (Form::Nibbles, true) => row::<false, true, false, true>,
            });
        }
        // The compiler would make a copy of the driver for each layer's constants, for little speed and much flash.
        let (kernel, loops) = black_box((self, loops));
        convolve::<false>(
            &kernel.geometry,
            &kernel.sizes,
            &kernel.requantize,
            kernel.pad_value,
            loops,
            constants,
            operands,
            scratch,
        );
    }

    #[cfg(mcuopt_dsp)]
    #[inline(always)]
    fn run_winograd(&self, general: bool, constants: &[u32], operands: Operands<'_>, scratch: &mut [u32]) {
        use core::hint::black_box;

        use crate::arch::dsp::winograd::{Products, convolve, products};

        let products: Products = if general { products::<true> } else { products::<false> };
        // As above.
        let (kernel, products) = black_box((self, products));
        convolve(&kernel.geometry, &kernel.requantize, kernel.pad_value, products, constants, operands, scratch);
    }

    #[cfg(not(mcuopt_dsp))]
    fn run_dsp(&self, _: &[u32], _: Operands<'_>, _: &mut [u32]) {
        panic!("the kernel was chosen for another instruction set");
    }
}

/// Whether a layer should be computed by [`winograd`]; why not, where it would be faster.
const fn winograd(p: &Conv2d, linear: &LinearS8<'_>, split: bool, prefer: Prefer) -> Result<bool, &'static str> {
    if !matches!(prefer, Prefer::Fastest)
        || !winograd::is_possible(p)
        || winograd::cycles(p) >= stream::cycles(p, split)
    {
        Ok(false)
    } else if winograd::is_exact(p, linear) {
        Ok(true)
    } else {
        Err("four times its sums could overflow")
    }
}

/// Pixels that depend on a single one each, as a single row.
const fn one_row(p: &Conv2d) -> Conv2d {
    let pixels = p.batch * p.input[0] * p.input[1];
    Conv2d { batch: 1, input: [1, pixels, p.input[2]], output: [1, pixels, p.output[2]], ..*p }
}

const fn taps(p: &Conv2d) -> usize {
    p.kernel[0] * p.kernel[1] * (p.input[2] / p.groups)
}

/// Whether no sum, bias included, saturates when it is shifted left.
const fn stays_in_range(p: &Conv2d, linear: &LinearS8<'_>, left_shift: u32) -> bool {
    let (taps, mut o) = (taps(p), 0);
    if left_shift == 0 {
        return true;
    }
    while o < linear.outputs() {
        let largest = linear.largest_sum(o * taps, 1, taps) + linear.bias(o).unsigned_abs() as u64;
        if largest >= 1 << (31 - left_shift) {
            return false;
        }
        o += 1;
    }
    true
}

/// Whether the sums of every second filter of a group can be split off, see [`stream`].
const fn can_split(p: &Conv2d, linear: &LinearS8<'_>) -> bool {
    let (taps, filters) = (taps(p), p.output[2] / p.groups);
    let mut o = 0;
    while o < linear.outputs() {
        if o % filters % 2 == 1 {
            // The stream's byte is lower by one where the other filter's weight is negative.
            let mut i = 0;
            while i < taps {
                if linear.weight(o * taps + i) == i8::MIN && linear.weight((o - 1) * taps + i) < 0 {
                    return false;
                }
                i += 1;
            }
            if linear.largest_sum(o * taps, 1, taps) >= 1 << 23 {
                return false;
            }
        }
        o += 1;
    }
    true
}
