//! How the DSP kernels see a depthwise convolution: channel by channel, along lines.
//!
//! A channel is copied from the image into a plane of its own, widened to int16, with its padding around it. Lines of
//! the plane run along the image's rows or its columns, whichever suits the layer, and so do the lines of the kernel.
//! A word of the plane holds two neighbours of a line; SMLAD multiplies them by two neighbouring taps.
//!
//! Constants of an output channel: bias, multiplier, and for each kernel line a word for each pair of taps, the bytes
//! `w[2j], w[2j + 1], w[2j + 1], w[2j + 2]`. SXTB16 makes the pair `(w[2j], w[2j + 1])` out of it, rotated by 8 bits
//! `(w[2j + 1], w[2j + 2])`. Outputs at even places of a line take the first pairs and the last tap alone, those at odd
//! places the second pairs and the first tap alone. Dilation along the line puts zeros between the taps.

use super::Planes;
use crate::geometry::Conv2d;
use crate::linear::Linear;

/// The longest line of taps is `2 · MAX_PAIRS + 1`.
const MAX_PAIRS: usize = 7;

/// The DSP kernel keeps all taps of a channel on the stack: at most so many words.
const MAX_TAP_WORDS: usize = 64;

/// Plane and kernel of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planar {
    /// The image's axis along which lines run: 0 for columns, 1 for rows.
    pub(crate) along: usize,
    /// Distance of neighbouring outputs of a line in the plane: 1 or 2.
    pub(crate) stride: usize,
    /// Pairs of taps of a kernel line.
    pub(crate) pairs: usize,
    /// Kernel lines.
    pub(crate) taps: usize,
    /// Elements from one line of the plane to the next: even.
    pub(crate) line: usize,
    /// Whether six outputs of a line are computed together, or four.
    pub(crate) wide: bool,
    /// Words of the plane.
    pub(crate) plane_words: usize,
    /// How many elements of a line, and how many lines, come from the image.
    pub(crate) inside: [usize; 2],
}

