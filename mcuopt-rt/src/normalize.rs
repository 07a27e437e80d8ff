//! ONNX LayerNormalization, RMSNormalization, InstanceNormalization, GroupNormalization, MeanVarianceNormalization.
//!
//! They differ in which elements share a mean and a variance only. Seen as `[outer, positions, groups, width]`, those are
//! the `positions · width` elements of one `outer` and one group; a *channel* is a place on the last two axes.
//!
//! | | outer | positions | groups | width |
//! |---|---|---|---|---|
//! | LayerNormalization | rows | 1 | 1 | elements of a row |
//! | InstanceNormalization (NHWC) | batch | height · width | channels | 1 |
//! | GroupNormalization (NHWC) | batch | height · width | groups | channels of a group |

use crate::fixed::{clamp_i8, reciprocal_sqrt};
use crate::math;

/// Which elements are normalised together; see the module's text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalize {
    /// Blocks of their own.
    pub outer: usize,
    /// Elements of a channel in a block.
    pub positions: usize,
    /// Groups of channels with statistics of their own.
    pub groups: usize,
    /// Channels of a group.
    pub width: usize,
    /// Whether the mean is subtracted; else the elements are divided by their root mean square (B. Zhang and
    /// R. Sennrich, *Root Mean Square Layer Normalization*, 2019).
    pub subtract_mean: bool,
}

impl Normalize {
    fn check(&self, gain: usize, offset: usize, x: usize) {
        assert_eq!(gain, self.groups * self.width, "gain");
        assert_eq!(offset, self.groups * self.width, "offset");
        assert_eq!(x, self.outer * self.positions * self.groups * self.width, "x");
    }

    /// The elements of a group in a block `[positions, groups, width]`, a slice for each position.
    #[inline(always)]
    fn group<'a, T>(&self, block: &'a [T], group: usize) -> impl Iterator<Item = &'a [T]> + Clone {
        let (start, width) = (group * self.width, self.width);
        block.chunks_exact(self.groups * self.width).map(move |channels| &channels[start..][..width])
    }

    /// As [`group`](Self::group), to change them.
    #[inline(always)]
    fn group_mut<'a, T>(&self, block: &'a mut [T], group: usize) -> impl Iterator<Item = &'a mut [T]> {
        let (start, width) = (group * self.width, self.width);
        block.chunks_exact_mut(self.groups * self.width).map(move |channels| &mut channels[start..][..width])
    }
}

/// `y = (x − mean) / √(variance + epsilon) · gain + offset` in f32, sums in order, the variance from the differences to
/// the mean; without a mean, `y = x / √(mean square + epsilon) · gain + offset`.
///
/// | slice | shape |
/// |---|---|
/// | `gain`, `offset` | `[groups, width]` |
/// | `x`, `y` | `[outer, positions, groups, width]` |
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn normalize_f32(p: &Normalize, epsilon: f32, gain: &[f32], offset: &[f32], x: &[f32], y: &mut [f32]) {
    y.copy_from_slice(x);
    normalize_f32_in_place(p, epsilon, gain, offset, y);
}

/// [`normalize_f32`] where `x` and `y` share memory.
pub fn normalize_f32_in_place(p: &Normalize, epsilon: f32, gain: &[f32], offset: &[f32], xy: &mut [f32]) {
    p.check(gain.len(), offset.len(), xy.len());
    let count = (p.positions * p.width) as f32;
    for block in xy.chunks_exact_mut(p.positions * p.groups * p.width) {
        for group in 0..p.groups {
            let sum = |f: &dyn Fn(f32) -> f32| p.group(block, group).flatten().fold(0.0, |sum, &x| sum + f(x));
            let mean = if p.subtract_mean { sum(&|x| x) / count } else { 0.0 };
            let variance = sum(&|x| (x - mean) * (x - mean)) / count;
            let deviation = math::sqrt(variance + epsilon);
            let channels = group * p.width..(group + 1) * p.width;
            let (gain, offset) = (&gain[channels.clone()], &offset[channels]);
            for xy in p.group_mut(block, group) {
                for ((xy, gain), offset) in xy.iter_mut().zip(gain).zip(offset) {
                    *xy = (*xy - mean) / deviation * gain + offset;
                }
            }
        }
    }
}

/// The reciprocals of the standard deviations, `1 / √(variance + epsilon)`: what LayerNormalization gives as its third
/// output; `x: [rows, len]`, `y: [rows]`.
///
/// # Panics
/// If the length of `x` is not a multiple of that of `y`.
pub fn inverse_deviation_f32(epsilon: f32, x: &[f32], y: &mut [f32]) {
    let len = x.len() / y.len();
    assert_eq!(x.len(), len * y.len(), "x");
    for (x, y) in x.chunks_exact(len).zip(y) {
        let mean = x.iter().fold(0.0, |sum, x| sum + x) / len as f32;
        let variance = x.iter().fold(0.0, |sum, x| sum + (x - mean) * (x - mean)) / len as f32;
        *y = 1.0 / math::sqrt(variance + epsilon);
    }
}

/// Fraction bits of a normalised element.
const FRACTION_BITS: u32 = 20;

