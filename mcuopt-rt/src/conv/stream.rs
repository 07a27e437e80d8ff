//! How the DSP kernels want the constants of a convolution: a stream of words, two filters at a time.
//!
//! | words | what |
//! |---|---|
//! | 1 | bias of filter 0 |
//! | 2 for each 4 taps | tap pairs (0, 2) and (1, 3); bytes: filter 0, filter 1, filter 0, filter 1 |
//! | 1 | bias of filter 1 |
//! | 2 | multipliers of filter 0 and 1 |
//!
//! SXTB16 takes bytes 0 and 2 of a word apart into the halves of another, rotated by 8 bits it takes bytes 1 and 3: so
//! four int8 activations become the pairs (0, 2) and (1, 3), and a word of weights becomes a pair of filter 0 and one
//! of filter 1. SMLAD multiplies pairs and adds both products.
//!
//! # Split sums
//!
//! The pair of filter 1 need not be extracted at all. The halves of a raw word are numbers `256 · w1 + w0` with w0
//! signed, if filter 1's byte is lowered by one where w0 is negative. SMLAD with the raw word gives
//! `A = 256 · S1 + S0`, with the extracted pair of filter 0 it gives `B = S0`, and `S1 = (A − B) >> 8` is exact as long
//! as |S1| < 2^23, whatever overflowed on the way: differences modulo 2^32 are right. That saves an instruction for each
//! word. `−128 − 1` has no byte; layers with such a weight use the other form.
//!
//! # Four bits
//!
//! int4 weights take one word for four taps: the upper halves of its bytes are those of the first tap pair's word, the lower
//! halves those of the second. A mask leaves bytes of 16 · w, and sums of 16 · S, which are shifted back behind the last tap.
//! So the bias of filter 0, with which its sums begin, is there 16 times as large.
//!
//! # int16 activations
//!
//! They need not be widened, and so meet their weights in pairs of neighbours: (0, 1) and (2, 3).

use crate::geometry::Conv2d;
use crate::linear::Linear;

/// A tile computes two filters at a time for so many pixels.
pub(crate) const TILE_PIXELS: usize = 4;

/// What it takes to join a kernel row of one pixel to the rows before it, in cycles of a Cortex-M4.
const JOIN_CYCLES: usize = 100;

/// How the weights of two filters share words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// int8, for split sums.
    Split,
    /// int8.
    Bytes,
    /// int4.
    Nibbles,
}

/// Sizes that follow from the geometry: computed once, at compile time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sizes {
    /// Taps of a filter, padded to a multiple of 4: all together, or those of each kernel row.
    pub(crate) taps4: usize,
    /// Taps of a kernel row, and how far apart rows lie.
    pub(crate) row_taps: usize,
    pub(crate) row_stride: usize,
    /// Pixels of an output image.
    pub(crate) pixels: usize,
    /// Outputs of a group.
    pub(crate) filters: usize,
    /// Words of the stream of two filters, and of all of a group.
    pub(crate) stream_words: usize,
    pub(crate) group_words: usize,
    /// Words of work memory for widened activations, and for a pixel's taps as they are.
    pub(crate) lane_words: usize,
    pub(crate) patch_words: usize,
    /// The output rows and columns whose pixels can be read where they are: kernel rows are runs of whole words inside the
    /// image. First and one past the last.
    pub(crate) inside_y: [usize; 2],
    pub(crate) inside_x: [usize; 2],
}

impl Sizes {
    /// Of a layer with weights in words of the given form, whose activations take `x_bytes`.
    pub(crate) const fn new(p: &Conv2d, form: Form, x_bytes: usize) -> Self {
        let pixels = p.output[0] * p.output[1];
        let filters = p.output[2] / p.groups;
        let row_taps = p.kernel[1] * (p.input[2] / p.groups);
        // Rows of whole words go from the image to the widened pairs at once. Otherwise they have to be joined first,
        // byte by byte, unless the filters are so few that products with zeros cost less.
        let (joined, padded) =
            ((p.kernel[0] * row_taps).next_multiple_of(4), p.kernel[0] * row_taps.next_multiple_of(4));
        let pad_rows = p.groups == 1 && p.dilation[1] == 1 && (padded - joined) * filters <= p.kernel[0] * JOIN_CYCLES;
        let row_stride = if pad_rows { row_taps.next_multiple_of(4) } else { row_taps };
        let taps4 = if pad_rows { padded } else { joined };
        let stream_words = 4 + if matches!(form, Form::Nibbles) { taps4 / 4 } else { taps4 / 2 };
        Sizes {
            taps4,
            row_taps,
            row_stride,
            pixels,
            filters,
            stream_words,
            group_words: filters.div_ceil(2) * stream_words,
            lane_words: if pixels >= TILE_PIXELS { p.groups * taps4 / 2 * TILE_PIXELS } else { 0 },
            patch_words: p.groups * taps4 / 4 * x_bytes,
            inside_y: if p.groups == 1 && p.dilation[1] == 1 && row_stride.is_multiple_of(4) {
                inside(p, 0)
            } else {
                [0, 0]
            },
            inside_x: inside(p, 1),
        }
    }
}