impl Planar {
    /// The better orientation for a layer, or why there is none.
    pub(crate) const fn new(p: &Conv2d) -> Result<Planar, &'static str> {
        if p.output[0] == 0 || p.output[1] == 0 || p.kernel[0] == 0 || p.kernel[1] == 0 {
            return Err("nothing to compute");
        }
        if p.input[2] == 0 || !p.output[2].is_multiple_of(p.input[2]) {
            return Err("not depthwise");
        }
        let mut best = Planar::along(p, 1, false);
        let (mut along, mut wide) = (0, false);
        loop {
            best = match (best, Planar::along(p, along, wide)) {
                (Ok(best), Ok(other)) => Ok(if other.cycles(p) < best.cycles(p) { other } else { best }),
                (Ok(best), Err(_)) | (Err(_), Ok(best)) => Ok(best),
                (Err(reason), Err(_)) => Err(reason),
            };
            (along, wide) = match (along, wide) {
                (0, false) => (0, true),
                (0, true) => (1, true),
                _ => break,
            };
        }
        let best = match best {
            Ok(best) => best,
            Err(reason) => return Err(reason),
        };
        // What the portable kernel takes, roughly.
        let portable = p.output[0] * p.output[1] * (50 + 8 * p.kernel[0] * p.kernel[1]);
        if best.cycles(p) < portable { Ok(best) } else { Err("so small a layer is faster without planes") }
    }

    const fn along(p: &Conv2d, along: usize, wide: bool) -> Result<Planar, &'static str> {
        let across = 1 - along;
        let (stride, taps) = (p.stride[along], p.kernel[across]);
        let span = p.dilation[along] * (p.kernel[along] - 1) + 1;
        let pairs = if span < 3 { 1 } else { span / 2 };
        // Each combination is a loop of its own in `arch::dsp::depthwise`.
        let unrolled = taps == 1 || (taps == 3 && pairs == 1);
        let max_pairs = if stride == 1 && unrolled { MAX_PAIRS } else { 3 };
        if wide && !(stride == 1 && taps == 3 && pairs == 1) {
            return Err("wide tiles are for other layers");
        }
        if stride > 2 {
            return Err("strides above 2 have no DSP kernel");
        }
        if pairs > max_pairs || pairs * taps > MAX_TAP_WORDS / 2 {
            return Err("so large a kernel has no DSP kernel");
        }
        // The part of the padded image that the outputs reach.
        let length = (p.output[along] - 1) * stride + span;
        let lines = (p.output[across] - 1) * p.stride[across] + p.dilation[across] * (taps - 1) + 1;
        let line = length.next_multiple_of(2);
        // A tile reads its words even if not all of its outputs exist.
        let tile = if wide { 6 } else { 4 };
        let tiles = p.output[along].div_ceil(tile);
        let read = tile * stride * (tiles - 1) + 2 * (tile * stride / 2 + pairs);
        let last_line = if read > line { read.next_multiple_of(2) } else { line };
        let inside = [inside(p, along, length), inside(p, across, lines)];
        let plane_words = ((lines - 1) * line + last_line) / 2;
        Ok(Planar { along, stride, pairs, taps, line, wide, plane_words, inside })
    }

    /// Cycles of a channel on Cortex-M4.
    const fn cycles(&self, p: &Conv2d) -> usize {
        let tile_line = if self.stride == 1 { 6 + 8 * self.pairs } else { 10 + 7 * self.pairs };
        let looped = if self.unrolled() { 0 } else { 10 + 6 * self.taps };
        let (outputs, tile) = if self.wide { (6, 94) } else { (4, 24 + looped + self.taps * tile_line) };
        let (tiles, lines) = (p.output[self.along].div_ceil(outputs), p.output[1 - self.along]);
        let copy = self.inside[1] * (20 + 3 * self.inside[0]);
        90 + 11 * self.taps * self.pairs + copy + lines * (20 + tiles * tile)
    }

    /// The same, for models of the cost.
    pub(crate) const fn planes(&self, general: bool) -> Planes {
        Planes {
            along: self.along,
            stride: self.stride,
            pairs: self.pairs,
            taps: self.taps,
            unrolled: self.unrolled(),
            wide: self.wide,
            words: self.plane_words,
            inside: self.inside,
            general,
        }
    }

    /// Whether the loop over kernel lines is unrolled.
    pub(crate) const fn unrolled(&self) -> bool {
        self.unrolled_taps() > 0
    }

    /// How many kernel lines there are if the loop over them is unrolled, otherwise 0.
    pub(crate) const fn unrolled_taps(&self) -> usize {
        if self.taps == 1 || (self.taps == 3 && self.pairs == 1) { self.taps } else { 0 }
    }

    /// Words of the constants of an output channel.
    pub(crate) const fn channel_words(&self) -> usize {
        2 + self.taps * self.pairs
    }

    /// Arranges the constants.
    pub(crate) const fn pack<Q>(&self, p: &Conv2d, linear: &Linear<'_, Q>, words: &mut [u32]) {
        let (mut o, mut at) = (0, 0);
        while o < linear.outputs() {
            words[at] = linear.bias(o) as u32;
            words[at + 1] = linear.multiplier(o) as u32;
            at += 2;
            let mut tap = 0;
            while tap < self.taps {
                let mut pair = 0;
                while pair < self.pairs {
                    words[at] = u32::from_le_bytes([
                        self.weight(p, linear, o, tap, 2 * pair),
                        self.weight(p, linear, o, tap, 2 * pair + 1),
                        self.weight(p, linear, o, tap, 2 * pair + 1),
                        self.weight(p, linear, o, tap, 2 * pair + 2),
                    ]);
                    at += 1;
                    pair += 1;
                }
                tap += 1;
            }
            o += 1;
        }
    }

    /// The weight of an output at a place of a kernel line; 0 between and behind its taps.
    const fn weight<Q>(&self, p: &Conv2d, linear: &Linear<'_, Q>, o: usize, line: usize, place: usize) -> u8 {
        let dilation = p.dilation[self.along];
        if !place.is_multiple_of(dilation) || place / dilation >= p.kernel[self.along] {
            return 0;
        }
        let [ky, kx] = if self.along == 0 { [place / dilation, line] } else { [line, place / dilation] };
        linear.weight((ky * p.kernel[1] + kx) * p.output[2] + o) as u8
    }
}

/// How many cells of an axis lie in its first `length` padded ones.
const fn inside(p: &Conv2d, axis: usize, length: usize) -> usize {
    let reached = length.saturating_sub(p.pad[axis]);
    if reached < p.input[axis] { reached } else { p.input[axis] }
}