/// What [`normalize_s8`] computes with, besides a multiplier and a bias for each channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalizeS8 {
    /// `n² · epsilon / scale²` in units of 2⁻⁸, where n is the number of elements that are normalised together and
    /// `scale` the input's; below 2⁶².
    pub epsilon: u64,
    /// Zero point of the input: it matters where no mean is subtracted.
    pub input_zero_point: i32,
    /// Zero point of the output.
    pub zero_point: i32,
}

impl NormalizeS8 {
    /// For an input of the given scale and zero point. `None` where epsilon is beyond all that the input can hold: its
    /// scale is less than n·2⁻²⁷ of epsilon's root.
    pub fn new(p: &Normalize, epsilon: f32, (scale, input_zero_point): (f32, i32), zero_point: i32) -> Option<Self> {
        let ratio = (p.positions * p.width) as f64 / f64::from(scale);
        let epsilon = ratio * ratio * f64::from(epsilon) * 256.0 + 0.5;
        (epsilon < (1u64 << 62) as f64).then_some(NormalizeS8 { epsilon: epsilon as u64, input_zero_point, zero_point })
    }

    /// Multiplier and bias of a channel: `gain / scale` in units of 2⁻¹² and `offset / scale` in units of 2⁻¹⁶, where
    /// `scale` is the output's. `None` where a gain is too large for an int8 output, 2¹⁹ steps.
    pub fn channel(gain: f32, offset: f32, scale: f32) -> Option<(i32, i32)> {
        let in_steps = |x: f32, bits: u32| {
            let x = f64::from(x) / f64::from(scale) * f64::from(1 << bits);
            if x < 0.0 { x - 0.5 } else { x + 0.5 }
        };
        let multiplier = in_steps(gain, 32 - FRACTION_BITS);
        (multiplier.abs() < 2147483648.0).then_some((multiplier as i32, in_steps(offset, 16) as i32))
    }
}

/// [`normalize_f32`] in int8, with integers only. `multipliers` and `bias`: `[groups, width]`, see
/// [`NormalizeS8::channel`]; at most 2¹⁷ elements are normalised together.
///
/// With n elements `x` in a group, their sum S (without a mean: n times the zero point) and
///
/// * `d = n·x − S`, and `w = 2^8 · Σ d² / n + epsilon`, all integers;
/// * `z = round(2^24 · d · r)`, with `r = 1/√w` from [`reciprocal_sqrt`]: the normalised element in units of 2⁻²⁰;
/// * `y = clamp(floor((z · multiplier + bias · 2^16 + 2^31) / 2^32) + zero_point)`.
///
/// Before the final rounding y is wrong by at most 2⁻¹⁷ of a step from the bias, 2⁻²¹ times the channel's gain in steps
/// from z, and |normalised x| times (2⁻¹³ steps from the multiplier + (2⁻²⁸ + 2⁻¹⁰/(n − 1)) of the gain in steps from r
/// and epsilon, of which the second is there only if epsilon is not 0). An element lies at most √(n − 1) deviations from
/// the mean: a hundredth of a step for rows of some hundred.
///
/// # Panics
/// If a slice's length is not that of its shape, or too many elements are normalised together.
pub fn normalize_s8(p: &Normalize, q: &NormalizeS8, multipliers: &[i32], bias: &[i32], x: &[i8], y: &mut [i8]) {
    y.copy_from_slice(x);
    normalize_s8_in_place(p, q, multipliers, bias, y);
}

/// [`normalize_s8`] where `x` and `y` share memory.
pub fn normalize_s8_in_place(p: &Normalize, q: &NormalizeS8, multipliers: &[i32], bias: &[i32], xy: &mut [i8]) {
    p.check(multipliers.len(), bias.len(), xy.len());
    let count = p.positions * p.width;
    assert!(count <= 1 << 17, "the sum of squares must fit 32 bits");
    let count = count as i32;
    for block in xy.chunks_exact_mut(p.positions * p.groups * p.width) {
        for group in 0..p.groups {
            let (sum, w) = sum_and_spread(p, q, count, p.group(block, group).flatten());
            let (reciprocal, shift) = reciprocal_sqrt(w);
            // w counts in units of 2^-8, so that its root is 2^4 too large.
            let shift = shift - FRACTION_BITS - 4;
            let channels = group * p.width..(group + 1) * p.width;
            let (multipliers, bias) = (&multipliers[channels.clone()], &bias[channels]);
            for xy in p.group_mut(block, group) {
                for ((xy, &multiplier), &bias) in xy.iter_mut().zip(multipliers).zip(bias) {
                    let d = count * i32::from(*xy) - sum;
                    let z = (i64::from(d) * i64::from(reciprocal) + (1 << (shift - 1))) >> shift;
                    let y = (z * i64::from(multiplier) + (i64::from(bias) << 16) + (1 << 31)) >> 32;
                    *xy = clamp_i8(y as i32 + q.zero_point, i8::MIN, i8::MAX);
                }
            }
        }
    }
}