/// The outputs along an axis whose windows lie inside the image.
const fn inside(p: &Conv2d, axis: usize) -> [usize; 2] {
    let reach = (p.kernel[axis] - 1) * p.dilation[axis];
    let end = (p.input[axis] + p.pad[axis]).saturating_sub(reach).div_ceil(p.stride[axis]);
    [p.pad[axis].div_ceil(p.stride[axis]), if end < p.output[axis] { end } else { p.output[axis] }]
}

/// An estimate of what a layer of one group takes, in cycles of a Cortex-M4.
pub(crate) const fn cycles(p: &Conv2d, split: bool) -> u64 {
    let sizes = Sizes::new(p, if split { Form::Split } else { Form::Bytes }, 1);
    // Products and what is done with their sums, then what it takes to widen a pixel's taps.
    let products = if split { sizes.taps4 } else { sizes.taps4 + sizes.taps4.div_ceil(16) };
    let pixel = sizes.filters * (products + 9) + 3 * sizes.taps4;
    p.batch as u64 * sizes.pixels as u64 * pixel as u64
}

/// Whether the taps of an output pixel are all channels of an input pixel, a number of whole words.
pub(crate) const fn is_row(p: &Conv2d) -> bool {
    is_pointwise(p) && p.input[2].is_multiple_of(4)
}

/// Whether the taps of an output pixel are all channels of an input pixel.
pub(crate) const fn is_pointwise(p: &Conv2d) -> bool {
    // Padding behind the image shows in nothing but the output's size.
    let inside = (p.output[0] - 1) * p.stride[0] < p.input[0] && (p.output[1] - 1) * p.stride[1] < p.input[1];
    p.kernel[0] == 1 && p.kernel[1] == 1 && p.pad[0] == 0 && p.pad[1] == 0 && p.groups == 1 && inside
}

/// Writes the stream of each group.
pub(crate) const fn pack<Q>(p: &Conv2d, form: Form, x_bytes: usize, linear: &Linear<'_, Q>, words: &mut [u32]) {
    let sizes = Sizes::new(p, form, x_bytes);
    // The taps that share the first word of four, and those of the second.
    let [[a0, a1], [b0, b1]] = if x_bytes == 1 { [[0, 2], [1, 3]] } else { [[0, 1], [2, 3]] };
    let (mut at, mut group) = (0, 0);
    while group < p.groups {
        let mut filter = 0;
        while filter < sizes.filters {
            let o = group * sizes.filters + filter;
            let split = matches!(form, Form::Split);
            let pair = Pair { first: o * p.kernel[0] * sizes.row_taps, complete: filter + 1 < sizes.filters, split };
            words[at] = linear.bias(o) as u32;
            if matches!(form, Form::Nibbles) {
                words[at] <<= 4;
            }
            at += 1;
            let mut tap = 0;
            while tap < sizes.taps4 {
                let a = pair.word(p, &sizes, linear, tap + a0, tap + a1);
                let b = pair.word(p, &sizes, linear, tap + b0, tap + b1);
                if matches!(form, Form::Nibbles) {
                    words[at] = (a & 0x0f0f_0f0f) << 4 | b & 0x0f0f_0f0f;
                    at += 1;
                } else {
                    words[at] = a;
                    words[at + 1] = b;
                    at += 2;
                }
                tap += 4;
            }
            let pair = pair.complete;
            words[at] = if pair { linear.bias(o + 1) as u32 } else { 0 };
            words[at + 1] = linear.multiplier(o) as u32;
            words[at + 2] = if pair { linear.multiplier(o + 1) as u32 } else { 0 };
            at += 3;
            filter += 2;
        }
        group += 1;
    }
}

/// Two filters.
struct Pair {
    /// Where the first one's weights start.
    first: usize,
    /// Whether there is a second one.
    complete: bool,
    split: bool,
}

impl Pair {
    /// Two taps of both.
    const fn word<Q>(&self, p: &Conv2d, sizes: &Sizes, linear: &Linear<'_, Q>, a: usize, b: usize) -> u32 {
        let ([a0, a1], [b0, b1]) = (self.bytes(p, sizes, linear, a), self.bytes(p, sizes, linear, b));
        // The lowest byte first, whatever the host's order.
        (a0 as u32) | (a1 as u32) << 8 | (b0 as u32) << 16 | (b1 as u32) << 24
    }

    /// One tap of both.
    const fn bytes<Q>(&self, p: &Conv2d, sizes: &Sizes, linear: &Linear<'_, Q>, tap: usize) -> [u8; 2] {
        let (row, column) = (tap / sizes.row_stride, tap % sizes.row_stride);
        if row >= p.kernel[0] || column >= sizes.row_taps {
            return [0, 0];
        }
        let at = self.first + row * sizes.row_taps + column;
        let w0 = linear.weight(at);
        let w1 = if self.complete { linear.weight(at + p.kernel[0] * sizes.row_taps) } else { 0 };
        [w0 as u8, if self.split && w0 < 0 { (w1 as u8).wrapping_sub(1) } else { w1 as u8 }]
    }
}
