//! The constants of int8 convolutions and dense layers, from how the compiler writes them down to how a kernel wants
//! them.
//!
//! Generated code holds weights, bias and multipliers as byte strings in the canonical order. At compile time the
//! kernel that suits the target is chosen (`choose`) and arranges them for its inner loop (`pack`): both are `const
//! fn`, so only the arranged words reach the flash, and the host can ask for any target.

use crate::fixed::{Requantize, RequantizeS16};

/// What a kernel is chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// Few cycles, even at the price of much more flash and work memory. The compiler asks for this only where they
    /// have been found to be free.
    Fastest,
    /// Few cycles.
    Speed,
    /// Little flash: one copy of the machine code for all layers, weights in their shortest form.
    Size,
}

/// What was chosen for a layer and a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The kernel's name.
    pub name: &'static str,
    /// Why it is not the target's fast kernel; empty if it is, or if there is none.
    pub remark: &'static str,
    /// Bytes of flash that the arranged constants take.
    pub weight_bytes: usize,
    /// Bytes of work memory, a multiple of 4.
    pub scratch_bytes: usize,
    /// How many bytes the input must start behind the output's start, where the kernel has a form for both in the same
    /// memory.
    pub distance: usize,
    /// Which outputs are written when.
    pub order: Order,
}

/// The order in which a convolution's outputs are computed. What the outputs of a step depend on is read before any of
/// them is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A pixel a step, in memory order.
    Pixels,
    /// Square tiles, in memory order, of all images together.
    Tiles {
        /// Pixels along an edge; tiles at the end of an axis may be smaller.
        edge: usize,
        /// Tiles a step.
        at_once: usize,
    },
}

/// Weights, bias and multipliers of a linear layer in canonical order, little-endian.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a, Q> {
    /// int8; `[outputs, everything else]`, for depthwise layers `[taps, outputs]`.
    pub weights: &'a [u8],
    /// int32, one for each output channel; the input's zero point is folded in.
    pub bias: &'a [u8],
    /// int32, one for each output channel.
    pub multipliers: &'a [u8],
    /// The rest of the requantization.
    pub requantize: Q,
}

/// With int8 activations.
pub type LinearS8<'a> = Linear<'a, Requantize>;

/// With int16 activations.
pub type LinearS16<'a> = Linear<'a, RequantizeS16>;

/// Bytes of `rows` rows of int4 weights, each of which starts with a byte.
pub(crate) const fn nibble_bytes(row: usize, rows: usize) -> usize {
    row.div_ceil(2) * rows
}

impl<Q> Linear<'_, Q> {
    /// Number of output channels.
    pub const fn outputs(&self) -> usize {
        self.bias.len() / 4
    }

    /// The weight at a place in memory order.
    pub(crate) const fn weight(&self, index: usize) -> i8 {
        self.weights[index] as i8
    }

    /// The bias of an output channel.
    pub(crate) const fn bias(&self, output: usize) -> i32 {
        element(self.bias, output)
    }

    /// The multiplier of an output channel.
    pub(crate) const fn multiplier(&self, output: usize) -> i32 {
        element(self.multipliers, output)
    }

    /// The largest magnitude that `Σ x · weights[o]` can reach for `row` weights of an output `stride` apart,
    /// without the bias: 128 · Σ |weights|.
    pub(crate) const fn largest_sum(&self, first: usize, stride: usize, row: usize) -> u64 {
        let (mut sum, mut i) = (0, 0);
        while i < row {
            sum += self.weight(first + i * stride).unsigned_abs() as u64;
            i += 1;
        }
        128 * sum
    }

    /// Words of the plain arrangement: [`pack_plain`](Self::pack_plain).
    pub(crate) const fn plain_words(weights: usize, outputs: usize) -> usize {
        weights.div_ceil(4) + 2 * outputs
    }

    /// [`pack_plain`](Self::pack_plain) with int4 weights two to a byte, in rows of `row` weights.
    pub(crate) const fn pack_nibbles(&self, row: usize, words: &mut [u32]) {
        let (row_bytes, bytes) = (row.div_ceil(2), nibble_bytes(row, self.weights.len() / row));
        let mut i = 0;
        while i < bytes {
            let (at, in_row) = (i / row_bytes * row, 2 * (i % row_bytes));
            let low = self.weights[at + in_row] & 0xf;
            let high = if in_row + 1 < row { self.weights[at + in_row + 1] << 4 } else { 0 };
            let mut word = words[i / 4].to_ne_bytes();
            word[i % 4] = low | high;
            words[i / 4] = u32::from_ne_bytes(word);
            i += 1;
        }
        self.pack_ends(bytes.div_ceil(4), words);
    }

    /// Weights as they are, bias, multipliers.
    pub(crate) const fn pack_plain(&self, words: &mut [u32]) {
        let first = self.weights.len().div_ceil(4);
        let mut i = 0;
        while i < first {
            words[i] = u32::from_ne_bytes([
                byte_or_zero(self.weights, 4 * i),
                byte_or_zero(self.weights, 4 * i + 1),
                byte_or_zero(self.weights, 4 * i + 2),
                byte_or_zero(self.weights, 4 * i + 3),
            ]);
            i += 1;
        }
        self.pack_ends(first, words);
    }

    /// Bias and multipliers.
    const fn pack_ends(&self, first: usize, words: &mut [u32]) {
        let (outputs, mut o) = (self.outputs(), 0);
        while o < outputs {
            words[first + o] = self.bias(o) as u32;
            words[first + outputs + o] = self.multiplier(o) as u32;
            o += 1;
        }
    }
}

const fn byte_or_zero(bytes: &[u8], index: usize) -> u8 {
    if index < bytes.len() { bytes[index] } else { 0 }
}

const fn element(bytes: &[u8], index: usize) -> i32 {
    let at = 4 * index;
    i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The arrays of [`LinearS8::pack_plain`]: weights, bias, multipliers.
#[inline(always)]
pub(crate) fn plain(words: &[u32], weights: usize, outputs: usize) -> (&[i8], &[i32], &[i32]) {
    let (w, rest) = words.split_at(weights.div_ceil(4));
    let (bias, multipliers) = rest.split_at(outputs);
    let (w, bias) = (crate::arch::memory::i8s(w), crate::arch::memory::i32s(bias));
    (&w[..weights], bias, crate::arch::memory::i32s(multipliers))
}