/// S and w of [`normalize_s8`], w at least 1.
#[inline(always)]
fn sum_and_spread<'a>(p: &Normalize, q: &NormalizeS8, count: i32, x: impl Iterator<Item = &'a i8>) -> (i32, u64) {
    let (mut sum, mut squares) = (0, 0);
    for &x in x {
        let x = i32::from(x);
        sum += x;
        squares += (x * x) as u32;
    }
    let (n, total, squares) = (i64::from(count), i64::from(sum), i64::from(squares));
    let center = i64::from(q.input_zero_point);
    let (sum, spread) = match p.subtract_mean {
        true => (sum, n * squares - total * total),
        false => (count * q.input_zero_point, n * (squares - 2 * center * total + n * center * center)),
    };
    (sum, (((spread as u64) << 8) + q.epsilon).max(1))
}

/// What [`normalize_s16`] computes with, besides a multiplier and a bias for each channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalizeS16 {
    /// `n² · epsilon / scale²`, where n is the number of elements that are normalised together and `scale` the input's;
    /// below 2⁶².
    pub epsilon: u64,
    /// Zero point of the input: it matters where no mean is subtracted.
    pub input_zero_point: i32,
    /// Zero point of the output.
    pub zero_point: i32,
}

impl NormalizeS16 {
    /// For an input of the given scale and zero point. `None` where epsilon is beyond all that the input can hold.
    pub fn new(p: &Normalize, epsilon: f32, (scale, input_zero_point): (f32, i32), zero_point: i32) -> Option<Self> {
        let ratio = (p.positions * p.width) as f64 / f64::from(scale);
        let epsilon = ratio * ratio * f64::from(epsilon) + 0.5;
        (epsilon < (1u64 << 62) as f64).then_some(NormalizeS16 {
            epsilon: epsilon as u64,
            input_zero_point,
            zero_point,
        })
    }

    /// Multiplier and bias of a channel: `gain / scale` and `offset / scale` in units of 2⁻¹², where `scale` is the output's.
    /// `None` where one of them is too large for an int16 output, 2¹⁹ steps.
    pub fn channel(gain: f32, offset: f32, scale: f32) -> Option<(i32, i32)> {
        let in_steps = |x: f32| {
            let x = f64::from(x) / f64::from(scale) * f64::from(1 << (32 - FRACTION_BITS));
            if x < 0.0 { x - 0.5 } else { x + 0.5 }
        };
        let (multiplier, bias) = (in_steps(gain), in_steps(offset));
        let fits = multiplier.abs() < 2147483648.0 && bias.abs() < 2147483648.0;
        fits.then_some((multiplier as i32, bias as i32))
    }
}

/// [`normalize_f32`] in int16, with integers only: [`normalize_s8`] with `w = Σ d² / n + epsilon` and `y =
/// clamp(floor((z · multiplier + bias · 2^20 + 2^31) / 2^32) + zero_point)`. `multipliers` and `bias`: `[groups, width]`, see
/// [`NormalizeS16::channel`]; at most 2¹⁵ elements are normalised together.
///
/// # Panics
/// If a slice's length is not that of its shape, or too many elements are normalised together.
pub fn normalize_s16(p: &Normalize, q: &NormalizeS16, multipliers: &[i32], bias: &[i32], x: &[i16], y: &mut [i16]) {
    y.copy_from_slice(x);
    normalize_s16_in_place(p, q, multipliers, bias, y);
}

/// [`normalize_s16`] where `x` and `y` share memory.
pub fn normalize_s16_in_place(p: &Normalize, q: &NormalizeS16, multipliers: &[i32], bias: &[i32], xy: &mut [i16]) {
    p.check(multipliers.len(), bias.len(), xy.len());
    let count = p.positions * p.width;
    assert!(count <= 1 << 15, "differences must fit 32 bits");
    let n = count as i64;
    for block in xy.chunks_exact_mut(p.positions * p.groups * p.width) {
        for group in 0..p.groups {
            let (mut total, mut squares) = (0_i64, 0_i64);
            for &x in p.group(block, group).flatten() {
                let x = i64::from(x);
                total += x;
                squares += x * x;
            }
            let center = i64::from(q.input_zero_point);
            // Below 2^62.
            let (sum, spread) = match p.subtract_mean {
                true => (total, n * squares - total * total),
                false => (n * center, n * (squares - 2 * center * total + n * center * center)),
            };
            let (reciprocal, shift) = reciprocal_sqrt((spread as u64 + q.epsilon).max(1));
            let shift = shift - FRACTION_BITS;
            let channels = group * p.width..(group + 1) * p.width;
            let (multipliers, bias) = (&multipliers[channels.clone()], &bias[channels]);
            for xy in p.group_mut(block, group) {
                for ((xy, &multiplier), &bias) in xy.iter_mut().zip(multipliers).zip(bias) {
                    // At most 2^31 in magnitude.
                    let d = n * i64::from(*xy) - sum;
                    let z = (d * i64::from(reciprocal) + (1 << (shift - 1))) >> shift;
                    let y = (z * i64::from(multiplier) + (i64::from(bias) << 20) + (1 << 31)) >> 32;
                    let y = y + i64::from(q.zero_point);
                    *xy = y.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16;
                }
            }
        }
    }
}
