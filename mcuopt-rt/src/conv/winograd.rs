//! Winograd's convolution F(2×2, 3×3) in exact integers: which layers it suits, and how it wants their constants.
//!
//! Four outputs of a filter, two by two, depend on 4×4 inputs. Direct sums take 36 products for each channel, this
//! takes 16: `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`, with the 3×3 weights g and the 4×4 inputs d of a channel, and
//!
//! ```text
//!       1  0 −1  0         1   0   0
//! Bᵀ =  0  1  1  0    G =  ½   ½   ½    Aᵀ =  1  1  1  0
//!       0 −1  1  0         ½  −½   ½          0  1 −1 −1
//!       0  1  0 −1         0   0   1
//! ```
//!
//! S. Winograd, "Arithmetic Complexity of Computations", SIAM 1980; A. Lavin and S. Gray, "Fast Algorithms for
//! Convolutional Neural Networks", CVPR 2016.
//!
//! # Integers
//!
//! With 2 G in place of G nothing is a fraction, and the sums come out as 4 times the true ones, exactly. For all int8:
//!
//! * `U = 2G g (2G)ᵀ`: |U| ≤ 9 · 128 = 1152.
//! * `V = Bᵀ d B`: −512 ≤ V ≤ 510, as `d₁ + d₂` twice is at least 4 · (−128) and `d₀ − d₂` twice at most 2 · 255.
//!
//! Both fit int16, and SMLAD sums two products of them. Sums may overflow on the way, since differences modulo 2^32 are
//! right: only 4 times the true sum has to fit int32, which [`is_exact`] proves.
//!
//! # Stream
//!
//! For two filters, with C4 channels (the next multiple of 4; weights of the others are 0):
//!
//! | words | what |
//! |---|---|
//! | 2 for each two channels and position | U of filter 0, U of filter 1; the halves are channels (0, 2), then (1, 3) of each four |
//! | 2 | bias and multiplier of filter 1 |
//! | 2 | bias and multiplier of filter 0 |
//!
//! Positions (i, j) go by columns j, with the rows i in the order of [`ROWS`]; row 3 is negated. That is because sums of
//! a column are made without leaving the accumulators: of `M₁`, then `M₁ + M₂`, both rows of the result follow as
//! `(M₁ + M₂) + M₀` and `(2 M₁ − (M₁ + M₂)) − M₃`.

use crate::geometry::Conv2d;
use crate::linear::LinearS8;

/// Tiles, of 2×2 outputs, that are computed at a time.
pub(crate) const TILES: usize = 4;

/// The rows of a column, in the order in which they are summed.
pub(crate) const ROWS: [usize; 4] = [1, 2, 0, 3];

/// Sizes that follow from the geometry.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Rows and columns of tiles in an image.
    pub(crate) tiles: [usize; 2],
    /// Pairs of channels: half the number of channels, padded to a multiple of 4.
    pub(crate) pairs: usize,
    /// Words of the stream of two filters.
    pub(crate) stream_words: usize,
    /// Words of all streams.
    pub(crate) words: usize,
    /// Words of work memory for the transformed inputs of [`TILES`] tiles, for their sums by columns, and for the
    /// channels of a pixel.
    pub(crate) input_words: usize,
    pub(crate) sum_words: usize,
    pub(crate) pixel_words: usize,
}

impl Sizes {
    pub(crate) const fn new(p: &Conv2d) -> Self {
        let pairs = p.input[2].next_multiple_of(4) / 2;
        let stream_words = 2 * 16 * pairs + 4;
        Sizes {
            tiles: [p.output[0].div_ceil(2), p.output[1].div_ceil(2)],
            pairs,
            stream_words,
            words: p.output[2].div_ceil(2) * stream_words,
            input_words: 16 * pairs * TILES,
            sum_words: 4 * 2 * 2 * TILES,
            pixel_words: pairs / 2,
        }
    }

    /// Words of work memory: two pixels, as there is one for padding, and one that is the input's last.
    pub(crate) const fn scratch_words(&self) -> usize {
        self.input_words + self.sum_words + 2 * self.pixel_words
    }
}

/// Whether a convolution has this form at all.
pub(crate) const fn is_possible(p: &Conv2d) -> bool {
    let (kernel, stride, dilation) = (p.kernel, p.stride, p.dilation);
    let ones = stride[0] == 1 && stride[1] == 1 && dilation[0] == 1 && dilation[1] == 1 && p.groups == 1;
    ones && kernel[0] == 3 && kernel[1] == 3 && p.batch * p.output[0] * p.output[1] > 0
}

/// Whether all sums are exact.
pub(crate) const fn is_exact(p: &Conv2d, linear: &LinearS8<'_>) -> bool {
    let (taps, mut o) = (9 * p.input[2], 0);
    while o < linear.outputs() {
        if linear.largest_sum(o * taps, 1, taps) >= 1 << 29 {
            return false;
        }
        o += 1;
    }
    true
}

/// An estimate of what a layer takes, in cycles of a Cortex-M4.
pub(crate) const fn cycles(p: &Conv2d) -> u64 {
    let sizes = Sizes::new(p);
    let blocks = (p.batch * sizes.tiles[0] * sizes.tiles[1]).div_ceil(TILES);
    let block = p.output[2].div_ceil(2) * (PAIR_CYCLES + 16 * sizes.pairs * 16) + TILES * (sizes.pairs * 105 + 400);
    blocks as u64 * block as u64
}

/// What two filters of a block take besides the products, in cycles of a Cortex-M4.
const PAIR_CYCLES: usize = 1000;

/// [`Conv2d::distance`] for this order: [`TILES`] tiles are read, then written.
pub(crate) const fn distance(p: &Conv2d) -> usize {
    let [rows, columns] = Sizes::new(p).tiles;
    let mut distance = 0;
    // Backwards, as what counts is the first input that any later tile reads.
    let mut needed = usize::MAX;
    let mut tile = p.batch * rows * columns;
    while tile > 0 {
        if tile.is_multiple_of(TILES) {
            let written = end_of_outputs(p, tile - 1);
            if written > needed && written - needed > distance {
                distance = written - needed;
            }
        }
        tile -= 1;
        if let Some(first) = first_input(p, tile)
            && first < needed
        {
            needed = first;
        }
    }
    distance
}

/// Image, row and column of a tile.
const fn place(p: &Conv2d, tile: usize) -> [usize; 3] {
    let [rows, columns] = Sizes::new(p).tiles;
    [tile / (rows * columns), tile / columns % rows, tile % columns]
}

/// Where the outputs of a tile, and all before it, end.
const fn end_of_outputs(p: &Conv2d, tile: usize) -> usize {
    let ([image, row, column], [height, width, channels]) = (place(p, tile), p.output);
    let bottom = if 2 * row + 1 < height { 2 * row + 1 } else { height - 1 };
    let right = if 2 * column + 1 < width { 2 * column + 1 } else { width - 1 };
    ((image * height + bottom) * width + right + 1) * channels
}

/// The first input that a tile reads, if it reads any.
const fn first_input(p: &Conv2d, tile: usize) -> Option<usize> {
    let ([image, row, column], [height, width, channels]) = (place(p, tile), p.input);
    let (y, x) = (first_inside(2 * row, p.pad[0], height), first_inside(2 * column, p.pad[1], width));
    match (y, x) {
        (Some(y), Some(x)) => Some(((image * height + y) * width + x) * channels),
        _ => None,
    }
}

/// The first of four neighbours, from `start - pad` on, that lies in the image.
const fn first_inside(start: usize, pad: usize, len: usize) -> Option<usize> {
    if start + 3 < pad || start >= pad + len { None } else { Some(start.saturating_sub(pad)) }
}

/// Writes the streams.
pub(crate) const fn pack(p: &Conv2d, linear: &LinearS8<'_>, words: &mut [u32]) {
    let sizes = Sizes::new(p);
    let outputs = p.output[2];
    let mut i = 0;
    while i < words.len() {
        words[i] = 0;
        i += 1;
    }
    let mut first = 0;
    while first < outputs {
        let at = first / 2 * sizes.stream_words;
        pack_pair(p, linear, first, words, at);
        let end = at + sizes.stream_words - 4;
        if first + 1 < outputs {
            words[end] = linear.bias(first + 1) as u32;
            words[end + 1] = linear.multiplier(first + 1) as u32;
        }
        words[end + 2] = linear.bias(first) as u32;
        words[end + 3] = linear.multiplier(first) as u32;
        first += 2;
    }
}

/// The transformed weights of two filters, the second one of which may not exist, to `words` from `start` on.
const fn pack_pair(p: &Conv2d, linear: &LinearS8<'_>, first: usize, words: &mut [u32], start: usize) {
    let (pairs, channels, mut of_pair) = (Sizes::new(p).pairs, p.input[2], 0);
    while of_pair < 2 && first + of_pair < p.output[2] {
        let mut channel = 0;
        while channel < channels {
            let u = transform(linear, (first + of_pair) * 9 * channels + channel, channels);
            // Four channels are the pairs (0, 2) and (1, 3).
            let (pair, shift) = (channel / 4 * 2 + channel % 2, channel / 2 % 2 * 16);
            let mut position = 0;
            while position < 16 {
                let word = start + (position * pairs + pair) * 2 + of_pair;
                words[word] |= (u[position] as u16 as u32) << shift;
                position += 1;
            }
            channel += 1;
        }
        of_pair += 1;
    }
}

/// `2G g (2G)ᵀ` for the weights from `first` on, `step` apart, in the order of the stream.
const fn transform(linear: &LinearS8<'_>, first: usize, step: usize) -> [i16; 16] {
    let (mut u, mut rows, mut i) = ([0; 16], [[0; 4]; 3], 0);
    while i < 3 {
        let at = first + i * 3 * step;
        rows[i] =
            times_g([linear.weight(at) as i16, linear.weight(at + step) as i16, linear.weight(at + 2 * step) as i16]);
        i += 1;
    }
    let mut j = 0;
    while j < 4 {
        let column = times_g([rows[0][j], rows[1][j], rows[2][j]]);
        i = 0;
        while i < 4 {
            let value = column[ROWS[i]];
            u[4 * j + i] = if ROWS[i] == 3 { -value } else { value };
            i += 1;
        }
        j += 1;
    }
    u
}

/// `2G g`.
const fn times_g([a, b, c]: [i16; 3]) -> [i16; 4] {
    [2 * a, a + b + c, a - b + c, 2 * c]
}
